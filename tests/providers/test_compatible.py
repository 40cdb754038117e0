"""Services and servers that speak chat completions: each row's address, key, fields, refusals and recordings.

A new row needs its address in ADDRESSES; what its quirks say is looked up there, and stated here where it matters most.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.errors import ConfigError
from streamkit.providers import AzureOpenAI, compatible
from streamkit.providers.openai_chat import OpenAICompatible
from streamkit.types import (
    ChatRequest,
    FilePart,
    ImagePart,
    Message,
    ResponseFormat,
    TextPart,
    ThinkingPart,
    Tool,
    ToolCallPart,
    assistant,
    system,
    tool_result,
    user,
)
from tests.corpus import transcripts
from tests.decoding import cut, decode, difference, error_message, own_transcripts
from tests.strategies import PROPERTY

KEY = "key-0123456789"
ROWS: dict[str, type[OpenAICompatible]] = {
    row.name: row for row in (getattr(compatible, name) for name in compatible.__all__)
}
PARTS = {name: {part: f"my-{part}" for part in row.settings} for name, row in ROWS.items() if row.settings}
"""What a service's address is made of."""
HELLO = (user("Hi"),)
ADD = Tool(name="add", parameters={"type": "object", "properties": {}})
EACH = pytest.mark.parametrize("name", sorted(ROWS))


def made(name: str, **settings: Any) -> OpenAICompatible:
    """The provider of a row."""
    return ROWS[name](KEY, **{**PARTS.get(name, {}), **settings})


def key(provider: OpenAICompatible) -> str:
    """The key that a provider sends."""
    secret = provider.secret()
    assert secret is not None
    return secret.expose()


def encoded(provider: OpenAICompatible, **fields: Any) -> dict[str, Any]:
    """The body of a request, as the server reads it."""
    request = attrs.evolve(ChatRequest(model="m-1", messages=HELLO), **fields)
    body: dict[str, Any] = json.loads(provider.codec.encode(request, provider).body)
    return body


# -- where it goes, and with which key

ADDRESSES = {
    "alibaba": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    "azure": "https://my-resource.openai.azure.com/openai/v1",
    "cerebras": "https://api.cerebras.ai/v1",
    "cloudflare": "https://api.cloudflare.com/client/v4/accounts/my-account_id/ai/v1",
    "databricks": "https://my-host/serving-endpoints",
    "deepinfra": "https://api.deepinfra.com/v1/openai",
    "deepseek": "https://api.deepseek.com",
    "fireworks": "https://api.fireworks.ai/inference/v1",
    "github": "https://models.github.ai/inference",
    "groq": "https://api.groq.com/openai/v1",
    "huggingface": "https://router.huggingface.co/v1",
    "llamacpp": "http://localhost:8080/v1",
    "lmstudio": "http://localhost:1234/v1",
    "minimax": "https://api.minimax.io/v1",
    "mistral": "https://api.mistral.ai/v1",
    "moonshot": "https://api.moonshot.ai/v1",
    "nvidia": "https://integrate.api.nvidia.com/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "perplexity": "https://api.perplexity.ai",
    "sambanova": "https://api.sambanova.ai/v1",
    "sglang": "http://localhost:30000/v1",
    "snowflake": "https://my-account.snowflakecomputing.com/api/v2/cortex/v1",
    "tgi": "http://localhost:8080/v1",
    "together": "https://api.together.xyz/v1",
    "vllm": "http://localhost:8000/v1",
    "xai": "https://api.x.ai/v1",
    "zai": "https://api.z.ai/api/paas/v4",
}
ELSEWHERE = {
    "cloudflare": "https://api.cloudflare.com/client/v4/accounts/my-account_id/ai/models/search?per_page=100",
    "databricks": "https://my-host/api/2.0/serving-endpoints",
    "github": "https://models.github.ai/catalog/models",
}
"""Lists of models that are not below the address."""
LISTS_NONE = {name for name, row in ROWS.items() if not row.quirks.models_path}


