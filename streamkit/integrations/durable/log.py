"""DurableLog: the entries of a durable stream, read from the first on, as chunks and an outcome.

It knows what entries look like and nothing of Redis. What is not as a writer left it (other people's entries, some
missing, a newer version) is an error: a log is whole as far as it was read, or refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence

from streamkit import lazy_attrs as attrs
from streamkit.chunk_json import chunk_from_json
from streamkit.error_json import error_from_json, error_to_json
from streamkit.errors import ConfigError, StreamKitError, StreamTruncated, printable
from streamkit.integrations.durable.scripts import VERSION
from streamkit.integrations.durable.store import Entry, named
from streamkit.response_json import response_from_json, response_to_json
from streamkit.types.chunks import Chunk, TextChunk
from streamkit.types.response import ChatResponse, Fold

__all__ = ["DurableLog", "checked_id", "marked", "written_outcome"]

_ID = re.compile(r"([1-9][0-9]{0,19})-([0-9]{1,20})")


def checked_id(after: str | None) -> str | None:
    """Give the id of an entry, None for None and for ""; `ConfigError` for what can be none."""
    if after is None or after == "":
        return None
    found = _ID.fullmatch(after) if isinstance(after, str) else None
    if found is None or any(int(number) >= 2**64 for number in found.groups()):
        raise ConfigError(f"after={printable(repr(after), 60)}: give the event_id of a chunk, or None")
    return after


def written_outcome(outcome: ChatResponse | StreamKitError) -> bytes:
    """Give the value of an answer's last entry."""
    if isinstance(outcome, StreamKitError):
        return _bytes({"error": error_to_json(outcome)})
    return _bytes({"response": response_to_json(outcome)})


def marked(chunk: Chunk, event_id: str) -> Chunk:
    """Give a chunk as a follower gets it: it knows where it lies."""
    if type(chunk) is TextChunk and not chunk.metadata:
        return TextChunk(content=chunk.content, index=chunk.index, metadata={"event_id": event_id})
    return attrs.evolve(chunk, metadata={**chunk.metadata, "event_id": event_id})


def _bytes(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


class DurableLog:
    """What has been read of an answer. One thread reads; any thread may ask for `partial`.

    It is the upstream of the stream that follows: what comes before `after` is known, and not given again.
    """

    def __init__(self, name: str, after: str | None = None) -> None:
        self.name = name
        self.position = "0-0"
        """The id of the last entry that was read."""
        self.count = 0
        """Chunks read."""
        self.outcome: ChatResponse | StreamKitError | None = None
        self._after = after
        self._next = b""  # the id that the next chunk must have
        self._run, self._number = b"", 0  # what it is made of
        self._fold = Fold()
        self._step_ended = False

    @property
    def partial(self) -> ChatResponse:
        """The response so far, from the first chunk on; the whole one once that is known."""
        return self.outcome if isinstance(self.outcome, ChatResponse) else self._fold.response()

    def leave(self, reason: str | None) -> None:
        """The reader has left, which is nothing to the writer."""

    def read(self, entries: Iterable[Entry]) -> Iterator[list[Chunk]]:
        """Read further entries; give the chunks that are new to who follows, if any, and only then an error.

        Raises:
            ConfigError: they are not what this version of streamkit wrote.
        """
        fresh: list[Chunk] = []
        try:
            for entry, fields in entries:
                self._read(entry, fields, fresh)
        except StreamKitError:
            if fresh:
                yield fresh
            raise
        if fresh:
            yield fresh

    def caught_up(self, count: int) -> None:
        """Note that there are so many chunks; `ConfigError` where all are read, and the one to go on from was not."""
        if self._after is not None and (self.count >= count or self.outcome is not None):
            raise ConfigError(
                f"after={self._after!r} is no chunk of the {named(self.name)} as it is now: follow it from the "
                "beginning, with after=None"
            )

    def vanished(self) -> StreamKitError:
        """Give the error for an answer of which nothing is there any more."""
        return StreamTruncated(
            f"the {named(self.name)} is gone from Redis (deleted, expired, or Redis lost its data): what had come of "
            "it is in `partial`; ask anew"
        )

    def _read(self, entry: bytes, fields: Sequence[bytes], fresh: list[Chunk]) -> None:
        self.position, kind = entry.decode(), fields[0]
        if kind == b"c" and entry == self._next:
            chunk = self._chunk(fields[1])
            if self._after is None:
                fresh.append(chunk)
            elif self._after == self.position:
                self._after = None
        elif kind == b"streamkit":
            self._begin(entry, fields[1])
        elif kind == b"end" and self._next:
            self.outcome = self._outcome(fields[1])
        else:
            raise self._damaged(f"entry {self.position} is not the next one of a streamkit answer")

    def _begin(self, entry: bytes, value: bytes) -> None:
        version, _, known = value.partition(b" ")
        if version != VERSION.encode():
            newer = printable(version.decode("utf-8", "replace"), 20)
            raise ConfigError(
                f"the {named(self.name)} was written by a newer streamkit (version {newer}): upgrade this one"
            )
        if known != b"%d" % self.count:  # it was deleted, and the name has been given to another answer
            raise self.vanished()
        self._run, self._number, self.outcome = entry.partition(b"-")[0], 0, None
        self._expect()

    def _expect(self) -> None:
        self._number += 1
        self._next = b"%b-%d" % (self._run, self._number)

    def _chunk(self, value: bytes) -> Chunk:
        chunk = chunk_from_json(value)
        if chunk.index != self.count:
            raise self._damaged(f"chunk {chunk.index} stands where {self.count} should")
        if self._step_ended:
            self._fold.next_step()
        self._step_ended = chunk.type == "step_finish"
        self._fold.add((chunk,))
        self.count += 1
        self._expect()
        return marked(chunk, self.position)

    def _outcome(self, value: bytes) -> ChatResponse | StreamKitError:
        try:
            written = json.loads(value)
            return error_from_json(written["error"]) if "error" in written else response_from_json(written["response"])
        except (KeyError, TypeError, ValueError) as e:
            raise self._damaged("its outcome cannot be read") from e

    def _damaged(self, why: str) -> ConfigError:
        return ConfigError(
            f"the {named(self.name)} is not as streamkit wrote it: {why}; use another prefix, or delete it"
        )
