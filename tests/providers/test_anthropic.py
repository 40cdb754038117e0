"""The Anthropic Messages codec: requests as the API wants them, and its answers, however they come, as chunks."""

from __future__ import annotations

import json
import random
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.errors import (
    ConfigError,
    DecodeError,
    Overloaded,
    ProviderError,
    RateLimited,
    ServerError,
    StreamTruncated,
)
from streamkit.framing import Event, SSEFramer
from streamkit.providers.anthropic import DEFAULT_MAX_TOKENS, DEFAULT_THINKING_BUDGET, Anthropic
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
from tests.decoding import Decoded, cut, decode, decode_events, difference, own_transcripts


def result_with(*images: ImagePart) -> Message:
    """A tool's result that shows these images."""
    return Message(role="tool", content=[ToolResultPart(tool_call_id="a", output="Look:", images=images)])


KEY = "sk-ant-test-0123456789"
PROVIDER = Anthropic(KEY, base_url="https://api.anthropic.com")
HELLO = (user("Hello"),)
ADD = Tool(name="add", description="Adds.", parameters={"type": "object", "properties": {"a": {"type": "integer"}}})
SHAPE = ResponseFormat(
    type="schema", schema={"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}
)


# -- events


def events(*values: Any) -> list[Event]:
    """Make events as the API frames them: each named after its type."""
    return [
        Event(json.dumps(value), str(value.get("type")) if isinstance(value, dict) else "message") for value in values
    ]


def run(*values: Any) -> Decoded:
    """Decode these JSON events."""
    return decode_events(PROVIDER, [events(*values)])


def run_events(*sent: Event) -> Decoded:
    """Decode these events."""
    return decode_events(PROVIDER, [sent])


def start(**message: Any) -> dict[str, Any]:
    """A `message_start`."""
    return {"type": "message_start", "message": {"id": "msg_1", "model": "claude-x", **message}}


def block_start(index: int, **block: Any) -> dict[str, Any]:
    """A `content_block_start`."""
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, **fields: Any) -> dict[str, Any]:
    """A `content_block_delta`."""
    return {"type": "content_block_delta", "index": index, "delta": fields}


def text(content: str, index: int = 0) -> dict[str, Any]:
    """A delta of visible text."""
    return delta(index, type="text_delta", text=content)


def block_stop(index: int) -> dict[str, Any]:
    """A `content_block_stop`."""
    return {"type": "content_block_stop", "index": index}


def stop_reason(reason: str = "end_turn", **fields: Any) -> dict[str, Any]:
    """A `message_delta`."""
    return {"type": "message_delta", "delta": {"stop_reason": reason}, **fields}


STOP = {"type": "message_stop"}


# -- recorded answers


ALL = [*own_transcripts("anthropic"), *transcripts("anthropic-messages")]
STREAMS = [one for one in ALL if one[1]["status"] < 400]
each_stream = pytest.mark.parametrize(("meta", "body"), [s[1:] for s in STREAMS], ids=[s[0] for s in STREAMS])


def marks(decoded: Decoded) -> dict[str, Any]:
    """Give what a transcript's `extra` says and the response does not, under its names."""
    metadata = [chunk.metadata for chunk in decoded.chunks if chunk.type == "thinking"]
    return {
        "thinking_signatures": [said["signature"] for said in metadata if "signature" in said],
        "redacted_thinking": [said["redacted"] for said in metadata if "redacted" in said],
        "citations": len(decoded.response.sources),
        "stop_sequence": decoded.response.response.provider_metadata.get("stop_sequence"),
    }


NO_MARKS = {"thinking_signatures": [], "redacted_thinking": [], "citations": 0, "stop_sequence": None}


@each_stream
def test_recorded_answers(meta: dict[str, Any], body: bytes) -> None:
    """A recorded answer gives the text, thinking, calls, usage, stop reason and error that were written down for it."""
    decoded = decode(PROVIDER, [body])
    extra = meta["expected"].get("extra", {})

    assert {} == difference(meta["expected"], decoded)
    assert {name: extra.get(name, none) for name, none in NO_MARKS.items()} == marks(decoded)


@each_stream
def test_any_split_gives_the_same(meta: dict[str, Any], body: bytes) -> None:
    """How the bytes are cut into blocks changes no chunk."""
    whole = decode(PROVIDER, [body]).chunks
    sizes = random.Random(meta["name"])

    for count in (1, 3, 30, 300):
        places = [sizes.randrange(len(body)) for _ in range(count)]
        assert whole == decode(PROVIDER, cut(body, places)).chunks


@pytest.mark.parametrize(
    "body", [s[2] for s in STREAMS if len(s[2]) < 20_000], ids=[s[0] for s in STREAMS if len(s[2]) < 20_000]
)
def test_byte_by_byte_gives_the_same(body: bytes) -> None:
    """An answer that comes byte by byte gives the same chunks."""
    whole = decode(PROVIDER, [body]).chunks

    assert whole == decode(PROVIDER, [body[i : i + 1] for i in range(len(body))]).chunks


