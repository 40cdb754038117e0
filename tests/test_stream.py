"""ChatStream: one producer thread, three channels, exactly one outcome, whatever the source of its batches does."""

from __future__ import annotations

import gc
import queue
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from streamkit import (
    Cancelled,
    ChannelClosed,
    ChatResponse,
    Chunk,
    ServerError,
    StreamKitError,
    ThinkingChunk,
    Usage,
)
from streamkit.errors import StreamTruncated
from streamkit.types.response import StepState
from tests.sources import BATCHES, HELLO, Gate, finish, giving, hello, start, start_opened, text

# ---------------------------------------------------------------- the outcome


def test_a_stream_is_three_queues() -> None:
    """Each is a `queue.Queue`, so that whatever takes one takes these."""
    with hello() as stream:
        assert [True] * 3 == [isinstance(end, queue.Queue) for end in (stream.ch, stream.err, stream.final)]


def test_a_whole_stream_has_a_final_and_no_error() -> None:
    """The chunks come in order, and the final is their fold."""
    stream = hello()
    chunks = list(stream.ch)
    final = stream.final.get()

    assert [0, 1, 2, 3] == [chunk.index for chunk in chunks]
    assert None is stream.err.get()
    assert final is not None
    assert ("Hello world", "stop", True, "natural") == (
        final.text,
        final.finish_reason,
        final.complete,
        final.stop_cause,
    )


def test_a_failed_stream_has_an_error_and_no_final() -> None:
    """What came before is delivered first; the error has it, too."""
    stream = start(giving(HELLO[:1], StreamTruncated("cut")))
    said = [chunk.content for chunk in stream.ch]
    error = stream.err.get()

    assert ["Hello", " "] == said
    assert None is stream.final.get()
    assert isinstance(error, StreamTruncated)
    assert error.partial is not None
    assert ("Hello ", False, "", "none") == (
        error.partial.text,
        error.partial.complete,
        error.partial.finish_reason,
        error.partial.stop_cause,
    )
    assert (1, None) == (error.attempts, error.__traceback__)


@pytest.mark.parametrize("foreign", [KeyError("x"), SystemExit(1), RecursionError()], ids=repr)
def test_a_bug_is_an_error_of_the_family(foreign: BaseException) -> None:
    """Whatever a source raises, the reader does not wait for ever; the original is the cause."""
    stream = start(giving(HELLO[:1], foreign))
    error = stream.err.get()

    assert StreamKitError is type(error)
    assert repr(foreign) in str(error)
    assert foreign is error.__cause__
    assert None is foreign.__traceback__


def test_a_failure_before_the_answer_is_raised_at_once() -> None:
    """Where nothing was opened there is no stream to give."""

    def source(run: Any) -> Iterator[list[Chunk]]:
        raise ServerError("no")
        yield []

    with pytest.raises(ServerError, match="no") as caught:
        start(source)

    assert caught.value.partial == ChatResponse(steps=caught.value.partial.steps)  # type: ignore[union-attr]


def test_a_source_need_not_open_anything() -> None:
    """One that transforms something else just ends."""

    def source(run: Any) -> Iterator[list[Chunk]]:
        yield from HELLO

    assert "Hello world" == start(source).result().text


def test_a_source_may_be_any_iterable() -> None:
    """A list of batches will do."""
    assert "Hello world" == start(lambda run: HELLO).result().text


def test_empty_batches_are_nothing() -> None:
    """They are no chunk, so they do not count either."""
    stream = start(lambda run: [[], *HELLO[:1], [], *HELLO[1:], []])

    assert ("Hello world", 4) == (stream.result().text, stream.stats.chunks)


@pytest.mark.parametrize("error", [None, StreamTruncated("cut")], ids=["whole", "failed"])
def test_the_outcome_is_sticky(error: StreamKitError | None, gate: Gate) -> None:
    """Any number of readers, in any thread and order, at any time, get the very same answer."""
    stream = start(giving(HELLO, error, gate))
    barrier = threading.Barrier(9)

    def read(number: int) -> tuple[int, int]:
        barrier.wait()
        pair = (stream.err.get(), stream.final.get()) if number % 2 else (stream.final.get(), stream.err.get())[::-1]
        return id(pair[0]), id(pair[1])

    with ThreadPoolExecutor(8) as executor:
        reads = [executor.submit(read, number) for number in range(8)]
        barrier.wait()
        gate.open()
        first = {read.result(5) for read in reads}
    again = {read_again() for read_again in [lambda: (id(stream.err.get()), id(stream.final.get()))] * 3}

    assert 1 == len(first | again)
    assert error is stream.err.get()


