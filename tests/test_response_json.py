"""Responses as JSON and back."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest

from streamkit import ConfigError
from streamkit.response_json import response_from_json, response_to_json
from streamkit.types import (
    ChatResponse,
    Message,
    ResponseInfoFields,
    Source,
    Step,
    ThinkingPart,
    ToolCall,
    ToolResult,
    Usage,
)
from streamkit.types.messages import RawPart, ToolCallPart, ToolResultPart

USAGE = Usage(prompt_tokens=5, completion_tokens=7, total_tokens=12, raw={"a": {"b": [1, None]}}, source="reported")
INFO = ResponseInfoFields(id="r1", model="m", provider_metadata={"fingerprint": "fp", "logprobs": [-0.5]})
SOURCE = Source(url="https://example.com", title="T", metadata={"start": 3})
CALL = ToolCall(id="c1", name="f", input='{"a": 1}', arguments={"a": 1})
STEP = Step(
    text="Grün 🎨",
    thinking="Hm.",
    tool_calls=(CALL, ToolCall(id="c2", name="g", input='{"a"', complete=False)),
    tool_results=(ToolResult(tool_call_id="c1", tool_name="f", output="no", is_error=True, elapsed=0.25),),
    usage=USAGE,
    finish_reason="tool_calls",
    response=INFO,
    provider_metadata=INFO.provider_metadata,
    sources=(SOURCE,),
)
FULL = ChatResponse(
    text="Grün 🎨",
    thinking="Hm.",
    tool_calls=STEP.tool_calls,
    steps=(STEP, STEP),
    usage=USAGE,
    total_usage=USAGE + USAGE,
    finish_reason="tool_calls",
    raw_finish_reason="tool_use",
    response=INFO,
    provider_metadata={"anthropic": {"x": 1}},
    sources=(SOURCE, SOURCE),
    messages=(
        Message(
            role="assistant",
            content=[
                ThinkingPart(text="Hm.", signature="s", provider="anthropic"),
                RawPart(provider="anthropic", block={"type": "server_tool_use"}),
                ToolCallPart(id="c1", name="f", input='{"a": 1}'),
            ],
        ),
        Message(role="tool", content=[ToolResultPart(tool_call_id="c1", tool_name="f", output="no", is_error=True)]),
    ),
    complete=True,
    stop_cause="max_steps",
)


@pytest.mark.parametrize("response", [FULL, ChatResponse(), ChatResponse(text="half")], ids=["full", "empty", "half"])
def test_there_and_back(response: ChatResponse) -> None:
    """Everything a response has."""
    written = json.dumps(response_to_json(response))

    assert response == response_from_json(json.loads(written))


def test_defaults_are_left_out() -> None:
    """An answer takes little more room than its text."""
    assert {"text": "Hi", "complete": True} == response_to_json(ChatResponse(text="Hi", complete=True))


def test_metadata_that_is_no_json_comes_out_as_text() -> None:
    """A provider of the user's own may put anything there."""
    odd: Any = {"when": 3 + 4j, "many": MappingProxyType({"a": 1})}
    response = ChatResponse(response=ResponseInfoFields(provider_metadata=odd))
    read = response_from_json(json.loads(json.dumps(response_to_json(response))))

    assert {"when": "(3+4j)", "many": {"a": 1}} == read.response.provider_metadata


@pytest.mark.parametrize(
    "written",
    [
        {"words": "x"},
        {"usage": {"tokens": 1}},
        {"steps": [{"text": "x"}]},
        {"steps": [1]},
        {"tool_calls": 7},
        {"messages": {"version": 9, "messages": []}},
        [],
    ],
)
def test_what_is_something_else_is_told(written: Any) -> None:
    """With a ConfigError, whatever is wrong with it."""
    with pytest.raises(ConfigError):
        response_from_json(written)
