"""Retrying: whether, when and how often; and that the last error is passed as it is."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime, formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import retry
from streamkit.errors import (
    BadRequest,
    Cancelled,
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    DecodeError,
    NotFound,
    Overloaded,
    ProviderError,
    RateLimited,
    ResponseTooLarge,
    ServerError,
    StreamIdle,
    StreamKitError,
    StreamTruncated,
    TLSFailed,
)
from streamkit.hooks import RetryInfo
from streamkit.retry import RetryBudget, backoff, call_with_retries, note_headers, retry_after
from streamkit.settings import RetryPolicy
from tests.strategies import PROPERTY

NOW = 1_760_000_000.0
"""What the clock on the wall shows: 2025-10-09 08:53:20 GMT."""


class Trial:
    """A call that fails with these errors, one after the other, then answers; notes all that retrying does."""

    def __init__(
        self, *failures: BaseException, remaining: float | None = None, budget: RetryBudget | None = None
    ) -> None:
        self.failures = list(failures)
        self.left = remaining
        self.budget = budget or RetryBudget()
        self.attempts = 0
        self.pauses: list[float] = []
        self.told: list[RetryInfo] = []

    def attempt(self) -> str:
        """Fail or answer."""
        self.attempts += 1
        if self.failures:
            raise self.failures.pop(0)
        return "answer"

    def pause(self, seconds: float) -> None:
        """Note the delay; the time that is left passes."""
        self.pauses.append(seconds)
        if self.left is not None:
            self.left -= seconds

    def run(self, **policy: Any) -> str:
        """Call with retries."""
        return call_with_retries(
            self.attempt,
            RetryPolicy(**policy),
            self.budget,
            pause=self.pause,
            remaining=lambda: self.left,
            on_retry=self.told.append,
        )

    def fails(self, **policy: Any) -> BaseException:
        """Call with retries; give the error that comes through."""
        with pytest.raises(BaseException) as failed:  # noqa: PT011 - which one is what the tests ask
            self.run(**policy)
        return failed.value


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Has chance always choose the longest delay; gives the bounds that it was asked to choose between."""
    asked: list[tuple[float, float]] = []

    class Chance:
        @staticmethod
        def uniform(low: float, high: float) -> float:
            asked.append((low, high))
            return high

    monkeypatch.setattr(retry, "random", Chance)
    return asked


# -- how often


def test_a_success_needs_no_retry() -> None:
    """An attempt that succeeds is the only one; nobody is told, nothing waits."""
    trial = Trial()

    assert "answer" == trial.run()
    assert (1, [], []) == (trial.attempts, trial.pauses, trial.told)


@pytest.mark.parametrize("failures", [1, 2, 3])
def test_failures_are_retried(failures: int) -> None:
    """Up to `max_retries` failures are retried; the answer then comes as if nothing had been."""
    trial = Trial(*[ConnectionLost("reset") for _ in range(failures)])

    assert "answer" == trial.run(max_retries=3)
    assert 1 + failures == trial.attempts
    assert failures == len(trial.pauses) == len(trial.told)


@pytest.mark.parametrize("max_retries", [0, 1, 2, 5])
def test_max_retries_are_on_top_of_the_first_attempt(max_retries: int) -> None:
    """With `max_retries=n` there are 1 + n attempts; then the last error comes as it is, counting them."""
    errors = [ServerError(f"failure {number}") for number in range(10)]
    trial = Trial(*errors)
    failed = trial.fails(max_retries=max_retries)

    assert errors[max_retries] is failed
    assert 1 + max_retries == trial.attempts == failed.attempts
    assert max_retries == len(trial.pauses)


def test_each_attempts_error_is_counted() -> None:
    """An error that an attempt raised knows how many attempts there had been."""
    errors = [RateLimited("slow down"), StreamIdle("silence"), NotFound("no such model")]
    trial = Trial(*errors)

    assert errors[2] is trial.fails()
    assert [1, 2, 3] == [error.attempts for error in errors]


def test_observers_are_told_before_each_pause() -> None:
    """`on_retry` gets the attempt that failed, its error and the delay that follows."""
    errors = [ServerError("one"), ConnectFailed("two")]
    trial = Trial(*errors)
    trial.run()

    assert [(1, errors[0]), (2, errors[1])] == [(info.attempt, info.error) for info in trial.told]
    assert trial.pauses == [info.delay for info in trial.told]


