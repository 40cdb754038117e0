"""Rate limits, on a clock of the test's own; and once against a server."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Iterator

import pytest

from streamkit import (
    Cancelled,
    ConfigError,
    Context,
    Hooks,
    RateLimit,
    RateLimited,
    RequestInfo,
    RetryInfo,
    RetryPolicy,
    ServerError,
    stream_parallel,
)
from streamkit.parallel.rate_limit import Pacer, estimated_tokens
from streamkit.types import ChatRequest, ChatResponse, Message, Usage
from streamkit.types.messages import ToolCallPart, ToolResultPart
from tests.echoing import EchoServer, echo


class Clock:
    """Stands still but for waits, which take no time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.ctx = Context()

    def pacer(self, requests: float | None = None, tokens: float | None = None) -> Pacer:
        """Give a pacer that goes by this clock."""
        return Pacer(requests, tokens, clock=lambda: self.now, wait=self.wait)

    def wait(self, ctx: Context, seconds: float) -> bool:
        """Let the time pass."""
        self.now += seconds
        return ctx.cancelled

    def times(self, pacer: Pacer, *tokens: float) -> list[float]:
        """Give when requests of so many tokens may go, in seconds from the beginning."""
        seen = []
        for amount in tokens:
            pacer.admit(amount, self.ctx)
            seen.append(self.now - 1000)
        return [round(moment, 6) for moment in seen]


def told(**fields: str) -> dict[str, str]:
    """Make OpenAI's headers for requests."""
    return {f"x-ratelimit-{name}-requests": value for name, value in fields.items()}


def used(total: int) -> ChatResponse:
    """Make an answer that took so many tokens."""
    return ChatResponse(total_usage=Usage(total_tokens=total, source="reported"))


# ---------------------------------------------------------------- the pace


def test_requests_are_spread_over_the_minute() -> None:
    """The first goes at once; no minute sees more than the limit."""
    clock = Clock()

    assert [0.0, 0.5, 1.0, 1.5] == clock.times(clock.pacer(requests=120), 1, 1, 1, 1)


def test_tokens_are_spread_too() -> None:
    """A request waits until those before it are paid for."""
    clock = Clock()

    assert [0.0, 10.0, 10.1, 10.2] == clock.times(clock.pacer(tokens=600), 100, 1, 1, 1)


def test_the_narrower_limit_counts() -> None:
    """Requests here, tokens there."""
    clock = Clock()

    assert [0.0, 1.0, 2.0, 12.0] == clock.times(clock.pacer(requests=60, tokens=600), 1, 1, 100, 1)


def test_without_limits_nobody_waits() -> None:
    """Until a provider says something."""
    clock = Clock()

    assert [0.0] * 3 == clock.times(clock.pacer(), 1, 1000, 1)


def test_time_that_was_not_used_is_not_saved() -> None:
    """After a pause the pace is as before: no burst."""
    clock = Clock()
    pacer = clock.pacer(requests=60)
    clock.times(pacer, 1)
    clock.now += 100

    assert [100.0, 101.0, 102.0] == clock.times(pacer, 1, 1, 1)


def test_usage_corrects_the_estimate() -> None:
    """An answer that took more makes the next wait longer, one that took less, shorter."""
    clock = Clock()
    pacer = clock.pacer(tokens=600)
    clock.times(pacer, 100)
    pacer.used(100, used(150))
    clock.times(pacer, 100)
    late = clock.now
    pacer.used(100, used(20))
    clock.times(pacer, 1)

    assert (1015.0, 1017.0) == (late, clock.now)


def test_an_answer_without_usage_is_estimated() -> None:
    """By its text, four characters a token."""
    clock = Clock()
    pacer = clock.pacer(tokens=600)
    clock.times(pacer, 10)
    pacer.used(10, ChatResponse(text="x" * 400))
    pacer.used(10, None)

    assert [11.0] == clock.times(pacer, 1)


def test_a_wait_ends_with_its_context() -> None:
    """And what it had reserved is given back."""
    clock = Clock()
    pacer = clock.pacer(requests=60)
    clock.times(pacer, 1)
    cancelled = Context()
    cancelled.cancel()
    with pytest.raises(Cancelled):
        pacer.admit(1, cancelled)

    assert [1.0] == clock.times(pacer, 1)


def test_a_real_wait_ends_at_once() -> None:
    """On the real clock, too."""
    pacer = RateLimit(requests_per_minute=0.001).pacer
    ctx = Context()
    pacer.admit(1, ctx)
    outcome: list[BaseException] = []

    def wait() -> None:
        try:
            pacer.admit(1, ctx)
        except Cancelled as error:
            outcome.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    ctx.cancel("enough")
    thread.join(5)

    assert ["cancelled: enough"] == [str(error) for error in outcome]


