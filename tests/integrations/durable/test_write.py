"""Writing an answer, with a store whose answers the test gives."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from streamkit import (
    Cancelled,
    ChatStream,
    ConfigError,
    ConnectionLost,
    ResponseTooLarge,
    StreamKitError,
    StreamTruncated,
)
from streamkit.integrations.durable.scripts import APPEND, Script
from streamkit.integrations.durable.write import Keeping, Writing
from streamkit.stream import NO_CLOCKS, start_stream
from tests.feeding import Feed, text
from tests.loopback import drain, took
from tests.storing import ScriptedStore

KEEPING = Keeping(keep=60.0, max_chunks=2000, lease=10.0)


@pytest.fixture
def feed() -> Iterator[Feed]:
    """What is written."""
    with Feed() as feed:
        yield feed


def begun(store: ScriptedStore, feed: Feed, keeping: Keeping = KEEPING) -> tuple[Writing, ChatStream, ChatStream]:
    """A writing that has begun; what it writes; what it is read by."""
    writing = Writing(store, "a", keeping, lambda writing: None)
    writing.begin("channel", None, lambda seconds: None)
    stream = feed.stream()
    source = functools.partial(writing.source, stream)
    return writing, stream, start_stream(source, name="test", timeouts=NO_CLOCKS, buffer=0, made_of=writing)


def test_large_batches_are_divided(feed: Feed) -> None:
    """Redis does nothing else meanwhile; the numbers go on."""
    store = ScriptedStore()
    _, _, handle = begun(store, feed)
    feed.give(*(text("x", n) for n in range(1100)))
    feed.end()

    assert handle.result().complete
    sent = [(first, ended, len(chunks)) for _, first, ended, _, *chunks in store.asks("APPEND")]
    assert (1101, "complete", 0) == sent.pop()
    assert 500 == max(count for _, _, count in sent)
    assert [1 + sum(count for _, _, count in sent[:n]) for n in range(len(sent))] == [first for first, _, _ in sent]
    assert 1100 == sum(count for _, _, count in sent)


def test_large_chunks_are_divided() -> None:
    """A request has a megabyte, or one chunk: a timeout is for a request."""
    store, sizes = ScriptedStore(), [400_000, 400_000, 400_000, 3_000_000, 3_000_000, 1, 1]
    writing = Writing(store, "a", KEEPING, lambda writing: None)
    writing.begin("channel", None, lambda seconds: None)
    given = [*writing._append([text("x" * size, n) for n, size in enumerate(sizes)], lambda seconds: None)]
    sent = [(first, len(chunks)) for _, first, _, _, *chunks in store.asks("APPEND")]

    assert [(1, 2), (3, 1), (4, 1), (5, 1), (6, 2)] == sent
    assert [f"7-{n}" for n in range(1, 8)] == [chunk.metadata["event_id"] for batch in given for chunk in batch]


def test_each_chunk_knows_its_place(feed: Feed) -> None:
    """Its id, and its index, also where the stream had gaps."""
    _, _, handle = begun(ScriptedStore(begin=[(b"ok", b"9", b"4")]), feed)
    feed.give(text("a", 0), text("b", 7))
    feed.end()

    assert [("9-1", 4), ("9-2", 5)] == [(chunk.metadata["event_id"], chunk.index) for chunk in handle]


@pytest.mark.parametrize("state", ["running", "complete", "failed", "lost", "changed", "unknown", "foreign"])
def test_a_name_that_cannot_be_had(state: str) -> None:
    """Each reason has its words."""
    writing = Writing(ScriptedStore(begin=[(state.encode(), b"", b"")]), "a", KEEPING, lambda writing: None)
    with pytest.raises(ConfigError, match="the durable stream 'a' "):
        writing.begin("channel", None, lambda seconds: None)


@pytest.mark.parametrize(("state", "told"), [("lost", "taken for lost"), ("gone", "not this writer's any more")])
def test_it_is_not_the_writers_any_more(feed: Feed, state: str, told: str) -> None:
    """It fails, ends what it writes, and writes nothing more."""
    store = ScriptedStore(append=[(state.encode(), b"")])
    _, stream, handle = begun(store, feed)
    feed.give(text("a"))
    error = handle.err.get(timeout=5)

    assert StreamTruncated is type(error)
    assert told in str(error)
    assert error.partial is not None
    assert "a" == error.partial.text
    assert Cancelled is type(stream.err.get(timeout=5))
    assert 1 == len(store.asks("APPEND"))


def test_it_is_lost_while_the_provider_is_silent(feed: Feed) -> None:
    """The keeper says so."""
    writing, stream, handle = begun(ScriptedStore(), feed)
    feed.give(text("a"))
    handle.ch.get(timeout=5)
    writing.lose("lost")

    assert StreamTruncated is type(handle.err.get(timeout=5))
    assert Cancelled is type(stream.err.get(timeout=5))


@pytest.mark.parametrize("before", [True, False], ids=["before the stream", "with a chunk"])
def test_a_wish_to_cancel(feed: Feed, before: bool) -> None:
    """Whenever it comes; it is the outcome that is written."""
    store = ScriptedStore() if before else ScriptedStore(append=[(b"ok", b"because:enough")])
    writing = Writing(store, "a", KEEPING, lambda writing: None)
    writing.begin("channel", None, lambda seconds: None)
    if before:
        writing.cancel(b"because:enough")
    source = functools.partial(writing.source, feed.stream())
    handle = start_stream(source, name="test", timeouts=NO_CLOCKS, buffer=0, made_of=writing)
    feed.give(text("a"))
    error = handle.err.get(timeout=5)
    _, _, ended, outcome = store.asks("APPEND")[-1]

    assert ("cancelled: enough", Cancelled) == (str(error), type(error))
    assert "failed" == ended
    assert ("Cancelled", "cancelled: enough") == tuple(json.loads(outcome)["error"].values())[:2]


def test_the_database_stays_away(feed: Feed) -> None:
    """What it writes is ended: what cannot be kept need not be paid for."""
    store = ScriptedStore(append=[ConnectionLost("away")])
    _, stream, handle = begun(store, feed)
    feed.give(text("a"))

    assert "away" == str(handle.err.get(timeout=5))
    assert Cancelled is type(stream.err.get(timeout=5))
    assert 1 == len(store.asks("APPEND"))


class Away(ScriptedStore):
    """A store that is away when an outcome comes: it waits as it is told to, until the test has it back."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting, self.back = threading.Event(), threading.Event()

    def ask(self, script: Script, names: Sequence[str], *arguments: Any, pause: Callable[[float], None]) -> Any:
        """Wait, and answer."""
        while script is APPEND and arguments[2] and not self.back.is_set():
            pause(0.001)
            self.waiting.set()
        return super().ask(script, names, *arguments, pause=pause)


