"""The watchdog: one daemon thread per process that keeps time for all streams and carries out cancellations.

It exists because a producer blocked in `recv` can do neither, and because a signal handler or a finalizer may do
almost nothing: either can run in the middle of any line, also one that holds a lock, so all they may call is `post`,
which is a single `SimpleQueue.put`. (A handler that called `Event.set` or `queue.Queue.put` deadlocked within a few
hundred tries when its own thread was using that object.)

The thread starts with the first thing watched and ends a moment after the last. It never runs users' callbacks.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from streamkit.forks import after_fork
from streamkit.inbox import take

__all__ = ["Watchdog", "Watched", "watchdog"]

logger = logging.getLogger("streamkit")

PATROL = 0.1
"""Seconds between two rounds of the thread. In a round it ends if nothing is watched any more; so neither the beginning
nor the end of a stream has to wake it, and one call after another finds it running (0.2 ms of a first token's 1 ms)."""

_TICK = 0.001
"""Seconds at least between two looks at the same thing: one that always answered "now" would keep messages waiting."""


class Watched(Protocol):
    """What the watchdog watches."""

    def check(self, now: float) -> float | None:
        """Act on what is due at `now` (monotonic seconds); give the next time to look, or None. Must not block."""

    def forked(self) -> None:
        """Learn, in the child, that the process was forked: no thread but the caller's lives there."""


class Watchdog:
    """Runs posted functions and checks watched objects when their time comes."""

    def __init__(self) -> None:
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._lock = threading.Lock()  # guards all but _inbox; post() never takes it
        self._keys: dict[Watched, int] = {}
        self._watched: dict[int, Watched] = {}
        self._serial = itertools.count()
        self._thread: threading.Thread | None = None
        self._inbox: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        # (when, key): by key, so that what is no longer watched is not kept alive until its time comes.
        self._due: list[tuple[float, int]] = []

    def post(self, fn: Callable[[], object]) -> None:
        """Have `fn` run soon on the watchdog's thread.

        Any thread, signal handler or finalizer may call it; it takes no lock. While nothing is watched, `fn` waits for
        the next thing that is.
        """
        self._inbox.put(fn)

    def watch(self, watched: Watched) -> None:
        """Check `watched` now, on this thread, and then whenever it asks, until `unwatch`."""
        with self._lock:
            key = next(self._serial)
            self._keys[watched], self._watched[key] = key, watched
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="streamkit-watchdog", daemon=True)
                try:
                    self._thread.start()
                except BaseException:
                    del self._keys[watched], self._watched[key]
                    self._thread = None
                    self.post(_nothing)  # start() may have been interrupted when the thread ran already: it then ends
                    raise
        when = self._look(key)
        if when is not None and when < time.monotonic() + PATROL:
            self.post(_nothing)  # wakes the thread, which might otherwise come too late

    def unwatch(self, watched: Watched) -> None:
        """Forget `watched`. After the last one the thread ends, at its next round."""
        with self._lock:
            key = self._keys.pop(watched, None)
            if key is not None:
                del self._watched[key]

    @property
    def idle(self) -> bool:
        """Whether nothing is watched, so that the thread, if there is one, is about to end."""
        return not self._watched

    def forked(self) -> None:
        """Begin afresh in a child process, where the thread does not exist and locks may have been held when copied."""
        orphans = list(self._keys)
        self._start_afresh()
        for watched in orphans:
            _isolated(watched.forked)

    def _run(self) -> None:
        while self._turn():
            pass

    def _turn(self) -> bool:
        """Wait for a message or the next time; a method of its own, so that nothing handled stays alive in a frame."""
        late = False
        try:
            fn = take(self._inbox, self._time_left())
        except queue.Empty:
            fn, late = _nothing, True
        if self._thread is not threading.current_thread():  # watch() failed after all, and another took over
            self.post(fn)
            return False
        _isolated(fn)
        del fn
        for key in self._take_due():
            self._look(key)
        with self._lock:
            if self._watched or not late or not self._inbox.empty():
                return True
            self._due.clear()
            self._thread = None
            return False

    def _time_left(self) -> float:
        """Give the seconds to the next look or the next round, whichever is sooner."""
        with self._lock:
            return min(max(0.0, self._due[0][0] - time.monotonic()), PATROL) if self._due else PATROL

    def _take_due(self) -> list[int]:
        """Take the keys whose time has come."""
        keys = []
        now = time.monotonic()
        with self._lock:
            while self._due and self._due[0][0] <= now:
                keys.append(heapq.heappop(self._due)[1])
            if len(self._due) > 64 + 2 * len(self._watched):
                self._due = [entry for entry in self._due if entry[1] in self._watched]
                heapq.heapify(self._due)
        return keys

    def _look(self, key: int) -> float | None:
        """Check what has this key, if it is still watched, and note when to look again."""
        watched = self._watched.get(key)
        if watched is None:
            return None
        now = time.monotonic()
        when: float | None = _isolated(watched.check, now)
        if when is not None:
            when = max(when, now + _TICK)
            with self._lock:
                heapq.heappush(self._due, (when, key))
        return when


def _nothing() -> None:
    pass


def _isolated(fn: Callable[..., Any], *args: Any) -> Any:
    """Call `fn`; an exception in it must not end the timekeeping of every other stream."""
    try:
        return fn(*args)
    except Exception:
        logger.exception("an internal error on the watchdog thread")
        return None


watchdog = Watchdog()
"""The process's own."""

after_fork(watchdog.forked)
