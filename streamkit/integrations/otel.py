"""OpenTelemetry: spans and metrics of streams, by the conventions for generative AI.

    client = Client(OpenAI(), hooks=otel_hooks())

Hooks, and nothing but hooks: what a stream tells its observers becomes spans and measurements. Which stream it is that
tells, a context variable knows: each stream's thread runs in a context of its own.

The conventions are those of https://github.com/open-telemetry/semantic-conventions-genai, where they went from
OpenTelemetry's semantic conventions 1.41; read November 2026. What they have no name for begins with "streamkit.".
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from streamkit import lazy_attrs as attrs
from streamkit.errors import Cancelled, ConfigError, ProviderError, StreamKitError, ToolError
from streamkit.hooks import Hooks, RequestInfo, ResponseInfo, RetryInfo, ToolCallInfo
from streamkit.integrations.otel_content import input_messages, output_message, system_instructions, tool_definitions
from streamkit.jsontext import scrub
from streamkit.types.chunks import Chunk, ResponseInfoFields
from streamkit.types.request import ChatRequest
from streamkit.types.response import ChatResponse, Step, ToolCall
from streamkit.types.usage import Usage

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import Histogram, Meter, MeterProvider
    from opentelemetry.trace import Span, Tracer, TracerProvider

__all__ = ["otel_hooks"]

# -- names

SCOPE = "streamkit"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.0"

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
CHOICE_COUNT = "gen_ai.request.choice.count"
STOP_SEQUENCES = "gen_ai.request.stop_sequences"
CONVERSATION = "gen_ai.conversation.id"
OUTPUT_TYPE = "gen_ai.output.type"
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
INPUT_MESSAGES = "gen_ai.input.messages"
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_CREATION_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - no password
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"
ERROR_TYPE = "error.type"
STATUS_CODE = "http.response.status_code"

STEP = "streamkit.step"
CANCELLED = "streamkit.cancelled"
RETRY = "streamkit.retry"
RETRY_ATTEMPT = "streamkit.retry.attempt"
RETRY_DELAY = "streamkit.retry.delay"
TOOL_NOT_RUN = "streamkit.tool_not_run"

CHAT = "chat"
EXECUTE_TOOL = "execute_tool"

DURATION_METRIC = "gen_ai.client.operation.duration"
FIRST_CHUNK_METRIC = "gen_ai.client.operation.time_to_first_chunk"
OUTPUT_CHUNK_METRIC = "gen_ai.client.operation.time_per_output_chunk"
TOKENS_METRIC = "gen_ai.client.token.usage"
TOOL_DURATION_METRIC = "gen_ai.execute_tool.duration"

PROVIDERS = {
    "azure": "azure.ai.openai",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""What the conventions call a provider that has another name here."""

SETTINGS: dict[str, tuple[str, type]] = {
    "gen_ai.request.temperature": ("temperature", float),
    "gen_ai.request.max_tokens": ("max_tokens", int),
    "gen_ai.request.top_p": ("top_p", float),
    "gen_ai.request.top_k": ("top_k", float),
    "gen_ai.request.frequency_penalty": ("frequency_penalty", float),
    "gen_ai.request.presence_penalty": ("presence_penalty", float),
    "gen_ai.request.seed": ("seed", int),
}
"""Their names for what a request sets, ours, and the type that they want."""

_PORTS = {"http": 80, "https": 443}
_SECONDS = [0.01 * 2**n for n in range(14)]
_TOKENS = [4**n for n in range(14)]
_OUTPUT = ("text", "thinking", "tool_call_delta")
"""The types of chunks that are pieces of what the model writes."""


def otel_hooks(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    content: bool = False,
) -> Hooks:
    """Give hooks that trace and measure every stream they are given to; thread-safe, one value serves any number.

    A stream is a span "chat <model>", child of the span that is current where it is begun. Its children are a span
    "step <n>" for each call of the model, retries included, and "execute_tool <name>" for each run of a tool.

    Args:
        tracer_provider: the global one by default.
        meter_provider: the global one by default.
        content: also record what the model is told and what it says: instructions, messages, definitions of tools, what
            tools are given and answer, and the messages of errors, which may quote all that. Of images and files only
            their type and size, or their URL.

    Raises:
        ConfigError: OpenTelemetry's API is not installed.
    """
    try:
        from opentelemetry import metrics, trace
    except ImportError as e:
        raise ConfigError('OpenTelemetry is not installed: pip install "streamkit-llm[otel]"') from e
    observer = _Observer(
        trace.get_tracer(SCOPE, tracer_provider=tracer_provider, schema_url=SCHEMA_URL),
        _Instruments.of(metrics.get_meter(SCOPE, meter_provider=meter_provider, schema_url=SCHEMA_URL)),
        content,
    )
    return Hooks(
        on_request=observer.requested,
        on_response=observer.responded,
        on_chunk=observer.received,
        on_tool_call_start=observer.tool_started,
        on_tool_call=observer.tool_ended,
        on_step_finish=observer.step_finished,
        on_finish=lambda response: observer.ended(response, None),
        on_retry=observer.retried,
        on_error=lambda error: observer.ended(error.partial, error),
        on_cancel=lambda error: observer.ended(error.partial, error),
    )


