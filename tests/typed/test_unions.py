"""Types of which a value is one: which one is meant, what is told where none fits, and what is made of a beginning."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

import attrs
import pytest

from streamkit.partial_json import PartialJSON
from streamkit.typed import Mismatch, typed


@attrs.define
class Circle:
    """A circle."""

    kind: Literal["circle"]
    radius: float


@dataclasses.dataclass
class Square:
    """A square."""

    kind: Annotated[Literal["square"], "its tag"]
    side: float
    name: str = ""


@attrs.define
class Count:
    """A number, without a tag."""

    value: int


@attrs.define
class Word:
    """A text, without a tag."""

    value: str


@attrs.define
class Add:
    """A sum."""

    left: Expr
    right: Expr
    op: Literal["+"]


@attrs.define
class Times:
    """A product."""

    left: Expr
    right: Expr
    op: Literal["*"]


Expr = int | Add | Times
Shape = Circle | Annotated[Square, "a square"] | None


def made(annotation: Any, text: str) -> Any:
    """Give what a member of a type is at the end of a text."""
    parser = PartialJSON(typed(dict[str, annotation]))
    parser.feed('{"z": null, "a": ' + text)
    return parser.value()["a"]


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Shape, {"kind": "square", "side": 1}, Square("square", 1.0)),
        (Shape, {"kind": "circle", "radius": 1}, Circle("circle", 1.0)),
        (Shape, None, None),
        (float | str, 3, 3.0),
        (str | int, 3, 3),
        (list[int] | list[str], ["a"], ["a"]),
        (dict[str, int] | Circle, {"kind": "circle", "radius": 1}, Circle("circle", 1.0)),
        (int | Annotated[Circle | list[int], "either"], [1], [1]),
        (int | Any, [], []),
    ],
)
def test_which_type_is_meant(annotation: Any, value: object, expected: object) -> None:
    """Tags tell classes apart; else the first type that fits counts, one that fits exactly before all."""
    seen = typed(annotation).whole(value, "$")

    assert (expected, type(expected)) == (seen, type(seen))


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Shape, {"kind": "square"}, "$.side: is missing"),
        (Shape, {"kind": "square", "radius": 1}, "$.radius: is unknown: Square has kind, side, name"),
        (Shape, {"kind": "line"}, "$.radius: is missing"),
        (Shape, 5, "$: must be an object, not 5 or must be null, not 5"),
        (int | list[int], ["a"], "$[0]: must be integer, not 'a'"),
        (int | str, [1], "$: must be integer, not [1] or must be string, not [1]"),
    ],
)
def test_what_fits_none(annotation: Any, value: object, expected: str) -> None:
    """The offence of the type that was meant is told; of all of them where that cannot be said."""
    with pytest.raises(Mismatch) as caught:
        typed(annotation).whole(value, "$")

    assert expected == str(caught.value)


@pytest.mark.parametrize(
    ("annotation", "text", "expected"),
    [
        (Shape, '{"kind": "square", "side": 1,', {"kind": "square", "side": 1}),
        (Shape, '{"kind": "square", "side": 1}', Square("square", 1.0, None)),  # type: ignore[arg-type]
        (Shape, '{"kind": "circle"}', {"kind": "circle"}),
        (Shape, '{"kind": "circle", "radius": 1, "x": 2}', {"kind": "circle", "radius": 1, "x": 2}),
        (Shape, "null,", None),
        (list[Shape], '[{"kind": "circle", "radius": 1}, {"', [Circle("circle", 1.0), {}]),
        (Circle | list[Square], '[{"kind": "square", "side": 1}]', [Square("square", 1.0, None)]),  # type: ignore[arg-type]
        (Circle | str, '"ab"', "ab"),
        (Count | Word, '{"value": "ab"}', Word("ab")),
        (Count | Word, '{"value": []}', Count(None)),  # type: ignore[arg-type]  # what fits none
        (Expr, '{"op": "*", "left": 1, "right": {"op": "+", "left": 2, "right": 3}}', Times(1, Add(2, 3, "+"), "*")),
    ],
)
def test_what_is_made_of_a_beginning(annotation: Any, text: str, expected: object) -> None:
    """Until it has closed it is as JSON has it; then it is of the class that it must be, if there is one."""
    seen = made(annotation, text)

    assert (expected, type(expected)) == (seen, type(seen))


def test_a_deep_tree_is_read_once() -> None:
    """An offence at the bottom of a tree of tagged classes is found without a second look at each level."""
    value: Any = "wrong"
    for _ in range(60):
        value = {"left": value, "right": 1, "op": "*"}

    with pytest.raises(Mismatch, match=r"(\.left){60}: must be integer"):
        typed(Expr).whole(value, "$")


def test_nesting_has_a_bound() -> None:
    """What is nested deeper than Python can follow is refused, and stays JSON in a partial value."""
    value: Any = 1
    for _ in range(5_000):
        value = {"left": value, "right": 1, "op": "*"}

    with pytest.raises(Mismatch, match="is nested too deeply"):
        typed(Expr).whole(value, "$")
    assert value is typed(Expr).made(value, growing=False)


def test_models_of_pydantic() -> None:
    """They are told apart alike, and a root model by what it is around."""
    pydantic = pytest.importorskip("pydantic")

    class Line(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        kind: Literal["line"]
        length: float = 1.0

    class Numbers(pydantic.RootModel[list[int]]):  # type: ignore[misc, name-defined]
        pass

    assert Line(kind="line") == typed(Circle | Line).whole({"kind": "line"}, "$")
    assert (Line, None) == (
        type(made(Circle | Line, '{"kind": "line"}')),
        made(Circle | Line, '{"kind": "line"}').length,
    )
    assert Numbers([1]) == typed(Circle | Numbers).whole([1], "$") == made(Circle | Numbers, "[1]")
