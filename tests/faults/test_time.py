"""Time: each of the five clocks ends what it watches, within its bound, and nothing else."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from streamkit import (
    Client,
    Context,
    DeadlineExceeded,
    FirstChunkTimeout,
    Hooks,
    StreamIdle,
    StreamKitError,
    StreamStalled,
    Timeouts,
)
from streamkit.testing import (
    Drip,
    Event,
    Gate,
    Pause,
    ProviderServer,
    Raw,
    Repeat,
    Send,
    Slowly,
    Stall,
    Status,
    Wait,
    anthropic_answer,
    chat_answer,
)
from tests.loopback import AT_ONCE, DIALECTS, ask, ask_of, client_of, delta, drain, failure, took

pytestmark = pytest.mark.slow

SHORT = 0.2
PING = (Send(b": ping\n\n"), Pause(0.03))
ANTHROPIC_PING = (Event({"type": "ping"}, "ping"), Pause(0.03))
ROLE_ONLY = (Event({"choices": [{"index": 0, "delta": {"role": "assistant"}}]}), Pause(0.03))
EMPTY_DELTA = (Event({"choices": [{"index": 0, "delta": {"content": ""}}]}), Pause(0.03))
WORD = (delta("x"), Pause(0.03))


# ---------------------------------------------------------------- idle


def test_silence_before_the_headers_is_told_and_tried_again(server: ProviderServer) -> None:
    """Each attempt waits `idle` seconds for a byte; `StreamIdle` is a TimeoutError, and the server sees us go."""
    server.reply(Stall(), times=3)
    with client_of(server, retry_policy=AT_ONCE, timeouts=Timeouts(idle=0.1)) as client, took(1.0, least=0.3):
        error = failure(ask(client).get_stream)

    assert isinstance(error, StreamIdle)
    assert isinstance(error, TimeoutError)
    assert (3, 3) == (error.attempts, len(server.requests))
    assert all(request.disconnected.wait(2) for request in server.requests)


@pytest.mark.parametrize("framing", ["chunked", "close", 10_000])
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_silence_in_the_body_ends_the_stream(framing: Any, dialect: Any, server: ProviderServer) -> None:
    """The text before it is delivered and kept, nothing is tried again, and the socket is closed."""
    server.reply(Status(framing=framing), dialect.answer("Hello", " world")[1:-4], Stall())
    with dialect.client(server, retry_policy=AT_ONCE, timeouts=Timeouts(idle=SHORT)) as client:
        with dialect.ask(client).get_stream() as stream, took(1.0, least=SHORT * 0.9):
            text, error = drain(stream)

        assert ("Hello world", StreamIdle) == (text, type(error))
        assert error is not None
        assert error.partial is not None
        assert "Hello world" == error.partial.text
        assert server.requests[0].disconnected.wait(2)
    assert 1 == len(server.requests)


@pytest.mark.parametrize("ping", [PING, ANTHROPIC_PING, ROLE_ONLY], ids=["comment", "ping event", "empty delta"])
def test_any_byte_is_a_sign_of_life(ping: Any, server: ProviderServer) -> None:
    """Keep-alives hold the idle clock back for as long as they come: the answer after them is whole."""
    server.reply(Status(), Repeat(*ping, times=12), chat_answer("Hello")[1:])
    with client_of(server, timeouts=Timeouts(idle=0.2)) as client, took(1.5, least=0.3):
        response = ask(client).get_response()

    assert "Hello" == response.text


def test_dripping_headers_are_a_sign_of_life(server: ProviderServer) -> None:
    """A head that comes byte by byte, longer than `idle` in all, is waited for."""
    server.reply(Slowly(Raw(Status().head()), size=8, interval=0.03), Raw(b"0\r\n\r\n"))
    with client_of(server, timeouts=Timeouts(idle=0.2)) as client, took(2.0, least=0.25):
        failure(ask(client).get_stream)

    assert 1 == len(server.requests)


# ---------------------------------------------------------------- first_chunk and stall


@pytest.mark.parametrize(
    "body",
    [
        [Stall()],
        [Repeat(*PING)],
        [Repeat(*ROLE_ONLY)],
        [Repeat(*EMPTY_DELTA)],
        [Drip(b": " + b"x" * 10_000, interval=0.02)],
    ],
    ids=["silent", "comments", "role only", "empty deltas", "one endless comment"],
)
def test_the_first_chunk_is_waited_for_so_long(body: Any, server: ProviderServer) -> None:
    """Nothing but a chunk stops this clock; `FirstChunkTimeout` is not tried again."""
    server.reply(Status(), body)
    with client_of(server, retry_policy=AT_ONCE, timeouts=Timeouts(first_chunk=SHORT)) as client:
        with took(1.0, least=SHORT * 0.9):
            error = failure(ask(client).get_stream)
        assert server.requests[0].disconnected.wait(2)

    assert isinstance(error, FirstChunkTimeout)
    assert isinstance(error, TimeoutError)
    assert (1, 1) == (error.attempts, len(server.requests))


@pytest.mark.parametrize(
    "before", [Stall(), Slowly(Status(headers={"x": "y" * 5_000}), interval=0.01)], ids=["silent", "dripping"]
)
def test_the_first_chunk_clock_runs_before_the_headers(before: Any, server: ProviderServer) -> None:
    """`get_stream` raises it where not even headers came."""
    server.reply(before)
    with client_of(server, timeouts=Timeouts(first_chunk=SHORT)) as client, took(1.0, least=SHORT * 0.9):
        with pytest.raises(FirstChunkTimeout):
            ask(client).get_stream()


def test_the_first_chunk_clock_spans_attempts(server: ProviderServer) -> None:
    """It runs from `get_stream` on, over all of them."""
    server.reply(Stall(), times=None)
    timeouts = Timeouts(idle=0.1, first_chunk=0.25)
    with client_of(server, retry_policy=AT_ONCE, timeouts=timeouts) as client, took(1.0, least=0.2):
        error = failure(ask(client).get_stream)

    assert (FirstChunkTimeout, 3) == (type(error), error.attempts)


@pytest.mark.parametrize(
    "body", [[Stall()], [Repeat(*PING)], [Repeat(*ROLE_ONLY)]], ids=["silent", "comments", "empty deltas"]
)
def test_the_next_chunk_is_waited_for_so_long(body: Any, server: ProviderServer) -> None:
    """Keep-alives do not count between chunks either; the text before is delivered."""
    server.reply(Status(), delta("Hello"), body)
    with client_of(server, timeouts=Timeouts(stall=SHORT)) as client, ask(client).get_stream() as stream:
        with took(1.0, least=SHORT * 0.9):
            text, error = drain(stream)
        assert server.requests[0].disconnected.wait(2)

    assert ("Hello", StreamStalled) == (text, type(error))
    assert isinstance(error, TimeoutError)


def test_anthropic_pings_do_not_hold_a_caller(server: ProviderServer) -> None:
    """An answer of nothing but pings ends."""
    server.reply(Status(), anthropic_answer()[1:2], Repeat(*ANTHROPIC_PING))
    with DIALECTS["anthropic"].client(server, timeouts=Timeouts(first_chunk=SHORT)) as client, took(1.0):
        assert isinstance(failure(DIALECTS["anthropic"].ask(client).get_stream), FirstChunkTimeout)


def test_chunks_reset_the_stall_clock(server: ProviderServer) -> None:
    """A slow but live stream is not cut, however long it takes in all."""
    server.reply(Status(), Repeat(*WORD, times=15), chat_answer()[1:])
    with client_of(server, timeouts=Timeouts(stall=SHORT, first_chunk=SHORT, idle=SHORT)) as client, took(2, least=0.4):
        response = ask(client).get_response()

    assert "x" * 15 == response.text


@pytest.mark.parametrize("clock", ["stall", "first_chunk", "idle"])
def test_a_slow_reader_is_not_the_providers_fault(clock: str, server: ProviderServer) -> None:
    """While the producer waits for room, only `total` runs."""
    gate = Gate()
    server.reply(Status(), [delta("x") for _ in range(20)], Wait(gate), chat_answer()[1:])
    settings: Any = {"timeouts": Timeouts(**{clock: 0.1}), "buffer": 5}
    with client_of(server, **settings) as client, ask(client).get_stream() as stream:
        first = stream.ch.get()
        gate.set()
        threading.Event().wait(0.35)  # the time passes; that is the point
        text, error = drain(stream)

    assert ("x" * 20, None) == (first.content + text, error)


# ---------------------------------------------------------------- total


ENDLESS: dict[str, tuple[Any, str]] = {
    "silent": ([Stall()], ""),
    "dripping headers": ([Slowly(Status(headers={"x": "y" * 5_000}), interval=0.01)], ""),
    "headers only": ([Status(), Stall()], ""),
    "pings": ([Status(), Repeat(*PING)], ""),
    "flood of comments": ([Status(), Repeat(Send(b": flood\n\n" * 1_000))], ""),
    "one byte at a time": ([Status(), delta("x"), Drip(b": " + b"y" * 10_000)], "x"),
    "text, then silence": ([Status(), delta("x"), Stall()], "x"),
    "endless deltas": ([Status(), Repeat(*WORD)], "x"),
    "flood of deltas": ([Status(), Repeat(Send(delta("x").encode() * 100), Pause(0.001))], "x"),
}


@pytest.mark.parametrize(("script", "text"), ENDLESS.values(), ids=ENDLESS)
def test_nothing_outlives_the_deadline(script: Any, text: str, server: ProviderServer) -> None:
    """`total` is reset by nothing; what came is kept, and the socket is closed."""
    server.reply(script, times=None)
    with client_of(server, timeouts=Timeouts(total=SHORT), buffer=0) as client:
        with took(1.0, least=SHORT * 0.8):
            error = failure(ask(client).get_stream)
        assert server.requests[-1].disconnected.wait(2)

    assert isinstance(error, DeadlineExceeded)
    assert isinstance(error, TimeoutError)
    assert error.partial is not None
    assert text == error.partial.text[:1]


@pytest.mark.parametrize("how", ["timeouts", "timeout", "context", "parent context", "the earlier of two"])
def test_a_deadline_can_be_set_in_many_ways(how: str, client: Client, server: ProviderServer) -> None:
    """For one request, or by a context or its parent; the earlier one counts."""
    server.reply(Status(), delta("x"), Stall())
    chat, ctx = ask(client), None
    if how == "timeouts":
        chat = chat.timeouts(Timeouts(total=SHORT))
    elif how == "timeout":
        chat = chat.timeout(SHORT)
    elif how == "context":
        ctx = Context(SHORT)
    elif how == "parent context":
        ctx = Context(SHORT).child(30)
    else:
        chat, ctx = chat.timeout(30), Context(SHORT)
    with took(1.0, least=SHORT * 0.8):
        assert isinstance(failure(lambda: chat.get_stream(ctx)), DeadlineExceeded)


def test_the_deadline_runs_while_nobody_reads(server: ProviderServer) -> None:
    """A full buffer stops the producer, not the clock; what lies in the buffer is then delivered, then the error."""
    server.reply(Status(), Repeat(Send(delta("x").encode() * 100)))
    with client_of(server, timeouts=Timeouts(total=SHORT), buffer=5) as client, ask(client).get_stream() as stream:
        assert server.requests[0].disconnected.wait(2)
        text, error = drain(stream)

    assert isinstance(error, DeadlineExceeded)
    assert text.startswith("xxxxx")
    assert error.partial is not None
    assert text == error.partial.text


def test_a_deadline_lets_what_came_be_read(server: ProviderServer) -> None:
    """Unlike a cancel it takes nothing away."""
    server.reply(Status(), delta("Hello"), delta(" world"), Stall())
    with client_of(server, timeouts=Timeouts(total=SHORT)) as client, ask(client).get_stream() as stream:
        error = stream.err.get()
        text = "".join(chunk.content for chunk in stream.ch)

    assert ("Hello world", DeadlineExceeded) == (text, type(error))


@pytest.mark.parametrize("total", [0, 1e-9])
def test_a_deadline_that_has_passed_sends_nothing_for_long(total: float, server: ProviderServer) -> None:
    """It is exceeded at once."""
    server.reply(Stall(), times=None)
    with client_of(server, timeouts=Timeouts(total=total)) as client, took(0.5):
        assert isinstance(failure(ask(client).get_stream), DeadlineExceeded)


def test_a_context_past_its_deadline_sends_nothing(server: ProviderServer) -> None:
    """The error is raised before a request is made."""
    with client_of(server) as client, pytest.raises(DeadlineExceeded):
        ask(client).get_stream(Context(0))

    assert 0 == server.connections


def test_a_deadline_is_told_to_on_cancel(server: ProviderServer) -> None:
    """It is one of the ways in which a context ends a call, so `on_error` hears nothing of it."""
    heard: list[tuple[str, StreamKitError]] = []
    hooks = Hooks(on_cancel=lambda e: heard.append(("cancel", e)), on_error=lambda e: heard.append(("error", e)))
    server.reply(Status(), delta("x"), Stall())
    with ask_of(server, [], timeouts=Timeouts(total=SHORT), hooks=hooks) as stream:
        error = stream.err.get()

    assert [("cancel", error)] == heard


def test_without_clocks_nothing_is_cut(server: ProviderServer) -> None:
    """None means no limit."""
    never = Timeouts(connect=None, idle=None, first_chunk=None, stall=None, total=None)
    server.reply(Pause(0.1), Status(), Pause(0.1), delta("x"), Pause(0.1), chat_answer()[1:])
    with client_of(server, timeouts=never) as client:
        assert "x" == ask(client).get_response().text


def test_the_clocks_end_streams_beside_each_other(client: Client, server: ProviderServer) -> None:
    """Each stream has its own; the one watchdog serves them all in time."""
    server.reply(Status(), Stall(), times=None)
    chat = ask(client)
    with took(1.0, least=0.2):
        streams = [chat.timeout(0.2 + i / 1_000).get_stream() for i in range(20)]
        errors = [stream.err.get() for stream in streams]

    assert {DeadlineExceeded} == {type(error) for error in errors}
