"""DurableStreams: answers that lie in Redis as they come, to be followed from any process; needs the extra `redis`.

    durable = DurableStreams("redis://localhost:6379/0")
    durable.write("answer-17", chat)                     # here, or in a worker
    for chunk in durable.follow("answer-17"): ...        # there, from the beginning or from any chunk

The only door to redis-py, which is given to `durable.redis_store`: the other modules there know of a `Store` alone.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from streamkit import lazy_attrs as attrs
from streamkit.client import ChatBuilder
from streamkit.context import Context
from streamkit.derived import AnyStream, Opens, opened, opening
from streamkit.errors import ConfigError, StreamKitError, printable, require
from streamkit.integrations.durable.follow import as_it_is, entries_of, look
from streamkit.integrations.durable.keeper import Keeper
from streamkit.integrations.durable.log import DurableLog, checked_id
from streamkit.integrations.durable.redis_store import RedisStore
from streamkit.integrations.durable.scripts import CANCEL, DELETE
from streamkit.integrations.durable.store import Pause
from streamkit.integrations.durable.write import Keeping, Writing
from streamkit.loops.state import StreamState
from streamkit.resuming import stream_with_retry
from streamkit.run import Run
from streamkit.stream import NO_CLOCKS, ChatStream, start_stream

if TYPE_CHECKING:
    import redis

__all__ = ["DurableState", "DurableStatus", "DurableStreams"]

DurableState = Literal["running", "complete", "failed", "lost", "unknown"]
"""How an answer is. "lost" is one whose writer has died; "unknown" one that was not begun, or has expired."""


@attrs.frozen(kw_only=True)
class DurableStatus:
    """How an answer is, and how many chunks of it there are."""

    state: DurableState
    chunks: int = 0


class DurableStreams:
    """Answers in Redis. Thread-safe; one serves a process, forked ones included.

    A chunk is an entry of a Redis stream from the moment it came; the outcome is the last entry. What goes wrong with
    an answer is the error of the stream that writes or follows it, with all that had come in `partial`. While Redis is
    away, both wait up to `patience` seconds and then go on without a chunk lost or doubled; beyond that they end in
    `ConnectionLost`, and the writer ends the provider's stream.
    """

    def __init__(
        self,
        server: str | redis.Redis,
        *,
        prefix: str = "streamkit:",
        keep: float = 3600.0,
        max_chunks: int = 100_000,
        lease: float = 10.0,
        patience: float = 30.0,
    ) -> None:
        """Say where the answers are; connects when it is first needed.

        Args:
            server: A URL, as `redis.Redis.from_url` takes it, or a client, whose settings are taken over.
            prefix: What all keys begin with.
            keep: Seconds that an answer stays after its end, or after its writer was lost.
            max_chunks: An answer with more fails with `ResponseTooLarge`, and keeps so many.
            lease: Seconds that a writer may be silent (killed, paused, cut off) before its readers are told that it
                is lost. A provider may be silent for as long as it likes.
            patience: Seconds that Redis may be away.

        Raises:
            ConfigError: redis-py is not installed; the URL or a number cannot be used.
        """
        require("prefix", prefix, str, "give what the keys begin with, such as 'streamkit:'")
        for name, value, least in (("keep", keep, 0.001), ("lease", lease, 0.1), ("patience", patience, 0.0)):
            require(name, value, (int, float), "give seconds")
            if not least <= value < math.inf:
                raise ConfigError(f"{name}={value}: give seconds, {least:g} or more")
        require("max_chunks", max_chunks, int, "give a number of chunks")
        if max_chunks < 1:
            raise ConfigError(f"max_chunks={max_chunks}: give 1 or more")
        self._store = RedisStore(_redis_py(), server, prefix, patience)
        self._keeping = Keeping(keep=keep, max_chunks=max_chunks, lease=lease)
        self._keeper = Keeper(self._store, lease)

    def write(self, name: str, stream: AnyStream | Opens, *, ctx: Context | None = None) -> ChatStream:
        """Have an answer written, on a thread of its own; blocks only to take the name.

        `stream` is a builder, which is opened then, or any stream, which nobody else should read. What is given can be
        read or dropped: the answer goes on. Each chunk is in Redis before it is given, and has its `event_id` in
        `metadata`. Cancelling it, `ctx`, or `durable.cancel(name)` ends the provider's stream and is the outcome.

        Raises:
            ConfigError: the name is taken; the key holds something else; Redis refuses the password.
            ConnectionLost: Redis is away.
        """
        return self._write(name, stream, None, ctx)

    def resume(self, name: str, chat: ChatBuilder, *, ctx: Context | None = None) -> ChatStream:
        """Go on with an answer that failed or has lost its writer, as `stream_with_retry` does; else as `write`.

        What is in Redis stays, and what comes goes behind it; so one reads `follow(name, after=...)` where one was.
        Nothing is repeated. Of several that try at the same time, one has the name.

        Raises:
            ConfigError: there is nothing to go on with: it is running, or complete, or was not begun.
            ConnectionLost: Redis is away.
        """
        require("chat", chat, ChatBuilder, "give what opens the rest, as client.chat(...).user(...)")
        log = as_it_is(self._store, _checked(name), time.sleep)
        known = _state_of(log)
        # One that has said why it ended is whole: its writer died before it could say so.
        return self._write(name, _nothing_more(log) if known.complete else _Rest(chat, known), known, ctx)

    def follow(
        self,
        name: str,
        *,
        after: str | None = None,
        wait: float = 0.0,
        ctx: Context | None = None,
        buffer: int = 10_000,
    ) -> ChatStream:
        """Give an answer as it comes, from the beginning or behind a chunk; returns at once.

        `after` is a chunk's `metadata["event_id"]`, such as a browser's Last-Event-ID ("" is None). `final` is the
        whole response, and `partial` all that is in Redis, wherever one began. `wait` is in seconds, for an answer that
        is about to be begun; without one, `ConfigError` is the stream's error. So it is for an `after` that is none of
        the answer's. Cancelling, or dropping, what is given does nothing to the answer.

        Raises:
            ConfigError: `after` is no id at all.
        """
        require("wait", wait, (int, float), "give seconds")
        log = DurableLog(_checked(name), checked_id(after))

        def source(run: Run) -> Iterator[list[Any]]:
            run.answered({}, None)
            run.waits()
            yield from entries_of(self._store, log, run, wait)
            if isinstance(log.outcome, StreamKitError):
                raise log.outcome

        return start_stream(source, name="durable", ctx=ctx, timeouts=NO_CLOCKS, buffer=buffer, made_of=log)

    def cancel(self, name: str, reason: str = "") -> bool:
        """Cancel an answer, for the user: its provider's stream ends, and its readers get `Cancelled`.

        Gives whether there was a writer to be told. Any process may ask.

        Raises:
            ConnectionLost: Redis is away.
        """
        require("reason", reason, str, "give a text")
        return bool(self._store.ask(CANCEL, [_checked(name)], reason.encode("utf-8", "replace"), pause=time.sleep))

    def status(self, name: str) -> DurableStatus:
        """Say how an answer is.

        Raises:
            ConfigError: the key holds something else.
            ConnectionLost: Redis is away.
        """
        state, chunks, _ = look(self._store, _checked(name), time.sleep)
        return DurableStatus(state=state, chunks=chunks)  # type: ignore[arg-type]  # the script gives no other

    def state(self, name: str) -> StreamState:
        """Give what is there of an answer now, to show, or to go on with; `token_count` is its chunks.

        Raises:
            ConfigError: there is none, or its key holds something else.
            ConnectionLost: Redis is away.
        """
        return _state_of(as_it_is(self._store, _checked(name), time.sleep))

    def delete(self, name: str) -> None:
        """Forget an answer. One that is still written fails; who follows it gets what had come, and an error.

        Raises:
            ConnectionLost: Redis is away.
        """
        self._store.ask(DELETE, [_checked(name)], pause=time.sleep)

    def close(self) -> None:
        """Cancel what is written in this process, wait up to a second for all of it, and give up idle connections.

        What is followed goes on. It can be used again.
        """
        self._keeper.close()
        self._store.close()

    def __enter__(self) -> DurableStreams:
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        """Close."""
        self.close()

    def _write(
        self, name: str, stream: AnyStream | Opens, known: StreamState | None, ctx: Context | None
    ) -> ChatStream:
        writing = Writing(self._store, _checked(name), self._keeping, self._keeper.release)
        with self._keeper.keeping(writing):
            writing.begin(self._keeper.channel, None if known is None else known.token_count, _pause_of(ctx))
            try:
                other = opening(stream, ctx) if isinstance(stream, Opens) else opened(stream)
                source = functools.partial(writing.source, other)
                handle = start_stream(source, name="durable", ctx=ctx, timeouts=NO_CLOCKS, buffer=0, made_of=writing)
            except BaseException as error:
                writing.fail(error)
                raise
        writing.hold(handle)
        return handle


@attrs.frozen
class _Rest:
    """What opens the rest of an answer."""

    chat: ChatBuilder
    known: StreamState

    def get_stream(self, ctx: Context | None = None) -> ChatStream:
        """Ask for it."""
        return stream_with_retry(self.chat, state=self.known, ctx=ctx)


def _pause_of(ctx: Context | None) -> Pause:
    """Sleeping, as far as a context lets one."""

    def pause(seconds: float) -> None:
        if ctx is not None and ctx.wait(seconds) and (error := ctx.error()) is not None:
            raise error

    return time.sleep if ctx is None else pause


def _state_of(log: DurableLog) -> StreamState:
    return attrs.evolve(StreamState.of(log.partial), token_count=log.count)


def _nothing_more(log: DurableLog) -> ChatStream:
    """A stream without chunks, whose response is what there is."""

    def source(run: Run) -> Iterator[list[Any]]:
        run.answered({}, None)
        yield from ()

    return start_stream(source, name="durable", timeouts=NO_CLOCKS, made_of=log)


def _checked(name: str) -> str:
    """A name that can be one; they mostly come from a URL."""
    require("name", name, str, "give the name of an answer")
    if not 0 < len(name) <= LONGEST_NAME or not _can_be_encoded(name):
        raise ConfigError(f"name={printable(repr(name), 60)}: give a text of 1 to {LONGEST_NAME} characters")
    return name


def _can_be_encoded(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


LONGEST_NAME = 500
"""Characters."""


def _redis_py() -> Any:
    try:
        import redis
    except ImportError as e:
        raise ConfigError("redis-py is not installed: pip install 'streamkit-llm[redis]'") from e
    return redis