@each_stream
def test_cut_anywhere_gives_a_prefix_and_an_error(meta: dict[str, Any], body: bytes) -> None:
    """An answer cut before its stop reason gives the first of the same chunks, then a truncation error."""
    all_events = SSEFramer().feed(body)
    whole = run_events(*all_events)
    end = next((i for i, event in enumerate(all_events) if event.event == "message_delta"), len(all_events) - 1)

    for n in range(0, end + 1, max(1, end // 40)):
        begun = run_events(*all_events[:n])

        assert isinstance(begun.error, StreamTruncated)
        assert whole.chunks[: len(begun.chunks)] == begun.chunks
        assert not begun.response.complete


@each_stream
def test_answers_can_be_sent_back(meta: dict[str, Any], body: bytes) -> None:
    """What an answer adds to the history can be encoded: signatures, secrets and server blocks go back as they came."""
    response = decode(PROVIDER, [body]).response
    sent = body_of(messages=[user("q"), *response.messages, user("go on")])
    blocks = [block for message in sent["messages"] for block in message["content"]]
    extra = meta["expected"].get("extra", {})

    assert [b["signature"] for b in blocks if b["type"] == "thinking"] == extra.get("thinking_signatures", [])
    assert [b["data"] for b in blocks if b["type"] == "redacted_thinking"] == extra.get("redacted_thinking", [])
    assert {c["id"] for c in meta["expected"]["tool_calls"]} == {b["id"] for b in blocks if b["type"] == "tool_use"}
    kinds = [
        kind
        for kind in extra.get("block_types", [])
        if kind not in ("text", "thinking", "redacted_thinking", "tool_use")
    ]
    assert kinds == [b["type"] for b in blocks if b["type"] in kinds]


def test_rate_limit_before_the_stream() -> None:
    """An error answer gives the class of its status, with the provider's words."""
    (body,) = [body for name, _, body in ALL if name == "aimock-rate-limited"]
    error = PROVIDER.codec.error("anthropic", 429, {"request-id": "req_1"}, body)

    assert isinstance(error, RateLimited)
    assert ("rate_limit_error", 429, "req_1") == (error.code, error.status, error.request_id)
    assert "Rate limited" in str(error)


# -- the request


def encode(provider: Anthropic | None = None, **fields: Any) -> Any:
    """Encode a request with these fields."""
    request = ChatRequest(**{"model": "claude-x", "messages": HELLO, **fields})
    provider = provider or PROVIDER
    return provider.codec.encode(request, provider)


def body_of(**fields: Any) -> dict[str, Any]:
    """Give the body of a request with these fields."""
    body: dict[str, Any] = json.loads(encode(**fields).body)
    return body


def content_of(*parts: Any, role: Any = "user") -> list[dict[str, Any]]:
    """Give the blocks that these parts, in one message, are sent as."""
    messages = (
        [Message(role=role, content=parts), user("next")]
        if role == "assistant"
        else [Message(role=role, content=parts)]
    )
    content: list[dict[str, Any]] = body_of(messages=messages)["messages"][0]["content"]
    return content


def test_simplest_request() -> None:
    """What was not asked for is not sent; the limit, which the API demands, has a default."""
    assert body_of() == {
        "model": "claude-x",
        "max_tokens": DEFAULT_MAX_TOKENS,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        "stream": True,
    }


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        (None, "https://api.anthropic.com/v1/messages"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/v1/messages"),
        ("https://gateway.example/api/v1", "https://gateway.example/api/v1/messages"),
        ("https://gateway.example/api/v1/", "https://gateway.example/api/v1/messages"),
    ],
)
def test_url(base_url: str | None, url: str) -> None:
    """The base URL is the bare host; a slash or a /v1 at its end does no harm."""
    assert url == encode(Anthropic(KEY, base_url=base_url)).url


def test_headers() -> None:
    """The key travels apart from the headers, which ask for an event stream; the user's own are added and win."""
    request = encode(headers={"Anthropic-Beta": "x-1", "anthropic-version": "2099-01-01"})

    assert {
        "anthropic-version": "2099-01-01",
        "anthropic-beta": "x-1",
        "content-type": "application/json",
        "accept": "text/event-stream",
        "accept-encoding": "identity",
    } == {name.lower(): value for name, value in request.headers.items()}
    assert {"x-api-key": KEY} == {name: secret.expose() for name, secret in request.secrets.items()}
    assert KEY not in repr(request)


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"temperature": 0.5, "top_p": 0.9, "top_k": 5}, {"temperature": 0.5, "top_p": 0.9, "top_k": 5}),
        ({"temperature": 0}, {"temperature": 0}),
        ({"max_tokens": 7}, {"max_tokens": 7}),
        ({"stop": ("a", "\nb")}, {"stop_sequences": ["a", "\nb"]}),
        ({"thinking": True}, {"thinking": {"type": "enabled", "budget_tokens": DEFAULT_THINKING_BUDGET}}),
        ({"thinking": True}, {"max_tokens": DEFAULT_MAX_TOKENS + DEFAULT_THINKING_BUDGET}),
        ({"thinking_budget": 5000}, {"thinking": {"type": "enabled", "budget_tokens": 5000}, "max_tokens": 9096}),
        ({"thinking_budget": 1024, "max_tokens": 1025, "temperature": 1, "top_p": 0.95}, {"max_tokens": 1025}),
        (
            {"thinking": True, "reasoning_effort": "low"},
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
        ),
        (
            {"thinking_budget": 2000, "reasoning_effort": "max"},
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        ),
        *(
            (
                {"thinking": True, "reasoning_effort": "high", "model": model},
                {"thinking": {"type": "enabled", "budget_tokens": 4096}, "output_config": {"effort": "high"}},
            )
            for model in ("claude-opus-4-5-20251101", "claude-sonnet-4-5", "anthropic.claude-opus-4-1-20250805-v1:0")
        ),
        (
            {"thinking": True, "reasoning_effort": "high", "model": "claude-opus-4-6"},
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        ),
        ({"thinking": True, "model": "claude-opus-4-6"}, {"thinking": {"type": "enabled", "budget_tokens": 4096}}),
        ({"thinking": True, "model": "claude-opus-4-7"}, {"thinking": {"type": "adaptive", "display": "summarized"}}),
        (
            {"thinking": True, "model": "claude-sonnet-5", "reasoning_effort": "low", "temperature": 1},
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "low"}},
        ),
        ({"response_format": ResponseFormat(type="text")}, {"output_config": None}),
        ({"tools": (ADD,), "tool_choice": "auto"}, {"tool_choice": {"type": "auto"}}),
        ({"tools": (ADD,), "tool_choice": "none", "parallel_tool_calls": False}, {"tool_choice": {"type": "none"}}),
        ({"tools": (ADD,), "tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
        ({"tools": (ADD,), "tool_choice": "add"}, {"tool_choice": {"type": "tool", "name": "add"}}),
        ({"tools": (ADD,), "parallel_tool_calls": True}, {"tool_choice": None}),
        (
            {"tools": (ADD,), "parallel_tool_calls": False},
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
        ({"tool_choice": "auto", "parallel_tool_calls": False}, {"tools": None, "tool_choice": None}),
        (
            {"provider_options": {"max_tokens": 9, "metadata": {"user_id": "u"}}},
            {"max_tokens": 9, "metadata": {"user_id": "u"}},
        ),
        (
            {"thinking_budget": 1024, "provider_options": {"thinking": {"display": "omitted"}, "max_tokens": None}},
            {"thinking": {"type": "enabled", "budget_tokens": 1024, "display": "omitted"}, "max_tokens": None},
        ),
    ],
)
def test_settings(fields: dict[str, Any], sent: dict[str, Any]) -> None:
    """Each setting is sent in the API's words (None: not at all)."""
    body = body_of(**fields)

    assert sent == {name: body.get(name) for name in sent}


def test_what_the_api_can_do() -> None:
    """An image may be as large as 10 MiB of base64, tools may show images, and answers may cite files."""
    can = PROVIDER.capabilities

    assert 10 * 2**20 == can.image_bytes * 4 / 3
    assert can.tool_result_images
    assert can.citations


def test_tools() -> None:
    """Tools are sent with name, description and schema; an empty description is not sent."""
    tools = body_of(tools=(ADD, Tool(name="now")))["tools"]

    assert [
        {"name": "add", "description": "Adds.", "input_schema": ADD.parameters},
        {"name": "now", "input_schema": {"type": "object", "properties": {}}},
    ] == tools


def test_schema() -> None:
    """A JSON Schema is sent as the API's own output format, beside an effort."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}
    body = body_of(response_format=ResponseFormat(type="schema", schema=schema), reasoning_effort="high")

    assert {"effort": "high", "format": {"type": "json_schema", "schema": schema}} == body["output_config"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"messages": ()}, "no messages: add one with .user(...)"),
        ({"messages": (system("s"),)}, "no messages: add one with .user(...)"),
        ({"messages": (user("  "),)}, "no messages"),
        ({"seed": 1}, "seed"),
        ({"temperature": 1.5}, "0 to 1"),
        ({"temperature": float("nan")}, "0 to 1"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": ("\n",)}, "stop sequence"),
        ({"reasoning_effort": "minimal"}, "low, medium, high"),
        ({"response_format": ResponseFormat(type="json")}, "json_schema"),
        ({"tool_choice": "required"}, "without tools"),
        ({"tools": (ADD,), "tool_choice": "subtract"}, "unknown tool_choice"),
        ({"thinking_budget": 1023}, "at least 1024"),
        ({"thinking_budget": 5000, "max_tokens": 5000}, "above the thinking budget"),
        ({"thinking": True, "max_tokens": DEFAULT_THINKING_BUDGET}, "above the thinking budget"),
        ({"thinking": True, "temperature": 0.7}, "temperature"),
        ({"thinking": True, "top_k": 3}, "top_k"),
        ({"thinking": True, "top_p": 0.5}, "top_p"),
        ({"thinking": True, "tools": (ADD,), "tool_choice": "required"}, "forced"),
        ({"thinking": True, "tools": (ADD,), "tool_choice": "add"}, "forced"),
        ({"messages": (Message(role="system", content=[ImagePart(url="http://x")]), *HELLO)}, "text only"),
        ({"messages": (user([ImagePart(url="data:image/svg+xml,<svg/>")]),)}, "image/svg+xml: convert it"),
        ({"messages": (user([ImagePart(data=b"x" * 7_864_321)]),)}, "7864321 bytes is too large"),
        ({"messages": (user([FilePart(data=b"BM", media_type="image/bmp")]),)}, "image/bmp: convert it"),
        ({"messages": (result_with(ImagePart(data=b"x", media_type="image/tiff")),)}, "image/tiff: convert it"),
        ({"model": ""}, "no model"),
        ({"messages": (user([FilePart(data=b"x", media_type="audio/wav")]),)}, "audio/wav"),
        ({"messages": (user([FilePart()]),)}, "the file file.pdf is empty"),
        (
            {"messages": (user([FilePart(data=b"\xe4", media_type="text/plain", name="a.txt")]),)},
            "a.txt is not in UTF-8",
        ),
        ({"messages": (user([FilePart(url="https://h/a.txt", name="a.txt")]),)}, "fetches PDFs and images only"),
        (
            {"messages": (user([FilePart(data=b"x", citations=True)]),), "response_format": SHAPE},
            "held to a schema cites nothing",
        ),
        ({"messages": (user([TextPart(text="x", cache=True)] * 5),)}, "5 cache marks: 4 are the most"),
        (
            {"messages": (user([TextPart(text="x", cache=True)] * 4),), "tools": (ADD,), "prompt_caching": True},
            "5 cache marks",
        ),
        (
            {"messages": (result_with(*[ImagePart(url="https://u", cache=True)] * 5),)},
            "5 cache marks",
        ),
        ({"model": "claude-3-7-sonnet-latest", "response_format": SHAPE}, "use Claude 4.5 or later"),
        ({"model": "claude-sonnet-4-20250514", "response_format": SHAPE}, "use Claude 4.5 or later"),
        ({"model": "anthropic/claude-opus-4.7", "thinking_budget": 2000}, "takes no thinking budget"),
        ({"model": "claude-opus-4-8", "temperature": 0.5}, "takes no temperature"),
        ({"model": "claude-fable-5-1", "top_p": 0.5}, "takes no top_p"),
        ({"model": "claude-haiku-5-5", "top_k": 5}, "takes no top_k"),
        ({"model": "claude-opus-4-6", "messages": (*HELLO, assistant("Once"))}, "end with a user message"),
        ({"model": "us.anthropic.claude-sonnet-5-v1:0", "messages": (*HELLO, assistant("Once"))}, "end with a user"),
        ({"thinking": True, "messages": (*HELLO, assistant("Once"))}, "or leave thinking out"),
        ({"response_format": ResponseFormat(type="schema", schema={"type": "object"})}, '$: must have "additionalProp'),
        (
            {"response_format": ResponseFormat(type="schema", schema={"type": "object"}, strict=False)},
            '$: must have "additionalProp',
        ),
        (
            {"response_format": ResponseFormat(type="schema", schema={"type": "integer", "minimum": 1})},
            "$.minimum: is not supported",
        ),
        (
            {"tools": (Tool(name="t", parameters={"type": "object", "properties": 5}),)},
            "tool t cannot be sent: $.properties",
        ),
        ({"provider_options": {"x": object()}}, "JSON"),
        ({"provider_options": {"x": float("nan")}}, "JSON"),
        ({"headers": {"a": "b\r\nc: d"}}, "header"),
    ],
)
def test_refusals(fields: dict[str, Any], said: str) -> None:
    """What the API would refuse is refused before it is sent, in words that say what to do."""
    with pytest.raises(ConfigError) as caught:
        encode(**fields)

    assert said in str(caught.value)


def test_system_messages_go_on_top() -> None:
    """System messages, wherever they stand, become the top-level system text, a block each."""
    cached = Message(role="system", content=["a", TextPart(text="b", cache=True)])
    body = body_of(messages=(system("one"), user("q"), system("two"), system(" "), cached))

    assert [
        {"type": "text", "text": "one"},
        {"type": "text", "text": "two"},
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b", "cache_control": MARK},
    ] == body["system"]
    assert ["user"] == [message["role"] for message in body["messages"]]


MARK = {"type": "ephemeral"}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"messages": (system("a"), system("b"), *HELLO), "tools": (ADD,)}, ("system", 1)),
        ({"tools": (Tool(name="now"), ADD)}, ("tools", 1)),
        ({"messages": (user("q"), assistant("a"), user(["b", "c"]))}, ("messages", 2, "content", 1)),
    ],
)
def test_prompt_caching(fields: dict[str, Any], path: tuple[Any, ...]) -> None:
    """One cache mark ends what stays the same: the system text, else the tools, else the conversation."""
    body = body_of(prompt_caching=True, **fields)
    marked: Any = body
    for step in path:
        marked = marked[step]

    assert MARK == marked.pop("cache_control")
    assert body_of(**fields) == body


def test_a_mark_of_the_users_is_not_doubled() -> None:
    """Where caching is asked for twice at one place there is one mark."""
    messages = (Message(role="system", content=[TextPart(text="s", cache=True)]), *HELLO)

    assert body_of(messages=messages) == body_of(messages=messages, prompt_caching=True)
    assert MARK == body_of(messages=messages)["system"][0]["cache_control"]


def test_prompt_caching_of_an_answer_that_was_begun() -> None:
    """Where there is nothing but the assistant's words, they are marked."""
    body = body_of(messages=(assistant("Once upon"),), prompt_caching=True)

    assert {"type": "ephemeral"} == body["messages"][0]["content"][-1]["cache_control"]


def test_neighbours_of_one_side_are_one_message() -> None:
    """Sides take turns: tool results are the user's, go into one message, and come first in it."""
    calls = [ToolCallPart(id="a", name="add", input='{"a": 1}'), ToolCallPart(id="b", name="now", input="")]
    body = body_of(
        messages=(
            user("one"),
            user("two"),
            assistant("I see."),
            assistant(calls),
            user("wait"),
            tool_result("a", "1"),
            tool_result("b", "", is_error=True),
        )
    )

    assert [
        {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I see."},
                {"type": "tool_use", "id": "a", "name": "add", "input": {"a": 1}},
                {"type": "tool_use", "id": "b", "name": "now", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "1"},
                {"type": "tool_result", "tool_use_id": "b", "content": "the tool failed", "is_error": True},
                {"type": "text", "text": "wait"},
            ],
        },
    ] == body["messages"]


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (TextPart(text="x"), {"type": "text", "text": "x"}),
        (ImagePart(url="https://x/y.png"), {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}),
        (
            ImagePart(data=b"\x01", media_type="image/webp"),
            {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "AQ=="}},
        ),
        (
            ImagePart(url="data:image/gif;base64,AQ=="),
            {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "AQ=="}},
        ),
        (
            FilePart(data=b"\x01", name="a.pdf"),
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "AQ=="},
                "title": "a.pdf",
            },
        ),
        (
            FilePart(data=b"x,y", media_type="text/csv", name="a.csv"),
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "x,y"},
                "title": "a.csv",
            },
        ),
        (
            FilePart(data=b"\x01", media_type="image/png"),
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AQ=="}},
        ),
        (
            FilePart(data="{é}".encode(), media_type="application/json", name="a.json", citations=True, cache=True),
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "{é}"},
                "title": "a.json",
                "citations": {"enabled": True},
                "cache_control": {"type": "ephemeral"},
            },
        ),
        (
            FilePart(url="https://h/a.pdf", name="A"),
            {"type": "document", "source": {"type": "url", "url": "https://h/a.pdf"}, "title": "A"},
        ),
        (
            FilePart(url="https://h/a", media_type="image/png"),
            {"type": "image", "source": {"type": "url", "url": "https://h/a"}},
        ),
        (
            ImagePart(url="https://h/a.png", cache=True),
            {
                "type": "image",
                "source": {"type": "url", "url": "https://h/a.png"},
                "cache_control": {"type": "ephemeral"},
            },
        ),
        (
            TextPart(text="x", cache=True, citations=({"type": "web_search_result_location", "url": "u"},)),
            {
                "type": "text",
                "text": "x",
                "citations": [{"type": "web_search_result_location", "url": "u"}],
                "cache_control": {"type": "ephemeral"},
            },
        ),
        (
            ToolResultPart(tool_call_id="i", output="Look:", images=(ImagePart(data=b"\x01"),), cache=True),
            {
                "type": "tool_result",
                "tool_use_id": "i",
                "content": [
                    {"type": "text", "text": "Look:"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AQ=="}},
                ],
                "cache_control": {"type": "ephemeral"},
            },
        ),
        (
            ToolResultPart(tool_call_id="i", is_error=True, images=(ImagePart(url="https://u"),)),
            {
                "type": "tool_result",
                "tool_use_id": "i",
                "content": [
                    {"type": "text", "text": "the tool failed"},
                    {"type": "image", "source": {"type": "url", "url": "https://u"}},
                ],
                "is_error": True,
            },
        ),
        (
            ToolResultPart(tool_call_id="i", images=(ImagePart(url="https://u"),)),
            {
                "type": "tool_result",
                "tool_use_id": "i",
                "content": [{"type": "image", "source": {"type": "url", "url": "https://u"}}],
            },
        ),
        (ThinkingPart(text="t", signature="s"), {"type": "thinking", "thinking": "t", "signature": "s"}),
        (
            ThinkingPart(text="t", signature="s", provider="anthropic"),
            {"type": "thinking", "thinking": "t", "signature": "s"},
        ),
        (ThinkingPart(signature="s"), {"type": "thinking", "thinking": "", "signature": "s"}),
        (ThinkingPart(redacted="r"), {"type": "redacted_thinking", "data": "r"}),
        (RawPart(provider="anthropic", block={"type": "z", "n": [1]}), {"type": "z", "n": [1]}),
        (
            ToolCallPart(id="i", name="n", input="{nope"),
            {"type": "tool_use", "id": "i", "name": "n", "input": {"INVALID_JSON": "{nope"}},
        ),
        (
            ToolCallPart(id="i", name="n", input="[1]"),
            {"type": "tool_use", "id": "i", "name": "n", "input": {"INVALID_JSON": "[1]"}},
        ),
        (
            ToolCallPart(id="i", name="n", input="[" * 100_000),
            {"type": "tool_use", "id": "i", "name": "n", "input": {"INVALID_JSON": "[" * 100_000}},
        ),
    ],
    ids=str,
)
def test_parts(part: Any, block: dict[str, Any]) -> None:
    """Each kind of part is sent as the block that the API has for it."""
    assert [block] == content_of(part, role="assistant")


