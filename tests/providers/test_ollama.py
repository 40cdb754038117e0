"""Ollama's own API: requests as it wants them, and its answers, however they come, as chunks."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.codec import HttpRequest
from streamkit.errors import (
    BadRequest,
    ConfigError,
    DecodeError,
    NotFound,
    Overloaded,
    ProviderError,
    RateLimited,
    ServerError,
    StreamKitError,
    StreamTruncated,
)
from streamkit.framing import Event
from streamkit.providers import ollama
from streamkit.providers.ollama import Ollama
from streamkit.types import (
    ChatRequest,
    ImagePart,
    Message,
    RawPart,
    ResponseFormat,
    Secret,
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

KEY = "ollama-test-0123456789"
OLLAMA = Ollama()
HELLO = (user("Hello"),)
ADD = Tool(name="add", description="Adds.", parameters={"type": "object", "properties": {"a": {"type": "integer"}}})
PNG = b"\x89PNG\r\n\x1a\n"

EVERY = [*transcripts("ollama-chat"), *transcripts("ollama-generate"), *own_transcripts("ollama")]
STREAMS = [pytest.param(meta["expected"], body, id=name) for name, meta, body in EVERY if meta["status"] < 400]
REFUSED = [pytest.param(meta, body, id=name) for name, meta, body in EVERY if meta["status"] >= 400]


# -- whom one calls


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        (":56789", "http://127.0.0.1:56789"),
        ("1.2.3.4:56789", "http://1.2.3.4:56789"),
        ("example.com", "http://example.com:11434"),
        ("example.com/", "http://example.com:11434"),
        ("example.com:56789/path/", "http://example.com:56789/path"),
        ("example.com/path", "http://example.com:11434/path"),
        ("http://1.2.3.4", "http://1.2.3.4"),
        ("https://1.2.3.4", "https://1.2.3.4"),
        ("http://:8080", "http://127.0.0.1:8080"),
        ("https://example.com:56789/path", "https://example.com:56789/path"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:80", "http://127.0.0.1:80"),
        ("http://0.0.0.0:11434", "http://127.0.0.1:11434"),
        ("[::]:1", "http://[::1]:1"),
        ("::", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("[fd00::1]", "http://[fd00::1]:11434"),
        ("[fd00::1]:56789/path", "http://[fd00::1]:56789/path"),
        ("https://[fd00::1]", "https://[fd00::1]"),
        ("localhost:", "http://localhost:11434"),
        ("ollama.com", "https://ollama.com"),
        ("ollama.com:8443", "https://ollama.com:8443"),
        ("https://ollama.com", "https://ollama.com"),
        (' "1.2.3.4" ', "http://1.2.3.4:11434"),
        ("me:pw@1.2.3.4", "http://1.2.3.4:11434"),
    ],
)
def test_all_forms_of_an_address(host: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address is read as Ollama's own clients read it, from OLLAMA_HOST and as an argument alike."""
    monkeypatch.setenv("OLLAMA_HOST", host)

    assert url == Ollama().base_url == Ollama(base_url=host).base_url == Ollama(base_url=url).base_url


@pytest.mark.parametrize("host", ["ftp://host", "host:port", "host:99999", "http://ho st", "host?a=b", 5, b"host"])
def test_what_is_no_address(host: Any) -> None:
    """It is refused when the provider is made."""
    with pytest.raises(ConfigError, match="base_url"):
        Ollama(base_url=host)


