"""TextStream: views over one stream, each a cursor of its own over the log of its chunks."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import TypeVar

from streamkit.errors import Cancelled, StreamKitError
from streamkit.forks import new_lock
from streamkit.stats import Stats
from streamkit.stream import ChatStream
from streamkit.types.chunks import Chunk, ErrorChunk, FinishChunk
from streamkit.types.response import ChatResponse

__all__ = ["TextStream"]


T = TypeVar("T")


class _Shared(Iterator[T]):
    """What threads may read together: a generator by itself would not stand it."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._lock = new_lock()

    def __next__(self) -> T:
        with self._lock:
            return next(self._items)


class TextStream:
    """A running generation, of one model call or several.

    Views are cursors over one log: any number, in any order, from any thread, each from the beginning, while the stream
    runs or after it; threads that read one view share what it gives. The log holds every chunk for as long as the
    stream is held. A cancel ends the views at once; one that is begun later gives all that had arrived. When the
    stream, its views and `chat_stream` with its channels are dropped, the generation is cancelled.
    """

    chat_stream: ChatStream
    """The three channels beneath. (A TextStream cannot itself have an `err` channel: `err()` is a method here.)"""

    def __init__(self, chat_stream: ChatStream) -> None:
        self.chat_stream = chat_stream

    @property
    def stats(self) -> Stats:
        """Timings and counts, at any time."""
        return self.chat_stream.stats

    @property
    def partial(self) -> ChatResponse:
        """The response so far, at any time."""
        return self.chat_stream.partial

    def text_stream(self) -> Iterator[str]:
        """Give the pieces of text, without thinking.

        Blocks for the next; never raises, and ends however the stream ends: ask `err()`.
        """
        return _Shared(chunk.content for chunk in self.chat_stream.replay() if chunk.type == "text" and chunk.content)

    def stream(self) -> Iterator[Chunk]:
        """Give all kinds of chunks; the last one is of type "finish" or "error".

        Blocks for the next; never raises. Where a cancel ends the view of a stream that is complete, the last chunk is
        of type "error", too: the view is not complete.
        """
        return _Shared(self._chunks())

    def result(self, timeout: float | None = None) -> ChatResponse:
        """Give the response, or raise the error with its `partial`. Blocks to the end, whether anybody reads or not.

        Raises:
            TimeoutError: it has not ended within `timeout` seconds; it goes on.
        """
        return self.chat_stream.result(timeout)

    def err(self) -> StreamKitError | None:
        """Give the error, or None. Blocks to the end, whether anybody reads or not."""
        return self.chat_stream.err.get()

    def cancel(self, reason: str | None = None) -> None:
        """End it at once; idempotent; any thread, signal handler or finalizer may call it."""
        self.chat_stream.cancel(reason)

    def close(self) -> None:
        """Cancel unless finished, and wait up to a second for the thread."""
        self.chat_stream.close()

    def __iter__(self) -> Iterator[Chunk]:
        """Give the chunks, and raise the error at the end."""
        return _Shared(self._raising())

    def __enter__(self) -> TextStream:
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        return repr(self.chat_stream).replace("ChatStream", "TextStream", 1)

    def _raising(self) -> Iterator[Chunk]:
        given = 0
        for chunk in self.chat_stream.replay():
            yield chunk
            given += 1
        last = self._last(given)
        if isinstance(last, ErrorChunk):
            raise last.error.with_traceback(None)  # raised again, it would gather the frames of every reader

    def _chunks(self) -> Iterator[Chunk]:
        given = 0
        for chunk in self.chat_stream.replay():
            yield chunk
            given += 1
        yield self._last(given)

    def _last(self, given: int) -> Chunk:
        """What the channels `final` and `err` say, as a chunk that follows so many others."""
        error, index = self.err(), self.stats.chunks
        if error is None and given < index:
            error = Cancelled("cancelled: the stream was complete, and this view of it was not: ask result()")
            error.partial = self.result()
            index = given
        if error is not None:
            return ErrorChunk(error=error, index=index)
        final = self.result()
        return FinishChunk(
            finish_reason=final.finish_reason,
            usage=final.total_usage,
            response=final.response,
            index=index,
            metadata={
                "provider_metadata": final.provider_metadata,
                "stop_cause": final.stop_cause,
                "steps": len(final.steps),
            },
        )
