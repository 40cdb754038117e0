"""Handlers: a stream told to an object, call by call, on the thread that runs it.

A builder is known by its `get_stream`: the client stands above this module. A handler for the console is in `console`,
those that need an extra are in `streamkit.integrations`.
"""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable, Iterator
from typing import NoReturn, Protocol, cast

from streamkit import lazy_attrs as attrs
from streamkit.context import Context
from streamkit.derived import AnyStream, Opens, opened
from streamkit.errors import Cancelled, ConfigError, StreamKitError
from streamkit.stream import ChatStream
from streamkit.types.response import ChatResponse

__all__ = [
    "AnyHandler",
    "StreamHandler",
    "StreamProgress",
    "prefixed",
    "stream_with_handler",
]


@attrs.frozen(kw_only=True)
class StreamProgress:
    """How far a stream has come, as a handler is told."""

    tokens_received: int
    """Pieces of text so far: providers do not count tokens while they stream."""
    chars_received: int
    """Characters of text so far."""
    elapsed: float
    """Seconds since `stream_with_handler` was called."""
    is_complete: bool = False
    error: StreamKitError | None = None
    """For programs that keep these; `stream_with_handler` tells errors by `on_error` alone."""

    @property
    def elapsed_time(self) -> float:
        """Alias of `elapsed`."""
        return self.elapsed


class AnyHandler(Protocol):
    """What `stream_with_handler` calls: any object with these methods."""

    def on_token(self, token: str) -> object:
        """Take a piece of the answer's text."""

    def on_thinking(self, token: str) -> object:
        """Take a piece of the model's thinking."""

    def on_progress(self, progress: StreamProgress) -> object:
        """Take note of how far it has come."""

    def on_complete(self, response: ChatResponse) -> object:
        """Take the whole answer."""

    def on_error(self, error: StreamKitError) -> object:
        """Take the error that ended the answer; `error.partial` has what had arrived."""


class StreamHandler:
    """A handler that does nothing: override what you need. Called on the thread that runs the stream, never on two."""

    def on_token(self, token: str) -> None:
        """Take a piece of the answer's text."""

    def on_thinking(self, token: str) -> None:
        """Take a piece of the model's thinking."""

    def on_progress(self, progress: StreamProgress) -> None:
        """Take note of how far it has come: after each so many tokens, and once when it is complete."""

    def on_complete(self, response: ChatResponse) -> None:
        """Take the whole answer: the last call, once, of a stream that did not fail."""

    def on_error(self, error: StreamKitError) -> None:
        """Take the error that ended the answer: the last call, once, of one that did; `partial` has what had come."""


def stream_with_handler(
    chat: Opens | AnyStream, handler: AnyHandler, *, every: int = 10, ctx: Context | None = None
) -> ChatResponse:
    """Run a stream through a handler, on this thread, and give the response. Blocks to the end.

    The handler is given each piece of text and of thinking as it comes, its progress after every so many pieces of
    text, and last either `on_error`, or a progress that is complete and `on_complete`: one of the two, once. Ctrl-C is
    told as a `Cancelled` and raised as KeyboardInterrupt. An exception raised by the handler cancels the stream and
    propagates; the handler is not called again.

    Args:
        chat: A builder, which is opened here, or an open stream, which nobody else should read.
        handler: A `StreamHandler`, or any object with its methods.
        every: How many pieces of text there are between two calls of `on_progress`.
        ctx: Ends the stream, also one that was open already.

    Raises:
        ConfigError: The handler lacks a method, `every` is below 1, or `chat` is no stream; the handler is not called.
        StreamKitError: The stream failed; the handler was told. Of a stream that could not be opened it was told an
            error of the same class and with the same attributes that begins with "starting stream: ".
    """
    _check(handler, every)
    began = time.monotonic()
    stream, was_open = _open(chat, handler, ctx)
    try:
        with _ended_by(ctx if was_open else None, stream):
            error = _tell_chunks(stream, handler, every, began, lambda: _outcome(stream, ctx, was_open))
    except KeyboardInterrupt:
        stream.cancel("interrupted")
        handler.on_error(_interrupted(stream.partial))
        raise
    except BaseException:
        stream.cancel("its handler raised")  # to a stream that has ended it is nothing
        raise
    if error is not None:
        _fail(error, handler)
    response = cast(ChatResponse, stream.final.get())
    handler.on_complete(response)
    return response


