# ruff: noqa: T201  # programs that print are what is shown here
"""Small programs, as the guides to streaming have them: what each prints, in which order, and what it may rely on."""

from __future__ import annotations

import itertools
import json
import logging
import queue
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from streamkit import (
    Cancelled,
    Channel,
    ChatBuilder,
    ChatResponse,
    Client,
    Context,
    DeadlineExceeded,
    RetryPolicy,
    StreamHandler,
    StreamKitError,
    StreamProgress,
    StreamState,
    StreamTruncated,
    collect,
    drive_ui,
    smooth,
    sse_events,
    sse_headers,
    stream_parallel,
    stream_to_multiple,
    stream_with_handler,
    stream_with_retry,
    summarize_with_progress,
)
from streamkit.providers import Anthropic, OpenAI
from streamkit.testing import (
    Close,
    Gate,
    ProviderServer,
    ReceivedRequest,
    Script,
    Stall,
    Wait,
    anthropic_answer,
    chat_answer,
    error_answer,
)
from tests.echoing import EchoServer
from tests.loopback import KEY, client_of, took

WORDS = [f"word{number} " for number in range(25)]


@pytest.fixture
def chat(client: Client) -> ChatBuilder:
    """A question to it."""
    return client.chat("gpt-4o").user("Tell me a story")


def said(request: ReceivedRequest) -> list[tuple[str, str]]:
    """Who said what in a request."""
    return [(message["role"], message["content"]) for message in request.json()["messages"]]


# -- making a client, and asking


def test_a_client_with_its_retry_policy(server: ProviderServer) -> None:
    """The five fields; a busy provider is asked again, and what was built is sent in the order of its building."""
    policy = RetryPolicy(
        max_retries=3, initial_interval=0, max_interval=30.0, backoff_multiplier=2.0, retry_on=[429, 500, 503]
    )
    for status in (429, 500, 503):
        server.reply(error_answer(status))
    server.reply(chat_answer("Hello"))
    with Client(OpenAI(KEY, base_url=server.base_url), retry_policy=policy) as client:
        chat = client.chat("gpt-4o").system("Be concise.").user("Hi").temperature(0.7).max_tokens(200)
        response = chat.get_response()
    sent = server.requests[-1].json()
    limit = sent.get("max_completion_tokens", sent.get("max_tokens"))

    assert ("Hello", 4) == (response.text, len(server.requests))
    assert [("system", "Be concise."), ("user", "Hi")] == said(server.requests[-1])
    assert ("gpt-4o", 0.7, 200, True) == (sent["model"], sent["temperature"], limit, sent["stream"])


def test_a_status_that_is_not_listed_is_not_asked_again(server: ProviderServer) -> None:
    """The list is the user's."""
    server.reply(error_answer(502))
    policy = RetryPolicy(initial_interval=0, retry_on=[429, 500, 503])
    with client_of(server, retry_policy=policy) as client, pytest.raises(StreamKitError):
        client.chat("gpt-4o").user("Hi").get_stream()

    assert 1 == len(server.requests)


# -- three channels


def test_tokens_as_they_arrive_then_the_error_then_the_usage(
    server: ProviderServer, chat: ChatBuilder, capsys: pytest.CaptureFixture[str]
) -> None:
    """One chunk an event, printed before the next is sent; no error; a final with the counts."""
    gate = Gate()
    whole = chat_answer("Errors ", "are values.")
    server.reply(*whole[:3], Wait(gate), *whole[3:])

    stream = chat.get_stream()
    for chunk in stream.ch:
        print(chunk.content, end="", flush=True)
        if chunk.content == "Errors ":
            assert capsys.readouterr().out == "Errors "
            gate.set()
    print()
    if (err := stream.err.get()) is not None:
        raise err
    usage = stream.final.get().usage
    print(f"\n[Tokens: {usage.prompt_tokens} prompt, {usage.completion_tokens} completion, {usage.total_tokens} total]")

    assert "are values.\n\n[Tokens: 5 prompt, 2 completion, 7 total]\n" == capsys.readouterr().out
    assert (None, 7) == (stream.err.get(), stream.final.get().usage.total_tokens)  # as often as one likes
    assert stream.stats.ttft is not None


def test_each_chunk_has_content_type_and_index(server: ProviderServer, chat: ChatBuilder) -> None:
    """The index counts from 0, without gaps, over all types."""
    server.reply(chat_answer("a", "b", thinking="hm"))
    chunks = [(chunk.index, chunk.type, chunk.content) for chunk in chat.get_stream().ch]

    assert [(0, "thinking", "hm"), (1, "text", "a"), (2, "text", "b"), (3, "step_finish", "")] == chunks


