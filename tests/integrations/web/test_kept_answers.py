"""KeptAnswers: a browser that comes back gets exactly what it lacks, and one that does not ends the answer."""

from __future__ import annotations

import functools
import gc
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import Cancelled, Chunk, Client, ConfigError, Context, KeptAnswers, StreamTruncated, TooManyAnswers
from streamkit.framing import Event, parse_sse
from streamkit.integrations.web import kept_answers
from streamkit.integrations.web.kept_answers import KeptAnswer
from streamkit.testing import ProviderServer, Stall, chat_answer, error_answer
from streamkit.watchdog import watchdog
from tests.browsing import told
from tests.feeding import Feed, finish, text, thinking
from tests.loopback import ask, took
from tests.strategies import PROPERTY

NEVER = 60.0
"""Seconds that no test waits for."""


@pytest.fixture
def feed() -> Iterator[Feed]:
    """What the test feeds."""
    with Feed() as feed:
        yield feed


@pytest.fixture
def answers() -> Iterator[KeptAnswers]:
    """Answers that wait for their browsers as long as the test likes."""
    answers = KeptAnswers(linger=NEVER)
    yield answers
    answers.close()


def events(answer: KeptAnswer, after: str | None = None, **how: bool) -> list[Event]:
    """What a reader gets to the end."""
    return list(parse_sse(answer.events(after, **how)))


def wait_until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    """Ask again and again whether something holds."""
    until, pause = time.monotonic() + seconds, threading.Event()
    while not holds():
        assert time.monotonic() < until, "it does not hold"
        pause.wait(0.005)


# -- reading


def test_a_reader(answers: KeptAnswers, feed: Feed) -> None:
    """It gets what `sse_events` gives, with ids, and first of all when to come back, and to what."""
    answer = answers.start(feed.stream())
    feed.give(thinking("hm", 0), text("Hel", 1), text("", 2), text("lo", 3), finish(4, tokens=9))
    feed.end()
    frames = list(answer.events())
    got = list(parse_sse(frames))

    assert f"retry: 500\nid: {answer.id}\n\n".encode() == frames[0]
    assert [f"{answer.id}-1", f"{answer.id}-3", f"{answer.id}-done"] == [event.id for event in got]
    assert ["token", "token", "done"] == [each["type"] for each in told(*got)]
    assert 9 == told(got[-1])[0]["usage"]["total_tokens"]


def test_one_that_had_no_event_yet(answers: KeptAnswers, feed: Feed) -> None:
    """It comes back with the answer's own id, and gets all; the id of an event is not taken back by that."""
    answer = answers.start(feed.stream())
    feed.give(text("Hel", 0), text("lo", 1))
    feed.end()
    first, *_ = events(answer, after=answer.id)

    assert f"{answer.id}-0" == first.id
    assert b"retry: 500\n\n" == next(answer.events(first.id))


def test_thinking(answers: KeptAnswers, feed: Feed) -> None:
    """It is told on demand."""
    answer = answers.start(feed.stream())
    feed.give(thinking("hm", 0), text("Hello", 1))
    feed.end()

    assert ["thinking", "token", "done"] == [each["type"] for each in told(*events(answer, thinking=True))]


def test_readers_at_once(answers: KeptAnswers, feed: Feed) -> None:
    """Each has a place of its own; one that comes back need not wait until its old connection is known to be dead."""
    answer = answers.start(feed.stream())
    feed.give(text("a", 0))
    first = parse_sse(answer.events())
    began = next(first)
    feed.give(text("b", 1), text("c", 2))
    second = parse_sse(answer.events(began.id))
    feed.end()

    assert ["b", "c"] == [event["content"] for event in told(*second)[:-1]]
    assert ["b", "c"] == [event["content"] for event in told(*first)[:-1]]


PIECES: list[Chunk] = [
    chunk(content, index)
    for index, (chunk, content) in enumerate(
        [(text, "a"), (thinking, "hm"), (text, ""), (text, "b\r\nc"), (text, "d"), (thinking, "hm"), (text, "e")]
    )
]


