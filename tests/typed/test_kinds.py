"""Scalars, parsed texts, containers and types of types: their schemas, whole and partial values."""

from __future__ import annotations

import collections.abc
import datetime
import decimal
import enum
import pathlib
import uuid
from typing import Annotated, Any, Literal, Optional, Union

import attrs
import pytest

from streamkit.partial_json import PartialJSON
from streamkit.typed import Mismatch, json_schema, typed
from streamkit.typed.kinds import ANYTHING, with_text


@attrs.frozen
class Doc:
    """As `typing_extensions.Doc`."""

    documentation: str


class Color(enum.Enum):
    """An enum of texts."""

    RED = "red"
    GREEN = "green"


class Mixed(enum.Enum):
    """An enum of values of several types."""

    A = "a"
    B = 1
    C = None


class Size(enum.IntEnum):
    """An enum of numbers."""

    S = 1
    L = 2


class Unit(str, enum.Enum):
    """An enum whose members are texts."""

    C = "c"
    F = "f"


@attrs.define
class Point:
    """A class that has no hash."""

    x: int


DATE = datetime.date(2024, 5, 6)
MOMENT = datetime.datetime(2024, 5, 6, 7, 8, 9, 500_000, tzinfo=datetime.timezone.utc)
DURATION = datetime.timedelta(days=9, hours=3, minutes=4, seconds=5.5)
ID = uuid.UUID(int=7)

READ: list[tuple[Any, dict[str, Any], Any, Any]] = [
    (str, {"type": "string"}, "x", "x"),
    (int, {"type": "integer"}, 3, 3),
    (int, {"type": "integer"}, 3.0, 3),
    (float, {"type": "number"}, 3, 3.0),
    (bool, {"type": "boolean"}, True, True),
    (None, {"type": "null"}, None, None),
    (Any, {}, [1], [1]),
    (datetime.date, {"type": "string", "format": "date"}, "2024-05-06", DATE),
    (datetime.datetime, {"type": "string", "format": "date-time"}, "2024-05-06T07:08:09.5Z", MOMENT),
    (datetime.datetime, {"type": "string", "format": "date-time"}, "2024-05-06T09:08:09.500000000+02:00", MOMENT),
    (datetime.time, {"type": "string", "format": "time"}, "07:08:09Z", datetime.time(7, 8, 9, tzinfo=MOMENT.tzinfo)),
    (datetime.timedelta, {"type": "string", "format": "duration"}, "P1W2DT3H4M5.5S", DURATION),
    (datetime.timedelta, {"type": "string", "format": "duration"}, "PT90M", datetime.timedelta(hours=1, minutes=30)),
    (pathlib.Path, {"type": "string"}, "a/b", pathlib.Path("a", "b")),
    (pathlib.PurePosixPath, {"type": "string"}, "/a", pathlib.PurePosixPath("/a")),
    (uuid.UUID, {"type": "string", "format": "uuid"}, str(ID), ID),
    (decimal.Decimal, {"type": ["number", "string"]}, "0.10", decimal.Decimal("0.10")),
    (decimal.Decimal, {"type": ["number", "string"]}, 0.1, decimal.Decimal("0.1")),
    (Mixed, {"enum": ["a", 1, None]}, 1, Mixed.B),
    (Mixed, {"enum": ["a", 1, None]}, None, Mixed.C),
    (Literal[1, True, "a"], {"enum": [1, True, "a"]}, True, True),
    (bytes, {"type": "string"}, "aGk=", b"hi"),
    (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}, "b", "b"),
    (Literal["a", 1, None], {"enum": ["a", 1, None]}, 1.0, 1),
    (Literal[Color.RED], {"type": "string", "enum": ["red"]}, "red", Color.RED),
    (Color, {"type": "string", "enum": ["red", "green"]}, "green", Color.GREEN),
    (Size, {"type": "integer", "enum": [1, 2]}, 2, Size.L),
    (Unit, {"type": "string", "enum": ["c", "f"]}, "f", Unit.F),
    (list[int], {"type": "array", "items": {"type": "integer"}}, [1, 2.0], [1, 2]),
    (list, {"type": "array", "items": {}}, [1, "a"], [1, "a"]),
    (collections.abc.Sequence[str], {"type": "array", "items": {"type": "string"}}, ["a"], ["a"]),
    (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}, [1], (1,)),
    (set[int], {"type": "array", "items": {"type": "integer"}}, [1, 1], {1}),
    (frozenset[Color], {"type": "array", "items": {"type": "string", "enum": ["red", "green"]}}, ["red"], {Color.RED}),
    (
        tuple[int, Color],
        {
            "type": "array",
            "prefixItems": [{"type": "integer"}, {"type": "string", "enum": ["red", "green"]}],
            "minItems": 2,
            "maxItems": 2,
        },
        [1, "red"],
        (1, Color.RED),
    ),
    (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}, {"a": 1}, {"a": 1}),
    (dict, {"type": "object", "additionalProperties": True}, {"a": []}, {"a": []}),
    (Optional[int], {"type": ["integer", "null"]}, None, None),  # noqa: UP045  # the older spelling is another type
    (int | str | None, {"type": ["integer", "string", "null"]}, "x", "x"),
    (Union[float, int], {"type": ["number", "integer"]}, 3, 3),  # noqa: UP007
    (Color | None, {"anyOf": [{"type": "string", "enum": ["red", "green"]}, {"type": "null"}]}, "red", Color.RED),
    (Annotated[int, "how many"], {"type": "integer", "description": "how many"}, 1, 1),
    (Annotated[int, 5, "how many", "more"], {"type": "integer", "description": "how many"}, 1, 1),
    (Annotated[int, 5], {"type": "integer"}, 1, 1),
    (Annotated[int, Doc("how many")], {"type": "integer", "description": "how many"}, 1, 1),
    (str | Annotated[str, 5], {"type": "string"}, "x", "x"),
]