@attrs.frozen(kw_only=True)
class _Instruments:
    duration: Histogram
    first_chunk: Histogram
    output_chunk: Histogram
    tokens: Histogram
    tool_duration: Histogram

    @classmethod
    def of(cls, meter: Meter) -> _Instruments:
        def seconds(name: str, description: str) -> Histogram:
            return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=_SECONDS)

        return cls(
            duration=seconds(DURATION_METRIC, "Duration of a call of a model."),
            first_chunk=seconds(FIRST_CHUNK_METRIC, "Time from the request to the first chunk."),
            output_chunk=seconds(OUTPUT_CHUNK_METRIC, "Time from one chunk of output to the next."),
            tokens=meter.create_histogram(
                TOKENS_METRIC, "{token}", "Tokens used.", explicit_bucket_boundaries_advisory=_TOKENS
            ),
            tool_duration=seconds(TOOL_DURATION_METRIC, "Duration of a run of a tool."),
        )


@attrs.define(eq=False)
class _StepSpan:
    """A call of the model, until both have come that tell of its end: its response, and the step with its ids."""

    span: Span
    measured: dict[str, Any]
    """The attributes of what is measured in it."""
    last_output: float | None = None
    response: ResponseInfo | None = None
    ended_at: int | None = None
    step: Step | None = None


@attrs.define(eq=False)
class _Chat:
    """A running stream."""

    thread: int
    outer: Context
    span: Span
    inner: Context
    """In it the stream's span is the current one."""
    step: _StepSpan | None = None
    tools: dict[int, tuple[ToolCall, Span | None]] = attrs.field(factory=dict)
    """By the identity of the call, as some services give calls no ids; without a span once told to have ended."""
    lock: threading.Lock = attrs.field(factory=threading.Lock)  # guards `tools` and `over`: tools begin on own threads
    over: bool = False


