"""Tool loops in which something fails: the server, the tools, what decides, who observes, what the model sends."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import pytest

from streamkit import (
    Cancelled,
    Client,
    ConfigError,
    Context,
    ContextError,
    Hooks,
    RateLimited,
    ServerError,
    Step,
    StreamKitError,
    Timeouts,
    ToolDecision,
    ToolError,
    generate_object,
    generate_text,
)
from streamkit.testing import (
    Close,
    End,
    Event,
    Pause,
    ProviderServer,
    Reset,
    Script,
    Status,
    chat_answer,
    error_answer,
    error_event,
)
from tests.faults.scenes import CITY, FREE, PATIENCE, TEXT, Scene, asking, ended, opened, quick
from tests.loopback import AT_ONCE, client_of, delta, took

# ---------------------------------------------------------------- failures in each phase


def told(server: ProviderServer, request: int = -1) -> list[tuple[str, str]]:
    """What a request tells the model of its calls: their ids and results."""
    messages = server.requests[request].json()["messages"]
    return [(message["tool_call_id"], message["content"]) for message in messages if message["role"] == "tool"]


CUTS = len([step for step in asking("weather", "weather") if isinstance(step, Event)]) - 2
"""How many events come before the one that says why the answer ended; the last two are usage and `[DONE]`."""


@pytest.mark.parametrize("end", [Close(), Reset(), End()], ids=["close", "reset", "end"])
@pytest.mark.parametrize("events", range(CUTS - 1))
def test_a_cut_in_the_middle_of_calls(events: int, end: Any, scene: Scene, client: Client) -> None:
    """Wherever the first of two calls may be whole already, none is run, and none that is half looks whole."""
    scene.server.reply(*asking("weather", "weather")[: 1 + events], end)
    ctx = Context()
    try:
        stream = scene.start(client, ctx=ctx, tools=[scene.tool("weather", quick)])
    except StreamKitError as e:
        error: StreamKitError | None = e
    else:
        error = stream.err()

    assert error is not None and not isinstance(error, ContextError)
    assert error.partial is not None
    assert [] == scene.ran
    assert all(call.input == '{"city":"Paris"}' for call in error.partial.tool_calls if call.complete)
    assert 1 == len(scene.server.requests)


def test_an_error_event_in_a_later_step(scene: Scene, client: Client) -> None:
    """The steps before, and the text so far, are in `partial`; the tool has run once."""
    scene.server.reply(*asking("weather"))
    scene.server.reply(Status(), delta(" It is"), error_event("overloaded"), Event("[DONE]"))
    stream = scene.start(client, tools=[scene.tool("weather", quick)])
    error = stream.err()
    ended(scene)

    assert isinstance(error, StreamKitError) and "overloaded" in str(error)
    assert error.partial is not None
    assert (TEXT + " It is", 2) == (error.partial.text, len(error.partial.steps))
    assert ["weather"] == scene.ran
    assert [error] == scene.heard("on_error")
    assert [] == scene.heard("on_cancel") + scene.heard("on_finish")
    assert error is scene.heard("on_response")[1].error


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_later_step_is_asked_for_again(status: int, scene: Scene, client: Client) -> None:
    """As the first would be: the same request, no tool run again, one request and one response to observers."""
    scene.server.reply(*asking("weather"))
    scene.server.reply(*error_answer(status, "", {"Retry-After": "0"}), times=2)
    scene.server.reply(*chat_answer("It is warm."))
    result = scene.start(client, tools=[scene.tool("weather", quick)], retry_policy=AT_ONCE).result()
    _, *asked = [request.json() for request in scene.server.requests]

    assert 3 == len(asked)
    assert asked[0] == asked[1] == asked[2]
    assert (["weather"], 2) == (scene.ran, len(result.steps))
    assert [2, 2, 2] == [len(scene.heard(name)) for name in ["on_request", "on_response", "on_retry"]]


@pytest.mark.parametrize(("status", "error"), [(429, RateLimited), (500, ServerError)])
def test_a_later_step_that_is_refused(status: int, error: type[StreamKitError], scene: Scene, client: Client) -> None:
    """When attempts run out, or the wait would be too long, the error has the steps before."""
    scene.server.reply(*asking("weather"))
    scene.server.reply(*error_answer(status, "", {"Retry-After": "3600"} if status == 429 else {}), times=None)
    stream = scene.start(client, tools=[scene.tool("weather", quick)], retry_policy=AT_ONCE)
    got = stream.err()

    assert type(got) is error
    assert got.partial is not None
    assert (TEXT, "24 degrees") == (got.partial.text, got.partial.steps[0].tool_results[0].output)
    assert (2 if status == 429 else 4) == len(scene.server.requests)


def next_model(server: ProviderServer, hooks: Hooks, ctx: Context) -> None:
    """Ask a model that fails, where another would be asked then."""
    server.reply(*error_answer(503))
    with client_of(server) as other, client_of(server, fallback=[other.model("other")]) as client:
        client.chat("gpt-4o").user("Hello").hooks(hooks).get_stream(ctx)


def next_try(server: ProviderServer, hooks: Hooks, ctx: Context) -> None:
    """Ask for an object that does not come, where it would be asked for once more."""
    server.reply(*chat_answer("no object"))
    with client_of(server) as client:
        generate_object(client.model("gpt-4o"), CITY, prompt="Hello", repair=True, hooks=hooks, ctx=ctx)


@pytest.mark.parametrize("ask", [next_model, next_try])
def test_no_other_call_is_made_after_a_cancel(ask: Callable[..., None], scene: Scene) -> None:
    """Of the model that would be next, or for an object that is not one: nothing is sent, and nobody hears of it."""
    ctx, heard = Context(), Counter[str]()

    def hear(name: str) -> Callable[[Any], object]:
        return lambda value: heard.update([name])

    def cancel(info: Any) -> None:
        heard.update(["on_response"])
        ctx.cancel("enough")

    names = ["on_request", "on_cancel", "on_error", "on_finish"]
    with pytest.raises(Cancelled, match="enough"):
        ask(scene.server, Hooks(on_response=cancel, **{name: hear(name) for name in names}), ctx)
    ended(scene)

    assert {"on_request": 1, "on_response": 1, "on_cancel": 1} == heard
    assert 1 == len(scene.server.requests)


class Unspeakable(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise Unspeakable

    __repr__ = __str__


class UnspeakableToolError(Unspeakable, ToolError):
    """One that our own class is a base of."""


class Unwritable:
    """A value that nothing can be done with."""

    def __getattribute__(self, name: str) -> Any:
        raise Unspeakable


def circle() -> list[Any]:
    """A list that holds itself."""
    whole: list[Any] = []
    whole.append(whole)
    return whole


def deep() -> list[Any]:
    """A list too deep to be written."""
    whole: list[Any] = []
    for _ in range(100_000):
        whole = [whole]
    return whole


RAISED = [
    ValueError,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    StopIteration,
    RecursionError,
    Cancelled,
    Unspeakable,
]


@pytest.mark.parametrize("kind", [*RAISED, RecursionError, MemoryError, ToolError, UnspeakableToolError])
def test_whatever_a_tool_raises(kind: type[BaseException], scene: Scene, client: Client) -> None:
    """It is an error result, bounded, which the model is told; the stream goes on, and nothing is printed."""

    def fail(ctx: Context) -> None:
        raise kind("\ud800" + "no" * 100_000)

    scene.server.reply(*asking("weather", "later"))
    scene.server.reply(*chat_answer("It is warm."))
    result = scene.start(client, tools=[scene.tool("weather", fail), scene.tool("later", quick)]).result(PATIENCE)
    bad, good = result.steps[0].tool_results

    assert (True, False) == (bad.is_error, good.is_error)
    assert issubclass(kind, ToolError) or kind.__name__ in bad.output
    assert kind is ToolError or len(bad.output) < 3_000
    assert [("call_1", f"Error: {bad.output}"), ("call_2", "24 degrees")] == told(scene.server)


@pytest.mark.parametrize(
    "make",
    [object, circle, deep, Unwritable, lambda: (n for n in [1]), lambda: {(1, 2): 3}, lambda: {"a": {1, object()}}],
    ids=["object", "circle", "deep", "unwritable", "generator", "key", "inner"],
)
def test_a_result_that_is_no_json(make: Callable[[], Any], scene: Scene, client: Client) -> None:
    """It is an error result; the stream goes on."""
    scene.server.reply(*asking("weather"))
    scene.server.reply(*chat_answer("It is warm."))
    result = scene.start(client, tools=[scene.tool("weather", lambda ctx: make())]).result(PATIENCE)
    (bad,) = result.steps[0].tool_results

    assert bad.is_error
    assert "cannot be written as JSON" in bad.output


def test_lone_surrogates_of_the_users(scene: Scene, client: Client) -> None:
    """What `approve` answers, and why it refuses, goes to the model as text that can be encoded."""
    decisions = iter([ToolDecision.answer("a\ud800"), ToolDecision.refuse("b\ud800")])
    scene.server.reply(*asking("weather", "weather"))
    scene.server.reply(*chat_answer("It is warm."))
    result = scene.start(client, tools=[scene.tool("weather", quick)], approve=lambda call: next(decisions)).result()

    assert ["a\ufffd", "b\ufffd"] == [result.output for result in result.steps[0].tool_results]
    assert [("call_1", "a\ufffd"), ("call_2", "Error: b\ufffd")] == told(scene.server)


def test_a_large_result(scene: Scene, client: Client) -> None:
    """Ten megabytes reach the model as they are."""
    large = "x" * 10_000_000
    scene.server.reply(*asking("weather"))
    scene.server.reply(*chat_answer("Too much."))
    with took(PATIENCE):
        result = scene.start(client, tools=[scene.tool("weather", lambda ctx: large)]).result()

    assert large == result.steps[0].tool_results[0].output
    assert [("call_1", large)] == told(scene.server)


def test_a_tool_that_asks_a_model(scene: Scene, client: Client) -> None:
    """With the context that it was given: a cancel of the outer generation ends the inner one, too."""
    inner_error: list[StreamKitError] = []

    def ask(ctx: Context) -> str:
        try:
            scene.moment = lambda chunk: chunk.content == "inner"
            return generate_text(client.model("gpt-4o"), prompt="?", ctx=ctx, hooks=Hooks(on_chunk=look)).text
        except StreamKitError as e:
            inner_error.append(e)
            raise

    def look(chunk: Any) -> None:
        scene.mark()

    scene.server.reply(*asking("weather"))
    scene.server.reply(*opened(delta("inner")))
    stream = scene.start(client, tools=[scene.tool("weather", ask)])
    assert scene.reached.wait(PATIENCE)
    with took(FREE):
        stream.cancel("enough")
        error = stream.err()
        assert scene.server.requests[1].disconnected.wait(FREE)
    ended(scene)

    assert ["cancelled: enough"] * 2 == [str(error), str(inner_error[0])]
    assert inner_error[0].partial is not None and "inner" == inner_error[0].partial.text


@pytest.mark.parametrize("kind", RAISED)
@pytest.mark.parametrize("name", ["approve", "prepare_step", "stop_when"])
def test_what_decides_and_raises(name: str, kind: type[BaseException], scene: Scene, client: Client) -> None:
    """It ends the generation, with an error that says who raised what; nothing is run after it."""

    def fail(steps: Any) -> Any:
        if name == "prepare_step" and not steps:
            return None
        raise kind("no")

    scene.server.reply(*asking("weather"))
    stream = scene.start(client, tools=[scene.tool("weather", quick)], **{name: fail})
    error = stream.chat_stream.err.get(timeout=PATIENCE)
    ended(scene)

    assert isinstance(error, StreamKitError)
    assert kind is Cancelled or f"{name} raised, which ends the stream: {kind.__name__}" in str(error)
    assert kind is Cancelled or kind is type(error.__cause__)
    assert error.partial is not None and TEXT == error.partial.text
    assert ([] if name == "approve" else ["weather"]) == scene.ran
    assert 1 == len(scene.server.requests)


@pytest.mark.slow
def test_the_clocks_while_the_first_step_is_prepared(scene: Scene, client: Client) -> None:
    """Time that `prepare_step` takes before the first request is not the provider's."""
    limit = 0.4
    own = threading.Event()

    def prepare(steps: Sequence[Step]) -> None:
        own.wait(1.9 * limit)

    scene.server.reply(Pause(0.6 * limit), *chat_answer("Hello"))
    timeouts = Timeouts(first_chunk=limit)

    assert "Hello" == scene.start(client, prepare_step=prepare, timeouts=timeouts).result().text


