"""ChatStream: one producer thread, three channels, exactly one outcome, whatever the source of its batches does."""

from __future__ import annotations

import gc
import logging
import queue
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from streamkit import (
    Cancelled,
    ChannelClosed,
    ChatResponse,
    ChatStream,
    Chunk,
    ConnectionLost,
    Context,
    DeadlineExceeded,
    FirstChunkTimeout,
    Hooks,
    ServerError,
    StepFinishChunk,
    StreamKitError,
    StreamStalled,
    TextChunk,
    ThinkingChunk,
    Timeouts,
    Usage,
)
from streamkit.errors import StreamTruncated
from streamkit.stream import Source, start_stream
from streamkit.types import ResponseInfoFields
from streamkit.types.response import StepState
from streamkit.watchdog import watchdog
from tests.loopback import took

BATCHES = list[list[Chunk]]


def text(content: str, index: int = 0) -> TextChunk:
    """Give a text chunk."""
    return TextChunk(content=content, index=index)


def finish(index: int, usage: Usage | None = None) -> StepFinishChunk:
    """Give the chunk that ends a step."""
    return StepFinishChunk(
        step=1, finish_reason="stop", usage=usage or Usage(), response=ResponseInfoFields(), index=index
    )


HELLO: BATCHES = [[text("Hello", 0), text(" ", 1)], [text("world", 2), finish(3)]]


class Gate:
    """What holds a source as a silent socket does: until the test opens it, or the stream ends."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()

    def open(self) -> None:
        """Let the source go on."""
        self._ours.send(b"x")

    def wait(self, run: Any) -> None:
        """Wait, on the source's side."""
        run.slot.hold(self._theirs)
        self._theirs.recv(1)
        run.slot.release()

    def close(self) -> None:
        """Open it for good."""
        self._ours.close()


def giving(batches: BATCHES, error: BaseException | None = None, gate: Gate | None = None) -> Source:
    """Give a source of these batches, which then waits at the gate, and then ends, perhaps in an error."""

    def source(run: Any) -> Iterator[list[Chunk]]:
        run.answered({"X-Request-Id": "req_1"}, "req_1")
        yield from batches
        if gate is not None:
            gate.wait(run)
        if error is not None:
            raise error

    return source


def start(source: Source, **settings: Any) -> ChatStream:
    """Start a stream of it."""
    return start_stream(source, name="test", **settings)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """What holds a source; opened in the end."""
    gate = Gate()
    yield gate
    gate.close()
    gate._theirs.close()


def hello() -> ChatStream:
    """Start a stream that says hello and ends well."""
    return start(giving(HELLO))


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


def start_opened(source: Source, **settings: Any) -> ChatStream:
    """Start a stream whose answer counts as open at once: a source that never says so is waited for to its end."""

    def opened(run: Any) -> Iterator[list[Chunk]]:
        run.answered({}, None)
        yield from source(run)

    return start(opened, **settings)


def test_a_batch_larger_than_the_buffer_passes_in_parts() -> None:
    """In order, and whole."""
    batch: list[Chunk] = [text(str(index), index) for index in range(100)]
    with start(giving([batch]), buffer=3) as stream:
        assert list(range(100)) == [chunk.index for chunk in stream.ch]


# ---------------------------------------------------------------- ends from outside


def test_a_cancelled_source_is_closed() -> None:
    """Its `finally` runs, so that what it holds is let go."""
    closed = threading.Event()

    def source(run: Any) -> Iterator[list[Chunk]]:
        try:
            for index in range(10**9):
                yield [text("x", index)]
        finally:
            closed.set()

    with start_opened(source, buffer=2) as stream:
        stream.cancel()

        assert closed.wait(2)


def test_a_sleeping_source_wakes() -> None:
    """`pause` raises when the stream has ended; before that it gives nothing."""
    outcome: queue.SimpleQueue[object] = queue.SimpleQueue()

    def source(run: Any) -> Iterator[list[Chunk]]:
        outcome.put(run.pause(0))
        run.answered({}, None)
        try:
            run.pause(30)
        except Cancelled as error:
            outcome.put(error)
            raise
        yield []

    with took(1.0), start(source) as stream:
        stream.cancel()
        assert [None, Cancelled] == [outcome.get(timeout=2), type(outcome.get(timeout=2))]


