"""Cutter: a way to a server that a test can cut and mend."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from types import TracebackType
from urllib.parse import urlsplit

__all__ = ["Cutter"]


class Cutter:
    """Passes connections on to a server, on a thread.

    While it is cut, none is open, and new ones are closed at once; while it is frozen, all are open and silent.
    """

    def __init__(self, url: str) -> None:
        there = urlsplit(url)
        self._target = (there.hostname, there.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._bell, self._rung = socket.socketpair()
        self._pairs: dict[socket.socket, socket.socket] = {}  # each socket's other one; of the thread alone
        self._is_cut = self._is_frozen = False
        self._ends = False
        self._done = threading.Event()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._pass_on, name="cutter")
        self._thread.start()

    def cut(self) -> None:
        """Break all connections, and refuse new ones."""
        self._is_cut = True
        self._ring()

    def freeze(self) -> None:
        """Let nothing pass; what comes waits."""
        self._is_frozen = True
        self._ring()

    def mend(self) -> None:
        """Let connections be made again, and all pass that has waited."""
        self._is_cut = self._is_frozen = False
        self._ring()

    def _ring(self) -> None:
        self._done.clear()
        self._bell.send(b"x")
        self._done.wait(5)

    def _pass_on(self) -> None:
        while not self._ends:
            watched = [] if self._is_frozen else [self._listener, *self._pairs]
            ready, _, _ = select.select([self._rung, *watched], [], [])
            for sock in ready:
                if sock is self._rung:
                    self._rung.recv(100)
                    if self._is_cut:
                        self._drop(*self._pairs)
                    self._done.set()
                elif sock is self._listener:
                    self._accept()
                elif sock in self._pairs:
                    self._hand_over(sock)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        if self._is_cut:
            near.close()
            return
        far = socket.create_connection(self._target)
        self._pairs |= {near: far, far: near}

    def _hand_over(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(65536)
            if data:
                self._pairs[sock].sendall(data)
                return
        except OSError:
            pass
        self._drop(sock)

    def _drop(self, *socks: socket.socket) -> None:
        for sock in socks:
            other = self._pairs.pop(sock, None)
            if other is not None:
                del self._pairs[other]
                sock.close()
                other.close()

    def __enter__(self) -> Cutter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._ends = True
        self._ring()
        self._thread.join()
        self._drop(*self._pairs)
        for sock in (self._listener, self._bell, self._rung):
            with contextlib.suppress(OSError):
                sock.close()
