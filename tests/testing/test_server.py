"""The scripted server, seen from plain sockets, http.client and requests."""

from __future__ import annotations

import http.client
import json
import os
import pathlib
import resource
import socket
import ssl
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import requests

import streamkit.testing
from streamkit.errors import ConfigError
from streamkit.testing import (
    Close,
    Drip,
    End,
    Event,
    Gate,
    Notify,
    Pause,
    ProviderServer,
    Raw,
    ReceivedRequest,
    Repeat,
    Reset,
    Script,
    Send,
    Slowly,
    Stall,
    Status,
    Step,
    Wait,
    Wire,
    anthropic_answer,
    chat_answer,
    error_answer,
    error_event,
)

CERTS = pathlib.Path(__file__).parent.parent / "certs"
GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


@pytest.fixture
def server() -> Iterator[ProviderServer]:
    """A server of its own for each test."""
    with ProviderServer() as server:
        yield server


def connect(server: ProviderServer, send: bytes = GET) -> socket.socket:
    """Open a connection and send a request."""
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=5)
    sock.sendall(send)
    return sock


def read_all(sock: socket.socket) -> bytes:
    """Read to the end of the connection."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


def read_exactly(sock: socket.socket, size: int) -> bytes:
    """Read that many bytes."""
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        assert piece, f"the connection ended after {data!r}"
        data += piece
    return data


def events(body: str) -> list[Any]:
    """Give the data of an event stream, from JSON where it is JSON."""
    data = [line[6:] for line in body.split("\n") if line.startswith("data: ")]
    return [json.loads(text) if text.startswith("{") else text for text in data]


# ---------------------------------------------------------------- scripts and requests


def test_three_lines_stream_an_answer(server: ProviderServer) -> None:
    """The shortest use: queue an answer, ask, and the text comes."""
    server.reply(chat_answer("Hello", " world"))
    body = requests.post(f"{server.base_url}/chat/completions", json={"model": "m"}, timeout=5).text

    assert "Hello world" == "".join(e["choices"][0]["delta"].get("content", "") for e in events(body)[:-2])


def test_a_request_is_recorded_whole(server: ProviderServer) -> None:
    """Method, path, headers in lower case, repeated ones joined, and the body are as they were sent."""
    server.reply(error_answer(200))
    with connect(server, b'POST /v1/x?y HTTP/1.1\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 7\r\n\r\n{"a":1}') as sock:
        sock.recv(1)
        request = server.wait_for_request()

    assert ("POST", "/v1/x?y", "HTTP/1.1") == (request.method, request.path, request.version)
    assert {"x-a": "1, 2", "content-length": "7"} == request.headers
    assert {"a": 1} == request.json()
    assert [request] == server.requests


def test_a_request_does_not_print_its_key(server: ProviderServer) -> None:
    """Headers and body are not in its repr, which assertion messages show."""
    server.reply(error_answer(200, b""))
    requests.post(server.url, data="confidential", headers={"authorization": "Bearer confidential"}, timeout=5)

    assert "confidential" not in repr(server.requests)


@pytest.mark.parametrize("trailer", [b"", b"X-Checked: yes\r\n"], ids=["plain", "trailer"])
def test_a_chunked_request_body_is_joined(server: ProviderServer, trailer: bytes) -> None:
    """A body sent in HTTP chunks is recorded without their framing, and the next request begins behind it."""
    server.reply(error_answer(200), times=2)
    head = b"POST /one HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(server, head + b"4\r\none \r\n3;x=y\r\ntwo\r\n0\r\n" + trailer + b"\r\n" + GET):
        server.wait_for_request(2)

    assert [("/one", b"one two"), ("/", b"")] == [(request.path, request.body) for request in server.requests]


def test_requests_take_scripts_in_order(server: ProviderServer) -> None:
    """Each request takes the next script, `times` repeats one, and with None it stands in when the queue is empty."""
    server.reply(error_answer(200), times=None)
    server.reply(error_answer(503), times=2)
    server.reply(error_answer(404))

    assert [503, 503, 404, 200, 200] == [requests.get(server.url, timeout=5).status_code for _ in range(5)]


def test_a_script_may_depend_on_the_request(server: ProviderServer) -> None:
    """A function is given the request and makes steps of it; a generator function yields them."""

    def echo(request: ReceivedRequest) -> Iterator[Script]:
        yield Status(200, framing="close")
        yield Send(request.body)

    server.reply(echo, lambda request: [Send(request.path.encode())])

    assert b"hi/there" == requests.post(f"{server.url}/there", data=b"hi", timeout=5).content


def test_parts_of_scripts_can_be_put_together(server: ProviderServer) -> None:
    """An answer is a row of steps: cut anywhere, joined with others."""
    server.reply(chat_answer("a", "b")[:3], Event("last"), End())

    assert "last" == events(requests.get(server.url, timeout=5).text)[-1]


def test_a_request_without_a_script_is_the_tests_mistake() -> None:
    """It is answered at once with a status that no client retries, and leaving the block raises what to do."""
    with pytest.raises(ConfigError, match=r"no script for GET /x: queue one"), ProviderServer() as server:
        assert 501 == requests.get(f"{server.url}/x", timeout=5).status_code


@pytest.mark.parametrize(
    ("script", "kind"),
    [([Send(b"x")], ConfigError), (["Hello"], ConfigError), ([Wait(Gate(), timeout=0)], TimeoutError)],
    ids=["no head", "no step", "gate not set"],
)
def test_a_failing_script_is_raised_on_leaving_the_block(script: Any, kind: type[Exception]) -> None:
    """The client is reset, not left waiting, and the test gets the script's own error."""
    with pytest.raises(kind), ProviderServer() as server:
        server.reply(*script)
        with pytest.raises(requests.ConnectionError):
            requests.get(server.url, timeout=5)
        assert [kind] == [type(error) for error in server.errors]


