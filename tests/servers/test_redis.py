"""Durable streams on a real Redis: written, followed, cancelled, bounded."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import (
    Cancelled,
    ChatResponse,
    ChatStream,
    Chunk,
    ConfigError,
    Context,
    DeadlineExceeded,
    RateLimited,
    ResponseTooLarge,
    StreamKitError,
    StreamTruncated,
    TextChunk,
    collect,
    tee,
)
from streamkit.chunk_json import chunk_to_json
from streamkit.testing import Close, ProviderServer, Stall, chat_answer
from tests.feeding import Feed, finish, text, thinking
from tests.loopback import ask, client_of, drain, failure, run_python, took
from tests.strategies import PROPERTY

if TYPE_CHECKING:
    from streamkit.integrations.redis import DurableStreams

pytestmark = pytest.mark.servers

Durables = Callable[..., "DurableStreams"]

HELLO: list[Chunk] = [thinking("Hm.", 0), text("Hel", 1), text("lo", 2, odd=1), text(" 🎨\ud800", 3), finish(4)]


def bare(chunk: Chunk) -> Chunk:
    """A chunk without the id that it has in Redis."""
    metadata = {name: value for name, value in chunk.metadata.items() if name != "event_id"}
    return attrs.evolve(chunk, metadata=metadata)


def ids(stream: ChatStream) -> list[str]:
    """The ids of its chunks."""
    return [chunk.metadata["event_id"] for chunk in stream]


@pytest.fixture
def feed() -> Iterator[Feed]:
    """A stream that is fed by the test."""
    with Feed() as feed:
        yield feed


def test_a_follower_gets_each_chunk_as_it_comes(durable: DurableStreams, feed: Feed) -> None:
    """While the answer is under way, and in the end the response; the writer's own reader gets the same."""
    written = durable.write("a", feed.stream())
    followed = durable.follow("a")
    here, there = [], []
    for chunk in HELLO:
        feed.give(chunk)
        here.append(written.ch.get(timeout=5))
        there.append(followed.ch.get(timeout=5))
    feed.end()

    assert HELLO == [bare(chunk) for chunk in here]
    assert here == there
    assert written.result() == followed.result()
    assert ("Hello 🎨\ud800", True, "stop") == (
        followed.result().text,
        followed.result().complete,
        followed.result().finish_reason,
    )


def test_an_answer_goes_on_when_nobody_holds_it(durable: DurableStreams, feed: Feed) -> None:
    """What `write` gives may be dropped at once."""
    durable.write("a", feed.stream())
    gc.collect()
    feed.give(*HELLO)
    feed.end()

    assert durable.follow("a", wait=5).result().complete


def test_it_is_followed_from_any_chunk(durable: DurableStreams) -> None:
    """Exactly the chunks behind it come, and the response is the whole one."""
    whole = durable.write("a", HELLO).result()
    chunks = list(durable.follow("a"))
    for at, chunk in enumerate(chunks):
        followed = durable.follow("a", after=chunk.metadata["event_id"])

        assert chunks[at + 1 :] == list(followed)
        assert whole == followed.result()
    assert chunks == list(durable.follow("a", after=""))
    assert len(chunks) == len({chunk.metadata["event_id"] for chunk in chunks})


@given(data=st.data(), count=st.integers(1, 40))
@PROPERTY
def test_any_split_gives_the_whole(redis_url: str, data: st.DataObject, count: int) -> None:
    """However often a reader leaves and comes back, it gets each chunk once and in order."""
    from streamkit.integrations.redis import DurableStreams

    name = data.draw(st.uuids()).hex + str(count)
    with DurableStreams(redis_url, prefix="split:") as durable:
        durable.delete(name)
        durable.write(name, [text(f"{n} ", n) for n in range(count)]).result()
        got, after = [], None
        while len(got) < count:
            with durable.follow(name, after=after) as followed:
                for _ in range(data.draw(st.integers(1, count))):
                    if len(got) < count:
                        got.append(followed.ch.get(timeout=5))
            after = got[-1].metadata["event_id"]

        assert [f"{n} " for n in range(count)] == [chunk.content for chunk in got]
        assert [] == list(durable.follow(name, after=after))


