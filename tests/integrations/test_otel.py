"""OpenTelemetry: which spans and measurements streams leave, that none are mixed, and that they tell no secrets."""

from __future__ import annotations

import contextvars
import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest

from streamkit import (
    Client,
    ConfigError,
    Context,
    Hooks,
    RetryPolicy,
    StepPlan,
    StreamKitError,
    ToolDecision,
    stream_text,
    tool,
)
from streamkit import watchdog as watchdog_module
from streamkit.errors import ToolError
from streamkit.hooks import RequestInfo, ToolCallInfo, observe
from streamkit.integrations import otel
from streamkit.integrations.otel import otel_hooks
from streamkit.providers import OpenAI
from streamkit.testing import Gate, ProviderServer, Script, Stall, Wait, chat_answer, error_answer
from streamkit.types.chunks import TextChunk
from streamkit.types.request import ChatRequest, ResponseFormat
from streamkit.types.response import ChatResponse, ToolCall

pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk")

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

PATIENCE = 10.0
"""Seconds after which a test gives up hope."""
KEY = "sk-never-to-be-seen"


@attrs.frozen
class Telemetry:
    """What a test's streams have left, and the server that they come from."""

    server: ProviderServer
    tracers: TracerProvider
    meters: MeterProvider
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    clients: list[Client] = attrs.field(factory=list)

    def client(self, *, content: bool = False, more: Hooks | None = None, **settings: Any) -> Client:
        """Give a client that is observed."""
        hooks = otel_hooks(tracer_provider=self.tracers, meter_provider=self.meters, content=content)
        settings.setdefault("retry_policy", RetryPolicy(initial_interval=0.001, max_interval=0.001))
        provider = OpenAI(api_key=KEY, base_url=self.server.base_url)
        self.clients.append(Client(provider, hooks=hooks if more is None else hooks | more, **settings))
        return self.clients[-1]

    @property
    def place(self) -> dict[str, Any]:
        """Where the server is, as spans and measurements tell it."""
        return {otel.SERVER_ADDRESS: "127.0.0.1", otel.SERVER_PORT: urlsplit(self.server.base_url).port}

    def spans(self) -> dict[str, ReadableSpan]:
        """The spans that have ended, by name, in order of their beginning; each name once."""
        spans = sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)
        assert len(spans) == len({span.name for span in spans})
        return {span.name: span for span in spans}

    def measured(self) -> dict[str, list[Any]]:
        """The data points of each metric that was measured."""
        data = self.reader.get_metrics_data()
        resources = data.resource_metrics if data is not None else []
        metrics = [metric for resource in resources for scope in resource.scope_metrics for metric in scope.metrics]
        return {metric.name: list(metric.data.data_points) for metric in metrics}


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog makes its rounds far more often than usual, so that it ends soon after each test."""
    monkeypatch.setattr(watchdog_module, "PATROL", 0.002)


@pytest.fixture(name="telemetry")
def fixture_telemetry() -> Iterator[Telemetry]:
    """Exporters in memory, and a server."""
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(shutdown_on_exit=False), MeterProvider([reader], shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    with ProviderServer() as server:
        telemetry = Telemetry(server, tracers, meters, exporter, reader)
        yield telemetry
        for client in telemetry.clients:
            client.close()
    tracers.shutdown()
    meters.shutdown()


def said(spans: Mapping[str, ReadableSpan]) -> str:
    """All that spans say, as one text."""
    return "\n".join(span.to_json() for span in spans.values())


def parents(spans: Mapping[str, ReadableSpan]) -> dict[str, str | None]:
    """The name of each span's parent."""
    names = {span.context.span_id: name for name, span in spans.items() if span.context is not None}
    return {name: names.get(span.parent.span_id) if span.parent is not None else None for name, span in spans.items()}


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """What a span tells of itself."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in (span.attributes or {}).items()}


def statuses(spans: Mapping[str, ReadableSpan]) -> dict[str, StatusCode]:
    """How each span ended."""
    return {name: span.status.status_code for name, span in spans.items()}


def events(span: ReadableSpan) -> list[tuple[str, dict[str, Any]]]:
    """What happened in a span."""
    return [(event.name, dict(event.attributes or {})) for event in span.events]


def passed(event: threading.Event) -> bool:
    """Wait for an event; fail where it does not come."""
    assert event.wait(PATIENCE), "it did not happen"
    return True


# -- a single answer


def test_an_answer_is_a_span_with_one_step(telemetry: Telemetry) -> None:
    """The root tells what was asked, who answered, why it ended and what it took; the step the same of its call."""
    telemetry.server.reply(chat_answer("Hello", " world", model="gpt-4o-2024"))
    stream = telemetry.client().chat("gpt-4o").user("Hi").get_stream()
    stream.result()
    spans = telemetry.spans()
    root, step = spans["chat gpt-4o"], spans["step 1"]
    both = {
        otel.PROVIDER: "openai",
        otel.REQUEST_MODEL: "gpt-4o",
        otel.RESPONSE_ID: "chatcmpl-test",
        otel.RESPONSE_MODEL: "gpt-4o-2024",
        otel.FINISH_REASONS: ["stop"],
        otel.INPUT_TOKENS: 5,
        otel.OUTPUT_TOKENS: 2,
        **telemetry.place,
    }
    of_step = attributes(step)

    assert {"chat gpt-4o": None, "step 1": "chat gpt-4o"} == parents(spans)
    assert {**both, otel.OPERATION: "chat", otel.REQUEST_STREAM: True} == attributes(root)
    assert of_step.pop(otel.TIME_TO_FIRST_CHUNK) >= 0
    assert {**both, otel.STEP: 1} == of_step
    assert (SpanKind.CLIENT, SpanKind.INTERNAL) == (root.kind, step.kind)
    assert {StatusCode.UNSET} == set(statuses(spans).values())


def test_the_names_are_those_of_the_conventions() -> None:
    """What the conventions have a name for has that one, as far as their Python package knows it."""
    if not hasattr(pytest.importorskip("opentelemetry.semconv.schemas").Schemas, "V1_41_0"):
        pytest.skip("the installed package is older than the names")
    known = pytest.importorskip("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
    metrics = pytest.importorskip("opentelemetry.semconv._incubating.metrics.gen_ai_metrics")
    theirs = {value for module in (known, metrics) for value in vars(module).values() if isinstance(value, str)}
    ours = {value for name, value in vars(otel).items() if name.isupper() and str(value).startswith("gen_ai.")}
    ours |= {*otel.SETTINGS}

    younger = {otel.TOOL_DURATION_METRIC, "moonshot_ai"}  # than the package

    assert len(ours) > 20
    assert ours - theirs <= younger
    assert {*otel.PROVIDERS.values()} - {each.value for each in known.GenAiProviderNameValues} <= younger


def test_what_is_measured(telemetry: Telemetry) -> None:
    """Duration and first chunk once, a gap for each further chunk of output, and the tokens by type."""
    telemetry.server.reply(chat_answer("a", "b", "c", model="gpt-4o-2024"))
    telemetry.client().chat("gpt-4o").user("Hi").get_response()
    asked = {otel.OPERATION: "chat", otel.PROVIDER: "openai", otel.REQUEST_MODEL: "gpt-4o", **telemetry.place}
    answered = {**asked, otel.RESPONSE_MODEL: "gpt-4o-2024"}
    measured = telemetry.measured()
    tokens = {point.attributes[otel.TOKEN_TYPE]: point for point in measured.pop(otel.TOKENS_METRIC)}
    points = {name: point for name, (point,) in measured.items()}

    assert {otel.DURATION_METRIC, otel.FIRST_CHUNK_METRIC, otel.OUTPUT_CHUNK_METRIC} == set(points)
    assert (1, answered) == (points[otel.DURATION_METRIC].count, points[otel.DURATION_METRIC].attributes)
    assert (1, answered) == (points[otel.FIRST_CHUNK_METRIC].count, points[otel.FIRST_CHUNK_METRIC].attributes)
    assert (2, asked) == (points[otel.OUTPUT_CHUNK_METRIC].count, points[otel.OUTPUT_CHUNK_METRIC].attributes)
    assert 0 < points[otel.FIRST_CHUNK_METRIC].sum <= points[otel.DURATION_METRIC].sum
    assert {"input": 5, "output": 3} == {kind: point.sum for kind, point in tokens.items()}
    assert {**answered, otel.TOKEN_TYPE: "input"} == tokens["input"].attributes
    assert pytest.approx([0.01, 0.02, 81.92]) == [points[otel.DURATION_METRIC].explicit_bounds[i] for i in (0, 1, 13)]
    assert (1, 4, 67108864) == tuple(tokens["input"].explicit_bounds[i] for i in (0, 1, 13))


def test_unknown_usage_is_not_told(telemetry: Telemetry) -> None:
    """A provider that says nothing of tokens leaves no count, which would be a lie."""
    telemetry.server.reply(chat_answer("Hello", usage=False))
    telemetry.client().chat("gpt-4o").user("Hi").get_response()

    assert otel.TOKENS_METRIC not in telemetry.measured()
    assert not [name for span in telemetry.spans().values() for name in attributes(span) if "usage" in name]


def test_it_is_a_child_of_the_callers_span(telemetry: Telemetry) -> None:
    """The span that is current where the stream is begun is the parent, and stays the current one there."""
    telemetry.server.reply(chat_answer("Hello"))
    with telemetry.tracers.get_tracer("test").start_as_current_span("request") as span:
        telemetry.client().chat("gpt-4o").user("Hi").get_response()

        assert span is trace.get_current_span()
    assert {"request": None, "chat gpt-4o": "request", "step 1": "chat gpt-4o"} == parents(telemetry.spans())


def test_what_happens_in_a_call_belongs_to_its_step(telemetry: Telemetry) -> None:
    """While the answer comes the step's span is the current one on the stream's thread, and the root's afterwards."""
    current = list[str]()

    def note(_: object) -> None:
        span = trace.get_current_span()
        assert isinstance(span, ReadableSpan)
        current.append(span.name)

    telemetry.server.reply(chat_answer("Hello"))
    client = telemetry.client(more=Hooks(on_chunk=note, on_response=note))
    client.chat("gpt-4o").user("Hi").get_response()

    assert ["step 1", "step 1", "chat gpt-4o"] == current


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("openai", "openai"),
        ("openai-responses", "openai"),
        ("azure-responses", "azure.ai.openai"),
        ("gemini", "gcp.gemini"),
        ("xai-responses", "x_ai"),
        ("deepseek-anthropic", "deepseek"),
        ("ollama", "ollama"),
    ],
)
def test_providers_have_their_conventional_names(ours: str, theirs: str, telemetry: Telemetry) -> None:
    """A provider is told by the conventions' name for it, whichever of its APIs is used; others keep theirs."""
    hooks = otel_hooks(tracer_provider=telemetry.tracers, meter_provider=telemetry.meters)
    assert hooks.on_request is not None
    assert hooks.on_error is not None
    hooks.on_request(RequestInfo(provider=ours, model="m", message_count=1, tool_count=0, step=1))
    hooks.on_error(StreamKitError("no"))

    assert theirs == attributes(telemetry.spans()["chat m"])[otel.PROVIDER]


