"""Usage: what an answer cost, in tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from streamkit import lazy_attrs as attrs

__all__ = ["Usage", "count"]


def count(value: object) -> int | None:
    """Give a token count that a provider sent, or None where it is no count (NaN, negative, a bool, a text)."""
    if type(value) is int and 0 <= value < 2**63:
        return value
    if type(value) is float and 0 <= value < 2**63 and value == int(value):
        return int(value)
    return None


@attrs.frozen(kw_only=True)
class Usage:
    """Token counts of one answer; `a + b` sums.

    `reasoning_tokens` are part of `completion_tokens`; `cache_read_tokens` and `cache_write_tokens` part of
    `prompt_tokens`. `raw` is the provider's own object. Counts are never invented: where the provider said nothing
    they are 0 and `source` is "unknown".
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    reasoning_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    raw: Mapping[str, Any] = attrs.field(factory=dict)
    source: Literal["reported", "unknown"] = "unknown"

    def __add__(self, other: Usage) -> Usage:
        """Sum the counts; `raw` is the later one's; the sum is reported if anything in it was."""
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            total_tokens=self.total_tokens + other.total_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            raw=other.raw or self.raw,
            source="reported" if "reported" in (self.source, other.source) else "unknown",
        )
