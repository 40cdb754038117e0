"""Whether the client of a WSGI request is still there: asked of the server's socket, without a thread.

WSGI has no word for it. A server notices a client that has left when it writes, and while a provider is silent there is
nothing to write. Most servers let the application have the socket, each in its own way.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["client_gone"]


def client_gone(environ: Mapping[str, Any]) -> Callable[[], bool] | None:
    """Give what tells, at once, whether the client has closed its connection; None where the server does not show it.

    Known are waitress, gunicorn, werkzeug, wsgiref and what is built on it, and our own server. A client that closes
    only its sending half has left, too, as servers have it. Data that it sends, as its next request, is no leaving.
    """
    sock = _socket(environ)
    if sock is None:
        return None
    disconnected = environ.get("waitress.client_disconnected")

    def gone() -> bool:
        return bool(disconnected is not None and disconnected()) or _is_closed(sock)

    return gone


def _socket(environ: Mapping[str, Any]) -> socket.socket | None:
    channel = getattr(environ.get("waitress.client_disconnected"), "__self__", None)
    stream = getattr(environ.get("wsgi.input"), "raw", None)
    candidates = [
        *(environ.get(f"{server}.socket") for server in ("streamkit", "werkzeug", "gunicorn")),
        getattr(channel, "socket", None),
        getattr(stream, "_sock", None) if isinstance(stream, socket.SocketIO) else None,  # wsgiref
    ]
    return next((each for each in candidates if isinstance(each, socket.socket)), None)


def _is_closed(sock: socket.socket) -> bool:
    """Whether the other side has closed, or this one, of a socket of any kind; never blocks and takes no data."""
    try:
        return _hung_up(sock) if hasattr(select, "POLLRDHUP") else _at_end(sock)
    except (OSError, ValueError):  # closed by the server
        return True


def _hung_up(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLRDHUP)  # POLLHUP and POLLERR are always told
    return bool(poll.poll(0))


def _at_end(sock: socket.socket) -> bool:
    """Look where the system has no POLLRDHUP: what is readable and gives nothing is at its end."""
    if not _readable(sock):
        return False
    # Of the plain class: one with TLS refuses to peek, and what lies there is none of its business.
    return not socket.socket.recv(sock, 1, socket.MSG_PEEK)


def _readable(sock: socket.socket) -> bool:
    if not hasattr(select, "poll"):
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))
