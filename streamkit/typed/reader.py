"""typed: what annotations are as JSON."""

from __future__ import annotations

import base64
import collections
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import functools
import itertools
import pathlib
import re
import types
import typing
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamkit import lazy_attrs as attrs
from streamkit.errors import ConfigError, printable
from streamkit.typed.hints import (
    class_docs,
    filled,
    is_typed_dict,
    is_unpacked,
    members,
    name_of,
    named,
    qualifier,
    type_hints,
)
from streamkit.typed.kinds import ANYTHING, NULL, Choice, Many, Parsed, Row, Scalar, Table, Typed
from streamkit.typed.records import Field, PydanticModel, Record
from streamkit.typed.unions import Described, Either

__all__ = ["Reader", "typed"]


def typed(annotation: Any) -> Typed:
    """Give what a type is as JSON. All members of its classes are asked for, also those that have a default.

    Raises:
        ConfigError: it cannot be put into a JSON Schema.
    """
    return Reader(all_required=True).read(annotation)


class Reader:
    """Reads annotations; each class once, so that one may contain itself."""

    def __init__(self, *, all_required: bool, owner: Any = None) -> None:
        self._all_required = all_required
        self._owners = [] if owner is None else [owner]  # the function or classes whose annotations are being read
        self._known: dict[Any, Record | PydanticModel] = {}
        self._aliases: list[Any] = []  # those that are being read

    def read(self, annotation: Any) -> Typed:
        """Give what it is as JSON; `ConfigError` where it is none."""
        known: Typed | None = _known(_SCALARS, annotation) or _known(self._known, annotation)
        if known is not None:
            return known
        origin, args = typing.get_origin(annotation), typing.get_args(annotation)
        if isinstance(annotation, (str, typing.ForwardRef)):
            return self.read(self._named(annotation))
        if isinstance(annotation, typing.TypeVar):
            return self._variable(annotation)
        if hasattr(annotation, "__supertype__"):  # NewType
            return self.read(annotation.__supertype__)
        if isinstance(annotation, dataclasses.InitVar):
            return self.read(annotation.type)
        if getattr(annotation, "_name", None) == "Self" and self._owners:
            return self.read(self._owners[-1])
        if type(origin or annotation).__name__ == "TypeAliasType":
            return self._alias(annotation)
        if origin is typing.Annotated:
            return self._annotated(args[0], annotation.__metadata__)
        if qualifier(annotation):
            return self.read(args[0])
        if origin is typing.Literal:
            return _choice(annotation, [(one.value if isinstance(one, enum.Enum) else one, one) for one in args])
        if origin in (typing.Union, types.UnionType):
            return Either(tuple(self.read(arg) for arg in args))
        return self._container(origin or annotation, args) or self._class(annotation)

    def _variable(self, variable: typing.TypeVar) -> Typed:
        """Without a type in its place it is of any that it allows."""
        if variable.__constraints__:
            return Either(tuple(self.read(one) for one in variable.__constraints__))
        return self.read(variable.__bound__ or Any)

    def _named(self, text: str | typing.ForwardRef) -> Any:
        name = text if isinstance(text, str) else text.__forward_arg__
        if not self._owners:
            raise ConfigError(f"{printable(name, 200)!r} is a text, which may mean anything here: give the type itself")
        return named(name, self._owners[-1])

    def _alias(self, annotation: Any) -> Typed:
        alias = typing.get_origin(annotation) or annotation
        if any(alias is one for one in self._aliases):
            raise ConfigError(f"the type {name_of(alias)} refers to itself: make it a class, which may")
        self._aliases.append(alias)
        try:
            return self.read(filled(alias.__value__, _arguments(alias, annotation)))
        finally:
            self._aliases.pop()

    def _annotated(self, annotation: Any, metadata: Sequence[Any]) -> Typed:
        inner = self.read(annotation)
        said = (getattr(one, "description", getattr(one, "documentation", one)) for one in metadata)
        texts = [text for text in said if isinstance(text, str)]
        return Described(inner, texts[0]) if texts else inner

    def _container(self, origin: Any, args: tuple[Any, ...]) -> Typed | None:
        if any(map(is_unpacked, args)):
            raise ConfigError("a tuple of a varying number of types cannot be put into a JSON Schema: use list[...]")
        if origin is tuple and args and args[-1] is not Ellipsis:
            return Row(tuple(self.read(arg) for arg in args))
        make = _known(_CONTAINERS, origin)
        if make is not None:
            return Many(self.read(args[0]) if args else ANYTHING, make)
        if origin in _TABLES:
            if args and not _is_key(self.read(args[0])):
                raise ConfigError(f"the keys of a JSON object are str, not {name_of(args[0])}: use dict[str, ...]")
            return Table(self.read(args[1]) if args else ANYTHING)
        return None

    def _class(self, annotation: Any) -> Typed:
        cls = typing.get_origin(annotation) or annotation
        if not isinstance(cls, type):
            raise ConfigError(
                f"{printable(str(annotation), 200)} cannot be put into a JSON Schema: use str, int, float, bool, "
                "Literal, an Enum, list, dict, an attrs class, a dataclass, a TypedDict or a pydantic model"
            )
        if issubclass(cls, enum.Enum):
            return _choice(cls, [(member.value, member) for member in cls])
        if hasattr(cls, "model_json_schema") and hasattr(cls, "model_validate"):
            return self._pydantic(cls)
        if is_typed_dict(cls):
            return self._record(annotation, make=dict, partial=None)
        if attrs.has(cls) or dataclasses.is_dataclass(cls):
            return self._record(annotation, make=cls, partial=functools.partial(_without_init, cls))
        if issubclass(cls, tuple) and hasattr(cls, "_fields"):
            return self._record(annotation, make=cls, partial=lambda values: tuple.__new__(cls, values.values()))
        raise ConfigError(
            f"{name_of(cls)} cannot be put into a JSON Schema: make it an attrs class, a dataclass, a TypedDict or a "
            "pydantic model"
        )

    def _record(
        self, annotation: Any, *, make: Callable[..., Any], partial: Callable[[dict[str, Any]], Any] | None
    ) -> Record:
        if len(self._owners) > _DEEPEST:
            raise ConfigError(f"{name_of(self._owners[0])} contains classes in classes without end: nest them less")
        cls = typing.get_origin(annotation) or annotation
        summary, said = class_docs(cls)
        found = Record(self._name_for(annotation), make, partial, summary, all_required=self._all_required)
        self._known[annotation] = found
        hints = type_hints(annotation)
        self._owners.append(annotation)
        for member in members(cls, hints):
            found.fields[member.name] = Field(
                name=member.name,
                attribute=member.attribute,
                kind=self.read(hints.get(member.attribute, Any)),
                required=member.required,
                description=member.description or said.get(member.attribute, ""),
            )
        self._owners.pop()
        return found

    def _name_for(self, annotation: Any) -> str:
        """Two classes may have the same name."""
        plain = re.sub(r"[^\w-]+", "_", _spelt(annotation))
        taken = {known.name for known in self._known.values()}
        names = itertools.chain((plain,), (f"{plain}{n}" for n in itertools.count(2)))
        return next(name for name in names if name not in taken)

    def _pydantic(self, cls: Any) -> PydanticModel:
        found = PydanticModel(self._name_for(cls), cls, all_required=self._all_required)
        self._known[cls] = found
        for attribute, info in cls.model_fields.items():
            names = (info.validation_alias, info.alias, attribute)
            name = next(name for name in names if isinstance(name, str))
            found.fields[name] = Field(
                name=name, attribute=attribute, kind=self._lenient(info.annotation), required=info.is_required()
            )
        if getattr(cls, "__pydantic_root_model__", False):
            found.root.append(found.fields["root"].kind)
        return found

    def _lenient(self, annotation: Any) -> Typed:
        """What a model of pydantic's holds may be more than we know; then its partial values are JSON as it is."""
        try:
            return self.read(annotation)
        except ConfigError:
            return ANYTHING


