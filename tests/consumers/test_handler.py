"""Handlers: what is told, in which order, how often, and what becomes of the stream when a handler fails."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streamkit import (
    Cancelled,
    ChatResponse,
    ChatStream,
    Client,
    ConfigError,
    Context,
    DeadlineExceeded,
    RateLimited,
    ResponseInfoFields,
    StreamHandler,
    StreamKitError,
    StreamProgress,
    StreamTruncated,
    TextChunk,
    ThinkingChunk,
    Usage,
    stream_text,
    stream_with_handler,
)
from streamkit.consumers.handler import prefixed
from streamkit.testing import Close, ProviderServer, Stall, chat_answer, error_answer
from streamkit.types.chunks import StepFinishChunk
from tests.loopback import ask, run_python

TEXT = ["one ", "two ", "three"]


class Recorder(StreamHandler):
    """Keeps its calls; does something at the first call of one of them."""

    def __init__(self, at: str = "", do: Callable[[], object] = lambda: None) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.threads: set[int] = set()
        self._at, self._do = at, do

    def names(self) -> list[str]:
        """The methods that were called."""
        return [name for name, _ in self.calls]

    def first(self, name: str) -> Any:
        """What a method was given first."""
        return next(value for called, value in self.calls if called == name)

    def _note(self, name: str, value: Any) -> None:
        self.calls.append((name, value))
        self.threads.add(threading.get_ident())
        if name == self._at and self.names().count(name) == 1:
            self._do()

    def on_token(self, token: str) -> None:
        """Note it."""
        self._note("on_token", token)

    def on_thinking(self, token: str) -> None:
        """Note it."""
        self._note("on_thinking", token)

    def on_progress(self, progress: StreamProgress) -> None:
        """Note it."""
        self._note("on_progress", progress)

    def on_complete(self, response: ChatResponse) -> None:
        """Note it."""
        self._note("on_complete", response)

    def on_error(self, error: StreamKitError) -> None:
        """Note it."""
        self._note("on_error", error)


class HandlerFailed(Exception):
    """What a handler of these tests raises."""


def fail() -> None:
    """Raise as a handler with a bug does."""
    raise HandlerFailed


def texts(*contents: str) -> list[TextChunk]:
    """Chunks of text."""
    return [TextChunk(content=content, index=index) for index, content in enumerate(contents)]


# -- the order of calls


def test_all_is_told_in_order(server: ProviderServer, client: Client) -> None:
    """Thinking, tokens, a progress after every so many, one that is complete, and the response, which is returned."""
    server.reply(chat_answer(*TEXT, thinking="Hm."))
    handler = Recorder()
    response = stream_with_handler(ask(client), handler, every=2)
    progress = [value for name, value in handler.calls if name == "on_progress"]
    expected = ["on_thinking", "on_token", "on_token", "on_progress", "on_token", "on_progress", "on_complete"]

    assert expected == handler.names()
    assert ["Hm.", "one ", "two ", "three"] == [v for n, v in handler.calls if n in ("on_thinking", "on_token")]
    assert [(2, 8, False), (3, 13, True)] == [
        (each.tokens_received, each.chars_received, each.is_complete) for each in progress
    ]
    assert 0 <= progress[0].elapsed <= progress[1].elapsed
    assert progress[0].elapsed == progress[0].elapsed_time
    assert [None, None] == [each.error for each in progress]
    assert response is handler.calls[-1][1]
    assert ("one two three", True, 8) == (response.text, response.complete, response.usage.total_tokens)


def test_every_tenth_token_by_default() -> None:
    """And the last progress comes whether or not one came just before."""
    handler = Recorder()
    stream_with_handler(texts(*"x" * 20), handler)
    counts = [(value.tokens_received, value.is_complete) for name, value in handler.calls if name == "on_progress"]

    assert [(10, False), (20, False), (20, True)] == counts


def test_it_is_called_on_the_callers_thread() -> None:
    """On no other."""
    handler = Recorder()
    stream_with_handler(texts("a", "b"), handler)

    assert {threading.get_ident()} == handler.threads


def test_characters_are_counted_and_not_bytes() -> None:
    """What `len` gives."""
    handler = Recorder()
    stream_with_handler(texts("h\u00e9", "\U0001f469"), handler)

    assert 3 == handler.first("on_progress").chars_received


def test_empty_pieces_and_other_chunks_are_not_told() -> None:
    """A handler is called for what is to be shown."""
    handler = Recorder()
    finish = StepFinishChunk(
        index=3, step=1, finish_reason="stop", usage=Usage(), response=ResponseInfoFields(), metadata={"text": "b"}
    )
    chunks = [*texts("", "a"), ThinkingChunk(content="", index=2), finish]
    response = stream_with_handler(chunks, handler)

    assert ["on_token", "on_progress", "on_complete"] == handler.names()
    assert "a" == response.text


SOURCES: dict[str, Callable[[Client], Any]] = {
    "builder": ask,
    "stream": lambda client: ask(client).get_stream(),
    "text stream": lambda client: stream_text(client.model("gpt-4o"), prompt="Hello"),
    "chunks": lambda client: ask(client).get_stream().ch,
    "generator": lambda client: (chunk for chunk in ask(client).get_stream()),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_any_stream_will_do(server: ProviderServer, client: Client, source: Callable[[Client], Any]) -> None:
    """A builder, an open stream, a text stream, and chunks from wherever."""
    server.reply(chat_answer(*TEXT))
    handler = Recorder()
    response = stream_with_handler(source(client), handler)

    assert "one two three" == response.text
    assert ["on_token"] * 3 + ["on_progress", "on_complete"] == handler.names()


def test_any_object_with_the_methods_will_do() -> None:
    """A handler need not be derived from anything."""

    class Own:
        def __getattr__(self, name: str) -> Any:
            return lambda value: called.append(name)

    called: list[str] = []
    stream_with_handler(texts("a"), Own())

    assert ["on_token", "on_progress", "on_complete"] == called


def test_a_handler_does_nothing_by_itself() -> None:
    """The base class takes everything and keeps nothing."""
    assert "ab" == stream_with_handler([*texts("a", "b"), ThinkingChunk(content="c", index=2)], StreamHandler()).text


# -- what is refused


def test_what_is_no_handler_is_refused_before_anything_is_asked(client: Client) -> None:
    """The methods it lacks are named, rather than missed in the middle of an answer."""

    class Old:
        def on_token(self, token: str) -> None: ...
        def on_progress(self, progress: StreamProgress) -> None: ...
        def on_complete(self, response: ChatResponse) -> None: ...

    with pytest.raises(ConfigError, match=r"Old is no handler, as it has no on_thinking, on_error: derive it"):
        stream_with_handler(ask(client), Old())  # type: ignore[arg-type]  # is what is tested


@pytest.mark.parametrize("every", [0, -1])
def test_a_progress_after_no_token_is_refused(every: int) -> None:
    """It would be told without end."""
    with pytest.raises(ConfigError, match="1 or more"):
        stream_with_handler(texts("a"), StreamHandler(), every=every)


def test_what_is_no_stream_is_refused() -> None:
    """A text, say."""
    with pytest.raises(ConfigError, match="is no stream"):
        stream_with_handler("Hello", StreamHandler())  # type: ignore[arg-type]  # is what is tested


# -- failures


def test_a_failed_opening_is_told_and_the_original_is_raised(server: ProviderServer, client: Client) -> None:
    """`on_error` alone is called, with an error of the same class and facts that says what was being done."""
    server.reply(error_answer(429, "slow down", headers={"retry-after": "7"}))
    handler = Recorder()
    with pytest.raises(RateLimited) as raised:
        stream_with_handler(ask(client), handler)
    told = handler.first("on_error")

    assert ["on_error"] == handler.names()
    assert RateLimited is type(told)
    assert f"starting stream: {raised.value}" == str(told)
    assert (429, 7.0, 1) == (told.status, told.retry_after, told.attempts)
    assert told.__cause__ is raised.value
    assert not str(raised.value).startswith("starting")


def test_a_cut_answer_is_told_and_raised(server: ProviderServer, client: Client) -> None:
    """What had come was told before, and is in the error; there is no complete progress and no `on_complete`."""
    server.reply(chat_answer(*TEXT)[:4], Close())
    handler = Recorder()
    with pytest.raises(StreamTruncated) as raised:
        stream_with_handler(ask(client), handler, every=1)

    assert ["on_token", "on_progress", "on_token", "on_progress", "on_error"] == handler.names()
    assert handler.calls[-1][1] is raised.value
    assert raised.value.partial is not None
    assert "one two " == raised.value.partial.text


@pytest.mark.parametrize("method", ["on_token", "on_thinking", "on_progress"])
def test_what_a_handler_raises_ends_the_stream(server: ProviderServer, client: Client, method: str) -> None:
    """It propagates as it is, the stream is cancelled at once, and the handler is not called again."""
    server.reply(chat_answer("one", "two", thinking="Hm.")[:4], Stall())
    stream = ask(client).get_stream()
    handler = Recorder(method, fail)
    with pytest.raises(HandlerFailed):
        stream_with_handler(stream, handler, every=1)

    assert method == handler.names()[-1]
    assert isinstance(stream.err.get(timeout=2), Cancelled)
    server.wait_until(lambda: server.open_connections == 0)


def test_what_on_complete_raises_propagates(server: ProviderServer, client: Client) -> None:
    """The stream has ended by then, and stays complete."""
    server.reply(chat_answer(*TEXT))
    stream = ask(client).get_stream()
    handler = Recorder("on_complete", fail)
    with pytest.raises(HandlerFailed):
        stream_with_handler(stream, handler)

    assert "on_complete" == handler.names()[-1]
    assert stream.err.get() is None


@pytest.mark.parametrize("opens", [True, False])
def test_what_on_error_raises_has_the_error_for_its_context(
    server: ProviderServer, client: Client, opens: bool
) -> None:
    """So that neither is lost, before the stream was open and after."""
    server.reply(chat_answer("one")[:3] if opens else error_answer(429))
    handler = Recorder("on_error", fail)
    with pytest.raises(HandlerFailed) as raised:
        stream_with_handler(ask(client), handler)

    assert 1 == handler.names().count("on_error")
    assert isinstance(raised.value.__context__, StreamTruncated if opens else RateLimited)


def test_an_error_of_our_tree_from_a_handler_is_none_of_the_stream() -> None:
    """A handler that streams itself may raise such a one: `on_error` is not told."""

    def refuse() -> None:
        raise ConfigError("the handler's own")

    handler = Recorder("on_token", refuse)
    with pytest.raises(ConfigError, match="the handler's own"):
        stream_with_handler(texts("a", "b"), handler)

    assert ["on_token"] == handler.names()


# -- control


def test_a_cancelled_context_ends_it_at_once(server: ProviderServer, client: Client) -> None:
    """Also while the provider is silent; the handler is told, and what had come is kept."""
    ctx = Context()
    server.reply(chat_answer("one", "two")[:3], Stall())
    handler = Recorder("on_token", lambda: ctx.cancel("enough"))
    with pytest.raises(Cancelled, match="enough") as raised:
        stream_with_handler(ask(client), handler, ctx=ctx)

    assert ["on_token", "on_error"] == handler.names()
    assert raised.value.partial is not None
    assert "one" == raised.value.partial.text


def test_a_context_ends_a_stream_that_was_open(server: ProviderServer, client: Client) -> None:
    """Though it was opened without one; the error is the context's."""
    ctx = Context()
    server.reply(chat_answer("one", "two")[:3], Stall())
    handler = Recorder("on_token", lambda: ctx.cancel("enough"))
    stream = ask(client).get_stream()
    with pytest.raises(Cancelled, match="enough") as raised:
        stream_with_handler(stream, handler, ctx=ctx)

    assert ["on_token", "on_error"] == handler.names()
    assert raised.value.partial is not None
    assert "one" == raised.value.partial.text
    server.wait_until(lambda: server.open_connections == 0)


