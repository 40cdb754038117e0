"""The fields of a class that `lazy_attrs` makes, and the `__init__` that is written for them.

It takes the same arguments as that of attrs and does the same in the same order: defaults, converters, all fields set,
then what checks them, then `__attrs_post_init__`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import MemberDescriptorType
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

    __slots__ = ("annotation", "kw_only", "method", "name", "options")

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.method: Callable[[Any], Any] | None = None
        self.name = ""
        self.annotation: Any = None
        self.kw_only = False

    @property
    def alias(self) -> str:
        """Its name as an argument."""
        return self.name.lstrip("_")

    @property
    def is_argument(self) -> bool:
        """Whether `__init__` takes it."""
        return bool(self.options.get("init", True))

    @property
    def checks(self) -> list[Callable[..., None]]:
        """What checks its value."""
        checks = self.options.get("validator", [])
        return list(checks) if isinstance(checks, (list, tuple)) else [checks]

    def default(self, method: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Make a method give the default: a decorator within the class."""
        self.method = method
        return method

    def validator(self, check: Callable[..., None]) -> Callable[..., None]:
        """Make a method check the value: a decorator within the class."""
        self.options["validator"] = [*self.checks, check]
        return check


def write_init(cls: type, name: str, fields: Iterable[Field]) -> Callable[..., None]:
    """Write the function that makes a new instance of a class, whose slots must be there.

    Args:
        cls: the class.
        name: what the function is called.
        fields: the class's fields, in order.
    """
    fields = list(fields)
    known = _known(cls, fields)
    arguments = [field for field in fields if field.is_argument]
    positional = [_parameter(field) for field in arguments if not field.kw_only]
    named = [_parameter(field) for field in arguments if field.kw_only]
    parameters = ["self", *positional, *(["*", *named] if named else [])]
    lines = [f"def {name}({', '.join(parameters)}):", *_assignments(cls, fields)]
    if any(field.checks for field in fields):
        lines.append("for _check, _field in _checks: _check(self, _field, getattr(self, _field.name))")
    if hasattr(cls, "__attrs_post_init__"):
        lines.append("self.__attrs_post_init__()")
    exec("\n    ".join([*lines, "return None"]), known)  # noqa: S102 - as attrs does, of our own fields
    init: Callable[..., None] = known[name]
    init.__qualname__ = f"{cls.__qualname__}.{name}"
    told = {field.alias: field.annotation for field in arguments if "converter" not in field.options}
    init.__annotations__ = {**told, "return": None}
    return init


def _known(cls: type, fields: Iterable[Field]) -> dict[str, Any]:
    """Give the names that the function's text has for what belongs to the fields. No argument begins with `_`."""
    known: dict[str, Any] = {"__name__": cls.__module__, "_UNSET": UNSET}
    for field in fields:
        known[f"_set_{field.name}"] = _setter(cls, field.name)
        known[f"_method_{field.name}"] = field.method
        for option in ("converter", "default", "factory"):
            if option in field.options:
                known[f"_{option}_{field.name}"] = field.options[option]
    known["_checks"] = [(check, field) for field in fields for check in field.checks]
    return known


def _setter(cls: type, name: str) -> Callable[[Any, Any], None]:
    slot = getattr(cls, name, None)
    if isinstance(slot, MemberDescriptorType):
        return slot.__set__  # takes 0.1 µs less for four fields than `object.__setattr__`
    return lambda self, value: object.__setattr__(self, name, value)


def _parameter(field: Field) -> str:
    if field.method is not None or "factory" in field.options:
        return f"{field.alias}=_UNSET"
    return f"{field.alias}=_default_{field.name}" if "default" in field.options else field.alias


def _assignments(cls: type, fields: Iterable[Field]) -> Iterator[str]:
    """Give the lines that set the fields, past what forbids to change them later."""
    values = {field.name: value for field in fields if (value := _value(field))}
    if "__setattr__" not in vars(cls):
        return (f"self.{name} = {value}" for name, value in values.items())
    if len(values) <= _WIDE:
        return (f"_set_{name}(self, {value})" for name, value in values.items())
    setters = ", ".join(f"_set_{name}" for name in values)
    return iter([f"for _set, _value in zip(({setters}), ({', '.join(values.values())})): _set(self, _value)"])


def _value(field: Field) -> str:
    made = ""
    if field.method is not None:
        made = f"_method_{field.name}(self)"
    elif "factory" in field.options:
        made = f"_factory_{field.name}()"
    if field.is_argument:
        value = f"({made} if {field.alias} is _UNSET else {field.alias})" if made else field.alias
    else:
        value = made or (f"_default_{field.name}" if "default" in field.options else "")
    return f"_converter_{field.name}({value})" if value and "converter" in field.options else value
