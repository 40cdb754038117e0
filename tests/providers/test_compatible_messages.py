"""Services that speak the Messages API: each row's address and key."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from streamkit.errors import ConfigError
from streamkit.providers import compatible_messages
from streamkit.providers.keyed import KeyedProvider
from streamkit.testing import Event, anthropic_answer
from streamkit.types import ChatRequest, Message, RawPart, user
from tests.decoding import decode

KEY = "key-0123456789"
ROWS: dict[str, type[KeyedProvider]] = {
    row.name: row for row in (getattr(compatible_messages, name) for name in compatible_messages.__all__)
}
ADDRESSES = {
    "deepseek-anthropic": ("https://api.deepseek.com/anthropic", "x-api-key"),
    "minimax-anthropic": ("https://api.minimax.io/anthropic", "x-api-key"),
    "moonshot-anthropic": ("https://api.moonshot.ai/anthropic", "Authorization"),
    "openrouter-anthropic": ("https://openrouter.ai/api", "Authorization"),
    "zai-anthropic": ("https://api.z.ai/api/anthropic", "Authorization"),
}
EACH = pytest.mark.parametrize("name", sorted(ROWS))
REQUEST = ChatRequest(model="m-1", messages=(user("Hi"),))


@EACH
def test_where_a_request_goes(name: str) -> None:
    """A request goes to v1/messages under the service's address, the key in the header that the service asks for."""
    provider = ROWS[name](KEY)
    sent = provider.codec.encode(REQUEST, provider)
    address, header = ADDRESSES[name]

    assert (name, address) == (provider.name, provider.base_url)
    assert f"{address}/v1/messages" == sent.url
    assert {header: f"Bearer {KEY}" if header == "Authorization" else KEY} == {
        name: secret.expose() for name, secret in sent.secrets.items()
    }
    assert ("m-1", "2023-06-01") == (json.loads(sent.body)["model"], sent.headers["anthropic-version"])


@EACH
def test_where_models_are_listed(name: str) -> None:
    """The list of models is asked for at v1/models, with the same key."""
    provider = ROWS[name](KEY)
    sent = provider.codec.list_models(provider)

    assert (f"{ADDRESSES[name][0]}/v1/models?limit=1000", "GET") == (sent.url, sent.method)
    assert provider.codec.encode(REQUEST, provider).secrets == sent.secrets


@EACH
def test_keys_and_addresses_are_looked_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key its variable is named; address and key are found in the environment."""
    row = ROWS[name]
    for variable in row.key_variables:
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigError, match=f"^{name} not configured: .*{row.key_variables[0]}"):
        row()
    monkeypatch.setenv(row.key_variables[-1], KEY)
    monkeypatch.setenv(row.base_url_variable or "", "http://127.0.0.1:1/")
    provider = row.from_env()
    secret = provider.secret()

    assert secret is not None
    assert ("http://127.0.0.1:1", KEY) == (provider.base_url, secret.expose())


@EACH
def test_a_key_of_the_users_own_header_is_refused(name: str) -> None:
    """A header that would replace the key is refused; others go along."""
    provider, header = ROWS[name](KEY), ADDRESSES[name][1].lower()
    sent = provider.codec.encode(ChatRequest(model="m", messages=(user("Hi"),), headers={"X-Title": "t"}), provider)

    assert "t" == sent.headers["X-Title"]
    with pytest.raises(ConfigError, match="api_key"):
        provider.codec.encode(ChatRequest(model="m", messages=(user("Hi"),), headers={header: "t"}), provider)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("deepseek-anthropic", {"thinking_budget": 2000}),
        ("deepseek-anthropic", {"top_k": 3}),
        ("minimax-anthropic", {"top_k": 3}),
        ("minimax-anthropic", {"stop": ("x",)}),
        ("openrouter-anthropic", {"seed": 3}),
    ],
)
def test_what_a_service_cannot_do_is_refused(name: str, fields: dict[str, Any]) -> None:
    """What it would pass over, or Anthropic's API does not know, is an error that names the service."""
    provider = ROWS[name](KEY)
    with pytest.raises(ConfigError, match=f"^{name}: it knows no"):
        provider.codec.encode(attrs.evolve(REQUEST, **fields), provider)


def test_capabilities_are_the_services() -> None:
    """They are told apart from Anthropic's own."""
    deepseek, openrouter = ROWS["deepseek-anthropic"](KEY), ROWS["openrouter-anthropic"](KEY)

    assert (False, True) == (deepseek.capabilities.thinking_budget, openrouter.capabilities.thinking_budget)


@EACH
def test_an_answer_is_read(name: str) -> None:
    """An answer is read as Anthropic's, under the service's own name."""
    blocks = [step.encode() for step in anthropic_answer("Hello", thinking="Hm.") if isinstance(step, Event)]
    decoded = decode(ROWS[name](KEY), blocks)

    assert ("Hello", "Hm.", None) == (decoded.response.text, decoded.response.thinking, decoded.error)


def test_blocks_that_only_a_service_understands() -> None:
    """They go back to the service that gave them; those of the anthropic package, which bear its name, to any."""
    start = {"type": "content_block_start", "index": 0, "content_block": {"type": "new_thing", "a": 1}}
    events = [
        {"type": "message_start", "message": {}},
        start,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ]
    zai, minimax = ROWS["zai-anthropic"](KEY), ROWS["minimax-anthropic"](KEY)
    (message,) = decode(zai, [Event(json.dumps(event)).encode() for event in events]).response.messages
    searched = Message(role="assistant", content=[RawPart(provider="anthropic", block={"type": "server_tool_use"})])

    def kinds(provider: KeyedProvider) -> list[str]:
        request = attrs.evolve(REQUEST, messages=(user("Hi"), message, searched, user("And?")))
        turns = json.loads(provider.codec.encode(request, provider).body)["messages"]
        return [block["type"] for turn in turns if turn["role"] == "assistant" for block in turn["content"]]

    assert (["new_thing", "server_tool_use"], ["server_tool_use"]) == (kinds(zai), kinds(minimax))
