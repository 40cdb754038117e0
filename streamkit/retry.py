"""Retrying: the only door to tenacity. It decides whether, when and how often an answer is asked for again.

The server's word counts most: Retry-After is never undercut, and `x-should-retry` is obeyed. A budget shared by all
streams of a client keeps a dead service from being hit calls x (1 + retries) times.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from streamkit.errors import PermissionDenied, ProviderError, StreamKitError, TransportError
from streamkit.forks import new_lock
from streamkit.hooks import RetryInfo
from streamkit.settings import RetryPolicy

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = ["RetryBudget", "backoff", "call_with_retries", "note_headers", "retry_after"]

T = TypeVar("T")


class RetryBudget:
    """A token bucket that successes refill, after the AWS SDKs' standard retry mode. Thread-safe."""

    CAPACITY = 500
    COST = 5
    COST_AFTER_TIMEOUT = 10
    REFILL = 1

    def __init__(self) -> None:
        self._lock = new_lock()  # guards _tokens
        self._tokens = self.CAPACITY

    def take(self, error: BaseException) -> int:
        """Give what a retry after this error costs, or 0 when the bucket has not enough."""
        cost = self.COST_AFTER_TIMEOUT if isinstance(error, TimeoutError) else self.COST
        with self._lock:
            if self._tokens < cost:
                return 0
            self._tokens -= cost
            return cost

    def refill(self, spent: int) -> None:
        """Note a success: what its last retry had cost comes back, or a little where there was none."""
        with self._lock:
            self._tokens = min(self.CAPACITY, self._tokens + (spent or self.REFILL))


def call_with_retries(
    attempt: Callable[[], T],
    policy: RetryPolicy,
    budget: RetryBudget,
    *,
    pause: Callable[[float], None],
    remaining: Callable[[], float | None],
    on_retry: Callable[[RetryInfo], object],
) -> T:
    """Give what `attempt` gives, calling it again by the policy; the last error is raised as it is.

    `pause` sleeps and must raise when the call is cancelled meanwhile; a delay that would pass `remaining` seconds is
    not begun. Every error that `attempt` raises is given its `attempts`.
    """
    spent = 0
    delay = 0.0

    def again(error: BaseException) -> bool:
        nonlocal spent, delay
        if attempts > policy.max_retries or not _may_retry(error, policy):
            return False
        delay, left = _delay(error, attempts - 1, policy), remaining()
        if left is not None and delay >= left:
            return False
        cost = budget.take(error)
        spent = cost or spent
        return cost > 0

    def tell(state: RetryCallState) -> None:
        on_retry(RetryInfo(attempt=state.attempt_number, delay=delay, error=_error_of(state)))

    attempts = 0

    def counted() -> T:
        nonlocal attempts
        attempts += 1
        try:
            return attempt()
        except StreamKitError as error:
            error.attempts = attempts
            raise

    failure: StreamKitError | None = None
    try:
        result = counted()
    except StreamKitError as error:
        failure = error
    if failure is not None:
        import tenacity  # with the first failure: importing it takes 5 ms, and most calls never need it

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(again),
            wait=lambda state: delay,
            sleep=pause,
            before_sleep=tell,
            reraise=True,
        )
        result = retrying(_first_failing(failure, counted))
    budget.refill(spent)
    return result


def _first_failing(error: StreamKitError, attempt: Callable[[], T]) -> Callable[[], T]:
    """Give an attempt that fails with `error` when it is first called, as it has already, and then is the other."""
    failures = [error]

    def replayed() -> T:
        if failures:
            raise failures.pop()
        return attempt()

    return replayed


def backoff(error: BaseException, n: int, policy: RetryPolicy) -> float | None:
    """Give the seconds to wait before retry n (from 0) after this error; None where it asks for too many."""
    told = _told(error)
    return None if told is not None and told > policy.max_retry_after else _delay(error, n, policy)


def note_headers(error: ProviderError, headers: Mapping[str, str], policy: RetryPolicy) -> None:
    """Set `retry_after` and `retryable` of a refusal by its headers and the policy."""
    told = retry_after(headers)
    error.retry_after = told if told is not None else error.retry_after  # else what its body says
    wish = headers.get("x-should-retry", "").strip().lower()
    no_credit = isinstance(error, PermissionDenied) and error.status not in (402, 403)  # as OpenAI's 429 for no quota
    error.retryable = wish == "true" or (wish != "false" and error.status in policy.retry_on and not no_credit)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Give the seconds a server asks to wait: retry-after-ms, Retry-After in seconds or as an HTTP date.

    None for none, and for what makes no sense: garbage, negative, NaN.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if not value:
            continue
        try:
            seconds = float(value) * unit
        except ValueError:
            seconds = _until(value) if name == "retry-after" else math.nan
        if 0 <= seconds < math.inf:
            return seconds
    return None


def _until(text: str) -> float:
    try:
        date = parsedate_to_datetime(text)
        if date.tzinfo is None:  # the oldest of HTTP's three forms names no zone: all are GMT
            date = date.replace(tzinfo=timezone.utc)
        return date.timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return math.nan


def _may_retry(error: BaseException, policy: RetryPolicy) -> bool:
    if not isinstance(error, (ProviderError, TransportError)) or not error.retryable:
        return False
    told = _told(error)
    return told is None or told <= policy.max_retry_after


def _delay(error: BaseException, n: int, policy: RetryPolicy) -> float:
    told = _told(error)
    if told is not None:
        return told + random.uniform(0, min(0.5, told / 10))  # noqa: S311 - spreads calls, hides nothing
    try:
        ceiling = min(policy.max_interval, policy.initial_interval * policy.backoff_multiplier**n)
    except OverflowError:
        ceiling = policy.max_interval
    return random.uniform(0, ceiling)  # noqa: S311 - spreads calls, hides nothing


def _told(error: BaseException) -> float | None:
    return error.retry_after if isinstance(error, ProviderError) else None


def _error_of(state: RetryCallState) -> StreamKitError:
    error = state.outcome.exception() if state.outcome is not None else None
    assert isinstance(error, StreamKitError)  # only such are retried
    return error