def test_a_failure_in_the_block_stays_visible_beside_the_scripts() -> None:
    """The script's error is raised, and the block's own is its context."""
    failure = AssertionError("the test's own")
    with pytest.raises(ConfigError) as caught, ProviderServer() as server:
        requests.get(server.url, timeout=5)
        raise failure

    assert failure is caught.value.__context__


def test_what_is_no_http_is_an_error(server: ProviderServer) -> None:
    """A client that speaks something else shows in `errors`."""
    with connect(server, b"hello\r\n\r\n") as sock, pytest.raises(ConnectionResetError):
        sock.recv(1)
    server.wait_until(lambda: server.open_connections == 0)

    assert [ConfigError] == [type(server.errors.pop())]


def test_waiting_for_a_request_has_a_bound(server: ProviderServer) -> None:
    """It raises TimeoutError that says what did come."""
    with pytest.raises(TimeoutError, match="0 requests, 0 of 0 connections open"):
        server.wait_for_request(timeout=0.01)


# ---------------------------------------------------------------- what the steps put on the wire

WIRE: dict[str, tuple[list[Step], bytes]] = {
    "chunked": ([Status(200), Send(b"a" * 16), Send(b"b"), End()], b"10\r\n%b\r\n1\r\nb\r\n0\r\n\r\n" % (b"a" * 16)),
    "an empty piece": ([Status(200), Send(b""), Send(b"x"), End()], b"1\r\nx\r\n0\r\n\r\n"),
    "end left out": ([Status(200), Send(b"x")], b"1\r\nx\r\n0\r\n\r\n"),
    "close left the end out": ([Status(200), Send(b"x"), Close()], b"1\r\nx\r\n"),
    "raw in a body": ([Status(200), Raw(b"zz\r\n"), Close()], b"zz\r\n"),
    "an event": ([Status(200, framing="close"), Event("a\nb", "ping")], b"event: ping\ndata: a\ndata: b\n\n"),
    "a json event": ([Status(200, framing="close"), Event({"é": 1})], 'data: {"é":1}\n\n'.encode()),
    "pieces": ([Status(200), Drip(b"abc", 2, 0), Close()], b"2\r\nab\r\n1\r\nc\r\n"),
    "one slow piece": ([Status(200), Slowly(Send(b"abc"), 2, 0), Close()], b"3\r\nabc\r\n"),
    "repeated": ([Status(200, framing="close"), Repeat(Send(b"a"), Send(b"b"), times=2)], b"abab"),
    "a wrong length": ([Status(200, framing=99), Send(b"x"), End(), Close()], b"x"),
}


