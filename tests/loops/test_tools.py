"""The tool loop: several calls as one stream."""

from __future__ import annotations

import base64
import contextvars
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from streamkit import (
    Cancelled,
    Client,
    ConfigError,
    Context,
    Hooks,
    ImagePart,
    Step,
    StepPlan,
    StreamKitError,
    StreamTruncated,
    TextStream,
    Timeouts,
    Tool,
    ToolCall,
    ToolCallInfo,
    ToolDecision,
    ToolResultPart,
    has_tool_call,
    step_count_is,
    stream_text,
    tool,
    user,
)
from streamkit.providers import Anthropic, Gemini, OpenAIResponses
from streamkit.testing import (
    Close,
    End,
    Event,
    ProviderServer,
    Stall,
    Status,
    anthropic_answer,
    chat_answer,
    gemini_answer,
    responses_answer,
)
from tests.loopback import ONCE, client_of, delta, took

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@tool
def weather(city: str) -> dict[str, Any]:
    """Get the weather in a city."""
    return {"city": city, "degrees": 24}


@tool
def broken(city: str) -> str:
    """Fail."""
    raise ValueError(f"no such city: {city}")


ASK_USER = Tool(name="ask_user", parameters=CITY)
TOOLS = [weather, broken, ASK_USER]


def started(client: Client, **options: Any) -> TextStream:
    """A generation with tools."""
    return stream_text(client.model("gpt-4o"), prompt="Hello", **{"tools": TOOLS, **options})


def paris(name: str = "weather", **arguments: Any) -> tuple[str, dict[str, Any]]:
    """A call of a tool."""
    return name, {"city": "Paris", **arguments}


# -- the stream


def test_two_steps_are_one_stream(server: ProviderServer, client: Client) -> None:
    """Calls, results, a `step_finish` for each step and one `finish`, numbered without gaps."""
    server.reply(*chat_answer("Let me see.", tool_calls=[paris()]))
    server.reply(*chat_answer("It is", " warm."))
    stream = started(client)
    chunks = list(stream.stream())

    assert [
        "text",
        "tool_call_start",
        "tool_call_delta",
        "tool_call",
        "tool_result",
        "step_finish",
        "text",
        "text",
        "step_finish",
        "finish",
    ] == [kind for kind, _ in _runs(chunk.type for chunk in chunks)]
    assert list(range(len(chunks))) == [chunk.index for chunk in chunks]
    assert [1, 2] == [chunk.step for chunk in chunks if chunk.type == "step_finish"]
    assert ["Let me see.", "It is", " warm."] == list(stream.text_stream())


PNG = b"\x89PNG and so on"


@tool
def chart(city: str) -> list[Any]:
    """Draw a chart."""
    return ["A chart:", ImagePart(data=PNG)]


@pytest.mark.parametrize(
    ("provider", "answer"),
    [
        (lambda server: Anthropic("k", base_url=server.url), anthropic_answer),
        (lambda server: OpenAIResponses("k", base_url=server.base_url), responses_answer),
        (lambda server: Gemini("k", base_url=server.url), gemini_answer),
    ],
    ids=["anthropic", "openai-responses", "gemini"],
)
def test_an_image_that_a_tool_gives(server: ProviderServer, provider: Any, answer: Any) -> None:
    """The model is shown it in its next step; chunk, step, observers and history have it, beside the text."""
    seen: list[ToolCallInfo] = []
    server.reply(*answer(tool_calls=[paris("chart")]))
    server.reply(*answer("Rising."))
    with Client(provider(server), retry_policy=ONCE) as client:
        stream = started(client, tools=[chart], on_tool_call=seen.append)
        chunks = [chunk for chunk in stream.stream() if chunk.type == "tool_result"]
        result = stream.result()
    sent = server.requests[1].body.decode()
    part = result.messages[1].content[0]
    images = (ImagePart(data=PNG),)

    assert base64.b64encode(PNG).decode() in sent
    assert "A chart:" in sent
    assert [("A chart:", images)] == [(chunk.tool_output, chunk.images) for chunk in chunks]
    assert [("A chart:", images)] == [(one.output, one.images) for one in result.steps[0].tool_results]
    assert [("A chart:", images)] == [(info.output, info.images) for info in seen]
    assert isinstance(part, ToolResultPart)
    assert ("A chart:", images) == (part.output, part.images)


