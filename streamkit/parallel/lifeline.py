"""Lifeline: tells workers in other processes of this machine that their run has ended, however it ended.

The run listens on a port of the loopback interface and never accepts; each worker process connects once and waits. When
the run is cancelled or done, or its process dies, the system resets the connections, and the workers end their streams.
Nothing is sent either way. On other machines there is no lifeline: there the deadline is all that ends a stream early.
"""

from __future__ import annotations

import contextlib
import platform
import socket
import threading

import attrs

from streamkit.context import Context
from streamkit.errors import StreamKitError
from streamkit.forks import new_lock

__all__ = ["Lifeline", "Rope", "context_of"]

BACKLOG = 1024
"""Worker processes that can hang on to one run."""


@attrs.frozen
class Rope:
    """Where a lifeline can be taken hold of; it pickles."""

    machine: str
    port: int


class Lifeline:
    """The run's end.

    Raises:
        StreamKitError: the system gives no port.
    """

    def __init__(self) -> None:
        try:
            self._listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        except OSError as e:
            raise StreamKitError(f"no port of this machine can be listened on for the workers: {e}") from e
        self.rope = Rope(platform.node(), self._listener.getsockname()[1])

    def cut(self) -> None:
        """Tell all that hang on to it. Idempotent; never blocks."""
        with contextlib.suppress(OSError):  # where a listener cannot be shut down, closing it does the same
            self._listener.shutdown(socket.SHUT_RDWR)  # forked workers may have a copy, which closing would leave open
        self._listener.close()

    def forked(self) -> None:
        """In a forked child: give up its copy, which would outlive the run's process."""
        self._listener.close()


_contexts: dict[Rope, Context] = {}
_lock = new_lock()  # guards _contexts


def context_of(rope: Rope) -> Context:
    """Give the context that ends with the run, one for all its prompts in this process."""
    if rope.machine != platform.node():
        return Context()
    with _lock:
        if rope not in _contexts:
            ctx = Context()
            try:
                sock = socket.create_connection(("127.0.0.1", rope.port))
            except OSError:
                ctx.cancel("the run has ended")
                return ctx
            threading.Thread(target=_hold, args=(rope, sock, ctx), name="streamkit-lifeline", daemon=True).start()
            _contexts[rope] = ctx  # now that it is held
        return _contexts[rope]


def _hold(rope: Rope, sock: socket.socket, ctx: Context) -> None:
    """Wait for the end of the run."""
    with sock, contextlib.suppress(OSError):
        sock.recv(1)
    with _lock:
        _contexts.pop(rope, None)
    ctx.cancel("the run has ended")
