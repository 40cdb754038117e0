"""Annotations as JSON: aliases, names, classes that contain themselves, and what cannot be put into JSON."""

from __future__ import annotations

import array
import collections
import enum
import re
import sys
from typing import Annotated, Any, Final, Generic, Literal, NewType, Optional, ParamSpec, TypedDict, TypeVar

import attrs
import pytest

from streamkit.errors import ConfigError
from streamkit.typed import json_schema, typed, typed_arguments
from streamkit.typed.kinds import ANYTHING
from streamkit.typed.reader import Reader

if sys.version_info >= (3, 11):
    from typing import NotRequired, Required
else:
    from typing_extensions import NotRequired, Required

T = TypeVar("T")
P = ParamSpec("P")
Some = TypeVar("Some", int, str)
Bound = TypeVar("Bound", bound=int)
Name = NewType("Name", str)


class Node(TypedDict):
    """A class that contains itself."""

    kids: list[Node]
    next: Node | None


class Point(TypedDict):
    """A class of the module."""

    x: int


@pytest.mark.parametrize(
    ("annotation", "like"),
    [
        (T, Any),
        (Bound, int),
        (Some, int | str),
        (dict[Annotated[Name, "a key"], int], dict[str, int]),
        (dict[Any, int], dict[str, int]),
        (collections.deque[int], list[int]),
        (Name, str),
        (Final[int], int),
        (Required[int], int),
        (NotRequired[Annotated[int, 5]], int),
        (list[T], list[Any]),
        (object, Any),
    ],
)
def test_names_for_types(annotation: Any, like: Any) -> None:
    """An alias is what it is an alias of; what says something of a member only is left away."""
    assert json_schema(typed(like)) == json_schema(typed(annotation))


def test_what_older_pythons_lack() -> None:
    """Aliases and read-only members come from typing_extensions there, and are read alike."""
    typing_extensions = pytest.importorskip("typing_extensions")
    names = typing_extensions.TypeAliasType("names", list[Name])
    lists = typing_extensions.TypeAliasType("lists", list[T], type_params=(T,))

    assert json_schema(typed(list[int])) == json_schema(typed(lists[int]))
    assert json_schema(typed(list[Any])) == json_schema(typed(lists))
    assert json_schema(typed(list[str])) == json_schema(typed(names))
    assert json_schema(typed(int)) == json_schema(typed(typing_extensions.ReadOnly[int]))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the type statement came with Python 3.12")
def test_the_type_statement() -> None:
    """It makes aliases, too; of one that refers to itself there is no schema."""
    names: dict[str, Any] = {}
    exec("type Numbers = list[int]; type Lists[T] = list[T]; type Endless = list[Endless]", names)

    assert json_schema(typed(list[int])) == json_schema(typed(names["Lists"][int]))
    assert json_schema(typed(list[int])) == json_schema(typed(names["Numbers"]))
    with pytest.raises(ConfigError, match="the type Endless refers to itself: make it a class"):
        typed(names["Endless"])


class NoMembers(enum.Enum):
    """Has no members."""


class Odd(enum.Enum):
    """Has values that JSON has not."""

    A = (1, 2)


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (complex, "complex cannot be put into a JSON Schema: make it an attrs class"),
        (array.array, "array cannot be put into"),
        ("str", "'str' is a text, which may mean anything here: give the type itself"),
        (list["Point"], "'Point' is a text, which may mean anything here: give the type itself"),
        (Optional["Point"], "'Point' is a text, which may mean anything here: give the type itself"),
        (3, "3 cannot be put into a JSON Schema"),
        ({}, "{} cannot be put into a JSON Schema"),
        (dict[int, str], "the keys of a JSON object are str, not int: use dict"),
        (dict[Literal["a"], str], "the keys of a JSON object are str, not Literal: use dict"),
        (NoMembers, "NoMembers must have values"),
        (Odd, "Odd must have values, and such as JSON has"),
        (Literal[b"x"], "must have values, and such as JSON has"),
        (list[complex], "complex cannot be put into"),
        (int | complex, "complex cannot be put into"),
    ],
)
def test_what_is_no_json(annotation: Any, expected: str) -> None:
    """It is refused before anything is sent, and the error says what to use."""
    with pytest.raises(ConfigError, match=expected):
        typed(annotation)


def test_a_class_that_contains_itself() -> None:
    """Its schema refers to itself, and its values are checked at every level."""
    value = {"kids": [{"kids": [], "next": None}], "next": {"kids": [], "next": None}}

    assert {"$ref": "#/$defs/Node"} == json_schema(typed(Node))["properties"]["kids"]["items"]
    assert value == typed(Node).whole(value, "$")


@attrs.define
class Quoted:
    """Names itself in quotes, also where Python 3.10 does not look into."""

    kids: list["Quoted"]  # noqa: UP037 - the quotes are what is tested
    more: "dict[str, list['Quoted']] | None"  # noqa: UP037 - the quotes are what is tested


@attrs.define
class QuotesNothing:
    """Names what is nowhere."""

    kids: list["Nowhere"]  # type: ignore[name-defined]  # noqa: F821, UP037 - it is meant to be nowhere


def test_a_quoted_name_by_itself() -> None:
    """It has a meaning where the reader knows whose it is."""
    kind = Reader(all_required=True, owner=Node).read("list[Point]")

    assert [{"x": 1}] == kind.whole([{"x": 1}], "$")