def test_ids_of_calls() -> None:
    """Ids that the API would refuse are made fit alike in call and result; missing ones are made up."""
    calls = [ToolCallPart(id=id, name="n", input="") for id in ("functions.add:0", "", "")]
    results = [tool_result("functions.add:0", "a"), tool_result("", "b"), tool_result("", "c")]
    messages = body_of(messages=(user("q"), assistant(calls), *results))["messages"]

    assert ["functions_add_0", "call_1", "call_2"] == [block["id"] for block in messages[1]["content"]]
    assert [("functions_add_0", "a"), ("call_1", "b"), ("call_2", "c")] == [
        (block["tool_use_id"], block["content"]) for block in messages[2]["content"]
    ]


@pytest.mark.parametrize(
    "part",
    [
        TextPart(text=""),
        TextPart(text="\n\n", cache=True),
        ThinkingPart(text="unsigned"),
        ThinkingPart(text="signed", signature="s", provider="gemini"),
        ThinkingPart(redacted="r", provider="gemini"),
        RawPart(provider="gemini", block={}),
    ],
    ids=str,
)
def test_parts_left_out(part: Any) -> None:
    """Parts that the API would refuse are left out of a message, and the rest is sent."""
    assert [{"type": "text", "text": "x"}] == content_of(part, TextPart(text="x"), role="assistant")


