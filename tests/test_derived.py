"""Streams made of another one have its outcome, and end it when they end."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from streamkit import (
    Cancelled,
    ChatStream,
    Chunk,
    ConfigError,
    Context,
    DeadlineExceeded,
    ErrorChunk,
    FinishChunk,
    ServerError,
    StreamKitError,
    StreamTruncated,
    TextStream,
)
from streamkit.derived import AnyStream, derived, divided, opened
from tests.feeding import Feed, finish, text
from tests.loopback import took


@pytest.fixture
def feed() -> Iterator[Feed]:
    """What the test feeds."""
    with Feed() as feed:
        yield feed


def same(stream: AnyStream, **settings: Any) -> ChatStream:
    """A stream made of another without a change."""
    return derived(stream, lambda other: other.ch.batches(), name="same", **settings)


def halves(stream: AnyStream, **settings: Any) -> tuple[ChatStream, ...]:
    """Two streams with the same chunks."""
    return divided(stream, lambda run, batch: run.deliver(batch), 2, name="half", **settings)


MAKERS: list[Callable[..., ChatStream]] = [same, lambda stream: same(same(stream)), lambda stream: halves(stream)[0]]
each_maker = pytest.mark.parametrize("make", MAKERS, ids=["derived", "twice", "divided"])


# -- the outcome


@each_maker
def test_chunks_and_outcome(feed: Feed, make: Callable[..., ChatStream]) -> None:
    """The same chunks in the same order, and the very same response."""
    source = feed.stream()
    stream = make(source)
    feed.give(text("Hello", 0), text(" ", 1))
    feed.give(text("world", 2), finish(3))
    feed.end()

    assert [0, 1, 2, 3] == [chunk.index for chunk in stream.ch]
    assert None is stream.err.get()
    assert stream.final.get() is source.final.get()
    assert ("req_1", {"X-Request-Id": "req_1"}) == (stream.request_id, stream.headers)
    assert 11 == stream.stats.chars


@each_maker
def test_a_failure(feed: Feed, make: Callable[..., ChatStream]) -> None:
    """What had come is delivered, then the error of the other, with its partial."""
    source = feed.stream()
    stream = make(source)
    feed.give(text("Hello", 0))
    error = StreamTruncated("cut")
    feed.fail(error)

    assert ["Hello"] == [chunk.content for chunk in stream.ch]
    assert error is stream.err.get()
    assert error.partial is not None
    assert ("Hello", False) == (error.partial.text, error.partial.complete)
    assert None is stream.final.get()


def test_attempts_are_those_of_the_other(feed: Feed) -> None:
    """However often a request was made, its error says so behind every transformation."""
    source = feed.stream()
    source._run.retried(2)
    stream = same(source)
    feed.fail(ServerError("down"))
    error = stream.err.get()

    assert error is not None
    assert (3, 3) == (error.attempts, stream.stats.attempts)


def test_the_other_need_not_be_read(feed: Feed) -> None:
    """Waiting for the outcome drains both."""
    stream = same(feed.stream(buffer=1), buffer=1)
    feed.give(*(text("x", index) for index in range(100)))
    feed.end()

    assert "x" * 100 == stream.result().text


def test_a_bug_in_a_transformation(feed: Feed) -> None:
    """It fails the stream, with what the other had, and ends the other."""

    def transform(other: ChatStream) -> Iterator[list[Chunk]]:
        for batch in other.ch.batches():
            yield batch
            raise KeyError("x")

    source = feed.stream()
    stream = derived(source, transform, name="bug")
    feed.give(text("Hello"))
    error = stream.err.get()

    assert isinstance(error, StreamKitError)
    assert "KeyError('x')" in str(error)
    assert error.partial is not None
    assert "Hello" == error.partial.text
    assert isinstance(source.err.get(), Cancelled)


# -- the end


@each_maker
def test_a_cancel_ends_the_other(feed: Feed, make: Callable[..., ChatStream]) -> None:
    """At once, while both are silent; the reason is told on both sides."""
    source = feed.stream()
    with source:
        stream = make(source)
        feed.give(text("Hello"))
        stream.ch.get()
        with took(0.5):
            stream.cancel("enough")
            assert [] == list(stream.ch)
            error = stream.err.get()

    assert isinstance(error, Cancelled)
    assert "cancelled: enough" == str(error)
    assert error.partial is not None
    assert "Hello" == error.partial.text


def test_a_cancel_tells_the_other_why(feed: Feed) -> None:
    """The reason is passed on."""
    source = feed.stream()
    same(source).cancel("enough")

    assert "cancelled: enough" == str(source.err.get())


@each_maker
@pytest.mark.parametrize("ended", [Cancelled, DeadlineExceeded])
def test_a_context_ends_both(feed: Feed, make: Callable[..., ChatStream], ended: type[StreamKitError]) -> None:
    """With its own error."""
    ctx = Context(0.05 if ended is DeadlineExceeded else None)
    source = feed.stream(ctx)
    stream = make(source)
    feed.give(text("Hello"))
    stream.ch.get()
    if ended is Cancelled:
        ctx.cancel()
    with took(1.0):
        assert [] == list(stream.ch)

    assert [ended, ended] == [type(stream.err.get()), type(source.err.get())]


@each_maker
def test_the_end_of_the_other_ends_it(feed: Feed, make: Callable[..., ChatStream]) -> None:
    """A cancel of what is read is the end of what is made of it."""
    source = feed.stream()
    stream = make(source)
    feed.give(text("Hello"))
    stream.ch.get()
    source.cancel("below")

    assert [] == list(stream.ch)
    assert "cancelled: below" == str(stream.err.get())


@each_maker
def test_who_drops_it_ends_the_other(feed: Feed, make: Callable[..., ChatStream]) -> None:
    """Nobody can read it any more, so nothing more is asked for."""
    source = feed.stream()
    stream = make(source)
    feed.give(text("Hello"))
    stream.ch.get()
    del stream
    gc.collect()
    with took(1.0):
        assert isinstance(source.err.get(), Cancelled)


@pytest.mark.parametrize("which", [0, 1], ids=["itself", "below"])
def test_an_end_in_the_middle_of_a_full_buffer(feed: Feed, which: int) -> None:
    """A thread that waits for room is freed by a cancel, of itself or below."""
    source = feed.stream()
    stream = same(source, buffer=1)
    feed.give(*(text("x", index) for index in range(10)))
    stream.ch.get()
    (stream, source)[which].cancel()
    stream.close()

    assert [] == [thread for thread in threading.enumerate() if thread.name.startswith("streamkit-same")]


def test_one_that_drains_passes_on_what_had_come(feed: Feed) -> None:
    """A cancel ends only what it reads; what its transformation has kept still comes."""

    def last(other: ChatStream) -> Iterator[list[Chunk]]:
        yield [chunk for batch in other.ch.batches() for chunk in taken(batch)]

    both = threading.Event()

    def taken(batch: list[Chunk]) -> list[Chunk]:
        if batch[-1].content == "!":
            both.set()
        return batch

    source = feed.stream()
    stream = derived(source, last, name="last", drains=True)
    feed.give(text("Hello", 0), text("!", 1))
    assert both.wait(5)
    with took(0.5):
        stream.cancel("enough")
        said = [chunk.content for chunk in stream.ch]

    assert ["Hello", "!"] == said
    assert "cancelled: enough" == str(stream.err.get())


# -- several of one


def test_the_last_branch_ends_the_other(feed: Feed) -> None:
    """One that is cancelled does not stop the rest."""
    source = feed.stream()
    first, second = halves(source)
    first.cancel()
    feed.give(text("Hello"))

    assert "Hello" == second.ch.get().content
    assert isinstance(first.err.get(), Cancelled)
    second.cancel("the last")
    assert "cancelled: the last" == str(source.err.get())


def test_closing_one_branch_does_not_wait_for_the_others(feed: Feed) -> None:
    """The thread goes on for them; the last one's close waits for its end."""
    first, second = halves(feed.stream())
    with took(0.5):
        first.close()
    second.close()
    names = [thread.name for thread in threading.enumerate()]

    assert [] == [name for name in names if name.startswith("streamkit-half")]