def test_the_outcome_can_be_asked_without_waiting(gate: Gate) -> None:
    """`queue.Empty` while there is none; that does not lift the buffer's bound."""
    with start(giving(HELLO, gate=gate), buffer=2) as stream:
        for ask in (stream.err.get_nowait, stream.final.get_nowait, lambda: stream.err.get(timeout=0.01)):
            with pytest.raises(queue.Empty):
                ask()


def test_iterating_an_outcome_gives_it_once() -> None:
    """So a loop over it ends."""
    stream = hello()

    assert [None] == list(stream.err)
    assert ["Hello world"] == [final.text for final in stream.final if final is not None]


def test_nobody_else_writes_to_a_stream() -> None:
    """Its channels refuse."""
    with hello() as stream:
        for end in (stream.ch, stream.err, stream.final):
            with pytest.raises(ChannelClosed):
                end.put(text("x"))  # type: ignore[arg-type]
            with pytest.raises(ChannelClosed):
                end.put_nowait(text("x"))  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["close", "shutdown"])
def test_closing_the_channel_cancels_the_stream(how: str, gate: Gate) -> None:
    """There would be no use in going on; the outcomes cannot be closed."""
    with start(giving(HELLO, gate=gate)) as stream:
        getattr(stream.err, how)()
        getattr(stream.final, how)()
        assert not stream.ch.closed
        getattr(stream.ch, how)()

        assert isinstance(stream.err.get(), Cancelled)


# ---------------------------------------------------------------- ways to read


def test_iteration_gives_the_chunks_and_raises_the_error() -> None:
    """`for chunk in stream` needs no look at `err`."""
    got = []
    with pytest.raises(StreamTruncated, match="cut"):
        for chunk in start(giving(HELLO, StreamTruncated("cut"))):
            got.append(chunk.content)

    assert ["Hello", " ", "world", ""] == got
    assert 4 == len(list(hello()))


def test_text_is_text_alone() -> None:
    """No thinking, nothing empty; it raises the error, too."""
    batches: BATCHES = [[ThinkingChunk(content="hm", index=0), text("", 1), text("Hello", 2), finish(3)]]

    assert ["Hello"] == list(start(giving(batches)).text())
    with pytest.raises(StreamTruncated):
        list(start(giving(batches, StreamTruncated("cut"))).text())


def test_a_loop_may_be_left_and_taken_up_again() -> None:
    """The next one goes on with the next chunk: first the thinking, then the text, then what is left."""
    batches: BATCHES = [[ThinkingChunk(content=c, index=i) for i, c in enumerate("ab")], [text("c", 2), text("d", 3)]]
    stream = start(giving(batches))
    got: list[str] = []
    for chunk in stream.ch:
        got.append(chunk.content)
        if chunk.content == "b":
            break
    got += [next(stream.text()), stream.ch.get().content]

    assert ["a", "b", "c", "d"] == got
    assert [] == list(stream)


def test_result_gives_the_response_or_raises() -> None:
    """Again and again."""
    stream, failed = hello(), start(giving(HELLO, StreamTruncated("cut")))

    assert stream.result() is stream.result() is stream.final.get()
    for _ in range(2):
        with pytest.raises(StreamTruncated):
            failed.result()


def test_result_may_give_up_waiting(gate: Gate) -> None:
    """TimeoutError, and the stream goes on."""
    stream = start(giving(HELLO, gate=gate))
    with pytest.raises(TimeoutError, match="it goes on"):
        stream.result(timeout=0.01)
    gate.open()

    assert stream.result(timeout=5).complete


def test_an_error_raised_twice_gathers_no_frames() -> None:
    """Each reader's traceback is its own."""
    stream = start(giving(HELLO, StreamTruncated("cut")))
    lengths = []
    for _ in range(3):
        with pytest.raises(StreamTruncated) as caught:
            stream.result()
        lengths.append(len(caught.traceback))

    assert 1 == len(set(lengths))


def test_the_partial_response_can_be_had_at_any_time(gate: Gate) -> None:
    """Not complete while live or failed; the final itself once there is one."""
    stream = start(giving(HELLO[:1], gate=gate))
    while stream.stats.chunks < 2:
        time.sleep(0.001)
    live = stream.partial
    stream.cancel()
    failed = stream.partial if stream.err.get() else None
    whole = hello()
    whole.final.get()

    assert ("Hello ", False) == (live.text, live.complete)
    assert failed is stream.err.get().partial  # type: ignore[union-attr]
    assert whole.final.get() is whole.partial
    assert whole.partial.complete


