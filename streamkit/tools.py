"""Tools: Python functions that a model may call, what may be decided about a call, and when a loop of calls ends.

`tool` makes a `Tool` of a typed function; `run_tool` runs one with the arguments a model gave. Nothing here knows
threads: those are in `tool_runs`.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import functools
import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, overload

from streamkit import lazy_attrs as attrs
from streamkit.context import Context
from streamkit.errors import ConfigError, ToolError, printable
from streamkit.instance import Mismatch, check_instance
from streamkit.jsontext import scrub
from streamkit.typed import TypedArguments, parameters_of, typed_arguments
from streamkit.types.messages import FilePart, ImagePart, TextPart
from streamkit.types.request import Tool
from streamkit.types.response import Step

__all__ = ["StopWhen", "ToolDecision", "ToolOutput", "has_tool_call", "in_words", "run_tool", "step_count_is", "tool"]

F = TypeVar("F", bound=Callable[..., Any])

StopWhen = Callable[[Sequence[Step]], bool]
"""Asked after each step's tools with all steps so far; True ends the loop."""

_PARTS = (TextPart, ImagePart, FilePart)
_MAX_MESSAGE = 2_000
"""Characters of an exception that the model is told."""


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(
    *, name: str | None = None, description: str | None = None, timeout: float | None = None, sequential: bool = False
) -> Callable[[F], F]: ...
def tool(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    sequential: bool = False,
) -> Any:
    """Mark a typed function as a tool; it stays callable as before, and `function.tool` is its `Tool`.

    Name, description and the texts of the parameters come from the function's name and docstring, the schema from its
    annotations. A parameter annotated `Context` gets the running context and is not shown to the model. What the
    function returns goes to the model as it is when it is a str, else as JSON; an `ImagePart`, or a list of texts and
    such, as text and images; what it raises, as an error result.

    Args:
        function: what to decorate.
        name: instead of the function's own.
        description: instead of the docstring's.
        timeout: seconds for one run; then the model gets an error, and the thread is left to end by itself.
        sequential: never beside another tool of the same step.

    Raises:
        ConfigError: a parameter has no annotation, or one that is no JSON; the function is a coroutine; no API takes
            the name; `timeout` is not above 0.
    """
    if function is None:
        return functools.partial(tool, name=name, description=description, timeout=timeout, sequential=sequential)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigError(f"{function.__name__} is a coroutine: tools run on threads; give a plain function")
    if timeout is not None and not timeout > 0:
        raise ConfigError(f"tool(timeout={timeout}): give seconds above 0, or None for no limit")
    arguments, contexts = typed_arguments(function, hidden=Context)
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name or arguments.name):
        raise ConfigError(f"{name or arguments.name!r} is no name for a tool: give one of letters, digits, _ and -")
    made = Tool(
        name=name or arguments.name,
        description=arguments.description if description is None else description,
        parameters=arguments.schema,
        execute=_TypedFunction(function, arguments, contexts),
        timeout=timeout,
        sequential=sequential,
    )
    if inspect.ismethod(function):  # it takes no attributes
        bound = function
        function = functools.wraps(bound)(lambda *args, **kwargs: bound(*args, **kwargs))
    function.tool = made
    return function


class _TypedFunction:
    """What a decorated function's `Tool` executes."""

    def __init__(self, function: Callable[..., Any], arguments: TypedArguments, contexts: tuple[str, ...]) -> None:
        self.function = function
        self.arguments = arguments
        self.contexts = contexts
        functools.update_wrapper(self, function)

    def __call__(self, /, **arguments: Any) -> Any:
        """Call the function with values of parsed JSON; without a stream there is a context that nobody cancels."""
        return self.run(arguments, Context())

    def run(self, arguments: Mapping[str, Any], ctx: Context) -> Any:
        values = self.arguments.read(arguments)
        return self.function(**values, **dict.fromkeys(self.contexts, ctx))


@attrs.frozen
class ToolOutput:
    """What the model is told of what a tool returned."""

    text: str
    images: tuple[ImagePart, ...] = ()


