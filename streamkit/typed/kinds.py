# ruff: noqa: D102  # the methods are those of Typed, and described there
"""The kinds of JSON values that need no class of the user's: scalars, texts that stand for something else, containers.

Each can be all of what a `Typed` is: a schema, a reader of whole values, a maker of partial ones. A partial value is of
its kind, or what `missing` gives: what does not fit is told at the end, by `whole`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamkit import lazy_attrs as attrs
from streamkit.instance import Mismatch, path_to, shown

__all__ = [
    "ANYTHING",
    "NULL",
    "Choice",
    "Many",
    "Parsed",
    "Row",
    "Scalar",
    "Table",
    "Typed",
    "remade",
    "with_text",
]


class Typed:
    """What any JSON value is, and the base of those that are more particular."""

    def schema(self, defs: dict[str, Any]) -> dict[str, Any]:
        """Give the JSON Schema; classes go into `defs`, and are referred to."""
        return {}

    def whole(self, value: Any, path: str) -> Any:
        """Make a value of parsed JSON; raise `Mismatch` where it is not of this type."""
        return value

    def missing(self) -> Any:
        """Give what stands in a partial object for a value that has not begun to arrive."""
        return None

    # -- the shape of partial values

    def member(self, key: str) -> Typed:
        """Give the shape of an object's member."""
        return ANYTHING

    def item(self) -> Typed:
        """Give the shape of a list's items."""
        return ANYTHING

    def made(self, value: Any, *, growing: bool) -> Any:
        """Give what a value becomes that may be of any type, and may still grow; never raises."""
        return value


ANYTHING = Typed()


def with_text(schema: dict[str, Any], text: str) -> dict[str, Any]:
    """Give a schema with a description, unless it has one."""
    if not text or "description" in schema:
        return schema
    # Beside a reference OpenAI's strict mode takes no other keyword.
    return {"anyOf": [schema], "description": text} if "$ref" in schema else {**schema, "description": text}


# -- scalars


@attrs.frozen
class Scalar(Typed):
    """A JSON scalar; `name` is what JSON Schema calls it."""

    python: type
    name: str

    def schema(self, defs: dict[str, Any]) -> dict[str, Any]:
        return {"type": self.name}

    def whole(self, value: Any, path: str) -> Any:
        if type(value) is self.python:
            return value
        if self.python is float and type(value) is int:
            return _float(value, path)
        if self.python is int and type(value) is float and value.is_integer():
            return int(value)  # JSON has one kind of number
        raise Mismatch(path, f"must be {self.name}, not {shown(value)}")

    def made(self, value: Any, *, growing: bool) -> Any:
        return value if type(value) is self.python else _or_none(self, value)


NULL = Scalar(type(None), "null")


def _float(value: int, path: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise Mismatch(path, "is a number too large for a float") from None


def _or_none(kind: Typed, value: Any) -> Any:
    try:
        return kind.whole(value, "$")
    except Mismatch:
        return None


@attrs.frozen
class Parsed(Typed):
    """Text that stands for something else. None while it grows."""

    python: type
    said: dict[str, Any]
    """The schema."""
    parse: Callable[[str], Any]
    takes: tuple[type, ...] = (str,)

    def schema(self, defs: dict[str, Any]) -> dict[str, Any]:
        return dict(self.said)

    def whole(self, value: Any, path: str) -> Any:
        if type(value) in self.takes:
            try:
                return self.parse(str(value))
            except (ValueError, ArithmeticError):
                pass
        raise Mismatch(path, f"must be a {self.python.__name__} as text, not {shown(value)}")

    def made(self, value: Any, *, growing: bool) -> Any:
        return None if growing else _or_none(self, value)


@attrs.frozen
class Choice(Typed):
    """One of some values: of a Literal or an Enum. None while it grows."""

    values: tuple[tuple[Any, Any], ...]  # as JSON, and as they are in Python

    def schema(self, defs: dict[str, Any]) -> dict[str, Any]:
        names = {_NAMES[type(value)] for value, _ in self.values}
        kind = {"type": names.pop()} if len(names) == 1 else {}
        return {**kind, "enum": [value for value, _ in self.values]}

    def whole(self, value: Any, path: str) -> Any:
        for known, made in self.values:
            if value == known and _is_same_kind(type(value), type(known)):
                return made
        raise Mismatch(path, f"must be one of {', '.join(repr(v) for v, _ in self.values)}, not {shown(value)}")

    def made(self, value: Any, *, growing: bool) -> Any:
        return None if growing else _or_none(self, value)


_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def _is_same_kind(a: type, b: type) -> bool:
    """In JSON 1 is 1.0, but not true."""
    return a is b or {a, b} == {int, float}


# -- containers


@attrs.frozen
class Many(Typed):
    """A list, or what is made of one."""

    inner: Typed
    make: Callable[[list[Any]], Any] = list

    def schema(self, defs: dict[str, Any]) -> dict[str, Any]:
        return {"type": "array", "items": self.inner.schema(defs)}

    def whole(self, value: Any, path: str) -> Any:
        if type(value) is not list:
            raise Mismatch(path, f"must be an array, not {shown(value)}")
        items = [self.inner.whole(item, f"{path}[{i}]") for i, item in enumerate(value)]
        try:
            return self.make(items)
        except TypeError as e:  # a set of what has no hash
            raise Mismatch(path, f"cannot be made a {getattr(self.make, '__name__', 'container')}: {e}") from e

    def missing(self) -> Any:
        return self.make([])

    def item(self) -> Typed:
        return self.inner

    def made(self, value: Any, *, growing: bool) -> Any:
        if type(value) is not list:
            return self.missing()
        if self.make is list:
            return value
        try:
            return self.make(value)
        except TypeError:
            return value


@attrs.frozen
class Row(Typed):
    """A tuple of fixed length. Partly there, its other places are as missing."""

    inner: tuple[Typed, ...]

    def schema(self, defs: dict[str, Any]) -> dict[str, Any]:
        items = [kind.schema(defs) for kind in self.inner]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}

    def whole(self, value: Any, path: str) -> Any:
        if type(value) is not list or len(value) != len(self.inner):
            raise Mismatch(path, f"must be an array of {len(self.inner)}, not {shown(value)}")
        return tuple(self.inner[i].whole(item, f"{path}[{i}]") for i, item in enumerate(value))

    def made(self, value: Any, *, growing: bool) -> Any:
        if type(value) is not list:
            return None
        return tuple(
            remade(kind, value[i], growing=growing and i + 1 == len(value)) if i < len(value) else kind.missing()
            for i, kind in enumerate(self.inner)
        )


def remade(kind: Typed, value: Any, *, growing: bool) -> Any:
    """Give parsed JSON as a partial value of a kind, which was not known while it was read."""
    if type(value) is dict:
        value = {key: remade(kind.member(key), inner, growing=growing) for key, inner in value.items()}
    elif type(value) is list:
        value = [remade(kind.item(), inner, growing=growing) for inner in value]
    return kind.made(value, growing=growing)


@attrs.frozen
class Table(Typed):
    """A dict of any keys."""

    inner: Typed

    def schema(self, defs: dict[str, Any]) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.inner.schema(defs) or True}

    def whole(self, value: Any, path: str) -> Any:
        if type(value) is not dict:
            raise Mismatch(path, f"must be an object, not {shown(value)}")
        return {key: self.inner.whole(item, path_to(path, key)) for key, item in value.items()}

    def missing(self) -> Any:
        return {}

    def member(self, key: str) -> Typed:
        return self.inner

    def made(self, value: Any, *, growing: bool) -> Any:
        return value if type(value) is dict else {}