def test_a_key_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of this machine needs none; one that is given, or in OLLAMA_API_KEY, is sent."""
    without = [Ollama(), Ollama.auto(), Ollama.from_env()]
    monkeypatch.setenv("OLLAMA_API_KEY", KEY)

    assert [None] * 3 == [provider.secret() for provider in without]
    assert [Secret(KEY)] * 4 == [p.secret() for p in (Ollama(), Ollama.auto(), Ollama.from_env(), Ollama(KEY))]


def test_it_travels_without_its_key() -> None:
    """Pickled, it keeps its address."""
    arrived = pickle.loads(pickle.dumps(Ollama(KEY, base_url="host:1")))

    assert ("ollama", "http://host:1", None) == (arrived.name, arrived.base_url, arrived.secret())


# -- requests


def encoded(request: ChatRequest) -> dict[str, Any]:
    """The body of a request, as the server reads it."""
    value: dict[str, Any] = json.loads(OLLAMA.codec.encode(request, OLLAMA).body.decode("utf-8"))
    return value


def asked(*messages: Message, **fields: Any) -> ChatRequest:
    """A request with these messages and fields."""
    return attrs.evolve(ChatRequest(model="qwen3", messages=messages or HELLO), **fields)


def sent_messages(*messages: Message) -> list[dict[str, Any]]:
    """The messages of a request, as the server reads them."""
    told: list[dict[str, Any]] = encoded(asked(*messages))["messages"]
    return told


def test_a_plain_request() -> None:
    """The smallest request has model and messages, and asks for a stream."""
    expected = {"model": "qwen3", "messages": [{"role": "user", "content": "Hello"}], "stream": True}

    assert expected == encoded(asked())


def test_where_and_how_it_is_sent() -> None:
    """It goes to /api/chat, asks for lines of JSON, and keeps the key apart."""
    provider = Ollama(KEY, base_url="https://ollama.com")
    sent = provider.codec.encode(asked(), provider)

    assert ("POST", "https://ollama.com/api/chat") == (sent.method, sent.url)
    assert sent.headers == {
        "Content-Type": "application/json",
        "Accept": "application/x-ndjson",
        "Accept-Encoding": "identity",
    }
    assert {"Authorization": Secret(f"Bearer {KEY}")} == sent.secrets
    assert {} == OLLAMA.codec.encode(asked(), OLLAMA).secrets


@pytest.mark.parametrize("end", ["", "/", "/api", "/v1"])
def test_known_mistakes_in_an_address(end: str) -> None:
    """The path of the API, or of OpenAI's, at the end of an address is harmless."""
    provider = Ollama(base_url="http://host:1/sub" + end)

    assert "http://host:1/sub/api/chat" == provider.codec.encode(asked(), provider).url


@pytest.mark.parametrize(
    ("host", "direct"),
    [
        ("", True),
        ("localhost:1", True),
        ("https://localhost/path", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("192.168.0.1", False),
        ("127.0.0.1.example.com", False),
        ("localhost.example.com", False),
        ("ollama.com", False),
    ],
)
def test_this_machine_is_asked_past_proxies(host: str, direct: bool) -> None:
    """No proxy of the environment could reach a server of this machine."""
    provider = Ollama(base_url=host)
    sent = [provider.codec.encode(asked(), provider), provider.codec.list_models(provider)]

    assert [direct, direct] == [request.direct for request in sent]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"temperature": 0.0}, {"options": {"temperature": 0.0}}),
        ({"top_p": 0.5, "top_k": 3}, {"options": {"top_p": 0.5, "top_k": 3}}),
        ({"max_tokens": 20}, {"options": {"num_predict": 20}}),
        ({"stop": ("a", "b")}, {"options": {"stop": ["a", "b"]}}),
        ({"seed": 0}, {"options": {"seed": 0}}),
        (
            {"frequency_penalty": 0.5, "presence_penalty": 1.0},
            {"options": {"frequency_penalty": 0.5, "presence_penalty": 1.0}},
        ),
        ({"logprobs": 0}, {"logprobs": True}),
        ({"logprobs": 20}, {"logprobs": True, "top_logprobs": 20}),
        ({"thinking": True}, {"think": True}),
        ({"reasoning_effort": "none"}, {"think": False}),
        ({"reasoning_effort": "max", "thinking": True}, {"think": "max"}),
        ({"response_format": ResponseFormat(type="text")}, {}),
        ({"response_format": ResponseFormat(type="json")}, {"format": "json"}),
        (
            {"response_format": ResponseFormat(type="schema", schema={"type": "object"})},
            {"format": {"type": "object"}},
        ),
        ({"prompt_caching": True}, {}),
        ({"tool_choice": "auto"}, {}),
        ({"tool_choice": "none"}, {}),
        ({"provider_options": {"keep_alive": "10m", "truncate": False}}, {"keep_alive": "10m", "truncate": False}),
    ],
)
def test_what_a_setting_adds(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each setting adds its field of the API and nothing else; what asks for nothing adds none."""
    assert encoded(asked()) | expected == encoded(asked(**fields))


def test_tools() -> None:
    """Tools are functions, one without a description has none; with tool_choice "none" there are none."""
    bare = Tool(name="now")
    tools = encoded(asked(tools=(ADD, bare), tool_choice="auto"))["tools"]

    assert tools == [
        {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": ADD.parameters}},
        {"type": "function", "function": {"name": "now", "parameters": bare.parameters}},
    ]
    assert "tools" not in encoded(asked(tools=(ADD,), tool_choice="none"))


def test_provider_options_have_the_last_word() -> None:
    """Options of the user's join ours; None takes a field out."""
    options = {"options": {"num_ctx": 8192, "temperature": 1.0}, "think": None}
    sent = encoded(asked(temperature=0.0, seed=1, thinking=True, provider_options=options))

    assert {"temperature": 1.0, "seed": 1, "num_ctx": 8192} == sent["options"]
    assert "think" not in sent


def test_messages() -> None:
    """Each message keeps its role and its text; an image goes beside the text, in base64."""
    sent = sent_messages(
        system("Be brief."),
        user([TextPart(text="What"), TextPart(text=" is it?"), ImagePart(data=PNG, media_type="image/png")]),
        assistant("A cat."),
        user(""),
    )

    assert sent == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is it?", "images": ["iVBORw0KGgo="]},
        {"role": "assistant", "content": "A cat."},
        {"role": "user", "content": ""},
    ]


