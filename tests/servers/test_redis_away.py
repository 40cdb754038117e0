"""Durable streams while Redis is away: restarted, cut off, full, a replica, or not to be reached."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from streamkit import (
    Cancelled,
    Chunk,
    ConfigError,
    ConnectionLost,
    Context,
    DeadlineExceeded,
    StreamTruncated,
    TransportError,
)
from tests.feeding import Feed, text
from tests.loopback import failure, took
from tests.redis_server import RedisServer, needs_redis

if TYPE_CHECKING:
    from streamkit.integrations.redis import DurableStreams

pytestmark = [pytest.mark.servers, pytest.mark.slow]

Durables = Callable[..., "DurableStreams"]


@pytest.fixture(autouse=True)
def _needs() -> None:
    """A Redis."""
    needs_redis()


@pytest.fixture
def feed() -> Iterator[Feed]:
    """A stream that is fed by the test."""
    with Feed() as feed:
        yield feed


def numbers(begin: int, end: int) -> list[Chunk]:
    """Chunks that say their position."""
    return [text(f"{n} ", n) for n in range(begin, end)]


def said(count: int) -> str:
    """What so many of them say."""
    return "".join(f"{n} " for n in range(count))


def test_redis_is_restarted(durables: Durables, feed: Feed) -> None:
    """Several times in the middle of an answer: nothing is lost or doubled, for writer and follower."""
    with RedisServer("--appendonly", "yes") as server:
        durable = durables(server.url)
        written, followed = durable.write("a", feed.stream()), durable.follow("a")
        got = []
        for turn in range(4):
            feed.give(*numbers(turn * 10, turn * 10 + 5))
            got += [followed.ch.get(timeout=20).content for _ in range(5)]
            server.kill()
            feed.give(*numbers(turn * 10 + 5, turn * 10 + 10))
            server.start()
            got += [followed.ch.get(timeout=20).content for _ in range(5)]
        feed.end()

        assert said(40) == "".join(got) == written.result().text == followed.result().text
        assert 40 == durable.status("a").chunks
        durable.close()


def test_a_writer_has_the_time_of_a_lease_after_a_restart(durables: Durables, feed: Feed) -> None:
    """Redis was away for longer than the lease: that is not the writer's fault."""
    with RedisServer("--appendonly", "yes") as server:
        durable = durables(server.url, lease=2.0)
        durable.write("a", feed.stream())
        feed.give(*numbers(0, 1))
        followed = durable.follow("a")
        followed.ch.get(timeout=10)
        server.kill()
        threading.Event().wait(2.2)
        server.start()
        state = durable.status("a").state
        feed.give(*numbers(1, 2))
        feed.end()

        assert "running" == state
        assert said(2) == followed.result().text
        durable.close()


def test_connections_are_cut(durable: DurableStreams, redis_url: str, feed: Feed) -> None:
    """Again and again, at any moment: each chunk is there once."""
    import redis

    count, stop = 3000, threading.Event()

    def cut() -> None:
        with redis.Redis.from_url(redis_url) as client:
            while not stop.wait(0.02):
                client.client_kill_filter(_type="normal", skipme=True)
                client.client_kill_filter(_type="pubsub", skipme=True)

    cutter = threading.Thread(target=cut)
    written, followed = durable.write("a", feed.stream()), durable.follow("a")
    cutter.start()
    try:
        got = ""
        for at in range(0, count, 10):
            feed.give(*numbers(at, at + 10))
            got += "".join(followed.ch.get(timeout=20).content for _ in range(10))
        feed.end()
        finals = written.result(), followed.result()
    finally:
        stop.set()
        cutter.join()

    assert said(count) == got == finals[0].text == finals[1].text


