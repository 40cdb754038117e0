"""ChatResponse, and the one fold that makes it from chunks.

Live streams, replays, fan-outs and resumed streams all use this fold; so a response never depends on how its chunks
came. What a cut stream had reported but no chunk carries (usage, id and model, before the step's end) the fold takes
from the `StepState` that its decoder fills.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from streamkit import lazy_attrs as attrs
from streamkit.types.chunks import (
    Chunk,
    ErrorChunk,
    FinishChunk,
    ResponseInfoFields,
    Source,
    SourceChunk,
    StepFinishChunk,
    TextChunk,
    ThinkingChunk,
    ToolCallChunk,
    ToolCallDeltaChunk,
    ToolCallStartChunk,
    ToolResultChunk,
)
from streamkit.types.messages import (
    ImagePart,
    Message,
    Part,
    RawPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from streamkit.types.usage import Usage

__all__ = ["ChatResponse", "Fold", "Step", "StepState", "StopCause", "TextResult", "ToolCall", "ToolResult"]

StopCause = Literal["natural", "max_steps", "stop_when", "none"]


@attrs.frozen(kw_only=True)
class ToolCall:
    """A model's wish to call a tool.

    `input` is the exact text received, `arguments` its value. `complete` is False for a call that was cut or whose
    text is not JSON: such a call must not be executed.
    """

    id: str
    name: str
    input: str
    arguments: Any = None
    complete: bool = True


@attrs.frozen(kw_only=True)
class ToolResult:
    """What a tool answered, and how long it took in seconds."""

    tool_call_id: str
    tool_name: str
    output: str
    images: tuple[ImagePart, ...] = ()
    is_error: bool = False
    elapsed: float = 0.0


@attrs.frozen(kw_only=True)
class Step:
    """One model call with the tool results that followed it."""

    text: str
    thinking: str
    tool_calls: tuple[ToolCall, ...]
    tool_results: tuple[ToolResult, ...]
    usage: Usage
    finish_reason: str
    response: ResponseInfoFields
    provider_metadata: Mapping[str, Any]
    sources: tuple[Source, ...] = ()


@attrs.frozen(kw_only=True)
class ChatResponse:
    """The fold of a stream's chunks.

    `text` and `thinking` are of all steps; `tool_calls`, `usage` and `finish_reason` of the last one. There is at
    least one step. `messages` is what to append to the history for the next turn. `complete` is False on what a
    failed stream left behind; then `finish_reason` may be "".
    """

    text: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    steps: tuple[Step, ...] = ()
    usage: Usage = attrs.field(factory=Usage)
    total_usage: Usage = attrs.field(factory=Usage)
    finish_reason: str = ""
    raw_finish_reason: str | None = None
    response: ResponseInfoFields = attrs.field(factory=ResponseInfoFields)
    provider_metadata: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)
    sources: tuple[Source, ...] = ()
    messages: tuple[Message, ...] = ()
    complete: bool = False
    stop_cause: StopCause = "none"

    @property
    def output(self) -> str:
        """Alias of `text`."""
        return self.text

    @property
    def content(self) -> str:
        """Alias of `text`."""
        return self.text

    @property
    def reasoning(self) -> str:
        """Alias of `thinking`."""
        return self.thinking


TextResult = ChatResponse


@attrs.define(kw_only=True)
class StepState:
    """What a decoder has learnt of the running step beside its chunks."""

    provider: str = ""
    usage: Usage = attrs.field(factory=Usage)
    id: str | None = None
    model: str | None = None
    raw_finish_reason: str | None = None
    metadata: dict[str, Any] = attrs.field(factory=dict)

    def response(self) -> ResponseInfoFields:
        """The `response` of the step."""
        # Lists are copied, as the decoder adds to its own; the dict at once, as it may run on another thread.
        kept = {name: value[:] if isinstance(value, list) else value for name, value in dict(self.metadata).items()}
        return ResponseInfoFields(id=self.id, model=self.model, provider_metadata=kept)


class _Run:
    """Neighbouring chunks of one kind: text or thinking as pieces that are joined once, anything else one by one."""

    __slots__ = ("chunk", "citations", "kind", "pieces", "redacted", "signature")

    def __init__(self, kind: str, chunk: Chunk) -> None:
        self.kind = kind
        self.chunk = chunk
        self.pieces: list[str] = []
        self.signature: str | None = None
        self.redacted: str | None = None
        self.citations: tuple[Mapping[str, Any], ...] = ()


class _StepFold:
    """The running step."""

    def __init__(self) -> None:
        self.runs: list[_Run] = []
        self.sources: list[Source] = []
        self.results: list[tuple[int, ToolResult]] = []  # with the position of its call, where that is known
        self.finish: StepFinishChunk | None = None

    def ordered_results(self) -> list[ToolResult]:
        """The results in the order of their calls, whatever the order in which they came."""
        return [result for _, result in sorted(self.results, key=operator.itemgetter(0))]

    def joined(self, kind: str) -> str:
        return "".join(["".join(run.pieces) for run in self.runs[:] if run.kind == kind])


class Fold:
    """Folds chunks into a `ChatResponse`.

    One thread adds; any thread may ask `response()` at any time. `keep=False` keeps no text, thinking or calls, for
    endless streams.
    """

    def __init__(self, *, keep: bool = True) -> None:
        self._keep = keep
        self._steps: list[_StepFold] = [_StepFold()]
        self._open: _Run | None = None  # the run that plain text or thinking is appended to
        self.state: StepState | None = None
        self.chars = 0
        """Characters of text so far."""
        self.stop_cause: StopCause = "natural"
        """Why a complete response ended."""

    def add(self, chunks: Iterable[Chunk]) -> None:
        """Fold these chunks."""
        run = self._open
        for chunk in chunks:
            kind = chunk.type
            if kind == "text":
                self.chars += len(chunk.content)
            if run is not None and run.kind == kind and not chunk.metadata:
                run.pieces.append(chunk.content)
            else:
                run = self._add(kind, chunk, run)
        self._open = run

    def _add(self, kind: str, chunk: Chunk, run: _Run | None) -> _Run | None:
        """Fold a chunk that does not simply go on; give the run that the next one may go on with."""
        step = self._steps[-1]
        if isinstance(chunk, StepFinishChunk):
            step.finish = chunk
            return None
        if isinstance(chunk, SourceChunk):
            step.sources.append(chunk.source)
            return run
        if isinstance(chunk, ToolResultChunk):
            step.results.append((chunk.metadata.get("position", len(step.results)), _result(chunk)))
            return None
        if isinstance(chunk, (FinishChunk, ErrorChunk)) or not self._keep:
            return None
        # Where an answer was asked for again, it thinks anew: a signature is of its own thinking only.
        again = kind == "thinking" and "resumed" in chunk.metadata
        if run is None or run.kind != kind or again:
            last = step.runs[-1] if step.runs else None
            if isinstance(chunk, ToolCallDeltaChunk):
                if last is None or getattr(last.chunk, "tool_call_id", "") != chunk.tool_call_id or last.kind != kind:
                    step.runs.append(last := _Run(kind, chunk))
                last.pieces.append(chunk.tool_input)
                return None
            run = _Run(kind, chunk)
            step.runs.append(run)
        if isinstance(chunk, (TextChunk, ThinkingChunk)):
            if chunk.content:
                run.pieces.append(chunk.content)
            if "raw_block" in chunk.metadata:
                step.runs.append(_Run("raw", chunk))
                return None
            if "citations" in chunk.metadata:  # they end the text that they are of
                run.citations = tuple(chunk.metadata["citations"])
                return None
            if isinstance(chunk, ThinkingChunk):
                run.signature = chunk.metadata.get("signature", run.signature)
                run.redacted = chunk.metadata.get("redacted")
                # A signature or a redacted block ends its block; what follows is a new one.
                return run if run.signature is None and run.redacted is None else None
            return run
        return None

    def next_step(self, state: StepState | None = None) -> None:
        """Begin the next model call of a loop."""
        self._steps.append(_StepFold())
        self._open = None
        self.state = state

    def response(self, *, complete: bool = False) -> ChatResponse:
        """Give the response so far; `complete` only when the stream really is."""
        folds = self._steps[:]
        steps = tuple(self._step(fold, last=fold is folds[-1]) for fold in folds)
        last, finish, state = steps[-1], folds[-1].finish, self.state
        if finish is not None:
            raw, provider = finish.metadata.get("raw_finish_reason"), finish.metadata.get("provider", "")
        else:
            raw, provider = (state.raw_finish_reason, state.provider) if state else (None, "")
        return ChatResponse(
            text="".join(s.text for s in steps),
            thinking="".join(s.thinking for s in steps),
            tool_calls=last.tool_calls,
            steps=steps,
            usage=last.usage,
            total_usage=sum((s.usage for s in steps[1:]), steps[0].usage),
            finish_reason=last.finish_reason,
            raw_finish_reason=raw,
            response=last.response,
            provider_metadata={provider: last.provider_metadata} if provider and last.provider_metadata else {},
            sources=tuple(source for s in steps for source in s.sources),
            messages=tuple(m for fold in folds for m in _messages(fold, provider)),
            complete=complete,
            stop_cause=self.stop_cause if complete else "none",
        )

    def _step(self, fold: _StepFold, *, last: bool) -> Step:
        finish, state = fold.finish, self.state if last else None
        if finish is not None:
            usage, reason, response = finish.usage, finish.finish_reason, finish.response
        elif state is not None:
            usage, reason, response = state.usage, "", state.response()
        else:
            usage, reason, response = Usage(), "", ResponseInfoFields()
        return Step(
            text=fold.joined("text"),
            thinking=fold.joined("thinking"),
            tool_calls=_calls(fold.runs[:]),
            tool_results=tuple(fold.ordered_results()),
            usage=usage,
            finish_reason=reason,
            response=response,
            provider_metadata=response.provider_metadata,
            sources=tuple(fold.sources),
        )


def _result(chunk: ToolResultChunk) -> ToolResult:
    return ToolResult(
        tool_call_id=chunk.tool_call_id,
        tool_name=chunk.tool_name,
        output=chunk.tool_output,
        images=chunk.images,
        is_error=chunk.is_error,
        elapsed=chunk.metadata.get("elapsed", 0.0),
    )


def _calls(runs: list[_Run]) -> tuple[ToolCall, ...]:
    """The calls of a step, in the order they began; one that was begun and never became whole is incomplete."""
    calls: list[ToolCall] = []
    begun: dict[int, list[str]] = {}  # position in calls -> the text so far of a call that is not yet whole
    for run in runs:
        chunk = run.chunk
        if isinstance(chunk, ToolCallStartChunk):
            begun[len(calls)] = []
            calls.append(ToolCall(id=chunk.tool_call_id, name=chunk.tool_name, input="", complete=False))
        elif isinstance(chunk, ToolCallDeltaChunk):
            # Of several with this id, or with none, the one that began last: it is the one that grows.
            at = next((i for i in reversed(begun) if calls[i].id == chunk.tool_call_id), None)
            if at is not None:
                begun[at] += run.pieces
        elif isinstance(chunk, ToolCallChunk):
            whole = ToolCall(
                id=chunk.tool_call_id,
                name=chunk.tool_name,
                input=chunk.tool_input,
                arguments=chunk.arguments,
                complete="arguments_error" not in chunk.metadata,
            )
            at = next((i for i in begun if calls[i].id == chunk.tool_call_id), None)
            if at is None:
                calls.append(whole)
            else:
                calls[at] = whole
                del begun[at]
    for at, pieces in begun.items():
        calls[at] = attrs.evolve(calls[at], input="".join(pieces))
    return tuple(calls)


def _messages(fold: _StepFold, provider: str) -> list[Message]:
    """What this step adds to the history: the assistant's message, then its tools' answers."""
    parts: list[Part] = []
    for run in fold.runs[:]:
        text = "".join(run.pieces)
        if run.kind == "text" and text:
            parts.append(TextPart(text=text, citations=run.citations))
        elif run.kind == "thinking" and (text or run.signature or run.redacted):
            parts.append(ThinkingPart(text=text, signature=run.signature, redacted=run.redacted, provider=provider))
        elif run.kind == "raw":
            metadata = run.chunk.metadata
            parts.append(RawPart(provider=metadata.get("provider", ""), block=metadata["raw_block"]))
        elif isinstance(run.chunk, ToolCallChunk):
            call = run.chunk
            signature = call.metadata.get("signature")
            parts.append(
                ToolCallPart(
                    id=call.tool_call_id,
                    name=call.tool_name,
                    input=call.tool_input,
                    signature=signature,
                    provider=provider,
                )
            )
    messages = [Message(role="assistant", content=parts)] if parts else []
    results = [
        ToolResultPart(
            tool_call_id=r.tool_call_id, tool_name=r.tool_name, output=r.output, images=r.images, is_error=r.is_error
        )
        for r in fold.ordered_results()
    ]
    return messages + ([Message(role="tool", content=results)] if results else [])
