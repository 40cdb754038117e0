"""Cohere's chat API: requests as it wants them, and its answers, however they come, as chunks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import jsontext
from streamkit.errors import (
    ConfigError,
    ContextOverflow,
    DecodeError,
    ProviderError,
    RateLimited,
    ServerError,
    StreamKitError,
    StreamTruncated,
    Unauthorized,
)
from streamkit.framing import Event
from streamkit.providers.cohere import Cohere
from streamkit.stencil import Stencil
from streamkit.types import (
    ChatRequest,
    FilePart,
    ImagePart,
    Message,
    RawPart,
    ResponseFormat,
    Secret,
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

KEY = "co-test-0123456789"
COHERE = Cohere(KEY, base_url="https://api.cohere.com")
HELLO = (user("Hello"),)
ADD = Tool(name="add", description="Adds.", parameters={"type": "object", "properties": {"a": {"type": "integer"}}})
PNG = b"\x89PNG\r\n\x1a\n"

EVERY = [*transcripts("cohere-v2-chat"), *own_transcripts("cohere")]
STREAMS = [pytest.param(meta["expected"], body, id=name) for name, meta, body in EVERY if meta["status"] < 400]
REFUSED = [pytest.param(meta, body, id=name) for name, meta, body in EVERY if meta["status"] >= 400]


# -- whom one calls


@pytest.mark.parametrize("variable", ["COHERE_API_KEY", "CO_API_KEY"])
def test_key_and_address_from_the_environment(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both names of the key's variable are known, and that of the address in Cohere's own SDK."""
    monkeypatch.setenv(variable, KEY)
    default = Cohere()
    monkeypatch.setenv("CO_API_URL", "https://cohere.example.com/v2/")
    deployed = Cohere.from_env()

    assert ("cohere", "https://api.cohere.com", Secret(KEY)) == (default.name, default.base_url, default.secret())
    assert "https://cohere.example.com/v2/chat" == deployed.codec.encode(asked(), deployed).url


def test_no_key() -> None:
    """There must be one."""
    with pytest.raises(ConfigError, match=r"^cohere not configured: .*COHERE_API_KEY"):
        Cohere()


# -- requests


def encoded(request: ChatRequest) -> dict[str, Any]:
    """The body of a request, as the server reads it."""
    value: dict[str, Any] = json.loads(COHERE.codec.encode(request, COHERE).body.decode("utf-8"))
    return value


def asked(*messages: Message, **fields: Any) -> ChatRequest:
    """A request with these messages and fields."""
    return attrs.evolve(ChatRequest(model="command-a-03-2025", messages=messages or HELLO), **fields)


def sent_messages(*messages: Message) -> list[dict[str, Any]]:
    """The messages of a request, as the server reads them."""
    told: list[dict[str, Any]] = encoded(asked(*messages))["messages"]
    return told


def test_a_plain_request() -> None:
    """The smallest request has model and messages, and asks for a stream."""
    messages = [{"role": "user", "content": "Hello"}]

    assert {"model": "command-a-03-2025", "messages": messages, "stream": True} == encoded(asked())


