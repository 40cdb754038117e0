"""The parameters of functions as the members of a JSON object: what tools are made of."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

from streamkit import lazy_attrs as attrs
from streamkit.docstrings import parse_docstring
from streamkit.errors import ConfigError
from streamkit.typed.hints import parameter_hints
from streamkit.typed.reader import Reader
from streamkit.typed.records import Field, Record

__all__ = ["TypedArguments", "parameters_of", "typed_arguments"]


@attrs.frozen(kw_only=True)
class TypedArguments:
    """The parameters of a function, as the members of a JSON object."""

    name: str
    description: str
    schema: dict[str, Any]
    _record: Record

    def read(self, arguments: Any) -> dict[str, Any]:
        """Give keyword arguments, checked and made, of a parsed object; raise `Mismatch` where it does not fit."""
        return self._record.arguments(arguments)


def typed_arguments(function: Callable[..., Any], *, hidden: type) -> tuple[TypedArguments, tuple[str, ...]]:
    """Give what a function takes, and the names of the parameters of type `hidden`, which are left out.

    Raises:
        ConfigError: a parameter has no annotation, cannot be given by name, or is of a type that is no JSON.
    """
    name = getattr(function, "__name__", type(function).__name__)
    summary, said = parse_docstring(inspect.getdoc(function))
    hints = parameter_hints(function)
    reader = Reader(all_required=False, owner=function)
    found = Record(name, function, None, all_required=False)
    unseen: list[str] = []
    for parameter in _parameters(name, function):
        if parameter.name not in hints:
            instead = f"add one, such as {parameter.name}: str"
            if parameter.name == "self":
                instead = "give the bound method, as in tool(object.method)"
            raise ConfigError(f"{name}({parameter}): the parameter has no annotation: {instead}")
        annotation = hints[parameter.name]
        if _is_or_holds(annotation, hidden):
            unseen.append(parameter.name)
            continue
        found.fields[parameter.name] = Field(
            name=parameter.name,
            attribute=parameter.name,
            kind=reader.read(annotation),
            required=parameter.default is parameter.empty,
            description=said.get(parameter.name, ""),
        )
    return TypedArguments(name=name, description=summary, schema=_schema(found), record=found), tuple(unseen)


def parameters_of(function: Callable[..., Any], cls: type) -> tuple[str, ...]:
    """Give the names of a function's parameters that are annotated with a class; of what says nothing, none."""
    try:
        hints = parameter_hints(function)
    except ConfigError:
        return ()
    return tuple(name for name, hint in hints.items() if _is_or_holds(hint, cls))


def _is_or_holds(annotation: Any, cls: type) -> bool:
    """Whether an annotation is this class, or the class or None, or the class annotated."""
    return annotation is cls or any(_is_or_holds(arg, cls) for arg in typing.get_args(annotation))


def _parameters(name: str, function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError as e:
        raise ConfigError(f"the parameters of {name} cannot be read: {e}; write a function around it") from e
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ConfigError(f"{name}({parameter}): a tool's parameters are given by name; give it a plain one")
    return parameters


def _schema(record: Record) -> dict[str, Any]:
    defs: dict[str, Any] = {}
    schema = record.own_schema(defs)
    return {**schema, "$defs": defs} if defs else schema