def test_a_bug_of_who_hands_over_fails_all(feed: Feed) -> None:
    """And nobody waits for ever."""

    def hand(run: Any, batch: list[Chunk]) -> bool:
        raise KeyError("x")

    streams = divided(feed.stream(), hand, 2, name="bug")
    feed.give(text("Hello"))

    assert ["KeyError('x')" in str(stream.err.get()) for stream in streams] == [True, True]


# -- what can be read


def test_iterables_of_chunks() -> None:
    """They fold into a response of their own."""
    stream = opened([text("Hello", 0), finish(1, tokens=9)])

    assert ["Hello", ""] == [chunk.content for chunk in stream.ch]
    assert ("Hello", "stop", 9, True) == (
        (final := stream.result()).text,
        final.finish_reason,
        final.total_usage.total_tokens,
        final.complete,
    )


def test_several_steps_of_an_iterable() -> None:
    """What comes after the end of a step is of the next; the last chunk says why it ended."""
    last = FinishChunk(
        finish_reason="stop",
        usage=finish().usage,
        response=finish().response,
        index=4,
        metadata={"stop_cause": "stop_when"},
    )
    final = opened([text("a", 0), finish(1), text("b", 2), finish(3), last]).result()

    assert (["a", "b"], 14, "stop_when") == (
        [step.text for step in final.steps],
        final.total_usage.total_tokens,
        final.stop_cause,
    )


def failing() -> Iterator[Chunk]:
    """Chunks, and then an error."""
    yield text("Hello", 0)
    raise StreamTruncated("cut")


@pytest.mark.parametrize(
    "chunks",
    [failing(), [text("Hello", 0), ErrorChunk(error=StreamTruncated("cut"), index=1)]],
    ids=["raised", "chunk"],
)
def test_iterables_that_fail(chunks: Iterable[Chunk]) -> None:
    """An exception is an error, and so is a chunk that says so; what came before is kept."""
    error = opened(chunks).err.get()

    assert isinstance(error, StreamTruncated)
    assert error.partial is not None
    assert "Hello" == error.partial.text


def test_an_iterable_is_closed() -> None:
    """A generator that is not read to its end runs its cleaning up."""
    closed = threading.Event()

    def chunks() -> Iterator[Chunk]:
        try:
            while True:
                yield text("x")
        finally:
            closed.set()

    stream = opened(chunks())
    stream.ch.get()
    stream.close()

    assert closed.wait(5)


def test_what_is_beneath_a_text_stream(feed: Feed) -> None:
    """Its three channels."""
    beneath = feed.stream()
    feed.end()

    assert beneath is opened(TextStream(beneath))
    assert beneath is opened(beneath)


@pytest.mark.parametrize("wrong", [None, 7, "text", b"text"])
def test_what_is_no_stream(wrong: Any) -> None:
    """It is refused, and said what is wanted."""
    with pytest.raises(ConfigError, match="is no stream: give"):
        opened(wrong)


def test_what_are_no_chunks() -> None:
    """They are refused when they come."""
    assert "str is no chunk: give the chunks of a stream" == str(opened(["a"]).err.get())  # type: ignore[list-item]
