"""Messages as JSON text and back, whole: every kind of part, bytes in base64."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from streamkit import lazy_attrs as attrs
from streamkit.errors import ConfigError, printable
from streamkit.types import messages as parts
from streamkit.types.messages import Message

__all__ = ["messages_from_json", "messages_to_json"]

_VERSION = 1
_KINDS: Mapping[str, Any] = {
    "text": parts.TextPart,
    "image": parts.ImagePart,
    "file": parts.FilePart,
    "thinking": parts.ThinkingPart,
    "tool_call": parts.ToolCallPart,
    "tool_result": parts.ToolResultPart,
    "raw": parts.RawPart,
}
_NAMES = {cls: name for name, cls in _KINDS.items()}


def messages_to_json(messages: tuple[Message, ...]) -> str:
    """Write messages; `ConfigError` where a raw block holds what is no JSON."""
    document = {"version": _VERSION, "messages": [_message(message) for message in messages]}
    try:
        return json.dumps(document, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as e:
        raise ConfigError(f"the messages cannot be written as JSON: {printable(str(e), 200)}") from e


def messages_from_json(text: str) -> tuple[Message, ...]:
    """Read what `messages_to_json` wrote; `ConfigError` where it is something else."""
    try:
        document = json.loads(text)
        if document["version"] != _VERSION:
            raise ConfigError(f"messages of version {document['version']!r}: this streamkit reads version {_VERSION}")
        return tuple(_read_message(one) for one in document["messages"])
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as e:
        raise ConfigError(f"this is no history as to_json() writes it: {printable(repr(e), 200)}") from e


def _message(message: Message) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.role, "content": [_part(part) for part in message.content]}
    return written if message.complete else {**written, "complete": False}


def _part(part: Any) -> dict[str, Any]:
    """Its fields that are not as by default."""
    written: dict[str, Any] = {"type": _NAMES[type(part)]}
    for field in attrs.fields(type(part)):
        value = getattr(part, field.name)
        if value == field.default:
            continue
        if isinstance(value, bytes):
            value = base64.b64encode(value).decode("ascii")
        elif isinstance(value, tuple):
            value = [_part(one) if type(one) in _NAMES else _plain(one) for one in value]
        written[field.name] = _plain(value)
    return written


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _read_message(written: Mapping[str, Any]) -> Message:
    content = [_read_part(part) for part in written["content"]]
    return Message(role=written["role"], content=content, complete=written.get("complete", True))


def _read_part(written: Mapping[str, Any]) -> Any:
    values = dict(written)
    cls = _KINDS[values.pop("type")]
    if isinstance(values.get("data"), str):
        values["data"] = base64.b64decode(values["data"], validate=True)
    if "images" in values:
        values["images"] = tuple(_read_part(one) for one in values["images"])
    if isinstance(values.get("citations"), list):
        values["citations"] = tuple(values["citations"])
    return cls(**values)