# -- retries and failures


def test_retries_are_events_of_one_span(telemetry: Telemetry) -> None:
    """Two refusals, then an answer: one root, one step, two events that say why, and no error in the end."""
    telemetry.server.reply(error_answer(503, headers={"retry-after-ms": "1"}), times=2)
    telemetry.server.reply(chat_answer("Hello"))
    telemetry.client().chat("gpt-4o").user("Hi").get_response()
    spans = telemetry.spans()
    told = events(spans["chat gpt-4o"])

    assert ["chat gpt-4o", "step 1"] == [*spans]
    assert [otel.RETRY, otel.RETRY] == [name for name, _ in told]
    assert [1, 2] == [event[otel.RETRY_ATTEMPT] for _, event in told]
    assert all(0 < event.pop(otel.RETRY_DELAY) < 1 for _, event in told)
    assert {otel.RETRY_ATTEMPT: 1, otel.ERROR_TYPE: "Overloaded", otel.STATUS_CODE: 503} == told[0][1]
    assert {StatusCode.UNSET} == set(statuses(spans).values())
    assert [1] == [point.count for point in telemetry.measured()[otel.DURATION_METRIC]]


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (error_answer(401), "Unauthorized"),
        (chat_answer("Hel", "lo")[:3], "StreamTruncated"),
    ],
    ids=["before the answer", "within the answer"],
)
def test_a_failure_is_the_status_of_root_and_step(telemetry: Telemetry, script: Script, error: str) -> None:
    """Both spans end as errors, and they and the duration name the class of the error."""
    telemetry.server.reply(script)
    with pytest.raises(StreamKitError):
        telemetry.client().chat("gpt-4o").user("Hi").get_response()
    spans = telemetry.spans()

    assert ["chat gpt-4o", "step 1"] == [*spans]
    assert {StatusCode.ERROR} == set(statuses(spans).values())
    assert {error} == {attributes(span)[otel.ERROR_TYPE] for span in spans.values()}
    assert [error] == [point.attributes[otel.ERROR_TYPE] for point in telemetry.measured()[otel.DURATION_METRIC]]


