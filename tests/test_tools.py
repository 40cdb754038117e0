"""Tools: made of functions, run with a model's arguments, answered as text; decisions, and ends of loops."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import types
import uuid
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import attrs
import pytest

from streamkit.context import Context
from streamkit.errors import ConfigError, StreamKitError, ToolError
from streamkit.tools import ToolDecision, ToolOutput, has_tool_call, in_words, run_tool, step_count_is, tool
from streamkit.types.messages import FilePart, ImagePart, TextPart
from streamkit.types.request import Tool
from streamkit.types.response import ResponseInfoFields, Step, ToolCall
from streamkit.types.usage import Usage


class Unit(str, enum.Enum):
    """A unit."""

    C = "c"
    F = "f"


class Size(enum.Enum):
    """An enum that is no text."""

    S = 1


@attrs.frozen
class Place:
    """A place."""

    city: str
    unit: Unit = Unit.C


@dataclasses.dataclass
class Point:
    """A dataclass."""

    x: int


class Pair(NamedTuple):
    """A named tuple."""

    a: int
    b: int


@tool
def weather(place: Place, days: int = 3, mode: Literal["short", "long"] = "short") -> str:
    """Give the weather.

    Args:
        place: Where.
        days: How many days.
        mode: How much.
    """
    return f"{place.city} {place.unit.value} {days} {mode}"


def made(function: Any) -> Tool:
    """Give the tool of a decorated function."""
    found = function.tool
    assert isinstance(found, Tool)
    return found


def failure(used: Tool, arguments: Any = None) -> ToolError:
    """Give the error of a tool that is run."""
    with pytest.raises(ToolError) as caught:
        run_tool(used, {} if arguments is None else arguments, Context())
    return caught.value


def answer(value: Any) -> str:
    """Give what a model is told of a tool that returns a value."""
    return run_tool(Tool(name="t", execute=lambda: value), {}, Context()).text


# -- @tool


def test_a_decorated_function() -> None:
    """It stays what it was, and has a tool: name, description and texts from it, schema from its annotations."""
    schema = made(weather).parameters

    assert "Paris c 3 short" == weather(Place("Paris"))
    assert ("weather", "Give the weather.", None, False) == (
        made(weather).name,
        made(weather).description,
        made(weather).timeout,
        made(weather).sequential,
    )
    assert ["place", "days", "mode"] == list(schema["properties"])
    assert ["place"] == schema["required"]
    assert {"type": "integer", "description": "How many days."} == schema["properties"]["days"]
    assert made(weather) is Tool.of(weather)


def test_what_the_decorator_is_told() -> None:
    """It counts before what the function says."""

    @tool(name="now-2", description="", timeout=2, sequential=True)
    def now() -> str:
        """Give the time."""
        return "12:00"

    expected = ("now-2", "", 2, True)

    assert expected == (made(now).name, made(now).description, made(now).timeout, made(now).sequential)


@pytest.mark.parametrize("name", ["", None])
def test_a_name_of_its_own(name: str | None) -> None:
    """Without one the function's is taken."""
    assert "weather" == made(tool(name=name)(weather)).name


IMAGE = ImagePart(data=b"\x89PNG and so on")


@pytest.mark.parametrize(
    ("value", "text", "images"),
    [
        (IMAGE, "", (IMAGE,)),
        ([IMAGE], "", (IMAGE,)),
        (["Before", IMAGE, TextPart(text="after"), IMAGE], "Before\nafter", (IMAGE, IMAGE)),
        ((IMAGE, "a \ud800"), "a \ufffd", (IMAGE,)),
        (TextPart(text="only"), "only", ()),
        (["a", "b"], '["a", "b"]', ()),
        ([], "[]", ()),
    ],
)
def test_images(value: object, text: str, images: tuple[ImagePart, ...]) -> None:
    """Alone or among texts they go to the model as images, and the texts as text; a list without any is JSON."""
    assert ToolOutput(text, images) == run_tool(Tool(name="t", execute=lambda: value), {}, Context())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"chart": IMAGE}, "a tool gives an ImagePart by itself or in a list, not within another value"),
        ([IMAGE, 5], "beside images a tool gives texts only, and no int"),
        (FilePart(data=b"%PDF-1.7"), "beside images a tool gives texts only, and no FilePart"),
    ],
)
def test_images_where_none_can_be(value: object, expected: str) -> None:
    """The model is told that the tool failed, and of what; the bytes do not go as text."""
    assert expected in str(failure(Tool(name="t", execute=lambda: value)))


async def coroutine() -> None:
    """Is none of ours."""


async def generator() -> Any:
    """Is none of ours, either."""
    yield


def bare(a) -> None:  # type: ignore[no-untyped-def]
    """Say nothing of its parameter."""


