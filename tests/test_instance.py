"""Values against JSON Schemas: each keyword, the path of what offends, and jsonschema as the judge."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.errors import printable
from streamkit.instance import Mismatch, check_instance, path_to, shown
from tests.strategies import PROPERTY


def offence(value: Any, schema: Any, **more: Any) -> str | None:
    """Give what is wrong with a value, as text; None where it fits."""
    try:
        check_instance(value, schema, **more)
    except Mismatch as e:
        return str(e)
    return None


FITTING: list[tuple[Any, Any]] = [
    (1, True),
    (None, {"type": "null"}),
    (1.0, {"type": "integer"}),
    (1, {"type": "number"}),
    ("x", {"type": ["integer", "string"]}),
    (1.0, {"enum": [1]}),
    ([{"a": 1.0}], {"const": [{"a": 1}]}),
    (3, {"minimum": 3, "maximum": 3, "exclusiveMinimum": 2, "exclusiveMaximum": 4}),
    ("text", {"minimum": 3}),
    (0.3, {"multipleOf": 0.1}),
    (10**400, {"multipleOf": 0.5}),
    (10**400, {"multipleOf": 10}),
    (7, {"multipleOf": 0}),
    ("äöü", {"minLength": 3, "maxLength": 3, "pattern": "ö"}),
    ("x", {"pattern": r"\p{L}"}),
    ([1, True, 1.5, [1], [True], {"a": 1}, {"a": True}], {"uniqueItems": True}),
    ([1, 1], {"uniqueItems": False}),
    ([1, "a", "b"], {"prefixItems": [{"type": "integer"}], "items": {"type": "string"}}),
    ([1, "a"], {"items": [{"type": "integer"}], "additionalItems": {"type": "string"}}),
    ([1, "a"], {"contains": {"type": "string"}, "maxContains": 1}),
    ([], {"contains": True, "minContains": 0}),
    ({"a": 1, "x-b": "c"}, {"properties": {"a": {}}, "patternProperties": {"^x-": {}}, "additionalProperties": False}),
    ({"a": 1}, {"dependentRequired": {"b": ["c"]}, "dependencies": {"b": ["c"]}}),
    ({"ab": 1}, {"propertyNames": {"maxLength": 2}, "minProperties": 1, "maxProperties": 1}),
    (5, {"if": {"minimum": 3}, "then": {"maximum": 5}, "else": False}),
    ([[[]]], {"type": "array", "items": {"$ref": "#"}}),
    (1, {"$ref": "#"}),
    (1, {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
    (1, {"$ref": "https://example.com/other"}),
    (1, {"$ref": "#anchor", "type": "integer"}),
    (1, {"minimum": "none", "unknown": 3}),
]


@pytest.mark.parametrize(("value", "schema"), FITTING)
def test_what_fits(value: Any, schema: Any) -> None:
    """JSON has one kind of number, true is not 1, a limit is for what it limits, unknown keywords for nothing."""
    assert offence(value, schema) is None


OFFENDING: list[tuple[Any, Any, str]] = [
    (1, False, "$: must not be there"),
    (True, {"type": "integer"}, "$: must be integer, not True"),
    (1.5, {"type": ["integer", "null"]}, "$: must be integer or null, not 1.5"),
    (True, {"enum": [1, "a"]}, "$: must be one of 1, 'a', not True"),
    (2, {"const": 1}, "$: must be 1, not 2"),
    (2, {"minimum": 3}, "$: must be at least 3, not 2"),
    (4, {"maximum": 3}, "$: must be at most 3, not 4"),
    (3, {"exclusiveMinimum": 3}, "$: must be above 3, not 3"),
    (3, {"exclusiveMaximum": 3}, "$: must be below 3, not 3"),
    (0.35, {"multipleOf": 0.1}, "$: must be a multiple of 0.1, not 0.35"),
    (float("inf"), {"multipleOf": 2}, "$: must be a multiple of 2, not inf"),
    ("ab", {"minLength": 3}, "$: must have at least 3 characters"),
    ("ab", {"maxLength": 1}, "$: must have at most 1 characters"),
    ("ab", {"pattern": "^b"}, "$: must match ^b, not 'ab'"),
    ([1, 2, 1.0], {"uniqueItems": True}, "$[2]: is there twice: 1.0"),
    ([{"a": [1]}, {"a": [1]}], {"uniqueItems": True}, "$[1]: is there twice: {'a': [1]}"),
    ([], {"minItems": 1}, "$: must have at least 1 items"),
    ([1, 2], {"maxItems": 1}, "$: must have at most 1 items"),
    ([1, 2], {"prefixItems": [{}], "items": False}, "$[1]: must not be there"),
    ([1, 2], {"items": [{}], "additionalItems": False}, "$[1]: must not be there"),
    ([1], {"contains": {"type": "string"}}, "$: holds 0 items of a kind of which there must be 1 to inf"),
    ({"a": 1}, {"required": ["a", "b c"]}, "$['b c']: is missing"),
    ({"a": [{"b": 1}]}, {"properties": {"a": {"items": {"required": ["c"]}}}}, "$.a[0].c: is missing"),
    ({"x-a": 1}, {"patternProperties": {"^x": {"type": "null"}}}, "$['x-a']: must be null, not 1"),
    ({"b": 1}, {"properties": {"a": {}}, "additionalProperties": False}, "$.b: is unknown: there may be a"),
    ({"b": 1}, {"additionalProperties": {"type": "null"}}, "$.b: must be null, not 1"),
    ({"ab": 1}, {"propertyNames": {"maxLength": 1}}, "$.ab: must have at most 1 characters"),
    ({}, {"minProperties": 1}, "$: must have at least 1 members"),
    ({"a": 1}, {"maxProperties": 0}, "$: must have at most 0 members"),
    ({"a": 1}, {"dependentRequired": {"a": ["b"]}}, "$.b: is missing"),
    ({"a": 1}, {"dependencies": {"a": ["b"]}}, "$.b: is missing"),
    ({"a": 1}, {"dependentSchemas": {"a": {"required": ["b"]}}}, "$.b: is missing"),
    (1, {"allOf": [{}, {"minimum": 2}]}, "$: must be at least 2, not 1"),
    (1, {"anyOf": [{"type": "null"}, {"minimum": 2}]}, "$: must be null, not 1 or must be at least 2, not 1"),
    ({"a": 1}, {"anyOf": [{"type": "null"}, {"properties": {"a": {"type": "null"}}}]}, "$.a: must be null, not 1"),
    (1, {"oneOf": [{"type": "null"}]}, "$: must be null, not 1"),
    (1, {"oneOf": [{}, {}]}, "$: fits 2 of the schemas of which it must fit one"),
    (1, {"not": {"type": "integer"}}, "$: is what it must not be"),
    (6, {"if": {"minimum": 3}, "then": {"maximum": 5}}, "$: must be at most 5, not 6"),
    (1, {"if": {"minimum": 3}, "else": {"type": "null"}}, "$: must be null, not 1"),
    ({"n": {"n": 1}}, {"$ref": "#/$defs/t", "$defs": {"t": {"type": "object", "properties": {"n": {"$ref": "#"}}}}},
     "$.n.n: must be object, not 1"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "schema", "expected"), OFFENDING)
def test_what_offends(value: Any, schema: Any, expected: str) -> None:
    """The first offence is told with its path and what was there."""
    assert expected == offence(value, schema)


def test_a_part_of_a_schema() -> None:
    """References of a part lead into the whole, and the path goes on from where the part's value stands."""
    root = {"$defs": {"a": {"type": "string"}}}

    assert "$[3]: must be string, not 1" == offence(1, {"$ref": "#/$defs/a"}, path="$[3]", root=root)