def test_a_cancelled_source_does_not_sleep() -> None:
    """Not even before the watchdog has come round to the cancel: no further attempt is made after it."""
    held = threading.Event()

    def source(run: Any) -> Iterator[list[Chunk]]:
        watchdog.post(lambda: held.wait(5))
        run.cancel()
        try:
            run.pause(0)
        finally:
            held.set()
        raise AssertionError("it went on")
        yield []

    with pytest.raises(Cancelled):
        start(source)


def test_a_source_learns_what_ended_it() -> None:
    """What it meets afterwards is that end's doing; `remaining` counts down to the deadline."""
    seen: list[Any] = []

    def source(run: Any) -> Iterator[list[Chunk]]:
        seen.extend([run.ended(), run.remaining()])
        run.answered({}, None)
        with pytest.raises(Cancelled):
            run.pause(30)
        seen.append(run.ended())
        yield []

    with start(source, timeouts=Timeouts(total=60)) as stream:
        stream.cancel("enough")
        error = stream.err.get()
    assert None is seen[0]
    assert 59 < seen[1] <= 60
    assert error is seen[2]


def test_a_source_without_a_deadline_has_no_remaining_time() -> None:
    """None, and 0.0 for one that has passed."""
    seen: list[float | None] = []

    def source(run: Any) -> Iterator[list[Chunk]]:
        seen.append(run.remaining())
        yield []

    start(source).result()
    assert [None] == seen


@pytest.mark.slow
@pytest.mark.parametrize(
    ("timeouts", "batches", "error_class"),
    [
        (Timeouts(first_chunk=0.1), [], FirstChunkTimeout),
        (Timeouts(stall=0.1), HELLO[:1], StreamStalled),
        (Timeouts(total=0.1), HELLO[:1], DeadlineExceeded),
        (Timeouts(first_chunk=0.1, stall=0.2), HELLO[:1], StreamStalled),
        (Timeouts(stall=0.1, total=0.3), [], DeadlineExceeded),
    ],
)
def test_a_clock_ends_a_stream_from_outside(
    timeouts: Timeouts, batches: BATCHES, error_class: type, gate: Gate
) -> None:
    """A source blocked in something else cannot do it; the chunks are kept."""
    stream = start(giving(batches, gate=gate), timeouts=timeouts)
    with took(1.0):
        said = "".join(chunk.content for chunk in stream.ch)

    assert error_class is type(stream.err.get())
    assert "Hello " * bool(batches) == said


def test_a_stream_that_ended_is_not_timed(gate: Gate) -> None:
    """Its clocks stop; `check` of the watchdog finds nothing to do."""
    stream = start(giving(HELLO), timeouts=Timeouts(total=5, stall=5, first_chunk=5))
    stream.result()

    assert None is stream._run.check(time.monotonic() + 10)
    assert stream.result().complete


def test_a_finish_that_came_first_stands() -> None:
    """A cancel from an observer of the end finds it decided."""
    streams: list[ChatStream] = []
    began = threading.Event()

    def cancel(response: ChatResponse) -> None:
        began.wait(5)
        streams[0].cancel()

    def source(run: Any) -> Iterator[list[Chunk]]:
        run.answered({}, None)
        yield from HELLO

    streams.append(start(source, hooks=Hooks(on_finish=cancel)))
    began.set()

    assert None is streams[0].err.get()
    assert "Hello world" == streams[0].result().text


def test_closing_waits_for_the_thread(gate: Gate) -> None:
    """But not for itself: an observer may close its own stream."""
    streams: queue.SimpleQueue[ChatStream] = queue.SimpleQueue()
    hooks = Hooks(on_chunk=lambda chunk: streams.get(timeout=5).close())
    stream = start(giving([[text("x")]], gate=gate), hooks=hooks)
    streams.put(stream)
    with took(1.0):
        error = stream.err.get()
    stream.close()

    assert isinstance(error, Cancelled)
    assert [] == [thread.name for thread in threading.enumerate() if thread.name.startswith("streamkit-test")]


