"""Retrying: what is asked for again, how often, and when; connections that died in the pool are no failure."""

from __future__ import annotations

import email.utils
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from streamkit import (
    Cancelled,
    Client,
    ConnectionLost,
    Context,
    DeadlineExceeded,
    Hooks,
    Overloaded,
    RateLimited,
    RetryInfo,
    RetryPolicy,
    ServerError,
    StreamIdle,
    StreamKitError,
    StreamTruncated,
    Timeouts,
    Unauthorized,
)
from streamkit.providers import OpenAI
from streamkit.retry import RetryBudget
from streamkit.testing import (
    Close,
    Drip,
    Gate,
    Notify,
    Pause,
    ProviderServer,
    Raw,
    Reset,
    Script,
    Stall,
    Status,
    Step,
    Wait,
    Wire,
    chat_answer,
    error_answer,
)
from tests.loopback import AT_ONCE, CERTS, DIALECTS, KEY, ask, client_of, delta, drain, failure, took

HELLO = chat_answer("Hello")


# ---------------------------------------------------------------- what is tried again


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize(
    "first",
    [
        error_answer(429),
        error_answer(503),
        error_answer(529),
        Reset(),
        Close(),
        Raw(b"HTTP/1.1 200 OK\r\nContent-Ty"),
        Raw(b"what?\r\n\r\n"),
        Stall(),
    ],
    ids=["429", "503", "529", "reset", "closed", "head cut off", "no HTTP", "silent"],
)
def test_a_failure_before_the_answer_is_tried_again(first: Script, dialect: Any, server: ProviderServer) -> None:
    """The same request goes out again, byte for byte, and its answer is the user's."""
    server.reply(first)
    server.reply(dialect.answer("Hello"))
    with dialect.client(server, retry_policy=AT_ONCE, timeouts=Timeouts(idle=0.1)) as client:
        with dialect.ask(client).get_stream() as stream:
            text, error = drain(stream)

    assert ("Hello", None, 2) == (text, error, stream.stats.attempts)
    first_request, second_request = server.requests
    assert (first_request.body, first_request.path) == (second_request.body, second_request.path)
    assert first_request.headers == second_request.headers


@pytest.mark.parametrize("max_retries", [0, 1, 2])
def test_max_retries_counts_what_follows_the_first_request(max_retries: int, server: ProviderServer) -> None:
    """n retries are 1 + n requests, and the error says how many there were."""
    server.reply(error_answer(500), times=None)
    with client_of(server, retry_policy=RetryPolicy(max_retries=max_retries, initial_interval=0)) as client:
        error = failure(ask(client).get_stream)

    assert (ServerError, 1 + max_retries) == (type(error), error.attempts)
    assert 1 + max_retries == len(server.requests)


def test_the_last_error_is_the_one_that_is_told(server: ProviderServer) -> None:
    """Different failures one after the other: the user sees the last, as if it had been the only one."""
    server.reply(Reset())
    server.reply(error_answer(503))
    server.reply(error_answer(400, "too bad"))
    with client_of(server, retry_policy=AT_ONCE) as client:
        error = failure(ask(client).get_stream)

    assert (400, 3) == (error.status, error.attempts)  # type: ignore[attr-defined]
    assert "too bad" in str(error)


@pytest.mark.parametrize(
    "end", [Reset(), Close(), Raw(b"zzz\r\n"), Stall()], ids=["reset", "closed", "bad framing", "silent"]
)
def test_nothing_is_tried_again_after_the_first_chunk(end: Step, server: ProviderServer) -> None:
    """No replay, no duplicate: the stream ends with an error after what came."""
    gate = Gate()
    server.reply(Status(), delta("Hello"), Wait(gate), end)
    with client_of(server, retry_policy=AT_ONCE, timeouts=Timeouts(idle=0.2)) as client:
        with ask(client).get_stream() as stream:
            text = stream.ch.get(timeout=5).content
            gate.set()
            rest, error = drain(stream)

    assert ("Hello", "") == (text, rest)
    assert error is not None
    assert 1 == len(server.requests) == error.attempts