def test_a_reader_that_leaves_changes_nothing(durable: DurableStreams, feed: Feed) -> None:
    """Cancelled, closed, dropped: the answer goes on, and so do the others."""
    written, stays = durable.write("a", feed.stream()), durable.follow("a")
    feed.give(HELLO[0])
    for leave in (ChatStream.cancel, ChatStream.close, bool):
        leaving = durable.follow("a")
        leaving.ch.get(timeout=5)
        leave(leaving)
        del leaving
        gc.collect()
    feed.give(*HELLO[1:])
    feed.end()

    assert written.result() == stays.result()
    assert "complete" == durable.status("a").state


def test_a_user_who_cancels_ends_it_for_all(durable: DurableStreams, durables: Durables, feed: Feed) -> None:
    """Also while the provider is silent: its stream ends, and each reader gets `Cancelled` with what had come."""
    provider = feed.stream()
    written, followed = durable.write("a", provider), durable.follow("a")
    feed.give(*HELLO[:3])
    followed.ch.get(timeout=5)
    with took(0.5):
        assert durables().cancel("a", "enough")
        errors = [stream.err.get(timeout=5) for stream in (followed, written, provider)]
    later = failure(lambda: durable.follow("a"))

    for error in (*errors, later):
        assert ("cancelled: enough", Cancelled) == (str(error), type(error))
        assert error is not None and error.partial is not None
        assert ("Hello", False) == (error.partial.text, error.partial.complete)
    assert ("failed", 3) == attrs.astuple(durable.status("a"))
    assert not durable.cancel("a")


def test_cancel_by_the_writer_itself(durable: DurableStreams, feed: Feed) -> None:
    """What `write` gives is cancelled as any stream, and the readers are told."""
    written, followed = durable.write("a", feed.stream()), durable.follow("a")
    feed.give(HELLO[1])
    followed.ch.get(timeout=5)
    written.cancel("shutting down")

    assert "cancelled: shutting down" == str(failure(lambda: followed)) == str(written.err.get())


def test_cancel_while_the_answer_is_opened(durable: DurableStreams, server: ProviderServer) -> None:
    """The request is given up."""
    server.reply(Stall())
    with client_of(server) as client:
        written = durable.write("a", ask(client))
        server.wait_for_request()
        with took(0.5):
            assert durable.cancel("a")
            error = durable.follow("a").err.get(timeout=5)

        assert Cancelled is type(error) is type(written.err.get())


def test_many_cancels_reach_many_answers(durable: DurableStreams) -> None:
    """One thread hears for all that a process writes."""
    with Feed() as first, Feed() as second:
        feeds = [first, second] * 10
        before = threading.active_count()
        written = [durable.write(f"a{n}", feed.stream()) for n, feed in enumerate(feeds)]
        keepers = [thread for thread in threading.enumerate() if thread.name == "streamkit-leases"]

        assert 1 == len(keepers)
        assert before < threading.active_count()
        assert all(durable.cancel(f"a{n}") for n in range(len(written)))
        assert {Cancelled} == {type(stream.err.get(timeout=5)) for stream in written}
        for _ in feeds:
            first.end()
            second.end()


def test_a_deadline_of_the_writer_is_its_outcome(durable: DurableStreams, feed: Feed) -> None:
    """The readers are told what it was."""
    written = durable.write("a", feed.stream(), ctx=Context(timeout=0.1))
    error = failure(lambda: durable.follow("a"))

    assert DeadlineExceeded is type(error) is type(written.err.get())


def test_a_context_that_has_ended_is_told_to_readers(durable: DurableStreams, feed: Feed) -> None:
    """No stream is begun, and nobody waits for it."""
    ctx = Context()
    ctx.cancel("too late")
    with pytest.raises(Cancelled):
        durable.write("a", feed.stream(), ctx=ctx)

    assert "cancelled: too late" == str(failure(lambda: durable.follow("a")))


def test_a_providers_error_reaches_the_readers(durable: DurableStreams, feed: Feed) -> None:
    """With its class, text, status and request id, and with all that had come in `partial`."""
    error = RateLimited("slow down", provider="openai", status=429, request_id="req_7", retry_after=2.5, retryable=True)
    written = durable.write("a", feed.stream())
    feed.give(*HELLO[:2])
    feed.fail(error)
    found = failure(lambda: durable.follow("a"))
    last = ids_before_error(durable.follow("a"))[-1]
    late = failure(lambda: durable.follow("a", after=last))

    for one in (found, late):
        assert isinstance(one, RateLimited)
        assert ("slow down", 429, "req_7", 2.5, True) == (
            str(one),
            one.status,
            one.request_id,
            one.retry_after,
            one.retryable,
        )
        assert one.partial is not None
        assert ("Hel", "Hm.") == (one.partial.text, one.partial.thinking)
    assert error is written.err.get()


