"""Contexts: who ends whom, once and for all, from any thread, handler or finalizer; and the signals that do."""

from __future__ import annotations

import functools
import gc
import logging
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import streamkit
from streamkit import context
from streamkit import watchdog as watchdog_module
from streamkit.channel import Channel
from streamkit.context import Context, cancel_on_signals
from streamkit.errors import Cancelled, ConfigError, DeadlineExceeded, StreamKitError
from streamkit.watchdog import watchdog

PATIENCE = 10.0
"""Seconds after which a test gives up hope."""


def started(target: Callable[[], object]) -> threading.Thread:
    """Start a thread on `target`."""
    thread = threading.Thread(target=target)
    thread.start()
    return thread


def watchdog_ended() -> bool:
    """Whether the watchdog's thread, if there is one, ends soon."""
    thread = watchdog._thread
    if thread is not None:
        thread.join(PATIENCE)
    return watchdog._thread is None


def refuse(thread: threading.Thread) -> None:
    """Stand in for `Thread.start` where the system gives no more threads."""
    raise RuntimeError("can't start new thread")


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog makes its rounds far more often than usual, so that it ends soon after each test."""
    monkeypatch.setattr(watchdog_module, "PATROL", 0.002)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock to set: its one entry is what `time.monotonic` gives to contexts."""
    now = [1000.0]

    class Time:
        monotonic = staticmethod(lambda: now[0])

    monkeypatch.setattr(context, "time", Time)
    return now


# -- one context


def test_a_context_lives_until_it_is_cancelled() -> None:
    """A new context without a timeout has no error and no deadline; cancel ends it."""
    ctx = Context()

    assert (False, None, None, None) == (ctx.cancelled, ctx.error(), ctx.remaining(), ctx.deadline)

    ctx.cancel()

    assert ctx.cancelled
    assert Cancelled is type(ctx.error())
    assert "cancelled" == str(ctx.error())


def test_the_reason_is_told() -> None:
    """The reason of a cancel is in the error's text."""
    ctx = Context()
    ctx.cancel("the user left")

    assert "cancelled: the user left" == str(ctx.error())


def test_cancel_is_idempotent() -> None:
    """The first cancel's reason stays."""
    ctx = Context()
    ctx.cancel("first")
    ctx.cancel("second")
    ctx.cancel()

    assert "cancelled: first" == str(ctx.error())


def test_each_asker_gets_an_error_of_its_own() -> None:
    """Two threads may raise the error: they do not share one and its traceback."""
    ctx = Context()
    ctx.cancel()

    assert ctx.error() is not ctx.error()


def test_a_deadline_ends_it(clock: list[float]) -> None:
    """When `timeout` seconds have passed the context has ended with DeadlineExceeded, which is a TimeoutError."""
    ctx = Context(5.0)
    clock[0] += 4.5

    assert (False, 0.5) == (ctx.cancelled, ctx.remaining())

    clock[0] += 0.5

    assert ctx.cancelled
    assert DeadlineExceeded is type(ctx.error())
    assert isinstance(ctx.error(), TimeoutError)
    assert 0.0 == ctx.remaining()

    clock[0] += 1

    assert 0.0 == ctx.remaining()


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -math.inf])
def test_no_time_at_all_has_passed_at_once(timeout: float) -> None:
    """A context with a timeout of zero or less has ended when it is made."""
    ctx = Context(timeout)

    assert DeadlineExceeded is type(ctx.error())
    assert 0.0 == ctx.remaining()


@pytest.mark.parametrize("timeout", [math.inf, 1e300, sys.maxsize])
def test_more_time_than_clocks_have_is_no_deadline(timeout: float) -> None:
    """Infinity and its like mean no deadline: nothing could wait that long."""
    ctx = Context(timeout)

    assert ctx.remaining() is None
    assert not ctx.wait(0.001)


def test_a_timeout_that_is_no_number_is_refused() -> None:
    """NaN compares with nothing, so the deadline would never come."""
    with pytest.raises(ConfigError, match="nan"):
        Context(math.nan)


