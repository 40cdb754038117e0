"""Producer threads: each runs one stream, and rests for a moment, in which the next stream finds it.

Starting a thread costs a tenth of a first token's time on loopback, and most of it is spent waiting: for the new
thread to wake on another core, and for the starter to wake again. One call after another saves both.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable

from streamkit.forks import after_fork
from streamkit.inbox import take

__all__ = ["Production"]

REST = 0.1
"""Seconds that a thread waits for the next stream before it ends."""


class Production:
    """A stream's work, running on a daemon thread of its own."""

    def __init__(self, work: Callable[[], object], name: str) -> None:
        self._work: Callable[[], object] | None = work
        self._name = name
        self._working = threading.Lock()  # held until the work is done; an Event's wait would not survive Ctrl-C
        self._working.acquire()
        self._producer: _Producer

    def start(self) -> None:
        """Run the work on a thread that rests, or on a new one; RuntimeError where the system gives none."""
        with _resting.lock:
            if _resting.producers:
                self._producer = _resting.producers.pop()
                self._producer.last = self
                self._producer.inbox.put(self)
                return
        self._producer = _Producer(self)
        thread = threading.Thread(target=self._producer.run, args=(self,), name=self._name, daemon=True)
        self._producer.thread = thread
        thread.start()

    def run(self) -> None:
        """Do the work, on the producer's thread."""
        threading.current_thread().name = self._name
        work, self._work = self._work, None  # what it holds goes with it
        assert work is not None  # it runs once
        try:
            work()
        finally:
            self._working.release()

    def join(self, seconds: float) -> None:
        """Wait for the end of the work, and of its thread unless another stream has it by then; not on itself."""
        producer = self._producer
        if producer.thread is threading.current_thread() or not self._working.acquire(timeout=seconds):
            return
        self._working.release()
        if producer.dismiss(self):
            producer.thread.join(seconds)


class _Producer:
    """A thread, and the way to give it more work."""

    thread: threading.Thread

    def __init__(self, first: Production) -> None:
        self.inbox: queue.SimpleQueue[Production | None] = queue.SimpleQueue()
        self.last = first
        self._dismissed = False

    def run(self, production: Production | None) -> None:
        while production is not None:
            production.run()
            production = self._next()

    def _next(self) -> Production | None:
        """Rest; give the next work, or None when it is time to end."""
        self.thread.name = "streamkit-resting"
        with _resting.lock:
            if self._dismissed:
                return None
            _resting.producers.append(self)
        with contextlib.suppress(queue.Empty):
            return take(self.inbox, REST)
        with _resting.lock:
            # Taken from the list just now it has work in its inbox, unless who took it was interrupted in between.
            if self in _resting.producers:
                _resting.producers.remove(self)
            return None if self.inbox.empty() else self.inbox.get()

    def dismiss(self, after: Production) -> bool:
        """End the rest after this work; False when another stream has the thread."""
        with _resting.lock:
            if self.last is not after:
                return False
            self._dismissed = True
            if self in _resting.producers:
                _resting.producers.remove(self)
                self.inbox.put(None)
            return True


class _Resting:
    """The producers that rest."""

    def __init__(self) -> None:
        self._start_afresh()

    def _start_afresh(self) -> None:
        """Also in a forked child: the threads are not there, and the lock may have been held when it was copied."""
        self.lock = threading.Lock()  # guards the list, and the hand-over to a thread that rests
        self.producers: list[_Producer] = []


_resting = _Resting()

after_fork(_resting._start_afresh)