@pytest.mark.parametrize("end", [Close(), Reset()], ids=["closed", "reset"])
def test_nothing_is_tried_again_once_the_answer_was_open(end: Step, server: ProviderServer) -> None:
    """`get_stream` has returned, so the failure belongs to this stream."""
    server.reply(Status(), end)
    with client_of(server, retry_policy=AT_ONCE) as client, ask(client).get_stream() as stream:
        error = stream.err.get()

    assert isinstance(error, (StreamTruncated, ConnectionLost))
    assert 1 == len(server.requests)


def test_which_statuses_are_tried_again_is_the_users_to_say(server: ProviderServer) -> None:
    """`retry_on` replaces the list."""
    server.reply(error_answer(404))
    server.reply(error_answer(503))
    policy = RetryPolicy(max_retries=5, initial_interval=0, retry_on=[404])
    with client_of(server, retry_policy=policy) as client:
        error = failure(ask(client).get_stream)

    assert (Overloaded, 2) == (type(error), error.attempts)


# ---------------------------------------------------------------- the server's word


class Backoffs:
    """Delays as `on_retry` is told them; each ends the call at once, so that no test waits for one."""

    def __init__(self) -> None:
        self.ctx = Context()
        self.infos: list[RetryInfo] = []
        self.hooks = Hooks(on_retry=self.note)

    def note(self, info: RetryInfo) -> None:
        """Keep what was told, and cancel."""
        self.infos.append(info)
        self.ctx.cancel()


def backoff(server: ProviderServer, script: Script, **settings: Any) -> tuple[float | None, StreamKitError]:
    """Give the delay after this answer, or None when it is final, and the error."""
    backoffs = Backoffs()
    server.reply(script)
    settings = {"retry_policy": RetryPolicy(), **settings}
    with client_of(server, hooks=backoffs.hooks, **settings) as client, took(1.0):
        error = failure(lambda: ask(client).get_stream(backoffs.ctx))
    return (backoffs.infos[0].delay if backoffs.infos else None), error


def in_seconds(seconds: float) -> str:
    """Give an HTTP date."""
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.parametrize("status", [429, 503, 408])
@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"retry-after": "7"}, 7, 7.5),
        ({"retry-after": "0.5"}, 0.5, 0.55),
        ({"retry-after": " 7 "}, 7, 7.5),
        ({"retry-after-ms": "2500"}, 2.5, 2.75),
        ({"retry-after-ms": "2500", "retry-after": "9"}, 2.5, 2.75),
        ({"retry-after": "0"}, 0, 0),
    ],
    ids=str,
)
def test_the_server_says_when(
    status: int, headers: dict[str, str], least: float, most: float, server: ProviderServer
) -> None:
    """Never earlier than told, and little later."""
    delay, _ = backoff(server, error_answer(status, "", headers))

    assert delay is not None
    assert least <= delay <= most


def test_the_server_says_when_by_a_date(server: ProviderServer) -> None:
    """An HTTP date, which knows whole seconds only, is a time to wait for."""
    delay, _ = backoff(server, error_answer(429, "", {"retry-after": in_seconds(20)}))

    assert delay is not None
    assert 15 < delay <= 20.5


@pytest.mark.parametrize("value", ["soon", "-5", "nan", "inf", "-inf", "", "1e999", "9" * 400, "Mon, 99 Foo", "٣"])
@pytest.mark.parametrize("name", ["retry-after", "retry-after-ms"])
def test_garbage_is_no_word(name: str, value: str, server: ProviderServer) -> None:
    """What is no time leaves the ordinary backoff."""
    script = Raw(f"HTTP/1.1 429 X\r\n{name}: {value}\r\ncontent-length: 0\r\n\r\n".encode())
    delay, error = backoff(server, script)

    assert delay is not None
    assert 0 <= delay <= 1.0
    assert isinstance(error, Cancelled)


