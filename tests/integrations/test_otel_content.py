"""What was asked and answered, in the words of the conventions for generative AI."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamkit.integrations.otel_content import input_messages, output_message, system_instructions, tool_definitions
from streamkit.types.chunks import ResponseInfoFields
from streamkit.types.messages import (
    FilePart,
    ImagePart,
    Message,
    RawPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    assistant,
    system,
    user,
)
from streamkit.types.request import ChatRequest, Tool
from streamkit.types.response import Step, ToolCall
from streamkit.types.usage import Usage

PNG = b"\x89PNG and so on"
IMAGE = {"type": "blob", "modality": "image", "mime_type": "image/png", "size": len(PNG)}


def request_of(*messages: Message, **settings: Any) -> ChatRequest:
    """Give a request of some messages."""
    return ChatRequest(model="m", messages=messages, **settings)


def step_of(text: str, thinking: str, calls: tuple[ToolCall, ...]) -> Step:
    """Give a step in which this was said."""
    return Step(
        text=text,
        thinking=thinking,
        tool_calls=calls,
        tool_results=(),
        usage=Usage(),
        finish_reason="stop",
        response=ResponseInfoFields(),
        provider_metadata={},
    )


def test_instructions_are_apart() -> None:
    """System messages are the instructions, wherever they stand; all others are the input."""
    request = request_of(system("Be brief."), user("Hi"), system("Be kind."))

    assert [{"type": "text", "content": text} for text in ("Be brief.", "Be kind.")] == system_instructions(request)
    assert [{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}] == input_messages(request)
    assert [] == system_instructions(request_of(user("Hi")))


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (ThinkingPart(text="Hm."), {"type": "reasoning", "content": "Hm."}),
        (
            ToolCallPart(id="1", name="f", input='{"a": 1}'),
            {"type": "tool_call", "id": "1", "name": "f", "arguments": {"a": 1}},
        ),
        (
            ToolCallPart(id="1", name="f", input='{"a": '),
            {"type": "tool_call", "id": "1", "name": "f", "arguments": '{"a": '},
        ),
        (
            ImagePart(url="https://x.test/a.png", media_type="image/png"),
            {"type": "uri", "modality": "image", "mime_type": "image/png", "uri": "https://x.test/a.png"},
        ),
        (ImagePart(data=PNG), IMAGE),
        (
            FilePart(data=b"%PDF-1.7", name="a.pdf"),
            {"type": "blob", "modality": "document", "mime_type": "application/pdf", "size": 8},
        ),
        (RawPart(provider="p", block={"type": "server_tool_use", "input": "x"}), {"type": "server_tool_use"}),
    ],
)
def test_parts(part: Any, expected: dict[str, Any]) -> None:
    """Each kind of part has its form; bytes are counted, and blocks of a provider's own are named only."""
    assert [{"role": "assistant", "parts": [expected]}] == input_messages(request_of(assistant([part])))


def test_results_of_tools() -> None:
    """A result is a part of its own, and so is each image that came with it."""
    result = ToolResultPart(tool_call_id="1", output="there", images=(ImagePart(data=PNG),))
    (message,) = input_messages(request_of(Message(role="tool", content=[result])))

    assert {
        "role": "tool",
        "parts": [{"type": "tool_call_response", "id": "1", "response": "there"}, IMAGE],
    } == message


def test_definitions_of_tools() -> None:
    """They are what the model is told of its tools, and can be written as JSON."""
    tool = Tool(name="f", description="Do.", parameters={"type": "object", "properties": {}})
    definitions = tool_definitions(request_of(tools=(tool,)))

    assert [
        {"type": "function", "name": "f", "description": "Do.", "parameters": {"type": "object", "properties": {}}}
    ] == definitions
    assert definitions == json.loads(json.dumps(definitions))


def test_what_a_step_said() -> None:
    """Thinking, text and calls, in this order; what there is none of is left out."""
    call = ToolCall(id="1", name="f", input='{"a": 1}')
    told = output_message(step_of("Well.", "Hm.", (call,)))

    assert ["reasoning", "text", "tool_call"] == [part["type"] for part in told["parts"]]
    assert ("assistant", "stop") == (told["role"], told["finish_reason"])
    assert [] == output_message(step_of("", "", ()))["parts"]
