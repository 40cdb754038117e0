"""One of several attempts at an answer, as its call sees it: a scope that may end before the stream does.

It has a socket of its own, so that to interrupt it ends nothing else, and the clock that waits for its chunks: the
stream's own clock would end the stream.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from streamkit.call import Scope
from streamkit.errors import StreamKitError, StreamStalled
from streamkit.settings import Timeouts
from streamkit.transport.slot import SocketSlot
from streamkit.types.response import StepState
from streamkit.watchdog import watchdog

__all__ = ["Attempt"]


class Attempt:
    """The scope of one call.

    Args:
        scope: the stream's.
        timeouts: `stall` is for the time between its chunks; `first_chunk` for that to its first one, unless it is the
            first attempt, which the stream itself waits for.
        before: the requests made before it.
        follow: told where its call reports.
    """

    def __init__(
        self, scope: Scope, timeouts: Timeouts, *, before: int, follow: Callable[[StepState], object], first: bool
    ) -> None:
        self.slot = SocketSlot(max_headers=scope.slot.max_headers)
        self.requests = before + 1
        """Requests made so far, this attempt's own included."""
        self._scope = scope
        self._before = before
        self._follow = follow
        self._stall = math.inf if timeouts.stall is None else timeouts.stall
        self._first = math.inf if first or timeouts.first_chunk is None else timeouts.first_chunk
        self._last = time.monotonic()
        self._begun = False
        self._stalled: StreamStalled | None = None
        self._deferred: list[Callable[[], object]] = []

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Run its clock, and leave nothing open where it fails; what its success leaves is closed with the stream."""
        watchdog.watch(self)
        try:
            yield
        except BaseException:
            watchdog.unwatch(self)
            self._clean_up()
            raise
        watchdog.unwatch(self)
        self._scope.defer(self._clean_up)

    @contextmanager
    def handing_over(self) -> Iterator[None]:
        """Let the reader take as long as he likes."""
        self._begun, self._last = True, math.inf
        try:
            yield
        finally:
            self._last = time.monotonic()

    def _clean_up(self) -> None:
        while self._deferred:
            self._deferred.pop()()
        self.slot.release()

    # -- what the watchdog asks

    def check(self, now: float) -> float | None:
        """End it where a clock has run out; give when to look again."""
        limit, last = self._stall if self._begun else self._first, self._last
        if self._stalled is None and now >= last + limit:
            which = "stall" if self._begun else "first_chunk"
            self._stalled = StreamStalled(
                f"no further chunk came within {limit} s: try again, or allow more with Timeouts({which}=...)"
            )
            self.slot.interrupt()
            return None
        # A chunk may change what is waited for.
        due = min(last + limit, now + self._stall)
        return due if due < math.inf else None

    def forked(self) -> None:
        """In a child process nobody reads it: the stream says so."""
        self._stalled = self._stalled or StreamStalled("the process was forked", retryable=False)

    # -- what its call asks

    def pause(self, seconds: float) -> None:
        """Sleep, unless the stream ends meanwhile."""
        self._scope.pause(seconds)

    def remaining(self) -> float | None:
        """The seconds to the deadline, or None."""
        return self._scope.remaining()

    def answered(self, headers: Mapping[str, str], request_id: str | None) -> None:
        """Tell the stream of the answer's headers."""
        self._scope.answered(headers, request_id)

    def waits(self) -> None:
        """Tell the stream that the first chunks may be long in coming."""
        self._scope.waits()

    def retried(self, attempt: int) -> None:
        """Count a retry of opening among all requests."""
        self.requests = self._before + attempt + 1
        self._scope.retried(self._before + attempt)

    def ended(self) -> StreamKitError | None:
        """The error that ended the stream or this attempt from outside, or None."""
        return self._scope.ended() or self._stalled

    def follow(self, state: StepState) -> None:
        """Say where to find what has been reported."""
        self._follow(state)

    def defer(self, fn: Callable[[], object]) -> None:
        """Call `fn` when the attempt has failed, or after the stream has settled."""
        self._deferred.append(fn)