class _Observer:
    """What the hooks of one `otel_hooks` share."""

    def __init__(self, tracer: Tracer, instruments: _Instruments, content: bool) -> None:
        self._tracer = tracer
        self._instruments = instruments
        self._content = content
        self._chat: ContextVar[_Chat | None] = ContextVar("streamkit_otel_chat", default=None)

    # -- on the stream's thread

    def requested(self, info: RequestInfo) -> None:
        measured = _request(info)
        asked = {**measured, **_settings(info.request), **self._told(info.request)}
        chat = self._running() or self._begun(info, asked)
        self._close_step(chat)
        span = self._tracer.start_span(
            f"step {info.step}", chat.inner, attributes={STEP: info.step, **_without_operation(asked)}
        )
        chat.step = _StepSpan(span, measured)
        _enter(span, chat.inner)

    def retried(self, info: RetryInfo) -> None:
        chat = self._running()
        if chat is None:
            return
        told: dict[str, Any] = {
            RETRY_ATTEMPT: info.attempt,
            RETRY_DELAY: info.delay,
            ERROR_TYPE: type(info.error).__name__,
        }
        if isinstance(info.error, ProviderError) and info.error.status is not None:
            told[STATUS_CODE] = info.error.status
        chat.span.add_event(RETRY, told)

    def received(self, chunk: Chunk) -> None:
        if chunk.type not in _OUTPUT:
            return
        chat = self._running()
        if chat is None or chat.step is None:
            return
        now, last = time.monotonic(), chat.step.last_output
        chat.step.last_output = now
        if last is not None:
            self._instruments.output_chunk.record(now - last, chat.step.measured)

    def responded(self, info: ResponseInfo) -> None:
        chat = self._running()
        if chat is None or chat.step is None:
            return
        chat.step.response, chat.step.ended_at = info, time.time_ns()
        _attach(chat.inner)
        if chat.step.step is not None:
            self._close_step(chat)

    def step_finished(self, step: Step) -> None:
        chat = self._running()
        if chat is None or chat.step is None:
            return
        chat.step.step = step
        if chat.step.response is not None:  # else it comes next: the step is told of before its answer is drained
            self._close_step(chat)

    def tool_ended(self, info: ToolCallInfo) -> None:
        chat = self._running()
        if chat is None:
            return
        call = info.tool_call
        with chat.lock:
            _, span = chat.tools.get(id(call), (call, None))
            chat.tools[id(call)] = call, None
        if span is None:
            chat.span.add_event(TOOL_NOT_RUN, _not_run(info))
        else:
            self._end_tool(span, info)

    def ended(self, response: ChatResponse | None, error: StreamKitError | None) -> None:
        chat = self._running()
        if chat is None:
            return
        self._close_step(chat)
        with chat.lock:
            chat.over = True
            left = [span for _, span in chat.tools.values() if span is not None]
        for span in left:
            span.end()
        if response is not None:
            chat.span.set_attributes(_answer(response.response, response.finish_reason, response.total_usage))
            if response.steps:
                self._tell(chat.span, response.steps[-1])
        self._mark(chat.span, error)
        chat.span.end()
        self._chat.set(None)
        _attach(chat.outer)

    # -- on a tool's thread, in a copy of the stream's context

    def tool_started(self, info: ToolCallInfo) -> None:
        chat = self._chat.get()
        if chat is None:
            return
        call = info.tool_call
        with chat.lock:
            if chat.over or id(call) in chat.tools:  # it was given up before its thread came to run
                return
            attributes = {**_tool(info), OPERATION: EXECUTE_TOOL, TOOL_CALL_ID: call.id, STEP: info.step}
            span = self._tracer.start_span(f"{EXECUTE_TOOL} {call.name}", chat.inner, attributes=attributes)
            chat.tools[id(call)] = call, span
        if self._content:
            span.set_attribute(TOOL_ARGUMENTS, call.input)
        _enter(span, chat.inner)

    # -- spans

    def _running(self) -> _Chat | None:
        """The stream whose thread this is; not one in whose tool or callable this stream was begun."""
        chat = self._chat.get()
        return chat if chat is not None and not chat.over and chat.thread == threading.get_ident() else None

    def _begun(self, info: RequestInfo, attributes: Mapping[str, Any]) -> _Chat:
        from opentelemetry import context, trace

        outer = context.get_current()
        span = self._tracer.start_span(
            f"{CHAT} {info.model}",
            outer,
            kind=trace.SpanKind.CLIENT,
            attributes={**attributes, REQUEST_STREAM: info.streaming},
        )
        chat = _Chat(threading.get_ident(), outer, span, trace.set_span_in_context(span, outer))
        self._chat.set(chat)
        return chat

    def _close_step(self, chat: _Chat) -> None:
        """End the span of the call, and measure it: before the next one, at the latest."""
        closing, chat.step = chat.step, None
        if closing is None:
            return
        span, info, step = closing.span, closing.response, closing.step
        if info is not None:
            fields = step.response if step is not None else ResponseInfoFields()
            span.set_attributes(_answer(fields, info.finish_reason, info.usage))
            if info.ttft is not None:
                span.set_attribute(TIME_TO_FIRST_CHUNK, info.ttft)
            self._mark(span, info.error)
            self._measure(info, {**closing.measured, **_known(RESPONSE_MODEL, fields.model)})
        if step is not None:
            self._tell(span, step)
        span.end(closing.ended_at)

    def _end_tool(self, span: Span, info: ToolCallInfo) -> None:
        if self._content and info.output is not None:
            span.set_attribute(TOOL_RESULT, info.output)
        self._mark(span, info.error)
        span.end()
        self._instruments.tool_duration.record(info.elapsed or 0.0, {**_tool(info), **_failure(info.error)})

    def _mark(self, span: Span, error: StreamKitError | None) -> None:
        """Say how it ended. The user's cancel is no failure."""
        from opentelemetry.trace import Status, StatusCode

        span.set_attributes(_failure(error))
        if error is not None and not isinstance(error, Cancelled):
            span.set_status(Status(StatusCode.ERROR, str(error) if self._content else None))

    def _tell(self, span: Span, step: Step) -> None:
        if self._content:
            span.set_attribute(OUTPUT_MESSAGES, _written([output_message(step)]))

    def _told(self, request: ChatRequest | None) -> dict[str, str]:
        """What the model is told, where that is to be recorded."""
        if request is None or not self._content:
            return {}
        told = {
            SYSTEM_INSTRUCTIONS: system_instructions(request),
            INPUT_MESSAGES: input_messages(request),
            TOOL_DEFINITIONS: tool_definitions(request),
        }
        return {name: _written(what) for name, what in told.items() if what}

    def _measure(self, info: ResponseInfo, attributes: Mapping[str, Any]) -> None:
        self._instruments.duration.record(info.latency, {**attributes, **_failure(info.error)})
        if info.ttft is not None:
            self._instruments.first_chunk.record(info.ttft, attributes)
        if info.usage.source == "reported":
            self._instruments.tokens.record(info.usage.prompt_tokens, {**attributes, TOKEN_TYPE: "input"})
            self._instruments.tokens.record(info.usage.completion_tokens, {**attributes, TOKEN_TYPE: "output"})


