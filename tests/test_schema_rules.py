"""The rules of OpenAI's strict mode, each by itself."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from streamkit.schema import offences
from streamkit.schema_rules import OPENAI_STRICT
from tests.test_schema import TEXT, closed, within


@pytest.mark.parametrize(
    ("rule", "relaxed", "schema"),
    [
        ("unsupported", frozenset(), closed(a={"type": "array", "items": TEXT, "uniqueItems": True})),
        ("formats", None, closed(a={**TEXT, "format": "uri"})),
        ("object_root", False, {"anyOf": [closed(a=TEXT)]}),
        ("all_required", False, {**closed(a=TEXT), "required": []}),
        ("lone_refs", False, {**closed(a={"$ref": "#/$defs/b", "title": "b"}), "$defs": {"b": TEXT}}),
        ("properties", None, closed(**{f"p{at}": TEXT for at in range(5001)})),
        ("depth", None, within(11, TEXT)),
        ("enum_values", None, closed(a={"enum": list(range(1001))})),
        ("characters", None, closed(a={"const": "a" * 120_001})),
    ],
)
def test_a_rule(rule: str, relaxed: Any, schema: dict[str, Any]) -> None:
    """What breaks only this one is refused by it, and by nothing else."""
    rules = attrs.evolve(OPENAI_STRICT, **{rule: relaxed})

    assert 1 == len(list(offences(schema, OPENAI_STRICT)))
    assert [] == list(offences(schema, rules))


@pytest.mark.parametrize(
    ("rule", "stricter", "schema"),
    [
        ("recursion", False, closed(a={"anyOf": [{"$ref": "#"}, {"type": "null"}]})),
        ("largest_min_items", 1, closed(a={"type": "array", "items": TEXT, "minItems": 2})),
    ],
)
def test_a_rule_that_openai_does_not_have(rule: str, stricter: Any, schema: dict[str, Any]) -> None:
    """What other services demand besides."""
    rules = attrs.evolve(OPENAI_STRICT, **{rule: stricter})

    assert [] == list(offences(schema, OPENAI_STRICT))
    assert 1 == len(list(offences(schema, rules)))