def test_an_image_that_the_provider_does_not_take(server: ProviderServer, client: Client) -> None:
    """The stream fails, with what to do and with the step that was done: the model never goes on without the image."""
    server.reply(*chat_answer(tool_calls=[paris("chart")]))
    with pytest.raises(ConfigError, match="takes no images in a tool's result: have the tool give text") as caught:
        started(client, tools=[chart]).result()
    partial = caught.value.partial

    assert 1 == len(server.requests)
    assert partial is not None
    assert (ImagePart(data=PNG),) == partial.steps[0].tool_results[0].images


def _runs(kinds: Any) -> Iterator[tuple[str, int]]:
    """Fragments of a call may be several; the rest counts one by one."""
    last = None
    for kind in kinds:
        if not (kind == last == "tool_call_delta"):
            yield kind, 1
        last = kind


def test_the_result(server: ProviderServer, client: Client) -> None:
    """Steps with their results, usage summed, and the messages of all steps, which went into the second request."""
    server.reply(*chat_answer("Let me see.", tool_calls=[paris()]))
    server.reply(*chat_answer("It is warm."))
    result = started(client).result()
    first, second = result.steps

    assert ("Let me see.It is warm.", "stop", "natural", ()) == (
        result.text,
        result.finish_reason,
        result.stop_cause,
        result.tool_calls,
    )
    assert [('{"city": "Paris", "degrees": 24}', False)] == [(r.output, r.is_error) for r in first.tool_results]
    assert ("tool_calls", "weather", {"city": "Paris"}) == (
        first.finish_reason,
        first.tool_calls[0].name,
        first.tool_calls[0].arguments,
    )
    assert first.usage.total_tokens + second.usage.total_tokens == result.total_usage.total_tokens
    assert ["assistant", "tool", "assistant"] == [message.role for message in result.messages]
    assert ["user", "assistant", "tool"] == [sent["role"] for sent in server.requests[1].json()["messages"]]
    assert '{"city": "Paris", "degrees": 24}' == server.requests[1].json()["messages"][-1]["content"]


def test_tools_of_a_step_run_side_by_side(server: ProviderServer, client: Client) -> None:
    """Two that wait for each other both end; results have the order of the calls in the history."""
    together = threading.Barrier(2)
    first_done = threading.Event()

    @tool
    def slow(city: str) -> str:
        """Wait for the other, and be the last."""
        together.wait(5)
        first_done.wait(5)
        return "slow"

    @tool
    def quick(city: str) -> str:
        """Wait for the other, and be the first."""
        together.wait(5)
        return "quick"

    def seen(info: ToolCallInfo) -> None:
        if info.output == "quick":
            first_done.set()

    server.reply(*chat_answer(tool_calls=[paris("slow"), paris("quick")]))
    server.reply(*chat_answer("Done."))
    stream = started(client, tools=[slow, quick], on_tool_call=seen)
    results = [chunk.tool_output for chunk in stream.stream() if chunk.type == "tool_result"]

    assert ["quick", "slow"] == results
    assert ["slow", "quick"] == [r.output for r in stream.result().steps[0].tool_results]


# -- what goes wrong


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (paris("broken"), "ValueError: no such city: Paris"),
        (paris("nothing"), "there is no tool 'nothing': there is weather, broken, ask_user"),
        (("weather", {"city": 5}), "$.city: must be string, not 5"),
        (("weather", {}), "$.city: is missing"),
        (("weather", {"city": "a", "x": 1}), "$.x: is unknown"),
    ],
)
def test_the_model_is_told_what_went_wrong(
    call: tuple[str, dict[str, Any]], says: str, server: ProviderServer, client: Client
) -> None:
    """As a result that is an error, and observers hear of it; the stream goes on."""
    told: list[ToolCallInfo] = []
    server.reply(*chat_answer(tool_calls=[call]))
    server.reply(*chat_answer("Sorry."))
    result = started(client, on_tool_call=told.append).result()
    (outcome,) = result.steps[0].tool_results

    assert says in outcome.output
    assert (True, "Sorry.") == (outcome.is_error, result.text)
    assert says in str(told[0].error)
    assert (1, None) == (told[0].step, told[0].output)
    assert says in server.requests[1].json()["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("arguments", "finish"), [('{"city": "Par', "length"), ("{city}", "tool_calls"), ("", "length")]
)
def test_a_call_that_is_not_whole_is_never_run(
    arguments: str, finish: str, server: ProviderServer, client: Client
) -> None:
    """One that was cut off, or is no JSON: the model is told to call again."""
    entry = {"index": 0, "id": "c", "type": "function", "function": {"name": "weather", "arguments": arguments}}
    server.reply(
        Status(),
        Event({"choices": [{"index": 0, "delta": {"tool_calls": [entry]}}]}),
        Event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}),
        End(),
    )
    server.reply(*chat_answer("Again."))
    ran: list[str] = []

    @tool(name="weather")
    def observed(city: str = "") -> str:
        """Note that it ran."""
        ran.append(city)
        return ""

    result = started(client, tools=[observed]).result()

    assert [] == ran
    assert "no complete JSON" in result.steps[0].tool_results[0].output


