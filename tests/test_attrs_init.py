"""An `__init__` is written for slots, or for none, for few fields and for many."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from streamkit.attrs_init import UNSET, Field, write_init


def fields(**options: dict[str, Any]) -> list[Field]:
    """Fields by their names, which are given by name."""
    made = []
    for name, told in options.items():
        field = Field(told)
        field.stands(name, "int", kw_only=True)
        made.append(field)
    return made


def a_class(names: list[str], *, slots: bool, guarded: bool) -> Any:
    """A class with these slots, or none, that perhaps refuses to be changed."""

    def refuse(self: object, name: str, value: object) -> None:
        raise TypeError(f"{name} does not change")

    body: dict[str, Any] = {"__slots__": tuple(names)} if slots else {}
    return type("Made", (), body | ({"__setattr__": refuse} if guarded else {}))


@pytest.mark.parametrize("slots", [True, False])
@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("count", [0, 1, 8, 9, 30])
def test_what_is_set(slots: bool, guarded: bool, count: int) -> None:
    """Each field gets its value: what was given, its default, or what its factory makes; converted, if it says so."""
    kinds: list[dict[str, Any]] = [{}, {"default": 5}, {"factory": list}, {"default": "6", "converter": int}]
    made = fields(**{f"_f{at}": dict(kinds[at % 4]) for at in range(count)})
    cls = a_class([field.name for field in made], slots=slots, guarded=guarded)
    init: Callable[..., None] = write_init(cls, "__init__", made)
    cls.__init__ = init
    given = {f"f{at}": at for at in range(0, count, 4)}

    one, other = cls(**given), cls(**given)

    assert [[at, 5, [], 6][at % 4] for at in range(count)] == [getattr(one, field.name) for field in made]
    assert all(getattr(one, f"_f{at}") is not getattr(other, f"_f{at}") for at in range(2, count, 4))


def test_the_order_of_what_is_called() -> None:
    """Factories and converters as the fields stand, then all checks, then `__attrs_post_init__`."""
    called: list[str] = []

    def told(name: str, value: Any = None) -> Callable[..., Any]:
        return lambda *_: (called.append(name), value)[1]

    made = fields(
        a={"factory": told("make a", 1), "converter": told("convert a", 2), "validator": told("check a")},
        b={"converter": told("convert b", 3), "validator": [told("check b"), told("check b again")]},
    )
    cls = a_class(["a", "b"], slots=True, guarded=True)
    cls.__attrs_post_init__ = told("after")
    cls.__init__ = write_init(cls, "__init__", made)

    instance = cls(b=0)

    assert (2, 3) == (instance.a, instance.b)
    assert ["make a", "convert a", "convert b", "check a", "check b", "check b again", "after"] == called


def test_its_signature() -> None:
    """It is told to help and editors as it would be by attrs: annotations, and NOTHING for what a factory makes."""
    cls = a_class(["size", "_parts"], slots=True, guarded=False)
    init = write_init(cls, "__attrs_init__", fields(size={"default": 3}, _parts={"factory": list}))

    assert "(self, *, size: 'int' = 3, parts: 'int' = NOTHING) -> None" == str(inspect.signature(init))
    assert "Made.__attrs_init__" == init.__qualname__
    assert inspect.signature(init).parameters["parts"].default is UNSET


def test_a_missing_argument() -> None:
    """The error names the class and the argument, without an underscore."""
    cls = a_class(["_key"], slots=True, guarded=False)
    cls.__init__ = write_init(cls, "__init__", fields(_key={}))

    with pytest.raises(TypeError, match=r"Made.__init__\(\) missing 1 required keyword-only argument: 'key'"):
        cls()
