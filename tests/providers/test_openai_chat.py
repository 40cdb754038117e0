"""Chat completions: requests as the API wants them, and its answers, however they come, as chunks."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import jsontext
from streamkit.codec import HttpRequest
from streamkit.errors import (
    BadRequest,
    ConfigError,
    ContextOverflow,
    DecodeError,
    Overloaded,
    ProviderError,
    RateLimited,
    ServerError,
    StreamKitError,
    StreamTruncated,
)
from streamkit.framing import Event
from streamkit.providers.openai_chat import ChatCompletions, OpenAI, OpenAICompatible, Quirks
from streamkit.stencil import Stencil
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
OPENAI = OpenAI(KEY, base_url="https://api.openai.com/v1")
HELLO = (user("Hello"),)
ADD = Tool(name="add", description="Adds.", parameters={"type": "object", "properties": {"a": {"type": "integer"}}})

CLOSED = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}

EVERY = [*transcripts("openai-chat"), *own_transcripts("openai_chat")]
STREAMS = [pytest.param(meta["expected"], body, id=name) for name, meta, body in EVERY if meta["status"] < 400]
REFUSED = [pytest.param(meta, body, id=name) for name, meta, body in EVERY if meta["status"] >= 400]


# -- requests


def encoded(request: ChatRequest, provider: OpenAI | OpenAICompatible = OPENAI) -> dict[str, Any]:
    """The body of a request, as the server reads it."""
    body = provider.codec.encode(request, provider).body
    value: dict[str, Any] = json.loads(body.decode("utf-8"))
    return value


def asked(*messages: Message, **fields: Any) -> ChatRequest:
    """A request for gpt-4o with these messages and fields."""
    return attrs.evolve(ChatRequest(model="gpt-4o", messages=messages or HELLO), **fields)


def test_a_plain_request() -> None:
    """The smallest request has model and messages, and asks for a stream with usage."""
    expected = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }

    assert expected == encoded(asked())


def test_where_and_how_it_is_sent() -> None:
    """It goes to chat/completions under the base URL, asks for an unencoded event stream, and keeps the key apart."""
    sent = OPENAI.codec.encode(asked(), OPENAI)

    assert sent.url == "https://api.openai.com/v1/chat/completions"
    assert sent.headers == {
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "Accept-Encoding": "identity",
    }
    assert {name: secret.expose() for name, secret in sent.secrets.items()} == {"Authorization": f"Bearer {KEY}"}
    assert KEY not in repr(sent)


def test_a_server_without_a_key_gets_no_authorization() -> None:
    """A compatible server that needs no key is sent none."""
    local = OpenAICompatible(base_url="http://127.0.0.1:8080/v1")

    assert local.codec.encode(asked(), local).secrets == {}


def test_a_compatible_server_travels() -> None:
    """Pickled, it keeps its name and address."""
    arrived = pickle.loads(pickle.dumps(OpenAICompatible(KEY, base_url="http://h/v1", name="mine")))

    assert ("mine", "http://h/v1", None) == (arrived.name, arrived.base_url, arrived.secret())


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"temperature": 0.0}, {"temperature": 0.0}),
        ({"top_p": 0.5}, {"top_p": 0.5}),
        ({"max_tokens": 20}, {"max_tokens": 20}),
        ({"stop": ("a", "b")}, {"stop": ["a", "b"]}),
        ({"seed": 0}, {"seed": 0}),
        ({"reasoning_effort": "low"}, {"reasoning_effort": "low"}),
        ({"prompt_caching": True}, {}),
        ({"tool_choice": "auto"}, {}),
        ({"parallel_tool_calls": False}, {}),
        ({"response_format": ResponseFormat(type="text")}, {"response_format": {"type": "text"}}),
        ({"response_format": ResponseFormat(type="json")}, {"response_format": {"type": "json_object"}}),
        (
            {"response_format": ResponseFormat(type="schema", schema=CLOSED, name="n")},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": CLOSED, "strict": True},
                }
            },
        ),
        (
            {"response_format": ResponseFormat(type="schema", schema={"type": "object"}, name="n", strict=False)},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": False},
                }
            },
        ),
        ({"frequency_penalty": 0.5, "presence_penalty": -2}, {"frequency_penalty": 0.5, "presence_penalty": -2}),
        ({"logprobs": 0}, {"logprobs": True}),
        ({"logprobs": 5}, {"logprobs": True, "top_logprobs": 5}),
        ({"provider_options": {"user": "u1", "n": 1}}, {"user": "u1", "n": 1}),
    ],
)
def test_what_a_setting_adds(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each setting adds its field of the API and nothing else; what asks for nothing adds none."""
    plain = encoded(asked())

    assert plain | expected == encoded(asked(**fields))


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ("gpt-4o", "max_tokens"),
        ("gpt-4.1-mini", "max_tokens"),
        ("chatgpt-4o-latest", "max_tokens"),
        ("o1", "max_completion_tokens"),
        ("o3-mini", "max_completion_tokens"),
        ("gpt-5-nano", "max_completion_tokens"),
        ("gpt-5.1", "max_completion_tokens"),
        ("openai/gpt-5", "max_completion_tokens"),
        ("ft:o4-mini:org::id", "max_completion_tokens"),
        ("codex-mini-latest", "max_completion_tokens"),
    ],
)
def test_the_name_of_the_token_limit(model: str, field: str) -> None:
    """OpenAI's reasoning models get their limit under the only name they take, all others under the old one."""
    sent = encoded(ChatRequest(model=model, messages=HELLO, max_tokens=7))

    assert {field: 7} == {name: value for name, value in sent.items() if name.startswith("max_")}


def test_a_compatible_server_gets_the_old_name_and_top_k() -> None:
    """Servers that only speak the wire know neither OpenAI's models nor its newer field, but know top_k."""
    sent = encoded(
        ChatRequest(model="o1-copy", messages=HELLO, max_tokens=7, top_k=3), OpenAICompatible(base_url="http://h/v1")
    )

    assert (7, 3) == (sent["max_tokens"], sent["top_k"])


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("add", {"type": "function", "function": {"name": "add"}}),
    ],
)
def test_tools_and_the_choice_among_them(choice: str, expected: object) -> None:
    """Tools are functions with their schema; a choice by name is an object."""
    sent = encoded(asked(tools=(ADD, Tool(name="ping")), tool_choice=choice, parallel_tool_calls=False))

    assert sent["tools"] == [
        {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": ADD.parameters}},
        {"type": "function", "function": {"name": "ping", "parameters": {"type": "object", "properties": {}}}},
    ]
    assert (expected, False) == (sent["tool_choice"], sent["parallel_tool_calls"])


def test_provider_options_have_the_last_word() -> None:
    """An object in them is merged into ours, None takes a field out, anything else replaces it."""
    options = {
        "temperature": 1,
        "seed": None,
        "stream_options": {"include_obfuscation": False},
        "metadata": {"a": "b"},
    }
    sent = encoded(asked(temperature=0.5, seed=3, provider_options=options))

    assert sent == encoded(asked()) | {
        "temperature": 1,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
        "metadata": {"a": "b"},
    }


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([system("Be brief."), user("Hi")], [("system", "Be brief."), ("user", "Hi")]),
        ([user("")], [("user", "")]),
        ([user(["a", "b"])], [("user", "ab")]),
        ([user("Hi"), assistant("Yes?")], [("user", "Hi"), ("assistant", "Yes?")]),
        (
            [user("Hi"), assistant([ThinkingPart(text="hm"), RawPart(provider="x", block={}), TextPart(text="Yes")])],
            [("user", "Hi"), ("assistant", "Yes")],
        ),
        ([user("Hi"), assistant([ThinkingPart(text="hm")])], [("user", "Hi"), ("assistant", "")]),
    ],
)
def test_messages_of_text(messages: list[Message], expected: list[tuple[str, str]]) -> None:
    """Text is sent as a plain string; thinking and what only another provider understands is left out."""
    assert [{"role": role, "content": text} for role, text in expected] == encoded(asked(*messages))["messages"]