@EACH
def test_where_a_request_goes(name: str) -> None:
    """A request goes to its path under the service's address, with the key in its header and nowhere else."""
    provider = made(name)
    sent = provider.codec.encode(ChatRequest(model="m", messages=HELLO), provider)
    header = provider.quirks.key_header
    value = f"Bearer {KEY}" if header == "Authorization" else KEY

    assert (name, ADDRESSES[name]) == (provider.name, provider.base_url)
    assert f"{ADDRESSES[name]}/{provider.quirks.path}" == sent.url
    assert {header: value} == {header: secret.expose() for header, secret in sent.secrets.items()}
    assert KEY not in repr(sent)


def test_who_is_asked_in_its_own_way() -> None:
    """What these are asked otherwise than most: the tests around this one take it from the rows."""
    plain = {"path": "chat/completions", "models_path": "models", "query": "", "key_header": "Authorization"}
    differ = {
        name: {field for field, value in plain.items() if value != getattr(row.quirks, field)}
        | ({"stream_options"} & row.quirks.fields.keys())
        for name, row in ROWS.items()
    }
    known = {
        "azure": {"key_header"},
        "cloudflare": {"models_path"},
        "databricks": {"models_path", "stream_options"},
        "github": {"models_path"},
        "mistral": {"stream_options"},
        "perplexity": {"models_path"},
        "snowflake": {"models_path"},
    }

    assert known.items() <= differ.items()
    assert set() == differ["groq"] | differ["openrouter"] | differ["vllm"]


@pytest.mark.parametrize("name", sorted(ROWS.keys() - LISTS_NONE))
def test_where_models_are_listed(name: str) -> None:
    """The list of models is asked for with the same key, mostly at /models under the same address."""
    provider = made(name)
    sent = provider.codec.list_models(provider)

    assert ("GET", b"") == (sent.method, sent.body)
    assert ELSEWHERE.get(name, f"{ADDRESSES[name]}/{provider.quirks.models_path}") == sent.url
    assert provider.codec.encode(ChatRequest(model="m", messages=HELLO), provider).secrets == sent.secrets


@pytest.mark.parametrize("name", sorted(LISTS_NONE))
def test_who_lists_no_models(name: str) -> None:
    """A service without such a list says so before anything is sent."""
    provider = made(name)
    with pytest.raises(ConfigError, match=f"^{name} lists no models"):
        provider.codec.list_models(provider)


@EACH
def test_key_and_address_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable that may hold the key is looked in; a variable with an address has it instead of the row's own."""
    row = ROWS[name]
    for part, variable in row.settings.items():
        monkeypatch.setenv(variable, PARTS[name][part])
    found = []
    for variable in row.key_variables:
        with monkeypatch.context() as patch:
            patch.setenv(variable, f"from-{variable}")
            found.append(row.from_env())
    if row.base_url_variable is not None:
        monkeypatch.setenv(row.base_url_variable, "http://127.0.0.1:1/openai/v1/")
        found.append(row(KEY))

    assert [f"from-{variable}" for variable in row.key_variables] == [
        key(provider) for provider in found[: len(row.key_variables)]
    ]
    assert {ADDRESSES[name]} == {provider.base_url for provider in found[: len(row.key_variables)]}
    assert "http://127.0.0.1:1/openai/v1" == found[-1].base_url or row.base_url_variable is None


@EACH
def test_what_is_missing_is_named(name: str) -> None:
    """A service without its key names the variable; a server of one's own needs none."""
    row = ROWS[name]
    if not row.needs_key:
        assert row().secret() is None
        return
    with pytest.raises(ConfigError, match=f"^{name} not configured: .*{row.key_variables[0]}"):
        row()
    with pytest.raises(ConfigError, match=f"^{name} not configured: .*{row.key_variables[0]}"):
        row.from_env()


@pytest.mark.parametrize("name", sorted(PARTS))
def test_a_part_of_the_address_that_is_missing_is_named(name: str) -> None:
    """Where the address has a part of one's own, the argument and its variable are named."""
    part, variable = next(iter(ROWS[name].settings.items()))
    with pytest.raises(ConfigError, match=f"^{name} not configured: no {part} was given, and {variable} is not set"):
        ROWS[name](KEY)


