"""What tells one request from another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamkit import ChatBuilder, Client, ConfigError, RetryPolicy, Tool
from streamkit.parallel.digest import request_digest
from streamkit.providers import Anthropic, OpenAI

CHAT = Client(OpenAI(api_key="a", base_url="http://one")).chat("gpt-4o").user("Hi")


@pytest.mark.parametrize(
    "change",
    [
        lambda chat: chat.user("more"),
        lambda chat: chat.system("S"),
        lambda chat: chat.temperature(0.5),
        lambda chat: chat.max_tokens(5),
        lambda chat: chat.stop("x"),
        lambda chat: chat.tools([Tool(name="f")]),
        lambda chat: chat.tools([Tool(name="f", description="other")]),
        lambda chat: chat.response_format("json"),
        lambda chat: chat.json_schema({"type": "object"}),
        lambda chat: chat.extended_thinking(),
        lambda chat: chat.image(b"\x89PNG\r\n\x1a\n"),
        lambda chat: chat.provider_options({"a": object}),
        lambda chat: chat.on(Client(OpenAI(api_key="a")), "other"),
        lambda chat: chat.on(Client(Anthropic(api_key="a")), "gpt-4o"),
    ],
)
def test_what_shapes_the_answer_counts(change: Callable[[ChatBuilder], ChatBuilder]) -> None:
    """Each of these asks something else."""
    assert request_digest(CHAT) != request_digest(change(CHAT))


@pytest.mark.parametrize(
    "change",
    [
        lambda chat: chat,
        lambda chat: chat.headers({"Authorization": "Bearer x"}),
        lambda chat: chat.timeout(5),
        lambda chat: chat.retry_policy(RetryPolicy(max_retries=0)),
        lambda chat: chat.prompt_caching(),
        lambda chat: chat.on(Client(OpenAI(api_key="b", base_url="http://two")), "gpt-4o"),
    ],
)
def test_how_it_is_asked_does_not(change: Callable[[ChatBuilder], ChatBuilder]) -> None:
    """Key, address, headers, timeouts and retries may change between two runs."""
    assert request_digest(CHAT) == request_digest(change(CHAT))


def test_what_cannot_be_written_is_told() -> None:
    """Keys of two kinds have no order."""
    odd: Any = {1: 1, "a": 2}
    with pytest.raises(ConfigError, match="cannot be told from others"):
        request_digest(CHAT.provider_options(odd))


def test_a_digest_lasts() -> None:
    """Files that were written by an earlier version are read by this one."""
    assert "0d7539b8b77ebfaf6cf6443213f641ee8f13c6566e55a5296acd20f3ca0078a6" == request_digest(CHAT)
