"""The steps: what each puts on the wire, how it paces or holds the script, and how the client meets its fault."""

from __future__ import annotations

import http.client
import ssl
import threading
import time

import pytest
import requests

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
    Repeat,
    Reset,
    Send,
    Slowly,
    Status,
    Step,
    Wait,
    error_answer,
)
from tests.scripted import CERTS, CHUNKED, GET, HEAD, connect, read_all, read_exactly, trusting

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
}  # fmt: skip  # fmt: skip


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


# ---------------------------------------------------------------- holding and telling


def test_a_gate_holds_the_script_until_the_test_sets_it(server: ProviderServer) -> None:
    """What is before `Wait` comes at once, what is after it only then; `Notify` tells where the script is."""
    gate, there = Gate(), threading.Event()
    server.reply(Status(200, framing="close"), Send(b"a"), Notify(there), Wait(gate), Send(b"b"))
    with connect(server) as sock:
        assert there.wait(5)
        assert HEAD + b"\r\na" == read_exactly(sock, len(HEAD) + 3)
        gate.set()

        assert b"b" == read_all(sock)


def test_wait_takes_no_plain_event() -> None:
    """A plain event cannot be waited for together with the client's leaving, so it is refused at once."""
    with pytest.raises(TypeError, match="Gate"):
        Wait(threading.Event())  # type: ignore[arg-type]


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
