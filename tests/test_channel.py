"""Channels: a `queue.Queue` that can be closed; the pipe beneath it; the sticky outcome."""

from __future__ import annotations

import functools
import math
import queue
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streamkit.channel import Channel, Outcome, Pipe
from streamkit.context import Context
from streamkit.errors import ChannelClosed
from tests.strategies import PROPERTY

PATIENCE = 20.0
"""Seconds after which a test gives up hope."""

T = TypeVar("T")

BOUNDS = [0, 1, 2, 7]


class Announcing(threading.Condition):
    """A condition that tells when somebody is about to wait on it."""

    def __init__(self, lock: threading.Lock) -> None:
        super().__init__(lock)
        self.waiting = threading.Semaphore(0)

    def wait(self, timeout: float | None = None) -> bool:
        """Tell, then wait: whoever takes the lock afterwards finds the caller waiting."""
        self.waiting.release()
        return super().wait(timeout)


def announce(pipe: Pipe[Any], name: str) -> Callable[[], bool]:
    """Give a function that waits until a thread waits on this condition of the pipe."""
    condition = Announcing(pipe.mutex)
    setattr(pipe, name, condition)

    def somebody_waits() -> bool:
        if not condition.waiting.acquire(timeout=PATIENCE):
            return False
        with pipe.mutex:
            return True

    return somebody_waits