def test_a_context_that_has_ended_reads_nothing(server: ProviderServer, client: Client) -> None:
    """Of a stream that was open, not a token is told."""
    ctx = Context()
    ctx.cancel("too late")
    server.reply(chat_answer(*TEXT), times=2)
    handler = Recorder()
    stream = ask(client).get_stream()
    for source in (stream, ask(client)):
        with pytest.raises(Cancelled, match="too late"):
            stream_with_handler(source, handler, ctx=ctx)

    assert ["on_error", "on_error"] == handler.names()


@pytest.mark.parametrize("given", [True, False])
def test_a_cancel_after_the_provider_had_said_all(server: ProviderServer, client: Client, given: bool) -> None:
    """Not all of it is told, so the answer is not told as complete, though it is in `partial`."""
    ctx = Context()
    server.reply(chat_answer(*TEXT))
    stream = ask(client).get_stream(None if given else ctx)
    assert stream.final.get() is not None

    class Opened:
        def get_stream(self, ctx: Context | None = None) -> ChatStream:
            return stream

    handler = Recorder("on_token", ctx.cancel)
    with pytest.raises(Cancelled) as raised:
        stream_with_handler(stream if given else Opened(), handler, ctx=ctx)

    assert ["on_token", "on_error"] == handler.names()[:1] + handler.names()[-1:]
    assert raised.value.partial is not None
    assert "one two three" == raised.value.partial.text