def ids_before_error(stream: ChatStream) -> list[str]:
    """The ids of what a stream that fails gives."""
    return [chunk.metadata["event_id"] for chunk in stream.ch]


def test_a_name_has_one_writer(durables: Durables) -> None:
    """Of many that want it at once one has it; the others are refused, and their streams are not read."""
    barrier = threading.Barrier(10)

    def write(n: int) -> str | None:
        durable = durables()
        barrier.wait()
        try:
            return durable.write("a", [text(f"by {n}")]).result().text
        except ConfigError:
            return None

    with ThreadPoolExecutor(10) as pool:
        won = [one for one in pool.map(write, range(10)) if one is not None]

    assert won == [durables().follow("a").result().text]


def test_a_taken_name_is_refused_until_it_is_deleted(durable: DurableStreams, feed: Feed) -> None:
    """Running, complete or failed."""
    durable.write("running", feed.stream())
    durable.write("complete", HELLO).result()
    failing = durable.write("failed", feed.stream())
    failing.cancel()
    failing.err.get()
    durable.follow("failed").err.get()

    for name in ("running", "complete", "failed"):
        with pytest.raises(ConfigError, match=name if name == "complete" else "durable stream"):
            durable.write(name, HELLO)
    durable.delete("complete")
    assert durable.write("complete", HELLO).result().complete
    feed.end()


def test_an_answer_of_redis_that_is_lost_doubles_nothing(durable: DurableStreams) -> None:
    """What was done is asked for again, and done once: beginning, appending, ending."""
    from streamkit.integrations.durable.log import written_outcome
    from streamkit.integrations.durable.scripts import APPEND, BEGIN, VERSION

    store, outcome = durable._store, written_outcome(ChatResponse(text="ab", complete=True))
    lines = [chunk_to_json(text(content, n)) for n, content in enumerate("ab")]
    asked: list[tuple[Any, ...]] = [
        (BEGIN, "token", "channel", 10_000, 10_000, VERSION, ""),
        (APPEND, "token", 1, "", "", lines[0]),
        (APPEND, "token", 1, "", "", *lines),  # a part of it had arrived
        (APPEND, "token", 3, "complete", outcome),
    ]
    for script, *arguments in asked:
        first, again = (store.ask(script, ["a"], *arguments, pause=_never) for _ in range(2))

        assert first == again
        assert b"ok" == first[0]
    assert ["a", "b"] == [chunk.content for chunk in durable.follow("a")]
    assert b"complete" == store.ask(APPEND, ["a"], "token", 3, "failed", outcome, pause=_never)[0]
    assert b"gone" == store.ask(APPEND, ["a"], "another", 3, "failed", outcome, pause=_never)[0]


def test_a_gap_is_refused(durable: DurableStreams) -> None:
    """Redis has lost what it had said to have: the answer is not whole."""
    from streamkit.integrations.durable.scripts import APPEND, BEGIN, VERSION

    store = durable._store
    store.ask(BEGIN, ["a"], "token", "channel", 10_000, 10_000, VERSION, "", pause=_never)

    assert b"gone" == store.ask(APPEND, ["a"], "token", 2, "", "", chunk_to_json(text("b", 1)), pause=_never)[0]


def _never(seconds: float) -> None:
    raise AssertionError("Redis is here")


def test_length_is_bounded(durables: Durables) -> None:
    """An answer with more chunks fails, and keeps so many; one with just so many is whole."""
    durable = durables(max_chunks=3)
    fits = durable.write("fits", [text("x", n) for n in range(3)])
    written = durable.write("more", [text("x", n) for n in range(4)])
    error = failure(lambda: durable.follow("more"))

    assert fits.result() == durable.follow("fits").result()
    assert "xxx" == drain(written)[0]
    assert ResponseTooLarge is type(error) is type(written.err.get())
    assert error.partial is not None
    assert "xxx" == error.partial.text
    assert ("failed", 3) == attrs.astuple(durable.status("more"))


