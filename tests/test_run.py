"""Run: how a stream ends from outside, what its observers hear, and that nothing of it is left."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streamkit import (
    Cancelled,
    ChatResponse,
    ChatStream,
    Chunk,
    ConnectionLost,
    Context,
    DeadlineExceeded,
    FirstChunkTimeout,
    Hooks,
    StreamKitError,
    StreamStalled,
    Timeouts,
)
from streamkit.errors import StreamTruncated
from streamkit.watchdog import watchdog
from tests.loopback import took
from tests.sources import BATCHES, HELLO, Gate, giving, hello, start, start_opened, text

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


@pytest.mark.parametrize("ask", ["result", "err", "final", "ch"])
def test_an_observer_that_waits_for_its_own_stream(ask: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is told that it would wait for ever; the stream goes on."""
    streams: list[ChatStream] = []
    held = threading.Event()

    def wait(chunk: Chunk) -> None:
        held.wait(5)
        stream = streams[0]
        asking = {"result": stream.result, "err": stream.err.get, "final": stream.final.get}
        asking.get(ask, lambda: list(stream.ch))()

    streams.append(start_opened(lambda run: HELLO, hooks=Hooks(on_chunk=wait)))
    held.set()

    assert "Hello world" == streams[0].result(5).text
    assert "on the stream's own thread, as in a hook of it: ask elsewhere" in caplog.text
