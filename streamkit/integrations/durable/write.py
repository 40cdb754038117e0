"""Writing an answer: each batch of its chunks goes into the database, and only then to who reads here."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from streamkit import lazy_attrs as attrs
from streamkit.chunk_json import chunk_to_json
from streamkit.errors import (
    ConfigError,
    ResponseTooLarge,
    StreamKitError,
    StreamTruncated,
    TransportError,
    presentable,
)
from streamkit.integrations.durable.log import marked, written_outcome
from streamkit.integrations.durable.scripts import APPEND, BEGIN, VERSION
from streamkit.integrations.durable.store import Pause, Store, named
from streamkit.run import Run
from streamkit.stream import ChatStream
from streamkit.types.chunks import Chunk
from streamkit.types.response import ChatResponse

__all__ = ["Keeping", "Writing"]

logger = logging.getLogger("streamkit")

BATCH = 500
"""Chunks that are sent at once, for which the database does nothing else."""

BATCH_BYTES = 1_000_000
"""Bytes that are sent at once, unless one chunk has more: on a slow line, too, they are there within a timeout."""


@attrs.frozen(kw_only=True)
class Keeping:
    """How long and how much is kept. `keep` and `lease` are in seconds."""

    keep: float
    max_chunks: int
    lease: float


class Writing:
    """An answer that is written in this process: what its thread and the keeper of leases share.

    It is the upstream of the stream that it is read by here.
    """

    def __init__(self, store: Store, name: str, keeping: Keeping, on_end: Callable[[Writing], object]) -> None:
        self.name = name
        self.token = secrets.token_hex(8)
        self.begun = False
        self.handle: ChatStream | None = None
        """Held while it runs, so that the answer goes on whoever reads."""
        self._store = store
        self._keeping = keeping
        self._on_end = on_end
        self._stream: ChatStream | None = None
        self._wish: str | None = None
        self._lost: StreamKitError | None = None
        self._given_up = threading.Event()
        self._ms, self._base, self._count = "", 0, 0

    def begin(self, channel: str, after: int | None, pause: Pause) -> None:
        """Take the name, for a new answer or behind `after` chunks.

        Raises:
            ConfigError: it is taken, or there are not just so many.
        """
        milliseconds = int(self._keeping.lease * 1000), int(self._keeping.keep * 1000)
        behind = "" if after is None else after
        state, ms, base = self._store.ask(
            BEGIN, [self.name], self.token, channel, *milliseconds, VERSION, behind, pause=pause
        )
        if state != b"ok":
            raise ConfigError(f"the {named(self.name)} {_TAKEN[state.decode()]}")
        self._ms, self._base, self.begun = ms.decode(), int(base), True

    def hold(self, handle: ChatStream) -> None:
        """Hold what it is read by, until it ends."""
        self.handle = handle
        if not handle._run.live:
            self.handle = None

    def fail(self, error: BaseException) -> None:
        """Say that it ended before it began."""
        self._fail(error, _never)

    # -- the keeper's side

    def cancel(self, wish: bytes) -> None:
        """End it, as the user wished; also before there is a stream to end."""
        if wish == b"deleted":
            self.lose("gone")
            return
        self._wish = wish.decode("utf-8", "replace").removeprefix("because:")
        if self._stream is not None:
            self._stream.cancel(self._wish or None)

    def lose(self, state: str) -> None:
        """End it: others were told that it is lost."""
        if self._lost is None:
            self._lost = StreamTruncated(f"the {named(self.name)} {_LOST.get(state, _LOST['gone'])}")
            if self._stream is not None:
                self._stream.cancel("it is not this writer's any more")

    def give_up(self) -> None:
        """Try no longer to write how it ended."""
        self._given_up.set()

    # -- the stream's side

    @property
    def partial(self) -> ChatResponse:
        """What came of the answer, also what could not be written."""
        return self._stream.partial if self._stream is not None else ChatResponse()

    def leave(self, reason: str | None) -> None:
        """End the answer: its reader here was cancelled."""
        if self._stream is not None and self._stream._run.live:
            self._stream.cancel(reason)

    def source(self, stream: ChatStream, run: Run) -> Iterator[list[Chunk]]:
        """Write a stream; give its chunks as they lie in the database."""
        self._stream = stream
        run.defer(self._ended)
        run.answered(stream.headers, stream.request_id)
        run.waits()
        if self._wish is not None:
            stream.cancel(self._wish or None)
        try:
            for batch in stream.ch.batches():
                yield from self._append(batch, run.pause)
            run.retried(stream.stats.attempts - 1)
            error = self._lost or run.ended() or stream.reading_error()
            if error is not None:
                raise error
            self._send(run.pause, outcome=stream.result())
        except BaseException as error:
            self.leave("it cannot be kept")
            self._fail(run.ended() or error, self._pause)  # not the run's, which has ended: its readers are free
            raise

    def _ended(self) -> None:
        self.handle = None
        self._on_end(self)

    def _pause(self, seconds: float) -> None:
        if self._given_up.wait(seconds):
            raise StreamKitError("its writer was closed")

    def _append(self, batch: list[Chunk], pause: Pause) -> Iterator[list[Chunk]]:
        at = self._base + self._count
        fitting = [
            chunk if chunk.index == index else attrs.evolve(chunk, index=index)  # what was made of a stream has gaps
            for index, chunk in enumerate(batch[: self._keeping.max_chunks - at], at)
        ]
        for part in _divided(fitting):
            first = self._count + 1
            self._send(pause, values=[value for _, value in part])
            yield [marked(chunk, f"{self._ms}-{number}") for number, (chunk, _) in enumerate(part, first)]
        if len(fitting) < len(batch):
            most = self._keeping.max_chunks
            raise ResponseTooLarge(
                f"the {named(self.name)} has more than {most} chunks: see DurableStreams(max_chunks=...)"
            )

    def _send(
        self, pause: Pause, *, values: Sequence[bytes] = (), outcome: ChatResponse | StreamKitError | None = None
    ) -> None:
        if self._lost is not None:
            raise self._lost
        ended = "" if outcome is None else "complete" if isinstance(outcome, ChatResponse) else "failed"
        last = b"" if outcome is None else written_outcome(outcome)
        try:
            state, wish = self._store.ask(
                APPEND, [self.name], self.token, self._count + 1, ended, last, *values, pause=pause
            )
        except (ConfigError, TransportError) as failure:
            self._lost = failure
            raise
        if state != b"ok":
            self.lose(state.decode())
            assert self._lost is not None
            raise self._lost
        self._count += len(values)
        if wish and self._wish is None:
            self.cancel(wish)

    def _fail(self, error: BaseException, pause: Pause) -> None:
        """Write how it ended, if that can still be done."""
        if self._lost is not None:
            return
        outcome = presentable(error, "an internal error ended the stream: the log of its writer has it")
        if outcome is not error:
            logger.error("an internal error ended the %s: %r", named(self.name), error)
        try:
            self._send(pause, outcome=outcome)
        except StreamKitError as failure:
            logger.warning("the end of the %s could not be written: %s", named(self.name), failure)


def _divided(chunks: Iterable[Chunk]) -> Iterator[list[tuple[Chunk, bytes]]]:
    """Give what is sent at once, each chunk with what is written of it."""
    part: list[tuple[Chunk, bytes]] = []
    size = 0
    for chunk in chunks:
        value = chunk_to_json(chunk).encode("utf-8", "surrogatepass")
        if part and (len(part) == BATCH or size + len(value) > BATCH_BYTES):
            yield part
            part, size = [], 0
        part.append((chunk, value))
        size += len(value)
    if part:
        yield part


def _never(seconds: float) -> None:
    raise StreamKitError("it is not tried again")


_TAKEN = {
    "running": "is being written: follow it, or take another name",
    "complete": "is written, and whole: follow it, take another name, or delete it",
    "failed": "is written, and has failed: resume it, take another name, or delete it",
    "lost": "has lost its writer: resume it, take another name, or delete it",
    "changed": "was gone on with by another writer: follow it",
    "unknown": "is not there any more: write it anew",
    "foreign": "cannot be written: its key holds something else; use another prefix",
}
"""Why a name cannot be had."""

_LOST = {
    "lost": "was taken for lost, as its writer was silent for longer than `lease` (paused, or cut off from Redis), and "
    "its readers were told so: what had come is in `partial`; allow more with DurableStreams(lease=...)",
    "gone": "is not this writer's any more (deleted, expired, gone on with by another writer, or Redis lost its data): "
    "what had come is in `partial`",
}
"""Why an answer cannot be written further."""
