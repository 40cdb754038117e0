"""The patterns upon each other, under attack: what holds of one of them holds of all, in any order."""

from __future__ import annotations

import gc
import itertools
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import pytest

from streamkit import (
    Cancelled,
    Channel,
    ChatStream,
    Chunk,
    Client,
    Context,
    DeadlineExceeded,
    RetryPolicy,
    SlowConsumer,
    StreamHandler,
    StreamKitError,
    StreamTruncated,
    collect,
    drive_ui,
    smooth,
    sse_events,
    stream_object,
    stream_parallel,
    stream_text,
    stream_to_multiple,
    stream_with_handler,
    stream_with_retry,
    tee,
    tool,
    with_progress,
)
from streamkit.testing import Close, ProviderServer, Stall, chat_answer, error_event
from tests.echoing import EchoServer, echo
from tests.feeding import Feed, finish, text
from tests.loopback import ask, client_of, run_python, took

AT_ONCE = RetryPolicy(initial_interval=0)


def said(chunks: Iterator[Chunk] | list[Chunk]) -> str:
    """The text of chunks."""
    return "".join(chunk.content for chunk in chunks if chunk.type == "text")


class Told(StreamHandler):
    """Keeps the tokens and how it ended."""

    def __init__(self) -> None:
        self.text = ""
        self.end: list[Any] = []

    def on_token(self, token: str) -> None:
        """Keep it."""
        self.text += token

    def on_complete(self, response: Any) -> None:
        """Keep its text."""
        self.end.append(response.text)

    def on_error(self, error: StreamKitError) -> None:
        """Keep it."""
        self.end.append(error)


# -- a cancel of what is complete


READINGS: dict[str, Callable[[ChatStream], Iterator[Any]]] = {
    "chunks": iter,
    "text": lambda stream: stream.text(),
}


def complete_stream(feed: Feed, ctx: Context | None = None) -> ChatStream:
    """A stream that has ended well, of which nothing has been read."""
    stream = feed.stream(ctx)
    feed.give(text("a", 0), text("b", 1), finish(2))
    feed.end()
    assert stream.err.get() is None
    return stream


@pytest.mark.parametrize("how", ["stream", "context"])
@pytest.mark.parametrize("reading", ["chunks", "text"])
def test_a_loop_that_a_cancel_ends_says_so(reading: str, how: str) -> None:
    """Also when the provider had said all: what was read is not all, so the loop raises; the whole is in `partial`."""
    ctx = Context()
    with Feed() as feed:
        stream = complete_stream(feed, ctx)
        loop = READINGS[reading](stream)
        next(loop)
        (stream if how == "stream" else ctx).cancel()
        with pytest.raises(Cancelled) as caught:
            next(loop)

        assert caught.value.partial is not None
        assert ("ab", "ab") == (caught.value.partial.text, stream.result().text)


def test_a_loop_over_a_text_stream_that_a_cancel_ends_says_so(server: ProviderServer, client: Client) -> None:
    """As a loop over a stream does."""
    server.reply(chat_answer("a", "b"))
    stream = stream_text(client.model("gpt-4o"), prompt="Hello")
    assert stream.err() is None
    loop = iter(stream)
    next(loop)
    stream.cancel()

    with pytest.raises(Cancelled):
        next(loop)
    assert "ab" == stream.result().text


def test_a_cancel_after_all_was_read_is_none() -> None:
    """Nothing was missed."""
    with Feed() as feed:
        stream = complete_stream(feed)
        loop = iter(stream)
        assert ["a", "b", ""] == [chunk.content for chunk in itertools.islice(loop, 3)]
        stream.cancel()

        assert [] == list(loop)


@pytest.mark.parametrize("again", [iter, lambda stream: stream], ids=["chunks", "stream"])
def test_what_is_made_of_half_a_reading_is_not_complete(again: Callable[[ChatStream], Any]) -> None:
    """A transformation that was not given all of a complete answer does not say that it had it."""
    with Feed() as feed:
        stream = complete_stream(feed)
        stream.cancel()
        made = with_progress(again(stream), 2, (told := []).append)

        assert [] == list(made.ch)
        assert isinstance(made.err.get(), Cancelled)
        assert [] == told


