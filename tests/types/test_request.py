"""Requests and tools: what users may write, and what of it is refused."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from streamkit.errors import ConfigError
from streamkit.types import ChatRequest, Tool, assistant, system, user

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
ADD = Tool(name="add", description="Adds.", parameters=SCHEMA)


def _decorated() -> None:
    """A function that a decorator has made a tool of."""


_decorated.tool = ADD  # type: ignore[attr-defined]  # as the decorator does


@pytest.mark.parametrize(
    "like",
    [
        ADD,
        _decorated,
        {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": SCHEMA}},
        {"name": "add", "description": "Adds.", "input_schema": SCHEMA},
        {"name": "add", "description": "Adds.", "parameters": SCHEMA},
    ],
)
def test_what_is_a_tool(like: Any) -> None:
    """A tool, a decorated function, and dicts as users of the openai and anthropic packages have them."""
    assert ADD == Tool.of(like)


def test_a_tool_without_arguments() -> None:
    """No schema means an object without properties; no description an empty one."""
    assert Tool(name="ping", description="", parameters={"type": "object", "properties": {}}) == Tool.of(
        {"name": "ping"}
    )


@pytest.mark.parametrize(
    "like",
    [None, 5, "add", len, {}, {"type": "function", "function": {}}, {"type": "function", "function": 5}, {"name": 5}],
)
def test_what_is_no_tool(like: Any) -> None:
    """It is refused with a word on what a tool is."""
    with pytest.raises(ConfigError, match="tool"):
        Tool.of(like)


def test_a_function_is_told_what_it_lacks() -> None:
    """It is a decorator away from a tool; what is shown of anything else is short."""
    with pytest.raises(ConfigError, match="is no tool: mark it with @tool"):
        Tool.of(print)
    with pytest.raises(ConfigError) as caught:
        Tool.of("x" * 10_000)  # type: ignore[arg-type]

    assert len(str(caught.value)) < 250


def test_a_request_cannot_be_changed() -> None:
    """A builder can be shared because what it holds is frozen."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        ChatRequest(model="m").model = "n"  # type: ignore[misc]


def test_system_and_conversation() -> None:
    """The two together are all messages, each in its order."""
    messages = (system("a"), user("b"), system("c"), assistant("d"))
    request = ChatRequest(model="m", messages=messages)

    assert ((messages[0], messages[2]), [messages[1], messages[3]]) == (request.system, request.conversation)


def test_what_a_repr_leaves_out() -> None:
    """Headers may carry credentials."""
    assert "hidden" not in repr(ChatRequest(model="m", headers={"X-Key": "hidden"}))


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": "hot"},
        {"temperature": True},
        {"max_tokens": 1.5},
        {"top_p": []},
        {"top_k": "5"},
        {"stop": (1,)},
        {"seed": "x"},
        {"tool_choice": 5},
        {"thinking_budget": 5000.0},
        {"reasoning_effort": 3},
        {"headers": "X-A: b"},
        {"provider_options": [1]},
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_name(fields: dict[str, Any]) -> None:
    """It is refused where it is set, before any provider's codec can stumble over it."""
    with pytest.raises(ConfigError, match=next(iter(fields))):
        ChatRequest(model="m", **fields)
