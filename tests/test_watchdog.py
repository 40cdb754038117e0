"""The watchdog: what it keeps time for, what it forgets, and what must not stop it."""

from __future__ import annotations

import functools
import gc
import logging
import math
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

import streamkit
from streamkit import watchdog as watchdog_module
from streamkit.watchdog import Watchdog

PATIENCE = 10.0
"""Seconds after which a test gives up hope."""


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog makes its rounds far more often than usual, so that it ends soon after each test."""
    monkeypatch.setattr(watchdog_module, "PATROL", 0.002)


class Alarm:
    """Watched: notes each look and its thread; answers with the next time that `plan` gives."""

    def __init__(self, plan: Callable[[float], float | None] = lambda now: None) -> None:
        self.plan = plan
        self.looks: list[float] = []
        self.threads: set[str] = set()
        self.looked = threading.Semaphore(0)

    def check(self, now: float) -> float | None:
        """Note the look."""
        self.looks.append(now)
        self.threads.add(threading.current_thread().name)
        self.looked.release()
        return self.plan(now)

    def forked(self) -> None:
        """Not tested in this process."""
        raise NotImplementedError


def once_after(seconds: float) -> Callable[[float], float | None]:
    """Give a plan: one more look that much later."""
    answers = [seconds]
    return lambda now: now + answers.pop() if answers else None


def ended(watchdog: Watchdog, thread: threading.Thread) -> bool:
    """Whether the watchdog's thread ends soon."""
    thread.join(PATIENCE)
    return not thread.is_alive() and watchdog._thread is None


def running(watchdog: Watchdog) -> threading.Thread:
    """Give the watchdog's thread."""
    assert watchdog._thread is not None
    return watchdog._thread


def said(watchdog: Watchdog) -> bool:
    """Whether a posted message is carried out."""
    heard = threading.Event()
    watchdog.post(heard.set)
    return heard.wait(PATIENCE)


# -- the thread's life


def test_thread_lives_from_the_first_watched_to_the_last() -> None:
    """The thread, a daemon, starts with the first thing watched, serves the second and ends with the last."""
    watchdog, first, second = Watchdog(), Alarm(), Alarm()

    assert watchdog._thread is None

    watchdog.watch(first)
    thread = running(watchdog)
    watchdog.watch(second)

    assert thread is running(watchdog)
    assert thread.daemon

    watchdog.unwatch(first)

    assert said(watchdog)
    assert thread is running(watchdog)

    watchdog.unwatch(second)

    assert ended(watchdog, thread)


def test_it_starts_again() -> None:
    """After the last has gone, the next thing watched starts a thread anew."""
    watchdog, alarm = Watchdog(), Alarm()
    for times in range(1, 4):
        watchdog.watch(alarm)
        assert alarm.looked.acquire(timeout=PATIENCE)
        thread = running(watchdog)
        watchdog.unwatch(alarm)

        assert ended(watchdog, thread)
        assert times == len(alarm.looks)


def test_unwatch_of_a_stranger_does_nothing() -> None:
    """What is not watched, or not any more, may be unwatched."""
    watchdog, alarm = Watchdog(), Alarm()
    watchdog.unwatch(alarm)
    watchdog.watch(alarm)
    thread = running(watchdog)
    watchdog.unwatch(alarm)
    watchdog.unwatch(alarm)

    assert ended(watchdog, thread)


def test_refused_thread_leaves_nothing_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no thread can be started `watch` raises and forgets the thing; a later `watch` works."""
    watchdog, alarm = Watchdog(), Alarm()

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            watchdog.watch(alarm)

    assert watchdog._thread is None
    assert not watchdog._watched

    watchdog.watch(alarm)
    assert alarm.looked.acquire(timeout=PATIENCE)
    thread = running(watchdog)
    watchdog.unwatch(alarm)

    assert ended(watchdog, thread)


def test_interrupted_start_leaves_no_second_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ctrl-C while `Thread.start` waits: the thread that began all the same ends by itself."""
    watchdog, alarm = Watchdog(), Alarm()
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        started.append(thread)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            watchdog.watch(alarm)
    started[0].join(PATIENCE)

    assert not started[0].is_alive()
    assert not watchdog._watched


