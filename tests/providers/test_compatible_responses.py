"""Services that speak the Responses API: each row's address, key and recordings."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from streamkit.errors import ConfigError
from streamkit.providers import compatible_responses
from streamkit.providers.keyed import KeyedProvider
from streamkit.types import ChatRequest, ResponseFormat, user
from tests.corpus import transcripts
from tests.decoding import decode, difference

KEY = "key-0123456789"
ROWS: dict[str, type[KeyedProvider]] = {
    row.name: row for row in (getattr(compatible_responses, name) for name in compatible_responses.__all__)
}
ADDRESSES = {
    "azure-responses": "https://my-resource.openai.azure.com/openai/v1",
    "deepseek-responses": "https://api.deepseek.com",
    "lmstudio-responses": "http://localhost:1234/v1",
    "openrouter-responses": "https://openrouter.ai/api/v1",
    "xai-responses": "https://api.x.ai/v1",
}
EACH = pytest.mark.parametrize("name", sorted(ROWS))
REQUEST = ChatRequest(model="m-1", messages=(user("Hi"),))


def made(name: str) -> KeyedProvider:
    """The provider of a row."""
    return ROWS[name](KEY, **({"resource": "my-resource"} if name == "azure-responses" else {}))


@EACH
def test_where_a_request_goes(name: str) -> None:
    """A request goes to responses under the service's address, models are listed beside it, with the same key."""
    provider = made(name)
    sent, listed = provider.codec.encode(REQUEST, provider), provider.codec.list_models(provider)

    assert (name, ADDRESSES[name]) == (provider.name, provider.base_url)
    assert (f"{ADDRESSES[name]}/responses", f"{ADDRESSES[name]}/models") == (sent.url, listed.url)
    assert {"Authorization": f"Bearer {KEY}"} == {name: secret.expose() for name, secret in sent.secrets.items()}
    assert sent.secrets == listed.secrets
    assert ("m-1", False) == (json.loads(sent.body)["model"], json.loads(sent.body)["store"])


@EACH
def test_keys_are_looked_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key its variable is named, unless the server may do without."""
    row = ROWS[name]
    for variable in row.key_variables:
        monkeypatch.delenv(variable, raising=False)
    if row.needs_key:
        with pytest.raises(ConfigError, match=f"^{name} not configured: .*{row.key_variables[0]}"):
            row()
    else:
        assert row().secret() is None


@pytest.mark.parametrize(
    ("name", "model", "expected"),
    [
        ("xai-responses", "grok-4.3", ["reasoning.encrypted_content"]),
        ("xai-responses", "grok-3", None),
        ("openrouter-responses", "openai/gpt-5-mini", ["reasoning.encrypted_content"]),
        ("azure-responses", "gpt-5-mini", ["reasoning.encrypted_content"]),
        ("deepseek-responses", "deepseek-flash", None),
        ("lmstudio-responses", "openai/gpt-oss-20b", None),
    ],
)
def test_who_is_asked_for_encrypted_thinking(name: str, model: str, expected: list[str] | None) -> None:
    """Services that give thinking as text only are not asked for it in another form."""
    provider = made(name)
    request = ChatRequest(model=model, messages=(user("Hi"),))

    assert expected == json.loads(provider.codec.encode(request, provider).body).get("include")


@pytest.mark.parametrize(("name", "refused"), [("azure-responses", True), ("xai-responses", False)])
def test_who_holds_schemas_to_openais_rules(name: str, refused: bool) -> None:
    """Where OpenAI's models are served, a strict schema that they would refuse is not sent."""
    provider = made(name)
    open_schema = ResponseFormat(type="schema", schema={"type": "object", "properties": {"a": {"type": "string"}}})
    request = attrs.evolve(REQUEST, response_format=open_schema)
    if refused:
        with pytest.raises(ConfigError, match=r"^azure-responses: the schema cannot be sent"):
            provider.codec.encode(request, provider)
    else:
        assert "json_schema" in provider.codec.encode(request, provider).body.decode()


def test_a_server_of_this_machine_is_asked_past_proxies() -> None:
    """No proxy could reach LM Studio on this machine; a service is asked by the environment's."""
    here, there = made("lmstudio-responses"), made("xai-responses")

    assert [True, True, False] == [
        here.codec.encode(REQUEST, here).direct,
        here.codec.list_models(here).direct,
        there.codec.encode(REQUEST, there).direct,
    ]


RECORDED = [
    pytest.param(name, meta["expected"], body, id=path)
    for path, meta, body in transcripts("openai-responses")
    if (name := f"{path.partition('/')[0]}-responses") in ROWS and meta["status"] < 400
]


@pytest.mark.parametrize(("name", "expected", "body"), RECORDED)
def test_a_recorded_answer(name: str, expected: dict[str, Any], body: bytes) -> None:
    """What was recorded of a service is read by its own row exactly."""
    assert {} == difference(expected, decode(made(name), [body]))
