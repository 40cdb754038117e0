"""RateLimit, and the Pacer behind it, which says who may go when.

Requests are spread evenly: each reserves the next free moment of two lanes, requests and tokens, in the order in which
they ask, so that nobody is overtaken for ever and no minute sees more than its limit. (A bucket that holds a whole
minute's worth would let twice the limit pass in the first minute, which providers with fixed windows refuse.)

A 429 stops the clock of both lanes for everybody. The lanes' clock is virtual for that reason: what had been reserved
keeps its order and its distances.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from streamkit import lazy_attrs as attrs
from streamkit.context import Context
from streamkit.errors import Cancelled, ConfigError, RateLimited, StreamKitError
from streamkit.forks import new_lock
from streamkit.parallel.rate_headers import Quota, read_quotas
from streamkit.types.messages import TextPart, ToolCallPart, ToolResultPart
from streamkit.types.request import ChatRequest
from streamkit.types.response import ChatResponse

__all__ = ["Pacer", "RateLimit", "estimated_tokens"]

LONGEST_RESET = 120.0
"""Seconds. A limit that takes longer to be whole again is one of a day or a month: nobody waits for that here."""
CHARS_PER_TOKEN = 4
"""Of the text of a prompt, roughly; what was really used corrects it."""


def _rate(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not (isinstance(value, (int, float)) and 0 < value < math.inf):
        raise ConfigError(f"RateLimit({attribute.name}={value!r}): must be a number above 0, or None for no limit")


@attrs.frozen(kw_only=True)
class RateLimit:
    """Shared by the threads of a run, or of a process when passed to several; thread-safe.

    Requests are spread evenly over the minute. The tokens of a prompt are estimated before it is sent and corrected by
    the usage that its answer reports. The provider's rate-limit headers lower the limits (`RateLimit()` has these
    alone), and after a 429 everybody waits as long as the provider asks. A limit that resets later than in two
    minutes, as one of a day does, is left to the provider to enforce.

    Raises:
        ConfigError: A limit is not above 0.
    """

    requests_per_minute: float | None = attrs.field(default=None, validator=_rate)
    tokens_per_minute: float | None = attrs.field(default=None, validator=_rate)
    pacer: Pacer = attrs.field(init=False, repr=False, eq=False)
    """Internal: what all that share this limit go by."""

    @pacer.default
    def _new_pacer(self) -> Pacer:
        return Pacer(self.requests_per_minute, self.tokens_per_minute)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.requests_per_minute, self.tokens_per_minute)  # each process keeps its own pace


def _again(requests: float | None, tokens: float | None) -> RateLimit:
    return RateLimit(requests_per_minute=requests, tokens_per_minute=tokens)


def estimated_tokens(request: ChatRequest) -> float:
    """Guess the tokens of a request's texts."""
    chars = 0
    for message in request.messages:
        for part in message.content:
            if isinstance(part, TextPart):
                chars += len(part.text)
            elif isinstance(part, ToolCallPart):
                chars += len(part.input)
            elif isinstance(part, ToolResultPart):
                chars += len(part.output)
    return 1 + chars / CHARS_PER_TOKEN


