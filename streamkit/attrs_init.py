"""The fields of a class that `lazy_attrs` makes, and the `__init__` that is written for them.

It takes the same arguments as that of attrs and does the same in the same order: defaults, converters, all fields set,
then what checks them, then `__attrs_post_init__`.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FunctionType, MemberDescriptorType
from typing import Any

__all__ = ["UNSET", "Field", "write_init"]


_WIDE = 8
"""The most fields that are set one by one. To write the function with a loop takes half the time, to call it 0.3 µs."""


class _Unset:
    def __repr__(self) -> str:
        return "NOTHING"  # as attrs has it in signatures


UNSET: Any = _Unset()
"""No value: in the signature of an `__init__`, that the default is made when it is called."""


class Field:
    """What a class says of one of its fields. Functions that check it get it for an `attrs.Attribute`.

    Args:
        options: the arguments of `attrs.field`.
    """

    __slots__ = ("alias", "annotation", "kw_only", "method", "name", "options")

    name: str
    alias: str
    """Its name as an argument."""
    annotation: str
    kw_only: bool

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.method: Callable[[Any], Any] | None = None

    def stands(self, name: str, annotation: str, *, kw_only: bool) -> None:
        """Take note of where it stands in the class."""
        self.name, self.alias = name, name.lstrip("_")
        self.annotation = annotation
        self.kw_only = kw_only

    @property
    def is_argument(self) -> bool:
        """Whether `__init__` takes it."""
        return bool(self.options.get("init", True))

    @property
    def checks(self) -> list[Callable[..., None]]:
        """What checks its value."""
        checks = self.options.get("validator", [])
        return checks if isinstance(checks, list) else [checks]

    def default(self, method: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Make a method give the default: a decorator within the class."""
        self.method = method
        return method

    def validator(self, check: Callable[..., None]) -> Callable[..., None]:
        """Make a method check the value: a decorator within the class."""
        self.options["validator"] = [*self.checks, check]
        return check


def write_init(cls: type, name: str, fields: Sequence[Field]) -> Callable[..., None]:
    """Write the function that makes a new instance of a class, whose slots must be there.

    Args:
        cls: the class.
        name: what the function is called.
        fields: the class's fields, in order.
    """
    arguments = [field for field in fields if field.is_argument]
    positional = [field for field in arguments if not field.kw_only]
    named = [field for field in arguments if field.kw_only]
    parameters = ["self", *(field.alias for field in positional)]
    if named:
        parameters += ["*", *(field.alias for field in named)]
    known: dict[str, Any] = {**vars(sys.modules.get(cls.__module__, builtins)), "_UNSET": UNSET}
    lines = [f"def {name}({', '.join(parameters)}):", *_lines(cls, fields, known), "return None"]
    exec("\n    ".join(lines), known)  # noqa: S102 - as attrs does: names of our own fields are all that is in it
    init: FunctionType = known[name]
    init.__qualname__ = f"{cls.__qualname__}.{name}"
    init.__defaults__ = tuple(_defaults(positional).values())
    init.__kwdefaults__ = _defaults(named)
    annotations = {field.alias: _annotation(field) for field in arguments}
    init.__annotations__ = {name: told for name, told in annotations.items() if told is not UNSET} | {"return": None}
    return init


def _annotation(field: Field) -> Any:
    """Give what the argument is annotated with: for one that is converted, what its converter takes."""
    if "converter" not in field.options:
        return field.annotation
    converter = field.options["converter"]
    if not isinstance(converter, FunctionType):
        return UNSET
    return converter.__annotations__.get(converter.__code__.co_varnames[0], UNSET)


def _lines(cls: type, fields: Sequence[Field], known: dict[str, Any]) -> Iterator[str]:
    """Give the lines of the function; what they name is put among the known. No argument begins with `_`."""
    values = {field.name: value for field in fields if (value := _value(field, known))}
    if "__setattr__" not in vars(cls):
        yield from (f"self.{name} = {value}" for name, value in values.items())
    elif len(values) <= _WIDE:
        known |= {f"_set_{name}": _setter(cls, name) for name in values}
        yield from (f"_set_{name}(self, {value})" for name, value in values.items())
    else:
        known["_setters"] = [_setter(cls, name) for name in values]
        yield f"for _set, _value in zip(_setters, ({', '.join(values.values())})): _set(self, _value)"
    if checks := [(check, field) for field in fields for check in field.checks]:
        known["_checks"] = checks
        known["_disabled"] = _checks_are_disabled
        yield "for _check, _field in () if _disabled() else _checks: _check(self, _field, getattr(self, _field.name))"
    if hasattr(cls, "__attrs_post_init__"):
        yield "self.__attrs_post_init__()"


def _value(field: Field, known: dict[str, Any]) -> str:
    """Give the expression for a field's value, "" where it has none."""
    name, options, value = field.name, field.options, ""
    if field.method is not None:
        known[f"_method_{name}"] = field.method
        value = f"_method_{name}(self)"
    elif "factory" in options:
        known[f"_factory_{name}"] = options["factory"]
        value = f"_factory_{name}()"
    if field.is_argument:
        value = f"({value} if {field.alias} is _UNSET else {field.alias})" if value else field.alias
    elif "default" in options:
        known[f"_default_{name}"] = options["default"]
        value = f"_default_{name}"
    if value and "converter" in options:
        known[f"_converter_{name}"] = options["converter"]
        value = f"_converter_{name}({value})"
    return value


def _checks_are_disabled() -> bool:
    """Whether somebody told attrs to check nothing."""
    get_disabled = getattr(sys.modules.get("attr.validators"), "get_disabled", None)
    return get_disabled is not None and bool(get_disabled())


def _setter(cls: type, name: str) -> Callable[[Any, Any], None]:
    """Give what sets a field past what forbids to change it later, or checks it."""
    slot = getattr(cls, name, None)
    if isinstance(slot, MemberDescriptorType):
        return slot.__set__  # takes 0.1 µs less for four fields than `object.__setattr__`
    return lambda self, value: object.__setattr__(self, name, value)


def _defaults(fields: Iterable[Field]) -> dict[str, Any]:
    defaults = {}
    for field in fields:
        if field.method is not None or "factory" in field.options:
            defaults[field.alias] = UNSET
        elif "default" in field.options:
            defaults[field.alias] = field.options["default"]
    return defaults
