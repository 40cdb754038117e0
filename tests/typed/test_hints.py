"""Annotations as they are written: in modules, in functions, for type checkers only; members of classes."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, NamedTuple, TypedDict, TypeVar

import attrs
import pytest

from streamkit.errors import ConfigError
from streamkit.typed.hints import (
    Member,
    class_docs,
    filled,
    is_typed_dict,
    is_unpacked,
    members,
    name_of,
    named,
    parameter_hints,
    qualifier,
    type_hints,
)

if sys.version_info >= (3, 11):
    from typing import NotRequired, Required
else:
    from typing_extensions import NotRequired, Required

if TYPE_CHECKING:
    from decimal import Decimal


T = TypeVar("T")


class Thing:
    """A class of the module, with the name of one in a function."""


def test_a_class_in_a_function() -> None:
    """Its annotations mean the variables of that function first, then those of the module."""

    class Thing:
        """Another one."""

    class Holder:
        """Uses it."""

        thing: Thing
        things: list[Thing]
        text: Annotated[str, "t"]

    assert {"thing": Thing, "things": list[Thing], "text": Annotated[str, "t"]} == type_hints(Holder)


def test_a_class_in_a_function_within_a_function() -> None:
    """All functions around it are looked through, the nearest first."""

    class Outer:
        """Of the outer function."""

    def inner() -> dict[str, Any]:
        class Holder:
            """Uses it."""

            outer: Outer

        assert Outer  # a variable that is not used in a function is not there
        return type_hints(Holder)

    assert {"outer": Outer} == inner()


def test_variables_of_strangers_do_not_count() -> None:
    """A name that only some caller happens to know is not there."""

    class Holder:
        """Names what is nowhere."""

        thing: Nowhere  # type: ignore[name-defined]  # noqa: F821

    def caller(Nowhere: object) -> dict[str, Any]:  # noqa: N803
        return type_hints(Holder)

    with pytest.raises(ConfigError, match=r"Holder cannot be read: name 'Nowhere' is not defined; import"):
        caller(int)


def test_what_cannot_be_read() -> None:
    """Annotations that are no types are refused as names are."""

    class Holder:
        """Has no type."""

        thing: 1 + str  # type: ignore[valid-type]

    with pytest.raises(ConfigError, match="cannot be read"):
        type_hints(Holder)


def forecast(city: str, days: Thing) -> Decimal:
    """Its result is annotated for type checkers only."""
    raise NotImplementedError


def test_parameters_without_the_result() -> None:
    """What a function returns is not looked at."""
    assert {"city": str, "days": Thing} == parameter_hints(forecast)


def test_a_quoted_name() -> None:
    """It is looked up where a class or function stands: around it, and in its module."""

    class Near:
        """In a function."""

    class Holder:
        """Beside it."""

    assert Near is named("Near", Holder)
    assert list[Thing] == named("list[Thing]", Holder) == named("list[Thing]", forecast)
    with pytest.raises(ConfigError, match="forecast cannot be read: name 'Near' is not defined"):
        named("Near", forecast)


def test_what_has_parameters() -> None:
    """Decorated functions, methods and objects that can be called have them, too; builtins say nothing."""

    def passing(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return call

    class Caller:
        """Can be called."""

        def __call__(self, thing: Thing) -> None:
            """Do."""

        def method(self, thing: Thing) -> None:
            """Do."""

    assert {"city": str, "days": Thing} == parameter_hints(passing(forecast))
    assert {"thing": Thing} == parameter_hints(Caller()) == parameter_hints(Caller().method)
    assert {} == parameter_hints(len)


class Both(TypedDict, total=False):
    """Its docstring.

    Attributes:
        a: the first
    """

    a: Required[int]
    b: Annotated[Required[str], "b"]
    c: int


class More(Both):
    """Adds members."""

    d: NotRequired[int]
    e: int


@attrs.define
class Attrs:
    """Of attrs."""

    a: int = attrs.field(metadata={"description": "the first"})
    _b: int = 0
    c: list[int] = attrs.field(factory=list, alias="see")
    d: int = attrs.field(default=0, init=False)
    e: int = attrs.field(default=0, metadata={"description": 5})


@dataclasses.dataclass
class Data:  # noqa: D101  # that its docstring is the decorator's is tested
    a: int = dataclasses.field(metadata={"description": "the first"})
    b: list[int] = dataclasses.field(default_factory=list)
    c: int = dataclasses.field(default=0, init=False)
    d: int = 0


class Named(NamedTuple):  # noqa: D101
    a: int
    b: int = 0


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (Attrs, [Member("a", "a", True, "the first"), Member("b", "_b", False), Member("see", "c", False)]),
        (Data, [Member("a", "a", True, "the first"), Member("b", "b", False)]),
        (Named, [Member("a", "a", True), Member("b", "b", False)]),
        (Both, [Member("a", "a", True), Member("b", "b", True), Member("c", "c", False)]),
        (More, [Member("a", "a", True), Member("b", "b", True), Member("c", "c", False), Member("d", "d", False)]),
    ],
)
def test_members(cls: Any, expected: list[Member]) -> None:
    """Those that can be given, as they are given, as they are stored, and whether they must be."""
    last = {Attrs: Member("e", "e", False), Data: Member("d", "d", False), More: Member("e", "e", True)}

    assert [*expected, *([last[cls]] if cls in last else [])] == list(members(cls, type_hints(cls)))


def test_both_kinds_of_typed_dict() -> None:
    """That of typing_extensions is another one on older Pythons."""
    typing_extensions = pytest.importorskip("typing_extensions")

    class Other(typing_extensions.TypedDict):  # type: ignore[misc, name-defined]
        """Has a member."""

        a: int

    assert [True, True, False] == [is_typed_dict(cls) for cls in (Both, Other, dict)]


def test_qualifiers() -> None:
    """They say something of the member, not of its type."""
    annotations = (Required[int], NotRequired[int], Final[int], list[int], Annotated[int, 1], int)

    assert ["Required", "NotRequired", "Final", "", "", ""] == [qualifier(one) for one in annotations]


def test_what_classes_say_themselves() -> None:
    """A docstring of their own; not their parent's, nor that which a decorator writes."""

    class Child(Thing):
        pass

    assert ("Its docstring.", {"a": "the first"}) == class_docs(Both)
    assert ("", {}) == class_docs(Data) == class_docs(Named) == class_docs(Child)


