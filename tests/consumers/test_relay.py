"""sse_events: what a browser is told of a stream, and when the stream is told that it has gone."""

from __future__ import annotations

import gc
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from streamkit import Cancelled, Client, ConfigError, Context, StreamTruncated
from streamkit.consumers.relay import SSE_HEADERS, sse_events, sse_headers, watched_events
from streamkit.framing import parse_sse
from streamkit.testing import ProviderServer, Stall, chat_answer, error_answer
from tests.feeding import Feed, finish, text, thinking
from tests.loopback import ask, took


@pytest.fixture
def feed() -> Iterator[Feed]:
    """What the test feeds."""
    with Feed() as feed:
        yield feed


def told(frames: Iterator[bytes]) -> list[Any]:
    """What a browser reads of them."""
    return [json.loads(event.data) for event in parse_sse(frames)]


# -- frames


def test_tokens_and_the_end(feed: Feed) -> None:
    """One event a piece of text, then one with the counts; thinking and empty pieces are none."""
    frames = sse_events(feed.stream())
    feed.give(thinking("hm", 0), text("Hel", 1), text("", 2), text("lo\n", 3), finish(4, tokens=9))
    feed.end()

    assert [
        b'data: {"type":"token","content":"Hel"}\n\n',
        b'data: {"type":"token","content":"lo\\n"}\n\n',
        b'data: {"type":"done","done":true,"usage":{"prompt_tokens":1,"completion_tokens":8,"total_tokens":9}}\n\n',
    ] == list(frames)


def test_a_failure(feed: Feed) -> None:
    """It is the last event, after what had come, and is not raised."""
    frames = sse_events(feed.stream())
    feed.give(text("Hel"))
    feed.fail(StreamTruncated("cut"))

    assert [{"type": "token", "content": "Hel"}, {"type": "error", "content": "cut"}] == told(frames)


def test_usage_that_is_unknown(feed: Feed) -> None:
    """It is left out, not zero."""
    frames = sse_events(feed.stream())
    feed.end()

    assert [{"type": "done", "done": True}] == told(frames)


def test_ids_and_thinking(feed: Feed) -> None:
    """Both on demand: numbers for `Last-Event-ID`, and events of their own for thinking."""
    frames = sse_events(feed.stream(), ids=True, thinking=True)
    feed.give(thinking("hm", 0), text("Hello", 1))
    feed.end()
    events = list(parse_sse(frames))

    assert ["0", "1", "2"] == [event.id for event in events]
    assert ["thinking", "token", "done"] == [json.loads(event.data)["type"] for event in events]


def test_ids_of_the_chunks(feed: Feed) -> None:
    """A stream that is kept elsewhere has ids of its own, and the last event says that it was the last."""
    frames = sse_events(feed.stream(), ids=True)
    feed.give(text("Hel", 0, event_id="17-0"), text("lo", 1, event_id="18-1"))
    feed.end()

    assert ["17-0", "18-1", "18-1-done"] == [event.id for event in parse_sse(frames)]


def test_hostile_text(feed: Feed) -> None:
    """Line breaks, the frames of others and half a character stay in the JSON of one line."""
    frames = sse_events(feed.stream(), ids=True)
    said = 'a\r\n\r\ndata: {"type":"done"}\n\nid: 7\u2028\u2029\0 \ud800'
    feed.give(text(said))
    feed.end()
    first, last = list(frames)

    assert 2 == first.count(b"\n") - 1
    assert b"\r" not in first
    assert said.replace("\ud800", "?") == told(iter([first]))[0]["content"]
    assert b'{"type":"done","done":true}' in last


def test_an_exception_of_others(feed: Feed, caplog: pytest.LogCaptureFixture) -> None:
    """It may hold anything, so a browser is not told what it says; the log is."""
    frames = sse_events(feed.stream())
    feed.fail(ZeroDivisionError("secret"))

    assert [{"type": "error", "content": "an internal error ended the answer: the server's log has it"}] == told(frames)
    assert "ZeroDivisionError('secret')" in caplog.text


# -- silence


def test_comments_in_a_silence(feed: Feed) -> None:
    """A browser ignores them; a server that writes them notices who has gone."""
    frames = sse_events(feed.stream(), keep_alive=0.01)

    assert [b": keep-alive\n\n"] * 3 == [next(frames) for _ in range(3)]
    feed.give(text("Hello"))
    feed.end()
    assert ["token", "done"] == [each["type"] for each in told(frames)]


