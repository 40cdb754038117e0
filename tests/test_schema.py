"""JSON Schemas before they are sent: what is wrong with them, and where."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.errors import ConfigError
from streamkit.schema import check_schema, offences
from streamkit.schema_rules import OPENAI_STRICT, StrictRules
from tests.strategies import PROPERTY


def closed(**properties: Any) -> dict[str, Any]:
    """An object of these properties, as strict mode wants it."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def within(depth: int, inner: dict[str, Any]) -> dict[str, Any]:
    """A schema in this many objects."""
    for _ in range(depth):
        inner = closed(a=inner)
    return inner


TEXT = {"type": "string"}
TREE = {
    **closed(root={"$ref": "#/$defs/node"}),
    "$defs": {"node": closed(name=TEXT, children={"type": "array", "items": {"$ref": "#/$defs/node"}})},
}


# -- well formed


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": ["string", "null"]},
        {"type": "array", "items": True},
        {"type": "array", "items": [TEXT, {"type": "number"}]},
        {"enum": ["a", 1, None]},
        {"x-ours": 5, "format": "anything", "minimum": 3, "default": {"type": "no schema"}, "const": {"type": 5}},
        {"properties": {"type": TEXT, "required": TEXT, "$ref": TEXT, "enum": TEXT}},
        {"properties": {"a": {"$ref": "#/definitions/b~1c~0%20d"}}, "definitions": {"b/c~ d": {}}},
        {"anyOf": [{"type": "null"}, {"$ref": "#"}, {"$ref": "#/anyOf/0"}]},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#anchor"},
        {"required": ["a"], "properties": {}},
        TREE,
        dict.fromkeys("ab", TEXT),
    ],
    ids=str,
)
def test_what_is_well_formed(schema: dict[str, Any]) -> None:
    """What JSON Schema allows passes; what it does not know is left alone."""
    assert [] == list(offences(schema))


LOOP: dict[str, Any] = {"type": "object"}
LOOP["properties"] = {"self": LOOP}


