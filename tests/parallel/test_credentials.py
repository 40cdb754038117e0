"""Keys in a request: none goes to another process, and what is none does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from streamkit import Client, ConfigError
from streamkit.parallel.credentials import refuse_credentials, refuse_keys
from streamkit.providers import OpenAI

CHAT = Client(OpenAI(api_key="sk-very-secret")).chat("m").user("a")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "abc"),
        ("proxy-authorization", "abc"),
        ("Cookie", "session=1"),
        ("x-api-key", "abc"),
        ("api-key", "abc"),
        ("X-Goog-Api-Key", "abc"),
        ("Ocp-Apim-Subscription-Key", "abc"),
        ("x-portkey-api-key", "abc"),
        ("cf-aig-authorization", "abc"),
        ("X-Auth-Token", "abc"),
        ("X-Amz-Security-Token", "abc"),
        ("X-Vault-Token", "abc"),
        ("Helicone-Auth", "Bearer abc"),
        ("X-Mine", "Basic YTpi"),
    ],
)
def test_headers_that_carry_a_credential_are_refused(name: str, value: str) -> None:
    """By what they are called, or hold; the error names the header, and not what is in it."""
    with pytest.raises(ConfigError, match=f"the header {name} carries a credential") as caught:
        refuse_credentials(CHAT.headers({"X-Trace": "1", name: value}))

    assert value not in str(caught.value).removeprefix(f"the header {name}")


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"api_key": "abc"}, "api_key"),
        ({"extra": {"password": "abc"}}, "extra.password"),
        ({"tools": [{"type": "mcp", "authorization": "abc"}]}, r"tools\[0\].authorization"),
        ({"mcp_servers": [{"url": "u", "authorization_token": "abc"}]}, r"mcp_servers\[0\].authorization_token"),
        ({"tools": [{"headers": {"X-Mine": "Bearer abc"}}]}, r"tools\[0\].headers.X-Mine"),
        ({"aws": {"secret_access_key": "abc"}}, "aws.secret_access_key"),
        ({"token": "abc"}, "token"),
        ({"secret": ["abc"]}, r"secret\[0\]"),
    ],
)
def test_options_that_carry_a_credential_are_refused(options: Mapping[str, Any], path: str) -> None:
    """At any depth; the error says where."""
    with pytest.raises(ConfigError, match=f"provider_options: {path} carries a credential"):
        refuse_credentials(CHAT.provider_options(options))


def test_other_headers_and_options_travel() -> None:
    """Also those whose names are like it."""
    headers = {"X-Trace": "1", "Idempotency-Key": "abc", "anthropic-beta": "tokens", "OpenAI-Organization": "org"}
    options = {
        "max_tokens": 5,
        "prompt_cache_key": "abc",
        "eos_token": "</s>",
        "stop_token_ids": [1],
        "secret": None,
        "user": "bearer",
    }
    refuse_credentials(CHAT.headers(headers).provider_options(options))


def test_the_client_s_own_key_is_found_wherever_it_stands() -> None:
    """Short ones are words; one that a function gives is not known before it is asked."""
    refuse_keys(CHAT.client, b"...sk-very-secre...")
    refuse_keys(Client(OpenAI(api_key="test")), b"a test")
    refuse_keys(Client(OpenAI(api_key=lambda: "sk-very-secret")), b"sk-very-secret")
    with pytest.raises(ConfigError, match="key of openai") as caught:
        refuse_keys(CHAT.client, b"...sk-very-secret...")

    assert "sk-very-secret" not in str(caught.value)