def test_a_failure_in_a_later_step(server: ProviderServer, client: Client) -> None:
    """The steps done so far are in `partial`, results included."""
    server.reply(*chat_answer("Let me see.", tool_calls=[paris()]))
    server.reply(Status(), delta("It is"), Close())
    stream = started(client)
    with pytest.raises(StreamTruncated) as raised:
        stream.result()
    partial = raised.value.partial

    assert partial is not None
    assert ("Let me see.It is", 2) == (partial.text, len(partial.steps))
    assert '{"city": "Paris", "degrees": 24}' == partial.steps[0].tool_results[0].output
    assert "error" == list(stream.stream())[-1].type


def test_a_tool_that_takes_too_long(server: ProviderServer, client: Client) -> None:
    """The model is told; its thread is left to itself."""
    end = threading.Event()

    @tool(timeout=0.05)
    def stuck(city: str) -> str:
        """Wait."""
        end.wait(5)
        return "late"

    server.reply(*chat_answer(tool_calls=[paris("stuck")]))
    server.reply(*chat_answer("Sorry."))
    try:
        with took(2.0):
            result = started(client, tools=[stuck]).result()
    finally:
        end.set()

    assert "the tool did not end within 0.05 s" == result.steps[0].tool_results[0].output


def test_clocks_stand_still_while_tools_run(server: ProviderServer) -> None:
    """A tool may take longer than the provider may be silent."""

    @tool
    def patient(city: str, ctx: Context) -> str:
        """Wait longer than the clocks allow."""
        ctx.wait(0.3)
        return "done"

    server.reply(*chat_answer(tool_calls=[paris("patient")]))
    server.reply(*chat_answer("Done."))
    with client_of(server, timeouts=Timeouts(first_chunk=0.2, stall=0.1)) as client:
        assert "Done." == started(client, tools=[patient]).result().text


def test_clocks_stand_still_for_the_last_tool_too(server: ProviderServer) -> None:
    """Neither a decision nor the result of a quicker tool, which is handed over at once, sets them going again."""

    @tool
    def patient(city: str, ctx: Context) -> str:
        """Wait longer than the clocks allow."""
        ctx.wait(0.3)
        return "done"

    server.reply(*chat_answer(tool_calls=[paris(), paris("patient")]))
    server.reply(*chat_answer("Done."))
    with client_of(server, timeouts=Timeouts(first_chunk=0.2, stall=0.1)) as client:
        stream = started(client, tools=[weather, patient], approve=lambda call: ToolDecision.allow())

        assert "Done." == stream.result().text


# -- cancelling


def test_a_cancel_reaches_tools(server: ProviderServer, client: Client) -> None:
    """The caller is free at once, the tool's context ends, and observers hear the end of the run they saw begin."""
    running, freed, told = threading.Event(), threading.Event(), threading.Event()
    infos: list[ToolCallInfo] = []

    @tool
    def waits(city: str, ctx: Context) -> str:
        """Wait for the end of the context."""
        running.set()
        if ctx.wait(5):
            freed.set()
        told.wait(5)  # else it might be done before the loop gives it up
        return ""

    def end(info: ToolCallInfo) -> None:
        infos.append(info)
        told.set()

    server.reply(*chat_answer("Let me see.", tool_calls=[paris("waits")]))
    stream = started(client, tools=[waits], hooks=Hooks(on_tool_call_start=infos.append, on_tool_call=end))
    assert running.wait(5)
    with took(1.0):
        stream.cancel()
        error = stream.err()

    assert isinstance(error, Cancelled)
    assert freed.wait(5)
    assert told.wait(5)
    assert error.partial is not None
    assert ("Let me see.", "waits") == (error.partial.text, error.partial.tool_calls[0].name)
    assert [None, "the stream ended while the tool ran"] == [info.error and str(info.error) for info in infos]