def test_quoted_names() -> None:
    """They are looked up where they stand."""

    class Inner(TypedDict):
        """In a function."""

        kids: list["Inner"]  # noqa: UP037 - the quotes are what is tested

    assert Quoted([Quoted([], None)], {"a": []}) == typed(Quoted).whole(
        {"kids": [{"kids": [], "more": None}], "more": {"a": []}}, "$"
    )
    assert {"kids": [{"kids": []}]} == typed(Inner).whole({"kids": [{"kids": []}]}, "$")
    with pytest.raises(ConfigError, match="QuotesNothing cannot be read: name 'Nowhere' is not defined"):
        typed(QuotesNothing)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="a star within brackets came with Python 3.11")
def test_a_tuple_of_a_varying_number_of_types() -> None:
    """Its places cannot be told apart, so it is refused."""
    stars = eval("tuple[int, *tuple[str, ...]]")

    with pytest.raises(ConfigError, match=r"a tuple of a varying number of types .*: use list"):
        typed(stars)


@attrs.define
class Endless(Generic[T]):
    """Contains itself around another argument each time."""

    next: Endless[list[T]] | None


def test_classes_without_end() -> None:
    """A class that never comes to an end is refused, rather than read for ever."""
    with pytest.raises(ConfigError, match=r"Endless.* contains classes in classes without end: nest them less"):
        typed(Endless[int])


def test_a_class_of_more_than_types() -> None:
    """It is refused: a class written out has members that can be told."""

    @attrs.define
    class Call(Generic[P]):
        """Of the parameters of a function."""

        kept: dict[str, int]

    with pytest.raises(ConfigError, match="Call is generic in more than types: write the class out"):
        typed(Call)


def test_a_quoted_name_in_a_generic_class() -> None:
    """Its variables mean there what they mean around it."""

    @attrs.define
    class Holder(Generic[T]):
        """Names its variable in quotes."""

        values: list["T"]  # noqa: UP037 - the quotes are what is tested

    assert json_schema(typed(list[int])) == json_schema(typed(Holder[int]))["properties"]["values"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="classes with type parameters came with Python 3.12")
def test_type_parameters() -> None:
    """Of a class or function with parameters of its own, also where annotations are texts."""
    names: dict[str, Any] = {"__name__": __name__}
    code = (
        "from __future__ import annotations\n"
        "import dataclasses\n"
        "@dataclasses.dataclass\n"
        "class Box[T]: value: T\n"
        "@dataclasses.dataclass\n"
        "class More[S](Box[int]): other: list[S]\n"
        "def put[N: int](number: N) -> None: ...\n"
    )
    exec(compile(code, "code", "exec"), names)
    box, more, put = names["Box"], names["More"], names["put"]

    assert box(1) == typed(box[int]).whole({"value": 1}, "$")
    assert more(1, ["a"]) == typed(more[str]).whole({"value": 1, "other": ["a"]}, "$")
    assert {"type": "integer"} == typed_arguments(put, hidden=bytes)[0].schema["properties"]["number"]


def test_a_class_that_calls_itself_self() -> None:
    """`Self` is the class that it stands in; elsewhere it is none."""
    typing_extensions = pytest.importorskip("typing_extensions")
    node = attrs.make_class("Node", {"next": attrs.field(type=typing_extensions.Self | None)})

    assert node(node(None)) == typed(node).whole({"next": {"next": None}}, "$")
    with pytest.raises(ConfigError, match="Self cannot be put into"):
        typed(typing_extensions.Self)


def test_two_classes_of_one_name() -> None:
    """Each has a definition of its own; names are such as a reference may have."""
    first = Point

    def other() -> Any:
        class Point(TypedDict):
            """Another one."""

            y: int

        return Point

    second, third = other(), attrs.make_class("Point", {"z": attrs.field(type=int)})
    third.__name__ = "Point[int]"
    schema = json_schema(typed(tuple[first, second, third]))  # type: ignore[valid-type]

    assert [["x"], ["y"], ["z"]] == [one["required"] for one in schema["$defs"].values()]
    assert ["Point", "Point2", "Point_int_"] == list(schema["$defs"])


def test_members_without_an_annotation() -> None:
    """They may be anything."""
    pair = collections.namedtuple("pair", ["a", "b"], defaults=[5])

    @attrs.define
    class Loose:
        """Has a member without a type."""

        a = attrs.field()

    assert ANYTHING is typed(pair).member("a") is typed(Loose).member("a")
    assert (pair(1, 5), Loose([1])) == (typed(pair).whole({"a": 1}, "$"), typed(Loose).whole({"a": [1]}, "$"))


def test_what_a_typed_dict_may_leave_out() -> None:
    """All its members are asked for, and only those that must come have to."""

    class Card(TypedDict, total=False):
        """A card."""

        a: Required[int]
        b: int

    assert ["a", "b"] == json_schema(typed(Card))["required"]
    assert {"a": 1} == typed(Card).whole({"a": 1}, "$")


def test_members_that_the_reader_does_not_know() -> None:
    """A pydantic model may hold what only pydantic can read; its partial values are as JSON has them."""
    pydantic = pytest.importorskip("pydantic")

    class Page(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        path: re.Pattern[str]
        again: str = pydantic.Field("", validation_alias=pydantic.AliasChoices("more", "again"))

    kind = typed(Page)

    assert ANYTHING is kind.member("path")
    assert re.compile("x*") == kind.whole({"path": "x*"}, "$").path
    assert ANYTHING is kind.member("nothing")
