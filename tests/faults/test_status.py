"""HTTP errors: a refusal is told by its status, whatever its body looks like."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamkit import (
    BadRequest,
    Client,
    Limits,
    NotFound,
    Overloaded,
    PermissionDenied,
    ProviderError,
    RateLimited,
    ServerError,
    Timeouts,
    Unauthorized,
)
from streamkit.testing import (
    Close,
    Drip,
    ProviderServer,
    Raw,
    Repeat,
    Reset,
    Send,
    Stall,
    Status,
    Step,
    chat_answer,
    error_answer,
)
from streamkit.transport import session
from tests.loopback import AT_ONCE, DIALECTS, KEY, ask, client_of, failure, took

NOT_RETRIED = [
    (400, BadRequest),
    (401, Unauthorized),
    (402, PermissionDenied),
    (403, PermissionDenied),
    (404, NotFound),
    (405, BadRequest),
    (413, BadRequest),
    (418, BadRequest),
    (422, BadRequest),
    (451, BadRequest),
    (501, ServerError),
]
RETRIED = [
    (408, BadRequest),
    (409, BadRequest),
    (429, RateLimited),
    (500, ServerError),
    (502, ServerError),
    (503, Overloaded),
    (504, ServerError),
    (529, Overloaded),
]


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize(("status", "error_class"), NOT_RETRIED)
def test_most_statuses_are_final(status: int, error_class: type, dialect: Any, server: ProviderServer) -> None:
    """The error has the status's class and number, and one request was made."""
    server.reply(error_answer(status, "no", {"x-request-id": "req_1"}))
    with dialect.client(server, retry_policy=AT_ONCE) as client:
        error = failure(dialect.ask(client).get_stream)

    assert error_class is type(error)
    assert (status, 1, "req_1", False) == (error.status, error.attempts, error.request_id, error.retryable)
    assert 1 == len(server.requests)


@pytest.mark.parametrize(("status", "error_class"), RETRIED)
def test_some_statuses_are_tried_again(status: int, error_class: type, server: ProviderServer) -> None:
    """After 1 + max_retries requests the error is the last one, unobscured."""
    server.reply(error_answer(status, "first"), times=2)
    server.reply(error_answer(status, "last"))
    with client_of(server, retry_policy=AT_ONCE) as client:
        error = failure(ask(client).get_stream)

    assert error_class is type(error)
    assert (status, 3, True) == (error.status, error.attempts, error.retryable)
    assert "last" in str(error)
    assert 3 == len(server.requests)


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({"error": {"message": "too bad", "type": "t", "code": "c"}}, "too bad", "c"),
        ({"error": {"message": "too bad", "type": "t", "code": None}}, "too bad", "t"),
        ({"error": "too bad"}, "too bad", None),
        ({"type": "error", "error": {"type": "t", "message": "too bad"}}, "too bad", "t"),
        ({"message": "too bad"}, "too bad", None),
        ({"detail": "too bad"}, "too bad", None),
        ([{"error": {"message": "too bad", "status": "S"}}], "too bad", "S"),
        (b"<html><head><style>p{}</style></head><body><h1>too bad</h1></body></html>", "too bad", None),
        (b"too bad", "too bad", None),
        (b'{"error": {"message": "too bad', "too bad", None),
        (b'"too bad"', "too bad", None),
        (b"\xff\xfe too bad \x00", "too bad", None),
        (b"", "no reason", None),
        (b"{}", "{}", None),
        (b"[" * 100_000, "[[[", None),
        (b'{"error": ' + b"9" * 5_000 + b"}", "999", None),
    ],
    ids=str,
)
def test_the_message_is_taken_out_of_any_body(
    body: Any, message: str, code: str | None, client: Client, server: ProviderServer
) -> None:
    """JSON of the usual shapes gives message and code; anything else a short excerpt."""
    server.reply(error_answer(400, body if isinstance(body, bytes) else json.dumps(body).encode()))
    error = failure(ask(client).get_stream)

    assert isinstance(error, BadRequest)
    assert (400, code, "openai") == (error.status, error.code, error.provider)
    assert message in str(error)


def test_the_message_is_bounded_and_printable(client: Client, server: ProviderServer) -> None:
    """A provider's text of any length and kind is shown within some 2 kB, its control characters escaped."""
    server.reply(error_answer(400, "\x1b[31mred\r\nFAKE LOG LINE\x00" + "x" * 30_000))
    error = failure(ask(client).get_stream)

    assert 2000 < len(str(error)) < 2200
    assert str(error).isprintable()
    assert error.body.isprintable()


