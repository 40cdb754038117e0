"""Completeness: an answer is whole or an error, whatever the framing makes of its end; what came is never lost."""

from __future__ import annotations

from typing import Any

import pytest

from streamkit import (
    Client,
    ConnectionLost,
    ContextOverflow,
    DecodeError,
    Overloaded,
    ProviderError,
    RateLimited,
    ServerError,
    StreamKitError,
    StreamTruncated,
    Timeouts,
    call,
)
from streamkit.testing import (
    Close,
    Drip,
    End,
    Event,
    Gate,
    Pause,
    ProviderServer,
    Raw,
    Repeat,
    Reset,
    Send,
    Stall,
    Status,
    Step,
    Wait,
    chat_answer,
    error_event,
)
from tests.loopback import AT_ONCE, CERTS, DIALECTS, ask, client_of, delta, drain, framed, took

FRAMINGS: dict[str, dict[str, Any]] = {
    "chunked": {"framing": "chunked"},
    "length": {"framing": 1_000_000},
    "close": {"framing": "close"},
    "HTTP/1.0": {"http": "1.0"},
    "gzip chunked": {"framing": "chunked", "encoding": "gzip"},
    "gzip close": {"framing": "close", "encoding": "gzip"},
    "deflate length": {"framing": 1_000_000, "encoding": "deflate"},
}
HALF_AN_EVENT = Send(b'data: {"choices": [{"delta": {"content": "lost"}}]')
ENDS: dict[str, tuple[Step, ...]] = {
    "closed": (Close(),),
    "reset": (Reset(),),
    "closed in an event": (HALF_AN_EVENT, Close()),
    "reset in an event": (HALF_AN_EVENT, Reset()),
    "ended in an event": (HALF_AN_EVENT, End(), Close()),
    "ended": (End(), Close()),
}
TLS = CERTS / "localhost.pem"


@pytest.fixture(params=DIALECTS.values(), ids=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Any:
    """Each of the two wires."""
    return request.param


def begun(dialect: Any, *texts: str) -> tuple[Step, ...]:
    """Give an answer's steps up to its last text."""
    steps = dialect.answer(*texts)
    last = max(i for i, step in enumerate(steps) if isinstance(step, Event) and texts[-1] in str(step.data))
    return steps[: last + 1]


def read_to_the_gate(stream: Any, text: str, gate: Gate) -> tuple[str, StreamKitError | None]:
    """Read until all this text has come, then open the gate and read to the end: a reset overtakes what is unread."""
    got = ""
    while len(got) < len(text):
        got += stream.ch.get(timeout=5).content
    gate.set()
    rest, error = drain(stream)
    return got + rest, error


# ---------------------------------------------------------------- cut answers


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS)
def test_an_answer_cut_anywhere_is_an_error_that_keeps_the_text(
    framing: Any, end: tuple[Step, ...], dialect: Any, server: ProviderServer
) -> None:
    """Every end of the body before the protocol's own is an error; what had come is delivered, and in `partial`."""
    gate = Gate()
    server.reply(framed(begun(dialect, "Hello", " world"), **framing), Wait(gate), end)
    with dialect.client(server, retry_policy=AT_ONCE) as client, dialect.ask(client).get_stream() as stream:
        text, error = read_to_the_gate(stream, "Hello world", gate)

        assert "Hello world" == text
        assert isinstance(error, (StreamTruncated, ConnectionLost))
        assert error.retryable
        assert error.partial is not None
        assert ("Hello world", False, "") == (error.partial.text, error.partial.complete, error.partial.finish_reason)
        assert None is stream.final.get()
        assert 1 == len(server.requests)


