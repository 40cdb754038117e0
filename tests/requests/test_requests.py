"""Requests as the official SDKs send them for the same calls: what streamkit sends is the same, but for what is listed.

The SDKs' requests were recorded by `record.py` beside this file and lie in `API/CASE.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs
import pytest

from streamkit import providers
from streamkit.codec import HttpRequest
from streamkit.types import (
    ChatRequest,
    FilePart,
    ImagePart,
    Message,
    RawPart,
    ResponseFormat,
    TextPart,
    ThinkingPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
    assistant,
    system,
    user,
)

KEY = "test-key"
PNG, PDF = b"\x89PNG\r\n\x1a\n", b"%PDF-1.7"
IMAGE_URL, PDF_URL = "https://example.com/cat.png", "https://example.com/report.pdf"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = (Tool(name="weather", description="The weather.", parameters=CITY), Tool(name="now"))
ANSWER = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "year": {"type": "integer"}},
    "required": ["name", "year"],
    "additionalProperties": False,
}
TITLED = {  # as pydantic writes it
    "type": "object",
    "title": "answer",
    "properties": {"name": {"type": "string", "title": "Name"}, "year": {"type": "integer", "title": "Year"}},
    "required": ["name", "year"],
    "additionalProperties": False,
}

HELLO = (user("Hello"),)
ASKED = user("Is it warm in Paris?")
CALL = ToolCallPart(id="c1", name="weather", input='{"city": "Paris"}')
RESULT = ToolResultPart(tool_call_id="c1", output="24 degrees")
IMAGE = ImagePart(data=PNG)
REPORT = FilePart(data=PDF, name="report.pdf")
SETTINGS = {"temperature": 0.5, "top_p": 0.9, "max_tokens": 100, "stop": ("END", "\n\n"), "seed": 7,
            "frequency_penalty": 0.1, "presence_penalty": -0.2, "logprobs": 3}  # fmt: skip


def told(result: ToolResultPart) -> Message:
    """A tool's result."""
    return Message(role="tool", content=[result])


def asked(model: str, *messages: Message, **fields: Any) -> ChatRequest:
    """A request with these messages, or a greeting."""
    return ChatRequest(model=model, messages=messages or HELLO, **fields)


def shaped(schema: Mapping[str, Any]) -> ResponseFormat:
    """An answer of this schema."""
    return ResponseFormat(type="schema", schema=schema)


JSON = ResponseFormat(type="json")


def chat_calls(model: str = "gpt-4o") -> dict[str, ChatRequest]:
    """The calls of chat completions."""
    look = user(["Look:", ImagePart(url=IMAGE_URL), attrs.evolve(IMAGE, detail="low"), REPORT])
    return {
        "plain": asked(model),
        "system": asked(model, system("Be brief."), *HELLO),
        "settings": asked(model, **SETTINGS),
        "reasoning": asked("o4-mini", reasoning_effort="low", max_tokens=100),
        "parts": asked(model, look),
        "tools": asked(model, tools=TOOLS, tool_choice="required", parallel_tool_calls=False),
        "tool-by-name": asked(model, tools=TOOLS, tool_choice="weather"),
        "tool-result": asked(model, ASKED, assistant(["I look.", CALL]), told(RESULT), tools=TOOLS),
        "json": asked(model, response_format=JSON),
        "schema": asked(model, response_format=shaped(ANSWER)),
        "schema-of-a-model": asked(model, response_format=shaped(TITLED)),
        "options": asked(model, provider_options={"user": "u1", "metadata": {"a": "b"}, "service_tier": "flex"}),
    }