def test_a_browser_is_not_told_done_for_half_an_answer() -> None:
    """A cancel that ends its events before all of them is an error event."""
    with Feed() as feed:
        stream = feed.stream()
        feed.give(*[text("a", number) for number in range(3_000)], finish(3_000))
        feed.end()
        assert stream.err.get() is None
        events = sse_events(stream)
        next(events)
        stream.cancel()
        *_, last = events

        assert b'"error"' in last


class Ended:
    """Opens a stream that has ended well, of which nothing has been read."""

    def __init__(self, feed: Feed) -> None:
        self.stream = complete_stream(feed)

    def get_stream(self, ctx: Context | None = None) -> ChatStream:
        """Give it."""
        return self.stream


def test_a_handler_is_not_told_complete_for_half_an_answer() -> None:
    """Whoever cancels the stream: not each token was told."""
    with Feed() as feed:
        opens = Ended(feed)
        handler = Told()
        handler.on_token = lambda token: opens.stream.cancel()  # type: ignore[method-assign]  # to cancel in the middle
        with pytest.raises(Cancelled):
            stream_with_handler(opens, handler)

        assert [Cancelled] == [type(end) for end in handler.end]


def test_a_window_is_not_told_of_tokens_for_half_an_answer() -> None:
    """It is shown the cancel."""
    with Feed() as feed:
        opens = Ended(feed)
        window = Broken()
        window.append_text = lambda text: opens.stream.cancel()  # type: ignore[method-assign]  # as above
        window.show_error = lambda error: error  # type: ignore[attr-defined]  # it has no such method of its own

        assert isinstance(drive_ui(opens, window), Cancelled)  # type: ignore[arg-type]  # it has all methods


# -- contexts that have ended


PARTS: dict[str, Callable[[ChatStream], ChatStream]] = {
    "smooth": smooth,
    "progress": lambda stream: with_progress(stream, 1, lambda fraction: None),
    "branch": lambda stream: tee(stream)[0],
}


@pytest.mark.parametrize("part", PARTS)
def test_what_came_in_time_is_there_after_the_deadline(part: str) -> None:
    """A transformation that is begun after it takes nothing away from a complete answer."""
    ctx = Context(timeout=0.05)
    with Feed() as feed:
        stream = complete_stream(feed, ctx)
        assert ctx.wait(5)
        made = PARTS[part](stream)

        assert ("ab", "ab") == (said(made.ch), made.result().text)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(("timeout", "error"), [(None, Cancelled), (0.05, DeadlineExceeded)])
def test_a_transformation_does_not_raise(part: str, timeout: float | None, error: type[StreamKitError]) -> None:
    """That of a stream whose context has ended says so where all streams do."""
    ctx = Context(timeout)
    with Feed() as feed:
        stream = feed.stream(ctx)
        feed.give(text("a", 0))
        if timeout is None:
            ctx.cancel()
        assert isinstance(stream.err.get(), error)
        made = PARTS[part](stream)

        assert isinstance(made.err.get(), error)


def test_events_for_a_context_that_has_ended(client: Client) -> None:
    """One error event; nothing is raised, and nothing asked."""
    ctx = Context()
    ctx.cancel()
    (event,) = sse_events(ask(client), ctx=ctx)

    assert event.startswith(b'data: {"type":"error"')


# -- destinations


