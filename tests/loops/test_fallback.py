"""The next model, where one cannot be asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from streamkit import (
    BadRequest,
    Client,
    ConfigError,
    ConnectionLost,
    Hooks,
    Overloaded,
    RateLimited,
    StreamTruncated,
    stream_text,
)
from streamkit.providers import Anthropic, OpenAI
from streamkit.testing import (
    Close,
    ProviderServer,
    Script,
    Status,
    anthropic_answer,
    chat_answer,
    error_answer,
    error_event,
)
from tests.loopback import ONCE, client_of, delta

BUSY = error_event("busy", code="503")


def asked(server: ProviderServer) -> list[str]:
    """The models that were asked, in order."""
    return [request.json()["model"] for request in server.requests]


@contextmanager
def two(server: ProviderServer, **settings: Any) -> Iterator[Client]:
    """A client with one model to fall back on."""
    with client_of(server) as other, client_of(server, fallback=[other.model("second")], **settings) as client:
        yield client


@pytest.mark.parametrize(
    "failure",
    [
        error_answer(503, "busy"),
        error_answer(429, "slow down"),
        [Close()],
        [Status(), BUSY, Close()],
    ],
)
def test_the_next_is_asked(failure: Script, server: ProviderServer) -> None:
    """Where an answer cannot be opened for a reason that may pass, or fails so before its first chunk."""
    server.reply(*failure)
    server.reply(*chat_answer("Hello"))
    with two(server) as client:
        response = client.chat("first").user("Hi").get_response()

    assert ("Hello", ["first", "second"]) == (response.text, asked(server))


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (error_answer(400, "no"), BadRequest),
        ([Status(), delta("Hel"), Close()], StreamTruncated),
        ([Status(), delta("Hel"), BUSY, Close()], Overloaded),
    ],
)
def test_the_next_is_not_asked(failure: Script, error: type[Exception], server: ProviderServer) -> None:
    """For what will not pass, or once a chunk has come: it would be said twice."""
    server.reply(*failure)
    with two(server) as client, pytest.raises(error):
        client.chat("first").user("Hi").get_response()

    assert ["first"] == asked(server)


def test_the_last_failure_counts(server: ProviderServer) -> None:
    """Where none answers, the error is that of the last; observers are told of each request."""
    told: list[str] = []
    server.reply(*error_answer(503, "busy"))
    server.reply(*error_answer(429, "slow down"))
    with (
        two(server, hooks=Hooks(on_request=lambda info: told.append(info.model))) as client,
        pytest.raises(RateLimited),
    ):
        client.chat("first").user("Hi").get_response()

    assert ["first", "second"] == told


def test_another_provider(server: ProviderServer) -> None:
    """Each model is asked through its own client, in its own words; `stream_text` falls back as well, in each step."""
    server.reply(*error_answer(529, "overloaded"))
    server.reply(*chat_answer("Hello", model="gpt-4o"))
    with (
        client_of(server) as other,
        Client(Anthropic("k", base_url=server.url), retry_policy=ONCE, fallback=[other.model("gpt-4o")]) as client,
    ):
        result = stream_text(client.model("claude"), prompt="Hi").result()

    assert ("Hello", "gpt-4o") == (result.text, result.response.model)
    assert ["/v1/messages", "/v1/chat/completions"] == [request.path for request in server.requests]


def test_usage_is_the_first_clients(server: ProviderServer) -> None:
    """Whose answer it is to the user."""
    server.reply(*error_answer(503, "busy"))
    server.reply(*chat_answer("Hello"))
    with two(server) as client:
        response = client.chat("first").user("Hi").get_response()

        assert 6 == response.usage.total_tokens == client.usage.total_tokens


def test_names_of_models(server: ProviderServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name such as "openai:gpt-4o" is found as everywhere; one that is none is refused at once."""
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with pytest.raises(ConfigError, match="names no provider and model"):
        client_of(server, fallback=["gpt-4o"])
    with client_of(server, fallback=["openai:gpt-4o"]) as client:
        (fallback, name) = client._fallback[0]

        assert ("gpt-4o", OpenAI) == (name, type(fallback.provider))


def test_anthropic_falls_back_on_what_it_cannot_say(server: ProviderServer) -> None:
    """A request that the next provider cannot take is its `ConfigError`."""
    server.reply(*error_answer(503, "busy"))
    server.reply(*anthropic_answer("Hello"))
    with (
        Client(Anthropic("k", base_url=server.url), retry_policy=ONCE) as other,
        client_of(server, fallback=[other.model("claude")]) as client,
        pytest.raises(ConfigError, match="anthropic: it knows no seed"),
    ):
        client.chat("first").user("Hi").seed(1).get_response()


def test_a_cut_connection_before_the_first_chunk(server: ProviderServer) -> None:
    """Is a reason, too; without a fallback it is the error."""
    server.reply(Status(), Close(), times=2)
    with client_of(server) as client, pytest.raises((StreamTruncated, ConnectionLost)):
        client.chat("first").user("Hi").get_response()
    server.reply(*chat_answer("Hello"))
    with two(server) as client:
        assert "Hello" == client.chat("first").user("Hi").get_response().text