def test_a_tool_round_trip() -> None:
    """Calls go back with their arguments as an object; a result names its tool, also where only its call does."""
    called = assistant(
        [
            ThinkingPart(text="Hm", provider="ollama"),
            ToolCallPart(id="c1", name="add", input='{"a": 1}'),
            ToolCallPart(id="c2", name="now", input=""),
        ]
    )
    results = Message(
        role="tool",
        content=[
            ToolResultPart(tool_call_id="c2", output="noon"),
            ToolResultPart(tool_call_id="c1", tool_name="plus", output="no", is_error=True),
        ],
    )
    sent = sent_messages(user("Add"), called, results, tool_result("c9", "?"))

    assert sent[1:] == [
        {
            "role": "assistant",
            "content": "",
            "thinking": "Hm",
            "tool_calls": [
                {"id": "c1", "function": {"name": "add", "arguments": {"a": 1}}},
                {"id": "c2", "function": {"name": "now", "arguments": {}}},
            ],
        },
        {"role": "tool", "content": "noon", "tool_name": "now", "tool_call_id": "c2"},
        {"role": "tool", "content": "Error: no", "tool_name": "plus", "tool_call_id": "c1"},
        {"role": "tool", "content": "?", "tool_call_id": "c9"},
    ]


def test_calls_without_ids_and_arguments_that_are_none() -> None:
    """Results find their calls in order; what is no object goes back in one."""
    sent = sent_messages(
        assistant([ToolCallPart(id="", name="a", input="[1]"), ToolCallPart(id="", name="b", input="{")]),
        Message(role="tool", content=[ToolResultPart(tool_call_id=""), ToolResultPart(tool_call_id="")]),
        tool_result("", "nobody's"),
    )

    assert [{"INVALID_JSON": "[1]"}, {"INVALID_JSON": "{"}] == [
        call["function"]["arguments"] for call in sent[0]["tool_calls"]
    ]
    assert [call["id"] for call in sent[0]["tool_calls"]] == [m["tool_call_id"] for m in sent[1:3]]
    assert ["a", "b"] == [m["tool_name"] for m in sent[1:3]]
    assert {"role": "tool", "content": "nobody's"} == sent[3]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (ThinkingPart(text="Hm", provider="ollama"), {"thinking": "Hm"}),
        (ThinkingPart(text="Hm"), {"thinking": "Hm"}),
        (ThinkingPart(text="Hm", provider="anthropic", signature="s"), {}),
        (ThinkingPart(redacted="x", provider="ollama"), {}),
        (RawPart(provider="ollama", block={"a": 1}), {}),
    ],
)
def test_thinking_goes_back_where_it_came_from(part: Any, expected: dict[str, Any]) -> None:
    """Only text that this provider thought; other providers' proofs and blocks mean nothing to it."""
    assert [{"role": "assistant", "content": "Hi", **expected}] == sent_messages(
        assistant([part, TextPart(text="Hi")]), user("x")
    )[:1]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"model": ""}, "no model"),
        ({"messages": ()}, "no messages"),
        ({"tools": (ADD,), "tool_choice": "required"}, "cannot be made to call a tool"),
        ({"tools": (ADD,), "tool_choice": "add"}, "by name"),
        ({"parallel_tool_calls": False}, "parallel"),
        ({"thinking_budget": 100}, "no thinking budget: use .reasoning_effort"),
        ({"reasoning_effort": "minimal"}, "use one of none, low, medium, high, max"),
        ({"reasoning_effort": ""}, "unknown reasoning_effort"),
        ({"logprobs": 21}, "from 0 to 20"),
        ({"logprobs": -1}, "from 0 to 20"),
        ({"provider_options": {"n": 2}}, "n above 1"),
        ({"messages": (user([ImagePart(url="https://example.com/a.png")]),)}, "send their bytes"),
        ({"messages": (user([ImagePart(data=b"x", media_type="image/bmp")]),)}, "image/bmp"),
        ({"messages": (user("x"), assistant([ImagePart(data=PNG)]))}, "only be sent in a user message"),
    ],
)
def test_what_is_refused_before_it_is_sent(fields: dict[str, Any], says: str) -> None:
    """The API cannot do it, so the server is not asked; the error says what to do instead."""
    with pytest.raises(ConfigError, match=says):
        encoded(asked(**fields))