def test_beginning_of_an_answer_loses_its_last_white_space() -> None:
    """A last message of the assistant's, which the model goes on with, is sent without white space at its end."""
    messages = body_of(messages=(user("q"), assistant("a \n"), user("r"), assistant("Once upon \n")))["messages"]

    assert ["q", "a \n", "r", "Once upon"] == [message["content"][0]["text"] for message in messages]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "search_result", "content": ["cache_control", 5, None]},
        {"type": "text"},
        {"type": "text", "text": None},
    ],
)
def test_raw_blocks_go_back_whatever_they_hold(block: dict[str, Any]) -> None:
    """A block that came from Anthropic is its own affair."""
    sent = body_of(messages=(user("q"), assistant([RawPart(provider="anthropic", block=block)])))

    assert [block] == sent["messages"][-1]["content"]


def test_encoding_changes_no_message() -> None:
    """A request may be encoded any number of times: caching marks do not reach the user's own parts."""
    part = RawPart(provider="anthropic", block={"type": "tool_result", "tool_use_id": "a"})
    messages = (user([part]),)
    first = body_of(messages=messages, prompt_caching=True)

    assert first == body_of(messages=messages, prompt_caching=True)
    assert {"type": "tool_result", "tool_use_id": "a"} == part.block


# -- the answer: order, gaps and gateways


def test_chunks_of_a_thinking_answer() -> None:
    """Thinking comes first, at its end a chunk with its signature; then the text; then the end of the step."""
    decoded = run(
        start(usage={"input_tokens": 3}),
        block_start(0, type="thinking", thinking="", signature=""),
        delta(0, type="thinking_delta", thinking="Hm"),
        delta(0, type="signature_delta", signature="sig"),
        block_stop(0),
        block_start(1, type="redacted_thinking", data="xyz"),
        block_stop(1),
        block_start(2, type="text", text=""),
        text("Hi", 2),
        text("", 2),
        block_stop(2),
        stop_reason(usage={"output_tokens": 2}),
        STOP,
    )

    assert [
        ("thinking", "Hm", {}),
        ("thinking", "", {"signature": "sig"}),
        ("thinking", "", {"redacted": "xyz"}),
        ("text", "Hi", {}),
        ("step_finish", "", {"raw_finish_reason": "end_turn", "provider": "anthropic"}),
    ] == [(c.type, c.content, c.metadata) for c in decoded.chunks]
    assert ("msg_1", "claude-x") == (decoded.response.response.id, decoded.response.response.model)
    assert (
        Message(
            role="assistant",
            content=[ThinkingPart(text="Hm", signature="sig"), ThinkingPart(redacted="xyz"), TextPart(text="Hi")],
        ),
    ) == decoded.response.messages


def test_index_goes_on() -> None:
    """The chunks of a later step are numbered on from the earlier ones."""
    decoder = PROVIDER.codec.decoder(ChatRequest(model="m"), PROVIDER, index=7, step=2)
    chunks = decoder.feed(events(start(), text("x"), STOP)) + decoder.end()

    assert [("text", 7), ("step_finish", 8)] == [(chunk.type, chunk.index) for chunk in chunks]
    assert 2 == attrs.asdict(chunks[-1])["step"]


def test_chunks_of_a_tool_call() -> None:
    """A call gives its start, each fragment, and at its block's end the exact text received, with its value."""
    decoded = run(
        start(),
        block_start(0, type="tool_use", id="t", name="add", input={}),
        delta(0, type="input_json_delta", partial_json=""),
        delta(0, type="input_json_delta", partial_json='{"a": '),
        delta(0, type="input_json_delta", partial_json="1 }"),
        block_stop(0),
        stop_reason("tool_use"),
        STOP,
    )

    assert [
        ("tool_call_start", "t", "add"),
        ("tool_call_delta", "t", '{"a": '),
        ("tool_call_delta", "t", "1 }"),
        ("tool_call", "t", '{"a": 1 }'),
    ] == [
        (c.type, c.tool_call_id, c.tool_name if c.type == "tool_call_start" else c.tool_input)
        for c in decoded.chunks
        if c.type in ("tool_call_start", "tool_call_delta", "tool_call")
    ]
    assert {"a": 1} == decoded.response.tool_calls[0].arguments
    assert "tool_calls" == decoded.response.finish_reason


@pytest.mark.parametrize(
    ("given", "arguments", "raw"),
    [
        ({"a": "é"}, {"a": "é"}, '{"a": "é"}'),
        ('{"a":1}', {"a": 1}, '{"a":1}'),
        (None, {}, ""),
        ({}, {}, ""),
        ("", {}, ""),
    ],
)
def test_input_given_whole(given: Any, arguments: Any, raw: str) -> None:
    """Input that comes with the start of a call, without deltas, is the call's."""
    call = run(start(), block_start(0, type="tool_use", id="t", name="n", input=given), STOP).response.tool_calls[0]

    assert (arguments, raw, True) == (call.arguments, call.input, call.complete)