def test_images_and_files() -> None:
    """Images go as their URL or a data URL, files as a data URL with their name."""
    parts = [
        "Look:",
        ImagePart(url="https://example.com/a.png"),
        ImagePart(data=b"\x00", media_type="image/jpeg", detail="low"),
        FilePart(data=b"%PDF", name="a.pdf"),
    ]

    assert encoded(asked(user(parts)))["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look:"},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AA==", "detail": "low"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}},
            ],
        }
    ]


def test_a_tool_round_trip() -> None:
    """Calls go back with their arguments' exact text, each result as a message of its own before what the user adds."""
    call = ToolCallPart(id="c1", name="add", input='{"a":  1}')
    messages = [
        user("1+1?"),
        assistant([call, ToolCallPart(id="c2", name="ping", input="")]),
        Message(role="tool", content=[ToolResultPart(tool_call_id="c1", output="2")]),
        user([ToolResultPart(tool_call_id="c2", output="pong"), TextPart(text="So?")]),
    ]

    assert encoded(asked(*messages))["messages"] == [
        {"role": "user", "content": "1+1?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":  1}'}},
                {"id": "c2", "type": "function", "function": {"name": "ping", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
        {"role": "tool", "tool_call_id": "c2", "content": "pong"},
        {"role": "user", "content": "So?"},
    ]


@pytest.mark.parametrize(
    ("output", "sent"),
    [
        ("", "Error: the tool failed"),
        ("no such file", "Error: no such file"),
        ("error: no such file", "error: no such file"),
        ("Error", "Error"),
    ],
)
def test_the_failure_of_a_tool(output: str, sent: str) -> None:
    """The API has no mark for it, so the result says it."""
    messages = [assistant([ToolCallPart(id="c", name="add", input="{}")]), tool_result("c", output, is_error=True)]

    assert {"role": "tool", "tool_call_id": "c", "content": sent} == encoded(asked(*HELLO, *messages))["messages"][-1]


@pytest.mark.parametrize(
    ("provider", "sent"),
    [
        ("openai", {"google": {"thought_signature": "s"}}),
        ("", {"google": {"thought_signature": "s"}}),
        ("gemini", None),
    ],
)
def test_whose_signature_goes_back(provider: str, sent: object) -> None:
    """The signature of a call goes back in the place it came in, to the provider that gave it."""
    signed = ToolCallPart(id="c", name="add", input="{}", signature="s", provider=provider)
    plain = ToolCallPart(id="d", name="add", input="{}", provider="openai")
    back = encoded(asked(*HELLO, assistant([signed, plain]), tool_result("c", "2")))["messages"][-2]

    assert [sent, None] == [call.get("extra_content") for call in back["tool_calls"]]


def thinking_back(*messages: Message) -> list[str | None]:
    """The thinking that goes back with each message to a service that wants it."""
    codec = ChatCompletions(quirks=Quirks(thinking_back="reasoning_content"))
    body = json.loads(codec.encode(asked(*messages), OPENAI).body)
    return [message.get("reasoning_content") for message in body["messages"]]


def test_thinking_goes_back_while_tools_are_called() -> None:
    """A service that wants its thinking back gets it from its first call to the answer after the last result."""
    call = ToolCallPart(id="c", name="add", input="{}")
    thoughts = [ThinkingPart(text="I ", provider="openai"), ThinkingPart(text="add.")]
    messages = [
        user("1+1?"),
        assistant([*thoughts, call]),
        tool_result("c", "2"),
        assistant([ThinkingPart(text="So 2."), TextPart(text="2")]),
        user("Thanks"),
        assistant([ThinkingPart(text="Polite."), TextPart(text="Welcome")]),
        user("2+2?"),
    ]

    assert [None, "I add.", None, "So 2.", None, None, None] == thinking_back(*messages)
    assert all("reasoning_content" not in message for message in encoded(asked(*messages))["messages"])


@pytest.mark.parametrize("thought", [ThinkingPart(text="Hm", provider="deepseek"), ThinkingPart(redacted="x")], ids=str)
def test_only_thinking_of_its_own_goes_back(thought: ThinkingPart) -> None:
    """What another provider thought, or kept secret, is left out."""
    calling = assistant([thought, ToolCallPart(id="c", name="add", input="{}")])

    assert [None, None, None] == thinking_back(*HELLO, calling, tool_result("c", "2"))


def test_calls_without_ids_get_ids_on_the_way_out() -> None:
    """Where a service gave calls no id, each call and its result get the same made-up one, in order, over all turns."""
    two = assistant([ToolCallPart(id="", name="a", input="{}"), ToolCallPart(id="", name="b", input="{}")])
    results = [tool_result("", "1"), tool_result("", "2")]
    sent = encoded(asked(*HELLO, two, *results, two, *results))["messages"]

    assert ["call_1", "call_2", "call_3", "call_4"] == [c["id"] for m in sent for c in m.get("tool_calls", ())]
    assert ["call_1", "call_2", "call_3", "call_4"] == [m["tool_call_id"] for m in sent if m["role"] == "tool"]


def test_text_that_cannot_be_encoded() -> None:
    """A half surrogate in a prompt becomes U+FFFD; everything else goes out unescaped, in UTF-8."""
    sent = OPENAI.codec.encode(asked(user("é\ud83d 😀")), OPENAI).body

    assert '"content":"é\ufffd 😀"'.encode() in sent


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (ChatRequest(model="", messages=HELLO), "no model"),
        (ChatRequest(model="m"), "no messages: add one with .user(...)"),
        (ChatRequest(model="m", messages=(system("x"),)), "no messages"),
        (asked(top_k=3), "top_k"),
        (asked(thinking=True), "reasoning_effort"),
        (asked(thinking_budget=1024), "reasoning_effort"),
        (asked(provider_options={"n": 2}), "n above 1"),
        (asked(tool_choice="required"), "without tools"),
        (asked(tools=(ADD,), tool_choice="sub"), "unknown tool_choice 'sub'"),
        (asked(temperature=float("nan")), "cannot be written as JSON"),
        (asked(provider_options={"x": float("inf")}), "cannot be written as JSON"),
        (asked(provider_options={"x": object()}), "cannot be written as JSON"),
        (asked(provider_options={"x": {1, 2}}), "cannot be written as JSON"),
        (asked(Message(role="system", content=[ImagePart(url="u")]), *HELLO), "user message"),
        (asked(user([FilePart(url="https://h/a.pdf")])), "fetches no files: send their bytes"),
        (asked(user([FilePart()])), "the file file.pdf is empty"),
        (asked(user([FilePart(data=b"x", citations=True)])), "leave citations out"),
        (asked(user([ImagePart(data=b"BM", media_type="image/bmp")])), "no images of type image/bmp"),
        (asked(user([ImagePart(data=b"x" * (20 * 2**20 + 1))])), "20971521 bytes is too large"),
        (
            asked(Message(role="tool", content=[ToolResultPart(tool_call_id="c", images=(ImagePart(url="u"),))])),
            "send them in a user message",
        ),
        (
            asked(response_format=ResponseFormat(type="schema", schema={"type": "object", "properties": {"a": {}}})),
            '$: must have "additionalProperties": false',
        ),
        (asked(response_format=ResponseFormat(type="schema")), "needs a schema"),
        (asked(response_format=ResponseFormat(type="schema", schema={"type": "x"}, strict=False)), "$.type: 'x'"),
        (
            asked(tools=(attrs.evolve(ADD, parameters={"properties": {"a": 5}}),)),
            "tool add cannot be sent: $.properties.a",
        ),
        (asked(headers={"X-A": "a\r\nb"}), "X-A"),
        (asked(headers={"X A": "a"}), "name of a header"),
        (asked(headers={"X-A": "世"}), "X-A"),
        (asked(headers={"authorization": "Bearer x"}), "api_key"),
        (asked(headers={"Content-Length": "3"}), "leave it out"),
    ],
)
def test_what_is_refused_before_it_is_sent(request_: ChatRequest, says: str) -> None:
    """What the API cannot do, or no request can carry, is a ConfigError that says what to do."""
    with pytest.raises(ConfigError, match=r"openai|JSON|header|message") as caught:
        OPENAI.codec.encode(request_, OPENAI)

    assert says in str(caught.value)


