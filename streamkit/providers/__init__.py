"""The providers: classes that make one of a key and an address, each a `Provider` of `streamkit.codec`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamkit.providers.anthropic import Anthropic
from streamkit.providers.openai_chat import OpenAI, OpenAICompatible

if TYPE_CHECKING:
    from streamkit.providers.local import Local

__all__ = ["Anthropic", "Local", "OpenAI", "OpenAICompatible"]


def __getattr__(name: str) -> Any:
    # With its first use, as it brings along what it takes to run a process.
    if name == "Local":
        from streamkit.providers.local import Local

        return Local
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
