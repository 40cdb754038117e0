"""ParallelProgress, and the counts that it is made of."""

from __future__ import annotations

import time
from collections.abc import Callable

from streamkit import lazy_attrs as attrs
from streamkit.parallel.item import ParallelItem
from streamkit.stream import ChatStream

__all__ = ["ParallelProgress", "Tally"]


@attrs.frozen(kw_only=True)
class ParallelProgress:
    """How far a batch is.

    `total` is the number of prompts; of an iterable without a length, of those read so far, until it is exhausted.
    `done` are those with an outcome, `failed` those among them with an error, `running` those being asked or waiting
    for their turn. `tokens_per_second` counts the answers of this run since its first request, a chunk of a running
    one as a token; None before the first. `elapsed` is in seconds since the run began.
    """

    total: int
    done: int
    failed: int
    running: int
    tokens_per_second: float | None
    elapsed: float


class Tally:
    """The counts of a batch. Not thread-safe: whoever uses it holds the batch's lock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.done = self.failed = self.begun = 0
        self._clock = clock
        self._started = clock()
        self._asked: float | None = None
        self._streams: dict[int, ChatStream] = {}
        self._tokens = 0

    def open(self, index: int, stream: ChatStream) -> None:
        """Count what comes of this stream."""
        if self._asked is None:
            self._asked = self._clock() - stream.stats.elapsed
        self._streams[index] = stream

    def end(self, item: ParallelItem) -> None:
        """Count an outcome."""
        self.done += 1
        self.failed += item.error is not None
        stream = self._streams.pop(item.index, None)
        if item.response is not None and not item.from_checkpoint:
            if self._asked is None:  # in another process
                self._asked = self._clock() - item.elapsed
            reported = item.response.total_usage.completion_tokens
            self._tokens += reported or (stream.stats.chunks if stream is not None else 0)

    def progress(self, total: int, running: int) -> ParallelProgress:
        """Give the state of now."""
        now = self._clock()
        return ParallelProgress(
            total=total,
            done=self.done,
            failed=self.failed,
            running=running,
            tokens_per_second=self._speed(now),
            elapsed=now - self._started,
        )

    def _speed(self, now: float) -> float | None:
        tokens = self._tokens + sum(stream.stats.chunks for stream in self._streams.values())
        if not tokens or self._asked is None or now <= self._asked:
            return None
        return tokens / (now - self._asked)