def test_leaving_with_cancels() -> None:
    """`with Context()` cancels at its end, also after an exception."""
    with Context() as ctx:
        assert not ctx.cancelled
    with pytest.raises(ZeroDivisionError), Context() as other:
        raise ZeroDivisionError

    assert Cancelled is type(ctx.error()) is type(other.error())


def test_repr_tells_the_state(clock: list[float]) -> None:
    """A context shows whether it lives, how long still, or how it ended."""
    ctx, timed = Context(), Context(2)

    assert ["<Context live>", "<Context live, 2.0 s left>"] == [repr(ctx), repr(timed)]

    ctx.cancel()
    clock[0] += 2

    assert ["<Context Cancelled>", "<Context DeadlineExceeded>"] == [repr(ctx), repr(timed)]


# -- the first end stays


def test_a_cancel_before_the_deadline_stays_a_cancel(clock: list[float]) -> None:
    """A context cancelled in time is Cancelled also after its deadline has passed."""
    ctx = Context(5)
    ctx.cancel("early")
    clock[0] += 10

    assert "cancelled: early" == str(ctx.error())


def test_a_deadline_before_the_cancel_stays_a_deadline(clock: list[float]) -> None:
    """A cancel after the deadline changes nothing, though nobody had asked in between."""
    ctx = Context(5)
    clock[0] += 10
    ctx.cancel("late")

    assert DeadlineExceeded is type(ctx.error())


def test_a_childs_deadline_before_its_parents_cancel_stays(clock: list[float]) -> None:
    """What came first counts, also where the parent is cancelled after the child's deadline, before any question."""
    parent = Context()
    child, heir = parent.child(5), parent.child(20)
    clock[0] += 10
    parent.cancel("late for one")
    clock[0] += 20

    assert DeadlineExceeded is type(child.error())
    assert "cancelled: late for one" == str(heir.error())


def test_the_end_is_the_same_for_all_who_ask() -> None:
    """Threads that cancel and ask at the moment of the deadline agree on how it ended, for good."""
    for _ in range(50):
        ctx, barrier, answers = Context(0.0005), threading.Barrier(4), list[str]()

        def ask(
            reason: str, ctx: Context = ctx, barrier: threading.Barrier = barrier, answers: list[str] = answers
        ) -> None:
            barrier.wait(PATIENCE)
            while ctx.remaining():
                pass
            ctx.cancel(reason)
            answers.append(str(ctx.error()))

        for thread in [started(functools.partial(ask, str(number))) for number in range(4)]:
            thread.join(PATIENCE)

        assert [str(ctx.error())] * 4 == answers


def test_an_end_that_slips_in_wins(clock: list[float]) -> None:
    """When the deadline is noted while a cancel is on its way, the cancel does not replace what others have seen."""
    ctx = Context(5)

    class Slow(list):  # type: ignore[type-arg]
        """Has another thread find the deadline passed just before the cancel is noted."""

        def append(self, end: object) -> None:
            super().append(context._End(DeadlineExceeded, 1005.0))
            super().append(end)

    ctx._ends = Slow()
    ctx.cancel("too late")

    assert DeadlineExceeded is type(ctx.error())


# -- children


def test_a_child_ends_with_its_parent() -> None:
    """Cancelling a context ends its children and theirs, with its reason; they had not to be asked before."""
    parent = Context()
    grandchild = parent.child().child()
    parent.cancel("all of you")

    assert "cancelled: all of you" == str(grandchild.error())


def test_a_child_ends_by_itself() -> None:
    """Cancelling a child leaves parent and siblings alive."""
    parent = Context()
    child, sibling = parent.child(), parent.child()
    child.cancel()

    assert (True, False, False) == (child.cancelled, sibling.cancelled, parent.cancelled)


