"""The chunks of all streams of a batch, merged for whoever asks.

Each stream's worker writes its chunks to a tape, and the tape hands them to every reader's cursor; where the worker is
in another process, the chunks come to the tape by way of another one there, and by the run's lifeline. A cursor holds a
bounded number of chunks that its reader has not taken; then the workers wait, and with them the providers. A tape also
remembers its chunks, so that a reader that begins late misses nothing; of what ended long before, neighbouring texts
are joined to one chunk, so that nobody's memory grows with the number of chunks.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator

from streamkit import lazy_attrs as attrs
from streamkit.channel import Channel
from streamkit.forks import new_lock
from streamkit.types.chunks import Chunk, TextChunk, ThinkingChunk
from streamkit.watchdog import watchdog

__all__ = ["ChunkFeed", "Cursor", "Tape", "joined"]

BUFFER = 10_000
"""Chunks that lie unread for one reader before the workers wait for it: as many as for a stream."""
KEPT = 10_000
"""Chunks that are remembered one by one, of a running stream, and of all that have ended together."""

_LIST = 1_000  # chunks that are handed on at a time


class Cursor(Channel["tuple[int, Chunk]"]):
    """One reader's place among the chunks."""

    def __init__(self) -> None:
        super().__init__(BUFFER)
        self.before: deque[tuple[int, Chunk]] = deque()
        """What had come before it began."""
        self.thread = threading.get_ident()
        """Who reads it."""

    def pairs(self) -> Iterator[tuple[int, Chunk]]:
        """Give index and chunk, what had come before first; blocks for the next."""
        while self.before and not self._pipe.cut:
            yield self.before.popleft()
        while True:
            self.thread = threading.get_ident()
            pair, more = self.recv()
            if not more or pair is None:
                return
            yield pair

    def lists(self) -> Iterator[list[Chunk]]:
        """Give the chunks alone, as many at a time as there are; blocks for the next."""
        before = [chunk for _, chunk in self.before]
        for at in range(0, len(before), _LIST):
            yield before[at : at + _LIST]
        for pairs in self.batches():
            yield [chunk for _, chunk in pairs]

    def hand(self, pair: tuple[int, Chunk]) -> None:
        """Hand a chunk over; waits for room; does nothing once the reader has left."""
        self._pipe.put_many((pair,))

    def alert(self) -> None:
        """Deliver nothing more: `shutdown` follows. Only stores attributes, as a signal handler may."""
        self._pipe.cut = True
        self._pipe.alert = True

    def lift(self) -> None:
        """Hold nobody up any more."""
        self._pipe.lift()

    def forked(self) -> None:
        """In a forked child: nothing more will come."""
        self._pipe.forked()
        self.close()


class Tape:
    """The chunks of one stream, written by its worker.

    Of a prompt that is asked again, as its worker was lost, each attempt has a tape: `attempt` tells them apart,
    `number` counts those of which something could be read. The first chunk of a later one says so in its metadata.
    """

    def __init__(self, index: int, cursors: tuple[Cursor, ...], *, attempt: bytes = b"", number: int = 1) -> None:
        self.attempt = attempt
        self.number = number
        self.stale = False
        """Whether another tape has taken its place."""
        self._index = index
        self._lock = new_lock()  # guards the next three; nothing waits under it
        self._chunks: list[Chunk] = []
        self._limit = KEPT  # more than so many chunks are joined
        self._cursors = cursors
        self._chars = 0  # of text, written by the worker alone, as is the next
        self._next = 0

    def add(self, chunk: Chunk) -> None:
        """Write a chunk; waits for readers that are too far behind. On a stale tape nothing is written."""
        if self.number > 1 and not self._next:
            chunk = attrs.evolve(chunk, metadata={**chunk.metadata, "attempt": self.number})
        self._next = chunk.index + 1
        if chunk.type == "text":
            self._chars += len(chunk.content)
        with self._lock:
            if self.stale:
                return
            self._chunks.append(chunk)
            if len(self._chunks) > self._limit:
                self._chunks = joined(self._chunks)
                self._limit = max(KEPT, 2 * len(self._chunks))  # some cannot be joined, and each look reads all
            cursors = self._cursors
        for cursor in cursors:
            cursor.hand((self._index, chunk))

    def complete(self, text: str) -> None:
        """Write what of the text is not on the tape: a stream that is cancelled keeps back what lies unread."""
        if len(text) > self._chars:
            self.add(TextChunk(content=text[self._chars :], index=self._next))

    def join(self, cursor: Cursor) -> None:
        """Give a cursor what is on the tape, and from now on what comes."""
        with self._lock:
            cursor.before.extend((self._index, chunk) for chunk in self._chunks)
            self._cursors = (*(each for each in self._cursors if not each.closed), cursor)

    def shorten(self) -> None:
        """Join what can be joined."""
        with self._lock:
            self._chunks = joined(self._chunks)

    def shortened(self) -> tuple[Chunk, ...]:
        """Give all that is on it, joined."""
        self.shorten()
        return tuple(self._chunks)

    def retire(self) -> int:
        """Give its place to another tape; give the number of that one's attempt."""
        with self._lock:
            self.stale = True
            return self.number + bool(self._chunks)

    def __len__(self) -> int:
        return len(self._chunks)