@PROPERTY
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=8))
def test_nothing_is_lost_or_repeated(steps: list[tuple[int, int]]) -> None:
    """Wherever a browser had stopped, and however often, it gets the rest, while the answer runs or after it."""
    answers = KeptAnswers(linger=NEVER)
    with Feed() as feed:
        answer = answers.start(feed.stream())
        left, got = [*PIECES], list[Event]()
        for comes, reads in steps:
            feed.give(*left[:comes])
            del left[:comes]
            told_so_far = sum(chunk.type == "text" and bool(chunk.content) for chunk in PIECES[: -len(left) or None])
            reader = parse_sse(answer.events(got[-1].id if got else None))
            got += [next(reader) for _ in range(min(reads, told_so_far - len(got)))]
        feed.give(*left)
        feed.end()
        got += events(answer, got[-1].id if got else None)
    answers.close()

    assert ["a", "b\r\nc", "d", "e"] == [event["content"] for event in told(*got[:-1])]


@pytest.mark.parametrize(
    ("linger", "lingers", "first"),
    [
        (60, True, b"retry: 500\nid: "),
        (0.4, True, b"retry: 200\nid: "),
        (0.01, True, b"retry: 50\nid: "),
        (0, True, b"id"),
        (60, False, b"id"),
    ],
)
def test_when_to_come_back(linger: float, lingers: bool, first: bytes) -> None:
    """While the answer still waits; never at once, as a server that is down would be asked without end."""
    answers = KeptAnswers(linger=linger)
    frames = list(answers.start([]).events(lingers=lingers))
    answers.close()

    assert frames[0].startswith(first)


# -- ids


def test_who_is_found(answers: KeptAnswers, feed: Feed) -> None:
    """An answer, by its id or that of one of its events; the id is long and random."""
    answer = answers.start(feed.stream())
    other = answers.start([])

    assert answer is answers.get(answer.id)
    assert answer is answers.get(f"{answer.id}-5")
    assert other is not answer
    assert 32 == len(answer.id)
    assert answer.id != other.id


@pytest.mark.parametrize(
    "id", ["", "-", "0", "x-1", "0" * 32, "0" * 32 + "-1", "é" * 32, "0" * 32 + "-٣", "0" * 100_000, "-done"]
)
def test_who_is_not(answers: KeptAnswers, id: str) -> None:
    """No id of ours, or one that nobody knows."""
    answers.start([])

    assert answers.get(id) is None


@pytest.mark.parametrize("rest", ["-1", "-99", "-999999999999", "-9999999999999", "-done", "-x", "--1", "-1\n"])
def test_events_that_there_were_not(answers: KeptAnswers, rest: str) -> None:
    """Nobody can have had them: refused, at once."""
    answer = answers.start([text("a")])
    answer.stream.result()

    with pytest.raises(ConfigError, match="after="):
        answer.events(answer.id + rest)


def test_the_id_of_another_answer(answers: KeptAnswers) -> None:
    """It is refused."""
    one, other = answers.start([]), answers.start([])

    with pytest.raises(ConfigError, match="give the id of an event of this answer"):
        one.events(f"{other.id}-0")
    assert [{"type": "done", "done": True}] == told(*events(one, one.id))


# -- leaving


def test_the_last_reader_leaves() -> None:
    """`linger` seconds later the answer is cancelled."""
    answers = KeptAnswers(linger=0.3)
    with Feed() as feed:
        source = feed.stream()
        answer = answers.start(source)
        feed.give(text("Hello"))
        first, second = answer.events(), answer.events()
        next(parse_sse(first))
        first.close()
        with took(1.0, least=0.25):
            second.close()
            assert isinstance(answer.stream.err.get(), Cancelled)
        assert isinstance(source.err.get(), Cancelled)

    got = told(*events(answer))
    assert [
        {"type": "token", "content": "Hello"},
        {"type": "error", "content": "cancelled: its reader has left"},
    ] == got
    answers.close()