class Pacer:
    """Says who may go when. Thread-safe.

    Args:
        requests: how many a minute, or None.
        tokens: how many a minute, or None.
        heeds_headers: whether it learns from the headers of answers, or from refusals alone.
        clock: gives monotonic seconds.
        wait: waits these seconds, unless the context ends first; gives whether it has ended.
    """

    def __init__(
        self,
        requests: float | None = None,
        tokens: float | None = None,
        *,
        heeds_headers: bool = True,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[Context, float], bool] = Context.wait,
    ) -> None:
        self._lock = new_lock()  # guards all that follows; never held while waiting
        self._requests = _Lane(requests)
        self._tokens = _Lane(tokens)
        self._held_until = -math.inf
        self._paused = 0.0  # seconds that the lanes' clock has stood still, the hold that is on included
        self._heeds_headers = heeds_headers
        self._clock = clock
        self._wait = wait

    def admit(self, tokens: float, ctx: Context) -> None:
        """Block until a request of about so many tokens may go; raise the error of `ctx` when that ends first."""
        with self._lock:
            turn = self._reserve(tokens)
        while (left := self._left(turn)) > 0:
            if self._wait(ctx, left):
                with self._lock:
                    self._requests.add(-1)
                    self._tokens.add(-tokens)
                raise ctx.error() or Cancelled("cancelled")

    def hold(self, seconds: float) -> None:
        """Let nobody go for so long."""
        with self._lock:
            now = self._clock()
            until = max(now + seconds, self._held_until)
            self._paused += until - max(now, self._held_until)
            self._held_until = until

    def refused(self, error: StreamKitError, delay: float | None = None) -> None:
        """Learn from an error: a 429 holds everybody, as long as the provider asks or at least for this delay."""
        if isinstance(error, RateLimited):
            told = error.retry_after
            seconds = delay if told is None else told
            if seconds is not None and seconds <= LONGEST_RESET:
                self.hold(seconds)

    def answered(self, headers: Mapping[str, str]) -> None:
        """Learn from the headers of an answer."""
        if not self._heeds_headers:
            return
        requests, tokens = read_quotas(headers, time.time())
        with self._lock:
            now = self._now(self._clock())
            waits = self._requests.learn(requests, now), self._tokens.learn(tokens, now)
        if max(waits) > 0:
            self.hold(max(waits))

    def used(self, estimated: float, response: ChatResponse | None) -> None:
        """Correct the estimate of a request by what its answer has used."""
        if response is None:
            return
        usage = response.total_usage
        actual = usage.total_tokens or estimated + len(response.text) / CHARS_PER_TOKEN
        with self._lock:
            self._tokens.add(actual - estimated)

    def _reserve(self, tokens: float) -> float:
        """Take the next moment that is free in both lanes."""
        turn = max(self._now(self._clock()), self._requests.free, self._tokens.free)
        self._requests.take(turn, 1)
        self._tokens.take(turn, tokens)
        return turn

    def _left(self, turn: float) -> float:
        """Seconds until a moment of the lanes' clock."""
        with self._lock:
            now = self._clock()
            return max(0.0, self._held_until - now) + max(0.0, turn - self._now(now))

    def _now(self, now: float) -> float:
        """The lanes' clock: it stands still while everybody is held."""
        return max(now, self._held_until) - self._paused


class _Lane:
    """Requests, or tokens: when the next may go, on the lanes' clock."""

    def __init__(self, per_minute: float | None) -> None:
        self.free = -math.inf
        self._per_minute = per_minute
        self._spread = 0.0  # seconds for each one, so that what the provider has left lasts until its reset
        self._spread_until = -math.inf

    def take(self, now: float, amount: float) -> None:
        self.free = max(self.free, now) + amount * self._spacing(now)

    def add(self, amount: float) -> None:
        """Take more, or with a negative amount less, than had been taken."""
        if self.free > -math.inf:
            self.free += amount * self._spacing(self.free)

    def _spacing(self, now: float) -> float:
        own = 60 / self._per_minute if self._per_minute is not None else 0.0
        return max(own, self._spread if now < self._spread_until else 0.0)

    def learn(self, quota: Quota | None, now: float) -> float:
        """Take over what a provider tells; give for how many seconds nothing more may go."""
        if quota is None or quota.reset > LONGEST_RESET:
            return 0.0
        if quota.limit and quota.by_minute and (self._per_minute is None or quota.limit < self._per_minute):
            self._per_minute = quota.limit
        if quota.remaining < 1:
            return quota.reset
        if quota.limit is None or quota.remaining <= quota.limit / 2:
            self._spread, self._spread_until = quota.reset / quota.remaining, now + quota.reset
        else:
            self._spread = 0.0
        return 0.0
