"""Classes made late are classes of attrs: each fact is asked of a class made by attrs and of one made here."""

from __future__ import annotations

import copy
import gc
import importlib
import inspect
import pickle
import pkgutil
import subprocess
import sys
import threading
import typing
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import attrs
import pytest

import streamkit
from streamkit import Hooks, Message, TextChunk, Timeouts, Tool, Usage, lazy_attrs
from streamkit.testing import ProviderServer, chat_answer
from tests.test_package import ROOT


def _even(instance: object, field: Any, value: int) -> None:
    if value % 2:
        raise ValueError(f"{field.name} is odd in {type(instance).__name__}")


def _small(instance: object, field: Any, value: int) -> None:
    if value > 100:
        raise ValueError(f"{field.name} is large in {type(instance).__name__}")


def shapes(attrs: Any) -> dict[str, type]:
    """The same classes, made by attrs or by `lazy_attrs`."""

    class Plain:
        __slots__ = ()
        kind: ClassVar[str] = "plain"

        def greet(self) -> str:
            return "hello"

    @attrs.frozen(kw_only=True)
    class Frozen(Plain):
        """Has a docstring."""

        size: int
        name: str = "n"
        tags: list[str] = attrs.field(factory=list)
        shared: ClassVar[int] = 7
        hidden: str = attrs.field(default="h", repr=False)
        aside: str = attrs.field(default="", eq=False)

        @property
        def double(self) -> int:
            return self.size * 2

        @classmethod
        def of(cls, size: int) -> Any:
            return cls(size=size)

        def greet(self) -> str:
            return f"{super().greet()} {self.name}"

    @attrs.frozen
    class Positional:
        first: int
        second: int = attrs.field(default=2, kw_only=True)
        _third: int = 3

    @attrs.define
    class Changing:
        size: int
        parts: list[int] = attrs.field(factory=list)

    @attrs.define(kw_only=True)
    class Checked:
        size: int = attrs.field(converter=int, validator=[_even, _small])
        name: str = attrs.field(default="x", converter=str)
        known: bool = attrs.field(default=False, init=False)

        @name.validator
        def _short(self, field: Any, value: str) -> None:
            if len(value) > 3:
                raise ValueError(f"{field.name} is long")

        def __attrs_post_init__(self) -> None:
            self.known = True

    @attrs.frozen
    class Derived:
        size: int
        half: int = attrs.field(init=False)
        text: str = attrs.field()

        @half.default
        def _half(self) -> int:
            return self.size // 2

        @text.default
        def _text(self) -> str:
            return f"{self.half} of {self.size}"

    @attrs.frozen(eq=False, repr=False)
    class Bare:
        size: int

        def __repr__(self) -> str:
            return "bare"

    @attrs.frozen
    class Own:
        size: int

        def __init__(self, text: str) -> None:
            self.__attrs_init__(len(text))

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Own) and self.size % 10 == other.size % 10

        def __hash__(self) -> int:
            return self.size % 10

    @attrs.frozen
    class Child(Positional):
        fourth: str = "4"
        first: int = 1

    @attrs.frozen(init=False, auto_attribs=False, repr=False, eq=False, slots=False)
    class Open:
        name: str = attrs.field()
        note: str = "a class attribute"

        def __init__(self, name: str) -> None:
            self.__attrs_init__(name=name)

    class Row(Open):
        name = "row"

    @attrs.frozen(kw_only=True)
    class Wide:
        a: int = attrs.field(default=0, converter=int)
        b: int = 1
        c: int = attrs.field(default=2, validator=_even)
        d: list[int] = attrs.field(factory=list)
        e: int = 4
        f: int = 5
        g: int = 6
        h: int = 7
        i: int = 8
        j: int = attrs.field(default=9, init=False)

    made = [Frozen, Positional, Changing, Checked, Derived, Bare, Own, Child, Open, Row, Wide]
    return {cls.__name__: cls for cls in made}


BY_ATTRS, LATE = shapes(attrs), shapes(lazy_attrs)