def test_a_stray_thread_hands_on_what_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that has lost its office passes a message on to the one that holds it."""
    watchdog, alarm = Watchdog(), Alarm()
    watchdog.watch(alarm)
    assert alarm.looked.acquire(timeout=PATIENCE)
    stray = running(watchdog)
    successor = threading.Thread(target=watchdog._run)
    watchdog._thread = successor
    heard = threading.Event()
    watchdog.post(heard.set)
    stray.join(PATIENCE)

    assert not stray.is_alive()
    assert not heard.is_set()

    successor.start()

    assert heard.wait(PATIENCE)

    watchdog.unwatch(alarm)

    assert ended(watchdog, successor)


# -- time


def test_first_look_is_at_once() -> None:
    """What is watched is looked at right away, by whoever has it watched: that spares waking the thread."""
    watchdog, alarm = Watchdog(), Alarm()
    before = time.monotonic()
    watchdog.watch(alarm)
    assert alarm.looked.acquire(timeout=PATIENCE)
    watchdog.unwatch(alarm)

    assert before <= alarm.looks[0] <= time.monotonic()
    assert {threading.current_thread().name} == alarm.threads


def test_next_look_is_when_it_asked() -> None:
    """The next look comes at the time asked for, not before."""
    watchdog, alarm = Watchdog(), Alarm(once_after(0.03))
    watchdog.watch(alarm)
    assert alarm.looked.acquire(timeout=PATIENCE)
    assert alarm.looked.acquire(timeout=PATIENCE)
    watchdog.unwatch(alarm)

    assert 0.03 <= alarm.looks[1] - alarm.looks[0]
    assert 2 == len(alarm.looks)


def test_a_look_sooner_than_the_next_round_is_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who wants to be looked at before the thread's next round wakes it."""
    monkeypatch.setattr(watchdog_module, "PATROL", 60.0)
    watchdog, keeper, alarm = Watchdog(), Alarm(), Alarm(once_after(0.02))
    watchdog.watch(keeper)
    assert said(watchdog)
    watchdog.watch(alarm)

    assert alarm.looked.acquire(timeout=PATIENCE)
    assert alarm.looked.acquire(timeout=PATIENCE)

    monkeypatch.setattr(watchdog_module, "PATROL", 0.002)
    thread = running(watchdog)
    watchdog.unwatch(alarm)
    watchdog.unwatch(keeper)
    assert said(watchdog)

    assert ended(watchdog, thread)


