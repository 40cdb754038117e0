"""The Responses API: requests as it wants them, and its answers, however they come, as chunks."""

from __future__ import annotations

import itertools
import json
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import codec, jsontext
from streamkit.errors import (
    BadRequest,
    ConfigError,
    ContentFiltered,
    DecodeError,
    ProviderError,
    RateLimited,
    ServerError,
    StreamKitError,
    StreamTruncated,
    Unauthorized,
)
from streamkit.framing import Event
from streamkit.providers import openai_responses
from streamkit.providers.openai_responses import OpenAIResponses, Quirks, Responses
from streamkit.types import (
    ChatRequest,
    FilePart,
    ImagePart,
    Message,
    RawPart,
    ResponseFormat,
    Source,
    TextPart,
    ThinkingPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
    Usage,
    assistant,
    system,
    tool_result,
    user,
)
from tests.corpus import transcripts
from tests.decoding import Decoded, cut, decode, decode_events, difference, error_message, own_transcripts
from tests.strategies import PROPERTY

KEY = "sk-test-0123456789"
OPENAI = OpenAIResponses(KEY, base_url="https://api.openai.com/v1")
HELLO = (user("Hello"),)
ADD = Tool(name="add", description="Adds.", parameters={"type": "object", "properties": {"a": {"type": "integer"}}})

EVERY = [*transcripts("openai-responses"), *own_transcripts("openai_responses")]
STREAMS = [pytest.param(meta["expected"], body, id=name) for name, meta, body in EVERY if meta["status"] < 400]
REFUSED = [pytest.param(meta, body, id=name) for name, meta, body in EVERY if meta["status"] >= 400]


def _last_events(body: bytes) -> list[Event]:
    """The events that end a response and have its output."""
    lines = [line[6:] for line in body.decode("utf-8", "replace").split("\n") if line.startswith("data: {")]
    ends = [line for line in lines if json.loads(line)["type"] in ("response.completed", "response.incomplete")]
    return [Event(line) for line in ends if json.loads(line)["response"]["output"]]


REPEATED = [
    pytest.param(meta["expected"], ends[0], id=name)
    for name, meta, body in EVERY
    if meta["status"] < 400 and len(ends := _last_events(body)) == 1
]


# -- requests


def encoded(request: ChatRequest, provider: OpenAIResponses = OPENAI) -> dict[str, Any]:
    """The body of a request, as the server reads it."""
    body = provider.codec.encode(request, provider).body
    value: dict[str, Any] = json.loads(body.decode("utf-8"))
    return value


def asked(*messages: Message, **fields: Any) -> ChatRequest:
    """A request for gpt-4o with these messages and fields."""
    return attrs.evolve(ChatRequest(model="gpt-4o", messages=messages or HELLO), **fields)


def items(*messages: Message, model: str = "gpt-5", **fields: Any) -> list[dict[str, Any]]:
    """The input items of a request."""
    found: list[dict[str, Any]] = encoded(asked(*messages, model=model, **fields))["input"]
    return found


def test_a_plain_request() -> None:
    """The smallest request has model and input, asks for a stream, and has nothing stored."""
    expected = {"model": "gpt-4o", "input": [{"role": "user", "content": "Hello"}], "store": False, "stream": True}

    assert expected == encoded(asked())


def test_where_and_how_it_is_sent() -> None:
    """It goes to responses under the base URL, asks for an unencoded event stream, and keeps the key apart."""
    sent = OPENAI.codec.encode(asked(), OPENAI)

    assert ("POST", "https://api.openai.com/v1/responses") == (sent.method, sent.url)
    assert sent.headers == {
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "Accept-Encoding": "identity",
    }
    assert {name: secret.expose() for name, secret in sent.secrets.items()} == {"Authorization": f"Bearer {KEY}"}
    assert KEY not in repr(sent)


def test_the_provider_travels() -> None:
    """Pickled, it keeps its name and address; its key stays behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "another")
        arrived = pickle.loads(pickle.dumps(OPENAI))

    assert ("openai-responses", "https://api.openai.com/v1") == (arrived.name, arrived.base_url)
    assert "another" == arrived.secret().expose()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"temperature": 0.0}, {"temperature": 0.0}),
        ({"top_p": 0.5}, {"top_p": 0.5}),
        ({"max_tokens": 20}, {"max_output_tokens": 20}),
        ({"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}),
        ({"thinking": True}, {"reasoning": {"summary": "auto"}}),
        (
            {"thinking": True, "reasoning_effort": "high"},
            {"reasoning": {"effort": "high", "summary": "auto"}},
        ),
        ({"logprobs": 3}, {"top_logprobs": 3, "include": ["message.output_text.logprobs"]}),
        ({"logprobs": 0}, {"include": ["message.output_text.logprobs"]}),
        ({"prompt_caching": True}, {}),
        ({"tool_choice": "auto"}, {}),
        ({"parallel_tool_calls": False}, {}),
        ({"response_format": ResponseFormat(type="text")}, {"text": {"format": {"type": "text"}}}),
        ({"response_format": ResponseFormat(type="json")}, {"text": {"format": {"type": "json_object"}}}),
        (
            {"response_format": ResponseFormat(type="schema", schema={"type": "object"}, name="n", strict=False)},
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": False}}},
        ),
        ({"provider_options": {"user": "u1", "store": True}}, {"user": "u1", "store": True}),
    ],
)
def test_what_a_setting_adds(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each setting adds its field of the API and nothing else; what asks for nothing adds none."""
    plain = encoded(asked())

    assert plain | expected == encoded(asked(**fields))


@pytest.mark.parametrize(
    ("model", "thinks"),
    [
        ("gpt-4o", False),
        ("gpt-4.1-mini", False),
        ("gpt-5-chat-latest", False),
        ("o1", True),
        ("o4-mini-2025-04-16", True),
        ("gpt-5-nano", True),
        ("gpt-5.1", True),
        ("openai/gpt-5", True),
        ("openai/gpt-5.2-chat", False),
        ("ft:o4-mini:org::id", True),
        ("codex-mini-latest", True),
        ("openai.gpt-5.6-luna", True),
        ("gpt-oss-20b", False),
    ],
)
def test_encrypted_thinking_is_asked_of_models_that_think(model: str, thinks: bool) -> None:
    """The others refuse such a request."""
    sent = encoded(asked(model=model, logprobs=1))

    assert ["reasoning.encrypted_content"] * thinks + ["message.output_text.logprobs"] == sent["include"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("add", {"type": "function", "name": "add"}),
    ],
)
def test_tools_and_the_choice_among_them(choice: str, expected: object) -> None:
    """Tools are functions, held to no strict mode that nobody asked for; a choice by name is an object."""
    sent = encoded(asked(tools=(ADD, Tool(name="ping")), tool_choice=choice, parallel_tool_calls=False))
    ping = {"type": "function", "name": "ping", "parameters": {"type": "object", "properties": {}}, "strict": False}

    assert sent["tools"] == [
        {"type": "function", "name": "add", "description": "Adds.", "parameters": ADD.parameters, "strict": False},
        ping,
    ]
    assert (expected, False) == (sent["tool_choice"], sent["parallel_tool_calls"])


def test_provider_options_have_the_last_word() -> None:
    """An object in them is merged into ours, None takes a field out, anything else replaces it."""
    options = {"temperature": 1, "include": None, "text": {"verbosity": "low"}, "store": None}
    sent = encoded(
        asked(temperature=0.5, logprobs=0, response_format=ResponseFormat(type="json"), provider_options=options)
    )

    assert sent == {
        "model": "gpt-4o",
        "input": [{"role": "user", "content": "Hello"}],
        "temperature": 1,
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
        "stream": True,
    }


def test_system_messages() -> None:
    """Those at the beginning are the instructions; a later one stays where it is."""
    sent = encoded(asked(system("Be brief."), system("Be kind."), user("Hi"), system("Now in French.")))

    assert "Be brief.\n\nBe kind." == sent["instructions"]
    assert [("user", "Hi"), ("system", "Now in French.")] == [(i["role"], i["content"]) for i in sent["input"]]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([user("")], [("user", "")]),
        ([user(["a", "b"])], [("user", "ab")]),
        ([user("Hi"), assistant("Yes?"), user("Go")], [("user", "Hi"), ("assistant", "Yes?"), ("user", "Go")]),
        (
            [user("Hi"), assistant([ThinkingPart(text="hm"), RawPart(provider="x", block={}), TextPart(text="Yes")])],
            [("user", "Hi"), ("assistant", "Yes")],
        ),
        ([user("Hi"), assistant([ThinkingPart(text="hm")])], [("user", "Hi")]),
        ([user("Hi"), Message(role="tool", content=["said"])], [("user", "Hi"), ("user", "said")]),
        (
            [user("Hi"), assistant(["a", ThinkingPart(text="hm"), "b"])],
            [("user", "Hi"), ("assistant", "ab")],
        ),
    ],
)
def test_messages_of_text(messages: list[Message], expected: list[tuple[str, str]]) -> None:
    """Text is sent as a plain string; thinking without a proof and other providers' blocks are left out."""
    sent = items(*messages)

    assert expected == [(item["role"], item["content"]) for item in sent]
    assert all(("message" if item["role"] == "assistant" else None) == item.get("type") for item in sent)