GOOD: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "Frozen": [((), {"size": 1}), ((), {"size": 1, "tags": ["a"], "aside": "b"}), ((), {"size": 2, "hidden": "x"})],
    "Positional": [((1,), {}), ((1, 4), {"second": 3}), ((), {"first": 1, "third": 3})],
    "Changing": [((1,), {}), ((1, [2]), {})],
    "Checked": [((), {"size": "4"}), ((), {"size": 100, "name": 12})],
    "Derived": [((9,), {}), ((9, "nine"), {})],
    "Bare": [((1,), {}), ((1,), {})],
    "Own": [(("a",), {}), (("b" * 11,), {})],
    "Child": [((), {}), ((5, 6), {"second": 1}), ((5, "x", 3), {})],
    "Open": [(("a",), {}), (("a",), {})],
    "Row": [(("a",), {})],
    "Wide": [((), {}), ((), {"a": "3", "d": [1], "i": 0})],
}
BAD: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("Frozen", (), {}),
    ("Frozen", (1,), {}),
    ("Frozen", (), {"size": 1, "shared": 2}),
    ("Positional", (), {}),
    ("Positional", (1,), {"_third": 3}),
    ("Positional", (1, 2, 3), {}),
    ("Checked", (), {"size": "three"}),
    ("Checked", (), {"size": 3, "name": "long"}),
    ("Checked", (), {"size": 102, "name": "long"}),
    ("Checked", (), {"size": 4, "name": "long"}),
    ("Checked", (), {"size": 4, "known": True}),
    ("Derived", (1,), {"half": 2}),
    ("Wide", (), {"c": 1}),
    ("Wide", (), {"j": 1}),
]


def instances() -> Iterator[Any]:
    """Each class's instances, of both makes."""
    for name, calls in GOOD.items():
        for number, (args, kwargs) in enumerate(calls):
            yield pytest.param(*(of[name](*args, **kwargs) for of in (BY_ATTRS, LATE)), id=f"{name} {number}")


def outcome(act: Callable[..., object], *args: Any, **kwargs: Any) -> tuple[object, str]:
    """What comes of a call: a value, or an error's kind and words."""
    try:
        return act(*args, **kwargs), ""
    except Exception as error:  # whichever it is, both must raise it
        return type(error), str(error)


def values(instance: Any) -> dict[str, Any]:
    """What the fields hold."""
    return {field.name: getattr(instance, field.name) for field in attrs.fields(type(instance))}


@pytest.mark.parametrize(("theirs", "ours"), [*instances()])
def test_instances(theirs: Any, ours: Any) -> None:
    """They hold the same, look the same, and are as equal to themselves, to a copy and to others."""
    assert values(theirs) == values(ours)
    assert attrs.asdict(theirs) == attrs.asdict(ours)
    if type(theirs).__repr__ is not object.__repr__:
        assert repr(theirs) == repr(ours)
    assert (theirs == copy.copy(theirs)) == (ours == copy.copy(ours))
    assert (theirs == 1) == (ours == 1)
    assert (theirs == copy.deepcopy(theirs)) == (ours == copy.deepcopy(ours))
    assert hasattr(theirs, "__dict__") == hasattr(ours, "__dict__")
    assert weakref.ref(ours)() is ours


def hashes_of(group: list[Any]) -> list[int]:
    """How many hashes each two instances have."""
    return [len({hash(a), hash(b)}) for a in group for b in group]


