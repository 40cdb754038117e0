"""Annotations as JSON: aliases, names, classes that contain themselves, and what cannot be put into JSON."""

from __future__ import annotations

import collections
import datetime
import enum
import sys
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NewType, TypedDict, TypeVar

import attrs
import pytest

from streamkit.errors import ConfigError
from streamkit.typed import json_schema, typed
from streamkit.typed.kinds import ANYTHING
from streamkit.typed.reader import Reader

if sys.version_info >= (3, 11):
    from typing import NotRequired, Required
else:
    from typing_extensions import NotRequired, Required

T = TypeVar("T")
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

    assert json_schema(typed(list[str])) == json_schema(typed(names))
    assert json_schema(typed(int)) == json_schema(typed(typing_extensions.ReadOnly[int]))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the type statement came with Python 3.12")
def test_the_type_statement() -> None:
    """It makes aliases, too; of one that refers to itself there is no schema."""
    names: dict[str, Any] = {}
    exec("type Numbers = list[int]; type Endless = list[Endless]", names)

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
        (Path, "Path cannot be put into"),
        (datetime.timedelta, "timedelta cannot be put into"),
        ("str", "str cannot be put into a JSON Schema: use str, int"),
        (list["Point"], r"ForwardRef\('Point'\)|Point cannot be put into a JSON Schema"),
        (3, "3 cannot be put into a JSON Schema"),
        ({}, "{} cannot be put into a JSON Schema"),
        (dict[int, str], "the keys of a JSON object are str, not int"),
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

    kids: list["Quoted"]  # noqa: UP037
    more: "dict[str, list['Quoted']] | None"  # noqa: UP037


@attrs.define
class QuotesNothing:
    """Names what is nowhere."""

    kids: list["Nowhere"]  # type: ignore[name-defined]  # noqa: F821, UP037


def test_a_quoted_name_by_itself() -> None:
    """It has a meaning where the reader knows whose it is."""
    kind = Reader(all_required=True, owner=Node).read("list[Point]")

    assert [{"x": 1}] == kind.whole([{"x": 1}], "$")


def test_quoted_names() -> None:
    """They are looked up where they stand."""

    class Inner(TypedDict):
        """In a function."""

        kids: list["Inner"]  # noqa: UP037

    assert Quoted([Quoted([], None)], {"a": []}) == typed(Quoted).whole(
        {"kids": [{"kids": [], "more": None}], "more": {"a": []}}, "$"
    )
    assert {"kids": [{"kids": []}]} == typed(Inner).whole({"kids": [{"kids": []}]}, "$")
    with pytest.raises(ConfigError, match="QuotesNothing cannot be read: name 'Nowhere' is not defined"):
        typed(QuotesNothing)


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
        path: Path
        again: str = pydantic.Field("", validation_alias=pydantic.AliasChoices("more", "again"))

    kind = typed(Page)

    assert ANYTHING is kind.member("path")
    assert Path("/x") == kind.whole({"path": "/x"}, "$").path
    assert ANYTHING is kind.member("nothing")
