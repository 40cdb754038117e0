"""attrs, imported when it is first needed: what the package's classes are made with.

To import attrs, and to have it make the fifty classes that a first token takes, would be 40 ms of the 150 from the
start of a process to that token. So a class gets its slots at once, its `__init__` with its first instance, and all
else that attrs makes of it (equality, hash, repr, pickling, immutability, `attrs.fields`) when any of that is first
used. To those who use it, or derive from it, it is a class of attrs.

Modules say `from streamkit import lazy_attrs as attrs` and write what they would for attrs. What is not made here is
attrs' own.
"""

from __future__ import annotations

import contextlib
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
_MADE_BY_ATTRS = (
    *("__attrs_attrs__", "__attrs_props__", "__attrs_own_setattr__", "__match_args__", "__replace__"),
    *("__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__", "__getstate__", "__setstate__"),
)
_QUIETLY_LOOKED_UP = ("__repr__", "__eq__", "__hash__")
"""Python passes over what is raised while it looks these up, were it a Ctrl-C."""
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
        if known is None:  # of any other class of attrs, such as one that was derived from one of ours
            return __getattr__("evolve")(instance, **changes)
        for told in known:
            if told.is_argument and told.alias not in changes:
                changes[told.alias] = getattr(instance, told.name)
        return type(instance)(**changes)


def _require_known(options: dict[str, Any], known: set[str]) -> None:
    """Refuse what would have to be done here, too, and is not."""
    if unknown := options.keys() - known:
        raise TypeError(f"{', '.join(sorted(unknown))}: not among what is made here of attrs; see lazy_attrs")


class _Rest:
    """What attrs makes of a class, when it is first asked for; until then each name in the class has a stand-in."""

    def __init__(self, args: tuple[str, tuple[type, ...], dict[str, Any]], own: Iterable[Field], options: Any) -> None:
        """Take name, bases and body of the class without its fields, these, and what attrs is told of the class."""
        self.cls: type
        self.stand_ins: dict[str, Any] = {}
        self._args = args
        self._own = own
        self._options = options
        self._made: list[dict[str, Any]] = []  # one, or several where threads were at it at once: the first counts

    def put(self) -> None:
        """Put what attrs made in the place of the stand-ins. What somebody else put there since then stays."""
        if not self._made:
            self._made.append(self._make())
        made = self._made[0]
        for name, stand_in in self.stand_ins.items():
            if vars(self.cls).get(name) is not stand_in:
                continue
            if name in made:
                setattr(self.cls, name, made[name])
            else:
                with contextlib.suppress(AttributeError):  # another thread has just done it
                    delattr(self.cls, name)

    def _make(self) -> dict[str, Any]:
        attrs = importlib.import_module("attrs")
        name, bases, body = self._args
        fields = {}
        for field in self._own:
            fields[field.name] = attrs.field(**field.options)
            if field.method is not None:
                fields[field.name].default(field.method)
        twin = vars(attrs.define(type(name, bases, body | fields), **self._options))
        return {name: twin[name] for name in self.stand_ins if name in twin}


class _Later:
    """The stand-in for `__init__`, and for most of the rest."""

    __slots__ = ("_name", "_owner", "_put")

    def __init__(self, put: Callable[[], None]) -> None:
        self._put = put

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner, self._name = owner, name

    def __get__(self, instance: object, cls: type) -> Any:
        if vars(self._owner).get(self._name) is self:  # else another thread was faster
            self._put()
        if self._name not in vars(self._owner):
            raise AttributeError(f"{self._owner.__name__} has no {self._name}: the installed attrs does not make it")
        made = vars(self._owner)[self._name]
        bind = getattr(type(made), "__get__", None)
        return made if bind is None else bind(made, instance, cls)


def _method_later(name: str, rest: _Rest) -> Callable[..., Any]:
    """Give the stand-in for a method that is looked up quietly: a function, as what is raised in a call is heard."""

    def method(self: Any, *args: Any) -> Any:
        rest.put()
        return vars(rest.cls)[name](self, *args)

    return method


def _class(original: type, options: dict[str, Any]) -> type:
    """Make a class anew, with slots for its fields, as attrs does."""
    plain = _body(original)
    own = _own_fields(plain, options)
    inherited = {field.name: field for field in getattr(original, _FIELDS, ())}
    fields = (*(field for name, field in inherited.items() if name not in own), *own.values())
    body = plain | {_FIELDS: fields}
    if options.get("slots", True):
        slots = [name for name in own if name not in inherited]
        has_weakref = any(base.__weakrefoffset__ for base in original.__bases__)
        body["__slots__"] = tuple(slots if has_weakref else [*slots, "__weakref__"])
    init = "__init__" if options.get("init", "__init__" not in body) else "__attrs_init__"
    rest = _Rest((original.__name__, original.__bases__, plain), own.values(), options)
    for name in _MADE_BY_ATTRS:
        if name not in body and _is_made(name, fields, options):
            rest.stand_ins[name] = _method_later(name, rest) if name in _QUIETLY_LOOKED_UP else _Later(rest.put)
    body |= rest.stand_ins
    body[init] = _Later(lambda: setattr(made, init, write_init(made, init, fields)))
    if "__eq__" in body and "__hash__" not in body:
        body["__hash__"] = None  # as Python has it for values that change
    made = rest.cls = type(original)(original.__name__, original.__bases__, body)
    _tell_super(made)
    return made


def _body(cls: type) -> dict[str, Any]:
    body = dict(vars(cls))
    body.pop("__dict__", None)
    body.pop("__weakref__", None)
    return body | {"__qualname__": cls.__qualname__, "__annotations__": cls.__annotations__}


def _own_fields(body: dict[str, Any], options: dict[str, Any]) -> dict[str, Field]:
    """Take the fields that a class's body declares out of it."""
    own = {}
    every, kw_only = options.get("auto_attribs", True), options.get("kw_only", False)
    for name, annotation in body["__annotations__"].items():
        field = body.get(name, UNSET)
        if not isinstance(field, Field):
            if not every or str(annotation).startswith(("ClassVar", "typing.ClassVar")):
                continue
            field = Field({} if field is UNSET else {"default": field})
        field.stands(name, annotation, kw_only=field.options.get("kw_only", kw_only))
        own[name] = field
        body.pop(name, None)
    return own


def _is_made(name: str, fields: Iterable[Field], options: dict[str, Any]) -> bool:
    """Whether attrs may make this for a class whose body does not have it."""
    frozen = bool(options.get("frozen"))
    if name == "__repr__":
        return bool(options.get("repr", True))
    if name in ("__eq__", "__hash__"):
        return bool(options.get("eq", True)) and (frozen or name == "__eq__")
    if name in ("__getstate__", "__setstate__"):
        return bool(options.get("slots", True))
    if name == "__setattr__" and not frozen:  # converts and checks what is set
        return any("converter" in field.options or field.checks for field in fields)
    return frozen or name != "__delattr__"


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