@pytest.mark.parametrize(("steps", "body"), WIRE.values(), ids=WIRE)
def test_a_body_is_exactly_this(server: ProviderServer, steps: list[Step], body: bytes) -> None:
    """The bytes after the head are those of the steps, and no more."""
    server.reply(steps)
    with connect(server, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")) as sock:
        assert body == read_all(sock).partition(b"\r\n\r\n")[2]


HEADS = {
    "chunked": (Status(200), CHUNKED),
    "length": (Status(200, framing=3), HEAD + b"content-length: 3\r\n\r\n"),
    "close": (Status(200, framing="close"), HEAD + b"\r\n"),
    "1.0": (Status(200, http="1.0"), HEAD.replace(b"1.1", b"1.0") + b"\r\n"),
    "1.0 with length": (Status(503, http="1.0", framing=3), b"HTTP/1.0 503 Service Unavailable\r\n"
                        b"content-length: 3\r\n\r\n"),
    "gzip": (Status(429, encoding="gzip", framing=3), b"HTTP/1.1 429 Too Many Requests\r\ncontent-encoding: gzip\r\n"
             b"content-length: 3\r\n\r\n"),
    "own name": (Status(200, {"Content-Type": "text/plain"}, framing="close"), b"HTTP/1.1 200 OK\r\n"
                 b"Content-Type: text/plain\r\n\r\n"),
    "twice": (Status(404, [("a", "1"), ("a", "2")], framing="close"), b"HTTP/1.1 404 Not Found\r\n"
              b"a: 1\r\na: 2\r\n\r\n"),
    "unknown": (Status(529, framing="close"), b"HTTP/1.1 529 \r\n\r\n"),
    "own reason": (Status(529, framing="close", reason="Overloaded"), b"HTTP/1.1 529 Overloaded\r\n\r\n"),
    "no content": (Status(204), b"HTTP/1.1 204 No Content\r\n\r\n"),
    "interim": (Status(103, {"link": "x"}), b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"),
}  # fmt: skip


@pytest.mark.parametrize(("status", "head"), HEADS.values(), ids=HEADS)
def test_a_head_is_exactly_this(server: ProviderServer, status: Status, head: bytes) -> None:
    """The bytes of the head are those of its fields, on the wire as in `head()`."""
    server.reply(status, Close())
    with connect(server) as sock:
        assert head == read_all(sock) == status.head()


def test_interim_answers_come_before_the_real_one(server: ProviderServer) -> None:
    """A status below 200 is only a head: the body belongs to the one that follows."""
    server.reply(Status(100), Status(103), Status(200, framing=2), Send(b"ok"), Close())
    with connect(server) as sock:
        heads = [line.split()[1] for line in read_all(sock).split(b"\r\n") if line.startswith(b"HTTP/")]

    assert [b"100", b"103", b"200"] == heads


def test_a_head_can_drip(server: ProviderServer) -> None:
    """`Slowly` paces another step's bytes, and the body after it is in order."""
    server.reply(Slowly(Status(200, framing=2), size=16, interval=0), Send(b"ok"))

    assert "ok" == requests.get(server.url, timeout=5).text


@pytest.mark.parametrize(
    "step", [Pause(0.06), Drip(b"abc", 1, 0.03), Slowly(Raw(b"abc"), 1, 0.03), Repeat(Pause(0.03), times=2)], ids=str
)
def test_pacing_takes_its_time(server: ProviderServer, step: Step) -> None:
    """A step with seconds takes at least these seconds."""
    server.reply(Status(200, framing="close"), step)
    before = time.monotonic()
    requests.get(server.url, timeout=5)

    assert time.monotonic() - before >= 0.06


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_piece_can_be_read_before_the_next_comes(server: ProviderServer, encoding: Any) -> None:
    """Every piece is flushed, and the end completes the compression."""
    gate = Gate()
    server.reply(Status(200, encoding=encoding, framing="close"), Send(b"first"), Wait(gate), Send(b"second"))
    unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | (16 if encoding == "gzip" else 0))
    with connect(server) as sock:
        text = b""
        while text != b"first":
            text += unpack.decompress(sock.recv(65536).rpartition(b"\r\n\r\n")[2])
        gate.set()
        text += unpack.decompress(read_all(sock))

    assert (b"firstsecond", True) == (text, unpack.eof)


def test_requests_reads_a_compressed_answer(server: ProviderServer) -> None:
    """A real client decodes it, in HTTP chunks."""
    server.reply(Status(200, encoding="gzip"), Event("one"), Event("two"), End())

    assert ["one", "two"] == events(requests.get(server.url, timeout=5).text)


# ---------------------------------------------------------------- holding, telling, keeping


def test_a_gate_holds_the_script_until_the_test_sets_it(server: ProviderServer) -> None:
    """What is before `Wait` comes at once, what is after it only then; `Notify` tells where the script is."""
    gate, there = Gate(), threading.Event()
    server.reply(Status(200, framing="close"), Send(b"a"), Notify(there), Wait(gate), Send(b"b"))
    with connect(server) as sock:
        assert there.wait(5)
        assert HEAD + b"\r\na" == read_exactly(sock, len(HEAD) + 3)
        gate.set()

        assert b"b" == read_all(sock)


def test_a_gate_set_before_does_not_hold(server: ProviderServer) -> None:
    """A gate stays open once it is set."""
    gate = Gate()
    gate.set()
    server.reply(Wait(gate), error_answer(200), times=2)

    assert [200, 200] == [requests.get(server.url, timeout=5).status_code for _ in range(2)]


def test_wait_takes_no_plain_event() -> None:
    """A plain event cannot be waited for together with the client's leaving, so it is refused at once."""
    with pytest.raises(TypeError, match="Gate"):
        Wait(threading.Event())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "answer", [chat_answer("x"), error_answer(429), (Status(204),), (Raw(CHUNKED + b"0\r\n\r\n"), End())], ids=range(4)
)
def test_a_connection_serves_several_requests(server: ProviderServer, answer: Script) -> None:
    """After a clean end the next request comes on the same connection."""
    server.reply(answer, times=3)
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    for _ in range(3):
        client.request("POST", "/", b"body")
        client.getresponse().read()
    client.close()

    assert [1, 1, 1] == [request.connection for request in server.requests]
    assert 1 == server.connections


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), error_answer(200)),
        (GET.replace(b"1.1", b"1.0"), error_answer(200)),
        (GET, (Status(200, {"Connection": "close"}), End())),
        (GET, (Status(200, framing="close"), End())),
        (GET, (Status(200, http="1.0", framing=0), End())),
        (GET, (Raw(b"HTTP/1.1 200 OK\r\n\r\n"),)),
    ],
    ids=["asked for", "1.0 request", "said", "framing", "1.0 answer", "only raw"],
)
def test_a_connection_closes_after_the_answer(server: ProviderServer, request_: bytes, answer: Script) -> None:
    """It does where the client asks for it, the head says so, or nothing else could end the body."""
    server.reply(answer)
    with connect(server, request_) as sock:
        assert read_all(sock).startswith(b"HTTP/1.")


