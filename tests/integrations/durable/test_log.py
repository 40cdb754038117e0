"""The entries of a durable stream as chunks and an outcome."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import ChatResponse, Chunk, ConfigError, RateLimited, StreamTruncated
from streamkit.chunk_json import chunk_to_json
from streamkit.integrations.durable.log import DurableLog, checked_id, written_outcome
from streamkit.types.response import Fold
from tests.feeding import finish, text, thinking
from tests.strategies import PROPERTY

CHUNKS: list[Chunk] = [thinking("Hm.", 0), text("a", 1), finish(2), text("b", 3), text("c", 4), finish(5)]
BEGIN = (b"7-0", [b"streamkit", b"1 0"])


def entries(chunks: list[Chunk], outcome: Any = None) -> list[Any]:
    """What a writer leaves."""
    written = [(b"7-%d" % n, [b"c", chunk_to_json(chunk).encode()]) for n, chunk in enumerate(chunks, 1)]
    end = [] if outcome is None else [(b"7-%d" % (len(chunks) + 1), [b"end", written_outcome(outcome)])]
    return [BEGIN, *written, *end]


def read(log: DurableLog, some: list[Any]) -> list[Chunk]:
    """The new chunks among these entries."""
    return [chunk for chunks in log.read(some) for chunk in chunks]


@given(cuts=st.lists(st.integers(0, 8), max_size=6), after=st.none() | st.integers(1, 6))
@PROPERTY
def test_any_split_is_the_same(cuts: list[int], after: int | None) -> None:
    """However many entries come at once: what is new is given once, and the partial is that of all."""
    log, given_, all_ = DurableLog("a", f"7-{after}" if after else None), [], entries(CHUNKS, ChatResponse(text="x"))
    ends = sorted([0, *cuts, len(all_)])
    for begin, end in itertools.pairwise(ends):
        given_ += read(log, all_[begin:end])

    assert [f"7-{n}" for n in range((after or 0) + 1, 7)] == [chunk.metadata["event_id"] for chunk in given_]
    assert ChatResponse(text="x") == log.outcome == log.partial
    assert 6 == log.count


def test_the_partial_has_the_steps() -> None:
    """As the fold of a stream that was read at first hand."""
    log, fold = DurableLog("a"), Fold()
    read(log, entries(CHUNKS))
    fold.add(CHUNKS[:3])
    fold.next_step()
    fold.add(CHUNKS[3:])

    assert 2 == len(log.partial.steps)
    assert fold.response().text == log.partial.text
    assert [step.text for step in fold.response().steps] == [step.text for step in log.partial.steps]


def test_the_outcome_is_an_error() -> None:
    """Of its class."""
    log = DurableLog("a")
    read(log, entries([text("x")], RateLimited("slow", status=429)))

    assert isinstance(log.outcome, RateLimited)
    assert ("slow", 429, "x") == (str(log.outcome), log.outcome.status, log.partial.text)


@pytest.mark.parametrize(
    "damaged",
    [
        entries(CHUNKS)[1:],
        [BEGIN, *entries(CHUNKS)[2:]],
        [*entries(CHUNKS)[:3], *entries(CHUNKS)[4:]],
        [BEGIN, (b"7-1", [b"theirs", b"x"])],
        [(b"7-1", [b"end", b"{}"])],
        [BEGIN, (b"7-1", [b"end", b"{}"])],
        [BEGIN, (b"7-1", [b"end", b"x"])],
        [BEGIN, (b"7-1", [b"c", chunk_to_json(text("x", 3)).encode()])],
        [BEGIN, (b"7-1", [b"c", b"x"])],
        [(b"7-0", [b"streamkit", b"2 0"])],
        [(b"7-0", [b"streamkit", b""])],
    ],
)
def test_what_is_not_whole_is_refused(damaged: list[Any]) -> None:
    """Missing, foreign, damaged or newer."""
    with pytest.raises(ConfigError):
        read(DurableLog("a"), damaged)


def test_what_is_good_comes_first() -> None:
    """An entry of others costs none of the chunks that were read with it."""
    log = DurableLog("a")
    reading = log.read([*entries(CHUNKS), (b"8-1", [b"theirs", b"x"])])

    assert [f"7-{n}" for n in range(1, 7)] == [chunk.metadata["event_id"] for chunk in next(reading)]
    with pytest.raises(ConfigError, match="8-1"):
        next(reading)


def test_another_answer_of_the_name() -> None:
    """What follows here is not what went before."""
    log = DurableLog("a")
    read(log, entries(CHUNKS))
    with pytest.raises(StreamTruncated, match="gone"):
        read(log, [(b"9-0", [b"streamkit", b"1 0"])])


def test_a_writer_that_goes_on() -> None:
    """Its chunks come behind those that are there."""
    log = DurableLog("a")
    read(log, entries(CHUNKS[:2]))
    more = read(log, [(b"9-0", [b"streamkit", b"1 2"]), (b"9-1", [b"c", chunk_to_json(text("b", 2)).encode()])])

    assert ["9-1"] == [chunk.metadata["event_id"] for chunk in more]
    assert "ab" == log.partial.text


def test_an_id_that_is_not_there() -> None:
    """Is told when all are read, and not before."""
    log = DurableLog("a", "7-9")
    read(log, entries(CHUNKS))
    log.caught_up(7)
    with pytest.raises(ConfigError, match="no chunk of the durable stream 'a'"):
        log.caught_up(6)


@pytest.mark.parametrize(("after", "expected"), [(None, None), ("", None), ("7-1", "7-1"), (f"{2**64 - 1}-0",) * 2])
def test_ids(after: str | None, expected: str | None) -> None:
    """None and "" are the beginning."""
    assert expected == checked_id(after)
