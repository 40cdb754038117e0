"""What tells one request from another: a digest of all that shapes its answer, and of nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from streamkit import lazy_attrs as attrs
from streamkit.client import ChatBuilder
from streamkit.errors import ConfigError, printable
from streamkit.history import messages_to_json
from streamkit.types.defaults import differs
from streamkit.types.request import ChatRequest

__all__ = ["request_digest"]

_APART = ("messages", "tools", "headers", "prompt_caching")
"""Messages and tools are written apart. Headers may hold a key; caching says how the answer is paid, not what it is."""


def request_digest(chat: ChatBuilder) -> str:
    """Give the digest of what a builder asks: of its provider's name, model, messages, tools and settings.

    Address, key, headers, timeouts and retries are no part of it.

    Raises:
        ConfigError: something in it cannot be written as JSON.
    """
    request = chat.request
    asked = {
        "provider": chat.client.provider.name,
        "messages": messages_to_json(request.messages),
        "tools": [[tool.name, tool.description, tool.parameters] for tool in request.tools],
        **{name: value for name, value in _settings(request) if name not in _APART},
    }
    try:
        text = json.dumps(asked, sort_keys=True, default=_written)
    except (TypeError, ValueError, RecursionError) as e:
        raise ConfigError(f"the request cannot be told from others in a checkpoint: {printable(str(e), 200)}") from e
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _settings(request: ChatRequest) -> Iterator[tuple[str, Any]]:
    """What is not as by default: so a setting that a later version adds leaves the digests as they are."""
    for field in attrs.fields(ChatRequest):
        value = getattr(request, field.name)
        if differs(field, value):
            yield field.name, value


def _written(value: Any) -> Any:
    """What JSON does not have: attrs values as dicts, all else as its text."""
    return attrs.asdict(value) if attrs.has(type(value)) else str(value)
