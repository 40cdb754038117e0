"""What comes out of a stream: one small frozen class per kind of chunk, told apart by `type`.

Every chunk has `type`, `content` ("" where there is no text), `index` (0-based position in the stream, no gaps) and
`metadata` (what the provider said beside it that has no field of its own). `text` and `delta` are aliases of `content`.

`ch` brings all kinds but `finish` and `error`, which are `final` and `err`; so an index is the same in every view.

Metadata keys that streamkit itself sets: on a thinking chunk `signature` (proves the thinking to Anthropic when it is
sent back) and `redacted` (encrypted thinking); on a text chunk `raw_block` (a block that only its provider
understands, kept for the next turn), `logprobs` (on thinking too) and `refusal` (a piece of a refusal, which is no part
of the answer's text: `content` is ""), `citations` (where the text before it comes from, as its provider said it, kept
for the next turn); on a tool call `arguments_error` (why its arguments are not to be used); on a tool result `elapsed`
(seconds that the tool took) and `position` (that of its call among the step's); on step_finish `raw_finish_reason`; on
finish `provider_metadata`, `stop_cause` and `steps` (how many); on the first chunk after a cut `resumed`, and then on
step_finish `attempts`; on the first chunk of a batch's prompt that began again `attempt`; on chunks of a durable stream
`event_id`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from streamkit import lazy_attrs as attrs
from streamkit.errors import StreamKitError
from streamkit.types.messages import ImagePart
from streamkit.types.nothing import NOTHING
from streamkit.types.usage import Usage

__all__ = [
    "Chunk",
    "ChunkType",
    "ErrorChunk",
    "FinishChunk",
    "ResponseInfoFields",
    "Source",
    "SourceChunk",
    "StepFinishChunk",
    "TextChunk",
    "ThinkingChunk",
    "ToolCallChunk",
    "ToolCallDeltaChunk",
    "ToolCallStartChunk",
    "ToolResultChunk",
    "plain_text",
    "plain_thinking",
]


class ChunkType:
    """The values of `chunk.type`, as plain strings: `f"{chunk.type}"` and `== "text"` behave alike on every Python."""

    TEXT: Literal["text"] = "text"
    THINKING: Literal["thinking"] = "thinking"
    REASONING: Literal["thinking"] = "thinking"
    TOOL_CALL_START: Literal["tool_call_start"] = "tool_call_start"
    TOOL_CALL_DELTA: Literal["tool_call_delta"] = "tool_call_delta"
    TOOL_CALL: Literal["tool_call"] = "tool_call"
    TOOL_RESULT: Literal["tool_result"] = "tool_result"
    SOURCE: Literal["source"] = "source"
    STEP_FINISH: Literal["step_finish"] = "step_finish"
    FINISH: Literal["finish"] = "finish"
    ERROR: Literal["error"] = "error"


@attrs.frozen(kw_only=True)
class Source:
    """A citation: where a statement comes from."""

    url: str | None = None
    title: str | None = None
    id: str | None = None
    text: str | None = None
    metadata: Mapping[str, Any] = NOTHING


@attrs.frozen(kw_only=True)
class ResponseInfoFields:
    """The provider's id of the answer, the model that really answered, and what else the provider said of it."""

    id: str | None = None
    model: str | None = None
    provider_metadata: Mapping[str, Any] = NOTHING


class _Aliases:
    """The names that other systems use for `content`."""

    __slots__ = ()
    content: str

    @property
    def text(self) -> str:
        """Alias of `content`."""
        return self.content

    @property
    def delta(self) -> str:
        """Alias of `content`."""
        return self.content


@attrs.frozen(kw_only=True)
class TextChunk(_Aliases):
    """A piece of the answer's visible text."""

    content: str
    index: int
    metadata: Mapping[str, Any] = NOTHING
    type: Literal["text"] = "text"


@attrs.frozen(kw_only=True)
class ThinkingChunk(_Aliases):
    """A piece of the model's thinking (also called reasoning); never part of the text."""

    content: str
    index: int
    metadata: Mapping[str, Any] = NOTHING
    type: Literal["thinking"] = "thinking"