def test_server_side_tools_need_no_tools_of_ours() -> None:
    """Tools given as provider options can be chosen, too: we do not know their names."""
    sent = encoded(asked(tool_choice="required", provider_options={"tools": [{"type": "web_search"}]}))

    assert ("required", [{"type": "web_search"}]) == (sent["tool_choice"], sent["tools"])


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
    """What is cut off gives the beginning of the same chunks, and is complete only if the finish reason had come."""
    _, body = transcript.values
    whole, part = decode(OPENAI, [body]), decode(OPENAI, [body[: place % (len(body) + 1)]])
    plain = [c for c in part.chunks if c.type not in ("tool_call_start", "tool_call_delta", "tool_call", "step_finish")]

    assert plain == [c for c in whole.chunks if c.type in ("text", "thinking", "source")][: len(plain)]
    assert part.response.complete == (part.error is None)
    assert (
        isinstance(part.error, (StreamTruncated, ProviderError))
        or part.response.raw_finish_reason
        or (part.chunks == whole.chunks)
    )
    if part.error is not None:
        assert not [c for c in part.chunks if c.type in ("tool_call", "step_finish")]


@pytest.mark.parametrize(("meta", "body"), REFUSED)
def test_a_recorded_error_answer(meta: dict[str, Any], body: bytes) -> None:
    """An error answer becomes an error with its status and the provider's words."""
    error = OPENAI.codec.error("openai", meta["status"], meta["headers"], body)

    assert meta["status"] == error.status
    assert error_message(meta["expected"]) in str(error)


def test_classes_of_recorded_errors() -> None:
    """A context overflow and a rate limit are told apart."""
    errors = {
        name: type(OPENAI.codec.error("openai", meta["status"], {}, body))
        for name, meta, body in own_transcripts("openai_chat")
        if meta["status"] >= 400
    }

    assert {"llamacpp-context-overflow": ContextOverflow, "aimock-rate-limited": RateLimited} == errors


# -- answers of all kinds


def said(*events: object, done: bool = True) -> Decoded:
    """What becomes of these events, each a JSON value, a text, or an `Event`."""
    made = [e if isinstance(e, Event) else Event(e if isinstance(e, str) else json.dumps(e)) for e in events]
    return decode_events(OPENAI, [[*made, *([Event("[DONE]")] if done else [])]])


def piece(delta: object = None, finish: object = None, *, index: object = 0, **event: Any) -> dict[str, Any]:
    """An event with one choice."""
    choice = {"index": index, "delta": {} if delta is None else delta, "finish_reason": finish}
    return {"id": "c-1", "model": "m-1", "choices": [choice], **event}


def call(index: object = 0, id: object = None, name: str | None = None, args: object = None) -> dict[str, Any]:
    """An entry of `tool_calls`; what is None is left out."""
    entry = {"index": index, "id": id, "function": {"name": name, "arguments": args}}
    entry["function"] = {k: v for k, v in entry["function"].items() if v is not None}  # type: ignore[attr-defined]
    return {k: v for k, v in entry.items() if v is not None}


def calling(*entries: object, finish: object = None) -> dict[str, Any]:
    """An event with entries of `tool_calls`."""
    return piece({"tool_calls": list(entries)}, finish)


def calls_of(decoded: Decoded) -> list[tuple[str, str, str]]:
    """Id, name and text of the calls of a response."""
    return [(c.id, c.name, c.input) for c in decoded.response.tool_calls]


STOP = piece({}, "stop")
CALLED = piece({}, "tool_calls")
TEXT = piece({"content": "Hi"})