class Full(Channel[Any]):
    """Says when somebody waits for room in it."""

    def __init__(self) -> None:
        super().__init__(1)
        self.waited = threading.Event()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put an item."""
        if self.qsize():
            self.waited.set()
        super().put(item, block, timeout)


def test_a_cancel_closes_a_destination_that_is_waited_for() -> None:
    """Its reader, who was slow, is not left to wait for ever."""
    with Feed() as feed:
        stream = feed.stream()
        slow = Full()
        stream_to_multiple(stream, slow)
        feed.give(text("a", 0), text("b", 1))
        assert slow.waited.wait(5)
        (copying,) = [thread for thread in threading.enumerate() if thread.name == "streamkit-copy"]
        stream.cancel()
        copying.join(5)

        assert slow.closed


def test_a_deadline_loses_nothing_that_had_come() -> None:
    """A channel with a slow reader gets all of it at once then."""
    with Feed() as feed:
        stream = feed.stream(Context(timeout=0.3))
        slow = Full()
        feed.give(*[text(str(number), number) for number in range(10)])
        stream_to_multiple(stream, slow)
        assert slow.waited.wait(5)
        assert isinstance(stream.err.get(), DeadlineExceeded)
        with took(1.0):
            assert "0123456789" == "".join(slow)


# -- what is left of an answer that went on


@pytest.mark.parametrize("end", [Close(), error_event("down")], ids=["cut", "error"])
def test_a_client_that_is_closed_has_no_connection(server: ProviderServer, end: Any) -> None:
    """Of an answer that went on, too, without the garbage collector's help, while the stream is still held."""
    server.reply(*chat_answer("one ")[:3], end)
    server.reply(chat_answer("two"))
    gc.disable()
    try:
        with client_of(server) as client:
            stream = stream_with_retry(ask(client), retry_policy=AT_ONCE)
            assert "one two" == stream.result().text
        server.wait_until(lambda: server.open_connections == 0)
    finally:
        gc.enable()


# -- unexpected orders


def test_handlers_on_branches_of_smoothed_resumed_streams_side_by_side() -> None:
    """Many threads share one client, each with the whole stack upon it: all have all, and each is told one end."""
    prompts = [f"say {number}" for number in range(12)]

    def run(client: Client, prompt: str) -> tuple[str, str, list[Any]]:
        stream = stream_with_retry(client.chat("gpt-4o").user(prompt), retry_policy=AT_ONCE)
        shown, kept = tee(smooth(stream, 0.001, by="word", max_delay=0.02), buffer=3)
        with ThreadPoolExecutor(1) as other:
            text = other.submit(lambda: said(kept.ch))
            handler = Told()
            stream_with_handler(smooth(smooth(shown, 0)), handler)
            return text.result(), handler.text, handler.end

    with EchoServer(pieces=20) as server, server.client() as client, ThreadPoolExecutor(6) as pool:
        told = list(pool.map(lambda prompt: run(client, prompt), prompts))

    assert [(echo(prompt, 20), echo(prompt, 20), [echo(prompt, 20)]) for prompt in prompts] == told


def test_progress_over_an_answer_that_goes_on(server: ProviderServer, client: Client) -> None:
    """It never falls at the seam, and is full once."""
    server.reply(*chat_answer("one ", "two ")[:4], Close())
    server.reply(chat_answer("three ", "four"))
    fractions: list[float] = []
    stream = with_progress(stream_with_retry(ask(client), retry_policy=AT_ONCE), 4, fractions.append)

    assert "one two three four" == collect(stream).text
    assert [0.25, 0.5, 0.75, 0.95, 1.0] == fractions
    assert 2 == stream.stats.attempts


def test_branches_of_branches() -> None:
    """Each has all chunks and the outcome; the source ends with the last one."""
    with Feed() as feed:
        source = feed.stream()
        left, right = tee(source)
        branches = [*tee(left, 2, buffer=1), *tee(right, 2)]
        with ThreadPoolExecutor(4) as pool:
            readers = [pool.submit(list, branch.ch) for branch in branches]
            feed.give(*[text(str(number), number) for number in range(9)], finish(9))
            feed.end()
            read = [reader.result(timeout=5) for reader in readers]

        assert ["012345678"] * 4 == [said(chunks) for chunks in read]
        assert [7] * 4 == [branch.result().usage.total_tokens for branch in branches]