def test_what_a_step_reports_is_in_the_partial(gate: Gate) -> None:
    """Usage and model that no chunk has brought yet."""

    def source(run: Any) -> Iterator[list[Chunk]]:
        run.follow(StepState(provider="p", usage=Usage(total_tokens=7, source="reported"), model="m"))
        yield from giving(HELLO[:1], gate=gate)(run)

    with start(source) as stream:
        stream.ch.get()

        assert (7, "m") == (stream.partial.usage.total_tokens, stream.partial.response.model)


def test_a_stream_tells_of_its_answer(gate: Gate) -> None:
    """Headers and the provider's id of the request, as soon as it is open."""
    with start(giving(HELLO, gate=gate)) as stream:
        assert ({"X-Request-Id": "req_1"}, "req_1") == (stream.headers, stream.request_id)


@pytest.mark.parametrize(
    ("error", "state"), [(None, "complete"), (StreamTruncated("x"), "StreamTruncated"), (Cancelled("x"), "Cancelled")]
)
def test_a_stream_prints_its_state(error: StreamKitError | None, state: str) -> None:
    """And nothing of what was said."""
    stream = start(giving(HELLO, error))
    stream.err.get()

    assert f"<ChatStream {state} chunks=4>" == repr(stream)


def test_a_live_stream_prints_so(gate: Gate) -> None:
    """While it is."""
    with start(giving([], gate=gate)) as stream:
        assert "<ChatStream live chunks=0>" == repr(stream)


def test_stats_are_of_this_stream() -> None:
    """Chunks, characters, times, attempts; the clock stands still at the end."""
    batches: BATCHES = [[text("Hello", 0)], [text("!", 1), finish(2, Usage(completion_tokens=2, source="reported"))]]
    stream = start(giving(batches))
    stream.result()
    stats, elapsed = stream.stats, stream.stats.elapsed

    assert (3, 6, 1, 0) == (stats.chunks, stats.chars, stats.attempts, stats.dropped)
    assert stats.ttft is not None
    assert 0 <= stats.ttft <= elapsed
    assert stats.tokens_per_second is not None
    assert elapsed == stats.elapsed


# ---------------------------------------------------------------- buffer


@pytest.mark.parametrize("buffer", [1, 2, 3])
def test_the_producer_waits_for_a_reader(buffer: int) -> None:
    """No more than `buffer` chunks lie unread."""
    made: list[int] = []

    def source(run: Any) -> Iterator[list[Chunk]]:
        for index in range(50):
            made.append(index)
            yield [text(str(index), index)]

    with start_opened(source, buffer=buffer) as stream:
        seen = [chunk.index for chunk in stream.ch if len(made) - chunk.index <= 2 * buffer + 2]

    assert list(range(50)) == seen


def test_a_batch_larger_than_the_buffer_passes_in_parts() -> None:
    """In order, and whole."""
    batch: list[Chunk] = [text(str(index), index) for index in range(100)]
    with start(giving([batch]), buffer=3) as stream:
        assert list(range(100)) == [chunk.index for chunk in stream.ch]


# ---------------------------------------------------------------- who holds whom


def test_a_dropped_stream_is_collected_at_once(gate: Gate) -> None:
    """Neither thread nor watchdog holds an end of it, and the ends make no cycle."""
    gc.disable()
    try:
        stream = start(giving(HELLO, gate=gate))
        run, gone = stream._run, weakref.ref(stream)
        del stream

        assert None is gone()
        assert run.pipe.wait_changed(lambda: run.pipe.closed, 2)
        assert "dropped" in str(run.pipe.err[0])
    finally:
        gc.enable()


def test_an_ended_stream_is_held_by_nobody() -> None:
    """Its thread is gone, and with it the run."""
    stream = hello()
    stream.result()
    stream.close()
    run = weakref.ref(stream._run)
    del stream
    gc.collect()

    assert None is run()


def test_what_a_source_deferred_runs_after_the_end() -> None:
    """The reader is not kept waiting for it; the last deferred runs first."""
    order: list[str] = []
    held = threading.Event()

    def source(run: Any) -> Iterator[list[Chunk]]:
        run.defer(lambda: order.append("first"))
        run.defer(lambda: (held.wait(5), order.append("second")))
        yield from HELLO

    with start(source) as stream:
        final = stream.final.get()
        order.append("read")
        held.set()

    assert final is not None
    assert ["read", "second", "first"] == order
