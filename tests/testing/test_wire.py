"""One connection: the requests read from it, the scripts run on it, and that its end is seen."""

from __future__ import annotations

import http.client
import socket
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from streamkit.errors import ConfigError
from streamkit.testing import (
    Close,
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
    Status,
    Step,
    Wait,
    chat_answer,
    error_answer,
)
from tests.scripted import BLOCKING, CERTS, CHUNKED, GET, HEAD, connect, events, read_all, read_exactly, trusting


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


def test_what_is_no_http_is_an_error(server: ProviderServer) -> None:
    """A client that speaks something else shows in `errors`."""
    with connect(server, b"hello\r\n\r\n") as sock, pytest.raises(ConnectionResetError):
        sock.recv(1)
    server.wait_until(lambda: server.open_connections == 0)

    assert [ConfigError] == [type(server.errors.pop())]


# ---------------------------------------------------------------- scripts


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


def test_a_gate_set_before_does_not_hold(server: ProviderServer) -> None:
    """A gate stays open once it is set."""
    gate = Gate()
    gate.set()
    server.reply(Wait(gate), error_answer(200), times=2)

    assert [200, 200] == [requests.get(server.url, timeout=5).status_code for _ in range(2)]


# ---------------------------------------------------------------- keeping the connection


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


# ---------------------------------------------------------------- the end of the connection


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
def test_a_blocked_step_sees_a_tls_client_go(steps: list[Step]) -> None:
    """As without TLS: the request's `disconnected` is set."""
    with ProviderServer(tls=CERTS / "localhost.pem") as server:
        server.reply(steps)
        sock = trusting().wrap_socket(connect(server, b""), server_hostname="localhost")
        sock.sendall(GET)
        request = server.wait_for_request()
        sock.close()

        assert request.disconnected.wait(5)


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


def test_a_script_that_sends_after_its_reset_ends(server: ProviderServer) -> None:
    """It does not take its own reset for the client's leaving."""
    after = threading.Event()
    server.reply(Status(200), Reset(), Pause(0.01), Send(b"x"), Notify(after))
    with connect(server):
        server.wait_until(lambda: (server.connections, server.open_connections) == (1, 0))

    assert (False, False) == (server.requests[0].disconnected.is_set(), after.is_set())


# ---------------------------------------------------------------- compression


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


# ---------------------------------------------------------------- counting


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