@pytest.mark.parametrize("step", [1, 2])
def test_a_cancel_while_the_provider_is_silent(step: int, server: ProviderServer, client: Client) -> None:
    """In any step."""
    if step == 2:
        server.reply(*chat_answer("Let me see.", tool_calls=[paris()]))
    server.reply(Status(), delta("It"), Stall())
    stream = started(client)
    view = stream.text_stream()
    for _ in range(step):
        next(view)
    with took(1.0):
        stream.cancel()

        assert isinstance(stream.err(), Cancelled)
    assert step == len(stream.partial.steps)


# -- how far it goes


@pytest.mark.parametrize(
    ("options", "steps", "cause", "results"),
    [
        ({}, 5, "max_steps", 4),
        ({"max_steps": 1}, 1, "max_steps", 0),
        ({"max_steps": 3}, 3, "max_steps", 2),
        ({"stop_when": step_count_is(2)}, 2, "stop_when", 2),
        ({"stop_when": has_tool_call("weather")}, 1, "stop_when", 1),
        ({"stop_when": has_tool_call("broken")}, 5, "max_steps", 4),
        ({"stop_when": lambda steps: len(steps[-1].tool_results) == 1}, 1, "stop_when", 1),
        ({"prepare_step": lambda steps: StepPlan(stop=len(steps) == 2)}, 2, "stop_when", 2),
    ],
)
def test_why_a_loop_ends(
    options: dict[str, Any], steps: int, cause: str, results: int, server: ProviderServer, client: Client
) -> None:
    """`stop_cause` says so; after the last model call no tool runs."""
    server.reply(*chat_answer(tool_calls=[paris()]), times=None)
    result = started(client, **options).result()

    assert (steps, cause, results) == (
        len(result.steps),
        result.stop_cause,
        sum(len(step.tool_results) for step in result.steps),
    )
    assert steps == len(server.requests)


def test_a_tool_without_a_function_ends_the_loop(server: ProviderServer, client: Client) -> None:
    """Its calls are for the caller; those of other tools beside it are run."""
    server.reply(*chat_answer(tool_calls=[paris("ask_user"), paris()]))
    result = started(client).result()

    assert ("natural", 1) == (result.stop_cause, len(result.steps))
    assert ["ask_user", "weather"] == [call.name for call in result.tool_calls]
    assert ["weather"] == [r.tool_name for r in result.steps[0].tool_results]


def test_a_provider_that_pauses_is_asked_again(server: ProviderServer) -> None:
    """With what it has said so far: Anthropic, after much work of its own."""
    server.reply(*anthropic_answer("Searching.", finish="pause_turn"))
    server.reply(*anthropic_answer("Found."))
    with Client(Anthropic("k", base_url=server.url), retry_policy=ONCE) as client:
        result = stream_text(client.model("claude"), prompt="Hello").result()

    assert ("Searching.Found.", 2, "natural") == (result.text, len(result.steps), result.stop_cause)
    assert ["user", "assistant"] == [message["role"] for message in server.requests[1].json()["messages"]]


# -- what is decided on the way


def test_a_step_may_be_prepared(server: ProviderServer, client: Client) -> None:
    """With other messages, tools and choice, and another model; the next step is as before."""
    seen: list[int] = []

    def prepare(steps: Sequence[Step]) -> StepPlan | None:
        seen.append(len(steps))
        if len(steps) == 1:
            return StepPlan(
                model=client.model("o3"), messages=[user("Only this")], tools=[broken], tool_choice="required"
            )
        return None

    server.reply(*chat_answer(tool_calls=[paris()]))
    server.reply(*chat_answer(tool_calls=[paris("broken")]))
    server.reply(*chat_answer("Done."))
    started(client, prepare_step=prepare, system="Be brief.").result()
    first, second, third = (request.json() for request in server.requests)

    assert [0, 1, 2] == seen
    assert ("o3", ["broken"], "required") == (
        second["model"],
        [entry["function"]["name"] for entry in second["tools"]],
        second["tool_choice"],
    )
    assert ["Be brief.", "Only this"] == [message["content"] for message in second["messages"]]
    assert (first["model"], first["tools"]) == (third["model"], third["tools"])
    assert ["system", "user", "assistant", "tool", "assistant", "tool"] == [m["role"] for m in third["messages"]]