def test_it_expires(durables: Durables, redis_url: str, feed: Feed) -> None:
    """`keep` seconds after the end, and, should the writer die, after its lease, too: no key is for ever."""
    import redis

    durable = durables(keep=50, lease=20)
    with redis.Redis.from_url(redis_url) as client:
        prefix = durable._store._prefix
        durable.write("a", feed.stream())
        running = [client.pttl(key) for key in client.keys(f"{prefix}*")]
        feed.give(*HELLO)
        feed.end()
        durable.follow("a").result()
        ended = [client.pttl(key) for key in client.keys(f"{prefix}*")]

    assert 2 == len(running) == len(ended)
    assert all(50_000 < left <= 70_000 for left in running)
    assert all(40_000 < left <= 50_000 for left in ended)


def test_what_has_expired_is_unknown(durables: Durables) -> None:
    """And can be written again."""
    durable = durables(keep=0.05)
    durable.write("a", HELLO).result()
    patience = threading.Event()
    with took(5):
        while "unknown" != durable.status("a").state:
            patience.wait(0.01)

    assert ConfigError is type(failure(lambda: durable.follow("a")))
    assert durable.write("a", HELLO).result().complete


def test_fifty_followers(durable: DurableStreams, feed: Feed) -> None:
    """All get the same, and none is left behind when they are done."""
    durable.write("a", feed.stream())
    with ThreadPoolExecutor(50) as pool:
        reading = [pool.submit(drain, durable.follow("a")) for _ in range(50)]
        for n in range(200):
            feed.give(text(f"{n} ", n))
        feed.end()
        got = {future.result(timeout=30) for future in reading}

    assert {("".join(f"{n} " for n in range(200)), None)} == got


def test_an_unknown_name_is_told(durable: DurableStreams) -> None:
    """At once; `wait` is for one that is about to be begun."""
    with took(2):
        error = failure(lambda: durable.follow("nope"))

    assert ConfigError is type(error)
    assert "there is no durable stream 'nope'" in str(error)
    assert ("unknown", 0) == attrs.astuple(durable.status("nope"))
    assert not durable.cancel("nope")
    with took(2, least=0.2):
        assert ConfigError is type(failure(lambda: durable.follow("nope", wait=0.2)))


def test_waiting_for_an_answer_to_begin(durable: DurableStreams) -> None:
    """Who waits gets it from its first chunk on."""
    followed = durable.follow("a", wait=30)
    durable.write("a", HELLO)

    assert HELLO == [bare(chunk) for chunk in followed]


@pytest.mark.parametrize("wait", [0.0, 30.0], ids=["running", "unknown"])
def test_a_follower_is_free_at_once(durable: DurableStreams, redis_url: str, feed: Feed, wait: float) -> None:
    """Cancel and deadline end it in each state, and a second later its connection and thread are gone."""
    import redis

    if not wait:
        durable.write("a", feed.stream())
    with redis.Redis.from_url(redis_url) as client:
        followed, late = durable.follow("a", wait=wait), durable.follow("a", wait=wait, ctx=Context(timeout=1))
        patience = threading.Event()
        while sum(one["cmd"] == "xread" for one in client.client_list()) < 2:
            patience.wait(0.01)
        with took(0.5):
            followed.cancel()
            assert Cancelled is type(followed.err.get())
        assert DeadlineExceeded is type(late.err.get())
        with took(1):
            followed.close()
            late.close()
            while any(one["cmd"] == "xread" for one in client.client_list()):
                patience.wait(0.01)


def test_a_client_of_the_users_serves(durables: Durables, redis_url: str) -> None:
    """Whatever its settings: texts instead of bytes, short timeouts, another protocol."""
    import redis

    options: list[dict[str, Any]] = [{"decode_responses": True}, {"socket_timeout": 0.5}, {"protocol": 3}]
    for n, how in enumerate(options):
        with redis.Redis.from_url(redis_url, **how) as client:
            durable = durables(client)
            written = durable.write(f"a{n}", HELLO)

            assert HELLO == [bare(chunk) for chunk in durable.follow(f"a{n}")]
            assert written.result() == durable.follow(f"a{n}").result()


