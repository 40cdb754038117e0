"""stream_text, generate_text, stream_object, generate_object: what is asked, and of whom."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterator
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
    ObjectError,
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
from streamkit.instance import Mismatch, check_instance
from streamkit.providers import Anthropic, Cohere, DeepSeek, Gemini, Ollama, OpenAI, OpenAIResponses, Perplexity
from streamkit.schema import check_schema
from streamkit.testing import (
    ProviderServer,
    Stall,
    Status,
    anthropic_answer,
    chat_answer,
    cohere_answer,
    error_answer,
    gemini_answer,
    ollama_answer,
    responses_answer,
)
from tests.loopback import ONCE, client_of, delta, took


@attrs.define
class Point:
    """A point in the plane."""

    x: int
    y: int


class Mood(enum.Enum):
    """A mood."""

    GOOD = "good"
    BAD = "bad"


@attrs.define
class Town:
    """A town."""

    name: str
    mood: Mood
    points: list[Point]
    people: float


ADD = Tool(name="add", parameters={"type": "object", "properties": {}})


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


APIS: dict[str, tuple[Callable[[ProviderServer], Any], Callable[..., Any]]] = {
    "chat": (lambda server: OpenAI("k", base_url=server.base_url), chat_answer),
    "responses": (lambda server: OpenAIResponses("k", base_url=server.base_url), responses_answer),
    "anthropic": (lambda server: Anthropic("k", base_url=server.url), anthropic_answer),
    "gemini": (lambda server: Gemini("k", base_url=server.url), gemini_answer),
    "ollama": (lambda server: Ollama(base_url=server.url), ollama_answer),
    "cohere": (lambda server: Cohere("k", base_url=server.url), cohere_answer),
}
TOWN = {"name": 'Zürich 🎨 "City"', "mood": "good", "points": [{"x": 1, "y": -2}], "people": 4.2e5}
TOWNS = [{**TOWN, "name": "One", "points": []}, TOWN]


def ways(*modes: str) -> list[tuple[str, str]]:
    """Each API with each of these modes; Ollama cannot be made to call a tool."""
    return [(api, mode) for api in APIS for mode in modes if (api, mode) != ("ollama", "tool")]


def said(answer: Callable[..., Any], mode: str, value: Any) -> Any:
    """What an API answers with an object: in pieces of three characters, or as a call."""
    if mode == "tool":
        return answer(tool_calls=[("answer", value)])
    text = json.dumps(value)
    return answer(*(text[at : at + 3] for at in range(0, len(text), 3)))


@pytest.mark.parametrize(("api", "mode"), ways("auto", "native", "tool", "prompt"))
def test_every_api_gives_objects(api: str, mode: Any, server: ProviderServer) -> None:
    """In each way that it can be asked; partials grow to the object, escapes may be cut anywhere."""
    provider, answer = APIS[api]
    server.reply(*said(answer, mode, TOWN))
    with Client(provider(server), retry_policy=ONCE) as mine:
        stream = stream_object(mine.model("m"), Town, prompt="Which?", mode=mode)
        partials = list(stream.partial_object_stream())
    whole = Town('Zürich 🎨 "City"', Mood.GOOD, [Point(1, -2)], 420_000.0)

    assert whole == stream.result().object == partials[-1]
    assert all(whole.name.startswith(partial.name or "") for partial in partials)
    assert len(partials) > 10 or mode == "tool"


@pytest.mark.parametrize(("api", "mode"), ways("auto", "tool"))
def test_every_api_gives_elements(api: str, mode: Any, server: ProviderServer) -> None:
    """Each of a list, whole and made what it is."""
    provider, answer = APIS[api]
    server.reply(*said(answer, mode, {"items": TOWNS}))
    with Client(provider(server), retry_policy=ONCE) as mine:
        stream = stream_object(mine.model("m"), list[Town], prompt="Which?", mode=mode)

        assert ["One", TOWN["name"]] == [town.name for town in stream.element_stream()]
        assert all(isinstance(town, Town) for town in stream.result().object)


@pytest.mark.parametrize(
    ("api", "how"),
    [
        ("chat", {"finish": "length"}),
        ("responses", {"status": "incomplete"}),
        ("anthropic", {"finish": "max_tokens"}),
        ("gemini", {"finish": "MAX_TOKENS"}),
        ("ollama", {"finish": "length"}),
        ("cohere", {"finish": "MAX_TOKENS"}),
    ],
)
def test_the_limit_of_tokens_on_every_api(api: str, how: dict[str, str], server: ProviderServer) -> None:
    """Cuts an object off: an error that says so and has what came of it, from whichever API."""
    provider, answer = APIS[api]
    server.reply(*answer('{"name": "Zü', 'rich", "mo', **how))
    with Client(provider(server), retry_policy=ONCE) as mine:
        stream = stream_object(mine.model("m"), Town, prompt="Which?")
        error = stream.err()

    assert isinstance(error, ObjectError)
    assert "raise max_tokens" in str(error)
    assert ("Zürich", None, []) == (
        error.partial_object.name,
        error.partial_object.mood,
        error.partial_object.points,
    )
    assert error.partial is not None
    assert ('{"name": "Zürich", "mo', "length") == (error.partial.text, error.partial.finish_reason)


def test_one_call_where_there_is_a_switch(server: ProviderServer) -> None:
    """Else an object might come in parts, a call of the tool for each."""
    server.reply(*chat_answer(tool_calls=[("answer", {"x": 1, "y": 2})]), times=None)
    for provider in (OpenAI, DeepSeek):
        with Client(provider("k", base_url=server.base_url)) as mine:
            generate_object(mine.model("m"), Point, prompt="x", mode="tool")

    assert [False, None] == [request.json().get("parallel_tool_calls") for request in server.requests]


def test_an_object_of_providers_that_differ(server: ProviderServer) -> None:
    """Where one falls back to another, the way is one that both take: here one knows tools, the other schemas."""
    server.reply(*error_answer(503, "busy"))
    server.reply(*chat_answer('{"x": 1, "y": 2}'))
    second = Perplexity("k", base_url=server.base_url).model("sonar")
    with Client(DeepSeek("k", base_url=server.base_url), retry_policy=ONCE, fallback=[second]) as mine:
        assert Point(1, 2) == generate_object(mine.model("m"), Point, prompt="x").object

    assert ["prompt", "prompt"] == [sent_as(request.json()) for request in server.requests]


def test_a_tool_of_providers_that_differ(server: ProviderServer) -> None:
    """A switch that only one of them has is not asked for: that of one call at a time."""
    answer = chat_answer(tool_calls=[("answer", {"x": 1, "y": 2})])
    second = DeepSeek("k", base_url=server.base_url).model("m")
    server.reply(*answer)
    with client_of(server, fallback=[second]) as mine:
        assert Point(1, 2) == generate_object(mine.model("m"), Point, prompt="x", mode="tool").object

    assert server.requests[0].json().get("parallel_tool_calls") is None


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


P = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "sent", "expected"),
    [
        ({"type": "array", "items": {"$ref": "#/$defs/P"}, "$defs": {"P": P}}, {"items": [{"a": 1}]}, [{"a": 1}]),
        ({"type": "array", "items": {"$ref": "#/definitions/P"}, "definitions": {"P": P}}, {"items": [{}]}, [{}]),
        ({"type": "array", "items": {"$ref": "#"}}, {"items": [[], [[]]]}, [[], [[]]]),
        ({"type": "array", "prefixItems": [P, {"$ref": "#/prefixItems/0"}]}, {"items": [{}, {}]}, [{}, {}]),
        ({"$ref": "#/$defs/L", "$defs": {"L": {"type": "array", "items": {"$ref": "#"}}}}, {"value": [[]]}, [[]]),
    ],
)
def test_references_of_a_schema(schema: Any, sent: Any, expected: Any, server: ProviderServer) -> None:
    """Lead to what they led to, where the schema is sent as that of a member of an object."""
    server.reply(*chat_answer(json.dumps(sent)))
    with client_of(server) as mine:
        assert expected == generate_object(mine.model("m"), schema, prompt="x").object
    told = server.requests[0].json()["response_format"]["json_schema"]["schema"]

    check_schema(told)
    check_instance(sent, told)
    with pytest.raises(Mismatch):
        check_instance({name: [{"a": "x"}, [5]] for name in sent}, told)


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
        (Point, {"mode": "native", "headers": {"Authorization": "k"}}, "^the header Authorization"),
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
    """Is refused where it was asked for by name, with what to ask for instead."""
    with (
        Client(DeepSeek("k", base_url=server.base_url)) as mine,
        pytest.raises(ConfigError, match="mode='native' will not do, use auto: deepseek: it takes no JSON Schema"),
    ):
        stream_object(mine.model("m"), Point, prompt="x", mode="native")
