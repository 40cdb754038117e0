"""A ChatResponse as JSON data and back, whole; its messages are written as a conversation's are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from streamkit import lazy_attrs as attrs
from streamkit.errors import ConfigError, printable
from streamkit.history import messages_from_json, messages_to_json
from streamkit.types.chunks import ResponseInfoFields, Source
from streamkit.types.defaults import differs
from streamkit.types.messages import Message
from streamkit.types.response import ChatResponse, Step, ToolCall, ToolResult
from streamkit.types.usage import Usage

__all__ = ["response_from_json", "response_to_json"]


def response_to_json(response: ChatResponse) -> dict[str, Any]:
    """Give it as data that `json.dumps` takes, fields that are as by default left out.

    What is no JSON in a provider's metadata comes out as its text, and a tuple there as a list.
    """
    bare = attrs.evolve(response, messages=())
    written = attrs.asdict(bare, filter=differs, value_serializer=_plain)
    if response.messages:
        written["messages"] = json.loads(messages_to_json(response.messages))
    return written


def response_from_json(written: Mapping[str, Any]) -> ChatResponse:
    """Read what `response_to_json` gave; `ConfigError` where it is something else."""
    try:
        return ChatResponse(**{name: _READERS.get(name, _itself)(value) for name, value in written.items()})
    except (AttributeError, KeyError, TypeError, ValueError) as e:
        raise ConfigError(f"this is no answer as response_to_json() gives it: {printable(repr(e), 200)}") from e


def _plain(instance: Any, attribute: Any, value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float, list, tuple, dict)) or attrs.has(type(value)):
        return value
    return dict(value) if isinstance(value, Mapping) else str(value)


def _itself(value: Any) -> Any:
    return value


def _usage(written: Mapping[str, Any]) -> Usage:
    return Usage(**written)


def _info(written: Mapping[str, Any]) -> ResponseInfoFields:
    return ResponseInfoFields(**written)


def _sources(written: list[Any]) -> tuple[Source, ...]:
    return tuple(Source(**source) for source in written)


def _calls(written: list[Any]) -> tuple[ToolCall, ...]:
    return tuple(ToolCall(**call) for call in written)


def _results(written: list[Any]) -> tuple[ToolResult, ...]:
    return tuple(ToolResult(**result) for result in written)


def _steps(written: list[Any]) -> tuple[Step, ...]:
    return tuple(Step(**{name: _READERS.get(name, _itself)(value) for name, value in step.items()}) for step in written)


def _messages(written: Mapping[str, Any]) -> tuple[Message, ...]:
    return messages_from_json(json.dumps(written))


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "messages": _messages,
    "response": _info,
    "sources": _sources,
    "steps": _steps,
    "tool_calls": _calls,
    "tool_results": _results,
    "total_usage": _usage,
    "usage": _usage,
}
"""How the fields of a response and of its steps are read that are no plain JSON."""