@pytest.mark.parametrize(
    "commands",
    [
        [("SET", "chunks", "x")],
        [("XADD", "chunks", "*", "theirs", "x")],
        [("XADD", "chunks", "1-0", "streamkit", "1 0"), ("SET", "writer", "x")],
        [
            ("XADD", "chunks", "1-0", "theirs", "x"),
            ("HSET", "writer", *["token", "t", "ended", "complete", "base", "0", "count", "0"]),
        ],
    ],
    ids=["a text", "a stream of others", "a writer of others", "entries of others"],
)
def test_foreign_data_is_told(durable: DurableStreams, redis_url: str, commands: list[tuple[str, ...]]) -> None:
    """What others keep there is not touched, and not taken for an answer."""
    import redis

    with redis.Redis.from_url(redis_url) as client:
        for command, kind, *rest in commands:
            client.execute_command(command, f"{durable._store._prefix}{kind}:a", *rest)
        error = failure(lambda: durable.follow("a"))
        with pytest.raises(ConfigError) as refused:
            durable.write("a", HELLO)

    assert ConfigError is type(error)
    assert "prefix" in str(error) or "not as streamkit wrote it" in str(error)
    assert "durable stream" in str(refused.value) or "holds something else" in str(refused.value)


@pytest.mark.parametrize("lost", [False, True], ids=["its writer goes on", "its writer is lost"])
def test_an_entry_of_others_behind_the_chunks(durable: DurableStreams, redis_url: str, feed: Feed, lost: bool) -> None:
    """Writer and readers are told what it is, and have all that had come; those who come later, too."""
    import redis

    written, followed = durable.write("a", feed.stream()), durable.follow("a")
    feed.give(*HELLO[:3])
    for _ in range(3):
        followed.ch.get(timeout=5)
    with redis.Redis.from_url(redis_url) as client:
        client.xadd(f"{durable._store._prefix}chunks:a", {"theirs": "x"})
        if lost:
            client.hset(f"{durable._store._prefix}writer:a", mapping={"until": 0, "lease": 0})
            assert "lost" == durable.status("a").state
    got, late = drain(durable.follow("a"))
    errors = [late, followed.err.get(timeout=5)]
    if not lost:
        feed.give(HELLO[3])
        errors.append(written.err.get(timeout=5))

    assert "Hm.Hello" == got
    for error in errors:
        assert ConfigError is type(error)
        assert "use another prefix, or delete it" in str(error)
        assert error is not None and error.partial is not None
        assert error.partial.text.startswith("Hello")
    written.close()


@pytest.mark.parametrize("kind", ["chunks", "writer"])
def test_an_evicted_key_is_a_lost_answer(durable: DurableStreams, redis_url: str, kind: str) -> None:
    """Redis evicts one of the two: the answer is not there any more, and its name is free."""
    import redis

    durable.write("a", HELLO).result()
    with redis.Redis.from_url(redis_url) as client:
        client.delete(f"{durable._store._prefix}{kind}:a")

    assert "unknown" == durable.status("a").state
    assert "there is no durable stream" in str(failure(lambda: durable.follow("a")))
    assert "Hello" in durable.write("a", HELLO).result().text
    assert "complete" == durable.status("a").state


def test_a_newer_version_is_told(durable: DurableStreams, redis_url: str) -> None:
    """It is not guessed at."""
    import redis

    prefix = durable._store._prefix
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command("XADD", f"{prefix}chunks:a", "1-0", "streamkit", "2 0")
        client.hset(f"{prefix}writer:a", mapping={"token": "t", "ended": "complete", "base": 0, "count": 0})

    assert "upgrade" in str(failure(lambda: durable.follow("a")))


@pytest.mark.parametrize("command", [("XTRIM", "MAXLEN", "2"), ("XDEL",)], ids=["trimmed", "one is missing"])
def test_an_answer_that_was_cut_is_no_answer(durable: DurableStreams, redis_url: str, command: tuple[str, ...]) -> None:
    """Entries that others took away are missed."""
    import redis

    durable.write("a", HELLO).result()
    victim = ids(durable.follow("a"))[2]
    with redis.Redis.from_url(redis_url) as client:
        key = f"{durable._store._prefix}chunks:a"
        client.execute_command(command[0], key, *(command[1:] or (victim,)))
    error = failure(lambda: durable.follow("a"))

    assert ConfigError is type(error)
    assert "not as streamkit wrote it" in str(error)