def test_call_cut_before_its_input() -> None:
    """A call without input is whole, unless the token limit ended the answer there: such a call is not to be run."""
    call = [block_start(0, type="tool_use", id="t", name="n", input={}), block_stop(0)]
    whole = run(start(), *call, stop_reason("tool_use"), STOP).response.tool_calls[0]
    cut = run(start(), *call, stop_reason("max_tokens"), STOP).response.tool_calls[0]

    assert ({}, True, False) == (whole.arguments, whole.complete, cut.complete)


def test_input_that_is_not_json_is_kept_and_marked() -> None:
    """Input that is not JSON is neither repaired nor dropped: the call is there, and not to be run."""
    decoded = run(
        start(),
        block_start(0, type="tool_use", id="t", name="n"),
        delta(0, type="input_json_delta", partial_json='{"a": 1'),
        block_stop(0),
        stop_reason("max_tokens"),
        STOP,
    )
    call = decoded.response.tool_calls[0]

    assert ('{"a": 1', None, False) == (call.input, call.arguments, call.complete)
    assert "length" == decoded.response.finish_reason


def test_start_said_again_is_one_call() -> None:
    """A server that repeats a call's start with each fragment makes one call of it."""
    again = block_start(0, type="tool_use", id="t", name="n", input={})
    fragments = [delta(0, type="input_json_delta", partial_json=piece) for piece in ('{"a"', ":1}")]
    decoded = run(start(), again, fragments[0], again, fragments[1], block_stop(0), STOP)

    assert [('{"a":1}', "n")] == [(call.input, call.name) for call in decoded.response.tool_calls]


def test_blocks_of_the_servers_own_tools_are_kept() -> None:
    """A block that only Anthropic understands shows no text, gives no call, and is kept whole for the next turn."""
    decoded = run(
        start(),
        block_start(0, type="server_tool_use", id="s", name="web_search", input={}),
        delta(0, type="input_json_delta", partial_json='{"query": '),
        delta(0, type="input_json_delta", partial_json='"x"}'),
        block_stop(0),
        block_start(1, type="web_search_tool_result", tool_use_id="s", content=[{"url": "u"}]),
        block_stop(1),
        block_start(2, type="compaction", content=None),
        delta(2, type="compaction_delta", content="so "),
        delta(2, type="compaction_delta", content="far", encrypted_content=None),
        block_stop(2),
        block_start(3, type="new_thing", text="a", found=[1], citations=None, note={"x": 1}),
        delta(3, type="text_delta", text="b\ud83d"),
        delta(
            3, type="new_delta", text="\ude00", found=[2], citation={"url": "v"}, note={"y": 2}, score=0.5, lines=["l"]
        ),
        delta(3, type="new_delta", citation={"url": "w"}, lines=["m"]),
        stop_reason(),
        STOP,
    )
    blocks = [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"url": "u"}]},
        {"type": "compaction", "content": "so far"},
        {
            "type": "new_thing",
            "text": "ab😀",
            "found": [1, 2],
            "citations": [{"url": "v"}, {"url": "w"}],
            "note": {"y": 2},
            "score": 0.5,
            "lines": ["l", "m"],
        },
    ]

    assert [{"raw_block": block, "provider": "anthropic"} for block in blocks] == [
        c.metadata for c in decoded.chunks if c.type == "text"
    ]
    assert ("", ()) == (decoded.response.text, decoded.response.tool_calls)
    (answer,) = decoded.response.messages
    assert blocks == content_of(*answer.content, role="assistant")


def test_input_of_a_servers_tool_that_is_not_json_stays_text() -> None:
    """Half an input of a server's tool is kept as the text it is."""
    decoded = run(
        block_start(0, type="mcp_tool_use", id="s"), delta(0, type="input_json_delta", partial_json="{"), STOP
    )

    assert {"type": "mcp_tool_use", "id": "s", "input": "{"} == decoded.chunks[0].metadata["raw_block"]


def test_fallback_names_the_model_that_answers() -> None:
    """Where another model took over, the response names that one."""
    change = block_start(0, type="fallback", **{"from": {"model": "claude-x"}, "to": {"model": "claude-y"}})

    assert "claude-y" == run(start(), change, block_stop(0), text("x", 1), STOP).response.response.model


def test_citations_are_sources() -> None:
    """A citation, in a delta or at a block's start, is a source; what has no field of its own is in its metadata."""
    web = {
        "type": "web_search_result_location",
        "url": "https://x",
        "title": "X",
        "cited_text": "c",
        "encrypted_index": "e",
    }
    page = {"type": "char_location", "cited_text": "d", "document_index": 0, "document_title": "D", "file_id": None}
    found = {
        "type": "search_result_location",
        "source": "doc-7",
        "title": None,
        "cited_text": 5,
        "search_result_index": 1,
    }
    decoded = run(
        start(),
        block_start(0, type="text", text="", citations=[web]),
        delta(0, type="citations_delta", citation=page),
        delta(0, type="citations_delta", citation=found),
        delta(0, type="citations_delta", citation=None),
        text("x"),
        STOP,
    )

    assert (
        Source(url="https://x", title="X", text="c", metadata={"type": web["type"], "encrypted_index": "e"}),
        Source(title="D", text="d", metadata={"type": page["type"], "document_index": 0}),
        Source(id="doc-7", metadata={"type": found["type"], "search_result_index": 1}),
    ) == decoded.response.sources


def test_citations_go_back_with_their_text() -> None:
    """Whether said before or after its text, a citation goes back with the block that it was said in, word for word."""
    page = {"type": "char_location", "cited_text": "d", "document_index": 0, "document_title": None, "file_id": None}
    web = {"type": "web_search_result_location", "url": "https://x", "title": "X", "encrypted_index": "e"}
    decoded = run(
        start(),
        block_start(0, type="text", text="", citations=[]),
        text("So says ", 0),
        block_stop(0),
        block_start(1, type="text", text="", citations=[]),
        delta(1, type="citations_delta", citation=page),
        text("the page", 1),
        delta(1, type="citations_delta", citation=web),
        block_stop(1),
        block_start(2, type="text", text="", citations=[]),
        text(".", 2),
        block_stop(2),
        STOP,
    )
    (message,) = decoded.response.messages

    assert "So says the page." == decoded.response.text
    assert [
        {"type": "text", "text": "So says "},
        {"type": "text", "text": "the page", "citations": [page, web]},
        {"type": "text", "text": "."},
    ] == body_of(messages=(*HELLO, message, user("Sure?")))["messages"][1]["content"]


def test_plain_text_in_several_blocks_has_no_chunks_beside_it() -> None:
    """Where nothing can be cited, each block is its deltas, and all of it is one text."""
    blocks = [block_start(0, type="text", text=""), text("a"), block_stop(0)]
    decoded = run(start(), *blocks, block_start(1, type="text", text=""), text("b", 1), block_stop(1), STOP)

    assert ["a", "b"] == [chunk.content for chunk in decoded.chunks if chunk.type == "text"]
    assert ["ab"] == [message.text for message in decoded.response.messages]


def test_usage_is_the_last_of_each_count() -> None:
    """Each count is the last one that was not null; tokens of the cache are part of the prompt."""
    decoded = run(
        start(usage={"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1, "service_tier": None}),
        text("x"),
        stop_reason(usage={"input_tokens": None, "output_tokens": 4, "cache_creation_input_tokens": 2}),
        stop_reason(usage={"output_tokens": 7, "output_tokens_details": {"thinking_tokens": 3}, "speed": None}),
        STOP,
    )

    raw = {
        "input_tokens": 10,
        "cache_read_input_tokens": 5,
        "output_tokens": 7,
        "service_tier": None,
        "cache_creation_input_tokens": 2,
        "output_tokens_details": {"thinking_tokens": 3},
    }
    assert (
        Usage(
            prompt_tokens=17,
            completion_tokens=7,
            total_tokens=24,
            reasoning_tokens=3,
            cache_read_tokens=5,
            cache_write_tokens=2,
            raw=raw,
            source="reported",
        )
        == decoded.response.usage
    )


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        [],
        "x",
        {"input_tokens": -1, "output_tokens": float("nan")},
        {"input_tokens": "5", "output_tokens": True},
    ],
)
def test_usage_that_is_none(usage: Any) -> None:
    """What is no count does not count, and an answer without usage is no error."""
    got = run(start(usage=usage), text("x"), STOP).response.usage

    assert (0, 0, 0, "unknown") == (got.prompt_tokens, got.completion_tokens, got.total_tokens, got.source)


