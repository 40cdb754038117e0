"""stream_text, generate_text, stream_object, generate_object: what is asked, of whom, and who is told."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from streamkit import (
    BadRequest,
    ChatStream,
    Client,
    ConfigError,
    Context,
    DeadlineExceeded,
    Hooks,
    ResponseInfo,
    RetryPolicy,
    Timeouts,
    Tool,
    client,
    generate_object,
    generate_text,
    stream_object,
    stream_text,
    user,
)
from streamkit.providers import Anthropic, OpenAI
from streamkit.testing import (
    ProviderServer,
    Stall,
    Status,
    anthropic_answer,
    chat_answer,
    error_answer,
)
from tests.loopback import client_of, delta, took

pytestmark = pytest.mark.usefixtures("no_shared_clients")


@attrs.define
class Point:
    """A point in the plane."""

    x: int
    y: int


ADD = Tool(name="add", parameters={"type": "object", "properties": {}})


# -- what is asked


def test_all_that_can_be_asked(server: ProviderServer) -> None:
    """Every argument reaches the request: system, messages and prompt in this order, the rest by their names."""
    server.reply(*chat_answer("Hello"))
    with client_of(server) as mine:
        result = generate_text(
            mine.model("gpt-4o"),
            system="Be brief.",
            messages=[user("Hi"), {"role": "assistant", "content": "Hello."}],
            prompt="Bye",
            tools=[ADD],
            tool_choice="required",
            temperature=0.5,
            max_tokens=9,
            top_p=0.9,
            stop=["END"],
            seed=7,
            reasoning_effort="low",
            headers={"X-Trace": "t"},
            provider_options={"user": "u"},
        )
    sent = server.requests[0]

    assert "Hello" == result.text
    assert "t" == sent.headers["x-trace"]
    assert {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "Bye"},
        ],
        "tool_choice": "required",
        "temperature": 0.5,
        "max_tokens": 9,
        "top_p": 0.9,
        "stop": ["END"],
        "seed": 7,
        "reasoning_effort": "low",
        "user": "u",
    } == {name: value for name, value in sent.json().items() if name not in ("tools", "stream", "stream_options")}


def test_thinking(server: ProviderServer) -> None:
    """A budget reaches the provider that knows one; thinking is no part of the text."""
    server.reply(*anthropic_answer("Hello", thinking="Hm."))
    with Client(Anthropic("k", base_url=server.url)) as mine:
        stream = stream_text(mine.model("claude"), prompt="Hi", thinking_budget=2000)

        assert ["Hello"] == list(stream.text_stream())
    assert {"type": "enabled", "budget_tokens": 2000} == server.requests[0].json()["thinking"]
    assert "Hm." == stream.result().thinking


@pytest.mark.parametrize(
    "asked", [{}, {"system": "x"}, {"prompt": "x", "messages": "y"}, {"prompt": "x", "temperature": "hot"}]
)
def test_what_cannot_be_asked(asked: dict[str, Any], server: ProviderServer) -> None:
    """Is refused before anything is sent."""
    with client_of(server) as mine, pytest.raises(ConfigError):
        stream_text(mine.model("gpt-4o"), **asked)

    assert [] == server.requests


def test_an_argument_that_there_is_not(server: ProviderServer) -> None:
    """A TypeError, as for any function."""
    with client_of(server) as mine:
        with pytest.raises(TypeError, match="colour"):
            stream_object(mine.model("gpt-4o"), Point, prompt="x", colour="red")
        with pytest.raises(TypeError, match="colour"):
            generate_text(mine.model("gpt-4o"), prompt="x", colour="red")


@pytest.mark.parametrize("stop", ["END", ["END"]])
def test_one_text_that_ends_an_answer(stop: Any, server: ProviderServer) -> None:
    """May come without a list around it; it is not taken for its characters."""
    server.reply(*chat_answer("Hello"))
    with client_of(server) as mine:
        generate_text(mine.model("gpt-4o"), prompt="x", stop=stop)

    assert ["END"] == server.requests[0].json()["stop"]


def test_tools_are_a_list(server: ProviderServer) -> None:
    """One that is none is refused, with what to give instead."""
    with client_of(server) as mine, pytest.raises(ConfigError, match="a list of tools, also of one"):
        stream_text(mine.model("gpt-4o"), prompt="x", tools=ADD)  # type: ignore[arg-type]


@pytest.mark.parametrize("generate", [generate_text, lambda model, **asked: generate_object(model, Point, **asked)])
def test_an_interrupted_wait_cancels(generate: Any, server: ProviderServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever exception leaves it, though its frames hold the stream."""

    def interrupted(self: ChatStream, timeout: float | None = None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ChatStream, "result", interrupted)
    server.reply(Status(), delta("Hel"), Stall())
    with client_of(server) as mine:
        with pytest.raises(KeyboardInterrupt) as caught:
            generate(mine.model("gpt-4o"), prompt="x")

        assert server.requests[0].disconnected.wait(2)
    assert caught.traceback