class Thread(threading.Thread):
    """A thread on a function, started; `result()` gives what that gave or raises what it raised."""

    def __init__(self, target: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._function = target
        self._outcome: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Call the function."""
        try:
            self._outcome = self._function()
        except BaseException as e:
            self._error = e

    def result(self) -> Any:
        """Wait for the end."""
        self.join(PATIENCE)
        if self.is_alive():
            raise AssertionError("the thread hangs")
        if self._error is not None:
            raise self._error
        return self._outcome


@pytest.fixture
def jostling() -> Iterator[None]:
    """Have threads take turns far more often than usual."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def of(*items: T, bound: int = 0) -> Channel[T]:
    """Give a channel that holds these."""
    channel = Channel[T](bound)
    for item in items:
        channel.put_nowait(item)
    return channel


def joined(pipe: Pipe[T]) -> Channel[T]:
    """Give a channel on a pipe."""
    channel = Channel.__new__(Channel)
    channel._join(pipe)
    return channel


# -- a queue.Queue


def test_it_is_a_queue() -> None:
    """A channel and an outcome are `queue.Queue`s, so whatever takes one takes them."""
    assert isinstance(Channel(), queue.Queue)
    assert isinstance(Outcome(Pipe(), deque()), queue.Queue)


class QueueAlike(RuleBasedStateMachine):
    """Without threads a channel does what a `queue.Queue` does, step by step; once closed, what Go's channel does."""

    @initialize(maxsize=st.sampled_from([-1, *BOUNDS]))
    def begin(self, maxsize: int) -> None:
        """Make both."""
        self.channel: Channel[int] = Channel(maxsize)
        self.model: queue.Queue[int] = queue.Queue(maxsize)
        self.closed = False

    def both(self, act: Callable[[queue.Queue[int]], object]) -> None:
        """Do the same to both: they give or raise the same."""
        answers: list[tuple[object, object]] = []
        for subject in (self.model, self.channel):
            try:
                answers.append((act(subject), None))
            except (queue.Empty, queue.Full, ValueError) as e:
                answers.append((None, type(e)))

        assert answers[0] == answers[1]

    @precondition(lambda self: not self.closed)
    @rule(item=st.integers(), timed=st.booleans())
    def put(self, item: int, timed: bool) -> None:
        """Put without waiting."""
        self.both(lambda q: q.put(item, timeout=0) if timed else q.put_nowait(item))

    @precondition(lambda self: not self.closed)
    @rule(timed=st.booleans())
    def get(self, timed: bool) -> None:
        """Get without waiting."""
        self.both(lambda q: q.get(timeout=0) if timed else q.get_nowait())

    @rule()
    def task_done(self) -> None:
        """Mark an item done, perhaps once too often."""
        self.both(lambda q: q.task_done())

    @precondition(lambda self: self.model.unfinished_tasks == 0)
    @rule()
    def join(self) -> None:
        """Wait for nothing."""
        self.both(lambda q: q.join())

    @rule()
    def close(self) -> None:
        """Close, perhaps again."""
        self.channel.close()
        self.closed = True

    @precondition(lambda self: self.closed)
    @rule(block=st.booleans())
    def drain(self, block: bool) -> None:
        """Take from a closed channel: what is left, then the end; it never blocks."""
        try:
            item = self.model.get_nowait()
        except queue.Empty:
            with pytest.raises(ChannelClosed):
                self.channel.get(block)

            assert (None, False) == self.channel.recv()
            assert [] == list(self.channel)
        else:
            assert item == self.channel.get(block)

    @precondition(lambda self: self.closed)
    @rule(block=st.booleans())
    def refuse(self, block: bool) -> None:
        """Put into a closed channel: refused, whether there is room or not."""
        with pytest.raises(ChannelClosed):
            self.channel.put(1, block)

    @invariant()
    def alike(self) -> None:
        """Both look the same from outside."""

        def look(q: queue.Queue[int]) -> tuple[object, ...]:
            return q.qsize(), q.empty(), q.full(), q.unfinished_tasks, list(q.queue)

        assert look(self.model) == look(self.channel)
        assert self.closed == self.channel.closed == self.channel.is_shutdown
        assert max(0, self.model.maxsize) == self.channel.maxsize


TestQueueAlike = QueueAlike.TestCase
TestQueueAlike.settings = settings(PROPERTY, stateful_step_count=30)


@pytest.mark.parametrize("timeout", [0, 0.0, 0.01])
def test_time_is_up(timeout: float) -> None:
    """`get` of an empty channel and `put` to a full one give up after `timeout` seconds, not before."""
    began = time.monotonic()
    with pytest.raises(queue.Empty) as empty:
        Channel[int]().get(timeout=timeout)
    with pytest.raises(queue.Full):
        of(1, bound=1).put(2, timeout=timeout)

    assert 2 * timeout <= time.monotonic() - began
    assert queue.Empty is empty.type
    with pytest.raises(queue.Empty):
        Channel[int]().recv(timeout)


def test_a_negative_timeout_is_no_timeout() -> None:
    """As with `queue.Queue`, a negative timeout is a ValueError, and does not matter where nothing waits."""
    with pytest.raises(ValueError, match="non-negative"):
        Channel[int]().get(timeout=-1)
    with pytest.raises(ValueError, match="non-negative"):
        Channel[int]().put(1, timeout=-1)
    with pytest.raises(queue.Empty):
        Channel[int]().get(block=False, timeout=-1)


def test_an_infinite_timeout() -> None:
    """`timeout=inf` waits as long as it takes."""
    channel = Channel[int]()
    waits = announce(channel._pipe, "not_empty")
    reader = Thread(lambda: channel.get(timeout=math.inf))

    assert waits()

    channel.put(1)

    assert 1 == reader.result()


def test_join_waits_for_the_last_task() -> None:
    """`join` returns when each item that was put has been marked as done."""
    pipe = Pipe[int]()
    waits = announce(pipe, "drained")
    channel = joined(pipe)
    channel.put(1)
    channel.put(2)
    joiner = Thread(channel.join)

    assert waits()

    channel.task_done()

    assert joiner.is_alive()

    channel.task_done()
    joiner.result()
    with pytest.raises(ValueError, match="too many"):
        channel.task_done()


@pytest.mark.parametrize("bound", [1, 2, 7, 10])
def test_each_free_slot_wakes_a_writer(bound: int) -> None:
    """A writer that waits for room goes on as soon as one item was taken, however many are left."""
    channel = of(*range(bound), bound=bound)
    waits = announce(channel._pipe, "not_full")
    writer = Thread(lambda: channel.put(99))

    assert waits()
    assert 0 == channel.get()

    writer.result()

    assert [*range(1, bound), 99] == list(channel.queue)


def test_all_waiting_writers_get_their_turn() -> None:
    """Several writers wait for room; each item taken lets one of them go on."""
    channel = of(0, bound=1)
    waits = announce(channel._pipe, "not_full")
    writers = [Thread(functools.partial(channel.put, number)) for number in range(1, 6)]

    assert all([waits() for _ in writers])

    taken = [channel.get(timeout=PATIENCE) for _ in range(6)]
    for writer in writers:
        writer.result()

    assert list(range(6)) == sorted(taken)


def test_a_writer_that_gave_up_leaves_nothing_behind() -> None:
    """After `queue.Full` the item is not there and later readers and writers do as ever."""
    channel = of(1, bound=1)
    with pytest.raises(queue.Full):
        channel.put(2, timeout=0.001)

    assert [1] == [channel.get()]
    assert not channel._pipe.alert or channel._pipe.may_deliver()

    channel.put(3)
    channel.close()

    assert [3] == list(channel)


def test_an_item_taken_by_another_reader_is_waited_for_again() -> None:
    """A reader that was woken for an item, and finds that another was quicker, waits for the next one."""

    class Contended(deque):  # type: ignore[type-arg]
        """A deque on which another reader, which needs no lock, takes the first item from under this one's nose."""

        quicker = True

        def popleft(self) -> int:
            if self and self.quicker:
                self.quicker = False
                super().popleft()
            return super().popleft()  # type: ignore[no-any-return]

    channel = Channel[int]()
    channel._pipe.items = channel.queue = Contended()
    waits = announce(channel._pipe, "not_empty")
    reader = Thread(channel.get)

    assert waits()

    channel.put(1)

    assert waits()

    channel.put(2)

    assert 2 == reader.result()


# -- closing


def test_close_lets_readers_drain() -> None:
    """What lies in a channel when it is closed can still be read in each way; then the end is told in each way."""
    channel = of(1, 2, 3, 4)
    channel.close()
    channel.close()

    assert 1 == channel.get()
    assert (2, True) == channel.recv()
    assert 3 == channel.get_nowait()
    assert [4] == list(channel)
    assert (None, False) == channel.recv()
    for read in (channel.get, channel.get_nowait, lambda: channel.get(timeout=0)):
        with pytest.raises(ChannelClosed, match="closed and drained") as closed:
            read()

        assert isinstance(closed.value, queue.Empty)


def test_close_wakes_readers() -> None:
    """Readers that wait, each in its own way, are woken by `close`."""
    channel = Channel[int]()
    waits = announce(channel._pipe, "not_empty")
    reads: list[Callable[[], object]] = [
        functools.partial(list, channel),
        channel.recv,
        lambda: channel.get(timeout=PATIENCE),
    ]
    readers = [Thread(read) for read in reads]

    assert all([waits() for _ in readers])

    channel.close()

    assert [] == readers[0].result()
    assert (None, False) == readers[1].result()
    with pytest.raises(ChannelClosed):
        readers[2].result()


def test_close_wakes_writers() -> None:
    """A writer that waits for room learns that the channel was closed; its item is not in it."""
    channel = of(1, bound=1)
    waits = announce(channel._pipe, "not_full")
    writer = Thread(lambda: channel.put(2))

    assert waits()

    channel.close()
    with pytest.raises(ChannelClosed):
        writer.result()

    assert [1] == list(channel)


@pytest.mark.parametrize("before", ["open", "close", "shutdown"])
def test_shutdown_at_once_drops_what_is_unread(before: str) -> None:
    """`shutdown(immediate=True)` drops the unread items, also of a closed channel; `join` does not wait for them."""
    channel = of(1, 2, 3)
    channel.get()
    if before == "close":
        channel.close()
    elif before == "shutdown":
        channel.shutdown()

        assert 2 == channel.qsize()

    channel.shutdown(immediate=True)

    assert channel.closed
    assert [] == list(channel)
    assert 1 == channel.unfinished_tasks

    channel.task_done()
    channel.join()


# -- reading


def test_a_loop_goes_on_where_another_broke_off() -> None:
    """Breaking a loop loses nothing: the next loop, or a plain get, brings the next item."""
    channel = of(*range(6))
    channel.close()
    seen = []
    for item in channel:
        seen.append(item)
        if item == 1:
            break
    seen.append(channel.get())
    first, second = iter(channel), iter(channel)
    seen += [next(first), next(second), next(first)]

    assert list(range(6)) == seen
    assert [] == list(second)


def test_none_is_an_item_as_any_other() -> None:
    """An item that is false or None neither ends a loop nor looks like the end to `recv`."""
    channel = of(None, 0, "", None)
    channel.close()

    assert (None, True) == channel.recv()
    assert [0, "", None] == list(channel)
    assert (None, False) == channel.recv()


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("style", ["loop", "get", "recv", "nowait"])
def test_readers_share_the_items(jostling: None, bound: int, style: str) -> None:
    """Several readers and writers: each item comes once, in its writer's order for each reader, and none is lost."""
    channel, writers, readers, items = Channel[tuple[int, int]](bound), 3, 3, 250

    def write(writer: int) -> None:
        for number in range(items):
            channel.put((writer, number), timeout=PATIENCE)

    def read() -> list[tuple[int, int]]:
        seen: list[tuple[int, int]] = []
        if style == "loop":
            return list(channel)
        while True:
            try:
                if style == "recv":
                    item, ok = channel.recv(PATIENCE)
                    if not ok:
                        return seen
                    assert item is not None
                    seen.append(item)
                elif style == "get":
                    seen.append(channel.get())
                else:
                    seen.append(channel.get(timeout=0.0001))
            except ChannelClosed:
                return seen
            except queue.Empty:
                pass

    reading = [Thread(read) for _ in range(readers)]
    for writing in [Thread(functools.partial(write, writer)) for writer in range(writers)]:
        writing.result()
    channel.close()
    seen = [reader.result() for reader in reading]

    assert [(writer, number) for writer in range(writers) for number in range(items)] == sorted(sum(seen, []))
    for share in seen:
        for writer in range(writers):
            numbers = [number for who, number in share if who == writer]

            assert numbers == sorted(numbers)


@pytest.mark.slow
@pytest.mark.parametrize("bound", BOUNDS)
def test_no_wake_up_is_lost(jostling: None, bound: int) -> None:
    """Thousands of items handed to and fro between two channels, each waiting for the other: nobody sleeps for ever."""
    there, back = Channel[int](bound), Channel[int](bound)

    def echo() -> None:
        for item in there:
            back.put(item, timeout=PATIENCE)

    def send() -> None:
        for number in range(2000):
            there.put(number, timeout=PATIENCE)
        there.close()

    echoes, sender = [Thread(echo), Thread(echo)], Thread(send)
    got = [back.get(timeout=PATIENCE) for _ in range(2000)]
    for thread in [sender, *echoes]:
        thread.result()

    assert list(range(2000)) == sorted(got)


# -- the pipe: writing


@settings(PROPERTY, max_examples=60)
@given(
    bound=st.sampled_from([0, 1, 2, 3, 7]),
    sizes=st.lists(st.integers(0, 12), max_size=12),
    end=st.sampled_from(["close", "publish"]),
)
def test_batches_pass_whole_and_in_order(bound: int, sizes: list[int], end: str) -> None:
    """Batches larger or smaller than the bound: every item arrives in order, and never more than `bound` lie unread."""
    pipe = Pipe[int](bound)
    channel = joined(pipe)
    batches, start = [], 0
    for size in sizes:
        batches.append(list(range(start, start + size)))
        start += size

    def produce() -> list[bool]:
        delivered = [pipe.put_many(batch) for batch in batches]
        if end == "publish":
            pipe.claim(None, "whole")
            pipe.publish()
        else:
            pipe.close()
        return delivered

    producer = Thread(produce)
    seen, most = [], 0
    for item in channel:
        most = max(most, channel.qsize())
        seen.append(item)

    assert list(range(start)) == seen
    assert [True] * len(sizes) == producer.result()
    assert not bound or most <= bound


@pytest.mark.parametrize("bound", [1, 2, 7])
def test_the_bound_is_strict(bound: int) -> None:
    """A blocked batch fills the channel to the bound and no further."""
    pipe = Pipe[int](bound)
    waits = announce(pipe, "not_full")
    producer = Thread(lambda: pipe.put_many(range(20)))

    assert waits()
    assert bound == len(pipe.items)

    taken = 0
    channel = joined(pipe)
    while taken < 20:
        assert channel.qsize() <= bound

        taken += channel.get(timeout=PATIENCE) == taken

    assert producer.result()
    assert 20 == taken


def test_a_batch_that_does_not_fit_waits_for_half_the_room() -> None:
    """A producer is woken in bulk: not by each item taken, but when half the room is free."""
    pipe = Pipe[int](10)
    waits = announce(pipe, "not_full")
    producer, channel = Thread(lambda: pipe.put_many(range(15))), joined(pipe)

    assert waits()

    for _ in range(4):
        channel.get()

    assert 6 == len(pipe.items)

    channel.get()

    assert producer.result()
    assert list(range(5, 15)) == list(pipe.items)


def test_room_that_came_before_the_flag_is_seen() -> None:
    """A reader that took an item just before the writer raised its flag did not see it: the writer looks again."""

    class Quick(Pipe[int]):
        """A pipe whose items are all taken just before the flag goes up."""

        def __setattr__(self, name: str, value: Any) -> None:
            if name == "alert" and value:
                taken.extend(self.items)
                self.items.clear()
            object.__setattr__(self, name, value)

    taken: list[int] = []
    pipe = Quick(2)

    assert pipe.put_many(range(5))
    assert list(range(4)) == taken
    assert [4] == list(pipe.items)


def test_a_closed_pipe_takes_nothing() -> None:
    """`put_many` after the end gives False and leaves no trace."""
    pipe = Pipe[int]()
    pipe.close()

    assert not pipe.put_many([1])
    assert not pipe.items
    assert 0 == pipe.unfinished


def test_lift_frees_a_producer_for_good() -> None:
    """After `lift` a blocked producer, and each later batch, goes on without a reader; a second lift is nothing."""
    pipe = Pipe[int](2)
    waits = announce(pipe, "not_full")
    producer = Thread(lambda: pipe.put_many(range(50)) and pipe.put_many(range(50, 90)))

    assert waits()

    pipe.lift()
    pipe.lift()

    assert producer.result()
    assert list(range(90)) == list(pipe.items)
    assert 0 == joined(pipe).maxsize


# -- the pipe: the end


def test_the_outcome_is_claimed_once() -> None:
    """The first claim decides; publishing shows it, once; a later claim or publication changes nothing."""
    pipe = Pipe[int]()

    assert pipe.claim(None, "response")
    assert not pipe.claim("error", None)
    assert not pipe.err
    assert not pipe.closed

    pipe.publish()
    pipe.publish()

    assert not pipe.claim("error", None)
    assert [[None], ["response"]] == [list(pipe.err), list(pipe.final)]


def test_one_of_many_claims_wins(jostling: None) -> None:
    """Of threads that settle at the same moment exactly one is told that it did."""
    for _ in range(30):
        pipe, barrier = Pipe[int](), threading.Barrier(4)

        def settle(number: int, pipe: Pipe[int] = pipe, barrier: threading.Barrier = barrier) -> bool:
            barrier.wait(PATIENCE)
            won = pipe.claim(number, None)
            pipe.publish()
            return won

        settlers = [Thread(functools.partial(settle, number)) for number in range(4)]
        winners = [number for number, settler in enumerate(settlers) if settler.result()]

        assert winners == list(pipe.err)


@pytest.mark.parametrize("discard", [True, False])
def test_the_rest_of_a_blocked_batch(discard: bool) -> None:
    """What a blocked producer still holds is delivered after the end, unless the end discards; the producer is told."""
    pipe = Pipe[int](2)
    waits = announce(pipe, "not_full")
    producer, channel = Thread(lambda: pipe.put_many(range(7))), joined(pipe)

    assert waits()

    pipe.claim("error", None)
    pipe.publish(discard=discard)

    assert not producer.result()
    assert ([] if discard else list(range(7))) == list(channel)

    for _ in range(0 if discard else 7):
        channel.task_done()
    channel.join()


# -- the pipe: cuts


def cut(pipe: Pipe[Any]) -> None:
    """Raise the flags as a cancel does, in a signal handler perhaps."""
    pipe.cut = True
    pipe.alert = True


def test_nothing_is_delivered_after_a_cut() -> None:
    """Once the flags are up a reader takes nothing more; it waits for the end and stops."""
    pipe = Pipe[int]()
    channel = joined(pipe)
    pipe.put_many(range(5))
    loop = iter(channel)

    assert 0 == next(loop)

    cut(pipe)
    waits = announce(pipe, "changed")
    reader = Thread(lambda: list(loop))

    assert waits()

    pipe.claim("cancelled", None)
    pipe.publish(discard=True)

    assert [] == reader.result()
    assert 1 == channel.unfinished_tasks


def refused(channel: Channel[int]) -> type[BaseException]:
    """Give what `get` raises."""
    return pytest.raises(ChannelClosed, channel.get).type


@pytest.mark.parametrize(
    ("read", "end"),
    [(list, []), (Channel.recv, (None, False)), (refused, ChannelClosed)],
    ids=["loop", "recv", "get"],
)
def test_a_cut_after_the_end_stops_readers(read: Callable[[Channel[int]], object], end: object) -> None:
    """A cancel that comes when all lies ready ends the channel at once, in each way of reading."""
    pipe = Pipe[int]()
    channel = joined(pipe)
    pipe.put_many(range(5))
    pipe.claim(None, "response")
    pipe.publish()

    assert 0 == channel.get()

    cut(pipe)

    assert end == read(channel)
    assert channel.empty()
    assert [] == list(channel)
    assert 1 == channel.unfinished_tasks

    channel.task_done()
    channel.join()


def test_a_context_that_ends_after_the_end_stops_readers() -> None:
    """Once closed the pipe asks, before each item, whether the context has been cancelled."""
    ctx, pipe = Context(), Pipe[int]()
    pipe.ended_by = lambda: ctx.cancelled
    channel = joined(pipe)
    pipe.put_many(range(5))
    pipe.claim(None, "response")
    pipe.publish()

    assert [0, 1] == [channel.get(), channel.get()]

    ctx.cancel()

    assert [] == list(channel)


def test_who_reads_the_log_asks_whether_it_is_cut() -> None:
    """By a cancel before or after the end, once that is published; it takes nothing from other readers."""
    ended, pipe = [False], Pipe[int](logs=True)
    pipe.ended_by = lambda: ended[0]
    pipe.put_many(range(5))

    assert not pipe.is_cut()

    pipe.claim(None, "response")
    pipe.publish()

    assert not pipe.is_cut()

    ended[0] = True

    assert pipe.is_cut()
    assert 5 == pipe.unfinished == len(pipe.items)


def test_a_context_that_lives_on_stops_nobody() -> None:
    """With a live context everything is delivered."""
    pipe = Pipe[int](3)
    pipe.ended_by = lambda: False
    producer, channel = Thread(lambda: pipe.put_many(range(9))), joined(pipe)
    seen = [channel.get() for _ in range(7)]
    producer.result()
    pipe.close()

    assert list(range(9)) == [*seen, *channel]


def test_a_cut_while_the_context_is_asked_stays() -> None:
    """A signal handler that cuts just as the context says that it lives is not overruled."""
    pipe = Pipe[int]()

    def interrupted() -> bool:
        cut(pipe)
        return False

    pipe.ended_by = interrupted
    pipe.put_many(range(5))
    pipe.close()

    assert [] == list(joined(pipe))


class Interrupted(Pipe[int]):
    """A pipe with a signal handler that cuts just before the flag `alert` is lowered."""

    armed = False

    def __setattr__(self, name: str, value: Any) -> None:
        """Come in between."""
        if name == "alert" and value is False and self.armed:
            object.__setattr__(self, "armed", False)
            cut(self)
        object.__setattr__(self, name, value)


@pytest.mark.parametrize("moment", ["close", "read"])
def test_a_cut_while_the_flag_is_lowered_stays(moment: str) -> None:
    """A signal handler may raise the flags between the line that finds no reason for them and its store."""
    pipe = Interrupted()
    pipe.put_many(range(5))
    channel = joined(pipe)
    if moment == "close":
        pipe.armed = True
        pipe.close()

        assert [] == list(channel)
    else:
        pipe.close()
        pipe.alert = True
        pipe.armed = True

        assert 0 == channel.get()
        assert [] == list(channel)


def test_flags_down_when_all_is_well() -> None:
    """After writers have gone on, readers are back on the quick path: the flag is lowered."""
    pipe = Pipe[int](1)
    waits = announce(pipe, "not_full")
    producer, channel = Thread(lambda: pipe.put_many(range(3))), joined(pipe)

    assert waits()

    seen = [channel.get() for _ in range(3)]

    assert producer.result()

    pipe.put_many([3])
    seen.append(channel.get())

    assert list(range(4)) == seen
    assert not pipe.alert


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system has no such signals")
def test_signal_handlers_may_cut() -> None:
    """Many hundred signals whose handler cuts the very channel that the main thread is reading: no deadlock."""
    pipes, cuts, main, enough = [Pipe[int](3)], [0], threading.get_ident(), threading.Event()
    wake: queue.SimpleQueue[Pipe[int] | None] = queue.SimpleQueue()

    def act(number: int, frame: object) -> None:
        cuts[0] += 1
        cut(pipes[-1])
        wake.put(pipes[-1])

    def send() -> None:
        while not enough.wait(0.0002):
            signal.pthread_kill(main, signal.SIGUSR1)

    def settle() -> None:
        while (pipe := wake.get()) is not None:
            pipe.claim("cancelled", None)
            pipe.publish(discard=True)

    def produce() -> None:
        while not enough.is_set():
            pipe = pipes[-1]
            while pipe.put_many(range(5)):
                pass

    before = signal.signal(signal.SIGUSR1, act)
    threads = [Thread(settle), Thread(produce), Thread(send)]
    until = time.monotonic() + 1.0
    try:
        while time.monotonic() < until:
            pipe = Pipe[int](3)
            pipes.append(pipe)
            for _ in joined(pipe):
                pass

            assert pipe.closed
            assert pipe.cut
    finally:
        enough.set()
        threads[2].join(PATIENCE)
        signal.signal(signal.SIGUSR1, before)
        for pipe in pipes:
            pipe.close()
        wake.put(None)
    for thread in threads:
        thread.result()

    assert cuts[0] > 200
    assert len(pipes) > 100


# -- the pipe: waiting for a change


def test_waiting_for_a_change() -> None:
    """`wait_changed` gives True as soon as its question is answered with yes, False when time is up."""
    pipe = Pipe[int]()

    assert not pipe.wait_changed(lambda: pipe.opened, 0.001)

    waits = announce(pipe, "changed")
    waiter = Thread(lambda: pipe.wait_changed(lambda: pipe.opened, math.inf))

    assert waits()

    pipe.open()
    pipe.announce()

    assert waiter.result()
    assert pipe.wait_changed(lambda: pipe.opened, 0)


@pytest.mark.parametrize(
    ("name", "wait"),
    [
        ("not_empty", lambda pipe: pipe.take(True, 5)),
        ("not_full", lambda pipe: pipe.put(2, True, 5)),
        ("changed", lambda pipe: pipe.wait_changed(lambda: False, 5)),
    ],
)
def test_ctrl_c_as_a_wait_begins(name: str, wait: Callable[[Pipe[int]], object]) -> None:
    """Between giving up the lock and waiting it is still a KeyboardInterrupt; the next who waits is woken, as ever."""
    pipe: Pipe[int] = Pipe(1)
    if name == "not_full":
        pipe.put_many([1])
    condition: Any = getattr(pipe, name)
    release = condition._release_save

    def interrupted() -> object:
        release()
        condition._release_save = release
        raise KeyboardInterrupt

    condition._release_save = interrupted
    with pytest.raises(KeyboardInterrupt):
        wait(pipe)

    assert pipe.mutex.acquire(timeout=1)
    pipe.mutex.release()
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(wait, pipe) if name != "changed" else pool.submit(pipe.wait_changed, lambda: pipe.opened, 5)
        while not condition._waiters:
            time.sleep(0)  # to be in line before it is woken; a Condition tells nobody that it is waited for
        if name == "not_empty":
            pipe.put_many([1])
        elif name == "not_full":
            pipe.take(False, None)
            with pipe.mutex:
                condition.notify()
        else:
            pipe.open()
            pipe.announce()
        other.result(timeout=2)


@pytest.mark.parametrize("held", [True, False])
def test_a_forked_pipe_can_be_locked(held: bool) -> None:
    """After a fork the lock is usable, whether another thread had held it in the parent or not."""
    pipe = Pipe[int]()
    if held:
        pipe.mutex.acquire()
    pipe.forked()

    assert pipe.put_many([1])


@pytest.mark.parametrize("main", [True, False])
def test_the_main_thread_never_waits_long_at_once(main: bool) -> None:
    """A signal may come too late to end a wait and too early to be seen before it: the main thread looks up often."""
    pipe = Pipe[int]()
    waits: list[float | None] = []

    class Slow(threading.Condition):
        """Nobody comes the first three times; the fourth, somebody closes."""

        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            pipe.closed = len(waits) == 4
            return False

    pipe.not_empty = Slow(pipe.mutex)
    channel = joined(pipe)

    assert [] == (list(channel) if main else Thread(lambda: list(channel)).result())
    assert [0.1 if main else threading.TIMEOUT_MAX] * 4 == waits


# -- outcomes


def settled_by(pipe: Pipe[Any], err: object, final: object) -> None:
    """Settle a pipe."""
    pipe.claim(err, final)
    pipe.publish()


def outcomes(bound: int = 0) -> tuple[Pipe[Any], Outcome[Any], Outcome[Any]]:
    """Give a pipe with its two outcomes."""
    pipe = Pipe[Any](bound)
    return pipe, Outcome(pipe, pipe.err), Outcome(pipe, pipe.final)


def test_an_outcome_is_sticky() -> None:
    """Every read gives the same value, in every way of reading, to any number of threads."""
    pipe, err, final = outcomes()
    waits = announce(pipe, "changed")
    readers = [Thread(outcome.get) for outcome in (err, final) * 5]

    assert all([waits() for _ in readers])

    settled_by(pipe, None, "response")

    assert [None, "response"] * 5 == [reader.result() for reader in readers]
    assert ["response"] * 4 == [final.get(), final.get(timeout=0), final.get_nowait(), final.get()]
    assert (None, True) == err.recv()
    assert err.closed


def test_an_outcome_can_be_looped_over() -> None:
    """A loop brings the value once, each time, and None is a value too."""
    pipe, err, final = outcomes()
    settled_by(pipe, None, "response")

    assert [[None], ["response"], ["response"]] == [list(err), list(final), list(final)]


@pytest.mark.parametrize("bound", BOUNDS)
def test_waiting_for_an_outcome_lifts_the_bound(bound: int) -> None:
    """Who waits for the outcome before reading the items frees the producer, whatever the bound; nothing is lost."""
    pipe, err, final = outcomes(bound)

    def produce() -> None:
        for start in range(0, 40, 4):
            pipe.put_many(range(start, start + 4))
        settled_by(pipe, None, "response")

    producer = Thread(produce)

    assert err.get(timeout=PATIENCE) is None
    assert "response" == final.get()
    assert list(range(40)) == list(joined(pipe))

    producer.result()


def test_a_timed_wait_lifts_the_bound_a_glance_does_not() -> None:
    """`get(timeout=...)` lifts the bound for good, also when time is up; `get_nowait` leaves it."""
    pipe, err, final = outcomes(5)
    for glance in (err.get_nowait, lambda: final.get(block=False)):
        with pytest.raises(queue.Empty):
            glance()

    assert 5 == pipe.bound

    with pytest.raises(queue.Empty):
        final.get(timeout=0.001)

    assert 0 == pipe.bound


def test_an_outcome_is_the_streams_to_settle() -> None:
    """`put` is refused, closing does nothing."""
    pipe, err, _ = outcomes()
    for put in (err.put, err.put_nowait):
        with pytest.raises(ChannelClosed, match="settled by the stream"):
            put("mine")
    err.close()
    err.shutdown()
    err.shutdown(immediate=True)

    assert not pipe.closed

    settled_by(pipe, "error", None)
    err.shutdown(immediate=True)

    assert "error" == err.get()


def test_an_outcome_looks_like_a_queue_of_one() -> None:
    """Size, emptiness and fullness are those of its one value, not of the items; there are no tasks to wait for."""
    pipe, err, _ = outcomes(7)
    pipe.put_many(range(3))

    def look() -> tuple[object, ...]:
        return err.qsize(), err.empty(), err.full(), err.maxsize, err.unfinished_tasks

    assert (0, True, False, 1, 0) == look()

    settled_by(pipe, "error", None)

    assert (1, False, True, 1, 0) == look()

    err.join()
    with pytest.raises(ValueError, match="too many"):
        err.task_done()