@pytest.mark.parametrize(
    ("events", "text", "thinking"),
    [
        ([TEXT, STOP], "Hi", ""),
        ([piece({"role": "assistant", "content": None}), TEXT, piece({"content": ""}, "stop")], "Hi", ""),
        ([{}, {"choices": None}, {"choices": []}, TEXT, piece(None), STOP], "Hi", ""),
        ([{"choices": [{"delta": None}]}, {"choices": [{}, 5, None]}, TEXT, STOP], "Hi", ""),
        ([{"choices": [{"delta": {"content": "Hi"}}]}, STOP], "Hi", ""),
        (["null", "3", '"x"', "[1]", TEXT, STOP], "Hi", ""),
        ([Event("", "message"), Event("tick", "ping"), Event("{}", "new-kind"), TEXT, STOP], "Hi", ""),
        ([piece({"content": "Hi", "new": {"a": [1]}}, new=1), STOP], "Hi", ""),
        ([piece({"content": "No"}, index=1), TEXT, piece({"content": "No"}, index=2), STOP], "Hi", ""),
        ([piece({"reasoning_content": "hm"}), TEXT, STOP], "Hi", "hm"),
        ([piece({"reasoning": "hm"}), TEXT, STOP], "Hi", "hm"),
        ([piece({"reasoning_text": "hm", "reasoning_opaque": "x"}), TEXT, STOP], "Hi", "hm"),
        ([piece({"reasoning": "hm", "reasoning_content": "hm"}), TEXT, STOP], "Hi", "hm"),
        ([piece({"reasoning": "hm", "reasoning_details": [{"text": "hm"}]}), TEXT, STOP], "Hi", "hm"),
        ([piece({"content": "Hi", "reasoning_content": "hm"}), STOP], "Hi", "hm"),
        ([piece({"reasoning_content": {"no": "text"}, "reasoning": "hm"}), TEXT, STOP], "Hi", "hm"),
        (
            [piece({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi"}]}), STOP],
            "Hi",
            "hm",
        ),
        (
            [piece({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, "Hi"]}), STOP],
            "Hi",
            "hm",
        ),
        (
            [
                piece({"content": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}, "Hi"]}),
                STOP,
            ],
            "Hi",
            "hm",
        ),
        ([piece({"content": {"type": "text", "text": "Hi"}}), STOP], "Hi", ""),
        ([Event(json.dumps(TEXT), "ping"), STOP], "Hi", ""),
        ([TEXT, Event('{"message": "still here"}', "heartbeat"), STOP], "Hi", ""),
        ([piece({"content": "\x00 \u2028"}), STOP], "\x00 \u2028", ""),
        (
            ['{"choices":[{"delta":{"content":"\\ud83d"}}]}', '{"choices":[{"delta":{"content":"\\ude00"}}]}', STOP],
            "😀",
            "",
        ),
        (['{"choices":[{"delta":{"content":"a\\ud83d"}}]}', TEXT, STOP], "a\ufffdHi", ""),
        (['{"choices":[{"delta":{"content":"a\\ud83d"}}]}', STOP], "a\ufffd", ""),
        ([piece({"content": "Hi"}), piece({"content": "!"}, "stop"), STOP, STOP], "Hi!", ""),
        ([TEXT, STOP, "[DONE]", piece({"content": "late"}), "no JSON"], "Hi", ""),
        ([TEXT, STOP, " [DONE] ", "no JSON"], "Hi", ""),
        ([piece({"content": "Hi"}, text="Hi", message={"content": "Hi"}), STOP], "Hi", ""),
    ],
)
def test_text_and_thinking(events: list[object], text: str, thinking: str) -> None:
    """Text and thinking come whole, once and apart, under whatever name and in whatever shape and company."""
    decoded = said(*events)

    assert (text, thinking, None) == (decoded.response.text, decoded.response.thinking, decoded.error)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            [calling(call(0, "a", "f", "")), calling(call(0, args='{"x"')), calling(call(0, args=":1}"))],
            [("a", "f", '{"x":1}')],
        ),
        ([calling(call(0, "a", "f", "{")), calling(call(0, "a", "f", "}"))], [("a", "f", "{}")]),
        ([calling(call(0, "a", "f", "{}"), call(1, "b", "g", "{}"))], [("a", "f", "{}"), ("b", "g", "{}")]),
        (
            [
                calling(call(1, "b", "g", "{")),
                calling(call(0, "a", "f", "{")),
                calling(call(0, args="}"), call(1, args=" }")),
            ],
            [("b", "g", "{ }"), ("a", "f", "{}")],
        ),
        ([calling(call(7, "a", "f", "{}"))], [("a", "f", "{}")]),
        ([calling(call(0, "a", "f", "{}")), calling(call(0, "b", "g", "{}"))], [("a", "f", "{}"), ("b", "g", "{}")]),
        ([calling(call(0, "a", "f", "{}")), calling(call(0, "b", "f", "{}"))], [("a", "f", "{}"), ("b", "f", "{}")]),
        ([calling(call(0, "a", "f", "{")), calling(call(0, "b", args="}"))], [("a", "f", "{}")]),
        ([calling(call(0, "", "f", "{}")), calling(call(0, "", "g", "{}"))], [("", "f", "{}"), ("", "g", "{}")]),
        (
            [calling(call(0, "", "f", "{}")), calling(call(0, "", "f", '{"a":1}'))],
            [("", "f", "{}"), ("", "f", '{"a":1}')],
        ),
        ([calling(call(None, "a", "f", "{}"), call(None, "b", "f", "{}"))], [("a", "f", "{}"), ("b", "f", "{}")]),
        ([calling(call(None, "a", "f", "{")), calling(call(None, "a", args="}"))], [("a", "f", "{}")]),
        ([calling(call(None, "a", "f", "{")), calling(call(None, args="}"))], [("a", "f", "{}")]),
        ([calling(call(None, None, "f", "{}"), call(None, None, "f", "{}"))], [("", "f", "{}"), ("", "f", "{}")]),
        ([calling(call(None, None, "f", "")), calling(call(None, None, "f", "{}"))], [("", "f", "{}")]),
        (
            [calling(call(None, None, "f", "{}")), calling(call(None, None, "f", "{}"))],
            [("", "f", "{}"), ("", "f", "{}")],
        ),
        ([calling(call(None, "a", "f", "{}"), call(None, "a", "g", "{}"))], [("a", "f", "{}"), ("a", "g", "{}")]),
        ([calling(call(0, None, "f", "{")), calling(call(0, "a", args="}"))], [("a", "f", "{}")]),
        ([calling(call(0, "a", args="{")), calling(call(0, None, "f", "}"))], [("a", "f", "{}")]),
        ([calling(call("0", "a", "f", "{")), calling(call("0", args="}"))], [("a", "f", "{}")]),
        # the same index for all, told apart by their ids
        (
            [
                calling(call(0, "a", "f", ""), call(0, "b", "g", "")),
                calling(call(0, "a", args="{"), call(0, "b", args="[")),
                calling(call(0, "a", args="}"), call(0, "b", args="]")),
            ],
            [("a", "f", "{}"), ("b", "g", "[]")],
        ),
        # the head under the index of the call before it, the arguments under their own
        *(
            (
                [
                    calling(call(0, "a", "f", "{}")),
                    calling(call(0, "b", name, "")),
                    calling(call(1, id, args="[")),
                    calling(call(1, args="]")),
                ],
                [("a", "f", "{}"), ("b", name, "[]")],
            )
            for name in ("f", "g")
            for id in (None, "b")
        ),
        (
            [calling(call(0, "a", "f", "{}")), calling(call(1, args="[")), calling(call(1, "b", "g", "]"))],
            [("a", "f", "{}"), ("b", "g", "[]")],
        ),
        ([calling(call("0", "a", "f", "{")), calling(call(0, args="}"))], [("a", "f", "{}")]),
        # one id for all, told apart by their indices
        (
            [
                calling(call(0, "a", "f", "{"), call(1, "a", "f", "[")),
                calling(call(0, "a", args="}"), call(1, "a", args="]")),
            ],
            [("a", "f", "{}"), ("a", "f", "[]")],
        ),
        # neither index nor id: by position, from the last one
        (
            [
                calling(call(None, "x", "f", "{}")),
                calling(call(None, "a", "f", ""), call(None, "b", "g", "")),
                calling(call(None, args="{"), call(None, args="[")),
                calling(call(None, args="}"), call(None, args="]")),
            ],
            [("x", "f", "{}"), ("a", "f", "{}"), ("b", "g", "[]")],
        ),
        (
            [
                calling(call(None, "x", "f", "{}")),
                calling(call(None, "a", "f", "{")),
                calling(call(None, args="}"), call(None, "b", "g", "[]")),
            ],
            [("x", "f", "{}"), ("a", "f", "{}"), ("b", "g", "[]")],
        ),
        # the id before the function
        ([calling({"index": 0, "id": "a", "type": "function"}), calling(call(0, None, "f", "{}"))], [("a", "f", "{}")]),
        ([calling({"index": 0, "id": "a", "function": None}), calling(call(0, None, "f", "{}"))], [("a", "f", "{}")]),
        (
            [calling(call(0, "a", "f", "{}"), {"index": 1, "id": "b"}), calling(call(1, None, "g", "[]"))],
            [("a", "f", "{}"), ("b", "g", "[]")],
        ),
        ([calling(call(0, 5, "f", "{")), calling(call(0, 5, args="}"))], [("5", "f", "{}")]),
        # a name in pieces
        (
            [calling(call(0, "a", "get_")), calling(call(0, None, "it", "")), calling(call(0, args="{}"))],
            [("a", "get_it", "{}")],
        ),
        ([calling(call(0, "a", "get_")), calling(call(0, "a", "it", "{}"))], [("a", "get_it", "{}")]),
        ([calling(call(0, "a", "get_")), calling(call(0, None, "get_it", "{}"))], [("a", "get_it", "{}")]),
        ([calling(call(0, "a", "f", "")), calling(call(0, "b", "g", "{}"))], [("a", "f", ""), ("b", "g", "{}")]),
        ([calling(call(0, None, "f", "")), calling(call(0, None, "g", ""))], [("", "f", ""), ("", "g", "")]),
        ([calling(call(0, "a", "f", {"x": "é"}))], [("a", "f", '{"x": "é"}')]),
        ([calling(call(0, "a", "f", [1]))], [("a", "f", "[1]")]),
        ([calling(call(0, "a", "f"))], [("a", "f", "")]),
        ([calling(call(0, "a", "f", "{not json"))], [("a", "f", "{not json")]),
        ([piece({"tool_calls": call(0, "a", "f", "{}")})], [("a", "f", "{}")]),
        ([calling({"index": 0, "function": {}}, call(1, "a", "f", "{}"))], [("a", "f", "{}")]),
        ([calling(None, 5, {"index": 0}, {"function": 3}, call(0, "a", "f", "{}"))], [("a", "f", "{}")]),
        (
            [piece({"function_call": {"name": "f", "arguments": "{"}}), piece({"function_call": {"arguments": "}"}})],
            [("", "f", "{}")],
        ),
        (
            [calling({"index": 0, "id": "a", "type": "custom", "custom": {"name": "f", "input": "free"}})],
            [("a", "f", "free")],
        ),
    ],
)
def test_tool_calls(events: list[object], expected: list[tuple[str, str, str]]) -> None:
    """Calls are put together whatever a service does with index, id and name, in the order they first appeared."""
    decoded = said(*events, CALLED)

    assert (expected, None) == (calls_of(decoded), decoded.error)
    assert "tool_calls" == decoded.response.finish_reason


def test_the_chunks_of_a_call() -> None:
    """A call begins, grows by the pieces received and is given whole at the end of the step."""
    decoded = said(
        TEXT, calling(call(0, "a", "f", "")), calling(call(0, args='{"x":')), calling(call(0, args="1}")), CALLED
    )

    assert ["text", "tool_call_start", "tool_call_delta", "tool_call_delta", "tool_call", "step_finish"] == [
        c.type for c in decoded.chunks
    ]
    assert {"x": 1} == decoded.response.tool_calls[0].arguments


def test_the_signature_of_a_call() -> None:
    """It is kept with the call that it came with, for the next turn."""
    signed = {**call(0, "a", "f", "{}"), "extra_content": {"google": {"thought_signature": "s"}}}
    decoded = said(calling(signed), calling({**call(1, "b", "g", "{}"), "extra_content": {"google": 5}}), CALLED)
    parts = [part for part in decoded.response.messages[0].content if isinstance(part, ToolCallPart)]

    assert [("a", "s", "openai"), ("b", None, "openai")] == [(part.id, part.signature, part.provider) for part in parts]