@pytest.mark.parametrize("name", GOOD)
def test_equality_and_hash(name: str) -> None:
    """Any two instances are equal, and hash alike, where those of attrs are and do."""
    made = [[of[name](*args, **kwargs) for args, kwargs in GOOD[name]] for of in (BY_ATTRS, LATE)]
    theirs, ours = ([[a == b for a in group for b in group], [a != b for a in group for b in group]] for group in made)
    hashes = [outcome(hashes_of, group) for group in made]

    assert theirs == ours
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(("name", "args", "kwargs"), BAD)
def test_calls_that_are_refused(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """With the same errors, the first of several being the same."""
    theirs, ours = (outcome(of[name], *args, **kwargs) for of in (BY_ATTRS, LATE))

    assert isinstance(theirs[0], type)
    assert theirs == ours


@pytest.mark.parametrize(("theirs", "ours"), [*instances()])
def test_what_is_set_later(theirs: Any, ours: Any) -> None:
    """What is frozen refuses it, what changes takes it, converted and checked."""
    for name in (*values(theirs), "unknown"):
        for value in ("4", "5", "longer"):
            assert outcome(setattr, theirs, name, value) == outcome(setattr, ours, name, value)
    for name in values(theirs):
        assert outcome(delattr, theirs, name) == outcome(delattr, ours, name)


@pytest.mark.parametrize(("theirs", "ours"), [*instances()])
def test_evolve(theirs: Any, ours: Any) -> None:
    """It is attrs' own, by either's function; a field that is no argument cannot be told."""
    changes: list[dict[str, Any]] = [{}, *({field.alias: 8} for field in attrs.fields(type(theirs)))]

    def evolved(evolve: Callable[..., Any], instance: Any, change: dict[str, Any]) -> dict[str, Any]:
        return values(evolve(instance, **change))

    for change in changes:
        expected = outcome(evolved, attrs.evolve, theirs, change)
        assert expected == outcome(evolved, attrs.evolve, ours, change)
        assert expected == outcome(evolved, lazy_attrs.evolve, ours, change)


@pytest.mark.parametrize("name", GOOD)
def test_classes(name: str) -> None:
    """Signature, fields, patterns, docstring and place are the same."""
    theirs, ours = BY_ATTRS[name], LATE[name]

    def told(cls: type) -> list[Any]:
        left_out = {"inherited", "eq_key", "order_key", "validator", "default", "converter"}
        return [
            [repr(getattr(field, slot)) for slot in attrs.Attribute.__slots__ if slot not in left_out]
            for field in attrs.fields(cls)
        ]

    def parameters(cls: type) -> list[Any]:
        taken = inspect.signature(cls).parameters.values()
        return [(p.name, p.kind, repr(p.default), p.annotation) for p in taken]

    assert parameters(theirs) == parameters(ours)
    assert typing.get_type_hints(theirs.__init__) == typing.get_type_hints(ours.__init__)
    assert told(theirs) == told(ours)
    assert [type(f.default) for f in attrs.fields(theirs)] == [type(f.default) for f in attrs.fields(ours)]
    assert theirs.__match_args__ == ours.__match_args__
    assert (theirs.__doc__, theirs.__qualname__, theirs.__module__) == (
        ours.__doc__,
        ours.__qualname__,
        ours.__module__,
    )
    assert (theirs.__hash__ is None) == (ours.__hash__ is None)
    assert attrs.has(ours)
    assert getattr(theirs, "__slots__", None) == getattr(ours, "__slots__", None)


def test_methods_stay() -> None:
    """Properties, class methods, class variables and `super()` work in a class that was made anew."""
    made = LATE["Frozen"].of(3)

    assert ("hello n", 6, 7, "plain") == (made.greet(), made.double, made.shared, made.kind)


def test_what_a_subclass_overrides() -> None:
    """`super()` reaches what has yet to be made."""

    @lazy_attrs.frozen
    class Parent:
        size: int

    class Kid(Parent):
        def __init__(self, size: int) -> None:
            super().__init__(size + 1)

        def __repr__(self) -> str:
            return f"<{super().__repr__()}>"

        def __eq__(self, other: object) -> bool:
            return super().__eq__(other)

        def __hash__(self) -> int:
            return super().__hash__() + 1

    assert Kid(1) == Kid(1) != Kid(2)
    assert repr(Kid(1)).startswith("<") and repr(Kid(1)).endswith("Kid(size=2)>")
    assert hash(Kid(1)) == hash(Kid(1)) != hash(Kid(2))
    assert "size=2" in repr(Parent(2))


def test_a_class_that_attrs_makes_of_one_of_ours() -> None:
    """It has the fields of both, and is as frozen."""

    @attrs.frozen(kw_only=True)
    class Theirs(LATE["Frozen"]):
        extra: int = 5

    made = Theirs(size=1, extra=6)

    assert ["size", "name", "tags", "hidden", "aside", "extra"] == [field.name for field in attrs.fields(Theirs)]
    assert Theirs(size=2, extra=6) == lazy_attrs.evolve(made, size=2)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        made.extra = 7


def test_pickling() -> None:
    """Also where the class was never used before."""
    kept = Usage(prompt_tokens=1, raw={"a": 2})
    program = "import pickle, sys; print(pickle.load(sys.stdin.buffer))"
    ran = subprocess.run([sys.executable, "-c", program], input=pickle.dumps(kept), capture_output=True, cwd=ROOT)

    assert repr(kept) == ran.stdout.decode().strip(), ran.stderr
    assert kept == pickle.loads(pickle.dumps(kept))


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace came with Python 3.13")
def test_replace() -> None:
    """`copy.replace` works where that of attrs does."""
    theirs, ours = (of["Positional"](1) for of in (BY_ATTRS, LATE))

    assert values(copy.replace(theirs, first=3)) == values(copy.replace(ours, first=3))


def test_what_an_older_attrs_does_not_make() -> None:
    """It is no attribute of the class, as if it had never been promised."""
    for name in ("__attrs_props__", "__replace__"):
        assert hasattr(BY_ATTRS["Frozen"], name) == hasattr(LATE["Frozen"], name)


def test_the_rest_is_that_of_attrs() -> None:
    """Names that are not made here are those of attrs; others are none."""
    assert lazy_attrs.Factory is attrs.Factory
    assert lazy_attrs.validators is attrs.validators
    with pytest.raises(AttributeError, match="has no attribute 'make_class'"):
        _ = lazy_attrs.make_class


def test_threads_that_use_a_class_first_at_once() -> None:
    """Whoever is faster, each finds what it asks for."""
    for _ in range(20):
        cls = shapes(lazy_attrs)["Frozen"]
        together = threading.Barrier(4)

        def use(cls: Any = cls, together: threading.Barrier = together) -> tuple[Any, ...]:
            together.wait()
            one, other = cls(size=1, tags=()), cls(size=1, tags=())
            return attrs.fields(cls), repr(one).rpartition(".")[2], one == other, len({one, other})

        with ThreadPoolExecutor(4) as pool:
            found = [future.result() for future in [pool.submit(use) for _ in range(4)]]

        assert all(fields is found[0][0] for fields, *_ in found)
        assert [["Frozen(size=1, name='n', tags=(), aside='')", True, 1]] * 4 == [rest for _, *rest in found]


FIRST: dict[str, Callable[[Any, Any], object]] = {
    "repr": lambda one, other: repr(one),
    "equal": lambda one, other: (one == other, one != other, one == 1),
    "hash": lambda one, other: len({hash(one), hash(other)}),
    "in a set": lambda one, other: len({one, other}),
    "set": lambda one, other: setattr(one, "size", 5),
    "delete": lambda one, other: delattr(one, "size"),
    "copy": lambda one, other: values(copy.copy(one)),
    "state": lambda one, other: one.__getstate__(),
    "fields": lambda one, other: [field.name for field in attrs.fields(type(one))],
    "match": lambda one, other: type(one).__match_args__,
    "evolve": lambda one, other: attrs.evolve(one, size=8).size,
    "subclass": lambda one, other: attrs.define(type("Sub", (type(one),), {}))(size=1).__setattr__("size", 2),
}


@pytest.mark.parametrize("way", FIRST)
def test_the_first_use_of_a_class(way: str) -> None:
    """Whatever is done with it first, it is as if attrs had made the class long before."""
    found = []
    for made_with in (attrs, lazy_attrs):
        cls = shapes(made_with)["Frozen"]
        found.append(outcome(FIRST[way], cls(size=1, tags=()), cls(size=1, tags=(), aside="b")))

    assert found[0] == found[1]


@pytest.mark.parametrize("way", FIRST)
def test_a_first_use_that_is_broken_off(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ctrl-C while attrs makes the class is raised, not passed over; the next use finds the class as ever."""

    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    cls = shapes(lazy_attrs)["Frozen"]
    one, other = cls(size=1, tags=()), cls(size=1, tags=())
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(importlib, "import_module", interrupted)
        FIRST[way](one, other)

    assert (True, "size=1" in repr(one)) == (one == other, True)


def test_what_somebody_put_into_a_class_stays() -> None:
    """As it would had attrs made it all before."""
    cls = shapes(lazy_attrs)["Frozen"]
    cls.__repr__ = lambda self: "mine"
    one = cls(size=1)

    assert ("mine", True, "mine") == (repr(one), one == one, repr(one))


def test_what_was_resolved_stays_resolved() -> None:
    """Looking through a class, as help and editors do, makes nothing of it anew."""
    cls = shapes(lazy_attrs)["Frozen"]
    before = attrs.fields(cls)
    attrs.resolve_types(cls, globals())
    inspect.getmembers(cls)

    assert before is attrs.fields(cls)
    assert int is attrs.fields(cls).size.type


def test_checks_that_are_disabled() -> None:
    """As attrs has it, for tests of those who use it."""
    with attrs.validators.disabled():
        made = [of["Checked"](size="3", name="long") for of in (BY_ATTRS, LATE)]

    assert values(made[0]) == values(made[1])


def test_nothing_is_left_of_the_class_that_was_made_anew() -> None:
    """A base knows one subclass, not two."""
    cls = shapes(lazy_attrs)["Frozen"]
    gc.collect()

    assert [cls] == cls.__mro__[1].__subclasses__()


# -- the package's own classes


def package_classes() -> Iterator[Any]:
    """Every class of the package, where what its module needs is installed."""
    for module in pkgutil.walk_packages(streamkit.__path__, "streamkit."):
        try:
            content = vars(importlib.import_module(module.name))
        except ImportError:
            continue
        except SystemExit:  # `python -m streamkit`
            continue
        for cls in content.values():
            if isinstance(cls, type) and cls.__module__ == module.name and "__lazy_fields__" in vars(cls):
                yield pytest.param(cls, id=f"{cls.__module__}.{cls.__qualname__}")


@pytest.mark.parametrize("cls", [*package_classes()])
def test_a_class_of_the_package(cls: type) -> None:
    """Its `__init__`, written here, takes what its fields, told by attrs, say: names, order, kinds and defaults."""
    name = "__attrs_init__" if hasattr(cls, "__attrs_init__") else "__init__"
    taken = list(inspect.signature(getattr(cls, name)).parameters.values())[1:]
    expected = [field for field in attrs.fields(cls) if field.init]
    expected.sort(key=lambda field: field.kw_only)

    assert [field.alias for field in expected] == [one.name for one in taken]
    for field, one in zip(expected, taken, strict=True):
        made_late = isinstance(field.default, attrs.Factory)
        default = one.empty if field.default is attrs.NOTHING else field.default
        assert (one.KEYWORD_ONLY if field.kw_only else one.POSITIONAL_OR_KEYWORD) == one.kind
        assert "NOTHING" == repr(one.default) if made_late else default == one.default


@pytest.mark.parametrize("cls", [TextChunk, Message, Usage, Tool, Hooks, Timeouts])
def test_annotations_that_are_asked_for(cls: type) -> None:
    """They resolve, as names of the class's module, for who looks at `__init__` alone."""
    hints = typing.get_type_hints(cls.__init__)

    assert {field.alias for field in attrs.fields(cls)} == hints.keys() - {"return"}


PROGRAM = """
import sys
from streamkit import Client
from streamkit.providers import OpenAI
with Client(OpenAI(api_key="key-0123456789", base_url=sys.argv[1])) as client:
    print(next(iter(client.chat("m").system("s").user("u").get_stream().ch)).content)
    print(*sorted({"asyncio", "attr", "msgspec", "sseclient", "tenacity"} & set(sys.modules)))
"""


@pytest.mark.slow
def test_a_first_token_takes_no_attrs() -> None:
    """Nor anything else that this one can do without."""
    with ProviderServer() as server:
        server.reply(chat_answer("Hello"))
        command = [sys.executable, "-c", PROGRAM, server.base_url]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)

    assert ["Hello", ""] == ran.stdout.splitlines(), ran.stderr
