"""Channels: closable queues, and the pipe beneath the three of a stream.

A `Pipe` owns the items, the lock, the conditions and the outcome. The producer and the watchdog hold the pipe and never
the channels: so the channels can be collected when the user drops them, and that is how an abandoned stream is noticed.
`Channel` and `Outcome` are `queue.Queue`s that take the pipe's deque, lock and conditions for their own.

Readers pop the deque without the lock while it has items. What they must notice between items (a writer waiting for
room, a cancel) raises one flag, `alert`, so that an item costs one attribute look-up more and nothing else.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from streamkit.context import wait_at_once
from streamkit.errors import ChannelClosed, ConfigError

__all__ = ["Channel", "Outcome", "Pipe"]

T = TypeVar("T")

_BATCH = 1_000
"""The most items of a batch: a writer that waits for room is woken between batches."""


class Pipe(Generic[T]):
    """Items on their way, and one outcome, settled once.

    Writers wait while `bound` items lie unread (0: no bound). `claim` decides the outcome and `publish` shows it, so
    that the producer can run observers in between, while a cancel that comes then publishes what was decided and frees
    the readers at once.
    """

    def __init__(self, bound: int = 0, *, logs: bool = False) -> None:
        # mutex guards every field below. Readers may pop items without it; they only ever take away. An RLock, as it
        # knows whether it is held: see `_sleep`.
        self.mutex = threading.RLock()
        self.not_empty = threading.Condition(self.mutex)
        self.not_full = threading.Condition(self.mutex)
        self.changed = threading.Condition(self.mutex)  # opened, claimed or closed
        self.drained = threading.Condition(self.mutex)  # for task_done() and join()
        self.logged = threading.Condition(self.mutex)  # more in the log, or closed
        self.items: deque[T] = deque()
        self.log: list[T] | None = [] if logs else None  # every item there was; it only grows
        self.bound = max(0, bound)
        self.unfinished = 0
        self.opened = False
        self._announced = False  # whether who waits for `opened` was woken
        self.closed = False
        self.claimed: tuple[Any, Any] | None = None
        self.err: deque[Any] = deque()  # each gets its one value when the pipe is closed with an outcome
        self.final: deque[Any] = deque()
        # Flags for readers. cut: deliver nothing more (set by alerts in signal handlers: plain stores only).
        self.alert = False
        self.cut = False
        self.missed = False  # whether a cancel took items from the readers
        self.producer = 0  # the id of the thread that fills it, which must not wait for itself
        self.ended_by: Callable[[], bool] | None = None  # asked before each item once closed: has the context ended?
        self._writers = 0
        self._low = 0  # a waiting writer is woken when no more items than this are left
        self._rest: deque[T] = deque()  # what a writer that waits for room has still to hand over

    # -- the writing side

    def put_many(self, batch: Sequence[T]) -> bool:
        """Hand items over, waiting for room; give False when the pipe was closed and took none or not all."""
        with self.mutex:
            if self.closed:
                return False
            size = len(batch)
            self.unfinished += size
            if self.log is not None:
                self.log.extend(batch)
                self.logged.notify_all()
            fits = not self.bound or len(self.items) + size <= self.bound
            if fits:
                self.items.extend(batch)
                self.not_empty.notify(size)
            if not self._announced:
                self._announce()
            if fits:
                return True
            self._rest.extend(batch)
            return self._put_rest()

    def put(self, item: T, block: bool, timeout: float | None) -> None:
        """Hand one item over as `queue.Queue.put` does; `ChannelClosed` when closed."""
        until = _until(timeout) if block else None
        with self.mutex:
            if not self.closed and self._is_full():
                if not block:
                    raise queue.Full
                self._low = self.bound - 1
                self._wait(self.not_full, lambda: self.closed or not self._is_full(), until, queue.Full, writer=True)
            if self.closed:
                raise ChannelClosed("put on a closed channel")
            self.items.append(item)
            self.unfinished += 1
            self.not_empty.notify()

    def room(self, wanted: int, wait: float) -> int:
        """Wait for room for so many items, `wait` seconds at most; give for how many of them there is room."""
        with self.mutex:
            self._low = self.bound - wanted
            with contextlib.suppress(queue.Full):
                self._wait(self.not_full, lambda: self._room(wanted) == wanted, _until(wait), queue.Full, writer=True)
            return self._room(wanted)

    def _room(self, wanted: int) -> int:
        return wanted if self.closed or not self.bound else max(0, min(wanted, self.bound - len(self.items)))

    def _is_full(self) -> bool:
        return 0 < self.bound <= len(self.items)

    def _put_rest(self) -> bool:
        rest = self._rest
        while not self.closed:
            room = self.bound - len(self.items) if self.bound else len(rest)
            moved = min(room, len(rest))
            for _ in range(moved):
                self.items.append(rest.popleft())
            if moved > 0:
                self.not_empty.notify(moved)
            if not rest:
                return True
            self._writers += 1
            self._low = self.bound // 2  # in bulk: waking the producer for each item would cost more
            self.alert = True
            # Looked at again after the flag is up: a reader that popped before it saw the flag will not wake us.
            if self._is_full():
                self._sleep(self.not_full, wait_at_once(math.inf))
            self._writers -= 1
        return False

    def open(self) -> None:
        """Say that the answer is open; `announce`, or the first items, wake who waits for that."""
        self.opened = True

    def announce(self) -> None:
        """Wake who waits for `opened`."""
        with self.mutex:
            self._announce()

    def _announce(self) -> None:
        self._announced = True
        self.changed.notify_all()

    def lift(self) -> None:
        """Drop the bound for good: somebody waits for the outcome, so the producer must not wait for a reader."""
        with self.mutex:
            if self.bound:
                self.bound = 0
                self.not_full.notify_all()

    def claim(self, err: Any, final: Any) -> bool:
        """Decide the outcome; False when it was decided before."""
        with self.mutex:
            if self.claimed is not None:
                return False
            self.claimed = (err, final)
            return True

    def publish(self, *, discard: bool = False) -> None:
        """Show the claimed outcome and close; readers get what lies here first, or with `discard` nothing more."""
        with self.mutex:
            if self.closed:
                return
            assert self.claimed is not None  # claim() comes first
            self.err.append(self.claimed[0])
            self.final.append(self.claimed[1])
            self._close(discard=discard)

    def close(self, *, discard: bool = False) -> None:
        """Close without an outcome: a user's own channel."""
        with self.mutex:
            if discard or not self.closed:
                self._close(discard=discard)

    def _close(self, *, discard: bool) -> None:
        self.closed = True
        self.items.extend(self._rest)
        self._rest.clear()
        if discard:
            self._discard()
        self._lower_alert()
        for condition in (self.not_empty, self.not_full, self.changed, self.drained, self.logged):
            condition.notify_all()

    def _discard(self) -> None:
        """Drop what lies here, one by one: a reader may be taking items at the same time."""
        try:
            while True:
                self.items.popleft()
                self.unfinished -= 1
                self.missed = True
        except IndexError:
            self.drained.notify_all()

    def _lower_alert(self) -> None:
        """Lower the flag unless readers have something to attend to."""
        self.alert = self._writers > 0 or (self.closed and self.ended_by is not None)
        if self.cut:  # asked last: a signal handler may have raised both flags in between
            self.alert = True

    # -- the reading side

    def take(self, block: bool, timeout: float | None) -> T:
        """Wait for an item and take it; `ChannelClosed` when closed and drained, `queue.Empty` when time is up."""
        until = _until(timeout) if block else None
        with self.mutex:
            while True:
                try:
                    return self.items.popleft()
                except IndexError:  # perhaps another reader was quicker: it needs no lock
                    if self.closed:
                        raise ChannelClosed("the channel is closed and drained") from None
                    if not block:
                        raise queue.Empty from None
                self.refuse_producer()
                self._wait(self.not_empty, lambda: self.closed or bool(self.items), until, queue.Empty)

    def refuse_producer(self) -> None:
        """Raise where the thread that would wait is the one that is waited for."""
        if self.producer == threading.get_ident():
            raise ConfigError("this waits for a stream on the stream's own thread, as in a hook of it: ask elsewhere")

    def may_deliver(self) -> bool:
        """Attend to a raised `alert` after taking an item; False when the item must not be delivered any more."""
        with self.mutex:
            if self.is_cut():
                self.unfinished -= 1  # the item at hand
                self.missed = True
                self._discard()
                return False
            if not self._writers:
                self._lower_alert()
            elif len(self.items) <= self._low:
                self.not_full.notify_all()
            return True

    def is_cut(self) -> bool:
        """Attend to a raised `alert`: whether nothing more is to be delivered; then the outcome has been published."""
        with self.mutex:
            if self.closed and self.ended_by is not None and self.ended_by():
                self.cut = True
            if self.cut:
                self._wait(self.changed, lambda: self.closed, None, queue.Empty)
            return self.cut

    def wait_changed(self, ready: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until `ready()`, which is asked after each change of state; False when time is up first."""
        with self.mutex:
            try:
                self._wait(self.changed, ready, _until(timeout), queue.Empty)
            except queue.Empty:
                return False
            return True

    def wait_logged(self, at: int, timeout: float | None = None) -> bool:
        """Wait until the log has an item `at`; False when it is closed and has none, or when time is up first."""
        log = self.log
        assert log is not None  # asked of pipes that log only
        if len(log) <= at:
            with self.mutex, contextlib.suppress(queue.Empty):
                self._wait(self.logged, lambda: self.closed or len(log) > at, _until(timeout), queue.Empty)
        return len(log) > at

    def _wait(
        self,
        condition: threading.Condition,
        ready: Callable[[], bool],
        until: float | None,
        late: type[Exception],
        *,
        writer: bool = False,
    ) -> None:
        """Wait under the mutex until `ready()`; raise `late` when the time `until` passes first."""
        self._writers += writer
        try:
            if writer:
                self.alert = True
            while not ready():
                left = math.inf if until is None else until - time.monotonic()
                if left <= 0:
                    raise late
                self._sleep(condition, wait_at_once(left))
        finally:
            self._writers -= writer

    def _sleep(self, condition: threading.Condition, seconds: float) -> None:
        """Wait under the mutex, and have it again afterwards, also where a signal handler raises.

        A `Condition` gives up its lock, and begins to wait, in two steps. What is raised between them (Ctrl-C, mostly)
        leaves the lock with nobody, and a waiter in line that nobody is behind.
        """
        try:
            condition.wait(seconds)
        except BaseException:
            if not self.mutex._is_owned():  # type: ignore[attr-defined]  # there since Python 3.2, for Condition
                self.mutex.acquire()
            condition.notify_all()  # the next who is woken must be one who is there
            raise

    def forked(self) -> None:
        """Make the lock usable in a forked child, where a thread that held it does not exist."""
        self.mutex._at_fork_reinit()  # type: ignore[attr-defined]  # there since Python 3.9, for the standard library


def _until(timeout: float | None) -> float | None:
    if timeout is not None and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")  # as queue.Queue says
    return None if timeout is None else time.monotonic() + timeout


class Channel(queue.Queue[T]):
    """A closable `queue.Queue`; `maxsize` in items, 0 means no bound. Thread-safe; several readers share the items."""

    def __init__(self, maxsize: int = 0) -> None:
        self._join(Pipe(maxsize))

    def _join(self, pipe: Pipe[T]) -> None:
        """Take the pipe's parts for those that queue.Queue's own methods use."""
        self._pipe = pipe
        self.queue = pipe.items
        self.mutex = pipe.mutex  # type: ignore[assignment]  # has all that queue.Queue wants of it
        self.not_empty = pipe.not_empty
        self.not_full = pipe.not_full
        self.all_tasks_done = pipe.drained

    # queue.Queue keeps these as attributes; here the pipe, which several objects share, has them.

    @property
    def maxsize(self) -> int:  # type: ignore[override]
        """The bound in items, 0 for none."""
        return self._pipe.bound

    @property
    def unfinished_tasks(self) -> int:
        """Items put and not yet marked by `task_done()`."""
        return self._pipe.unfinished

    @unfinished_tasks.setter
    def unfinished_tasks(self, value: int) -> None:
        self._pipe.unfinished = value

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Put an item, waiting for room; `queue.Full` when time is up, `ChannelClosed` when closed."""
        self._pipe.put(item, block, timeout)

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take the next item.

        `queue.Empty` when `timeout` seconds pass first, or at once with `block=False`; `ChannelClosed` (also a
        `queue.Empty`) when closed and drained.
        """
        pipe = self._pipe
        try:
            item = pipe.items.popleft()
        except IndexError:
            item = pipe.take(block, timeout)
        if pipe.alert and not pipe.may_deliver():
            raise ChannelClosed("the stream was cancelled")
        return item

    def recv(self, timeout: float | None = None) -> tuple[T | None, bool]:
        """Go's `v, ok := <-ch`: (item, True), or (None, False) when closed and drained; `queue.Empty` on timeout."""
        try:
            return self.get(timeout=timeout), True
        except ChannelClosed:
            return None, False

    def close(self) -> None:
        """Let readers drain what is there, then end. Idempotent, from any thread."""
        self._pipe.close()

    def shutdown(self, immediate: bool = False) -> None:
        """Close, as `queue.Queue.shutdown` of Python 3.13; `immediate` drops what lies unread."""
        self._pipe.close(discard=immediate)

    @property
    def closed(self) -> bool:
        """Whether no more items will be put; some may still lie unread."""
        return self._pipe.closed

    @property
    def is_shutdown(self) -> bool:
        """The same, by the name it has in Python 3.13."""
        return self._pipe.closed

    def __iter__(self) -> Iterator[T]:
        """Give items until closed and drained; never raises. A later loop goes on where an earlier one broke off."""
        pipe, pop = self._pipe, self._pipe.items.popleft
        while True:
            try:
                item = pop()
            except IndexError:
                try:
                    item = pipe.take(True, None)
                except ChannelClosed:
                    return
            if pipe.alert and not pipe.may_deliver():
                return
            yield item

    def batches(self, wait: Callable[[], float | None] | None = None) -> Iterator[list[T]]:
        """Give what lies here, waiting for at least one item, until closed and drained; never raises.

        `wait` is asked before each wait for the seconds that it may take; when they pass, the list is empty.
        """
        pipe = self._pipe
        while True:
            batch: list[T] = []
            try:
                while len(batch) < _BATCH:
                    batch.append(pipe.items.popleft())
            except IndexError:
                if not batch:
                    try:
                        batch.append(pipe.take(True, wait() if wait is not None else None))
                    except ChannelClosed:
                        return
                    except queue.Empty:
                        pass
            if batch and pipe.alert and not pipe.may_deliver():
                return
            yield batch


class Outcome(Channel[T]):
    """A sticky channel of one value: `get()` blocks to the end of the stream and gives the same answer to everybody."""

    def __init__(self, pipe: Pipe[Any], values: deque[T]) -> None:
        self._join(pipe)
        self.queue = values

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Give the settled value; `queue.Empty` when `timeout` seconds pass first, or at once with `block=False`.

        A wait lifts the bound of the stream's `ch` for good, so that it cannot deadlock with a producer that waits
        for a reader.
        """
        if not self.queue:
            if not block:
                raise queue.Empty
            self._pipe.refuse_producer()
            self._pipe.lift()
            if not self._pipe.wait_changed(lambda: bool(self.queue), timeout):
                raise queue.Empty
        value: T = self.queue[0]
        return value

    @property
    def maxsize(self) -> int:  # type: ignore[override]
        """One: its value."""
        return 1

    @property  # type: ignore[misc]  # task_done() raises before it would set it
    def unfinished_tasks(self) -> int:  # type: ignore[override]
        """None ever, so that `join()` does not wait."""
        return 0

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Refuse: the stream settles it."""
        raise ChannelClosed("the outcome of a stream is settled by the stream alone")

    def close(self) -> None:
        """Do nothing: the stream settles it."""

    def shutdown(self, immediate: bool = False) -> None:
        """Do nothing: the stream settles it."""

    def __iter__(self) -> Iterator[T]:
        """Give the value once, waiting for it."""
        yield self.get()
