"""Services that speak Anthropic's Messages API, beside another one: a class each, which is a row of facts.

Facts read November 2026, in each service's documentation. The names end in -anthropic; the models are the service's.
"""

from __future__ import annotations

from streamkit import lazy_attrs as attrs
from streamkit.providers.anthropic import CAPABILITIES, AnthropicMessages, Quirks
from streamkit.providers.keyed import KeyedProvider

__all__ = ["DeepSeekMessages", "MiniMaxMessages", "MoonshotMessages", "OpenRouterMessages", "ZAIMessages"]

_BEARER = AnthropicMessages(quirks=Quirks(key_header="Authorization"))


class MiniMaxMessages(KeyedProvider):
    """MiniMax, by Anthropic's API: the one on which its thinking is told from its text without being asked.

    https://platform.minimax.io/docs/api-reference/text-anthropic-api
    """

    name = "minimax-anthropic"
    key_variables = ("MINIMAX_API_KEY",)
    base_url_variable = "MINIMAX_ANTHROPIC_BASE_URL"
    default_base_url = "https://api.minimax.io/anthropic"
    usual_model = "MiniMax-M3"
    codec = AnthropicMessages(
        capabilities=attrs.evolve(CAPABILITIES, files=False, citations=False, stop=False, top_k=False)
    )


class DeepSeekMessages(KeyedProvider):
    """DeepSeek, by Anthropic's API.

    https://api-docs.deepseek.com/guides/anthropic_api
    """

    name = "deepseek-anthropic"
    key_variables = ("DEEPSEEK_API_KEY",)
    base_url_variable = "DEEPSEEK_ANTHROPIC_BASE_URL"
    default_base_url = "https://api.deepseek.com/anthropic"
    usual_model = "deepseek-flash"
    codec = AnthropicMessages(
        capabilities=attrs.evolve(
            CAPABILITIES,
            parallel_tool_calls=False,
            citations=False,
            thinking_budget=False,
            json_schema=False,
            top_k=False,
        )
    )


class OpenRouterMessages(KeyedProvider):
    """OpenRouter, by Anthropic's API.

    https://openrouter.ai/docs/api/api-reference/anthropic-messages/create-messages
    """

    name = "openrouter-anthropic"
    key_variables = ("OPENROUTER_API_KEY",)
    base_url_variable = "OPENROUTER_ANTHROPIC_BASE_URL"
    default_base_url = "https://openrouter.ai/api"
    usual_model = "anthropic/claude-sonnet-4.6"
    codec = _BEARER


class MoonshotMessages(KeyedProvider):
    """Moonshot (Kimi), by Anthropic's API.

    https://platform.kimi.ai/docs
    """

    name = "moonshot-anthropic"
    key_variables = ("MOONSHOT_API_KEY", "MOONSHOTAI_API_KEY")
    base_url_variable = "MOONSHOT_ANTHROPIC_BASE_URL"
    default_base_url = "https://api.moonshot.ai/anthropic"
    usual_model = "kimi-k2.6"
    codec = _BEARER


class ZAIMessages(KeyedProvider):
    """Z.ai (GLM), by Anthropic's API.

    https://docs.z.ai/devpack/tool/claude
    """

    name = "zai-anthropic"
    key_variables = ("ZAI_API_KEY", "ZHIPU_API_KEY")
    base_url_variable = "ZAI_ANTHROPIC_BASE_URL"
    default_base_url = "https://api.z.ai/api/anthropic"
    usual_model = "glm-4.7"
    codec = _BEARER