def test_the_last_branch_of_a_branch_ends_the_source() -> None:
    """And not one before it."""
    with Feed() as feed:
        source = feed.stream()
        left, right = tee(source)
        first, second = tee(left)
        first.cancel()
        right.cancel()
        feed.give(text("a", 0))
        assert "a" == second.ch.get(timeout=5).content
        second.cancel()

        assert isinstance(source.err.get(), Cancelled)


def test_a_branch_is_whole_beside_one_that_was_too_slow() -> None:
    """The slow one has what it had and its error; the other's response is the whole."""
    with Feed() as feed:
        slow, kept = tee(feed.stream(), buffer=2, on_full="raise")
        feed.give(*[text(str(number), number) for number in range(9)], finish(9))
        feed.end()

        assert "012345678" == said(kept.ch) == collect(kept).text
        assert "01" == said(slow.ch)
        assert isinstance(error := slow.err.get(), SlowConsumer)
        assert "012345678" == (error.partial.text if error.partial else "")


@tool
def add(a: int) -> int:
    """Add one."""
    return a + 1


def test_tools_through_transformations(server: ProviderServer, client: Client) -> None:
    """Calls, results and the ends of steps pass in their places; the response has both steps."""
    server.reply(chat_answer("Let me ", "see.", tool_calls=[("add", {"a": 1})]))
    server.reply(chat_answer("It is ", "2."))
    stream = stream_text(client.model("gpt-4o"), prompt="1 + 1?", tools=[add])
    shown, kept = tee(smooth(stream, 0.001, by="word"))
    chunks = list(shown.ch)

    assert [*range(len(chunks))] == [chunk.index for chunk in chunks]
    assert ["text", "tool_call_start", "tool_call_delta", "tool_call", "tool_result", "step_finish", "text"] == [
        kind for kind, _ in itertools.groupby(chunk.type for chunk in chunks)
    ][:7]
    assert "Let me see.It is 2." == said(chunks) == said(kept.ch)
    assert 2 == len(kept.result().steps)


def test_the_stream_beneath_an_object(server: ProviderServer, client: Client) -> None:
    """It is read as any other, while partial objects are made of it."""

    @attrs.define
    class City:
        name: str

    server.reply(chat_answer('{"na', 'me":"Paris"}'))
    stream = stream_object(client.model("gpt-4o"), City, prompt="A city.")
    shown = "".join(smooth(stream.chat_stream, 0).text())

    assert '{"name":"Paris"}' == shown
    assert City("Paris") == stream.result().object


def test_smooth_over_the_chunks_of_one_of_many() -> None:
    """The chunks of a run are chunks of any kind of stream."""
    with EchoServer() as server, server.client() as client:
        run = stream_parallel(client, ["say one", "say two"], model="gpt-4o")
        only = (chunk for index, chunk in run.chunks() if index == 1)

        assert echo("say two") == collect(smooth(only, 0.001, by="word")).text
        assert [echo("say one"), echo("say two")] == run.texts()


def test_events_of_a_branch_that_the_browser_leaves(server: ProviderServer, client: Client) -> None:
    """The other branch goes on; the last one that leaves lets the provider go."""
    server.reply(*chat_answer("one", "two")[:4], Stall())
    branch, other = tee(ask(client).get_stream())
    events = sse_events(branch)
    assert b'data: {"type":"token","content":"one"}\n\n' == next(events)
    events.close()  # type: ignore[attr-defined]  # it is a generator

    assert "one" == next(texts := other.text())
    assert "two" == next(texts)
    assert 1 == server.open_connections
    other.cancel()
    server.wait_until(lambda: server.open_connections == 0)


