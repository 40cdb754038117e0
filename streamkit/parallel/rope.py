"""Ropes: by which a worker in another process hangs on to its run, and sends the chunks of a prompt if they are wanted.

A worker takes hold for each prompt. While it holds, the end of the run is felt at once, however that ends: the system
cuts the connections of a process that has died. Chunks go out only once the run has asked for them.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import pickle
import queue
import secrets
import socket
import threading
from collections import deque
from collections.abc import Iterator
from types import TracebackType

from streamkit import lazy_attrs as attrs
from streamkit.context import Context
from streamkit.forks import new_lock
from streamkit.inbox import take
from streamkit.parallel.chunk_feed import Cursor, Tape
from streamkit.parallel.sealed import LONGEST, Sealed, called
from streamkit.types.chunks import Chunk

__all__ = ["CHUNKS", "END", "TAKEN", "WANTED", "Grip", "Rope", "keep_alive"]

logger = logging.getLogger("streamkit")

WANTED, TAKEN = b"wanted", b"taken"
"""What a run says: send the chunks of this prompt; all of them have come."""
CHUNKS, END = b"c", b"e"
"""What a worker's messages begin with: a list of chunks, pickled; there are no more."""

CONNECT = 3.0
"""Seconds to reach the run."""
REFUSED = 1.0
"""Seconds in which Dask tells that it wants the prompt no longer, if the run cannot be connected to for that reason."""
_QUIET, _PROBES = 10, 3  # seconds of silence until a machine that has vanished is asked whether it is there; how often
_NAP = 0.5


@attrs.frozen(kw_only=True)
class Rope:
    """Where a run can be taken hold of; it pickles.

    `sole`: nothing else tells the worker of the run's end, so without it nothing is asked. `mark` names the prompt.
    """

    host: str
    port: int
    sole: bool
    secret: bytes = attrs.field(repr=False)
    mark: bytes = attrs.field(factory=lambda: secrets.token_bytes(16))


_unreachable: deque[bytes] = deque(maxlen=16)
"""The secrets of the last runs that could not be reached. Adding to it and looking into it need no lock."""


class Grip:
    """A worker's hold on a rope while it asks a prompt; ends `ctx` when the run ends. A context manager.

    `attempt` tells this asking of the prompt from others of the same. Unless `live`, no chunk is sent.
    """

    def __init__(self, rope: Rope, ctx: Context, tape: Tape, *, live: bool = True) -> None:
        self.attempt = secrets.token_bytes(8)
        self._rope = rope
        self._ctx = ctx
        self._tape = tape
        self._line: Sealed | None = None
        self._answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._lock = new_lock()  # guards the next two
        self._cursor: Cursor | None = None
        self._over = not live

    def __enter__(self) -> Grip:
        """Take hold; where nobody is at the run's end, `ctx` ends if the rope is the sole one."""
        address = self._rope.host, self._rope.port
        if self._rope.secret in _unreachable:
            return self
        try:
            self._line = _connected(address, self._rope.secret)
            self._line.send(self._rope.mark + self.attempt)
            self._line.patient(True)
            threading.Thread(target=self._listen, args=(self._line,), name="streamkit-rope", daemon=True).start()
        except (OSError, RuntimeError) as e:
            if self._line is not None:
                self._line.close()
            self._missed(e)
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        """Let go."""
        if self._line is not None:
            self._line.cut()

    def deliver(self) -> bool:
        """Send what is left of the chunks, if they were asked for; give whether the run has them all.

        Blocks while their readers over there do not read, and no longer than the run lives.
        """
        with self._lock:
            self._over = True
            cursor = self._cursor
        if cursor is None:
            return False
        cursor.close()
        while not self._ctx.cancelled:
            with contextlib.suppress(queue.Empty):
                return take(self._answers, _NAP)  # in naps: a deadline of the context ends nothing here
        return False

    def _missed(self, error: Exception) -> None:
        address = self._rope.host, self._rope.port
        if isinstance(error, TimeoutError):  # what has ended would refuse: it is too busy, or behind a wall
            logger.warning("the run at %s:%d cannot be reached: no chunks are sent", *address)
            _unreachable.append(self._rope.secret)  # the next prompts do not wait for it
        elif self._rope.sole:
            self._ctx.cancel("the run has ended")
        else:
            self._ctx.wait(REFUSED)  # most likely it has ended, and whoever else knows of it says so

    def _listen(self, line: Sealed) -> None:
        """Do what the run says, to its end or the prompt's."""
        try:
            while (said := line.receive()) != TAKEN:
                if said == WANTED:
                    self._begin(line)
            self._answers.put(True)
            line.receive()  # nothing more is said
        except OSError:
            pass  # it is cut
        finally:
            self._ctx.cancel("the run has ended")  # which is nothing where the prompt has ended before
            self._answers.put(False)
            line.close()

    def _begin(self, line: Sealed) -> None:
        """Send chunks from now on."""
        with self._lock:
            if self._over or self._cursor is not None:
                return  # they go with the answer, or are on their way
            self._cursor = cursor = Cursor()
        self._tape.join(cursor)
        send = functools.partial(self._send, line, cursor)
        threading.Thread(target=send, name="streamkit-rope-chunks", daemon=True).start()

    def _send(self, line: Sealed, cursor: Cursor) -> None:
        try:
            for chunks in cursor.lists():
                for packed in _packed(chunks):
                    line.send(CHUNKS + packed)
            line.send(END)
        except OSError:
            self._answers.put(False)  # they go with the answer
        finally:
            cursor.shutdown(immediate=True)  # or the stream would wait for room


def keep_alive(sock: socket.socket) -> None:
    """Have the system notice when the other machine vanishes without a word, and send each message at once."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", _QUIET), ("TCP_KEEPINTVL", _QUIET), ("TCP_KEEPCNT", _PROBES)):
        if hasattr(socket, name):  # pragma: no branch - not on every system
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _connected(address: tuple[str, int], secret: bytes) -> Sealed:
    sock = socket.create_connection(address, timeout=CONNECT)
    try:
        keep_alive(sock)
        return called(sock, secret)
    except BaseException:
        sock.close()
        raise


def _packed(chunks: list[Chunk]) -> Iterator[bytes]:
    """Give the chunks in messages that are not too long; OSError where one alone is."""
    packed = pickle.dumps(chunks)
    if len(packed) < LONGEST:
        yield packed
        return
    if len(chunks) == 1:
        raise OSError("a chunk is too long for a message")
    half = len(chunks) // 2
    yield from _packed(chunks[:half])
    yield from _packed(chunks[half:])
