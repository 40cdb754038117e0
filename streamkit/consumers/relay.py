"""sse_events: a stream as server-sent events for a browser, in small JSON objects."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import attrs

from streamkit.context import Context
from streamkit.derived import AnyStream, Opens, opened, opening
from streamkit.errors import ConfigError
from streamkit.framing import encode_comment, encode_sse
from streamkit.stream import ChatStream
from streamkit.types.chunks import Chunk
from streamkit.types.usage import Usage

__all__ = ["SSE_HEADERS", "StreamEvent", "sse_events", "sse_headers"]

SSE_HEADERS: Mapping[str, str] = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}
"""The headers of such an answer. The last one keeps nginx from buffering it."""


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
    for `Last-Event-ID`. `thinking` has events of their own for that. Blocks for the next frame; never raises what goes
    wrong with the stream. `ctx` is for what is opened here.

    Raises:
        ConfigError: `keep_alive` is not above zero.
    """
    if keep_alive is not None and not keep_alive > 0:
        raise ConfigError(f"keep_alive={keep_alive}: give seconds above zero, or None")
    return _frames(stream, keep_alive, ctx, ids=ids, thinking=thinking)


def _frames(
    stream: AnyStream | Opens, keep_alive: float | None, ctx: Context | None, *, ids: bool, thinking: bool
) -> Iterator[bytes]:
    other = opening(stream, ctx) if isinstance(stream, Opens) else opened(stream)
    number, due = 0, _after(keep_alive)

    def left() -> float | None:
        return None if due is None else max(0.0, due - time.monotonic())

    try:
        for batch in other.ch.batches(left):
            for event in _events(batch, thinking=thinking):
                yield encode_sse(event.to_json(), id=str(number) if ids else None)
                number, due = number + 1, _after(keep_alive)
            if due is not None and time.monotonic() >= due:  # what comes may be nothing that a browser is told
                yield _KEEP_ALIVE
                due = _after(keep_alive)
        yield encode_sse(_last(other).to_json(), id=str(number) if ids else None)
    finally:
        if not other.ch.closed:
            other.cancel("nobody reads its events any more")


_KEEP_ALIVE = encode_comment("keep-alive")


def _after(seconds: float | None) -> float | None:
    return None if seconds is None else time.monotonic() + seconds


def _events(batch: list[Chunk], *, thinking: bool) -> Iterator[StreamEvent]:
    for chunk in batch:
        if chunk.type == "text" and chunk.content:
            yield StreamEvent(type="token", content=chunk.content)
        elif thinking and chunk.type == "thinking" and chunk.content:
            yield StreamEvent(type="thinking", content=chunk.content)


def _last(stream: ChatStream) -> StreamEvent:
    error = stream.reading_error()
    if error is not None:
        return StreamEvent(type="error", content=str(error))
    usage = stream.result().total_usage
    return StreamEvent(type="done", done=True, usage=usage if usage.source == "reported" else None)
