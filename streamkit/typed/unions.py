# ruff: noqa: D102  # the methods are those of Typed, and described there
"""The kinds that are around others: types of which a value is one, and types with a description."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamkit import lazy_attrs as attrs
from streamkit.instance import Mismatch
from streamkit.typed.kinds import ANYTHING, NULL, Choice, Many, Row, Scalar, Table, Typed, remade, with_text
from streamkit.typed.records import PydanticModel, Record

__all__ = ["Described", "Either"]


@attrs.frozen
class Either(Typed):
    """The first of some types that a value is of.

    Partial values of more than one type, and None, are JSON as it is until they have closed.
    """

    inner: tuple[Typed, ...]

    def schema(self, defs: dict[str, Any]) -> dict[str, Any]:
        schemas: list[dict[str, Any]] = []
        for kind in self.inner:
            schema = kind.schema(defs)
            if schema not in schemas:
                schemas.append(schema)
        if len(schemas) == 1:
            return schemas[0]
        if all(set(schema) == {"type"} and isinstance(schema["type"], str) for schema in schemas):
            return {"type": [schema["type"] for schema in schemas]}
        return {"anyOf": schemas}

    def whole(self, value: Any, path: str) -> Any:
        failures: list[Mismatch] = []
        for kind in _exact(self.inner, value) or _likely(self.inner, value) or self.inner:
            try:
                return kind.whole(value, path)
            except Mismatch as e:
                failures.append(e)
        # The type that was meant is most likely that in which the offence lies deepest.
        deepest = max(failures, key=lambda e: len(e.path))
        if len(failures) == 1 or len(deepest.path) > len(path):
            raise deepest
        raise Mismatch(path, " or ".join(dict.fromkeys(e.message for e in failures)))

    def _some(self) -> list[Typed]:
        return [kind for kind in self.inner if kind != NULL]

    def _only(self) -> Typed:
        some = self._some()
        return some[0] if len(some) == 1 else ANYTHING

    def member(self, key: str) -> Typed:
        return self._only().member(key)

    def item(self) -> Typed:
        return self._only().item()

    def made(self, value: Any, *, growing: bool) -> Any:
        some = self._some()
        if value is None:
            return None
        if len(some) == 1:
            return some[0].made(value, growing=growing)
        if growing:
            return value
        kinds = _exact(some, value) or [kind for kind in _likely(some, value) if _has_all(kind, value)]
        try:
            if len(kinds) > 1:
                kinds = [kind for kind in kinds if _takes(kind, value)] or kinds
            return remade(kinds[0], value, growing=False) if kinds else value
        except RecursionError:
            return value


def _exact(kinds: Sequence[Typed], value: Any) -> list[Typed]:
    return [kind for kind in kinds if isinstance(kind, Scalar) and kind.python is type(value)]


def _likely(kinds: Sequence[Typed], value: Any) -> list[Typed]:
    """Those that a value may be of at first sight. It spares a deep look into each, at each level of a tree."""
    return [kind for kind in kinds if _may_be(kind, value)]


def _may_be(kind: Typed, value: Any) -> bool:
    """Whether the bracket is right, and what tells classes apart: members that are of few values."""
    if isinstance(kind, Described):
        return _may_be(kind.inner, value)
    if isinstance(kind, Either):
        return any(_may_be(one, value) for one in kind.inner)
    if isinstance(kind, (Many, Row)):
        return type(value) is list
    if isinstance(kind, (Record, PydanticModel)):
        if type(value) is not dict:
            return isinstance(kind, PydanticModel) and bool(kind.root)
        return all(_is_tag(kind.member(key), member) for key, member in value.items())
    if isinstance(kind, Table):
        return type(value) is dict
    return kind is ANYTHING or _takes(kind, value)


def _is_tag(kind: Typed, value: Any) -> bool:
    while isinstance(kind, Described):
        kind = kind.inner
    return not isinstance(kind, Choice) or _takes(kind, value)


def _takes(kind: Typed, value: Any) -> bool:
    try:
        kind.whole(value, "$")
    except Mismatch:
        return False
    return True


def _has_all(kind: Typed, value: Any) -> bool:
    """Whether an object has all members of a class that it must have, and no others."""
    while isinstance(kind, Described):
        kind = kind.inner
    if not isinstance(kind, (Record, PydanticModel)) or type(value) is not dict:
        return True
    required = {name for name, field in kind.fields.items() if field.required}
    return required <= value.keys() <= kind.fields.keys()


@attrs.frozen
class Described(Typed):
    """A type with a description, from `Annotated[T, "description"]`."""

    inner: Typed
    description: str

    def schema(self, defs: dict[str, Any]) -> dict[str, Any]:
        schema = self.inner.schema(defs)
        schema.pop("description", None)  # the nearer text counts
        return with_text(schema, self.description)

    def whole(self, value: Any, path: str) -> Any:
        return self.inner.whole(value, path)

    def missing(self) -> Any:
        return self.inner.missing()

    def member(self, key: str) -> Typed:
        return self.inner.member(key)

    def item(self) -> Typed:
        return self.inner.item()

    def made(self, value: Any, *, growing: bool) -> Any:
        return self.inner.made(value, growing=growing)