@pytest.mark.parametrize(("annotation", "schema", "value", "expected"), READ)
def test_what_a_type_is_and_makes(annotation: Any, schema: object, value: object, expected: object) -> None:
    """Each type has its schema, and makes its values of parsed JSON."""
    made = typed(annotation).whole(value, "$")

    assert schema == json_schema(typed(annotation))
    assert (expected, type(expected)) == (made, type(made)) or isinstance(made, frozenset)


REFUSED: list[tuple[Any, Any, str]] = [
    (str, 1, "$: must be string, not 1"),
    (int, "1", "$: must be integer, not '1'"),
    (int, 1.5, "$: must be integer, not 1.5"),
    (int, True, "$: must be integer, not True"),
    (float, 10**400, "$: is a number too large for a float"),
    (bool, 1, "$: must be boolean, not 1"),
    (datetime.date, "soon", "$: must be a date as text, not 'soon'"),
    (datetime.datetime, 5, "$: must be a datetime as text, not 5"),
    (datetime.timedelta, "P1Y", "$: must be a timedelta as text, not 'P1Y'"),
    (datetime.timedelta, "P", "$: must be a timedelta as text, not 'P'"),
    (pathlib.Path, 5, "$: must be a Path as text, not 5"),
    (decimal.Decimal, "x", "$: must be a Decimal as text, not 'x'"),
    (decimal.Decimal, True, "$: must be a Decimal as text, not True"),
    (bytes, "ä", "$: must be a bytes as text, not 'ä'"),
    (Color, "blue", "$: must be one of 'red', 'green', not 'blue'"),
    (Literal[1], True, "$: must be one of 1, not True"),
    (list[int], {"a": 1}, "$: must be an array, not {'a': 1}"),
    (list[int], [1, "a"], "$[1]: must be integer, not 'a'"),
    (set[list[int]], [[1]], "$: cannot be made a set: unhashable type: 'list'"),
    (tuple[int, int], [1], "$: must be an array of 2, not [1]"),
    (tuple[int, int], [1, "a"], "$[1]: must be integer, not 'a'"),
    (dict[str, int], [1], "$: must be an object, not [1]"),
    (dict[str, int], {"a b": "x"}, "$['a b']: must be integer, not 'x'"),
    (int | None, "x", "$: must be integer, not 'x' or must be null, not 'x'"),
    (list[int] | None, ["x"], "$[0]: must be integer, not 'x'"),
    (Annotated[int, "n"], "x", "$: must be integer, not 'x'"),
]


