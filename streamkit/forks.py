"""What a forked child does first: it frees the locks, as the threads that held them are not there, and tidies up."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable

__all__ = ["after_fork", "new_lock"]

_locks: weakref.WeakSet[threading.Lock] = weakref.WeakSet()


def new_lock() -> threading.Lock:
    """Give a lock that is free in every child process."""
    lock = threading.Lock()
    _locks.add(lock)
    return lock


def after_fork(tidy: Callable[[], object]) -> None:
    """Have `tidy` called in every child process: after its locks are free, and after what was asked for before."""
    if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
        os.register_at_fork(after_in_child=tidy)


def _free() -> None:
    for lock in _locks:
        lock._at_fork_reinit()  # type: ignore[attr-defined]  # there since Python 3.9, for the standard library


after_fork(_free)  # the first: who asks for more has imported this module