def test_the_error_is_waited_for_and_has_what_had_arrived(server: ProviderServer, chat: ChatBuilder) -> None:
    """Without reading `ch` first, too; the final is None then, and nothing hangs."""
    server.reply(*chat_answer("one", "two")[:3], Close())
    stream = chat.get_stream()
    err = stream.err.get()

    assert isinstance(err, StreamTruncated)
    assert ("one", None) == (err.partial.text, stream.final.get())
    assert ["one"] == [chunk.content for chunk in stream.ch]


def test_what_fails_before_the_answer_is_raised_by_get_stream(server: ProviderServer, chat: ChatBuilder) -> None:
    """Set-up and streaming are two places."""
    server.reply(error_answer(401, "no such key"))
    with pytest.raises(StreamKitError, match="no such key"):
        chat.get_stream()


# -- cancelling


def test_a_timeout_ends_the_stream(server: ProviderServer, chat: ChatBuilder) -> None:
    """It is told apart from a cancel, and keeps what had come."""
    server.reply(*chat_answer("one", "two")[:3], Stall())
    with Context(timeout=0.2) as ctx, took(2.0):
        stream = chat.get_stream(ctx)
        texts = [chunk.content for chunk in stream.ch]
        err = stream.err.get()

    assert isinstance(err, DeadlineExceeded)
    assert not isinstance(err, Cancelled)
    assert (["one"], "one") == (texts, err.partial.text)


def test_a_users_wish_stops_the_stream(
    server: ProviderServer, chat: ChatBuilder, capsys: pytest.CaptureFixture[str]
) -> None:
    """From another thread, while the provider is silent; the program can say which of the two it was."""
    server.reply(*chat_answer("one", "two")[:3], Stall())
    user_cancel: queue.Queue[None] = queue.Queue()
    ctx = Context()
    waiting = threading.Thread(target=lambda: (user_cancel.get(), ctx.cancel()))
    waiting.start()

    with took(2.0):
        stream = chat.get_stream(ctx)
        for chunk in stream.ch:
            print(chunk.content, end="")
            user_cancel.put(None)
        if (err := stream.err.get()) is not None:
            print("\n[Cancelled by user]" if isinstance(ctx.error(), Cancelled) else f"Streaming error: {err}")
    waiting.join()

    assert "one\n[Cancelled by user]\n" == capsys.readouterr().out
    server.wait_until(lambda: server.open_connections == 0)


# -- handlers


