"""On a worker of Dask's: learning from Dask itself that nobody wants the prompt any more that this thread asks.

Dask does not stop a task that runs. But it tells its worker, when the future was cancelled or dropped, or the program
that had submitted it is gone; so whoever runs looks there now and then. That needs no connection but Dask's own.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from streamkit.context import Context
from streamkit.watchdog import watchdog

__all__ = ["heeding_dask"]

LOOK = 0.25
"""Seconds between two looks."""
_WANTED = frozenset({"executing", "long-running", "resumed"})


@contextlib.contextmanager
def heeding_dask(ctx: Context) -> Iterator[None]:
    """End `ctx` when Dask wants the task of this thread no longer, while the block runs; elsewhere it does nothing."""
    task = _current()
    if task is None:
        yield
        return
    watchdog.watch(task_watch := _Watch(ctx, *task))
    try:
        yield
    finally:
        watchdog.unwatch(task_watch)


class _Watch:
    """A look at the state of a task; the watchdog's thread takes it."""

    def __init__(self, ctx: Context, worker: Any, key: Any) -> None:
        self._ctx = ctx
        self._tasks = worker.state.tasks  # of which one entry is read, which needs no lock
        self._key = key

    def check(self, now: float) -> float | None:
        task = self._tasks.get(self._key)
        if task is None or task.state not in _WANTED:
            self._ctx.cancel("Dask has called the task back")
            return None
        return now + LOOK

    def forked(self) -> None:
        pass  # the thread that asks is not in the child


def _current() -> tuple[Any, Any] | None:
    """The worker, and the key of the task that this thread runs."""
    distributed = sys.modules.get("distributed")  # whoever runs in Dask has it
    if distributed is None:
        return None
    try:
        worker = distributed.get_worker()
        return worker, worker.get_current_task()
    except (ValueError, AttributeError):  # on no worker of Dask's
        return None
