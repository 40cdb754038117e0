"""The store that Redis is, without a server: its errors, and how long it is asked again."""

from __future__ import annotations

from typing import Any

import pytest

from streamkit import ConfigError, ConnectionLost, StreamKitError, TransportError
from streamkit.integrations.durable.redis_store import RedisStore


@pytest.mark.parametrize(
    ("name", "text", "expected", "told"),
    [
        ("BusyLoadingError", "Redis is loading the dataset in memory", ConnectionLost, "away"),
        ("TimeoutError", "Timeout reading from socket", ConnectionLost, "away"),
        ("ReadOnlyError", "You can't write against a read only replica.", ConnectionLost, "primary"),
        ("MasterDownError", "Link with MASTER is down", ConnectionLost, "primary"),
        ("ResponseError", "Error running script: -OOM command not allowed", TransportError, "maxmemory"),
        ("ResponseError", "WRONGTYPE Operation against a key", ConfigError, "prefix"),
        ("ResponseError", "The ID specified in XADD is equal or smaller than the target", ConfigError, "prefix"),
        ("ResponseError", "MISCONF Redis is configured to save", TransportError, "MISCONF"),
        ("NoPermissionError", "this user has no permissions to run 'evalsha'", ConfigError, "user"),
    ],
)
def test_what_redis_says(name: str, text: str, expected: type, told: str) -> None:
    """Becomes an error of the tree; tried again is what may pass by itself."""
    redis = pytest.importorskip("redis", reason="needs redis-py")
    store = RedisStore(redis, "redis://localhost/0", "", 0.0)

    def fail() -> None:
        raise getattr(redis.exceptions, name)(text)

    with pytest.raises(StreamKitError, match=told) as raised:
        store.translated(fail)

    assert expected is type(raised.value)
    assert (expected is ConnectionLost) == raised.value.retryable
    assert raised.value.__context__ is None


def test_what_may_pass_by_itself_is_tried_again() -> None:
    """Until `patience` is over, or it goes well; what does not pass is not."""
    redis = pytest.importorskip("redis", reason="needs redis-py")
    tries: list[Any] = [ConnectionLost("away"), ConnectionLost("away"), "here"]

    def attempt() -> Any:
        one = tries.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    def pause(seconds: float) -> None:
        """Time passes quickly here."""

    assert "here" == RedisStore(redis, "redis://localhost/0", "", 60.0).lasting(attempt, pause)

    tries += [ConnectionLost("away"), "here"]
    with pytest.raises(ConnectionLost):
        RedisStore(redis, "redis://localhost/0", "", 0.0).lasting(attempt, pause)
    assert ["here"] == tries

    tries.insert(0, ConfigError("no"))
    with pytest.raises(ConfigError):
        RedisStore(redis, "redis://localhost/0", "", 60.0).lasting(attempt, pause)
    assert ["here"] == tries
