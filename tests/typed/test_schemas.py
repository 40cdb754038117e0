"""Schemas from types, and types from schemas; what is made is what OpenAI's strict mode takes."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from typing import Annotated, Any, Literal, TypedDict

import attrs
import pytest

from streamkit.errors import ConfigError
from streamkit.partial_json import PartialJSON
from streamkit.schema import offences
from streamkit.schema_rules import OPENAI_STRICT
from streamkit.typed import Mismatch, json_schema, of_schema, typed


class Color(enum.Enum):
    """An enum."""

    RED = "red"
    GREEN = "green"


@attrs.define
class Section:
    """A section.

    Attributes:
        title: Its title.
    """

    title: str
    points: list[str] = attrs.field(factory=list, metadata={"description": "In short."})


@dataclasses.dataclass
class Doc:
    """A document.

    Args:
        lead: What it begins with.
    """

    name: Annotated[str, "Its name."]
    sections: list[Section]
    n: int | None = None
    color: Color = Color.RED
    kind: Literal["a", "b"] = "a"
    day: datetime.date | None = None
    tags: set[str] = dataclasses.field(default_factory=set)
    kids: list[Doc] = dataclasses.field(default_factory=list)
    lead: Section | None = None
    first: Annotated[Section, "The first."] | None = None
    main: Section = dataclasses.field(default_factory=lambda: Section(""), metadata={"description": "The main one."})


class Card(TypedDict, total=False):
    """A card."""

    name: str
    doc: Doc


@pytest.mark.parametrize("cls", [Doc, Section, Card])
def test_plain_classes_are_strict(cls: Any) -> None:
    """Nested, optional, in lists, recursive: OpenAI's strict mode has nothing against them."""
    assert [] == list(offences(json_schema(typed(cls)), OPENAI_STRICT))


def test_the_schema_of_a_class() -> None:
    """Objects are closed, all members are asked for, texts come from docstrings and annotations."""
    expected = {
        "type": "object",
        "description": "A section.",
        "properties": {
            "title": {"type": "string", "description": "Its title."},
            "points": {"type": "array", "items": {"type": "string"}, "description": "In short."},
        },
        "required": ["title", "points"],
        "additionalProperties": False,
    }

    assert expected == json_schema(typed(Section))


def test_references() -> None:
    """The root says itself what it is; it is among the definitions only where it is referred to."""
    schema = json_schema(typed(Doc))
    main = {"anyOf": [{"$ref": "#/$defs/Section"}], "description": "The main one."}

    assert ["Doc", "Section"] == sorted(schema["$defs"])
    assert main == schema["properties"]["main"]
    assert {**schema["$defs"]["Doc"], "$defs": schema["$defs"]} == schema
    assert "$defs" not in json_schema(typed(Section))
    assert ["Section"] == list(json_schema(typed(list[Section]))["$defs"])


SCHEMA = {
    "type": "object",
    "properties": {"items": {"$ref": "#/$defs/list"}, "name": {"type": "string"}},
    "required": ["name"],
    "$defs": {"list": {"type": "array", "items": {"$ref": "#/$defs/item"}}, "item": {"type": "integer"}},
}


def test_a_schema_of_the_users() -> None:
    """Values are checked against it, and stay what they are."""
    kind = of_schema(SCHEMA)
    value = {"name": "x", "items": [1]}

    assert value is kind.whole(value, "$")
    assert SCHEMA == json_schema(kind)
    with pytest.raises(Mismatch, match=r"^\$\.items\[0\]: must be integer, not 'a'$"):
        kind.whole({"name": "x", "items": ["a"]}, "$")


def test_partial_values_of_a_schema() -> None:
    """JSON as it is: what has not come is absent."""
    parser = PartialJSON(of_schema(SCHEMA))
    parser.feed('{"items": [1, 2, ')

    assert {"items": [1, 2]} == parser.value()


def test_items_of_a_list_schema() -> None:
    """They are checked as parts of the whole schema, references on the way followed."""
    of_list = of_schema({"$ref": "#/$defs/list", "$defs": SCHEMA["$defs"]})

    assert [] == of_list.missing()
    assert 1 == of_list.item().whole(1, "$[0]")
    with pytest.raises(Mismatch, match=r"^\$\[0\]: must be integer, not 'a'$"):
        of_list.item().whole("a", "$[0]")


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "object"}, {}),
        ({"type": "string"}, None),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, None),
        ({"$ref": "https://example.com/a"}, None),
        ({"type": ["array", "null"]}, None),
    ],
)
def test_what_of_a_schema_has_not_begun(schema: dict[str, Any], expected: object) -> None:
    """Empty where it can only be an object or a list; references in a circle say nothing."""
    assert expected == of_schema(schema).missing()
    assert [1] == of_schema(schema).item().whole([1], "$")


def test_what_is_no_schema() -> None:
    """It is refused with the path."""
    with pytest.raises(ConfigError, match=r"^\$\.properties\.a\.type: 'text' is no type"):
        of_schema({"properties": {"a": {"type": "text"}}})


def test_a_schema_that_is_a_reference() -> None:
    """It stands as it was given: what it refers to, it has itself."""
    schema = {"$ref": "#/$defs/A", "$defs": {"A": {"type": "integer"}}}

    assert schema == json_schema(of_schema(schema))
