"""Following an answer, with a store whose answers the test gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from streamkit import ChatResponse, ChatStream, ConfigError, ConnectionLost, RateLimited, StreamTruncated
from streamkit.chunk_json import chunk_to_json
from streamkit.integrations.durable.follow import as_it_is, entries_of, look
from streamkit.integrations.durable.log import DurableLog, written_outcome
from streamkit.stream import start_stream
from tests.feeding import text
from tests.loopback import drain
from tests.storing import ScriptedStore

BEGIN: Any = (b"7-0", [b"streamkit", b"1 0"])
ONE: Any = (b"7-1", [b"c", chunk_to_json(text("a", 0)).encode()])
TWO: Any = (b"7-2", [b"c", chunk_to_json(text("b", 1)).encode()])
END: Any = (b"7-3", [b"end", written_outcome(ChatResponse(text="ab", complete=True))])

RUNNING = (b"running", 1, 5000)


def followed(store: ScriptedStore, after: str | None = None, wait: float = 0.0) -> ChatStream:
    """A stream of what the store gives."""
    log = DurableLog("a", after)

    def source(run: Any) -> Iterator[list[Any]]:
        run.answered({}, None)
        run.waits()
        yield from entries_of(store, log, run, wait)

    return start_stream(source, name="test", made_of=log)


def test_it_looks_when_nothing_comes() -> None:
    """And reads on while the answer is running."""
    store = ScriptedStore(look=[RUNNING, RUNNING, RUNNING])
    store.entries = [[BEGIN, ONE], [], [], [TWO, END]]

    assert ("ab", None) == drain(followed(store))
    assert 3 == len(store.asks("LOOK"))


@pytest.mark.parametrize("state", [b"complete", b"failed", b"lost"])
def test_an_end_that_is_not_there(state: bytes) -> None:
    """What was lost by the database is told, and not waited for."""
    store = ScriptedStore(look=[RUNNING, (state, 1, 0), (state, 1, 0)])
    store.entries = [[BEGIN, ONE]]
    got, error = drain(followed(store))

    assert ("a", StreamTruncated) == (got, type(error))
    assert "gone from Redis" in str(error)


def test_what_is_gone_in_the_middle() -> None:
    """With what had come."""
    store = ScriptedStore(look=[RUNNING, (b"unknown", 0, 0)])
    store.entries = [[BEGIN, ONE]]
    got, error = drain(followed(store))

    assert ("a", StreamTruncated) == (got, type(error))
    assert error is not None and error.partial is not None
    assert "a" == error.partial.text


def test_what_is_not_there() -> None:
    """Is told after one look; with `wait` it is looked for again."""
    store = ScriptedStore(look=[(b"unknown", 0, 0)])
    assert ConfigError is type(drain(followed(store))[1])

    store = ScriptedStore(look=[(b"unknown", 0, 0), RUNNING])
    store.entries = [[BEGIN], [ONE, TWO, END]]
    assert ("ab", None) == drain(followed(store, wait=30))


@pytest.mark.parametrize("after", ["7-9", "6-1"])
def test_an_id_that_is_not_there(after: str) -> None:
    """Is told when all are read, though the answer is running."""
    store = ScriptedStore(look=[RUNNING])
    store.entries = [[BEGIN, ONE]]
    got, error = drain(followed(store, after))

    assert ("", ConfigError) == (got, type(error))


def test_the_database_stays_away() -> None:
    """With what had come."""
    store = ScriptedStore(look=[RUNNING, ConnectionLost("away")])
    store.entries = [[BEGIN, ONE]]
    got, error = drain(followed(store))

    assert ("a", "away") == (got, str(error))
    assert error is not None and error.partial is not None
    assert "a" == error.partial.text


def test_an_entry_of_others() -> None:
    """Is told behind the chunks that were read with it."""
    store = ScriptedStore(look=[RUNNING])
    store.entries = [[BEGIN, ONE, TWO, (b"9-1", [b"theirs", b"x"])]]
    got, error = drain(followed(store))

    assert ("ab", ConfigError) == (got, type(error))


def test_foreign_data() -> None:
    """Is told."""
    with pytest.raises(ConfigError, match="something else"):
        look(ScriptedStore(look=[(b"foreign", 0, 0)]), "a", lambda seconds: None)


@pytest.mark.parametrize(
    ("state", "entries", "expected"),
    [
        ((b"running", 2, 5000), [[BEGIN, ONE], [TWO]], None),
        ((b"complete", 2, 0), [[BEGIN, ONE, TWO], [END]], ChatResponse),
        ((b"failed", 1, 0), [[BEGIN, ONE, (b"7-2", [b"end", written_outcome(RateLimited("slow"))])]], RateLimited),
    ],
)
def test_as_it_is(state: Any, entries: Any, expected: type | None) -> None:
    """What is there, with its outcome, without waiting for more."""
    store = ScriptedStore(look=[state])
    store.entries = entries
    log = as_it_is(store, "a", lambda seconds: None)

    assert (state[1], expected) == (log.count, None if log.outcome is None else type(log.outcome))


def test_as_it_is_not() -> None:
    """What is not there, and what is not all there."""
    with pytest.raises(ConfigError, match="there is no"):
        as_it_is(ScriptedStore(look=[(b"unknown", 0, 0)]), "a", lambda seconds: None)
    with pytest.raises(StreamTruncated, match="gone"):
        as_it_is(ScriptedStore(look=[(b"lost", 1, 0)] * 2), "a", lambda seconds: None)


def test_somebody_goes_on_with_it_meanwhile() -> None:
    """Its end, which was there at the first look, is taken away; that is no loss."""
    store = ScriptedStore(look=[(b"failed", 1, 0), RUNNING])
    store.entries = [[BEGIN, ONE], [], [(b"9-0", [b"streamkit", b"1 1"])]]
    log = as_it_is(store, "a", lambda seconds: None)

    assert (1, None) == (log.count, log.outcome)

    end = (b"9-1", [b"end", written_outcome(RateLimited("slow"))])
    store = ScriptedStore(look=[(b"failed", 1, 0)] * 2)  # the one that went on has failed at once
    store.entries = [[BEGIN, ONE], [(b"9-0", [b"streamkit", b"1 1"])], [], [end]]
    got, error = drain(followed(store))

    assert ("a", None) == (got, error)
