"""Services that speak OpenAI's Responses API, beside another one: a class each, which is a row of facts.

Facts read November 2026, in each service's documentation and in recordings of what it sends. The names end in
-responses; the models are the service's.
"""

from __future__ import annotations

from collections.abc import Mapping

from streamkit import lazy_attrs as attrs
from streamkit.providers.keyed import KeyedProvider
from streamkit.providers.openai_responses import CAPABILITIES, Quirks, Responses
from streamkit.schema_rules import OPENAI_STRICT

__all__ = ["AzureResponses", "DeepSeekResponses", "LMStudioResponses", "OpenRouterResponses", "XAIResponses"]


class XAIResponses(KeyedProvider):
    """xAI, by the Responses API.

    https://docs.x.ai/docs/api-reference
    """

    name = "xai-responses"
    key_variables = ("XAI_API_KEY",)
    base_url_variable = "XAI_BASE_URL"
    default_base_url = "https://api.x.ai/v1"
    usual_model = "grok-4.3"
    codec = Responses(quirks=Quirks(signed_thinking=r"grok-([4-9]|\d\d)"))


class OpenRouterResponses(KeyedProvider):
    """OpenRouter, by the Responses API.

    https://openrouter.ai/docs/api/reference/responses/overview
    """

    name = "openrouter-responses"
    key_variables = ("OPENROUTER_API_KEY",)
    base_url_variable = "OPENROUTER_BASE_URL"
    default_base_url = "https://openrouter.ai/api/v1"
    usual_model = "openrouter/auto"
    codec = Responses()


class DeepSeekResponses(KeyedProvider):
    """DeepSeek, by the Responses API.

    https://api-docs.deepseek.com/guides/responses_api
    """

    name = "deepseek-responses"
    key_variables = ("DEEPSEEK_API_KEY",)
    base_url_variable = "DEEPSEEK_BASE_URL"
    default_base_url = "https://api.deepseek.com"
    usual_model = "deepseek-flash"
    codec = Responses(quirks=Quirks(signed_thinking=None, unsigned_thinking=True))


class AzureResponses(KeyedProvider):
    """Azure OpenAI's v1 API, by the Responses API; a model's name is that of its deployment.

    https://learn.microsoft.com/azure/ai-foundry/openai/how-to/responses
    """

    name = "azure-responses"
    key_variables = ("AZURE_OPENAI_API_KEY", "AZURE_API_KEY")
    default_base_url = "https://{resource}.openai.azure.com/openai/v1"
    settings: Mapping[str, str] = {"resource": "AZURE_RESOURCE_NAME"}
    codec = Responses(capabilities=attrs.evolve(CAPABILITIES, schema_rules=OPENAI_STRICT))


class LMStudioResponses(KeyedProvider):
    """LM Studio, by the Responses API.

    https://lmstudio.ai/docs/developer/openai-compat/responses
    """

    name = "lmstudio-responses"
    needs_key = False
    key_variables = ("LMSTUDIO_API_KEY",)
    base_url_variable = "LMSTUDIO_BASE_URL"
    default_base_url = "http://localhost:1234/v1"
    codec = Responses(quirks=Quirks(signed_thinking=None, unsigned_thinking=True))
