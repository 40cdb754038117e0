"""stream_text, generate_text, stream_object, generate_object: one call that does it all.

A model and what to ask of it become a builder, the loop over its calls becomes the stream; no other wire path.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, overload

from streamkit.call import Call
from streamkit.client import ChatBuilder, client_of
from streamkit.codec import Model
from streamkit.consumers.objects import ObjectResult, ObjectStream
from streamkit.consumers.text import TextStream
from streamkit.context import Context
from streamkit.errors import ConfigError, printable
from streamkit.hooks import Hooks, RequestInfo, ResponseInfo, ToolCallInfo
from streamkit.loops.fallback import Fallback
from streamkit.loops.objects import ObjectLoop
from streamkit.loops.tools import StepPlan, ToolLoop
from streamkit.object_request import ObjectMode, asked_for_object
from streamkit.settings import RetryPolicy, Timeouts
from streamkit.tools import StopWhen, ToolDecision
from streamkit.typed import json_schema, of_schema, typed
from streamkit.types.chunks import Chunk
from streamkit.types.messages import Message, MessageLike
from streamkit.types.request import AnyTool
from streamkit.types.response import ChatResponse, Step, ToolCall

__all__ = ["ObjectMode", "generate_object", "generate_text", "stream_object", "stream_text", "text_stream"]

T = TypeVar("T")


def stream_text(
    model: Model | str,
    *,
    prompt: str | None = None,
    system: str | None = None,
    messages: Sequence[MessageLike] = (),
    tools: Sequence[AnyTool] = (),
    tool_choice: str = "auto",
    max_steps: int = 5,
    stop_when: StopWhen | None = None,
    prepare_step: Callable[[Sequence[Step]], StepPlan | None] | None = None,
    approve: Callable[[ToolCall], ToolDecision] | None = None,
    max_tool_workers: int = 8,
    temperature: float | None = None,
    max_tokens: int | None = None,
    top_p: float | None = None,
    stop: Sequence[str] = (),
    seed: int | None = None,
    thinking_budget: int | None = None,
    reasoning_effort: str | None = None,
    headers: Mapping[str, str] | None = None,
    provider_options: Mapping[str, Any] | None = None,
    retry_policy: RetryPolicy | None = None,
    timeout: float | None = None,
    timeouts: Timeouts | None = None,
    ctx: Context | None = None,
    hooks: Hooks | None = None,
    on_request: Callable[[RequestInfo], object] | None = None,
    on_response: Callable[[ResponseInfo], object] | None = None,
    on_chunk: Callable[[Chunk], object] | None = None,
    on_tool_call: Callable[[ToolCallInfo], object] | None = None,
    on_step_finish: Callable[[Step], object] | None = None,
    on_finish: Callable[[ChatResponse], object] | None = None,
) -> TextStream:
    """Start a generation, with tools over several steps where there are any.

    Blocks until the first answer is open; raises what goes wrong before (after `on_response`), later errors are the
    stream's.

    Args:
        model: "openai:gpt-4o" (key from keystore or environment; the process shares one client per provider),
            `provider.model(...)`, or `client.model(...)` to ask through that client.
        prompt: what the user says last.
        system: the system prompt.
        messages: the conversation so far, between `system` and `prompt`; without a prompt there must be some.
        tools: functions marked with `tool`, `Tool`s, or dicts. One without a function is only reported, which ends the
            loop after its step.
        tool_choice: "auto", "none", "required" or a tool's name, for every step: see `prepare_step`.
        max_steps: model calls at most; after the last one no tool is run, so 1 never runs one.
        stop_when: asked after each step's tools, with all steps so far; True ends the loop.
        prepare_step: asked before each step, with all steps so far, what to do otherwise in it.
        approve: asked before each run of a tool, on the stream's thread, which waits for it.
        max_tool_workers: tools that run at the same time.
        temperature: the sampling temperature.
        max_tokens: the bound of each step's answer.
        top_p: sample from the likeliest tokens that make up this share.
        stop: texts that end an answer.
        seed: for the same sampling each time, where the provider can.
        thinking_budget: tokens to think with.
        reasoning_effort: how much to reason, in the provider's words.
        headers: to be sent, too.
        provider_options: to be put into the request's JSON as they are.
        retry_policy: when to open again.
        timeout: seconds for all steps and tools.
        timeouts: all five clocks.
        ctx: ends the stream when it ends.
        hooks: observers, beside the client's own. What `stop_when`, `prepare_step` or `approve` raises, unlike what
            they raise, ends the stream.
        on_request: the same as a single one; so are the next.
        on_response: see `Hooks`.
        on_chunk: see `Hooks`.
        on_tool_call: see `Hooks`.
        on_step_finish: see `Hooks`.
        on_finish: see `Hooks`.
    """
    builder = _builder(
        model,
        prompt=prompt,
        system=system,
        messages=messages,
        temperature=temperature,
        max_tokens=max_tokens,
        top_p=top_p,
        stop=stop,
        seed=seed,
        thinking_budget=thinking_budget,
        reasoning_effort=reasoning_effort,
        headers=headers,
        provider_options=provider_options,
        retry_policy=retry_policy,
        timeout=timeout,
        timeouts=timeouts,
        hooks=(hooks or Hooks()) | Hooks(on_tool_call=on_tool_call),
        on_request=on_request,
        on_response=on_response,
        on_chunk=on_chunk,
        on_step_finish=on_step_finish,
        on_finish=on_finish,
    )
    return text_stream(
        builder,
        tools=tools,
        tool_choice=tool_choice,
        max_steps=max_steps,
        stop_when=stop_when,
        prepare_step=prepare_step,
        approve=approve,
        max_tool_workers=max_tool_workers,
        ctx=ctx,
    )


def text_stream(
    builder: ChatBuilder,
    *,
    tools: Sequence[AnyTool] = (),
    tool_choice: str = "auto",
    max_steps: int = 5,
    stop_when: StopWhen | None = None,
    prepare_step: Callable[[Sequence[Step]], StepPlan | None] | None = None,
    approve: Callable[[ToolCall], ToolDecision] | None = None,
    max_tool_workers: int = 8,
    ctx: Context | None = None,
    on_end: Callable[[ChatResponse], object] | None = None,
) -> TextStream:
    """`stream_text` of what a builder asks for."""
    if not isinstance(tools, Sequence):
        raise ConfigError(f"tools={printable(repr(tools), 100)}: give a list of tools, also of one")
    builder = builder.accumulate(True)  # the loop reads the calls in what was kept, and the views keep all anyway
    if tools:
        builder = builder.tools(tools)
    if tool_choice != "auto":
        builder = builder.tool_choice(tool_choice)
    loop = ToolLoop(
        ask=functools.partial(_ask, builder),
        tools=builder.request.tools,
        max_steps=_at_least_one("max_steps", max_steps),
        stop_when=stop_when,
        prepare_step=prepare_step,
        approve=approve,
        workers=_at_least_one("max_tool_workers", max_tool_workers),
        hooks=builder.observers,
    )
    return TextStream(builder.start(loop.batches, ctx, logs=True, on_end=on_end))


def generate_text(
    model: Model | str,
    *,
    prompt: str | None = None,
    system: str | None = None,
    messages: Sequence[MessageLike] = (),
    tools: Sequence[AnyTool] = (),
    max_steps: int = 5,
    ctx: Context | None = None,
    timeout: float | None = None,
    hooks: Hooks | None = None,
    **options: Any,
) -> ChatResponse:
    """Give the response of `stream_text`, which has the same parameters; blocks to its end, and raises."""
    stream = stream_text(
        model,
        prompt=prompt,
        system=system,
        messages=messages,
        tools=tools,
        max_steps=max_steps,
        ctx=ctx,
        timeout=timeout,
        hooks=hooks,
        **options,
    )
    with _cancelled_by_exceptions(stream):
        return stream.result()


@overload
def stream_object(
    model: Model | str,
    schema: type[T],
    *,
    prompt: str | None = ...,
    system: str | None = ...,
    messages: Sequence[MessageLike] = ...,
    mode: ObjectMode = ...,
    repair: bool = ...,
    ctx: Context | None = ...,
    timeout: float | None = ...,
    hooks: Hooks | None = ...,
    **options: Any,
) -> ObjectStream[T]: ...
@overload
def stream_object(
    model: Model | str,
    schema: object,  # a JSON Schema, or what type checkers do not take for a type: a Literal, a union
    *,
    prompt: str | None = ...,
    system: str | None = ...,
    messages: Sequence[MessageLike] = ...,
    mode: ObjectMode = ...,
    repair: bool = ...,
    ctx: Context | None = ...,
    timeout: float | None = ...,
    hooks: Hooks | None = ...,
    **options: Any,
) -> ObjectStream[Any]: ...
def stream_object(
    model: Model | str,
    schema: Any,
    *,
    prompt: str | None = None,
    system: str | None = None,
    messages: Sequence[MessageLike] = (),
    mode: ObjectMode = "auto",
    repair: bool = False,
    ctx: Context | None = None,
    timeout: float | None = None,
    hooks: Hooks | None = None,
    **options: Any,
) -> ObjectStream[Any]:
    """Start generating an object.

    Blocks until the answer is open; raises what goes wrong before, later errors are the stream's.

    Args:
        model: as for `stream_text`.
        schema: an attrs class, dataclass, TypedDict, named tuple, pydantic model, `list[...]` or `dict[str, ...]` of
            these, an Enum or Literal, or a JSON Schema.
        prompt: what the user says last.
        system: the system prompt.
        messages: the conversation so far, between `system` and `prompt`; without a prompt there must be some.
        mode: how the schema is sent; "auto" takes the first way that the provider takes it in.
        repair: ask once more, with what was wrong, before failing.
        ctx: ends the stream when it ends.
        timeout: seconds for everything.
        hooks: observers, beside the client's own.
        options: temperature, `on_finish` and all that `stream_text` takes but for tools and their loop.

    Raises:
        ConfigError: the type cannot be put into a JSON Schema, or the provider cannot be asked for it in this mode.
    """
    builder = _builder(
        model, prompt=prompt, system=system, messages=messages, timeout=timeout, hooks=hooks, **options
    ).accumulate(True)  # the object is read out of what was kept
    if isinstance(schema, Mapping):
        kind, sent = of_schema(schema), schema
    else:
        kind = typed(schema)
        sent = json_schema(kind)
    wanted, asked = asked_for_object(builder, kind, sent, mode)
    loop = ObjectLoop(ask=functools.partial(_ask, asked), read=wanted.read, repair=repair)
    return ObjectStream(asked.start(loop.batches, ctx, logs=True), wanted, lambda: loop.value)


@overload
def generate_object(model: Model | str, schema: type[T], **options: Any) -> ObjectResult[T]: ...
@overload
def generate_object(model: Model | str, schema: object, **options: Any) -> ObjectResult[Any]: ...
def generate_object(model: Model | str, schema: Any, **options: Any) -> ObjectResult[Any]:
    """Give the result of `stream_object`, which has the same parameters; blocks to its end, and raises."""
    stream = stream_object(model, schema, **options)
    with _cancelled_by_exceptions(stream):
        return stream.result()


@contextlib.contextmanager
def _cancelled_by_exceptions(stream: TextStream | ObjectStream[Any]) -> Iterator[None]:
    """Cancel the stream when its result is no longer waited for, as after Ctrl-C: the traceback would keep it alive."""
    try:
        yield
    except BaseException:
        stream.cancel("the wait for the result was interrupted")  # to a stream that has ended it is nothing
        raise


# -- asking


def _builder(
    model: Model | str,
    *,
    prompt: str | None = None,
    system: str | None = None,
    messages: Sequence[MessageLike] = (),
    hooks: Hooks | None = None,
    timeouts: Timeouts | None = None,
    headers: Mapping[str, str] | None = None,
    provider_options: Mapping[str, Any] | None = None,
    stop: Sequence[str] = (),
    **settings: Any,
) -> ChatBuilder:
    """What every one of these functions asks for. Each of `settings` is a single observer, or a builder's method."""
    unknown = next((name for name in settings if name not in (*_SETTINGS, *_OBSERVERS)), None)
    if unknown is not None:
        known = ", ".join((*(_builder.__kwdefaults__ or ()), *_SETTINGS, *_OBSERVERS))
        raise TypeError(f"unexpected argument {unknown!r}: there are {known}")
    if prompt is None and not messages:
        raise ConfigError("nothing to answer: give a prompt, or messages")
    client, name = client_of(model)
    builder = client.chat(name)
    if system is not None:
        builder = builder.system(system)
    builder = builder.messages(messages)
    if prompt is not None:
        builder = builder.user(prompt)
    if timeouts is not None:
        builder = builder.timeouts(timeouts)
    single = Hooks(**{name: settings.get(name) for name in _OBSERVERS})
    builder = builder.hooks((hooks or Hooks()) | single)
    builder = builder.headers(headers or {}).provider_options(provider_options or {})
    if stop:
        builder = builder.stop(*([stop] if isinstance(stop, str) else stop))
    for setting in _SETTINGS:
        if settings.get(setting) is not None:
            builder = getattr(builder, setting)(settings[setting])
    return builder


_SETTINGS = (
    "temperature",
    "max_tokens",
    "top_p",
    "seed",
    "thinking_budget",
    "reasoning_effort",
    "retry_policy",
    "timeout",
)
_OBSERVERS = ("on_request", "on_response", "on_chunk", "on_step_finish", "on_finish")


def _ask(builder: ChatBuilder, *, step: int, index: int, said: tuple[Message, ...], plan: StepPlan) -> Call | Fallback:
    """The call of a step: what was asked for at first, what has been said since, and what is planned otherwise."""
    if plan.model is not None:
        client, name = client_of(plan.model)
        builder = builder.on(client, name)
    builder = builder.messages(said) if plan.messages is None else builder.instead(plan.messages)
    if plan.tools is not None:
        builder = builder.tools(plan.tools)
    if plan.tool_choice is not None:
        builder = builder.tool_choice(plan.tool_choice)
    return builder.call(step=step, index=index)


def _at_least_one(name: str, n: int) -> int:
    if not isinstance(n, int) or n < 1:
        raise ConfigError(f"{name}={n!r}: must be a whole number, 1 or more")
    return n