# -- models


def test_the_request_for_models() -> None:
    """They are asked for with the key, if there is one."""
    provider = Ollama(KEY, base_url="host:1/api")
    sent = provider.codec.list_models(provider)

    assert ("GET", "http://host:1/api/tags", b"") == (sent.method, sent.url, sent.body)
    assert {"Authorization": Secret(f"Bearer {KEY}")} == sent.secrets
    assert isinstance(sent, HttpRequest)


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ({"models": [{"name": "qwen3:4b", "model": "q"}, {"name": "llama3.2"}]}, ["qwen3:4b", "llama3.2"]),
        ({"models": [{"name": 5}, None, "x", {}, {"name": ""}, {"name": "a\ud83d"}]}, ["a\ufffd"]),
        ({"models": {"name": "one"}}, ["one"]),
        ({"models": None}, []),
        ({}, []),
        ([], []),
        ("x", []),
        (None, []),
    ],
)
def test_names_of_models(answer: Any, names: list[str]) -> None:
    """What is a name is given; what is not as expected is passed over."""
    assert names == OLLAMA.codec.model_names(answer)


# -- recorded answers


@pytest.mark.parametrize(("expected", "body"), STREAMS)
def test_a_recorded_answer_whole(expected: dict[str, Any], body: bytes) -> None:
    """Every recording, read at once, gives exactly what was said in it."""
    assert {} == difference(expected, decode(OLLAMA, [body]))


@pytest.mark.parametrize(("expected", "body"), STREAMS)
def test_a_recorded_answer_byte_by_byte(expected: dict[str, Any], body: bytes) -> None:
    """Every recording, read byte by byte, gives exactly what was said in it."""
    assert {} == difference(expected, decode(OLLAMA, (body[i : i + 1] for i in range(len(body)))))


