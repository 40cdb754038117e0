"""Services and servers that speak another's wire: a class each, which is a row of facts and has no code.

Most speak chat completions; those whose names end in -anthropic or -responses speak these APIs, with models of their
own. What a service does its own way is its `quirks`, what it can do other than OpenAI `can`. Facts read November 2026,
in each service's documentation and in recordings of what it sends; a capability is denied only where that is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from streamkit import keys
from streamkit import lazy_attrs as attrs
from streamkit.codec import Key
from streamkit.providers.openai_chat import CAPABILITIES, NEWER_MODELS, OpenAICompatible, Quirks
from streamkit.schema_rules import OPENAI_STRICT

__all__ = [
    "NVIDIA",
    "TGI",
    "VLLM",
    "XAI",
    "ZAI",
    "Alibaba",
    "AzureOpenAI",
    "Cerebras",
    "Cloudflare",
    "Databricks",
    "DeepInfra",
    "DeepSeek",
    "Fireworks",
    "GitHubModels",
    "Groq",
    "HuggingFace",
    "LMStudio",
    "LlamaCpp",
    "MiniMax",
    "Mistral",
    "Moonshot",
    "OpenRouter",
    "Perplexity",
    "SGLang",
    "SambaNova",
    "Snowflake",
    "Together",
]

_MOST = attrs.evolve(CAPABILITIES, files=False)
"""What most can: files as OpenAI takes them are its own. Most cache prompts, by themselves."""
_THINKING_TYPE = {"thinking": {"type": "enabled"}}
_REASONING_ENABLED = {"reasoning": {"enabled": True}}


class _Service(OpenAICompatible):
    """A service: it wants a key, and can what most can."""

    needs_key = True
    can = _MOST


# -- services


class Groq(_Service):
    """Groq.

    https://console.groq.com/docs/api-reference
    """

    name = "groq"
    key_variables = ("GROQ_API_KEY",)
    base_url_variable = "GROQ_BASE_URL"
    default_base_url = "https://api.groq.com/openai/v1"
    usual_model = "openai/gpt-oss-20b"
    quirks = Quirks(thinking={"reasoning_format": "parsed"}, thinking_back="reasoning")
    can = attrs.evolve(_MOST, thinking=True, logprobs=False, penalties=False, image_bytes=3 * 2**20)


class DeepSeek(_Service):
    """DeepSeek; it goes on with an answer that was begun at https://api.deepseek.com/beta only.

    https://api-docs.deepseek.com
    """

    name = "deepseek"
    key_variables = ("DEEPSEEK_API_KEY",)
    base_url_variable = "DEEPSEEK_BASE_URL"
    default_base_url = "https://api.deepseek.com"
    usual_model = "deepseek-flash"
    quirks = Quirks(thinking=_THINKING_TYPE, thinking_back="reasoning_content", prefill="prefix")
    can = attrs.evolve(_MOST, thinking=True, seed=False, json_schema=False, parallel_tool_calls=False)


class Mistral(_Service):
    """Mistral.

    https://docs.mistral.ai/api
    """

    name = "mistral"
    key_variables = ("MISTRAL_API_KEY",)
    base_url_variable = "MISTRAL_BASE_URL"
    default_base_url = "https://api.mistral.ai/v1"
    usual_model = "mistral-large-latest"
    quirks = Quirks(
        fields={"seed": "random_seed", "stream_options": ""}, prefill="prefix", cache_key="prompt_cache_key"
    )
    can = attrs.evolve(_MOST, prefill=True, prefill_gives="whole", logprobs=False)


class XAI(_Service):
    """xAI.

    https://docs.x.ai/docs/api-reference
    """

    name = "xai"
    key_variables = ("XAI_API_KEY",)
    base_url_variable = "XAI_BASE_URL"
    default_base_url = "https://api.x.ai/v1"
    usual_model = "grok-4.3"
    quirks = Quirks(fields={"max_tokens": "max_completion_tokens"})


class Together(_Service):
    """Together.

    https://docs.together.ai/reference/chat-completions
    """

    name = "together"
    key_variables = ("TOGETHER_API_KEY",)
    base_url_variable = "TOGETHER_BASE_URL"
    default_base_url = "https://api.together.xyz/v1"
    usual_model = "openai/gpt-oss-20b"
    quirks = Quirks(thinking=_REASONING_ENABLED)
    can = attrs.evolve(_MOST, thinking=True, top_k=True)


class Fireworks(_Service):
    """Fireworks.

    https://docs.fireworks.ai/api-reference/post-chatcompletions
    """

    name = "fireworks"
    key_variables = ("FIREWORKS_API_KEY",)
    base_url_variable = "FIREWORKS_BASE_URL"
    default_base_url = "https://api.fireworks.ai/inference/v1"
    usual_model = "accounts/fireworks/models/gpt-oss-20b"
    quirks = Quirks(
        thinking=_THINKING_TYPE, thinking_budget="thinking.budget_tokens", thinking_back="reasoning_content"
    )
    can = attrs.evolve(_MOST, thinking=True, thinking_budget=True, top_k=True)


class OpenRouter(_Service):
    """OpenRouter, a gateway to most others.

    https://openrouter.ai/docs/api-reference
    """

    name = "openrouter"
    key_variables = ("OPENROUTER_API_KEY",)
    base_url_variable = "OPENROUTER_BASE_URL"
    default_base_url = "https://openrouter.ai/api/v1"
    usual_model = "openrouter/auto"
    quirks = Quirks(
        fields={"reasoning_effort": "reasoning.effort"},
        thinking=_REASONING_ENABLED,
        thinking_budget="reasoning.max_tokens",
        thinking_back="reasoning",
        cache_marks="",
    )
    can = attrs.evolve(CAPABILITIES, thinking=True, thinking_budget=True, top_k=True)


class Perplexity(_Service):
    """Perplexity, whose answers cite web pages.

    https://docs.perplexity.ai/api-reference
    """

    name = "perplexity"
    key_variables = ("PERPLEXITY_API_KEY", "PPLX_API_KEY")
    base_url_variable = "PERPLEXITY_BASE_URL"
    default_base_url = "https://api.perplexity.ai"
    usual_model = "sonar"
    quirks = Quirks(models_path="")
    can = attrs.evolve(
        _MOST,
        tools=False,
        required_tool=False,
        named_tool=False,
        parallel_tool_calls=False,
        json=False,
        prompt_caching=False,
        seed=False,
        stop=False,
        top_k=True,
        logprobs=False,
    )


class Cerebras(_Service):
    """Cerebras.

    https://inference-docs.cerebras.ai/api-reference/chat-completions
    """

    name = "cerebras"
    key_variables = ("CEREBRAS_API_KEY",)
    base_url_variable = "CEREBRAS_BASE_URL"
    default_base_url = "https://api.cerebras.ai/v1"
    usual_model = "gpt-oss-120b"
    quirks = Quirks(
        fields={"max_tokens": "max_completion_tokens"},
        thinking={"reasoning_format": "parsed"},
        thinking_back="reasoning",
    )
    can = attrs.evolve(_MOST, thinking=True, penalties=False)


class HuggingFace(_Service):
    """Hugging Face's router to several services.

    https://huggingface.co/docs/inference-providers
    """

    name = "huggingface"
    key_variables = ("HF_TOKEN", "HUGGINGFACE_API_KEY")
    base_url_variable = "HUGGINGFACE_BASE_URL"
    default_base_url = "https://router.huggingface.co/v1"
    usual_model = "meta-llama/Llama-3.1-8B-Instruct"
    can = attrs.evolve(_MOST, prompt_caching=False)


class NVIDIA(_Service):
    """NVIDIA NIM, hosted; for a container of your own give its base_url.

    https://docs.api.nvidia.com/nim
    """

    name = "nvidia"
    key_variables = ("NVIDIA_API_KEY",)
    base_url_variable = "NVIDIA_BASE_URL"
    default_base_url = "https://integrate.api.nvidia.com/v1"
    usual_model = "meta/llama-3.3-70b-instruct"
    can = attrs.evolve(_MOST, prompt_caching=False)


class DeepInfra(_Service):
    """DeepInfra.

    https://docs.deepinfra.com/api-reference/chat-completions
    """

    name = "deepinfra"
    key_variables = ("DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN")
    base_url_variable = "DEEPINFRA_BASE_URL"
    default_base_url = "https://api.deepinfra.com/v1/openai"
    usual_model = "openai/gpt-oss-20b"
    quirks = Quirks(thinking=_REASONING_ENABLED)
    can = attrs.evolve(_MOST, thinking=True, top_k=True)


class Moonshot(_Service):
    """Moonshot (Kimi); its address in China is https://api.moonshot.cn/v1.

    https://platform.kimi.ai/docs/api/chat
    """

    name = "moonshot"
    key_variables = ("MOONSHOT_API_KEY", "MOONSHOTAI_API_KEY", "KIMI_API_KEY")
    base_url_variable = "MOONSHOT_BASE_URL"
    default_base_url = "https://api.moonshot.ai/v1"
    usual_model = "kimi-k2.6"
    quirks = Quirks(
        fields={"max_tokens": "max_completion_tokens"},
        thinking=_THINKING_TYPE,
        thinking_back="reasoning_content",
        prefill="partial",
    )
    can = attrs.evolve(
        _MOST,
        thinking=True,
        parallel_tool_calls=False,
        image_urls=False,
        prefill=True,
        seed=False,
        logprobs=False,
    )


class ZAI(_Service):
    """Z.ai (GLM); its address in China is https://open.bigmodel.cn/api/paas/v4.

    https://docs.z.ai/api-reference
    """

    name = "zai"
    key_variables = ("ZAI_API_KEY", "ZHIPU_API_KEY")
    base_url_variable = "ZAI_BASE_URL"
    default_base_url = "https://api.z.ai/api/paas/v4"
    usual_model = "glm-4.7"
    quirks = Quirks(thinking=_THINKING_TYPE, thinking_back="reasoning_content")
    can = attrs.evolve(
        _MOST,
        thinking=True,
        required_tool=False,
        named_tool=False,
        parallel_tool_calls=False,
        json_schema=False,
        seed=False,
        penalties=False,
        logprobs=False,
    )


class MiniMax(_Service):
    """MiniMax; its address in China is https://api.minimaxi.com/v1.

    Without `extended_thinking` thinking may stand in the text, between <think> and </think>.
    https://platform.minimax.io/docs/api-reference/text-openai-api
    """

    name = "minimax"
    key_variables = ("MINIMAX_API_KEY",)
    base_url_variable = "MINIMAX_BASE_URL"
    default_base_url = "https://api.minimax.io/v1"
    usual_model = "MiniMax-M3"
    quirks = Quirks(fields={"max_tokens": "max_completion_tokens"}, thinking={"reasoning_split": True})
    can = attrs.evolve(
        _MOST,
        thinking=True,
        reasoning_effort=False,
        required_tool=False,
        named_tool=False,
        parallel_tool_calls=False,
        json=False,
        json_schema=False,
        seed=False,
        penalties=False,
        logprobs=False,
    )


class Alibaba(_Service):
    """Alibaba Cloud's Model Studio (Qwen), international; other regions have their own addresses.

    https://www.alibabacloud.com/help/en/model-studio/use-qwen-by-calling-api
    """

    name = "alibaba"
    key_variables = ("DASHSCOPE_API_KEY",)
    base_url_variable = "DASHSCOPE_BASE_URL"
    default_base_url = "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"
    usual_model = "qwen-plus"
    quirks = Quirks(thinking={"enable_thinking": True}, thinking_budget="thinking_budget", cache_marks="")
    can = attrs.evolve(_MOST, thinking=True, thinking_budget=True, top_k=True)


class SambaNova(_Service):
    """SambaNova.

    https://docs.sambanova.ai/docs/en/features/openai-compatibility
    """

    name = "sambanova"
    key_variables = ("SAMBANOVA_API_KEY",)
    base_url_variable = "SAMBANOVA_BASE_URL"
    default_base_url = "https://api.sambanova.ai/v1"
    usual_model = "Meta-Llama-3.3-70B-Instruct"
    can = attrs.evolve(_MOST, prompt_caching=False, top_k=True, penalties=False)


class GitHubModels(_Service):
    """GitHub Models, where it is still served.

    https://docs.github.com/en/rest/models/inference
    """

    name = "github"
    key_variables = ("GITHUB_API_KEY", "GITHUB_TOKEN")
    base_url_variable = "GITHUB_MODELS_BASE_URL"
    default_base_url = "https://models.github.ai/inference"
    quirks = Quirks(models_path="../catalog/models", max_completion_tokens=NEWER_MODELS)
    can = attrs.evolve(_MOST, prompt_caching=False, schema_rules=OPENAI_STRICT)


# -- services whose address has a part of your own


class Databricks(_Service):
    """Databricks model serving; `host` is the workspace's, such as adb-1234.5.azuredatabricks.net.

    https://docs.databricks.com/aws/en/machine-learning/foundation-model-apis/api-reference
    """

    name = "databricks"
    key_variables = ("DATABRICKS_TOKEN",)
    default_base_url = "https://{host}/serving-endpoints"
    settings: Mapping[str, str] = {"host": "DATABRICKS_HOST"}
    usual_model = "databricks-claude-sonnet-4-6"
    quirks = Quirks(
        models_path="/api/2.0/serving-endpoints",
        fields={"stream_options": ""},
        thinking=_THINKING_TYPE,
        thinking_budget="thinking.budget_tokens",
        cache_marks="claude",
    )
    can = attrs.evolve(
        _MOST, thinking=True, thinking_budget=True, parallel_tool_calls=False, top_k=True, seed=False, penalties=False
    )


class Cloudflare(_Service):
    """Cloudflare Workers AI.

    https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility
    """

    name = "cloudflare"
    key_variables = ("CLOUDFLARE_API_TOKEN", "CLOUDFLARE_API_KEY")
    default_base_url = "https://api.cloudflare.com/client/v4/accounts/{account_id}/ai/v1"
    settings: Mapping[str, str] = {"account_id": "CLOUDFLARE_ACCOUNT_ID"}
    usual_model = "@cf/meta/llama-3.3-70b-instruct-fp8-fast"
    quirks = Quirks(models_path="../models/search?per_page=100")
    can = attrs.evolve(_MOST, top_k=True)


class Snowflake(_Service):
    """Snowflake Cortex; `account` is the account's identifier, such as myorg-myaccount (hyphens for underscores).

    https://docs.snowflake.com/en/user-guide/snowflake-cortex/cortex-rest-api
    """

    name = "snowflake"
    key_variables = ("SNOWFLAKE_TOKEN", "SNOWFLAKE_PAT")
    default_base_url = "https://{account}.snowflakecomputing.com/api/v2/cortex/v1"
    settings: Mapping[str, str] = {"account": "SNOWFLAKE_ACCOUNT"}
    usual_model = "claude-sonnet-4-6"
    quirks = Quirks(
        models_path="",
        fields={"max_tokens": "max_completion_tokens"},
        thinking_budget="reasoning.max_tokens",
        cache_marks="claude",
    )
    can = attrs.evolve(_MOST, thinking_budget=True)


class AzureOpenAI(_Service):
    """Azure OpenAI, or models of Azure AI Foundry; a model's name is that of its deployment.

    Its v1 API needs no version. With an `api_version` each deployment has an address of its own, as before August 2025.
    https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle
    """

    name = "azure"
    key_variables = ("AZURE_OPENAI_API_KEY", "AZURE_API_KEY")
    base_url_variable = "AZURE_OPENAI_ENDPOINT"
    default_base_url = "https://{resource}.openai.azure.com"
    settings: Mapping[str, str] = {"resource": "AZURE_RESOURCE_NAME"}
    quirks = Quirks(key_header="api-key", max_completion_tokens=NEWER_MODELS)
    can = attrs.evolve(_MOST, schema_rules=OPENAI_STRICT)
    api_version: str | None
    """The version, where deployments have addresses of their own; None with the v1 API."""
    entra: bool
    """Whether the key is a token of Microsoft Entra ID."""

    def __init__(
        self,
        api_key: Key | None = None,
        *,
        base_url: str | None = None,
        name: str | None = None,
        api_version: str | None = None,
        entra: bool = False,
        **settings: str,
    ) -> None:
        """Take key and address as `KeyedProvider` does; the address is the resource's, with or without /openai/v1.

        Args:
            api_key: the resource's key; with `entra` a token, or a function that gives the current one.
            base_url: such as https://my-resource.openai.azure.com.
            name: another name for errors and metadata.
            api_version: such as 2024-10-21; without it that of OPENAI_API_VERSION, unless base_url is the v1 API's.
            entra: send the key as a token.
            settings: `resource`, the resource's name.
        """
        try:
            super().__init__(api_key, base_url=base_url, name=name, **settings)
        finally:
            del api_key, settings  # crash reporters print the variables of the frames that an error passed through
        if api_version is None and not self.base_url.endswith("/v1"):
            api_version = keys.base_url_from_environment("OPENAI_API_VERSION")
        host = self.base_url.removesuffix("/v1").removesuffix("/openai")
        self.__attrs_init__(
            name=self.name, base_url=f"{host}/openai" if api_version else f"{host}/openai/v1", key=self._key
        )
        for field, value in (
            ("api_version", api_version),
            ("entra", entra),
            ("quirks", _azure_quirks(api_version, entra)),
        ):
            object.__setattr__(self, field, value)  # as attrs advises for a frozen class that completes itself

    def _facts(self) -> Mapping[str, Any]:
        return {**super()._facts(), "api_version": self.api_version, "entra": self.entra}


def _azure_quirks(api_version: str | None, entra: bool) -> Quirks:
    quirks = AzureOpenAI.quirks
    if entra:
        quirks = attrs.evolve(quirks, key_header="Authorization")
    if api_version is None:
        return quirks
    return attrs.evolve(
        quirks, path="deployments/{model}/chat/completions", query=f"api-version={quote(api_version, safe='')}"
    )


# -- servers of your own


class VLLM(OpenAICompatible):
    """A vLLM server.

    https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
    """

    name = "vllm"
    key_variables = ("VLLM_API_KEY",)
    base_url_variable = "VLLM_BASE_URL"
    default_base_url = "http://localhost:8000/v1"
    can = attrs.evolve(_MOST, top_k=True)


class SGLang(OpenAICompatible):
    """An SGLang server.

    https://docs.sglang.ai/basic_usage/openai_api_completions.html
    """

    name = "sglang"
    key_variables = ("SGLANG_API_KEY",)
    base_url_variable = "SGLANG_BASE_URL"
    default_base_url = "http://localhost:30000/v1"
    can = attrs.evolve(_MOST, top_k=True)


class LlamaCpp(OpenAICompatible):
    """The server of llama.cpp.

    https://github.com/ggml-org/llama.cpp/tree/master/tools/server
    """

    name = "llamacpp"
    key_variables = ("LLAMACPP_API_KEY",)
    base_url_variable = "LLAMACPP_BASE_URL"
    default_base_url = "http://localhost:8080/v1"
    quirks = Quirks(thinking_back="reasoning_content")
    can = attrs.evolve(_MOST, top_k=True)


class LMStudio(OpenAICompatible):
    """LM Studio.

    https://lmstudio.ai/docs/developer/openai-compat/chat-completions
    """

    name = "lmstudio"
    key_variables = ("LMSTUDIO_API_KEY",)
    base_url_variable = "LMSTUDIO_BASE_URL"
    default_base_url = "http://localhost:1234/v1"
    can = attrs.evolve(_MOST, top_k=True, named_tool=False, json=False, logprobs=False, reasoning_effort=False)


class TGI(OpenAICompatible):
    """Hugging Face's Text Generation Inference.

    https://huggingface.co/docs/text-generation-inference/messages_api
    """

    name = "tgi"
    key_variables = ("TGI_API_KEY",)
    base_url_variable = "TGI_BASE_URL"
    default_base_url = "http://localhost:8080/v1"
    can = attrs.evolve(_MOST, parallel_tool_calls=False, reasoning_effort=False)
