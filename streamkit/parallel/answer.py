"""Asking one prompt: a stream is opened and read to its end, here or in another process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from streamkit import lazy_attrs as attrs
from streamkit.client import ChatBuilder
from streamkit.context import Context
from streamkit.errors import StreamKitError, without_frames
from streamkit.stream import ChatStream
from streamkit.types.chunks import Chunk
from streamkit.types.response import ChatResponse

__all__ = ["Answer", "ask", "broken", "failed"]


@attrs.frozen(kw_only=True)
class Answer:
    """What came of a request; it pickles.

    `headers` are those of the answer, where it opened. One from another process carries its chunks, unless they were
    sent ahead, and which `attempt` at the prompt it is of.
    """

    response: ChatResponse | None
    error: StreamKitError | None
    elapsed: float
    headers: Mapping[str, str] = attrs.field(factory=dict)
    chunks: tuple[Chunk, ...] = ()
    attempt: bytes = b""


def failed(error: StreamKitError, elapsed: float = 0.0) -> Answer:
    """Give what comes of a request that never opened."""
    without_frames(error)
    return Answer(response=None, error=error, elapsed=elapsed)


def broken(what: str, cause: BaseException, elapsed: float = 0.0) -> Answer:
    """Give what comes of a request that was ended by what is no error of the tree: `what` says where that was."""
    error = StreamKitError(f"{what}: {cause!r}")
    error.__cause__ = cause
    return failed(error, elapsed)


def ask(
    chat: ChatBuilder,
    ctx: Context,
    *,
    opened: Callable[[ChatStream], object] | None = None,
    chunk: Callable[[Chunk], object] | None = None,
) -> Answer:
    """Open a stream and read it to its end; blocks. Errors are in the answer, with what had arrived.

    `opened` is told the stream as soon as it is open, `chunk` each of its chunks.
    """
    began = time.monotonic()
    try:
        stream = chat.get_stream(ctx)
    except StreamKitError as refused:
        return failed(refused, time.monotonic() - began)
    if opened is not None:
        opened(stream)
    if chunk is not None:
        for each in stream.ch:
            chunk(each)
    error, final = stream.err.get(), stream.final.get()
    return Answer(
        response=final if error is None else error.partial,
        error=error,
        elapsed=stream.stats.elapsed,
        headers=dict(stream.headers),
    )
