"""object_request: how a schema is sent, by what the provider can do."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from streamkit import Client, ConfigError, ObjectError, generate_object, stream_object
from streamkit.instance import Mismatch, check_instance
from streamkit.providers import Anthropic, Cohere, DeepSeek, Gemini, Ollama, OpenAI, OpenAIResponses, Perplexity
from streamkit.schema import check_schema
from streamkit.testing import (
    ProviderServer,
    anthropic_answer,
    chat_answer,
    cohere_answer,
    error_answer,
    gemini_answer,
    ollama_answer,
    responses_answer,
)
from tests.loopback import ONCE, client_of

pytestmark = pytest.mark.usefixtures("no_shared_clients")


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
