"""ChatRequest: all that a user asked of a model, before any provider has put it into its own words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from streamkit import lazy_attrs as attrs
from streamkit.errors import ConfigError, printable
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
        instead = (
            "mark it with @tool" if callable(like) else "give a Tool, or a dict with name, description and parameters"
        )
        raise ConfigError(f"{printable(repr(like), 100)} is no tool: {instead}")


AnyTool = Tool | Callable[..., Any] | Mapping[str, Any]


@attrs.frozen(kw_only=True)
class ResponseFormat:
    """How the answer is to be shaped: `text`, any `json` object, or a JSON `schema` (then with a `name`)."""

    type: Literal["text", "json", "schema"]
    schema: Mapping[str, Any] | None = None
    name: str = "answer"
    strict: bool = True


def _is(*kinds: type) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    """Make a validator for a value of one of these types, or None; a bool is no number."""

    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise ConfigError(f"{attribute.name} must be {wanted}, not {printable(repr(value), 100)}")

    return check


def _all_texts(_: object, attribute: attrs.Attribute[Any], value: tuple[Any, ...]) -> None:
    if not all(isinstance(text, str) for text in value):
        raise ConfigError(f"{attribute.name} must be texts, not {printable(repr(value), 100)}")


def _tuple(value: Sequence[str]) -> tuple[str, ...]:
    return tuple(value)


_NUMBER, _COUNT, _TEXT, _MAPPING = _is(int, float), _is(int), _is(str), _is(Mapping)


@attrs.frozen(kw_only=True)
class ChatRequest:
    """One request. None or empty means: not asked for, so not sent."""

    model: str = attrs.field(validator=_TEXT)
    messages: tuple[Message, ...] = ()
    temperature: float | None = attrs.field(default=None, validator=_NUMBER)
    max_tokens: int | None = attrs.field(default=None, validator=_COUNT)
    top_p: float | None = attrs.field(default=None, validator=_NUMBER)
    top_k: int | None = attrs.field(default=None, validator=_COUNT)
    stop: tuple[str, ...] = attrs.field(default=(), converter=_tuple, validator=_all_texts)
    seed: int | None = attrs.field(default=None, validator=_COUNT)
    frequency_penalty: float | None = attrs.field(default=None, validator=_NUMBER)
    presence_penalty: float | None = attrs.field(default=None, validator=_NUMBER)
    logprobs: int | None = attrs.field(default=None, validator=_COUNT)
    """How many alternatives to each token are to come with its log probability; 0: none, but its own."""
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = attrs.field(default=None, validator=_TEXT)
    """auto, none, required, or the name of a tool."""
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    thinking: bool = False
    thinking_budget: int | None = attrs.field(default=None, validator=_COUNT)
    reasoning_effort: str | None = attrs.field(default=None, validator=_TEXT)
    prompt_caching: bool = False
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False, validator=_MAPPING)
    provider_options: Mapping[str, Any] = attrs.field(factory=dict, validator=_MAPPING)

    @property
    def system(self) -> tuple[Message, ...]:
        """The system messages, in order."""
        return tuple(m for m in self.messages if m.role == "system")

    @property
    def conversation(self) -> Sequence[Message]:
        """The messages that are not system messages, in order."""
        return [m for m in self.messages if m.role != "system"]
