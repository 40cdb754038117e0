"""KeptAnswers: answers in memory that a browser can come back to, after its connection broke or its page was reloaded.

Each is a stream that keeps the log of its chunks; a reader is a cursor over the log, and the id of an event says where
in the log it stands. So one that comes back gets exactly what it lacks, also while its old connection is thought alive.
It knows nothing of HTTP: see `wsgi`. Who must see an answer from another process, or after a restart, needs Redis.
"""

from __future__ import annotations

import functools
import re
import secrets
import time
import weakref
from collections.abc import Callable, Iterator

from streamkit.channel import Pipe
from streamkit.consumers.frames import DONE, Silence, Told, frames, tell, tell_end
from streamkit.context import Context
from streamkit.derived import AnyStream, Opens, opening
from streamkit.errors import ConfigError, TooManyAnswers
from streamkit.forks import new_lock
from streamkit.stream import ChatStream
from streamkit.types.chunks import Chunk
from streamkit.watchdog import watchdog

__all__ = ["KeptAnswer", "KeptAnswers", "Reading"]

_NO_READER_YET = 10.0
"""Seconds that an answer waits for its first reader."""

_BATCH = 1_000
"""The most chunks that a reader takes from the log at once."""

_ROUND = 0.1
"""Seconds between two looks at what was left or has been kept for long enough: the watchdog's own pace."""

_RETRY = 0.5
"""Seconds after which a browser is to come back; half of `linger`, where that is less."""

_SOONEST = 0.05
"""Seconds at least: a server that is down is not to be asked without a pause."""

_ID = re.compile(r"([0-9a-f]{32})(?:-([0-9]{1,12}))?")


class KeptAnswers:
    """Answers in memory, each known by an id that only its browser has. Thread-safe.

    An answer that nobody reads any more is cancelled `linger` seconds after its last reader left. When it has ended,
    what had arrived is kept for `keep` seconds more. Of more than `most` answers, those that ended first are given up.
    An answer takes about 0.25 kB a chunk; `Limits` bounds its length. When the last reference to the object is dropped,
    so are its answers.

    Raises:
        ConfigError: `linger` or `keep` is negative, or `most` not above zero.
    """

    def __init__(self, *, linger: float = 2.0, keep: float = 300.0, most: int = 1000) -> None:
        for name, seconds in (("linger", linger), ("keep", keep)):
            if not seconds >= 0:
                raise ConfigError(f"{name}={seconds}: give seconds, 0 or more")
        if most < 1:
            raise ConfigError(f"most={most}: give a number of answers above zero")
        self.linger, self.keep, self.most = linger, keep, most
        self._lock = new_lock()  # guards what follows
        self._running: dict[str, KeptAnswer] = {}
        self._ended: dict[str, tuple[float, KeptAnswer]] = {}  # with the moment, in order
        self._rounds: _Rounds | None = None

    def start(self, chat: AnyStream | Opens, ctx: Context | None = None) -> KeptAnswer:
        """Begin an answer; returns at once. What goes wrong while it is opened is the answer's error.

        `chat` is a builder, or a stream, which nobody else must read then. The first reader has ten seconds to come.

        Raises:
            TooManyAnswers: `most` answers run.
        """
        with self._lock:
            self._make_room()
            answer = KeptAnswer(opening(chat, ctx, logs=True), self.linger)
            self._running[answer.id] = answer
            begun = None if self._rounds is not None else _Rounds(self)
            self._rounds = self._rounds or begun
        if begun is not None:
            watchdog.watch(begun)
        return answer

    def get(self, id: str) -> KeptAnswer | None:
        """Give the answer of this id, or of one of its events but the last; None where it is not kept (any more)."""
        named = _ID.fullmatch(id)
        if named is None:
            return None
        with self._lock:
            _, ended = self._ended.get(named[1], (0.0, None))
            return self._running.get(named[1]) or ended

    @property
    def full(self) -> bool:
        """Whether `most` answers run, so that no other can begin."""
        with self._lock:
            return sum(answer.running for answer in self._running.values()) >= self.most

    def close(self) -> None:
        """Cancel what runs, and forget all. Readers still get what had arrived. It can be used again."""
        with self._lock:
            running = [*self._running.values()]
            self._forget()
        for answer in running:
            answer.cancel("the server was stopped")

    def __len__(self) -> int:
        """How many are kept, running or not."""
        return len(self._running) + len(self._ended)

    def _make_room(self) -> None:
        self._sort_out(time.monotonic())
        if len(self._running) >= self.most:
            raise TooManyAnswers(f"{self.most} answers are running: try again later, or keep more with most=...")
        while len(self) >= self.most:
            del self._ended[next(iter(self._ended))]

    def _sort_out(self, now: float) -> None:
        for answer in [answer for answer in self._running.values() if not answer.running]:
            del self._running[answer.id]
            self._ended[answer.id] = now, answer
        for id, (since, _) in list(self._ended.items()):
            if now - since < self.keep:
                break
            del self._ended[id]

    def _round(self, rounds: _Rounds, now: float) -> bool:
        """Do what is due; False when nothing is left to look after."""
        with self._lock:
            self._sort_out(now)
            running = [*self._running.values()]
            if self._rounds is rounds and not len(self):
                self._rounds = None
        for answer in running:
            answer.end_if_left(now)
        return self._rounds is rounds

    def _forget(self) -> None:
        self._running.clear()
        self._ended.clear()