def test_usage_of_a_cut_answer_is_kept() -> None:
    """What a cut answer had reported is in its partial response."""
    decoded = run(start(usage={"input_tokens": 3, "output_tokens": 1}), text("x"))

    assert ("x", 3, "msg_1") == (
        decoded.response.text,
        decoded.response.usage.prompt_tokens,
        decoded.response.response.id,
    )


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "other"),
        ("something new", "other"),
    ],
)
def test_stop_reasons(raw: str, reason: str) -> None:
    """A stop reason is given in our words and in the provider's."""
    response = run(start(), text("x"), stop_reason(raw), STOP).response

    assert (reason, raw) == (response.finish_reason, response.raw_finish_reason)


def test_message_level_fields_are_metadata() -> None:
    """What the provider says of the answer, and no field of ours holds, is in the provider's metadata."""
    decoded = run(
        start(provider="Bedrock", container=None, usage={"input_tokens": 1, "iterations": [{"input_tokens": 1}]}),
        text("x"),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END", "container": {"id": "c"}},
            "context_management": {"applied_edits": []},
        },
        STOP,
    )
    metadata = {
        "provider": "Bedrock",
        "iterations": [{"input_tokens": 1}],
        "stop_sequence": "END",
        "container": {"id": "c"},
        "context_management": {"applied_edits": []},
    }

    assert {"anthropic": metadata} == decoded.response.provider_metadata


HI = [block_start(0, type="text", text=""), text("Hi"), block_stop(0)]


@pytest.mark.parametrize(
    "odd",
    [
        [*HI, stop_reason(), STOP],
        [start(), text("Hi"), stop_reason(), STOP],
        [text("Hi"), stop_reason(), STOP],
        [start(), {"type": "ping"}, *HI, {"type": "ping"}, {"type": "vendor_event", "text": "no"}, stop_reason(), STOP],
        [start(), block_start(0, type="text", text="H"), text("i"), stop_reason(), STOP],
        [start(), block_start(0, type="text", text="Hi", citations=None), block_stop(0), stop_reason(), STOP],
        [
            start(),
            block_start(0, type="text"),
            text("H"),
            block_start(1, type="text"),
            text("i", 1),
            stop_reason(),
            STOP,
        ],
        [start(), HI[0], text("H"), stop_reason(), text("i"), STOP],
        [start(), HI[0], block_stop(0), text("Hi"), stop_reason(), STOP],
        [
            start(),
            {"type": "content_block_start", "content_block": None},
            {**text("Hi"), "index": None},
            stop_reason(),
            STOP,
        ],
        [start(), *HI, delta(0, type="new_delta", text="no"), block_stop(5), stop_reason(), STOP],
        [start(), {**text("Hi"), "delta": {"text": "Hi"}}, stop_reason(), STOP],
        [start(), text("H"), {"type": "content_block_delta", "delta": None}, text("i"), stop_reason(), STOP],
        [
            start(),
            text("H"),
            {"type": "content_block_delta"},
            delta(0, type="text_delta", text=None),
            text("i"),
            stop_reason(),
            STOP,
        ],
        [{"type": "message_start", "message": None}, *HI, {**stop_reason(), "usage": None}, STOP],
        [start(), *HI, stop_reason(), {"type": "message_delta", "delta": {"stop_reason": None}}, STOP],
        [start(), [1], None, 5, "x", {}, {"type": None}, {"type": []}, *HI, stop_reason(), STOP],
        [start(), *HI, stop_reason(), STOP, {"type": "error", "error": {"type": "api_error"}}],
        [start(), {**start(), "error": None}, *HI, stop_reason(), STOP],
        [start(), *HI, stop_reason()],
    ],
)
def test_odd_orders_lose_nothing(odd: list[Any]) -> None:
    """Missing, repeated, reordered, empty and unknown events lose no text and end in the same complete answer."""
    decoded = run(*odd)

    assert (None, "Hi", "stop", True) == (
        decoded.error,
        decoded.response.text,
        decoded.response.finish_reason,
        decoded.response.complete,
    )


@pytest.mark.parametrize("spelling", [{}, {"separators": (",", ":")}, {"indent": 1}, {"sort_keys": True}], ids=str)
def test_spelling_changes_nothing(spelling: dict[str, Any]) -> None:
    """However the JSON of an event is spelt, and padded, the chunks are the same."""
    said = ["plain", "\u00e9\U0001f600", 'a "quoted" \\ }}', "line\nline\t\0", "}} ", "\ud83d", "\ude00", "", '"}}']
    kinds = [("text", 0), ("thinking", 1), ("text", 2)]
    values = [start()]
    for kind, index in kinds:
        values.append(block_start(index, type=kind, **{kind: "", "signature": "s"}))
        values += [delta(index, type=f"{kind}_delta", **{kind: piece}) for piece in said]
        values.append(block_stop(index))
    spelt = [
        Event(json.dumps(value, **spelling)[:-1] + " " * n + "}")
        for n, value in enumerate([*values, stop_reason(), STOP])
    ]

    decoded = run_events(*spelt)

    assert run(*values, stop_reason(), STOP).chunks == decoded.chunks
    assert "".join(said).replace("\ud83d\ude00", "\U0001f600") == decoded.response.thinking


@pytest.mark.parametrize(
    "wrong",
    [
        '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x',
        '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}',
        '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}}',
        '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\n"}}',
        '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\\x"}}',
    ],
)
def test_plain_deltas_are_read_as_strictly(wrong: str) -> None:
    """An event that begins as a plain delta does and is no JSON is an error like any other."""
    decoded = run_events(*events(start(), HI[0]), Event(wrong), *events(stop_reason(), STOP))

    assert isinstance(decoded.error, DecodeError)


def test_plain_delta_with_more_beside_it() -> None:
    """A delta that begins as a plain one does and brings an error, or an index of another block, is read whole."""
    beside = '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"},"error":"boom"}'
    reused = run(start(), *HI, block_start(0, type="other"), text("no"), stop_reason(), STOP)

    assert isinstance(run_events(*events(start(), HI[0]), Event(beside)).error, ProviderError)
    assert "Hi" == reused.response.text


@pytest.mark.parametrize(
    "keep_alive",
    [
        Event("", "ping"),
        Event(" "),
        Event("ping", "ping"),
        Event("ok", "heartbeat"),
        Event('{"message":"ok"}', "ping"),
        Event('{"type":"ping","message":"ok"}'),
    ],
)
def test_keep_alives(keep_alive: Event) -> None:
    """Events that only keep the connection alive are skipped, JSON or not."""
    decoded = run_events(*events(start()), keep_alive, *events(*HI, stop_reason(), STOP))

    assert (None, "Hi") == (decoded.error, decoded.response.text)


def test_what_is_called_a_keep_alive() -> None:
    """Its name does not make a sign of life of what is a piece of the answer."""
    named = [Event(event.data, "keepalive") for event in events(start(), *HI, stop_reason(), STOP)]

    assert ("Hi", True) == ((d := run_events(*named)).response.text, d.response.complete)


def test_success_in_an_errors_box() -> None:
    """MiniMax says of its answers how they went."""
    assert run({**start(), "base_resp": {"status_code": 0}}, *HI, stop_reason(), STOP).error is None


def test_a_signature_said_twice() -> None:
    """The last one counts, as in Anthropic's own client."""
    signatures = [delta(0, type="signature_delta", signature=signature) for signature in ("s", "t")]
    decoded = run(start(), block_start(0, type="thinking", thinking="Hm"), *signatures, block_stop(0), STOP)

    assert (ThinkingPart(text="Hm", signature="t"),) == decoded.response.messages[0].content