@pytest.mark.parametrize(
    ("name", "value"), [("retry-after", "61"), ("retry-after-ms", "61000"), ("retry-after", in_seconds(36_000))]
)
def test_a_wait_beyond_the_maximum_fails_at_once(name: str, value: str, server: ProviderServer) -> None:
    """Neither slept through nor cut short; the error carries what was told."""
    delay, error = backoff(server, error_answer(429, "too many", {name: value}))

    assert (None, RateLimited, 1) == (delay, type(error), error.attempts)
    assert error.retry_after > 60  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("status", "wish", "again"), [(503, "false", False), (400, "true", True), (503, "maybe", True)]
)
def test_the_server_says_whether(status: int, wish: str, again: bool, server: ProviderServer) -> None:
    """`x-should-retry` is obeyed either way."""
    delay, error = backoff(server, error_answer(status, "", {"x-should-retry": wish}))

    assert again == (delay is not None)
    assert again == isinstance(error, Cancelled)


def test_the_backoff_has_full_jitter(server: ProviderServer) -> None:
    """Delays spread from nothing to a ceiling that doubles: calls refused together do not come back together."""
    policy = RetryPolicy(initial_interval=0.004, max_interval=0.008, max_retries=3)
    infos: list[RetryInfo] = []
    server.reply(error_answer(500), times=None)
    with client_of(server, retry_policy=policy, hooks=Hooks(on_retry=infos.append)) as client:
        for _ in range(12):
            failure(ask(client).get_stream)

    for attempt, ceiling in ((1, 0.004), (2, 0.008), (3, 0.008)):
        delays = [info.delay for info in infos if info.attempt == attempt]
        assert 12 == len(set(delays))
        assert all(0 <= delay <= ceiling for delay in delays)
        assert min(delays) < ceiling / 2 < max(delays)


@pytest.mark.slow
def test_a_dead_service_is_not_hit_by_every_retry(server: ProviderServer) -> None:
    """The calls of a client share a budget: when it is spent, they fail at the first error."""
    server.reply(error_answer(500), times=None)
    calls, retries = 60, RetryBudget.CAPACITY // RetryBudget.COST
    with client_of(server, retry_policy=AT_ONCE) as client:
        errors = [failure(ask(client).get_stream) for _ in range(calls)]

    assert calls + retries == len(server.requests)
    assert (3, 1) == (errors[0].attempts, errors[-1].attempts)


def test_the_observer_of_retries_sees_each(server: ProviderServer) -> None:
    """`on_retry` is told the attempt that failed, its error and the delay, before the next is made."""
    infos: list[RetryInfo] = []
    server.reply(error_answer(500, "one"))
    server.reply(error_answer(503, "two"))
    server.reply(HELLO)
    with client_of(server, retry_policy=AT_ONCE, hooks=Hooks(on_retry=infos.append)) as client:
        ask(client).get_response()

    assert [(1, ServerError), (2, Overloaded)] == [(info.attempt, type(info.error)) for info in infos]


# ---------------------------------------------------------------- connections that died in the pool


@pytest.fixture(params=["http", "https"])
def any_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server with and without TLS."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTS / "ca.pem"))
    with ProviderServer(tls=CERTS / "localhost.pem" if request.param == "https" else None) as server:
        yield server


@pytest.mark.parametrize("end", [Close(), Close(notify=False), Reset()], ids=["closed", "closed rudely", "reset"])
@pytest.mark.parametrize("calls_before", [1, 2])
def test_a_connection_closed_while_idle_is_replaced(end: Step, calls_before: int, any_server: ProviderServer) -> None:
    """The user sees nothing of it, without any retry allowed."""
    closed = threading.Event()
    any_server.reply(HELLO, times=calls_before - 1)
    any_server.reply(HELLO, end, Notify(closed))
    any_server.reply(HELLO)
    with client_of(any_server) as client:
        for _ in range(calls_before):
            ask(client).get_response()
        closed.wait(5)
        response = ask(client).get_response()

    assert ("Hello", 2, calls_before + 1) == (response.text, any_server.connections, len(any_server.requests))