def test_what_type_variables_stand_for() -> None:
    """It is put in their places, wherever they are; a generic class by itself stays one."""
    box = Generic[T]
    given = {T: int}

    assert int is filled(T, given)
    assert list[int] == filled(list[T], given)
    assert (int | None) == filled(T | None, given)
    assert Annotated[int, "t"] == filled(Annotated[T, "t"], given)
    assert int is filled(dataclasses.InitVar[T], given).type
    assert list[T] == filled(list[T], {})
    assert (str, Thing) == (filled(str, given), filled(Thing, given))
    assert box == filled(box, {})


def test_init_vars_as_texts() -> None:
    """From Python 3.11 on they are read; before, the error says what to do."""

    @dataclasses.dataclass
    class Sum:
        """Takes more than it stores."""

        a: int
        b: dataclasses.InitVar[int] = 0
        c: int = dataclasses.field(init=False)

    if sys.version_info < (3, 11):
        with pytest.raises(ConfigError, match="without `from __future__ import annotations`"):
            type_hints(Sum)
    else:
        assert [Member("a", "a", True), Member("b", "b", False)] == list(members(Sum, type_hints(Sum)))


def test_what_stands_for_several_types() -> None:
    """A star or `Unpack`; nothing else."""
    typing_extensions = pytest.importorskip("typing_extensions")

    assert is_unpacked(typing_extensions.Unpack[tuple[int, ...]])
    assert not is_unpacked(tuple[int, ...])


def test_names_in_messages() -> None:
    """The qualified one, or the thing itself."""
    assert ("Thing", "list[int]") == (name_of(Thing), name_of("list[int]"))