def prefixed(doing: str, error: StreamKitError) -> StreamKitError:
    """Give an error of the same class and with the same attributes whose message begins with what was being done."""
    told = copy.copy(error)
    told.args = (f"{doing}: {error}",)
    told.__cause__ = error
    return told


_METHODS = ("on_token", "on_thinking", "on_progress", "on_complete", "on_error")


def _check(handler: AnyHandler, every: int) -> None:
    if isinstance(handler, type):
        raise ConfigError(f"{handler.__name__} is a class: give one of it, as in {handler.__name__}()")
    missing = [name for name in _METHODS if not callable(getattr(handler, name, None))]
    if missing:
        raise ConfigError(
            f"{type(handler).__name__} is no handler, as it has no {', '.join(missing)}: derive it from StreamHandler"
        )
    if every < 1:
        raise ConfigError(f"every={every}: must be 1 or more")


def _open(chat: Opens | AnyStream, handler: AnyHandler, ctx: Context | None) -> tuple[ChatStream, bool]:
    """Give the stream, and whether it was open already."""
    if not isinstance(chat, Opens):
        return opened(chat), True
    try:
        return chat.get_stream(ctx), False
    except StreamKitError as error:
        handler.on_error(prefixed("starting stream", error))
        raise
    except KeyboardInterrupt:
        handler.on_error(_interrupted(None))
        raise


@contextlib.contextmanager
def _ended_by(ctx: Context | None, stream: ChatStream) -> Iterator[None]:
    """Cancel a stream that was open already when the context ends."""
    if ctx is None:
        yield
        return
    if ctx.cancelled:
        stream.cancel("the context had ended")
    unregister = ctx.on_cancel(lambda: stream.cancel("the context ended"))
    try:
        yield
    finally:
        unregister()


def _tell_chunks(
    stream: ChatStream,
    handler: AnyHandler,
    every: int,
    began: float,
    outcome: Callable[[], StreamKitError | None],
) -> StreamKitError | None:
    """Tell all but the end, and give the error where there is one."""
    tokens = chars = 0

    def progress(*, is_complete: bool = False) -> None:
        elapsed = time.monotonic() - began
        handler.on_progress(
            StreamProgress(tokens_received=tokens, chars_received=chars, elapsed=elapsed, is_complete=is_complete)
        )

    for chunk in stream.ch:
        if chunk.type == "text" and chunk.content:
            handler.on_token(chunk.content)
            tokens += 1
            chars += len(chunk.content)
            if tokens % every == 0:
                progress()
        elif chunk.type == "thinking" and chunk.content:
            handler.on_thinking(chunk.content)
    error = outcome()
    if error is None:
        progress(is_complete=True)
    return error


def _fail(error: StreamKitError, handler: AnyHandler) -> NoReturn:
    try:
        raise error.with_traceback(None)  # first, so that what the handler may raise has it for its context
    except StreamKitError:
        handler.on_error(error)
        raise


def _outcome(stream: ChatStream, ctx: Context | None, was_open: bool) -> StreamKitError | None:
    """Give the error that a stream, or else its reading, has ended in.

    A cancel ends the reading also when the provider had said all: the handler has not been told all then. So does the
    deadline of a context that the stream knows nothing of, as it was open already.
    """
    error = stream.reading_error()
    ended = ctx.error() if ctx is not None else None
    cut = isinstance(error, Cancelled) or (error is None and (was_open or isinstance(ended, Cancelled)))
    if ended is None or not cut:
        return error
    ended.partial, ended.attempts = stream.partial, stream.stats.attempts
    return ended


def _interrupted(partial: ChatResponse | None) -> Cancelled:
    return Cancelled("cancelled: interrupted", partial=partial)