@pytest.mark.parametrize("kill", [Close(), Close(notify=False), Reset()], ids=["closed", "closed rudely", "reset"])
@pytest.mark.parametrize("calls_before", [1, 2])
def test_a_connection_killed_by_the_next_request_is_replaced(
    kill: Step, calls_before: int, any_server: ProviderServer
) -> None:
    """The race between its last request and the server's patience is nobody's failure: it costs no retry."""
    any_server.reply(HELLO, times=calls_before)
    any_server.reply(kill)
    any_server.reply(HELLO)
    with client_of(any_server) as client:
        for _ in range(calls_before):
            ask(client).get_response()
        with ask(client).get_stream() as stream:
            text, error = drain(stream)

    assert ("Hello", None, 1, 2) == (text, error, stream.stats.attempts, any_server.connections)


class Garbage:
    """A step that spoils a TLS connection beneath its encryption."""

    def run(self, wire: Wire) -> None:
        """Write what is no record of it."""
        os.write(wire._sock.fileno(), b"\x15\x03\x03\x00\x02\x02\x28")
        wire.close()


def test_a_tls_connection_spoiled_by_the_next_request_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as nothing of an answer has come; on a new connection it would be a failure of the handshake."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTS / "ca.pem"))
    with ProviderServer(tls=CERTS / "localhost.pem") as server:
        server.reply(HELLO)
        server.reply(Garbage())
        server.reply(HELLO)
        with client_of(server) as client:
            texts = [ask(client).get_response().text for _ in range(2)]

        assert (["Hello", "Hello"], 2, 3) == (texts, server.connections, len(server.requests))


def test_a_pool_full_of_dead_connections_is_no_failure(server: ProviderServer) -> None:
    """Calls that each meet one of them are each answered on another connection."""
    gate, count = Gate(), 5
    server.reply(Wait(gate), HELLO, times=count)
    server.reply(lambda request: Reset() if request.connection <= count else HELLO, times=None)

    def call() -> str:
        with ask(client).get_stream() as stream:  # closing it waits for its connection to be back in the pool
            return drain(stream)[0]

    with client_of(server) as client, ThreadPoolExecutor(count) as executor:
        first = [executor.submit(call) for _ in range(count)]
        server.wait_for_request(count)
        gate.set()
        texts = [call.result() for call in first]
        texts += executor.map(lambda _: call(), range(count))

        assert ["Hello"] * 2 * count == texts
        assert server.connections > count


def test_a_new_connection_that_breaks_is_a_failure(server: ProviderServer) -> None:
    """Only a reused one is replaced; a server that resets each connection is not asked for ever."""
    server.reply(Reset(), times=None)
    with client_of(server) as client:
        error = failure(ask(client).get_stream)

    assert (ConnectionLost, 1, 1) == (type(error), error.attempts, len(server.requests))


def test_a_reused_connection_that_had_begun_to_answer_is_a_failure(server: ProviderServer) -> None:
    """It was alive, so the server may have acted on the request: whether it is made again is the policy's to say."""
    server.reply(HELLO)
    server.reply(Raw(b"HTTP/1.1 200 OK\r\nConte"), Close())
    with client_of(server) as client:
        ask(client).get_response()
        error = failure(ask(client).get_stream)

    assert (ConnectionLost, 2) == (type(error), len(server.requests))


def test_a_silent_reused_connection_is_a_failure(server: ProviderServer) -> None:
    """Silence is no sign of a dead connection; the request may be at work."""
    server.reply(HELLO)
    server.reply(Stall())
    with client_of(server, timeouts=Timeouts(idle=0.1)) as client:
        ask(client).get_response()
        error = failure(ask(client).get_stream)

    assert (StreamIdle, 2) == (type(error), len(server.requests))


# ---------------------------------------------------------------- deadlines and cancels


def test_a_backoff_that_would_pass_the_deadline_is_not_begun(server: ProviderServer) -> None:
    """The error is told at once, instead of a deadline later."""
    server.reply(error_answer(429, "", {"retry-after": "30"}))
    with client_of(server, retry_policy=RetryPolicy(), timeouts=Timeouts(total=5)) as client, took(1.0):
        error = failure(ask(client).get_stream)

    assert (RateLimited, 1) == (type(error), error.attempts)


