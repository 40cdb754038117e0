"""Context: a cancellation scope with an optional deadline, as Go's."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Protocol

from streamkit.errors import Cancelled, ConfigError, ContextError, DeadlineExceeded
from streamkit.watchdog import watchdog

__all__ = ["Context", "cancel_on_signals"]

logger = logging.getLogger("streamkit")


class Watcher(Protocol):
    """What wants to know at once that a context was cancelled."""

    def alert(self) -> None:
        """Take note: called inside `cancel()`, so perhaps in a signal handler; may only store an attribute."""

    def cancelled(self) -> None:
        """Act; called on the watchdog's thread."""


class Context:
    """A cancellation scope with an optional deadline, `timeout` seconds from now.

    Thread-safe; may serve any number of streams. As a context manager it is cancelled at exit.
    """

    def __init__(self, timeout: float | None = None) -> None:
        self._parent: Context | None = None
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._error: type[ContextError] | None = None
        self._reason: str | None = None
        # Changed only by single dict operations and read only through copy(): both are atomic, so no lock is needed
        # where a signal handler may come in between.
        self._watchers: dict[int, Watcher] = {}

    def child(self, timeout: float | None = None) -> Context:
        """Give a context that ends with this one, or earlier by itself."""
        child = Context(timeout)
        child._parent = self
        if self._deadline is not None and (child._deadline is None or self._deadline < child._deadline):
            child._deadline = self._deadline
        return child

    def cancel(self, reason: str | None = None) -> None:
        """End it. Idempotent; returns at once; any thread, signal handler or finalizer may call it."""
        if self._ended() is None:
            self._reason = reason
            self._error = Cancelled
            for watcher in self._watchers.copy().values():
                watcher.alert()
            watchdog.post(self._tell)

    @property
    def cancelled(self) -> bool:
        """Whether it has ended, for either reason. Never blocks."""
        return self._ended() is not None

    def error(self) -> ContextError | None:
        """Give `Cancelled`, `DeadlineExceeded`, or None while it lives. Never blocks; the first end stays."""
        ended = self._ended()
        if ended is None:
            return None
        if ended is DeadlineExceeded:
            return DeadlineExceeded("the context's deadline passed: allow more time or ask for less")
        reason = self._why()
        return Cancelled(f"cancelled: {reason}" if reason else "cancelled")

    def remaining(self) -> float | None:
        """Give the seconds to the deadline (0.0 once past), or None without one."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def wait(self, seconds: float | None = None) -> bool:
        """Block until it ends or `seconds` pass; give True if it has ended."""
        until = None if seconds is None else time.monotonic() + seconds
        waiter = _Waiter()
        detach = self.attach(waiter)
        watchdog.watch(waiter)
        try:
            while not self.cancelled:
                limits = [limit - time.monotonic() for limit in (until, self._deadline) if limit is not None]
                left = min(limits, default=None)
                if left is not None and left <= 0:
                    break
                waiter.event.wait(left)
            return self.cancelled
        finally:
            watchdog.unwatch(waiter)
            detach()

    def on_cancel(self, fn: Callable[[], object]) -> Callable[[], None]:
        """Call `fn` once when it ends (at once if it has), on a short-lived thread of its own.

        Gives a function that unregisters it. An exception in `fn` is logged.
        """
        callback = _Callback(fn, self._deadline)
        callback.detach = self.attach(callback)
        root = self
        while root._parent is not None:
            root = root._parent
        # Nobody can cancel any more once the root is gone; only a deadline is then worth waiting for.
        if self._deadline is None:
            callback.root = weakref.ref(root, lambda _: watchdog.post(callback.unregister))
        watchdog.watch(callback)
        if self.cancelled:
            callback.fire()
        return callback.unregister

    def attach(self, watcher: Watcher) -> Callable[[], None]:
        """Tell `watcher` when this context or an ancestor is cancelled; gives the function that ends it. Internal."""
        scopes: list[dict[int, Watcher]] = []
        scope: Context | None = self
        while scope is not None:
            scopes.append(scope._watchers)
            scope._watchers[id(watcher)] = watcher
            scope = scope._parent

        def detach() -> None:
            for watchers in scopes:
                watchers.pop(id(watcher), None)

        return detach

    @property
    def deadline(self) -> float | None:
        """The deadline in `time.monotonic()` seconds, or None."""
        return self._deadline

    def _ended(self) -> type[ContextError] | None:
        if self._error is None:
            scope = self._parent
            while scope is not None and scope._error is not Cancelled:
                scope = scope._parent
            if scope is not None:
                self._error = Cancelled
            elif self._deadline is not None and time.monotonic() >= self._deadline:
                self._error = DeadlineExceeded
        return self._error

    def _why(self) -> str | None:
        scope: Context | None = self
        while scope is not None:
            if scope._error is Cancelled and scope._reason is not None:
                return scope._reason
            scope = scope._parent
        return None

    def _tell(self) -> None:
        for watcher in self._watchers.copy().values():
            watcher.cancelled()

    def __enter__(self) -> Context:
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        """Cancel."""
        self.cancel()

    def __repr__(self) -> str:
        ended, left = self._ended(), self.remaining()
        state = ended.__name__ if ended else "live" if left is None else f"live, {left:.1f} s left"
        return f"<Context {state}>"


class _Waiter:
    """A thread in `Context.wait`."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def alert(self) -> None:
        pass

    def cancelled(self) -> None:
        self.event.set()

    def check(self, now: float) -> float | None:
        return None  # wait() keeps its own deadline; watching only keeps the watchdog alive

    def forked(self) -> None:
        pass  # the thread that waited is not in the child