def test_where_and_how_it_is_sent() -> None:
    """It goes to /v2/chat, asks for an event stream, and keeps the key apart."""
    sent = COHERE.codec.encode(asked(headers={"X-Client-Name": "me"}), COHERE)

    assert ("POST", "https://api.cohere.com/v2/chat", False) == (sent.method, sent.url, sent.direct)
    assert ("text/event-stream", "me") == (sent.headers["Accept"], sent.headers["X-Client-Name"])
    assert {"Authorization": Secret(f"Bearer {KEY}")} == sent.secrets
    assert KEY not in repr(sent)


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v2"])
def test_versions_in_an_address(end: str) -> None:
    """An address may end in the version."""
    provider = Cohere(KEY, base_url="http://host:1/sub" + end)

    assert "http://host:1/sub/v2/chat" == provider.codec.encode(asked(), provider).url


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"temperature": 0.0}, {"temperature": 0.0}),
        ({"top_p": 0.5, "top_k": 3}, {"p": 0.5, "k": 3}),
        ({"max_tokens": 20}, {"max_tokens": 20}),
        ({"stop": ("a", "b")}, {"stop_sequences": ["a", "b"]}),
        ({"seed": 0}, {"seed": 0}),
        (
            {"frequency_penalty": 0.5, "presence_penalty": 1.0},
            {"frequency_penalty": 0.5, "presence_penalty": 1.0},
        ),
        ({"logprobs": 0}, {"logprobs": True}),
        ({"thinking": True}, {"thinking": {"type": "enabled"}}),
        ({"thinking_budget": 100}, {"thinking": {"type": "enabled", "token_budget": 100}}),
        ({"provider_options": {"thinking": {"type": "disabled"}}}, {"thinking": {"type": "disabled"}}),
        ({"response_format": ResponseFormat(type="text")}, {"response_format": {"type": "text"}}),
        ({"response_format": ResponseFormat(type="json")}, {"response_format": {"type": "json_object"}}),
        (
            {"response_format": ResponseFormat(type="schema", schema={"type": "object"})},
            {"response_format": {"type": "json_object", "json_schema": {"type": "object"}}},
        ),
        ({"prompt_caching": True}, {}),
        ({"tool_choice": "none"}, {}),
        ({"provider_options": {"documents": ["x"], "strict_tools": True}}, {"documents": ["x"], "strict_tools": True}),
    ],
)
def test_what_a_setting_adds(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each setting adds its field of the API and nothing else; what asks for nothing adds none."""
    assert encoded(asked()) | expected == encoded(asked(**fields))


@pytest.mark.parametrize(
    ("choice", "expected"), [(None, None), ("auto", None), ("none", "NONE"), ("required", "REQUIRED")]
)
def test_tools_and_the_choice_among_them(choice: str | None, expected: str | None) -> None:
    """Tools are functions; the choice has Cohere's words, "auto" none."""
    sent = encoded(asked(tools=(ADD, Tool(name="now")), tool_choice=choice))

    assert expected == sent.get("tool_choice")
    assert sent["tools"][0] == {
        "type": "function",
        "function": {"name": "add", "description": "Adds.", "parameters": ADD.parameters},
    }
    assert "description" not in sent["tools"][1]["function"]


def test_provider_options_have_the_last_word() -> None:
    """An object joins ours, None takes a field out."""
    options = {"thinking": {"token_budget": 5}, "seed": None, "citation_options": {"mode": "FAST"}}
    sent = encoded(asked(thinking=True, seed=1, provider_options=options))

    assert {"type": "enabled", "token_budget": 5} == sent["thinking"]
    assert ("seed" in sent, {"mode": "FAST"}) == (False, sent["citation_options"])


def test_messages() -> None:
    """Text alone is a text; with images it is a list of parts."""
    images = [ImagePart(data=PNG), ImagePart(url="https://example.com/a.png", detail="low")]
    sent = sent_messages(system("Be brief."), user(["What is it?", *images]), assistant("A cat."), assistant(""))

    assert sent == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
            ],
        },
        {"role": "assistant", "content": "A cat."},
        {"role": "assistant", "content": ""},
    ]


def test_a_tool_round_trip() -> None:
    """Calls go back with their plan and the exact text of their arguments, results under their ids."""
    called = assistant(
        [
            RawPart(provider="cohere", block={"tool_plan": "I will add."}),
            RawPart(provider="anthropic", block={"tool_plan": "no"}),
            ToolCallPart(id="c1", name="add", input='{"a": 1}'),
            ToolCallPart(id="c2", name="now", input=""),
        ]
    )
    results = Message(
        role="tool",
        content=[
            ToolResultPart(tool_call_id="c1", output="2"),
            ToolResultPart(tool_call_id="c2", output="no", is_error=True),
        ],
    )

    assert sent_messages(user("Add"), called, results)[1:] == [
        {
            "role": "assistant",
            "tool_plan": "I will add.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
                {"id": "c2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
        {"role": "tool", "tool_call_id": "c2", "content": "Error: no"},
    ]


def test_calls_without_ids() -> None:
    """They get ids, and their results the same."""
    sent = sent_messages(assistant([ToolCallPart(id="", name="a", input="{}")]), tool_result("", "x"))

    assert sent[0]["tool_calls"][0]["id"] == sent[1]["tool_call_id"] != ""


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (ThinkingPart(text="Hm", provider="cohere"), [{"type": "thinking", "thinking": "Hm"}]),
        (ThinkingPart(text="Hm"), [{"type": "thinking", "thinking": "Hm"}]),
        (ThinkingPart(text="Hm", provider="anthropic", signature="s"), None),
        (ThinkingPart(redacted="x", provider="cohere"), None),
        (RawPart(provider="cohere", block={"tool_plan": "a plan without calls"}), None),
    ],
)
def test_thinking_goes_back_where_it_came_from(part: Any, expected: list[dict[str, Any]] | None) -> None:
    """Thinking of this provider stands before the text; without text it stands alone."""
    spoken = sent_messages(assistant([part, TextPart(text="Hi")]))
    alone = sent_messages(assistant([part]))

    assert [
        {"role": "assistant", "content": [*expected, {"type": "text", "text": "Hi"}] if expected else "Hi"}
    ] == spoken
    assert [{"role": "assistant", "content": expected or ""}] == alone


