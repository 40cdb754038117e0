"""Stats: how a stream is doing, measured by its producer at no cost worth naming."""

from __future__ import annotations

import bisect
import itertools
import math
import time

from streamkit.types.response import Fold

__all__ = ["Stats"]

_PER_OCTAVE = 8  # histogram buckets for each doubling of a gap: 9 % resolution
_BUCKETS = 40 * _PER_OCTAVE  # from 1 microsecond to days


class Stats:
    """Seconds and counts of one stream, at any time, from any thread; None where nothing was measured yet.

    `ttft` runs from `get_stream` to the first chunk, `elapsed` to the end or to now. `gap_p50` and `gap_p99` are
    between batches delivered (what one read of the socket brought together), from a histogram of fixed size.
    """

    def __init__(self, fold: Fold) -> None:
        self.ttft: float | None = None
        self.chunks = 0
        self.attempts = 1
        self.dropped = 0
        self._fold = fold
        self._began = time.monotonic()
        self._ended: float | None = None
        self._last: float | None = None
        self._gaps = [0] * _BUCKETS

    def note(self, chunks: int, now: float) -> None:
        """Count a batch; the producer calls it."""
        self.chunks += chunks
        if self._last is None:
            self.ttft = now - self._began
        else:
            gap = now - self._last
            self._gaps[min(_BUCKETS - 1, int(math.log2(gap * 1e6) * _PER_OCTAVE)) if gap > 1e-6 else 0] += 1
        self._last = now

    def end(self) -> None:
        """Stop the clock; the first call counts."""
        if self._ended is None:
            self._ended = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since `get_stream`, up to the end of the stream."""
        return (self._ended if self._ended is not None else time.monotonic()) - self._began

    @property
    def chars(self) -> int:
        """Characters of text so far."""
        return self._fold.chars

    @property
    def tokens_per_second(self) -> float | None:
        """Completion tokens, as the provider reported them, per second since the first chunk; None while unreported."""
        usage = self._fold.response().total_usage
        if self.ttft is None or self._last is None or usage.source == "unknown":
            return None
        seconds = self._last - self._began - self.ttft
        return usage.completion_tokens / seconds if seconds > 0 else None

    @property
    def gap_p50(self) -> float | None:
        """Median seconds between batches."""
        return self._percentile(0.50)

    @property
    def gap_p99(self) -> float | None:
        """Seconds between batches that 99 % do not exceed."""
        return self._percentile(0.99)

    def _percentile(self, share: float) -> float | None:
        up_to = list(itertools.accumulate(self._gaps))
        if not up_to[-1]:
            return None
        bucket = bisect.bisect_left(up_to, share * up_to[-1])
        return float(2 ** ((bucket + 0.5) / _PER_OCTAVE) / 1e6)

    def __repr__(self) -> str:
        ttft = "none" if self.ttft is None else f"{self.ttft:.3f}"
        return f"<Stats ttft={ttft} elapsed={self.elapsed:.3f} chunks={self.chunks}>"