@pytest.mark.parametrize("notify", [True, False], ids=["with goodbye", "without"])
@pytest.mark.parametrize("framing", ["chunked", "close", 1_000_000])
def test_a_cut_tls_connection_is_an_error(
    framing: Any, notify: bool, dialect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether TLS was ended politely or cut by somebody in between, the answer is not whole."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTS / "ca.pem"))
    with ProviderServer(tls=TLS) as server:
        server.reply(framed(begun(dialect, "Hello"), framing=framing), Close(notify=notify))
        with dialect.client(server) as client, dialect.ask(client).get_stream() as stream:
            text, error = drain(stream)

        assert "Hello" == text
        assert isinstance(error, (StreamTruncated, ConnectionLost))


@pytest.mark.parametrize(
    "framing",
    [
        b"zzz\r\n",
        b"-5\r\n",
        b"0x5\r\nhello\r\n",
        b"5_0\r\n",
        b"\r\n",
        b"5\r\nhello!\r\n",
        b"f" * 17 + b"\r\n",
        b"1" * 5_000,
    ],
    ids=["no number", "negative", "0x", "underscore", "empty", "longer than said", "huge", "endless"],
)
@pytest.mark.parametrize("apart", [False, True], ids=["at once", "apart"])
def test_broken_chunk_framing_is_an_error_after_what_came(
    framing: bytes, apart: bool, dialect: Any, server: ProviderServer
) -> None:
    """The chunk before it is delivered, also when both came in one packet."""
    gate = Gate()
    steps = begun(dialect, "Hello")
    body = b"".join(step.encode() for step in steps if isinstance(step, Event))
    whole = b"%x\r\n%b\r\n" % (len(body), body)
    server.reply(steps[0], [Raw(whole), Wait(gate), Raw(framing)] if apart else Raw(whole + framing), Stall())
    with dialect.client(server) as client, dialect.ask(client).get_stream() as stream:
        text, error = read_to_the_gate(stream, "Hello", gate)

        assert ("Hello", ConnectionLost) == (text, type(error))
        assert server.requests[0].disconnected.wait(2)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_corrupt_compression_is_an_error_after_what_came(encoding: Any, dialect: Any, server: ProviderServer) -> None:
    """It is a `DecodeError` that says so, and the text before it is kept."""
    gate = Gate()
    steps = framed(begun(dialect, "Hello"), encoding=encoding, framing="close")
    server.reply(steps, Wait(gate), Raw(b"\xff" * 100), Close())
    with dialect.client(server) as client, dialect.ask(client).get_stream() as stream:
        text, error = read_to_the_gate(stream, "Hello", gate)

    assert ("Hello", DecodeError) == (text, type(error))
    assert "compressed" in str(error)


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_half_a_tool_call_is_never_in_a_final(end: tuple[Step, ...], dialect: Any, server: ProviderServer) -> None:
    """A cut in a call's arguments leaves an incomplete call in `partial`, and no final."""
    steps = dialect.answer(tool_calls=[("add", {"a": 1, "b": 22})])
    arguments = [i for i, step in enumerate(steps) if isinstance(step, Event) and '{"a":' in _arguments(step)]
    gate = Gate()
    server.reply(steps[: arguments[0] + 1], Wait(gate), end)
    with dialect.client(server) as client, dialect.ask(client).get_stream() as stream:
        kinds = [stream.ch.get(timeout=5).type, stream.ch.get(timeout=5).type]
        gate.set()
        kinds += [chunk.type for chunk in stream.ch]
        error = stream.err.get()

        assert ["tool_call_start", "tool_call_delta"] == kinds
        assert error is not None
        assert error.partial is not None
        assert [("add", False)] == [(call.name, call.complete) for call in error.partial.tool_calls]
        assert None is stream.final.get()


def _arguments(step: Event) -> str:
    """Give the fragment of arguments in an event of either wire."""
    text = str(step.data)
    return text[text.find("arguments") :].replace("\\", "") if "arguments" in text else text


@pytest.mark.parametrize("cut", range(1, 8))
def test_no_prefix_of_an_anthropic_answer_is_complete(cut: int, server: ProviderServer) -> None:
    """Before `message_delta` brings a stop reason each clean end is a truncation."""
    dialect = DIALECTS["anthropic"]
    steps = dialect.answer("Hello", " world", thinking="hm")
    server.reply(steps[:cut], End())
    with dialect.client(server) as client, dialect.ask(client).get_stream() as stream:
        assert isinstance(stream.err.get(), StreamTruncated)


# ---------------------------------------------------------------- whole answers


@pytest.mark.slow
@pytest.mark.parametrize("hold", [Stall(), Repeat(Send(b": ping\n\n"), Pause(0.005))], ids=["silent", "pinging"])
@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS)
def test_an_answer_is_complete_at_its_end_marker(
    framing: Any, hold: Step, dialect: Any, server: ProviderServer
) -> None:
    """A server that then holds the connection, silent or not, is not waited for, and the connection is closed soon."""
    server.reply(framed(dialect.answer("Hello", " world")[:-1], **framing), hold)
    with dialect.client(server) as client, took(1.0):
        with dialect.ask(client).get_stream() as stream:
            text, error = drain(stream)
        final = stream.final.get()

        assert server.requests[0].disconnected.wait(1)
    assert ("Hello world", None) == (text, error)
    assert final is not None
    assert ("Hello world", "stop", True) == (final.text, final.finish_reason, final.complete)