def test_an_answer_goes_back() -> None:
    """What an answer adds to the history is what the API wants back: thinking, plan and calls."""
    decoded = said(
        content({"thinking": "Hm"}), plan("I will"), plan(" add."), *calling(0, "c1", "add", '{"a"', ":1}"), END
    )

    assert sent_messages(*decoded.response.messages) == [
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "Hm"}],
            "tool_plan": "I will add.",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}],
        }
    ]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"model": ""}, "no model"),
        ({"messages": ()}, "no messages"),
        ({"tools": (ADD,), "tool_choice": "add"}, "by name: use tool_choice auto, none or required"),
        ({"parallel_tool_calls": True}, "parallel"),
        ({"reasoning_effort": "high"}, "no reasoning effort"),
        ({"logprobs": 3}, "use logprobs 0"),
        ({"thinking_budget": 0}, "at least 1"),
        ({"stop": tuple("abcdef")}, "at most 5"),
        ({"provider_options": {"n": 2}}, "n above 1"),
        ({"messages": (user([FilePart(data=b"x", name="a.txt")]),)}, "it takes no files"),
        ({"messages": (user("x"), assistant([ImagePart(data=PNG)]))}, "only be sent in a user message"),
        ({"messages": (system("x"), Message(role="system", content=[ImagePart(data=PNG)]), *HELLO)}, "user message"),
    ],
)
def test_what_is_refused_before_it_is_sent(fields: dict[str, Any], says: str) -> None:
    """The API cannot do it, so it is not asked; the error says what to do instead."""
    with pytest.raises(ConfigError, match=says):
        encoded(asked(**fields))


# -- models


def test_the_request_for_models() -> None:
    """Those that chat are asked for, in the largest page."""
    sent = COHERE.codec.list_models(COHERE)

    assert ("GET", "https://api.cohere.com/v1/models?page_size=1000&endpoint=chat") == (sent.method, sent.url)
    assert {"Authorization": Secret(f"Bearer {KEY}")} == sent.secrets


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ({"models": [{"name": "command-a-03-2025"}, {"name": "command-r"}]}, ["command-a-03-2025", "command-r"]),
        ({"models": [{"name": 5}, None, "x", {}, {"name": ""}, {"name": "a\ud83d"}]}, ["a\ufffd"]),
        ({"models": 5}, []),
        ({}, []),
        ([], []),
        (None, []),
    ],
)
def test_names_of_models(answer: Any, names: list[str]) -> None:
    """What is a name is given; what is not as expected is passed over."""
    assert names == COHERE.codec.model_names(answer)


# -- recorded answers


@pytest.mark.parametrize(("expected", "body"), STREAMS)
def test_a_recorded_answer_whole(expected: dict[str, Any], body: bytes) -> None:
    """Every recording, read at once, gives exactly what was said in it."""
    assert {} == difference(expected, decode(COHERE, [body]))


@pytest.mark.parametrize(("expected", "body"), STREAMS)
def test_a_recorded_answer_byte_by_byte(expected: dict[str, Any], body: bytes) -> None:
    """Every recording, read byte by byte, gives exactly what was said in it."""
    assert {} == difference(expected, decode(COHERE, (body[i : i + 1] for i in range(len(body)))))


@pytest.mark.parametrize(("expected", "body"), STREAMS)
def test_plans_and_citations_of_recordings(expected: dict[str, Any], body: bytes) -> None:
    """The plan is whole in the metadata and joined of its pieces; each citation has its sources."""
    decoded, extra = decode(COHERE, [body]), expected.get("extra", {})
    metadata = decoded.response.response.provider_metadata
    pieces = [chunk.metadata["tool_plan"] for chunk in decoded.chunks if "tool_plan" in chunk.metadata]

    assert extra.get("tool_plan", metadata.get("tool_plan")) == metadata.get("tool_plan")
    assert metadata.get("tool_plan", "") == "".join(pieces)
    assert len({repr(s.metadata["start"]) for s in decoded.response.sources}) == extra.get("citations", 0)


