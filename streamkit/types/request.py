"""ChatRequest: all that a user asked of a model, before any provider has put it into its own words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import attrs

from streamkit.errors import ConfigError
from streamkit.types.messages import Message

__all__ = ["AnyTool", "ChatRequest", "ResponseFormat", "Tool"]


@attrs.frozen(kw_only=True)
class Tool:
    """A tool by hand. `parameters` is a JSON Schema; `execute` takes its keys as keyword arguments.

    Without `execute` the model's call is only reported. `timeout` is in seconds for one run; `sequential` keeps it
    from running beside another tool of the same step.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = attrs.field(factory=lambda: {"type": "object", "properties": {}})
    execute: Callable[..., Any] | None = None
    timeout: float | None = None
    sequential: bool = False

    @classmethod
    def of(cls, like: AnyTool) -> Tool:
        """Give a `Tool` for itself, a decorated function, or a dict in the openai or anthropic shape."""
        if isinstance(like, Tool):
            return like
        made = getattr(like, "tool", None)
        if isinstance(made, Tool):
            return made
        if isinstance(like, Mapping):
            function = like.get("function") if like.get("type") == "function" and "function" in like else like
            if isinstance(function, Mapping) and isinstance(function.get("name"), str):
                schema = (
                    function.get("parameters") or function.get("input_schema") or {"type": "object", "properties": {}}
                )
                return cls(name=function["name"], description=function.get("description") or "", parameters=schema)
            raise ConfigError("a tool dict needs a name and parameters (a JSON Schema)")
        raise ConfigError(f"{like!r} is no tool: give a Tool, or a dict with name, description and parameters")


AnyTool = Tool | Callable[..., Any] | Mapping[str, Any]


@attrs.frozen(kw_only=True)
class ResponseFormat:
    """How the answer is to be shaped: `text`, any `json` object, or a JSON `schema` (then with a `name`)."""

    type: Literal["text", "json", "schema"]
    schema: Mapping[str, Any] | None = None
    name: str = "answer"
    strict: bool = True


@attrs.frozen(kw_only=True)
class ChatRequest:
    """One request. None or empty means: not asked for, so not sent."""

    model: str
    messages: tuple[Message, ...] = ()
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None
    """auto, none, required, or the name of a tool."""
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    thinking: bool = False
    thinking_budget: int | None = None
    reasoning_effort: str | None = None
    prompt_caching: bool = False
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    provider_options: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def system(self) -> tuple[Message, ...]:
        """The system messages, in order."""
        return tuple(m for m in self.messages if m.role == "system")

    @property
    def conversation(self) -> Sequence[Message]:
        """The messages that are not system messages, in order."""
        return [m for m in self.messages if m.role != "system"]
