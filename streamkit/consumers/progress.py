"""with_progress: how much of an answer has come, as far as one can know."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from typing import Union

from streamkit.consumers.user_queue import put_newest
from streamkit.derived import AnyStream, derived
from streamkit.errors import ConfigError, require
from streamkit.hooks import observe
from streamkit.stream import ChatStream
from streamkit.types.chunks import Chunk

__all__ = ["ProgressSink", "with_progress"]

ProgressSink = Union[Callable[[float], object], "queue.Queue[float]"]
"""Who is told: a function, or a queue."""

_NOT_YET = 0.95
"""The most that is reported before the end: nobody knows how long an answer will be."""


def with_progress(stream: AnyStream, expected: int, progress: ProgressSink) -> ChatStream:
    """Report the fraction `chunks / expected` as text chunks pass; returns at once.

    It never falls, is at most 0.95 until the end, and 1.0 then, once, on success only: before `final` can be read.
    `expected` is in text chunks; below 1 counts as 1. A function is called on the stream's thread, must be quick, and
    an exception in it is logged; a full queue drops its oldest value rather than hold up the stream. `stream` should
    have no other reader.

    Raises:
        ConfigError: `progress` is neither a function nor a queue.
    """
    require("expected", expected, int, "give a number of chunks")
    tell = _teller(progress)
    share = 1 / max(1, expected)

    def transform(other: ChatStream) -> Iterator[list[Chunk]]:
        seen, told = 0, 0.0
        for batch in other.ch.batches():
            for chunk in batch:
                seen += chunk.type == "text"
                fraction = min(seen * share, _NOT_YET)
                if fraction > told:
                    told = fraction
                    tell(fraction)
            yield batch
        if other.reading_error() is None:
            tell(1.0)

    return derived(stream, transform, name="progress")


def _teller(progress: ProgressSink) -> Callable[[float], object]:
    if isinstance(progress, queue.Queue):
        values = progress
        return lambda fraction: put_newest(values, fraction)
    if callable(progress):
        report = progress
        return lambda fraction: observe(report, fraction)
    raise ConfigError(f"progress={progress!r}: give a function that takes a fraction, or a queue.Queue")
