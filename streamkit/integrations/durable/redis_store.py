"""RedisStore: the `Store` that Redis is. It is given redis-py, which `redis` alone imports.

Scripts go over a pool of connections; who waits has a connection of its own.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from streamkit.errors import ConfigError, ConnectionLost, StreamKitError, TransportError, printable, require
from streamkit.integrations.durable.follow import LONGEST_WAIT
from streamkit.integrations.durable.scripts import Script
from streamkit.integrations.durable.store import Entry, Pause
from streamkit.retry import RetryBudget, call_with_retries
from streamkit.settings import RetryPolicy
from streamkit.transport.slot import SocketSlot

__all__ = ["RedisStore"]

logger = logging.getLogger("streamkit")

T = TypeVar("T")

AT_ONCE = 500
"""Entries that are read at once."""

_ANSWER_TIME = 5.0
"""Seconds within which Redis answers, beside those that it is asked to wait; where the user's settings say nothing."""

_AGAIN = RetryPolicy(max_retries=1_000_000, initial_interval=0.05, max_interval=1.0)
"""Ends by `patience`."""

_POOLS_OWN = ("event_dispatcher", "himport_registry", "maint_notifications_", "oss_cluster_", "orig_")
"""Settings that a pool of redis-py has added to those of its connections, for itself alone."""


class RedisStore:
    """The `Store`: scripts go over a pool of connections; who waits has one of its own."""

    def __init__(self, redis: Any, server: Any, prefix: str, patience: float) -> None:
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
            "retry": redis.retry.Retry(redis.backoff.NoBackoff(), 0),
            "retry_on_timeout": False,
        }
        settings["socket_timeout"] = settings.get("socket_timeout") or _ANSWER_TIME
        settings.setdefault("socket_connect_timeout", _ANSWER_TIME)
        kind: Any = self._theirs.connection_class
        self._connect = functools.partial(kind, **{**settings, "socket_timeout": LONGEST_WAIT + _ANSWER_TIME})
        self._client: Any = redis.Redis(connection_pool=redis.ConnectionPool(connection_class=kind, **settings))

    def ask(self, script: Script, names: Sequence[str], *arguments: str | int | bytes, pause: Pause) -> Any:
        """Run a script on the keys of these names, as `lasting`."""
        keys = [key for name in names for key in (self._key("chunks", name), self._key("writer", name))]
        run = functools.partial(self._run, script, keys, arguments)
        return self.lasting(functools.partial(self.translated, run), pause)

    def lasting(self, attempt: Callable[[], T], pause: Pause) -> T:
        """Give what an attempt gives, made again while Redis is away, `patience` seconds at most."""
        return call_with_retries(
            attempt,
            _AGAIN,
            _Endless(),
            pause=pause,
            remaining=_Clock(self._patience).left,
            on_retry=lambda retry: logger.info("Redis is away, tried again in %.2f s: %s", retry.delay, retry.error),
        )

    @contextmanager
    def line(self, slot: SocketSlot | None = None) -> Iterator[_Line]:
        """Open a connection to wait on; its socket is held in `slot`."""
        line = _Line(self, slot)
        try:
            yield line
        finally:
            line.close()

    def channel(self, name: str) -> str:
        """Give the key of a channel."""
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
        if "equal or smaller" in text:  # an id, which the writer knows to be the next one
            return ConfigError(
                f"others have put entries into a key of this name: {text}; use another prefix, or delete it"
            )
        return TransportError(f"Redis answered with an error: {text}", retryable=False)


class _Line:
    """A connection on which one may wait. After an error it is opened anew when it is next used."""

    def __init__(self, store: RedisStore, slot: SocketSlot | None) -> None:
        self._store = store
        self._slot = slot
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
            if self._slot is not None and socket is not None:
                self._slot.hold(socket)
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
