"""sse_events: a stream as server-sent events for a browser, in small JSON objects."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar, Union

import attrs

from streamkit.context import Context
from streamkit.derived import AnyStream, Opens, opened, opening
from streamkit.errors import ConfigError, presentable
from streamkit.framing import encode_comment, encode_sse
from streamkit.types.chunks import Chunk
from streamkit.types.response import ChatResponse
from streamkit.types.usage import Usage

__all__ = ["SSE_HEADERS", "StreamEvent", "sse_events", "sse_headers"]

logger = logging.getLogger("streamkit")

T = TypeVar("T")

SSE_HEADERS: Mapping[str, str] = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}
"""The headers of such an answer. The last one keeps nginx from buffering it."""

DONE = "-done"
"""How the id of an answer's last event ends: a browser that asks to go on after it need not be answered again."""


@attrs.frozen(kw_only=True)
class StreamEvent:
    """What a browser is told: a piece of text or of thinking, the end, or an error, whose message is `content`."""

    type: Literal["token", "thinking", "done", "error"]
    content: str = ""
    done: bool = False
    usage: Usage | None = None

    def to_json(self) -> str:
        """Give it as JSON: what is empty is left out, and of the usage there are three counts."""
        fields: dict[str, Any] = {"type": self.type}
        if self.content:
            fields["content"] = self.content
        if self.done:
            fields["done"] = True
        if self.usage is not None:
            fields["usage"] = {
                "prompt_tokens": self.usage.prompt_tokens,
                "completion_tokens": self.usage.completion_tokens,
                "total_tokens": self.usage.total_tokens,
            }
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def sse_headers(allow_origin: str | None = None) -> list[tuple[str, str]]:
    """Give `SSE_HEADERS`, and the one that lets pages of an origin ("*": of any) read the answer.

    `Connection` is for the server to send: PEP 3333 forbids it to an application.
    """
    cors = [("Access-Control-Allow-Origin", allow_origin)] if allow_origin else []
    if allow_origin and allow_origin != "*":
        cors.append(("Vary", "Origin"))  # else a cache would give it to other origins
    return [*SSE_HEADERS.items(), *cors]


def sse_events(
    stream: AnyStream | Opens,
    *,
    keep_alive: float | None = 15.0,
    ids: bool = False,
    thinking: bool = False,
    ctx: Context | None = None,
) -> Iterator[bytes]:
    """Give the frames for a browser: `data: <json>` and a blank line; tokens, then one "done" or "error".

    A builder is opened with the first frame that is asked for, so that a failure to open is an error event, too. After
    `keep_alive` seconds of silence (None: never), also while it is opened, there is a comment, at whose writing a
    server notices that the browser has gone. Closing the iterator cancels the stream. `ids` numbers the events from 0,
    for `Last-Event-ID`; where a chunk's metadata has an `event_id`, its event has that, and the last one that of the
    last chunk and "-done". `thinking` has events of their own for that. Blocks for the next frame; never raises what
    goes wrong with the stream. `ctx` is for what is opened here.

    Raises:
        ConfigError: `keep_alive` is not above zero.
    """
    return watched_events(stream, keep_alive=keep_alive, ids=EventIds() if ids else None, thinking=thinking, ctx=ctx)


def watched_events(
    stream: AnyStream | Opens,
    *,
    keep_alive: float | None,
    ids: EventIds | None,
    thinking: bool,
    ctx: Context | None = None,
    gone: Callable[[], bool] | None = None,
) -> Iterator[bytes]:
    """Give the frames of `sse_events`, and end as closing does when the browser is `gone`. Internal.

    `gone` is asked about twice a second, also while nothing comes; it must not block.
    """
    silence = Silence(keep_alive, gone)
    return _frames(stream, silence, ids, ctx, thinking=thinking)


Told = tuple[StreamEvent, Union[str, None]]  # noqa: UP007 - evaluated, also on Python 3.10
"""An event, and its id if it has one."""


def frames(
    batches: Iterable[T], silence: Silence, told: Callable[[T], Iterable[Told]], last: Callable[[], Told]
) -> Iterator[bytes]:
    """Give the frames of what is told of each batch, comments in the silence, and the last event. Internal.

    The batches wait no longer than `silence.left()`, and are empty then. There is no last event for who has gone.
    """
    for batch in batches:
        for event, id in told(batch):
            yield encode_sse(event.to_json(), id=id)
            silence.ends()
        if silence.reader_gone():
            return
        if silence.is_long():  # what comes may be nothing that a browser is told
            yield _KEEP_ALIVE
            silence.ends()
    event, id = last()
    yield encode_sse(event.to_json(), id=id)