def test_a_plan_that_is_none(scene: Scene, client: Client) -> None:
    """What `prepare_step` gives must be a plan."""
    with pytest.raises(ConfigError, match=r"prepare_step must give a StepPlan or None, not \{'stop': True\}"):
        scene.start(client, prepare_step=lambda steps: {"stop": True}).result()


def test_a_decision_that_is_no_text(scene: Scene, client: Client) -> None:
    """What `approve` answers must be a text."""
    scene.server.reply(*asking("weather"))
    decision: Any = ToolDecision.answer({"degrees": 24})  # type: ignore[arg-type]
    stream = scene.start(client, tools=[scene.tool("weather", quick)], approve=lambda call: decision)

    assert "approve gave a dict where a text belongs: make it a str" == str(stream.err())


NAMES = [field.name for field in attrs.fields(Hooks) if field.name not in ("on_error", "on_cancel", "on_retry")]


@pytest.mark.parametrize("name", NAMES)
def test_an_observer_that_raises(name: str, scene: Scene, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and changes nothing."""

    def fail(value: Any) -> None:
        raise ValueError("an observer's")

    scene.server.reply(*asking("weather"))
    scene.server.reply(*chat_answer("It is warm."))
    result = scene.start(client, tools=[scene.tool("weather", quick)], hooks=Hooks(**{name: fail})).result()

    assert (TEXT + "It is warm.", ["weather"]) == (result.text, scene.ran)
    assert "an observer's" in caplog.text
    caplog.clear()  # a record keeps the frames of what was raised, and they the connection


@pytest.mark.parametrize("end", ["whole", "cut", "cancelled"])
@pytest.mark.parametrize(
    "name", ["on_finish", "on_error", "on_cancel", "on_response", "on_tool_call_start", "on_tool_call", "on_chunk"]
)
def test_an_observer_that_ends_its_thread(
    name: str, end: str, scene: Scene, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """By sys.exit: nobody waits for ever, and no thread or socket is left."""

    def leave(value: Any) -> None:
        raise SystemExit(3)

    second: dict[str, Script] = {
        "whole": chat_answer(" It is"),
        "cut": (Status(), delta(" It is"), Close()),
        "cancelled": opened(delta(" It is")),
    }
    scene.server.reply(*asking("weather"))
    scene.server.reply(second[end])
    stream = scene.start(client, tools=[scene.tool("weather", quick)], hooks=Hooks(**{name: leave}))
    view = stream.text_stream()
    if end == "cancelled":
        next(view, None)
        stream.cancel()
    with took(PATIENCE):
        error = stream.chat_stream.err.get(timeout=PATIENCE)
        final = stream.chat_stream.final.get(timeout=PATIENCE)

    assert (error is None) is not (final is None)
    assert end == "whole" or error is not None
    ended(scene)
    caplog.clear()  # a record keeps the frames of what was raised, and they the connection


# ---------------------------------------------------------------- what models send


def sent(*deltas: Mapping[str, Any], finish: str = "tool_calls") -> tuple[Any, ...]:
    """A step of these deltas of calls."""
    events = [Event({"choices": [{"index": 0, "delta": {"tool_calls": [delta]}}]}) for delta in deltas]
    last = Event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    return (Status(), *events, last, Event("[DONE]"), End())


def call(at: int | None, name: str = "weather", arguments: str = "{}", **more: Any) -> dict[str, Any]:
    """A call in one delta."""
    place = {} if at is None else {"index": at}
    return {**place, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


CALLS: dict[str, tuple[list[dict[str, Any]], list[str], list[str]]] = {
    "the same twice": (
        [call(0, id="a", arguments='{"city":"Paris"}'), call(1, id="b", arguments='{"city":"Paris"}')],
        ["weather", "weather"],
        ["24 degrees"] * 2,
    ),
    "one id for two": ([call(0, id="a"), call(1, id="a")], ["weather", "weather"], ["24 degrees"] * 2),
    "no ids": ([call(0), call(1)], ["weather", "weather"], ["24 degrees"] * 2),
    "empty ids": ([call(0, id=""), call(1, id="")], ["weather", "weather"], ["24 degrees"] * 2),
    "no index": ([call(None, id="a"), call(None, id="b")], ["weather", "weather"], ["24 degrees"] * 2),
    "an unknown tool": (
        [call(0, "wether", id="a"), call(1, id="b")],
        ["weather"],
        ["there is no tool 'wether': there is weather", "24 degrees"],
    ),
    "no name": (
        [call(0, "", id="a"), call(1, id="b")],
        ["weather"],
        ["there is no tool '': there is weather", "24 degrees"],
    ),
    "no arguments": ([call(0, id="a", arguments="")], ["weather"], ["24 degrees"]),
    "no JSON": (
        [call(0, id="a", arguments='{"city":'), call(1, id="b")],
        ["weather"],
        ["the arguments are no complete JSON, so the tool was not run: call it again", "24 degrees"],
    ),
    "no object": ([call(0, id="a", arguments="[1]")], [], ["the arguments do not fit: "]),
    "another type": ([call(0, id="a", arguments='{"city": 5}')], [], ["the arguments do not fit: "]),
    "text after them": (
        [call(0, id="a", arguments='{"city": "Paris"} and so on')],
        [],
        ["the arguments are no complete JSON, so the tool was not run: call it again"],
    ),
}


@pytest.mark.parametrize("kind", CALLS)
def test_calls_of_every_shape(kind: str, scene: Scene, client: Client) -> None:
    """Each has one result, in the order of the calls, under an id that belongs to it alone; it runs once or never."""
    deltas, ran, outputs = CALLS[kind]
    scene.server.reply(*sent(*deltas))
    scene.server.reply(*chat_answer("It is warm."))
    result = scene.start(client, tools=[scene.tool("weather", quick)]).result()
    results = result.steps[0].tool_results
    asked = scene.server.requests[1].json()["messages"]
    (ids,) = [[made["id"] for made in message["tool_calls"]] for message in asked if "tool_calls" in message]

    assert ran == scene.ran
    assert len(deltas) == len(results)
    assert all(output in result.output for output, result in zip(outputs, results, strict=True))
    assert ids == [id for id, _ in told(scene.server)]
    assert kind == "one id for two" or len(deltas) == len(set(ids))


def test_a_call_whose_arguments_did_not_come(scene: Scene, client: Client) -> None:
    """An answer that was cut there is not one that calls the tool without arguments: it is not run."""
    scene.server.reply(*sent(call(0, id="a", arguments="{}"), call(1, id="b", arguments=""), finish="length"))
    scene.server.reply(*chat_answer("It is warm."))
    result = scene.start(client, tools=[scene.tool("weather", quick)]).result()

    assert ["weather"] == scene.ran
    assert [False, True] == [result.is_error for result in result.steps[0].tool_results]


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_model_that_calls_for_ever(steps: int, scene: Scene, client: Client) -> None:
    """It is asked `max_steps` times; the calls of the last step are reported and not run."""
    scene.server.reply(*asking("weather"), times=None)
    result = scene.start(client, tools=[scene.tool("weather", quick)], max_steps=steps).result()

    assert (steps, "max_steps", True) == (len(result.steps), result.stop_cause, result.complete)
    assert ["weather"] * (steps - 1) == scene.ran
    assert steps == len(scene.server.requests)
    assert ("weather", ()) == (result.tool_calls[0].name, result.steps[-1].tool_results)