@attrs.frozen(kw_only=True)
class ToolCallStartChunk(_Aliases):
    """The model begins to call a tool."""

    tool_call_id: str
    tool_name: str
    index: int
    metadata: Mapping[str, Any] = NOTHING
    content: Literal[""] = ""
    type: Literal["tool_call_start"] = "tool_call_start"


@attrs.frozen(kw_only=True)
class ToolCallDeltaChunk(_Aliases):
    """A fragment of a call's JSON text."""

    tool_call_id: str
    tool_input: str
    index: int
    metadata: Mapping[str, Any] = NOTHING
    content: Literal[""] = ""
    type: Literal["tool_call_delta"] = "tool_call_delta"


@attrs.frozen(kw_only=True)
class ToolCallChunk(_Aliases):
    """A whole call: `tool_input` is the exact JSON text received, `arguments` its value (None where it is not JSON)."""

    tool_call_id: str
    tool_name: str
    tool_input: str
    arguments: Any = None
    index: int
    metadata: Mapping[str, Any] = NOTHING
    content: Literal[""] = ""
    type: Literal["tool_call"] = "tool_call"


@attrs.frozen(kw_only=True)
class ToolResultChunk(_Aliases):
    """What the model is told of a tool's run. Not in `content`: a plain print loop must not print tool output."""

    tool_call_id: str
    tool_name: str
    tool_output: str
    images: tuple[ImagePart, ...] = ()
    is_error: bool = False
    index: int
    metadata: Mapping[str, Any] = NOTHING
    content: Literal[""] = ""
    type: Literal["tool_result"] = "tool_result"


@attrs.frozen(kw_only=True)
class SourceChunk(_Aliases):
    """A citation."""

    source: Source
    index: int
    metadata: Mapping[str, Any] = NOTHING
    content: Literal[""] = ""
    type: Literal["source"] = "source"


@attrs.frozen(kw_only=True)
class StepFinishChunk(_Aliases):
    """The end of one model call (`step` is 1-based), with that call's usage."""

    step: int
    finish_reason: str
    usage: Usage
    response: ResponseInfoFields
    index: int
    metadata: Mapping[str, Any] = NOTHING
    content: Literal[""] = ""
    type: Literal["step_finish"] = "step_finish"


@attrs.frozen(kw_only=True)
class FinishChunk(_Aliases):
    """The end of a complete answer, with the usage of all its steps."""

    finish_reason: str
    usage: Usage
    response: ResponseInfoFields
    index: int
    metadata: Mapping[str, Any] = NOTHING
    content: Literal[""] = ""
    type: Literal["finish"] = "finish"


@attrs.frozen(kw_only=True)
class ErrorChunk(_Aliases):
    """The end of a failed answer."""

    error: StreamKitError
    index: int
    metadata: Mapping[str, Any] = NOTHING
    content: Literal[""] = ""
    type: Literal["error"] = "error"


Chunk = (
    TextChunk
    | ThinkingChunk
    | ToolCallStartChunk
    | ToolCallDeltaChunk
    | ToolCallChunk
    | ToolResultChunk
    | SourceChunk
    | StepFinishChunk
    | FinishChunk
    | ErrorChunk
)

_Piece = TypeVar("_Piece", TextChunk, ThinkingChunk)


def _plain(cls: type[_Piece], kind: str) -> Callable[[str, int], _Piece]:
    """Give what makes `cls(content=content, index=index)` faster, as one is made for every piece of an answer.

    Calling the class, with names for its arguments, takes 0.44 µs; this 0.30.
    """
    new = cls.__new__
    set_content, set_index, set_metadata, set_type = (
        vars(cls)[name].__set__ for name in ("content", "index", "metadata", "type")
    )

    def plain(content: str, index: int) -> _Piece:
        chunk = new(cls)
        set_content(chunk, content)
        set_index(chunk, index)
        set_metadata(chunk, NOTHING)
        set_type(chunk, kind)
        return chunk

    return plain


plain_text = _plain(TextChunk, ChunkType.TEXT)
"""Makes a `TextChunk` of its content and index, without metadata."""
plain_thinking = _plain(ThinkingChunk, ChunkType.THINKING)
"""Makes a `ThinkingChunk` of its content and index, without metadata."""