def test_the_nearest_ancestors_reason_is_told() -> None:
    """Of several cancelled ancestors the nearest gives the reason; a child's own comes before all."""
    top = Context()
    middle = top.child()
    low, own = middle.child(), middle.child()
    own.cancel("own")
    middle.cancel("middle")
    top.cancel("top")

    assert ["cancelled: own", "cancelled: middle"] == [str(own.error()), str(low.error())]


@pytest.mark.parametrize(
    ("parent", "child", "remaining"), [(5, 9, 5), (9, 5, 5), (5, None, 5), (None, 5, 5), (None, None, None)]
)
def test_the_earlier_deadline_counts(
    clock: list[float], parent: float | None, child: float | None, remaining: float | None
) -> None:
    """A child has its own deadline or its parent's, whichever is earlier."""
    assert remaining == Context(parent).child(child).remaining()


def test_a_parents_deadline_ends_the_child_as_a_deadline(clock: list[float]) -> None:
    """A child ended by its parent's deadline says DeadlineExceeded."""
    parent = Context(5)
    child = parent.child(10)
    clock[0] += 5

    assert DeadlineExceeded is type(parent.error()) is type(child.error())


def test_the_child_of_an_ended_context_has_ended() -> None:
    """A child made of a cancelled context is cancelled at birth."""
    parent = Context()
    parent.cancel("gone")

    assert "cancelled: gone" == str(parent.child().error())


def test_deep_families_are_walked_without_recursion() -> None:
    """A chain of many thousand contexts, as a loop that nests them makes, can be asked and cancelled."""
    root = ctx = Context()
    for _ in range(5000):
        ctx = ctx.child()
    root.cancel("from the top")

    assert "cancelled: from the top" == str(ctx.error())


# -- wait


@pytest.mark.parametrize("seconds", [0, -1.0, 0.001])
def test_wait_gives_up_when_its_time_is_up(seconds: float) -> None:
    """`wait(seconds)` of a live context gives False."""
    ctx = Context()

    assert not ctx.wait(seconds)
    assert not ctx._watchers


def test_wait_of_an_ended_context_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """`wait` gives True at once when the context has ended, without starting the watchdog."""
    ctx = Context()
    ctx.cancel()
    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert ctx.wait()


@pytest.mark.parametrize("seconds", [None, 60, math.inf])
def test_wait_ends_at_the_deadline(seconds: float | None) -> None:
    """`wait` gives True when the context's deadline comes, not earlier, without anybody's cancel."""
    began = time.monotonic()
    ctx = Context(0.02)

    assert ctx.wait(seconds)
    assert 0.02 <= time.monotonic() - began < PATIENCE
    assert DeadlineExceeded is type(ctx.error())


def test_wait_longer_than_any_clock() -> None:
    """`wait(inf)` waits like `wait()`."""
    ctx = Context()
    threading.Timer(0.01, ctx.cancel).start()

    assert ctx.wait(math.inf)


