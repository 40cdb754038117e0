"""Usage: counts that are counts, and their sum."""

from __future__ import annotations

from typing import Any

import pytest

from streamkit.types import Usage
from streamkit.types.usage import count


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (7, 7),
        (7.0, 7),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        (10**400, None),
        (-1, None),
        (7.5, None),
        (-0.5, None),
        (float("nan"), None),
        (float("inf"), None),
        (float("-inf"), None),
        (True, None),
        ("7", None),
        (None, None),
        ([7], None),
    ],
)
def test_what_is_a_count(value: Any, expected: int | None) -> None:
    """A whole number that is not negative; nothing else, however much it looks like one."""
    assert expected == count(value)
    assert expected is None or type(count(value)) is int


def test_the_sum() -> None:
    """All counts are added; the later report stays readable; a sum with anything reported in it is reported."""
    one = Usage(
        prompt_tokens=1,
        completion_tokens=2,
        total_tokens=3,
        reasoning_tokens=4,
        cache_read_tokens=5,
        cache_write_tokens=6,
        raw={"a": 1},
        source="reported",
    )

    assert Usage() == Usage() + Usage()
    assert one == one + Usage() == Usage() + one
    assert (2, 4, 6, 8, 10, 12) == (
        (one + one).prompt_tokens,
        (one + one).completion_tokens,
        (one + one).total_tokens,
        (one + one).reasoning_tokens,
        (one + one).cache_read_tokens,
        (one + one).cache_write_tokens,
    )
    assert {"b": 2} == (one + Usage(raw={"b": 2})).raw