@pytest.mark.parametrize(("expected", "body"), STREAMS)
def test_recordings_the_ordinary_way(expected: dict[str, Any], body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every recording gives the same where each line is parsed."""
    quick = decode(OLLAMA, [body])
    monkeypatch.setattr(ollama, "_plain", lambda line: None)
    ordinary = decode(OLLAMA, [body])

    assert {} == difference(expected, ordinary)
    assert repr((quick.chunks, quick.error)) == repr((ordinary.chunks, ordinary.error))


@PROPERTY
@given(st.sampled_from(STREAMS), st.lists(st.integers(0, 100_000), max_size=12))
def test_a_recorded_answer_in_any_blocks(transcript: Any, places: list[int]) -> None:
    """Where the network cuts a recording makes no difference."""
    expected, body = transcript.values

    assert {} == difference(expected, decode(OLLAMA, cut(body, places)))


@PROPERTY
@given(st.sampled_from(STREAMS), st.integers(0, 100_000))
def test_a_recording_cut_anywhere(transcript: Any, place: int) -> None:
    """What is cut off gives the beginning of the same chunks, and is complete only where the last line had come."""
    _, body = transcript.values
    whole, part = decode(OLLAMA, [body]), decode(OLLAMA, [body[: place % (len(body) + 1)]])

    assert part.chunks == whole.chunks[: len(part.chunks)]
    assert part.response.complete == (part.error is None)
    assert part.chunks == whole.chunks or isinstance(part.error, (StreamTruncated, ProviderError))


@pytest.mark.parametrize(("meta", "body"), REFUSED)
def test_a_recorded_error_answer(meta: dict[str, Any], body: bytes) -> None:
    """An error answer becomes an error with its status and the server's words."""
    error = OLLAMA.codec.error("ollama", meta["status"], meta["headers"], body)

    assert meta["status"] == error.status
    assert error_message(meta["expected"]) in str(error)


def test_classes_of_recorded_errors() -> None:
    """They are told apart."""
    errors = {
        name: type(OLLAMA.codec.error("ollama", meta["status"], {}, body))
        for name, meta, body in own_transcripts("ollama")
        if meta["status"] >= 400
    }

    assert {"aimock-rate-limited": RateLimited, "model-not-found": NotFound, "no-tools": BadRequest} == errors


# -- answers of all kinds


def said(*lines: object) -> Decoded:
    """What becomes of these lines, each a JSON value or a text."""
    return decode_events(OLLAMA, [[Event(line if isinstance(line, str) else json.dumps(line)) for line in lines]])


def line(content: object = "", **message: Any) -> dict[str, Any]:
    """A line with a piece of the message."""
    message = {"role": "assistant", "content": content, **message}
    return {"model": "m-1", "created_at": "2026-01-02T03:04:05.67Z", "message": message, "done": False}


def called(*functions: Any) -> dict[str, Any]:
    """A line with whole calls."""
    return line("", tool_calls=[{"function": function} for function in functions])


DONE = {**line(), "done": True, "done_reason": "stop"}


def facts(decoded: Decoded) -> list[tuple[str, str]]:
    """Type and content of the chunks."""
    return [(chunk.type, chunk.content) for chunk in decoded.chunks if chunk.type in ("text", "thinking")]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (line("Hi"), [("text", "Hi")]),
        (line("", thinking="Hm"), [("thinking", "Hm")]),
        (line("Hi", thinking="Hm"), [("thinking", "Hm"), ("text", "Hi")]),
        (line(None, thinking=None), []),
        (line("", reasoning_content="Hm"), [("thinking", "Hm")]),
        ({"response": "Hi", "done": False}, [("text", "Hi")]),
        ({"response": "", "thinking": "Hm"}, [("thinking", "Hm")]),
        ({"message": {"content": "Hi"}}, [("text", "Hi")]),
        ({"message": None, "response": None}, []),
        ({"status": "loading"}, []),
        ({}, []),
        ([], []),
        (None, []),
        (5, []),
    ],
)
def test_what_a_line_says(sent: object, expected: list[tuple[str, str]]) -> None:
    """Thinking stands before text; what says nothing is passed over."""
    decoded = said(sent, line("."), DONE)

    assert [*expected, ("text", ".")] == facts(decoded)
    assert decoded.response.complete