def test_a_context_is_let_go() -> None:
    """One that serves many streams, one after the other, does not remember them."""
    ctx = Context(60)
    for _ in range(3):
        stream_with_handler(texts("a"), StreamHandler(), ctx=ctx)

    assert {} == ctx._watchers


def test_a_deadline_that_had_passed_reads_nothing(server: ProviderServer, client: Client) -> None:
    """Of a stream that was open, and complete at that."""
    server.reply(chat_answer(*TEXT))
    stream = ask(client).get_stream()
    stream.err.get()
    handler = Recorder()
    with pytest.raises(DeadlineExceeded):
        stream_with_handler(stream, handler, ctx=Context(0))

    assert ["on_error"] == handler.names()


def test_a_deadline_after_the_end_takes_nothing_away(server: ProviderServer, client: Client) -> None:
    """What a stream with that deadline had brought in time is told to its end."""
    ctx = Context(0.2)
    server.reply(chat_answer(*TEXT))
    handler = Recorder("on_token", lambda: ctx.wait())
    response = stream_with_handler(ask(client), handler, ctx=ctx)

    assert isinstance(ctx.error(), DeadlineExceeded)
    assert "one two three" == response.text
    assert ["on_token"] * 3 + ["on_progress", "on_complete"] == handler.names()


def test_a_passed_deadline_is_told_as_one(server: ProviderServer, client: Client) -> None:
    """Of a stream that was open, too, which knows of no deadline itself."""
    server.reply(chat_answer("one", "two")[:3], Stall())
    stream = ask(client).get_stream()
    handler = Recorder()
    with pytest.raises(DeadlineExceeded):
        stream_with_handler(stream, handler, ctx=Context(0.05))

    assert isinstance(handler.calls[-1][1], DeadlineExceeded)