class Calls(StreamHandler):
    """Keeps the calls in their order."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def on_token(self, token: str) -> None:
        """Keep it."""
        self.calls.append(("token", token))

    def on_progress(self, progress: StreamProgress) -> None:
        """Keep its counts."""
        self.calls.append(("progress", progress.tokens_received, progress.chars_received, progress.is_complete))

    def on_complete(self, response: ChatResponse) -> None:
        """Keep the usage."""
        self.calls.append(("complete", response.usage.total_tokens))

    def on_error(self, error: StreamKitError) -> None:
        """Keep class and message."""
        self.calls.append(("error", type(error).__name__, str(error)))


def test_a_handler_is_told_in_order(server: ProviderServer, chat: ChatBuilder) -> None:
    """Each token; after every tenth how far it is; the last progress, which is complete; then the response."""
    server.reply(chat_answer(*WORDS))
    handler = Calls()
    stream_with_handler(chat, handler)
    length = [len("".join(WORDS[:n])) for n in range(26)]

    assert [
        *[("token", word) for word in WORDS[:10]],
        ("progress", 10, length[10], False),
        *[("token", word) for word in WORDS[10:20]],
        ("progress", 20, length[20], False),
        *[("token", word) for word in WORDS[20:]],
        ("progress", 25, length[25], True),
        ("complete", 30),
    ] == handler.calls


def test_a_handler_is_told_of_errors(server: ProviderServer, chat: ChatBuilder) -> None:
    """Of one before the answer, and of one in it; each is raised, too."""
    server.reply(error_answer(401, "no such key"))
    server.reply(*chat_answer("one", "two")[:3], Close())
    handler = Calls()
    raised = []
    for _ in range(2):
        with pytest.raises(StreamKitError) as caught:
            stream_with_handler(chat, handler)
        raised.append(caught.value)

    assert [
        ("error", "Unauthorized", f"starting stream: {raised[0]}"),
        ("token", "one"),
        ("error", "StreamTruncated", str(raised[1])),
    ] == handler.calls


# -- parallel


def test_one_client_for_many_threads() -> None:
    """Each writes its own result; all are whole."""
    prompts = ["Explain Go channels", "Explain Go goroutines", "Explain Go mutexes"]
    results = [""] * len(prompts)
    with EchoServer(pieces=50) as server, server.client() as client:

        def explain(index: int, prompt: str) -> None:
            chat = client.chat("gpt-4o").system("Be concise.").user(prompt).max_tokens(200)
            results[index] = "".join(chunk.content for chunk in chat.get_stream().ch)

        threads = [threading.Thread(target=explain, args=each) for each in enumerate(prompts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert ["".join(f"{prompt}:{n} " for n in range(50)) for prompt in prompts] == results


def test_the_results_of_all_beside_the_first_error() -> None:
    """In prompt order, whatever finished first; what a failed one had said is there."""
    with EchoServer() as server, server.client() as client:
        template = client.chat("gpt-4o").system("Be concise.").max_tokens(200)
        run = stream_parallel(template, ["one", "cut two", "fail three", "four"])
        results, err = run.texts(), run.err()
        asked = {said(request)[0] for request in server.requests}

    assert ["one:0 one:1 one:2 one:3 ", "cut two:0 cut two:1 ", "", "four:0 four:1 four:2 four:3 "] == results
    assert isinstance(err, StreamTruncated)
    assert {("system", "Be concise.")} == asked


# -- events for a browser


class Relay(BaseHTTPRequestHandler):
    """The server's side: `GET /stream?prompt=...`."""

    client: Client

    def do_GET(self) -> None:
        """Stream one answer."""
        prompt = parse_qs(urlsplit(self.path).query).get("prompt", ["Tell me a story"])[0]
        self.send_response(200)
        for header in sse_headers("*"):
            self.send_header(*header)
        self.end_headers()
        events = sse_events(self.client.chat("gpt-4o").user(prompt), keep_alive=0.02)
        try:
            for frame in events:
                self.wfile.write(frame)
                self.wfile.flush()
        except OSError:  # the browser has gone
            pass
        finally:
            events.close()  # type: ignore[attr-defined]  # it is a generator

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def relay(client: Client) -> Iterator[str]:
    """The address of a server that streams answers on to browsers."""
    web = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Relay,), {"client": client}))
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{web.server_port}/stream"
    web.shutdown()
    thread.join()
    web.server_close()


def frames(body: str) -> list[Any]:
    """The data of the events, comments left out."""
    return [json.loads(frame[6:]) for frame in body.split("\n\n") if frame.startswith("data: ")]


def test_a_browser_is_told_tokens_then_done(server: ProviderServer, relay: str) -> None:
    """Each event is one `data:` line and a blank one, what is empty is left out; the headers are an event stream's."""
    server.reply(chat_answer("Once", ' upon\n"a" time'))
    answer = requests.get(relay, timeout=5)

    assert (
        'data: {"type":"token","content":"Once"}\n\n'
        'data: {"type":"token","content":" upon\\n\\"a\\" time"}\n\n'
        'data: {"type":"done","done":true,'
        '"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}\n\n'
    ) == answer.text
    assert {
        "Content-Type": "text/event-stream",
        "Cache-Control": "no-cache",
        "Access-Control-Allow-Origin": "*",
    }.items() <= dict(answer.headers).items()
    assert [("user", "Tell me a story")] == said(server.requests[0])


@pytest.mark.parametrize(
    ("script", "tokens"), [((error_answer(500, "down"),), []), ((*chat_answer("one", "two")[:3], Close()), ["one"])]
)
def test_a_browser_is_told_of_errors(
    server: ProviderServer, relay: str, script: tuple[Script, ...], tokens: list[str]
) -> None:
    """As the last event, whether the answer could not be opened or was cut; there is no "done"."""
    server.reply(*script)
    *before, last = frames(requests.get(relay, params={"prompt": "Hi"}, timeout=5).text)

    assert [{"type": "token", "content": token} for token in tokens] == before
    assert ["type", "content"] == list(last)
    assert ("error", True) == (last["type"], len(last["content"]) > 10)
    assert [("user", "Hi")] == said(server.requests[0])


