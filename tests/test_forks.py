"""A lock that is held when the process is forked is free in the child."""

from __future__ import annotations

import gc
import os
import sys

import pytest

from streamkit import forks
from streamkit.forks import new_lock


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


def test_locks_are_not_kept() -> None:
    """One that nobody uses is forgotten."""
    gc.collect()
    before = len(forks._locks)
    lock = new_lock()
    assert before + 1 == len(forks._locks)
    del lock
    gc.collect()

    assert before == len(forks._locks)