def _arguments(alias: Any, annotation: Any) -> dict[Any, Any]:
    return dict(zip(alias.__type_params__, typing.get_args(annotation), strict=False))


def _spelt(annotation: Any) -> str:
    """The name of a class with those of its arguments: Box_int."""
    origin = typing.get_origin(annotation) or annotation
    names = (getattr(origin, "__name__", str(origin)), *map(_spelt, typing.get_args(annotation)))
    return "_".join(names)[:_LONGEST_NAME]


def _is_key(kind: Typed) -> bool:
    kind = kind.inner if isinstance(kind, Described) else kind
    return kind in (_SCALARS[str], ANYTHING)


def _known(table: Mapping[Any, Any], annotation: Any) -> Any:
    try:
        return table.get(annotation)
    except TypeError:  # not hashable
        return None


def _choice(annotation: Any, values: list[tuple[Any, Any]]) -> Choice:
    if not values or not all(isinstance(value, (str, int, float, type(None))) for value, _ in values):
        raise ConfigError(
            f"{name_of(annotation)} must have values, and such as JSON has: str, int, float, bool or None"
        )
    return Choice(tuple((_plain(value), one) for value, one in values))


def _plain(value: Any) -> Any:
    """A value as JSON has it, which may be of a subclass of str or int, such as another enum."""
    if isinstance(value, str):
        return str.__str__(value)
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _without_init(cls: Any, values: Mapping[str, Any]) -> Any:
    try:
        made = cls.__new__(cls)
    except TypeError:
        return None  # it wants more than its members to be made
    for field in attrs.fields(cls) if attrs.has(cls) else dataclasses.fields(cls):
        object.__setattr__(made, field.name, values.get(field.name))
    return made