def test_a_client_that_keeps_no_text(server: ProviderServer) -> None:
    """Tools are run and objects are read all the same: the log of such a stream has all of it anyway."""
    server.reply(*chat_answer(tool_calls=[("add", {})]))
    server.reply(*chat_answer("Done."))
    server.reply(*chat_answer('{"x": 1, "y": 2}'))
    add = attrs.evolve(ADD, execute=lambda: "3")
    with client_of(server, accumulate=False) as mine:
        result = generate_text(mine.model("gpt-4o"), prompt="x", tools=[add])

        assert ("Done.", 2) == (result.text, len(result.steps))
        assert Point(1, 2) == generate_object(mine.model("gpt-4o"), Point, prompt="x").object


def test_a_failure_before_the_answer_opens(server: ProviderServer) -> None:
    """Is raised by the call itself, after `on_response` was told."""
    told: list[ResponseInfo] = []
    server.reply(*error_answer(400, "no"))
    with client_of(server) as mine, pytest.raises(BadRequest):
        stream_text(mine.model("gpt-4o"), prompt="Hi", on_response=told.append)

    assert [BadRequest] == [type(info.error) for info in told]


def test_settings_of_one_call(server: ProviderServer) -> None:
    """Retries, clocks and hooks of the call go before, or beside, those of the client."""
    told: list[str] = []
    server.reply(*error_answer(503, "busy"))
    server.reply(*chat_answer("Hello"))
    with client_of(server, hooks=Hooks(on_finish=lambda _: told.append("client"))) as mine:
        generate_text(
            mine.model("gpt-4o"),
            prompt="Hi",
            retry_policy=RetryPolicy(max_retries=1, initial_interval=0),
            hooks=Hooks(on_finish=lambda _: told.append("hooks")),
            on_finish=lambda _: told.append("single"),
        )

    assert ["client", "hooks", "single"] == told


@pytest.mark.parametrize(
    "limit", [{"timeout": 0.1}, {"timeouts": Timeouts(total=0.1)}, {"ctx": lambda: Context(timeout=0.1)}]
)
def test_a_deadline(limit: dict[str, Any], server: ProviderServer) -> None:
    """Of the call, of all its clocks, or of a context."""
    server.reply(Status(), delta("Hel"), Stall())
    limit = {name: value() if callable(value) else value for name, value in limit.items()}
    with client_of(server) as mine, took(2.0), pytest.raises(DeadlineExceeded) as raised:
        generate_text(mine.model("gpt-4o"), prompt="Hi", **limit)

    assert raised.value.partial is not None
    assert "Hel" == raised.value.partial.text


# -- of whom


def test_a_model_by_its_name(server: ProviderServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its key and address are the environment's; all calls of the process share one client, and so its connections."""
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    server.reply(*chat_answer("Hello"), times=None)

    assert ["Hello"] * 3 == [generate_text("openai:gpt-4o", prompt="Hi").text for _ in range(3)]
    assert 1 == len(client._clients)
    assert 1 == server.connections
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    generate_text("openai:gpt-4o", prompt="Hi")
    assert "Bearer another" == server.requests[-1].headers["authorization"]


def test_models_of_one_provider(server: ProviderServer) -> None:
    """Providers that are the same share a client as well; those that are not do not."""
    same = [client.client_of(OpenAI("k", base_url=server.base_url).model(name)) for name in ("a", "b")]
    other, _ = client.client_of(OpenAI("l", base_url=server.base_url).model("a"))

    assert same[0][0] is same[1][0] is not other
    assert ["a", "b"] == [name for _, name in same]


@pytest.mark.parametrize("model", ["gpt-4o", "nobody:x", "openai:", 5, None])
def test_no_model(model: Any) -> None:
    """Is refused, with what to write instead."""
    with pytest.raises(ConfigError):
        stream_text(model, prompt="Hi")


def test_observers_of_an_object(server: ProviderServer) -> None:
    """Single ones as of `stream_text`, but for those of tools, which there are none of."""
    told: list[str] = []
    names = ("on_request", "on_response", "on_chunk", "on_step_finish", "on_finish")
    server.reply(*chat_answer('{"x": 1, "y": 2}'))
    with client_of(server) as mine:
        generate_object(mine.model("m"), Point, prompt="x", **{n: lambda _, n=n: told.append(n) for n in names})
        with pytest.raises(TypeError, match="on_tool_call"):
            generate_object(mine.model("m"), Point, prompt="x", on_tool_call=print)

    assert ["on_request", "on_chunk", "on_response", "on_chunk", "on_step_finish", "on_finish"] == told
