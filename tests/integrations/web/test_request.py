"""WSGIRequest: what a request says, however odd."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.integrations.web.request import WSGIRequest
from tests.strategies import PROPERTY

UNICODE = "é€😀"
RAW = UNICODE.encode().decode("latin-1")
"""As WSGI shows bytes."""


def request(query: str = "", **environ: Any) -> WSGIRequest:
    """A request with this query."""
    return WSGIRequest({"QUERY_STRING": query, **environ})


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("", None),
        ("other=1", None),
        ("prompt", b""),
        ("prompt=", b""),
        ("prompt=a", b"a"),
        ("prompt=a+b%20c%2B", b"a b c+"),
        ("x=1&prompt=a&prompt=b", b"a"),
        ("prompt=a=b", b"a=b"),
        ("prompt=a;b", b"a;b"),
        ("&&prompt=a&&", b"a"),
        ("pro%6Dpt=a", b"a"),
        ("prompts=a", None),
        ("PROMPT=a", None),
        ("prompt=%", b"%"),
        ("prompt=%zz%4", b"%zz%4"),
        ("prompt=%00%0d%0a", b"\0\r\n"),
        ("prompt=%C3%A9", "é".encode()),
        (f"prompt={RAW}", UNICODE.encode()),
        ("prompt=%ff", b"\xff"),
        ("prompt=\u20ac", "\u20ac".encode()),  # from a server that decodes what it should not
    ],
)
def test_a_parameter(query: str, value: bytes | None) -> None:
    """The first of its name, as the bytes that it stands for."""
    assert value == request(query).query("prompt")


@PROPERTY
@given(st.text(), st.dictionaries(st.text(), st.one_of(st.none(), st.text(), st.integers()), max_size=3))
def test_it_stands_anything(text: str, environ: dict[str, Any]) -> None:
    """No request makes it raise."""
    odd = WSGIRequest(
        {**environ, "QUERY_STRING": text, "PATH_INFO": text, "HTTP_LAST_EVENT_ID": text, "HTTP_ACCEPT": text}
    )

    assert isinstance(odd.query("prompt"), (bytes, type(None)))
    assert isinstance(odd.path + odd.last_event_id + odd.method, str)
    assert {True, False} >= {odd.comes_back, odd.ended, odd.can_stream}


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({}, "/"),
        ({"PATH_INFO": ""}, "/"),
        ({"PATH_INFO": f"/{RAW}"}, f"/{UNICODE}"),
        ({"PATH_INFO": "/\xff"}, "/\ufffd"),
    ],
)
def test_the_path(environ: dict[str, str], path: str) -> None:
    """As text."""
    assert path == WSGIRequest(environ).path


@pytest.mark.parametrize(
    ("environ", "id"),
    [
        ({}, ""),
        ({"HTTP_LAST_EVENT_ID": "a-1"}, "a-1"),
        ({"QUERY_STRING": "last_event_id=b-2"}, "b-2"),
        ({"QUERY_STRING": "last_event_id=b-2", "HTTP_LAST_EVENT_ID": "a-1"}, "a-1"),
        ({"QUERY_STRING": "last_event_id=b-2", "HTTP_LAST_EVENT_ID": ""}, "b-2"),
    ],
)
def test_the_last_event(environ: dict[str, str], id: str) -> None:
    """The header's is newer than that of the address, which stays the same when a browser comes back."""
    assert id == WSGIRequest(environ).last_event_id


@pytest.mark.parametrize(
    ("environ", "comes_back"),
    [
        ({}, False),
        ({"HTTP_ACCEPT": "*/*"}, False),
        ({"HTTP_ACCEPT": "text/html, Text/Event-Stream;q=0.9"}, True),
        ({"HTTP_LAST_EVENT_ID": "a-1"}, True),
    ],
)
def test_who_comes_back(environ: dict[str, str], comes_back: bool) -> None:
    """An `EventSource` says what it accepts."""
    assert comes_back is WSGIRequest(environ).comes_back


@pytest.mark.parametrize(
    ("environ", "can_stream"),
    [
        ({}, True),
        ({"SERVER_PROTOCOL": "HTTP/1.0", "wsgi.run_once": False}, True),
        ({"SERVER_PROTOCOL": "HTTP/1.1"}, True),
        ({"SERVER_PROTOCOL": "HTTP/0.9"}, False),
        ({"SERVER_PROTOCOL": "HTTP/1.1", "wsgi.run_once": True}, False),
    ],
)
def test_who_cannot_stream(environ: dict[str, Any], can_stream: bool) -> None:
    """CGI hands on what it has when it has all; HTTP/0.9 has no headers."""
    assert can_stream is WSGIRequest(environ).can_stream
