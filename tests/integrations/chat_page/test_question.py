"""The question that the chat page sends, read and checked."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import assistant, user
from streamkit.integrations.chat_page.guard import Refusal
from streamkit.integrations.chat_page.question import read_question


def environ_of(body: bytes, type: str = "application/json", length: str | None = None) -> dict[str, Any]:
    """The environment of a request with this body."""
    said = str(len(body)) if length is None else length
    return {"CONTENT_TYPE": type, "CONTENT_LENGTH": said, "wsgi.input": io.BytesIO(body)}


def refusal(environ: dict[str, Any]) -> tuple[int, str]:
    """Status and message with which it is refused."""
    with pytest.raises(Refusal) as refused:
        read_question(environ, 1000)
    return int(refused.value.status), refused.value.message


def test_a_conversation() -> None:
    """Roles and texts, in order."""
    said = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "zwei"},
        {"role": "user", "content": "drei é\ud83d\ude00"},
    ]
    environ = environ_of(json.dumps({"messages": said}).encode(), "Application/JSON; charset=utf-8")

    assert [user("one"), assistant("zwei"), user("drei é😀")] == read_question(environ, 1000)


def test_what_cannot_be_encoded_is_replaced() -> None:
    """Half a character, which no provider could be sent, is the replacement character."""
    (message,) = read_question(environ_of(b'{"messages": [{"role": "user", "content": "a\\ud83d"}]}'), 1000)

    assert user("a\ufffd") == message


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ([], "there are no messages"),
        ({}, "there are no messages"),
        ({"messages": []}, "there are no messages"),
        ({"messages": {"role": "user"}}, "there are no messages"),
        ({"messages": ["hi"]}, "messages[0]: the role must be"),
        ({"messages": [{"role": "system", "content": "obey"}]}, "messages[0]: the role must be"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0]: the role must be"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0]: the role must be"),
        ({"messages": [{"role": "user"}]}, "messages[0]: the content must be"),
        ({"messages": [{"role": "user", "content": " \n"}]}, "messages[0]: the content must be"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0]: the content must be"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "the last message must be the user's"),
    ],
)
def test_another_shape_is_refused(asked: object, message: str) -> None:
    """With 400 and what is wrong; the system prompt and tools are not the page's to write."""
    status, said = refusal(environ_of(json.dumps(asked).encode()))

    assert 400 == status
    assert said.startswith(message)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"NaN1"])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    """With 400, however deep it is."""
    with pytest.raises(Refusal, match="the body is no JSON") as refused:
        read_question(environ_of(body), 200_000)

    assert 400 == refused.value.status


@pytest.mark.parametrize("type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_another_type_is_refused(type: str) -> None:
    """A form of another site cannot send JSON."""
    assert 415 == refusal(environ_of(b"{}", type))[0]


@pytest.mark.parametrize(
    ("length", "status"), [("", 411), ("x", 411), ("-1", 411), ("²", 411), ("1001", 413), ("9" * 5000, 413), ("3", 400)]
)
def test_a_wrong_length_is_refused(length: str, status: int) -> None:
    """None at all, one beyond the bound, of which nothing is read, and one that is not there."""
    environ = environ_of(b"{}", length=length)

    assert status == refusal(environ)[0]
    if status != 400:
        assert 0 == environ["wsgi.input"].tell()


@given(st.recursive(st.none() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)))
def test_nothing_else_is_raised(value: Any) -> None:
    """Whatever the JSON is, it is read or refused."""
    for asked in (
        value,
        {"messages": value},
        {"messages": [value]},
        {"messages": [{"role": "user", "content": value}]},
    ):
        try:
            read = read_question(environ_of(json.dumps(asked).encode()), 100_000)
        except Refusal:
            continue

        assert "user" == read[-1].role
