"""attrs, imported when it is first needed: what the package's classes are made with.

To import attrs, and to have it make the fifty classes that a first token takes, would be 40 ms of the 120 from the
start of a process to that token. So a class gets its slots at once, its `__init__` with its first instance, and all
else that attrs makes of it (equality, hash, repr, pickling, immutability, `attrs.fields`) when any of that is first
used. To those who use it, or derive from it, it is a class of attrs.

Modules say `from streamkit import lazy_attrs as attrs` and write what they would for attrs. What is not made here is
attrs' own.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any

from streamkit.attrs_init import UNSET, Field, write_init

if TYPE_CHECKING:
    from attrs import NOTHING, Attribute, Factory, asdict, define, evolve, field, fields, frozen, has, validators

__all__ = [
    "NOTHING",
    "Attribute",
    "Factory",
    "asdict",
    "define",
    "evolve",
    "field",
    "fields",
    "frozen",
    "has",
    "validators",
]

_FIELDS = "__lazy_fields__"
_OF_CLASSES = {"auto_attribs", "eq", "frozen", "init", "kw_only", "repr", "slots"}
_OF_FIELDS = {"converter", "default", "eq", "factory", "init", "kw_only", "repr", "validator"}

if not TYPE_CHECKING:

    def __getattr__(name):
        if name in __all__:
            return getattr(importlib.import_module("attrs"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def define(cls=None, /, **options):
        """As `attrs.define`: make a class whose values change.

        Args:
            cls: the class to make it of; without it, a decorator is given.
            options: `auto_attribs`, `eq`, `init`, `kw_only`, `repr` and `slots` of attrs.
        """
        _require_known(options, _OF_CLASSES)
        return partial(_class, options=options) if cls is None else _class(cls, options)

    def frozen(cls=None, /, **options):
        """As `attrs.frozen`: make a class whose values do not change. For the arguments see `define`."""
        return define(cls, frozen=True, **options)

    def field(**options):
        """As `attrs.field`.

        Args:
            options: `converter`, `default`, `eq`, `factory`, `init`, `kw_only`, `repr` and `validator` of attrs.
        """
        _require_known(options, _OF_FIELDS)
        return Field(options)

    def evolve(instance, /, **changes):
        """As `attrs.evolve`: give a new value, like another but for some of its fields."""
        known = vars(type(instance)).get(_FIELDS)
        if known is None:  # of a class that was derived from one of ours
            return __getattr__("evolve")(instance, **changes)
        for told in known:
            if told.is_argument and told.alias not in changes:
                changes[told.alias] = getattr(instance, told.name)
        return type(instance)(**changes)


def _require_known(options: dict[str, Any], known: set[str]) -> None:
    """Refuse what would have to be done here, too, and is not."""
    if unknown := options.keys() - known:
        raise TypeError(f"{', '.join(sorted(unknown))}: not among what is made here of attrs; see lazy_attrs")


class _Later:
    """Stands in a class for what is made, and put in its place, when it is first used."""

    __slots__ = ("_make", "_name", "_owner")

    def __init__(self, make: Callable[[type], None]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner, self._name = owner, name

    def __get__(self, instance: object, cls: type) -> Any:
        if vars(self._owner)[self._name] is self:  # else another thread was faster
            self._make(self._owner)
        made = vars(self._owner)[self._name]
        if made is self:
            raise AttributeError(f"{self._owner.__name__} has no {self._name}: the installed attrs does not make it")
        bind = getattr(type(made), "__get__", None)
        return made if bind is None else bind(made, instance, cls)


def _class(original: type, options: dict[str, Any]) -> type:
    """Make a class anew, with slots for its fields, as attrs does."""
    body = _body(original)
    own = _own_fields(body, options)
    inherited = {field.name: field for field in getattr(original, _FIELDS, ())}
    kept = [field for name, field in inherited.items() if name not in own]
    fields = body[_FIELDS] = (*kept, *own.values())
    if options.get("slots", True):
        slots = [name for name in own if name not in inherited]
        has_weakref = any(base.__weakrefoffset__ for base in original.__bases__)
        body["__slots__"] = tuple(slots if has_weakref else [*slots, "__weakref__"])
    init = "__init__" if options.get("init", "__init__" not in body) else "__attrs_init__"
    body[init] = _Later(partial(_make_init, init))
    rest = [name for name in _made_by_attrs(fields, options) if name not in body]
    make_rest = partial(_make_rest, original, own, options, rest)
    for name in rest:
        body[name] = _Later(make_rest)
    if "__eq__" in body and "__hash__" not in body:
        body["__hash__"] = None  # as Python has it for values that change
    made = type(original)(original.__name__, original.__bases__, body)
    _tell_super(made)
    return made


def _body(cls: type) -> dict[str, Any]:
    body = dict(vars(cls))
    body.pop("__dict__", None)
    body.pop("__weakref__", None)
    body["__qualname__"] = cls.__qualname__
    return body


def _own_fields(body: dict[str, Any], options: dict[str, Any]) -> dict[str, Field]:
    """Take the fields that a class's body declares out of it."""
    own = {}
    every, kw_only = options.get("auto_attribs", True), options.get("kw_only", False)
    for name, annotation in body.get("__annotations__", {}).items():
        field = body.get(name, UNSET)
        if not isinstance(field, Field):
            if not every or annotation.startswith("ClassVar"):
                continue
            field = Field({} if field is UNSET else {"default": field})
        field.stands(name, annotation, kw_only=field.options.get("kw_only", kw_only))
        own[name] = field
        body.pop(name, None)
    return own


def _made_by_attrs(fields: Iterable[Field], options: dict[str, Any]) -> list[str]:
    """Give the names of what attrs adds to a class, but where the class's own body has it."""
    names = ["__attrs_attrs__", "__attrs_props__", "__match_args__", "__replace__"]
    if options.get("slots", True):
        names += ["__getstate__", "__setstate__"]
    if options.get("repr", True):
        names += ["__repr__"]
    if options.get("eq", True):
        names += ["__eq__", "__hash__"] if options.get("frozen") else ["__eq__"]
    if options.get("frozen"):
        names += ["__setattr__", "__delattr__"]
    elif any("converter" in field.options or field.checks for field in fields):
        names += ["__setattr__"]  # converts and checks what is set
    return names


def _make_init(name: str, cls: type) -> None:
    setattr(cls, name, write_init(cls, name, vars(cls)[_FIELDS]))


def _make_rest(original: type, own: dict[str, Field], options: dict[str, Any], names: Iterable[str], cls: type) -> None:
    """Have attrs make the class, too, and put what it made into ours."""
    attrs = importlib.import_module("attrs")
    body = _body(original)
    for name, field in own.items():
        body[name] = attrs.field(**field.options)
        if field.method is not None:
            body[name].default(field.method)
    twin = vars(attrs.define(type(original)(original.__name__, original.__bases__, body), **options))
    for name in names:
        if name in twin:
            setattr(cls, name, twin[name])


def _tell_super(cls: type) -> None:
    """Tell the methods of a class that was made anew what `super()` is about: they share one cell for it."""
    for value in vars(cls).values():
        kind, function = type(value), value
        if kind is property:
            function = value.fget
        elif kind is classmethod or kind is staticmethod:
            function = value.__func__
        if type(function) is FunctionType and "__class__" in function.__code__.co_freevars:
            cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
            cells["__class__"].cell_contents = cls
            return