@pytest.mark.parametrize(("expected", "body"), STREAMS)
def test_recordings_the_ordinary_way(expected: dict[str, Any], body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every recording gives the same without the quick way and without msgspec."""
    monkeypatch.setattr(Stencil, "read", lambda self, text: None)
    monkeypatch.setattr(jsontext, "_fast_decode", lambda: None)

    assert {} == difference(expected, decode(COHERE, [body]))


@PROPERTY
@given(st.sampled_from(STREAMS), st.lists(st.integers(0, 100_000), max_size=12))
def test_a_recorded_answer_in_any_blocks(transcript: Any, places: list[int]) -> None:
    """Where the network cuts a recording makes no difference."""
    expected, body = transcript.values

    assert {} == difference(expected, decode(COHERE, cut(body, places)))


@PROPERTY
@given(st.sampled_from(STREAMS), st.integers(0, 100_000))
def test_a_recording_cut_anywhere(transcript: Any, place: int) -> None:
    """What is cut off gives the beginning of the same chunks, and is complete only where `message-end` had come."""
    _, body = transcript.values
    whole, part = decode(COHERE, [body]), decode(COHERE, [body[: place % (len(body) + 1)]])

    assert part.chunks == whole.chunks[: len(part.chunks)]
    assert part.response.complete == (part.error is None)
    assert part.chunks == whole.chunks or isinstance(part.error, (StreamTruncated, ProviderError))
    if part.error is not None:
        assert not [c for c in part.chunks if c.type in ("tool_call", "step_finish")]


@pytest.mark.parametrize(("meta", "body"), REFUSED)
def test_a_recorded_error_answer(meta: dict[str, Any], body: bytes) -> None:
    """An error answer becomes an error with its status and the provider's words."""
    error = COHERE.codec.error("cohere", meta["status"], meta["headers"], body)

    assert meta["status"] == error.status
    assert error_message(meta["expected"]) in str(error)


def test_classes_of_recorded_errors() -> None:
    """They are told apart."""
    errors = {
        name: type(COHERE.codec.error("cohere", meta["status"], {}, body))
        for name, meta, body in own_transcripts("cohere")
        if meta["status"] >= 400
    }

    assert {
        "aimock-rate-limited": RateLimited,
        "invalid-token": Unauthorized,
        "too-many-tokens": ContextOverflow,
    } == errors


@pytest.mark.parametrize(
    ("headers", "body", "id"),
    [
        ({}, b'{"id":"r-1","message":"m"}', "r-1"),
        ({"x-request-id": "h-1"}, b'{"id":"r-1","message":"m"}', "h-1"),
        ({}, b'{"id":5,"message":"m"}', None),
        ({}, b"<html>", None),
        ({}, b"\xff", None),
        ({}, b"[1]", None),
    ],
)
def test_the_id_of_a_failed_request(headers: dict[str, str], body: bytes, id: str | None) -> None:
    """It is in a header, else in the body."""
    assert id == COHERE.codec.error("cohere", 400, headers, body).request_id


# -- answers of all kinds


def said(*events: object) -> Decoded:
    """What becomes of these events, each a JSON value, a text, or an `Event`."""
    made = [e if isinstance(e, Event) else Event(e if isinstance(e, str) else json.dumps(e)) for e in events]
    return decode_events(COHERE, [made])


def told(type: str, index: object = None, **message: Any) -> dict[str, Any]:
    """An event with a piece of the message."""
    return {"type": type, **({} if index is None else {"index": index}), "delta": {"message": message}}


def content(piece: object, type: str = "content-delta", **fields: Any) -> dict[str, Any]:
    """A piece of a content."""
    return {**told(type, 0, content=piece), **fields}


def text(piece: object) -> dict[str, Any]:
    """A piece of text."""
    return content({"text": piece})


def plan(piece: object) -> dict[str, Any]:
    """A piece of the plan."""
    return told("tool-plan-delta", tool_plan=piece)


def begun(index: object, id: object, name: object, arguments: object = "") -> dict[str, Any]:
    """The start of a call."""
    call = {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return told("tool-call-start", index, tool_calls=call)


def grown(index: object, arguments: object) -> dict[str, Any]:
    """More of a call."""
    return told("tool-call-delta", index, tool_calls={"function": {"arguments": arguments}})


def calling(index: int, id: str, name: str, *pieces: str) -> Sequence[dict[str, Any]]:
    """The events of a call."""
    end = {"type": "tool-call-end", "index": index}
    return [begun(index, id, name), *(grown(index, piece) for piece in pieces), end]


def ended(reason: object = "COMPLETE", **delta: Any) -> dict[str, Any]:
    """The end of an answer."""
    return {"type": "message-end", "delta": {"finish_reason": reason, **delta}}


START = {"type": "message-start", "id": "m-1", "delta": {"message": {"role": "assistant", "content": []}}}
END = ended()


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([text("Hi")], [("text", "Hi")]),
        ([content({"thinking": "Hm"})], [("thinking", "Hm")]),
        ([content({"thinking": "Hm", "text": "Hi"})], [("thinking", "Hm"), ("text", "Hi")]),
        ([content({"type": "text", "text": "Hi"}, "content-start")], [("text", "Hi")]),
        ([content({"type": "thinking", "thinking": ""}, "content-start")], []),
        ([content("Hi")], [("text", "Hi")]),
        ([content([{"text": "H"}, "i"])], [("text", "H"), ("text", "i")]),
        ([content(None), content({}), content({"text": None}), told("content-delta")], []),
        ([{"type": "content-delta"}, {"type": "content-delta", "delta": {"message": None}}], []),
        ([Event(json.dumps({"delta": {"message": {"content": {"text": "Hi"}}}}), "content-delta")], [("text", "Hi")]),
        ([{"type": "debug", "prompt": "x"}, {"type": "new"}, {}, [], None, 5, ""], []),
        ([told("content-end", 0), told("citation-end", 0), told("tool-call-end", 0)], []),
    ],
)
def test_what_an_event_says(events: list[object], expected: list[tuple[str, str]]) -> None:
    """Text and thinking come as they are; what says nothing, and what nobody knows, is passed over."""
    decoded = said(START, *events, END)

    assert expected == [(c.type, c.content) for c in decoded.chunks if c.type in ("text", "thinking")]
    assert decoded.response.complete


