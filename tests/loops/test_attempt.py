"""One attempt of several: it may end alone, and leaves nothing open."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from streamkit import Cancelled, StreamKitError, StreamStalled, Timeouts
from streamkit.loops.attempt import Attempt
from streamkit.transport.slot import SocketSlot
from streamkit.types.response import StepState


class Running:
    """A stream, as an attempt sees it."""

    def __init__(self) -> None:
        self.slot = SocketSlot(max_headers=77)
        self.told: list[Any] = []
        self.error: StreamKitError | None = None

    def pause(self, seconds: float) -> None:
        """Sleep."""
        self.told.append(("pause", seconds))

    def remaining(self) -> float | None:
        """The seconds left."""
        return 9.0

    def answered(self, headers: Mapping[str, str], request_id: str | None) -> None:
        """An answer is open."""
        self.told.append(("answered", headers, request_id))

    def waits(self) -> None:
        """It may take long."""
        self.told.append("waits")

    def retried(self, attempt: int) -> None:
        """An attempt failed."""
        self.told.append(("retried", attempt))

    def ended(self) -> StreamKitError | None:
        """What ended it."""
        return self.error

    def follow(self, state: StepState) -> None:
        """Never asked."""
        raise AssertionError

    def defer(self, fn: Callable[[], object]) -> None:
        """For later."""
        self.told.append(fn)


def attempt(running: Running, *, first: bool = False, before: int = 0, **clocks: float | None) -> Attempt:
    """An attempt in it."""
    return Attempt(running, Timeouts(**clocks), before=before, follow=running.told.append, first=first)


def test_it_speaks_for_the_stream() -> None:
    """What its call says and asks is the stream's matter, but for its own socket and where it reports."""
    running, state = Running(), StepState()
    one = attempt(running)
    one.pause(2.0)
    one.answered({"a": "b"}, "req")
    one.waits()
    one.follow(state)

    assert [("pause", 2.0), ("answered", {"a": "b"}, "req"), "waits", state] == running.told
    assert (9.0, 77) == (one.remaining(), one.slot.max_headers)
    assert one.slot is not running.slot


def test_requests_are_counted_over_all_attempts() -> None:
    """Three were made before; this one's opening was retried twice."""
    running = Running()
    one = attempt(running, before=3)

    assert 4 == one.requests
    one.retried(1)
    one.retried(2)
    assert (6, [("retried", 4), ("retried", 5)]) == (one.requests, running.told)


@pytest.mark.parametrize(
    ("first", "began", "clock"), [(False, False, "first_chunk"), (False, True, "stall"), (True, True, "stall")]
)
def test_a_clock_that_runs_out_ends_it_alone(first: bool, began: bool, clock: str) -> None:
    """Its socket is woken; the stream lives on."""
    running, now = Running(), time.monotonic()
    limits: dict[str, Any] = {"first_chunk": 500.0, "stall": 500.0, clock: 5.0}
    one = attempt(running, first=first, **limits)
    if began:
        with one.handing_over():
            pass

    assert one.check(now) is not None
    assert one.ended() is None
    assert one.check(now + 60.0) is None
    error = one.ended()
    assert isinstance(error, StreamStalled)
    assert (True, True) == (error.retryable, f"Timeouts({clock}=...)" in str(error))
    assert (True, False) == (one.slot.interrupted, running.slot.interrupted)


def test_before_the_first_chunk_ever_the_stream_itself_waits() -> None:
    """It has a clock for that, which no attempt prolongs."""
    one = attempt(Running(), first=True, first_chunk=5.0, stall=7.0)
    now = time.monotonic()

    assert now + 7.0 == one.check(now)
    assert now + 67.0 == one.check(now + 60.0)
    assert one.ended() is None


def test_without_clocks_it_is_not_looked_at_again() -> None:
    """There is nothing to come."""
    assert attempt(Running(), first_chunk=None, stall=None).check(0.0) is None


def test_a_slow_reader_is_no_silence() -> None:
    """While chunks are handed over, nothing runs out."""
    one = attempt(Running(), stall=5.0)
    with one.handing_over():
        now = time.monotonic()
        assert now + 65.0 == one.check(now + 60.0)

    due = one.check(time.monotonic())
    assert due is not None and now + 5.0 <= due < math.inf


def test_the_streams_own_end_counts_first() -> None:
    """Whatever the attempt met."""
    running = Running()
    one = attempt(running, first_chunk=1.0)
    one.check(time.monotonic() + 60.0)
    running.error = Cancelled("cancelled")

    assert running.error is one.ended()


def test_a_failure_leaves_nothing_for_later() -> None:
    """What was put off is done at once, the last first."""
    running, done = Running(), []
    one = attempt(running)
    one.defer(lambda: done.append("first"))
    one.defer(lambda: done.append("last"))
    with pytest.raises(ValueError, match="cut"), one.watched():
        raise ValueError("cut")

    assert (["last", "first"], []) == (done, running.told)


def test_a_success_leaves_it_to_the_stream() -> None:
    """The connection is given back after the stream has settled."""
    running, done = Running(), []
    one = attempt(running)
    with one.watched():
        one.defer(lambda: done.append("closed"))

    assert [] == done
    (later,) = running.told
    later()
    assert ["closed"] == done


def test_after_a_fork_it_goes_on_nowhere() -> None:
    """The child has neither the thread nor the right to the socket."""
    one = attempt(Running())
    one.forked()
    error = one.ended()

    assert isinstance(error, StreamStalled)
    assert (False, False) == (error.retryable, one.slot.interrupted)
