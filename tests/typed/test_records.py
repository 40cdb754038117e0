"""Classes as JSON objects: what is checked, what is made of a beginning, and what pydantic does itself."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar

import attrs
import pytest

from streamkit.errors import ConfigError
from streamkit.partial_json import PartialJSON
from streamkit.schema import offences
from streamkit.schema_rules import OPENAI_STRICT
from streamkit.typed import Mismatch, json_schema, typed, typed_arguments

if sys.version_info < (3, 11):
    from typing_extensions import NamedTuple, TypedDict  # generic ones


@attrs.frozen
class Section:
    """A section."""

    title: str
    _points: list[str] = attrs.field(factory=list)
    words: int = attrs.field(default=0, init=False)


Chapter = Section
T = TypeVar("T")
U = TypeVar("U")


@attrs.define
class Box(Generic[T]):
    """Of any type."""

    value: T
    more: list[T | None] = attrs.field(factory=list)


@attrs.define(kw_only=True)
class Numbers(Box[int]):
    """Of one type."""

    name: str


@attrs.define(kw_only=True)
class Swapped(Box[U], Generic[T, U]):
    """What its parent calls T is the second here."""

    other: T


@dataclasses.dataclass
class Tree(Generic[T]):
    """Contains itself."""

    leaf: T
    kids: list[Tree[T]]


class Tagged(TypedDict, Generic[T]):
    """A TypedDict."""

    tag: T


class Labelled(Tagged[int], Generic[T]):
    """One more member, of another type by the same name."""

    label: T


class Couple(NamedTuple, Generic[T]):
    """A named tuple."""

    a: T
    b: T


def positive(instance: object, attribute: object, value: int) -> None:
    """Validate; a partial value would not pass."""
    if value <= 0:
        raise ValueError("must be positive\x1b")


@attrs.define
class Doc:
    """A document with all kinds of members."""

    name: str = attrs.field(converter=str.strip)
    sections: list[Section]
    lead: Section | None = None
    pages: int = attrs.field(default=1, validator=positive)
    kids: list[Doc] = attrs.field(factory=list)


@dataclasses.dataclass(frozen=True)
class Point:
    """A point."""

    x: int
    y: int = 2

    def __post_init__(self) -> None:
        """Not for partial values."""
        if self.x >= 100:
            raise ValueError


class Pair(NamedTuple):
    """A pair."""

    a: int
    b: list[int] = []  # noqa: RUF012


class Card(TypedDict, total=False):
    """A card."""

    name: str
    points: list[Point]


@attrs.define
class Holder:
    """Holds one of each."""

    point: Point
    pair: Pair
    card: Card


def made(cls: Any, text: str) -> Any:
    """Give what a class makes of the beginning of a text."""
    parser = PartialJSON(typed(cls))
    parser.feed(text)
    return parser.value()


def refusal(cls: Any, value: object) -> str:
    """Give why a class refuses a value."""
    with pytest.raises(Mismatch) as caught:
        typed(cls).whole(value, "$")
    return str(caught.value)


def test_whole_values() -> None:
    """Classes are made with their own converters and defaults; members are classes, too."""
    value = {"name": " d ", "sections": [{"title": "t", "points": ["p"]}], "kids": [{"name": "k", "sections": []}]}
    expected = Doc(name="d", sections=[Section("t", ["p"])], kids=[Doc("k", [])])

    assert expected == typed(Doc).whole(value, "$")
    assert Holder(Point(1), Pair(3, [4]), {"points": [Point(1, 5)]}) == typed(Holder).whole(
        {"point": {"x": 1}, "pair": {"a": 3, "b": [4]}, "card": {"points": [{"x": 1, "y": 5}]}}, "$"
    )


@pytest.mark.parametrize(
    ("cls", "value", "expected"),
    [
        (Doc, [], "$: must be an object, not []"),
        (Doc, {"sections": []}, "$.name: is missing"),
        (Doc, {"name": "d", "sections": [{"title": 3}]}, "$.sections[0].title: must be string, not 3"),
        (Doc, {"name": "d", "sections": [], "z": 1}, "$.z: is unknown: Doc has name, sections, lead, pages, kids"),
        (Doc, {"name": "d", "sections": [], "lead": {"title": 1}}, "$.lead.title: must be string, not 1"),
        (Doc, {"name": "d", "sections": [], "pages": 0}, "$: must be positive\\x1b"),
        (Doc, {"name": "d", "sections": [], "kids": [{}]}, "$.kids[0].name: is missing"),
        (Section, {"title": "t", "words": 1}, "$.words: is unknown: Section has title, points"),
        (Point, {"x": 100}, "$: ValueError"),
        (Card, {"points": [{}]}, "$.points[0].x: is missing"),
    ],
)
def test_what_is_refused(cls: Any, value: object, expected: str) -> None:
    """The path leads to the member; what a class says itself against its values is shown, bounded."""
    assert expected == refusal(cls, value)


@pytest.mark.parametrize(
    ("text", "name", "sections", "lead", "pages"),
    [
        ('{"name": "', "", [], None, None),
        ('{"name": " d', " d", [], None, None),
        ('{"name": "d", "pages": 0, ', "d", [], None, 0),
        ('{"name": "d", "pages": "x", ', "d", [], None, None),
        ('{"name": "d", "sections": "none"', "d", [], None, None),
        ('{"name": "d", "lead": "none"', "d", [], None, None),
        ('{"name": 5, "sections": [{"title": "t", "points": ["p', None, [("t", ["p"])], None, None),
        ('{"name": "d", "lead": {"title": "t"}', "d", [], ("t", []), None),
        ('{"name": "d", "unknown": [1, 2, 3], "lead": {"', "d", [], (None, []), None),
    ],
)
def test_partial_values(text: str, name: Any, sections: list[Any], lead: Any, pages: Any) -> None:
    """They are of their class, without validator or converter; what is missing is None or empty; what is wrong, too."""
    doc = made(Doc, text)

    assert type(doc) is Doc
    assert (name, pages, []) == (doc.name, doc.pages, doc.kids)
    assert sections == [(section.title, section._points) for section in doc.sections]
    assert lead == (doc.lead and (doc.lead.title, doc.lead._points))
    assert all(type(section) is Section and section.words is None for section in doc.sections)


def test_partial_values_of_other_classes() -> None:
    """Dataclasses skip `__post_init__`; named tuples are tuples; of a TypedDict what has not come is absent."""
    early = made(Holder, '{"point": {"x": 500, "y": ')
    late = made(Holder, '{"point": {"x": 1}, "pair": {"b": [1, 2], "a": 7}, "card": {"points": [{"y": 3}')

    assert (500, None, None, {}) == (early.point.x, early.point.y, early.pair, early.card)
    assert (Pair, 7, [1, 2]) == (type(late.pair), late.pair.a, late.pair.b)
    assert (["points"], Point, 3) == (list(late.card), type(late.card["points"][0]), late.card["points"][0].y)


def test_a_closed_value_is_made_once() -> None:
    """Partial objects share what has closed."""
    parser = PartialJSON(typed(Doc))
    parser.feed('{"sections": [{"title": "t"}')
    first = parser.value()
    parser.feed(', {"title": "u')

    assert first.sections[0] is parser.value().sections[0]
    assert [1, 2] == [len(first.sections), len(parser.value().sections)]


def test_a_class_that_cannot_be_made_empty() -> None:
    """A class whose `__new__` wants arguments has no partial values."""

    @attrs.define
    class Odd:
        """Wants its member early."""

        x: int

        def __new__(cls, x: int) -> Odd:
            """Make."""
            return super().__new__(cls)

    assert made(Odd, '{"x": 1, ') is None
    assert 1 == typed(Odd).whole({"x": 1}, "$").x


@pytest.mark.parametrize(
    ("cls", "value", "expected"),
    [
        (Box[int], {"value": 1, "more": [2, None]}, Box(1, [2, None])),
        (Box[Point], {"value": {"x": 1, "y": 2}, "more": []}, Box(Point(1))),
        (Box[Box[str]], {"value": {"value": "a", "more": []}, "more": []}, Box(Box("a"))),
        (Box[int | None], {"value": None, "more": []}, Box(None)),
        (Numbers, {"value": 1, "more": [], "name": "n"}, Numbers(1, name="n")),
        (Swapped[str, int], {"value": 1, "more": [], "other": "a"}, Swapped(1, other="a")),
        (Tree[int], {"leaf": 1, "kids": [{"leaf": 2, "kids": []}]}, Tree(1, [Tree(2, [])])),
        (Tagged[int], {"tag": 1}, {"tag": 1}),
        (Labelled[str], {"tag": 1, "label": "a"}, {"tag": 1, "label": "a"}),
        (Couple[Point], {"a": {"x": 1, "y": 2}, "b": {"x": 2, "y": 2}}, Couple(Point(1), Point(2))),
    ],
)
def test_generic_classes(cls: Any, value: object, expected: object) -> None:
    """With their arguments they are classes like any other: the types of their members are those given."""
    early = made(cls, json.dumps(value))

    assert [] == list(offences(json_schema(typed(cls)), OPENAI_STRICT))
    assert expected == typed(cls).whole(value, "$")
    assert (expected, type(expected)) == (early, type(early))


@pytest.mark.parametrize(
    ("cls", "value", "expected"),
    [
        (Box[int], {"value": "a"}, "$.value: must be integer, not 'a'"),
        (Box[int], {"value": 1, "more": ["a"]}, "$.more[0]: must be integer, not 'a' or must be null, not 'a'"),
        (Numbers, {"value": "a", "name": "n"}, "$.value: must be integer, not 'a'"),
        (Swapped[str, int], {"value": "a", "other": "a"}, "$.value: must be integer, not 'a'"),
        (Tree[int], {"leaf": 1, "kids": [{"leaf": "a", "kids": []}]}, "$.kids[0].leaf: must be integer, not 'a'"),
        (Labelled[str], {"tag": "a", "label": "a"}, "$.tag: must be integer, not 'a'"),
    ],
)
def test_what_a_generic_class_refuses(cls: Any, value: object, expected: str) -> None:
    """What is not of its arguments' types, also in what it has from its parents, and in itself."""
    assert expected == refusal(cls, value)


