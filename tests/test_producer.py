"""Producer threads: one runs at a time what was given to it, rests, serves again, and goes."""

from __future__ import annotations

import os
import threading

import pytest

from streamkit import producer
from streamkit.producer import Production


@pytest.fixture
def long_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody goes to rest for so short that a slow machine misses it."""
    monkeypatch.setattr(producer, "REST", 5.0)


def run(name: str = "work", barrier: threading.Barrier | None = None) -> tuple[Production, list[threading.Thread]]:
    """Start a production that notes its thread, and its name for as long as it works."""
    threads: list[threading.Thread] = []

    def work() -> None:
        threads.append(threading.current_thread())
        if barrier is not None:
            barrier.wait(5)

    production = Production(work, name)
    production.start()
    return production, threads


def rested(production: Production) -> None:
    """Wait until its thread is at rest."""
    with production._working:
        pass
    while not producer._resting.producers:
        threading.Event().wait(0.001)


@pytest.mark.usefixtures("long_rest")
def test_the_next_production_has_the_resting_thread() -> None:
    """One after another they need one thread."""
    first, before = run()
    rested(first)
    second, after = run()
    second.join(5)

    assert before == after
    assert not after[0].is_alive()


@pytest.mark.usefixtures("long_rest")
def test_productions_at_the_same_time_have_threads_of_their_own() -> None:
    """A working thread serves nobody else."""
    barrier = threading.Barrier(3)
    running = [run(f"work-{i}", barrier) for i in range(2)]
    names = [thread.name for _, (thread, *_) in running if thread.is_alive()]
    barrier.wait(5)
    for production, _ in running:
        production.join(5)

    assert {"work-0", "work-1"} == set(names)
    assert not any(thread.is_alive() for _, threads in running for thread in threads)


@pytest.mark.usefixtures("long_rest")
def test_joining_takes_no_thread_from_another() -> None:
    """Whose thread works for somebody else by now has been joined."""
    first, _ = run()
    rested(first)
    barrier = threading.Barrier(2)
    second, threads = run("second", barrier)
    first.join(5)

    assert second._working.locked()
    barrier.wait(5)
    second.join(5)
    assert not threads[0].is_alive()


def test_a_resting_thread_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the rest, with nobody joining it."""
    monkeypatch.setattr(producer, "REST", 0.001)
    production, threads = run()
    with production._working:
        pass
    threads[0].join(5)

    assert not threads[0].is_alive()
    assert not producer._resting.producers


def test_work_may_join_itself() -> None:
    """It does not wait for its own end."""
    started = threading.Event()
    joined = threading.Event()

    def work() -> None:
        started.wait(5)
        production.join(5)
        joined.set()

    production = Production(work, "work")
    production.start()
    started.set()

    assert joined.wait(2)
    production.join(5)


@pytest.mark.usefixtures("long_rest")
def test_joining_gives_up_when_time_is_up() -> None:
    """The work goes on."""
    barrier = threading.Barrier(2)
    production, threads = run(barrier=barrier)
    production.join(0.001)

    assert threads[0].is_alive()
    barrier.wait(5)
    production.join(5)


@pytest.mark.usefixtures("long_rest")
def test_an_interrupted_hand_over_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between taking a thread from its rest and giving it work: it ends when the rest is over."""
    monkeypatch.setattr(producer, "REST", 0.01)
    production, threads = run()
    with producer._resting.lock:
        producer._resting.producers.clear()
    threads[0].join(5)

    assert not threads[0].is_alive()
    production.join(5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.usefixtures("long_rest")
def test_a_forked_child_counts_on_no_thread_of_its_parent() -> None:
    """Nothing rests there, and work gets a thread."""
    first, _ = run()
    rested(first)
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        try:
            production, threads = run()
            production.join(5)
            os._exit(0 if threads else 1)
        finally:
            os._exit(2)
    status = os.waitpid(child, 0)[1]
    first.join(5)

    assert 0 == os.waitstatus_to_exitcode(status)
