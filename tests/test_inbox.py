"""take: from a `SimpleQueue`, with a time limit that holds."""

from __future__ import annotations

import queue
import sys
import threading
import time

import pytest

from streamkit.inbox import take
from tests.loopback import took


def test_what_lies_there() -> None:
    """It is given at once, in order."""
    inbox: queue.SimpleQueue[int] = queue.SimpleQueue()
    inbox.put(1)
    inbox.put(2)

    assert [1, 2] == [take(inbox, 0), take(inbox, 60)]


def test_what_comes() -> None:
    """It is waited for."""
    inbox: queue.SimpleQueue[int] = queue.SimpleQueue()
    threading.Timer(0.01, inbox.put, [1]).start()

    assert 1 == take(inbox, 60)


@pytest.mark.parametrize("seconds", [0, 0.01])
def test_what_does_not_come(seconds: float) -> None:
    """Time is up."""
    inbox: queue.SimpleQueue[int] = queue.SimpleQueue()
    with took(1.0, least=seconds), pytest.raises(queue.Empty):
        take(inbox, seconds)


@pytest.mark.slow
def test_time_is_up_for_threads_that_take_turns() -> None:
    """However the interpreter changes between them: `get` alone hangs here within a second, up to Python 3.12."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=_time_out, args=(20_000,), daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 30
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
    finally:
        sys.setswitchinterval(interval)

    assert [False] * 4 == [thread.is_alive() for thread in threads]


def _time_out(times: int) -> None:
    for _ in range(times):
        inbox: queue.SimpleQueue[int] = queue.SimpleQueue()
        with pytest.raises(queue.Empty):
            take(inbox, 1e-6)