def test_images_and_files() -> None:
    """Images and files go by their URL or as a data URL, files with their name; an image in a file is an image."""
    parts = [
        "Look:",
        ImagePart(url="https://example.com/a.png", detail="low"),
        ImagePart(data=b"\x00", media_type="image/jpeg"),
        FilePart(data=b"%PDF", name="a.pdf"),
        FilePart(url="https://example.com/b.pdf"),
        FilePart(data=b"\x00", media_type="image/png"),
    ]

    assert items(user(parts)) == [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look:"},
                {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"},
                {"type": "input_image", "image_url": "data:image/jpeg;base64,AA==", "detail": "auto"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
                {"type": "input_file", "file_url": "https://example.com/b.pdf"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"},
            ],
        }
    ]


def test_a_tool_round_trip() -> None:
    """Calls go back with their arguments' exact text, each call and each result as an item, in the order of parts."""
    call = ToolCallPart(id="c1", name="add", input='{"a":  1}')
    messages = [
        user("1+1?"),
        assistant(["Let me see.", call, ToolCallPart(id="c2", name="ping", input="")]),
        tool_result("c1", "2"),
        user([ToolResultPart(tool_call_id="c2", output="pong"), TextPart(text="So?")]),
    ]

    assert items(*messages) == [
        {"role": "user", "content": "1+1?"},
        {"type": "message", "role": "assistant", "content": "Let me see."},
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a":  1}'},
        {"type": "function_call", "call_id": "c2", "name": "ping", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "2"},
        {"type": "function_call_output", "call_id": "c2", "output": "pong"},
        {"role": "user", "content": "So?"},
    ]


def test_calls_without_ids_get_ids_on_the_way_out() -> None:
    """Where a service gave calls no id, each call and its result get the same made-up one, in order, over all turns."""
    two = assistant([ToolCallPart(id="", name="a", input="{}"), ToolCallPart(id="", name="b", input="{}")])
    results = [tool_result("", "1"), tool_result("", "2")]
    sent = items(*HELLO, two, *results, two, *results)

    assert ["call_1", "call_2", "call_1", "call_2", "call_3", "call_4", "call_3", "call_4"] == [
        item["call_id"] for item in sent[1:]
    ]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"output": "no such file", "is_error": True}, "Error: no such file"),
        ({"output": "", "is_error": True}, "Error: the tool failed"),
        (
            {"output": "seen", "images": (ImagePart(data=b"\x00", media_type="image/png"),)},
            [
                {"type": "input_text", "text": "seen"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"},
            ],
        ),
        (
            {"images": (ImagePart(url="https://example.com/a.png"),)},
            [{"type": "input_image", "image_url": "https://example.com/a.png", "detail": "auto"}],
        ),
    ],
)
def test_results_of_tools(result: dict[str, Any], expected: object) -> None:
    """A failure says so in the output, which has no mark for it; images are parts of the output."""
    part = ToolResultPart(tool_call_id="c1", **result)
    call = assistant([ToolCallPart(id="c1", name="f", input="{}")])

    assert expected == items(user("Hi"), call, Message(role="tool", content=[part]))[-1]["output"]


def test_tools_of_free_text() -> None:
    """A call of a custom tool, which provider options offer, goes back as one, and so does its result."""
    options = {"tools": [{"type": "custom", "name": "write_sql"}, {"type": "web_search"}, "?"]}
    call = assistant([ToolCallPart(id="c1", name="write_sql", input="SELECT 1")])
    messages = [user("Hi"), call, tool_result("c1", "1")]
    sent = encoded(asked(*messages, tool_choice="write_sql", provider_options=options))

    assert sent["input"][1:] == [
        {"type": "custom_tool_call", "call_id": "c1", "name": "write_sql", "input": "SELECT 1"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "1"},
    ]
    assert {"type": "custom", "name": "write_sql"} == sent["tool_choice"]


@pytest.mark.parametrize("provider", ["", "openai-responses"])
def test_thinking_goes_back_encrypted(provider: str) -> None:
    """Its proof is sent, before what it led to, with the summary where there is one."""
    parts = [
        ThinkingPart(text="hm", signature="gA", provider=provider),
        ToolCallPart(id="c1", name="f", input="{}"),
        ThinkingPart(signature="gB", provider=provider),
        TextPart(text="Yes"),
        ThinkingPart(text="cut off", signature="gC", provider=provider),
    ]

    assert items(user("Hi"), assistant(parts))[1:] == [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "gA"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "reasoning", "summary": [], "encrypted_content": "gB"},
        {"type": "message", "role": "assistant", "content": "Yes"},
    ]


@pytest.mark.parametrize(
    ("model", "part"),
    [
        ("gpt-5", ThinkingPart(text="hm", signature="gA", provider="anthropic")),
        ("gpt-4o", ThinkingPart(text="hm", signature="gA", provider="openai-responses")),
        ("gpt-5", ThinkingPart(redacted="xx", provider="openai-responses")),
        ("gpt-5", ThinkingPart(text="hm", provider="openai-responses")),
        ("gpt-5", RawPart(provider="anthropic", block={"type": "server_tool_use"})),
    ],
)
def test_what_nobody_here_understands_stays_here(model: str, part: ThinkingPart | RawPart) -> None:
    """Another provider's thinking and blocks, thinking without proof, and any thinking for a model that has none."""
    assert [{"type": "message", "role": "assistant", "content": "Yes"}] == items(
        user("Hi"), assistant([part, "Yes"]), model=model
    )[1:]


def test_raw_blocks_go_back() -> None:
    """A block of the provider's own is sent as it came, in its place."""
    block = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    said = assistant([RawPart(provider="openai-responses", block=block), TextPart(text="Found.")])

    assert [block, {"type": "message", "role": "assistant", "content": "Found."}] == items(user("Hi"), said)[1:]


def test_a_service_that_takes_plain_thinking() -> None:
    """Thinking in plain text is a fact of the codec, not code."""
    codec = Responses(quirks=Quirks(signed_thinking=None, unsigned_thinking=True))
    said = assistant([ThinkingPart(text="hm", provider=OPENAI.name), ThinkingPart(), TextPart(text="Yes")])
    sent = json.loads(codec.encode(asked(user("Hi"), said, model="gpt-5"), OPENAI).body)

    assert {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]} == (
        sent["input"][1]
    )
    assert 3 == len(sent["input"])
    assert "include" not in sent


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (ChatRequest(model="", messages=HELLO), "no model"),
        (ChatRequest(model="m"), "no messages: add one with .user(...)"),
        (ChatRequest(model="m", messages=(system("x"),)), "no messages"),
        (asked(top_k=3), "top_k"),
        (asked(seed=3), "seed"),
        (asked(stop=("a",)), "stop"),
        (asked(frequency_penalty=1.0), "penalties"),
        (asked(presence_penalty=1.0), "penalties"),
        (asked(thinking_budget=1024), "reasoning_effort"),
        (asked(tool_choice="required"), "without tools"),
        (asked(tools=(ADD,), tool_choice="sub"), "unknown tool_choice 'sub'"),
        (asked(temperature=float("nan")), "cannot be written as JSON"),
        (asked(provider_options={"x": {1, 2}}), "cannot be written as JSON"),
        (asked(Message(role="system", content=[ImagePart(url="https://e.com/a")]), *HELLO), "user message"),
        (asked(*HELLO, assistant([FilePart(data=b"%PDF")])), "user message"),
        (asked(user([ImagePart(data=b"\x00", media_type="image/tiff")])), "image/tiff"),
        (asked(response_format=ResponseFormat(type="schema", schema={"type": "object"})), "additionalProperties"),
        (asked(headers={"X-A": "a\r\nb"}), "X-A"),
        (asked(headers={"authorization": "Bearer x"}), "api_key"),
    ],
)
def test_what_is_refused_before_it_is_sent(request_: ChatRequest, says: str) -> None:
    """What the API cannot do, or no request can carry, is a ConfigError that says what to do."""
    with pytest.raises(ConfigError) as caught:
        OPENAI.codec.encode(request_, OPENAI)

    assert says in str(caught.value)


# -- an answer that is kept


def test_how_a_kept_answer_is_asked_for_again() -> None:
    """With a GET of its id, whatever that looks like, the key apart and the user's headers along."""
    request = asked(user("Hi"), headers={"X-Org": "fox"}, provider_options={"background": True})
    sent = OPENAI.codec.encode_again(request, OPENAI, "resp/1?x")

    assert ("GET", b"") == (sent.method, sent.body)
    assert "https://api.openai.com/v1/responses/resp%2F1%3Fx?stream=true" == sent.url
    assert ("text/event-stream", "fox") == (sent.headers["Accept"], sent.headers["X-Org"])
    assert f"Bearer {KEY}" == sent.secrets["Authorization"].expose()


@pytest.mark.parametrize("options", [{}, {"background": False}, {"store": True}])
def test_others_are_not_kept(options: dict[str, Any]) -> None:
    """It says what to ask for."""
    with pytest.raises(ConfigError, match='"background": True, "store": True'):
        OPENAI.codec.encode_again(asked(user("Hi"), provider_options=options), OPENAI, "resp_1")


# -- the names of models


def test_how_models_are_asked_for() -> None:
    """With a GET of the list, and the key apart."""
    sent = OPENAI.codec.list_models(OPENAI)

    assert ("GET", "https://api.openai.com/v1/models", b"") == (sent.method, sent.url, sent.body)
    assert f"Bearer {KEY}" == sent.secrets["Authorization"].expose()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"object": "list", "data": [{"id": "gpt-5"}, {"id": "o4-mini"}]}, ["gpt-5", "o4-mini"]),
        ([{"id": "gpt-5"}], ["gpt-5"]),
        ({"data": [{"id": ""}, {"id": 5}, {}, None, "x", {"id": "m"}]}, ["m"]),
        ({"data": None}, []),
        (None, []),
        ("x", []),
        (5, []),
    ],
)
def test_the_names_of_models(answer: object, expected: list[str]) -> None:
    """They are read out of the list; what is no model is passed over."""
    assert expected == OPENAI.codec.model_names(answer)