def test_surrogates_split_over_two_lines() -> None:
    """Half pairs are joined over two lines or replaced, read quickly or not."""
    decoded = said(line("a"), line("b\ud83d"), line("\ude00c"), line("\ud83d"), DONE)

    assert "ab😀c\ufffd" == decoded.response.text


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([called({"name": "f", "arguments": {"a": "é"}})], [("f", '{"a": "é"}', {"a": "é"})]),
        ([called({"name": "f", "arguments": '{"a":1}'})], [("f", '{"a":1}', {"a": 1})]),
        ([called({"name": "f"})], [("f", "", {})]),
        ([called({"name": "f", "arguments": None})], [("f", "", {})]),
        ([called({"name": "f", "arguments": [1]})], [("f", "[1]", [1])]),
        ([called({"name": "f", "arguments": "{"})], [("f", "{", None)]),
        ([called({"name": "f"}, {"name": "f"})], [("f", "", {}), ("f", "", {})]),
        ([called({"index": 0, "name": "f"}), called({"index": 0, "name": "g"})], [("f", "", {}), ("g", "", {})]),
        ([line("", tool_calls={"function": {"name": "f"}})], [("f", "", {})]),
        ([line("", tool_calls=[None, 5, {}, {"function": 5}, {"function": {}}, {"function": {"name": 5}}])], []),
        ([line("", tool_calls=None), line("", tool_calls=[])], []),
        ([{"response": "", "tool_calls": [{"function": {"name": "f"}}]}], [("f", "", {})]),
    ],
)
def test_tool_calls(lines: list[Any], expected: list[tuple[str, str, object]]) -> None:
    """Calls come whole, in one line or several, with arguments of any shape; ids are unique."""
    decoded = said(*lines, DONE)
    calls = decoded.response.tool_calls

    assert expected == [(call.name, call.input, call.arguments) for call in calls]
    assert ("tool_calls" if expected else "stop") == decoded.response.finish_reason


def test_ids_of_calls() -> None:
    """An id that was sent is kept, none is made up; the history gives older servers' calls ids when it goes back."""
    call = {"function": {"name": "f", "arguments": {}}}
    own = said(line("", tool_calls=[{"id": "call_x", **call}]), DONE)
    number = said(line("", tool_calls=[{"id": 5, **call}]), DONE)
    none = said(line("", tool_calls=[call, call]), DONE)

    assert ["call_x", "5"] == [c.id for d in (own, number) for c in d.response.tool_calls]
    assert [("", "f"), ("", "f")] == [(c.id, c.name) for c in none.response.tool_calls]


def test_the_chunks_of_a_call() -> None:
    """A call is told when its line comes, before the end."""
    decoded = said(called({"name": "f", "arguments": {}}), DONE)

    assert ["tool_call_start", "tool_call", "step_finish"] == [c.type for c in decoded.chunks]


@pytest.mark.parametrize(
    ("reason", "calls", "expected"),
    [
        ("stop", False, "stop"),
        ("length", False, "length"),
        ("load", False, "other"),
        ("unload", False, "other"),
        ("new", False, "other"),
        (None, False, "other"),
        (5, False, "other"),
        ("stop", True, "tool_calls"),
        (None, True, "tool_calls"),
        ("length", True, "length"),
    ],
)
def test_finish_reasons(reason: object, calls: bool, expected: str) -> None:
    """Ours for Ollama's, which is kept; it says "stop" where it calls tools, too."""
    decoded = said(*([called({"name": "f"})] if calls else []), {**DONE, "done_reason": reason})

    assert expected == decoded.response.finish_reason
    assert (reason if isinstance(reason, str) else None) == decoded.response.raw_finish_reason


COUNTS = {"prompt_eval_count": 5, "eval_count": 2}
TIMES = {"total_duration": 40, "load_duration": 10, "prompt_eval_duration": 9, "eval_duration": 20}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            {**COUNTS, **TIMES},
            Usage(prompt_tokens=5, completion_tokens=2, total_tokens=7, raw={**COUNTS, **TIMES}, source="reported"),
        ),
        ({"eval_count": 2}, Usage(completion_tokens=2, total_tokens=2, raw={"eval_count": 2}, source="reported")),
        (TIMES, Usage(raw=TIMES)),
        ({"eval_count": -1, "prompt_eval_count": "5"}, Usage(raw={"eval_count": -1, "prompt_eval_count": "5"})),
        ({}, Usage()),
    ],
)
def test_usage(raw: dict[str, Any], expected: Usage) -> None:
    """The counts of the last line; nothing is made up where there are none."""
    assert expected == said(line("Hi"), {**DONE, **raw}).response.usage