def test_one_that_comes_back(answers: KeptAnswers, feed: Feed) -> None:
    """It is waited for from its last leaving on, and while it reads there is no hurry."""
    answer = answers.start(feed.stream())
    for _ in range(2):
        answer.events().close()
        answer.end_if_left(time.monotonic() + NEVER - 10)
        assert answer.running
    reader = answer.events()
    answer.end_if_left(time.monotonic() + 10 * NEVER)
    feed.give(text("Hello"))
    feed.end()

    assert ["token", "done"] == [each["type"] for each in told(*parse_sse(reader))]


def test_one_that_cannot_come_back(answers: KeptAnswers, feed: Feed) -> None:
    """The answer is cancelled at once, unless another may still come back."""
    answer = answers.start(feed.stream())
    lingering, other = answer.events(), answer.events(lingers=False)
    assert b": keep-alive\n\n" == next(answer.events(lingers=False, keep_alive=0.001))
    lingering.close()
    other.close()
    assert answer.running

    with Feed() as other_feed, took(1.0):
        alone = answers.start(other_feed.stream())
        alone.events(lingers=False).close()
        assert isinstance(alone.stream.err.get(), Cancelled)


def test_a_reader_that_is_dropped() -> None:
    """It has left, too."""
    answers = KeptAnswers(linger=0)
    with Feed() as feed:
        answer = answers.start(feed.stream())
        reader = answer.events(keep_alive=0.001)
        assert b": keep-alive\n\n" == next(reader)
        del reader
        with took(1.0):
            assert isinstance(answer.stream.err.get(), Cancelled)
    answers.close()


def test_a_browser_that_is_gone() -> None:
    """It is asked for about twice a second, and leaves then."""
    answers = KeptAnswers(linger=0)
    with Feed() as feed:
        answer = answers.start(feed.stream())
        with took(2.0, least=0.4):
            assert [] == list(answer.events(gone=lambda: True))
            assert isinstance(answer.stream.err.get(), Cancelled)
    answers.close()


def test_closing_from_another_thread(answers: KeptAnswers, feed: Feed) -> None:
    """The thread that waits in the reader looks up within half a second."""
    reader = answers.start(feed.stream()).events()
    thread = threading.Thread(target=list, args=(reader,))
    thread.start()
    with took(2.0):
        reader.close()
        thread.join()
    assert [] == list(reader)


def test_nobody_ever_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first reader has some time to come."""
    monkeypatch.setattr(kept_answers, "_NO_READER_YET", 0.2)
    answers = KeptAnswers(linger=0)
    with Feed() as feed, took(1.0, least=0.15):
        assert isinstance(answers.start(feed.stream()).stream.err.get(), Cancelled)
    answers.close()


# -- what is kept


def test_it_is_kept_for_a_while() -> None:
    """After its end, and no longer."""
    answers = KeptAnswers(keep=0.3)
    answer = answers.start([text("Hello")])
    answer.stream.result()
    with took(2.0, least=0.25):
        wait_until(lambda: answers.get(answer.id) is None)

    assert 0 == len(answers)
    wait_until(lambda: watchdog.idle)


def test_not_more_than_so_many() -> None:
    """Those that ended first go first."""
    answers = KeptAnswers(most=2)
    ids = []
    for _ in range(3):
        ids.append(answers.start([]).id)
        list(answers.get(ids[-1]).events())  # type: ignore[union-attr]  # it is kept

    assert [False, True, True] == [answers.get(id) is not None for id in ids]
    assert 2 == len(answers)
    answers.close()


def test_all_are_running(feed: Feed) -> None:
    """There is no room for another one until one of them ends."""
    answers = KeptAnswers(most=1)
    answer = answers.start(feed.stream())
    assert answers.full
    with pytest.raises(TooManyAnswers, match="1 answers are running"):
        answers.start([])
    answer.cancel()
    answer.stream.err.get()

    assert not answers.full
    answers.start([])
    answers.close()


def test_closing() -> None:
    """What runs is cancelled; its readers get what had arrived; they can be used again."""
    answers = KeptAnswers()
    with Feed() as feed:
        answer = answers.start(feed.stream())
        feed.give(text("Hello"))
        reader = parse_sse(answer.events())
        next(reader)
        answers.close()

        assert [{"type": "error", "content": "cancelled: the server was stopped"}] == told(*reader)
    assert answers.get(answer.id) is None
    answers.start([])
    answers.close()
    answers.close()


def test_answers_that_are_dropped() -> None:
    """Nobody holds them any more: what runs ends, and nothing is watched."""
    answers = KeptAnswers()
    with Feed() as feed:
        source = feed.stream()
        answers.start(source)
        del answers
        gc.collect()
        with took(2.0):
            assert isinstance(source.err.get(), Cancelled)
            wait_until(lambda: watchdog.idle)


@pytest.mark.parametrize("wrong", [{"linger": -1}, {"keep": -1}, {"most": 0}, {"linger": float("nan")}])
def test_wrong_settings(wrong: dict[str, int]) -> None:
    """They are refused."""
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        KeptAnswers(**wrong)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child(answers: KeptAnswers, feed: Feed) -> None:
    """It has none of its parent's answers, and can keep its own."""
    answers.start(feed.stream())
    pid = os.fork()
    if pid == 0:
        try:
            ok = 0 == len(answers) and 2 == len(events(answers.start([text("Hello")])))
        except BaseException:
            ok = False
        os._exit(0 if ok else 1)

    assert 0 == os.waitpid(pid, 0)[1]
    assert 1 == len(answers)