@EACH
def test_a_row_travels(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pickled, it keeps its name and address and looks its key up where it arrives."""
    packed = pickle.dumps(made(name))
    monkeypatch.setenv(ROWS[name].key_variables[0], "key-there")
    arrived = pickle.loads(packed)

    assert KEY.encode() not in packed
    assert (ROWS[name], name, ADDRESSES[name]) == (type(arrived), arrived.name, arrived.base_url)
    assert "key-there" == arrived.secret().expose()


# -- what is asked otherwise

TYPE = {"thinking": {"type": "enabled"}}
ENABLED = {"reasoning": {"enabled": True}}


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        ("mistral", {"seed": 3}, {"random_seed": 3}),
        ("xai", {"max_tokens": 5}, {"max_completion_tokens": 5}),
        ("cerebras", {"max_tokens": 5}, {"max_completion_tokens": 5}),
        ("minimax", {"max_tokens": 5}, {"max_completion_tokens": 5}),
        ("snowflake", {"max_tokens": 5}, {"max_completion_tokens": 5}),
        ("moonshot", {"max_tokens": 5}, {"max_completion_tokens": 5}),
        ("groq", {"max_tokens": 5}, {"max_tokens": 5}),
        ("azure", {"max_tokens": 5}, {"max_tokens": 5}),
        ("azure", {"max_tokens": 5, "model": "gpt-5-mini"}, {"max_completion_tokens": 5}),
        ("openrouter", {"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}),
        ("openrouter", {"thinking": True}, ENABLED),
        (
            "openrouter",
            {"thinking": True, "reasoning_effort": "low"},
            {"reasoning": {"effort": "low", "enabled": True}},
        ),
        ("openrouter", {"thinking_budget": 2000}, {"reasoning": {"enabled": True, "max_tokens": 2000}}),
        ("together", {"thinking": True}, ENABLED),
        ("deepinfra", {"thinking": True}, ENABLED),
        ("deepseek", {"thinking": True}, TYPE),
        ("deepseek", {"thinking": True, "reasoning_effort": "max"}, {**TYPE, "reasoning_effort": "max"}),
        ("moonshot", {"thinking": True}, TYPE),
        ("zai", {"thinking": True}, TYPE),
        ("fireworks", {"thinking_budget": 2000}, {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
        ("databricks", {"thinking_budget": 2000}, {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
        ("snowflake", {"thinking_budget": 2000}, {"reasoning": {"max_tokens": 2000}}),
        ("alibaba", {"thinking_budget": 200}, {"enable_thinking": True, "thinking_budget": 200}),
        ("groq", {"thinking": True}, {"reasoning_format": "parsed"}),
        ("cerebras", {"thinking": True}, {"reasoning_format": "parsed"}),
        ("minimax", {"thinking": True}, {"reasoning_split": True}),
        ("vllm", {"top_k": 4, "reasoning_effort": "low"}, {"top_k": 4, "reasoning_effort": "low"}),
    ],
)
def test_what_a_service_calls_otherwise(name: str, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """A field goes where the service looks for it, and nothing else changes."""
    provider = made(name)
    plain = encoded(provider, model=fields.get("model", "m-1"))

    assert plain | expected == encoded(provider, **fields)


@EACH
def test_who_is_asked_for_usage(name: str) -> None:
    """Usage is asked for but where the option is refused, and it comes by itself."""
    asked = {"stream_options": {"include_usage": True}}
    expected = {} if ROWS[name].quirks.fields.get("stream_options") == "" else asked
    sent = encoded(made(name))

    assert {"model": "m-1", "messages": [{"role": "user", "content": "Hi"}], "stream": True, **expected} == sent


def test_options_have_the_last_word() -> None:
    """What the row puts somewhere can still be changed or taken out."""
    options = {"reasoning": {"exclude": True, "enabled": None}, "random": 1}
    sent = encoded(made("openrouter"), thinking=True, reasoning_effort="low", provider_options=options)

    assert ({"effort": "low", "exclude": True}, 1) == (sent["reasoning"], sent["random"])


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("deepseek", "reasoning_content"),
        ("moonshot", "reasoning_content"),
        ("zai", "reasoning_content"),
        ("fireworks", "reasoning_content"),
        ("llamacpp", "reasoning_content"),
        ("openrouter", "reasoning"),
        ("groq", "reasoning"),
        ("cerebras", "reasoning"),
        ("mistral", None),
        ("xai", None),
    ],
)
def test_who_wants_its_thinking_back(name: str, field: str | None) -> None:
    """While tools are called, a service that wants its thinking back has it beside the calls."""
    call = ToolCallPart(id="c1", name="add", input="{}")
    messages = (*HELLO, assistant([ThinkingPart(text="Hm.", provider=name), call]), tool_result("c1", "2"))
    _, said, _ = encoded(made(name), messages=messages, tools=(ADD,))["messages"]

    assert {key: value for key, value in said.items() if "reasoning" in key} == ({field: "Hm."} if field else {})


@pytest.mark.parametrize(
    ("name", "field"), [("mistral", "prefix"), ("deepseek", "prefix"), ("moonshot", "partial"), ("xai", None)]
)
def test_who_goes_on_with_an_answer_that_was_begun(name: str, field: str | None) -> None:
    """A last message that is the assistant's says that it is to be gone on with, in the service's word; no other."""
    begun = encoded(made(name), messages=(*HELLO, assistant("No."), *HELLO, assistant("The")))["messages"]
    flag = {field: True} if field else {}

    assert [{"role": "assistant", "content": "No."}, {"role": "assistant", "content": "The", **flag}] == begun[1::2]
    assert "True" not in str(encoded(made(name), messages=(*HELLO, assistant("No."), *HELLO))["messages"])


def test_who_says_again_what_was_begun() -> None:
    """Mistral alone gives the whole answer: its readers take away what they sent."""
    whole = [name for name in ("mistral", "moonshot", "xai") if made(name).capabilities.prefill_gives == "whole"]

    assert ["mistral"] == whole


def test_a_call_is_no_answer_to_go_on_with() -> None:
    """Nothing is said of a last message that calls a tool."""
    call = ToolCallPart(id="c1", name="add", input="{}")

    assert "prefix" not in encoded(made("mistral"), messages=(*HELLO, assistant(call)))["messages"][-1]


MARK = {"cache_control": {"type": "ephemeral"}}
LONG = user([TextPart(text="Long.", cache=True), "Short."])


@pytest.mark.parametrize("name", ["openrouter", "alibaba"])
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"messages": (LONG,)}, [[{"type": "text", "text": "Long.", **MARK}, {"type": "text", "text": "Short."}]]),
        ({"messages": HELLO, "prompt_caching": True}, [[{"type": "text", "text": "Hi", **MARK}]]),
        (
            {"messages": (system("Be brief."), *HELLO), "prompt_caching": True},
            [[{"type": "text", "text": "Be brief.", **MARK}], "Hi"],
        ),
        ({"messages": HELLO}, ["Hi"]),
    ],
)
def test_cache_marks(name: str, fields: dict[str, Any], expected: list[Any]) -> None:
    """Where caching has to be asked for, a mark stands at the end of what is to be cached, as at Anthropic."""
    assert expected == [message["content"] for message in encoded(made(name), **fields)["messages"]]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"messages": (user([ImagePart(url="https://u")]),), "prompt_caching": True}, "there is no text at whose end"),
        ({"messages": (user(["Hi", ImagePart(url="https://u", cache=True)]),)}, "give cache=True to a TextPart"),
        ({"messages": (assistant("Hi"),), "prompt_caching": True}, "there is no text at whose end"),
    ],
)
def test_what_cannot_be_marked(fields: dict[str, Any], says: str) -> None:
    """A mark that has no place is refused, since without it nothing would be cached."""
    with pytest.raises(ConfigError, match=says):
        encoded(made("openrouter"), **fields)


@pytest.mark.parametrize("name", ["databricks", "snowflake"])
def test_models_whose_cache_wants_marks(name: str) -> None:
    """Behind one address some models cache by themselves, and some want marks."""
    contents = [
        encoded(made(name), model=model, messages=(LONG,))["messages"][0]["content"]
        for model in ("claude-sonnet-4-6", "openai-gpt-5")
    ]

    assert [[{"type": "text", "text": "Long.", **MARK}, {"type": "text", "text": "Short."}], "Long.Short."] == contents


def test_where_caching_needs_no_asking() -> None:
    """A service that caches by itself has no marks, and text as a text."""
    assert ["Long.Short."] == [message["content"] for message in encoded(made("groq"), messages=(LONG,))["messages"]]


def test_a_key_for_the_cache() -> None:
    """Requests that begin alike share a key, others do not; who asks for no caching sends none."""

    def key(*messages: Message, **fields: Any) -> Any:
        return encoded(made("mistral"), messages=messages, **fields).get("prompt_cache_key")

    brief, caching = system("Be brief."), {"prompt_caching": True}
    first = key(brief, *HELLO, **caching)

    assert first
    assert first == key(brief, user("Something else"), **caching)
    assert first == key(brief, LONG)
    assert 4 == len({first, key(*HELLO, **caching), key(LONG), key(brief, *HELLO, tools=(ADD,), **caching)})
    assert None is key(brief, *HELLO)


@pytest.mark.parametrize("name", ["perplexity", "huggingface", "nvidia", "sambanova", "github"])
@pytest.mark.parametrize("fields", [{"messages": HELLO, "prompt_caching": True}, {"messages": (LONG,)}])
def test_where_no_caching_is_known(name: str, fields: dict[str, Any]) -> None:
    """It is refused, not passed over."""
    with pytest.raises(ConfigError, match="not known to cache prompts"):
        encoded(made(name), **fields)


def test_a_server_that_is_not_known_caches_nothing_that_is_known() -> None:
    """A row that is made on the spot says so, unless its class knows better."""
    with pytest.raises(ConfigError, match="not known to cache prompts"):
        encoded(OpenAICompatible(base_url="http://localhost:1/v1"), messages=(LONG,))


@pytest.mark.parametrize("url", ["http://localhost:1/v1", "http://127.0.0.1:1/v1", "http://[::1]:1/v1"])
@pytest.mark.parametrize("name", ["vllm", "sglang", "llamacpp", "lmstudio", "tgi", "groq"])
def test_a_server_of_this_machine_is_asked_past_proxies(name: str, url: str) -> None:
    """No proxy could reach it; any other server is asked by the environment's."""
    here, there = made(name, base_url=url), made(name, base_url="https://example.com/v1")

    assert [True, True, False] == [
        here.codec.encode(ChatRequest(model="m", messages=HELLO), here).direct,
        here.codec.list_models(here).direct,
        there.codec.encode(ChatRequest(model="m", messages=HELLO), there).direct,
    ]


# -- what is refused


@pytest.mark.parametrize(("name", "refused"), [("azure", True), ("github", True), ("vllm", False)])
def test_who_holds_schemas_to_openais_rules(name: str, refused: bool) -> None:
    """Where OpenAI's models are served, a strict schema that they would refuse is not sent."""
    wanted = ResponseFormat(type="schema", schema={"type": "object", "properties": {"a": {"type": "string"}}})

    assert refused == (said_against(made(name), {"response_format": wanted}) is not None)


ASKS: Mapping[str, dict[str, Any]] = {
    "tools": {"tools": (ADD,)},
    "required_tool": {"tools": (ADD,), "tool_choice": "required"},
    "named_tool": {"tools": (ADD,), "tool_choice": "add"},
    "parallel_tool_calls": {"tools": (ADD,), "parallel_tool_calls": False},
    "images": {"messages": (user([ImagePart(data=b"\x89PNG\r\n\x1a\n", media_type="image/png")]),)},
    "image_urls": {"messages": (user([ImagePart(url="https://example.com/a.png")]),)},
    "files": {"messages": (user([FilePart(data=b"%PDF-1.7", name="a.pdf")]),)},
    "thinking": {"thinking": True},
    "thinking_budget": {"thinking_budget": 2000},
    "reasoning_effort": {"reasoning_effort": "low"},
    "json": {"response_format": ResponseFormat(type="json")},
    "json_schema": {"response_format": ResponseFormat(type="schema", schema={"type": "object"}, strict=False)},
    "seed": {"seed": 3},
    "stop": {"stop": ("x",)},
    "top_k": {"top_k": 3},
    "penalties": {"presence_penalty": 0.5},
    "logprobs": {"logprobs": 0},
}


@EACH
def test_what_a_service_cannot_do_is_refused(name: str) -> None:
    """What its capabilities deny is an error that names the service; all else goes out."""
    provider = made(name)
    refusals = {
        flag: refusal for flag, fields in ASKS.items() if (refusal := said_against(provider, fields)) is not None
    }

    assert {flag for flag in ASKS if not getattr(provider.capabilities, flag)} == refusals.keys()
    assert [] == [refusal for refusal in refusals.values() if not refusal.startswith(f"{name}: ")]


def said_against(provider: OpenAICompatible, fields: dict[str, Any]) -> str | None:
    """What is said against a request, None where nothing is."""
    try:
        encoded(provider, **fields)
    except ConfigError as e:
        return str(e)
    return None


# -- what it answered

RECORDED = [
    (folder, path, meta, body)
    for path, meta, body in transcripts("openai-chat")
    if (folder := path.partition("/")[0]) in ROWS
] + [(name, f"{name}/{stem}", meta, body) for name in ROWS for stem, meta, body in own_transcripts(name)]
STREAMS = [(name, meta["expected"], body) for name, _, meta, body in RECORDED if meta["status"] < 400]


@pytest.mark.parametrize(
    ("name", "meta", "body"), [pytest.param(name, meta, body, id=path) for name, path, meta, body in RECORDED]
)
def test_a_recorded_answer(name: str, meta: dict[str, Any], body: bytes) -> None:
    """What was recorded of a service is read by its own row exactly; a refusal has its status and words."""
    provider = made(name)
    if meta["status"] >= 400:
        error = provider.codec.error(name, meta["status"], meta["headers"], body)

        assert meta["status"] == error.status
        assert error_message(meta["expected"]) in str(error)
    else:
        assert {} == difference(meta["expected"], decode(provider, [body]))


@pytest.mark.skipif(not STREAMS, reason="no recordings")
@PROPERTY
@given(st.sampled_from(STREAMS), st.lists(st.integers(0, 100_000), max_size=12))
def test_a_recorded_answer_in_any_blocks(stream: tuple[str, dict[str, Any], bytes], places: list[int]) -> None:
    """Where the network cuts a recording makes no difference."""
    name, expected, body = stream

    assert {} == difference(expected, decode(made(name), cut(body, places)))


@pytest.mark.skipif(next(transcripts("openai-chat"), None) is None, reason="no conformance corpus")
def test_every_service_with_recordings_is_seen() -> None:
    """The corpus, where there is one, has recordings of these rows."""
    expected = {"azure", "groq", "deepseek", "mistral", "xai", "openrouter", "perplexity", "zai", "moonshot", "vllm"}

    assert set() == expected - {name for name, *_ in RECORDED}


def test_sources_of_an_answer() -> None:
    """Perplexity repeats its pages in each event, in two lists: each is a source once. No end sign comes."""
    pages = {
        "citations": ["https://a.example", "https://b.example"],
        "search_results": [{"title": "A", "url": "https://a.example", "date": "2026-01-01"}],
    }
    deltas = [({"role": "assistant", "content": "Yes[1]"}, None), ({"content": "."}, "stop")]
    events = [
        {"id": "p", "model": "sonar", **pages, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        for delta, finish in deltas
    ]
    decoded = decode(made("perplexity"), [f"data: {json.dumps(event)}\r\n\r\n".encode() for event in events])

    assert ("Yes[1].", True, None) == (decoded.response.text, decoded.response.complete, decoded.error)
    assert [("https://a.example", "A"), ("https://b.example", None)] == [
        (source.url, source.title) for source in decoded.response.sources
    ]


def test_reasoning_counted_beside_the_completion() -> None:
    """xAI counts reasoning beside the completion's tokens: ours has it as a part of them, as everywhere else."""
    usage = {
        "prompt_tokens": 12,
        "completion_tokens": 1,
        "total_tokens": 303,
        "completion_tokens_details": {"reasoning_tokens": 290},
    }
    event = {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}], "usage": usage}
    counted = decode(made("xai"), [f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n".encode()]).response.usage

    assert (12, 291, 303, 290) == (
        counted.prompt_tokens,
        counted.completion_tokens,
        counted.total_tokens,
        counted.reasoning_tokens,
    )
    assert usage == counted.raw


# -- Azure


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("https://r.openai.azure.com", "https://r.openai.azure.com/openai/v1"),
        ("https://r.openai.azure.com/openai", "https://r.openai.azure.com/openai/v1"),
        ("https://r.openai.azure.com/openai/v1/", "https://r.openai.azure.com/openai/v1"),
        ("https://r.services.ai.azure.com", "https://r.services.ai.azure.com/openai/v1"),
    ],
)
def test_azure_by_its_address(base_url: str, expected: str) -> None:
    """The resource's address is taken with and without the path of the v1 API."""
    assert expected == AzureOpenAI(KEY, base_url=base_url).base_url


