"""Lifeline: the run's end of the ropes by which its workers in other processes hang.

It listens on one address of this machine, and takes in who knows its secret. When the run is cancelled or done, or its
process dies, the connections are cut, and the workers end their streams. What they send are chunks, once they are
wanted.
"""

from __future__ import annotations

import contextlib
import pickle
import socket
import threading
from collections.abc import Callable

from streamkit.errors import StreamKitError
from streamkit.forks import new_lock
from streamkit.parallel.chunk_feed import Tape
from streamkit.parallel.rope import CHUNKS, TAKEN, WANTED, Rope, keep_alive
from streamkit.parallel.sealed import Sealed, greeted, new_secret

__all__ = ["Lifeline"]

BACKLOG = 1024
"""Connections that may wait to be taken in."""
STRANGERS = 64
"""Connections that may be proving themselves at a time, beside those of the workers; more are sent away."""
_NAP = 0.5  # seconds: not every system ends a wait for connections when the listener is closed


class Lifeline:
    """Where a run's workers hang.

    Args:
        host: the address to listen on.
        size: how many workers may come at a time.
        sole: whether nothing else tells the workers of the run's end.
        tape_of: gives the tape for the chunks of a prompt, by its rope's mark, and this attempt at it; or None.

    Raises:
        StreamKitError: the system gives no port, or no thread.
    """

    def __init__(self, host: str, *, size: int = 1, sole: bool, tape_of: Callable[[bytes, bytes], Tape | None]) -> None:
        self._host, self._sole, self._tape_of = host, sole, tape_of
        self._most = STRANGERS + 2 * size  # some have been given up for lost, and live
        self._secret = new_secret()
        self._lock = new_lock()  # guards all that follows
        self._lines: set[Sealed] = set()
        self._strangers: set[socket.socket] = set()
        self._wanted = self._cut = False
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._listener = socket.create_server((host, 0), family=family, backlog=BACKLOG)
        except OSError as e:
            raise StreamKitError(f"no port of {host} can be listened on for the workers: {e}") from e
        self._listener.settimeout(_NAP)
        self._port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._take_in, name="streamkit-lifeline", daemon=True)

    def start(self) -> None:
        """Take in who comes; `StreamKitError` where the system gives no thread."""
        try:
            self._thread.start()
        except RuntimeError as e:
            self.cut()
            raise StreamKitError(f"no thread can be started for the run: {e}") from e

    def rope(self) -> Rope:
        """Give a rope for one prompt."""
        return Rope(host=self._host, port=self._port, sole=self._sole, secret=self._secret)

    def want(self) -> None:
        """Have chunks sent from now on, of what runs and of what comes."""
        with self._lock:
            first, self._wanted = not self._wanted, True
            lines = list(self._lines) if first else []
        for line in lines:
            _ask(line)

    def cut(self) -> None:
        """Tell all that hang on to it. Idempotent; never blocks."""
        with self._lock:
            self._cut = True
            lines, strangers = self._lines.copy(), self._strangers.copy()
        # Each is closed by the thread that waits on it. Forked workers may have copies, which closing would leave open.
        for sock in (self._listener, *strangers):
            with contextlib.suppress(OSError):  # not every system shuts a listener down: then its next nap ends it
                sock.shutdown(socket.SHUT_RDWR)
        for line in lines:
            line.cut()
        if not self._thread.is_alive():
            self._listener.close()

    def forked(self) -> None:
        """In a forked child: give up its copies, which would outlive the run's process."""
        self._listener.close()
        for line in self._lines:
            line.forked()
        for stranger in self._strangers:
            stranger.close()

    def _take_in(self) -> None:
        with self._listener:
            while not self._cut:
                try:
                    sock, _ = self._listener.accept()
                except TimeoutError:
                    continue
                except OSError:  # cut, or too many open files: those who knock are told by the next
                    threading.Event().wait(0 if self._cut else _NAP)
                    continue
                if not self._admitted(sock):
                    self._forget(sock)

    def _admitted(self, sock: socket.socket) -> bool:
        """Have somebody hear who this is, unless there are too many to be heard."""
        with self._lock:
            if self._cut or len(self._strangers) >= self._most:
                return False
            self._strangers.add(sock)
        try:
            threading.Thread(target=self._serve, args=(sock,), name="streamkit-lifeline-worker", daemon=True).start()
        except RuntimeError:
            return False
        return True

    def _forget(self, sock: socket.socket) -> None:
        with self._lock:
            self._strangers.discard(sock)
        sock.close()

    def _serve(self, sock: socket.socket) -> None:
        """Hold one rope, to its end."""
        try:
            keep_alive(sock)
            line = greeted(sock, self._secret)
            hello = line.receive()
        except OSError:
            self._forget(sock)
            return
        try:
            if self._joined(line, sock):
                self._receive(line, hello[:16], hello[16:])
        except OSError:
            pass  # the worker has let go, or the run has ended
        finally:
            with self._lock:
                self._lines.discard(line)
            line.close()

    def _joined(self, line: Sealed, sock: socket.socket) -> bool:
        line.patient(True)
        with self._lock:
            self._strangers.discard(sock)
            self._lines.add(line)
            wanted, cut = self._wanted, self._cut
        if wanted:
            _ask(line)
        return not cut

    def _receive(self, line: Sealed, mark: bytes, attempt: bytes) -> None:
        """Put what comes on the prompt's tape; a reader that is too far behind holds the worker up."""
        tape: Tape | None = None
        while True:
            message = line.receive()
            tape = tape or self._tape_of(mark, attempt)
            if tape is None:
                return  # it has its outcome already
            if not message.startswith(CHUNKS):
                break
            for chunk in pickle.loads(message[len(CHUNKS) :]):  # noqa: S301 - who sent it knows the run's secret
                tape.add(chunk)
        if tape.stale:
            return  # the prompt has been asked again meanwhile
        line.send(TAKEN)
        with contextlib.suppress(OSError):
            line.receive()  # until the worker lets go: it takes a line that is cut for the end of the run


def _ask(line: Sealed) -> None:
    with contextlib.suppress(OSError):
        line.send(WANTED)