def test_comments_while_it_thinks(feed: Feed) -> None:
    """What is not told is silence, too."""
    frames = sse_events(feed.stream(), keep_alive=0.05)
    stop = threading.Event()

    def think() -> None:
        while not stop.wait(0.01):
            feed.give(thinking("hm"))

    thread = threading.Thread(target=think)
    thread.start()
    try:
        with took(2.0):
            assert b": keep-alive\n\n" == next(frames)
    finally:
        stop.set()
        thread.join()
        frames.close()  # type: ignore[attr-defined]  # it is a generator


@pytest.mark.parametrize("keep_alive", [0, -1, float("nan")])
def test_wrong_settings(keep_alive: float) -> None:
    """They are refused at once."""
    with pytest.raises(ConfigError, match="give seconds above zero, or None"):
        sse_events([], keep_alive=keep_alive)


# -- a builder


def test_a_builder_is_opened(server: ProviderServer, client: Client) -> None:
    """With the first frame that is asked for."""
    server.reply(*chat_answer("Hello"))
    frames = sse_events(ask(client))
    assert [] == server.requests

    assert ["token", "done"] == [each["type"] for each in told(frames)]


def test_a_failure_to_open(server: ProviderServer, client: Client) -> None:
    """It is an event like any other failure."""
    server.reply(*error_answer(401, "no such key"))
    (event,) = told(sse_events(ask(client)))

    assert "error" == event["type"]
    assert "no such key" in event["content"]


def test_comments_while_it_is_opened(server: ProviderServer, client: Client) -> None:
    """A provider that does not answer is silence, too; who leaves then ends the request."""
    server.reply(Stall())
    frames = sse_events(ask(client), keep_alive=0.01)

    assert b": keep-alive\n\n" == next(frames)
    with took(1.0):
        frames.close()  # type: ignore[attr-defined]  # it is a generator


def test_a_context(server: ProviderServer, client: Client) -> None:
    """It ends what is opened here."""
    server.reply(Stall())
    ctx = Context()
    frames = sse_events(ask(client), keep_alive=0.01, ctx=ctx)
    next(frames)
    ctx.cancel("enough")

    assert {"type": "error", "content": "cancelled: enough"} == told(frames)[-1]


# -- who leaves


@pytest.mark.parametrize("how", ["closed", "dropped"])
def test_who_leaves_cancels(feed: Feed, how: str) -> None:
    """Closing the iterator, as servers do when a browser has gone, ends the stream; so does dropping it."""
    source = feed.stream()
    frames = sse_events(source)
    feed.give(text("Hello"))
    next(frames)
    if how == "closed":
        frames.close()  # type: ignore[attr-defined]  # it is a generator
    else:
        del frames
        gc.collect()
    with took(1.0):
        assert isinstance(source.err.get(), Cancelled)


@pytest.mark.parametrize("busy", [False, True])
def test_a_browser_that_is_gone(feed: Feed, busy: bool) -> None:
    """It is asked for about twice a second, in a silence and while there is something that it is not told."""
    source = feed.stream()
    asked: list[float] = []
    stop = threading.Event()

    def gone() -> bool:
        asked.append(time.monotonic())
        return len(asked) == 2

    def think() -> None:
        while busy and not stop.wait(0.01):
            feed.give(thinking("hm"))

    thread = threading.Thread(target=think)
    thread.start()
    with took(3.0, least=0.9):
        assert [] == list(watched_events(source, keep_alive=None, ids=None, thinking=False, gone=gone))
    stop.set()
    thread.join()

    assert 0.45 < asked[1] - asked[0]
    assert isinstance(source.err.get(), Cancelled)


# -- headers


def test_headers() -> None:
    """Those of an event stream, which nothing on the way is to keep; pages of others may be let in."""
    assert [*SSE_HEADERS.items()] == sse_headers()
    assert {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"} == SSE_HEADERS
    assert ("Access-Control-Allow-Origin", "*") == sse_headers("*")[-1]
    assert [("Access-Control-Allow-Origin", "https://a.example"), ("Vary", "Origin")] == sse_headers(
        "https://a.example"
    )[-2:]
    assert "connection" not in {name.lower() for name, _ in sse_headers("*")}