def test_redis_stays_away(durables: Durables, feed: Feed) -> None:
    """Longer than `patience`: writer and follower say so, with what had come, and the provider's stream is ended."""
    with RedisServer() as server:
        durable = durables(server.url, patience=0.5)
        provider = feed.stream()
        written, followed = durable.write("a", provider), durable.follow("a")
        feed.give(*numbers(0, 3))
        for _ in range(3):
            followed.ch.get(timeout=10)
        server.kill()
        feed.give(*numbers(3, 4))
        with took(5):
            errors = [stream.err.get(timeout=10) for stream in (written, followed)]
            ended = provider.err.get(timeout=10)
        with took(5):
            refused = failure(lambda: durable.write("b", numbers(0, 1)))

        assert [ConnectionLost] * 3 == [type(error) for error in (*errors, refused)]
        assert Cancelled is type(ended)
        for error, text_ in zip(errors, (said(4), said(3)), strict=True):
            assert error is not None and error.partial is not None
            assert (True, text_) == ("Redis is away" in str(error), error.partial.text)
        durable.close()
        server.start()


def test_a_cancel_while_redis_is_away(durables: Durables, feed: Feed) -> None:
    """Frees the reader at once, and with `close` the thread within a second."""
    with RedisServer() as server:
        durable = durables(server.url)
        written, followed = durable.write("a", feed.stream()), durable.follow("a")
        feed.give(*numbers(0, 1))
        followed.ch.get(timeout=10)
        server.kill()
        feed.give(*numbers(1, 2))
        for stream in (followed, written):
            with took(2):
                stream.cancel()
                assert Cancelled is type(stream.err.get(timeout=5))
                stream.close()
        feed.end()
        with took(3):
            durable.close()
            patience = threading.Event()
            ours = ("streamkit-durable", "streamkit-leases")
            while any(thread.name.startswith(ours) for thread in threading.enumerate()):
                patience.wait(0.01)
        server.start()


def test_a_cancel_while_redis_is_away_is_the_outcome(durables: Durables, feed: Feed) -> None:
    """It is written when Redis is back: readers get `Cancelled`, and do not take the writer for lost."""
    with RedisServer("--appendonly", "yes") as server:
        durable = durables(server.url, lease=2.0)
        written = durable.write("a", feed.stream())
        feed.give(*numbers(0, 1))
        written.ch.get(timeout=10)
        server.kill()
        with took(1):
            written.cancel("enough")
            assert Cancelled is type(written.err.get(timeout=5))
        threading.Event().wait(0.5)
        server.start()
        told = durable.follow("a").err.get(timeout=20)

        assert ("cancelled: enough", Cancelled) == (str(told), type(told))
        assert told is not None and told.partial is not None
        assert said(1) == told.partial.text
        durable.close()


def test_a_context_ends_the_wait_for_redis(durables: Durables) -> None:
    """Also before there is a stream."""
    durable = durables("redis://127.0.0.1:1/0")
    with took(2), pytest.raises(DeadlineExceeded):
        durable.write("a", numbers(0, 1), ctx=Context(timeout=0.3))


def test_redis_forgets_everything(durables: Durables, feed: Feed) -> None:
    """Restarted without a disk: both are told, and none pretends that the answer is whole."""
    with RedisServer("--appendonly", "no") as server:
        durable = durables(server.url)
        written, followed = durable.write("a", feed.stream()), durable.follow("a")
        feed.give(*numbers(0, 3))
        for _ in range(3):
            followed.ch.get(timeout=10)
        server.restart()
        feed.give(*numbers(3, 4))
        errors = [stream.err.get(timeout=20) for stream in (written, followed)]

        for error, text_ in zip(errors, (said(4), said(3)), strict=True):
            assert StreamTruncated is type(error)
            assert "Redis lost" in str(error)
            assert error is not None and error.partial is not None
            assert text_ == error.partial.text
        durable.close()


