"""ObjectStream: a typed object on its way; and how the text of an answer is read as one."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Generic, NoReturn, TypeVar

from streamkit import lazy_attrs as attrs
from streamkit.errors import ConfigError, ObjectError, StreamKitError, printable
from streamkit.instance import Mismatch
from streamkit.jsontext import scrub
from streamkit.partial_json import ANY, PartialJSON, Shape
from streamkit.stats import Stats
from streamkit.stream import ChatStream
from streamkit.typed import Typed
from streamkit.types.chunks import Chunk
from streamkit.types.response import ChatResponse, Step
from streamkit.types.usage import Usage

__all__ = ["ITEMS", "ObjectResult", "ObjectStream", "Wanted"]

T = TypeVar("T")

ITEMS = "items"
"""The member of the sent object that is a list, where one was asked for: APIs take the schemas of objects alone."""

_SHARE = 64
"""What the partials of a character of text may cost, in members that are copied: few enough to be linear in the text,
enough for a partial at each delta until an open list has some 250 items."""
_CHARACTERS = 100
"""Characters that are copied as fast as one member."""


@attrs.frozen(kw_only=True)
class ObjectResult(Generic[T]):
    """`object`, validated, and the whole `response` it came from."""

    object: T
    response: ChatResponse
    usage: Usage
    finish_reason: str


@attrs.frozen(kw_only=True)
class Wanted:
    """What is asked for, and where in the answer it stands."""

    kind: Typed
    member: str = ""
    """The member of the sent object that it is; "" where it is that object."""
    by_tool: bool = False
    """It comes as the input of a tool call rather than as text."""

    def pieces(self, chunks: Iterable[Chunk]) -> Iterator[str | None]:
        """Give the object's text as it comes, and None at the end of each answer, after which another may begin."""
        return _inputs(chunks) if self.by_tool else _texts(chunks)

    def text(self, step: Step) -> str:
        """Give the object's text, whole."""
        if self.by_tool:
            return step.tool_calls[0].input if step.tool_calls else step.text
        return step.text

    def read(self, step: Step) -> Any:
        """Give the object of a complete answer, validated.

        Raises:
            ObjectError: there is none, it is not whole, or it is not of its type; with `text`, `path` and what of it
                there is in `partial_object`.
        """
        text = self.text(step)
        parser = self.parser()
        parser.feed(text)
        fail = _Failing(text, parser)
        if not parser.complete:
            fail("$", _why_incomplete(step, parser))
        try:
            return self._inner(_loaded(text[parser.start : parser.end]))
        except Mismatch as e:
            fail(e.path, e.message, e)
        except (ValueError, RecursionError) as e:
            fail("$", f"cannot be read: {e}", e)

    def parser(self) -> PartialJSON:
        """Give what reads the object as it comes."""
        return PartialJSON(_Member(self.kind, self.member) if self.member else self.kind)

    def elements(self) -> tuple[PartialJSON, deque[Any]]:
        """Give what reads a list as it comes, and where it puts each item that is whole, as parsed JSON."""
        found: deque[Any] = deque()
        return PartialJSON(_Items(found)), found

    def _inner(self, value: Any) -> Any:
        if not self.member:
            return self.kind.whole(value, "$")
        if self.member not in value:
            raise Mismatch("$", f"has no {self.member!r}")
        return self.kind.whole(value[self.member], "$")