def test_many_threads_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that wait for a context, or for children of it, are all freed by one cancel."""
    ctx, barrier, freed = Context(), threading.Barrier(25), list[bool]()

    def wait(scope: Context) -> None:
        barrier.wait(PATIENCE)
        freed.append(scope.wait(PATIENCE))

    waiters = [started(functools.partial(wait, scope)) for _ in range(12) for scope in (ctx, ctx.child())]
    barrier.wait(PATIENCE)
    ctx.cancel()
    for waiter in waiters:
        waiter.join(PATIENCE)

    assert [True] * 24 == freed
    assert not ctx._watchers
    assert watchdog_ended()


def test_a_waiting_thread_is_freed_at_once() -> None:
    """A thread that already blocks in `wait` is woken by a cancel."""
    ctx, freed = Context(), list[bool]()
    waiting = threading.Event()

    class Noted(dict):  # type: ignore[type-arg]
        def __setitem__(self, key: int, watcher: context._Waiter) -> None:
            watcher.ended = Announced()
            super().__setitem__(key, watcher)

    class Announced(queue.SimpleQueue):  # type: ignore[type-arg]
        def get(self, block: bool = True, timeout: float | None = None) -> None:
            waiting.set()
            super().get(block, timeout)

    ctx._watchers = Noted()
    waiter = started(lambda: freed.append(ctx.wait()))
    assert waiting.wait(PATIENCE)
    ctx.cancel()
    waiter.join(PATIENCE)

    assert [True] == freed


def test_the_main_thread_waits_in_short_naps() -> None:
    """A wait of the main thread is cut in naps, so that a signal which came just before one is heard after it."""
    naps: list[float | None] = []
    ctx = Context()

    class Slow(queue.SimpleQueue):  # type: ignore[type-arg]
        """Somebody cancels while this is waited for the third time, and nobody tells."""

        def get(self, block: bool = True, timeout: float | None = None) -> None:
            naps.append(timeout)
            if len(naps) == 3:
                ctx.cancel()
            raise queue.Empty

    class Noted(dict):  # type: ignore[type-arg]
        def __setitem__(self, key: int, watcher: context._Waiter) -> None:
            watcher.ended = Slow()
            super().__setitem__(key, watcher)

    ctx._watchers = Noted()

    assert ctx.wait()
    assert [0.1] * 3 == naps
    assert 0.05 == context.wait_at_once(0.05)


def test_other_threads_wait_as_long_as_it_takes() -> None:
    """No handler runs in another thread, so its waits are as long as a lock can wait."""
    elsewhere = list[float]()
    started(lambda: elsewhere.append(context.wait_at_once(math.inf))).join(PATIENCE)

    assert [threading.TIMEOUT_MAX] == elsewhere


def test_wait_says_so_when_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system gives no thread, `wait` raises an error of the tree and leaves nothing behind."""
    ctx = Context()
    assert watchdog_ended()  # of the test before
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(StreamKitError, match="no thread can be started"):
        ctx.wait(1)

    assert not ctx._watchers


# -- on_cancel


class Calls:
    """A callback that counts its calls and notes their threads."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.called = threading.Semaphore(0)

    def __call__(self) -> None:
        """Count."""
        self.threads.append(threading.current_thread())
        self.called.release()

    def came(self) -> bool:
        """Whether a call comes soon, and its thread ends."""
        came = self.called.acquire(timeout=PATIENCE)
        for thread in self.threads:
            thread.join(PATIENCE)
        return came

    def count(self) -> int:
        """Give the number of calls when the watchdog has done all it has to do."""
        assert watchdog_ended()
        return len(self.threads)


def test_on_cancel_calls_once_on_a_thread_of_its_own() -> None:
    """The callback runs once, neither on the canceller's thread nor on the watchdog's."""
    ctx, calls = Context(), Calls()
    ctx.on_cancel(calls)
    ctx.cancel()
    ctx.cancel()

    assert calls.came()
    assert 1 == calls.count()
    assert ["streamkit-on-cancel"] == [thread.name for thread in calls.threads]
    assert not ctx._watchers


def test_on_cancel_of_an_ended_context_calls_at_once() -> None:
    """A callback registered after the end runs at once, also when the end was a deadline, and needs no watchdog."""
    cancelled, late, calls = Context(), Context(0), Calls()
    cancelled.cancel()
    cancelled.on_cancel(calls)
    late.on_cancel(calls)

    assert calls.came()
    assert calls.came()
    assert 2 == calls.count()
    assert watchdog._thread is None


def test_on_cancel_is_called_at_the_deadline() -> None:
    """The deadline, too, calls the callback."""
    ctx, calls = Context(0.02), Calls()
    ctx.on_cancel(calls)

    assert calls.came()
    assert ctx.cancelled
    assert 1 == calls.count()


def test_on_cancel_of_a_child_is_called_when_the_parent_is_cancelled() -> None:
    """A callback of a child runs when an ancestor is cancelled, also when nobody holds the child any more."""
    parent, calls = Context(), Calls()
    parent.child().child().on_cancel(calls)
    gc.collect()
    parent.cancel()

    assert calls.came()
    assert 1 == calls.count()


def test_on_cancel_of_a_parent_is_not_called_for_its_child() -> None:
    """Cancelling a child does not call the parent's callbacks."""
    parent, calls, own = Context(), Calls(), Calls()
    unregister = parent.on_cancel(calls)
    child = parent.child()
    child.on_cancel(own)
    child.cancel()

    assert own.came()

    unregister()

    assert 0 == calls.count()


