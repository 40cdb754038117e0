"""The scripted server: which request meets which script, and that nothing of it is left."""

from __future__ import annotations

import os
import resource
import socket
import ssl
import subprocess
import sys
import threading
from typing import Any

import pytest
import requests

import streamkit.testing
from streamkit.errors import ConfigError
from streamkit.testing import (
    Close,
    Gate,
    ProviderServer,
    Raw,
    Reset,
    Send,
    Stall,
    Status,
    Step,
    Wait,
    Wire,
    chat_answer,
    error_answer,
)
from tests.scripted import BLOCKING, CERTS, GET, connect, events, read_all, trusting


def test_three_lines_stream_an_answer(server: ProviderServer) -> None:
    """The shortest use: queue an answer, ask, and the text comes."""
    server.reply(chat_answer("Hello", " world"))
    body = requests.post(f"{server.base_url}/chat/completions", json={"model": "m"}, timeout=5).text

    assert "Hello world" == "".join(e["choices"][0]["delta"].get("content", "") for e in events(body)[:-2])


def test_requests_take_scripts_in_order(server: ProviderServer) -> None:
    """Each request takes the next script, `times` repeats one, and with None it stands in when the queue is empty."""
    server.reply(error_answer(200), times=None)
    server.reply(error_answer(503), times=2)
    server.reply(error_answer(404))

    assert [503, 503, 404, 200, 200] == [requests.get(server.url, timeout=5).status_code for _ in range(5)]


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


def test_waiting_for_a_request_has_a_bound(server: ProviderServer) -> None:
    """It raises TimeoutError that says what did come."""
    with pytest.raises(TimeoutError, match="0 requests, 0 of 0 connections open"):
        server.wait_for_request(timeout=0.01)


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