def test_a_generic_class_by_itself() -> None:
    """Its members may be of any type, and each set of arguments has a definition of its own."""
    schema = json_schema(typed(tuple[Box[int], Box[str], Box, Tree[list[int]]]))  # type: ignore[type-arg]

    assert Box([1]) == typed(Box).whole({"value": [1]}, "$")
    assert ["Box_int", "Box_str", "Box", "Tree_list_int"] == list(schema["$defs"])


def test_what_only_the_constructor_takes() -> None:
    """An `InitVar` is asked for and checked; a partial value does without, as it is not stored."""

    def add(self: Any, more: int) -> None:
        self.sum = self.x + more

    fields = [("x", int), ("more", dataclasses.InitVar[int]), ("sum", int, dataclasses.field(init=False))]
    cls: Any = dataclasses.make_dataclass("Sum", fields, namespace={"__post_init__": add})

    assert ["x", "more"] == json_schema(typed(cls))["required"]
    assert 5 == typed(cls).whole({"x": 2, "more": 3}, "$").sum
    assert "$.more: must be integer, not 'a'" == refusal(cls, {"x": 2, "more": "a"})
    assert "$.more: is missing" == refusal(cls, {"x": 2})
    assert (2, None) == (made(cls, '{"x": 2, "more": 3}').x, made(cls, '{"x": 2, "more": 3}').sum)