@pytest.mark.parametrize(
    "after",
    [
        "x",
        "5",
        "$",
        "+",
        "-",
        "0-0",
        "1-1\n",
        "1-1-done",
        "-1-1",
        "1-99999999999999999999",
        "１-1",
        "9" * 5000,
        "1-1 x",
    ],
)
def test_hostile_ids_are_refused(durable: DurableStreams, after: str) -> None:
    """Whatever a browser sends as its Last-Event-ID."""
    with pytest.raises(ConfigError, match="after="):
        durable.follow("a", after=after)


@pytest.mark.parametrize("after", ["1-1", "18446744073709551615-18446744073709551615"])
def test_ids_of_another_answer_are_told(durable: DurableStreams, feed: Feed, after: str) -> None:
    """Also while the answer is running and nothing comes."""
    durable.write("a", HELLO).result()
    durable.write("running", feed.stream())
    feed.give(HELLO[0])
    for name in ("a", "running"):
        with took(2):
            error = failure(lambda name=name: durable.follow(name, after=after))  # type: ignore[misc]

        assert ConfigError is type(error)
        assert "no chunk of" in str(error)


def test_deleting(durable: DurableStreams, durables: Durables, feed: Feed) -> None:
    """The writer fails; who follows gets what had come, and an error."""
    written, followed = durable.write("a", feed.stream()), durables(lease=0.3).follow("a")
    feed.give(HELLO[1])
    followed.ch.get(timeout=5)
    with took(1):
        durable.delete("a")
        error = written.err.get(timeout=5)
    with took(6):
        told = followed.err.get(timeout=10)

    assert StreamTruncated is type(error) is type(told)
    assert "not this writer's any more" in str(error)
    assert "is gone from Redis" in str(told)
    for one in (error, told):
        assert one is not None and one.partial is not None
        assert "Hel" == one.partial.text
    assert "unknown" == durable.status("a").state


def test_a_name_given_to_another_answer(durable: DurableStreams, feed: Feed) -> None:
    """Who follows the old one is not given the new one's chunks."""
    durable.write("a", feed.stream())
    followed = durable.follow("a")
    feed.give(HELLO[1])
    followed.ch.get(timeout=5)
    durable.delete("a")
    durable.write("a", HELLO).result()
    error = followed.err.get(timeout=20)

    assert StreamTruncated is type(error)
    assert error.partial is not None
    assert "Hel" == error.partial.text


@pytest.mark.slow
def test_a_very_large_chunk(durable: DurableStreams) -> None:
    """Eight megabytes in one."""
    large = "x" * 8_000_000
    durable.write("a", [text(large), finish(1)])

    assert large == durable.follow("a", wait=5).result().text


def test_all_consumers_work_on_it(durable: DurableStreams) -> None:
    """It is a ChatStream."""
    durable.write("a", HELLO).result()
    one, two = tee(durable.follow("a"))

    assert "Hello 🎨\ud800" == collect(one).text == two.result().text


def test_what_is_followed_can_be_written(durable: DurableStreams) -> None:
    """Under another name; its chunks have ids of their own there."""
    durable.write("a", HELLO).result()
    durable.write("b", durable.follow("a")).result()

    assert HELLO == [bare(chunk) for chunk in durable.follow("b")]
    assert not set(ids(durable.follow("a"))) & set(ids(durable.follow("b")))


def test_a_cut_answer_goes_on(durable: DurableStreams, server: ProviderServer) -> None:
    """Behind what there is: nothing is lost or repeated, for those who saw it and for those who come later."""
    server.reply(*chat_answer("Once ", "upon ")[:4], Close())
    server.reply(*chat_answer("a ", "time."))
    with client_of(server) as client:
        cut = durable.write("a", ask(client))
        first = list(durable.follow("a").ch)
        assert isinstance(cut.err.get(), StreamKitError)
        resumed = durable.resume("a", ask(client))
        rest = list(durable.follow("a", after=first[-1].metadata["event_id"]))
        whole = list(durable.follow("a"))

        assert "Once upon a time." == "".join(chunk.content for chunk in whole) == resumed.result().text
        assert first + rest == whole
        assert list(range(len(whole))) == [chunk.index for chunk in whole]
        assert "Once upon a time." == durable.follow("a").result().text
        with pytest.raises(ConfigError, match="whole"):
            durable.resume("a", ask(client))