class KeptAnswer:
    """An answer that is kept; made by `KeptAnswers.start`. Any number of readers, on any threads."""

    id: str
    """Names it to its browser. Nobody can guess it: who knows it may read the answer."""

    stream: ChatStream
    """The answer: `result()`, `partial`, `stats`, `err`. Its `ch` is nobody's to read."""

    def __init__(self, stream: ChatStream, linger: float) -> None:
        self.id = secrets.token_hex(16)
        self.stream = stream
        self._linger = linger
        self._lock = new_lock()  # guards what follows
        self._readers: set[object] = set()
        self._was_read = False
        self._waits_until = time.monotonic() + max(linger, _NO_READER_YET)

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.stream._run.live

    def events(
        self,
        after: str | None = None,
        *,
        keep_alive: float | None = 15.0,
        thinking: bool = False,
        lingers: bool = True,
        gone: Callable[[], bool] | None = None,
    ) -> Reading:
        """Give the frames for a browser, as `sse_events` does, from the first on, or those after the event of that id.

        Each has an id for `Last-Event-ID`; that of the last one ends in "-done". Before the first there is that of the
        answer, by which one comes back that has had no event. Blocks for the next frame. Close it when the browser
        leaves; `gone`, which must not block, is asked for that about twice a second. When the last reader has left, the
        answer is cancelled: `linger` seconds later, or at once where none of them `lingers`.

        Raises:
            ConfigError: `after` is no id of an event of this answer, or `keep_alive` is not above zero.
        """
        return Reading(self, self._position(after), keep_alive, gone, thinking=thinking, lingers=lingers)

    def cancel(self, reason: str | None = None) -> None:
        """End it at once; readers get what had arrived, and an error event. Idempotent; any thread may call it."""
        self.stream.cancel(reason)

    def end_if_left(self, now: float) -> None:
        """Cancel it if its last reader left and has not come back in time. Internal."""
        with self._lock:  # a reader comes before or after, not in between
            if not self._readers and now >= self._waits_until and self.running:
                self.cancel("its reader has left")

    def _position(self, after: str | None) -> int:
        if after is None:
            return 0
        named = _ID.fullmatch(after)
        position = int(named[2]) + 1 if named is not None and named[2] is not None else 0
        if named is None or named[1] != self.id or position > len(_log(self.stream)):
            raise ConfigError("after=...: give the id of an event of this answer, or None for all of them")
        return position

    def _enter(self, reader: object) -> None:
        with self._lock:
            if not self._was_read:
                self._was_read, self._waits_until = True, 0.0
            self._readers.add(reader)

    def _leave(self, reader: object, *, lingers: bool) -> None:
        now = time.monotonic()
        with self._lock:
            if reader not in self._readers:
                return
            self._readers.discard(reader)
            if lingers:
                self._waits_until = now + self._linger
        self.end_if_left(now)


