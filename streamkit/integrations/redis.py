"""DurableStreams: answers that lie in Redis as they come, to be followed from any process; needs the extra `redis`.

    durable = DurableStreams("redis://localhost:6379/0")
    durable.write("answer-17", chat)                     # here, or in a worker
    for chunk in durable.follow("answer-17"): ...        # there, from the beginning or from any chunk

The only door to redis-py: the modules beside it (`durable_*`) know of a `Store` alone.
"""

from __future__ import annotations

import functools
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import attrs

from streamkit.client import ChatBuilder
from streamkit.context import Context
from streamkit.derived import AnyStream, Opens, opened, opening
from streamkit.errors import ConfigError, ConnectionLost, StreamKitError, TransportError, printable, require
from streamkit.integrations.durable_follow import LONGEST_WAIT, as_it_is, entries_of, look
from streamkit.integrations.durable_keeper import Keeper
from streamkit.integrations.durable_log import DurableLog, Entry, checked_id
from streamkit.integrations.durable_scripts import CANCEL, DELETE, Script
from streamkit.integrations.durable_store import Pause
from streamkit.integrations.durable_write import Keeping, Writing
from streamkit.loops.state import StreamState
from streamkit.resuming import stream_with_retry
from streamkit.retry import RetryBudget, call_with_retries
from streamkit.run import Run
from streamkit.settings import RetryPolicy
from streamkit.stream import NO_CLOCKS, ChatStream, start_stream

if TYPE_CHECKING:
    import redis

__all__ = ["DurableState", "DurableStatus", "DurableStreams"]

logger = logging.getLogger("streamkit")

T = TypeVar("T")

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
        self._store = _Redis(server, prefix, patience)
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
        """Cancel what is written in this process, wait up to a second for each, and give up idle connections.

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
            writing.begin(self._keeper.channel, None if known is None else known.token_count, time.sleep)
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
    if not 0 < len(name) <= LONGEST_NAME or (not name.isascii() and not _can_be_encoded(name)):
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

AT_ONCE = 500
"""Entries that are read at once."""

_ANSWER_TIME = 5.0
"""Seconds within which Redis answers, beside those that it is asked to wait; where the user's settings say nothing."""

_AGAIN = RetryPolicy(max_retries=1_000_000, initial_interval=0.05, max_interval=1.0)
"""Ends by `patience`."""

_POOLS_OWN = ("event_dispatcher", "himport_registry", "maint_notifications_", "oss_cluster_", "orig_")
"""Settings that a pool of redis-py has added to those of its connections, for itself alone."""


class _Redis:
    """The `Store`: scripts go over a pool of connections; who waits has one of its own."""

    def __init__(self, server: str | redis.Redis, prefix: str, patience: float) -> None:
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as e:
            raise ConfigError("redis-py is not installed: pip install 'streamkit-llm[redis]'") from e
        self._errors: Any = redis.exceptions
        self._prefix = prefix
        self._patience = patience
        self._theirs = _pool(redis, server)  # held: with Sentinel it knows the addresses
        settings = {
            name: value for name, value in self._theirs.connection_kwargs.items() if not name.startswith(_POOLS_OWN)
        }
        settings |= {
            "decode_responses": False,
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
            "retry_on_timeout": False,
        }
        settings["socket_timeout"] = settings.get("socket_timeout") or _ANSWER_TIME
        settings.setdefault("socket_connect_timeout", _ANSWER_TIME)
        kind: Any = self._theirs.connection_class
        self._connect = functools.partial(kind, **{**settings, "socket_timeout": LONGEST_WAIT + _ANSWER_TIME})
        self._client: Any = redis.Redis(connection_pool=redis.ConnectionPool(connection_class=kind, **settings))

    def ask(self, script: Script, names: Sequence[str], *arguments: str | int | bytes, pause: Pause) -> Any:
        keys = [key for name in names for key in (self._key("chunks", name), self._key("writer", name))]
        run = functools.partial(self._run, script, keys, arguments)
        return self.lasting(functools.partial(self.translated, run), pause)

    def lasting(self, attempt: Callable[[], T], pause: Pause) -> T:
        return call_with_retries(
            attempt,
            _AGAIN,
            _Endless(),
            pause=pause,
            remaining=_Clock(self._patience).left,
            on_retry=lambda retry: logger.info("Redis is away, tried again in %.2f s: %s", retry.delay, retry.error),
        )

    @contextmanager
    def line(self, run: Run | None = None) -> Iterator[_Line]:
        line = _Line(self, run)
        try:
            yield line
        finally:
            line.close()

    def channel(self, name: str) -> str:
        return self._key("control", name)

    def close(self) -> None:
        """Give up connections that nobody uses."""
        self._client.connection_pool.disconnect(inuse_connections=False)

    def _key(self, kind: str, name: str) -> str:
        return f"{self._prefix}{kind}:{name}"

    def _run(self, script: Script, keys: Sequence[str], arguments: Sequence[str | int | bytes]) -> Any:
        try:
            return self._client.evalsha(script.sha, len(keys), *keys, *arguments)
        except self._errors.NoScriptError:  # Redis is new, or was restarted
            return self._client.eval(script.text, len(keys), *keys, *arguments)
        except self._errors.ReadOnlyError:
            self.close()  # the next connection may find the new primary
            raise

    def translated(self, do: Callable[[], T]) -> T:
        """Raise errors of the tree for those of redis-py: without these, whose frames have the password."""
        try:
            return do()
        except (self._errors.RedisError, OSError) as error:
            failure = self._told(error)
        raise failure

    def _told(self, error: Exception) -> StreamKitError:
        text, kinds = printable(str(error), 300), self._errors
        if isinstance(error, (kinds.AuthenticationError, kinds.AuthorizationError, kinds.NoPermissionError)):
            return ConfigError(f"Redis refuses this user or password, or what is asked: {text}")
        if isinstance(error, (kinds.ConnectionError, kinds.TimeoutError, OSError)):
            return ConnectionLost(f"Redis is away: {text}")
        if "READONLY" in text or "UNBLOCKED" in text or isinstance(error, (kinds.ReadOnlyError, kinds.MasterDownError)):
            return ConnectionLost(
                f"this Redis is a replica, or has lost its primary: {text}; give the primary's address"
            )
        if "OOM" in text or isinstance(error, kinds.OutOfMemoryError):
            return TransportError(
                f"Redis is out of memory: {text}; raise its maxmemory, or keep less (keep=..., max_chunks=...)",
                retryable=False,
            )
        if "WRONGTYPE" in text:
            return ConfigError(f"a key of this name holds something else: {text}; use another prefix, or delete it")
        return TransportError(f"Redis answered with an error: {text}", retryable=False)


