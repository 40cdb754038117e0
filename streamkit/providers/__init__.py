"""The providers: classes that make one of a key and an address, each a `Provider` of `streamkit.codec`.

By name: `get("groq")` makes one, `model("groq:llama-3.3-70b-versatile")` gives a model of one, `names()` are all there
are, those of other packages too: what a package has under the entry-point group `streamkit.providers` is a provider's
name and its class.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from streamkit.errors import ConfigError, printable

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from streamkit.codec import Model, Provider
    from streamkit.providers.anthropic import Anthropic
    from streamkit.providers.cohere import Cohere
    from streamkit.providers.compatible import (
        NVIDIA,
        TGI,
        VLLM,
        XAI,
        ZAI,
        Alibaba,
        AzureOpenAI,
        Cerebras,
        Cloudflare,
        Databricks,
        DeepInfra,
        DeepSeek,
        Fireworks,
        GitHubModels,
        Groq,
        HuggingFace,
        LlamaCpp,
        LMStudio,
        MiniMax,
        Mistral,
        Moonshot,
        OpenRouter,
        Perplexity,
        SambaNova,
        SGLang,
        Snowflake,
        Together,
    )
    from streamkit.providers.compatible_messages import (
        DeepSeekMessages,
        MiniMaxMessages,
        MoonshotMessages,
        OpenRouterMessages,
        ZAIMessages,
    )
    from streamkit.providers.compatible_responses import (
        AzureResponses,
        DeepSeekResponses,
        LMStudioResponses,
        OpenRouterResponses,
        XAIResponses,
    )
    from streamkit.providers.gemini import Gemini, Vertex
    from streamkit.providers.local import Local
    from streamkit.providers.ollama import Ollama
    from streamkit.providers.openai_chat import OpenAI, OpenAICompatible
    from streamkit.providers.openai_responses import OpenAIResponses

__all__ = [
    "NVIDIA",
    "TGI",
    "VLLM",
    "XAI",
    "ZAI",
    "Alibaba",
    "Anthropic",
    "AzureOpenAI",
    "AzureResponses",
    "Cerebras",
    "Cloudflare",
    "Cohere",
    "Databricks",
    "DeepInfra",
    "DeepSeek",
    "DeepSeekMessages",
    "DeepSeekResponses",
    "Fireworks",
    "Gemini",
    "GitHubModels",
    "Groq",
    "HuggingFace",
    "LMStudio",
    "LMStudioResponses",
    "LlamaCpp",
    "Local",
    "MiniMax",
    "MiniMaxMessages",
    "Mistral",
    "Moonshot",
    "MoonshotMessages",
    "Ollama",
    "OpenAI",
    "OpenAICompatible",
    "OpenAIResponses",
    "OpenRouter",
    "OpenRouterMessages",
    "OpenRouterResponses",
    "Perplexity",
    "SGLang",
    "SambaNova",
    "Snowflake",
    "Together",
    "Vertex",
    "XAIResponses",
    "ZAIMessages",
    "find",
    "get",
    "model",
    "names",
]

_HOMES = {
    "Alibaba": "compatible",
    "Anthropic": "anthropic",
    "AzureOpenAI": "compatible",
    "AzureResponses": "compatible_responses",
    "Cerebras": "compatible",
    "Cloudflare": "compatible",
    "Cohere": "cohere",
    "Databricks": "compatible",
    "DeepInfra": "compatible",
    "DeepSeek": "compatible",
    "DeepSeekMessages": "compatible_messages",
    "DeepSeekResponses": "compatible_responses",
    "Fireworks": "compatible",
    "Gemini": "gemini",
    "GitHubModels": "compatible",
    "Groq": "compatible",
    "HuggingFace": "compatible",
    "LMStudio": "compatible",
    "LMStudioResponses": "compatible_responses",
    "LlamaCpp": "compatible",
    "Local": "local",
    "MiniMax": "compatible",
    "MiniMaxMessages": "compatible_messages",
    "Mistral": "compatible",
    "Moonshot": "compatible",
    "MoonshotMessages": "compatible_messages",
    "NVIDIA": "compatible",
    "Ollama": "ollama",
    "OpenAI": "openai_chat",
    "OpenAICompatible": "openai_chat",
    "OpenAIResponses": "openai_responses",
    "OpenRouter": "compatible",
    "OpenRouterMessages": "compatible_messages",
    "OpenRouterResponses": "compatible_responses",
    "Perplexity": "compatible",
    "SGLang": "compatible",
    "SambaNova": "compatible",
    "Snowflake": "compatible",
    "TGI": "compatible",
    "Together": "compatible",
    "VLLM": "compatible",
    "Vertex": "gemini",
    "XAI": "compatible",
    "XAIResponses": "compatible_responses",
    "ZAI": "compatible",
    "ZAIMessages": "compatible_messages",
}

_NAMES = {
    "openai": "OpenAI",
    "openai-responses": "OpenAIResponses",
    "anthropic": "Anthropic",
    "gemini": "Gemini",
    "vertex": "Vertex",
    "cohere": "Cohere",
    "groq": "Groq",
    "mistral": "Mistral",
    "deepseek": "DeepSeek",
    "deepseek-anthropic": "DeepSeekMessages",
    "deepseek-responses": "DeepSeekResponses",
    "xai": "XAI",
    "xai-responses": "XAIResponses",
    "openrouter": "OpenRouter",
    "openrouter-anthropic": "OpenRouterMessages",
    "openrouter-responses": "OpenRouterResponses",
    "perplexity": "Perplexity",
    "together": "Together",
    "fireworks": "Fireworks",
    "cerebras": "Cerebras",
    "deepinfra": "DeepInfra",
    "sambanova": "SambaNova",
    "nvidia": "NVIDIA",
    "moonshot": "Moonshot",
    "moonshot-anthropic": "MoonshotMessages",
    "zai": "ZAI",
    "zai-anthropic": "ZAIMessages",
    "minimax": "MiniMax",
    "minimax-anthropic": "MiniMaxMessages",
    "alibaba": "Alibaba",
    "azure": "AzureOpenAI",
    "azure-responses": "AzureResponses",
    "databricks": "Databricks",
    "cloudflare": "Cloudflare",
    "snowflake": "Snowflake",
    "huggingface": "HuggingFace",
    "github": "GitHubModels",
    "ollama": "Ollama",
    "vllm": "VLLM",
    "sglang": "SGLang",
    "llamacpp": "LlamaCpp",
    "lmstudio": "LMStudio",
    "lmstudio-responses": "LMStudioResponses",
    "tgi": "TGI",
    "local": "Local",
}
"""The classes by their providers' names, in the order in which the command line looks for a key."""


