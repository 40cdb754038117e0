"""Cancelling: in every state, from anywhere, the consumer is free at once and thread and socket are gone soon."""

from __future__ import annotations

import gc
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from streamkit import Cancelled, ChannelClosed, ChatStream, Client, Context, ContextError, Hooks, Timeouts
from streamkit.providers import OpenAI
from streamkit.testing import (
    Drip,
    Gate,
    Pause,
    ProviderServer,
    ProxyServer,
    Repeat,
    Send,
    Slowly,
    Stall,
    Status,
    Wait,
    chat_answer,
)
from tests.loopback import CERTS, KEY, ONCE, ask, client_of, deaf_port, delta, drain, failure, run_python, took

FREE = 1.0
"""Seconds in which a consumer must be free; a few milliseconds are usual."""

FLOOD = Repeat(Send(delta("x").encode() * 50))


@pytest.fixture
def tls(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProviderServer]:
    """A TLS server whose certificate is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTS / "ca.pem"))
    with ProviderServer(tls=CERTS / "localhost.pem") as server:
        yield server


# ---------------------------------------------------------------- before the answer is open


def cancelled_while_opening(client: Client, ready: Callable[[], object]) -> ContextError:
    """Cancel a call that blocks in `get_stream` once it is `ready`; it must be free at once. Give its error."""
    ctx = Context()
    with ThreadPoolExecutor(1) as executor:
        call = executor.submit(lambda: failure(lambda: ask(client).get_stream(ctx)))
        ready()
        with took(FREE):
            ctx.cancel("enough")
            error = call.result(5)
    assert isinstance(error, Cancelled)
    assert "enough" in str(error)
    return error


@pytest.mark.parametrize(
    "script",
    [
        [Stall()],
        [Slowly(Status(headers={"x": "y" * 5_000}), interval=0.01)],
        [Repeat(Status(103), Pause(0.01))],
        [Status(400), Stall()],
        [Status(500), Drip(b" " * 5_000)],
    ],
    ids=["silent", "dripping headers", "interim answers", "silent error body", "dripping error body"],
)
def test_a_cancel_frees_who_waits_for_headers(script: Any, client: Client, server: ProviderServer) -> None:
    """Whatever the server sends or does not send meanwhile; it sees the connection close."""
    server.reply(script)
    cancelled_while_opening(client, server.wait_for_request)

    assert server.requests[0].disconnected.wait(FREE)


def test_a_cancel_frees_who_waits_for_headers_with_tls(tls: ProviderServer) -> None:
    """The socket beneath TLS is what is shut down."""
    tls.reply(Stall())
    with client_of(tls) as client:
        cancelled_while_opening(client, tls.wait_for_request)

        assert tls.requests[0].disconnected.wait(FREE)


def test_a_cancel_frees_who_waits_on_a_reused_connection(client: Client, server: ProviderServer) -> None:
    """A connection of the pool is as much this stream's as a new one."""
    server.reply(chat_answer("Hello"), times=2)
    server.reply(Stall())
    for _ in range(2):
        ask(client).get_response()
    cancelled_while_opening(client, lambda: server.wait_for_request(3))

    assert server.requests[2].disconnected.wait(FREE)
    assert 1 == server.connections


@pytest.mark.slow
def test_a_cancel_frees_who_connects(server: ProviderServer) -> None:
    """The thread alone sits out the connect timeout."""
    began = threading.Event()
    hooks = Hooks(on_request=lambda info: began.set())
    with deaf_port() as port:
        provider = OpenAI(KEY, base_url=f"http://127.0.0.1:{port}")
        with Client(provider, retry_policy=ONCE, timeouts=Timeouts(connect=0.5), hooks=hooks) as client:
            cancelled_while_opening(client, lambda: began.wait(5))