def test_an_endless_error_body_is_not_read(server: ProviderServer) -> None:
    """Only `Limits.error_body` bytes of it are, and the connection is closed."""
    server.reply(Status(400), Send(b"too bad"), Repeat(Send(b" " * 65_536), times=2_000))
    with client_of(server, limits=Limits(error_body=100_000)) as client, took(1.0):
        error = failure(ask(client).get_stream)
        assert server.requests[0].disconnected.wait(2)

    assert "too bad" in str(error)
    assert server.requests[0].sent < 32 * 2**20  # of 125 MB: what fits into the buffers of both ends


def test_a_compressed_error_body_is_read(client: Client, server: ProviderServer) -> None:
    """A gateway that compresses although nobody asked for it is understood."""
    server.reply(Status(400, encoding="gzip"), Send(b'{"error": "too bad"}'))
    error = failure(ask(client).get_stream)

    assert "too bad" in str(error)


@pytest.mark.slow
@pytest.mark.parametrize("rest", [Drip(b" " * 1_000, interval=0.02), Stall()], ids=["drips", "stalls"])
@pytest.mark.parametrize("framing", ["chunked", "close", 5_000])
def test_an_error_body_that_does_not_end_is_not_waited_for(
    rest: Step, framing: Any, client: Client, server: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status is known: a body that drips or stalls is given up after a moment, and what came of it is shown."""
    monkeypatch.setattr(session, "EXCERPT_WAIT", 0.2)
    server.reply(Status(400, framing=framing), Send(b"too bad"), rest)
    with took(1.0):
        error = failure(ask(client).get_stream)

    assert isinstance(error, BadRequest)
    assert "too bad" in str(error)
    assert server.requests[0].disconnected.wait(2)


@pytest.mark.parametrize("end", [Close(), Reset(), Raw(b"zzz\r\n")], ids=["closed", "reset", "bad framing"])
def test_an_error_body_that_breaks_off_is_shown_as_far_as_it_came(
    end: Step, client: Client, server: ProviderServer
) -> None:
    """The status is the error, not the transport's fault after it."""
    server.reply(Status(403), Send(b"too bad"), end)
    error = failure(ask(client).get_stream)

    assert (PermissionDenied, 403) == (type(error), error.status)
    assert "too bad" in str(error) or isinstance(end, Reset)  # which may overtake what was sent before it


def test_an_error_body_read_to_its_end_leaves_the_connection_usable(client: Client, server: ProviderServer) -> None:
    """The next request goes out on the same connection."""
    server.reply(error_answer(400))
    server.reply(chat_answer("Hello"))
    failure(ask(client).get_stream)
    ask(client).get_response()

    assert [1, 1] == [request.connection for request in server.requests]


@pytest.mark.parametrize("interim", [100, 102, 103, 199])
def test_interim_answers_are_skipped(interim: int, client: Client, server: ProviderServer) -> None:
    """Any number of them may come before the answer proper."""
    server.reply(Status(interim, {"link": "</a>"}), Status(interim), chat_answer("Hello"))

    assert "Hello" == ask(client).get_response().text


def test_an_answer_to_another_protocol_is_an_error(client: Client, server: ProviderServer) -> None:
    """A 101, which nobody asked for, is told as it is, and its connection is not used again."""
    server.reply(Status(101, {"upgrade": "websocket"}), Stall())
    server.reply(chat_answer("Hello"))
    error = failure(ask(client).get_stream)
    response = ask(client).get_response()

    assert (ProviderError, 101, 1) == (type(error), error.status, error.attempts)
    assert ("Hello", 2) == (response.text, server.connections)


def test_a_flood_of_interim_answers_ends(server: ProviderServer) -> None:
    """They count as headers, which are bounded."""
    server.reply(Repeat(Status(103)))
    with client_of(server, limits=Limits(headers=1_000), timeouts=Timeouts(total=5)) as client, took(1.0):
        error = failure(ask(client).get_stream)

    assert "Limits(headers" in str(error)


def test_a_refused_key_is_not_sent_again(client: Client, server: ProviderServer) -> None:
    """A key that is a plain text stays the same, so one request is enough."""
    server.reply(error_answer(401, "wrong key"))
    error = failure(ask(client).get_stream)

    assert (Unauthorized, 1) == (type(error), len(server.requests))
    assert KEY not in str(error)
