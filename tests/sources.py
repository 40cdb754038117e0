"""Sources that streams are made of in tests: batches, a gate that holds them, an error."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

from streamkit import (
    ChatStream,
    Chunk,
    StepFinishChunk,
    TextChunk,
    Usage,
)
from streamkit.run import Source
from streamkit.stream import start_stream
from streamkit.types import ResponseInfoFields

__all__ = ["BATCHES", "HELLO", "Gate", "finish", "giving", "hello", "start", "start_opened", "text"]

BATCHES = list[list[Chunk]]


def text(content: str, index: int = 0) -> TextChunk:
    """Give a text chunk."""
    return TextChunk(content=content, index=index)


def finish(index: int, usage: Usage | None = None) -> StepFinishChunk:
    """Give the chunk that ends a step."""
    return StepFinishChunk(
        step=1, finish_reason="stop", usage=usage or Usage(), response=ResponseInfoFields(), index=index
    )


HELLO: BATCHES = [[text("Hello", 0), text(" ", 1)], [text("world", 2), finish(3)]]


class Gate:
    """What holds a source as a silent socket does: until the test opens it, or the stream ends."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()

    def open(self) -> None:
        """Let the source go on."""
        self._ours.send(b"x")

    def wait(self, run: Any) -> None:
        """Wait, on the source's side."""
        run.slot.hold(self._theirs)
        self._theirs.recv(1)
        run.slot.release()

    def close(self) -> None:
        """Open it for good."""
        self._ours.close()


def giving(batches: BATCHES, error: BaseException | None = None, gate: Gate | None = None) -> Source:
    """Give a source of these batches, which then waits at the gate, and then ends, perhaps in an error."""

    def source(run: Any) -> Iterator[list[Chunk]]:
        run.answered({"X-Request-Id": "req_1"}, "req_1")
        yield from batches
        if gate is not None:
            gate.wait(run)
        if error is not None:
            raise error

    return source


def start(source: Source, **settings: Any) -> ChatStream:
    """Start a stream of it."""
    return start_stream(source, name="test", **settings)


def hello() -> ChatStream:
    """Start a stream that says hello and ends well."""
    return start(giving(HELLO))


def start_opened(source: Source, **settings: Any) -> ChatStream:
    """Start a stream whose answer counts as open at once: a source that never says so is waited for to its end."""

    def opened(run: Any) -> Iterator[list[Chunk]]:
        run.answered({}, None)
        yield from source(run)

    return start(opened, **settings)