def test_azure_with_a_version() -> None:
    """With a version each deployment has its own address, and the version is in the query."""
    provider = AzureOpenAI(KEY, resource="r", api_version="2024-10-21")
    request = ChatRequest(model="my deployment", messages=HELLO)
    host = "https://r.openai.azure.com/openai"

    assert f"{host}/deployments/my%20deployment/chat/completions?api-version=2024-10-21" == (
        provider.codec.encode(request, provider).url
    )
    assert f"{host}/models?api-version=2024-10-21" == provider.codec.list_models(provider).url


def test_azure_has_its_version_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable of the SDK counts, unless the address is already that of the API without versions."""
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    versions = [
        AzureOpenAI(KEY, resource="r").api_version,
        AzureOpenAI(KEY, base_url="https://r.openai.azure.com/openai/v1").api_version,
    ]

    assert ["2024-10-21", None] == versions


def test_azure_with_a_token() -> None:
    """A token of Entra ID goes where tokens go, asked for anew with each request."""
    tokens = iter(["token-1", "token-2"])
    provider = AzureOpenAI(lambda: next(tokens), resource="r", entra=True)
    request = ChatRequest(model="m", messages=HELLO)
    sent = [provider.codec.encode(request, provider).secrets["Authorization"].expose() for _ in range(2)]

    assert ["Bearer token-1", "Bearer token-2"] == sent


def test_azure_travels_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pickled, it keeps version and kind of key."""
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    arrived = pickle.loads(pickle.dumps(AzureOpenAI(KEY, resource="r", api_version="v", entra=True)))

    assert ("v", True, "https://r.openai.azure.com/openai") == (arrived.api_version, arrived.entra, arrived.base_url)


