"""What annotations and docstrings of classes and functions say, read without a thought of JSON."""

from __future__ import annotations

import collections
import dataclasses
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from streamkit.docstrings import parse_docstring
from streamkit.errors import ConfigError, printable

__all__ = [
    "Member",
    "class_docs",
    "is_typed_dict",
    "members",
    "name_of",
    "named",
    "parameter_hints",
    "qualifier",
    "type_hints",
]


def type_hints(cls: type) -> dict[str, Any]:
    """Give the annotations of a class; of one inside a function, names are looked up in that function, too.

    Raises:
        ConfigError: they name what is not there.
    """
    return _resolved(cls, cls, None)


def parameter_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Give the annotations of a function's parameters; what it returns may be named for type checkers only.

    Raises:
        ConfigError: they name what is not there.
    """
    if not hasattr(function, "__annotations__"):
        function = type(function).__call__  # an object that can be called
    said = {name: hint for name, hint in getattr(function, "__annotations__", {}).items() if name != "return"}
    return _resolved(types.SimpleNamespace(__annotations__=said), function, _names(function))


def named(text: str, owner: Any) -> Any:
    """Give what a text in an annotation of a class or function means: Python 3.10 does not look into list["Doc"].

    Raises:
        ConfigError: it names what is not there.
    """
    return _resolved(types.SimpleNamespace(__annotations__={"text": text}), owner, _names(owner))["text"]


def _names(owner: Any) -> dict[str, Any]:
    """What the module of a class or function calls by name."""
    module = sys.modules.get(getattr(owner, "__module__", None) or "")
    return getattr(inspect.unwrap(owner), "__globals__", None) or getattr(module, "__dict__", {})


def _resolved(thing: Any, owner: Any, names: dict[str, Any] | None) -> dict[str, Any]:
    try:
        return typing.get_type_hints(thing, names, _around(owner) or None, include_extras=True)
    except (NameError, TypeError, SyntaxError, AttributeError) as e:
        raise ConfigError(
            f"the annotations of {name_of(owner)} cannot be read: {e}; import what they name outside TYPE_CHECKING"
        ) from e


def _around(thing: Any) -> Mapping[str, Any]:
    """The variables of the functions that a class or function is written in, where they are running: the nearest first.

    Its module does not hold them.
    """
    outer = getattr(thing, "__qualname__", "").split(".")[:-1]
    module = getattr(thing, "__module__", None)
    found: list[Mapping[str, Any]] = []
    frame = inspect.currentframe() if "<locals>" in outer else None
    while frame is not None:
        if frame.f_code.co_name in outer and frame.f_globals.get("__name__") == module:
            found.append(frame.f_locals)
        frame = frame.f_back
    return collections.ChainMap(*map(dict, found)) if found else {}


def is_typed_dict(cls: type) -> bool:
    """Whether a class is a TypedDict, of `typing` or of `typing_extensions`."""
    return issubclass(cls, dict) and hasattr(cls, "__required_keys__")


def qualifier(annotation: Any) -> str:
    """Give "Required" and its kin for what says something of the member rather than of its type; else ""."""
    origin = typing.get_origin(annotation)
    name = getattr(origin, "_name", None) or getattr(origin, "__name__", "")
    return name if name in ("Required", "NotRequired", "ReadOnly", "Final", "ClassVar") else ""


@attrs.frozen
class Member:
    """A member of a class: its name in JSON, the attribute, whether it must be given, and its description."""

    name: str
    attribute: str
    required: bool
    description: str = ""


def members(cls: Any, hints: Mapping[str, Any]) -> Iterator[Member]:
    """Give the members of an attrs class, a dataclass, a TypedDict or a named tuple, in order."""
    if attrs.has(cls):
        for a in attrs.fields(cls):
            if a.init:
                yield Member(a.alias or a.name, a.name, a.default is attrs.NOTHING, _described(a.metadata))
    elif dataclasses.is_dataclass(cls):
        for f in dataclasses.fields(cls):
            if f.init:
                missing = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
                yield Member(f.name, f.name, missing, _described(f.metadata))
    elif is_typed_dict(cls):
        for name, hint in hints.items():
            yield Member(name, name, _is_required(hint, default=name in cls.__required_keys__))
    else:
        for name in cls._fields:
            yield Member(name, name, name not in cls._field_defaults)


def _described(metadata: Mapping[Any, Any]) -> str:
    text = metadata.get("description")
    return text if isinstance(text, str) else ""


def _is_required(hint: Any, *, default: bool) -> bool:
    """Written as text, Required and NotRequired are not in `__required_keys__`."""
    while (said := qualifier(hint)) or typing.get_origin(hint) is typing.Annotated:
        if said in ("Required", "NotRequired"):
            return said == "Required"
        hint = typing.get_args(hint)[0]
    return default


def class_docs(cls: type) -> tuple[str, dict[str, str]]:
    """Give the summary of a class's own docstring, and the texts of its members."""
    text = cls.__dict__.get("__doc__")
    if not isinstance(text, str) or text.startswith(f"{cls.__name__}("):
        return "", {}  # the dataclass decorator wrote it
    return parse_docstring(text)


def name_of(thing: Any) -> str:
    """Give the name of a class or function for a message."""
    return printable(str(getattr(thing, "__qualname__", thing)), 200)