def test_a_fallback_is_a_step_of_its_own(telemetry: Telemetry) -> None:
    """Where the first provider cannot be opened, its step ends as an error, and the root as the answer of the next."""
    telemetry.server.reply(error_answer(503))
    telemetry.server.reply(chat_answer("Hello", model="second"))
    client = telemetry.client(retry_policy=RetryPolicy(max_retries=0))
    other = client.model("second")
    with Client(
        client.provider, hooks=client.chat("m").observers, fallback=[other], retry_policy=RetryPolicy(max_retries=0)
    ) as first:
        assert "Hello" == first.chat("first").user("Hi").get_response().text
    *steps, root = telemetry.exporter.get_finished_spans()

    assert ["step 1", "step 1"] == [step.name for step in steps]
    assert [StatusCode.ERROR, StatusCode.UNSET] == [step.status.status_code for step in steps]
    assert ["first", "second"] == [attributes(step)[otel.REQUEST_MODEL] for step in steps]
    assert ("chat first", "second") == (root.name, attributes(root)[otel.RESPONSE_MODEL])
    assert StatusCode.UNSET == root.status.status_code


def test_a_refusal_before_the_first_call_leaves_nothing(telemetry: Telemetry) -> None:
    """What fails before a model is asked is no operation."""

    def prepare(steps: Sequence[Any]) -> StepPlan:
        raise ZeroDivisionError

    with pytest.raises(StreamKitError):
        stream_text(telemetry.client().model("gpt-4o"), prompt="Hi", prepare_step=prepare)

    assert {} == telemetry.spans()


