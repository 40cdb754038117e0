"""The crew: threads of a run's own that ask its prompts."""

from __future__ import annotations

import contextvars
import itertools
import threading
import time
from collections.abc import Iterable

from streamkit.errors import StreamKitError
from streamkit.forks import new_lock
from streamkit.parallel.batch import Batch

__all__ = ["Crew", "join", "new_name"]

_numbers = itertools.count(1)


class Crew:
    """Threads of the run's own: each takes a prompt and asks it, until there is none left.

    One is hired with each prompt that is taken, up to `size`: so there are never more than prompts.
    """

    def __init__(self, batch: Batch, size: int) -> None:
        self._batch = batch
        self._size = size
        self._name = new_name()
        self._threads: list[threading.Thread] = []
        self._variables = contextvars.copy_context()  # hooks see the request, or the trace, that the run was begun in
        self._lock = new_lock()  # guards _threads

    def start(self) -> None:
        """Hire the first; `StreamKitError` where the system gives no thread."""
        try:
            self._hire()
        except RuntimeError as e:
            raise StreamKitError(f"no thread can be started for the run: {e}") from e

    def join(self, seconds: float) -> None:
        """Wait for their end, at most so long; not on one of them."""
        join(self._threads.copy(), seconds)

    def _hire(self) -> None:
        with self._lock:
            if len(self._threads) == self._size:
                return
            name = f"{self._name}-{len(self._threads) + 1}"
            thread = threading.Thread(target=self._variables.copy().run, args=(self._work,), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def _work(self) -> None:
        while (task := self._batch.take()) is not None:
            try:
                self._hire()
            except RuntimeError:
                self._size = len(self._threads)  # as many as the system gives
            self._batch.settle(self._batch.ask(task))


def new_name() -> str:
    """Give a name for a run's threads."""
    return f"streamkit-parallel-{next(_numbers)}"


def join(threads: Iterable[threading.Thread], seconds: float) -> None:
    """Wait for the end of those that have begun, at most so long in all; not on one of them."""
    until = time.monotonic() + seconds
    for thread in threads:
        if thread is not threading.current_thread() and thread.ident is not None:
            thread.join(max(0.0, until - time.monotonic()))
