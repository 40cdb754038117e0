"""Answers that go on after they were cut: `stream_with_retry` by itself, `resume` later, once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal

from streamkit import lazy_attrs as attrs
from streamkit.call import Call
from streamkit.client import ChatBuilder
from streamkit.context import Context
from streamkit.errors import ConfigError, StreamKitError
from streamkit.loops.answer import Way
from streamkit.loops.fallback import Fallback
from streamkit.loops.reattach import reattached
from streamkit.loops.resume import ResumeLoop
from streamkit.loops.state import StreamState
from streamkit.settings import RetryPolicy
from streamkit.stream import ChatStream
from streamkit.types.messages import Message, TextPart, assistant, user
from streamkit.types.response import ChatResponse

__all__ = ["ResumeMode", "StreamState", "resume", "stream_with_retry"]

ResumeMode = Literal["auto", "native", "prefill", "prompt"]
"""How an answer is gone on with.

"native" reads the same answer once more, where the provider keeps it (OpenAI's Responses with `background`); "prefill"
sends what there is as the beginning of the answer, where the provider goes on with such; "prompt" asks for the rest in
words. "auto" takes the first of these that can be had.
"""

_WAYS: dict[str, tuple[Way, ...]] = {
    "auto": ("native", "prefill", "prompt"),
    "native": ("native",),
    "prefill": ("prefill",),
    "prompt": ("prompt",),
}

_PROMPT = """Continue from where you left off. You were writing:
---
{}
---
Continue immediately without repeating."""
_QUOTED = 2000
"""Characters of the answer that the prompt quotes. All of it stands in the conversation, as what the model said."""


def stream_with_retry(
    chat: ChatBuilder,
    *,
    max_retries: int = 3,
    mode: ResumeMode = "auto",
    state: StreamState | None = None,
    retry_policy: RetryPolicy | None = None,
    on_resume: Callable[[StreamState, StreamKitError], object] | None = None,
    ctx: Context | None = None,
) -> ChatStream:
    """Open a stream that goes on by itself when it is cut: one unbroken run of chunks, without repetitions.

    Blocks until the first answer is open. Cancels, deadlines and permanent errors end it at once, and so does a cut
    after a tool call had begun. `usage` is the sum of what all attempts reported.

    The first chunk after a seam has `metadata["resumed"]`: `attempt` (its number, the first being 1), `mode` (the way
    that was taken; "again" where there was no text yet) and `error` (what had cut the answer). The last chunk's
    metadata and `response.provider_metadata` have `attempts`: of each its number, mode, id, chunks, the characters of
    overlap that were removed, whether its usage was reported, and its error. The text is kept also where the builder
    says `accumulate(False)`.

    Args:
        chat: what is asked.
        max_retries: how often to go on, beside the client's own retries of opening; 0 for never.
        mode: how to go on.
        state: from before: only what is new passes, and the response is the whole.
        retry_policy: the delays before going on; the builder's by default.
        on_resume: an observer, called on the stream's thread before each delay with the state so far and the error.
        ctx: ends the stream when it ends, in a delay, too.

    Raises:
        RetriesExhausted: the last attempt failed, too, before an answer was open; later it reaches `stream.err`. It has
            all that came in `partial`, and `state` to go on from.
        ConfigError: this mode cannot be had; an answer like this one cannot be continued.
    """
    if not isinstance(max_retries, int) or max_retries < 0:
        raise ConfigError(f"max_retries={max_retries!r}: must be a whole number, 0 or more")
    loop = ResumeLoop(
        functools.partial(_ask, chat),
        _ways(chat, mode),
        known=_continuable(state or StreamState()),
        max_retries=max_retries,
        policy=retry_policy,
        on_resume=on_resume,
        gives_up=True,
    )
    return _start(chat, loop, ctx)


def resume(
    chat: ChatBuilder,
    state: StreamState | ChatResponse | StreamKitError,
    *,
    mode: ResumeMode = "auto",
    ctx: Context | None = None,
) -> ChatStream:
    """Go on once with an answer that was cut: only what is new passes, and `final.text` is the whole.

    Blocks until the answer is open. An empty state asks from the beginning. The first chunk is marked as those of
    `stream_with_retry` are. If this attempt fails, too, its error has all that came so far in `partial`.

    Raises:
        ConfigError: this mode cannot be had; the answer is whole already, has several steps or a tool call begun, or is
            held to a JSON form, of which a rest is none.
    """
    known = state if isinstance(state, StreamState) else _state_of(state)
    loop = ResumeLoop(functools.partial(_ask, chat), _ways(chat, mode), known=_continuable(known))
    return _start(chat, loop, ctx)


def _start(chat: ChatBuilder, loop: ResumeLoop, ctx: Context | None) -> ChatStream:
    call = chat.call()
    timeouts = (call.calls[0] if isinstance(call, Fallback) else call).timeouts
    # Each attempt has a clock of its own for the time between chunks: the stream's would end the stream.
    return chat.timeouts(attrs.evolve(timeouts, stall=None)).start(loop.batches, ctx, made_of=loop)


def _ways(chat: ChatBuilder, mode: ResumeMode) -> tuple[Way, ...]:
    """The ways that a mode allows; `ConfigError` where it is one that cannot be had of this provider."""
    if not isinstance(chat, ChatBuilder):
        raise ConfigError(
            f"{type(chat).__name__} cannot be asked again: give what opens it, as client.chat(...).user(...)"
        )
    if mode not in _WAYS:
        raise ConfigError(f"mode={mode!r}: use one of {', '.join(_WAYS)}")
    if mode != "auto":
        probe = StreamState(partial_content="x", response_id="x")
        _ask(chat, _WAYS[mode][0], probe, index=0).check()
    return _WAYS[mode]


def _state_of(source: ChatResponse | StreamKitError) -> StreamState:
    response = source.partial if isinstance(source, StreamKitError) else source
    if isinstance(response, ChatResponse) and len(response.steps) > 1:
        raise ConfigError("this answer has several steps, with tools: go on with .messages(partial.messages) instead")
    return StreamState.of(source)


def _continuable(state: StreamState) -> StreamState:
    if not isinstance(state, StreamState):
        raise ConfigError(f"{type(state).__name__} is no state: give a StreamState, such as StreamState.load(path)")
    if state.complete:
        raise ConfigError("this answer is complete: there is nothing to resume")
    if state.tool_calls:
        raise ConfigError("this answer had begun a tool call, which might be made twice: ask anew")
    return state


def _ask(chat: ChatBuilder, way: Way, state: StreamState, *, index: int) -> Call | Fallback:
    """The call that goes on with an answer; `ConfigError` where there is none of this way."""
    if way == "again":
        return chat.call(index=index)
    if way == "native":
        return _native(chat.call(index=index), state.response_id)
    if chat.request.response_format is not None and chat.request.response_format.type != "text":
        raise ConfigError("an answer in a JSON form cannot be gone on with, as its rest alone has none: ask anew")
    if way == "prompt":
        *said, answer = _with_answer(chat, state.partial_content)
        quoted = answer.text if len(answer.text) <= _QUOTED else f"…{answer.text[-_QUOTED:]}"
        return chat.instead([*said, answer, user(_PROMPT.format(quoted))]).call(index=index)
    # White space at the end is refused by some, and misleads the others: what comes of it again is left out.
    call = chat.instead(_with_answer(chat, state.partial_content.rstrip())).call(index=index)
    for one in call.calls if isinstance(call, Fallback) else (call,):
        if not one.provider.capabilities.prefill:
            raise ConfigError(f"{one.provider.name}: it goes on with no answer that was begun: use mode='prompt'")
    return call


def _native(call: Call | Fallback, id: str | None) -> Call:
    if isinstance(call, Fallback):
        raise ConfigError("an answer of one of several models cannot be read again: use mode='prompt' or 'auto'")
    if id is None:
        raise ConfigError("the answer has no id by which it could be read again: use mode='prompt' or 'auto'")
    return reattached(call, id)


def _with_answer(chat: ChatBuilder, text: str) -> list[Message]:
    """The conversation with the answer so far, which goes on with one that the user had begun."""
    *said, last = chat.request.messages or (user(""),)
    if last.role != "assistant":
        return [*chat.request.messages, assistant(text)]
    if chat.capabilities.prefill_gives == "whole" and text.startswith(last.text):
        return [*said, assistant(text)]
    if any(not isinstance(part, TextPart) for part in last.content):
        return [*said, assistant([*last.content, TextPart(text=text)])]
    return [*said, assistant(last.text + text)]