# -- cancel and deadline


def test_a_cancel_is_no_failure(telemetry: Telemetry) -> None:
    """A stream that its user cancels ends its spans, which say so; what had been used until then is told."""
    told = threading.Event()
    telemetry.server.reply((*chat_answer("Hel")[:3], Stall()))
    client = telemetry.client(more=Hooks(on_cancel=lambda error: told.set()))
    stream = client.chat("gpt-4o").user("Hi").get_stream()
    assert "Hel" == next(iter(stream.text()))
    stream.cancel()
    passed(told)
    spans = telemetry.spans()
    (duration,) = telemetry.measured()[otel.DURATION_METRIC]

    assert ["chat gpt-4o", "step 1"] == [*spans]
    assert {StatusCode.UNSET} == set(statuses(spans).values())
    assert [True, True] == [attributes(span).get(otel.CANCELLED) for span in spans.values()]
    assert not [span for span in spans.values() if otel.ERROR_TYPE in attributes(span)]
    assert duration.attributes[otel.CANCELLED] is True


def test_a_passed_deadline_is_a_failure(telemetry: Telemetry) -> None:
    """A stream that takes too long ends as an error."""
    told = threading.Event()
    telemetry.server.reply((*chat_answer("Hel")[:3], Stall()))
    client = telemetry.client(more=Hooks(on_cancel=lambda error: told.set()))
    with pytest.raises(StreamKitError):
        client.chat("gpt-4o").user("Hi").get_stream(Context(timeout=0.2)).result()
    passed(told)
    spans = telemetry.spans()

    assert {"chat gpt-4o": StatusCode.ERROR, "step 1": StatusCode.ERROR} == statuses(spans)
    assert {"DeadlineExceeded"} == {attributes(span)[otel.ERROR_TYPE] for span in spans.values()}


# -- tools


def weather(each: Callable[[str], str]) -> Any:
    """Give a tool that answers as `each` does."""

    @tool
    def get_weather(city: str) -> str:
        """Get the weather.

        Args:
            city: The city.
        """
        return each(city)

    return get_weather


def clock(each: Callable[[], str]) -> Any:
    """Give another tool."""

    @tool
    def get_time() -> str:
        """Get the time."""
        return each()

    return get_time