def test_nesting_has_a_bound() -> None:
    """A value nested deeper than Python can follow is refused, not crashed over."""
    value: Any = None
    for _ in range(100_000):
        value = [value]

    assert "$: is nested too deeply to be checked" == offence(value, {"items": {"$ref": "#"}})


@pytest.mark.slow
def test_unique_items_cost_linear_time() -> None:
    """Ten thousand different items are checked at once, rather than each against each."""
    assert offence([{"id": i} for i in range(10_000)], {"uniqueItems": True}) is None


def test_paths_and_values_are_safe_to_show() -> None:
    """Whatever a model wrote is shown bounded, and without control characters."""
    assert "$.a['b-c'][0]" == path_to(path_to(path_to("$", "a"), "b-c"), 0)
    assert "\x1b" not in path_to("$", "\x1b[2J") and len(path_to("$", "x-" * 500)) < 100
    assert "'x\\x1b'" == shown("x\x1b")
    assert "list [0, 0" == shown([0] * 1000)[:10] and len(shown([0] * 1000)) < 100
    assert "str 'xxx" == shown("x" * 1000)[:8]


@pytest.mark.parametrize("value", [[], {}, [1, [None], {"a": {"b": True}, "c": 1.5}], "it's", {"a": [], "b\n": "c"}])
def test_short_values_are_shown_as_they_are(value: Any) -> None:
    """As Python writes them."""
    assert printable(repr(value)) == shown(value)