def test_several_are_looked_at_in_order_of_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of hundreds watched each has its look in the order of the times, whatever the order of watching."""
    monkeypatch.setattr(watchdog_module, "_TICK", -3600.0)  # times that have passed are not put off
    watchdog, keeper, order, done, held = Watchdog(), Alarm(), list[int](), threading.Event(), threading.Event()
    watchdog.watch(keeper)
    watchdog.post(held.wait)
    start = time.monotonic() + 0.01

    def note(place: int) -> None:
        order.append(place)
        if len(order) == 300:
            done.set()

    def runner(place: int) -> Alarm:
        times = [start + place * 0.0001]
        return Alarm(lambda now: times.pop() if times else note(place))

    runners = [runner(place) for place in sorted(range(300), key=lambda place: place % 7)]
    for alarm in runners:
        watchdog.watch(alarm)
    held.set()

    assert done.wait(PATIENCE)
    assert list(range(300)) == order

    for alarm in [keeper, *runners]:
        watchdog.unwatch(alarm)


def test_one_that_always_answers_now_holds_up_nobody() -> None:
    """A thing that wants to be looked at all the time starves neither messages nor other times."""
    watchdog, greedy, other = Watchdog(), Alarm(lambda now: now), Alarm(once_after(0.01))
    watchdog.watch(greedy)
    watchdog.watch(other)

    assert said(watchdog)
    assert other.looked.acquire(timeout=PATIENCE)
    assert other.looked.acquire(timeout=PATIENCE)

    watchdog.unwatch(other)
    watchdog.unwatch(greedy)


@pytest.mark.parametrize("far", [math.inf, 1e12, threading.TIMEOUT_MAX * 2])
def test_a_time_beyond_all_clocks_is_waited_for(far: float) -> None:
    """A time that no lock can wait for does not end the watchdog."""
    watchdog, alarm = Watchdog(), Alarm(lambda now: now + far)
    watchdog.watch(alarm)
    assert alarm.looked.acquire(timeout=PATIENCE)
    thread = running(watchdog)

    assert said(watchdog)

    watchdog.unwatch(alarm)

    assert ended(watchdog, thread)


# -- messages


def test_messages_are_carried_out_in_order() -> None:
    """Posted functions run one after the other, in the order of posting."""
    watchdog, alarm, heard, done = Watchdog(), Alarm(), list[int](), threading.Event()
    watchdog.watch(alarm)
    for number in range(100):
        watchdog.post(functools.partial(heard.append, number))
    watchdog.post(done.set)

    assert done.wait(PATIENCE)
    assert list(range(100)) == heard

    watchdog.unwatch(alarm)


def test_message_waits_for_the_next_watched() -> None:
    """What is posted while nothing is watched is carried out with the next thing watched."""
    watchdog, alarm, heard = Watchdog(), Alarm(), threading.Event()
    watchdog.post(heard.set)

    assert watchdog._thread is None

    watchdog.watch(alarm)

    assert heard.wait(PATIENCE)

    watchdog.unwatch(alarm)


def test_messages_before_the_end_are_not_lost() -> None:
    """What is posted before the last is unwatched is still carried out."""
    watchdog, alarm, heard = Watchdog(), Alarm(), list[int]()
    watchdog.watch(alarm)
    thread = running(watchdog)
    held = threading.Event()
    watchdog.post(held.wait)
    watchdog.post(lambda: heard.append(1))
    watchdog.unwatch(alarm)
    watchdog.post(lambda: heard.append(2))
    held.set()

    assert ended(watchdog, thread)
    assert [1, 2] == heard


def test_exceptions_are_isolated(caplog: pytest.LogCaptureFixture) -> None:
    """A message or a look that raises is logged and stops nothing."""

    def fail(now: float) -> float | None:
        raise ZeroDivisionError("of a check")

    def fail_too() -> None:
        raise ZeroDivisionError("of a message")

    watchdog, bad, good = Watchdog(), Alarm(fail), Alarm(once_after(0.01))
    with caplog.at_level(logging.ERROR, "streamkit"):
        watchdog.watch(bad)
        watchdog.watch(good)
        watchdog.post(fail_too)

        assert said(watchdog)
        assert good.looked.acquire(timeout=PATIENCE)
        assert good.looked.acquire(timeout=PATIENCE)

    watchdog.unwatch(bad)
    watchdog.unwatch(good)

    assert {"of a check", "of a message"} == {str(record.exc_info[1]) for record in caplog.records if record.exc_info}


def test_a_finalizer_may_post() -> None:
    """`post` from `__del__`, run by the garbage collector in the middle of `watch` and `unwatch`, does no harm."""
    watchdog, heard = Watchdog(), threading.Semaphore(0)

    class Dropped:
        def __init__(self) -> None:
            self.cycle = self

        def __del__(self) -> None:
            watchdog.post(heard.release)

    keeper = Alarm()
    watchdog.watch(keeper)
    threshold = gc.get_threshold()
    gc.set_threshold(1)  # a collection at nearly every allocation
    try:
        for _ in range(300):
            Dropped()
            alarm = Alarm()
            watchdog.watch(alarm)
            watchdog.unwatch(alarm)
    finally:
        gc.set_threshold(*threshold)
    for _ in range(300):
        while not heard.acquire(timeout=0.1):
            gc.collect()  # again and again: one that finds another thread collecting does nothing
    watchdog.unwatch(keeper)


# -- what it forgets


def test_nothing_unwatched_is_kept_alive() -> None:
    """What is unwatched can be collected at once, though its time has not come."""
    watchdog, keeper = Watchdog(), Alarm()
    watchdog.watch(keeper)
    alarm = Alarm(lambda now: now + 3600)
    watchdog.watch(alarm)
    assert alarm.looked.acquire(timeout=PATIENCE)
    gone = weakref.ref(alarm)
    watchdog.unwatch(alarm)
    assert said(watchdog)
    del alarm

    assert gone() is None

    watchdog.unwatch(keeper)


def test_a_message_carried_out_is_not_kept_alive() -> None:
    """The function of a message can be collected when it has run."""
    watchdog, keeper = Watchdog(), Alarm()
    watchdog.watch(keeper)
    message = Alarm()
    gone = weakref.ref(message)
    watchdog.post(functools.partial(message.check, 0.0))
    assert message.looked.acquire(timeout=PATIENCE)
    assert said(watchdog)
    del message

    assert gone() is None

    watchdog.unwatch(keeper)


def test_stale_times_are_swept_out() -> None:
    """Times of what is no longer watched do not pile up, however far away they are."""
    watchdog, keeper = Watchdog(), Alarm()
    watchdog.watch(keeper)
    for _ in range(500):
        alarm = Alarm(lambda now: now + 3600)
        watchdog.watch(alarm)
        assert alarm.looked.acquire(timeout=PATIENCE)
        watchdog.unwatch(alarm)
    assert said(watchdog)

    assert len(watchdog._due) <= 70

    thread = running(watchdog)
    watchdog.unwatch(keeper)

    assert ended(watchdog, thread)
    assert [] == watchdog._due


def test_what_was_unwatched_is_not_looked_at() -> None:
    """A time that comes after `unwatch` brings no look."""
    watchdog, alarm, later = Watchdog(), Alarm(once_after(0.01)), Alarm(once_after(0.03))
    watchdog.watch(alarm)
    assert alarm.looked.acquire(timeout=PATIENCE)
    watchdog.unwatch(alarm)
    watchdog.watch(later)
    assert later.looked.acquire(timeout=PATIENCE)
    assert later.looked.acquire(timeout=PATIENCE)
    watchdog.unwatch(later)

    assert 1 == len(alarm.looks)


def test_many_threads_watch_and_unwatch() -> None:
    """Hundreds of things watched and unwatched by many threads leave no thread and no entry."""
    watchdog, barrier, missed = Watchdog(), threading.Barrier(8), list[Alarm]()

    def work() -> None:
        barrier.wait(PATIENCE)
        for _ in range(60):
            alarm = Alarm(lambda now: now + 0.0001)
            watchdog.watch(alarm)
            if not alarm.looked.acquire(timeout=PATIENCE):
                missed.append(alarm)
            watchdog.unwatch(alarm)

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
    keeper = Alarm()
    watchdog.watch(keeper)
    thread = running(watchdog)
    watchdog.unwatch(keeper)

    assert ended(watchdog, thread)
    assert [] == missed
    assert not watchdog._watched
    assert not watchdog._keys


# -- forks

FORK = """
import os, sys, threading
from streamkit.watchdog import watchdog