def test_unregister() -> None:
    """An unregistered callback is never called; unregistering again, or after the call, does nothing."""
    ctx, calls, other = Context(), Calls(), Calls()
    unregister = ctx.on_cancel(calls)
    second = ctx.on_cancel(other)
    unregister()
    unregister()
    ctx.cancel()

    assert other.came()

    second()

    assert (0, 1) == (calls.count(), other.count())
    assert not ctx._watchers


def test_many_callbacks_are_all_called() -> None:
    """Hundreds of callbacks of one context and its children run, each once."""
    ctx, calls = Context(), Calls()
    for number in range(300):
        (ctx if number % 2 else ctx.child()).on_cancel(calls)
    ctx.cancel()

    assert all(calls.came() for _ in range(300))
    assert 300 == calls.count()


def test_a_raising_callback_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An exception in a callback is logged and stops no other."""

    def fail() -> None:
        raise ZeroDivisionError("of a callback")

    ctx, calls = Context(), Calls()
    with caplog.at_level(logging.ERROR, "streamkit"):
        ctx.on_cancel(fail)
        ctx.on_cancel(calls)
        ctx.cancel()

        assert calls.came()
        assert watchdog_ended()

        for thread in threading.enumerate():
            if thread.name == "streamkit-on-cancel":
                thread.join(PATIENCE)

    assert ["an on_cancel callback raised"] == [record.message for record in caplog.records]


def test_one_callback_without_a_thread_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the system gives no thread for a callback, whoever else waits for the cancel is told all the same."""
    ctx, refused, start = Context(), list[str](), threading.Thread.start

    def grudging(thread: threading.Thread) -> None:
        if thread.name == "streamkit-on-cancel":
            refused.append(thread.name)
            refuse(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", grudging)
    ctx.on_cancel(Calls())
    freed = list[bool]()
    waiter = started(lambda: freed.append(ctx.wait(PATIENCE)))
    ctx.on_cancel(Calls())
    ctx.cancel()
    waiter.join(PATIENCE)

    assert [True] == freed
    assert watchdog_ended()
    assert 2 == len(refused)
    assert ["an internal error on the watchdog thread"] * 2 == [record.message for record in caplog.records]


def test_on_cancel_says_so_when_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system gives no thread, `on_cancel` raises an error of the tree and registers nothing."""
    ctx, ended = Context(), Context(0)
    assert watchdog_ended()  # of the test before
    monkeypatch.setattr(threading.Thread, "start", refuse)
    for scope in (ctx, ended):
        with pytest.raises(StreamKitError, match="no thread can be started"):
            scope.on_cancel(Calls())

    assert not ctx._watchers
    assert not ended._watchers


def test_a_cancel_during_the_registration_leaves_nothing_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancel that is carried out before the callback is watched: it is called once and nothing stays watched."""
    ctx, calls, keeper = Context(), Calls(), Context()
    unregister = keeper.on_cancel(calls)  # keeps the watchdog running
    watch = watchdog.watch

    def slow(watched: object) -> None:
        ctx.cancel()
        assert calls.came()
        watch(watched)  # type: ignore[arg-type]

    monkeypatch.setattr(watchdog, "watch", slow)
    ctx.on_cancel(calls)
    unregister()

    assert 1 == calls.count()
    assert not watchdog._watched


def test_callbacks_race_with_cancels() -> None:
    """Registered, unregistered and cancelled at the same time by several threads, a callback runs at most once."""
    for _ in range(60):
        ctx, calls, barrier = Context(), Calls(), threading.Barrier(3)
        unregister = ctx.on_cancel(calls)

        def at_once(act: Callable[[], object], barrier: threading.Barrier = barrier) -> None:
            barrier.wait(PATIENCE)
            act()

        acts: list[Callable[[], object]] = [unregister, ctx.cancel, functools.partial(ctx.on_cancel, calls)]
        for thread in [started(functools.partial(at_once, act)) for act in acts]:
            thread.join(PATIENCE)

        assert calls.came()
        assert calls.count() in (1, 2)
        assert not ctx._watchers


# -- who keeps whom alive


def test_a_dropped_context_lets_its_callbacks_go() -> None:
    """When nobody can cancel any more, a callback without a deadline is forgotten, though it refers to its context."""
    ctx, calls = Context(), Calls()
    child = ctx.child()
    child.on_cancel(functools.partial(lambda own, calls: calls(), child, calls))
    gone = [weakref.ref(ctx), weakref.ref(child)]
    del ctx, child
    gc.collect()

    assert [None, None] == [ref() for ref in gone]
    assert 0 == calls.count()


def test_a_dropped_context_with_a_deadline_still_calls() -> None:
    """A callback runs at the deadline also when the context has been collected."""
    calls = Calls()
    Context(0.05).on_cancel(calls)
    gc.collect()

    assert calls.came()
    assert 1 == calls.count()


def test_the_unregister_function_keeps_no_context_alive() -> None:
    """Holding what `on_cancel` gave keeps neither the context nor the watchdog's thread."""
    ctx, calls = Context(), Calls()
    unregister = ctx.on_cancel(calls)
    gone = weakref.ref(ctx)
    del ctx
    gc.collect()

    assert gone() is None
    assert 0 == calls.count()

    unregister()


def test_a_cancel_that_nobody_waits_for_leaves_nothing_behind() -> None:
    """Contexts that are cancelled while nothing is watched do not pile up."""
    gone = []
    for _ in range(10):
        with Context() as ctx:
            gone.append(weakref.ref(ctx))
    del ctx

    assert [None] * 10 == [ref() for ref in gone]


# -- handlers and finalizers


def test_a_finalizer_may_cancel() -> None:
    """`cancel` from `__del__`, run by the collector in the middle of lines of contexts and channels, does no harm."""

    class Dropped:
        def __init__(self, ctx: Context) -> None:
            self.ctx = ctx
            self.cycle = self

        def __del__(self) -> None:
            self.ctx.cancel()

    channel, keeper, calls = Channel[int](1), Context(), Calls()
    unregister = keeper.on_cancel(calls)
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for number in range(300):
            child = keeper.child()
            Dropped(child)
            child.on_cancel(calls)
            channel.put(number)
            channel.get()
            child.wait(0)
    finally:
        gc.set_threshold(*threshold)
    for _ in range(300):
        while not calls.called.acquire(timeout=0.1):
            gc.collect()  # again and again: one that finds another thread collecting does nothing
    unregister()

    assert 300 == calls.count()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system has no such signals")
def test_signal_handlers_may_cancel() -> None:
    """Many hundred signals whose handler cancels, while their own thread is busy with the same objects: no deadlock.

    Each handled signal frees the context that the main thread is just using.
    """
    handled, channel, calls, main, enough = [0], Channel[int](2), Calls(), threading.get_ident(), threading.Event()
    root = current = Context()
    keep = root.on_cancel(calls)  # the watchdog has something to carry out all the time

    def act(number: int, frame: object) -> None:
        handled[0] += 1
        if current is not root:
            current.cancel("signal")

    def send() -> None:
        while not enough.wait(0.0002):
            signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, act)
    sender = started(send)
    freed = 0
    until = time.monotonic() + 1.0
    try:
        while time.monotonic() < until:
            current = root.child()
            unregister = current.on_cancel(calls)
            channel.put(1)
            channel.get()
            freed += current.wait()
            unregister()
    finally:
        enough.set()
        sender.join(PATIENCE)
        signal.signal(signal.SIGUSR1, before)
        keep()

    assert handled[0] > 200
    assert freed > 100
    assert watchdog_ended()