# ---------------------------------------------------------------- what providers say


def test_a_429_holds_everybody() -> None:
    """As long as the provider asks; then all go on at the old pace, in the old order."""
    clock = Clock()
    pacer = clock.pacer(requests=60)
    clock.times(pacer, 1)
    pacer.refused(RateLimited("no", retry_after=20.0))

    assert [21.0, 22.0] == clock.times(pacer, 1, 1)


def test_a_429_holds_those_that_wait_already() -> None:
    """Whoever had a moment reserved looks again when it comes."""
    clock = Clock()
    refused = []

    def wait(ctx: Context, seconds: float) -> bool:
        clock.now += seconds
        if not refused:
            refused.append(True)
            pacer.refused(RateLimited("no", retry_after=30.0))
        return False

    pacer = Pacer(60, clock=lambda: clock.now, wait=wait)

    assert [0.0, 31.0, 32.0] == clock.times(pacer, 1, 1, 1)


def test_holds_do_not_add_up() -> None:
    """Eight threads that are refused together wait once."""
    clock = Clock()
    pacer = clock.pacer(requests=60)
    clock.times(pacer, 1)
    for _ in range(8):
        pacer.refused(RateLimited("no", retry_after=20.0))
    pacer.refused(RateLimited("no", retry_after=5.0))

    assert [21.0] == clock.times(pacer, 1)


@pytest.mark.parametrize(
    ("error", "delay", "until"),
    [
        (RateLimited("no"), 3.0, 3.0),
        (RateLimited("no"), None, 0.0),
        (RateLimited("no", retry_after=86400.0), 3.0, 0.0),
        (ServerError("no", retry_after=9.0), 3.0, 0.0),
    ],
    ids=["the client's delay", "none", "a day", "another error"],
)
def test_what_does_not_ask_everybody_to_wait(error: Exception, delay: float | None, until: float) -> None:
    """Without a word of the provider the client's own delay counts; nobody waits for a day."""
    clock = Clock()
    pacer = clock.pacer()
    pacer.refused(error, delay)  # type: ignore[arg-type]  # all of the family

    assert [until] == clock.times(pacer, 1)


def test_headers_lower_the_limit() -> None:
    """The provider's own, where it is below the user's; never the other way."""
    clock = Clock()
    pacer = clock.pacer(requests=600)
    pacer.answered(told(limit="60", remaining="59", reset="1s"))
    lowered = clock.times(pacer, 1, 1)
    pacer.answered(told(limit="6000", remaining="5999", reset="1s"))

    assert [0.0, 1.0] == lowered
    assert [2.0, 3.0] == clock.times(pacer, 1, 1)


def test_a_limit_of_an_unknown_window_lowers_nothing() -> None:
    """It may be one of a second."""
    clock = Clock()
    pacer = clock.pacer()
    pacer.answered({"x-ratelimit-limit": "10", "x-ratelimit-remaining": "9", "x-ratelimit-reset": "1"})

    assert [0.0, 0.0] == clock.times(pacer, 1, 1)


def test_little_left_is_spread_until_the_reset() -> None:
    """Ten requests for the next twenty seconds: one every two; after that the old pace."""
    clock = Clock()
    pacer = clock.pacer()
    pacer.answered(told(remaining="10", reset="20s"))

    assert [0.0, 2.0, 4.0] == clock.times(pacer, 1, 1, 1)

    clock.now = 1020.0

    assert [20.0, 20.0] == clock.times(pacer, 1, 1)


def test_nothing_left_holds_everybody() -> None:
    """Until the reset."""
    clock = Clock()
    pacer = clock.pacer()
    pacer.answered(told(limit="60", remaining="0", reset="12s"))

    assert [12.0, 13.0] == clock.times(pacer, 1, 1)


def test_a_limit_of_a_day_is_left_to_the_provider() -> None:
    """Nobody waits for hours without a word."""
    clock = Clock()
    pacer = clock.pacer()
    pacer.answered(told(limit="1000", remaining="0", reset="8h"))

    assert [0.0, 0.0] == clock.times(pacer, 1, 1)


def test_tokens_left_are_spread_too() -> None:
    """By the tokens of each request."""
    clock = Clock()
    pacer = clock.pacer()
    pacer.answered({"x-ratelimit-remaining-tokens": "1000", "x-ratelimit-reset-tokens": "10s"})

    assert [0.0, 1.0] == clock.times(pacer, 100, 1)