# -- recorded answers


@pytest.mark.parametrize(("expected", "body"), STREAMS)
def test_a_recorded_answer_whole(expected: dict[str, Any], body: bytes) -> None:
    """Every recording, read at once, gives exactly what was said in it."""
    assert {} == difference(expected, decode(OPENAI, [body]))


@pytest.mark.parametrize(("expected", "body"), STREAMS)
def test_a_recorded_answer_byte_by_byte(expected: dict[str, Any], body: bytes) -> None:
    """Every recording, read byte by byte, gives exactly what was said in it."""
    assert {} == difference(expected, decode(OPENAI, (body[i : i + 1] for i in range(len(body)))))


@PROPERTY
@given(st.sampled_from(STREAMS), st.lists(st.integers(0, 100_000), max_size=12))
def test_a_recorded_answer_in_any_blocks(transcript: Any, places: list[int]) -> None:
    """Where the network cuts a recording makes no difference."""
    expected, body = transcript.values

    assert {} == difference(expected, decode(OPENAI, cut(body, places)))


@PROPERTY
@given(st.sampled_from(STREAMS), st.integers(0, 100_000))
def test_a_recording_cut_anywhere(transcript: Any, place: int) -> None:
    """What is cut off gives the beginning of the same chunks, and is complete only if the response's end had come."""
    _, body = transcript.values
    whole, part = decode(OPENAI, [body]), decode(OPENAI, [body[: place % (len(body) + 1)]])
    chunks = part.chunks[:-1] if part.error is None else part.chunks

    assert chunks == whole.chunks[: len(chunks)]
    assert part.response.complete == (part.error is None)
    assert isinstance(part.error, (StreamTruncated, ProviderError)) or part.response.raw_finish_reason


@pytest.mark.parametrize(("expected", "event_"), REPEATED)
def test_the_last_event_alone(expected: dict[str, Any], event_: Event) -> None:
    """It gives all that the deltas did, where it has the output at all."""
    different = difference(expected, decode_events(OPENAI, [[event_]]))

    assert not {"text", "reasoning", "calls", "arguments", "usage", "finish_reason", "complete"} & different.keys()


def _without_ids(value: dict[str, Any]) -> dict[str, Any]:
    return {**_without(value, "item_id"), **({"item": _without(value["item"], "id")} if "item" in value else {})}


def _with_one_id(value: dict[str, Any]) -> dict[str, Any]:
    item = {"item": {**value["item"], "id": "same"}} if "item" in value else {}
    return {**value, **({"item_id": "same"} if "item_id" in value else {}), **item}


def _with_new_ids(value: dict[str, Any]) -> dict[str, Any]:
    item = {"item": {**value["item"], "id": f"new-{next(_NUMBERS)}"}} if "item" in value else {}
    return {**value, **({"item_id": f"new-{next(_NUMBERS)}"} if "item_id" in value else {}), **item}


def _with_one_index(value: dict[str, Any]) -> dict[str, Any]:
    return {**value, "output_index": 0} if "output_index" in value else value


def _without(value: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: said for name, said in value.items() if name not in names}


def _if_not(*endings: str) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    return lambda value: None if value["type"].endswith(endings) else value


_NUMBERS = itertools.count()
CHANGES: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
    "no ids": _without_ids,
    "no indices": lambda value: _without(value, "output_index"),
    "no ids and no indices": lambda value: _without(_without_ids(value), "output_index"),
    "one id for all": _with_one_id,
    "one index for all": _with_one_index,
    "another id in each event": _with_new_ids,
    "another id in each event, one index": lambda value: _with_one_index(_with_new_ids(value)),
    "no event that says a text once more": _if_not("text.done", "part.done", "arguments.done", "input.done"),
    "no event that ends an item": _if_not("item.done"),
    "neither of them": _if_not("text.done", "part.done", "arguments.done", "input.done", "item.done"),
    "no deltas": _if_not(".delta"),
    "no event that begins an item or a part": _if_not("item.added", "part.added"),
    "no output in the last event": lambda value: (
        {**value, "response": _without(value["response"], "output")} if "response" in value else value
    ),
}
LOST = {
    "no deltas": {"aimock-cut-off", "cut-in-a-tool-call", "error-after-text", "failed-after-text"},
    "no event that begins an item or a part": {"cut-in-a-tool-call", "parallel-tools-ids-change"},
    "no output in the last event": {"only-the-last-event", "tail-in-the-last-event"},
}
"""The recordings that say something only in what a change takes away."""


@pytest.mark.parametrize("change", CHANGES)
def test_recordings_of_services_that_do_it_their_own_way(change: str) -> None:
    """Every recording gives the same without what says where an event belongs, and without any of its repetitions."""
    for name, meta, body in EVERY:
        if meta["status"] < 400 and name not in LOST.get(change, ()):
            framer = OPENAI.codec.framer()
            events = [_changed(event, CHANGES[change]) for event in [*framer.feed(body), *framer.finish()]]
            decoded = decode_events(OPENAI, [[event for event in events if event is not None]])

            assert (name, {}) == (name, difference(meta["expected"], decoded))


@pytest.mark.parametrize("late", ["item.added", ("text.done", "part.done", "arguments.done", "input.done")])
def test_recordings_whose_events_come_late(late: str | tuple[str, ...]) -> None:
    """Every recording gives the same where items begin, or parts end, only after the next delta."""
    for name, meta, body in EVERY:
        if meta["status"] < 400 and name != "parallel-tools-ids-change":  # its calls have nothing else in common
            framer = OPENAI.codec.framer()
            events = _late([*framer.feed(body), *framer.finish()], late)

            assert (name, {}) == (name, difference(meta["expected"], decode_events(OPENAI, [events])))


def _late(events: Sequence[Event], late: str | tuple[str, ...]) -> list[Event]:
    told: list[Event] = []
    held: list[Event] = []
    for event in events:
        kind = json.loads(event.data).get("type", "") if event.data.startswith("{") else ""
        if kind.endswith(late):
            held.append(event)
        elif kind.endswith((".delta", "item.done", "completed", "incomplete", "failed")):
            told += [event, *held] if kind.endswith(".delta") else [*held, event]
            held = []
        else:
            told.append(event)
    return [*told, *held]