# -- cancel_on_signals


@pytest.fixture
def handlers() -> Iterator[dict[int, object]]:
    """The handlers of SIGINT and SIGTERM before a test, put back after it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield dict(before.items())
    for number, handler in before.items():
        signal.signal(number, handler)


def now() -> dict[int, object]:
    """Give the handlers of SIGINT and SIGTERM."""
    return {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels(handlers: dict[int, object], capfd: pytest.CaptureFixture[str], number: int) -> None:
    """SIGINT or SIGTERM in the body cancels the context and raises nothing; the handlers are then put back."""
    ctx = Context()
    with cancel_on_signals(ctx) as same:
        assert same is ctx
        assert not ctx.cancelled

        signal.raise_signal(number)

        assert f"cancelled: signal {number:d}" == str(ctx.error())

    assert handlers == now()
    assert "" == capfd.readouterr().out


def test_the_message_is_written_once(handlers: dict[int, object], capfd: pytest.CaptureFixture[str]) -> None:
    """The message goes to descriptor 1 at the first signal only."""
    with cancel_on_signals(Context(), message="\n\nCancelling…\ud800\n"):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)

    assert "\n\nCancelling…?\n" == capfd.readouterr().out


def test_a_second_sigint_interrupts(handlers: dict[int, object], capfd: pytest.CaptureFixture[str]) -> None:
    """Who presses Ctrl-C twice means it: the second raises KeyboardInterrupt, and the handlers are put back."""
    with pytest.raises(KeyboardInterrupt), cancel_on_signals(Context(), message="Cancelling"):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    assert "Cancelling" == capfd.readouterr().out
    assert handlers == now()


def test_a_second_sigint_does_not_break_off_the_first(
    handlers: dict[int, object], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A SIGINT that comes while the first is carried out keeps nobody from being told; the message comes once."""
    ctx, alerts, told = Context(), list[str](), list[str]()

    class Watching:
        def __init__(self, name: str) -> None:
            self.name = name

        def alert(self) -> None:
            alerts.append(self.name)
            signal.raise_signal(signal.SIGINT)

        def cancelled(self) -> None:
            told.append(self.name)

    for name in ("first", "second", "third"):
        ctx.attach(Watching(name))
    monkeypatch.setattr(watchdog, "post", lambda fn: fn())
    with cancel_on_signals(ctx, message="Cancelling"):
        signal.raise_signal(signal.SIGINT)

    assert ["first", "second", "third"] == alerts == told
    assert "Cancelling" == capfd.readouterr().out