def test_a_call_is_told_as_soon_as_its_id_and_name_are_known() -> None:
    """The start waits for both, and calls after it wait, too, so that they begin in order."""
    decoder = OPENAI.codec.decoder(asked(), OPENAI)
    batches = [
        calling(call(0, None, "f", "{")),
        calling(call(1, "b", "g", "{")),
        calling(call(0, "a", args="}")),
    ]
    told = [[c.type[10:] for c in decoder.feed([Event(json.dumps(e))])] for e in batches]

    assert [[], [], ["start", "delta", "delta", "start", "delta"]] == told


def test_arguments_that_are_not_json() -> None:
    """They are kept exactly, marked, and the call is not complete."""
    decoded = said(calling(call(0, "a", "f", '{"x": tru')), CALLED)
    made = decoded.response.tool_calls[0]

    assert ('{"x": tru', None, False) == (made.input, made.arguments, made.complete)
    assert "JSONDecodeError" in next(c for c in decoded.chunks if c.type == "tool_call").metadata["arguments_error"]


def test_a_call_cut_by_the_token_limit_before_its_arguments() -> None:
    """No arguments mean none, but not where the limit came first: such a call is not complete."""
    whole, limited = (said(calling(call(0, "a", "f", "")), piece({}, reason)) for reason in ("stop", "length"))

    assert [(True, {}), (False, {})] == [
        (d.response.tool_calls[0].complete, d.response.tool_calls[0].arguments) for d in (whole, limited)
    ]


def test_half_a_call_is_never_whole() -> None:
    """A stream that is cut within a call gives no whole call, though its text may be JSON by chance."""
    decoded = said(calling(call(0, "a", "f", "{}")), done=False)

    assert [] == [c for c in decoded.chunks if c.type == "tool_call"]
    assert [False] == [c.complete for c in decoded.response.tool_calls]
    assert isinstance(decoded.error, StreamTruncated)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("model_length", "length"),
        ("error", "error"),
        ("STOP", "stop"),
        ("brand_new", "other"),
        (None, "other"),
        ("", "other"),
        ("null", "other"),
        (5, "other"),
    ],
)
def test_finish_reasons(raw: object, expected: str) -> None:
    """The provider's word becomes one of ours and stays readable; where none came none is invented."""
    response = said(TEXT, piece({}, raw)).response

    assert (expected, raw if isinstance(raw, str) and raw not in ("", "null") else None) == (
        response.finish_reason,
        response.raw_finish_reason,
    )


@pytest.mark.parametrize(("raw", "expected"), [("stop", "tool_calls"), (None, "tool_calls"), ("length", "length")])
def test_finish_reason_beside_calls(raw: str | None, expected: str) -> None:
    """Calls that were made are to be answered, whatever the service says of stopping."""
    response = said(calling(call(0, "a", "f", "{}"), finish=raw)).response

    assert (expected, raw) == (response.finish_reason, response.raw_finish_reason)


def test_a_refusal() -> None:
    """It is no text: its pieces are metadata of chunks without text, all of it is the response's, and it shows."""
    decoded = said(
        piece({"content": None, "refusal": ""}), piece({"refusal": "I can "}), piece({"refusal": "not."}), STOP
    )

    assert ["I can ", "not."] == [c.metadata["refusal"] for c in decoded.chunks if c.type == "text"]
    assert ("", "content_filter", "stop") == (
        decoded.response.text,
        decoded.response.finish_reason,
        decoded.response.raw_finish_reason,
    )
    assert {"openai": {"refusal": "I can not."}} == decoded.response.provider_metadata


def test_parts_of_all_kinds() -> None:
    """Of a content of parts, text, thinking and refusals are read, and what nobody knows is kept as metadata."""
    unknown = {"type": "reference", "reference_ids": [1]}
    parts = [
        unknown,
        {"type": "thinking", "thinking": [5, {"text": 5}]},
        {"type": "thinking", "thinking": 5},
        {"text": "Hi"},
    ]
    decoded = said(
        piece({"content": [*parts, {"type": "refusal", "refusal": "no"}, {"type": "text", "text": 5}]}), STOP
    )

    assert ("Hi", "", "content_filter") == (
        decoded.response.text,
        decoded.response.thinking,
        decoded.response.finish_reason,
    )
    assert {"openai": {"content_parts": [unknown, {"type": "text", "text": 5}], "refusal": "no"}} == (
        decoded.response.provider_metadata
    )


def test_fields_of_the_wrong_type() -> None:
    """They are passed over: none of them is the answer's text."""
    delta = {"content": "Hi", "refusal": 5, "annotations": {}, "tool_calls": 7, "function_call": [1], "reasoning": 3}
    decoded = said(piece(delta), piece({"refusal": ["x"], "annotations": 5}), STOP)

    assert ("Hi", "", (), None) == (
        decoded.response.text,
        decoded.response.thinking,
        decoded.response.tool_calls,
        decoded.error,
    )


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([], Usage()),
        ([None, {}], Usage()),
        (
            [{"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}],
            Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3, source="reported"),
        ),
        (
            [{"prompt_tokens": 1, "completion_tokens": 1}, {"prompt_tokens": 1, "completion_tokens": 5}],
            Usage(prompt_tokens=1, completion_tokens=5, total_tokens=6, source="reported"),
        ),
        (
            [
                {
                    "prompt_tokens": 9,
                    "completion_tokens": 5,
                    "total_tokens": 14,
                    "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
                    "completion_tokens_details": {"reasoning_tokens": 3},
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
        (
            [{"prompt_tokens": 9, "prompt_cache_hit_tokens": 4, "reasoning_tokens": 1}],
            Usage(prompt_tokens=9, total_tokens=9, cache_read_tokens=4, reasoning_tokens=1, source="reported"),
        ),
        ([{"prompt_tokens": -1, "completion_tokens": float("nan"), "total_tokens": "7"}], Usage()),
        ([{"prompt_tokens": True, "completion_tokens": float("inf"), "prompt_tokens_details": 3}], Usage()),
    ],
)
def test_usage(reports: list[Any], expected: Usage) -> None:
    """The last report counts and none is added up; what is no count is none; nothing said is unknown."""
    last: dict[str, Any] = next((r for r in reversed(reports) if r), {})
    decoded = said(TEXT, STOP, *({"choices": [], "usage": report} for report in reports))

    assert expected == attrs.evolve(decoded.response.usage, raw={})
    assert str(last) == str(dict(decoded.response.usage.raw))


@pytest.mark.parametrize(
    "event",
    [
        piece({}, usage={"prompt_tokens": 3}),
        piece({}, x_groq={"id": "r", "usage": {"prompt_tokens": 3}}),
        piece({}, x_groq={"usage": {"prompt_tokens": 4}}, usage={"prompt_tokens": 3}),
        {"choices": [{"index": 0, "delta": {}, "usage": {"prompt_tokens": 3}}]},
    ],
)
def test_where_usage_may_stand(event: object) -> None:
    """It is found in the event, in the choice and in Groq's box."""
    assert 3 == said(TEXT, STOP, event).response.usage.prompt_tokens


URL = {"url": "https://a.example", "title": "A", "start_index": 3, "end_index": 9}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([piece({"annotations": [{"type": "url_citation", "url_citation": URL}]})] * 2, [("https://a.example", "A")]),
        (
            [
                piece({"annotations": [{"type": "url_citation", "url_citation": {**URL, "start_index": n}}]})
                for n in (1, 2)
            ],
            [("https://a.example", "A")] * 2,
        ),
        ([piece({"content": "x"}, citations=["https://b.example"])] * 3, [("https://b.example", None)]),
        (
            [piece({"content": "x"}, citations=["https://a.example", "https://b.example"], search_results=[URL])] * 2,
            [("https://a.example", "A"), ("https://b.example", None)],
        ),
        (
            [piece({"annotations": [{"type": "file_citation", "file_citation": {"file_id": "f", "filename": "F"}}]})],
            [(None, "F")],
        ),
        (
            [
                piece(
                    {"annotations": [None, 5, {}, {"type": "url_citation"}, {"type": 5}], "content": "x"},
                    citations=[7, {}, None],
                )
            ],
            [],
        ),
        ([piece({}, citations="https://a.example", search_results={"url": "u"})], []),
    ],
)
def test_citations(events: list[dict[str, Any]], expected: list[tuple[str | None, str | None]]) -> None:
    """Each citation comes once as a source, also where a service repeats them in every event; no text is lost."""
    decoded = said(*events, STOP)

    assert expected == [(s.url, s.title) for s in decoded.response.sources]
    assert "".join(e["choices"][0]["delta"].get("content", "") for e in events) == decoded.response.text


