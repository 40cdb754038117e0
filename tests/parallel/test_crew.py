"""What the threads of runs have in common: names of their own, and an end that can be waited for."""

from __future__ import annotations

import threading

from streamkit.parallel.crew import join, new_name
from tests.loopback import took


def test_each_run_s_threads_have_a_name() -> None:
    """By which a user tells them from others in a debugger."""
    names = {new_name() for _ in range(3)}

    assert 3 == len(names)
    assert all(name.startswith("streamkit-parallel-") for name in names)


def test_waiting_has_a_limit_for_all_together() -> None:
    """Threads that did not begin, and the one that waits, are not waited for."""
    gate = threading.Event()
    stuck = [threading.Thread(target=gate.wait) for _ in range(3)]
    for thread in stuck:
        thread.start()
    with took(2, least=0.1):
        join([threading.current_thread(), threading.Thread(), *stuck], 0.1)
    gate.set()
    with took(2):
        join(stuck, 5)

    assert not any(thread.is_alive() for thread in stuck)