def test_a_1_0_client_may_keep_its_connection(server: ProviderServer) -> None:
    """HTTP/1.0 keeps a connection on request only."""
    server.reply(error_answer(200, b""), times=2)
    with connect(server, b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n" * 2):
        assert 1 == server.wait_for_request(2).connection


def test_a_request_sent_early_is_kept(server: ProviderServer) -> None:
    """What the client sends while a script waits is the next request."""
    gate = Gate()
    server.reply(Wait(gate), error_answer(200, b"one"))
    server.reply(error_answer(200, b"two"), Close())
    with connect(server) as sock:
        server.wait_for_request(1)
        sock.sendall(GET)
        gate.set()
        body = read_all(sock)

    assert [b"one", b"two"] == [part[:3] for part in body.split(b"\r\n\r\n")[1:]]


# ---------------------------------------------------------------- faults


def test_close_is_polite_and_waits_for_the_client(server: ProviderServer) -> None:
    """The client reads a plain end in mid-body; the connection counts as open until the client closes its side."""
    server.reply(Status(200), Event("x"), Close())
    sock = connect(server)
    read_all(sock)
    request = server.requests[0]

    assert (1, False) == (server.open_connections, request.disconnected.is_set())
    sock.close()
    assert request.disconnected.wait(5)
    server.wait_until(lambda: server.open_connections == 0)


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ((Status(200), Event("x"), Close()), http.client.IncompleteRead),
        ((Status(200, framing=9), Send(b"x"), Close()), http.client.IncompleteRead),
        ((Status(200), Raw(b"zz\r\n"), Close()), http.client.IncompleteRead),
        ((Close(),), http.client.RemoteDisconnected),
        ((Reset(),), ConnectionResetError),
        ((Raw(b"SMTP\r\n"), Close()), http.client.BadStatusLine),
        ((Raw(Status(200).head()[:-2]), Repeat(Raw(b"x-more: 1\r\n"))), http.client.HTTPException),
    ],
    ids=["chunked", "length", "bad chunk", "no answer", "reset", "no http", "endless headers"],
)
def test_a_broken_answer_breaks_the_client(
    server: ProviderServer, steps: tuple[Step, ...], kind: type[Exception]
) -> None:
    """A client that knows HTTP meets the fault that the script is for."""
    server.reply(steps)
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    with pytest.raises(kind):
        client.request("GET", "/")
        client.getresponse().read()
    client.close()