def test_redis_is_full(durables: Durables, feed: Feed) -> None:
    """Writers are told at once, before and in the middle of an answer; readers that it is not whole."""
    import redis

    with RedisServer() as server, redis.Redis.from_url(server.url) as client:
        durable = durables(server.url, lease=0.5)
        written, followed = durable.write("a", feed.stream()), durable.follow("a")
        feed.give(*numbers(0, 1))
        followed.ch.get(timeout=10)
        client.config_set("maxmemory", 1)
        feed.give(*numbers(1, 2))
        with took(2):
            errors = [written.err.get(timeout=10), failure(lambda: durable.write("b", numbers(0, 1)))]
        client.config_set("maxmemory", 0)
        told = followed.err.get(timeout=10)

        assert [TransportError] * 2 == [type(error) for error in errors]
        assert all("out of memory" in str(error) and "maxmemory" in str(error) for error in errors)
        assert StreamTruncated is type(told)
        assert told is not None and told.partial is not None
        assert said(1) == told.partial.text


def test_a_replica_is_told(durables: Durables) -> None:
    """Nothing can be written to it."""
    with RedisServer("--replicaof", "127.0.0.1", "1") as server:
        durable = durables(server.url, patience=0.2)
        error = failure(lambda: durable.write("a", numbers(0, 1)))

        assert ConnectionLost is type(error)
        assert "replica" in str(error) and "primary" in str(error)
        durable.close()


def test_a_primary_that_becomes_a_replica_and_back(durables: Durables, feed: Feed) -> None:
    """As in a failover: the writer waits, and goes on."""
    import redis

    with RedisServer() as server, redis.Redis.from_url(server.url) as client:
        durable = durables(server.url)
        written, followed = durable.write("a", feed.stream()), durable.follow("a")
        feed.give(*numbers(0, 1))
        followed.ch.get(timeout=10)
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        feed.give(*numbers(1, 2))
        threading.Event().wait(0.3)
        client.execute_command("REPLICAOF", "NO", "ONE")
        feed.end()

        assert said(2) == written.result().text == followed.result().text
        durable.close()


def test_redis_stands_still_for_a_moment(durables: Durables, feed: Feed) -> None:
    """Answers come late, and are the right ones."""
    import redis

    with RedisServer() as server, redis.Redis.from_url(server.url) as client:
        durable = durables(server.url)
        written, followed = durable.write("a", feed.stream()), durable.follow("a")
        for n in range(3):
            client.execute_command("CLIENT", "PAUSE", 200)
            feed.give(*numbers(n, n + 1))
        feed.end()

        assert said(3) == written.result().text == followed.result().text
        durable.close()


SECRET = "hunter2-secret"


@pytest.mark.parametrize("what", ["write", "follow", "status"])
def test_a_wrong_password_is_told_and_not_shown(durables: Durables, what: str) -> None:
    """Not in an error's text, nor in what a crash reporter finds in its frames."""
    with RedisServer("--requirepass", "another") as server:
        durable = durables(f"{server.url}?password={SECRET}", patience=0.2)
        ask: dict[str, Callable[[], Any]] = {
            "write": lambda: durable.write("a", numbers(0, 1)),
            "follow": lambda: durable.follow("a"),
            "status": lambda: durable.status("a"),
        }
        with took(2):
            error = failure(ask[what])
        shown = "".join(traceback.format_exception(error))
        frames = [frame for one in chain(error) for frame, _ in traceback.walk_tb(one.__traceback__)]
        inside = [frame for frame in frames if "/redis/" in frame.f_code.co_filename]

        assert ConfigError is type(error)
        assert "password" in str(error)
        assert SECRET not in shown + repr(vars(error))
        assert [] == inside
        durable.close()


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it came of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def test_nobody_is_there(durables: Durables) -> None:
    """The address is wrong: told when `patience` is over."""
    durable = durables(f"redis://:{SECRET}@127.0.0.1:1/0", patience=0.1)
    error = failure(lambda: durable.follow("a"))

    assert ConnectionLost is type(error)
    assert "127.0.0.1:1" in str(error)
    assert SECRET not in "".join(traceback.format_exception(error))