def test_surrogates_split_over_two_events() -> None:
    """Half pairs are joined over two events or replaced, read quickly or not."""
    decoded = said(*(text(piece) for piece in ("a", "b", "c\ud83d", "\ude00d", "\ud83d")), END)

    assert "abc😀d\ufffd" == decoded.response.text


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (calling(0, "a", "f", '{"x":', "1}"), [("a", "f", '{"x":1}')]),
        (calling(0, "a", "f"), [("a", "f", "")]),
        ([begun(0, "a", "f", '{"x":1}')], [("a", "f", '{"x":1}')]),
        ([begun(0, "a", "f", {"x": 1})], [("a", "f", '{"x": 1}')]),
        (
            [begun(1, "b", "g"), begun(0, "a", "f"), grown(0, "{"), grown(1, "[]"), grown(0, "}")],
            [("b", "g", "[]"), ("a", "f", "{}")],
        ),
        ([*calling(0, "a", "f", "1"), *calling(0, "b", "g", "2")], [("a", "f", "1"), ("b", "g", "2")]),
        ([begun(None, "a", "f"), grown(None, "1"), begun(None, "b", "g")], [("a", "f", "1"), ("b", "g", "")]),
        ([begun(0, "a", "f"), begun(1, "b", "g"), grown(None, "1")], [("a", "f", ""), ("b", "g", "1")]),
        ([begun(0, 5, "f")], [("5", "f", "")]),
        ([begun(0, None, "f"), grown(0, "{}")], [("", "f", "{}")]),
        ([told("tool-call-start", 0, tool_calls=[{"id": "a", "function": {"name": "f"}}])], [("a", "f", "")]),
        ([told("tool-call-start", 0), told("tool-call-start", 0, tool_calls=[5, {}, {"function": 5}])], []),
        ([begun(0, "a", "f"), grown(0, None), grown(0, ""), told("tool-call-delta", 0)], [("a", "f", "")]),
    ],
)  # fmt: skip
def test_tool_calls(events: Sequence[object], expected: list[tuple[str, str, str]]) -> None:
    """Calls grow under their index; one that starts under an index of another is a new one."""
    decoded = said(START, *events, ended("TOOL_CALL"))

    assert expected == [(c.id, c.name, c.input) for c in decoded.response.tool_calls]
    assert all(c.complete for c in decoded.response.tool_calls)


def test_the_chunks_of_a_call() -> None:
    """The start and each fragment come at once, the whole call when the answer is whole."""
    decoded = said(START, *calling(0, "a", "f", "{", "}"), ended("TOOL_CALL"))

    assert ["tool_call_start", "tool_call_delta", "tool_call_delta", "tool_call", "step_finish"] == [
        c.type for c in decoded.chunks
    ]


def test_half_a_call_is_never_whole() -> None:
    """A call of a stream that was cut is not complete, nor is one that the token limit cut."""
    cut_off = said(START, *calling(0, "a", "f", "{}"))
    limited = said(START, *calling(0, "a", "f", "{}"), begun(1, "b", "g"), ended("MAX_TOKENS"))

    assert [False] == [c.complete for c in cut_off.response.tool_calls]
    assert [True, False] == [c.complete for c in limited.response.tool_calls]
    assert "length" == limited.response.finish_reason


def test_arguments_of_no_call() -> None:
    """They are an error: a call with a hole must not look whole."""
    decoded = said(START, grown(0, "{}"), END)

    assert isinstance(decoded.error, DecodeError)


def test_the_plan() -> None:
    """It is neither text nor thinking; its pieces are told, and it goes back whole."""
    decoded = said(START, plan("I"), plan(" will."), *calling(0, "a", "f"), ended("TOOL_CALL"))

    assert [("text", "", "I"), ("text", "", " will.")] == [
        (c.type, c.content, c.metadata["tool_plan"]) for c in decoded.chunks[:2]
    ]
    assert ("", "") == (decoded.response.text, decoded.response.thinking)
    assert "I will." == decoded.response.response.provider_metadata["tool_plan"]
    assert RawPart(provider="cohere", block={"tool_plan": "I will."}) in decoded.response.messages[0].content


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "stop"),
        ("MAX_TOKENS", "length"),
        ("TOOL_CALL", "tool_calls"),
        ("ERROR", "error"),
        ("TIMEOUT", "error"),
        ("ERROR_TOXIC", "content_filter"),
        ("NEW", "other"),
        (None, "other"),
        (5, "other"),
    ],
)
def test_finish_reasons(reason: object, expected: str) -> None:
    """Ours for Cohere's, which is kept."""
    decoded = said(START, text("Hi"), ended(reason))

    assert (expected, True) == (decoded.response.finish_reason, decoded.response.complete)
    assert (reason if isinstance(reason, str) else None) == decoded.response.raw_finish_reason