@pytest.mark.parametrize(
    ("decision", "output", "is_error", "runs"),
    [
        (ToolDecision.allow(), "Paris", False, 1),
        (ToolDecision.allow('{"city": "Rome"}'), "Rome", False, 1),
        (ToolDecision.answer("sunny"), "sunny", False, 0),
        (ToolDecision.refuse("not now"), "not now", True, 0),
    ],
)
def test_a_run_has_to_be_approved(
    decision: ToolDecision, output: str, is_error: bool, runs: int, server: ProviderServer, client: Client
) -> None:
    """It may be let through, changed, answered or refused; observers hear of each."""
    ran: list[str] = []
    asked: list[ToolCall] = []
    told: list[ToolCallInfo] = []

    @tool(name="weather")
    def observed(city: str) -> str:
        """Give the city."""
        ran.append(city)
        return city

    def approve(call: ToolCall) -> ToolDecision:
        asked.append(call)
        return decision

    server.reply(*chat_answer(tool_calls=[paris(), paris("nothing")]))
    server.reply(*chat_answer("Done."))
    result = started(client, tools=[observed], approve=approve, on_tool_call=told.append).result()

    assert (output, is_error) == (result.steps[0].tool_results[0].output, result.steps[0].tool_results[0].is_error)
    assert (runs, ["weather"], 2) == (len(ran), [call.name for call in asked], len(told))


def _raise(*_: Any) -> Any:
    raise RuntimeError("no idea")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"approve": _raise}, "approve raised, which ends the stream: RuntimeError('no idea')"),
        ({"approve": lambda call: True}, "approve must give a ToolDecision"),
        ({"approve": lambda call: ToolDecision.allow("{city")}, "approve gave an input that is no JSON"),
        ({"stop_when": _raise}, "stop_when raised"),
        ({"prepare_step": lambda steps: _raise() if steps else None}, "prepare_step raised"),
    ],
)
def test_what_decides_and_fails_ends_the_stream(
    options: dict[str, Any], says: str, server: ProviderServer, client: Client
) -> None:
    """A guard that crashes lets no call through."""
    ran: list[str] = []

    @tool(name="weather")
    def observed(city: str) -> str:
        """Note that it ran."""
        ran.append(city)
        return city

    server.reply(*chat_answer("Let me see.", tool_calls=[paris()]))
    server.reply(*chat_answer("Done."))
    with pytest.raises(StreamKitError, match=re.escape(says)) as raised:
        started(client, tools=[observed], **options).result()

    assert raised.value.partial is not None
    assert "Let me see." == raised.value.partial.text
    assert ([] if "approve" in options else ["Paris"]) == ran
    assert 1 == len(server.requests)


@pytest.mark.parametrize(
    "options", [{"max_steps": 0}, {"max_tool_workers": 0}, {"prompt": None}, {"tools": [object()]}]
)
def test_what_cannot_be_asked_for(options: dict[str, Any], client: Client) -> None:
    """Is refused before anything is sent."""
    with pytest.raises(ConfigError):
        stream_text(client.model("gpt-4o"), **{"prompt": "Hello", "tools": TOOLS, **options})


# -- surroundings


REQUEST: contextvars.ContextVar[str] = contextvars.ContextVar("REQUEST", default="none")


def test_tools_and_observers_see_the_callers_variables(server: ProviderServer, client: Client) -> None:
    """Those that were set when the stream was asked for."""
    seen: list[str] = []

    @tool(name="weather")
    def observed(city: str) -> str:
        """Give the variable."""
        return REQUEST.get()

    server.reply(*chat_answer(tool_calls=[paris()]))
    server.reply(*chat_answer("Done."))
    token = REQUEST.set("mine")
    try:
        stream = started(client, tools=[observed], on_finish=lambda _: seen.append(REQUEST.get()))
    finally:
        REQUEST.reset(token)

    assert "mine" == stream.result().steps[0].tool_results[0].output
    assert ["mine"] == seen


def test_observers_of_a_loop(server: ProviderServer, client: Client) -> None:
    """Each is told in turn, and once; `on_response` and `on_finish` before the result can be had."""
    told: list[str] = []

    def note(name: str) -> Callable[[Any], None]:
        return lambda info: told.append(name)

    names = [
        "on_request",
        "on_response",
        "on_tool_call_start",
        "on_tool_call",
        "on_step_finish",
        "on_finish",
        "on_error",
        "on_cancel",
    ]
    server.reply(*chat_answer(tool_calls=[paris()]))
    server.reply(*chat_answer("Done."))
    started(client, hooks=Hooks(**{name: note(name) for name in names})).result()

    assert [
        "on_request",
        "on_response",
        "on_tool_call_start",
        "on_tool_call",
        "on_step_finish",
        "on_request",
        "on_response",
        "on_step_finish",
        "on_finish",
    ] == told
