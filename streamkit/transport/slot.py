"""SocketSlot: the one socket that a stream may be blocked on, for another thread to shut down.

Closing a descriptor does not wake a thread blocked in `recv`; `shutdown` does, within a millisecond, with TLS too. The
slot holds a duplicate of the descriptor, because `wrap_socket` detaches the original and http.client closes it early
for a body that the connection's end delimits.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["SocketSlot", "current_slot"]


class SocketSlot:
    """Holds a socket between the moment it is connected and the moment its connection goes back to the pool.

    The lock makes `interrupt` and `release` exclude each other: a shutdown that came late would kill the stream which
    reuses the connection.
    """

    def __init__(self, *, max_headers: int | None = None) -> None:
        self.max_headers = max_headers
        """Bytes of headers that the answer may have."""
        self.connected = False
        """Whether the connection of the last request stood, so that a timeout is the server's silence."""
        self.reused = False
        """Whether the last request went out on a connection that had served before, and nothing came back on it yet."""
        self._lock = threading.Lock()  # guards _held and _interrupted
        self._held: socket.socket | None = None
        self._interrupted = False
        self._pid = os.getpid()

    @property
    def interrupted(self) -> bool:
        """Whether `interrupt` was called: what the reader meets afterwards is its doing."""
        return self._interrupted

    def hold(self, sock: socket.socket) -> None:
        """Hold this socket instead of any other; shut it down at once if the stream was interrupted."""
        held = socket.socket(sock.family, sock.type, sock.proto, fileno=os.dup(sock.fileno()))
        with self._lock:
            old, self._held = self._held, held
            if self._interrupted:
                _shutdown(held)
        if old is not None:
            old.close()

    def release(self) -> None:
        """Give the socket up: its connection may go back to the pool."""
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            held.close()

    def interrupt(self) -> None:
        """Wake whoever is blocked on the socket; from any thread; idempotent. Not after a fork: it is the parent's."""
        if self._pid != os.getpid():
            return  # nor is the lock ours: it may have been copied while it was held
        with self._lock:
            self._interrupted = True
            if self._held is not None:
                _shutdown(self._held)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Make this the slot of the connections that this thread makes or reuses meanwhile."""
        _current.slot = self
        try:
            yield
        finally:
            _current.slot = None


class _Current(threading.local):
    slot: SocketSlot | None = None


_current = _Current()


def current_slot() -> SocketSlot | None:
    """Give the slot that this thread's connections report to."""
    return _current.slot


def _shutdown(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # not connected any more
