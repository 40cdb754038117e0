"""The knobs of a client: when to retry, how long to wait, how much to take."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

from streamkit import lazy_attrs as attrs
from streamkit.errors import ConfigError

__all__ = ["Limits", "RetryPolicy", "Timeouts"]


def _not_negative(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is None and attribute.default is not None and type(instance) is RetryPolicy:
        raise ConfigError(f"RetryPolicy({attribute.name}=None): give a number; there is no unlimited retrying")
    if value is not None and not (isinstance(value, (int, float)) and value >= 0):  # also refuses NaN
        raise ConfigError(f"{type(instance).__name__}({attribute.name}={value!r}): must be a number, 0 or more")


def _whole(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, int):
        raise ConfigError(f"{type(instance).__name__}({attribute.name}={value!r}): must be a whole number, 0 or more")


def _statuses(given: Sequence[int]) -> tuple[int, ...]:
    statuses = tuple(given) if isinstance(given, Iterable) else (None,)
    if not all(isinstance(status, int) for status in statuses):
        raise ConfigError(f"RetryPolicy(retry_on={given!r}): must be HTTP statuses, as in (429, 503)")
    return statuses


def _or_no_limit(seconds: float | None) -> float | None:
    """Give None for what no clock can wait for: infinity, or some centuries."""
    return None if isinstance(seconds, (int, float)) and seconds > threading.TIMEOUT_MAX else seconds


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """When and how often to open again: `max_retries` times after the first attempt.

    The delay before retry n (from 0) is random between 0 and
    min(max_interval, initial_interval * backoff_multiplier**n) seconds ("full jitter", so that calls refused together
    do not come back together), unless the provider says how long to wait. `retry_on` are HTTP statuses; connection
    failures and timeouts before the answer are retried too. A Retry-After beyond `max_retry_after` seconds fails at
    once.
    """

    max_retries: int = attrs.field(default=3, validator=[_not_negative, _whole])
    initial_interval: float = attrs.field(default=1.0, validator=_not_negative)
    max_interval: float = attrs.field(default=30.0, validator=_not_negative)
    backoff_multiplier: float = attrs.field(default=2.0, validator=_not_negative)
    retry_on: Sequence[int] = attrs.field(default=(408, 409, 429, 500, 502, 503, 504, 529), converter=_statuses)
    max_retry_after: float = attrs.field(default=60.0, validator=_not_negative)


@attrs.frozen(kw_only=True)
class Timeouts:
    """Five clocks, in seconds; None means no limit.

    `connect`: one attempt to connect. `idle`: silence on the wire, headers included; any byte resets it.
    `first_chunk`: from `get_stream` to the first chunk, over all attempts. `stall`: between chunks; keep-alives do not
    reset it, and it does not run while the producer waits for a slow reader. `total`: everything; nothing resets it.
    """

    connect: float | None = attrs.field(default=10.0, converter=_or_no_limit, validator=_not_negative)
    idle: float | None = attrs.field(default=300.0, converter=_or_no_limit, validator=_not_negative)
    first_chunk: float | None = attrs.field(default=600.0, converter=_or_no_limit, validator=_not_negative)
    stall: float | None = attrs.field(default=600.0, converter=_or_no_limit, validator=_not_negative)
    total: float | None = attrs.field(default=None, converter=_or_no_limit, validator=_not_negative)


@attrs.frozen(kw_only=True)
class Limits:
    """Bytes, beyond which a stream ends in `ResponseTooLarge`; None means no limit.

    `event`: one event, after decompression. `response`: the whole body after decompression. `headers`: of one answer.
    `error_body`: read from an error answer; the rest is ignored, it does not raise.
    """

    event: int | None = attrs.field(default=32 * 2**20, validator=_not_negative)
    response: int | None = attrs.field(default=256 * 2**20, validator=_not_negative)
    headers: int | None = attrs.field(default=64 * 2**10, validator=_not_negative)
    error_body: int | None = attrs.field(default=64 * 2**10, validator=_not_negative)