def test_a_reset_can_be_seen_in_mid_body(server: ProviderServer) -> None:
    """What was read before is good, then the connection is reset, and it counts as closed at once."""
    gate, done = Gate(), threading.Event()
    server.reply(Status(200, framing="close"), Send(b"x"), Wait(gate), Reset(), Notify(done))
    with connect(server) as sock:
        assert b"x" == read_exactly(sock, len(HEAD) + 3)[-1:]
        gate.set()
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
        assert done.wait(5)
        server.wait_until(lambda: server.open_connections == 0)

        assert not server.requests[0].disconnected.is_set()


def test_a_kept_connection_can_be_closed_while_idle(server: ProviderServer) -> None:
    """After `End` the script may go on: here it closes at a moment of the test's choice."""
    gate, closed = Gate(), threading.Event()
    server.reply(error_answer(200, b"ok"), Wait(gate), Close(), Notify(closed))
    server.reply(error_answer(200, b"again"))
    with requests.Session() as session:
        assert "ok" == session.get(server.url, timeout=5).text
        gate.set()
        assert closed.wait(5)

        assert "again" == session.get(server.url, timeout=5).text
        assert [1, 2] == [request.connection for request in server.requests]


@pytest.mark.parametrize("step", [Reset(), Close(), Raw(b"220 not http\r\n")], ids=str)
def test_a_greeting_comes_before_the_request(server: ProviderServer, step: Step) -> None:
    """The next connection meets it before anything is read, the one after it none."""
    server.greet(step)
    server.reply(error_answer(200))
    try:
        with connect(server, b"") as sock:
            said = sock.recv(100)
    except ConnectionResetError:  # on a busy machine already while connecting
        said = b"reset"
    status = requests.get(server.url, timeout=5).status_code

    assert {"Reset": b"reset", "Close": b"", "Raw": b"220 not http\r\n"}[type(step).__name__] == said
    assert (200, [2]) == (status, [request.connection for request in server.requests])


BLOCKING: dict[str, list[Step]] = {
    "stall": [Stall()],
    "wait": [Wait(Gate())],
    "pause": [Pause(60)],
    "drip": [Status(200), Drip(b"ab", 1, 60)],
    "slowly": [Slowly(Status(200), 1, 60)],
    "write": [Status(200), Send(bytes(50_000_000))],
    "endless": [Status(200), Repeat(Send(bytes(1000)))],
    "endless pause": [Status(200), Repeat(Pause(1))],
    "after the end": [error_answer(200)[0], Send(b""), Close(), Stall()],
}


@pytest.mark.parametrize("steps", BLOCKING.values(), ids=BLOCKING)
def test_a_blocked_step_ends_when_the_client_goes(server: ProviderServer, steps: list[Step]) -> None:
    """The request's `disconnected` is set and the connection is over, though the step would go on for long."""
    started = threading.Event()
    server.reply(Notify(started), steps)
    sock = connect(server)
    assert started.wait(5)
    sock.close()

    assert server.requests[0].disconnected.wait(5)
    server.wait_until(lambda: server.open_connections == 0)


@pytest.mark.parametrize("steps", BLOCKING.values(), ids=BLOCKING)
def test_a_blocked_step_ends_when_the_server_stops(steps: list[Step]) -> None:
    """Leaving the block takes no longer for a script that would go on; the client's side did not close."""
    started = threading.Event()
    with ProviderServer() as server:
        server.reply(Notify(started), steps)
        sock = connect(server)
        assert started.wait(5)

    assert (0, False) == (server.open_connections, server.requests[0].disconnected.is_set())
    sock.close()


def test_a_flood_ends_when_the_server_stops() -> None:
    """A client that reads everything does not keep an endless script alive."""
    with ProviderServer() as server:
        server.reply(Status(200), Repeat(Event("x")))
        sock = connect(server)
        read_exactly(sock, 20_000)
        reader = threading.Thread(target=lambda: list(iter(lambda: _recv(sock), b"")))
        reader.start()
    reader.join(5)
    sock.close()

    assert not reader.is_alive()


def _recv(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65536)
    except ConnectionResetError:
        return b""


def test_sent_counts_what_went_out(server: ProviderServer) -> None:
    """`sent` is the number of bytes that the client got, framing included."""
    server.reply(Status(200, framing="close"), Send(b"x" * 100))
    with connect(server) as sock:
        size = len(read_all(sock))

    assert size == server.requests[0].sent == len(HEAD) + 2 + 100


def test_blocked_tells_that_the_client_does_not_read(server: ProviderServer) -> None:
    """TCP holds the server back after a few MB: `blocked` is set, and the request still sees the client go."""
    server.reply(Status(200), Send(bytes(100_000_000)))
    with connect(server):
        request = server.wait_for_request()
        assert request.blocked.wait(5)
        assert not request.disconnected.is_set()
    assert request.disconnected.wait(5)

    assert 0 < request.sent < 50_000_000


