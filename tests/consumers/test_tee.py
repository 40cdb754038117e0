"""tee and stream_to_multiple: every reader gets every chunk; a slow one hurts itself alone, unless it may hold all."""

from __future__ import annotations

import contextlib
import gc
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from streamkit import (
    Cancelled,
    Channel,
    ChatStream,
    ConfigError,
    Context,
    SlowConsumer,
    StreamKitError,
    StreamTruncated,
)
from streamkit.consumers.smooth import smooth
from streamkit.consumers.tee import _Destination, _Patience, stream_to_multiple, tee
from streamkit.producer import Production
from tests.feeding import Feed, finish, text, thinking
from tests.loopback import took

MANY = [text(str(index), index) for index in range(2_000)]


@pytest.fixture
def feed() -> Iterator[Feed]:
    """What the test feeds."""
    with Feed() as feed:
        yield feed


def indices(stream: ChatStream) -> list[int]:
    """The places of the chunks that come."""
    return [chunk.index for chunk in stream.ch]


# -- tee


def test_each_branch_has_everything(feed: Feed) -> None:
    """All chunks in their order, and the outcome; read one after the other."""
    source = feed.stream()
    branches = tee(source, 3)
    feed.give(text("Hello ", 0), thinking("hm", 1))
    feed.give(text("world", 2), finish(3, tokens=9))
    feed.end()

    assert [[0, 1, 2, 3]] * 3 == [indices(branch) for branch in branches]
    assert [True] * 3 == [branch.final.get() is source.final.get() for branch in branches]
    assert [None] * 3 == [branch.err.get() for branch in branches]


@pytest.mark.parametrize("on_full", ["block", "drop", "raise"])
@pytest.mark.parametrize("buffer", [1, 2, 100, 0])
def test_readers_that_keep_up(on_full: Any, buffer: int) -> None:
    """They get all there is, however small the buffer: what comes at once may be more than it holds."""
    branches = tee(MANY, 2, buffer=buffer, on_full=on_full)
    with ThreadPoolExecutor(2) as pool:
        read = list(pool.map(indices, branches))

    assert [[*range(2_000)]] * 2 == read
    assert [0, 0] == [branch.stats.dropped for branch in branches]


def test_a_failure(feed: Feed) -> None:
    """All are told, with what had come."""
    branches = tee(feed.stream())
    feed.give(text("Hel", 0))
    feed.fail(StreamTruncated("cut"))
    errors = [branch.err.get() for branch in branches]

    assert [StreamTruncated] * 2 == [type(error) for error in errors]
    assert ["Hel"] * 2 == [error.partial.text for error in errors if error is not None and error.partial is not None]


def test_a_reader_that_is_behind_holds_all() -> None:
    """With "block": until it reads on, or is dropped."""
    slow, fast = tee(MANY, buffer=10, on_full="block")
    for _ in range(10):
        fast.ch.get(timeout=5)
    slow.ch.get(timeout=5)
    del slow
    gc.collect()

    assert [*range(10, 2_000)] == indices(fast)


def test_a_reader_that_is_behind_misses_chunks() -> None:
    """With "drop": it is told how many, and its final is whole."""
    slow, fast = tee(MANY, buffer=10, on_full="drop")
    with took(1.0):
        read = indices(fast)

    assert [*range(2_000)] == read
    assert ([*range(10)], 1_990) == (indices(slow), slow.stats.dropped)
    assert "".join(chunk.content for chunk in MANY) == slow.result().text


def test_a_reader_that_catches_up_gets_what_is_new(feed: Feed) -> None:
    """A gap in `index` shows what was missed."""
    slow, fast = tee(feed.stream(), buffer=2, on_full="drop")
    feed.give(*MANY[:5])
    assert [0, 1, 2, 3, 4] == [fast.ch.get(timeout=5).index for _ in range(5)]
    assert [0, 1] == [slow.ch.get(timeout=5).index for _ in range(2)]
    feed.give(MANY[5])
    feed.end()

    assert ([5], [5], 3) == (indices(fast), indices(slow), slow.stats.dropped)


def test_a_reader_that_is_behind_is_ended() -> None:
    """With "raise": after what it has; the other goes on."""
    slow, fast = tee(MANY, buffer=10, on_full="raise")
    with took(1.0):
        read = indices(fast)
    late = indices(slow)
    error = slow.err.get()

    assert [*range(2_000)] == read
    assert [*range(len(late))] == late
    assert isinstance(error, SlowConsumer)
    assert "10 chunks behind: read faster, or allow more with buffer=..." in str(error)
    assert error.partial is not None
    assert error.partial.text.startswith("0123")


