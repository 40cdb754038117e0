"""Stats: what is counted and timed, and how exactly."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import stats
from streamkit.stats import Stats
from streamkit.types.chunks import TextChunk
from streamkit.types.response import Fold, StepState
from streamkit.types.usage import Usage
from tests.strategies import PROPERTY

BEGUN = 1000.0
"""What the clock shows when a stream begins."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock to set: its one entry is what `time.monotonic` gives to stats."""
    now = [BEGUN]

    class Time:
        monotonic = staticmethod(lambda: now[0])

    monkeypatch.setattr(stats, "time", Time)
    return now


def reported(tokens: int) -> Fold:
    """Give a fold whose provider reported so many completion tokens."""
    fold = Fold()
    fold.state = StepState(usage=Usage(completion_tokens=tokens, source="reported"))
    return fold


def with_gaps(gaps: list[float]) -> Stats:
    """Give the stats of a stream whose batches came with these gaps between them."""
    timed = Stats(Fold())
    now = 0.0
    timed.note(1, now)
    for gap in gaps:
        now += gap
        timed.note(1, now)
    return timed


def test_nothing_is_measured_before_the_first_chunk(clock: list[float]) -> None:
    """Before the first chunk counts are zero and times unknown, but for the time since the start."""
    fresh = Stats(Fold())
    clock[0] += 1.5

    assert (0, 0, 0, 1) == (fresh.chunks, fresh.chars, fresh.dropped, fresh.attempts)
    assert (None, None, None, None) == (fresh.ttft, fresh.tokens_per_second, fresh.gap_p50, fresh.gap_p99)
    assert 1.5 == fresh.elapsed
    assert "<Stats ttft=none elapsed=1.500 chunks=0>" == repr(fresh)


def test_the_first_batch_sets_ttft(clock: list[float]) -> None:
    """`ttft` runs from the start to the first batch; later ones do not change it."""
    timed = Stats(Fold())
    timed.note(3, BEGUN + 0.25)
    timed.note(2, BEGUN + 0.75)
    clock[0] += 1

    assert (0.25, 5) == (timed.ttft, timed.chunks)
    assert "<Stats ttft=0.250 elapsed=1.000 chunks=5>" == repr(timed)


def test_the_clock_stops_at_the_end(clock: list[float]) -> None:
    """`elapsed` stands still from the first `end` on."""
    timed = Stats(Fold())
    clock[0] += 2
    timed.end()
    clock[0] += 3
    timed.end()

    assert 2.0 == timed.elapsed


def test_chars_are_the_folds() -> None:
    """`chars` counts the characters of text that the fold has seen."""
    fold = Fold(keep=False)
    timed = Stats(fold)
    fold.add([TextChunk(index=0, content="né"), TextChunk(index=1, content="😀")])

    assert 3 == timed.chars


def test_tokens_per_second_count_from_the_first_chunk(clock: list[float]) -> None:
    """The rate is of the reported completion tokens over the time between the first batch and the last."""
    timed = Stats(reported(30))
    timed.note(1, BEGUN + 10)
    timed.note(1, BEGUN + 12)
    timed.note(1, BEGUN + 13)

    assert 10.0 == timed.tokens_per_second


def test_no_rate_without_a_report_or_a_time(clock: list[float]) -> None:
    """A rate is never invented: not without chunks, not from one batch, not where usage is unknown."""
    silent, single, unknown = Stats(reported(30)), Stats(reported(30)), Stats(Fold())
    single.note(30, BEGUN + 0.1)
    for now in (0.1, 0.2):
        unknown.note(1, BEGUN + now)

    assert [None, None, None] == [each.tokens_per_second for each in (silent, single, unknown)]


@given(gaps=st.lists(st.floats(2e-6, 1e4), min_size=1, max_size=60))
@PROPERTY
def test_percentiles_are_right_within_the_resolution(gaps: list[float]) -> None:
    """Median and 99th percentile are those of the sorted gaps (nearest rank), at most 5 % off."""
    timed = with_gaps(gaps)
    exact = [sorted(gaps)[math.ceil(share * len(gaps)) - 1] for share in (0.50, 0.99)]
    given_back = [timed.gap_p50, timed.gap_p99]

    assert given_back == [pytest.approx(gap, rel=0.05) for gap in exact]


def test_percentiles_tell_the_usual_from_the_rare() -> None:
    """One long pause in a hundred gaps shows in neither; two show in the 99th percentile only."""
    once, twice = with_gaps([0.01] * 99 + [5.0]), with_gaps([0.01] * 98 + [5.0] * 2)

    assert [pytest.approx(0.01, rel=0.05)] * 2 == [once.gap_p50, once.gap_p99]
    assert [pytest.approx(gap, rel=0.05) for gap in (0.01, 5.0)] == [twice.gap_p50, twice.gap_p99]


@pytest.mark.parametrize(("gap", "shown"), [(0.0, 1e-6), (1e-9, 1e-6), (1e-6, 1e-6), (1e9, 2**40 / 1e6)])
def test_gaps_beyond_the_histogram_fall_into_its_ends(gap: float, shown: float) -> None:
    """A gap too short or too long for the histogram counts as the shortest or longest it knows."""
    assert pytest.approx(shown, rel=0.1) == with_gaps([gap]).gap_p50