def test_kinds_named_by_the_event_alone() -> None:
    """Where the JSON does not say what it is, the event's name does."""
    named = [
        Event('{"message": {"id": "m"}}', "message_start"),
        Event('{"index": 0, "delta": {"text": "Hi"}}', "content_block_delta"),
        Event('{"delta": {"stop_reason": "end_turn"}}', "message_delta"),
        Event("{}", "message_stop"),
    ]
    decoded = run_events(*named)

    assert (None, "Hi", "m") == (decoded.error, decoded.response.text, decoded.response.response.id)


def test_kinds_named_by_the_json_alone() -> None:
    """Where the event has no name, the JSON says what it is."""
    decoded = run_events(*[Event(json.dumps(value)) for value in (start(), *HI, stop_reason(), STOP)])

    assert (None, "Hi") == (decoded.error, decoded.response.text)


@pytest.mark.parametrize("field", ["text", "thinking", "signature", "partial_json", "citation"])
def test_deltas_known_by_their_field(field: str) -> None:
    """A delta that does not say what it is, is known by what it holds."""
    value = {"url": "u"} if field == "citation" else "{}"
    block = {"partial_json": {"type": "tool_use", "id": "t", "name": "n"}, "signature": {"type": "thinking"}}
    decoded = run(start(), block_start(0, **block.get(field, {})), delta(0, **{field: value}), block_stop(0), STOP)
    kinds = {
        "text": "text",
        "thinking": "thinking",
        "signature": "thinking",
        "partial_json": "tool_call",
        "citation": "source",
    }

    assert kinds[field] == decoded.chunks[-3 if field == "citation" else -2].type


def test_thinking_without_proof() -> None:
    """Thinking that is not signed is shown like any other, and secret thinking without data leaves nothing."""
    decoded = run(
        start(),
        block_start(0, type="thinking", thinking="t"),
        delta(0, type="signature_delta", signature=None),
        block_stop(0),
        block_start(1, type="redacted_thinking", data=None),
        block_stop(1),
        text("x", 2),
        STOP,
    )

    assert (ThinkingPart(text="t"), TextPart(text="x")) == decoded.response.messages[0].content


def test_signature_without_its_block() -> None:
    """A signature whose block never began ends the thinking before it."""
    decoded = run(
        start(),
        delta(0, type="thinking_delta", thinking="t"),
        delta(0, type="signature_delta", signature="s"),
        text("x", 1),
        STOP,
    )

    assert (ThinkingPart(text="t", signature="s"), TextPart(text="x")) == decoded.response.messages[0].content


def test_blocks_without_indexes() -> None:
    """Blocks that are not numbered follow each other."""
    unnumbered = [
        {name: value for name, value in event.items() if name != "index"}
        for event in (
            block_start(0, type="tool_use", id="a", name="n"),
            delta(0, type="input_json_delta", partial_json="{}"),
            block_stop(0),
            block_start(1, type="tool_use", id="b", name="n"),
            delta(1, type="input_json_delta", partial_json="[]"),
            block_stop(1),
        )
    ]
    calls = run(start(), *unnumbered, STOP).response.tool_calls

    assert [("a", "{}"), ("b", "[]")] == [(call.id, call.input) for call in calls]


def test_index_used_again_without_an_end() -> None:
    """A block whose end is missing ends where the next one begins under its index."""
    decoded = run(
        start(),
        block_start(0, type="tool_use", id="a", name="n", input={"x": 1}),
        block_start(0, type="tool_use", id="b", name="n", input={"x": 2}),
        STOP,
    )

    assert [("a", {"x": 1}), ("b", {"x": 2})] == [(c.id, c.arguments) for c in decoded.response.tool_calls]


def test_whole_answer_in_one_event() -> None:
    """A server that does not stream gives a complete answer all the same."""
    decoded = run(
        {
            "type": "message",
            "id": "msg_1",
            "model": "claude-x",
            "content": [
                {"type": "thinking", "thinking": "Hm", "signature": "s"},
                {"type": "text", "text": "Hi", "citations": [{"url": "u"}]},
                {"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}},
                {"type": "server_tool_use", "id": "z"},
            ],
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 2, "output_tokens": 3},
        }
    )
    response = decoded.response

    assert decoded.error is None
    assert ("Hm", "Hi", "tool_calls", 5) == (
        response.thinking,
        response.text,
        response.finish_reason,
        response.usage.total_tokens,
    )
    assert [{"a": 1}] == [call.arguments for call in response.tool_calls]
    assert ("s", "z") == (response.messages[0].content[0].signature, response.messages[0].content[-1].block["id"])  # type: ignore[union-attr]  # the parts' kinds are known here


def test_whole_answer_of_plain_text() -> None:
    """A whole answer whose content is a text, not blocks, is that text."""
    assert "Hi" == run({"type": "message", "content": "Hi", "stop_reason": "end_turn"}).response.text


# -- the answer: ends and errors


@pytest.mark.parametrize(
    "begun",
    [
        [],
        [start()],
        [start(stop_reason="end_turn"), text("x")],
        [start(), text("x"), block_stop(0)],
        [start(), block_start(0, type="tool_use", id="t", name="n", input={"a": 1})],
        [STOP],
        [{"type": "ping"}, STOP],
        [{"choices": [{"delta": {"content": "x"}}]}],
    ],
)
def test_no_end_is_truncation(begun: list[Any]) -> None:
    """Without `message_stop` and stop reason, or with nothing before them, an answer is cut off, never complete."""
    decoded = run(*begun)

    assert isinstance(decoded.error, StreamTruncated)
    assert "anthropic" in str(decoded.error)
    assert not any(chunk.type in ("step_finish", "tool_call") for chunk in decoded.chunks)


def test_done_of_a_gateway() -> None:
    """OpenAI's [DONE] ends an answer that gave its stop reason, and does not complete one that did not."""
    done = Event("[DONE]", "data")
    whole = run_events(*events(start(), text("x"), stop_reason()), done)
    cut = run_events(*events(start(), text("x")), done)

    assert whole.error is None
    assert isinstance(cut.error, StreamTruncated)


def test_end_without_stop_reason_invents_none() -> None:
    """`message_stop` completes an answer that gave no stop reason; none is invented."""
    response = run(start(), text("x"), STOP).response

    assert (True, "other", None) == (response.complete, response.finish_reason, response.raw_finish_reason)


@pytest.mark.parametrize(
    ("event", "cls", "code", "said"),
    [
        (
            Event('{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'),
            Overloaded,
            "overloaded_error",
            "Overloaded",
        ),
        (
            Event('{"type":"error","error":{"type":"rate_limit_error","message":"Slow"}}', "error"),
            RateLimited,
            "rate_limit_error",
            "Slow",
        ),
        (Event('{"type":"error","error":"plain"}', "error"), ProviderError, None, "plain"),
        (Event('{"type":"error"}', "error"), ProviderError, None, "without a message"),
        (Event('{"type":"overloaded_error","message":"O"}', "error"), Overloaded, "overloaded_error", "O"),
        (Event('{"error":{"message":"boom","code":529}}'), Overloaded, "529", "boom"),
        (Event('{"type":"content_block_delta","delta":{"text":"no"},"error":"boom"}'), ProviderError, None, "boom"),
        (Event("upstream failed", "error"), ProviderError, None, "upstream failed"),
        (Event('"upstream failed"', "error"), ProviderError, None, "upstream failed"),
        (Event('[{"error":{"message":"boom"}}]'), ProviderError, None, "boom"),
        (Event('{"base_resp":{"status_code":1013,"status_msg":"boom"}}'), ServerError, "1013", "boom"),
        (Event('{"detail":"boom"}'), ProviderError, None, "boom"),
        (Event('{"code":500,"msg":"boom","success":false}'), ServerError, "500", "boom"),
        (Event('{"message":"boom"}', "exception"), ProviderError, None, "boom"),
    ],
)
def test_errors_inside_the_stream(event: Event, cls: type[ProviderError], code: str | None, said: str) -> None:
    """An error inside the stream ends it as the class of its status, after the chunks before it; never as an answer."""
    decoded = run_events(*events(start(), text("Hel")), event, *events(text("lo"), stop_reason(), STOP))

    assert isinstance(decoded.error, cls)
    assert code == decoded.error.code
    assert said in str(decoded.error)
    assert "Hel" == decoded.response.text