def test_a_blocked_script_goes_on_when_the_client_reads(server: ProviderServer) -> None:
    """A client that reads late gets everything, and what it sent in between is its next request."""
    server.reply(Status(200, framing=20_000_000), Send(bytes(20_000_000)))
    server.reply(Close())
    with connect(server) as sock:
        request = server.wait_for_request()
        assert request.blocked.wait(5)
        sock.sendall(GET)
        size = len(read_all(sock))

    assert size == request.sent > 20_000_000
    assert (2, False) == (len(server.requests), request.blocked.is_set())


def test_a_script_that_sends_after_its_reset_ends(server: ProviderServer) -> None:
    """It does not take its own reset for the client's leaving."""
    after = threading.Event()
    server.reply(Status(200), Reset(), Pause(0.01), Send(b"x"), Notify(after))
    with connect(server):
        server.wait_until(lambda: (server.connections, server.open_connections) == (1, 0))

    assert (False, False) == (server.requests[0].disconnected.is_set(), after.is_set())


# ---------------------------------------------------------------- threads, descriptors, load


def test_nothing_is_left_after_the_block() -> None:
    """No thread and no descriptor remains, whatever the connections were doing; the port is free again."""
    descriptors, threads = len(os.listdir("/dev/fd")), threading.enumerate()
    clients = []
    with ProviderServer() as server:
        for steps in BLOCKING.values():
            server.reply(steps)
        for number in range(1, len(BLOCKING) + 1):
            clients.append(connect(server))
            server.wait_for_request(number)
        clients.append(socket.create_connection(("127.0.0.1", server.port)))
        server.wait_until(lambda: server.connections == len(clients))
    for sock in clients:
        sock.close()

    assert (threads, descriptors) == (threading.enumerate(), len(os.listdir("/dev/fd")))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_threads_are_named_daemons(server: ProviderServer) -> None:
    """A thread dump shows whose they are, and none holds the interpreter back."""
    server.reply(Stall())
    with connect(server):
        server.wait_for_request()
        ours = [
            thread for thread in threading.enumerate() if thread.name.startswith(f"streamkit-testing-{server.port}")
        ]

        assert [True, True] == [thread.daemon for thread in ours]


def test_close_may_be_called_again() -> None:
    """Closing is idempotent, also before the `with` block's own."""
    with ProviderServer() as server:
        server.close()
        server.close()