# -- what is answered


def test_a_builder(answers: KeptAnswers, server: ProviderServer, client: Client) -> None:
    """It is opened at once, without waiting."""
    server.reply(*chat_answer("Hel", "lo"))
    answer = answers.start(ask(client))

    assert "Hello" == answer.stream.result().text
    assert ["Hel", "lo"] == [each["content"] for each in told(*events(answer)[:-1])]


def test_a_failure_to_open(answers: KeptAnswers, server: ProviderServer, client: Client) -> None:
    """It is an event, also for one that comes back."""
    server.reply(*error_answer(401, "no such key"))
    answer = answers.start(ask(client))
    for _ in range(2):
        (event,) = events(answer)

        assert f"{answer.id}-done" == event.id
        assert "error" == told(event)[0]["type"]
        assert "no such key" in told(event)[0]["content"]


def test_a_failure(answers: KeptAnswers, feed: Feed) -> None:
    """It comes after what had arrived, which the answer has, too."""
    answer = answers.start(feed.stream())
    feed.give(text("Hel"))
    feed.fail(StreamTruncated("cut"))

    assert [{"type": "token", "content": "Hel"}, {"type": "error", "content": "cut"}] == told(*events(answer))
    assert "Hel" == answer.stream.partial.text


def test_a_cancel(answers: KeptAnswers, server: ProviderServer, client: Client) -> None:
    """It reaches the provider, also while it is silent."""
    server.reply(Stall())
    answer = answers.start(ask(client))
    server.wait_for_request()
    reader = answer.events(keep_alive=0.01)
    assert next(reader).startswith(b"retry: ")
    assert b": keep-alive\n\n" == next(reader)
    answer.cancel("the stop button")

    assert {"type": "error", "content": "cancelled: the stop button"} == told(*parse_sse(reader))[-1]
    server.wait_until(lambda: server.open_connections == 0)


@pytest.mark.parametrize("when", ["before", "later"])
def test_a_context(answers: KeptAnswers, server: ProviderServer, client: Client, when: str) -> None:
    """It ends the answer, and is no failure to begin one."""
    server.reply(Stall())
    ctx = Context()
    if when == "before":
        ctx.cancel("enough")
    answer = answers.start(ask(client), ctx)
    if when == "later":
        server.wait_for_request()
        ctx.cancel("enough")

    assert [{"type": "error", "content": "cancelled: enough"}] == told(*events(answer))


def test_many_readers_and_threads(answers: KeptAnswers, feed: Feed) -> None:
    """Threads that read while it is written all get the same."""
    answer = answers.start(feed.stream())
    got: list[list[Event]] = []
    read = functools.partial(lambda: got.append(events(answer)))
    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for number in range(200):
        feed.give(text(f"{number} ", number))
    feed.end()
    for thread in threads:
        thread.join()

    assert 8 == len(got)
    assert all([f"{number} " for number in range(200)] == [each["content"] for each in told(*one[:-1])] for one in got)
