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
    TooManyAnswers,
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
    from streamkit.consumers.collect import collect
    from streamkit.consumers.console import ConsoleHandler
    from streamkit.consumers.frames import StreamEvent
    from streamkit.consumers.handler import StreamHandler, StreamProgress, stream_with_handler
    from streamkit.consumers.objects import ObjectResult, ObjectStream
    from streamkit.consumers.progress import ProgressSink, with_progress
    from streamkit.consumers.relay import SSE_HEADERS, sse_events, sse_headers
    from streamkit.consumers.smooth import smooth
    from streamkit.consumers.tee import OnFull, stream_to_multiple, tee
    from streamkit.consumers.text import TextStream
    from streamkit.consumers.ui import ChatUI, drive_ui
    from streamkit.conversation import Conversation
    from streamkit.derived import AnyStream
    from streamkit.generate import generate_object, generate_text, stream_object, stream_text
    from streamkit.graphemes import truncate
    from streamkit.integrations.web.kept_answers import KeptAnswers
    from streamkit.integrations.wsgi import SSEResponse, sse_response, wsgi_app
    from streamkit.loops.state import StreamState
    from streamkit.loops.tools import StepPlan
    from streamkit.object_request import ObjectMode
    from streamkit.parallel import ParallelItem, ParallelProgress, ParallelRun, RateLimit, stream_parallel
    from streamkit.resuming import ResumeMode, resume, stream_with_retry
    from streamkit.streaming_client import StreamingClient
    from streamkit.summary import summarize_with_progress
    from streamkit.tools import StopWhen, ToolDecision, has_tool_call, step_count_is, tool

__version__ = "0.1.0"

__all__ = [
    "SSE_HEADERS",
    "AnyStream",
    "AnyTool",
    "BadRequest",
    "Cancelled",
    "Channel",
    "ChannelClosed",
    "ChatBuilder",
    "ChatResponse",
    "ChatStream",
    "ChatUI",
    "Chunk",
    "ChunkType",
    "Client",
    "ConfigError",
    "ConnectFailed",
    "ConnectTimeout",
    "ConnectionLost",
    "ConsoleHandler",
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
    "KeptAnswers",
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
    "OnFull",
    "Outcome",
    "Overloaded",
    "ParallelItem",
    "ParallelProgress",
    "ParallelRun",
    "PermissionDenied",
    "ProgressSink",
    "Provider",
    "ProviderError",
    "RateLimit",
    "RateLimited",
    "RequestInfo",
    "ResponseInfo",
    "ResponseInfoFields",
    "ResponseTooLarge",
    "ResumeMode",
    "RetriesExhausted",
    "RetryInfo",
    "RetryPolicy",
    "SSEResponse",
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
    "StreamEvent",
    "StreamHandler",
    "StreamIdle",
    "StreamKitError",
    "StreamProgress",
    "StreamStalled",
    "StreamState",
    "StreamTruncated",
    "StreamingClient",
    "TLSFailed",
    "TextChunk",
    "TextPart",
    "TextResult",
    "TextStream",
    "ThinkingChunk",
    "ThinkingPart",
    "Timeouts",
    "TooManyAnswers",
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
    "collect",
    "drive_ui",
    "generate_object",
    "generate_text",
    "has_tool_call",
    "resume",
    "smooth",
    "sse_events",
    "sse_headers",
    "sse_response",
    "step_count_is",
    "stream_object",
    "stream_parallel",
    "stream_text",
    "stream_to_multiple",
    "stream_with_handler",
    "stream_with_retry",
    "summarize_with_progress",
    "system",
    "tee",
    "tool",
    "tool_result",
    "truncate",
    "user",
    "with_progress",
    "wsgi_app",
]

_HOMES = {
    "AnyStream": "derived",
    "ChatUI": "consumers.ui",
    "ConsoleHandler": "consumers.console",
    "Conversation": "conversation",
    "ObjectMode": "object_request",
    "ObjectResult": "consumers.objects",
    "ObjectStream": "consumers.objects",
    "OnFull": "consumers.tee",
    "KeptAnswers": "integrations.web.kept_answers",
    "ParallelItem": "parallel",
    "ParallelProgress": "parallel",
    "ParallelRun": "parallel",
    "ProgressSink": "consumers.progress",
    "RateLimit": "parallel",
    "ResumeMode": "resuming",
    "SSEResponse": "integrations.wsgi",
    "SSE_HEADERS": "consumers.relay",
    "StepPlan": "loops.tools",
    "StopWhen": "tools",
    "StreamEvent": "consumers.frames",
    "StreamHandler": "consumers.handler",
    "StreamProgress": "consumers.handler",
    "StreamState": "loops.state",
    "StreamingClient": "streaming_client",
    "TextStream": "consumers.text",
    "ToolDecision": "tools",
    "collect": "consumers.collect",
    "drive_ui": "consumers.ui",
    "generate_object": "generate",
    "generate_text": "generate",
    "has_tool_call": "tools",
    "resume": "resuming",
    "smooth": "consumers.smooth",
    "sse_events": "consumers.relay",
    "sse_headers": "consumers.relay",
    "sse_response": "integrations.wsgi",
    "step_count_is": "tools",
    "stream_object": "generate",
    "stream_parallel": "parallel",
    "stream_text": "generate",
    "stream_to_multiple": "consumers.tee",
    "stream_with_handler": "consumers.handler",
    "stream_with_retry": "resuming",
    "summarize_with_progress": "summary",
    "tee": "consumers.tee",
    "tool": "tools",
    "truncate": "graphemes",
    "with_progress": "consumers.progress",
    "wsgi_app": "integrations.wsgi",
}


def __getattr__(name: str) -> Any:
    # Imported with its first use: a program that streams with a client alone does not pay for the rest.
    if name in _HOMES:
        return getattr(importlib.import_module(f"streamkit.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