class _Callback:
    """A function of `Context.on_cancel`."""

    def __init__(self, fn: Callable[[], object], deadline: float | None) -> None:
        self._fn: Callable[[], object] | None = fn
        self._deadline = deadline
        self._lock = threading.Lock()  # guards _fn, so that it runs once
        self.detach: Callable[[], None] = lambda: None
        self.root: weakref.ref[Context] | None = None

    def alert(self) -> None:
        pass

    def cancelled(self) -> None:
        self.fire()

    def check(self, now: float) -> float | None:
        if self._deadline is not None and now >= self._deadline:
            self.fire()
        return self._deadline

    def forked(self) -> None:
        pass  # what the parent registered is the parent's to run

    def fire(self) -> None:
        fn = self._take()
        if fn is not None:
            threading.Thread(target=_logged, args=(fn,), name="streamkit-on-cancel", daemon=True).start()

    def unregister(self) -> None:
        self._take()

    def _take(self) -> Callable[[], object] | None:
        with self._lock:
            fn, self._fn = self._fn, None
        if fn is not None:
            self.detach()
            watchdog.unwatch(self)
        return fn


def _logged(fn: Callable[[], object]) -> None:
    try:
        fn()
    except Exception:
        logger.exception("an on_cancel callback raised")


@contextmanager
def cancel_on_signals(
    ctx: Context, *, message: str | None = None, signals: Sequence[int] = (signal.SIGINT, signal.SIGTERM)
) -> Iterator[Context]:
    """Cancel `ctx` on SIGINT or SIGTERM while the `with` body runs, then restore the old handlers.

    `message` (such as "\\n\\nCancelling...\\n") is written to stdout once, by `os.write`: print may not be called in a
    handler. A second SIGINT raises KeyboardInterrupt. Main thread only; elsewhere `ConfigError`.
    """
    if threading.current_thread() is not threading.main_thread():
        raise ConfigError("cancel_on_signals works in the main thread only: call it there, or call ctx.cancel()")
    seen = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal seen
        if seen and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not seen:
            seen = True
            if message is not None:
                try:
                    os.write(1, message.encode())
                except OSError:
                    pass  # a closed stdout must not keep the cancel from happening
        ctx.cancel(f"signal {number}")

    old: dict[int, Any] = {}
    try:
        for number in signals:
            old[number] = signal.signal(number, handle)
        yield ctx
    finally:
        for number, handler in old.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