def of_object(a: complex) -> None:
    """Take what is no JSON."""


@pytest.mark.parametrize(
    ("decorate", "expected"),
    [
        (lambda: tool(coroutine), "coroutine is a coroutine: tools run on threads"),
        (lambda: tool(generator), "generator is a coroutine"),
        (lambda: tool(bare), r"bare\(a\): the parameter has no annotation"),
        (lambda: tool(of_object), "complex cannot be put into a JSON Schema"),
        (lambda: tool(lambda: 1), "'<lambda>' is no name for a tool: give one of letters"),
        (lambda: tool(name="größe")(weather), "'größe' is no name"),
        (lambda: tool(timeout=0)(weather), r"tool\(timeout=0\): give seconds above 0"),
        (lambda: tool(timeout=float("nan"))(weather), "give seconds above 0"),
    ],
)
def test_what_is_refused_at_decoration(decorate: Callable[[], object], expected: str) -> None:
    """Rather than by the API, in the middle of an answer."""
    with pytest.raises(ConfigError, match=expected):
        decorate()


def test_a_bound_method() -> None:
    """It takes no attributes, so it is wrapped; the object stays its own."""

    class Shop:
        """Has prices."""

        def __init__(self) -> None:
            self.asked: list[str] = []

        def price(self, item: str) -> float:
            """Give a price."""
            self.asked.append(item)
            return 1.5

    shop = Shop()
    price = tool(shop.price)

    assert ("price", "1.5", 1.5) == (made(price).name, run_tool(made(price), {"item": "a"}, Context()).text, price("b"))
    assert ["a", "b"] == shop.asked


# -- running


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"place": {"city": "Paris"}}, "Paris c 3 short"),
        ({"place": {"city": "Paris", "unit": "f"}, "days": 2.0, "mode": "long"}, "Paris f 2 long"),
    ],
)
def test_a_run(arguments: Any, expected: str) -> None:
    """A model's arguments become what the annotations say."""
    assert expected == run_tool(made(weather), arguments, Context()).text


def test_the_context_goes_to_who_asks() -> None:
    """Whatever the parameter is called, decorated or not; the model cannot give it."""
    seen: list[object] = []

    def look(word: str, scope: Context, more: Context | None = None) -> None:
        seen.extend([scope, more])

    ctx = Context()
    run_tool(made(tool(look)), {"word": "a"}, ctx)
    run_tool(Tool(name="look", execute=look), {"word": "a", "more": "b"}, ctx)

    assert [ctx] * 4 == seen
    assert ["word"] == list(made(look).parameters["properties"])
    assert "$.scope: is unknown" in str(failure(made(look), {"word": "a", "scope": {}}))


