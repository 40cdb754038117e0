"""Streams made of another stream: smoothed, watched, divided.

A derived stream has a producer thread of its own that reads the other's `ch`, and the other's outcome: its error, or
its whole response, whatever was made of the chunks on the way. Ending it ends the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, Union, runtime_checkable

from streamkit.context import Context
from streamkit.errors import ConfigError, ContextError
from streamkit.producer import Production
from streamkit.run import Run, Source
from streamkit.stream import NO_CLOCKS, ChatStream, start_stream, start_streams
from streamkit.types.chunks import Chunk, ErrorChunk, FinishChunk, StepFinishChunk
from streamkit.types.response import ChatResponse

__all__ = ["AnyStream", "HasChatStream", "Opens", "Run", "Transform", "derived", "divided", "opened", "opening"]


@runtime_checkable
class HasChatStream(Protocol):
    """A `TextStream`, or what else has three channels beneath."""

    @property
    def chat_stream(self) -> ChatStream:
        """The stream with the three channels."""


AnyStream = Union[ChatStream, HasChatStream, Iterable[Chunk]]  # noqa: UP007 - evaluated, also on Python 3.10
"""What can be read as a stream of chunks."""

Transform = Callable[[ChatStream], Iterable["list[Chunk]"]]
"""Makes the batches of a stream of another stream's `ch`, and ends when that does."""


def opened(stream: AnyStream) -> ChatStream:
    """Give the `ChatStream` that a stream is, has beneath, or can be made of an iterable of chunks.

    An iterable is read on a thread of its own. It is complete when it ends, and failed by an exception or a chunk of
    type "error". While it blocks, a cancel frees the reader at once, and the thread when the next chunk comes.

    Raises:
        ConfigError: it is none of these.
    """
    if isinstance(stream, ChatStream):
        return stream
    if isinstance(stream, HasChatStream):
        return stream.chat_stream
    if not isinstance(stream, Iterable) or isinstance(stream, (str, bytes)):
        raise ConfigError(f"{type(stream).__name__} is no stream: give a ChatStream, a TextStream or chunks")
    return start_stream(lambda run: _read(stream, run), name="iterable", timeouts=NO_CLOCKS)


@runtime_checkable
class Opens(Protocol):
    """What opens an answer: a `ChatBuilder`."""

    def get_stream(self, ctx: Context | None = None) -> ChatStream:
        """Send the request and give the answer as it comes."""


def opening(chat: AnyStream | Opens, ctx: Context | None = None, *, logs: bool = False) -> ChatStream:
    """Begin to open an answer, or to read a stream; returns at once. What goes wrong meanwhile is the stream's error.

    With `logs` it keeps every chunk, for readers with cursors of their own.
    """
    coming = _Coming()

    def source(run: Run) -> Iterator[list[Chunk]]:
        run.answered({}, None)
        run.waits()
        if ctx is not None and (ended := ctx.error()) is not None:
            raise ended
        coming.stream = stream = chat.get_stream(run.context()) if isinstance(chat, Opens) else opened(chat)
        run.answered(stream.headers, stream.request_id)
        yield from stream.ch.batches()
        run.retried(stream.stats.attempts - 1)
        error = stream.reading_error()
        if error is not None:
            raise error

    return _start(source, ctx, name="opening", logs=logs, made_of=coming)


def _start(source: Source, ctx: Context | None, **how: Any) -> ChatStream:
    """Start a stream that never fails here: a context that has ended ends what it reads, and so its outcome."""
    try:
        return start_stream(source, ctx=ctx, timeouts=NO_CLOCKS, **how)
    except ContextError:
        return start_stream(source, timeouts=NO_CLOCKS, **how)


class _Coming:
    """An upstream that is still to be opened."""

    stream: ChatStream | None = None

    @property
    def partial(self) -> ChatResponse:
        return self.stream.partial if self.stream is not None else ChatResponse()

    def leave(self, reason: str | None) -> None:
        if self.stream is not None and self.stream._run.live:
            self.stream.cancel(reason)