@pytest.mark.parametrize(("annotation", "value", "expected"), REFUSED)
def test_what_a_type_refuses(annotation: Any, value: object, expected: str) -> None:
    """What is not of the type is told with its path; of several types, the deepest offence."""
    with pytest.raises(Mismatch) as caught:
        typed(annotation).whole(value, "$")

    assert expected == str(caught.value)


PARTIAL: list[tuple[Any, str, Any]] = [
    (str, '"ab', "ab"),
    (str, "5 ", None),
    (int, "5 ", 5),
    (int, '"ab', None),
    (float, "5 ", 5.0),
    (bool, '"tr', None),
    (Color, '"red', None),
    (Color, '"red"', Color.RED),
    (Color, '"blue"', None),
    (Color | None, '"red"', Color.RED),
    (datetime.date, '"2024-05-06', None),
    (datetime.date, '"2024-05-06"', DATE),
    (pathlib.Path, '"a/b', None),
    (pathlib.Path, '"a/b"', pathlib.Path("a/b")),
    (list[int], '"ab', []),
    (list[str], '["a", "b', ["a", "b"]),
    (list[Color], '["red", "gre', [Color.RED]),
    (list[datetime.date], '["2024-05-06", "', [DATE]),
    (list[Color] | None, '["red"', [Color.RED]),
    (tuple[str, ...], '["a", "b', ("a", "b")),
    (set[str], '["a", "b', {"a", "b"}),
    (frozenset[str], '["a"]', frozenset("a")),
    (set[Point], '[{"x": 1}', [Point(1)]),
    (tuple[int, Color, list[str]], "[1", (None, None, [])),
    (tuple[int, Color, list[str]], "[1,", (1, None, [])),
    (tuple[int, Color, list[str]], '[1, "red", ["x', (1, Color.RED, ["x"])),
    (tuple[int, Color, list[str]], '[1, "red', (1, None, [])),
    (tuple[Point, Point] | None, '[{"x": 1}, {', (Point(1), Point(None))),  # type: ignore[arg-type]  # not yet there
    (tuple[int, int], '"ab', None),
    (dict[str, Color], '{"a": "red", "b": "gre', {"a": Color.RED, "b": None}),
    (dict[str, int], '"ab', {}),
    (int | str, '"ab', "ab"),
    (Point | Color, '{"x": 1,', {"x": 1}),
    (Annotated[list[Color], "text"], '["red"', [Color.RED]),
    (Any, '{"x": [1, 2', {"x": [1]}),
]


@pytest.mark.parametrize(("annotation", "text", "expected"), PARTIAL)
def test_what_a_type_makes_of_a_beginning(annotation: Any, text: str, expected: object) -> None:
    """A partial value is of its type, or as missing; what could still become something else has not come yet."""
    parser = PartialJSON(typed(dict[str, annotation]))
    parser.feed('{"z": "", "a": ' + text)
    seen = parser.value().get("a")

    assert (expected, type(expected)) == (seen, type(seen))


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (str, None),
        (Color, None),
        (Point, None),
        (int | None, None),
        (tuple[int, int], None),
        (list[int], []),
        (tuple[int, ...], ()),
        (set[int], set()),
        (dict[str, int], {}),
        (Annotated[list[int], "text"], []),
    ],
)
def test_what_has_not_begun(annotation: Any, expected: object) -> None:
    """Scalars and classes are None, lists and dicts empty."""
    assert expected == typed(annotation).missing()


def test_a_missing_list_is_a_new_one() -> None:
    """Whoever changes it changes no other partial object."""
    kind = typed(list[int])

    assert kind.missing() is not kind.missing()


def test_anything_at_all() -> None:
    """What may be anything is as JSON has it, to any depth."""
    assert ANYTHING is ANYTHING.member("a").item() is typed(int).member("a") is typed(tuple[int, int]).item()
    assert [1] == ANYTHING.whole([1], "$") == ANYTHING.made([1], growing=True)


def test_a_text_beside_a_reference() -> None:
    """A reference stands alone; and who has a description keeps it."""
    assert {"anyOf": [{"$ref": "#"}], "description": "t"} == with_text({"$ref": "#"}, "t")
    assert {"type": "null", "description": "own"} == with_text({"type": "null", "description": "own"}, "t")
    assert {"type": "null"} == with_text({"type": "null"}, "")