class Silence:
    """What falls due while a browser is told nothing: a comment, and a look whether it is still there. Internal.

    Raises:
        ConfigError: `keep_alive` is not above zero.
    """

    def __init__(self, keep_alive: float | None, gone: Callable[[], bool] | None = None) -> None:
        if keep_alive is not None and not keep_alive > 0:
            raise ConfigError(f"keep_alive={keep_alive}: give seconds above zero, or None")
        self._keep_alive = math.inf if keep_alive is None else keep_alive
        self._gone = gone
        now = time.monotonic()
        self._comment = now + self._keep_alive
        self._look = math.inf if gone is None else now + _LOOK

    def ends(self) -> None:
        """Note that the browser was told something."""
        self._comment = time.monotonic() + self._keep_alive

    def left(self) -> float | None:
        """Give the seconds to what falls due next, or None."""
        due = min(self._comment, self._look)
        return None if due == math.inf else max(0.0, due - time.monotonic())

    def is_long(self) -> bool:
        """Whether it is time for a comment."""
        return time.monotonic() >= self._comment

    def reader_gone(self) -> bool:
        """Whether the browser has gone, as far as it was time to look."""
        if self._gone is None or time.monotonic() < self._look:
            return False
        self._look = time.monotonic() + _LOOK
        return self._gone()


_KEEP_ALIVE = encode_comment("keep-alive")

_LOOK = 0.5
"""Seconds between two looks whether the browser is still there."""


def tell(chunk: Chunk, *, thinking: bool) -> StreamEvent | None:
    """Give the event of a chunk, or None for one that a browser is not told of. Internal."""
    if chunk.type == "text" and chunk.content:
        return StreamEvent(type="token", content=chunk.content)
    if thinking and chunk.type == "thinking" and chunk.content:
        return StreamEvent(type="thinking", content=chunk.content)
    return None


def tell_end(error: Exception | None, response: ChatResponse | None) -> StreamEvent:
    """Give the event of the outcome. Internal.

    What a bug or a user's function raised is logged and not shown: it may hold anything.
    """
    if error is not None:
        return StreamEvent(type="error", content=_shown(error))
    usage = response.total_usage if response is not None else Usage()
    return StreamEvent(type="done", done=True, usage=usage if usage.source == "reported" else None)


def _shown(error: Exception) -> str:
    shown = presentable(error, "an internal error ended the answer: the server's log has it")
    if shown is not error:
        logger.error("an answer to a browser failed: %s", error, exc_info=error)
    return str(shown)


class EventIds:
    """The ids of a stream's events: those of the chunks, where they have some, else numbers from 0. Internal.

    The id of the last event ends in `DONE` where chunks had ids, or where that is asked for with `ends`.
    """

    def __init__(self, *, ends: bool = False) -> None:
        self._ends = ends
        self._next = 0
        self._last: str | None = None

    def of(self, chunk: Chunk) -> str:
        """Give the id of the event of a chunk."""
        number, self._next = str(self._next), self._next + 1
        id = chunk.metadata.get("event_id")
        if not isinstance(id, str):
            return number
        self._last = id
        return id

    def end(self) -> str:
        """Give the id of the last event."""
        last = self._last or str(self._next)
        return f"{last}{DONE}" if self._ends or self._last is not None else last


def _frames(
    stream: AnyStream | Opens, silence: Silence, ids: EventIds | None, ctx: Context | None, *, thinking: bool
) -> Iterator[bytes]:
    other = opening(stream, ctx) if isinstance(stream, Opens) else opened(stream)

    def told(batch: list[Chunk]) -> Iterator[Told]:
        for chunk in batch:
            event = tell(chunk, thinking=thinking)
            if event is not None:
                yield event, ids.of(chunk) if ids is not None else None

    def last() -> Told:
        error = other.reading_error()
        return tell_end(error, other.final.get()), ids.end() if ids is not None else None

    try:
        yield from frames(other.ch.batches(silence.left), silence, told, last)
    finally:
        if not other.ch.closed:
            other.cancel("nobody reads its events any more")