def derived(
    stream: AnyStream, transform: Transform, *, name: str, buffer: int = 10_000, drains: bool = False
) -> ChatStream:
    """Start a stream that `transform` makes of another one; returns at once.

    Reading it reads the other's `ch`, which nobody else should. `buffer` is in chunks, 0 for no bound. With `drains` a
    cancel, of it or of the context, ends the other, and this one when it has passed on what had come; without, both.
    """
    other = opened(stream)

    def source(run: Run) -> Iterator[list[Chunk]]:
        run.answered(other.headers, other.request_id)
        run.waits()
        yield from transform(other)
        run.retried(other.stats.attempts - 1)
        error = other.reading_error()
        if error is not None:
            raise error

    ctx = None if drains else _live_context(other)
    return _start(source, ctx, name=name, buffer=buffer, made_of=_Share(other, set()), drains=drains)


def divided(
    stream: AnyStream, hand: Callable[[Run, list[Chunk]], bool], count: int, *, name: str, buffer: int = 10_000
) -> tuple[ChatStream, ...]:
    """Start `count` streams with the chunks and the outcome of another one; returns at once.

    `hand` gives one of them the next chunks; False when it wants no more. They are never more than half of what it can
    hold, nor, unless some have no room at all, than what each has room for. The last one that ends ends the other.
    """
    other = opened(stream)
    shares: set[_Share] = set()

    def fill(runs: Sequence[Run]) -> None:
        left = [*runs]
        for run in runs:
            run.answered(other.headers, other.request_id)
            run.waits()
        for batch in _parts(other.ch.batches(), left):
            for run in [run for run in left if not hand(run, batch)]:
                left.remove(run)
                run.clean_up()
            if not left:
                return
        error = other.reading_error()
        for run in left:
            run.retried(other.stats.attempts - 1)
            run.finish() if error is None else run.fail(error)

    return start_streams(
        fill, [_Share(other, shares) for _ in range(count)], name=name, ctx=_live_context(other), buffer=buffer
    )


def _live_context(stream: ChatStream) -> Context | None:
    """The context of a stream. One that has ended has ended the stream, too, unless it was complete in time."""
    ctx = stream._run.ctx
    return None if ctx is None or ctx.cancelled else ctx


def _parts(batches: Iterable[list[Chunk]], runs: Sequence[Run]) -> Iterator[list[Chunk]]:
    """Batches that leave none of the readers behind that could have kept up."""
    for batch in batches:
        at = 0
        while at < len(batch):
            rooms = [(run.pipe.bound // 2, run.pipe.room(len(batch), 0.0)) for run in runs if run.pipe.bound]
            size = max(1, min((min(half, room or half) for half, room in rooms), default=len(batch)))
            yield batch[at : at + size]
            at += size


class _Share:
    """A stream that others are made of, for one of them; when the last of them leaves, it is ended."""

    production: Production

    def __init__(self, stream: ChatStream, shares: set[_Share]) -> None:
        self._stream = stream
        self._shares = shares
        shares.add(self)

    @property
    def partial(self) -> ChatResponse:
        return self._stream.partial

    def leave(self, reason: str | None) -> None:
        self._shares.discard(self)
        if not self._shares and self._stream._run.live:
            self._stream.cancel(reason)

    def join(self, seconds: float) -> None:
        if not self._shares - {self}:  # else the thread goes on for the others
            self.production.join(seconds)


def _read(chunks: Iterable[Chunk], run: Run) -> Iterator[list[Chunk]]:
    run.answered({}, None)
    run.waits()
    try:
        finished = False  # the step
        for chunk in chunks:
            kind = getattr(chunk, "type", None)
            if not isinstance(kind, str):
                raise ConfigError(f"{type(chunk).__name__} is no chunk: give the chunks of a stream")
            if isinstance(chunk, ErrorChunk):
                raise chunk.error
            if isinstance(chunk, FinishChunk):
                run.stopped(chunk.metadata.get("stop_cause", "natural"))
                continue
            if finished:
                run.next_step()
            finished = isinstance(chunk, StepFinishChunk)
            yield [chunk]
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
