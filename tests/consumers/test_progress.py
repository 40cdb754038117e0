"""with_progress: a fraction that never falls, and is whole on success only."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import pytest

from streamkit import Channel, ConfigError, StreamTruncated
from streamkit.consumers.progress import with_progress
from tests.feeding import Feed, finish, text, thinking


@pytest.fixture
def feed() -> Iterator[Feed]:
    """What the test feeds."""
    with Feed() as feed:
        yield feed


def reported(expected: int, chunks: int) -> list[float]:
    """The fractions that are told of so many chunks."""
    told: list[float] = []
    with_progress([text("x", index) for index in range(chunks)], expected, told.append).result()
    return told


@pytest.mark.parametrize(
    ("expected", "chunks", "fractions"),
    [
        (4, 4, [0.25, 0.5, 0.75, 0.95, 1.0]),
        (4, 2, [0.25, 0.5, 1.0]),
        (2, 6, [0.5, 0.95, 1.0]),
        (0, 2, [0.95, 1.0]),
        (-3, 1, [0.95, 1.0]),
        (5, 0, [1.0]),
    ],
)
def test_fractions(expected: int, chunks: int, fractions: list[float]) -> None:
    """Of what is expected, at most 0.95 before the end, 1.0 once then; below one chunk counts as one."""
    assert fractions == reported(expected, chunks)


def test_only_text_counts(feed: Feed) -> None:
    """Thinking and the ends of steps pass uncounted."""
    told: list[float] = []
    stream = with_progress(feed.stream(), 4, told.append)
    feed.give(thinking("hm", 0), text("a", 1), finish(2))
    feed.end()

    assert ["thinking", "text", "step_finish"] == [chunk.type for chunk in stream.ch]
    assert [0.25, 1.0] == told


def test_a_failure_is_never_whole(feed: Feed) -> None:
    """The error and what had come are kept."""
    told: list[float] = []
    stream = with_progress(feed.stream(), 2, told.append)
    feed.give(text("a", 0))
    feed.fail(StreamTruncated("cut"))
    error = stream.err.get()

    assert isinstance(error, StreamTruncated)
    assert error.partial is not None
    assert ("a", [0.5]) == (error.partial.text, told)


def test_whole_before_the_final_can_be_read(feed: Feed) -> None:
    """Who reads `final` finds the bar full."""
    told: list[float] = []
    stream = with_progress(feed.stream(), 9, told.append)
    feed.end()
    stream.final.get()

    assert [1.0] == told


@pytest.mark.parametrize("make", [queue.Queue, Channel])
def test_a_full_queue_keeps_the_latest(make: Any) -> None:
    """The stream is never held up by who does not look."""
    values = make(2)
    with_progress([text("x", index) for index in range(10)], 10, values).result()

    assert [0.95, 1.0] == [values.get(), values.get()]


def test_a_queue_that_was_closed() -> None:
    """Nobody wants to know any more; the stream goes on."""
    values: Channel[float] = Channel()
    values.close()

    assert "x" == with_progress([text("x")], 10, values).result().text


def test_a_function_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and changes nothing."""

    def broken(fraction: float) -> None:
        raise KeyError(fraction)

    assert "x" == with_progress([text("x")], 10, broken).result().text
    assert "a hook raised" in caplog.text


def test_who_cannot_be_told() -> None:
    """Neither a function nor a queue."""
    with pytest.raises(ConfigError, match=r"give a function that takes a fraction, or a queue\.Queue"):
        with_progress([], 1, None)  # type: ignore[arg-type]