def test_a_cancel_frees_who_resolves_a_name(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can interrupt the resolver, and nobody but the thread waits for it; nothing is sent afterwards."""
    asked, answer = threading.Event(), threading.Event()
    resolve = socket.getaddrinfo

    def slow(*args: Any, **kwargs: Any) -> Any:
        asked.set()
        answer.wait(5)
        return resolve(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    cancelled_while_opening(client, lambda: asked.wait(5))
    answer.set()


def test_a_cancel_before_the_connection_stands_sends_nothing(
    server: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection that comes too late is closed without a request."""
    asked, answer = threading.Event(), threading.Event()
    resolve = socket.getaddrinfo

    def slow(*args: Any, **kwargs: Any) -> Any:
        asked.set()
        answer.wait(5)
        return resolve(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with client_of(server) as client:
        cancelled_while_opening(client, lambda: asked.wait(5))
        answer.set()
        server.wait_until(lambda: server.connections == 1)
        server.wait_until(lambda: server.open_connections == 0)

    assert [] == server.requests


def test_a_cancel_frees_who_shakes_hands(tls: ProviderServer) -> None:
    """A TLS server that does not speak."""
    tls.greet(Stall())
    with client_of(tls) as client:
        cancelled_while_opening(client, lambda: tls.wait_until(lambda: tls.connections == 1))
        tls.wait_until(lambda: tls.open_connections == 0)


@pytest.mark.parametrize("stage", ["CONNECT", "handshake", "headers", "body"])
def test_a_cancel_frees_who_waits_behind_a_proxy(
    stage: str, tls: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each stage from the tunnel to the answer."""
    with ProxyServer() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        if stage == "CONNECT":
            proxy.greet(Stall())
        if stage == "handshake":
            tls.greet(Stall())
        tls.reply(Stall() if stage == "headers" else [Status(), Stall()])
        with client_of(tls) as client:
            if stage == "body":
                with ask(client).get_stream() as stream, took(FREE):
                    stream.cancel()
                    assert isinstance(stream.err.get(), Cancelled)
            else:
                ready = {
                    "CONNECT": lambda: proxy.wait_until(lambda: proxy.connections == 1),
                    "handshake": lambda: tls.wait_until(lambda: tls.connections == 1),
                    "headers": tls.wait_for_request,
                }
                cancelled_while_opening(client, ready[stage])
            proxy.wait_until(lambda: proxy.open_connections == 0)


def test_a_cancel_frees_who_waits_behind_a_plain_proxy(server: ProviderServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forwarding proxy's connection is shut down like the provider's own."""
    with ProxyServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        server.reply(Stall())
        with client_of(server) as client:
            cancelled_while_opening(client, server.wait_for_request)
            proxy.wait_until(lambda: proxy.open_connections == 0)


def test_a_context_that_was_cancelled_before_sends_nothing(client: Client, server: ProviderServer) -> None:
    """`get_stream` raises at once."""
    ctx = Context()
    ctx.cancel("never mind")
    with pytest.raises(Cancelled, match="never mind"):
        ask(client).get_stream(ctx)

    assert 0 == server.connections


# ---------------------------------------------------------------- after it


BODIES: dict[str, Any] = {
    "silent": [delta("Hello"), Stall()],
    "pinging": [delta("Hello"), Repeat(Send(b": ping\n\n"), Pause(0.01))],
    "dripping": [delta("Hello"), Drip(b": " + b"x" * 10_000)],
    "live": [delta("Hello"), Repeat(delta("x"), Pause(0.01))],
    "flooding": [delta("Hello"), FLOOD],
}
HOW: dict[str, Callable[[ChatStream, Context, Client], object]] = {
    "cancel": lambda stream, ctx, client: stream.cancel(),
    "close": lambda stream, ctx, client: stream.close(),
    "channel": lambda stream, ctx, client: stream.ch.close(),
    "context": lambda stream, ctx, client: ctx.cancel(),
    "client": lambda stream, ctx, client: client.close(),
}
READ: dict[str, Callable[[ChatStream], object]] = {
    "ch": lambda stream: list(stream.ch),
    "get": lambda stream: _get_all(stream),
    "err": lambda stream: stream.err.get(),
    "final": lambda stream: stream.final.get(),
    "result": lambda stream: failure(lambda: stream.result()),
    "iteration": lambda stream: failure(lambda: list(stream)),
    "text": lambda stream: failure(lambda: list(stream.text())),
}


def _get_all(stream: ChatStream) -> None:
    with pytest.raises(ChannelClosed):
        while True:
            stream.ch.get()


def cancel_a_reader(client: Client, server: ProviderServer, how: str, read: str) -> None:
    """Cancel a stream while another thread reads it, and look at all that must hold afterwards."""
    ctx = Context()
    with ThreadPoolExecutor(1) as executor:
        stream = ask(client).get_stream(ctx)
        assert "Hello" == stream.ch.get(timeout=5).content
        reader = executor.submit(READ[read], stream)
        with took(FREE):
            HOW[how](stream, ctx, client)
            reader.result(5)
            error = stream.err.get()

        assert isinstance(error, Cancelled)
        assert error.partial is not None
        assert error.partial.text.startswith("Hello")
        assert [] == list(stream.ch)
        assert None is stream.final.get()
        assert server.requests[0].disconnected.wait(FREE)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_cancel_frees_who_reads_chunks(body: Any, how: str, client: Client, server: ProviderServer) -> None:
    """The channel ends at once, `err` says so, and what had come is in `partial`."""
    server.reply(Status(), body)
    cancel_a_reader(client, server, how, "ch")


@pytest.mark.parametrize("read", READ)
@pytest.mark.parametrize("body", ["silent", "flooding"])
def test_a_cancel_frees_every_kind_of_reader(read: str, body: str, client: Client, server: ProviderServer) -> None:
    """Whatever they wait on."""
    server.reply(Status(), BODIES[body])
    cancel_a_reader(client, server, "cancel", read)


@pytest.mark.parametrize(
    "framing", [{}, {"framing": "close"}, {"framing": 10**6}, {"encoding": "gzip"}, {"http": "1.0"}]
)
def test_a_cancel_works_in_every_framing(framing: Any, client: Client, server: ProviderServer) -> None:
    """http.client closes some sockets early, and keeps others."""
    server.reply(Status(**framing), BODIES["silent"])
    cancel_a_reader(client, server, "cancel", "ch")


def test_a_cancel_works_with_tls(tls: ProviderServer) -> None:
    """A thread blocked in a TLS read wakes, too."""
    tls.reply(Status(), BODIES["silent"])
    with client_of(tls) as client:
        cancel_a_reader(client, tls, "cancel", "ch")


def test_a_cancel_works_on_a_reused_connection(client: Client, server: ProviderServer) -> None:
    """Only the first stream of a connection sees it connect."""
    server.reply(chat_answer("Hello"))
    server.reply(Status(), BODIES["silent"])
    ask(client).get_response()
    with ask(client).get_stream() as stream:
        stream.ch.get(timeout=5)
        stream.cancel()
        assert server.requests[1].disconnected.wait(FREE)


@pytest.mark.parametrize("how", HOW)
def test_a_cancel_ends_a_producer_that_waits_for_room(how: str, server: ProviderServer) -> None:
    """A full buffer and no reader at all: thread and socket go."""
    server.reply(Status(), FLOOD)
    ctx = Context()
    with client_of(server, buffer=2) as client:
        stream = ask(client).get_stream(ctx)
        while stream.ch.qsize() < 2:
            time.sleep(0.001)
        with took(FREE):
            HOW[how](stream, ctx, client)
            error = stream.err.get()

        assert isinstance(error, Cancelled)
        assert 0 == stream.ch.qsize()
        assert [] == list(stream.ch)
        assert server.requests[0].disconnected.wait(FREE)


def test_leaving_a_with_block_cancels(client: Client, server: ProviderServer) -> None:
    """Also by an exception; the thread is gone when the block is left."""
    server.reply(Status(), BODIES["silent"])
    with pytest.raises(ZeroDivisionError), ask(client).get_stream() as stream:
        stream.ch.get(timeout=5)
        raise ZeroDivisionError

    assert isinstance(stream.err.get(), Cancelled)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("streamkit-openai")]


def test_a_cancel_is_idempotent_and_its_reason_is_the_first(client: Client, server: ProviderServer) -> None:
    """Again and again, in any way, also long after the end."""
    server.reply(Status(), BODIES["silent"])
    ctx = Context()
    with ask(client).get_stream(ctx) as stream:
        stream.ch.get(timeout=5)
        stream.cancel("the first")
        stream.cancel("the second")
        ctx.cancel("the third")
        error = stream.err.get()
        stream.cancel("too late")
        stream.close()
        stream.close()

    assert "cancelled: the first" == str(error)
    assert error is stream.err.get()


def test_a_cancel_after_the_end_changes_nothing(client: Client, server: ProviderServer) -> None:
    """A whole answer stays whole, and a connection that serves another stream by now is not shut down."""
    gate = Gate()
    server.reply(chat_answer("one"))
    server.reply(Status(), delta("t"), Wait(gate), chat_answer("wo")[1:])
    first = ask(client).get_stream()
    assert ("one", None) == drain(first)
    with ask(client).get_stream() as second:
        second.ch.get(timeout=5)
        first.cancel()
        first.close()
        del first
        gc.collect()
        gate.set()
        assert ("wo", None) == drain(second)

    assert [1, 1] == [request.connection for request in server.requests]


def test_one_context_ends_any_number_of_streams(client: Client, server: ProviderServer) -> None:
    """And no other."""
    server.reply(Status(), BODIES["silent"], times=None)
    ctx, other = Context(), Context()
    children = [ctx, ctx.child(), ctx.child().child()]
    streams = [ask(client).get_stream(child) for child in children]
    with ask(client).get_stream(other) as untouched:
        with took(FREE):
            ctx.cancel()
            errors = [stream.err.get() for stream in streams]

        assert [Cancelled] * 3 == [type(error) for error in errors]
        assert not untouched.ch.closed


def test_closing_the_client_leaves_ended_streams_readable(server: ProviderServer) -> None:
    """What lies unread of a whole answer can still be read."""
    server.reply(chat_answer("Hello", " world"))
    with client_of(server) as client:
        stream = ask(client).get_stream()
        stream.final.get()

    assert ("Hello world", None) == drain(stream)


def test_a_closed_client_can_be_used_again(client: Client, server: ProviderServer) -> None:
    """A later request begins afresh."""
    server.reply(chat_answer("Hello"), times=2)
    ask(client).get_response()
    client.close()

    assert "Hello" == ask(client).get_response().text
    assert 2 == server.connections


# ---------------------------------------------------------------- from where almost nothing may be done


@pytest.mark.parametrize("how", ["stream", "context"])
def test_a_signal_handler_may_cancel(how: str, client: Client, server: ProviderServer) -> None:
    """While its own thread is blocked in the very channel that the cancel closes."""
    server.reply(Status(), BODIES["silent"])
    ctx = Context()
    stream = ask(client).get_stream(ctx)
    stream.ch.get(timeout=5)
    cancel = stream.cancel if how == "stream" else ctx.cancel
    old = signal.signal(signal.SIGUSR1, lambda number, frame: cancel())
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        timer.start()
        with took(FREE):
            assert [] == list(stream.ch)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, old)

    assert isinstance(stream.err.get(), Cancelled)


def test_a_finalizer_may_cancel(client: Client, server: ProviderServer) -> None:
    """It may run in the middle of any line of ours."""
    server.reply(Status(), BODIES["silent"])
    stream = ask(client).get_stream()

    class Holder:
        def __del__(self) -> None:
            stream.cancel("collected")

    holder: list[object] = [Holder()]
    holder.append(holder)
    del holder
    with took(FREE):
        gc.collect()
        error = stream.err.get()

    assert "cancelled: collected" == str(error)


@pytest.mark.parametrize("where", ["on_chunk", "on_request"])
def test_an_observer_may_cancel(where: str, client: Client, server: ProviderServer) -> None:
    """On the producer's own thread."""
    server.reply(Status(), BODIES["flooding"])
    ctx = Context()
    with client_of(server, hooks=Hooks(**{where: lambda _: ctx.cancel()})) as cancelling, took(FREE):
        error = failure(lambda: ask(cancelling).get_stream(ctx))

    assert isinstance(error, Cancelled)


WAITING = """
    import sys
    from streamkit import Client
    from streamkit.providers import OpenAI

    client = Client(OpenAI("sk-test", base_url=sys.argv[1]))
    chat = client.chat("m").user("Hello")
    print("ready", flush=True)
    try:
        {wait}
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wait", "body"),
    [
        ("chat.get_stream()", [Stall()]),
        ("list(chat.get_stream().ch)", [Status(), Stall()]),
        ("s = chat.get_stream(); s.ch.get()", [Status(), Stall()]),
        ("chat.get_stream().err.get()", [Status(), Stall()]),
        ("chat.get_stream().final.get()", [Status(), Stall()]),
        ("chat.get_stream().result()", [Status(), Stall()]),
        ("chat.get_response()", [Status(), Stall()]),
        ("list(chat.get_stream().text())", [Status(), Stall()]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_ctrl_c_gets_through(wait: str, body: Any, server: ProviderServer) -> None:
    """`KeyboardInterrupt` is raised where the main thread waits, at once, and the program then ends at once."""
    server.reply(body)
    sent: list[float] = []

    def interrupt(process: Any) -> None:
        server.wait_for_request()
        time.sleep(0.1)  # to be blocked in the wait; nothing outside the program can see that it is
        process.send_signal(signal.SIGINT)
        sent.append(time.monotonic())

    done = run_python(WAITING.format(wait=wait), server.base_url, while_running=interrupt)

    assert time.monotonic() - sent[0] < 3.0  # the end of the interpreter on a busy machine included
    assert ("ready\ninterrupted\n", "", 0) == (done.stdout, done.stderr, done.returncode)
    assert server.requests[0].disconnected.wait(2)


# ---------------------------------------------------------------- abandoned


def keep_nothing(client: Client) -> object:
    """Drop the stream at once."""
    ask(client).get_stream()
    return None


def keep_after_reading(client: Client) -> object:
    """Drop it half-read."""
    ask(client).get_stream().ch.get(timeout=5)
    return None


def break_a_loop(client: Client) -> object:
    """Leave a loop over what only the loop holds."""
    for _ in ask(client).get_stream().ch:
        break
    return None


def drop_an_iterator(client: Client) -> object:
    """Drop a half-read iterator."""
    chunks = iter(ask(client).get_stream())
    next(chunks)
    del chunks
    return None


def drop_a_text_iterator(client: Client) -> object:
    """Drop a half-read iterator over text."""
    texts = ask(client).get_stream().text()
    next(texts)
    del texts
    return None


def in_a_cycle(client: Client) -> object:
    """Drop it as part of a cycle."""
    holder: list[object] = [ask(client).get_stream()]
    holder.append(holder)
    return None


def keep_stats(client: Client) -> object:
    """Keep what is no end of the stream."""
    stream = ask(client).get_stream()
    return stream.stats, stream.headers, stream.partial


@pytest.mark.parametrize("body", [[delta("Hello"), Stall()], [FLOOD]], ids=["silent", "flooding"])
@pytest.mark.parametrize("buffer", [1, 10_000])
@pytest.mark.parametrize(
    "abandon",
    [keep_nothing, keep_after_reading, break_a_loop, drop_an_iterator, drop_a_text_iterator, in_a_cycle, keep_stats],
)
def test_an_abandoned_stream_is_cancelled(
    abandon: Callable[[Client], object], buffer: int, body: Any, server: ProviderServer
) -> None:
    """When nobody holds the stream or a channel of it any more, thread and socket go within a second."""
    server.reply(Status(), body)
    heard: queue.SimpleQueue[ContextError] = queue.SimpleQueue()
    with client_of(server, buffer=buffer, hooks=Hooks(on_cancel=heard.put)) as client:
        kept = abandon(client)
        gc.collect()
        with took(1.0):
            assert server.requests[0].disconnected.wait(2)
            error = heard.get(timeout=2)
    del kept

    assert "cancelled: the stream was dropped before its end" == str(error)
    assert heard.empty()


@pytest.mark.parametrize("end", ["ch", "err", "final"])
@pytest.mark.parametrize("buffer", [1, 10_000])
def test_one_channel_is_enough_to_keep_a_stream(end: str, buffer: int, server: ProviderServer) -> None:
    """Whoever holds any of the three gets all that comes through it."""
    gate = Gate()
    server.reply(Status(), delta("Hello"), Wait(gate), chat_answer(" world")[1:])
    with client_of(server, buffer=buffer) as client:
        channel = getattr(ask(client).get_stream(), end)
        gc.collect()
        gate.set()
        if end == "ch":
            assert "Hello world" == "".join(chunk.content for chunk in channel)
        elif end == "err":
            assert None is channel.get()
        else:
            assert "Hello world" == channel.get().text


@pytest.mark.slow
def test_a_loop_over_the_channel_alone_runs_to_the_end(client: Client, server: ProviderServer) -> None:
    """`for chunk in client.chat(…).get_stream().ch` holds nothing but the channel."""
    server.reply(Status(), [delta("x")] * 500, chat_answer("!")[1:])
    text = ""
    for number, chunk in enumerate(ask(client).get_stream().ch):
        text += chunk.content
        if number % 100 == 0:
            gc.collect()

    assert "x" * 500 + "!" == text


def test_an_interrupted_wait_for_the_answer_cancels(client: Client, server: ProviderServer) -> None:
    """Whatever exception leaves `get_stream`, its request is given up."""
    server.reply(Stall())

    def interrupt(number: int, frame: object) -> None:
        raise ZeroDivisionError

    old = signal.signal(signal.SIGUSR1, interrupt)
    kill = threading.Thread(target=lambda: (server.wait_for_request(), os.kill(os.getpid(), signal.SIGUSR1)))
    try:
        kill.start()
        with pytest.raises(ZeroDivisionError):
            ask(client).get_stream()
    finally:
        kill.join()
        signal.signal(signal.SIGUSR1, old)

    assert server.requests[0].disconnected.wait(FREE)