def _changed(event: Event, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Event | None:
    if not event.data.startswith("{"):
        return event
    value = change(json.loads(event.data))
    return None if value is None else Event(json.dumps(value), event.event)


@pytest.mark.parametrize(("expected", "body"), STREAMS)
def test_recordings_the_ordinary_way(expected: dict[str, Any], body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every recording gives the same without the quick way and without msgspec."""
    monkeypatch.setattr(openai_responses, "_WASTED", 0)
    monkeypatch.setattr(jsontext, "_fast_decode", lambda: None)

    assert {} == difference(expected, decode(OPENAI, [body]))


@pytest.mark.parametrize(("meta", "body"), REFUSED)
def test_a_recorded_error_answer(meta: dict[str, Any], body: bytes) -> None:
    """An error answer becomes an error with its status and the provider's words."""
    error = OPENAI.codec.error("openai-responses", meta["status"], meta["headers"], body)

    assert (RateLimited, meta["status"]) == (type(error), error.status)
    assert error_message(meta["expected"]) in str(error)


# -- answers of all kinds


def said(*events: object, tools: Sequence[Tool] = ()) -> Decoded:
    """What becomes of these events, each a JSON value, a text, or an `Event`."""
    made = [e if isinstance(e, Event) else Event(e if isinstance(e, str) else json.dumps(e)) for e in events]
    return decode_events(OPENAI, [made], asked(tools=tuple(tools)))


def event(type: str, **fields: Any) -> dict[str, Any]:
    """An event of the response."""
    return {"type": f"response.{type}", **fields}


def added(kind: str, id: str | None = None, index: int | None = None, **fields: Any) -> dict[str, Any]:
    """An item begins; what is None is left out."""
    return _item_event("output_item.added", kind, id, index, fields)


def done(kind: str, id: str | None = None, index: int | None = None, **fields: Any) -> dict[str, Any]:
    """An item is whole."""
    return _item_event("output_item.done", kind, id, index, fields)


def _item_event(type: str, kind: str, id: str | None, index: int | None, fields: dict[str, Any]) -> dict[str, Any]:
    item = {"type": kind, "id": id, **fields}
    whole = event(type, output_index=index, item={name: value for name, value in item.items() if value is not None})
    return {name: value for name, value in whole.items() if value is not None}


def delta(
    piece: object, id: str | None = None, index: int | None = None, kind: str = "output_text", **fields: Any
) -> Any:
    """An item grows."""
    whole = event(f"{kind}.delta", item_id=id, output_index=index, delta=piece, **fields)
    return {name: value for name, value in whole.items() if value is not None}


def args(piece: object, id: str | None = None, index: int | None = None) -> Any:
    """A call grows."""
    return delta(piece, id, index, "function_call_arguments")


def call(
    call_id: str | None, arguments: object, name: str = "f", id: str | None = None, **fields: Any
) -> dict[str, Any]:
    """A call in a whole response."""
    return {"type": "function_call", "id": id, "call_id": call_id, "name": name, "arguments": arguments, **fields}


def message(text: str, id: str | None = None, **fields: Any) -> dict[str, Any]:
    """A message in a whole response."""
    return {"type": "message", "id": id, "content": [{"type": "output_text", "text": text, **fields}]}


def ended(*output: object, how: str = "completed", **fields: Any) -> dict[str, Any]:
    """The response has ended."""
    return event(how, response={"id": "r-1", "model": "m-1", "status": how, "output": list(output), **fields})


def calls_of(decoded: Decoded) -> list[tuple[str, str, str]]:
    """Id, name and text of the calls of a response."""
    return [(c.id, c.name, c.input) for c in decoded.response.tool_calls]


TEXT = delta("Hi", "m", 0)
END = ended()


@pytest.mark.parametrize(
    ("events", "text", "thinking"),
    [
        ([TEXT, END], "Hi", ""),
        ([TEXT, TEXT, END], "HiHi", ""),
        ([event("created"), event("created", response=5), {}, TEXT, event("new"), {"type": 5}, END], "Hi", ""),
        (["null", "3", '"x"', "[1]", TEXT, END], "Hi", ""),
        ([Event('{"message":"up"}', "progress"), {"type": "tick", "message": "up"}, {"n": 1}, TEXT, END], "Hi", ""),
        ([Event("", "message"), Event("tick", "ping"), Event("{}", "new-kind"), TEXT, END], "Hi", ""),
        ([Event(json.dumps(delta("H")), "ping"), Event(json.dumps(delta("i")), "heartbeat"), END], "Hi", ""),
        ([delta("Hi"), END], "Hi", ""),
        ([delta(None), delta(""), TEXT, END], "Hi", ""),
        ([Event('{"delta":"Hi"}', "response.output_text.delta"), Event("{}", "response.completed")], "Hi", ""),
        ([TEXT, event("output_text.done", item_id="m", output_index=0, text="Hi"), END], "Hi", ""),
        ([TEXT, event("output_text.done", item_id="m", output_index=0, text="Hi!"), END], "Hi!", ""),
        ([TEXT, event("output_text.done", item_id="m", output_index=0, text="Ho"), END], "Hi", ""),
        ([*map(delta, "Hi there"), event("output_text.done", text="re"), END], "Hi there", ""),
        ([TEXT, event("output_text.done", item_id="m", output_index=0, text=5), END], "Hi", ""),
        ([event("output_text.done", text="Hi"), event("content_part.done", part={"type": "output_text", "text": "Hi"}),
          done("message", content=[{"type": "output_text", "text": "Hi"}]), ended(message("Hi"))], "Hi", ""),
        ([TEXT, done("message", "n", content=[{"text": "Hi"}]), ended(message("Hi", "o"))], "Hi", ""),
        ([added("message", "m"), delta("H", "n"), delta("i", "o"), done("message", "p", content=[{"text": "Hi"}]),
          ended(message("Hi", "q"))], "Hi", ""),
        ([delta("H"), delta("i"), done("message", "m", 0, content=[{"text": "Hi"}]), END], "Hi", ""),
        ([event("content_part.done", item_id="m", part={"type": "output_text", "text": "Hi"}), END], "Hi", ""),
        ([event("content_part.done", part={"type": "new"}), event("content_part.done", part=5), TEXT, END], "Hi", ""),
        ([done("message", content="Hi"), END], "Hi", ""),
        ([done("message", content=["H", {"text": "i"}, {"text": 5}, 7, None]), END], "Hi", ""),
        ([ended(message("Hi"))], "Hi", ""),
        ([ended(message("Hi", "m"), message("Hi", "m"))], "HiHi", ""),
        ([TEXT, ended(message("Hi", "m"))], "Hi", ""),
        ([TEXT, ended(message("Hi", "other"))], "Hi", ""),
        ([TEXT, ended(message("Hi!", "other"))], "Hi!", ""),
        ([TEXT, ended(message("Before.", "x"), message("Hi", "y"))], "HiBefore.", ""),
        ([added("message", "a", 0), delta("One", "a", 0), done("message", "a", 0, content=[{"text": "One"}]),
          added("message", "b", 0), delta("Two", "b", 0), done("message", "b", 0, content=[{"text": "Two"}]),
          ended(message("One", "c"), message("Two", "d"))], "OneTwo", ""),
        ([delta("One", "m", 0), event("output_text.done", item_id="m", output_index=0, text="One"),
          delta("Two", "m", 0), event("output_text.done", item_id="m", output_index=0, text="Two!"),
          done("message", "m", 0, content=[{"text": "One"}, {"text": "Two!"}]), END], "OneTwo!", ""),
        ([TEXT, done("message", "m", 0, content=[{"text": "Hi"}]), delta(" again", "m", 0),
          done("message", "m", 0, content=[{"text": " again"}]), END], "Hi again", ""),
        ([TEXT, END, "[DONE]", delta("late"), "no JSON"], "Hi", ""),
        ([TEXT, END, delta("late")], "Hi", ""),
        ([TEXT, ended(call("a", "{}")), " [DONE] ", "no JSON"], "Hi", ""),
        ([TEXT, done("message", "m", 0, content=[{"text": "Hi"}]),
          event("output_text.done", item_id="m", output_index=0, text="Hi there"), END], "Hi", ""),
        # deltas before the item begins
        ([delta("H", "m", 0), added("message", "m", 0), delta("i", "m", 0),
          done("message", "m", 0, content=[{"text": "Hi"}]), ended(message("Hi", "m"))], "Hi", ""),
        ([delta("H"), added("message", "m", 0), delta("i", "m", 0), ended(message("Hi", "m"))], "Hi", ""),
        ([TEXT, added("message", "m", 0), ended(message("Hi", "m"))], "Hi", ""),
        ([delta("h", "r", 0, "reasoning_summary_text"), added("reasoning", "r", 0, summary=[]),
          delta("m", "r", 0, "reasoning_summary_text"), done("reasoning", "r", 0, summary=[{"text": "hm"}]),
          TEXT, ended({"type": "reasoning", "id": "r", "summary": [{"text": "hm"}]}, message("Hi", "m"))], "Hi", "hm"),
        ([TEXT, done("message", "m", 0, content=[{"text": "Hi"}]), added("message", "n", 0), delta("Ho", "n", 0),
          ended(message("Hi", "m"), message("Ho", "n"))], "HiHo", ""),
        # messages that nothing announces, at one index
        ([TEXT, delta("Ho", "n", 0), ended(message("Hi", "m"), message("Ho", "n"))], "HiHo", ""),
        ([delta("h", "r", 0, "reasoning_text"), delta("m", "s", 0, "reasoning_text"), TEXT,
          ended({"type": "reasoning", "id": "r", "content": ["h"]}, {"type": "reasoning", "id": "s", "content": ["m"]},
                message("Hi", "m"))], "Hi", "hm"),
        ([TEXT, ended(how="done") | {"response": {"status": "completed"}}], "Hi", ""),
        ([TEXT, event("completed", response={"status": 5, "output": {"type": 5}})], "Hi", ""),
        ([delta("hm", "r", 0, "reasoning_text"), delta("Hi", "m", 1), END], "Hi", "hm"),
        ([delta("hm", "r", 0, "reasoning_summary_text"), TEXT, END], "Hi", "hm"),
        ([delta("hm", "r", 0, "reasoning"), TEXT, END], "Hi", "hm"),
        ([delta("hm", "r", 0, "reasoning_summary_text"), event("reasoning_summary_text.done", item_id="r", text="hm"),
          event("reasoning_summary_part.done", item_id="r", part={"type": "summary_text", "text": "hm"}),
          done("reasoning", "r", 0, summary=[{"type": "summary_text", "text": "hm"}], content=[{"text": "all of it"}]),
          TEXT, END], "Hi", "hm"),
        ([delta("a", "r", 0, "reasoning_summary_text"), delta("b", "r", 0, "reasoning_text"),
          done("reasoning", "r", 0, summary=[{"text": "a"}], content=[{"text": "b"}]), TEXT, END], "Hi", "ab"),
        ([done("reasoning", summary=[{"type": "summary_text", "text": "hm"}]), TEXT, END], "Hi", "hm"),
        ([ended({"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]}, message("Hi"))],
         "Hi", "hm"),
        ([done("reasoning", "r", content=[{"text": "m"}], summary=[{"text": "h"}]), TEXT,
          ended({"type": "reasoning", "id": "r", "summary": [{"text": "h"}], "content": [{"text": "m"}]})], "Hi", "hm"),
        ([delta("\x00 \u2028"), END], "\x00 \u2028", ""),
        ([delta("\ud83d"), delta("\ude00"), done("message", content=[{"text": "😀"}]), END], "😀", ""),
        ([delta("a\ud83d"), delta("b"), END], "a\ufffdb", ""),
    ],
)  # fmt: skip
def test_text_and_thinking(events: list[object], text: str, thinking: str) -> None:
    """Text and thinking come whole, once and apart, whichever of deltas, parts, items and the response has them."""
    decoded = said(*events)

    assert (text, thinking, None) == (decoded.response.text, decoded.response.thinking, decoded.error)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (["a0", "b1", "c2", "a0.", "b1.", "c2."], "abc"),
        (["a0", "b1", "b1.", "a0."], "ab"),
        (["a0", "b1", "a0.", "b1", "bb1."], "abb"),
        (["a0", "b1", "a0", "b1", "aa0.", "bb1."], "abab"),
        (["a0.", "b1.", "c2.", "a0.", "b1.", "c2."], "abc"),
        (["a0", "a0.", "b1.", "a0."], "ab"),
        (["a0", "b1", "a0.", "bc1."], "abc"),
        (["a0", "a0.", "b1", "bc1."], "abc"),
        (["a0", "b1", "a0", "b1.", "b1"], "abab"),
    ],
)
@pytest.mark.parametrize(
    ("kind", "name"), [("output_text", "content_index"), ("reasoning_summary_text", "summary_index")]
)
def test_parts_that_end_late(told: list[str], expected: str, kind: str, name: str) -> None:
    """Parts of an item come once each, though their ends come after others have begun, in any order."""
    decoded = said(*(_of_part(one, kind, name) for one in told), END)

    assert (expected, None) == (decoded.response.text + decoded.response.thinking, decoded.error)


def _of_part(told: str, kind: str, name: str) -> dict[str, Any]:
    """An event of part 1 of an item: "b1" is a delta, "b1." the end."""
    text, index = told.rstrip(".")[:-1], int(told.rstrip(".")[-1])
    part = {"item_id": "i", "output_index": 0, name: index}
    whole = told.endswith(".")
    return event(f"{kind}.done", text=text, **part) if whole else event(f"{kind}.delta", delta=text, **part)


A, B = ("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')
ADD_A: dict[str, Any] = {"call_id": "a", "name": "f"}
ADD_B: dict[str, Any] = {"call_id": "b", "name": "g"}
DONE_A, DONE_B = {**ADD_A, "arguments": A[2]}, {**ADD_B, "arguments": B[2]}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([added("function_call", "1", 0, **ADD_A, arguments=""), args('{"x"', "1", 0), args(":1}", "1", 0)], [A]),
        ([added("function_call", **ADD_A), args('{"x"'), args(":1}")], [A]),
        ([added("function_call", **ADD_A, arguments=A[2])], [A]),
        ([added("function_call", **ADD_A, arguments="{}"), args(A[2])], [A]),
        ([added("function_call", **ADD_A), done("function_call", **DONE_A)], [A]),
        ([done("function_call", "1", 0, **DONE_A)], [A]),
        ([done("function_call", "1", 0, **DONE_A)] * 2, [A]),
        ([added("function_call", "1", 0, **ADD_A)] * 2 + [args(A[2], "1", 0)], [A]),
        ([done("function_call", **{**ADD_A, "arguments": {"x": 1}})], [("a", "f", '{"x": 1}')]),
        ([done("function_call", **ADD_A)], [("a", "f", "")]),
        ([done("function_call", "1", name="f", arguments="{}")], [("1", "f", "{}")]),
        ([added("function_call", **ADD_A), event("function_call_arguments.done", arguments=A[2])], [A]),
        ([event("function_call_arguments.done", item_id="1", call_id="a", name="f", arguments=A[2])], [A]),
        ([args('{"x":', "1"), args("1}", "1"), done("function_call", "1", **DONE_A)], [A]),
        ([args('{"x":', "1"), args('{"y":', "2"), args("1}", "1"), args("2}", "2"),
          done("function_call", "1", **DONE_A), done("function_call", "2", **DONE_B)], [A, B]),
        ([args('{"x":', "1", 0), args('{"y":', "2", 0), args("1}", "1", 0), args("2}", "2", 0),
          done("function_call", "1", 0, **DONE_A), done("function_call", "2", 0, **DONE_B)], [A, B]),
        # interleaved, with ids and indices
        ([added("function_call", "1", 0, **ADD_A), added("function_call", "2", 1, **ADD_B), args('{"y"', "2", 1),
          args('{"x"', "1", 0), args(":2}", "2", 1), args(":1}", "1", 0)], [A, B]),
        # deltas with one of the two
        ([added("function_call", "1", 0, **ADD_A), added("function_call", "2", 1, **ADD_B), args('{"y"', "2"),
          args('{"x"', "1"), args(":2}", None, 1), args(":1}", None, 0)], [A, B]),
        # one id for all, one index for all
        ([added("function_call", "1", 0, **ADD_A), added("function_call", "1", 1, **ADD_B), args('{"y"', "1", 1),
          args('{"x"', "1", 0), args(":2}", "1", 1), args(":1}", "1", 0)], [A, B]),
        ([added("function_call", "1", 0, **ADD_A), added("function_call", "2", 0, **ADD_B), args('{"y"', "2", 0),
          args('{"x"', "1", 0), args(":2}", "2", 0), args(":1}", "1", 0)], [A, B]),
        # nothing that tells them apart but the call's id: the item's own text counts
        ([added("function_call", **ADD_A), added("function_call", **ADD_B), args(A[2]), args(B[2]),
          done("function_call", **DONE_A), done("function_call", **DONE_B)], [A, B]),
        # another id in each event
        ([added("function_call", "1", 0, **ADD_A), args(A[2], "2", 0), done("function_call", "3", 0, **DONE_A),
          added("function_call", "4", 1, **ADD_B), args(B[2], "5", 1), done("function_call", "6", 1, **DONE_B),
          ended(call("a", A[2], id="7"), call("b", B[2], "g", id="8"))], [A, B]),
        ([added("function_call", "1", **ADD_A), args(A[2], "2"), done("function_call", "3", **DONE_A),
          added("function_call", "4", **ADD_B), args(B[2], "5"), done("function_call", "6", **DONE_B)], [A, B]),
        # the same call id for two calls
        ([added("function_call", "1", 0, **ADD_A), args(A[2], "1", 0), done("function_call", "1", 0, **DONE_A),
          added("function_call", "2", 1, call_id="a", name="g"), args(B[2], "2", 1),
          done("function_call", "2", 1, call_id="a", name="g", arguments=B[2])], [A, ("a", "g", B[2])]),
        ([done("function_call", "1", 0, **DONE_A), done("function_call", "2", 1, **{**DONE_A, "arguments": "{}"})],
         [A, ("a", "f", "{}")]),
        ([event("function_call_arguments.done", item_id="1", output_index=0, call_id="a", name="f", arguments=A[2]),
          done("function_call", "1", 0, **DONE_A),
          event("function_call_arguments.done", item_id="2", output_index=1, call_id="a", name="f", arguments="{}"),
          ended(call("a", A[2], id="1"), call("a", "{}", id="2"))], [A, ("a", "f", "{}")]),
        # the same call, said again with another id or another index
        ([done("function_call", "1", 0, **DONE_A), done("function_call", "2", 0, **DONE_A)], [A]),
        ([done("function_call", "1", 0, **DONE_A), done("function_call", "1", 1, **DONE_A)], [A]),
        # a delta before the call begins
        ([args('{"x"', "1", 0), added("function_call", "1", 0, **ADD_A), args(":1}", "1", 0),
          done("function_call", "1", 0, **DONE_A), ended(call("a", A[2], id="1"))], [A]),
        ([args('{"x"'), added("function_call", "1", 0, **ADD_A), args(":1}", "1", 0)], [A]),
        ([args('{"x"', "1"), added("function_call", "1", 0, **ADD_A), args(":1}", None, 0)], [A]),
        ([args('{"x"', "1", 0), args('{"y"', "2", 1), added("function_call", "2", 1, **ADD_B), args(":2}", "2", 1),
          added("function_call", "1", 0, **ADD_A), args(":1}", "1", 0)], [B, A]),
        # only the response has them
        ([ended(call("a", A[2]), call("b", B[2], "g"))], [A, B]),
        ([done("function_call", **DONE_A), ended(call("a", A[2]), call("b", B[2], "g"))], [A, B]),
        ([added("function_call", "1", 0, **ADD_A), args('{"x"', "1", 0), ended(call("a", A[2], id="1"))], [A]),
        ([args('{"x"', "1", 0), ended(call("a", A[2], id="2"))], [A]),
        ([ended(call("b", B[2], "g"), call("a", A[2]))], [B, A]),
        ([ended(call(None, "{}"), call(None, "{}"))], [("", "f", "{}")] * 2),
        # fields of the wrong type
        ([event("output_item.added", item=5), event("output_item.done", item=None), event("output_item.done", item={}),
          added("function_call", 5, [], **ADD_A), args(A[2], {}, "x")], [A]),  # type: ignore[arg-type]
        ([added("function_call", "1", True, **ADD_A), args(A[2], "1", 0)], [A]),
        # a delta that went wrong
        ([added("function_call", **ADD_A), args('{"x'), done("function_call", **{**ADD_A, "arguments": '{"z":3}'})],
         [("a", "f", '{"z":3}')]),
        ([added("function_call", **ADD_A), args('{"x": 1}'), done("function_call", **DONE_A)],
         [("a", "f", '{"x": 1}')]),
    ],
)  # fmt: skip
def test_tool_calls(events: list[object], expected: list[tuple[str, str, str]]) -> None:
    """Calls are put together whatever a service does with item ids and indices, in the order they first appeared."""
    decoded = said(*events, *([] if "completed" in str(events[-1]) else [END]))

    assert (expected, None) == (calls_of(decoded), decoded.error)
    assert "tool_calls" == decoded.response.finish_reason
    assert all(c.complete for c in decoded.response.tool_calls)


def test_the_chunks_of_a_call() -> None:
    """A call begins, grows by the pieces received and is given whole as soon as it is."""
    decoded = said(
        TEXT,
        added("function_call", "1", 1, **ADD_A),
        args('{"x"', "1", 1),
        args(":1}", "1", 1),
        done("function_call", "1", 1, **DONE_A),
        delta("Done.", "n", 2),
        END,
    )

    assert ["text", "tool_call_start", "tool_call_delta", "tool_call_delta", "tool_call", "text", "step_finish"] == [
        c.type for c in decoded.chunks
    ]
    assert {"x": 1} == decoded.response.tool_calls[0].arguments


def test_a_call_of_free_text() -> None:
    """A custom tool's input is no JSON, and whole all the same; it has no arguments."""
    grown = delta("SELECT", "1", 0, "custom_tool_call_input")
    whole: dict[str, Any] = {"call_id": "a", "name": "sql", "input": "SELECT 1"}
    decoded = said(
        added("custom_tool_call", "1", 0, call_id="a", name="sql"),
        grown,
        done("custom_tool_call", "1", 0, **whole),
        END,
    )
    made = decoded.response.tool_calls[0]

    assert ("SELECT 1", None, True) == (made.input, made.arguments, made.complete)
    assert {"custom": True} == next(c for c in decoded.chunks if c.type == "tool_call").metadata


def test_a_call_that_xai_answers_itself() -> None:
    """A search of X comes as a call of a custom tool; it is xAI's own, and kept as any that runs at the provider."""
    block = {"type": "custom_tool_call", "id": "1", "call_id": "xs_1", "name": "x_keyword_search", "input": "{}"}
    decoded = said(
        event("output_item.added", output_index=0, item={**block, "input": ""}),
        delta("{}", "1", 0, "custom_tool_call_input"),
        event("custom_tool_call_input.done", item_id="1", output_index=0, input="{}"),
        event("output_item.done", output_index=0, item=block),
        delta("Found.", "m", 1),
        ended(block, message("Found.", "m")),
    )

    assert ("Found.", (), "stop") == (
        decoded.response.text,
        decoded.response.tool_calls,
        decoded.response.finish_reason,
    )
    assert RawPart(provider=OPENAI.name, block=block) == decoded.response.messages[0].content[0]


@pytest.mark.parametrize("kind", ["function_call", "custom_tool_call"])
@pytest.mark.parametrize("text", ["", "{}", '{"x": tru'])
def test_a_call_that_the_token_limit_cut(kind: str, text: str) -> None:
    """It is kept exactly, marked, and not complete, though its text may be JSON by chance."""
    field = "arguments" if kind == "function_call" else "input"
    limit = ended(how="incomplete", incomplete_details={"reason": "max_output_tokens"})
    for events in (
        [done(kind, "1", 0, **ADD_A, status="incomplete", **{field: text})],
        [added(kind, "1", 0, **ADD_A), event(f"{kind}_{field}.done", item_id="1", output_index=0, **{field: text})],
    ):
        decoded = said(*events, limit)
        made = decoded.response.tool_calls[0]

        assert (text, False, "length") == (made.input, made.complete, decoded.response.finish_reason)


def test_half_a_call_is_never_whole() -> None:
    """A stream that is cut within a call gives no whole call, though its text may be JSON by chance."""
    decoded = said(added("function_call", **ADD_A), args("{}"))

    assert [] == [c for c in decoded.chunks if c.type == "tool_call"]
    assert [False] == [c.complete for c in decoded.response.tool_calls]
    assert isinstance(decoded.error, StreamTruncated)


@pytest.mark.parametrize(
    ("events", "raw", "expected"),
    [
        ([END], "completed", "stop"),
        ([ended(how="incomplete", incomplete_details={"reason": "max_output_tokens"})], "incomplete", "length"),
        ([ended(how="incomplete", incomplete_details={"reason": "content_filter"})], "incomplete", "content_filter"),
        ([ended(how="incomplete", incomplete_details={"reason": "brand_new"})], "incomplete", "other"),
        ([ended(how="incomplete", incomplete_details=None)], "incomplete", "other"),
        ([event("completed", response={"status": "incomplete"})], "incomplete", "other"),
        ([event("completed", response={"status": "brand_new"})], "brand_new", "other"),
        ([event("completed", response={"status": "in_progress"})], "in_progress", "stop"),
        ([event("completed", response={"output": []})], "completed", "stop"),
        ([event("completed")], "completed", "stop"),
        ([delta("no", kind="refusal"), END], "completed", "content_filter"),
        ([done("shell_call", call_id="s", action={}), END], "completed", "other"),
        ([done("shell_call", call_id="s"), done("shell_call_output", call_id="s"), END], "completed", "stop"),
        ([done("web_search_call", "w"), END], "completed", "stop"),
        ([done("mcp_approval_request", "w"), END], "completed", "other"),
        ([done("function_call", **DONE_A), END], "completed", "tool_calls"),
        (
            [done("function_call", **DONE_A), ended(how="incomplete", incomplete_details={"reason": "length"})],
            "incomplete",
            "length",
        ),
    ],
)
def test_finish_reasons(events: list[object], raw: str, expected: str) -> None:
    """The status becomes a reason of ours, by what was seen, and stays readable."""
    response = said(TEXT, *events).response

    assert (raw, expected, True) == (response.raw_finish_reason, response.finish_reason, response.complete)


def test_a_refusal() -> None:
    """It is no text: its pieces are metadata of chunks without text, all of it is the response's, and it shows."""
    decoded = said(
        delta("I can ", "m", 0, "refusal"),
        event("refusal.done", item_id="m", output_index=0, refusal="I can not."),
        event("content_part.done", item_id="m", output_index=0, part={"type": "refusal", "refusal": "I can not."}),
        ended({"type": "message", "id": "m", "content": [{"type": "refusal", "refusal": "I can not."}]}),
    )

    assert ["I can ", "not."] == [c.metadata["refusal"] for c in decoded.chunks if c.type == "text"]
    assert ("", "content_filter") == (decoded.response.text, decoded.response.finish_reason)
    assert {"openai-responses": {"refusal": "I can not."}} == decoded.response.provider_metadata


BLOCK = {"type": "web_search_call", "id": "w", "status": "completed", "action": {"query": "é\ud83d"}}
SCRUBBED = {**BLOCK, "action": {"query": "é\ufffd"}}


@pytest.mark.parametrize(
    "events",
    [
        [added("web_search_call", "w", 0), event("web_search_call.searching", item_id="w"),
         event("output_item.done", output_index=0, item=BLOCK), ended(BLOCK)],
        [event("output_item.done", output_index=0, item=BLOCK), ended(BLOCK)],
        [event("output_item.done", item=BLOCK), ended({**BLOCK, "id": "another"})],
        [ended(BLOCK)],
    ],
)  # fmt: skip
def test_what_runs_at_the_provider(events: list[object]) -> None:
    """Its item is kept as it is, once, and goes back in the next turn; it is no call for us."""
    response = said(*events).response

    assert (Message(role="assistant", content=[RawPart(provider=OPENAI.name, block=SCRUBBED)]),) == response.messages
    assert ((), "stop") == (response.tool_calls, response.finish_reason)
    assert [SCRUBBED] == items(user("Hi"), *response.messages)[1:]


def test_thinking_comes_and_goes_back() -> None:
    """What a turn brought is what the next one sends, in its order."""
    whole: dict[str, Any] = {"summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "gB"}
    decoded = said(
        added("reasoning", "r", 0, encrypted_content="gA", summary=[]),
        delta("hm", "r", 0, "reasoning_summary_text"),
        done("reasoning", "r", 0, **whole),
        added("function_call", "1", 1, **ADD_A),
        done("function_call", "1", 1, **DONE_A),
        done("reasoning", "q", 2, encrypted_content="gC"),
        delta("Hi", "m", 3),
        ended({"type": "reasoning", "id": "x", **whole, "encrypted_content": "gD"}),
    )

    assert items(user("Hi"), *decoded.response.messages)[1:] == [
        {"type": "reasoning", **whole},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": A[2]},
        {"type": "reasoning", "summary": [], "encrypted_content": "gC"},
        {"type": "message", "role": "assistant", "content": "Hi"},
    ]


URL = {"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 3, "end_index": 9}
FILE = {"type": "file_citation", "file_id": "f", "filename": "F.pdf", "index": 7}


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ([URL, URL], [("https://a.example", "A", None)]),
        ([URL, {**URL, "start_index": 20}], [("https://a.example", "A", None)] * 2),
        ([{"type": "url_citation", "url_citation": URL}], [("https://a.example", "A", None)]),
        ([FILE, FILE, {**FILE, "index": 8}], [(None, "F.pdf", "f")] * 2),
        ([{"type": "container_file_citation", "container_id": "c", "file_id": "f"}], [(None, None, "f")]),
        ([None, 5, {}, {"type": 5}, {"type": "url_citation", "url": 7}, []], []),
    ],
)
def test_citations(annotations: list[Any], expected: list[tuple[str | None, str | None, str | None]]) -> None:
    """Each citation comes once as a source, though items and the response repeat it."""
    told = [event("output_text.annotation.added", item_id="m", annotation=annotation) for annotation in annotations]
    whole = [{"type": "output_text", "text": "Hi", "annotations": annotations}]
    part = event("content_part.done", item_id="m", output_index=0, part=whole[0])
    for events in ([*told, part, done("message", "m", 0, content=whole)], [part], []):
        decoded = said(TEXT, *events, ended({"type": "message", "id": "m", "content": whole}))

        assert expected == [(s.url, s.title, s.id) for s in decoded.response.sources]
        assert "Hi" == decoded.response.text


def test_what_a_source_says() -> None:
    """What has no field of its own is metadata: where in the text it belongs, for one."""
    decoded = said(event("output_text.annotation.added", annotation={**URL, "none": None}), END)

    assert (Source(url="https://a.example", title="A", metadata={"start_index": 3, "end_index": 9}),) == (
        decoded.response.sources
    )


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([], Usage()),
        ([None, {}, 5], Usage()),
        (
            [{"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}],
            Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3, source="reported"),
        ),
        (
            [{"input_tokens": 1, "output_tokens": 1}, {"input_tokens": 1, "output_tokens": 5}],
            Usage(prompt_tokens=1, completion_tokens=5, total_tokens=6, source="reported"),
        ),
        (
            [
                {
                    "input_tokens": 9,
                    "output_tokens": 5,
                    "total_tokens": 14,
                    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
                    "output_tokens_details": {"reasoning_tokens": 3},
                }
            ],
            Usage(
                prompt_tokens=9,
                completion_tokens=5,
                total_tokens=14,
                reasoning_tokens=3,
                cache_read_tokens=4,
                cache_write_tokens=2,
                source="reported",
            ),
        ),
        ([{"input_tokens": -1, "output_tokens": float("nan"), "total_tokens": "7"}], Usage()),
        ([{"input_tokens": True, "input_tokens_details": 3}], Usage()),
    ],
)
def test_usage(reports: list[Any], expected: Usage) -> None:
    """The last report counts and none is added up; what is no count is none; nothing said is unknown."""
    last: dict[str, Any] = next((r for r in reversed(reports) if type(r) is dict and r), {})
    decoded = said(*(event("in_progress", response={"usage": report}) for report in reports), ended(usage=None))

    assert expected == attrs.evolve(decoded.response.usage, raw={})
    assert str(last) == str(dict(decoded.response.usage.raw))


def test_metadata() -> None:
    """What the provider says of the answer is kept, but not what repeats the request; the last id and model count."""
    first = event("created", response={"id": "r-0", "model": "gpt-5", "service_tier": "auto"})
    told: dict[str, Any] = {
        "service_tier": "default",
        "temperature": 1,
        "tools": [1],
        "incomplete_details": None,
        "moderation": "ok",
    }
    decoded = said(first, done("message", "m", 0, content=[], phase="final_answer"), ended(**told) | {"cost": 5})

    assert {
        "openai-responses": {"phase": "final_answer", "service_tier": "default", "moderation": "ok", "cost": 5}
    } == decoded.response.provider_metadata
    assert ("r-1", "m-1") == (decoded.response.response.id, decoded.response.response.model)


def test_log_probabilities() -> None:
    """They are metadata of the text they belong to; an empty list is none."""
    decoded = said(delta("Hi", logprobs=[{"token": "Hi", "logprob": -0.5}]), delta("!", logprobs=[]), END)

    assert [{"logprobs": [{"token": "Hi", "logprob": -0.5}]}, {}] == [
        c.metadata for c in decoded.chunks if c.type == "text"
    ]


# -- ends and errors


@pytest.mark.parametrize(
    "events",
    [
        [],
        [TEXT],
        ["[DONE]"],
        [TEXT, "[DONE]"],
        [event("completed")],
        [event("completed", response=None), event("incomplete", response=[])],
        [event("created", response={"status": "completed"}), TEXT],
        [TEXT, done("message", "m", 0, content=[{"text": "Hi"}])],
        [json.dumps({"object": "response", "status": "queued", "output": []})],
    ],
)
def test_truncated_answers(events: list[object]) -> None:
    """An answer without an end, or an end without an answer, is an error; what had come is kept."""
    decoded = said(*events)

    assert isinstance(decoded.error, StreamTruncated)
    assert ("Hi" if TEXT in events else "") == decoded.response.text


@pytest.mark.parametrize("end", [END, ended(how="incomplete"), ended(how="done")])
def test_nothing_is_awaited_after_the_end(end: object) -> None:
    """The event that ends the response ends the answer, whether the server closes or not."""
    decoder = OPENAI.codec.decoder(asked(), OPENAI)
    decoder.feed([Event(json.dumps(end)), Event("no JSON")])

    assert decoder.finished


@pytest.mark.parametrize(("tools", "finished"), [((), False), ((Tool(name="f"),), True), ((Tool(name="g"),), False)])
def test_calls_that_are_not_ours_may_be_answered_elsewhere(tools: Sequence[Tool], finished: bool) -> None:
    """A gateway that runs tools goes on in the same body; a call of our caller's tools ends the answer at once."""
    decoder = OPENAI.codec.decoder(asked(tools=tuple(tools)), OPENAI)
    decoder.feed([Event(json.dumps(ended(call("a", "{}"))))])

    assert finished == decoder.finished
    assert "tool_calls" == decoder.end()[-1].finish_reason  # type: ignore[union-attr]


@pytest.mark.parametrize("begins", [event("created", response={}), added("message", "m", 0)])
def test_a_response_that_follows_another(begins: object) -> None:
    """Items of the next response are its own, though their ids and indices are the same; its end is the end."""
    first = [added("function_call", "1", 0, **ADD_A), ended(call("a", "{}"))]
    cut_off = said(*first, begins, delta("Hi", "1", 0))
    whole = said(*first, begins, delta("Hi", "1", 0), ended(message("Hi", "1"), usage={"input_tokens": 3}))

    assert isinstance(cut_off.error, StreamTruncated)
    assert ("Hi", "stop", 3) == (
        whole.response.text,
        whole.response.finish_reason,
        whole.response.usage.prompt_tokens,
    )


BROKEN = {"type": "server_error", "code": "server_error", "message": "it broke"}


@pytest.mark.parametrize(
    ("event_", "error", "says"),
    [
        ({"type": "error", "error": BROKEN}, ServerError, "it broke"),
        ({"type": "error", "code": "rate_limit_exceeded", "message": "slow down", "param": None}, RateLimited, "slow"),
        ({"type": "error", "code": None, "message": "odd"}, ProviderError, "odd"),
        ({"type": "response.error", "error": {"code": "server_error", "message": "m"}}, ServerError, "m"),
        ({"error": BROKEN}, ServerError, "it broke"),
        ({"error": "all is lost"}, ProviderError, "all is lost"),
        ({"type": "error", "error": {}}, ProviderError, "error"),
        ([{"error": {"message": "boom"}}], ProviderError, "boom"),
        ({"detail": "boom"}, ProviderError, "boom"),
        ({"code": 500, "msg": "boom"}, ServerError, "boom"),
        ({"code": 500, "message": "boom"}, ServerError, "boom"),
        ({"errors": [{"message": "boom"}]}, ProviderError, "boom"),
        ({"type": "invalid_request_error", "message": "boom"}, BadRequest, "boom"),
        ({"base_resp": {"status_code": 1002, "status_msg": "boom"}}, RateLimited, "boom"),
        (Event(json.dumps({"message": "named"}), "error"), ProviderError, "named"),
        (Event("plain words", "error"), ProviderError, "plain words"),
        (Event('"quoted"', "error"), ProviderError, "quoted"),
        (ended(how="failed", error={"code": "server_error", "message": "broken"}), ServerError, "broken"),
        (ended(how="failed", error={"code": "empty_image_file", "message": "odd"}), BadRequest, "odd"),
        (ended(how="failed", error={"code": "image_parse_error", "message": "odd"}), BadRequest, "odd"),
        (
            ended(how="failed", error={"code": "image_content_policy_violation", "message": "odd"}),
            ContentFiltered,
            "odd",
        ),
        (ended(how="failed", error={"code": "invalid_api_key", "message": "odd"}), Unauthorized, "odd"),
        (ended(how="failed", error=None), ProviderError, "the response failed"),
        (event("failed"), ProviderError, "the response failed"),
        (ended(how="cancelled"), ProviderError, "the response was cancelled"),
        (event("done", response={"status": "failed", "error": {"message": "m"}}), ProviderError, "m"),
    ],
)
def test_errors(event_: object, error: type[ProviderError], says: str) -> None:
    """An error in the stream ends it with the class its status would have had, after what came."""
    for decoded in (said(TEXT, event_), said(TEXT, event_, END)):
        assert type(decoded.error) is error
        assert says in str(decoded.error)
        assert ("Hi", False) == (decoded.response.text, decoded.response.complete)


@pytest.mark.parametrize("after", [TEXT, END, "[DONE]", "no JSON"])
def test_nothing_makes_good_an_error(after: object) -> None:
    """What follows OpenAI's error event may tell the status, and no more."""
    decoded = said(TEXT, TEXT, TEXT, {"type": "error", "error": BROKEN}, after)

    assert isinstance(decoded.error, (ServerError, DecodeError))
    assert "HiHiHi" == decoded.response.text


@pytest.mark.parametrize(
    "between",
    [[], [{"type": "new"}], [event("new"), "{}", "3"], [Event("tick", "ping")], [Event("{}", "codex.rate_limits")]],
)
def test_an_error_and_the_status_after_it(between: list[object]) -> None:
    """OpenAI's error event is followed by the failed response, whose status is kept, whatever else comes between."""
    failed = ended(how="failed", error={"message": "less"}, usage={"x": 1})
    decoded = said({"type": "error", "error": BROKEN}, *between, failed)

    assert (ServerError, "failed", {"x": 1}) == (
        type(decoded.error),
        decoded.response.raw_finish_reason,
        dict(decoded.response.usage.raw),
    )
    assert "it broke" in str(decoded.error)


def test_the_first_error_counts() -> None:
    """A second error is not what the answer failed of."""
    assert "it broke" in str(said({"type": "error", "error": BROKEN}, {"error": {"message": "less"}}).error)


@pytest.mark.parametrize(
    "event_", ["no JSON", "{", json.dumps(TEXT)[:-2], delta(42), delta({"text": "x"}), args([1]), delta(True)]
)
def test_what_cannot_be_understood(event_: object) -> None:
    """No JSON, or no text where the answer's belongs, is an error: an answer with a hole must not look whole."""
    decoded = said(TEXT, event_, END)

    assert isinstance(decoded.error, DecodeError)
    assert "Hi" == decoded.response.text


@pytest.mark.parametrize(
    "event_",
    [
        '{"type":"response.output_text.delta","delta":"x","output_index":' + "1" * 5000 + "}",
        "[" * 100_000 + "]" * 100_000,
        '{"type":"response.completed","response":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"type":"response.completed","response":{"new":' + '{"a":' * 5000 + "1" + "}" * 5000 + "}}",
        '{"type":"response.output_item.done","item":{"type":"new","a":' + '{"a":' * 5000 + "1" + "}" * 5000 + "}}",
        '{"type":"error","error":' + '{"a":' * 5000 + "1" + "}" * 5000 + "}",
    ],
)
def test_hostile_json(event_: str) -> None:
    """Numbers without end and nesting without bottom are errors of ours."""
    assert isinstance(said(TEXT, event_, END).error, (DecodeError, ProviderError))


@pytest.mark.parametrize("depth", [5000, 100_000])
def test_hostile_arguments(depth: int) -> None:
    """Arguments nested without bottom are kept as text and marked."""
    text = "[" * depth + "]" * depth
    made = said(added("function_call", **ADD_A), args(text), END).response.tool_calls[0]

    assert (text, None, False) == (made.input, made.arguments, made.complete)


def test_many_items_that_look_alike() -> None:
    """A thousand items without ids, said twice and in another order, are given once each."""
    output = [message(str(n)) for n in range(1000)]
    told = [event("output_item.done", item=item) for item in output]
    decoded = said(*told, ended(*reversed(output)))

    assert "".join(str(n) for n in range(1000)) == decoded.response.text


def test_a_whole_response() -> None:
    """One JSON response in place of a stream is the whole answer."""
    whole = {"object": "response", "id": "r", "status": "completed", "output": [call("a", "{}"), message("Hi")]}
    decoded = said(json.dumps({**whole, "usage": {"input_tokens": 1}}, indent=1))

    assert ("Hi", [("a", "f", "{}")], 1, True) == (
        decoded.response.text,
        calls_of(decoded),
        decoded.response.usage.prompt_tokens,
        decoded.response.complete,
    )


# -- properties

_TYPES = [f"response.{name}" for name in (
    "created", "in_progress", "output_item.added", "output_item.done", "content_part.added", "content_part.done",
    "output_text.delta", "output_text.done", "output_text.annotation.added", "refusal.delta", "refusal.done",
    "reasoning_text.delta", "reasoning_text.done", "reasoning_summary_text.delta", "reasoning_summary_part.done",
    "function_call_arguments.delta", "function_call_arguments.done", "custom_tool_call_input.delta",
    "custom_tool_call_input.done", "web_search_call.searching", "completed", "completed", "incomplete", "failed",
    "cancelled", "done", "error", "new",
)] + ["error", "new"]  # fmt: skip
_NAMES = [
    "type", "response", "item", "part", "delta", "text", "arguments", "input", "refusal", "item_id", "output_index",
    "content_index", "id", "call_id", "name", "status", "output", "content", "summary", "annotations", "annotation",
    "encrypted_content", "usage", "input_tokens", "input_tokens_details", "incomplete_details", "reason", "error",
    "code", "message", "logprobs", "url", "file_id", "start_index", "object", "model", "new",
]  # fmt: skip
_KINDS = ["message", "reasoning", "function_call", "custom_tool_call", "web_search_call", "shell_call", "output_text"]
_TEXTS = st.sampled_from(["", "Hi", "{", "}", "{}", '{"a":1}', "\x00", "é", "\ud83d", "\ude00", "a", "b", "response"])
_ATOMS = st.none() | st.booleans() | st.integers(-1, 2) | st.floats() | st.just(10**400) | _TEXTS
_VALUES = st.recursive(
    _ATOMS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4),
    max_leaves=8,
)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object with some of these fields, or any value in its place."""
    return st.fixed_dictionaries({}, optional=fields) | _VALUES


_PARTS = st.lists(
    _some(
        type=st.sampled_from(["output_text", "refusal", "summary_text", "reasoning_text"]) | _ATOMS,
        text=_TEXTS | _VALUES,
        refusal=_TEXTS | _VALUES,
        annotations=st.lists(_some(type=st.just("url_citation"), url=_TEXTS, index=_ATOMS), max_size=2) | _VALUES,
    ),
    max_size=2,
)
_ITEM = _some(
    type=st.sampled_from(_KINDS) | _ATOMS,
    id=_TEXTS | _ATOMS,
    call_id=_TEXTS | _ATOMS,
    name=_TEXTS | _ATOMS,
    arguments=_TEXTS | _VALUES,
    input=_TEXTS | _VALUES,
    content=_PARTS | _VALUES,
    summary=_PARTS | _VALUES,
    encrypted_content=_TEXTS | _VALUES,
    status=st.sampled_from(["completed", "incomplete"]) | _ATOMS,
)
_RESPONSE = _some(
    id=_TEXTS,
    status=st.sampled_from(["completed", "incomplete", "failed", "in_progress"]) | _ATOMS,
    output=st.lists(_ITEM, max_size=3) | _VALUES,
    usage=_VALUES,
    error=_VALUES,
    incomplete_details=_VALUES,
)
_EVENTS = st.lists(
    st.builds(
        Event,
        st.builds(
            json.dumps,
            _some(
                type=st.sampled_from(_TYPES) | _ATOMS,
                item=_ITEM,
                part=st.builds(lambda parts: parts[0] if parts else None, _PARTS),
                response=_RESPONSE,
                delta=_TEXTS | _TEXTS | _VALUES,
                text=_TEXTS | _VALUES,
                arguments=_TEXTS | _VALUES,
                item_id=_TEXTS | _ATOMS,
                output_index=st.integers(0, 2) | _ATOMS,
                annotation=_VALUES,
                logprobs=_VALUES,
                error=_VALUES,
            ),
        )
        | st.sampled_from(["[DONE]", "", "x", "{}", '{"type":"response.completed","response":{"status":"completed"}}']),
        st.sampled_from(["message"] * 8 + ["error", "ping", "new", *_TYPES]),
    ),
    max_size=8,
)


@PROPERTY
@given(_EVENTS)
def test_nothing_but_our_errors_comes_out(events: list[Event]) -> None:
    """Whatever a server sends, decoding gives well-formed chunks, without gaps, that fold, or an error of ours."""
    decoded = decode_events(OPENAI, [events])

    assert decoded.error is None or isinstance(decoded.error, StreamKitError)
    assert list(range(len(decoded.chunks))) == [c.index for c in decoded.chunks]
    assert "".join(c.content for c in decoded.chunks if c.type == "text") == decoded.response.text
    assert "".join(c.content for c in decoded.chunks if c.type == "thinking") == decoded.response.thinking
    assert decoded.response.complete == (decoded.error is None) == ("step_finish" in [c.type for c in decoded.chunks])
    assert [c.tool_call_id for c in decoded.chunks if c.type == "tool_call_start"] == [
        c.id for c in decoded.response.tool_calls
    ]
    for chunk in decoded.chunks:
        repr(attrs.asdict(chunk)).encode("utf-8")
        assert type(chunk.content) is str


@PROPERTY
@given(_EVENTS)
def test_batches_make_no_difference(events: list[Event]) -> None:
    """Events give the same chunks one by one as all at once."""
    together, alone = decode_events(OPENAI, [events]), decode_events(OPENAI, [[e] for e in events])

    assert repr((together.chunks, together.error)) == repr((alone.chunks, alone.error))


_LIKE = st.lists(
    st.tuples(
        st.sampled_from(["output_text", "output_text", "output_text", "reasoning_text", "function_call_arguments"]),
        st.text(max_size=6) | _TEXTS,
        st.sampled_from(['"item_id":"m"', '"item_id":"m"', '"item_id":"n"', '"item_id":{"delta":"x"}', '"new":1']),
        st.sampled_from(["", "", ',"logprobs":[]', ',"logprobs":[1]', ',"delta":"twice"', ',"sequence_number":"x"']),
        st.sampled_from(["", ',"obfuscation":"ab"', ',"obfuscation":"\\""', ',"obfuscation":5']),
    ),
    max_size=12,
)


def _like(number: int, facts: tuple[str, str, str, str, str]) -> Event:
    kind, text, place, more, padding = facts
    head = f'{{"type":"response.{kind}.delta","sequence_number":{number},{place}'
    return Event(f'{head},"delta":{json.dumps(text)}{more}{padding}}}')


@PROPERTY
@given(_LIKE)
def test_the_quick_way_gives_what_the_ordinary_one_gives(facts: Sequence[tuple[str, str, str, str, str]]) -> None:
    """Reading events by their likeness to earlier ones, and by msgspec, changes nothing that comes out."""
    events = [*itertools.starmap(_like, enumerate(facts)), Event(json.dumps(END))]
    quick = decode_events(OPENAI, [events])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai_responses, "_WASTED", 0)
        patch.setattr(jsontext, "_fast_decode", lambda: None)
        ordinary = decode_events(OPENAI, [events])

    assert repr((ordinary.chunks, ordinary.error, ordinary.response)) == repr(
        (quick.chunks, quick.error, quick.response)
    )


def test_most_events_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred deltas of an item only the first is, whatever stands around the text."""
    parsed: list[str] = []

    def parse(text: str) -> Any:
        parsed.append(text)
        return json.loads(text)

    monkeypatch.setattr(codec, "parse_json", parse)
    deltas = [
        {"sequence_number": n, **delta(f"{n}\n", "m", 0), "logprobs": [], "obfuscation": "x" * (n % 7)}
        for n in range(100)
    ]

    assert "".join(f"{n}\n" for n in range(100)) == said(*deltas, END).response.text
    assert 2 == len(parsed)