class _Line:
    """A connection on which one may wait. After an error it is opened anew when it is next used."""

    def __init__(self, store: _Redis, run: Run | None) -> None:
        self._store = store
        self._run = run
        self._connection: Any = store._connect()
        self._open = False

    def read(self, name: str, position: str, wait: float) -> Sequence[Entry]:
        wait = min(wait, LONGEST_WAIT)
        key = self._store._key("chunks", name)
        command = ("XREAD", "COUNT", AT_ONCE, "BLOCK", max(1, int(wait * 1000)), "STREAMS", key, position)
        found = self._asked(*command)
        return found[0][1] if found else ()

    def subscribe(self, channel: str) -> None:
        self._asked("SUBSCRIBE", channel)

    def heard(self, wait: float) -> bytes | None:
        return self._store.translated(functools.partial(self._heard, wait))

    def close(self) -> None:
        self._connection.disconnect()

    def _asked(self, *command: str | int) -> Any:
        try:
            return self._store.translated(functools.partial(self._sent, *command))
        except StreamKitError:
            self._open = False
            self._connection.disconnect()
            raise

    def _sent(self, *command: str | int) -> Any:
        self._opened().send_command(*command)
        return self._connection.read_response()

    def _heard(self, wait: float) -> bytes | None:
        if not self._connection.can_read(timeout=wait):
            return None
        kind, _, message = self._connection.read_response()
        return message if kind == b"message" else None

    def _opened(self) -> Any:
        if not self._open:
            self._connection.connect()
            socket = getattr(self._connection, "_sock", None)
            if self._run is not None and socket is not None:
                self._run.slot.hold(socket)  # the end of the stream wakes who waits
            self._open = True
        return self._connection


class _Endless(RetryBudget):
    """Redis belongs to the user: it is asked again for as long as that is wished."""

    def take(self, error: BaseException) -> int:
        return 1


class _Clock:
    """The time that is left, from when it was first asked for."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None

    def left(self) -> float:
        now = time.monotonic()
        if self._until is None:
            self._until = now + self._seconds
        return self._until - now


def _pool(redis: Any, server: Any) -> Any:
    if isinstance(server, redis.Redis):
        return server.connection_pool
    require("server", server, str, "give a URL such as 'redis://localhost:6379/0', or a redis.Redis")
    try:
        return redis.ConnectionPool.from_url(server)
    except ValueError:  # not shown: it may quote the password
        pass
    raise ConfigError(
        "the URL of Redis cannot be read: give redis://[[user]:password@]host[:port][/db], or unix://path"
    )