def test_dataclasses_of_pydantic() -> None:
    """Their fields' descriptions, aliases and defaults are read; values are checked by pydantic."""
    pydantic = pytest.importorskip("pydantic")
    field = pydantic.Field

    @pydantic.dataclasses.dataclass
    class Room:
        size: int = field(gt=3, description="In metres.")
        name: str = field(default="x", alias="title")

    schema = json_schema(typed(Room))

    assert {"type": "integer", "description": "In metres."} == schema["properties"]["size"]
    assert ["size", "title"] == schema["required"]
    assert Room(size=4, title="a") == typed(Room).whole({"size": 4, "title": "a"}, "$")
    assert "x" == typed(Room).whole({"size": 4}, "$").name
    assert "$.size: is missing" == refusal(Room, {})
    assert "greater than 3" in refusal(Room, {"size": 3})
    assert "a" == made(Room, '{"title": "a"}').name


def test_generic_models_of_pydantic() -> None:
    """They say themselves what they are with their arguments; a class around one hands its own on."""
    pydantic = pytest.importorskip("pydantic")

    class Crate(pydantic.BaseModel, Generic[T]):  # type: ignore[misc, name-defined]
        value: T

    @attrs.define
    class Around(Generic[U]):
        crate: Crate[U]

    assert Around(Crate[int](value=1)) == typed(Around[int]).whole({"crate": {"value": 1}}, "$")
    assert 1 == made(Crate[int], '{"value": 1,').value
    assert refusal(Around[int], {"crate": {"value": "a"}}).startswith("$.crate.value: Input should be a valid integer")


