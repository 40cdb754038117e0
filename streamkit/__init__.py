"""streamkit: the streaming SDK for Python programs that do not use asyncio.

    from streamkit import Client
    from streamkit.providers import OpenAI

    stream = Client(OpenAI()).chat("gpt-4o").user("Tell me a story").get_stream()
    for chunk in stream.ch:
        print(chunk.content, end="")
    if (err := stream.err.get()) is not None:
        raise err
    print(stream.final.get().usage.total_tokens)

Importing it starts nothing and reads neither files nor environment.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from streamkit.channel import Channel, Outcome
from streamkit.client import ChatBuilder, Client
from streamkit.codec import Key, Model, Provider
from streamkit.context import Context, cancel_on_signals
from streamkit.errors import (
    BadRequest,
    Cancelled,
    ChannelClosed,
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    ContentFiltered,
    ContextError,
    ContextOverflow,
    DeadlineExceeded,
    DecodeError,
    FirstChunkTimeout,
    NotFound,
    ObjectError,
    Overloaded,
    PermissionDenied,
    ProviderError,
    RateLimited,
    ResponseTooLarge,
    RetriesExhausted,
    ServerError,
    SlowConsumer,
    StreamIdle,
    StreamKitError,
    StreamStalled,
    StreamTruncated,
    TLSFailed,
    ToolError,
    TransportError,
    Unauthorized,
)
from streamkit.hooks import Hooks, RequestInfo, ResponseInfo, RetryInfo, ToolCallInfo
from streamkit.settings import Limits, RetryPolicy, Timeouts
from streamkit.stats import Stats
from streamkit.stream import ChatStream
from streamkit.types import (
    AnyTool,
    ChatResponse,
    Chunk,
    ChunkType,
    ErrorChunk,
    FilePart,
    FinishChunk,
    ImagePart,
    Message,
    MessageLike,
    ResponseInfoFields,
    Secret,
    Source,
    SourceChunk,
    Step,
    StepFinishChunk,
    TextChunk,
    TextPart,
    TextResult,
    ThinkingChunk,
    ThinkingPart,
    Tool,
    ToolCall,
    ToolCallChunk,
    ToolCallDeltaChunk,
    ToolCallPart,
    ToolCallStartChunk,
    ToolResult,
    ToolResultChunk,
    ToolResultPart,
    Usage,
    assistant,
    system,
    tool_result,
    user,
)

if TYPE_CHECKING:
    from streamkit.consumers.objects import ObjectResult, ObjectStream
    from streamkit.consumers.text import TextStream
    from streamkit.conversation import Conversation
    from streamkit.generate import ObjectMode, generate_object, generate_text, stream_object, stream_text
    from streamkit.loops.tools import StepPlan
    from streamkit.tools import StopWhen, ToolDecision, has_tool_call, step_count_is, tool

__version__ = "0.1.0"

__all__ = [
    "AnyTool",
    "BadRequest",
    "Cancelled",
    "Channel",
    "ChannelClosed",
    "ChatBuilder",
    "ChatResponse",
    "ChatStream",
    "Chunk",
    "ChunkType",
    "Client",
    "ConfigError",
    "ConnectFailed",
    "ConnectTimeout",
    "ConnectionLost",
    "ContentFiltered",
    "Context",
    "ContextError",
    "ContextOverflow",
    "Conversation",
    "DeadlineExceeded",
    "DecodeError",
    "ErrorChunk",
    "FilePart",
    "FinishChunk",
    "FirstChunkTimeout",
    "Hooks",
    "ImagePart",
    "Key",
    "Limits",
    "Message",
    "MessageLike",
    "Model",
    "NotFound",
    "ObjectError",
    "ObjectMode",
    "ObjectResult",
    "ObjectStream",
    "Outcome",
    "Overloaded",
    "PermissionDenied",
    "Provider",
    "ProviderError",
    "RateLimited",
    "RequestInfo",
    "ResponseInfo",
    "ResponseInfoFields",
    "ResponseTooLarge",
    "RetriesExhausted",
    "RetryInfo",
    "RetryPolicy",
    "Secret",
    "ServerError",
    "SlowConsumer",
    "Source",
    "SourceChunk",
    "Stats",
    "Step",
    "StepFinishChunk",
    "StepPlan",
    "StopWhen",
    "StreamIdle",
    "StreamKitError",
    "StreamStalled",
    "StreamTruncated",
    "TLSFailed",
    "TextChunk",
    "TextPart",
    "TextResult",
    "TextStream",
    "ThinkingChunk",
    "ThinkingPart",
    "Timeouts",
    "Tool",
    "ToolCall",
    "ToolCallChunk",
    "ToolCallDeltaChunk",
    "ToolCallInfo",
    "ToolCallPart",
    "ToolCallStartChunk",
    "ToolDecision",
    "ToolError",
    "ToolResult",
    "ToolResultChunk",
    "ToolResultPart",
    "TransportError",
    "Unauthorized",
    "Usage",
    "__version__",
    "assistant",
    "cancel_on_signals",
    "generate_object",
    "generate_text",
    "has_tool_call",
    "step_count_is",
    "stream_object",
    "stream_text",
    "system",
    "tool",
    "tool_result",
    "user",
]

_HOMES = {
    "Conversation": "conversation",
    "ObjectMode": "generate",
    "ObjectResult": "consumers.objects",
    "ObjectStream": "consumers.objects",
    "StepPlan": "loops.tools",
    "StopWhen": "tools",
    "TextStream": "consumers.text",
    "ToolDecision": "tools",
    "generate_object": "generate",
    "generate_text": "generate",
    "has_tool_call": "tools",
    "step_count_is": "tools",
    "stream_object": "generate",
    "stream_text": "generate",
    "tool": "tools",
}


def __getattr__(name: str) -> Any:
    # Imported with its first use: a program that streams with a client alone does not pay for the rest.
    if name in _HOMES:
        return getattr(importlib.import_module(f"streamkit.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
