"""client_gone: what a server's socket tells of its client, and where there is a socket to be asked."""

from __future__ import annotations

import io
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from streamkit.integrations.web.client import client_gone
from tests.loopback import CERTS
from tests.scripted import trusting


@attrs.frozen
class Pair:
    """The two ends of a connection."""

    ours: socket.socket
    theirs: socket.socket


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A connection over TCP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()) as theirs, listener.accept()[0] as ours:
            yield Pair(ours, theirs)


@pytest.fixture(params=["POLLRDHUP", "peeking", "peeking without poll"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ways to look, of Linux, of other systems, and of Windows."""
    if request.param == "POLLRDHUP" and not hasattr(select, "POLLRDHUP"):
        pytest.skip("this system has no POLLRDHUP")
    if request.param != "POLLRDHUP":
        monkeypatch.delattr(select, "POLLRDHUP", raising=False)
    if request.param == "peeking without poll":
        monkeypatch.delattr(select, "poll", raising=False)


def gone_of(sock: socket.socket) -> Callable[[], bool]:
    """What tells of a socket."""
    gone = client_gone({"streamkit.socket": sock})
    assert gone is not None
    return gone


@pytest.mark.usefixtures("way")
class TestLooking:
    """Each of the ways tells the same."""

    def test_one_that_stays(self, pair: Pair) -> None:
        """It is there; also where the socket has a timeout, which is not waited for."""
        pair.ours.settimeout(60)

        assert not gone_of(pair.ours)()

    def test_one_that_says_more(self, pair: Pair) -> None:
        """Its next request is no leaving, and stays to be read."""
        pair.theirs.sendall(b"GET / HTTP/1.1\r\n")
        select.select([pair.ours], [], [], 5)

        assert not gone_of(pair.ours)()
        assert b"GET / HTTP/1.1\r\n" == pair.ours.recv(100)

    @pytest.mark.parametrize("how", ["close", "half", "reset"])
    def test_one_that_leaves(self, pair: Pair, how: str) -> None:
        """It has, however it did."""
        if how == "half":
            pair.theirs.shutdown(socket.SHUT_WR)
        else:
            if how == "reset":
                pair.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            pair.theirs.close()
        select.select([pair.ours], [], [], 5)

        assert gone_of(pair.ours)()

    def test_a_socket_that_the_server_has_closed(self, pair: Pair) -> None:
        """Nobody can be there."""
        gone = gone_of(pair.ours)
        pair.ours.close()

        assert gone()

    def test_tls(self, pair: Pair) -> None:
        """It looks beneath: nothing that lies there is taken, and a leaving is seen."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTS / "localhost.pem")
        wrapped: list[socket.socket] = []
        thread = threading.Thread(
            target=lambda: wrapped.append(trusting().wrap_socket(pair.theirs, server_hostname="localhost"))
        )
        thread.start()
        with context.wrap_socket(pair.ours, server_side=True) as ours:
            thread.join()
            wrapped[0].sendall(b"next")
            select.select([ours], [], [], 5)

            assert not gone_of(ours)()
            assert b"next" == ours.recv(100)
            wrapped[0].close()
            select.select([ours], [], [], 5)
            assert gone_of(ours)()


def test_one_that_leaves_behind_its_next_request(pair: Pair) -> None:
    """It has left."""
    if not hasattr(select, "POLLRDHUP"):
        pytest.skip("this system shows only that there is something to read")
    pair.theirs.sendall(b"GET / HTTP/1.1\r\n")
    pair.theirs.close()
    poll = select.poll()
    poll.register(pair.ours, select.POLLRDHUP)
    poll.poll(5000)

    assert gone_of(pair.ours)()


class Channel:
    """A connection as waitress has it."""

    def __init__(self, sock: socket.socket | None) -> None:
        self.socket = sock
        self.connected = True

    def disconnected(self) -> bool:
        """What the environment has."""
        return not self.connected


@pytest.mark.parametrize(
    "shown",
    [
        lambda sock: {"werkzeug.socket": sock},
        lambda sock: {"gunicorn.socket": sock},
        lambda sock: {"streamkit.socket": sock},
        lambda sock: {"waitress.client_disconnected": Channel(sock).disconnected},
        lambda sock: {"wsgi.input": sock.makefile("rb")},
    ],
    ids=["werkzeug", "gunicorn", "streamkit", "waitress", "wsgiref"],
)
def test_where_servers_show_their_socket(pair: Pair, shown: Callable[[socket.socket], dict[str, Any]]) -> None:
    """Each in its own place."""
    environ = shown(pair.ours)
    gone = client_gone(environ)
    assert gone is not None
    assert not gone()

    pair.theirs.close()
    select.select([pair.ours], [], [], 5)
    assert gone()
    if "wsgi.input" in environ:
        environ["wsgi.input"].close()


def test_a_channel_that_was_read(pair: Pair) -> None:
    """A server that reads ahead knows it before its socket shows it."""
    channel = Channel(pair.ours)
    gone = client_gone({"waitress.client_disconnected": channel.disconnected})
    assert gone is not None
    channel.connected = False

    assert gone()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"wsgi.input": io.BytesIO(), "gunicorn.socket": None, "werkzeug.socket": "a socket"},
        {"waitress.client_disconnected": lambda: False, "wsgi.input": io.BufferedReader(io.BytesIO())},
        {"wsgi.input": SimpleNamespace(raw=object())},
    ],
)
def test_servers_that_show_none(environ: dict[str, Any]) -> None:
    """There is nothing to ask: the next write will tell."""
    assert client_gone(environ) is None
