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

from streamkit import lazy_attrs as attrs
from streamkit.docstrings import parse_docstring
from streamkit.errors import ConfigError, printable

__all__ = [
    "Member",
    "class_docs",
    "filled",
    "is_typed_dict",
    "is_unpacked",
    "members",
    "name_of",
    "named",
    "parameter_hints",
    "qualifier",
    "type_hints",
]


def type_hints(cls: Any) -> dict[str, Any]:
    """Give the annotations of a class, or of a generic one with its arguments, such as `Box[int]`, which are put in.

    Of a class inside a function, names are looked up in that function, too.

    Raises:
        ConfigError: they name what is not there, or the class is of a varying number of types.
    """
    origin = typing.get_origin(cls) or cls
    meanings = _meanings(origin, typing.get_args(cls))
    hints = _resolved(origin, origin, None)
    if not any(meanings.values()):
        return hints
    return {name: filled(hint, _of_member(name, meanings)) for name, hint in hints.items()}


def filled(annotation: Any, meanings: Mapping[Any, Any]) -> Any:
    """Give an annotation with what its type variables stand for in their places."""
    if isinstance(annotation, typing.TypeVar):
        return meanings.get(annotation, annotation)
    if isinstance(annotation, dataclasses.InitVar):
        return dataclasses.InitVar(filled(annotation.type, meanings))
    parameters = _parameters(annotation)
    if meanings.keys().isdisjoint(parameters):
        return annotation
    return annotation[tuple(meanings.get(one, one) for one in parameters)]


def _parameters(annotation: Any) -> tuple[Any, ...]:
    """Give the type variables that an annotation has in it. A generic class by itself has none, unless of pydantic."""
    of_pydantic = getattr(annotation, "__pydantic_generic_metadata__", None)
    if of_pydantic is not None:  # a model may be its own variables' model, Crate[T] being Crate
        return tuple(of_pydantic["parameters"])
    return () if typing.get_origin(annotation) is None else getattr(annotation, "__parameters__", ())


def _meanings(cls: Any, args: tuple[Any, ...]) -> dict[Any, dict[Any, Any]]:
    """Give what the type variables of a class, and of those that it is made from, stand for: the class comes first."""
    parameters = vars(cls).get("__parameters__", ())
    if not all(isinstance(one, typing.TypeVar) for one in parameters):
        raise ConfigError(f"{name_of(cls)} is generic in more than types: write the class out for those that you need")
    found = {cls: dict(zip(parameters, args, strict=False))}
    for base in vars(cls).get("__orig_bases__", cls.__bases__):
        origin = typing.get_origin(base) or base
        if isinstance(origin, type) and origin not in (object, typing.Generic):
            args = tuple(filled(arg, found[cls]) for arg in typing.get_args(base))
            found |= {one: meaning for one, meaning in _meanings(origin, args).items() if one not in found}
    return found


def _of_member(name: str, meanings: Mapping[Any, dict[Any, Any]]) -> Mapping[Any, Any]:
    """Give the meanings in the class that wrote the member; a TypedDict repeats those that it has from others."""
    having = [cls for cls in meanings if name in inspect.get_annotations(cls)]
    return meanings[having[-1 if is_typed_dict(having[0]) else 0]] if having else {}


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
    thing = typing.get_origin(owner) or owner
    found = _resolved(types.SimpleNamespace(__annotations__={"text": text}), thing, _names(thing))["text"]
    return filled(found, _meanings(thing, typing.get_args(owner))[thing] if isinstance(thing, type) else {})


def _names(owner: Any) -> dict[str, Any]:
    """What the module of a class or function calls by name."""
    module = sys.modules.get(getattr(owner, "__module__", None) or "")
    return getattr(inspect.unwrap(owner), "__globals__", None) or getattr(module, "__dict__", {})


def _resolved(thing: Any, owner: Any, names: dict[str, Any] | None) -> dict[str, Any]:
    try:
        return typing.get_type_hints(thing, names, _around(owner) or None, include_extras=True)
    except (NameError, TypeError, SyntaxError, AttributeError) as e:
        advice = _NO_TEXT if "InitVar" in str(e) else "import what they name outside TYPE_CHECKING"
        raise ConfigError(f"the annotations of {name_of(owner)} cannot be read: {e}; {advice}") from e


_NO_TEXT = "Python 3.10 reads InitVar only in a module without `from __future__ import annotations`"


def _around(thing: Any) -> Mapping[str, Any]:
    """The variables around a class or function that its module does not hold.

    These are its type parameters, and what the functions that it is written in have, where they run: the nearest first.
    """
    outer = getattr(thing, "__qualname__", "").split(".")[:-1]
    module = getattr(thing, "__module__", None)
    found: list[Mapping[str, Any]] = [_type_parameters(thing)]
    frame = inspect.currentframe() if "<locals>" in outer else None
    while frame is not None:
        if frame.f_code.co_name in outer and frame.f_globals.get("__name__") == module:
            found.append(frame.f_locals)
        frame = frame.f_back
    return collections.ChainMap(*map(dict, found))


def _type_parameters(thing: Any) -> dict[str, Any]:
    """What `class Box[T]` and `def first[T]` name, by name: Python 3.12 does not look there for a text."""
    owners = getattr(thing, "__mro__", (thing,))
    return {one.__name__: one for owner in reversed(owners) for one in getattr(owner, "__type_params__", ())}


def is_typed_dict(cls: type) -> bool:
    """Whether a class is a TypedDict, of `typing` or of `typing_extensions`."""
    return issubclass(cls, dict) and hasattr(cls, "__required_keys__")


def is_unpacked(annotation: Any) -> bool:
    """Whether it stands for several types: `*tuple[int, ...]`, or `Unpack` of that."""
    return getattr(annotation, "__unpacked__", False) or getattr(typing.get_origin(annotation), "_name", "") == "Unpack"


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
        yield from _of_dataclass(cls, hints)
    elif is_typed_dict(cls):
        for name, hint in hints.items():
            yield Member(name, name, _is_required(hint, default=name in cls.__required_keys__))
    else:
        for name in cls._fields:
            yield Member(name, name, name not in cls._field_defaults)


def _of_dataclass(cls: Any, hints: Mapping[str, Any]) -> Iterator[Member]:
    """Give what its `__init__` takes: fields, and what is for `__post_init__` only (`InitVar`), in order."""
    of_pydantic = getattr(cls, "__pydantic_fields__", {})
    stored = dataclasses.fields(cls)
    for f in cls.__dataclass_fields__.values():
        if not f.init or (f not in stored and not isinstance(hints.get(f.name), dataclasses.InitVar)):
            continue
        missing = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        info = of_pydantic.get(f.name)
        if info is None:
            yield Member(f.name, f.name, missing, _described(f.metadata))
        else:
            yield Member(info.alias or f.name, f.name, info.is_required(), info.description or "")


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