def test_what_a_source_says() -> None:
    """A source has the cited text, and what has no field of its own as metadata."""
    decoded = said(piece({}, search_results=[{"url": "u", "snippet": "s", "date": "2026-01-01", "none": None}]), STOP)

    assert (Source(url="u", text="s", metadata={"date": "2026-01-01"}),) == decoded.response.sources


def test_metadata() -> None:
    """What services say beside the answer is kept: once, the latest, and of growing lists all."""
    decoded = said(
        piece(
            {"role": "assistant", "content": "", "executed_tools": [1]},
            system_fingerprint="f",
            x_groq={"id": "r"},
            created=1,
        ),
        piece({"content": "Hi", "executed_tools": [2]}, system_fingerprint="g", obfuscation="xx", nothing=None),
        piece({}, "stop", x_groq={"usage": {"prompt_tokens": 1}}),
    )

    assert {
        "openai": {
            "executed_tools": [1, 2],
            "system_fingerprint": "g",
            "x_groq": {"id": "r", "usage": {"prompt_tokens": 1}},
        }
    } == decoded.response.provider_metadata
    assert ("c-1", "m-1") == (decoded.response.response.id, decoded.response.response.model)


def test_log_probabilities() -> None:
    """They are metadata of the text they belong to; an object of nulls is none."""
    probable = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "logprobs": {"content": [{"logprob": -0.5}]}}]}
    empty = {"choices": [{"index": 0, "delta": {"content": "!"}, "logprobs": {"content": None, "refusal": None}}]}
    decoded = said(probable, empty, STOP)

    assert [{"logprobs": {"content": [{"logprob": -0.5}]}}, {}] == [
        c.metadata for c in decoded.chunks if c.type == "text"
    ]


# -- ends and errors


@pytest.mark.parametrize(
    ("events", "done"),
    [([TEXT, STOP], False), ([TEXT], True), ([TEXT, STOP], True), ([STOP], False), ([piece({})], True)],
)
def test_complete_answers(events: list[object], done: bool) -> None:
    """A finish reason, or [DONE] after a choice, makes an answer complete; neither needs the other."""
    assert said(*events, done=done).response.complete


@pytest.mark.parametrize(
    ("events", "done", "says"),
    [
        ([TEXT], False, "cut off"),
        ([TEXT, piece({}, "stop", index=1)], False, "cut off"),
        ([], False, "no choice"),
        ([], True, "no choice"),
        ([{"choices": [], "usage": {"prompt_tokens": 1}}], True, "no choice"),
        ([piece({"content": "x"}, index=1)], True, "no choice"),
    ],
)
def test_truncated_answers(events: list[object], done: bool, says: str) -> None:
    """An answer without an end, or an end without an answer, is an error; what had come is kept."""
    decoded = said(*events, done=done)

    assert isinstance(decoded.error, StreamTruncated)
    assert says in str(decoded.error)
    assert ("Hi" if TEXT in events else "") == decoded.response.text


OVERLOADED = {"error": {"message": "busy", "type": "overloaded_error"}}


@pytest.mark.parametrize(
    ("event", "error", "says"),
    [
        (OVERLOADED, Overloaded, "busy"),
        ({"error": "all is lost"}, ProviderError, "all is lost"),
        ({"error": {"code": 400, "message": "too bad"}, **TEXT}, BadRequest, "too bad"),
        ({"error": {"message": "m", "code": "429"}}, RateLimited, "m"),
        ({"error": {"message": "m", "type": "server_error"}}, ServerError, "m"),
        ({"object": "error", "message": "vllm", "code": 400}, BadRequest, "vllm"),
        ({"type": "error", "message": "typed"}, ProviderError, "typed"),
        (
            {"choices": [{"index": 0, "delta": {"content": ""}, "error": {"code": 502, "message": "gone"}}]},
            ServerError,
            "gone",
        ),
        (Event(json.dumps(OVERLOADED), "error"), Overloaded, "busy"),
        (Event(json.dumps({"message": "named"}), "error"), ProviderError, "named"),
        (Event("plain words", "error"), ProviderError, "plain words"),
        (Event('"quoted"', "error"), ProviderError, "quoted"),
        (Event("{}", "error"), ProviderError, "error"),
        ({"error": True}, ProviderError, "without a message"),
        ({"error": True, "message": "m"}, ProviderError, "m"),
        ([OVERLOADED], Overloaded, "busy"),
        ({"base_resp": {"status_code": 1013, "status_msg": "boom"}}, ServerError, "boom"),
        ({**piece({"content": "!"}), "base_resp": {"status_code": 1013, "status_msg": "boom"}}, ServerError, "boom"),
        (piece({}, x_groq={"id": "r", "error": "boom"}), ProviderError, "boom"),
        (piece({"error": {"message": "boom"}}), ProviderError, "boom"),
        ({"detail": "boom"}, ProviderError, "boom"),
        ({"code": 500, "msg": "boom"}, ServerError, "boom"),
    ],
)
@pytest.mark.parametrize("finished", [False, True])
def test_error_events(event: object, error: type[ProviderError], says: str, finished: bool) -> None:
    """An error in the stream ends it with the class its status would have had, after what came, finished or not."""
    decoded = said(TEXT, *([STOP] if finished else []), event)

    assert isinstance(decoded.error, error)
    assert says in str(decoded.error)
    assert decoded.response.text.startswith("Hi")


def test_success_in_an_errors_box() -> None:
    """MiniMax says of every answer how it went."""
    assert said(TEXT, piece({}, "stop", base_resp={"status_code": 0, "status_msg": ""})).response.complete


def test_what_comes_beside_an_error_is_kept() -> None:
    """Text, usage and finish reason of the event that reports the error are not lost."""
    decoded = said(TEXT, piece({"content": "!"}, "length", usage={"prompt_tokens": 2}, **OVERLOADED))

    assert ("Hi!", 2, "length") == (
        decoded.response.text,
        decoded.response.usage.prompt_tokens,
        decoded.response.raw_finish_reason,
    )


@pytest.mark.parametrize("before", [[], [TEXT]])
@pytest.mark.parametrize("done", [False, True])
def test_an_error_that_only_its_place_betrays(before: list[object], done: bool) -> None:
    """An object with a message where the answer should go on or end is shown as the error it must be."""
    decoded = said(*before, {"code": 401, "message": "bad key"}, done=done)

    assert "bad key" in str(decoded.error)


@pytest.mark.parametrize("event", ["no JSON", "{", piece({"content": 42}), piece({"content": True})])
def test_what_cannot_be_understood(event: object) -> None:
    """No JSON, or no text where the answer's belongs, is an error: an answer with a hole must not look whole."""
    decoded = said(TEXT, event, STOP)

    assert isinstance(decoded.error, DecodeError)
    assert "Hi" == decoded.response.text


@pytest.mark.parametrize(
    "event",
    [
        '{"choices":[{"delta":{"content":"x"},"index":' + "1" * 5000 + "}]}",
        "[" * 100_000 + "]" * 100_000,
        '{"choices":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"new":' + '{"a":' * 5000 + "1" + "}" * 5000 + ',"choices":[]}',
        '{"error":' + '{"a":' * 5000 + "1" + "}" * 5000 + "}",
    ],
)
def test_hostile_json(event: str) -> None:
    """Numbers without end and nesting without bottom are errors of ours."""
    assert isinstance(said(TEXT, event, STOP).error, (DecodeError, ProviderError))