def test_metadata() -> None:
    """The model that answered, the durations in nanoseconds, and whatever else nobody knows."""
    decoded = said(line("Hi"), {**DONE, **COUNTS, **TIMES, "remote_host": "https://ollama.com", "images": None})

    assert "m-1" == decoded.response.response.model
    assert {**TIMES, "remote_host": "https://ollama.com"} == decoded.response.response.provider_metadata


def test_log_probabilities() -> None:
    """They go with the text, or with the thinking, of their line; a line may have nothing else."""
    probable = [{"token": "Hi", "logprob": -0.1}]
    lines = [{**line("Hi"), "logprobs": probable}, {**line("", thinking="Hm"), "logprobs": probable}]
    decoded = said(*lines, {**line(""), "logprobs": probable}, {**line("."), "logprobs": []}, DONE)

    assert [("text", "Hi", True), ("thinking", "Hm", True), ("text", "", True), ("text", ".", False)] == [
        (c.type, c.content, c.metadata.get("logprobs") == probable) for c in decoded.chunks[:4]
    ]


@pytest.mark.parametrize("lines", [[], [line("Hi")], [line("Hi"), {"done": 1}], [line("Hi"), {"done": "true"}], ["5"]])
def test_truncated_answers(lines: list[Any]) -> None:
    """Without a line that is done no answer is complete."""
    decoded = said(*lines)

    assert isinstance(decoded.error, StreamTruncated)
    assert "cut off" in str(decoded.error)


def test_what_follows_the_last_line_is_not_read() -> None:
    """The answer is complete at once."""
    assert "Hi" == said(line("Hi"), DONE, line("more"), "{").response.text
    assert "Hi" == said([line("Hi"), DONE, line("more")]).response.text


@pytest.mark.parametrize(
    ("sent", "error", "says"),
    [
        ({"error": "unexpected EOF"}, ProviderError, "unexpected EOF"),
        ({"error": "busy", "status": 503}, Overloaded, "503: busy"),
        ({"error": "odd", "status": 7}, ProviderError, "odd"),
        ({"error": {"message": "Slow", "type": "rate_limit_error"}}, RateLimited, "Slow"),
        ({"error": "boom", "done": True}, ProviderError, "boom"),
        ({"error": True}, ProviderError, "without a message"),
        ({"error": ["x"]}, ProviderError, "x"),
        ({"message": "no Route matched"}, ProviderError, "no Route matched"),
        ({"detail": "boom"}, ProviderError, "boom"),
        ({"code": 500, "msg": "boom"}, ServerError, "boom"),
        ([{"error": {"message": "boom"}}], ProviderError, "boom"),
        ({**line("lo"), "error": "late", "status": 500}, ServerError, "late"),
    ],
)
def test_error_lines(sent: object, error: type[ProviderError], says: str) -> None:
    """An error in the stream ends it, as the class of its status, after what came before and beside it."""
    decoded = said(line("Hel"), sent, line("!"), DONE)

    assert isinstance(decoded.error, error)
    assert says in str(decoded.error)
    assert ("Hello" if says == "late" else "Hel") == decoded.response.text


@pytest.mark.parametrize(
    "bad",
    [
        "not json",
        "<html>",
        '{"model":',
        '{"a":' * 100_000,
        '{"a":' + "9" * 5000 + "}",
        line(5),
        line({"a": 1}),
        line(["x"]),
        line("", thinking=True),
        {"response": 5},
    ],
)
def test_lines_that_cannot_be_understood(bad: object) -> None:
    """A line that cannot be read, or whose text is none, is an error: an answer with a hole must not look whole."""
    decoded = said(line("Hel"), bad, line("lo"), DONE)

    assert isinstance(decoded.error, DecodeError)
    assert "Hel" == decoded.response.text
    assert len(decoded.error.event) <= 2001