@pytest.mark.parametrize(("reason", "expected"), [("COMPLETE", "tool_calls"), (None, "tool_calls"), ("ERROR", "error")])
def test_finish_reason_beside_calls(reason: str | None, expected: str) -> None:
    """Calls are to be answered, whatever the reason says, but for a failure."""
    assert expected == said(START, *calling(0, "a", "f"), ended(reason)).response.finish_reason


TOKENS = {"input_tokens": 1445.0, "output_tokens": 43.0}
BILLED = {"input_tokens": 46.0, "output_tokens": 14.0}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            {"billed_units": BILLED, "tokens": {**TOKENS, "reasoning_tokens": 28}, "cached_tokens": 704},
            Usage(
                prompt_tokens=1445,
                completion_tokens=43,
                total_tokens=1488,
                reasoning_tokens=28,
                cache_read_tokens=704,
                source="reported",
            ),
        ),
        ({"billed_units": BILLED}, Usage(prompt_tokens=46, completion_tokens=14, total_tokens=60, source="reported")),
        ({"tokens": {"output_tokens": 3}}, Usage(completion_tokens=3, total_tokens=3, source="reported")),
        ({"tokens": {"input_tokens": -1, "output_tokens": "3"}, "billed_units": 5}, Usage()),
        ({}, Usage()),
    ],
)
def test_usage(raw: dict[str, Any], expected: Usage) -> None:
    """The tokens that were used, else those that are billed; nothing is made up where there are none."""
    assert attrs.evolve(expected, raw=raw) == said(START, ended(usage=raw)).response.usage


@pytest.mark.parametrize("usage", [None, 5, [], "x"])
def test_usage_that_is_none(usage: object) -> None:
    """It is as if there were none."""
    assert Usage() == said(START, ended(usage=usage)).response.usage


def cited(*sources: Any, **fields: Any) -> dict[str, Any]:
    """A citation."""
    return told("citation-start", 0, citations={"start": 0, "end": 2, "text": "Hi", "sources": list(sources), **fields})


def test_citations() -> None:
    """Each place that a statement comes from is a source, with what the citation says of the statement beside it."""
    document = {
        "type": "document",
        "id": "doc:0",
        "document": {"title": "T", "text": "Say hi.", "url": "https://e.com"},
    }
    tool = {"type": "tool", "id": "t:0", "tool_output": {"content": "hi"}}
    found = said(START, text("Hi"), cited(document, tool, type="TEXT_CONTENT"), cited(), END).response.sources
    place = {"start": 0, "end": 2, "text": "Hi"}

    assert found == (
        Source(
            url="https://e.com",
            title="T",
            id="doc:0",
            text="Say hi.",
            metadata={**place, "type": "TEXT_CONTENT", "source": document},
        ),
        Source(id="t:0", text="hi", metadata={**place, "type": "TEXT_CONTENT", "source": tool}),
    )


@pytest.mark.parametrize("citations", [None, 5, {}, [], {"sources": None}, {"sources": [{"id": "x"}]}])
def test_citations_that_say_nothing(citations: object) -> None:
    """They give no source."""
    decoded = said(START, text("Hi"), told("citation-start", 0, citations=citations), END)

    assert ((), True) == (decoded.response.sources, decoded.response.complete)


def test_a_citation_without_sources() -> None:
    """It still says which words it is about."""
    found = said(START, told("citation-start", 0, citations={"text": "Hi", "sources": None}), END).response.sources

    assert (Source(metadata={"text": "Hi"}),) == found


def test_metadata() -> None:
    """The answer's id, and whatever nobody knows; the prompt of a debug event is not kept."""
    decoded = said(
        {**START, "generation_id": "g-1"}, {"type": "debug", "prompt": "x"}, text("Hi"), ended(warnings=["w"], new=None)
    )

    assert "m-1" == decoded.response.response.id
    assert {"generation_id": "g-1", "warnings": ["w"]} == decoded.response.response.provider_metadata


def test_log_probabilities() -> None:
    """They go with the text, or with the thinking, of their event; an event may have nothing else."""
    probable = {"text": "Hi", "token_ids": [1], "logprobs": [-0.1]}
    decoded = said(
        START,
        text("."),
        text("."),
        content({"text": "Hi"}, logprobs=probable),
        content({"thinking": "Hm"}, logprobs=probable),
        content({"text": ""}, logprobs=probable),
        END,
    )

    assert [("text", "Hi", True), ("thinking", "Hm", True), ("text", "", True)] == [
        (c.type, c.content, c.metadata.get("logprobs") == probable) for c in decoded.chunks[2:5]
    ]