@pytest.mark.parametrize("depth", [5000, 100_000])
def test_hostile_arguments(depth: int) -> None:
    """Arguments nested without bottom are kept as text and marked."""
    text = "[" * depth + "]" * depth
    made = said(calling(call(0, "a", "f", text)), CALLED).response.tool_calls[0]

    assert (text, None, False) == (made.input, made.arguments, made.complete)


# -- servers that do not stream


@pytest.mark.parametrize(
    ("choice", "kind"),
    [
        ({"index": 0, "finish_reason": "stop"}, "chat.completion"),
        ({"index": 0, "finish_reason": "stop"}, ""),
        ({}, "chat.completion"),
    ],
)
def test_a_whole_completion(choice: dict[str, Any], kind: str) -> None:
    """One JSON completion in place of a stream is the whole answer."""
    message = {
        "role": "assistant",
        "content": "Hi",
        "reasoning_content": "hm",
        "tool_calls": [call(None, "a", "f", "{}")],
    }
    whole = {"id": "c", "object": kind, "choices": [{**choice, "message": message}], "usage": {"prompt_tokens": 1}}
    decoded = said(json.dumps(whole, indent=1), done=False)

    assert ("Hi", "hm", [("a", "f", "{}")], True) == (
        decoded.response.text,
        decoded.response.thinking,
        calls_of(decoded),
        decoded.response.complete,
    )


def test_messages_that_grow_are_not_whole() -> None:
    """Where every event has the message so far, only the last one, with its finish reason, is the answer."""
    growing = [
        {"choices": [{"index": 0, "message": {"content": text}, "finish_reason": reason}]}
        for text, reason in [("H", None), ("Hi", "null"), ("Hi!", "stop")]
    ]

    assert ("Hi!", True) == ((d := said(*growing)).response.text, d.response.complete)


# -- quirks


def test_thinking_under_another_name() -> None:
    """A service's own name of the thinking is a fact of the codec, not code."""
    own = ChatCompletions(quirks=Quirks(thinking_fields=("thoughts",)))
    decoder = own.decoder(asked(), OPENAI)
    chunks = decoder.feed([Event(json.dumps(piece({"thoughts": "hm", "content": "Hi"})))])

    assert [("thinking", "hm"), ("text", "Hi")] == [(c.type, c.content) for c in chunks]


# -- properties

_NAMES = [
    "choices", "delta", "message", "content", "tool_calls", "function",
    "function_call", "custom", "name", "arguments", "input", "id",
    "index", "finish_reason", "usage", "error", "type", "text",
    "thinking", "reasoning", "reasoning_content", "reasoning_details", "refusal", "annotations",
    "url_citation", "url", "title", "start_index", "citations", "search_results",
    "x_groq", "logprobs", "object", "model", "prompt_tokens", "completion_tokens",
    "prompt_tokens_details", "cached_tokens", "new",
]  # fmt: skip
_TEXTS = st.sampled_from(
    [
        "",
        "Hi",
        "{",
        "}",
        "{}",
        '{"a":1}',
        "stop",
        "length",
        "null",
        "error",
        "chat.completion",
        "\x00",
        "é",
        "\ud83d",
        "\ude00",
        "a",
        "b",
    ]
)
_ATOMS = st.none() | st.booleans() | st.integers(-1, 2) | st.floats() | st.just(10**400) | _TEXTS
_VALUES = st.recursive(
    _ATOMS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4),
    max_leaves=8,
)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object with some of these fields, or any value in its place."""
    return st.fixed_dictionaries({}, optional=fields) | _VALUES


_FUNCTION = _some(name=_TEXTS, arguments=_TEXTS | _VALUES)
_CALLS = st.lists(_some(index=st.integers(0, 2) | _ATOMS, id=_TEXTS, function=_FUNCTION), max_size=3) | _VALUES
_DELTA = _some(
    role=st.just("assistant"),
    content=_TEXTS | _VALUES,
    reasoning=_TEXTS | _VALUES,
    reasoning_content=_TEXTS,
    refusal=_TEXTS,
    tool_calls=_CALLS,
    function_call=_FUNCTION,
    annotations=_VALUES,
    new=_VALUES,
)
_CHOICES = st.lists(
    _some(index=st.just(0) | _ATOMS, delta=_DELTA, message=_DELTA, finish_reason=_ATOMS, logprobs=_VALUES), max_size=2
)
_EVENTS = st.lists(
    st.builds(
        Event,
        st.builds(
            json.dumps,
            _some(id=_TEXTS, choices=_CHOICES | _VALUES, usage=_VALUES, x_groq=_VALUES, citations=_VALUES, new=_VALUES),
        )
        | st.sampled_from(
            ["[DONE]", "", "x", "{}", '{"error": {}}', '{"choices":[{"index":0,"delta":{"content":"Hi"}}]}']
        ),
        st.sampled_from(["message"] * 8 + ["error", "ping", "new"]),
    ),
    max_size=6,
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


_ALIKE = st.lists(
    st.tuples(
        st.sampled_from(
            ["content"] * 3 + ["reasoning_content"] + ["arguments 0"] * 4 + ["arguments 1", "call 0", "call 1"]
        ),
        st.text(max_size=6) | _TEXTS,
        st.sampled_from(
            [
                "",
                "",
                "",
                ',"finish_reason":"stop"',
                ',"finish_reason":"length"',
                ',"logprobs":{"content":[1]}',
                ',"index":1',
            ]
        ),
        st.sampled_from(
            [
                "",
                "",
                "",
                "",
                ',"usage":{"prompt_tokens":1}',
                ',"usage":{"prompt_tokens":2}',
                ',"citations":["u"]',
                ',"id":"z"',
                ',"service_tier":"a"',
                ',"service_tier":"b"',
            ]
        ),
        st.sampled_from(["ab", "", '\\"', "\\u0041"]) | st.none(),
        st.sampled_from(['"c"', '"c"', '"d"', '"e"', '""', "null", "1", '{"id":"f"}']) | st.none(),
    ),
    max_size=16,
)


def _alike(field: str, text: str, in_choice: str, in_event: str, padding: str | None, id: str | None) -> Event:
    behind = "" if padding is None else f',"obfuscation":"{padding}"'
    kind, _, index = field.partition(" ")
    if index:
        head = '"id":"i","type":"function",' if kind == "call" else ""
        function = f'{{"{"name" if kind == "call" else "arguments"}":{json.dumps(text)}}}'
        delta = f'{{"tool_calls":[{{"index":{index},{head}"function":{function}}}]}}'
    else:
        delta = f'{{"{field}":{json.dumps(text)}}}'
    before = "" if id is None else f'"id":{id},'
    return Event(f'{{{before}"model":"m","choices":[{{"delta":{delta}{in_choice}}}]{in_event}{behind}}}')


@PROPERTY
@given(_ALIKE)
def test_the_quick_way_gives_what_the_ordinary_one_gives(
    facts: Sequence[tuple[str, str, str, str, str | None, str | None]],
) -> None:
    """Reading events by their likeness to earlier ones, and by msgspec, changes nothing that comes out."""
    events = [_alike(*fact) for fact in facts]
    quick = decode_events(OPENAI, [events])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stencil, "read", lambda self, text: None)
        patch.setattr(jsontext, "_fast_decode", lambda: None)
        ordinary = decode_events(OPENAI, [events])

    assert repr((ordinary.chunks, ordinary.error, ordinary.response)) == repr(
        (quick.chunks, quick.error, quick.response)
    )


@pytest.mark.parametrize("spoken", [{"content": "Hi"}, {}], ids=["with text", "without"])
@pytest.mark.parametrize(
    ("field", "read"),
    [
        ("usage", lambda response: response.usage.prompt_tokens),
        ("service_tier", lambda response: response.response.provider_metadata["service_tier"]),
        ("finish_reason", lambda response: response.raw_finish_reason),
    ],
)
def test_the_quick_way_is_gone_once_something_changed(
    field: str, read: Callable[[Any], Any], spoken: dict[str, Any]
) -> None:
    """An event like those before the change would change it back, so it is read in full."""

    def event(value: str, delta: Mapping[str, Any]) -> Event:
        usage = {"prompt_tokens": 2 if (field, value) == ("usage", "b") else 1}
        fields = {"finish_reason": "a", "service_tier": "a", field: value}
        choice = {"delta": delta, "finish_reason": fields["finish_reason"]}
        return Event(json.dumps({"choices": [choice], "service_tier": fields["service_tier"], "usage": usage}))

    early, late = event("a", {"content": "Hi"}), event("b", spoken)
    before, changed, back = (
        decode_events(OPENAI, [events]).response
        for events in ([early], [early] * 3 + [late], [early] * 3 + [late, early])
    )

    assert "Hi" * (5 if spoken else 4) == back.text
    assert read(before) == read(back) != read(changed)


@pytest.mark.parametrize(("expected", "body"), STREAMS)
def test_recordings_the_ordinary_way(expected: dict[str, Any], body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every recording gives the same without the quick way and without msgspec."""
    monkeypatch.setattr(Stencil, "read", lambda self, text: None)
    monkeypatch.setattr(jsontext, "_fast_decode", lambda: None)

    assert {} == difference(expected, decode(OPENAI, [body]))


