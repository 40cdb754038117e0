"""StreamingClient: what it asks for, what it prints, and what it says without a key."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from streamkit import (
    Cancelled,
    Client,
    ConfigError,
    Context,
    RateLimited,
    StreamHandler,
    StreamingClient,
    StreamTruncated,
)
from streamkit.providers import Anthropic
from streamkit.testing import Close, ProviderServer, Stall, anthropic_answer, chat_answer, error_answer
from tests.loopback import KEY, ONCE, client_of
from tests.screen import Screen, pseudo_terminal


@pytest.fixture(name="streaming")
def fixture_streaming(server: ProviderServer) -> Iterator[StreamingClient]:
    """A streaming client of it."""
    with client_of(server) as client:
        yield StreamingClient(client)


def asked(server: ProviderServer) -> dict[str, Any]:
    """What was asked last."""
    request: dict[str, Any] = server.requests[-1].json()
    return request


def said(request: dict[str, Any]) -> list[tuple[str, Any]]:
    """Who said what in a request."""
    return [(message["role"], message["content"]) for message in request["messages"]]


# -- making one


def test_it_holds_a_client_and_a_model() -> None:
    """Both can be had back; gpt-4o is the model where none is named."""
    with ProviderServer() as server, client_of(server) as client:
        streaming = StreamingClient(client, "gpt-4o-mini")

        assert (client, "gpt-4o-mini") == (streaming.client, streaming.model)
        assert "gpt-4o" == StreamingClient(client).model


def test_without_a_client_it_asks_openai(server: ProviderServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the key and the address of the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    server.reply(chat_answer("Hello"))
    streaming = StreamingClient()
    with streaming.client:
        streaming.stream_with_handler("Hi", StreamHandler())

    assert "openai" == streaming.client.provider.name
    assert f"Bearer {KEY}" == server.requests[0].headers["authorization"]


@pytest.mark.parametrize("key", [None, "", "not a\nkey"])
def test_without_a_key_it_says_what_to_set(key: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error begins with whom it is about; a key that can be none is not shown."""
    if key is not None:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ConfigError, match=r"^openai not configured: .*OPENAI_API_KEY") as raised:
        StreamingClient()

    assert "not a" not in str(raised.value)


# -- the console