@pytest.mark.parametrize("end", [(), ("[DONE]",), (" [DONE]",), (told("content-end", 0),), ({"type": "message-stop"},)])
def test_truncated_answers(end: Sequence[object]) -> None:
    """Without `message-end` no answer is complete."""
    decoded = said(START, text("Hi"), *end)

    assert isinstance(decoded.error, StreamTruncated)
    assert "Hi" == decoded.response.text


def test_what_follows_the_end_is_not_read() -> None:
    """The answer is complete at once."""
    assert "Hi" == said(START, text("Hi"), END, "[DONE]", text("more"), "x").response.text


def test_a_whole_answer() -> None:
    """A server that does not stream gives the same facts."""
    decoded = said(
        {
            "id": "m-1",
            "message": {
                "role": "assistant",
                "tool_plan": "I will.",
                "content": [{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "Hi"}],
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "b", "type": "function", "function": {"name": "g", "arguments": "[1]"}},
                ],
                "citations": [{"start": 0, "end": 2, "text": "Hi", "sources": []}],
            },
            "finish_reason": "TOOL_CALL",
            "usage": {"tokens": TOKENS},
        }
    )
    response = decoded.response

    assert ("Hi", "Hm", "tool_calls", 1488) == (
        response.text,
        response.thinking,
        response.finish_reason,
        response.usage.total_tokens,
    )
    assert [("a", "f", "{}"), ("b", "g", "[1]")] == [(c.id, c.name, c.input) for c in response.tool_calls]
    assert (True, "m-1", 0) == (response.complete, response.response.id, len(response.sources))


@pytest.mark.parametrize(
    ("event", "error", "says"),
    [
        ({"message": "upstream failed", "id": "r-1"}, ProviderError, "upstream failed"),
        ({"detail": "boom"}, ProviderError, "boom"),
        ({"code": 500, "msg": "boom"}, ServerError, "boom"),
        ([{"error": {"message": "boom"}}], ProviderError, "boom"),
        ({"type": "error", "message": "Slow", "status_code": 429}, RateLimited, "Slow"),
        (Event('{"id":"r-1","message":"boom"}', "error"), ProviderError, "boom"),
        (Event("plain words", "error"), ProviderError, "plain words"),
        (Event("{}", "error"), ProviderError, "without data"),
        (Event('"text"', "error"), ProviderError, "text"),
        ({"error": {"message": "inner", "code": 401}}, Unauthorized, "inner"),
        (ended("ERROR", error="the model failed"), ProviderError, "the model failed"),
        ({**text("lo"), "error": "late"}, ProviderError, "late"),
    ],
)
def test_errors_inside_the_stream(event: object, error: type[ProviderError], says: str) -> None:
    """An error ends the stream, as the class of its status, after what came before and beside it."""
    decoded = said(START, text("Hel"), event, text("!"), END)

    assert isinstance(decoded.error, error)
    assert says in str(decoded.error)
    assert ("Hello" if "late" in says else "Hel") == decoded.response.text
    assert ("r-1" if "r-1" in str(event) else None) == decoded.error.request_id


def test_plain_text_in_an_error_event_is_an_error_though_it_looks_like_text() -> None:
    """The quick way of reading text does not take an event named error for one."""
    alike = [Event(json.dumps(text(piece)), "content-delta") for piece in ("a", "b", "c")]
    decoded = said(START, *alike, Event(json.dumps(text("d")), "error"))

    assert isinstance(decoded.error, ProviderError)


def test_the_quick_way_is_gone_once_something_changed() -> None:
    """An event like those before the change would change it back, so it is read in full."""
    early, late = text("Hi"), content({"text": "Hi", "thinking": "Hm"})
    early["delta"]["mood"], late["delta"]["mood"] = "a", "b"
    decoded = said(START, early, early, early, late, early, END)

    assert ("Hi" * 5, "Hm") == (decoded.response.text, decoded.response.thinking)
    assert "a" == decoded.response.response.provider_metadata["mood"]


@pytest.mark.parametrize(
    "bad",
    [
        "not json",
        '{"type":',
        "[" * 100_000,
        '{"a":' + "9" * 5000 + "}",
        text(5),
        text({"a": 1}),
        content({"thinking": True}),
        content([5]),
        content(5),
        plan(5),
        grown(0, 5),
        begun(0, "a", "f", 5),
    ],
)
def test_events_that_cannot_be_understood(bad: object) -> None:
    """An event that cannot be read, or whose text is none, is an error: an answer with a hole must not look whole."""
    decoded = said(START, text("Hel"), bad, text("lo"), END)

    assert isinstance(decoded.error, DecodeError)
    assert "Hel" == decoded.response.text
    assert len(decoded.error.event) <= 2001