def _secrets(sent: HttpRequest) -> Mapping[str, str]:
    return {name: secret.expose() for name, secret in sent.secrets.items()}


def test_headers_of_the_users_own() -> None:
    """They win over ours, whatever their case; one that may carry a credential is kept apart."""
    sent = OPENAI.codec.encode(asked(headers={"accept": "x/y", "X-Trace": " 1 ", "Cookie": "c=secret"}), OPENAI)

    assert {"accept": "x/y", "X-Trace": "1"} == {
        k: v for k, v in sent.headers.items() if not k.startswith(("Content", "Accept"))
    }
    assert "Accept" not in sent.headers
    assert {"Authorization": f"Bearer {KEY}", "Cookie": "c=secret"} == _secrets(sent)


# -- quirks of services


def spoken(request: ChatRequest, **quirks: Any) -> dict[str, Any]:
    """What a service with these quirks is sent, but for model, messages and stream."""
    sent = json.loads(ChatCompletions(quirks=Quirks(**quirks), capabilities=LENIENT).encode(request, OPENAI).body)
    return {name: value for name, value in sent.items() if name not in ("model", "messages", "stream")}


LENIENT = attrs.evolve(OPENAI.capabilities, thinking=True, thinking_budget=True)


@pytest.mark.parametrize(
    ("quirks", "fields", "expected"),
    [
        ({}, {"seed": 3}, {"seed": 3}),
        ({"fields": {"seed": "random_seed"}}, {"seed": 3}, {"random_seed": 3}),
        ({"fields": {"seed": "a.b.c"}}, {"seed": 3}, {"a": {"b": {"c": 3}}}),
        ({"fields": {"seed": "a.b"}}, {}, {}),
        ({"fields": {"seed": ""}}, {"seed": 3}, {}),
        ({"fields": {"seed": "top_p", "top_p": "seed"}}, {"seed": 3, "top_p": 0.5}, {"top_p": 3, "seed": 0.5}),
        ({"thinking": {"a": {"b": 1}}}, {"thinking": True}, {"a": {"b": 1}}),
        ({"thinking": {"a": {"b": 1}}}, {}, {}),
        ({"thinking": {"a": {"b": 1}}}, {"thinking_budget": 5}, {"a": {"b": 1}}),
        ({"thinking": {"a": {"b": 1}}, "thinking_budget": "a.c"}, {"thinking_budget": 5}, {"a": {"b": 1, "c": 5}}),
        ({"thinking_budget": "a.c"}, {"thinking": True}, {}),
        (
            {"thinking": {"a": {"b": 1}}, "fields": {"reasoning_effort": "a.d"}},
            {"thinking": True, "reasoning_effort": "low"},
            {"a": {"b": 1, "d": "low"}},
        ),
    ],
)
def test_what_quirks_do_to_a_request(quirks: dict[str, Any], fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """Fields stand where the service looks for them, or are left out; thinking is switched on in its way."""
    assert {"stream_options": {"include_usage": True}, **expected} == spoken(asked(**fields), **quirks)


def test_quirks_change_no_data_of_others() -> None:
    """Two requests after each other get the same, whatever the first one's options did."""
    codec = ChatCompletions(quirks=Quirks(thinking={"a": {"b": 1}}, thinking_budget="a.c"), capabilities=LENIENT)
    first = codec.encode(asked(thinking_budget=5, provider_options={"a": {"b": 2}}), OPENAI).body
    second = codec.encode(asked(thinking=True), OPENAI).body

    assert ({"b": 2, "c": 5}, {"b": 1}) == (json.loads(first)["a"], json.loads(second)["a"])


@pytest.mark.parametrize(
    ("quirks", "expected"),
    [
        ({}, ("https://h/v1/chat/completions", "https://h/v1/models")),
        (
            {"path": "deployments/{model}/chat", "query": "v=1"},
            ("https://h/v1/deployments/gpt-4o%2Fa%20b%3F/chat?v=1", "https://h/v1/models?v=1"),
        ),
        ({"path": "/x", "models_path": "../catalog"}, ("https://h/x", "https://h/catalog")),
    ],
)
def test_addresses_seen_from_the_base_url(quirks: dict[str, Any], expected: tuple[str, str]) -> None:
    """Paths are read as references are, and a model's name in one is escaped."""
    provider = OpenAI(KEY, base_url="https://h/v1/")
    codec = ChatCompletions(quirks=Quirks(**quirks))
    sent = codec.encode(ChatRequest(model="gpt-4o/a b?", messages=HELLO), provider)

    assert expected == (sent.url, codec.list_models(provider).url)


def test_a_key_in_another_header() -> None:
    """Only Authorization has the word Bearer before the key; without a key there is no header."""
    codec = ChatCompletions(quirks=Quirks(key_header="api-key"))
    local = OpenAICompatible(base_url="http://h/v1")

    assert {"api-key": KEY} == {name: key.expose() for name, key in codec.encode(asked(), OPENAI).secrets.items()}
    assert ({}, {}) == (codec.encode(asked(), local).secrets, codec.list_models(local).secrets)


# -- lists of models


def test_a_list_of_models_is_asked_for() -> None:
    """With the key, as JSON."""
    sent = OPENAI.codec.list_models(OPENAI)

    assert ("https://api.openai.com/v1/models", "GET", b"") == (sent.url, sent.method, sent.body)
    assert "application/json" == sent.headers["Accept"]
    assert {"Authorization": f"Bearer {KEY}"} == {name: secret.expose() for name, secret in sent.secrets.items()}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"object": "list", "data": [{"id": "a"}, {"id": "b/c"}]}, ["a", "b/c"]),
        ([{"id": "a"}, {"id": "b"}], ["a", "b"]),
        ({"endpoints": [{"name": "a", "id": "1"}]}, ["a"]),
        ({"success": True, "result": [{"id": "1", "name": "@cf/a"}]}, ["@cf/a"]),
        ({"data": [{"id": "a"}, {"id": 5}, {}, None, "x", {"id": ""}, {"id": "\ud800"}]}, ["a", "\ufffd"]),
        ({"data": None}, []),
        ({"data": {"id": "a"}}, ["a"]),
        ({}, []),
        (None, []),
        ("a", []),
        (5, []),
    ],
)
def test_names_of_models(answer: object, expected: list[str]) -> None:
    """They are read from each kind of list there is; what is no model is skipped."""
    assert expected == OPENAI.codec.model_names(answer)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({"id": "x"}, {"id": "x"}),
        ({"index": 0}, {"index": 0}),
        ({"index": 0, "id": "x"}, {"index": 0, "id": "x"}),
    ],
)
def test_two_calls_named_in_one_delta(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Are two, whatever index and id they share."""
    entries = [
        {**shared, "function": {"name": "f", "arguments": arguments}}
        for shared, arguments in ((first, '{"a": 1}'), (second, '{"a": 2}'))
    ]
    decoded = decode_events(
        OPENAI,
        [
            [Event(json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": entries}}]}))],
            [Event('{"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}'), Event("[DONE]")],
        ],
    )

    assert [{"a": 1}, {"a": 2}] == [call.arguments for call in decoded.response.tool_calls]