def test_pydantic_models() -> None:
    """They check their values themselves, in their own words, and know members that we do not."""
    pydantic = pytest.importorskip("pydantic")

    class Item(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        name: str = pydantic.Field(alias="the name", min_length=2)
        path: Any = None
        website: pydantic.HttpUrl | None = None

    class Order(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        items: list[Item]
        note: str = "none"
        main: Item | None = None

        def model_post_init(self, context: object) -> None:
            """Not for partial values."""
            assert self.note.strip()

        @pydantic.field_validator("note")
        @classmethod
        def check(cls, note: str) -> str:
            """Fail in a manner of its own."""
            if note == "key":
                raise KeyError(note)
            return note

    whole = typed(Order).whole({"items": [{"the name": "ab"}]}, "$")
    early, late = made(Order, '{"note": "n'), made(Order, '{"items": [{"the name": "a", "website": "http://x.y"}, {"')

    assert Order(items=[Item(**{"the name": "ab"})]) == whole
    assert "$.items[0]['the name']: String should have at least 2 characters" == refusal(
        Order, {"items": [{"the name": "a"}]}
    )
    assert "$: 'key'" == refusal(Order, {"items": [], "note": "key"})
    assert (Order, "n", [], None) == (type(early), early.note, early.items, early.main)
    assert [("a", "http://x.y"), (None, None)] == [(item.name, item.website) for item in late.items]
    assert [None] == made(Order, '{"items": ["x"]').items


def test_schemas_of_pydantic_models() -> None:
    """Pydantic writes them; in OpenAI's strict manner where all members are asked for, and without clashes of names."""
    pydantic = pytest.importorskip("pydantic")

    class Section(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        title: str = pydantic.Field("t", description="Its title", pattern="^t")
        kids: list[Section] = []  # noqa: RUF012
        default: int = 5

    @attrs.define
    class Both:
        """Has classes of one name."""

        mine: list[Chapter]
        theirs: Section

    schema = json_schema(typed(Both))

    assert [] == list(offences(schema, OPENAI_STRICT)) == list(offences(json_schema(typed(Section)), OPENAI_STRICT))
    assert "A section." == schema["$defs"]["Section"]["description"]
    assert {"type": "string", "description": "Its title", "pattern": "^t", "title": "Title"} == json_schema(
        typed(Section)
    )["$defs"]["Section.Section"]["properties"]["title"]
    assert "#/$defs/Section2.Section" in json.dumps(schema)


def test_a_pydantic_model_in_a_tool_and_in_a_class() -> None:
    """For a tool pydantic's schema is as it is; in a class it is referred to, once for all."""
    pydantic = pytest.importorskip("pydantic")

    class Item(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        size: int = pydantic.Field(5, ge=0)

    class Order(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        first: Item = pydantic.Field(description="The first.")

    @attrs.define
    class Orders:
        """Refers to one twice."""

        one: Order
        two: Order

    def buy(item: Item) -> None:
        raise NotImplementedError

    arguments, _ = typed_arguments(buy, hidden=bytes)
    schema = json_schema(typed(Orders))

    assert {"default": 5, "minimum": 0, "title": "Size", "type": "integer"} == arguments.schema["$defs"]["Item"][
        "properties"
    ]["size"]
    assert {"item": Item(size=3)} == arguments.read({"item": {"size": 3}})
    assert [] == list(offences(schema, OPENAI_STRICT))
    assert ["Order", "Order.Item"] == sorted(schema["$defs"])
    assert "The first." == schema["$defs"]["Order"]["properties"]["first"]["description"]


def test_a_pydantic_model_without_a_schema() -> None:
    """Pydantic's reason is told."""
    pydantic = pytest.importorskip("pydantic")

    class Odd(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        point: Callable[[], Point]

    with pytest.raises(ConfigError, match="Odd cannot be put into a JSON Schema: Cannot generate"):
        json_schema(typed(Odd))


def test_root_models_of_pydantic() -> None:
    """They are what they are around."""
    pydantic = pytest.importorskip("pydantic")

    class Names(pydantic.RootModel[list[str]]):  # type: ignore[misc, name-defined]
        pass

    early = made(dict[str, Names], '{"a": ["x", "y')

    assert ["x", "y"] == early["a"].root
    assert Names(["x"]) == typed(Names).whole(["x"], "$")

    class Points(pydantic.RootModel[dict[str, Point]]):  # type: ignore[misc, name-defined]
        pass

    assert {"a": Point(1, 5)} == made(Points, '{"a": {"x": 1, "y": 5}').root
