"""What is not so by default."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from streamkit.types.defaults import differs


@attrs.frozen(kw_only=True)
class Thing:
    """Something with defaults of both kinds, and without."""

    needed: int
    plain: int = 1
    made: list[int] = attrs.field(factory=list)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("needed", 0, True),
        ("plain", 1, False),
        ("plain", 2, True),
        ("made", [], False),
        ("made", [1], True),
    ],
)
def test_a_value_is_compared_with_its_default(name: str, value: Any, expected: bool) -> None:
    """Also with one that is made; what has none is always told."""
    assert expected is differs(attrs.fields_dict(Thing)[name], value)