def test_a_step_that_blocks_by_itself_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing does not wait for ever for a step that is not a good citizen: its thread is named in an error."""
    release, entered = threading.Event(), threading.Event()

    class Stubborn:
        def run(self, wire: Wire) -> None:
            entered.set()
            release.wait(30)

    monkeypatch.setattr("streamkit.testing.server._CLOSE_TIMEOUT", 0.05)
    with pytest.raises(TimeoutError, match=r"streamkit-testing-\d+-1 still runs"), ProviderServer() as server:
        server.reply(Stubborn())
        sock = connect(server)
        assert entered.wait(5)
    release.set()
    sock.close()
    server.close()


def test_running_out_of_descriptors_is_reported() -> None:
    """A connection that cannot be accepted is the test's to know, and the client is not left waiting."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with pytest.raises(OSError, match="Too many open files"), ProviderServer() as server, socket.socket() as sock:
        # A descriptor is always the lowest free one, so none is left below this limit.
        resource.setrlimit(resource.RLIMIT_NOFILE, (sock.fileno() + 1, limits[1]))
        try:
            with pytest.raises(ConnectionResetError):
                sock.connect(("127.0.0.1", server.port))
                sock.recv(1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.slow
def test_500_connections_at_once(server: ProviderServer) -> None:
    """All are open together, and each gets its own answer."""
    gate = Gate()
    server.reply(Wait(gate), lambda request: error_answer(200, request.path.encode()), Close(), times=None)
    socks = [connect(server, b"GET /%d HTTP/1.1\r\n\r\n" % number) for number in range(500)]
    server.wait_for_request(500, timeout=30)
    assert 500 == server.open_connections
    gate.set()
    bodies = [read_all(sock).rpartition(b"\r\n\r\n")[2] for sock in socks]
    for sock in socks:
        sock.close()

    assert [b"/%d" % number for number in range(500)] == bodies


def test_a_large_body_arrives_whole(server: ProviderServer) -> None:
    """6 MB of events serialised beforehand, in one piece."""
    body = b"data: %b\n\n" % (b"x" * 292) * 20_000
    server.reply(Status(200), Send(body))

    assert body == requests.get(server.url, timeout=30).content


# ---------------------------------------------------------------- TLS


def trusting() -> ssl.SSLContext:
    """Give a client's context that trusts the test authority."""
    return ssl.create_default_context(cafile=str(CERTS / "ca.pem"))


def server_context() -> ssl.SSLContext:
    """Give a server's context with the good certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTS / "localhost.pem")
    return context


@pytest.mark.parametrize(
    "tls",
    [CERTS / "localhost.pem", (CERTS / "localhost.pem", CERTS / "localhost.pem"), server_context()],
    ids=["file", "pair", "context"],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_tls_serves_several_requests(tls: Any, host: str) -> None:
    """With a certificate the same answers come over TLS, on one connection, large ones whole."""
    with ProviderServer(tls=tls) as server, requests.Session() as session:
        server.reply(Status(200), Send(bytes(1_000_000)), times=2)
        url = server.url.replace("127.0.0.1", host)
        sizes = [len(session.get(url, verify=str(CERTS / "ca.pem"), timeout=5).content) for _ in range(2)]

        assert ([1_000_000] * 2, 1) == (sizes, server.connections)
        assert server.base_url == f"https://127.0.0.1:{server.port}/v1"


@pytest.mark.parametrize(
    ("certificate", "ca", "message"),
    [
        ("expired.pem", "ca.pem", "expired"),
        ("wrong-host.pem", "ca.pem", "127.0.0.1"),
        ("localhost.pem", None, "unable to get local issuer"),
    ],
)
def test_a_bad_certificate_is_refused(certificate: str, ca: str | None, message: str) -> None:
    """The client says why, and no request was received."""
    with ProviderServer(tls=CERTS / certificate) as server:
        with pytest.raises(requests.exceptions.SSLError, match=message):
            requests.get(server.url, verify=str(CERTS / ca) if ca else True, timeout=5)
        server.wait_until(lambda: server.open_connections == 0)

        assert [] == server.requests


@pytest.mark.parametrize("notify", [True, False])
def test_tls_can_end_with_and_without_its_goodbye(notify: bool) -> None:
    """A client that minds sees whether the end was announced."""
    with ProviderServer(tls=CERTS / "localhost.pem") as server:
        server.reply(Status(200, framing="close"), Send(b"x"), Close(notify=notify))
        with trusting().wrap_socket(
            connect(server, b""), server_hostname="localhost", suppress_ragged_eofs=False
        ) as sock:
            sock.sendall(GET)
            read_exactly(sock, len(HEAD) + 3)
            try:
                end = str(sock.recv(1))
            except ssl.SSLEOFError:
                end = "cut"

        assert ("b''" if notify else "cut") == end


@pytest.mark.parametrize("steps", BLOCKING.values(), ids=BLOCKING)
def test_a_blocked_step_sees_a_tls_client_go(steps: list[Step]) -> None:
    """As without TLS: the request's `disconnected` is set."""
    with ProviderServer(tls=CERTS / "localhost.pem") as server:
        server.reply(steps)
        sock = trusting().wrap_socket(connect(server, b""), server_hostname="localhost")
        sock.sendall(GET)
        request = server.wait_for_request()
        sock.close()

        assert request.disconnected.wait(5)


def test_a_greeting_can_hold_the_tls_handshake() -> None:
    """`Stall` on connect leaves the client in its handshake."""
    with ProviderServer(tls=CERTS / "localhost.pem") as server:
        server.greet(Stall())
        with connect(server, b"") as sock:
            sock.settimeout(0.05)
            with pytest.raises(TimeoutError):
                trusting().wrap_socket(sock, server_hostname="localhost")


def test_a_client_that_leaves_the_handshake_is_no_error() -> None:
    """A connection that ends before TLS is up, or speaks no TLS, is the client's matter."""
    with ProviderServer(tls=CERTS / "localhost.pem") as server:
        for send in (b"", GET):
            with connect(server, send):
                pass
        server.wait_until(lambda: (server.connections, server.open_connections) == (2, 0))

        assert [] == server.errors


# ---------------------------------------------------------------- answers


def ask(*script: Script) -> requests.Response:
    """Give what a client gets of a script."""
    with ProviderServer() as server:
        server.reply(*script)
        return requests.get(server.url, timeout=5)


def test_a_chat_answer_has_all_its_parts() -> None:
    """Role, thinking, texts, tool calls in fragments, finish reason, usage, then [DONE]."""
    *chunks, usage, done = events(ask(chat_answer("a", thinking="hm", tool_calls=[("f", {"x": 1}), ("g", "{")])).text)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]

    assert [{"role": "assistant", "content": ""}, {"reasoning_content": "hm"}, {"content": "a"}] == deltas[:3]
    assert [(0, "call_1", "f"), (1, "call_2", "g")] == [
        (call["index"], call["id"], call["function"]["name"]) for call in calls if "id" in call
    ]
    assert ['{"x":1}', "{"] == [
        "".join(call["function"]["arguments"] for call in calls if call["index"] == index) for index in (0, 1)
    ]
    assert "tool_calls" == chunks[-1]["choices"][0]["finish_reason"]
    assert ([], 6) == (usage["choices"], usage["usage"]["total_tokens"])
    assert "[DONE]" == done