def test_what_azure_says_of_its_filter() -> None:
    """What the content filter found in prompt and answer is in the metadata; its events without text bring none."""
    found = {"hate": {"filtered": False, "severity": "safe"}}
    events = [
        {
            "id": "",
            "model": "",
            "object": "",
            "choices": [],
            "prompt_filter_results": [{"prompt_index": 0, "r": found}],
        },
        {"id": "c", "model": "gpt-4o", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]},
        {"id": "", "choices": [{"index": 0, "finish_reason": None, "content_filter_results": found}]},
        {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "content_filter_results": found}]},
    ]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    decoded = decode(made("azure"), [body.encode()])
    metadata = decoded.response.provider_metadata["azure"]

    assert ("Hi", "stop", "c", "gpt-4o", None) == (
        decoded.response.text,
        decoded.response.finish_reason,
        decoded.response.response.id,
        decoded.response.response.model,
        decoded.error,
    )
    assert [{"prompt_index": 0, "r": found}] == metadata["prompt_filter_results"]
    assert found == metadata["content_filter_results"]


@pytest.mark.parametrize("budget", [0, -1])
def test_a_budget_of_nothing(budget: int) -> None:
    """Is refused: no service on this wire gives it a meaning."""
    provider = made("openrouter")
    request = ChatRequest(model="m", messages=HELLO, thinking_budget=budget)
    with pytest.raises(ConfigError, match=f"a thinking budget of {budget} tokens is refused"):
        provider.codec.encode(request, provider)
