"""JSON Schemas from types, and types from JSON Schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamkit import lazy_attrs as attrs
from streamkit.instance import check_instance
from streamkit.schema import check_schema, referred
from streamkit.typed.kinds import ANYTHING, Typed

__all__ = ["json_schema", "of_schema"]


def json_schema(shape: Typed) -> dict[str, Any]:
    """Give a whole schema: that of the shape, with the classes it refers to under `$defs`."""
    defs: dict[str, Any] = {}
    schema = shape.schema(defs)
    ref = schema.get("$ref", "")
    name = ref.removeprefix("#/$defs/")
    if name in defs:  # the root must say itself what it is; a schema that was given may refer to what it has itself
        schema = defs[name]
        if not _is_used(ref, defs):
            del defs[name]
    return {**schema, "$defs": defs} if defs else schema


def _is_used(ref: str, schema: Any) -> bool:
    if isinstance(schema, dict):
        return schema.get("$ref") == ref or any(_is_used(ref, value) for value in schema.values())
    return isinstance(schema, list) and any(_is_used(ref, value) for value in schema)


def of_schema(schema: Mapping[str, Any]) -> Typed:
    """Give what a JSON Schema says; `ConfigError`, with the path, where it is none."""
    check_schema(schema)
    return _Schema(schema, schema)


@attrs.frozen
class _Schema(Typed):
    """What a JSON Schema of the user's says. Partial values are JSON as it is."""

    own: Mapping[str, Any]
    root: Mapping[str, Any]

    def schema(self, defs: dict[str, Any]) -> dict[str, Any]:
        return dict(self.own)

    def whole(self, value: Any, path: str) -> Any:
        check_instance(value, self.own, path=path, root=self.root)
        return value

    def missing(self) -> Any:
        return {"array": [], "object": {}}.get(str(self._itself().get("type")))

    def item(self) -> Typed:
        inner = self._itself().get("items")
        return _Schema(inner, self.root) if isinstance(inner, Mapping) else ANYTHING

    def _itself(self) -> Mapping[str, Any]:
        """What it refers to, where it is a reference."""
        found: Any = self.own
        for _ in range(_LONGEST_CHAIN):
            ref = found.get("$ref") if isinstance(found, Mapping) else None
            if not isinstance(ref, str) or not ref.startswith("#"):
                break
            found = referred(ref, self.root)
        return found if isinstance(found, Mapping) else {}


_LONGEST_CHAIN = 20
"""References that may lead from one to another; longer ones lead in a circle."""