def responses_calls(model: str = "gpt-4o") -> dict[str, ChatRequest]:
    """The calls of the Responses API."""
    reasons = "gpt-5-mini"
    files = [REPORT, FilePart(url=PDF_URL, name="report.pdf")]
    look = user(["Look:", ImagePart(url=IMAGE_URL), attrs.evolve(IMAGE, detail="low"), *files])
    shown = attrs.evolve(RESULT, output="The map:", images=(ImagePart(url=IMAGE_URL),))
    thought = ThinkingPart(text="Hm.", signature="sig")
    settings = {name: SETTINGS[name] for name in ("temperature", "top_p", "max_tokens", "logprobs")}
    return {
        "plain": asked(model),
        "system": asked(model, system("Be brief."), *HELLO),
        "settings": asked(model, **settings),
        "reasoning": asked(reasons, reasoning_effort="low", thinking=True),
        "parts": asked(model, look),
        "tools": asked(model, tools=TOOLS, tool_choice="required", parallel_tool_calls=False),
        "tool-by-name": asked(model, tools=TOOLS, tool_choice="weather"),
        "tool-result": asked(model, ASKED, assistant(["I look.", CALL]), told(RESULT), tools=TOOLS),
        "tool-result-with-image": asked(model, user("Where is Paris?"), assistant(CALL), told(shown), tools=TOOLS),
        "thinking-back": asked(reasons, ASKED, assistant([thought, CALL]), told(RESULT), tools=TOOLS),
        "json": asked(model, response_format=JSON),
        "schema": asked(model, response_format=shaped(ANSWER)),
        "schema-of-a-model": asked(model, response_format=shaped(TITLED)),
        "options": asked(model, provider_options={"service_tier": "flex", "truncation": "auto", "store": True}),
    }


def messages_calls(model: str = "claude-haiku-4-5") -> dict[str, ChatRequest]:
    """The calls of Anthropic's messages."""

    def call(*messages: Message, **fields: Any) -> ChatRequest:
        return asked(model, *messages, **{"max_tokens": 1000, **fields})

    look = user(
        [
            "Look:",
            ImagePart(url=IMAGE_URL),
            attrs.evolve(IMAGE, cache=True),
            attrs.evolve(REPORT, citations=True),
            FilePart(url=PDF_URL, name="report.pdf"),
            FilePart(data=b"The notes.", name="notes.txt"),
        ]
    )
    shown = attrs.evolve(RESULT, output="The map:", images=(IMAGE,), cache=True)
    failed = attrs.evolve(RESULT, output="no such city", is_error=True)
    thoughts = [ThinkingPart(text="Hm.", signature="sig"), ThinkingPart(redacted="xyz")]
    search = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "Paris"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}
    searched = assistant([*(RawPart(provider="anthropic", block=block) for block in (search, found)), "Yes."])
    web = {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}
    thinks: dict[str, Any] = {"thinking_budget": 2000, "max_tokens": 3000}
    return {
        "plain": call(),
        "system": call(system("Be brief."), *HELLO),
        "settings": call(temperature=0.5, top_k=40, stop=("END", "\n\n#")),
        "thinking": call(**thinks),
        "adaptive-thinking": asked("claude-opus-4-8", thinking=True, reasoning_effort="high", max_tokens=3000),
        "parts": call(look),
        "caching": call(system("Be brief."), *HELLO, tools=TOOLS, prompt_caching=True),
        "caching-of-a-part": call(user([TextPart(text="Long.", cache=True), "Short."])),
        "tools": call(tools=TOOLS, tool_choice="required", parallel_tool_calls=False),
        "tool-by-name": call(tools=TOOLS, tool_choice="weather"),
        "tool-result": call(ASKED, assistant(["I look.", CALL]), told(RESULT), tools=TOOLS),
        "tool-result-with-image": call(ASKED, assistant(CALL), told(shown), tools=TOOLS),
        "tool-failed": call(ASKED, assistant(CALL), told(failed), tools=TOOLS),
        "thinking-back": call(ASKED, assistant([*thoughts, CALL]), told(RESULT), tools=TOOLS, **thinks),
        "server-tools-back": call(ASKED, searched, user("Thanks"), provider_options=web),
        "schema": call(response_format=shaped(ANSWER)),
        "schema-of-a-model": call(response_format=shaped(TITLED)),
        "options": call(provider_options={"metadata": {"user_id": "u1"}, "service_tier": "auto"}),
    }


