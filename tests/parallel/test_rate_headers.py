"""Rate-limit headers as providers send them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from streamkit.parallel.rate_headers import Quota, read_quotas

NOW = 1_700_000_000.0  # 2023-11-14T22:13:20Z

OPENAI = {
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-limit-tokens": "150000",
    "x-ratelimit-remaining-requests": "59",
    "x-ratelimit-remaining-tokens": "149984",
    "x-ratelimit-reset-requests": "1s",
    "x-ratelimit-reset-tokens": "6m0s",
}
GROQ = {
    "X-RateLimit-Limit-Requests": "14400",
    "X-RateLimit-Limit-Tokens": "18000",
    "X-RateLimit-Remaining-Requests": "14370",
    "X-RateLimit-Remaining-Tokens": "17997",
    "X-RateLimit-Reset-Requests": "2m59.56s",
    "X-RateLimit-Reset-Tokens": "7.66s",
}
ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2023-11-14T22:13:21Z",
    "anthropic-ratelimit-tokens-limit": "40000",
    "anthropic-ratelimit-tokens-remaining": "39000",
    "anthropic-ratelimit-tokens-reset": "2023-11-14T22:13:30Z",
    "anthropic-ratelimit-input-tokens-limit": "32000",
    "anthropic-ratelimit-input-tokens-remaining": "32000",
    "anthropic-ratelimit-input-tokens-reset": "2023-11-14T22:13:20Z",
    "anthropic-ratelimit-output-tokens-limit": "8000",
    "anthropic-ratelimit-output-tokens-remaining": "1000",
    "anthropic-ratelimit-output-tokens-reset": "2023-11-14T22:14:12.5Z",
}
AZURE = {"x-ratelimit-remaining-requests": "9", "x-ratelimit-remaining-tokens": "9000"}
MISTRAL = {
    "x-ratelimit-limit-req-minute": "100",
    "x-ratelimit-remaining-req-minute": "99",
    "x-ratelimit-limit-tokens-minute": "500000",
    "x-ratelimit-remaining-tokens-minute": "499000",
}
CEREBRAS = {
    "x-ratelimit-limit-requests-day": "14400",
    "x-ratelimit-limit-tokens-minute": "60000",
    "x-ratelimit-remaining-requests-day": "14399",
    "x-ratelimit-remaining-tokens-minute": "59000",
    "x-ratelimit-reset-requests-day": "33011.4",
    "x-ratelimit-reset-tokens-minute": "11.4",
}
OPENROUTER = {
    "X-RateLimit-Limit": "20",
    "X-RateLimit-Remaining": "3",
    "X-RateLimit-Reset": "1700000030000",
}
DRAFT = {"RateLimit-Limit": "100, 100;w=60", "RateLimit-Remaining": "50", "RateLimit-Reset": "30"}


@pytest.mark.parametrize(
    ("headers", "requests", "tokens"),
    [
        (OPENAI, (60, 59, 1), (150000, 149984, 360)),
        (GROQ, (14400, 14370, 179.56), (18000, 17997, 7.66)),
        (ANTHROPIC, (50, 49, 1), (8000, 1000, 52)),
        (AZURE, (None, 9, 60), (None, 9000, 60)),
        (MISTRAL, (100, 99, 60), (500000, 499000, 60)),
        (CEREBRAS, None, (60000, 59000, 11.4)),
        (OPENROUTER, (20, 3, 30), None),
        (DRAFT, (100, 50, 30), None),
        ({}, None, None),
        ({"content-type": "text/event-stream"}, None, None),
    ],
    ids=["openai", "groq", "anthropic", "azure", "mistral", "cerebras", "openrouter", "draft", "none", "other"],
)
def test_quotas(
    headers: Mapping[str, str], requests: tuple[float, ...] | None, tokens: tuple[float, ...] | None
) -> None:
    """Limit, rest and seconds to its reset; of several limits of tokens the one of which least is left."""
    found = [
        quota and (quota.limit, quota.remaining, pytest.approx(quota.reset)) for quota in read_quotas(headers, NOW)
    ]

    assert [requests, tokens] == found


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20ms", 0.02),
        ("1h2m3s", 3723.0),
        ("1d", 86400.0),
        ("500us", 0.0005),
        ("12", 12.0),
        ("0", 0.0),
        ("1700000010", 10.0),
        ("1699999999", 0.0),
        ("2023-11-14T23:13:30+01:00", 10.0),
        ("2023-11-14T22:13:10Z", 0.0),
        ("soon", 60.0),
        ("", 60.0),
        ("-5", 60.0),
        ("nan", 60.0),
        ("1s and a bit", 60.0),
    ],
)
def test_resets(text: str, seconds: float) -> None:
    """In all their forms; what cannot be read counts as a minute."""
    headers = {"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": text}
    quota, _ = read_quotas(headers, NOW)

    assert quota is not None
    assert pytest.approx(seconds) == quota.reset


@pytest.mark.parametrize("text", ["", "many", "-1", "nan", "inf"])
def test_a_rest_that_is_no_number_tells_nothing(text: str) -> None:
    """Then there is no quota."""
    assert (None, None) == read_quotas({"x-ratelimit-remaining-requests": text}, NOW)


def test_a_limit_of_an_unknown_window_is_marked() -> None:
    """The names without a window may be of a second or a day."""
    marks = [read_quotas(headers, NOW)[0] for headers in (OPENAI, OPENROUTER, DRAFT)]

    assert [True, False, False] == [isinstance(quota, Quota) and quota.by_minute for quota in marks]
