# ruff: noqa: D102  # the methods are those of Typed, and described there
"""The kinds of JSON objects that are classes in Python: records, whose members we read, and pydantic models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamkit import lazy_attrs as attrs
from streamkit.errors import ConfigError, printable
from streamkit.instance import Mismatch, path_to, shown
from streamkit.typed.kinds import ANYTHING, Typed, with_text

__all__ = ["Field", "PydanticModel", "Record"]


@attrs.frozen(kw_only=True)
class Field:
    """A member of an object: `name` as in JSON and as its maker takes it, `attribute` as it is stored."""

    name: str
    attribute: str
    kind: Typed
    required: bool = True
    description: str = ""


@attrs.define(eq=False)
class Record(Typed):
    """An object with fixed members. Its fields are filled in after it is made: it may contain itself."""

    name: str
    make: Callable[..., Any]
    partial: Callable[[dict[str, Any]], Any] | None  # makes one of all its attributes, unchecked; None: it is a dict
    description: str = ""
    fields: dict[str, Field] = attrs.field(factory=dict)
    all_required: bool = True

    def schema(self, defs: dict[str, Any]) -> dict[str, Any]:
        if self.name not in defs:
            defs[self.name] = {}  # for a class that contains itself
            defs[self.name] = self.own_schema(defs)
        return {"$ref": f"#/$defs/{self.name}"}

    def own_schema(self, defs: dict[str, Any]) -> dict[str, Any]:
        """Give its schema itself, not a reference to it."""
        properties = {name: with_text(f.kind.schema(defs), f.description) for name, f in self.fields.items()}
        return {
            "type": "object",
            **({"description": self.description} if self.description else {}),
            "properties": properties,
            "required": [name for name, f in self.fields.items() if f.required or self.all_required],
            "additionalProperties": False,
        }

    def whole(self, value: Any, path: str) -> Any:
        try:
            values = self.arguments(value, path)
        except RecursionError:
            raise Mismatch(path, "is nested too deeply") from None
        try:
            return self.make(**values)
        except Exception as e:  # a validator or converter of the class
            raise Mismatch(path, printable(str(e), 300) or type(e).__name__) from e

    def arguments(self, value: Any, path: str = "$") -> dict[str, Any]:
        """Give the members, checked and made, by name."""
        if type(value) is not dict:
            raise Mismatch(path, f"must be an object, not {shown(value)}")
        for name in value:
            if name not in self.fields:
                known = ", ".join(self.fields) or "no members"
                raise Mismatch(path_to(path, name), f"is unknown: {self.name} has {known}")
        for name, field in self.fields.items():
            if field.required and name not in value:
                raise Mismatch(path_to(path, name), "is missing")
        return {name: self.fields[name].kind.whole(member, path_to(path, name)) for name, member in value.items()}

    def missing(self) -> Any:
        return None if self.partial else {}

    def member(self, key: str) -> Typed:
        field = self.fields.get(key)
        return ANYTHING if field is None else field.kind

    def made(self, value: Any, *, growing: bool) -> Any:
        if type(value) is not dict:
            return self.missing()
        if self.partial is None:
            return value
        return self.partial(
            {f.attribute: value[name] if name in value else f.kind.missing() for name, f in self.fields.items()}
        )


@attrs.frozen(eq=False)
class PydanticModel(Typed):
    """A pydantic model says its schema, and checks and makes its values, itself."""

    name: str
    cls: Any
    fields: dict[str, Field] = attrs.field(factory=dict)
    all_required: bool = True
    root: list[Typed] = attrs.field(factory=list)
    """Of a RootModel, the one kind that it is around."""

    def schema(self, defs: dict[str, Any]) -> dict[str, Any]:
        """Give what pydantic says; `ConfigError` where it cannot."""
        if self.name not in defs:
            # Its own definitions are named after it: another class may be called as one of them.
            try:
                schema = self.cls.model_json_schema(ref_template=f"#/$defs/{self.name}.{{model}}")
            except Exception as e:  # of pydantic's, or of a type's own hook
                raise ConfigError(f"{self.name} cannot be put into a JSON Schema: {printable(str(e), 300)}") from e
            if self.all_required:
                schema = _closed(schema)
            defs |= {f"{self.name}.{name}": inner for name, inner in schema.pop("$defs", {}).items()}
            if set(schema) == {"$ref"}:
                return dict(schema)  # it contains itself
            defs[self.name] = schema
        return {"$ref": f"#/$defs/{self.name}"}

    def whole(self, value: Any, path: str) -> Any:
        import pydantic

        try:
            return self.cls.model_validate(value)
        except pydantic.ValidationError as e:
            first = e.errors()[0]
            for key in first["loc"]:
                path = path_to(path, key)
            raise Mismatch(path, first["msg"]) from e
        except Exception as e:  # another error of a validator of the model
            raise Mismatch(path, printable(str(e), 300) or type(e).__name__) from e

    def member(self, key: str) -> Typed:
        if self.root:
            return self.root[0].member(key)
        field = self.fields.get(key)
        return ANYTHING if field is None else field.kind

    def item(self) -> Typed:
        return self.root[0].item() if self.root else ANYTHING

    def made(self, value: Any, *, growing: bool) -> Any:
        if self.root:
            return self._without_init({"root": self.root[0].made(value, growing=growing)}, {"root"})
        if type(value) is not dict:
            return None
        values = {f.attribute: value[name] if name in value else f.kind.missing() for name, f in self.fields.items()}
        return self._without_init(values, {f.attribute for name, f in self.fields.items() if name in value})

    def _without_init(self, values: dict[str, Any], given: set[str]) -> Any:
        """Make one as unpickling does: `model_construct` would run `model_post_init`, which expects whole values."""
        made = self.cls.__new__(self.cls)
        made.__setstate__(
            {
                "__dict__": values,
                "__pydantic_fields_set__": given,
                "__pydantic_extra__": None,
                "__pydantic_private__": None,
            }
        )
        return made


def _closed(schema: Any) -> Any:
    """Give pydantic's schema as those of other classes are: every member asked for, no others, references alone."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _named(value) if key in ("properties", "$defs") else _closed(value) for key, value in schema.items()}
    closed.pop("default", None)  # every member comes
    if isinstance(schema.get("properties"), dict):
        closed["required"] = list(schema["properties"])
        closed.setdefault("additionalProperties", False)
    if "$ref" in closed and len(closed.keys() - {"$defs"}) > 1:
        closed["anyOf"] = [{"$ref": closed.pop("$ref")}]
    return closed


def _named(schemas: dict[str, Any]) -> dict[str, Any]:
    """The names are not keywords."""
    return {name: _closed(schema) for name, schema in schemas.items()}
