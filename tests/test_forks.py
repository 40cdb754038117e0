"""What a forked child finds."""

from __future__ import annotations

import gc
import os
import sys

import pytest

from streamkit import forks
from streamkit.forks import new_lock
from streamkit.watchdog import watchdog


class Guarded:
    """Something watched that takes its lock when it is told of a fork."""

    def __init__(self) -> None:
        self.lock = new_lock()
        self.was_free = False

    def check(self, now: float) -> float | None:
        """Wait for nothing."""
        return None

    def forked(self) -> None:
        """Look whether the lock is free."""
        self.was_free = self.lock.acquire(blocking=False)


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_lock_that_is_held() -> None:
    """Who held it is not there to give it back; in the parent it is held on."""
    lock = new_lock()
    with lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if lock.acquire(timeout=5) else 1)
        _, status = os.waitpid(child, 0)

        assert 0 == os.waitstatus_to_exitcode(status)
        assert lock.locked()
    assert not lock.locked()


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_what_is_watched_finds_locks_free() -> None:
    """Also as it learns of the fork: what it then gives up may be guarded by one."""
    watched = Guarded()
    watchdog.watch(watched)
    try:
        with watched.lock:
            child = os.fork()
            if child == 0:
                os._exit(0 if watched.was_free else 1)
            _, status = os.waitpid(child, 0)
    finally:
        watchdog.unwatch(watched)

    assert 0 == os.waitstatus_to_exitcode(status)


def test_locks_are_not_kept() -> None:
    """One that nobody uses is forgotten."""
    gc.collect()
    before = len(forks._locks)
    lock = new_lock()
    assert before + 1 == len(forks._locks)
    del lock
    gc.collect()

    assert before == len(forks._locks)
