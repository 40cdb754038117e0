"""DurableStreams without a server: what is refused before it is asked; the rest is in tests/servers."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from streamkit import ConfigError
from streamkit.integrations.redis import DurableStreams


@pytest.fixture
def durable() -> DurableStreams:
    """Of a server that nobody asks."""
    pytest.importorskip("redis", reason="needs redis-py")
    return DurableStreams("redis://localhost:1/0")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"keep": 0}, "keep=0: give seconds"),
        ({"keep": float("nan")}, "keep=nan"),
        ({"keep": float("inf")}, "keep=inf"),
        ({"keep": "1"}, "keep='1'"),
        ({"lease": 0.05}, "lease=0.05: give seconds, 0.1 or more"),
        ({"patience": -1}, "patience=-1"),
        ({"max_chunks": 0}, "max_chunks=0"),
        ({"max_chunks": 1.5}, "max_chunks=1.5"),
        ({"prefix": None}, "prefix=None"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], told: str) -> None:
    """By their names."""
    pytest.importorskip("redis", reason="needs redis-py")
    with pytest.raises(ConfigError, match=told):
        DurableStreams("redis://localhost/0", **settings)


@pytest.mark.parametrize(
    "server", [None, 7, "localhost", "http://:hunter2@localhost", "redis://:hunter2@host:port/0", ""]
)
def test_a_server_that_cannot_be(server: Any) -> None:
    """The URL is not shown: it may hold a password."""
    pytest.importorskip("redis", reason="needs redis-py")
    with pytest.raises(ConfigError) as told:
        DurableStreams(server)

    assert "redis://" in str(told.value)
    assert "hunter2" not in repr(told.value) + repr(told.value.__context__)


def test_without_redis_py(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigError, match=r"streamkit-llm\[redis\]"):
        DurableStreams("redis://localhost/0")


@pytest.mark.parametrize("name", ["", "x" * 501, 7, None, "\ud800"])
def test_names_that_cannot_be(durable: DurableStreams, name: Any) -> None:
    """They mostly come from a URL."""
    for ask in (durable.follow, durable.cancel, durable.status, durable.state, durable.delete):
        with pytest.raises(ConfigError, match="name="):
            ask(name)
    with pytest.raises(ConfigError, match="name="):
        durable.write(name, [])


@pytest.mark.parametrize("after", ["x", 7, b"1-1", "1", "1-1-done", "1-1\n", "1-" + "9" * 20])
def test_ids_that_cannot_be(durable: DurableStreams, after: Any) -> None:
    """As a hostile browser sends them."""
    with pytest.raises(ConfigError, match="after="):
        durable.follow("a", after=after)


def test_arguments_of_a_wrong_kind(durable: DurableStreams) -> None:
    """By their names."""
    with pytest.raises(ConfigError, match="chat="):
        durable.resume("a", [])  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ConfigError, match="wait="):
        durable.follow("a", wait="1")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ConfigError, match="reason="):
        durable.cancel("a", 7)  # type: ignore[arg-type]  # on purpose


def test_nothing_is_shown_of_it() -> None:
    """Not the password."""
    pytest.importorskip("redis", reason="needs redis-py")

    assert "hunter2" not in repr(DurableStreams("redis://:hunter2@localhost/0"))