def test_request_id_of_an_error_event() -> None:
    """An error event's request id is on the error."""
    decoded = run({"type": "error", "error": {"type": "api_error", "message": "m"}, "request_id": "req_1"})

    assert isinstance(decoded.error, ProviderError)
    assert "req_1" == decoded.error.request_id


@pytest.mark.parametrize(
    "bad",
    [
        Event("not json"),
        Event('{"type":"content_block_delta"'),
        Event('{"type":"message_start","message":{"usage":{"input_tokens":' + "9" * 5000 + "}}}"),
        Event("[" * 100_000),
        Event('{"type":"content_block_start","index":0,"content_block":' + '{"type":"x","a":' * 100_000),
        *events(
            delta(0, type="text_delta", text=5),
            delta(0, type="text_delta", text={"a": 1}),
            delta(0, type="thinking_delta", thinking=["x"]),
            delta(0, type="input_json_delta", partial_json="{}"),
            block_start(0, type="text", text=True),
        ),
    ],
)
def test_events_that_cannot_be_understood(bad: Event) -> None:
    """An event that cannot be read, or whose text is none, is an error: an answer with a hole must not look whole."""
    decoded = run_events(*events(start(), text("Hel")), bad, *events(text("lo"), stop_reason(), STOP))

    assert isinstance(decoded.error, DecodeError)
    assert "Hel" == decoded.response.text
    assert len(decoded.error.event) <= 2001


@pytest.mark.parametrize("depth", [500, 900, 3000, 20_000])
def test_deep_nesting(depth: int) -> None:
    """Blocks nested as deep as the parser just bears give an answer or one of our errors."""
    nested = '{"a":' * depth + "1" + "}" * depth
    block = '{"type":"content_block_start","index":0,"content_block":{"type":"%s","id":"t","input":' + nested + "}}"
    more = '{"type":"content_block_delta","index":1,"delta":{"found":' + nested + "}}"
    decoded = run_events(
        *events(start()), Event(block % "tool_use"), Event(block % "other"), Event(more), *events(STOP)
    )

    assert decoded.error is None or isinstance(decoded.error, DecodeError)


def test_text_can_always_be_encoded() -> None:
    """Half surrogate pairs are joined over two deltas or replaced, wherever they stand."""
    decoded = run(
        start(id="\ud83d", model="\ud83d", note="\ud83d"),
        text("a\ud83d"),
        text("\ude00b\ud83d"),
        delta(0, type="citations_delta", citation={"title": "\ud83d"}),
        block_start(1, type="tool_use", id="\ud83d", name="\ud83d", input={"\ud83d": "\ud83d"}),
        block_start(2, type="thinking", thinking="\ud83d", signature="\ud83d"),
        block_start(3, type="other", text="\ud83d"),
        STOP,
    )

    assert "a😀b\ufffd" == decoded.response.text
    json.dumps(_plain(decoded.chunks), ensure_ascii=False).encode("utf-8")


def _plain(value: Any) -> Any:
    """Give chunks as JSON data."""
    return [attrs.asdict(chunk) for chunk in value]


# -- anything at all

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("\ud83d")
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
kinds = st.sampled_from(["text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "fallback", "other"])
delta_kinds = st.sampled_from(
    ["text_delta", "thinking_delta", "signature_delta", "input_json_delta", "citations_delta", "compaction_delta"]
)
indexes = st.integers(0, 2) | anything


def shaped(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What belongs there, or anything else."""
    return st.one_of(right, right, right, anything)


blocks = st.fixed_dictionaries(
    {"type": shaped(kinds)},
    optional={name: shaped(st.text(max_size=5)) for name in ("id", "name", "text", "thinking", "signature", "data")}
    | {"input": anything, "citations": shaped(st.lists(anything, max_size=2)), "to": anything},
)
deltas = st.fixed_dictionaries(
    {},
    optional={
        name: shaped(st.text(max_size=5)) for name in ("text", "thinking", "signature", "partial_json", "content")
    }
    | {
        "type": shaped(delta_kinds),
        "citation": shaped(st.dictionaries(st.sampled_from(["url", "title", "x"]), anything)),
    },
)
messages = st.fixed_dictionaries(
    {},
    optional={
        "id": anything,
        "model": anything,
        "usage": shaped(st.dictionaries(st.sampled_from(["input_tokens", "output_tokens", "iterations"]), anything)),
        "content": shaped(st.lists(blocks, max_size=2)),
        "stop_reason": shaped(st.just("end_turn")),
    },
)
json_events = st.one_of(
    anything,
    st.fixed_dictionaries({"type": st.just("message_start"), "message": shaped(messages)}),
    st.fixed_dictionaries(
        {"type": st.just("content_block_start"), "content_block": shaped(blocks)}, optional={"index": indexes}
    ),
    st.fixed_dictionaries(
        {"type": st.just("content_block_delta"), "delta": shaped(deltas)}, optional={"index": indexes}
    ),
    st.fixed_dictionaries({"type": st.just("content_block_stop")}, optional={"index": indexes}),
    st.fixed_dictionaries({"type": st.just("message_delta"), "delta": shaped(messages)}, optional={"usage": anything}),
    st.fixed_dictionaries(
        {"type": shaped(st.sampled_from(["message_stop", "ping", "error", "new"]))}, optional={"error": anything}
    ),
    messages.map(lambda message: {**message, "type": "message"}),
)
names = st.sampled_from(["message", "message_start", "content_block_delta", "message_stop", "error", "data"])


@given(st.lists(st.builds(Event, json_events.map(json.dumps), names), max_size=12))
def test_any_json_is_chunks_or_our_error(sent: list[Event]) -> None:
    """Whatever JSON comes gives chunks of encodable text, numbered without gaps, and errors of our tree only."""
    decoded = decode_events(PROVIDER, [[event] for event in sent])

    assert list(range(len(decoded.chunks))) == [chunk.index for chunk in decoded.chunks]
    for chunk in decoded.chunks:
        assert type(chunk.content) is str
        repr(chunk).encode("utf-8")
    for call in decoded.response.tool_calls:
        assert (str, str, str) == (type(call.id), type(call.name), type(call.input))
    assert (decoded.error is None) == decoded.response.complete
    assert decoded.error is not None or decoded.response.finish_reason != ""


# -- lists of models


@pytest.mark.parametrize("base_url", ["https://api.anthropic.com", "https://api.anthropic.com/v1"])
def test_a_list_of_models_is_asked_for(base_url: str) -> None:
    """The largest page there is, with key and version."""
    provider = Anthropic("sk-ant-0123456789", base_url=base_url)
    sent = provider.codec.list_models(provider)

    assert ("https://api.anthropic.com/v1/models?limit=1000", "GET", b"") == (sent.url, sent.method, sent.body)
    assert {"x-api-key": "sk-ant-0123456789"} == {name: secret.expose() for name, secret in sent.secrets.items()}
    assert "2023-06-01" == sent.headers["anthropic-version"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            {"data": [{"type": "model", "id": "claude-a"}, {"id": "claude-b"}], "has_more": False},
            ["claude-a", "claude-b"],
        ),
        ({"data": [{"id": "a"}, {"id": 5}, {}, None, "x", {"id": ""}]}, ["a"]),
        ({"data": None}, []),
        ({}, []),
        ([], []),
        (None, []),
        ("a", []),
    ],
)
def test_names_of_models(answer: object, expected: list[str]) -> None:
    """Each model's id; what is no model is skipped."""
    provider = Anthropic("sk-ant-0123456789")

    assert expected == provider.codec.model_names(answer)