def test_a_cancel_while_the_database_is_away(feed: Feed) -> None:
    """Frees the reader at once, and is written when it is back."""
    store = Away()
    _, _, handle = begun(store, feed)
    handle.cancel("enough")
    error = handle.err.get(timeout=5)
    waited = store.waiting.wait(5)
    store.back.set()
    handle.close()

    assert Cancelled is type(error)
    assert waited
    assert ["failed"] == [ended for _, _, ended, *_ in store.asks("APPEND")]


def test_an_outcome_that_is_given_up(feed: Feed) -> None:
    """The thread does not wait for the database any longer."""
    store = Away()
    writing, _, handle = begun(store, feed)
    handle.cancel("enough")
    waited = store.waiting.wait(5)
    writing.give_up()
    with took(0.9):
        handle.close()

    assert waited
    assert [] == store.asks("APPEND")


def test_too_many_chunks(feed: Feed) -> None:
    """Those that fit are written and given, then it fails."""
    store = ScriptedStore()
    _, _, handle = begun(store, feed, Keeping(keep=60.0, max_chunks=2, lease=10.0))
    feed.give(*(text("x", n) for n in range(3)))
    got, error = drain(handle)

    assert "xx" == got
    assert ResponseTooLarge is type(error)
    assert "failed" == store.asks("APPEND")[-1][2]
    assert 2 == sum(len(chunks) for _, _, _, _, *chunks in store.asks("APPEND"))


def test_an_end_that_cannot_be_written_is_no_end(feed: Feed) -> None:
    """The writer does not say that it is whole."""
    _, _, handle = begun(ScriptedStore(append=[(b"ok", b""), ConnectionLost("away")]), feed)
    feed.give(text("a"))
    feed.end()

    assert ConnectionLost is type(handle.err.get(timeout=5))


def test_a_bug_is_not_shown_to_readers(feed: Feed) -> None:
    """Its text may hold anything; the writer's own reader and log have it."""
    store = ScriptedStore()
    _, _, handle = begun(store, feed)
    feed.fail(ValueError("sk-secret"))
    error: Any = handle.err.get(timeout=5)
    outcome = json.loads(store.asks("APPEND")[-1][3])["error"]

    assert isinstance(error, StreamKitError)
    assert ("StreamKitError", True) == (outcome["class"], "internal error" in outcome["message"])
    assert "sk-secret" not in json.dumps(outcome)