def get(name: str, **settings: Any) -> Provider:
    """Make the provider of this name, such as "groq", with what its class takes: `api_key`, `base_url` and others.

    Raises:
        ConfigError: there is none of this name, or it cannot be made: no key is found, for example.
    """
    made: Provider = find(name)(**settings)
    return made


def find(name: str) -> Callable[..., Provider]:
    """Give the class of this name's provider, or what another package has in its place; `ConfigError` if there is none.

    Our own names come first: no other package can take one.
    """
    if name in _NAMES:
        found: Callable[..., Provider] = getattr(importlib.import_module(__name__), _NAMES[name])
        return found
    for entry_point in _entry_points():
        if entry_point.name == name:
            return _loaded(entry_point)
    raise ConfigError(
        f"unknown provider {printable(repr(name), 100)}: use one of {', '.join(names())}, "
        "or OpenAICompatible(base_url=...)"
    )


def names(*, others: bool = True) -> tuple[str, ...]:
    """Give the names of all providers, our own first; `others` are those of other packages, found in some ms."""
    if not others:
        return tuple(_NAMES)
    theirs = sorted({entry_point.name for entry_point in _entry_points()} - _NAMES.keys())
    return (*_NAMES, *theirs)


def model(name: str) -> Model:
    """Give the model that a string such as "groq:llama-3.3-70b-versatile" names, its key being looked up.

    Raises:
        ConfigError: there is no such provider, no model's name after its name, or the provider cannot be made.
    """
    provider, colon, rest = name.partition(":")
    if not colon or not rest:
        raise ConfigError(
            f"{printable(repr(name), 100)} names no provider and model: write both, as in 'openai:gpt-4o'"
        )
    return get(provider).model(rest)


def _entry_points() -> list[EntryPoint]:
    from importlib.metadata import entry_points  # here, because it takes longer to import than all of this package

    return list(entry_points(group="streamkit.providers"))


def _loaded(entry_point: EntryPoint) -> Callable[..., Provider]:
    try:
        found: Callable[..., Provider] = entry_point.load()
    except Exception as e:  # whatever another package does when it is imported
        raise ConfigError(f"the provider {entry_point.name} ({entry_point.value}) cannot be imported: {e!r}") from e
    return found


def __getattr__(name: str) -> Any:
    # Each is imported with its first use: a program that streams from one does not pay for the others.
    if name in _HOMES:
        return getattr(importlib.import_module(f"streamkit.providers.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