def test_no_stdout_is_no_obstacle(handlers: dict[int, object]) -> None:
    """With descriptor 1 closed the context is cancelled all the same."""
    ctx = Context()
    saved = os.dup(1)
    os.close(1)
    try:
        with cancel_on_signals(ctx, message="Cancelling"):
            signal.raise_signal(signal.SIGINT)
    finally:
        os.dup2(saved, 1)
        os.close(saved)

    assert ctx.cancelled


def test_handlers_are_put_back_after_an_exception(handlers: dict[int, object]) -> None:
    """An exception in the body passes, with the old handlers in place."""
    with pytest.raises(ZeroDivisionError), cancel_on_signals(Context()):
        raise ZeroDivisionError

    assert handlers == now()


def test_nested_bodies(handlers: dict[int, object]) -> None:
    """A signal cancels the innermost context; after its body the outer one's turn has come again."""
    outer, inner = Context(), Context()
    with cancel_on_signals(outer):
        with cancel_on_signals(inner):
            signal.raise_signal(signal.SIGINT)

            assert (False, True) == (outer.cancelled, inner.cancelled)

        signal.raise_signal(signal.SIGINT)

        assert outer.cancelled

    assert handlers == now()


def test_other_signals(handlers: dict[int, object]) -> None:
    """`signals` names those to handle; the others stay as they are."""
    ctx = Context()
    with cancel_on_signals(ctx, signals=[signal.SIGUSR1]):
        assert handlers == now()

        signal.raise_signal(signal.SIGUSR1)

    assert ctx.cancelled
    assert signal.SIG_DFL == signal.getsignal(signal.SIGUSR1)


