"""Hooks: observers of what happens, and the small values they are given."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from streamkit import lazy_attrs as attrs
from streamkit.errors import ContextError, StreamKitError, ToolError
from streamkit.types.chunks import Chunk
from streamkit.types.messages import ImagePart
from streamkit.types.request import ChatRequest
from streamkit.types.response import ChatResponse, Step, ToolCall
from streamkit.types.usage import Usage

__all__ = ["Hooks", "RequestInfo", "ResponseInfo", "RetryInfo", "ToolCallInfo", "observe"]

logger = logging.getLogger("streamkit")


@attrs.frozen(kw_only=True)
class RequestInfo:
    """Before each request is made: each step (1-based), not each retry.

    It prints without `request`, which holds all that the model is told; `base_url` is the provider's address, "" where
    there is none (yet).
    """

    provider: str
    model: str
    message_count: int
    tool_count: int
    step: int
    streaming: bool = True
    base_url: str = ""
    request: ChatRequest | None = attrs.field(default=None, repr=False, eq=False)
    """What is asked: messages, settings, tools. None only in an info made by hand. Infos are compared without it."""


@attrs.frozen(kw_only=True)
class ResponseInfo:
    """After each step is drained, once for each `RequestInfo`, also when opening failed (`ttft` None, `usage` zero).

    `latency` and `ttft` are seconds from the request.
    """

    provider: str
    model: str
    step: int
    latency: float
    ttft: float | None
    usage: Usage
    finish_reason: str | None
    status: int | None
    request_id: str | None
    error: StreamKitError | None


@attrs.frozen(kw_only=True)
class ToolCallInfo:
    """`on_tool_call_start`: before a tool runs (`output`, `error`, `elapsed` None). `on_tool_call`: after."""

    step: int
    tool_call: ToolCall
    output: str | None = None
    images: tuple[ImagePart, ...] = ()
    error: ToolError | None = None
    elapsed: float | None = None


@attrs.frozen(kw_only=True)
class RetryInfo:
    """Before a retry: `attempt` (1-based) failed with `error`; the next begins after `delay` seconds."""

    attempt: int
    delay: float
    error: StreamKitError


@attrs.frozen(kw_only=True)
class Hooks:
    """Observers. Each runs on the thread where the thing happens, must be quick, and cannot change anything.

    An exception in one is logged under `streamkit` and goes no further. `a | b` runs a's, then b's. `on_finish` fires
    once, on success only; `on_error` once, on failure but for a cancel or a passed deadline, which are `on_cancel`.
    """

    on_request: Callable[[RequestInfo], object] | None = None
    on_response: Callable[[ResponseInfo], object] | None = None
    on_chunk: Callable[[Chunk], object] | None = None
    on_tool_call_start: Callable[[ToolCallInfo], object] | None = None
    on_tool_call: Callable[[ToolCallInfo], object] | None = None
    on_step_finish: Callable[[Step], object] | None = None
    on_finish: Callable[[ChatResponse], object] | None = None
    on_retry: Callable[[RetryInfo], object] | None = None
    on_error: Callable[[StreamKitError], object] | None = None
    on_cancel: Callable[[ContextError], object] | None = None

    def __or__(self, other: Hooks) -> Hooks:
        """Give hooks that run these, then the other's."""
        names = [field.name for field in attrs.fields(Hooks)]
        return Hooks(**{name: _both(getattr(self, name), getattr(other, name)) for name in names})


def observe(hook: Callable[[Any], object] | None, value: Any) -> None:
    """Call a hook, if there is one; log what it raises."""
    if hook is not None:
        try:
            hook(value)
        except Exception:
            logger.exception("a hook raised; the stream goes on")


def _both(first: Callable[[Any], object] | None, second: Callable[[Any], object] | None) -> Any:
    if first is None or second is None:
        return first or second

    def both(value: Any) -> None:
        observe(first, value)
        observe(second, value)

    return both