def test_the_console_has_the_text_and_the_tokens(
    server: ProviderServer, streaming: StreamingClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer as it came, without thinking, and a line of its tokens; the response is returned."""
    server.reply(chat_answer("Errors ", "are values.", thinking="Hm."))
    response = streaming.stream_to_console("Write.")

    assert ("Errors are values.\n\n[Tokens: 5 prompt, 2 completion, 7 total]\n", "") == capsys.readouterr()
    assert "Errors are values." == response.text


def test_what_the_console_asks(server: ProviderServer, streaming: StreamingClient) -> None:
    """A technical writer, at temperature 0.7, unless it is told otherwise."""
    server.reply(chat_answer("Hello"), times=2)
    streaming.stream_to_console("Write.")
    first = asked(server)
    streaming.stream_to_console("Write.", system="Be a poet.")
    writer = "You are a helpful technical writer. Provide clear, detailed explanations."

    assert [("system", writer), ("user", "Write.")] == said(first)
    assert ("gpt-4o", 0.7) == (first["model"], first["temperature"])
    assert [("system", "Be a poet."), ("user", "Write.")] == said(asked(server))


def test_tokens_that_were_not_told_are_not_made_up(
    server: ProviderServer, streaming: StreamingClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """No zeros."""
    server.reply(chat_answer("Hello", usage=False))
    streaming.stream_to_console("Write.")

    assert "Hello\n\n[Tokens: not reported]\n" == capsys.readouterr().out


def test_a_failed_opening_says_that_it_was_starting(
    server: ProviderServer, streaming: StreamingClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error has its class and its facts, and the original for its cause; nothing was printed."""
    server.reply(error_answer(429))
    with pytest.raises(RateLimited, match=r"^starting stream: ") as raised:
        streaming.stream_to_console("Write.")

    assert 429 == raised.value.status
    assert f"starting stream: {raised.value.__cause__}" == str(raised.value)
    assert "" == capsys.readouterr().out


def test_a_cut_answer_says_that_it_was_streaming(
    server: ProviderServer, streaming: StreamingClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """What had come is printed, with a line feed, and is in the error."""
    server.reply(chat_answer("one", "two")[:3], Close())
    with pytest.raises(StreamTruncated, match=r"^streaming error: ") as raised:
        streaming.stream_to_console("Write.")

    assert isinstance(raised.value.__cause__, StreamTruncated)
    assert raised.value.partial is not None
    assert "one" == raised.value.partial.text
    assert "one\n" == capsys.readouterr().out


def test_a_cancel_of_the_console_is_one(server: ProviderServer, streaming: StreamingClient) -> None:
    """It can be told from other errors by its class."""
    ctx = Context()
    server.reply(chat_answer("one")[:2], Stall())
    canceller = threading.Thread(target=lambda: (server.wait_for_request(), ctx.cancel()))
    canceller.start()
    with pytest.raises(Cancelled):
        streaming.stream_to_console("Write.", ctx=ctx)
    canceller.join()

    server.wait_until(lambda: server.open_connections == 0)


def test_a_cancel_after_the_provider_had_said_all(
    server: ProviderServer, streaming: StreamingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not all of it is printed, so no tokens are: it is a cancel, with the answer in `partial`."""
    ctx = Context()

    class Cancelling(io.StringIO):
        def write(self, text: str) -> int:
            if text == "one":
                server.wait_until(lambda: server.open_connections == 0)
                ctx.cancel()
            return super().write(text)

    server.reply(chat_answer("one", "two")[:-1], Close())
    monkeypatch.setattr(sys, "stdout", file := Cancelling())
    with pytest.raises(Cancelled) as raised:
        streaming.stream_to_console("Write.", ctx=ctx)

    assert "one\n" == file.getvalue()
    assert raised.value.partial is not None
    assert raised.value.partial.text.startswith("one")


def test_a_console_that_fails_ends_the_stream(
    server: ProviderServer, streaming: StreamingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C as it prints, say: the stream is cancelled."""

    class Interrupted:
        def write(self, text: str) -> None:
            raise KeyboardInterrupt

    server.reply(chat_answer("one")[:3], Stall())
    monkeypatch.setattr(sys, "stdout", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        streaming.stream_to_console("Write.")

    server.wait_until(lambda: server.open_connections == 0)


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
def test_a_model_cannot_command_the_terminal(
    server: ProviderServer, streaming: StreamingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control characters are shown as what they are."""
    server.reply(chat_answer("a\x1b[2Jb"))
    with pseudo_terminal() as terminal:
        monkeypatch.setattr(sys, "stdout", terminal.file)
        streaming.stream_to_console("Write.")
        monkeypatch.undo()
        screen = Screen().feed(terminal.output())

    assert ["a\ufffd[2Jb", "", "[Tokens: 5 prompt, 1 completion, 6 total]"] == screen.shown()


# -- the other ways


def test_a_handler_is_told(server: ProviderServer, streaming: StreamingClient) -> None:
    """As by the function of this name; an assistant is asked, at temperature 0.7, unless it is told otherwise."""
    told: list[str] = []

    class Handler(StreamHandler):
        def on_token(self, token: str) -> None:
            told.append(token)

    server.reply(chat_answer("Hel", "lo"), times=2)
    response = streaming.stream_with_handler("Hi", Handler())
    first = asked(server)
    streaming.stream_with_handler("Hi", Handler(), system="Be brief.")

    assert (["Hel", "lo"] * 2, "Hello") == (told, response.text)
    assert [("system", "You are a helpful assistant."), ("user", "Hi")] == said(first)
    assert 0.7 == first["temperature"]
    assert [("system", "Be brief."), ("user", "Hi")] == said(asked(server))


def test_a_handler_is_told_of_a_failure(server: ProviderServer, streaming: StreamingClient) -> None:
    """And the error is raised as it is."""
    told: list[Exception] = []

    class Handler(StreamHandler):
        def on_error(self, error: Exception) -> None:
            told.append(error)

    server.reply(error_answer(429))
    with pytest.raises(RateLimited) as raised:
        streaming.stream_with_handler("Hi", Handler())

    assert [f"starting stream: {raised.value}"] == [str(error) for error in told]


def test_prompts_are_answered_side_by_side(server: ProviderServer, streaming: StreamingClient) -> None:
    """Each has a request of its own, brief and bounded; the texts come in the order of the prompts."""
    pytest.importorskip("streamkit.parallel")
    server.reply(chat_answer("Hello"), times=3)
    run = streaming.stream_parallel(["a", "b", "c"])
    requests = [request.json() for request in server.requests] if run.texts() else []

    assert ["Hello"] * 3 == run.texts()
    assert ["a", "b", "c"] == sorted(said(request)[1][1] for request in requests)
    assert [("Be concise.", 200)] * 3 == [
        (said(each)[0][1], each.get("max_tokens") or each.get("max_completion_tokens")) for each in requests
    ]


def test_the_bounds_of_a_parallel_run_are_passed_on(server: ProviderServer, streaming: StreamingClient) -> None:
    """System text, tokens, and the context that ends it."""
    ctx = Context()
    ctx.cancel()
    run = streaming.stream_parallel(["a"], ctx=ctx)

    assert isinstance(run.err(), Cancelled)

    server.reply(chat_answer("Hello"))
    streaming.stream_parallel(["a"], system="Be wordy.", max_tokens=9, max_workers=1).result()
    request = asked(server)

    assert [("system", "Be wordy."), ("user", "a")] == said(request)
    assert 9 in (request.get("max_tokens"), request.get("max_completion_tokens"))


def test_thinking_comes_first() -> None:
    """The stream is open, with the budget that was asked for; its chunks are thinking, then text."""
    with ProviderServer() as server, Client(Anthropic(KEY, base_url=server.url), retry_policy=ONCE) as client:
        server.reply(anthropic_answer("There are 25.", thinking="Let me count."), times=2)
        streaming = StreamingClient(client, "claude-sonnet-4-20250514")
        with streaming.stream_with_thinking("How many primes are below 100?") as stream:
            kinds = [chunk.type for chunk in stream.ch if chunk.content]
        request = asked(server)
        streaming.stream_with_thinking("How many?", thinking_budget=2000).result()

        assert ["thinking", "text"] == list(dict.fromkeys(kinds))
        assert {"type": "enabled", "budget_tokens": 5000} == request["thinking"]
        assert 2000 == asked(server)["thinking"]["budget_tokens"]
        assert request["max_tokens"] > 5000
