"""sse_events: a stream as server-sent events for a browser, in small JSON objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from streamkit.consumers.frames import EventIds, Silence, Told, frames, tell, tell_end
from streamkit.context import Context
from streamkit.derived import AnyStream, Opens, opened, opening
from streamkit.types.chunks import Chunk

__all__ = ["SSE_HEADERS", "sse_events", "sse_headers", "watched_events"]

SSE_HEADERS: Mapping[str, str] = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}
"""The headers of such an answer. The last one keeps nginx from buffering it."""


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
    """Give the frames of `sse_events`, and end as closing does when the browser is `gone`.

    `gone` is asked about twice a second, also while nothing comes; it must not block.
    """
    silence = Silence(keep_alive, gone)
    return _frames(stream, silence, ids, ctx, thinking=thinking)


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