def test_a_chat_answer_can_leave_usage_out() -> None:
    """Finish reason, model and usage are the test's choice."""
    *_, last, done = events(ask(chat_answer("a", finish="length", usage=False, model="m")).text)

    assert ("length", "m", "[DONE]") == (last["choices"][0]["finish_reason"], last["model"], done)


def test_an_anthropic_answer_has_all_its_parts() -> None:
    """Each block starts, has its deltas and stops, in order; every event is named after its type."""
    body = ask(anthropic_answer("a", "b", thinking="hm", tool_calls=[("f", {"x": 1})])).text
    told = events(body)
    names = [line[7:] for line in body.split("\n") if line.startswith("event: ")]
    deltas = [(e["index"], e["delta"]["type"]) for e in told if e["type"] == "content_block_delta"]

    assert names == [event["type"] for event in told]
    assert ("message_start", "message_delta", "message_stop") == (names[0], *names[-2:])
    assert [0, 1, 2] == [event["index"] for event in told if event["type"] == "content_block_stop"]
    assert [
        (0, "thinking_delta"),
        (0, "signature_delta"),
        (1, "text_delta"),
        (1, "text_delta"),
        (2, "input_json_delta"),
        (2, "input_json_delta"),
    ] == deltas
    assert "tool_use" == told[-2]["delta"]["stop_reason"]


def test_an_anthropic_answer_may_be_a_tool_call_alone() -> None:
    """Without texts there is no text block."""
    told = events(ask(anthropic_answer(tool_calls=[("f", "{}")], finish="max_tokens")).text)

    assert ["tool_use"] == [e["content_block"]["type"] for e in told if e["type"] == "content_block_start"]
    assert "max_tokens" == told[-2]["delta"]["stop_reason"]


@pytest.mark.parametrize(
    ("body", "content"),
    [
        ("slow down", b'{"error":{"message":"slow down","type":"test_error","code":null}}'),
        ({"detail": "no"}, b'{"detail":"no"}'),
        (b"<html>", b"<html>"),
    ],
)
def test_an_error_answer_is_plain(body: Any, content: bytes) -> None:
    """Its body is JSON from a message or a mapping, or just these bytes, with a length and the headers given."""
    response = ask(error_answer(429, body, {"Retry-After": "1", "Content-Type": "text/x"}))

    assert (429, content) == (response.status_code, response.content)
    assert {"content-type": "text/x", "retry-after": "1", "content-length": str(len(content))} == response.headers


def test_an_error_answer_is_json_by_default() -> None:
    """Without headers the content type is JSON's."""
    assert "application/json" == ask(error_answer(500)).headers["content-type"]


def test_error_events_have_both_forms() -> None:
    """OpenAI's is an object under "error", Anthropic's a typed event."""
    openai, anthropic = error_event("no", code="c"), error_event("no", type="overloaded_error", event="error")

    assert b'data: {"error":{"message":"no","type":"server_error","code":"c"}}\n\n' == openai.encode()
    assert (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"no"}}\n\n'
        == anthropic.encode()
    )


# ---------------------------------------------------------------- the package


def test_everything_is_exported() -> None:
    """`__all__` is sorted and names what there is."""
    names = streamkit.testing.__all__

    assert sorted(names) == names
    assert all(hasattr(streamkit.testing, name) for name in names)


def test_importing_needs_no_pytest_and_starts_nothing() -> None:
    """A fresh interpreter imports it without pytest and without a new thread."""
    code = "import sys, threading, streamkit.testing; print('pytest' in sys.modules, threading.active_count())"

    assert "False 1" == subprocess.check_output([sys.executable, "-c", code], text=True).strip()