class Reading(Iterator[bytes]):
    """A reader of an answer. It counts as one from its making to its end, its closing, or being dropped."""

    def __init__(
        self,
        answer: KeptAnswer,
        at: int,
        keep_alive: float | None,
        gone: Callable[[], bool] | None,
        *,
        thinking: bool,
        lingers: bool,
    ) -> None:
        reader = self._reader = object()
        self._answer = answer
        # `close` while another thread waits for the next frame only lets it know.
        silence = Silence(keep_alive, lambda: reader not in answer._readers or (gone is not None and gone()))
        self._frames = _frames(answer, at, silence, thinking=thinking, lingers=lingers)
        # Kept: at interpreter exit a module's names may be gone.
        self._post, self._leave = watchdog.post, functools.partial(answer._leave, reader, lingers=lingers)
        answer._enter(reader)

    def __next__(self) -> bytes:
        """Give the next frame; blocks for it."""
        if self._reader not in self._answer._readers:
            raise StopIteration
        try:
            return next(self._frames)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave. Idempotent, from any thread."""
        self._leave()

    def __del__(self) -> None:
        # A finalizer may run in the middle of any line: it takes no lock and does no more than this.
        if self._reader in self._answer._readers:
            self._post(self._leave)


def _frames(answer: KeptAnswer, at: int, silence: Silence, *, thinking: bool, lingers: bool) -> Iterator[bytes]:
    def told(batch: tuple[int, list[Chunk]]) -> Iterator[Told]:
        for position, chunk in enumerate(batch[1], batch[0]):
            event = tell(chunk, thinking=thinking)
            if event is not None:
                yield event, f"{answer.id}-{position}"

    def last() -> Told:
        return tell_end(answer.stream.err.get(), answer.stream.final.get()), f"{answer.id}{DONE}"

    if lingers and answer._linger > 0:
        # With the id, one that is cut off before the first token does not ask anew.
        id = f"id: {answer.id}\n" if at == 0 else ""
        yield f"retry: {1000 * max(_SOONEST, min(_RETRY, answer._linger / 2)):.0f}\n{id}\n".encode()
    yield from frames(_logged(answer.stream, at, silence), silence, told, last)


def _logged(stream: ChatStream, at: int, silence: Silence) -> Iterator[tuple[int, list[Chunk]]]:
    """Give what the log has, from that position on, and empty batches when something falls due in the silence."""
    pipe, log = stream._run.pipe, _log(stream)
    while True:
        pipe.wait_logged(at, silence.left())
        ended = pipe.closed  # asked first: nothing is logged after
        batch = log[at : at + _BATCH]
        if ended and not batch:
            return
        yield at, batch
        at += len(batch)


def _log(stream: ChatStream) -> list[Chunk]:
    pipe: Pipe[Chunk] = stream._run.pipe
    assert pipe.log is not None  # it was asked for
    return pipe.log


class _Rounds:
    """What the watchdog watches of kept answers, which it must not keep alive."""

    def __init__(self, answers: KeptAnswers) -> None:
        self._answers = weakref.ref(answers)

    def check(self, now: float) -> float | None:
        answers = self._answers()
        if answers is not None and answers._round(self, now):
            return now + _ROUND
        watchdog.unwatch(self)
        return None

    def forked(self) -> None:
        answers = self._answers()
        if answers is not None:
            answers._forget()
            answers._rounds = None