@pytest.mark.parametrize("depth", [500, 900, 3000, 20_000])
def test_deep_nesting(depth: int) -> None:
    """Objects nested as deep as the parser just bears give an answer or one of our errors."""
    nested = '{"a":' * depth + "1" + "}" * depth
    cite = '{"type":"citation-start","delta":{"message":{"citations":{"sources":[' + nested + "]}}}}"
    decoded = said(START, cite, '{"type":"content-start","new":' + nested + "}", END)

    assert decoded.error is None or isinstance(decoded.error, DecodeError)


# -- anything at all

_NAMES = st.sampled_from(
    ["type", "id", "index", "delta", "message", "content", "text", "thinking", "tool_plan", "tool_calls", "function",
     "name", "arguments", "citations", "sources", "document", "usage", "tokens", "finish_reason", "error", "new"]
)  # fmt: skip
_TEXTS = st.sampled_from(["", "Hi", "{", "{}", '{"a":1}', "COMPLETE", "MAX_TOKENS", "\x00", "é", "\ud83d", "\ude00"])
_ATOMS = st.none() | st.booleans() | st.integers(-1, 2) | st.floats() | st.just(10**400) | _TEXTS
_VALUES = st.recursive(
    _ATOMS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=8,
)
_TYPES = st.sampled_from(
    ["message-start", "content-start", "content-delta", "content-delta", "content-end", "tool-plan-delta", "debug",
     "tool-call-start", "tool-call-delta", "tool-call-end", "citation-start", "citation-end", "message-end", "new"]
)  # fmt: skip


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object with some of these fields, or any value in its place."""
    return st.fixed_dictionaries({}, optional=fields) | _VALUES


_CALL = _some(id=_TEXTS, function=_some(name=_TEXTS, arguments=_TEXTS | _VALUES))
_MESSAGE = _some(
    content=_some(text=_TEXTS | _VALUES, thinking=_TEXTS | _VALUES, type=_TEXTS),
    tool_plan=_TEXTS | _VALUES,
    tool_calls=_CALL | st.lists(_CALL, max_size=2),
    citations=_some(start=_ATOMS, text=_TEXTS, sources=_VALUES),
)
_DELTA = _some(message=_MESSAGE, finish_reason=_ATOMS, usage=_VALUES, new=_VALUES)
_EVENTS = st.lists(
    st.builds(
        Event,
        st.builds(
            json.dumps,
            st.fixed_dictionaries(
                {"type": _TYPES}, optional={"index": st.integers(0, 1) | _ATOMS, "delta": _DELTA, "id": _VALUES}
            )
            | _some(id=_TEXTS, message=_MESSAGE, finish_reason=_ATOMS, logprobs=_VALUES, error=_VALUES),
        )
        | st.sampled_from(["[DONE]", "", "x", "{}", json.dumps(text("Hi")), json.dumps(END)]),
        st.sampled_from(["message"] * 8 + ["error", "content-delta", "new"]),
    ),
    max_size=6,
)


@PROPERTY
@given(_EVENTS)
def test_nothing_but_our_errors_comes_out(events: list[Event]) -> None:
    """Whatever a server sends, decoding gives well-formed chunks, without gaps, that fold, or an error of ours."""
    decoded = decode_events(COHERE, [[event] for event in events])

    assert decoded.error is None or isinstance(decoded.error, StreamKitError)
    assert list(range(len(decoded.chunks))) == [c.index for c in decoded.chunks]
    assert decoded.response.complete == (decoded.error is None) == ("step_finish" in [c.type for c in decoded.chunks])
    assert [c.tool_call_id for c in decoded.chunks if c.type == "tool_call_start"] == [
        c.id for c in decoded.response.tool_calls
    ]
    for chunk in decoded.chunks:
        repr(attrs.asdict(chunk)).encode("utf-8")
        assert type(chunk.content) is str


@PROPERTY
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["text", "text", "text", "thinking"]),
            st.text(max_size=6) | _TEXTS,
            st.sampled_from(["", "", "", ',"type":"text"', ',"thinking":"Hm"', ',"text":"x"']),
            st.sampled_from(["", "", "", ',"logprobs":{"logprobs":[-1]}', ',"new":1', ',"error":"x"']),
        ),
        max_size=12,
    )
)
def test_the_quick_way_gives_what_the_ordinary_one_gives(facts: list[tuple[str, str, str, str]]) -> None:
    """Reading events by their likeness to earlier ones, and by msgspec, changes nothing that comes out."""
    form = '{{"type":"content-delta","index":0,"delta":{{"message":{{"content":{{"{}":{}{}}}}}}}{}}}'
    events = [Event(form.format(field, json.dumps(piece), *more)) for field, piece, *more in facts]
    quick = decode_events(COHERE, [events])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stencil, "read", lambda self, text: None)
        patch.setattr(jsontext, "_fast_decode", lambda: None)
        ordinary = decode_events(COHERE, [events])

    assert repr((ordinary.chunks, ordinary.error, ordinary.response)) == repr(
        (quick.chunks, quick.error, quick.response)
    )