class Broken:
    """A window whose text field fails."""

    def __init__(self) -> None:
        self.indicator: list[bool] = []

    def show_typing_indicator(self, visible: bool) -> None:
        """Keep it."""
        self.indicator.append(visible)

    def append_text(self, text: str) -> None:
        """Fail."""
        raise KeyError(text)

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def test_a_window_that_breaks_on_a_thread(server: ProviderServer, client: Client) -> None:
    """Its exception comes out of that thread; indicator, stream and connection are given up."""
    server.reply(*chat_answer("one", "two")[:3], Stall())
    window = Broken()
    with ThreadPoolExecutor(1) as pool, pytest.raises(KeyError):
        pool.submit(drive_ui, ask(client), window).result(timeout=5)  # type: ignore[arg-type]  # it has all methods

    assert [True, False] == window.indicator
    server.wait_until(lambda: server.open_connections == 0)


@pytest.mark.parametrize("way", ["cut", "error", "stall"])
def test_one_outcome_for_all_that_is_made_of_a_stream(way: str) -> None:
    """The same error object with the same part, at every level."""
    with Feed() as feed:
        source = feed.stream(ctx := Context())
        levels = [source]
        levels.append(with_progress(levels[-1], 3, queue.Queue()))
        levels.append(tee(levels[-1], 1)[0])
        levels.append(smooth(levels[-1], 0.001, by="line", max_delay=0.01))
        feed.give(text("one\ntwo", 0))
        if way == "stall":
            levels[-1].ch.get(timeout=5)
            ctx.cancel()
        else:
            feed.fail(StreamTruncated("cut") if way == "cut" else RuntimeError("a bug"))
        errors = [level.err.get(timeout=5) for level in levels]

    assert {type(errors[0])} == {type(error) for error in errors}
    assert ["one\ntwo"] * 4 == [error.partial.text for error in errors if error is not None and error.partial]


# -- processes


STACK = """
    import sys, threading
    from streamkit import Client, RetryPolicy, smooth, stream_with_retry, tee, with_progress
    from streamkit.providers import OpenAI

    client = Client(OpenAI("sk-test", base_url=sys.argv[1]))
    stream = with_progress(stream_with_retry(client.chat("gpt-4o").user("Hello")), 9, lambda fraction: None)
    shown, kept = tee(smooth(stream, 0.001, by="word", max_delay=0.01))
"""


def test_an_interpreter_that_ends_in_the_middle(server: ProviderServer) -> None:
    """Nothing holds it up, and nothing is printed."""
    server.reply(*chat_answer("one ", "two ")[:4], Stall())
    with took(10.0):
        ended = run_python(STACK + "    print(shown.ch.get().content)\n", server.base_url)

    assert (0, "") == (ended.returncode, ended.stderr)
    assert ended.stdout.startswith("one")


def test_ctrl_c_in_the_middle(server: ProviderServer) -> None:
    """The reader of the last of all is free at once."""
    server.reply(*chat_answer("one ", "two ")[:4], Stall())
    program = """
    try:
        for chunk in shown.ch:
            print(chunk.content, flush=True)
    except KeyboardInterrupt:
        shown.cancel(), kept.cancel()
        print(type(stream.err.get()).__name__, repr(kept.partial.text))
    """
    with took(10.0):
        ended = run_python(
            STACK + program, server.base_url, while_running=lambda process: process.send_signal(signal.SIGINT)
        )

    assert (0, "") == (ended.returncode, ended.stderr)
    assert ended.stdout.endswith("Cancelled 'one two '\n")


def test_a_fork_in_the_middle(server: ProviderServer) -> None:
    """The child's copies say that they have ended, and do not end the parent's."""
    server.reply(chat_answer("one ", "two "))
    program = """
    import os, warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # since 3.12 for every fork beside threads
    first = shown.ch.get()
    child = os.fork()
    if child == 0:
        list(shown.ch), list(kept.ch)
        os._exit(0 if all(made.final.get() or made.err.get() for made in (stream, shown, kept)) else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(repr(first.content + "".join(shown.text())), repr(kept.result().text))
    """
    ended = run_python(STACK + program, server.base_url)

    assert ("0\n'one two ' 'one two '\n", "") == (ended.stdout, ended.stderr)