# ---------------------------------------------------------------- RateLimit


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), "60"])
def test_a_limit_must_be_above_zero(wrong: float) -> None:
    """None stands for none."""
    with pytest.raises(ConfigError, match="tokens_per_minute"):
        RateLimit(tokens_per_minute=wrong)


def test_a_rate_limit_is_a_value() -> None:
    """Two that say the same are equal, but each keeps its own pace; a pickled one begins anew."""
    one, other = RateLimit(requests_per_minute=60), RateLimit(requests_per_minute=60)

    assert one == other == pickle.loads(pickle.dumps(one))
    assert one.pacer is not other.pacer
    assert "RateLimit(requests_per_minute=60, tokens_per_minute=None)" == repr(one)


def test_the_estimate_counts_all_text() -> None:
    """Of messages, calls and results."""
    messages = (
        Message(role="user", content="x" * 40),
        Message(role="assistant", content=[ToolCallPart(id="1", name="f", input="y" * 40)]),
        Message(role="tool", content=[ToolResultPart(tool_call_id="1", output="z" * 40)]),
    )

    assert 31 == estimated_tokens(ChatRequest(model="m", messages=messages))


def test_a_limit_is_shared_by_runs() -> None:
    """Two runs together keep to it, on the real clock."""
    limit = RateLimit(requests_per_minute=1200)  # one every 0.05 s
    with EchoServer() as server, server.client() as client:
        began = time.monotonic()
        runs = [stream_parallel(client, ["a", "b", "c"], model="m", rate_limit=limit) for _ in range(2)]
        for run in runs:
            run.result()
        took = time.monotonic() - began

    assert took >= 5 * 0.05


def test_a_run_learns_from_headers() -> None:
    """What the first answer says slows the others down."""
    headers = told(limit="100", remaining="4", reset="400ms")
    limit = RateLimit()
    with EchoServer(headers=headers) as server, server.client() as client:
        began = time.monotonic()
        stream_parallel(client, ["a", "b", "c"], model="m", max_workers=1, rate_limit=limit).result()
        took = time.monotonic() - began

    assert took >= 0.1


def test_a_refusal_that_is_tried_again_holds_the_others() -> None:
    """While the client waits to try again, no other thread asks."""
    policy = RetryPolicy(max_retries=1, initial_interval=0.0)
    limit = RateLimit()
    with EchoServer() as server, server.client() as client:
        template = client.chat("m").retry_policy(policy)
        items = list(stream_parallel(template, ["limit"], rate_limit=limit))
        limit.pacer.hold(0.2)
        began = time.monotonic()
        stream_parallel(template, ["a"], rate_limit=limit).result()
        took = time.monotonic() - began

    assert isinstance(items[0].error, RateLimited)
    assert took >= 0.15


def test_without_a_limit_headers_are_not_heeded() -> None:
    """A run that nobody asked to pace goes as fast as it can."""
    clock = Clock()
    pacer = Pacer(heeds_headers=False, clock=lambda: clock.now, wait=clock.wait)
    pacer.answered(told(limit="60", remaining="0", reset="12s"))

    assert [0.0, 0.0] == clock.times(pacer, 1, 1)


@pytest.mark.parametrize("limit", [None, RateLimit()])
def test_a_429_makes_all_wait(limit: RateLimit | None) -> None:
    """While one is told to try again later, no other thread asks; also where nothing else is paced."""
    refused, moments = threading.Event(), {}

    def retried(info: RetryInfo) -> None:
        moments["refused"] = time.monotonic()
        refused.set()

    def asked(info: RequestInfo) -> None:
        moments["asked"] = time.monotonic()

    def prompts() -> Iterator[str]:
        yield "busy"
        refused.wait()
        yield "b"

    with EchoServer() as server, server.client() as client:
        chat = client.chat("m").hooks(Hooks(on_retry=retried, on_request=asked))
        texts = stream_parallel(chat, prompts(), rate_limit=limit).texts()

    assert [echo("busy"), echo("b")] == texts
    assert moments["asked"] - moments["refused"] >= 0.28  # the hold begins a moment before or after the hook


def test_a_cancel_ends_the_wait_for_a_turn() -> None:
    """The item carries Cancelled and was never sent."""
    limit = RateLimit(requests_per_minute=0.01)
    with EchoServer() as server, server.client() as client:
        with stream_parallel(client, ["a", "b"], model="m", rate_limit=limit) as run:
            next(iter(run))
        errors = [type(item.error) for item in run]
        asked = server.asked

    assert [type(None), Cancelled] == errors
    assert 1 == asked.total()