@pytest.mark.slow
def test_the_deadline_spans_all_attempts(server: ProviderServer) -> None:
    """Attempts that are each short enough do not add up to more than `total`."""
    server.reply(Pause(0.1), error_answer(503), times=None)
    policy = RetryPolicy(max_retries=50, initial_interval=0)
    with client_of(server, retry_policy=policy, timeouts=Timeouts(total=0.35)) as client, took(0.8, least=0.3):
        error = failure(ask(client).get_stream)

    assert isinstance(error, DeadlineExceeded)
    assert error.attempts in (3, 4)


def test_a_cancel_ends_a_backoff_at_once(server: ProviderServer) -> None:
    """The caller is free, nothing further is sent, and the thread is gone."""
    ctx, waiting = Context(), threading.Event()
    hooks = Hooks(on_retry=lambda info: waiting.set())
    server.reply(error_answer(503, "", {"retry-after": "30"}))
    with client_of(server, retry_policy=RetryPolicy(), hooks=hooks) as client, ThreadPoolExecutor(1) as executor:
        call = executor.submit(lambda: failure(lambda: ask(client).get_stream(ctx)))
        assert waiting.wait(5)
        with took(0.5):
            ctx.cancel("enough")
            error = call.result(5)

    assert isinstance(error, Cancelled)
    assert "enough" in str(error)
    assert 1 == len(server.requests)


def test_a_cancel_is_not_tried_again(server: ProviderServer) -> None:
    """What the interrupted request met is the cancel's doing: no retry is begun, counted or observed."""
    ctx, infos = Context(), []
    server.reply(Stall())
    with client_of(server, retry_policy=AT_ONCE, hooks=Hooks(on_retry=infos.append)) as client:
        with ThreadPoolExecutor(1) as executor:
            call = executor.submit(lambda: failure(lambda: ask(client).get_stream(ctx)))
            request = server.wait_for_request()
            ctx.cancel()
            error = call.result(5)
        assert request.disconnected.wait(2)

    assert (Cancelled, []) == (type(error), infos)


# ---------------------------------------------------------------- keys


def test_a_key_that_is_a_function_is_asked_again_after_a_401(server: ProviderServer) -> None:
    """A rotated key is sent at once, without a retry; the same request otherwise."""
    keys = iter(["sk-old-0123456789", "sk-new-0123456789"])
    server.reply(error_answer(401))
    server.reply(HELLO)
    with Client(
        OpenAI(lambda: next(keys), base_url=server.base_url), retry_policy=RetryPolicy(max_retries=0)
    ) as client:
        response = ask(client).get_response()

    assert "Hello" == response.text
    assert ["Bearer sk-old-0123456789", "Bearer sk-new-0123456789"] == [
        request.headers["authorization"] for request in server.requests
    ]


def test_a_key_function_is_asked_again_once(server: ProviderServer) -> None:
    """If the new key is refused, too, that is the error."""
    asked: list[str] = []

    def key() -> str:
        asked.append(f"{KEY}-{len(asked)}")
        return asked[-1]

    server.reply(error_answer(401), times=None)
    with Client(OpenAI(key, base_url=server.base_url), retry_policy=AT_ONCE) as client:
        error = failure(ask(client).get_stream)

    assert (Unauthorized, 2, 2) == (type(error), len(asked), len(server.requests))


def test_a_retry_asks_for_no_new_key(server: ProviderServer) -> None:
    """One key serves all attempts of a request."""
    asked: list[str] = []

    def key() -> str:
        asked.append(KEY)
        return KEY

    server.reply(error_answer(503), times=2)
    server.reply(Drip(b""), HELLO)
    with Client(OpenAI(key, base_url=server.base_url), retry_policy=AT_ONCE) as client:
        ask(client).get_response()

    assert 1 == len(asked)
