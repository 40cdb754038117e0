"""What a browser is told: events, their ids, comments in a silence, and the frames that all of it goes out in.

The parts of `sse_events`, and of what else streams to browsers. Knows nothing of streams: it is given batches.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, TypeVar, Union

from streamkit import lazy_attrs as attrs
from streamkit.errors import ConfigError, presentable
from streamkit.framing import encode_comment, encode_sse
from streamkit.types.chunks import Chunk
from streamkit.types.response import ChatResponse
from streamkit.types.usage import Usage

__all__ = ["DONE", "EventIds", "Silence", "StreamEvent", "Told", "frames", "tell", "tell_end"]

logger = logging.getLogger("streamkit")

T = TypeVar("T")

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


Told = tuple[StreamEvent, Union[str, None]]  # noqa: UP007 - evaluated, also on Python 3.10
"""An event, and its id if it has one."""


def frames(
    batches: Iterable[T], silence: Silence, told: Callable[[T], Iterable[Told]], last: Callable[[], Told]
) -> Iterator[bytes]:
    """Give the frames of what is told of each batch, comments in the silence, and the last event.

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
    """What falls due while a browser is told nothing: a comment, and a look whether it is still there.

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
    """Give the event of a chunk, or None for one that a browser is not told of."""
    if chunk.type == "text" and chunk.content:
        return StreamEvent(type="token", content=chunk.content)
    if thinking and chunk.type == "thinking" and chunk.content:
        return StreamEvent(type="thinking", content=chunk.content)
    return None


def tell_end(error: Exception | None, response: ChatResponse | None) -> StreamEvent:
    """Give the event of the outcome.

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
    """The ids of a stream's events: those of the chunks, where they have some, else numbers from 0.

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