class Told:
    def __init__(self, fail=False):
        self.told, self.fail, self.looked = [], fail, threading.Event()
    def check(self, now):
        self.looked.set()
        return now + 3600
    def forked(self):
        self.told.append(os.getpid())
        if self.fail:
            raise ZeroDivisionError("told in the child")

bad, told = Told(fail=True), Told()
watchdog.watch(bad)
watchdog.watch(told)
assert told.looked.wait(10)
held = watchdog._lock
held.acquire()  # as if another thread were inside watch() at that moment
pid = os.fork()
if pid == 0:
    assert [os.getpid()] == told.told == bad.told, (told.told, bad.told)
    assert watchdog._thread is None and not watchdog._watched
    fresh, heard = Told(), threading.Event()
    watchdog.post(heard.set)
    watchdog.watch(fresh)
    assert fresh.looked.wait(10) and heard.wait(10)
    thread = watchdog._thread
    watchdog.unwatch(fresh)
    watchdog.unwatch(told)
    thread.join(10)
    assert not thread.is_alive()
    sys.stdout.write("child ")
    sys.stdout.flush()
    os._exit(0)
held.release()
assert 0 == os.waitpid(pid, 0)[1]
assert [] == told.told
heard = threading.Event()
watchdog.post(heard.set)
assert heard.wait(10)
watchdog.unwatch(told)
watchdog.unwatch(bad)
sys.stdout.write("parent")
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forked_child_begins_afresh() -> None:
    """In a forked child what was watched is told, nothing is watched, and locks that were held do not matter."""
    ran = subprocess.run(
        [sys.executable, "-c", FORK],
        cwd=Path(streamkit.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "child parent" == ran.stdout, ran.stderr
    assert "told in the child" in ran.stderr
