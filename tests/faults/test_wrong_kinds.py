"""Arguments of a wrong kind: each is refused by its name when it is given, not by what it breaks later."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

import pytest

from streamkit import (
    ChatStream,
    Client,
    ConfigError,
    Conversation,
    StreamHandler,
    StreamingClient,
    drive_ui,
    smooth,
    stream_parallel,
    stream_to_multiple,
    stream_with_handler,
    with_progress,
)
from streamkit.providers import OpenAI
from streamkit.testing import ProviderServer
from tests.feeding import text

CALLS: dict[str, tuple[Callable[[Client], Any], str]] = {
    "a class for a provider": (lambda client: Client(OpenAI), "is no provider: give one of"),  # type: ignore[arg-type]
    "hooks": (lambda client: Client(client.provider, hooks=print), "hooks=<built-in function print>: give Hooks"),
    "empty hooks": (lambda client: Client(client.provider, hooks={}), "hooks={}: give Hooks"),
    "hooks of a request": (lambda client: client.chat("m").hooks(print), "hooks=<built-in function print>: give Hooks"),
    "retry_policy": (lambda client: Client(client.provider, retry_policy=5), "retry_policy=5: give one"),
    "timeouts": (lambda client: Client(client.provider, timeouts=3), "timeouts=3: give Timeouts"),
    "timeouts of a request": (lambda client: client.chat("m").timeouts(3), "timeouts=3: give Timeouts"),
    "limits": (lambda client: Client(client.provider, limits=3), "limits=3: give Limits"),
    "buffer": (lambda client: client.chat("m").buffer("9"), "buffer='9': give a number"),
    "ctx": (lambda client: client.chat("m").user("x").get_stream(30), "ctx=30: give a Context"),
    "rate_limit": (lambda client: stream_parallel(client, ["x"], model="m", rate_limit=5), "rate_limit=5: give one"),
    "executor": (lambda client: stream_parallel(client, ["x"], model="m", executor=5), "executor=5: give a"),
    "on_progress": (lambda client: stream_parallel(client, ["x"], model="m", on_progress=5), "on_progress=5: give a"),
    "a conversation's client": (lambda client: Conversation(client), "chat=<Client .*: give a request"),
    "a conversation's model": (lambda client: Conversation("openai:gpt-4o"), "chat='openai:gpt-4o': give a request"),
    "trim": (lambda client: Conversation(client.chat("m"), trim=5), "trim=5: give a function"),
    "swapped": (lambda client: StreamingClient("gpt-4o", client), "client='gpt-4o': give a Client"),
    "destination": (lambda client: stream_to_multiple([text("x")], []), r"destination=\[\]: give a Channel"),
    "interval": (lambda client: smooth([text("x")], "0.1"), "interval='0.1': give seconds"),
    "expected": (lambda client: with_progress([text("x")], "40", print), "expected='40': give a number"),
    "window": (lambda client: drive_ui(client.chat("m").user("x"), object()), "object is no window: it needs"),
    "a class for a handler": (
        lambda client: stream_with_handler([text("x")], StreamHandler),
        r"StreamHandler is a class: give one of it, as in StreamHandler\(\)",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_is_of_a_wrong_kind(name: str, client: Client, server: ProviderServer) -> None:
    """It is named, and said what would do; nobody is asked."""
    call, says = CALLS[name]
    with pytest.raises(ConfigError, match=says):
        call(client)

    assert [] == server.requests


def test_what_is_of_the_right_kind() -> None:
    """A plain queue, whole seconds and a whole number will do."""
    copies: queue.Queue[str | None] = queue.Queue()
    stream = smooth(with_progress([text("x")], 1, queue.Queue()), 0)
    stream_to_multiple(stream, copies)

    assert isinstance(stream, ChatStream)
    assert ["x", None] == [copies.get(timeout=5), copies.get(timeout=5)]