@pytest.mark.parametrize(
    ("schema", "offence"),
    [
        (None, "$: must be an object, not NoneType: give a JSON Schema"),
        ([], "$: must be an object, not list"),
        ("string", "$: must be an object, not 'string'"),
        ({"type": "text"}, "$.type: 'text' is no type: use one of array, boolean"),
        ({"type": "STRING"}, "$.type: 'STRING' is no type"),
        ({"type": []}, "$.type: list is no type"),
        ({"type": None}, "$.type: NoneType is no type"),
        ({"type": ["string", 5]}, "$.type: 5 is no type"),
        ({"properties": []}, "$.properties: must be an object of schemas by name, not list"),
        ({"properties": {"a": 5}}, "$.properties.a: must be a schema, an object, not 5"),
        ({"properties": {"a": None}}, "$.properties.a: must be a schema"),
        ({"properties": {5: {}}}, "$.properties: has a name that is no str"),
        ({5: "x"}, "$: has a key that is no str"),
        ({"properties": {"a": {"items": {"type": "x"}}}}, "$.properties.a.items.type: 'x' is no type"),
        ({"items": [TEXT, {"type": "x"}]}, "$.items[1].type: 'x' is no type"),
        ({"anyOf": [TEXT, {"not": {"type": "x"}}]}, "$.anyOf[1].not.type: 'x' is no type"),
        ({"$defs": {"a.b": {"type": "x"}}}, "$.$defs[\"a.b\"].type: 'x' is no type"),
        ({"properties": {"\x1b": {"type": "x"}}}, '$.properties["\\\\x1b"].type'),
        ({"properties": {"größe": {"type": "x"}}}, "$.properties.größe.type"),
        ({"anyOf": []}, "$.anyOf: must be a list, of one at least, not an empty one"),
        ({"allOf": {"type": "string"}}, "$.allOf: must be a list, of one at least, not dict"),
        ({"enum": []}, "$.enum: must be a list"),
        ({"enum": "ab"}, "$.enum: must be a list, of one at least, not 'ab'"),
        ({"required": "a"}, "$.required: must be a list of property names"),
        ({"required": [5]}, "$.required: must be a list of property names"),
        ({"required": True}, "$.required: must be a list of property names"),
        ({"$ref": 5}, "$.$ref: must be a str"),
        ({"$ref": "#/$defs/a"}, "$.$ref: '#/$defs/a' refers to nothing"),
        ({"$ref": "#/type/a", "type": "object"}, "$.$ref: '#/type/a' refers to nothing"),
        ({"$ref": "#/anyOf/7", "anyOf": [{}]}, "$.$ref: '#/anyOf/7' refers to nothing"),
        (LOOP, "$.properties.self: is a Python object that contains itself: use $ref"),
        (within(101, TEXT), "is nested more than 100 schemas deep: make it flatter"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_malformed(schema: Any, offence: str) -> None:
    """What no reader of JSON Schema would take is told with its path, whatever the rules."""
    for rules in (None, OPENAI_STRICT):
        with pytest.raises(ConfigError) as caught:
            check_schema(schema, rules)

        assert offence in str(caught.value)


def test_one_object_in_two_places() -> None:
    """A schema that stands in two places is no circle."""
    assert [] == list(offences(closed(a=TEXT, b=closed(c=TEXT)), OPENAI_STRICT))


# -- strict


@pytest.mark.parametrize(
    "schema",
    [
        closed(),
        {"type": "object", "additionalProperties": False},
        closed(a={"type": ["string", "null"]}, b={"enum": ["x", "y"]}, c={"const": 5}),
        closed(a={"type": "array", "items": closed(b={"type": "string", "format": "date-time"}), "minItems": 7}),
        closed(a={"anyOf": [TEXT, closed(b={"type": "number", "minimum": 3})]}),
        closed(a={"$ref": "#"}),
        TREE,
        within(10, TEXT),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_strict_mode_takes(schema: dict[str, Any]) -> None:
    """Closed objects whose every property is required pass, nested and recursive ones too."""
    assert [] == list(offences(schema, OPENAI_STRICT))


OPEN = {"type": "object", "properties": {"a": TEXT}, "required": ["a"]}


@pytest.mark.parametrize(
    ("schema", "offence"),
    [
        (TEXT, "$: must be of type object"),
        ({"anyOf": [closed()], **closed()}, "$: must be of type object, without anyOf"),
        (OPEN, '$: must have "additionalProperties": false: add it'),
        ({**OPEN, "additionalProperties": True}, '$: must have "additionalProperties": false'),
        ({**OPEN, "additionalProperties": TEXT}, '$: must have "additionalProperties": false'),
        (closed(items={"type": "array", "items": OPEN}), "$.properties.items.items: must have"),
        (closed(a={"anyOf": [{"type": "null"}, OPEN]}), "$.properties.a.anyOf[1]: must have"),
        ({**closed(), "$defs": {"x": OPEN}}, "$.$defs.x: must have"),
        (closed(a={"type": ["object", "null"]}), "$.properties.a: must have"),
        ({**closed(a=TEXT, b=TEXT), "required": ["a"]}, "$: must name every property in required, and 'b' is not"),
        ({**closed(a=TEXT), "required": ["a", "z"]}, "$.required: names 'z', which is not in properties"),
        (closed(a={"allOf": [TEXT]}), "$.properties.a.allOf: is not supported: leave it out"),
        (
            closed(a={"type": "string", "format": "uri"}),
            "$.properties.a.format: 'uri' is not supported: use one of date",
        ),
        (closed(a={}), "$.properties.a: must say what it is: give it a type"),
        (closed(a={"description": "any"}), "$.properties.a: must say what it is"),
        (closed(a=True), "$.properties.a: must say what it is"),
        (closed(a={"type": "array"}), "$.properties.a: is an array without items"),
        (closed(a={"$ref": "other.json"}), "$.properties.a.$ref: 'other.json' refers outside the schema: put"),
        (closed(a={"$ref": "#", "description": "d"}), "$.properties.a: may have no description beside $ref"),
        (within(11, TEXT), "is 11 objects deep: 10 is the most"),
        (closed(**{f"p{i}": TEXT for i in range(5001)}), "$: has 5001 properties: 5000 is the most"),
        (closed(a={"enum": list(range(600))}, b={"enum": list(range(600))}), "$: has 1200 enum values: 1000"),
        (closed(a={"const": "x" * 120_000}), "$: has 120001 characters of names and enum values"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_strict_mode_refuses(schema: dict[str, Any], offence: str) -> None:
    """What breaks a rule is told with its path, and passes where there are no rules."""
    with pytest.raises(ConfigError) as caught:
        check_schema(schema, OPENAI_STRICT)

    assert offence in str(caught.value)
    check_schema(schema)


DEMANDING = StrictRules(recursion=False, largest_min_items=1)


@pytest.mark.parametrize(
    ("schema", "offence"),
    [
        (TREE, "$.$defs.node.properties.children.items: refers to a schema that it is part of"),
        (closed(a={"$ref": "#"}), "$.properties.a: refers to a schema that it is part of"),
        (
            {
                **closed(x={"$ref": "#/$defs/a"}),
                "$defs": {"a": closed(b={"$ref": "#/$defs/b"}), "b": closed(a={"$ref": "#/$defs/a"})},
            },
            "$.$defs.a.properties.b: refers to a schema that it is part of",
        ),
        (closed(a={"type": "array", "items": TEXT, "minItems": 2}), "$.properties.a.minItems: 2 is above 1"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_rules_of_more_demanding_apis(schema: dict[str, Any], offence: str) -> None:
    """Recursion and long lists can be ruled out; OpenAI takes both."""
    assert offence in "\n".join(offences(schema, DEMANDING))
    assert [] == list(offences(schema, OPENAI_STRICT))


def test_references_that_come_back_to_nothing_of_theirs() -> None:
    """One definition used twice, and by another one, is no recursion."""
    schema = {
        **closed(x={"$ref": "#/$defs/a"}, y={"$ref": "#/$defs/a"}, z={"$ref": "#/$defs/b"}),
        "$defs": {"a": closed(b={"$ref": "#/$defs/b"}), "b": TEXT},
    }

    assert [] == list(offences(schema, DEMANDING))


def test_a_rule_that_is_relaxed() -> None:
    """Each rule is data: an API that demands less says so."""
    relaxed = StrictRules(
        unsupported=frozenset(), formats=None, object_root=False, all_required=False, lone_refs=False, properties=None,
        depth=None, enum_values=None, characters=None,
    )  # fmt: skip
    schema = {
        "anyOf": [
            {**closed(a={"allOf": [TEXT], "format": "uri"}, b=TEXT), "required": []},
            {"$ref": "#/anyOf/0", "description": "d"},
            within(11, {"enum": list(range(2000))}),
        ]
    }

    assert [] == list(offences(schema, relaxed))
    assert 4 <= len(list(offences(schema, OPENAI_STRICT)))


_KEYWORDS = ["type", "properties", "items", "required", "anyOf", "$ref", "$defs", "enum", "const", "a", "minItems",
             "additionalProperties", "allOf", "format"]  # fmt: skip
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["object", "array", "string", "#", "#/$defs/a", "#/properties/a", "a", "\ud83d"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYWORDS), inner, max_size=5),
    max_leaves=20,
)


@PROPERTY
@given(_VALUES)
def test_anything_is_judged(schema: Any) -> None:
    """Whatever is given for a schema, it is judged, in printable words that begin with a path."""
    for rules in (None, OPENAI_STRICT, DEMANDING):
        for offence in offences(schema, rules):
            assert offence.startswith("$")
            assert ": " in offence
            assert offence.isprintable()


@PROPERTY
@given(_VALUES)
def test_rules_only_add(schema: Any) -> None:
    """What is malformed is so under any rules, and nothing else is then told."""
    plain = list(offences(schema))

    assert not plain or plain == list(offences(schema, OPENAI_STRICT))
