"""Services that speak Anthropic's Messages API, beside another one: a class each, which is a row of facts.

Facts read November 2026, in each service's documentation. The names end in -anthropic; the models are the service's.
"""

from __future__ import annotations

import attrs

from streamkit.codec import Capabilities, HttpRequest, Provider
from streamkit.encoding import bearer, objections
from streamkit.errors import ConfigError
from streamkit.providers.anthropic import AnthropicMessages
from streamkit.providers.keyed import KeyedProvider
from streamkit.types.request import ChatRequest

__all__ = ["DeepSeekMessages", "MiniMaxMessages", "MoonshotMessages", "OpenRouterMessages", "ZAIMessages"]


class _Messages(AnthropicMessages):
    """The Messages API as a service has it: with less than Anthropic's own, and perhaps another header for the key."""

    def __init__(self, can: Capabilities, *, bearer: bool) -> None:
        self._can = can
        self._bearer = bearer

    @property
    def capabilities(self) -> Capabilities:
        """What the service's API can do."""
        return self._can

    def encode(self, request: ChatRequest, provider: Provider) -> HttpRequest:
        """As ever, but for what the service cannot do and the key's header."""
        for objection in objections(request, self._can):
            raise ConfigError(f"{provider.name}: {objection}")
        return self._keyed(super().encode(request, provider))

    def list_models(self, provider: Provider) -> HttpRequest:
        """As ever, but for the key's header."""
        return self._keyed(super().list_models(provider))

    def _keyed(self, request: HttpRequest) -> HttpRequest:
        if not self._bearer:
            return request
        others = {name: secret for name, secret in request.secrets.items() if name != "x-api-key"}
        return attrs.evolve(request, secrets={**others, **bearer(request.secrets.get("x-api-key"))})


_ALL = AnthropicMessages().capabilities


class _Service(KeyedProvider):
    can = _ALL
    bearer = False

    @property
    def codec(self) -> AnthropicMessages:
        """The Messages API, as far as the service has it."""
        return _Messages(self.can, bearer=self.bearer)


class MiniMaxMessages(_Service):
    """MiniMax, by Anthropic's API: the one on which its thinking is told from its text without being asked.

    https://platform.minimax.io/docs/api-reference/text-anthropic-api
    """

    name = "minimax-anthropic"
    key_variables = ("MINIMAX_API_KEY",)
    base_url_variable = "MINIMAX_ANTHROPIC_BASE_URL"
    default_base_url = "https://api.minimax.io/anthropic"
    usual_model = "MiniMax-M3"
    can = attrs.evolve(_ALL, files=False, citations=False, stop=False, top_k=False)


class DeepSeekMessages(_Service):
    """DeepSeek, by Anthropic's API.

    https://api-docs.deepseek.com/guides/anthropic_api
    """

    name = "deepseek-anthropic"
    key_variables = ("DEEPSEEK_API_KEY",)
    base_url_variable = "DEEPSEEK_ANTHROPIC_BASE_URL"
    default_base_url = "https://api.deepseek.com/anthropic"
    usual_model = "deepseek-flash"
    can = attrs.evolve(
        _ALL,
        parallel_tool_calls=False,
        citations=False,
        thinking_budget=False,
        json_schema=False,
        prompt_caching=False,
        top_k=False,
    )


class OpenRouterMessages(_Service):
    """OpenRouter, by Anthropic's API.

    https://openrouter.ai/docs/api/api-reference/anthropic-messages/create-messages
    """

    name = "openrouter-anthropic"
    key_variables = ("OPENROUTER_API_KEY",)
    base_url_variable = "OPENROUTER_ANTHROPIC_BASE_URL"
    default_base_url = "https://openrouter.ai/api"
    usual_model = "anthropic/claude-sonnet-4.6"
    bearer = True


class MoonshotMessages(_Service):
    """Moonshot (Kimi), by Anthropic's API.

    https://platform.kimi.ai/docs
    """

    name = "moonshot-anthropic"
    key_variables = ("MOONSHOT_API_KEY", "MOONSHOTAI_API_KEY")
    base_url_variable = "MOONSHOT_ANTHROPIC_BASE_URL"
    default_base_url = "https://api.moonshot.ai/anthropic"
    usual_model = "kimi-k2.6"
    bearer = True


class ZAIMessages(_Service):
    """Z.ai (GLM), by Anthropic's API.

    https://docs.z.ai/devpack/tool/claude
    """

    name = "zai-anthropic"
    key_variables = ("ZAI_API_KEY", "ZHIPU_API_KEY")
    base_url_variable = "ZAI_ANTHROPIC_BASE_URL"
    default_base_url = "https://api.z.ai/api/anthropic"
    usual_model = "glm-4.7"
    bearer = True
