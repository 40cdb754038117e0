"""The providers: classes that make one of a key and an address, each `Provider` of `streamkit.codec`."""

from streamkit.providers.anthropic import Anthropic
from streamkit.providers.openai_chat import OpenAI, OpenAICompatible

__all__ = ["Anthropic", "OpenAI", "OpenAICompatible"]
