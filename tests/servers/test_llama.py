"""Three APIs of llama.cpp, a server that others wrote, with a real model behind it.

What it answers is the model's business: its structure is asserted, not its prose. The server is the one that `Local`
starts, and asks for a key.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from streamkit import Cancelled, ChatBuilder, ContextOverflow, DeadlineExceeded, Unauthorized
from streamkit.providers import Local
from tests.loopback import failure, took
from tests.servers.apis import WEATHER, Api

pytestmark = [pytest.mark.servers, pytest.mark.model, pytest.mark.slow]

MODEL = "smollm2-135m"
PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}

APIS = {
    "chat": Api(provider="LlamaCpp", path="/v1", model=MODEL),
    "responses": Api(provider="OpenAIResponses", path="/v1", model=MODEL),
    "messages": Api(provider="Anthropic", model=MODEL),
}


@pytest.fixture
def llama() -> tuple[str, str]:
    """Address and key of the server, one for all tests."""
    local = Local()
    return local.base_url.removesuffix("/v1"), local.secret().expose()


@pytest.fixture
def chat(llama: tuple[str, str], api: Api) -> Iterator[ChatBuilder]:
    """A chat with the API that answers the same each time."""
    with api.client(*llama) as client:
        yield client.chat(MODEL).temperature(0)


def over(*names: str) -> pytest.MarkDecorator:
    """Run a test over these APIs."""
    return pytest.mark.parametrize("api", [APIS[name] for name in names], ids=names)


each_api = over(*APIS)


@each_api
def test_a_real_answer_arrives_in_pieces(chat: ChatBuilder) -> None:
    """A real answer comes as many chunks that join to the final text, and says what model gave it and its tokens."""
    stream = chat.user("What is a queue?").max_tokens(20).get_stream()
    chunks = list(stream.ch)
    final = stream.result()
    usage = final.usage

    assert len(chunks) > 5
    assert "".join(chunk.content for chunk in chunks) == final.text
    assert (MODEL, True) == (final.response.model, final.complete)
    assert final.finish_reason in ("stop", "length")
    assert final.response.id
    assert "reported" == usage.source
    assert usage.prompt_tokens + usage.completion_tokens == usage.total_tokens
    assert 5 < usage.completion_tokens <= 20


@each_api
def test_an_answer_at_its_limit(api: Api, chat: ChatBuilder) -> None:
    """An answer that is ended by `max_tokens` has so many tokens, and says so where the server does."""
    final = chat.user("Tell a long story.").max_tokens(6).get_response()
    said = "stop" if api is APIS["responses"] else "length"  # there the server calls it "completed"

    assert (6, said, True) == (final.usage.completion_tokens, final.finish_reason, final.complete)


@over("chat", "messages")
def test_a_stop_text_ends_the_answer(chat: ChatBuilder) -> None:
    """An answer ends before the text that is to stop it, and its finish reason is "stop"."""
    final = chat.user("Tell a long story.").stop("e").max_tokens(100).get_response()

    assert ("stop", True) == (final.finish_reason, final.complete)
    assert final.text
    assert "e" not in final.text


@each_api
def test_the_system_prompt_counts(chat: ChatBuilder) -> None:
    """The system prompt reaches the model: the prompt is longer with it."""
    asked = chat.user("Hello").max_tokens(1)
    told = asked.system("You speak like a pirate, on every day of the week.")

    assert told.get_response().usage.prompt_tokens > asked.get_response().usage.prompt_tokens


@each_api
def test_a_conversation_goes_on(chat: ChatBuilder) -> None:
    """What both sides said before reaches the model: the prompt grows with each turn."""
    asked = chat.user("Hello").max_tokens(4)
    first = asked.get_response()
    second = asked.messages(first.messages).user("Go on.").get_response()

    assert second.complete
    assert second.usage.prompt_tokens > first.usage.prompt_tokens + first.usage.completion_tokens


@each_api
def test_the_model_calls_a_tool_and_gets_its_result(chat: ChatBuilder) -> None:
    """Offered a tool, the model calls it with arguments of its schema; call and result go back, and it answers."""
    asked = chat.user("What is the weather in Paris?").tools([WEATHER]).max_tokens(60)
    stream = asked.get_stream()
    kinds = [chunk.type for chunk in stream.ch]
    first = stream.result()
    (call,) = first.tool_calls

    assert ("tool_calls", "get_weather", True) == (first.finish_reason, call.name, call.complete)
    assert {"city": str} == {name: type(value) for name, value in call.arguments.items()}
    assert call.arguments == json.loads(call.input)
    assert ["tool_call_start", "tool_call"] == [kind for kind in kinds if kind != "tool_call_delta"][:2]
    assert kinds.count("tool_call_delta") > 1

    told = {"role": "tool", "tool_call_id": call.id, "content": "sunny, 21 degrees"}
    second = asked.messages([*first.messages, told]).get_response()

    assert ((), True) == (second.tool_calls, second.complete)
    assert second.text
    assert second.usage.prompt_tokens > first.usage.prompt_tokens + 10


@over("chat", "responses")
def test_a_schema_binds_the_model(api: Api, chat: ChatBuilder) -> None:
    """Held to a JSON Schema, the model answers with an object of it."""
    asked = chat.user("Invent a person.").max_tokens(100)
    own = {"json_schema": PERSON}  # over Responses the server reads no `text.format`, but a field of its own
    held = asked.provider_options(own) if api is APIS["responses"] else asked.json_schema(PERSON)
    found = json.loads(held.get_response().text)

    assert {"name": str, "age": int} == {name: type(value) for name, value in found.items()}


@over("chat")
def test_log_probabilities_come_with_the_chunks(chat: ChatBuilder) -> None:
    """Each token brings its log probability and those of the likeliest others: over chat completions alone."""
    stream = chat.user("Hello").logprobs(2).max_tokens(4).get_stream()
    tokens = [token for chunk in stream for token in chunk.metadata.get("logprobs", {}).get("content", ())]

    assert "" != stream.result().text == "".join(token["token"] for token in tokens)
    assert all(token["logprob"] <= 0 and 2 == len(token["top_logprobs"]) for token in tokens)


@each_api
def test_a_real_answer_can_be_cancelled(chat: ChatBuilder) -> None:
    """A cancel in the middle of a real answer ends it at once and keeps what had arrived."""
    stream = chat.user("Tell a long story.").max_tokens(1000).get_stream()
    first = next(iter(stream.ch)).content
    with took(2):
        stream.cancel()
        error = stream.err.get()

    assert isinstance(error, Cancelled)
    assert error.partial is not None
    assert error.partial.text.startswith(first)
    assert not error.partial.complete


@each_api
def test_a_deadline_ends_a_real_answer(chat: ChatBuilder) -> None:
    """An answer that takes longer than it may ends in `DeadlineExceeded` when its time is up."""
    with took(10, least=0.4):
        error = failure(chat.user("Tell a long story.").max_tokens(1000).timeout(0.4).get_stream)

    assert DeadlineExceeded is type(error)


@each_api
def test_a_prompt_that_is_too_long_is_told(chat: ChatBuilder) -> None:
    """A prompt beyond the model's context raises `ContextOverflow` with the server's words."""
    error = failure(chat.user("word " * 9000).get_stream)

    assert ContextOverflow is type(error)
    assert "8192 tokens" in str(error)


@each_api
def test_a_wrong_key_is_told(llama: tuple[str, str], api: Api) -> None:
    """A key that the server does not know raises `Unauthorized`."""
    with api.client(llama[0], "sk-wrong") as client:
        error = failure(client.chat(MODEL).user("Hello").get_stream)

    assert Unauthorized is type(error)
    assert "sk-wrong" not in repr(error)


def test_apis_are_streamed_from_in_parallel(llama: tuple[str, str]) -> None:
    """Streams of all APIs at once, more than the server decodes at a time, each bring the answer that was asked for."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(api.client(*llama)) for api in APIS.values()]

        def tokens(limit: int) -> tuple[int, bool]:
            asked = clients[limit % len(clients)].chat(MODEL).user("Tell a long story.").max_tokens(limit)
            final = asked.get_response()
            return final.usage.completion_tokens, final.complete

        limits = range(3, 12)
        with concurrent.futures.ThreadPoolExecutor(len(limits)) as pool:
            got = list(pool.map(tokens, limits))

    assert [(limit, True) for limit in limits] == got


@each_api
def test_the_server_says_its_models(llama: tuple[str, str], api: Api) -> None:
    """The list of models has the one that is served."""
    with api.client(*llama) as client:
        assert [MODEL] == client.models()