def test_a_tool_without_a_stream() -> None:
    """What a tool executes can be called with JSON by hand, whatever its parameters are called."""

    @tool
    def f(self: int, ctx: Context) -> tuple[int, bool]:
        """Do."""
        return self, ctx.cancelled

    assert made(f).execute is not None
    assert (5, False) == made(f).execute(self=5)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "the arguments do not fit: $.place: is missing"),
        ({"place": {"city": 3}}, "the arguments do not fit: $.place.city: must be string, not 3"),
        (
            {"place": {"city": "x"}, "town": 1},
            "the arguments do not fit: $.town: is unknown: weather has place, days, mode",
        ),
        ([1], "the arguments do not fit: $: must be an object, not [1]"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit(arguments: Any, expected: str) -> None:
    """The model is told where, and what there is; the function is not called."""
    error = failure(made(weather), arguments)

    assert (expected, "weather") == (str(error), error.tool_name)


def test_arguments_of_a_tool_by_hand() -> None:
    """They are held to its schema, and passed as they are."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    by_hand = Tool(name="add", parameters=schema, execute=lambda n: n + 1)

    assert "2" == run_tool(by_hand, {"n": 1}, Context()).text
    assert "the arguments do not fit: $.n: must be integer, not 'x'" == str(failure(by_hand, {"n": "x"}))
    assert "the arguments do not fit: $: must be an object" == str(failure(by_hand, [1]))
    assert str(failure(by_hand, {"n": 1, "m": 2})).startswith("TypeError: ")


class Silent(Exception):
    """An exception without a message."""


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (ValueError("no such city\x1b"), "ValueError: no such city\\x1b"),
        (Silent(), "Silent"),
        (ToolError("as it is"), "as it is"),
        (StreamKitError("asked again"), "StreamKitError: asked again"),
    ],
)
def test_a_tool_that_raises(raised: Exception, expected: str) -> None:
    """Its exception becomes an error of ours, of which it is the cause."""

    def fail() -> None:
        raise raised

    error = failure(Tool(name="fail", execute=fail))

    assert (expected, "fail") == (str(error), error.tool_name)
    assert raised in (error, error.__cause__)


def test_a_long_message_is_cut() -> None:
    """The model is not told megabytes."""

    def fail() -> None:
        raise ValueError("x" * 100_000)

    assert len(str(failure(Tool(name="fail", execute=fail)))) < 2_100


# -- answers


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain \n text", "plain \n text"),
        (Unit.F, "f"),
        (None, "null"),
        (1.5, "1.5"),
        (["é", True], '["é", true]'),
        ({"a": (1, 2)}, '{"a": [1, 2]}'),
        (Place("Paris"), '{"city": "Paris", "unit": "c"}'),
        ([Point(1), Size.S, Pair(1, 2)], '[{"x": 1}, 1, [1, 2]]'),
        ({"s": {1}, "f": frozenset([2])}, '{"s": [1], "f": [2]}'),
        (b"hi", '"aGk="'),
        (datetime.date(2024, 5, 6), '"2024-05-06"'),
        (decimal.Decimal("0.10"), '"0.10"'),
        (uuid.UUID(int=0), '"00000000-0000-0000-0000-000000000000"'),
        (pathlib.PurePosixPath("/a"), '"/a"'),
        (types.MappingProxyType({"a": 1}), '{"a": 1}'),
        ("a\ud800", "a\ufffd"),
        (["\ud83d\ude00"], '["😀"]'),
    ],
)
def test_what_the_model_is_told(value: Any, expected: str) -> None:
    """A text as it is, all else as JSON, in the way that most would write it; never what a request cannot carry."""
    seen = answer(value)

    assert (expected, str) == (seen, type(seen))
    seen.encode()


def test_a_pydantic_model_as_answer() -> None:
    """It writes itself."""
    pydantic = pytest.importorskip("pydantic")

    class Day(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        date: datetime.date

    assert [{"date": "2024-05-06"}] == json.loads(answer([Day(date="2024-05-06")]))


def endless() -> list[Any]:
    """Give a list that contains itself."""
    found: list[Any] = []
    found.append(found)
    return found


class Broken:
    """Raises when it is written."""

    @property
    def model_dump(self) -> object:
        """Raise."""
        raise LookupError("gone")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (object(), "object is no JSON type: return a str, or what JSON can hold"),
        ({(1, 2): 3}, "keys must be str"),
        (endless(), "Circular reference"),
        (Broken(), "gone"),
        (Point, "type is no JSON type"),
    ],
)
def test_what_cannot_be_told(value: Any, expected: str) -> None:
    """The model is told that there is an answer, and why it does not see it."""
    error = failure(Tool(name="t", execute=lambda: value))

    assert str(error).startswith("what the tool returned cannot be written as JSON: ")
    assert expected in str(error)


# -- decisions and ends


def test_decisions() -> None:
    """What may be said of a call."""
    expected = [("allow", ""), ("allow", "{}"), ("answer", "42"), ("refuse", "too late")]
    decisions = [
        ToolDecision.allow(),
        ToolDecision.allow("{}"),
        ToolDecision.answer("42"),
        ToolDecision.refuse("too late"),
    ]

    assert expected == [(decision.action, decision.text) for decision in decisions]
    assert ToolDecision(action="answer", text="42") == ToolDecision.answer("42")


def step(*names: str) -> Step:
    """Give a step that called these tools."""
    return Step(
        text="",
        thinking="",
        tool_calls=tuple(ToolCall(id=name, name=name, input="{}") for name in names),
        tool_results=(),
        usage=Usage(),
        finish_reason="tool_calls",
        response=ResponseInfoFields(),
        provider_metadata={},
    )


def test_stopping_after_some_steps() -> None:
    """From the nth on."""
    stop = step_count_is(2)

    assert [False, True, True] == [stop([step()] * n) for n in (1, 2, 3)]
    with pytest.raises(ConfigError, match=r"step_count_is\(0\): must be 1 or more"):
        step_count_is(0)


def test_stopping_after_a_call() -> None:
    """Only the last step counts."""
    stop = has_tool_call("done")

    assert [False, False, True, False] == [
        stop(steps) for steps in ([], [step("a")], [step("a"), step("b", "done")], [step("done"), step("a")])
    ]


class Unspeakable(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise Unspeakable


def test_an_exception_that_cannot_be_shown() -> None:
    """Its name is what the model is told."""

    def fail() -> None:
        raise Unspeakable

    with pytest.raises(ToolError, match=r"^Unspeakable$"):
        run_tool(Tool(name="t", execute=fail), {}, Context())

    assert ("", "no") == (in_words(Unspeakable(), str), in_words(ValueError("no"), str))