def test_a_browser_that_goes_ends_the_answer(server: ProviderServer, relay: str) -> None:
    """The provider is let go of, though it says nothing more."""
    server.reply(*chat_answer("one", "two")[:3], Stall())
    with requests.get(relay, stream=True, timeout=5) as answer:
        assert next(answer.iter_lines()) == b'data: {"type":"token","content":"one"}'

    server.wait_until(lambda: server.open_connections == 0)


# -- thinking


def test_claude_thinks_first(capsys: pytest.CaptureFixture[str]) -> None:
    """The first chunk of type "text" is where the thinking ends; the budget is sent."""
    with ProviderServer() as server:
        server.reply(anthropic_answer("Because", " so.", thinking="Let me see."))
        with Client(Anthropic(KEY, base_url=server.url)) as claude:
            stream = (
                claude.chat("claude-sonnet-4-20250514")
                .system("You are a helpful assistant.")
                .user("Why?")
                .extended_thinking(True)
                .thinking_budget(5000)
                .get_stream()
            )
            print("=== Thinking ===")
            in_thinking = True
            for chunk in stream.ch:
                if in_thinking and chunk.type == "text":
                    print("\n\n=== Response ===")
                    in_thinking = False
                print(chunk.content, end="")
            assert stream.err.get() is None
        sent = server.requests[0].json()

    assert "=== Thinking ===\nLet me see.\n\n=== Response ===\nBecause so." == capsys.readouterr().out
    assert ("claude-sonnet-4-20250514", {"type": "enabled", "budget_tokens": 5000}) == (sent["model"], sent["thinking"])


# -- patterns


def test_a_buffer_keeps_the_part(server: ProviderServer, chat: ChatBuilder) -> None:
    """The whole text, or the error with what there was of it."""
    server.reply(chat_answer(*WORDS))
    server.reply(*chat_answer(*WORDS)[:12], Close())

    assert "".join(WORDS) == collect(chat.get_stream()).text
    with pytest.raises(StreamTruncated) as caught:
        collect(chat.get_stream())
    assert "".join(WORDS[:10]) == caught.value.partial.text


def test_a_rate_limit_bundles_text(server: ProviderServer, chat: ChatBuilder) -> None:
    """One piece an interval with all that has come; what waits for its time is not lost by a cancel, which is told."""
    gate = Gate()
    whole = chat_answer("a", "b", "c", "d", "e")
    server.reply(*whole[:3], Wait(gate), *whole[3:6], Stall())
    ctx = Context()
    stream = smooth(chat.get_stream(ctx), 0.05)
    times, pieces = [], []
    for chunk in stream.ch:
        times.append(time.monotonic())
        pieces.append(chunk.content)
        gate.set()
        if "".join(pieces) == "abcd":
            ctx.cancel()

    assert "abcd" == "".join(pieces)
    assert all(later - earlier > 0.03 for earlier, later in itertools.pairwise(times))
    assert isinstance(stream.err.get(), Cancelled)


def test_a_cut_answer_goes_on(server: ProviderServer, client: Client) -> None:
    """What had come and what comes are one text; the wish to go on is told in these words, after all that was asked."""
    server.reply(*chat_answer("The quick ", "brown ")[:4], Close())
    server.reply(chat_answer("fox ", "jumps."))
    chat = client.chat("gpt-4o").system("Be brief.").user("Tell me of the fox.")
    stream = stream_with_retry(chat, max_retries=3, retry_policy=RetryPolicy(initial_interval=0))
    text = "".join(stream.text())
    prompt = (
        "Continue from where you left off. You were writing:\n---\nThe quick brown \n---\n"
        "Continue immediately without repeating."
    )

    assert "The quick brown fox jumps." == text == stream.result().text
    assert [
        ("system", "Be brief."),
        ("user", "Tell me of the fox."),
        ("assistant", "The quick brown "),
        ("user", prompt),
    ] == said(server.requests[1])


def test_an_answer_that_does_not_go_on_keeps_what_there_is(server: ProviderServer, chat: ChatBuilder) -> None:
    """The last error is told, and there is a state for later; three retries are four requests."""
    server.reply(*chat_answer("The quick ", "brown ")[:4], Close())
    server.reply(error_answer(500, "down"), times=None)
    stream = stream_with_retry(chat, max_retries=3, retry_policy=RetryPolicy(initial_interval=0))
    err = stream.err.get()

    assert str(err).startswith("max retries exceeded: ")
    assert "down" in str(err)
    assert "The quick brown " == err.partial.text == StreamState.of(err).partial_content == err.state.partial_content
    assert 2 == err.state.token_count
    assert 4 == len(server.requests)


