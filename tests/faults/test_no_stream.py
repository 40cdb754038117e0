"""A 200 that is no stream: never taken for an empty answer, and a redirect never followed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamkit import BadRequest, Client, DecodeError, ProviderError, RateLimited, StreamTruncated
from streamkit.testing import Close, End, Event, ProviderServer, Raw, Send, Status, chat_answer, error_answer
from tests.loopback import AT_ONCE, DIALECTS, ask, client_of, failure, framed

COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-4o",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize(
    ("script", "error_class", "said"),
    [
        (error_answer(200, {"error": {"message": "too bad", "type": "rate_limit_error"}}), RateLimited, "too bad"),
        (error_answer(200, {"error": "too bad"}), ProviderError, "too bad"),
        (
            error_answer(200, {"type": "error", "error": {"type": "invalid_request_error", "message": "too bad"}}),
            BadRequest,
            "too bad",
        ),
        (
            error_answer(200, b"<html><body>Please log in</body></html>", {"content-type": "text/html"}),
            DecodeError,
            "log in",
        ),
        (error_answer(200, b"Service temporarily off"), DecodeError, "temporarily off"),
        (error_answer(200, b""), StreamTruncated, "empty"),
        ((Status(200), End()), StreamTruncated, "empty"),
        ((Status(200, framing="close"), Close()), StreamTruncated, "empty"),
        (Status(204), StreamTruncated, "204"),
        ((Status(200), Event("[DONE]"), End()), StreamTruncated, "choice"),
        ((Status(200), Send(b": ping\n\n: ping\n\n"), End()), StreamTruncated, "before its first event"),
        ((Status(200), Send(b"event: ping\ndata: {}"), End()), StreamTruncated, "before its first event"),
        ((Status(200), Send(b"\xef\xbb\xbfdata: {"), End()), StreamTruncated, "before its first event"),
        (error_answer(200, b'{"cut": '), DecodeError, "no event stream"),
        (error_answer(200, b"[" * 100_000), DecodeError, "no event stream"),
        (error_answer(200, b"null"), StreamTruncated, ""),
        (error_answer(200, b"[]"), StreamTruncated, ""),
    ],
    ids=lambda value: None,
)
def test_it_is_an_error_that_shows_what_it_was(
    script: Any, error_class: type[Exception], said: str, dialect: Any, server: ProviderServer
) -> None:
    """Nothing that is no answer looks like an empty one, and it is not asked for again: an answer had come."""
    if dialect is DIALECTS["anthropic"] and said == "choice":
        said = ""
    server.reply(script)
    with dialect.client(server, retry_policy=AT_ONCE) as client:
        error = failure(dialect.ask(client).get_stream)

    assert isinstance(error, error_class)
    assert said in str(error)
    assert 1 == len(server.requests)


@pytest.mark.parametrize(("dialect", "body"), [("openai", COMPLETION), ("anthropic", MESSAGE)])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("headers", [JSON, {}], ids=["json", "event-stream"])
def test_a_whole_completion_is_taken_as_the_answer(
    dialect: str, body: Any, indent: int | None, headers: Any, server: ProviderServer
) -> None:
    """A server that does not stream gives its text all the same, whatever it says that it sends."""
    content = json.dumps(body, indent=indent).encode()
    server.reply(Status(200, headers, framing=len(content)), Send(content))
    with DIALECTS[dialect].client(server) as client:
        response = DIALECTS[dialect].ask(client).get_response()

    assert ("Hello", "stop", 2) == (response.text, response.finish_reason, response.usage.total_tokens)


def test_a_whole_completion_that_is_cut_is_no_answer(client: Client, server: ProviderServer) -> None:
    """JSON that ends before its Content-Length is a truncation, though it may be read."""
    content = json.dumps(COMPLETION).encode()
    server.reply(Status(200, JSON, framing=len(content)), Send(content[:-20]), Close())

    assert isinstance(failure(ask(client).get_stream), StreamTruncated)


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "text/html", "application/octet-stream", "x"])
def test_a_wrong_content_type_is_no_obstacle(kind: str, client: Client, server: ProviderServer) -> None:
    """An event stream is known by its events."""
    server.reply(framed(chat_answer("Hello"), headers={"content-type": kind}))

    assert "Hello" == ask(client).get_response().text


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_a_redirect_is_not_followed(status: int, dialect: Any, server: ProviderServer) -> None:
    """It is an error that names the target; no second request is made, so no key goes to another place."""
    with ProviderServer() as other:
        server.reply(Status(status, {"location": f"{other.url}/login"}, framing=0))
        with dialect.client(server, retry_policy=AT_ONCE) as client:
            error = failure(dialect.ask(client).get_stream)

        assert isinstance(error, ProviderError)
        assert status == error.status
        assert f"{other.url}/login" in str(error)
        assert ([], 1) == (other.requests, len(server.requests))


@pytest.mark.parametrize("location", ["/elsewhere", "file:///etc/passwd", "javascript:alert(1)", "\x1b[31m", ""])
def test_a_redirect_to_nonsense_is_the_same_error(location: str, client: Client, server: ProviderServer) -> None:
    """Its target is shown escaped, and not looked at otherwise."""
    server.reply(Raw(f"HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()))
    error = failure(ask(client).get_stream)

    assert (ProviderError, 302) == (type(error), error.status)
    assert str(error).isprintable()


def test_a_redirect_to_itself_is_asked_once(server: ProviderServer) -> None:
    """A loop of redirects cannot begin."""
    server.reply(Status(307, {"location": "/v1/chat/completions"}, framing=0), times=None)
    with client_of(server, retry_policy=AT_ONCE) as client:
        failure(ask(client).get_stream)

    assert 1 == len(server.requests)
