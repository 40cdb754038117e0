"""smooth: the same text at an even pace.

`Pace` knows when which text is due, and no clock; `smooth` asks it between waits for the stream that it reads.
"""

from __future__ import annotations

import math
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Literal

from streamkit import lazy_attrs as attrs
from streamkit.derived import AnyStream, derived
from streamkit.errors import ConfigError, require
from streamkit.stream import ChatStream
from streamkit.types.chunks import Chunk, TextChunk, ThinkingChunk

__all__ = ["Pace", "Unit", "smooth"]

Unit = Literal["char", "word", "line"]

_FINEST = 0.01
"""Seconds between two chunks at least: no display shows more, and each costs its reader a wake-up."""

_LONGEST = 4_096
"""Characters after which what is not whole yet counts as whole: else each piece of it would cost more to look at."""

_MARKS = "\u0300-\u036f\u200d\u20d0-\u20f0\ufe0e\ufe0f\U0001f3fb-\U0001f3ff"
_WORDLESS = "\u2e80-\u30ff\u3400-\u9fff\uf900-\ufaff"  # Chinese and Japanese, which do not part words
_UNITS = {
    "char": re.compile(f"\r\n|(?s:.)(?:[{_MARKS}]|(?<=\u200d).)*"),
    # A word has the white space around it; what never ends is none.
    "word": re.compile(rf"\s*(?:[{_WORDLESS}]|[^\s{_WORDLESS}]+(?=[{_WORDLESS}])|\S{{64}}|\S+\s+)"),
    "line": re.compile(r"[^\n]*\n"),
}


def smooth(
    stream: AnyStream,
    interval: float = 0.05,
    *,
    by: Unit | re.Pattern[str] | None = None,
    max_delay: float = 0.5,
) -> ChatStream:
    """Even out the pace for display; returns at once.

    Without `by` every `interval` seconds there is one text chunk with all that has come. With a unit, or a pattern that
    finds the end of one, text comes in whole units, `interval` seconds apart or less: as close as it takes for none to
    wait longer than `max_delay` seconds. A unit that is not whole is waited for, until nothing has been added to it for
    `max_delay`, or it has 4,096 characters. Thinking is treated like text, and never merged with it; chunks of other
    types, and those with metadata, flush what is waiting and pass at once. `index` is counted anew.

    What is waiting is flushed at the end, also of a stream that failed or was cancelled. Cancelling the result cancels
    `stream`, whose outcome it has. `stream` should have no other reader.

    Raises:
        ConfigError: `interval` or `max_delay` is negative or no number, or `by` is no unit.
    """
    for name, seconds in (("interval", interval), ("max_delay", max_delay)):
        require(name, seconds, (int, float), "give seconds")
        if not 0 <= seconds < math.inf:
            raise ConfigError(f"{name}={seconds}: give seconds, 0 or more")
    units = _UNITS.get(by) if isinstance(by, str) else by
    if by is not None and not isinstance(units, re.Pattern):
        raise ConfigError(f"by={by!r}: give 'char', 'word', 'line' or a compiled pattern")

    def transform(other: ChatStream) -> Iterator[list[Chunk]]:
        pace = Pace(interval, units=units, max_delay=max_delay)
        shown = 0
        for batch in other.ch.batches(lambda: pace.wait(time.monotonic())):
            ready = _numbered([*pace.take(batch, time.monotonic())], shown)
            shown += len(ready)
            yield ready
        yield _numbered(pace.flush(), shown)

    return derived(stream, transform, name="smooth", buffer=0, drains=True)


def _numbered(chunks: list[Chunk], first: int) -> list[Chunk]:
    return [attrs.evolve(chunk, index=index) for index, chunk in enumerate(chunks, first)]


class Pace:
    """Text that waits for its time. Times are seconds of any one clock."""

    def __init__(self, interval: float, *, units: re.Pattern[str] | None, max_delay: float) -> None:
        self._interval = interval
        self._pattern = units
        # Ours begin where they are looked for; what another's begins with may be anything.
        self._look = None if units is None else units.match if units in _UNITS.values() else units.search
        self._max_delay = max_delay
        self._kind = "text"
        self._whole: deque[tuple[str, float]] = deque()  # units, and when each must have gone
        self._tail = ""  # what is not a whole unit yet
        self._grown = 0.0  # when something was last added to it
        self._shown = -math.inf  # when the last chunk went

    def take(self, chunks: Iterable[Chunk], now: float) -> Iterator[Chunk]:
        """Take what has come by now; give what is due."""
        for chunk in chunks:
            plain = chunk.type in ("text", "thinking") and not chunk.metadata
            if not plain or chunk.type != self._kind:
                yield from self.flush()
            if not plain:
                yield chunk
                continue
            self._kind = chunk.type
            self._add(chunk.content, now)
        yield from self._due(now)

    def wait(self, now: float) -> float | None:
        """Give the seconds after which something will be due, None while nothing is waiting."""
        times = []
        if self._whole:
            times.append(self._shown + self._spacing(now))
        if self._tail:
            times.append(self._grown + self._max_delay)
        return max(0.0, min(times) - now) if times else None

    def flush(self) -> list[Chunk]:
        """Give all that is waiting."""
        text = "".join(unit for unit, _ in self._whole) + self._tail
        self._whole.clear()
        self._tail = ""
        return [self._chunk(text)] if text else []

    def _add(self, text: str, now: float) -> None:
        if self._pattern is None:
            self._whole.append((text, now + self._interval))
            return
        self._tail += text
        self._grown = now
        begin = 0
        while (end := self._end(begin)) > begin:
            self._whole.append((self._tail[begin:end], now + self._max_delay))
            begin = end
        self._tail = self._tail[begin:]

    def _end(self, begin: int) -> int:
        """Where the unit ends that begins there; `begin` while it has not."""
        match = self._look(self._tail, begin) if self._look is not None else None
        if match is not None and match.end() > begin:
            return match.end()
        return begin + _LONGEST if len(self._tail) - begin >= _LONGEST else begin

    def _due(self, now: float) -> Iterator[Chunk]:
        if self._tail and now >= self._grown + self._max_delay:  # nothing more comes: it is as whole as it gets
            self._whole.append((self._tail, now))
            self._tail = ""
        if not self._whole or now < self._shown + self._spacing(now):
            return
        count = len(self._whole) if self._pattern is None else self._count(now)
        self._shown = now
        yield self._chunk("".join(self._whole.popleft()[0] for _ in range(count)))

    def _chunk(self, text: str) -> Chunk:
        kind = ThinkingChunk if self._kind == "thinking" else TextChunk
        return kind(content=text, index=0)

    def _each(self, now: float) -> float:
        """The seconds that each waiting unit may take for all to go in time."""
        return min(self._interval, (self._whole[0][1] - now) / len(self._whole))

    def _spacing(self, now: float) -> float:
        if self._pattern is None:
            return self._interval
        each = self._each(now)
        return each if each <= 0 else max(each, min(_FINEST, self._interval))

    def _count(self, now: float) -> int:
        """How many units go now, so that the rest can go in time."""
        each = self._each(now)
        if each <= 0:
            return max(1, sum(until <= now for _, until in self._whole))
        return min(len(self._whole), math.ceil(min(_FINEST, self._interval) / each) or 1)