# -- what is known beforehand

_DEEPEST = 50
"""Classes in classes. A generic class may contain itself around another argument each time."""
_LONGEST_NAME = 50
_DURATION = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", re.ASCII)


def _date_time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(_iso(text))


def _time(text: str) -> datetime.time:
    return datetime.time.fromisoformat(_iso(text))


def _iso(text: str) -> str:
    """A text of RFC 3339 as Python 3.10 reads it: no Z, and six digits of a second's fraction."""
    text = re.sub(r"[zZ]$", "+00:00", text)
    return re.sub(r"\.(\d+)", lambda found: f".{found[1][:6]:0<6}", text)


def _duration(text: str) -> datetime.timedelta:
    """A duration of ISO 8601; years and months have no length of their own."""
    found = _DURATION.fullmatch(text)
    if found is None or not any(found.groups()):
        raise ValueError(text)
    weeks, days, hours, minutes, seconds = (float(one or 0) for one in found.groups())
    return datetime.timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


_SCALARS: dict[Any, Typed] = {
    str: Scalar(str, "string"),
    int: Scalar(int, "integer"),
    float: Scalar(float, "number"),
    bool: Scalar(bool, "boolean"),
    None: NULL,
    type(None): NULL,
    Any: ANYTHING,
    object: ANYTHING,
    datetime.datetime: Parsed(datetime.datetime, {"type": "string", "format": "date-time"}, _date_time),
    datetime.date: Parsed(datetime.date, {"type": "string", "format": "date"}, datetime.date.fromisoformat),
    datetime.time: Parsed(datetime.time, {"type": "string", "format": "time"}, _time),
    datetime.timedelta: Parsed(datetime.timedelta, {"type": "string", "format": "duration"}, _duration),
    uuid.UUID: Parsed(uuid.UUID, {"type": "string", "format": "uuid"}, uuid.UUID),
    decimal.Decimal: Parsed(decimal.Decimal, {"type": ["number", "string"]}, decimal.Decimal, takes=(str, int, float)),
    bytes: Parsed(bytes, {"type": "string"}, _bytes),
    **{cls: Parsed(cls, {"type": "string"}, cls) for cls in (pathlib.Path, pathlib.PurePath, pathlib.PurePosixPath)},
}

_CONTAINERS: dict[Any, Callable[[list[Any]], Any]] = {
    list: list,
    collections.deque: collections.deque,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.Iterable: list,
    collections.abc.Collection: list,
    collections.abc.MutableSequence: list,
    collections.abc.Set: frozenset,
    collections.abc.MutableSet: set,
}
_TABLES = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