@pytest.mark.parametrize("half", ['{"model":"m-1","mess', "{", '{"error":"x'])
def test_a_last_line_that_is_cut_off(half: str) -> None:
    """The body ended, and not where it should: that is a truncation, not nonsense."""
    assert isinstance(said(line("Hel"), half).error, StreamTruncated)


@pytest.mark.parametrize("depth", [500, 900, 3000, 20_000])
def test_deep_nesting(depth: int) -> None:
    """Arguments nested as deep as the parser just bears give an answer or one of our errors."""
    nested = '{"a":' * depth + "1" + "}" * depth
    call = '{"function":{"name":"f","arguments":' + nested + "}}"
    decoded = said('{"message":{"tool_calls":[' + call + '],"new":' + nested + "}}", DONE)

    assert decoded.error is None or isinstance(decoded.error, DecodeError)


# -- anything at all

_NAMES = st.sampled_from(
    ["model", "created_at", "message", "response", "content", "thinking", "tool_calls", "function", "name", "id",
     "arguments", "done", "done_reason", "error", "status", "logprobs", "eval_count", "total_duration", "new"]
)  # fmt: skip
_TEXTS = st.sampled_from(["", "Hi", "{", "{}", '{"a":1}', "stop", "length", "\x00", "é", "\ud83d", "\ude00"])
_ATOMS = st.none() | st.booleans() | st.integers(-1, 2) | st.floats() | st.just(10**400) | _TEXTS
_VALUES = st.recursive(
    _ATOMS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=8,
)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object with some of these fields, or any value in its place."""
    return st.fixed_dictionaries({}, optional=fields) | _VALUES


_CALLS = st.lists(_some(id=_TEXTS, function=_some(name=_TEXTS, arguments=_VALUES)), max_size=3) | _VALUES
_MESSAGES = _some(role=_TEXTS, content=_TEXTS | _VALUES, thinking=_TEXTS | _VALUES, tool_calls=_CALLS, x=_VALUES)
_LINES = st.lists(
    st.builds(
        json.dumps,
        _some(
            model=_TEXTS,
            created_at=_VALUES,
            message=_MESSAGES,
            done=st.booleans() | _VALUES,
            done_reason=_VALUES,
            eval_count=_VALUES,
            error=_VALUES,
            logprobs=_VALUES,
        ),
    )
    | st.builds(lambda text, thinking: json.dumps(line(text, **thinking), separators=(",", ":")), _TEXTS,
                st.just({}) | st.fixed_dictionaries({"thinking": _TEXTS}))
    | st.sampled_from(["", "x", "{", "{}", json.dumps(DONE)]),
    max_size=6,
)  # fmt: skip


@PROPERTY
@given(_LINES)
def test_nothing_but_our_errors_comes_out(lines: list[str]) -> None:
    """Whatever a server sends, decoding gives well-formed chunks, without gaps, that fold, or an error of ours."""
    decoded = decode_events(OLLAMA, [[Event(line)] for line in lines])

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
@given(_LINES)
def test_the_quick_way_gives_what_the_ordinary_one_gives(lines: list[str]) -> None:
    """Reading lines in the server's own spelling without parsing them changes nothing that comes out."""
    quick = decode_events(OLLAMA, [[Event(line) for line in lines]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ollama, "_plain", lambda line: None)
        ordinary = decode_events(OLLAMA, [[Event(line)] for line in lines])

    assert repr((ordinary.chunks, ordinary.error)) == repr((quick.chunks, quick.error))


def test_headers_of_the_users_own() -> None:
    """They win over ours, whatever their case."""
    sent = OLLAMA.codec.encode(asked(headers={"accept": "x/y", "X-Trace": "1"}), OLLAMA)
    shown: Mapping[str, str] = sent.headers

    assert ("x/y", "1") == (shown["accept"], shown["X-Trace"])
    assert "Accept" not in shown
