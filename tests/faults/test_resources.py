"""Resources: bounded memory, back-pressure, connections used again, and nothing left behind, also by process ends."""

from __future__ import annotations

import functools
import gc
import os
import threading
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from streamkit import (
    Client,
    ConnectionLost,
    Hooks,
    Limits,
    ResponseTooLarge,
    ServerError,
    StreamTruncated,
    Timeouts,
)
from streamkit.testing import (
    Close,
    End,
    Event,
    Gate,
    Pause,
    ProviderServer,
    Raw,
    ReceivedRequest,
    Repeat,
    Reset,
    Script,
    Send,
    Stall,
    Status,
    Wait,
    chat_answer,
    error_answer,
    error_event,
)
from tests.loopback import CERTS, DIALECTS, ask, ask_of, client_of, delta, drain, failure, run_python, took

MIB = 2**20


# ---------------------------------------------------------------- bounds


@pytest.mark.parametrize(
    ("limits", "script", "text", "named"),
    [
        ({"event": 10_000}, [Status(), delta("Hello"), Repeat(Send(b"x" * 1_000))], "Hello", "Limits(event="),
        ({"event": 10_000}, [Status(), Send(b"data: " + b"x" * 20_000), Stall()], "", "Limits(event="),
        ({"event": 10_000}, [Status(), delta("Hello"), delta("x" * 20_000), Stall()], "Hello", "Limits(event="),
        ({"event": 10_000}, [Status(), delta("Hello"), Repeat(Send(b"data: x\n"))], "Hello", "Limits(event="),
        ({"response": 10_000}, [Status(), delta("Hello"), Repeat(Send(b": comment\n\n"))], "Hello", "Limits(response="),
        ({"response": 10_000}, [Status(), delta("Hello"), Repeat(delta(""))], "Hello", "Limits(response="),
        ({"headers": 2_000}, [Status(headers={"x": "y" * 3_000}), Stall()], "", "Limits(headers="),
        ({"headers": 2_000}, [Raw(b"HTTP/1.1 200 OK\r\n"), Repeat(Raw(b"x: y\r\n"))], "", "headers"),
        ({"headers": 2_000}, [Raw(b"HTTP/1.1 200 OK\r\n"), Repeat(Raw(b"x" * 1_000))], "", "Limits(headers="),
    ],
    ids=[
        "endless line",
        "one packet",
        "big event",
        "many lines",
        "comments",
        "deltas",
        "header",
        "headers",
        "header line",
    ],
)
def test_a_bound_ends_the_stream(
    limits: dict[str, int], script: Script, text: str, named: str, server: ProviderServer
) -> None:
    """Beyond it the stream ends in an error that names the setting; what came before is kept, the socket closed."""
    server.reply(script)
    with client_of(server, limits=Limits(**limits)) as client, took(2.0):
        try:
            got, error = drain(ask(client).get_stream())
        except ResponseTooLarge as e:
            got, error = "", e
        assert server.requests[0].disconnected.wait(2)

    assert (text, ResponseTooLarge, False) == (got, type(error), error.retryable if error else None)
    assert named in str(error)


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "fits"), [("event", 6 * MIB), ("response", 20 * MIB), ("headers", 50_000)])
def test_none_lifts_a_bound(limit: str, fits: int, server: ProviderServer) -> None:
    """And what is legitimate fits into the defaults anyhow."""
    for limits in (Limits(), Limits(**{limit: None})):
        headers = {"x": "y" * 50_000} if limit == "headers" else {}
        body = [delta("x" * MIB)] * (fits // MIB) if limit == "response" else [delta("x" * fits)]
        server.reply(Status(200, headers), body, chat_answer()[1:])
        with client_of(server, limits=limits) as client:
            response = ask(client).get_response()

        assert sum(len(str(event.data["choices"][0]["delta"]["content"])) for event in body) == len(response.text)  # type: ignore[index,call-overload]


PEAK = """
    import re, sys
    from streamkit import Client, StreamKitError
    from streamkit.providers import OpenAI

    client = Client(OpenAI("sk-test", base_url=sys.argv[1]))
    try:
        client.chat("m").user("Hello").get_stream().result()
    except StreamKitError as e:
        print(type(e).__name__)
    print(int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) // 1024)
"""


@functools.cache
def bomb(encoding: str) -> bytes:
    """Give 300 MiB of one endless line in 300 kB."""
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16 if encoding == "gzip" else zlib.MAX_WBITS)
    return b"".join([packer.compress(b"data: "), *(packer.compress(b"x" * MIB) for _ in range(300)), packer.flush()])


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="this system does not tell a process's peak memory")
@pytest.mark.parametrize(
    "kind", ["gzip bomb", "deflate bomb", "error bomb", "endless line", "big event", "endless comment lines"]
)
def test_a_hostile_body_does_not_fill_the_memory(kind: str, server: ProviderServer) -> None:
    """It ends in an error after tens of megabytes, not hundreds: a process of its own tells its peak memory."""
    encoding = "deflate" if kind == "deflate bomb" else "gzip"
    status = 400 if kind == "error bomb" else 200
    body: Any = {
        "endless line": [Status(), Send(b"data: "), Repeat(Send(b"x" * MIB))],
        "big event": [Status(), Send(b"data: "), Repeat(Send(b"x" * MIB), times=100), Send(b"\n\n"), End()],
        "endless comment lines": [Status(), Repeat(Send(b": x\n" * (MIB // 4)))],
    }.get(kind) or [Status(status, {"content-encoding": encoding}), Send(bomb(encoding)), End()]
    server.reply(body)
    name, peak = run_python(PEAK, server.base_url).stdout.split()

    assert {"error bomb": "BadRequest"}.get(kind, "ResponseTooLarge") == name
    assert int(peak) < 120  # of which the interpreter and its modules take 30


def test_a_stream_without_an_end_keeps_no_text_where_that_is_wished(server: ProviderServer) -> None:
    """`accumulate=False`: the chunks pass, the final has none of it."""
    server.reply(chat_answer(*["x"] * 100))
    with ask_of(server, [], accumulate=False) as stream:
        text, _ = drain(stream)
        final = stream.final.get()

    assert "x" * 100 == text
    assert final is not None
    assert ("", "stop", 105) == (final.text, final.finish_reason, final.usage.total_tokens)


# ---------------------------------------------------------------- back-pressure


@pytest.mark.slow
def test_a_reader_that_does_not_read_stops_the_server(server: ProviderServer) -> None:
    """The buffer fills, then the socket's; what comes later is all there, in order."""
    stopped, count = Gate(), 200
    events = [delta(f"{number:06}" + "x" * 100_000) for number in range(count)]
    server.reply(Status(), events, chat_answer()[1:])
    with client_of(server, buffer=3) as client, ask(client).get_stream() as stream:
        request = server.wait_for_request()
        sent = -1
        while sent != request.sent:  # until it stands still
            sent = request.sent
            stopped.wait(0.1)
        assert 3 == stream.ch.qsize()
        assert sent < 12 * MIB  # of 20: the sockets' buffers

        assert [f"{number:06}" for number in range(count)] == [
            chunk.content[:6] for chunk in stream.ch if chunk.content
        ]
        assert None is stream.err.get()


@pytest.mark.parametrize("wait", ["err", "final", "result", "timed result", "timed err"])
@pytest.mark.parametrize("buffer", [1, 2, 0, 10_000])
def test_waiting_for_the_outcome_first_does_not_deadlock(wait: str, buffer: int, server: ProviderServer) -> None:
    """It lifts the buffer's bound, and the chunks are all there afterwards."""
    server.reply(chat_answer(*"abcdefghij"))
    waits: dict[str, Any] = {
        "err": lambda stream: stream.err.get(),
        "final": lambda stream: stream.final.get(),
        "result": lambda stream: stream.result(),
        "timed result": lambda stream: stream.result(timeout=5),
        "timed err": lambda stream: stream.err.get(timeout=5),
    }
    with client_of(server, buffer=buffer) as client, ask(client).get_stream() as stream, took(1.0):
        waits[wait](stream)

        assert ("abcdefghij", None) == drain(stream)


@pytest.mark.slow
def test_no_buffer_bound_means_none(server: ProviderServer) -> None:
    """`buffer=0`: the producer never waits for the reader."""
    server.reply(chat_answer(*["x"] * 20_000))
    with client_of(server, buffer=0) as client, ask(client).get_stream() as stream:
        server.wait_until(lambda: bool(server.requests))
        while not stream.ch.closed:
            threading.Event().wait(0.005)

        assert 20_000 <= stream.ch.qsize()
        assert "x" * 20_000 == drain(stream)[0]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", None])
@pytest.mark.parametrize("framing", ["chunked", "close", 10**6])
def test_an_event_is_delivered_when_its_bytes_have_come(
    encoding: Any, framing: Any, client: Client, server: ProviderServer
) -> None:
    """Compressed or not, no read buffer holds it back: the server sends the next only when the last was read."""
    gates = [Gate() for _ in range(4)]
    steps = [[delta(str(number)), Wait(gate)] for number, gate in enumerate(gates)]
    server.reply(Status(encoding=encoding, framing=framing), steps, chat_answer()[1:], Close())
    with ask(client).get_stream() as stream:
        for number, gate in enumerate(gates):
            assert str(number) == stream.ch.get(timeout=2).content
            gate.set()
        assert ("", None) == drain(stream)


def test_no_encoding_is_offered_that_could_not_be_read(client: Client, server: ProviderServer) -> None:
    """`identity`: a proxy that compresses would only hold events back."""
    server.reply(chat_answer("Hello"))
    ask(client).get_response()

    assert "identity" == server.requests[0].headers["accept-encoding"]


# ---------------------------------------------------------------- connections


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_calls_one_after_the_other_share_a_connection(dialect: Any, server: ProviderServer) -> None:
    """Twenty of them, some streamed, some not, some refused."""
    server.reply(
        lambda request: error_answer(400) if len(server.requests) % 5 == 4 else dialect.answer("Hello"), times=None
    )
    with dialect.client(server) as client:
        for number in range(20):
            if number % 5 == 3:
                failure(dialect.ask(client).get_stream)
            elif number % 2:
                dialect.ask(client).get_response()
            else:
                list(dialect.ask(client).get_stream())

    assert (20, 1) == (len(server.requests), server.connections)


def test_calls_share_a_tls_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The handshake is made once."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTS / "ca.pem"))
    with ProviderServer(tls=CERTS / "localhost.pem") as server:
        server.reply(chat_answer("Hello"), times=None)
        with client_of(server) as client:
            for _ in range(5):
                ask(client).get_response()

        assert 1 == server.connections


@pytest.mark.parametrize(
    "script",
    [
        [Status(), delta("x"), Close()],
        [Status(), delta("x"), error_event("too bad"), Stall()],
        [Status(), Event("{garbage"), Stall()],
        [Status(400), Send(b" " * 100_000), Stall()],
        [Status(), delta("x"), Raw(b"zzz\r\n")],
    ],
    ids=["truncated", "error event", "garbage", "unread error body", "bad framing"],
)
def test_a_connection_is_closed_after_an_error(script: Script, client: Client, server: ProviderServer) -> None:
    """Unless the body was read to its end, nobody uses it again."""
    server.reply(script)
    server.reply(chat_answer("Hello"))
    failure(ask(client).get_stream)
    assert server.requests[0].disconnected.wait(2)
    response = ask(client).get_response()

    assert ("Hello", 2) == (response.text, server.connections)


def test_what_follows_a_body_is_not_taken_for_the_next_answer(client: Client, server: ProviderServer) -> None:
    """A server that sends more than it said poisons no connection."""
    body = b"".join(step.encode() for step in chat_answer("Hello") if isinstance(step, Event))
    more = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong"
    server.reply(
        Raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) + more),
        Stall(),
    )
    server.reply(chat_answer("right"))
    texts = [ask(client).get_response().text for _ in range(2)]

    assert ["Hello", "right"] == texts
    assert 2 == server.connections


def test_an_answer_that_closes_its_connection_is_no_obstacle(client: Client, server: ProviderServer) -> None:
    """`Connection: close` and HTTP/1.0: each call gets a connection of its own."""
    server.reply(Status(headers={"connection": "close"}), chat_answer("Hello")[1:])
    server.reply(Status(http="1.0"), chat_answer("Hello")[1:])
    server.reply(chat_answer("Hello"))

    assert ["Hello"] * 3 == [ask(client).get_response().text for _ in range(3)]
    assert 3 == server.connections


# ---------------------------------------------------------------- many


@pytest.mark.slow
def test_five_hundred_streams_at_once_do_not_mix(server: ProviderServer) -> None:
    """One in ten fails; each good one is exact, each bad one an error, on one client from 500 threads."""
    count = 500
    everybody = Gate()

    def script(request: ReceivedRequest) -> Script:
        number = int(request.json()["messages"][0]["content"])
        words = [f"{number}:{i} " for i in range(20)]
        answer = chat_answer(*words)
        if number % 10 == 3:
            cut = {3: [Reset()], 1: [Close()], 7: [error_event("too bad")]}.get(number // 10 % 10, [End()])
            return [answer[:12], cut]
        return [answer[0], Wait(everybody), answer[1:]]

    def call(number: int) -> tuple[int, str, Any]:
        with client.chat("m").user(str(number)).get_stream() as stream:
            return number, *drain(stream)

    server.reply(script, times=None)
    with client_of(server, timeouts=Timeouts(total=60)) as client, ThreadPoolExecutor(count) as executor:
        calls = [executor.submit(call, number) for number in range(count)]
        server.wait_for_request(count, timeout=30)
        everybody.set()
        results = [call.result() for call in calls]

    for number, text, error in results:
        whole = "".join(f"{number}:{i} " for i in range(20))
        if number % 10 == 3:
            assert isinstance(error, (StreamTruncated, ConnectionLost, ServerError)), number
            assert whole.startswith(text)
        else:
            assert (whole, None) == (text, error)


@pytest.mark.slow
@pytest.mark.parametrize("count", [200, 1_000])
def test_streams_abandoned_half_way_leave_nothing(count: int, server: ProviderServer) -> None:
    """Opened, read a little and dropped, one after the other: no thread and no socket is left."""
    server.reply(Status(), delta("x"), delta("y"), Stall(), times=None)
    with client_of(server) as client:
        for _ in range(count):
            assert "x" == ask(client).get_stream().ch.get(timeout=5).content
        gc.collect()
        server.wait_until(lambda: server.open_connections == 0)

    assert count == len(server.requests)
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith("streamkit-openai") and thread.is_alive()
    ][2:]


def test_a_stream_has_one_thread_and_all_share_a_watchdog(client: Client, server: ProviderServer) -> None:
    """They are daemons, named after what they serve, and gone with the last stream."""
    server.reply(Status(), delta("x"), Stall(), times=None)
    streams = [ask(client).get_stream() for _ in range(3)]
    threads = [
        thread for thread in threading.enumerate() if thread.name.startswith(("streamkit-openai", "streamkit-watchdog"))
    ]
    names = [thread.name for thread in threads]  # a thread that has done its work is named otherwise while it rests
    for stream in streams:
        stream.close()
    for thread in threads:
        thread.join(2)

    assert Counter({"openai": 3, "watchdog": 1}) == Counter(name.split("-")[1] for name in names)
    assert all(thread.daemon for thread in threads)
    assert not any(thread.is_alive() for thread in threads)


# ---------------------------------------------------------------- the process's end


EXITING = """
    import sys
    from streamkit import Client
    from streamkit.providers import OpenAI

    client = Client(OpenAI("sk-test", base_url=sys.argv[1]), buffer=int(sys.argv[2]))
    stream = client.chat("m").user("Hello").get_stream()
    print(stream.ch.get().content, flush=True)
    {last}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "last", ["pass", "sys.exit(0)", "loop = iter(stream); next(loop)", "del stream", "stream.cancel()"]
)
@pytest.mark.parametrize("body", [[Stall()], [Repeat(delta("x"), Pause(0.001))]], ids=["silent", "live"])
def test_exit_with_a_live_stream_is_quick_and_silent(last: str, body: Any, server: ProviderServer) -> None:
    """Status 0, nothing on stderr, and no waiting for the provider."""
    server.reply(Status(), delta("Hello"), delta(" world"), body)
    with took(5.0):
        done = run_python(EXITING.format(last=last), server.base_url, 1)

    assert ("Hello\n", "", 0) == (done.stdout, done.stderr, done.returncode)


FORKING = """
    import os, sys
    from streamkit import Client, ConnectionLost
    from streamkit.providers import OpenAI

    client = Client(OpenAI("sk-test", base_url=sys.argv[1]))
    chat = client.chat("m").user("Hello")
    {before}
    child = os.fork()
    if child == 0:
        try:
            {in_child}
            assert "Hello" == chat.get_response().text
            client.close()
            print("child", flush=True)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    {in_parent}
    assert "Hello" == chat.get_response().text
    print("parent", flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize(
    ("before", "in_child", "in_parent"),
    [
        ("chat.get_response()", "pass", "pass"),
        (
            "stream = chat.get_stream(); stream.ch.get()",
            "assert isinstance(stream.err.get(), ConnectionLost); list(stream.ch); stream.close(); del stream",
            "assert ' world' == ''.join(stream.text())",
        ),
    ],
    ids=["after use", "with a live stream"],
)
def test_a_fork_works_in_parent_and_child(before: str, in_child: str, in_parent: str, server: ProviderServer) -> None:
    """The child has a session and a watchdog of its own; a live stream goes on in the parent alone."""
    gate = Gate()
    if "stream" in before:
        server.reply(Status(), delta("Hello"), Wait(gate), chat_answer(" world")[1:])
    server.reply(lambda request: (gate.set(), chat_answer("Hello"))[1], times=None)
    done = run_python(FORKING.format(before=before, in_child=in_child, in_parent=in_parent), server.base_url)

    assert ("child\nparent\n", 0) == (done.stdout, done.returncode)
    assert "DeprecationWarning" in done.stderr or not done.stderr  # 3.12 warns of any fork beside threads


def test_hooks_hear_of_a_cancelled_producer_once(server: ProviderServer) -> None:
    """The observers are called on the producer's thread, also when it was the watchdog that ended the stream."""
    heard: list[tuple[str, str]] = []
    done = threading.Event()

    def note(error: object) -> None:
        heard.append((type(error).__name__, threading.current_thread().name.split("-")[1]))
        done.set()

    server.reply(Status(), delta("x"), Stall())
    with client_of(server, hooks=Hooks(on_cancel=note, on_error=note)) as client:
        ask(client).get_stream().cancel()
        assert done.wait(2)

    assert [("Cancelled", "openai")] == heard