def gemini_calls(model: str = "gemini-2.5-flash") -> dict[str, ChatRequest]:
    """The calls of Gemini."""
    third = "gemini-3-pro-preview"
    signed = attrs.evolve(CALL, signature="c2ln")
    failed = attrs.evolve(RESULT, output="no such city", is_error=True)
    safety = {"safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]}
    return {
        "plain": asked(model),
        "system": asked(model, system("Be brief."), *HELLO),
        "settings": asked(model, **SETTINGS, top_k=40),
        "thinking": asked(model, thinking_budget=2000),
        "reasoning": asked(third, thinking=True, reasoning_effort="low"),
        "parts": asked(model, user(["Look:", ImagePart(url=IMAGE_URL), IMAGE, REPORT])),
        "tools": asked(model, tools=TOOLS, tool_choice="required"),
        "tool-by-name": asked(model, tools=TOOLS, tool_choice="weather"),
        "tool-result": asked(model, ASKED, assistant(["I look.", CALL]), told(RESULT), tools=TOOLS),
        "tool-failed": asked(model, ASKED, assistant(CALL), told(failed), tools=TOOLS),
        "thinking-back": asked(third, ASKED, assistant(signed), told(RESULT), tools=TOOLS),
        "json": asked(model, response_format=JSON),
        "schema": asked(model, response_format=shaped(ANSWER)),
        "options": asked(model, provider_options=safety),
    }


CALLS = {
    "anthropic": messages_calls(),
    "gemini": gemini_calls(),
    "openai_chat": chat_calls(),
    "openai_responses": responses_calls(),
}
PROVIDERS = {
    "anthropic": ("Anthropic", "https://api.anthropic.com"),
    "gemini": ("Gemini", "https://generativelanguage.googleapis.com"),
    "openai_chat": ("OpenAI", "https://api.openai.com/v1"),
    "openai_responses": ("OpenAIResponses", "https://api.openai.com/v1"),
}


# -- what is different, and why


@attrs.frozen
class Different:
    """What the SDK sends and what streamkit sends at one place, and the reason; `ABSENT` for nothing."""

    theirs: Any
    ours: Any
    why: str


ABSENT = "(absent)"

_USAGE = Different(ABSENT, {"include_usage": True}, "usage is always asked for")
_STORE = Different(ABSENT, False, "nothing is kept at the provider unless it is asked for")
_NO_CONFIG = Different({}, ABSENT, "the SDK sends an empty object")

IN_ALL: dict[str, dict[str, Different]] = {
    "anthropic": {
        "header anthropic-version": Different("2026-10-21", "2023-06-01", "the newer knows no temperature and top_k"),
        "header authorization": Different("Bearer test-key", ABSENT, "the key goes as x-api-key, which gateways know"),
        "header x-api-key": Different(ABSENT, KEY, "the key goes as x-api-key, which gateways know"),
    },
    "gemini": {
        "path version": Different(
            "v1", "v1beta", "the version that the API's reference names; v1 came to the SDK in 2026"
        )
    },
    "openai_chat": {"$.stream_options": _USAGE},
    "openai_responses": {},
}
"""Differences of every call of an API."""

IN_ONE: dict[tuple[str, str], dict[str, Different]] = {
    ("anthropic", "schema-of-a-model"): {
        "$.messages[0].content": Different("Hello", [{"type": "text", "text": "Hello"}], "text is always in blocks"),
    },
    **{
        ("gemini", name): {"$.generationConfig": _NO_CONFIG}
        for name in ("options", "system", "thinking-back", "tool-by-name", "tool-failed", "tool-result", "tools")
    },
    ("openai_responses", "plain"): {"$.store": _STORE},
    ("openai_responses", "schema-of-a-model"): {"$.store": _STORE},
    ("openai_responses", "tool-result"): {
        "$.input[1].type": Different("(absent)", "message", "llama.cpp takes an assistant's message for nothing else"),
    },
}
"""Differences of one call."""

NOT_IN_ONE = {("openai_chat", "system"): ["$.stream_options"]}
"""Calls in which the SDK was asked to send what streamkit always sends."""


# -- the comparison


RECORDED = [
    (path.parent.name, path.stem, json.loads(path.read_text("utf-8")))
    for path in sorted(Path(__file__).parent.glob("*/*.json"))
]
"""API, name of the call, and the request of the SDK."""


def test_every_call_was_recorded() -> None:
    """What is compared below is all that is recorded, and the other way round."""
    assert {(api, name) for api, calls in CALLS.items() for name in calls} == {one[:2] for one in RECORDED}


@pytest.mark.parametrize(("api", "name", "recorded"), RECORDED, ids=["/".join(one[:2]) for one in RECORDED])
def test_requests_are_as_the_sdks_send_them(api: str, name: str, recorded: dict[str, Any]) -> None:
    """Path, query, headers and body are the same as the SDK's, but for the differences listed above."""
    provider = made(api)
    ours = flat(provider.codec.encode(CALLS[api][name], provider))
    listed = {**IN_ALL[api], **IN_ONE.get((api, name), {})}
    expected = {
        place: (one.theirs, one.ours) for place, one in listed.items() if place not in NOT_IN_ONE.get((api, name), [])
    }

    assert expected == differences(in_camel_case(recorded) if api == "gemini" else recorded, ours)


def made(api: str) -> Any:
    """The provider of an API; skips where there is none yet."""
    name, base_url = PROVIDERS[api]
    if name not in providers.__all__:
        pytest.skip(f"there is no streamkit.providers.{name}")
    return getattr(providers, name)(KEY, base_url=base_url)


def flat(request: HttpRequest) -> dict[str, Any]:
    """A request of ours in the form of the recordings."""
    url = urlsplit(request.url)
    secrets = {name: secret.expose() for name, secret in request.secrets.items()}
    return {
        "method": request.method,
        "path": url.path,
        "query": dict(parse_qsl(url.query)),
        "headers": {name.lower(): value for name, value in {**request.headers, **secrets}.items()},
        "body": json.loads(request.body),
    }


_COMPARED_HEADERS = ("anthropic-version", "authorization", "content-type", "x-api-key", "x-goog-api-key")


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What is different, by its place."""
    found = {
        f"header {name}": pair
        for name in _COMPARED_HEADERS
        if (pair := (theirs["headers"].get(name, ABSENT), ours["headers"].get(name, ABSENT)))[0] != pair[1]
    }
    version, other = (re.match(r"/(v\w+)(/.*)", one["path"]) for one in (theirs, ours))
    assert version is not None
    assert other is not None
    if version[1] != other[1]:
        found["path version"] = (version[1], other[1])
    assert (theirs["method"], version[2], theirs["query"]) == (ours["method"], other[2], ours["query"])
    return found | dict(_different(theirs["body"], ours["body"], "$"))


def _different(theirs: Any, ours: Any, path: str) -> Iterator[tuple[str, tuple[Any, Any]]]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in {**theirs, **ours}:
            yield from _different(theirs.get(name, ABSENT), ours.get(name, ABSENT), f"{path}.{name}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for i, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            yield from _different(one, other, f"{path}[{i}]")
    elif theirs != ours:
        yield path, (theirs, ours)


def in_camel_case(value: Any) -> Any:
    """JSON with its names in camel case: Google's SDK writes some in snake case, and its API reads both alike."""
    if isinstance(value, dict):
        return {re.sub("_([a-z])", lambda found: found[1].upper(), name): in_camel_case(v) for name, v in value.items()}
    return [in_camel_case(one) for one in value] if isinstance(value, list) else value