def test_a_handler_not_set_by_python_becomes_the_default(
    handlers: dict[int, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler that C code had installed cannot be put back from Python: the default is."""
    real, old = signal.signal, iter([None])
    monkeypatch.setattr(signal, "signal", lambda number, handler: (real(number, handler), next(old, None))[1])
    with cancel_on_signals(Context(), signals=[signal.SIGTERM]):
        pass

    assert signal.SIG_DFL == signal.getsignal(signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGKILL, 0, 4711])
def test_signals_that_cannot_be_handled(handlers: dict[int, object], number: int) -> None:
    """A signal that the system does not let anybody handle is named; what was set before it is put back."""
    with (
        pytest.raises(ConfigError, match=f"signal {number:d} cannot be handled"),
        cancel_on_signals(Context(), signals=[signal.SIGTERM, number]),
    ):
        raise AssertionError("the body must not run")

    assert handlers == now()


def test_only_the_main_thread_handles_signals() -> None:
    """In any other thread ConfigError says where to call it."""
    errors = list[BaseException]()

    def try_it() -> None:
        try:
            with cancel_on_signals(Context()):
                pass
        except ConfigError as e:
            errors.append(e)

    started(try_it).join(PATIENCE)

    assert ["cancel_on_signals works in the main thread only: call it there, or call ctx.cancel()"] == [
        str(e) for e in errors
    ]


# -- programs of their own


def run(script: str) -> str:
    """Run a script and give what it wrote; an assertion in it fails the test."""
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(streamkit.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert 0 == ran.returncode, ran.stderr

    return ran.stdout


KEYBOARD = """
import os, signal, sys, threading
from streamkit import Context, cancel_on_signals

ctx = Context()
with cancel_on_signals(ctx, message="Cancelling..."):
    threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()
    assert ctx.wait(10)
print("", ctx.error())
"""

FORK = """
import os, sys, threading
from streamkit import Context
from streamkit.watchdog import watchdog

ctx, called = Context(), []
ctx.on_cancel(lambda: called.append("cancel"))
unregister = ctx.on_cancel(lambda: called.append("unregistered"))
waiting = threading.Thread(target=ctx.wait, daemon=True)
waiting.start()
while len(ctx._watchers) < 3:
    pass
waiter = [w for w in ctx._watchers.values() if hasattr(w, "ended")][0]
while waiter not in watchdog._keys:
    pass
timed = Context(0.2)
timed.on_cancel(lambda: called.append("deadline"))
pid = os.fork()
if pid == 0:
    before = list(called)
    unregister()
    fresh, mine = Context(), threading.Event()
    fresh.on_cancel(mine.set)
    child = ctx.child()
    own = threading.Event()
    child.on_cancel(own.set)
    ctx.cancel("in the child")
    assert child.wait(10)
    assert own.wait(10)
    fresh.cancel()
    assert mine.wait(10)
    timed.wait()
    assert before == called, called
    print("child", ctx.error(), end="; ", flush=True)
    os._exit(0)
assert 0 == os.waitpid(pid, 0)[1]
timed.wait()
assert not ctx.cancelled
ctx.cancel()
waiting.join(10)
thread = watchdog._thread
if thread is not None:
    thread.join(10)
for thread in threading.enumerate():
    if thread.name == "streamkit-on-cancel":
        thread.join(10)
print("parent", *sorted(called))
"""


@pytest.mark.slow
def test_ctrl_c_frees_the_waiting_main_thread() -> None:
    """A program whose main thread waits is freed by SIGINT, tells so once and ends by itself."""
    assert "Cancelling... cancelled: signal 2\n" == run(KEYBOARD)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_contexts_work_in_a_forked_child() -> None:
    """In a forked child contexts can be cancelled and waited for; what the parent registered runs there only."""
    assert "child cancelled: in the child; parent cancel deadline unregistered\n" == run(FORK)