def test_a_tool_loop_is_one_span_with_its_steps_and_tools(telemetry: Telemetry) -> None:
    """Two tools that run side by side are children of the root between the steps, and spans made in them are theirs."""
    both = threading.Barrier(2, timeout=PATIENCE)
    tracer = telemetry.tracers.get_tracer("test")

    def within(answer: str) -> str:
        with tracer.start_as_current_span(f"within {answer}"):
            both.wait()
        return answer

    telemetry.server.reply(chat_answer(tool_calls=[("get_weather", {"city": "Oslo"}), ("get_time", {})]))
    telemetry.server.reply(chat_answer("Cold", "."))
    tools = [weather(lambda city: within("cold")), clock(lambda: within("noon"))]
    result = stream_text(telemetry.client().model("gpt-4o"), prompt="Hi", tools=tools).result()
    spans = telemetry.spans()
    root, first, second = spans["chat gpt-4o"], spans["step 1"], spans["step 2"]
    runs = [spans["execute_tool get_weather"], spans["execute_tool get_time"]]

    assert 2 == len(result.steps)
    assert {
        "chat gpt-4o": None,
        "step 1": "chat gpt-4o",
        "execute_tool get_weather": "chat gpt-4o",
        "within cold": "execute_tool get_weather",
        "execute_tool get_time": "chat gpt-4o",
        "within noon": "execute_tool get_time",
        "step 2": "chat gpt-4o",
    } == parents(spans)
    assert {
        otel.OPERATION: "execute_tool",
        otel.TOOL_NAME: "get_weather",
        otel.TOOL_TYPE: "function",
        otel.TOOL_CALL_ID: "call_1",
        otel.STEP: 1,
    } == attributes(runs[0])
    assert [["tool_calls"], ["stop"]] == [attributes(step)[otel.FINISH_REASONS] for step in (first, second)]
    assert (10, 2) == (attributes(root)[otel.INPUT_TOKENS], attributes(root)[otel.OUTPUT_TOKENS])
    assert [5, 5] == [attributes(step)[otel.INPUT_TOKENS] for step in (first, second)]
    for run in runs:
        assert (first.end_time or 0) <= (run.start_time or 0) < (run.end_time or 0) <= (second.start_time or 0)
    assert ["get_time", "get_weather"] == sorted(
        point.attributes[otel.TOOL_NAME] for point in telemetry.measured()[otel.TOOL_DURATION_METRIC]
    )
    assert 2 == sum(point.count for point in telemetry.measured()[otel.DURATION_METRIC])


def test_a_failing_tool_fails_its_span_alone(telemetry: Telemetry) -> None:
    """What a tool raises is the error of its run, and not of the stream, which goes on."""

    def fail(city: str) -> str:
        raise ZeroDivisionError

    telemetry.server.reply(chat_answer(tool_calls=[("get_weather", {"city": "Oslo"})]))
    telemetry.server.reply(chat_answer("I cannot tell."))
    stream_text(telemetry.client().model("gpt-4o"), prompt="Hi", tools=[weather(fail)]).result()
    spans = telemetry.spans()
    (duration,) = telemetry.measured()[otel.TOOL_DURATION_METRIC]

    assert "ZeroDivisionError" == attributes(spans["execute_tool get_weather"])[otel.ERROR_TYPE]
    assert "ZeroDivisionError" == duration.attributes[otel.ERROR_TYPE]
    assert ["execute_tool get_weather"] == [name for name, code in statuses(spans).items() if code is StatusCode.ERROR]


def test_a_call_that_is_not_run_is_an_event(telemetry: Telemetry) -> None:
    """A refused call and one of an unknown tool leave no span: nothing ran. The root says so, without names."""
    calls = [("get_weather", {"city": "Oslo"}), ("forgotten_tool", {})]
    telemetry.server.reply(chat_answer(tool_calls=calls))
    telemetry.server.reply(chat_answer("I may not."))
    model = telemetry.client().model("gpt-4o")
    stream_text(model, prompt="Hi", tools=[weather(str.upper)], approve=lambda call: ToolDecision.refuse("no")).result()
    spans = telemetry.spans()
    told = [
        (otel.TOOL_NOT_RUN, {otel.STEP: 1, otel.TOOL_CALL_ID: id, otel.ERROR_TYPE: "ToolError"})
        for id in ("call_1", "call_2")
    ]

    assert ["chat gpt-4o", "step 1", "step 2"] == [*spans]
    assert told == events(spans["chat gpt-4o"])
    assert "forgotten_tool" not in said(spans)


def test_a_cancel_while_a_tool_runs_ends_all_spans(telemetry: Telemetry) -> None:
    """The span of a tool that is still running ends with the stream, before the root, though the tool goes on."""
    running, go_on, told = threading.Event(), threading.Event(), threading.Event()

    def wait(city: str) -> str:
        running.set()
        passed(go_on)
        return city

    telemetry.server.reply(chat_answer(tool_calls=[("get_weather", {"city": "Oslo"})]))
    client = telemetry.client(more=Hooks(on_cancel=lambda error: told.set()))
    stream = stream_text(client.model("gpt-4o"), prompt="Hi", tools=[weather(wait)])
    passed(running)
    stream.cancel()
    passed(told)
    spans = telemetry.spans()
    go_on.set()

    assert ["chat gpt-4o", "step 1", "execute_tool get_weather"] == [*spans]
    assert {
        "chat gpt-4o": StatusCode.UNSET,
        "step 1": StatusCode.UNSET,
        "execute_tool get_weather": StatusCode.ERROR,
    } == statuses(spans)
    assert attributes(spans["chat gpt-4o"])[otel.CANCELLED] is True
    assert (spans["execute_tool get_weather"].end_time or 0) <= (spans["chat gpt-4o"].end_time or 0)