def test_a_thread_that_cannot_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system is out of them: that is told, and nothing is left waiting."""
    real = threading.Thread.start

    def fail(self: threading.Thread) -> None:
        if self.name.startswith("streamkit-test"):
            raise RuntimeError("can't start new thread")
        real(self)

    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(StreamKitError, match="can't start new thread"):
        hello()


def test_a_context_that_ends_while_the_stream_starts_ends_it(gate: Gate) -> None:
    """The moment between asking it and joining it is covered."""
    ctx = Context()
    attach = ctx.attach

    def cancelling(watcher: Any) -> Callable[[], None]:
        ctx.cancel("just now")
        return attach(watcher)

    ctx.attach = cancelling  # type: ignore[method-assign]

    def source(run: Any) -> Iterator[list[Chunk]]:
        gate.wait(run)
        yield []

    with pytest.raises(Cancelled, match="just now"):
        start(source, ctx=ctx)


def test_a_cancelled_context_takes_what_lies_unread(gate: Gate) -> None:
    """As every cancel does; the partial has it."""
    ctx = Context()
    stream = start(giving(HELLO[:1], gate=gate), ctx=ctx)
    assert "Hello" == stream.ch.get().content
    ctx.cancel()

    assert [] == list(stream.ch)
    assert "Hello " == stream.err.get().partial.text  # type: ignore[union-attr]


def test_a_forked_child_finds_the_stream_ended(gate: Gate) -> None:
    """It has the chunks that had come, and an error that says where the stream lives on."""
    stream = start(giving(HELLO[:1], gate=gate))
    while stream.stats.chunks < 2:
        time.sleep(0.001)
    stream._run.forked()

    assert ["Hello", " "] == [chunk.content for chunk in stream.ch]
    assert isinstance(stream.err.get(), ConnectionLost)
    gate.open()  # this is no child: the thread is here
    stream.close()


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


# ---------------------------------------------------------------- observers


def test_observers_hear_of_a_whole_stream() -> None:
    """Each chunk, each step's end, the end; once, in order, on the producer's thread; the client before the user."""
    heard: list[tuple[str, str]] = []

    def note(what: str) -> Callable[[Any], None]:
        return lambda value: heard.append((what, threading.current_thread().name.split("-")[1]))

    hooks = Hooks(**{name: note(name) for name in ("on_chunk", "on_step_finish", "on_finish", "on_error", "on_cancel")})
    stream = start(giving(HELLO), hooks=hooks, on_settled=note("settled"))
    stream.result()

    expected = ["on_chunk"] * 4 + ["on_step_finish", "settled", "on_finish"]
    assert sorted(expected[:5]) == sorted(what for what, _ in heard[:5])
    assert expected[5:] == [what for what, _ in heard[5:]]
    assert {"test"} == {thread for _, thread in heard}


@pytest.mark.parametrize(
    ("error", "hook"),
    [(StreamTruncated("cut"), "on_error"), (Cancelled("x"), "on_cancel"), (DeadlineExceeded("late"), "on_cancel")],
)
def test_observers_hear_of_a_failed_stream(error: StreamKitError, hook: str) -> None:
    """A failure, or what the context did: one of the two, once, with the error itself, which can be read afterwards."""
    heard: list[tuple[str, Any]] = []
    hooks = Hooks(
        on_finish=lambda value: heard.append(("on_finish", value)),
        on_error=lambda value: heard.append(("on_error", value)),
        on_cancel=lambda value: heard.append(("on_cancel", value)),
    )
    stream = start(giving(HELLO, error), hooks=hooks, on_settled=lambda value: heard.append(("settled", value)))
    stream.err.get()

    assert [("settled", error.partial), (hook, error)] == heard


def test_observers_cannot_break_a_stream(caplog: pytest.LogCaptureFixture) -> None:
    """What they raise is logged under `streamkit`, and goes no further."""

    def fail(value: object) -> None:
        raise ZeroDivisionError("observer")

    names = ("on_chunk", "on_step_finish", "on_finish")
    with caplog.at_level(logging.ERROR, "streamkit"):
        response = start(giving(HELLO), hooks=Hooks(**dict.fromkeys(names, fail))).result()

    assert "Hello world" == response.text
    assert 6 == sum("hook" in record.message for record in caplog.records)


@pytest.mark.parametrize("error", [None, StreamTruncated("cut")], ids=["whole", "cut"])
def test_an_observer_that_ends_the_thread(error: StreamKitError | None, caplog: pytest.LogCaptureFixture) -> None:
    """By sys.exit, as all is over: the outcome is published all the same."""

    def leave(value: object) -> None:
        raise SystemExit(3)

    stream = start(giving(HELLO, error), hooks=Hooks(on_finish=leave, on_error=leave))

    assert error is stream.err.get(timeout=2)
    assert "SystemExit" in caplog.text


def test_an_observer_that_ends_the_thread_after_a_cancel(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    """What the run had taken is given back all the same."""
    released = threading.Event()

    def leave(value: object) -> None:
        raise SystemExit(3)

    def source(run: Any) -> Iterator[list[Chunk]]:
        run.defer(released.set)
        try:
            yield from giving(HELLO, gate=gate)(run)
        finally:
            raise KeyboardInterrupt

    with start(source, hooks=Hooks(on_cancel=leave)) as stream:
        stream.cancel()

        assert released.wait(2)

    assert "SystemExit" in caplog.text


def test_observers_of_a_stream_that_has_ended(gate: Gate) -> None:
    """They are shown no more chunks: those that come then are nobody's."""
    seen: list[Chunk] = []
    runs: list[Any] = []
    with start(giving([], gate=gate), hooks=Hooks(on_chunk=seen.append), enlist=runs.append) as stream:
        stream.cancel()
        stream.err.get()

        assert not runs[0].deliver(HELLO[0])

    assert [] == seen


