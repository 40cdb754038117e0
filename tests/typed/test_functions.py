"""Functions as JSON objects: their parameters' schema, and keyword arguments made of what a model gave."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NewType, Optional, TypeVar

import pytest

from streamkit.context import Context
from streamkit.errors import ConfigError
from streamkit.typed import Mismatch, parameters_of, typed_arguments

T = TypeVar("T")
UserId = NewType("UserId", int)
USER = UserId(1)


@dataclasses.dataclass
class Box(Generic[T]):
    """Of any type."""

    value: T


class Unit(enum.Enum):
    """A unit."""

    C = "c"
    F = "f"


@dataclasses.dataclass
class Place:
    """A place."""

    city: str
    country: str = "FR"


def forecast(  # noqa: D417  # some are described elsewhere, or not at all
    place: Place,
    ctx: Context,
    days: int = 3,
    *,
    unit: Unit = Unit.C,
    mode: Literal["short", "long"] | None = None,
    note: Annotated[str, "A note."] = "",
) -> str:
    """Give the weather.

    Args:
        place: Where.
        days: How many.
        ctx: Not for the model.
    """
    raise NotImplementedError


def test_the_schema_of_a_function() -> None:
    """Parameters without a default are required, also in classes; the hidden ones are not there."""
    arguments, hidden = typed_arguments(forecast, hidden=Context)
    place = {
        "type": "object",
        "description": "A place.",
        "properties": {"city": {"type": "string"}, "country": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    expected = {
        "type": "object",
        "properties": {
            "place": {"anyOf": [{"$ref": "#/$defs/Place"}], "description": "Where."},
            "days": {"type": "integer", "description": "How many."},
            "unit": {"type": "string", "enum": ["c", "f"]},
            "mode": {"anyOf": [{"type": "string", "enum": ["short", "long"]}, {"type": "null"}]},
            "note": {"type": "string", "description": "A note."},
        },
        "required": ["place"],
        "additionalProperties": False,
        "$defs": {"Place": place},
    }

    assert ("forecast", "Give the weather.", ("ctx",)) == (arguments.name, arguments.description, hidden)
    assert expected == arguments.schema


def test_keyword_arguments() -> None:
    """They are checked and made as the annotations say; defaults are left to the function."""
    arguments, _ = typed_arguments(forecast, hidden=Context)

    assert {"place": Place("Paris"), "unit": Unit.F, "days": 2} == arguments.read(
        {"place": {"city": "Paris"}, "unit": "f", "days": 2.0}
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "$: must be an object, not None"),
        ({}, "$.place: is missing"),
        ({"place": {}}, "$.place.city: is missing"),
        ({"place": {"city": "Paris"}, "ctx": {}}, "$.ctx: is unknown: forecast has place, days, unit, mode, note"),
        ({"place": {"city": "Paris"}, "unit": "k"}, "$.unit: must be one of 'c', 'f', not 'k'"),
    ],
)
def test_what_does_not_fit(value: Any, expected: str) -> None:
    """The model is told the path, and what there is."""
    arguments, _ = typed_arguments(forecast, hidden=Context)
    with pytest.raises(Mismatch) as caught:
        arguments.read(value)

    assert expected == str(caught.value)


def positional(a: int, /) -> None:
    """Take what has no name."""


def many(*texts: str) -> None:
    """Take any number."""


def named(**texts: str) -> None:
    """Take any names."""


def bare(a) -> None:  # type: ignore[no-untyped-def]
    """Say nothing."""


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (positional, r"positional\(a: 'int'\): a tool's parameters are given by name"),
        (many, r"many\(\*texts: 'str'\): a tool's parameters are given by name"),
        (named, r"named\(\*\*texts: 'str'\): a tool's parameters are given by name"),
        (bare, r"bare\(a\): the parameter has no annotation: add one, such as a: str"),
        (dict, "the parameters of dict cannot be read|by name|no annotation"),
    ],
)
def test_what_cannot_be_a_tool(function: Any, expected: str) -> None:
    """What a model could not call is refused when it is decorated."""
    with pytest.raises(ConfigError, match=expected):
        typed_arguments(function, hidden=Context)


def test_a_method_is_given_bound() -> None:
    """As nobody could fill in its self."""

    class Shop:
        def price(self, item: str) -> int:
            raise NotImplementedError

    with pytest.raises(ConfigError, match=r"price\(self\): .*: give the bound method, as in tool\(object\.method\)"):
        typed_arguments(Shop.price, hidden=Context)
    assert ["item"] == [*typed_arguments(Shop().price, hidden=Context)[0].schema["properties"]]


def test_a_function_without_parameters() -> None:
    """It takes an empty object."""

    def now() -> str:
        raise NotImplementedError

    arguments, hidden = typed_arguments(now, hidden=Context)

    assert ({}, (), "") == (arguments.read({}), hidden, arguments.description)
    assert {"type": "object", "properties": {}, "required": [], "additionalProperties": False} == arguments.schema


def test_quoted_names() -> None:
    """They are looked up where the function stands."""

    @dataclasses.dataclass
    class Near:
        """In a function."""

        x: int

    def look(places: list["Place"], near: list["Near"]) -> None:  # noqa: UP037
        raise NotImplementedError

    arguments, _ = typed_arguments(look, hidden=Context)

    assert {"places": [Place("Paris")], "near": [Near(1)]} == arguments.read(
        {"places": [{"city": "Paris"}], "near": [{"x": 1}]}
    )


def test_parameters_of_richer_types() -> None:
    """What a class may have as members a function may have as parameters."""

    def move(box: Box[int], to: Path, within: datetime.timedelta, user: UserId = USER) -> None:
        """Move it."""

    arguments, _ = typed_arguments(move, hidden=Context)
    given = {"box": {"value": 1}, "to": "/a", "within": "PT5M", "user": 3}

    assert ["box", "to", "within"] == arguments.schema["required"]
    assert {"$ref": "#/$defs/Box_int"} == arguments.schema["properties"]["box"]
    assert {"box": Box(1), "to": Path("/a"), "within": datetime.timedelta(minutes=5), "user": 3} == arguments.read(
        given
    )
    with pytest.raises(Mismatch, match=r"^\$\.box\.value: must be integer"):
        arguments.read({**given, "box": {"value": "a"}})


def test_methods_and_callable_objects() -> None:
    """They are functions without their self."""

    class Thermometer:
        """Measures."""

        def read(self, depth: int) -> float:
            """Measure at a depth."""
            raise NotImplementedError

        def __call__(self, depth: int) -> float:
            """Measure."""
            raise NotImplementedError

    method, _ = typed_arguments(Thermometer().read, hidden=Context)
    thing, _ = typed_arguments(Thermometer(), hidden=Context)

    assert ("read", "Thermometer") == (method.name, thing.name)
    assert method.schema == thing.schema


def test_which_parameters_are_of_a_class() -> None:
    """Optional and annotated ones, too; of what says nothing that can be read, none."""

    def some(a: Context, b: Optional[Context], c: Annotated[Context | None, "c"], d: int) -> Context:  # noqa: UP045
        raise NotImplementedError

    def odd(a: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
        raise NotImplementedError

    assert ("a", "b", "c") == parameters_of(some, Context)
    assert (
        ()
        == parameters_of(odd, Context)
        == parameters_of(len, Context)
        == parameters_of(functools.partial(some), Context)
    )