# -- what


@pytest.mark.parametrize(
    "error",
    [
        ConnectFailed("refused"),
        ConnectTimeout("no connection"),
        StreamIdle("silence"),
        ConnectionLost("reset"),
        RateLimited("429"),
        Overloaded("529"),
        ServerError("500"),
        BadRequest("conflict", status=409, retryable=True),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_may_succeed_later_is_retried(error: StreamKitError) -> None:
    """Failures of the network, and refusals that are marked retryable, are retried."""
    assert "answer" == Trial(error).run()


@pytest.mark.parametrize(
    "error",
    [
        TLSFailed("certificate"),
        ResponseTooLarge("too large"),
        BadRequest("400"),
        NotFound("404"),
        RateLimited("no more for you", retryable=False),
        Cancelled("cancelled"),
        ConfigError("no key"),
        DecodeError("no JSON"),
        StreamTruncated("cut"),
        ValueError("a bug"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_will_not_succeed_later_passes_as_it_is(error: BaseException) -> None:
    """Anything else is raised at once, the same object, after one attempt."""
    trial = Trial(error)

    assert error is trial.fails()
    assert (1, []) == (trial.attempts, trial.pauses)


# -- when


def test_delays_grow_to_their_ceiling(longest: list[tuple[float, float]]) -> None:
    """Delay n lies between 0 and min(max_interval, initial_interval * multiplier**n)."""
    trial = Trial(*[ServerError("500") for _ in range(6)])
    trial.run(max_retries=6, initial_interval=0.5, max_interval=9.0, backoff_multiplier=3.0)

    assert [(0, 0.5), (0, 1.5), (0, 4.5), (0, 9.0), (0, 9.0), (0, 9.0)] == longest
    assert [0.5, 1.5, 4.5, 9.0, 9.0, 9.0] == trial.pauses


def test_a_power_beyond_all_numbers_is_the_ceiling(longest: list[tuple[float, float]]) -> None:
    """A multiplier whose power no float can hold gives `max_interval`."""
    trial = Trial(*[ServerError("500") for _ in range(3)])
    trial.run(backoff_multiplier=1e200)

    assert [1.0, 30.0, 30.0] == trial.pauses


def test_delays_are_spread_over_the_whole_range() -> None:
    """Full jitter: of many first delays some lie in each quarter, and none outside."""
    quarters = [0] * 4
    for _ in range(200):
        trial = Trial(ServerError("500"))
        trial.run(initial_interval=4.0)
        quarters[int(trial.pauses[0])] += 1

    assert min(quarters) > 0


@pytest.mark.parametrize(("told", "most"), [(0.0, 0.0), (0.2, 0.22), (2.0, 2.2), (30.0, 30.5)])
def test_a_retry_never_comes_earlier_than_told(told: float, most: float) -> None:
    """The provider's word replaces the backoff: the delay is what it asked, and a little more, by chance."""
    for _ in range(50):
        trial = Trial(RateLimited("429", retry_after=told))
        trial.run(initial_interval=100.0, max_interval=100.0)

        assert told <= trial.pauses[0] <= most + 1e-9


@pytest.mark.parametrize(("told", "attempts"), [(60.0, 2), (60.1, 1), (86400.0, 1)])
def test_too_long_a_wait_fails_at_once(told: float, attempts: int) -> None:
    """Told to wait longer than `max_retry_after`, the error comes at once: neither a long sleep nor an early retry."""
    error = RateLimited("429", retry_after=told)
    trial = Trial(error, error)
    failed = trial.fails(max_retries=1, max_retry_after=60.0)

    assert error is failed
    assert attempts == trial.attempts


def test_the_same_delays_for_other_retries(longest: list[tuple[float, float]]) -> None:
    """Whoever retries by himself asks for them: by the policy, by the server's word, or not at all."""
    policy = RetryPolicy(initial_interval=1.0, max_interval=3.0, max_retry_after=60.0)

    assert [1.0, 2.0, 3.0, 3.0] == [backoff(ServerError("500"), n, policy) for n in range(4)]
    assert 2.2 == backoff(RateLimited("429", retry_after=2.0), 0, policy)
    assert None is backoff(RateLimited("429", retry_after=60.1), 0, policy)


@pytest.mark.parametrize(("remaining", "attempts"), [(None, 2), (1.001, 2), (1.0, 1), (0.5, 1), (0.0, 1)])
def test_a_delay_that_would_pass_the_deadline_is_not_begun(
    longest: list[tuple[float, float]], remaining: float | None, attempts: int
) -> None:
    """Where less time is left than the delay takes, the error comes at once."""
    error = ServerError("500")
    trial = Trial(error, remaining=remaining)
    if attempts == 1:
        assert error is trial.fails()
    else:
        assert "answer" == trial.run()

    assert attempts == trial.attempts
    assert [1.0] * (attempts - 1) == trial.pauses


def test_the_deadline_is_asked_each_time(longest: list[tuple[float, float]]) -> None:
    """Earlier delays count: with 4 s left, delays of 1 and 2 s are begun, one of 4 s is not."""
    errors = [ServerError(str(number)) for number in range(5)]
    trial = Trial(*errors, remaining=4.0)

    assert errors[2] is trial.fails(max_retries=5)
    assert [1.0, 2.0] == trial.pauses


def test_a_cancel_ends_the_pause_and_the_retrying() -> None:
    """What `pause` raises comes through; no further attempt is made."""
    trial = Trial(ServerError("500"))

    def cancelled(seconds: float) -> None:
        raise Cancelled("cancelled: enough")

    trial.pause = cancelled  # type: ignore[method-assign]

    assert "cancelled: enough" == str(trial.fails())
    assert 1 == trial.attempts
    assert 1 == len(trial.told)


# -- the budget


def tokens(budget: RetryBudget) -> int:
    """Give what is left in a budget."""
    return budget._tokens


def test_retries_cost_and_a_success_gives_back() -> None:
    """A retry costs 5 tokens, after a time-out 10; the success that follows gives its last retry's cost back."""
    trial = Trial(ServerError("500"), ConnectTimeout("no connection"))
    trial.run()

    assert 500 - 5 - 10 + 10 == tokens(trial.budget)

    trial.run()

    assert 500 - 5 - 10 + 10 + 1 == tokens(trial.budget)


def test_failures_give_nothing_back() -> None:
    """A call that fails in the end has spent what its retries cost; one that is not retried costs nothing."""
    trial = Trial(*[ServerError("500")] * 4, BadRequest("400"))
    trial.fails()

    assert 500 - 3 * 5 == tokens(trial.budget)

    trial.failures[:] = [BadRequest("400")]
    trial.fails()

    assert 500 - 3 * 5 == tokens(trial.budget)


def test_a_delay_that_is_not_begun_costs_nothing() -> None:
    """Where the deadline or the server's word forbids the retry the budget is not touched."""
    trial = Trial(ServerError("500"), remaining=0.0)
    trial.fails()
    trial.failures[:] = [RateLimited("429", retry_after=1e6)]
    trial.fails()

    assert 500 == tokens(trial.budget)


def test_the_budget_is_never_more_than_full() -> None:
    """Successes do not save up beyond the capacity."""
    budget = RetryBudget()
    for spent in (0, 5, 0):
        budget.refill(spent)

    assert 500 == tokens(budget)


def test_a_dead_service_is_left_alone() -> None:
    """Calls that share a budget stop retrying when it is spent, and begin again as successes come."""
    budget = RetryBudget()
    attempts = 0
    for _ in range(60):
        trial = Trial(*[ServerError("500")] * 4, budget=budget)
        trial.fails(max_retries=3)
        attempts += trial.attempts

    assert 60 + 500 // 5 == attempts
    assert 0 == tokens(budget)

    for _ in range(4):
        Trial(budget=budget).run()
    trial = Trial(ServerError("500"), budget=budget)
    trial.fails()

    assert 1 == trial.attempts

    Trial(budget=budget).run()

    assert "answer" == Trial(ServerError("500"), budget=budget).run()


def test_threads_share_a_budget() -> None:
    """Taken by several threads at once, the budget gives no more than it has."""
    budget, barrier, costs = RetryBudget(), threading.Barrier(4), list[int]()

    def spend() -> None:
        barrier.wait(10)
        costs.extend([budget.take(ServerError("500")) for _ in range(50)])

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert [0] * 100 + [5] * 100 == sorted(costs)
    assert 0 == tokens(budget)


# -- the server's word


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock on the wall stands still at NOW."""

    class Time:
        time = staticmethod(lambda: NOW)

    monkeypatch.setattr(retry, "time", Time)


def at(seconds: float, form: Callable[[datetime], str]) -> str:
    """Give a date so many seconds from NOW."""
    return form(datetime.fromtimestamp(NOW, timezone.utc) + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "86400"}, 86400.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after-ms": "-1", "retry-after": "7"}, 7.0),
        ({"retry-after-ms": "", "retry-after": "7"}, 7.0),
        ({"retry-after-ms": at(9, lambda date: format_datetime(date, usegmt=True))}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": "7 seconds"}, None),
        ({"retry-after": "Thu, 99 Foo 2025 99:99:99 GMT"}, None),
        ({"retry-after": "Thu, 09 Oct 99999 08:53:29 GMT"}, None),
    ],
)
def test_retry_after_in_numbers(wall: None, headers: dict[str, str], seconds: float | None) -> None:
    """Milliseconds come before seconds; garbage, negatives, NaN and infinity are as if nothing had been said."""
    assert seconds == retry_after(headers)


@pytest.mark.parametrize(
    "form",
    [
        lambda date: format_datetime(date, usegmt=True),
        lambda date: date.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
        lambda date: date.strftime("%a %b %d %H:%M:%S %Y"),
        lambda date: format_datetime(date.astimezone(timezone(timedelta(hours=-5)))),
    ],
    ids=["IMF-fixdate", "RFC 850", "asctime", "with an offset"],
)
@pytest.mark.skipif(not hasattr(time, "tzset"), reason="this system cannot change its time zone")
@pytest.mark.parametrize("zone", ["UTC0", "EST5", "NZST-12"])
def test_retry_after_as_a_date(
    wall: None, monkeypatch: pytest.MonkeyPatch, form: Callable[[datetime], str], zone: str
) -> None:
    """Each of HTTP's three forms of a date is understood, as GMT, wherever this computer is; a past one is nothing."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        said = [retry_after({"retry-after": at(seconds, form)}) for seconds in (9, -9)]
    time.tzset()

    assert [9.0, None] == said


def test_a_date_by_the_real_clock() -> None:
    """A date half a minute from now means some thirty seconds."""
    seconds = retry_after({"retry-after": formatdate(time.time() + 30, usegmt=True)})

    assert seconds is not None
    assert 28 < seconds <= 30


@given(value=st.one_of(st.text(), st.floats().map(str), st.integers().map(str)), name=st.sampled_from(["-ms", ""]))
@PROPERTY
def test_whatever_a_server_says_gives_seconds_or_nothing(value: str, name: str) -> None:
    """Any text in a Retry-After header gives a finite number, 0 or more, or None; it never raises."""
    seconds = retry_after({"retry-after" + name: value})

    assert seconds is None or 0 <= seconds < math.inf


@pytest.mark.parametrize(
    ("status", "headers", "retryable"),
    [
        (429, {}, True),
        (529, {"x-should-retry": "perhaps"}, True),
        (400, {}, False),
        (501, {}, False),
        (429, {"x-should-retry": "false"}, False),
        (503, {"x-should-retry": " False "}, False),
        (400, {"x-should-retry": "true"}, True),
        (None, {}, False),
    ],
)
def test_the_server_says_whether(status: int | None, headers: dict[str, str], retryable: bool) -> None:
    """`x-should-retry` decides where it is given, else the policy's statuses do, whatever the class of the error."""
    error = ServerError("said no", status=status)
    note_headers(error, headers, RetryPolicy())

    assert (retryable, None) == (error.retryable, error.retry_after)


def test_the_policy_says_which_statuses() -> None:
    """`retry_on` replaces the default list."""
    error = ProviderError("said no", status=404)
    note_headers(error, {"retry-after": "3"}, RetryPolicy(retry_on=[404]))

    assert (True, 3.0) == (error.retryable, error.retry_after)
