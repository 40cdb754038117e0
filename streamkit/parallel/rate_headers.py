"""What providers say of their rate limits in the headers of an answer. Pure: the time of day is told.

Read on 2026-11-21 in the documentation of OpenAI (Groq, Azure, Fireworks and others send the same names), Anthropic,
Mistral, Cerebras and Together, and in the IETF draft "RateLimit header fields for HTTP".
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime

from streamkit import lazy_attrs as attrs

__all__ = ["Quota", "read_quotas"]


@attrs.frozen(kw_only=True)
class Quota:
    """One limit: how much it allows in all, what is left of it, and in how many seconds it is whole again."""

    limit: float | None
    remaining: float
    reset: float
    by_minute: bool = True
    """Whether `limit` is what a minute allows, by the provider's documentation; else its window is not known."""


_Names = tuple[str, str, str]

_REQUESTS: tuple[_Names, ...] = (
    ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    (
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ),
    ("x-ratelimit-limit-req-minute", "x-ratelimit-remaining-req-minute", "x-ratelimit-reset-req-minute"),
    ("x-ratelimit-limit-requests-minute", "x-ratelimit-remaining-requests-minute", "x-ratelimit-reset-requests-minute"),
    ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
    ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"),
)
_TOKENS: tuple[_Names, ...] = (
    ("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    (
        "anthropic-ratelimit-input-tokens-limit",
        "anthropic-ratelimit-input-tokens-remaining",
        "anthropic-ratelimit-input-tokens-reset",
    ),
    (
        "anthropic-ratelimit-output-tokens-limit",
        "anthropic-ratelimit-output-tokens-remaining",
        "anthropic-ratelimit-output-tokens-reset",
    ),
    ("x-ratelimit-limit-tokens-minute", "x-ratelimit-remaining-tokens-minute", "x-ratelimit-reset-tokens-minute"),
    ("ratelimitbysize-limit", "ratelimitbysize-remaining", "ratelimitbysize-reset"),
    ("x-tokenlimit-limit", "x-tokenlimit-remaining", "x-tokenlimit-reset"),
)
_OF_ANY_WINDOW = ("x-ratelimit-limit", "ratelimit-limit", "x-tokenlimit-limit")

_MINUTE = 60.0
"""Seconds until a limit is whole again, where the provider does not say."""
_EPOCH = 1e9
"""A number as large as this is a moment (in seconds since 1970), not a number of seconds from now."""
_UNITS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|d|h|m|s)")
_FRACTION = re.compile(r"\.\d+")


def read_quotas(headers: Mapping[str, str], now: float) -> tuple[Quota | None, Quota | None]:
    """Give the tightest limit of requests, and of tokens, that an answer's headers tell; None where they tell none.

    `now` is the time of day in seconds since 1970, for resets that are told as a moment.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    return _tightest(_REQUESTS, lower, now), _tightest(_TOKENS, lower, now)


def _tightest(families: tuple[_Names, ...], headers: Mapping[str, str], now: float) -> Quota | None:
    """What is left counts as a share of its limit, so that limits of input and of output can be compared."""
    found = [quota for names in families if (quota := _quota(names, headers, now)) is not None]
    return min(found, key=lambda quota: quota.remaining / quota.limit if quota.limit else 0.0, default=None)


def _quota(names: _Names, headers: Mapping[str, str], now: float) -> Quota | None:
    limit, remaining = (_number(headers.get(name, "")) for name in names[:2])
    if remaining is None:
        return None
    reset = _seconds(headers.get(names[2], ""), now)
    return Quota(
        limit=limit,
        remaining=remaining,
        reset=_MINUTE if reset is None else reset,
        by_minute=names[0] not in _OF_ANY_WINDOW,
    )


def _number(text: str) -> float | None:
    """The first number, as in "100, 100;w=60"; None for what is none, or negative."""
    try:
        number = float(re.split("[,;]", text)[0])
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None


def _seconds(text: str, now: float) -> float | None:
    """Seconds from now, of "6m0s", "20ms", "12.5", a moment since 1970 (also in milliseconds), or an RFC 3339 date."""
    text = text.strip()
    number = _number(text)
    if number is not None:
        if number >= _EPOCH * 1000:
            number /= 1000
        return max(0.0, number - now) if number >= _EPOCH else number
    spans = _SPAN.findall(text)
    if spans and "".join(map("".join, spans)) == text:
        return sum(float(amount) * _UNITS[unit] for amount, unit in spans)
    try:
        # Python 3.10 reads neither Z nor just any number of digits after the second.
        moment = datetime.fromisoformat(_FRACTION.sub("", text).replace("Z", "+00:00").replace("z", "+00:00"))
        return max(0.0, moment.timestamp() - now)
    except (ValueError, OverflowError):
        return None
