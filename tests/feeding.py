"""A stream whose batches come from the test, one by one."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from streamkit import ChatStream, Chunk, Context, StepFinishChunk, TextChunk, ThinkingChunk, Usage
from streamkit.stream import start_stream
from streamkit.types import ResponseInfoFields

__all__ = ["Feed", "finish", "text", "thinking"]


def text(content: str, index: int = 0, **metadata: Any) -> TextChunk:
    """Give a text chunk."""
    return TextChunk(content=content, index=index, metadata=metadata)


def thinking(content: str, index: int = 0) -> ThinkingChunk:
    """Give a chunk of thinking."""
    return ThinkingChunk(content=content, index=index)


def finish(index: int = 0, tokens: int = 7) -> StepFinishChunk:
    """Give the chunk that ends a step."""
    usage = Usage(prompt_tokens=1, completion_tokens=tokens - 1, total_tokens=tokens, source="reported")
    return StepFinishChunk(step=1, finish_reason="stop", usage=usage, response=ResponseInfoFields(), index=index)


class Feed:
    """What a test feeds a stream with: batches, an error, an end."""

    def __init__(self) -> None:
        self._batches: queue.SimpleQueue[list[Chunk] | BaseException | None] = queue.SimpleQueue()

    def stream(self, ctx: Context | None = None, *, buffer: int = 10_000) -> ChatStream:
        """Open the stream."""
        return start_stream(self._source, name="feed", ctx=ctx, buffer=buffer)

    def give(self, *chunks: Chunk) -> None:
        """Have the stream deliver a batch."""
        self._batches.put([*chunks])

    def fail(self, error: BaseException) -> None:
        """Have it fail."""
        self._batches.put(error)

    def end(self) -> None:
        """Have it end."""
        self._batches.put(None)

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        """End the source also where the stream was ended from outside."""
        self.end()

    def _source(self, run: Any) -> Iterator[list[Chunk]]:
        run.answered({"X-Request-Id": "req_1"}, "req_1")
        run.waits()
        while (batch := self._batches.get()) is not None:
            if isinstance(batch, BaseException):
                raise batch
            yield batch