class Unspeakable(Exception):
    """An exception that cannot be shown."""

    def __repr__(self) -> str:
        raise Unspeakable


def test_a_bug_that_cannot_be_shown() -> None:
    """The reader does not wait for ever."""
    stream = start(giving(HELLO, Unspeakable()))

    assert "an internal error ended the stream: Unspeakable" == str(stream.err.get(timeout=2))


@pytest.mark.parametrize("how", ["stream", "context"])
def test_a_source_that_comes_to_a_cancel_first(how: str) -> None:
    """Before the watchdog: it is told as the same, and the contexts of its tools have ended by then."""
    ctx = Context()
    runs: list[Any] = []
    inner: list[bool] = []

    def source(run: Any) -> Iterator[list[Chunk]]:
        run.answered({}, None)
        scope = run.context()
        ctx.cancel("enough") if how == "context" else runs[0].cancel("enough")
        inner.append(scope.cancelled)
        run.pause(0)
        yield []

    with pytest.raises(Cancelled, match=r"^cancelled: enough$"):
        start(source, ctx=ctx, enlist=runs.append).result()

    assert [True] == inner


def test_observers_hear_of_an_end_from_outside(gate: Gate) -> None:
    """On the producer's thread, once it is awake; never on the watchdog's."""
    heard: queue.SimpleQueue[tuple[Any, str]] = queue.SimpleQueue()
    hooks = Hooks(on_cancel=lambda error: heard.put((error, threading.current_thread().name)))
    settled: queue.SimpleQueue[ChatResponse] = queue.SimpleQueue()
    with start(giving(HELLO, gate=gate), hooks=hooks, on_settled=settled.put) as stream:
        stream.cancel()
        error, thread = heard.get(timeout=2)

        assert stream.err.get() is error
        assert thread.startswith("streamkit-test-")
        assert error.partial is settled.get(timeout=2)


def test_the_client_learns_what_can_be_cancelled(gate: Gate) -> None:
    """Before the stream is started, so that nothing escapes it; it tells whether it still lives."""
    runs: list[Any] = []
    with start(giving(HELLO, gate=gate), enlist=runs.append) as stream:
        live = runs[0].live
        runs[0].cancel("by the client")

        assert (True, "cancelled: by the client") == (live, str(stream.err.get()))
        assert not runs[0].live