@pytest.mark.slow
@pytest.mark.parametrize("copies", [False, True], ids=["tee", "stream_to_multiple"])
def test_a_slow_reader_does_not_set_the_pace(copies: bool) -> None:
    """It reads on all the time, a hundredth as fast: what is waited for it in all is bounded."""
    stop = threading.Event()

    def slowly(slow_queue: queue.Queue[Any]) -> None:
        with contextlib.suppress(queue.Empty):
            while not stop.wait(0.02):
                slow_queue.get(timeout=5)

    if copies:
        slow_copy: queue.Queue[str | None] = queue.Queue(4)
        fast: Any = Channel()
        slow_queue: queue.Queue[Any] = slow_copy
        stream_to_multiple(MANY, slow_copy, fast, on_full="drop")
    else:
        slow, branch = tee(MANY, buffer=4, on_full="drop")
        fast, slow_queue = branch.ch, slow.ch
    with ThreadPoolExecutor(1) as pool:
        pool.submit(slowly, slow_queue)
        with took(4.0):
            assert 2_000 == len(list(fast))
        stop.set()


def test_patience_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth of a second at once, a second in all, and a tenth of the time beside."""
    now = [100.0]
    monkeypatch.setattr("streamkit.consumers.tee.time.monotonic", lambda: now[0])
    patience = _Patience()
    given = []
    for _ in range(6):
        with patience.spending() as seconds:
            given.append(round(seconds, 3))
            now[0] += seconds
    now[0] += 5.0

    assert [0.2, 0.2, 0.2, 0.2, 0.2, 0.1] == given
    assert 0.2 == patience.wait()
    patience.behind = True
    assert 0.0 == patience.wait()


def test_a_branch_that_waits_for_its_outcome_is_not_behind() -> None:
    """Its bound is lifted: it wants no chunks."""
    waits, reads = tee(MANY, buffer=10, on_full="raise")
    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(waits.result)
        read = indices(reads)

        assert 2_000 == len(read)
        assert "".join(chunk.content for chunk in MANY) == outcome.result().text


def test_the_last_reader_cancels(feed: Feed) -> None:
    """One that has gone, or was ended as too slow, does not count."""
    source = feed.stream()
    cancelled, dropped, slow, last = tee(source, 4, buffer=2, on_full="raise")
    cancelled.cancel()
    del dropped
    gc.collect()
    feed.give(*MANY[:2])
    assert [0, 1] == [last.ch.get(timeout=5).index for _ in range(2)]
    feed.give(*MANY[2:4])
    assert [2, 3] == [last.ch.get(timeout=5).index for _ in range(2)]
    assert isinstance(slow.err.get(timeout=5), SlowConsumer)
    last.cancel("the last")

    assert "cancelled: the last" == str(source.err.get(timeout=5))


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"n": 0}, "n=0: a stream is divided into at least one"), ({"on_full": "wait"}, "on_full='wait': use 'block'")],
)
def test_wrong_settings(settings: dict[str, Any], says: str) -> None:
    """They are refused, and said what would do."""
    with pytest.raises(ConfigError, match=says):
        tee(MANY, **settings)


def test_smoothing_a_branch(feed: Feed) -> None:
    """The parts compose, and the outcome comes through."""
    plain, other = tee(feed.stream())
    smoothed = smooth(other, by="word")
    feed.give(text("Hello wor", 0), text("ld", 1))
    feed.fail(StreamTruncated("cut"))

    assert "Hello world" == "".join(chunk.content for chunk in smoothed.ch)
    assert smoothed.err.get() is plain.err.get()


# -- stream_to_multiple


def drained(source: queue.Queue[Any]) -> list[Any]:
    """The items to the last, which is None."""
    return [*iter(lambda: source.get(timeout=5), None)]


def test_every_queue_gets_every_text(feed: Feed) -> None:
    """In order, without thinking; a channel is closed, a plain queue gets a last None; the outcome stays."""
    stream = feed.stream()
    channel: Channel[str] = Channel()
    plain: queue.Queue[str | None] = queue.Queue()
    stream_to_multiple(stream, channel, plain)
    feed.give(thinking("hm", 0), text("Hello ", 1), text("", 2), text("world", 3), finish(4))
    feed.end()

    assert (["Hello ", "world"], ["Hello ", "world"]) == (list(channel), drained(plain))
    assert "Hello world" == stream.result().text


@pytest.mark.parametrize("end", ["fail", "cancel", "context"])
def test_they_end_however_the_stream_ends(feed: Feed, end: str) -> None:
    """A reader of a copy never waits for ever, also of a full one."""
    ctx = Context()
    stream = feed.stream()
    channel: Channel[str] = Channel()
    full: queue.Queue[str | None] = queue.Queue(1)
    stream_to_multiple(stream, channel, full, ctx=ctx)
    feed.give(text("Hello", 0))
    assert "Hello" == channel.get(timeout=5)
    if end == "fail":
        feed.fail(StreamTruncated("cut"))
        assert "Hello" == full.get(timeout=5)
    else:
        (stream if end == "cancel" else ctx).cancel()
    with took(0.5):
        assert [] == list(channel)
    assert None is full.get(timeout=5)
    assert (StreamTruncated if end == "fail" else Cancelled) is type(stream.err.get())


def test_a_full_queue_holds_all() -> None:
    """With "block": until somebody reads it, or nobody holds it any more."""
    slow: queue.Queue[str | None] = queue.Queue(1)
    fast: Channel[str] = Channel()
    stream_to_multiple(MANY, slow, fast)
    assert ["0", "1"] == [slow.get(timeout=5), slow.get(timeout=5)]
    del slow

    assert 2_000 == len(list(fast))


@pytest.mark.parametrize(("on_full", "kept"), [("drop", ["1", "2"]), ("raise", ["1", "2"])])
def test_a_full_queue_hurts_nobody_else(on_full: Any, kept: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """It misses texts, or is ended; its last item is a None, which takes the place of its oldest."""
    slow: queue.Queue[str | None] = queue.Queue(3)
    fast: Channel[str] = Channel()
    stream_to_multiple(MANY, slow, fast, on_full=on_full)
    with took(1.0):
        assert 2_000 == len(list(fast))

    assert kept == drained(slow)
    assert (on_full == "raise") == ("its queue is full, and its reader too slow" in caplog.text)


def test_a_closed_channel_no_longer_counts(feed: Feed) -> None:
    """The last one ends the stream."""
    stream = feed.stream()
    first: Channel[str] = Channel()
    second: Channel[str] = Channel()
    stream_to_multiple(stream, first, second)
    first.close()
    feed.give(text("a", 0))
    assert "a" == second.get(timeout=5)
    second.close()
    feed.give(text("b", 1))

    assert "cancelled: nobody reads its copies any more" == str(stream.err.get())


def test_nothing_is_left_of_it(feed: Feed) -> None:
    """Its thread ends with the stream, and the context keeps nothing."""
    ctx = Context()
    stream_to_multiple(feed.stream(ctx), channel := Channel[str](), ctx=ctx)
    feed.end()
    list(channel)
    for thread in threading.enumerate():
        if thread.name.startswith("streamkit-copy"):
            thread.join(5)

    assert {} == ctx._watchers


@pytest.mark.parametrize(
    ("queues", "settings", "says"),
    [((), {}, "there is no destination"), ((queue.Queue(),), {"on_full": "wait"}, "on_full='wait': use 'block'")],
)
def test_wrong_destinations(queues: Any, settings: dict[str, Any], says: str) -> None:
    """They are refused."""
    with pytest.raises(ConfigError, match=says):
        stream_to_multiple(MANY, *queues, **settings)


def test_without_a_thread_there_are_no_copies(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the family says so, and the context keeps nothing."""

    def refuse(production: Production) -> None:
        raise RuntimeError("can't start new thread")

    stream, ctx = feed.stream(), Context()
    with monkeypatch.context() as patch, pytest.raises(StreamKitError, match="no thread can be started"):
        patch.setattr(Production, "start", refuse)
        stream_to_multiple(stream, queue.Queue(), ctx=ctx)
    stream.close()

    assert {} == ctx._watchers


def test_what_waits_for_room_when_the_stream_is_cancelled() -> None:
    """A channel gets it all the same: the cancel may come in the middle of the wait."""
    cancelled = threading.Event()

    class Late(Channel[str]):
        def put(self, item: str, block: bool = True, timeout: float | None = None) -> None:
            if not cancelled.is_set():
                cancelled.set()
                raise queue.Full
            super().put(item, block, timeout)

    channel = Late(1)
    channel._pipe.items.append("first")

    assert _Destination(channel, "block").put("second", cancelled.is_set)
    assert ["first", "second"] == [channel.get(timeout=5), channel.get(timeout=5)]