def test_showing_a_value_costs_what_is_shown() -> None:
    """However large or deep it is."""
    value: Any = "x" * 10**7
    for _ in range(100_000):
        value = [value]

    assert f"list {'[' * 60}…" == shown(value)


names = st.sampled_from("abcx")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 5) | st.sampled_from([0.0, 1.0, 1.5, "", "a", "ab", "x1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
types = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])


def schemas_of(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Schemas of a few keywords, with these schemas in them."""
    some, count = st.lists(inner, min_size=1, max_size=2), st.integers(0, 2)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": types | st.lists(types, min_size=1, max_size=2, unique=True),
            "enum": st.lists(json_values, min_size=1, max_size=3),
            "const": json_values,
            "required": st.lists(names, max_size=2, unique=True),
            "properties": st.dictionaries(names, inner, max_size=2),
            "additionalProperties": inner,
            "patternProperties": st.dictionaries(st.sampled_from(["^a|x", "b"]), inner, max_size=1),
            "propertyNames": inner,
            "prefixItems": some,
            "items": inner,
            "contains": inner,
            "minContains": count,
            "maxContains": count,
            "uniqueItems": st.booleans(),
            "anyOf": some,
            "oneOf": some,
            "allOf": some,
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
            "dependentRequired": st.dictionaries(names, st.lists(names, max_size=1), max_size=1),
            "dependentSchemas": st.dictionaries(names, inner, max_size=1),
            "$ref": st.sampled_from(["#/$defs/a", "#/$defs/b"]),
            **{f"{limit}{of}": count for limit in ("min", "max") for of in ("Items", "Length", "Properties")},
            **{limit: st.sampled_from([0, 1, 1.5]) for limit in ("minimum", "maximum")},
            **{limit: st.sampled_from([0, 1, 1.5]) for limit in ("exclusiveMinimum", "exclusiveMaximum")},
            "multipleOf": st.sampled_from([2, 0.5]),
            "pattern": st.sampled_from(["a", "^x", "1$"]),
        },
    )  # fmt: skip


schemas = st.recursive(st.booleans() | schemas_of(st.booleans()), schemas_of, max_leaves=4).filter(
    lambda schema: isinstance(schema, dict)
)


@PROPERTY
@given(json_values, schemas)
def test_jsonschema_judges_alike(value: Any, schema: dict[str, Any]) -> None:
    """What fits is what the reference implementation finds valid."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = {**schema, "$defs": {"a": {"type": "object"}, "b": {"enum": [1, "a"]}}}

    assert jsonschema.Draft202012Validator(schema).is_valid(value) == (offence(value, schema) is None)