# -- what is said of things


def _request(info: RequestInfo) -> dict[str, Any]:
    name = info.provider.removesuffix("-responses").removesuffix("-anthropic")
    return {
        OPERATION: CHAT,
        PROVIDER: PROVIDERS.get(name, name),
        REQUEST_MODEL: info.model,
        **_server(info.base_url),
    }


def _server(url: str) -> dict[str, Any]:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # no URL; the call says so
        return {}
    return {SERVER_ADDRESS: parts.hostname, **_known(SERVER_PORT, port)} if parts.hostname else {}


def _settings(request: ChatRequest | None) -> dict[str, Any]:
    """What the request sets: what it leaves to the provider is not told."""
    if request is None:
        return {}
    options = request.provider_options
    told: dict[str, Any] = {
        name: kind(value) for name, (ours, kind) in SETTINGS.items() if (value := getattr(request, ours)) is not None
    }
    told |= _known(STOP_SEQUENCES, list(request.stop))
    if request.response_format is not None:
        told[OUTPUT_TYPE] = "text" if request.response_format.type == "text" else "json"
    if isinstance(count := options.get("n"), int) and count != 1:
        told[CHOICE_COUNT] = count
    return told | _known(CONVERSATION, _conversation(options.get("conversation")))


def _conversation(option: Any) -> str | None:
    """The conversation that the provider keeps, as OpenAI's Responses API takes it: an id, or an object with one."""
    found = option.get("id") if isinstance(option, Mapping) else option
    return found if isinstance(found, str) else None


def _written(value: Any) -> str:
    """Attributes of spans hold no objects, nor what UTF-8 cannot write."""
    return json.dumps(scrub(value), ensure_ascii=False, default=str)


def _without_operation(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """A step is part of an operation: whoever sums operations, or their tokens, is to find each of them once."""
    return {name: value for name, value in attributes.items() if name != OPERATION}


def _answer(fields: ResponseInfoFields, finish_reason: str | None, usage: Usage) -> dict[str, Any]:
    told = {**_known(RESPONSE_ID, fields.id), **_known(RESPONSE_MODEL, fields.model)}
    if finish_reason:
        told[FINISH_REASONS] = [finish_reason]
    if usage.source == "reported":
        told |= {INPUT_TOKENS: usage.prompt_tokens, OUTPUT_TOKENS: usage.completion_tokens}
        told |= _known(CACHE_READ_TOKENS, usage.cache_read_tokens)
        told |= _known(CACHE_CREATION_TOKENS, usage.cache_write_tokens)
        told |= _known(REASONING_TOKENS, usage.reasoning_tokens)
    return told


def _known(name: str, value: Any) -> dict[str, Any]:
    return {name: value} if value else {}


def _failure(error: BaseException | None) -> dict[str, Any]:
    if error is None:
        return {}
    if isinstance(error, Cancelled):
        return {CANCELLED: True}
    cause = error.__cause__ if isinstance(error, ToolError) else None
    return {ERROR_TYPE: type(cause or error).__name__}


# -- tools


def _tool(info: ToolCallInfo) -> dict[str, Any]:
    return {TOOL_NAME: info.tool_call.name, TOOL_TYPE: "function"}


def _not_run(info: ToolCallInfo) -> dict[str, Any]:
    """Without the name: it may be an invention of the model, and so part of its answer."""
    return {STEP: info.step, TOOL_CALL_ID: info.tool_call.id, **_failure(info.error)}


# -- which span is current: of the spans that other instrumentation begins here it is the parent


def _enter(span: Span, outer: Context) -> None:
    from opentelemetry import trace

    _attach(trace.set_span_in_context(span, outer))


def _attach(current: Context) -> None:
    """For good: the thread's context is the stream's, or the tool's, and goes with it."""
    from opentelemetry import context

    context.attach(current)
