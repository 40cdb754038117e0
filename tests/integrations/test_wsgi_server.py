"""The small server: what it serves, what it refuses, and how it ends."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from streamkit import Client, ConfigError, wsgi_app
from streamkit.integrations import wsgi_server
from streamkit.integrations.wsgi_server import serve, serving
from streamkit.testing import Gate, ProviderServer, Stall, Status, Wait, chat_answer
from tests.browsing import Browser, told
from tests.loopback import delta, took
from tests.scripted import read_all


def echo(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """An application that says what it was told."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Method", environ["REQUEST_METHOD"])])
    return [body, b"|", environ["QUERY_STRING"].encode("latin-1")]


def say(url: str, request: bytes) -> bytes:
    """Send these bytes, and read to the end."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=5) as sock:
        sock.sendall(request)
        return read_all(sock)


# -- serving


def test_a_request() -> None:
    """The application gets method, query and body; its answer is sent and the connection closed."""
    with serving(echo) as url:
        answer = say(url, b"POST /?a=1 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello")
    head, _, body = answer.partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"X-Method: POST" in head
    assert b"hello|a=1" == body


def test_tokens_as_they_come(server: ProviderServer, client: Client) -> None:
    """Each at once, several browsers at a time."""
    gate = Gate()
    server.reply(Status(200), delta("Hel"), Wait(gate), *chat_answer("lo")[2:], times=2)
    with serving(wsgi_app(client)) as url, Browser(url) as one, Browser(url) as other:
        assert [{"type": "token", "content": "Hel"}] * 2 == told(one.next(), other.next())
        gate.set()
        assert ["token", "done"] * 2 == [event["type"] for event in told(*one.rest(), *other.rest())]


def test_who_leaves(server: ProviderServer, client: Client) -> None:
    """It is noticed while the provider is silent."""
    server.reply(Stall())
    with serving(wsgi_app(client, keep_alive=None)) as url:
        with Browser(url, headers={}), took(2.0):
            server.wait_for_request()
        server.wait_until(lambda: server.open_connections == 0)


def test_small_pieces_are_not_held_back() -> None:
    """The socket sends each at once (TCP_NODELAY), and the application is shown it."""
    shown: list[int] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        shown.append(environ["streamkit.socket"].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        return echo(environ, start_response)

    with serving(app) as url:
        say(url, b"GET / HTTP/1.0\r\n\r\n")

    assert shown[0]


@pytest.mark.skipif(not socket.has_ipv6, reason="this system has no IPv6")
def test_ipv6() -> None:
    """An address with colons is one."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this system has no ::1")
    with serving(echo, "::1") as url:
        assert url.startswith("http://[::1]:")
        assert say(url, b"GET /?six HTTP/1.0\r\n\r\n").endswith(b"|six")


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """Requests are no news; a failure of the application is logged, and its answer says nothing of it."""

    def failing(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raise ZeroDivisionError("secret")

    with serving(echo) as url:
        say(url, b"GET / HTTP/1.0\r\n\r\n")
    with serving(failing) as url, caplog.at_level(logging.ERROR):
        answer = say(url, b"GET / HTTP/1.0\r\n\r\n")

    assert answer.startswith(b"HTTP/1.0 500 ")
    assert b"secret" not in answer
    assert "ZeroDivisionError" in caplog.text
    assert ("", "") == capfd.readouterr()


# -- what it refuses


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.0\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n", 431),
        (b"GET /" + b"x" * 70_000, 431),
        (b"POST / HTTP/1.0\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"POST / HTTP/1.0\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.0\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nContent-Length: \xb2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/x\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
    ],
)
def test_refusals(request_: bytes, status: int) -> None:
    """What is too large or makes no sense gets a status, and does not reach the application."""

    def never(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raise AssertionError("it was called")

    with serving(never) as url:
        place = urlsplit(url)
        with socket.create_connection((place.hostname or "", place.port or 0), timeout=5) as sock:
            sock.sendall(request_)
            answer = b""
            while b"</html>" not in answer:  # what lies behind it may be a reset
                answer += sock.recv(10_000)

    assert f"Error code: {status}".encode() in answer


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhel"])
@pytest.mark.parametrize("how", ["waits", "leaves"])
def test_half_a_request(monkeypatch: pytest.MonkeyPatch, sent: bytes, how: str) -> None:
    """Its sender has so many seconds for the whole of it; then, or when it leaves, the thread is free."""
    monkeypatch.setattr(wsgi_server, "_PATIENCE", 0.2)
    with serving(echo) as url:
        place = urlsplit(url)
        with socket.create_connection((place.hostname or "", place.port or 0), timeout=5) as sock, took(2.0):
            sock.sendall(sent)
            if how == "leaves":
                sock.shutdown(socket.SHUT_WR)
            answer = read_all(sock)

    assert b"200 OK" not in answer


def test_one_that_drips(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the whole request that has a time: a byte now and then gains none."""
    monkeypatch.setattr(wsgi_server, "_PATIENCE", 0.3)
    with serving(echo) as url:
        place = urlsplit(url)
        with socket.create_connection((place.hostname or "", place.port or 0), timeout=0.05) as sock, took(2.0):
            while True:
                try:
                    sock.sendall(b"X")
                    if sock.recv(1) == b"":
                        break
                except TimeoutError:
                    pass
                except ConnectionError:
                    break


def test_one_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not read what it asked for is given up, and the application told."""
    monkeypatch.setattr(wsgi_server, "_PATIENCE", 0.2)
    closed = threading.Event()

    def endless(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            while True:
                yield bytes(1_000_000)
        finally:
            closed.set()

    with serving(endless) as url:
        place = urlsplit(url)
        with socket.create_connection((place.hostname or "", place.port or 0), timeout=5) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert closed.wait(5)


def test_too_many_connections(monkeypatch: pytest.MonkeyPatch, server: ProviderServer, client: Client) -> None:
    """One more is closed at once; when another one has ended there is room again."""
    monkeypatch.setattr(wsgi_server, "_MAX_CONNECTIONS", 1)
    server.reply(Stall())
    with serving(wsgi_app(client)) as url:
        with Browser(url, headers={}):
            server.wait_for_request()
            assert b"" == say(url, b"")
        server.wait_until(lambda: server.open_connections == 0)


def test_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is closed, and nothing is left of it: it takes nobody's place, and the server ends well."""
    monkeypatch.setattr(wsgi_server, "_MAX_CONNECTIONS", 1)
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "streamkit-http":
            raise RuntimeError("can't start new thread")
        start(thread)

    with serving(echo) as url:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            assert b"" == say(url, b"")

        assert say(url, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200")


# -- where it listens


def test_a_port_that_is_in_use() -> None:
    """It says which, and what to do."""
    with serving(echo) as url, pytest.raises(ConfigError) as raised:
        port = urlsplit(url).port or 0
        serve(echo, port=port)

    assert f"port {port} is in use" in str(raised.value)
    assert f"such as {port + 1}, or 0 for any" in str(raised.value)


@pytest.mark.parametrize("where", [{"host": "no.such.host.invalid"}, {"port": 70_000}, {"port": -1}])
def test_nowhere_to_listen(where: dict[str, Any]) -> None:
    """It says where it could not."""
    with pytest.raises(ConfigError, match="cannot listen on"):
        serve(echo, **where)


def test_a_port_that_is_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which are."""

    def refuse(server: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(wsgi_server.TCPServer, "server_bind", refuse)
    with pytest.raises(ConfigError, match="port 80 is not allowed to this user: take one above 1023"):
        serve(echo, port=80)


# -- the end

PROGRAM = """
    import os, threading
    from streamkit import Client, wsgi_app
    from streamkit.integrations.wsgi_server import serve
    from streamkit.providers import OpenAI

    client = Client(OpenAI("sk-test", base_url=os.environ["PROVIDER"]))
    serve(wsgi_app(client, linger=60), port=0)
    print("ended", [t.name for t in threading.enumerate() if t.name.startswith("streamkit-http")], flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX")
def test_ctrl_c(server: ProviderServer) -> None:
    """It ends at once, also while an answer is silent; that is cancelled, and its browser sees the end."""
    server.reply(Status(200), delta("Hello"), Stall())
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
    environment = {**os.environ, "PROVIDER": server.base_url}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        with Browser(process.stdout.readline().strip()) as browser:
            browser.next()
            with took(2.0):
                process.send_signal(signal.SIGINT)
                rest = told(*browser.rest())
                out, err = process.communicate(timeout=10)

    assert (0, "ended []\n", "") == (process.returncode, out, err)
    assert [{"type": "error", "content": "cancelled: the server was stopped"}] == rest
    server.wait_until(lambda: server.open_connections == 0)
