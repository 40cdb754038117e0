"""stream_text, generate_text, stream_object, generate_object: what is asked, and of whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from streamkit import (
    BadRequest,
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
from streamkit.providers import Anthropic, DeepSeek, OpenAI, Perplexity
from streamkit.testing import ProviderServer, Stall, Status, anthropic_answer, chat_answer, error_answer
from tests.loopback import ONCE, client_of, delta, took


@attrs.define
class Point:
    """A point in the plane."""

    x: int
    y: int


ADD = Tool(name="add", parameters={"type": "object", "properties": {}})


@pytest.fixture
def server() -> Iterator[ProviderServer]:
    """A scripted server."""
    with ProviderServer() as server:
        yield server


@pytest.fixture(autouse=True)
def fixture_no_shared_clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The clients that the process shares are those of one test, and closed after it."""
    clients: dict[Any, Client] = {}
    monkeypatch.setattr(client, "_clients", clients)
    yield
    for one in clients.values():
        one.close()


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


# -- objects


def sent_as(body: dict[str, Any]) -> str:
    """How a request asks for its object."""
    if "response_format" in body:
        return str(body["response_format"]["type"])
    if "output_config" in body:
        return "output_config"
    return "tool" if body.get("tools") else "prompt"


@pytest.mark.parametrize(
    ("provider", "mode", "way"),
    [
        (OpenAI, "auto", "json_schema"),
        (OpenAI, "native", "json_schema"),
        (OpenAI, "tool", "tool"),
        (OpenAI, "prompt", "json_object"),
        (DeepSeek, "auto", "tool"),
        (DeepSeek, "prompt", "json_object"),
        (Perplexity, "auto", "json_schema"),
        (Perplexity, "prompt", "prompt"),
    ],
)
def test_how_a_schema_is_sent(provider: Any, mode: Any, way: str, server: ProviderServer) -> None:
    """By the API's own means, else as a tool, else in the system prompt: by what the provider can do."""
    if way == "tool":
        server.reply(*chat_answer(tool_calls=[("answer", {"x": 1, "y": 2})]))
    else:
        server.reply(*chat_answer('{"x": 1, "y": 2}'))
    with Client(provider("k", base_url=server.base_url), retry_policy=ONCE) as mine:
        result = generate_object(mine.model("m"), Point, prompt="Where?", system="Be exact.", mode=mode)
    body = server.requests[0].json()

    assert Point(1, 2) == result.object
    assert way == sent_as(body)
    assert ["system", *["system"] * (mode == "prompt"), "user"] == [message["role"] for message in body["messages"]]
    assert ("JSON Schema" in body["messages"][-2]["content"]) == (mode == "prompt")


def test_strict_where_the_schema_is(server: ProviderServer) -> None:
    """A schema that the strict mode would refuse is sent without it."""
    properties = {"a": {"type": "integer"}}
    strict = {"type": "object", "properties": properties, "required": ["a"], "additionalProperties": False}
    server.reply(*chat_answer('{"a": 1}'), times=None)
    with client_of(server) as mine:
        for schema in (dict[str, int], {"type": "object", "properties": properties}, strict):
            generate_object(mine.model("m"), schema, prompt="x")
    sent = [request.json()["response_format"]["json_schema"]["strict"] for request in server.requests]

    assert [False, False, True] == sent


@pytest.mark.parametrize(
    ("schema", "options", "says"),
    [
        (object, {}, "JSON Schema"),
        ({"type": "odd"}, {}, "odd"),
        (Point, {"mode": "magic"}, "use auto, native, tool, prompt"),
        (Point, {"prompt": None}, "nothing to answer"),
    ],
)
def test_what_is_no_object(schema: Any, options: dict[str, Any], says: str, server: ProviderServer) -> None:
    """Is refused before anything is sent."""
    if schema is object:
        schema = type("Plain", (), {})
    with client_of(server) as mine, pytest.raises(ConfigError, match=says):
        stream_object(mine.model("m"), schema, **{"prompt": "x", **options})

    assert [] == server.requests


def test_a_mode_that_the_provider_lacks(server: ProviderServer) -> None:
    """Is refused where it was asked for by name."""
    with (
        Client(DeepSeek("k", base_url=server.base_url)) as mine,
        pytest.raises(ConfigError, match="deepseek: it takes no JSON Schema"),
    ):
        stream_object(mine.model("m"), Point, prompt="x", mode="native")
