"""Context: a cancellation scope with an optional deadline, as Go's."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from types import FrameType, TracebackType
from typing import Any, Protocol

from streamkit import lazy_attrs as attrs
from streamkit.errors import Cancelled, ConfigError, ContextError, DeadlineExceeded, StreamKitError
from streamkit.inbox import take
from streamkit.watchdog import Watched, watchdog

__all__ = ["Context", "cancel_on_signals", "wait_at_once"]

logger = logging.getLogger("streamkit")

_NAP = 0.1
"""Seconds that the main thread waits at once."""


class Watcher(Protocol):
    """What wants to know at once that a context was cancelled."""

    def alert(self) -> None:
        """Take note: called inside `cancel()`, so perhaps in a signal handler; may only store an attribute."""

    def cancelled(self) -> None:
        """Act; called on the watchdog's thread."""


@attrs.frozen
class _End:
    """How a context ended, and when (monotonic seconds)."""

    kind: type[ContextError]
    moment: float
    reason: str | None = None


class Context:
    """A cancellation scope with an optional deadline, `timeout` seconds from now.

    Thread-safe; may serve any number of streams. As a context manager it is cancelled at exit.
    """

    def __init__(self, timeout: float | None = None) -> None:
        if timeout is not None and math.isnan(timeout):
            raise ConfigError("Context(timeout=nan): give seconds, or None for no deadline")
        self._parent: Context | None = None
        # What no clock can wait for is no deadline.
        self._deadline = None if timeout is None or timeout > threading.TIMEOUT_MAX else time.monotonic() + timeout
        # No lock is taken, as a signal handler may come in between any two lines. So the first end that was appended
        # counts, and the watchers are changed by single dict operations and read through copy(): all of them atomic.
        self._ends: list[_End] = []
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
            self._ends.append(_End(Cancelled, time.monotonic(), reason))
            for watcher in self._watchers.copy().values():
                watcher.alert()
                watchdog.post(watcher.cancelled)

    @property
    def cancelled(self) -> bool:
        """Whether it has ended, for either reason. Never blocks."""
        return self._ended() is not None

    def error(self) -> ContextError | None:
        """Give `Cancelled`, `DeadlineExceeded`, or None while it lives. Never blocks; the first end stays."""
        ended = self._ended()
        if ended is None:
            return None
        if ended.kind is DeadlineExceeded:
            return DeadlineExceeded("the context's deadline passed: allow more time or ask for less")
        return Cancelled(f"cancelled: {ended.reason}" if ended.reason else "cancelled")

    def remaining(self) -> float | None:
        """Give the seconds to the deadline (0.0 once past), or None without one."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def wait(self, seconds: float | None = None) -> bool:
        """Block until it ends or `seconds` pass; give True if it has ended."""
        ends = (self._deadline, None if seconds is None else time.monotonic() + seconds)
        until = min((end for end in ends if end is not None), default=math.inf)
        if self.cancelled or until <= time.monotonic():
            return self.cancelled
        waiter = _Waiter()
        waiter.detach = self.attach(waiter)
        try:
            _start(functools.partial(watchdog.watch, waiter))
            while not self.cancelled and (left := until - time.monotonic()) > 0:
                with contextlib.suppress(queue.Empty):
                    take(waiter.ended, wait_at_once(left))
            return self.cancelled
        finally:
            watchdog.unwatch(waiter)
            waiter.detach()

    def on_cancel(self, fn: Callable[[], object]) -> Callable[[], None]:
        """Call `fn` once when it ends (at once if it has), on a short-lived thread of its own.

        Gives a function that unregisters it. An exception in `fn` is logged. In a forked child it is not called.
        """
        callback = _Callback(fn, self._deadline, self._root())
        callback.detach = self.attach(callback)
        try:
            if not self.cancelled:
                _start(functools.partial(watchdog.watch, callback.watched))
            if self.cancelled:  # asked again: a cancel in between found nothing to unwatch
                callback.fire()
        except BaseException:
            callback.unregister()
            raise
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

    def _root(self) -> Context:
        scope = self
        while scope._parent is not None:
            scope = scope._parent
        return scope

    def _ended(self) -> _End | None:
        if not self._ends:
            cancel = self._inherited()
            now = time.monotonic() if cancel is None else cancel.moment
            if self._deadline is not None and now >= self._deadline:
                self._ends.append(_End(DeadlineExceeded, self._deadline))
            elif cancel is not None:
                self._ends.append(cancel)
        return self._ends[0] if self._ends else None

    def _inherited(self) -> _End | None:
        """Give the cancel of the nearest ancestor that was cancelled; their deadlines are ours already."""
        scope = self._parent
        while scope is not None:
            if scope._ends and scope._ends[0].kind is Cancelled:
                return scope._ends[0]
            scope = scope._parent
        return None

    def __enter__(self) -> Context:
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        """Cancel."""
        self.cancel()

    def __repr__(self) -> str:
        ended, left = self._ended(), self.remaining()
        state = ended.kind.__name__ if ended else "live" if left is None else f"live, {left:.1f} s left"
        return f"<Context {state}>"


class _Waiter:
    """A thread in `Context.wait`."""

    detach: Callable[[], None]
    """Set as soon as it is attached."""

    def __init__(self) -> None:
        # Not an Event: what a signal handler raises as that begins to wait would come out as another error.
        self.ended: queue.SimpleQueue[None] = queue.SimpleQueue()

    def alert(self) -> None:
        pass

    def cancelled(self) -> None:
        self.ended.put(None)

    def check(self, now: float) -> float | None:
        return None  # wait() keeps its own deadline; watching only keeps the watchdog alive

    def forked(self) -> None:
        self.detach()  # the thread that waited is not in the child


class _Callback:
    """A function of `Context.on_cancel`."""

    detach: Callable[[], None]
    """Set as soon as it is attached."""

    def __init__(self, fn: Callable[[], object], deadline: float | None, root: Context) -> None:
        self._fn = [fn]  # whoever pops it runs it: so it runs once, and no lock is needed
        self._pid = os.getpid()
        self._deadline = deadline
        self.watched: Watched = _Lifeline(root) if deadline is None else self

    def alert(self) -> None:
        pass

    def cancelled(self) -> None:
        self.fire()

    def check(self, now: float) -> float | None:
        if self._deadline is not None and now >= self._deadline:
            self.fire()
        return self._deadline

    def forked(self) -> None:
        pass  # what the parent process registered is the parent's to run: fire() sees to it

    def fire(self) -> None:
        fn = self._take()
        if fn is not None and self._pid == os.getpid():
            _start(threading.Thread(target=_logged, args=(fn,), name="streamkit-on-cancel", daemon=True).start)

    def unregister(self) -> None:
        self._take()

    def _take(self) -> Callable[[], object] | None:
        self.detach()
        watchdog.unwatch(self.watched)
        try:
            return self._fn.pop()
        except IndexError:
            return None


class _Lifeline:
    """Keeps the watchdog running for a callback without a deadline, until nobody is left who could cancel.

    It does not know the callback: that would keep alive the context which the callback perhaps refers to.
    """

    def __init__(self, root: Context) -> None:
        unwatch = functools.partial(watchdog.unwatch, self)
        self._root = weakref.ref(root, lambda _: watchdog.post(unwatch))

    def check(self, now: float) -> float | None:
        return None

    def forked(self) -> None:
        pass


def _start(starter: Callable[[], object]) -> None:
    """Call what starts a thread, which the system may refuse."""
    try:
        starter()
    except RuntimeError as e:
        raise StreamKitError(f"no thread can be started: {e}; let some end, or raise the process's limit") from e


def _logged(fn: Callable[[], object]) -> None:
    try:
        fn()
    except Exception:
        logger.exception("an on_cancel callback raised")


def wait_at_once(seconds: float) -> float:
    """Give how many of these seconds the calling thread may wait for a lock at once: a short while in the main thread.

    Handlers run in the main thread, and a signal that comes in the microseconds between its last line of Python and the
    wait does not end the wait (on Windows none ever does): Ctrl-C would be heard when the wait is over.
    """
    return min(seconds, _NAP if threading.current_thread() is threading.main_thread() else threading.TIMEOUT_MAX)


@contextlib.contextmanager
def cancel_on_signals(
    ctx: Context, *, message: str | None = None, signals: Sequence[int] = (2, 15)
) -> Iterator[Context]:
    """Cancel `ctx` on SIGINT or SIGTERM while the `with` body runs, then restore the old handlers.

    `message` (such as "\\n\\nCancelling...\\n") is written to stdout once, by `os.write`: print may not be called in a
    handler. A second SIGINT raises KeyboardInterrupt. Main thread only; elsewhere `ConfigError`.
    """
    import signal  # takes half a millisecond, and few programs that stream need it

    if threading.current_thread() is not threading.main_thread():
        raise ConfigError("cancel_on_signals works in the main thread only: call it there, or call ctx.cancel()")
    farewell = (message or "").encode("utf-8", "replace")
    begun = done = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal begun, done
        if done and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not begun:
            begun = True
            # Before the message, which a full pipe would block; and the next signal does not break it off.
            ctx.cancel(f"signal {number}")
            done = True
            try:
                os.write(1, farewell)
            except OSError:
                pass  # there is no stdout any more

    old: dict[int, Any] = {}
    try:
        for number in signals:
            try:
                old[number] = signal.signal(number, handle)
            except (OSError, ValueError) as e:
                raise ConfigError(f"signal {number} cannot be handled: {e}; leave it out of signals") from e
        yield ctx
    finally:
        for number, handler in old.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
