"""The providers: classes that make one of a key and an address, each a `Provider` of `streamkit.codec`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamkit.providers.anthropic import Anthropic
    from streamkit.providers.local import Local
    from streamkit.providers.openai_chat import OpenAI, OpenAICompatible

__all__ = ["Anthropic", "Local", "OpenAI", "OpenAICompatible"]

_HOMES = {
    "Anthropic": "anthropic",
    "Local": "local",
    "OpenAI": "openai_chat",
    "OpenAICompatible": "openai_chat",
}


def __getattr__(name: str) -> Any:
    # Each is imported with its first use: a program that streams from one does not pay for the others.
    if name in _HOMES:
        return getattr(importlib.import_module(f"streamkit.providers.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