def test_many_destinations(
    server: ProviderServer, chat: ChatBuilder, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Console, log and buffer, each on a thread of its own, have the same tokens in order, and come to an end."""
    logger = logging.getLogger("page")
    caplog.set_level(logging.INFO, "page")
    server.reply(chat_answer(*WORDS))
    console, log, buffer = Channel[str](), Channel[str](), Channel[str]()
    kept: list[str] = []

    def show() -> None:
        for token in console:
            print(token, end="")

    def write_down() -> None:
        for token in log:
            logger.info("token", extra={"content": token})

    stream = chat.get_stream()
    stream_to_multiple(stream, console, log, buffer)
    threads = [threading.Thread(target=target) for target in (show, write_down, lambda: kept.extend(buffer))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)

    assert "".join(WORDS) == capsys.readouterr().out
    assert WORDS == [record.content for record in caplog.records if record.name == "page"]  # type: ignore[attr-defined]
    assert WORDS == kept
    assert (None, 30) == (stream.err.get(), stream.result().usage.total_tokens)


def test_a_cancel_closes_all_destinations(server: ProviderServer, chat: ChatBuilder) -> None:
    """So that nobody waits for ever, whoever reads how slowly; the error is on the stream."""
    server.reply(*chat_answer("one", "two")[:3], Stall())
    ctx = Context()
    destinations = [Channel[str](), Channel[str](1)]
    stream = chat.get_stream()
    stream_to_multiple(stream, *destinations, ctx=ctx)
    assert [destination.get(timeout=5) for destination in destinations] == ["one", "one"]
    ctx.cancel()
    with took(1.0):
        assert [[], []] == [list(destination) for destination in destinations]
    assert isinstance(stream.err.get(), Cancelled)


class Window:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def show_typing_indicator(self, visible: bool) -> None:
        """Keep it."""
        self.told.append(visible)

    def start_new_message(self) -> None:
        """Keep that there is one."""
        self.told.append("new")

    def append_text(self, text: str) -> None:
        """Keep it."""
        self.told.append(text)

    def show_error(self, error: StreamKitError) -> str:
        """Keep its class; give something."""
        self.told.append(type(error).__name__)
        return "shown"

    def show_token_count(self, total_tokens: int) -> None:
        """Keep it."""
        self.told.append(total_tokens)


@pytest.mark.parametrize(
    ("script", "told", "result"),
    [
        ((chat_answer("one", "two"),), [True, "new", "one", "two", 7, False], "onetwo"),
        ((error_answer(401),), [True, "Unauthorized", False], "shown"),
        ((*chat_answer("one", "two")[:3], Close()), [True, "new", "one", "StreamTruncated", False], "shown"),
    ],
)
def test_a_chat_window(
    server: ProviderServer, chat: ChatBuilder, script: tuple[Script, ...], told: list[Any], result: str
) -> None:
    """The order of its calls; the indicator goes off however it ends; what `show_error` gives is the result."""
    server.reply(*script)
    window = Window()
    given = drive_ui(chat, window)

    assert told == window.told
    assert result == (given.text if isinstance(given, ChatResponse) else given)


@pytest.mark.parametrize(("characters", "chunks"), [(200, 5), (200, 30), (0, 2)])
def test_a_summary_with_progress(server: ProviderServer, client: Client, characters: int, chunks: int) -> None:
    """It never falls, stays below 0.95 until the end, and ends with 1.0; an empty document divides by nothing."""
    server.reply(chat_answer(*["x"] * chunks))
    fractions: list[float] = []
    text = summarize_with_progress(client, "d" * characters, fractions.append)
    *before, last = fractions
    expected = max(1, characters // 20)

    assert ("x" * chunks, 1.0) == (text, last)
    assert sorted({min(n / expected, 0.95) for n in range(1, chunks + 1)}) == pytest.approx(before)
    assert [("system", "Summarize the following document concisely."), ("user", "d" * characters)] == said(
        server.requests[0]
    )


def test_a_summary_that_fails(server: ProviderServer, client: Client) -> None:
    """It is raised with what there is, the progress is not complete; one that nobody reads holds nothing up."""
    server.reply(*chat_answer(*WORDS)[:12], Close())
    progress: queue.Queue[float] = queue.Queue(1)
    with pytest.raises(StreamTruncated) as caught:
        summarize_with_progress(client, "d" * 400, progress)

    assert "".join(WORDS[:10]) == caught.value.partial.text
    assert [0.5] == list(progress.queue)