def call_of(name: str) -> ToolCallInfo:
    """Give a call without an id, as some services send them."""
    return ToolCallInfo(step=1, tool_call=ToolCall(id="", name=name, input="{}"))


def test_a_tool_that_begins_as_the_stream_ends_ends_with_it(telemetry: Telemetry) -> None:
    """A run that was begun too late for anyone to tell of its end leaves no open span."""
    hooks = otel_hooks(tracer_provider=telemetry.tracers, meter_provider=telemetry.meters)

    def tell() -> None:
        observe(hooks.on_request, RequestInfo(provider="p", model="m", message_count=1, tool_count=2, step=1))
        contextvars.copy_context().run(observe, hooks.on_tool_call_start, call_of("a"))
        contextvars.copy_context().run(observe, hooks.on_tool_call_start, call_of("b"))
        observe(hooks.on_finish, ChatResponse())

    contextvars.copy_context().run(tell)

    assert ["chat m", "step 1", "execute_tool a", "execute_tool b"] == [*telemetry.spans()]


def test_a_tool_that_was_given_up_before_it_began_gets_no_span(telemetry: Telemetry) -> None:
    """Its thread may come to run after its time limit, or after the end of the stream: there is nothing to begin."""
    hooks = otel_hooks(tracer_provider=telemetry.tracers, meter_provider=telemetry.meters)
    late, later = (call_of(name) for name in ("a", "b"))

    def tell() -> None:
        observe(hooks.on_request, RequestInfo(provider="p", model="m", message_count=1, tool_count=2, step=1))
        observe(hooks.on_tool_call, attrs.evolve(late, error=ToolError("too late")))
        observe(hooks.on_tool_call_start, late)
        threads_context = contextvars.copy_context()
        observe(hooks.on_finish, ChatResponse())
        threads_context.run(observe, hooks.on_tool_call_start, later)

    contextvars.copy_context().run(tell)

    assert ["chat m", "step 1"] == [*telemetry.spans()]
    assert [otel.TOOL_NOT_RUN] == [name for name, _ in events(telemetry.spans()["chat m"])]


# -- several at once


def test_parallel_streams_are_not_mixed(telemetry: Telemetry) -> None:
    """Streams that are under way at the same time through one client have each a trace of their own."""
    names = [f"model-{number}" for number in range(4)]
    gates = [Gate() for _ in names]
    client = telemetry.client()
    streams = []
    for name, gate in zip(names, gates, strict=True):
        head, *rest = chat_answer(*name, model=name)
        telemetry.server.reply((head, rest[0], rest[1], Wait(gate), *rest[2:]))
        streams.append(client.chat(name).user("Hi").get_stream())
    for gate in reversed(gates):
        gate.set()
    for stream in streams:
        stream.result()
    spans = telemetry.exporter.get_finished_spans()
    traces = {span.context.trace_id: span.name for span in spans if span.parent is None and span.context is not None}
    steps = [span for span in spans if span.parent is not None]

    assert sorted(f"chat {name}" for name in names) == sorted(traces.values())
    assert 4 == len(steps)
    for step in steps:
        assert step.context is not None
        assert f"chat {attributes(step)[otel.RESPONSE_MODEL]}" == traces[step.context.trace_id]


def test_a_stream_begun_in_a_tool_is_a_child_of_its_run(telemetry: Telemetry) -> None:
    """A tool that asks a model through the same client: a root of its own, below the tool's span."""
    client = telemetry.client()
    telemetry.server.reply(chat_answer(tool_calls=[("get_weather", {"city": "Oslo"})]))
    telemetry.server.reply(chat_answer("Cold."))
    telemetry.server.reply(chat_answer("It is cold."))
    ask = weather(lambda city: client.chat("inner").user(city).get_response().text)
    stream_text(client.model("outer"), prompt="Hi", tools=[ask]).result()
    spans = telemetry.exporter.get_finished_spans()
    names = {span.context.span_id: span.name for span in spans if span.context is not None}
    found = [(span.name, names.get(span.parent.span_id) if span.parent is not None else None) for span in spans]

    assert {
        ("chat outer", None),
        ("step 1", "chat outer"),
        ("execute_tool get_weather", "chat outer"),
        ("chat inner", "execute_tool get_weather"),
        ("step 1", "chat inner"),
        ("step 2", "chat outer"),
    } == set(found)
    assert 6 == len(found)


