"""Going on with an answer that was cut: several attempts at it as one stream, without a gap or a repetition.

A generator of batches over calls. What becomes of the attempts is an `Answer`; where two of them meet is a seam.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Protocol

from streamkit.call import Call
from streamkit.errors import BadRequest, ConfigError, NotFound, RetriesExhausted, StreamKitError, without_frames
from streamkit.hooks import observe
from streamkit.loops import LoopScope
from streamkit.loops.answer import Answer, Way
from streamkit.loops.attempt import Attempt
from streamkit.loops.fallback import Fallback
from streamkit.loops.replayed import Replayed
from streamkit.loops.seam import Prefilled, Repeats, Seam
from streamkit.loops.state import StreamState
from streamkit.retry import backoff
from streamkit.settings import RetryPolicy
from streamkit.types.chunks import Chunk, TextChunk
from streamkit.types.response import ChatResponse

__all__ = ["Ask", "ResumeLoop"]


class Ask(Protocol):
    """Makes the call of an attempt."""

    def __call__(self, way: Way, state: StreamState, *, index: int) -> Call | Fallback:
        """Give the call whose first chunk has this index; `ConfigError` where one cannot go on in this way."""


class ResumeLoop:
    """Attempts at one answer.

    Args:
        ask: makes the calls.
        ways: how to go on with an answer, in this order: one that is refused is passed over, but for the last.
        known: what is known from before.
        max_retries: how often to go on.
        policy: how long to wait before; the calls' own by default.
        on_resume: told before each wait.
        gives_up: whether it is `RetriesExhausted` when the last attempt has failed, else the error is what it was.
    """

    def __init__(
        self,
        ask: Ask,
        ways: tuple[Way, ...],
        *,
        known: StreamState,
        max_retries: int = 0,
        policy: RetryPolicy | None = None,
        on_resume: Callable[[StreamState, StreamKitError], object] | None = None,
        gives_up: bool = False,
    ) -> None:
        self._ask = ask
        self._ways = ways
        self._max_retries = max_retries
        self._policy = policy
        self._on_resume = on_resume
        self._gives_up = gives_up
        self._answer = Answer(known)
        self._seam: Seam | None = None
        self._replayed: Replayed | None = None
        self._rest: list[Chunk] = []  # what was held back, and passes before the error
        self._requests = 0
        self._retries = 0
        self._cost = 0  # what the last retry took of the client's budget
        self._attempt: Attempt | None = None
        self._left = False

    # -- for the stream that is made of it

    @property
    def partial(self) -> ChatResponse:
        """The answer so far."""
        return self._answer.partial

    def leave(self, reason: str | None) -> None:
        """The stream has ended: wake the attempt that is under way."""
        self._left = True
        attempt = self._attempt
        if attempt is not None:
            attempt.slot.interrupt()

    # -- attempts

    def batches(self, scope: LoopScope) -> Iterator[list[Chunk]]:
        """Make the calls; give their chunks. Raises errors of our tree only."""
        way, call = self._way()
        while True:
            self._join(way, call)
            try:
                yield from self._attempted(scope, call)
                return
            except StreamKitError as e:
                if scope.ended() is not None:
                    raise
                attempt = self._attempt
                error = (attempt.ended() if attempt is not None else None) or e  # what it met was that one's doing
                without_frames(error)  # of this generator, too, which would hold it, and with it the connection
            finally:
                self._attempt = None
            self._answer.fail(error)
            try:
                delay, way, call = self._next(scope, way, call, error)
            except StreamKitError:
                self._flush()
                yield self._rest
                raise
            scope.pause(delay)
            self._answer.forget_held()
            scope.retried(self._requests)

    def _attempted(self, scope: LoopScope, call: Call | Fallback) -> Iterator[list[Chunk]]:
        answer, first = self._answer, not self._answer.index
        timeouts = _first(call).timeouts
        attempt = Attempt(scope, timeouts, before=self._requests, follow=answer.follow, first=first)
        self._attempt = attempt
        if self._left:
            attempt.slot.interrupt()
        passed = answer.take if answer.is_first else self._new
        try:
            with attempt.watched():
                with closing(call.batches(attempt)) as batches:
                    for batch in batches:
                        self._refund(call)
                        if new := passed(batch):
                            with attempt.handing_over():
                                yield new
        finally:
            self._requests = attempt.requests
        answer.complete()

    def _refund(self, call: Call | Fallback) -> None:
        """Give back what going on has cost: there is an answer."""
        if self._cost:
            _first(call).budget.refill(self._cost)
            self._cost = 0

    # -- where an attempt goes on

    def _way(self) -> tuple[Way | None, Call | Fallback]:
        """The first way in which one can go on, and its call; None for the first attempt ever."""
        state = self._answer.state
        if not self._answer.begun:
            return None, self._ask("again", state, index=0)
        *ways, last = self._ways
        for way in ways:
            try:
                wanted, call = self._asked(way, state)
                call.check()
            except ConfigError:
                continue
            return wanted, call
        return self._asked(last, state)

    def _asked(self, way: Way, state: StreamState) -> tuple[Way, Call | Fallback]:
        there = state.partial_content.strip() or (way == "native" and state.response_id is not None)
        wanted: Way = way if there else "again"
        return wanted, self._ask(wanted, state, index=self._answer.index)

    def _join(self, way: Way | None, call: Call | Fallback) -> None:
        """Begin an attempt, with the seam where it goes on."""
        answer = self._answer.passed
        self._answer.begin(way)
        self._seam = self._replayed = None
        if way == "native":
            self._replayed = Replayed(answer)
        elif way == "prompt":
            self._seam = Repeats(answer.text)
        elif way is not None and answer.text:
            gives = {one.provider.capabilities.prefill_gives for one in _calls(call)} if way == "prefill" else set()
            sent = _first(call).request.messages[-1].text if "whole" in gives else ""
            self._seam = Prefilled(sent, answer.text[len(answer.text.rstrip()) :])

    def _new(self, batch: list[Chunk]) -> list[Chunk]:
        """What is new of a batch."""
        if self._seam is None and self._replayed is None:
            return self._answer.add(batch)
        return [new for chunk in batch for new in self._seamed(chunk)]

    def _seamed(self, chunk: Chunk) -> list[Chunk]:
        answer, replayed, seam = self._answer, self._replayed, self._seam
        if replayed is not None:
            new = replayed.new(chunk)
            return [] if new is None else answer.add([new])
        if seam is not None and isinstance(chunk, TextChunk) and chunk.content:
            answer.hold(chunk)
            removed = seam.feed(chunk.content)
            if removed is None:
                return []
            self._seam = None
            return answer.let_go(removed)
        if seam is not None and answer.holds:
            self._seam = None
            return [*answer.let_go(seam.end()), *answer.add([chunk])]
        return answer.add([chunk])

    def _flush(self) -> None:
        """Add what is held back: nothing more will come that could decide."""
        if self._seam is not None:
            self._rest += self._answer.let_go(self._seam.end())
            self._seam = None

    # -- failures

    def _next(
        self, scope: LoopScope, way: Way | None, call: Call | Fallback, error: StreamKitError
    ) -> tuple[float, Way | None, Call | Fallback]:
        """The seconds to wait, and the next attempt; raises what ends the stream where there is none."""
        if self._passes_over(way, error):
            self._ways = tuple(other for other in self._ways if other != way)
            return (0.0, *self._following(error))
        delay = self._delay(scope, error, _first(call))
        if delay is None:
            raise error
        if self._retries >= self._max_retries:
            raise self._exhausted(error) if self._gives_up else error
        following = self._following(error)
        self._cost = _first(call).budget.take(error)
        if not self._cost:
            raise error
        self._retries += 1
        self._tell(error)
        return (delay, *following)

    def _passes_over(self, way: Way | None, error: StreamKitError) -> bool:
        """Whether another way is to be tried, as the provider refuses this one."""
        return type(error) in (BadRequest, NotFound) and self._answer.is_untouched and way in self._ways[:-1]

    def _following(self, error: StreamKitError) -> tuple[Way | None, Call | Fallback]:
        try:
            return self._way()
        except ConfigError:
            raise error from error.__cause__

    def _delay(self, scope: LoopScope, error: StreamKitError, call: Call) -> float | None:
        """The seconds to wait before going on; None where one must not."""
        if not error.retryable or self._answer.passed.tool_calls:
            return None
        delay, left = backoff(error, self._retries, self._policy or call.retry_policy), scope.remaining()
        return None if delay is None or (left is not None and delay >= left) else delay

    def _exhausted(self, error: StreamKitError) -> StreamKitError:
        self._flush()
        error.partial, error.attempts = self.partial, self._requests
        state, retryable = self._answer.state, error.retryable
        exhausted = RetriesExhausted(f"max retries exceeded: {error}", last=error, state=state, retryable=retryable)
        exhausted.__cause__ = error
        return exhausted

    def _tell(self, error: StreamKitError) -> None:
        if self._on_resume is not None:
            tell, state = self._on_resume, self._answer.state
            without_frames(error)  # who is told may keep it, and with its frames the connection
            observe(lambda error: tell(state, error), error)


def _calls(call: Call | Fallback) -> Sequence[Call]:
    return call.calls if isinstance(call, Fallback) else (call,)


def _first(call: Call | Fallback) -> Call:
    return _calls(call)[0]
