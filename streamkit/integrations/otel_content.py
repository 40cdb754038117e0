"""What was asked and answered, as the conventions for generative AI write it: for `otel`, where that is wished.

From our values to JSON values. It knows no span, and not OpenTelemetry itself. Of images and files that were sent as
bytes it tells what they are and how many bytes: a span is no place for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from streamkit.errors import DecodeError
from streamkit.jsontext import parse_json
from streamkit.types.messages import (
    FilePart,
    ImagePart,
    Message,
    Part,
    RawPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from streamkit.types.request import ChatRequest
from streamkit.types.response import Step

__all__ = ["input_messages", "output_message", "system_instructions", "tool_definitions"]

Json = dict[str, Any]


def system_instructions(request: ChatRequest) -> list[Json]:
    """Give the parts of the system messages."""
    return [part for message in request.system for part in _parts(message.content)]


def input_messages(request: ChatRequest) -> list[Json]:
    """Give the messages that are not system messages."""
    return [_message(message) for message in request.conversation]


def tool_definitions(request: ChatRequest) -> list[Json]:
    """Give the tools as the model was told of them."""
    return [
        {"type": "function", "name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
        for tool in request.tools
    ]


def output_message(step: Step) -> Json:
    """Give what the model said in a step."""
    calls = [_call(call.id, call.name, call.arguments or call.input) for call in step.tool_calls]
    thinking = [_reasoning(step.thinking)] if step.thinking else []
    text = [_text(step.text)] if step.text else []
    return {"role": "assistant", "parts": [*thinking, *text, *calls], "finish_reason": step.finish_reason}


def _message(message: Message) -> Json:
    return {"role": message.role, "parts": list(_parts(message.content))}


def _parts(parts: Iterable[Part]) -> Iterator[Json]:
    for part in parts:
        if isinstance(part, TextPart):
            yield _text(part.text)
        elif isinstance(part, ThinkingPart):
            yield _reasoning(part.text)
        elif isinstance(part, ToolCallPart):
            yield _call(part.id, part.name, _parsed(part.input))
        elif isinstance(part, ToolResultPart):
            yield {"type": "tool_call_response", "id": part.tool_call_id, "response": part.output}
            yield from _parts(part.images)
        elif isinstance(part, ImagePart):
            yield _attached("image", part)
        elif isinstance(part, FilePart):
            yield _attached("document", part)
        else:
            yield _raw(part)


def _text(text: str) -> Json:
    return {"type": "text", "content": text}


def _reasoning(text: str) -> Json:
    return {"type": "reasoning", "content": text}


def _call(id: str, name: str, arguments: Any) -> Json:
    return {"type": "tool_call", "id": id, "name": name, "arguments": arguments}


def _parsed(text: str) -> Any:
    try:
        return parse_json(text)
    except DecodeError:
        return text


def _attached(modality: str, part: ImagePart | FilePart) -> Json:
    kind = {"modality": modality, "mime_type": part.media_type}
    if part.url is not None:
        return {"type": "uri", **kind, "uri": part.url}
    return {"type": "blob", **kind, "size": len(part.data or b"")}


def _raw(part: RawPart) -> Json:
    return {"type": str(part.block.get("type", "raw"))}