# -- discretion


def secrets_loop(telemetry: Telemetry, *, content: bool) -> str:
    """Have prompt, thinking, answer, tool input, tool output and error texts pass; give all that spans say."""

    def fail(city: str) -> str:
        raise ValueError(f"tool-error about {city}")

    def answer() -> str:
        return "tool-output"

    calls = [("get_weather", {"city": "tool-input"}), ("get_time", {})]
    telemetry.server.reply(chat_answer("first-words", thinking="thoughts", tool_calls=calls))
    telemetry.server.reply(error_answer(400, f"bad prompt-text for {KEY}"))
    model = telemetry.client(content=content).model("gpt-4o")
    tools = [weather(fail), clock(answer)]
    with pytest.raises(StreamKitError):
        stream_text(model, system="system-text", prompt="prompt-text", tools=tools).result()
    return said(telemetry.spans())


TOLD = (
    *("system-text", "prompt-text", "Get the weather", "first-words", "thoughts", "tool-input", "tool-output"),
    *("tool-error", "bad prompt-text"),
)


def test_no_text_is_told_unasked(telemetry: Telemetry) -> None:
    """Nothing of prompt, thinking, answer, tools or error texts is in any span."""
    everything = secrets_loop(telemetry, content=False)

    assert [] == [text for text in (*TOLD, KEY) if text in everything]


def test_texts_are_told_when_asked(telemetry: Telemetry) -> None:
    """With `content=True` all that was asked and came back is there, but for the key, which no one ever sees."""
    everything = secrets_loop(telemetry, content=True)

    assert [*TOLD] == [text for text in TOLD if text in everything]
    assert KEY not in everything


def test_what_the_model_said_is_written_as_the_conventions_say(telemetry: Telemetry) -> None:
    """With `content=True` a step has its output message: reasoning, text and calls as parts, and why it ended."""
    telemetry.server.reply(chat_answer("Let me see.", thinking="Hm.", tool_calls=[("get_time", {"zone": "UTC"})]))
    telemetry.client(content=True).chat("gpt-4o").user("Hi").get_response()
    parts = [
        {"type": "reasoning", "content": "Hm."},
        {"type": "text", "content": "Let me see."},
        {"type": "tool_call", "id": "call_1", "name": "get_time", "arguments": {"zone": "UTC"}},
    ]
    message = {"role": "assistant", "parts": parts, "finish_reason": "tool_calls"}

    for span in telemetry.spans().values():
        assert [message] == json.loads(attributes(span)[otel.OUTPUT_MESSAGES])


def test_what_the_model_is_told_is_written_as_the_conventions_say(telemetry: Telemetry) -> None:
    """With `content=True` each step has what its own call was told; the root what the stream began with."""
    telemetry.server.reply(chat_answer(tool_calls=[("get_time", {})]))
    telemetry.server.reply(chat_answer("Noon."))
    model = telemetry.client(content=True).model("gpt-4o")
    stream_text(model, system="Be \ud800brief.", prompt="When?", tools=[clock(lambda: "12:00")]).result()
    spans = telemetry.spans()
    said = {
        name: [message["role"] for message in json.loads(attributes(spans[name])[otel.INPUT_MESSAGES])]
        for name in ("chat gpt-4o", "step 1", "step 2")
    }
    (definition,) = json.loads(attributes(spans["chat gpt-4o"])[otel.TOOL_DEFINITIONS])

    assert {"chat gpt-4o": ["user"], "step 1": ["user"], "step 2": ["user", "assistant", "tool"]} == said
    assert [{"type": "text", "content": "Be \ufffdbrief."}] == json.loads(
        attributes(spans["step 2"])[otel.SYSTEM_INSTRUCTIONS]
    )
    assert ("function", "get_time", "Get the time.") == tuple(definition[x] for x in ("type", "name", "description"))