@pytest.mark.slow
def test_get_response_does_not_wait_for_the_connection(
    client: Client, server: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It returns when the answer is complete; whether its connection can be saved is seen to later."""
    monkeypatch.setattr(call, "LINGER", 1.0)
    server.reply(chat_answer("Hello")[:-1], Stall())
    with took(0.7):
        response = ask(client).get_response()

    assert "Hello" == response.text


FINISHED = chat_answer("Hello", usage=False)[:-2]  # up to the finish reason


@pytest.mark.parametrize(
    "end",
    [
        [End()],
        [Send(b"data: [DONE]"), End()],
        [Send(b"data: [DONE]\n"), End()],
        [Send(b"data:[DONE]\r\n\r\n"), End()],
        [Event("[DONE]"), delta("never said"), End()],
        [Event("[DONE]"), Event("{garbage"), End()],
        [Event("[DONE]"), error_event("never mind"), End()],
        [Event("[DONE]\n[DONE]"), End()],
        [Close()],
        [Send(b"data: {"), Close()],
    ],
    ids=lambda end: None,
)
def test_a_finished_answer_is_complete_with_any_ending(end: list[Step], client: Client, server: ProviderServer) -> None:
    """After the finish reason a missing or unterminated `[DONE]` is no fault, and what follows `[DONE]` is ignored."""
    server.reply(FINISHED, end)
    response = ask(client).get_response()

    assert ("Hello", "stop", True) == (response.text, response.finish_reason, response.complete)


@pytest.mark.parametrize(
    "stray",
    [
        b'error: {"code": 500, "message": "boom"}\n\n',
        b'{\n  "error": {\n    "code": 500,\n    "message": "boom"\n  }\n}\n\n',
        b'[{"error": {"code": 500, "message": "boom"}}]\n\n',
    ],
)
@pytest.mark.parametrize("end", [[Send(b"data: [DONE]\n\n"), End()], [End()]])
def test_an_error_outside_of_any_event(stray: bytes, end: list[Step], client: Client, server: ProviderServer) -> None:
    """What some servers send in the middle of an answer without its framing: it is an error, also before `[DONE]`."""
    server.reply(Status(), delta("Hello"), Send(stray), *end)
    with ask(client).get_stream() as stream:
        text, error = drain(stream)

    assert ("Hello", ServerError) == (text, type(error))
    assert "boom" in str(error)


def test_silence_after_the_finish_reason_is_no_fault(server: ProviderServer) -> None:
    """A server that says why it ended, and then neither `[DONE]` nor goodbye, has given all, after `idle`."""
    server.reply(FINISHED, Stall())
    with client_of(server, timeouts=Timeouts(idle=0.2)) as client, took(1.0, least=0.18):
        response = ask(client).get_response()

    assert ("Hello", "stop", True) == (response.text, response.finish_reason, response.complete)
    assert server.requests[0].disconnected.wait(2)


def test_a_reset_after_the_finish_reason_is_no_fault(client: Client, server: ProviderServer) -> None:
    """Nothing of the answer was still to come."""
    gate = Gate()
    server.reply(FINISHED, Wait(gate), Reset())
    with ask(client).get_stream() as stream:
        text, error = read_to_the_gate(stream, "Hello", gate)

    assert ("Hello", None) == (text, error)


@pytest.mark.parametrize(
    ("dialect", "raw", "reason"),
    [
        ("openai", "length", "length"),
        ("openai", "content_filter", "content_filter"),
        ("openai", "tired", "other"),
        ("anthropic", "max_tokens", "length"),
        ("anthropic", "refusal", "content_filter"),
        ("anthropic", "tired", "other"),
    ],
)
def test_a_finish_reason_is_passed_on(dialect: str, raw: str, reason: str, server: ProviderServer) -> None:
    """Ours beside the provider's own word, also when we do not know it."""
    server.reply(DIALECTS[dialect].answer("Hello", finish=raw))
    with DIALECTS[dialect].client(server) as client:
        response = DIALECTS[dialect].ask(client).get_response()

    assert (reason, raw) == (response.finish_reason, response.raw_finish_reason)


def test_a_finish_reason_is_never_invented(client: Client, server: ProviderServer) -> None:
    """`[DONE]` alone ends an answer, but says not why."""
    server.reply(chat_answer("Hello", usage=False)[:3], Event("[DONE]"), End())
    response = ask(client).get_response()

    assert (True, "other", None) == (response.complete, response.finish_reason, response.raw_finish_reason)


# ---------------------------------------------------------------- errors in the stream


@pytest.mark.parametrize(
    "after", [[End()], [Event("[DONE]"), End()], [Stall()], [Reset()]], ids=["end", "DONE", "hold", "reset"]
)
@pytest.mark.parametrize(
    ("type", "error_class", "status"),
    [
        ("overloaded_error", Overloaded, 529),
        ("rate_limit_error", RateLimited, 429),
        ("api_error", ServerError, 500),
        ("strange_error", ProviderError, None),
    ],
)
def test_an_error_event_ends_the_stream(
    type: str, error_class: type, status: int | None, after: list[Step], dialect: Any, server: ProviderServer
) -> None:
    """It becomes the error that its word stands for, with the provider's message and code; the text before is kept."""
    server.reply(begun(dialect, "Hello"), dialect.error("too bad", type), after)
    with dialect.client(server, retry_policy=AT_ONCE) as client, dialect.ask(client).get_stream() as stream:
        text, error = drain(stream)

    assert isinstance(error, ProviderError)
    assert (error_class, status, type) == (error.__class__, error.status, error.code)
    assert "too bad" in str(error)
    assert "Hello" == text or after == [Reset()]
    assert 1 == len(server.requests)


@pytest.mark.parametrize(
    "event",
    [
        {"error": "too bad"},
        {"error": {"message": "too bad"}, "choices": []},
        {"error": {"message": "too bad"}, "choices": [{"delta": {"content": " you"}, "finish_reason": "stop"}]},
        {"error": {"message": "too bad"}, "choices": None},
        {"choices": [{"delta": {}, "error": {"message": "too bad"}, "finish_reason": "error"}]},
        {"error": ["too bad"]},
    ],
    ids=str,
)
def test_an_error_beside_choices_is_an_error(event: Any, client: Client, server: ProviderServer) -> None:
    """Whatever stands beside it, and though `[DONE]` follows."""
    server.reply(Status(), delta("Hello"), Event(event), Event("[DONE]"), End())
    with ask(client).get_stream() as stream:
        text, error = drain(stream)

    assert text.startswith("Hello")
    assert isinstance(error, ProviderError)
    assert "too bad" in str(error)


def test_an_error_event_of_another_name_is_an_error(client: Client, server: ProviderServer) -> None:
    """`event: error` counts whatever its data is."""
    server.reply(Status(), delta("Hello"), Event("too bad", "error"), End())
    with ask(client).get_stream() as stream:
        text, error = drain(stream)

    assert "Hello" == text
    assert isinstance(error, ProviderError)
    assert "too bad" in str(error)


@pytest.mark.parametrize(
    ("message", "error_class"),
    [("This model's maximum context length is 8192 tokens", ContextOverflow)],
)
def test_an_error_event_is_classed_as_the_status_is(
    message: str, error_class: type, client: Client, server: ProviderServer
) -> None:
    """What the message tells apart at a status it tells apart in a stream."""
    server.reply(Status(), error_event(message, type="invalid_request_error"), End())
    with ask(client).get_stream() as stream:
        assert error_class is type(stream.err.get())


def test_a_dripping_answer_is_whole(client: Client, server: ProviderServer) -> None:
    """Bytes that come one by one make the same answer."""
    body = b"".join(step.encode() for step in chat_answer("Héllo", usage=False) if isinstance(step, Event))
    server.reply(Status(), Drip(body, interval=0))

    assert "Héllo" == ask(client).get_response().text