def run_tool(tool: Tool, arguments: Any, ctx: Context) -> ToolOutput:
    """Run a tool with the arguments that a model gave, and give what the model is told.

    Raises:
        ToolError: the arguments do not fit, the tool raised, or what it returned cannot be written as JSON.
    """
    try:
        value = _call(tool, arguments, ctx)
    except Mismatch as e:
        raise _error(tool, f"the arguments do not fit: {e}") from e
    except ToolError as e:
        e.tool_name = e.tool_name or tool.name
        raise
    except Exception as e:
        raise _error(tool, _said(e)) from e
    try:
        return _output(value)
    except Exception as e:  # a property of the user's may raise anything
        raise _error(tool, f"what the tool returned cannot be written as JSON: {_said(e)}") from e


def in_words(error: BaseException, write: Callable[[object], str]) -> str:
    """Give what `write` (`str` or `repr`) makes of an exception; "" where that fails: its class may be the user's."""
    try:
        return write(error)
    except BaseException:
        return ""


def _output(value: Any) -> ToolOutput:
    parts = [value] if isinstance(value, _PARTS) else value
    if not isinstance(parts, (list, tuple)) or not any(isinstance(part, _PARTS) for part in parts):
        return ToolOutput(_text(value))
    images = tuple(part for part in parts if isinstance(part, ImagePart))
    others = (part for part in parts if not isinstance(part, ImagePart))
    texts = [part.text if isinstance(part, TextPart) else _beside(part) for part in others]
    return ToolOutput(str(scrub("\n".join(texts))), images)


def _beside(part: Any) -> str:
    if isinstance(part, str):
        return str.__str__(part)
    raise TypeError(f"beside images a tool gives texts only, and no {type(part).__name__}")


def _text(value: Any) -> str:
    """A str as it is, the rest as JSON; without lone surrogates, which no request can carry."""
    if isinstance(value, str):
        return str(scrub(str.__str__(value)))  # of a str enum its value
    return str(scrub(json.dumps(value, ensure_ascii=False, default=_plain)))


def _call(tool: Tool, arguments: Any, ctx: Context) -> Any:
    execute = tool.execute
    assert execute is not None  # of others the call is only reported
    if isinstance(execute, _TypedFunction):
        return execute.run(arguments, ctx)
    if type(arguments) is not dict:
        raise Mismatch("$", "must be an object")
    check_instance(arguments, tool.parameters)
    return execute(**{**arguments, **dict.fromkeys(parameters_of(execute, Context), ctx)})


def _said(error: Exception) -> str:
    """What an exception is and says."""
    text = in_words(error, str)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _error(tool: Tool, message: str) -> ToolError:
    error = ToolError(printable(message, _MAX_MESSAGE))
    error.tool_name = tool.name
    return error


def _plain(value: Any) -> Any:
    """What is no JSON, in the way that most would write it."""
    if isinstance(value, _PARTS):
        raise TypeError(f"a tool gives an {type(value).__name__} by itself or in a list, not within another value")
    if attrs.has(type(value)):
        return {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode("ascii")
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if type(value).__name__ in ("Decimal", "UUID") or hasattr(value, "__fspath__"):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON type: return a str, or what JSON can hold")


# -- decisions


@attrs.frozen(kw_only=True)
class ToolDecision:
    """What `approve` says of a call: run it, perhaps with another input; answer for it; or refuse it."""

    action: Literal["allow", "answer", "refuse"]
    text: str = ""

    @classmethod
    def allow(cls, input: str | None = None) -> ToolDecision:
        """Let it run, with the model's input or with this one (JSON text)."""
        return cls(action="allow", text=input or "")

    @classmethod
    def answer(cls, text: str) -> ToolDecision:
        """Do not run it; this is its result."""
        return cls(action="answer", text=text)

    @classmethod
    def refuse(cls, reason: str) -> ToolDecision:
        """Do not run it; the model is told why."""
        return cls(action="refuse", text=reason)


def step_count_is(n: int) -> StopWhen:
    """Stop after n steps."""
    if n < 1:
        raise ConfigError(f"step_count_is({n}): must be 1 or more")
    return lambda steps: len(steps) >= n


def has_tool_call(name: str) -> StopWhen:
    """Stop after a step that called `name`, and after the tool has run."""
    return lambda steps: any(call.name == name for call in steps[-1].tool_calls) if steps else False