def test_what_a_request_sets_is_told(telemetry: Telemetry) -> None:
    """Root and step have each setting that was made, in the type that the conventions want, and no other."""
    telemetry.server.reply(chat_answer("{}"))
    chat = telemetry.client().chat("gpt-4o").user("Hi").temperature(0).max_tokens(9).top_p(1).seed(3).stop("a", "b")
    chat.penalties(frequency=0.5, presence=1).response_format("json").get_response()
    told = {
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.seed": 3,
        "gen_ai.request.frequency_penalty": 0.5,
        "gen_ai.request.presence_penalty": 1.0,
        otel.STOP_SEQUENCES: ["a", "b"],
        otel.OUTPUT_TYPE: "json",
    }

    for span in telemetry.spans().values():
        seen = {name: value for name, value in attributes(span).items() if name in told or "request" in name}
        seen = {name: value for name, value in seen.items() if name not in (otel.REQUEST_MODEL, otel.REQUEST_STREAM)}

        assert told == seen
        assert float is type(seen["gen_ai.request.temperature"])
    (duration,) = telemetry.measured()[otel.DURATION_METRIC]
    assert not told.keys() & duration.attributes.keys()


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (ChatRequest(model="m"), {}),
        (ChatRequest(model="m", top_k=5), {"gen_ai.request.top_k": 5.0}),
        (ChatRequest(model="m", provider_options={"n": 1}), {}),
        (ChatRequest(model="m", provider_options={"n": 2}), {otel.CHOICE_COUNT: 2}),
        (ChatRequest(model="m", provider_options={"conversation": "conv_1"}), {otel.CONVERSATION: "conv_1"}),
        (ChatRequest(model="m", provider_options={"conversation": {"id": "conv_1"}}), {otel.CONVERSATION: "conv_1"}),
        (ChatRequest(model="m", provider_options={"conversation": 5}), {}),
        (ChatRequest(model="m", response_format=ResponseFormat(type="text")), {otel.OUTPUT_TYPE: "text"}),
        (ChatRequest(model="m", response_format=ResponseFormat(type="schema", schema={})), {otel.OUTPUT_TYPE: "json"}),
    ],
)
def test_settings_of_other_kinds(request_: ChatRequest, expected: dict[str, Any], telemetry: Telemetry) -> None:
    """What goes to the provider in its own words is told where the conventions have a name for it."""
    assert expected == told_of(telemetry, request=request_)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.openai.com/v1", {otel.SERVER_ADDRESS: "api.openai.com", otel.SERVER_PORT: 443}),
        ("http://[::1]:8080", {otel.SERVER_ADDRESS: "::1", otel.SERVER_PORT: 8080}),
        ("http://localhost", {otel.SERVER_ADDRESS: "localhost", otel.SERVER_PORT: 80}),
        ("http://localhost:port", {}),
        ("", {}),
    ],
)
def test_where_the_server_is(url: str, expected: dict[str, Any], telemetry: Telemetry) -> None:
    """Its name or address, and its port; of what is no URL nothing."""
    assert expected == told_of(telemetry, base_url=url)


def told_of(telemetry: Telemetry, **info: Any) -> dict[str, Any]:
    """Give what the root tells of a request, but for what it tells of each."""
    hooks = otel_hooks(tracer_provider=telemetry.tracers, meter_provider=telemetry.meters)

    def tell() -> None:
        observe(hooks.on_request, RequestInfo(provider="p", model="m", message_count=1, tool_count=2, step=1, **info))
        observe(hooks.on_finish, ChatResponse())

    contextvars.copy_context().run(tell)
    told = attributes(telemetry.spans()["chat m"])
    return {name: value for name, value in told.items() if name not in EACH}


EACH = (otel.OPERATION, otel.PROVIDER, otel.REQUEST_MODEL, otel.REQUEST_STREAM)


def test_what_is_measured_tells_no_text(telemetry: Telemetry) -> None:
    """No attribute of a metric holds a text, even with `content=True`: each would be a series of its own."""
    secrets_loop(telemetry, content=True)
    everything = repr([point.attributes for points in telemetry.measured().values() for point in points])

    assert [] == [text for text in (*TOLD, KEY) if text in everything]


# -- without it


def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where OpenTelemetry is not installed the error says what to install; the module itself can be imported."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)

    with pytest.raises(ConfigError, match=r'pip install "streamkit-llm\[otel\]"'):
        otel_hooks()


def test_hooks_do_nothing_outside_of_a_stream(telemetry: Telemetry) -> None:
    """Told of what no traced stream does, such as the retries of a list of models, they stay silent."""
    hooks = otel_hooks(tracer_provider=telemetry.tracers, meter_provider=telemetry.meters)
    telemetry.server.reply(error_answer(503, headers={"retry-after-ms": "1"}))
    telemetry.server.reply(error_answer(200, {"data": [{"id": "m"}]}))
    names = telemetry.client().models()
    heard = list[str]()
    for name in (field.name for field in attrs.fields(Hooks) if field.name != "on_request"):
        value: Any = TextChunk(content="x", index=0) if name == "on_chunk" else StreamKitError("no")
        getattr(hooks, name)(value)
        heard.append(name)

    assert ["m"] == names
    assert 9 == len(heard)
    assert {} == telemetry.spans()
    assert {} == telemetry.measured()