def test_a_whole_answer_whose_end_is_missing(durable: DurableStreams, client: Any, feed: Feed, redis_url: str) -> None:
    """Its writer died behind the last chunk: nothing is asked, and it is whole."""
    import redis

    durable.write("a", feed.stream())
    followed = durable.follow("a")
    feed.give(*HELLO)
    for _ in HELLO:
        followed.ch.get(timeout=5)
    with redis.Redis.from_url(redis_url) as raw:
        raw.hset(f"{durable._store._prefix}writer:a", "until", 0)
        raw.hset(f"{durable._store._prefix}writer:a", "lease", 0)
    assert "lost" == durable.status("a").state
    resumed = durable.resume("a", ask(client)).result()

    assert ("Hello 🎨\ud800", True, "stop") == (resumed.text, resumed.complete, resumed.finish_reason)
    assert resumed == durable.follow("a").result()
    assert HELLO == [bare(chunk) for chunk in durable.follow("a")]
    with pytest.raises(ConfigError, match="whole"):
        durable.resume("a", ask(client))


def test_what_cannot_be_resumed(durable: DurableStreams, client: Any, feed: Feed) -> None:
    """What was not begun, and what is running."""
    with pytest.raises(ConfigError, match="there is no"):
        durable.resume("nope", ask(client))
    durable.write("a", feed.stream())
    with pytest.raises(ConfigError, match="is being written"):
        durable.resume("a", ask(client))


def test_the_state_of_an_answer(durable: DurableStreams, feed: Feed) -> None:
    """What is there now, without waiting for more."""
    durable.write("a", feed.stream())
    followed = durable.follow("a")
    feed.give(*HELLO[:3])
    for _ in range(3):
        followed.ch.get(timeout=5)
    state = durable.state("a")

    assert ("Hello", 3, False) == (state.partial_content, state.token_count, state.complete)
    with pytest.raises(ConfigError, match="there is no"):
        durable.state("nope")


def test_closing_ends_what_is_written_here(durables: Durables, feed: Feed) -> None:
    """And what others write goes on."""
    one, other = durables(), durables()
    here, there = one.write("here", feed.stream()), other.write("there", [text("x")])
    one.close()

    assert "cancelled: its writer was closed" == str(here.err.get()) == str(failure(lambda: other.follow("here")))
    assert there.result() == other.follow("there").result()


def test_no_stream_at_all(durable: DurableStreams) -> None:
    """What can be read as no stream is refused, and readers do not wait for it."""
    with pytest.raises(ConfigError, match="int is no stream"):
        durable.write("a", 7)  # type: ignore[arg-type]  # on purpose

    assert ConfigError is type(failure(lambda: durable.follow("a")))


@pytest.mark.slow
def test_a_forked_child(redis_url: str) -> None:
    """It may write and follow by itself, and does not keep what its parent writes."""
    ran = run_python(
        """
        import os, sys, warnings
        warnings.simplefilter("ignore")
        from streamkit import TextChunk
        from streamkit.integrations.redis import DurableStreams
        from tests.feeding import Feed, text

        durable = DurableStreams(sys.argv[1], prefix="fork:", lease=0.5)
        with Feed() as feed:
            durable.write("parent", feed.stream())
            feed.give(text("a"))
            durable.follow("parent").ch.get()
            child = os.fork()
            if child == 0:
                assert durable.write("child", [text("from the child")]).result().complete
                assert "a" == durable.follow("parent").ch.get().content
                durable.close()
                os._exit(0)
            assert 0 == os.waitpid(child, 0)[1]
            feed.give(text("b", 1))
            feed.end()
            print(durable.follow("parent").result().text, durable.follow("child").result().text)
        durable.close()
        """,
        redis_url,
    )

    assert ("ab from the child\n", 0) == (ran.stdout, ran.returncode), ran.stderr


def test_chunks_are_text_chunks_again(durable: DurableStreams) -> None:
    """What is followed has the classes of what was written."""
    durable.write("a", HELLO)

    assert [type(chunk) for chunk in HELLO] == [type(chunk) for chunk in durable.follow("a")]
    assert TextChunk in {type(chunk) for chunk in durable.follow("a")}