class ObjectStream(Generic[T]):
    """A typed object on its way. Views are independent cursors: any number, from any thread, each from the beginning.

    When the stream and its views are dropped, the generation is cancelled.
    """

    def __init__(self, chat_stream: ChatStream, wanted: Wanted, value: Callable[[], Any]) -> None:
        self.chat_stream = chat_stream
        self._wanted = wanted
        self._value = value

    @property
    def stats(self) -> Stats:
        """Timings and counts, at any time."""
        return self.chat_stream.stats

    @property
    def partial(self) -> ChatResponse:
        """The response so far, at any time."""
        return self.chat_stream.partial

    def partial_object_stream(self) -> Iterator[T]:
        """Give objects that grow, a new one only when something has changed.

        Scalar fields that have not come are None, lists and dicts empty; of a TypedDict or a JSON Schema, keys that
        have not come are absent. Partials are built without `__init__`, validators or converters. Where an object has
        become very wide, one partial stands for several deltas, so that all of them together take linear time.
        Blocks for the next; never raises: ask `err()`.
        """
        parser = self._wanted.parser()
        last: Any = None
        spent, allowed, changed = 0, 0, False
        for piece in self._wanted.pieces(self.chat_stream.replay()):
            if piece is None:
                if changed and (value := parser.value()) != last:
                    last = value
                    yield value
                parser, changed = self._wanted.parser(), False
                continue
            allowed += _SHARE * len(piece)
            changed = parser.feed(piece) or changed
            cost = 1 + parser.members + parser.characters // _CHARACTERS
            if changed and spent + cost <= allowed:
                spent += cost
                changed = False
                value = parser.value()
                if value != last:
                    last = value
                    yield value
        if changed and (value := parser.value()) != last:
            yield value

    def element_stream(self) -> Iterator[Any]:
        """Give each element of a list once, as soon as it is whole, validated.

        An element that is not of its type is not given, nor is what comes after it in this answer; where the model is
        asked again (`repair`), its second answer goes on with the elements that the first did not get to.
        Blocks for the next; never raises while reading: ask `err()`.

        Raises:
            ConfigError: what was asked for is no list.
        """
        if self._wanted.member != ITEMS:
            raise ConfigError("element_stream() is for lists: ask for list[...], or read partial_object_stream()")
        return self._elements()

    def result(self, timeout: float | None = None) -> ObjectResult[T]:
        """Give the validated object, or raise. Blocks to the end, whether anybody reads or not.

        Raises:
            ObjectError: the answer is no such object; `path`, `text` and `partial_object` say what it is.
            StreamKitError: what ended the stream.
            TimeoutError: it has not ended within `timeout` seconds; it goes on.
        """
        response = self.chat_stream.result(timeout)
        return ObjectResult(
            object=self._value(),
            response=response,
            usage=response.total_usage,
            finish_reason=response.finish_reason,
        )

    def err(self) -> StreamKitError | None:
        """Give the error (an `ObjectError` too), or None. Blocks to the end, whether anybody reads or not."""
        return self.chat_stream.err.get()

    def cancel(self, reason: str | None = None) -> None:
        """End it at once; idempotent; any thread, signal handler or finalizer may call it."""
        self.chat_stream.cancel(reason)

    def close(self) -> None:
        """Cancel unless finished, and wait up to a second for the thread."""
        self.chat_stream.close()

    def __enter__(self) -> ObjectStream[T]:
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        return repr(self.chat_stream).replace("ChatStream", "ObjectStream", 1)

    def _elements(self) -> Iterator[Any]:
        parser, found = self._wanted.elements()
        given = seen = 0
        fits = True
        for piece in self._wanted.pieces(self.chat_stream.replay()):
            if piece is None:
                (parser, found), seen, fits = self._wanted.elements(), 0, True
                continue
            parser.feed(piece)
            while found and fits:
                value, seen = found.popleft(), seen + 1
                if seen <= given:  # of an answer that was asked for again
                    continue
                try:
                    element = self._wanted.kind.item().whole(value, f"$[{given}]")
                except Mismatch:
                    fits = False
                else:
                    given += 1
                    yield element


# -- where the text is


def _texts(chunks: Iterable[Chunk]) -> Iterator[str | None]:
    for chunk in chunks:
        if chunk.type == "text":
            yield chunk.content
        elif chunk.type == "step_finish":
            yield None


def _inputs(chunks: Iterable[Chunk]) -> Iterator[str | None]:
    """The input of the first call; where the model called nothing in the end, what it said instead."""
    said: list[str] = []
    call: str | None = None
    for chunk in chunks:
        if chunk.type == "tool_call_delta" and chunk.tool_call_id == call:
            yield chunk.tool_input
        elif chunk.type == "tool_call_start" and call is None:
            call = chunk.tool_call_id
        elif chunk.type == "text" and call is None:
            said.append(chunk.content)
        elif chunk.type == "step_finish":
            if call is None:
                yield "".join(said)
            yield None
            said, call = [], None


# -- shapes


@attrs.frozen
class _Member:
    """The object around what is wanted: it becomes its one member."""

    kind: Typed
    name: str

    def member(self, key: str) -> Shape:
        return self.kind if key == self.name else ANY

    def item(self) -> Shape:
        return ANY

    def made(self, value: Any, *, growing: bool) -> Any:
        return value.get(self.name, self.kind.missing())


@attrs.frozen
class _Items:
    """Puts each item that closes where it is looked for; the members of the object around the list, and the list."""

    found: deque[Any]
    of_list: bool = False

    def member(self, key: str) -> Shape:
        return _Items(self.found, of_list=True)

    def item(self) -> Shape:
        return _Item(self.found) if self.of_list else ANY

    def made(self, value: Any, *, growing: bool) -> Any:
        return value


@attrs.frozen
class _Item:
    found: deque[Any]

    def member(self, key: str) -> Shape:
        return ANY

    def item(self) -> Shape:
        return ANY

    def made(self, value: Any, *, growing: bool) -> Any:
        if not growing:
            self.found.append(value)
        return None  # it is kept nowhere else


# -- failing


@attrs.frozen
class _Failing:
    text: str
    parser: PartialJSON

    def __call__(self, path: str, message: str, cause: Exception | None = None) -> NoReturn:
        path = path.removeprefix("$").removeprefix(".")
        error = ObjectError(f"the answer is not the object that was asked for: {path or 'it'} {message}")
        error.path, error.text, error.partial_object = path, self.text, self.parser.value()
        raise error from cause


def _why_incomplete(step: Step, parser: PartialJSON) -> str:
    if step.finish_reason == "length":
        return "was cut off by the limit of tokens: raise max_tokens"
    if step.finish_reason == "content_filter":
        refusal = step.provider_metadata.get("refusal")
        return "was refused by the model or its provider" + (f": {printable(str(refusal), 200)}" if refusal else "")
    if parser.too_deep:
        return "is nested too deeply to be read"
    if parser.broken:
        return f"is no JSON from character {parser.end} on"
    if parser.value() is None:
        return f"holds no JSON object: {printable(step.text, 200)!r}"
    return "is not whole, or no JSON"


def _loaded(text: str) -> Any:
    return scrub(json.loads(text, strict=False, parse_constant=_refuse, parse_float=_finite))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"{printable(number, 60)} is too large a number")
    return value