def test_a_cancelled_stream_is_told(server: ProviderServer, client: Client) -> None:
    """By whomever."""
    server.reply(chat_answer("one", "two")[:3], Stall())
    stream = ask(client).get_stream()
    handler = Recorder("on_token", lambda: stream.cancel("no more"))
    with pytest.raises(Cancelled, match="no more"):
        stream_with_handler(stream, handler)

    assert ["on_token", "on_error"] == handler.names()


def interrupt() -> None:
    """Do what Ctrl-C does."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("method", ["on_token", "on_progress"])
def test_ctrl_c_is_told_as_a_cancel_and_raised(server: ProviderServer, client: Client, method: str) -> None:
    """So a handler always knows that it is over; the stream is cancelled."""
    server.reply(chat_answer("one", "two")[:3], Stall())
    handler = Recorder(method, interrupt)
    stream = ask(client).get_stream()
    with pytest.raises(KeyboardInterrupt):
        stream_with_handler(stream, handler, every=1)
    told = handler.first("on_error")

    assert 1 == handler.names().count("on_error")
    assert isinstance(told, Cancelled)
    assert told.partial is not None
    assert "one" == told.partial.text
    server.wait_until(lambda: server.open_connections == 0)


STORY = """
import sys
from streamkit import Client, ConsoleHandler, stream_with_handler
from streamkit.providers import OpenAI
with Client(OpenAI("sk-test", base_url=sys.argv[1])) as client:
    stream_with_handler(client.chat("gpt-4o").user("Hello"), ConsoleHandler())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_ctrl_c_while_the_provider_is_silent(server: ProviderServer) -> None:
    """A program that waits for the next token is free at once; the handler says how it ended."""
    server.reply(chat_answer("one\n", "two")[:3], Stall())
    ran = run_python(STORY, server.base_url, while_running=lambda process: process.send_signal(signal.SIGINT))

    assert "one\n\n[Error: cancelled: interrupted]\n" == ran.stdout
    assert ran.stderr.rstrip().endswith("KeyboardInterrupt")
    server.wait_until(lambda: server.open_connections == 0)


def test_ctrl_c_while_it_opens_is_told_too() -> None:
    """Before there is anything."""

    class Slow:
        def get_stream(self, ctx: Context | None = None) -> ChatStream:
            raise KeyboardInterrupt

    handler = Recorder()
    with pytest.raises(KeyboardInterrupt):
        stream_with_handler(Slow(), handler)

    assert ["on_error"] == handler.names()


@pytest.mark.parametrize("method", ["on_complete", "on_error"])
def test_ctrl_c_in_the_last_call_is_told_no_more(method: str) -> None:
    """One of the two is called, once."""
    handler = Recorder(method, interrupt)
    chunks: Any = texts("a") if method == "on_complete" else failing()
    with pytest.raises(KeyboardInterrupt):
        stream_with_handler(chunks, handler)

    assert 1 == handler.names().count("on_complete") + handler.names().count("on_error")


def failing() -> Iterator[TextChunk]:
    """A stream that fails after a chunk."""
    yield from texts("a")
    raise StreamTruncated("cut")


def test_a_prefixed_error_is_of_its_class() -> None:
    """Also of those that Python's own errors are bases of; only the message differs."""
    error = DeadlineExceeded("late", partial=None, attempts=3)
    told = prefixed("starting stream", error)

    assert (DeadlineExceeded, "starting stream: late", "late", 3) == (type(told), str(told), str(error), told.attempts)
    assert error is told.__cause__