class ChunkFeed:
    """The tapes and the cursors of a batch. Thread-safe."""

    def __init__(self) -> None:
        self._lock = new_lock()  # guards all that follows; nothing waits under it
        self._tapes: dict[int, Tape] = {}
        self._cursors: list[Cursor] = []
        self._whole: deque[Tape] = deque()  # those of ended streams that are not shortened yet
        self._kept = 0  # chunks on these
        self._closed = False
        self.on_open: Callable[[], object] = _nothing
        """Called when a reader begins."""

    def tape(self, index: int, attempt: bytes = b"") -> Tape:
        """Begin the tape of a stream, in the place of that of an earlier attempt."""
        with self._lock:
            self._cursors = [cursor for cursor in self._cursors if not cursor.closed]
            earlier = self._tapes.get(index)
            number = earlier.retire() if earlier is not None else 1
            tape = self._tapes[index] = Tape(index, tuple(self._cursors), attempt=attempt, number=number)
            return tape

    def tape_of(self, index: int, attempt: bytes) -> Tape | None:
        """Give the tape of this attempt, if there is one and it is the latest."""
        with self._lock:
            tape = self._tapes.get(index)
        return tape if tape is not None and tape.attempt == attempt else None

    def end(self, tape: Tape) -> None:
        """Note that a stream has ended; shorten the oldest tapes when there is too much on them."""
        with self._lock:
            self._whole.append(tape)
            self._kept += len(tape)  # a tape that has ended is written no more
            while self._kept > KEPT:
                oldest = self._whole.popleft()
                self._kept -= len(oldest)
                oldest.shorten()

    def open(self) -> Cursor:
        """Give a cursor that begins with the first chunk of each stream."""
        cursor = Cursor()
        with self._lock:
            for tape in self._tapes.values():
                tape.join(cursor)
            self._cursors.append(cursor)
            if self._closed:
                cursor.close()
        self.on_open()
        return cursor

    def leave(self, cursor: Cursor) -> None:
        """Free the workers of a reader that has gone: perhaps in a finalizer, so that another thread has to do it."""
        if not cursor.closed:
            watchdog.post(functools.partial(cursor.shutdown, immediate=True))

    def alert(self) -> None:
        """Let no reader get another chunk: `close(discard=True)` follows. A signal handler may call it."""
        for cursor in self._cursors.copy():
            cursor.alert()

    def lift(self, thread: int | None = None) -> None:
        """Let no reader hold the workers up; or only those that this thread reads, as it is about to wait for more."""
        for cursor in self._cursors.copy():
            if thread is None or cursor.thread == thread:
                cursor.lift()

    def close(self, *, discard: bool = False) -> None:
        """Let the readers come to an end, at once where what they have not read is to be dropped."""
        with self._lock:
            self._closed = True
            cursors = self._cursors.copy()
        for cursor in cursors:
            cursor.shutdown(immediate=discard)

    def forked(self) -> None:
        """In a forked child: nothing more will come."""
        self._closed = True
        for cursor in self._cursors:
            cursor.forked()


def joined(chunks: list[Chunk]) -> list[Chunk]:
    """Join neighbouring plain pieces of text, and of thinking; each is numbered as the first of its pieces was."""
    result: list[Chunk] = []
    for kind, neighbours in itertools.groupby(chunks, _plain_kind):
        pieces = list(neighbours)
        first = pieces[0]
        if kind is None or not isinstance(first, (TextChunk, ThinkingChunk)):
            result += pieces
        else:
            result.append(attrs.evolve(first, content="".join(piece.content for piece in pieces)))
    return result


def _plain_kind(chunk: Chunk) -> str | None:
    """What a chunk is joined with: others of its type, None for what stays alone."""
    return chunk.type if chunk.type in ("text", "thinking") and not chunk.metadata else None


def _nothing() -> None:
    pass
