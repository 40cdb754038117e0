"""Tool loops that are ended in each of their phases, from outside and from within; and what is left of them."""

from __future__ import annotations

import gc
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import pytest

from streamkit import (
    Cancelled,
    ChatResponse,
    Client,
    Context,
    DeadlineExceeded,
    Hooks,
    RetryPolicy,
    Step,
    StepPlan,
    StreamKitError,
    TextStream,
    Tool,
    ToolCall,
    ToolDecision,
    stream_text,
)
from streamkit import stream as stream_module
from streamkit.testing import (
    Gate,
    Notify,
    ProviderServer,
    Script,
    Send,
    Stall,
    Status,
    chat_answer,
    error_answer,
)
from tests.faults.scenes import CITY, FREE, PATIENCE, TEXT, Scene, asking, ended, opened, quick
from tests.loopback import delta, run_python, took

CLOSING = 0.1
"""Seconds that `close()` waits here for a thread that is in a function of the user's."""
DEADLINE = 0.5
"""Seconds of a deadline that passes while a phase lasts: enough to reach it on a busy machine."""


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits a second for a thread that is held on purpose."""
    monkeypatch.setattr(stream_module, "CLOSE_WAIT", CLOSING)


# ---------------------------------------------------------------- an end in each phase


@attrs.frozen(kw_only=True)
class Phase:
    """Where a generation is held, and what of it there is by then."""

    arrange: Callable[[Scene], dict[str, Any]]
    """Queues the scripts; gives the options."""
    text: str = TEXT
    steps: int = 1
    results: tuple[str, ...] = ()
    ran: tuple[str, ...] = ()
    requests: int = 1
    asked: tuple[str, ...] = ()
    """What `approve` and its like were asked."""
    live: bool = False
    """The server still answers."""
    stuck: bool = False
    """The stream's own thread is in a function of the user's."""


def middle_of_text(scene: Scene) -> dict[str, Any]:
    """Some text of the first step has come."""
    scene.server.reply(*opened(delta(TEXT)))
    scene.moment = lambda chunk: chunk.type == "text"
    return {"tools": [scene.tool("weather", quick)]}


def middle_of_arguments(scene: Scene) -> dict[str, Any]:
    """Half a call has come."""
    _, role, text, begin, half, *_ = asking("weather")
    scene.server.reply(*opened(role, text, begin, half))
    scene.moment = lambda chunk: chunk.type == "tool_call_delta"
    return {"tools": [scene.tool("weather", quick)]}


def deaf_tool(scene: Scene) -> dict[str, Any]:
    """A tool runs that watches nothing; another waits for its place."""
    scene.server.reply(*asking("weather", "later"))
    return {"tools": [scene.tool("weather", scene.deaf), scene.tool("later", quick)], "max_tool_workers": 1}


def heeding_tool(scene: Scene) -> dict[str, Any]:
    """A tool runs that watches its context; another waits for its place."""
    scene.server.reply(*asking("weather", "later"))
    return {"tools": [scene.tool("weather", scene.heeding), scene.tool("later", quick)], "max_tool_workers": 1}


def several_tools(scene: Scene) -> dict[str, Any]:
    """Of three tools one is done and told."""
    scene.server.reply(*asking("deaf", "weather", "heeding"))
    scene.missing = 3
    scene.moment = lambda chunk: chunk.type == "tool_result"
    return {
        "tools": [scene.tool("deaf", scene.deaf), scene.tool("weather", quick), scene.tool("heeding", scene.heeding)]
    }


def approving(scene: Scene) -> dict[str, Any]:
    """The first of three calls is being approved."""
    scene.server.reply(*asking("weather", "weather", "weather"))

    def approve(call: ToolCall) -> ToolDecision:
        scene.told.append(("asked", call.id))
        scene.hold()
        return ToolDecision.allow()

    return {"tools": [scene.tool("weather", quick)], "approve": approve}


def preparing(scene: Scene) -> dict[str, Any]:
    """The second step is being prepared."""
    scene.server.reply(*asking("weather"))

    def prepare(steps: Sequence[Step]) -> StepPlan | None:
        if steps:
            scene.told.append(("asked", "prepare"))
            scene.hold()
        return None

    return {"tools": [scene.tool("weather", quick)], "prepare_step": prepare}


def stopping(scene: Scene) -> dict[str, Any]:
    """Whether to stop is being asked; what to prepare would be next."""
    scene.server.reply(*asking("weather"))

    def stop(steps: Sequence[Step]) -> bool:
        scene.told.append(("asked", "stop"))
        scene.hold()
        return False

    def prepare(steps: Sequence[Step]) -> StepPlan | None:
        if steps:
            scene.told.append(("asked", "prepare"))
        return None

    return {"tools": [scene.tool("weather", quick)], "stop_when": stop, "prepare_step": prepare}


def observing(scene: Scene) -> dict[str, Any]:
    """An observer of a tool's result does not return."""
    scene.server.reply(*asking("weather"))
    held = Hooks(on_tool_call=lambda info: scene.hold())
    return {"tools": [scene.tool("weather", quick)], "hooks": scene.hooks() | held}


def backing_off(scene: Scene) -> dict[str, Any]:
    """The second step was refused and is to be asked for again in half a minute."""
    scene.server.reply(*asking("weather"))
    scene.server.reply(*error_answer(503, "later", {"Retry-After": "30"}))
    waiting = Hooks(on_retry=lambda info: scene.mark())
    policy = RetryPolicy(max_retries=2)
    return {"tools": [scene.tool("weather", quick)], "hooks": scene.hooks() | waiting, "retry_policy": policy}


def second_headers(scene: Scene) -> dict[str, Any]:
    """The second step was asked for, and the server says nothing."""
    scene.server.reply(*asking("weather"))
    scene.server.reply(Notify(scene.reached), Stall())
    return {"tools": [scene.tool("weather", quick)]}


def second_text(scene: Scene) -> dict[str, Any]:
    """Some text of the second step has come."""
    scene.server.reply(*asking("weather"))
    scene.server.reply(*opened(delta(" It is")))
    scene.moment = lambda chunk: chunk.type == "text" and "It" in chunk.content
    return {"tools": [scene.tool("weather", quick)]}


DONE: dict[str, Any] = {"results": ("24 degrees",), "ran": ("weather",)}
PHASES = {
    "text": Phase(arrange=middle_of_text, live=True),
    "arguments": Phase(arrange=middle_of_arguments, live=True),
    "deaf tool": Phase(arrange=deaf_tool, ran=("weather",)),
    "heeding tool": Phase(arrange=heeding_tool, ran=("weather",)),
    "several tools": Phase(arrange=several_tools, results=("24 degrees",), ran=("deaf", "heeding", "weather")),
    "approve": Phase(arrange=approving, asked=("call_1",), stuck=True),
    "prepare_step": Phase(arrange=preparing, asked=("prepare",), stuck=True, **DONE),
    "stop_when": Phase(arrange=stopping, asked=("stop",), stuck=True, **DONE),
    "on_tool_call": Phase(arrange=observing, ran=("weather",), stuck=True),
    "backoff": Phase(arrange=backing_off, steps=2, requests=2, **DONE),
    "second headers": Phase(arrange=second_headers, steps=2, requests=2, live=True, **DONE),
    "second text": Phase(arrange=second_text, text=TEXT + " It is", steps=2, requests=2, live=True, **DONE),
}

WAYS: dict[str, Callable[[TextStream, Context], object]] = {
    "context": lambda stream, ctx: ctx.cancel(),
    "cancel": lambda stream, ctx: stream.cancel(),
    "close": lambda stream, ctx: stream.close(),
    "with": lambda stream, ctx: stream.__exit__(None, None, None),
    "channel": lambda stream, ctx: stream.chat_stream.ch.close(),
    "deadline": lambda stream, ctx: None,  # it passes by itself
}


def check_partial(phase: Phase, error: StreamKitError) -> None:
    """What had come is in the error, all of it and as what it is."""
    partial = error.partial
    assert isinstance(partial, ChatResponse)
    assert not partial.complete
    assert (phase.text, phase.steps) == (partial.text, len(partial.steps))
    assert phase.results == tuple(result.output for step in partial.steps for result in step.tool_results)
    assert not partial.finish_reason or phase.stuck
    assert all(
        call.complete == (call.input == '{"city":"Paris"}') for step in partial.steps for call in step.tool_calls
    )


def check_told(phase: Phase, scene: Scene, error: StreamKitError) -> None:
    """Observers heard each thing as often as it happened, and nothing was begun or asked after the end."""
    ended(scene)
    starts, ends = scene.heard("on_tool_call_start"), scene.heard("on_tool_call")

    assert [error] == scene.heard("on_cancel")
    assert [] == scene.heard("on_error") + scene.heard("on_finish")
    assert phase.asked == tuple(scene.heard("asked"))
    assert sorted(phase.ran) == sorted(scene.ran)
    assert sorted(phase.ran) == sorted(info.tool_call.name for info in starts)
    assert sorted(phase.ran) == sorted(info.tool_call.name for info in ends)
    assert all((info.output is None) is not (info.error is None) for info in ends)
    assert phase.requests == len(scene.heard("on_request")) == len(scene.heard("on_response"))
    assert phase.requests == len(scene.server.requests)


@pytest.mark.parametrize(
    ("phase", "way"),
    [
        pytest.param(phase, way, marks=[pytest.mark.slow] if way == "deadline" else [])
        for phase in PHASES
        for way in WAYS
        if (phase, way) != ("backoff", "deadline")  # one that would pass the deadline is not begun
    ],
)
def test_an_end_in_each_phase(phase: str, way: str, scene: Scene, client: Client) -> None:
    """The reader is free at once with the right error, all that had come is in it, and nothing is begun any more."""
    at, ctx = PHASES[phase], Context(DEADLINE if way == "deadline" else None)
    stream = scene.start(client, ctx=ctx, **at.arrange(scene))
    with ThreadPoolExecutor(2) as executor:
        reader = executor.submit(lambda: list(stream.stream()))
        assert scene.reached.wait(PATIENCE)
        with took(FREE + (DEADLINE if way == "deadline" else 0.0)):
            ending = executor.submit(WAYS[way], stream, ctx)
            chunks = reader.result(PATIENCE)
        with took(CLOSING + 0.5):
            ending.result(PATIENCE)
    error = stream.err()

    assert type(error) is (DeadlineExceeded if way == "deadline" else Cancelled)
    assert "error" == chunks[-1].type
    assert error is chunks[-1].error
    assert not at.live or scene.server.requests[-1].disconnected.wait(FREE)
    check_partial(at, error)
    check_told(at, scene, error)


@pytest.mark.parametrize("phase", PHASES)
def test_a_stream_dropped_in_each_phase(phase: str, scene: Scene, client: Client) -> None:
    """Nobody holds it any more, or a view of it: it ends as if it had been cancelled."""
    at = PHASES[phase]
    stream = scene.start(client, **at.arrange(scene))
    view = stream.text_stream()
    assert at.text.startswith(next(view))
    assert scene.reached.wait(PATIENCE)
    watched = stream.stats
    del stream, view
    gc.collect()
    if at.live:
        assert scene.server.requests[-1].disconnected.wait(FREE)
    ended(scene)
    (error,) = scene.heard("on_cancel")

    assert "cancelled: the stream was dropped before its end" == str(error)
    assert watched.chunks > 0
    check_partial(at, error)
    check_told(at, scene, error)


def interrupted(ready: Callable[[], object], wait: Callable[[], object]) -> float:
    """Interrupt the main thread, as Ctrl-C does, while it waits; give how long it took to be free."""
    sent: list[float] = []
    waits = threading.Event()

    def interrupt() -> None:
        ready()
        waits.wait(PATIENCE)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    helper = threading.Thread(target=interrupt)
    helper.start()
    with pytest.raises(KeyboardInterrupt):
        try:
            waits.set()
            wait()
        finally:
            helper.join()
    return time.monotonic() - sent[0]


@pytest.mark.parametrize("phase", PHASES)
def test_ctrl_c_in_each_phase(phase: str, scene: Scene, client: Client) -> None:
    """It is raised where the main thread reads, and leaving the `with` block ends the generation."""
    at = PHASES[phase]
    stream = scene.start(client, **at.arrange(scene))

    def read() -> None:
        with stream:
            list(stream.text_stream())

    seconds = interrupted(lambda: scene.reached.wait(PATIENCE), read)
    error = stream.err()

    assert seconds < FREE + CLOSING * at.stuck
    assert isinstance(error, Cancelled)
    check_partial(at, error)
    check_told(at, scene, error)


@pytest.mark.parametrize(
    ("phase", "way"),
    [
        ("headers", "context"),
        pytest.param("headers", "deadline", marks=pytest.mark.slow),
        ("headers", "ctrl-c"),
        ("backoff", "context"),
        ("backoff", "ctrl-c"),
    ],
)
def test_an_end_before_the_answer_opens(phase: str, way: str, scene: Scene, client: Client) -> None:
    """`stream_text` raises at once; observers hear of one request and of its end."""
    ctx = Context(DEADLINE if way == "deadline" else None)
    answers: dict[str, Script] = {
        "headers": (Notify(scene.reached), Stall()),
        "backoff": error_answer(503, "", {"Retry-After": "30"}),
    }
    scene.server.reply(answers[phase])
    hooks = scene.hooks() | Hooks(on_retry=lambda info: scene.mark())

    def start() -> None:
        scene.start(
            client, ctx=ctx, hooks=hooks, retry_policy=RetryPolicy(max_retries=2), tools=[scene.tool("t", quick)]
        )

    if way == "ctrl-c":
        assert interrupted(lambda: scene.reached.wait(PATIENCE), start) < FREE
    else:
        with ThreadPoolExecutor(1) as executor:
            call = executor.submit(start)
            assert scene.reached.wait(PATIENCE)
            with took(FREE + DEADLINE):
                ctx.cancel() if way == "context" else None
                with pytest.raises(DeadlineExceeded if way == "deadline" else Cancelled):
                    call.result(PATIENCE)
    ended(scene)

    assert [1, 1, 1, 0, 0] == [
        len(scene.heard(name)) for name in ["on_request", "on_response", "on_cancel", "on_error", "on_finish"]
    ]


def test_a_cancel_between_the_end_and_the_result(scene: Scene, client: Client) -> None:
    """What was decided stands: the generation is complete, and nobody hears of a cancel."""
    scene.server.reply(*asking("weather"))
    scene.server.reply(*chat_answer("It is warm."))
    finishing = scene.hooks() | Hooks(on_finish=lambda response: scene.hold())
    stream = scene.start(client, tools=[scene.tool("weather", quick)], hooks=finishing)
    assert scene.reached.wait(PATIENCE)
    with took(FREE):
        stream.cancel()
        result = stream.result()
    ended(scene)

    assert (True, 2, TEXT + "It is warm.") == (result.complete, len(result.steps), result.text)
    assert [result] == scene.heard("on_finish")
    assert [] == scene.heard("on_cancel") + scene.heard("on_error")


EXITING = """
    import sys, threading, time
    from streamkit import Client, Context, Tool, ToolDecision, stream_text
    from streamkit.providers import OpenAI

    reached = threading.Event()

    def hold(*args, **kwargs):
        reached.set()
        time.sleep(60)

    def heed(ctx: Context, city):
        reached.set()
        ctx.wait()

    tools = [Tool(name="weather", parameters={{"type": "object"}}, execute={execute})]
    client = Client(OpenAI("sk-test", base_url=sys.argv[1]))
    stream = stream_text(client.model("m"), prompt="Hello", tools=tools{options})
    {wait}
    print("ready", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("execute", "options", "wait"),
    [
        ("hold", "", "reached.wait(30)"),
        ("heed", "", "reached.wait(30)"),
        ("str", ", approve=hold", "reached.wait(30)"),
        ("lambda city: city", ", stop_when=hold", "reached.wait(30)"),
        ("lambda city: city", "", "list(zip(range(2), stream.text_stream()))"),
    ],
    ids=["deaf tool", "heeding tool", "approve", "stop_when", "second text"],
)
def test_the_interpreter_ends_in_each_phase(execute: str, options: str, wait: str, server: ProviderServer) -> None:
    """At once, silently and with code 0, whatever still runs."""
    server.reply(*asking("weather"))
    server.reply(*opened(delta(" It is")))
    ready: list[float] = []
    program = EXITING.format(execute=execute, options=options, wait=wait)
    done = run_python(program, server.base_url, while_running=lambda process: ready.append(time.monotonic()))

    assert time.monotonic() - ready[0] < 3.0  # the end of the interpreter on a busy machine included
    assert ("ready\n", "", 0) == (done.stdout, done.stderr, done.returncode)


# ---------------------------------------------------------------- who ends it from within


INSIDE = ["on_tool_call_start", "on_tool_call", "on_chunk", "on_step_finish", "on_response"]


@pytest.mark.parametrize("how", ["context", "stream"])
@pytest.mark.parametrize("hook", INSIDE)
def test_an_observer_ends_the_generation(hook: str, how: str, scene: Scene, client: Client) -> None:
    """Once it has done so, no tool is begun and nothing is asked."""
    scene.server.reply(*asking("weather", "later"))
    ctx, holder = Context(), Gate()
    streams: list[TextStream] = []

    def end(value: Any) -> None:
        if hook != "on_chunk" or value.type == "tool_call":
            assert holder.wait(PATIENCE)
            ctx.cancel("enough") if how == "context" else streams[0].cancel("enough")

    def approve(call: ToolCall) -> ToolDecision:
        scene.told.append(("asked", call.id))
        return ToolDecision.allow()

    stream = scene.start(
        client,
        ctx=ctx,
        tools=[scene.tool("weather", quick), scene.tool("later", quick)],
        max_tool_workers=1,
        hooks=scene.hooks() | Hooks(**{hook: end}),
        approve=approve,
    )
    streams.append(stream)
    holder.set()
    error = stream.err()
    streams.clear()
    ended(scene)

    begun = {"on_tool_call": ["weather"], "on_step_finish": ["weather", "later"]}
    assert "cancelled: enough" == str(error)
    assert begun.get(hook, []) == scene.ran
    assert (2 if hook not in ("on_chunk", "on_response") else 0) == len(scene.heard("asked"))
    assert 1 == len(scene.server.requests) == len(scene.heard("on_request")) == len(scene.heard("on_response"))
    assert [error] == scene.heard("on_cancel")
    assert len(scene.heard("on_tool_call_start")) == len(scene.heard("on_tool_call"))


@pytest.mark.parametrize("workers", [1, 8])
@pytest.mark.parametrize("how", ["context", "stream"])
def test_a_tool_ends_the_generation(how: str, workers: int, scene: Scene, client: Client) -> None:
    """Of a hundred calls the first ends it, and waits for nothing: with one worker no other is begun."""
    scene.server.reply(*asking("weather", *["later"] * 99))
    ctx, holder = Context(), Gate()
    streams: list[TextStream] = []

    def end(scope: Context) -> str:
        assert holder.wait(PATIENCE)
        ctx.cancel("enough") if how == "context" else streams[0].cancel("enough")
        return "done"

    tools = [scene.tool("weather", end), scene.tool("later", scene.heeding)]
    streams.append(scene.start(client, ctx=ctx, tools=tools, max_tool_workers=workers))
    holder.set()
    error = streams[0].err()
    streams.clear()
    ended(scene)

    assert "cancelled: enough" == str(error)
    assert len(scene.ran) <= workers
    assert Counter(info.tool_call.id for info in scene.heard("on_tool_call_start")) == Counter(
        info.tool_call.id for info in scene.heard("on_tool_call")
    )


def test_a_slow_observer_of_chunks(scene: Scene, client: Client) -> None:
    """After a cancel it is not shown the rest of what one read of the socket had brought."""
    events = b"".join(delta(str(number)).encode() for number in range(50))
    scene.server.reply(Status(), Send(events), Stall())
    seen: list[str] = []

    def look(chunk: Any) -> None:
        seen.append(chunk.content)
        if len(seen) == 2:
            scene.hold()

    stream = scene.start(client, hooks=scene.hooks() | Hooks(on_chunk=look))
    assert scene.reached.wait(PATIENCE)
    with took(FREE):
        stream.cancel()
        error = stream.err()
    ended(scene)

    assert isinstance(error, Cancelled)
    assert ["0", "1"] == seen


# ---------------------------------------------------------------- nothing is left


FORKING = """
    import os, sys, threading, warnings
    from streamkit import Client, Tool, stream_text
    from streamkit.providers import OpenAI

    warnings.simplefilter("ignore", DeprecationWarning)  # since 3.12 for every fork beside threads
    reached, free = threading.Event(), threading.Event()

    def hold(city):
        reached.set()
        free.wait(30)
        return city

    def start(execute):
        tools = [Tool(name="weather", parameters={"type": "object"}, execute=execute)]
        return stream_text(client.model("m"), prompt="Hello", tools=tools)

    client = Client(OpenAI("sk-test", base_url=sys.argv[1]))
    print("ready", flush=True)
    stream = start(hold)
    reached.wait(30)
    child = os.fork()
    if child == 0:
        inherited = stream.err()
        own = start(lambda city: city).result(30)
        os._exit(0 if "forked" in str(inherited) and own.complete and len(own.steps) == 2 else 1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    free.set()
    print(status, stream.result(30).text, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_while_a_tool_runs(server: ProviderServer) -> None:
    """The parent's generation goes on; the child finds it ended, and has generations with tools of its own."""
    server.reply(*asking("weather"), times=2)
    server.reply(*chat_answer("It is warm."), times=2)
    done = run_python(FORKING, server.base_url)

    assert (f"ready\n0 {TEXT}It is warm.\n", "", 0) == (done.stdout, done.stderr, done.returncode)


def finished(client: Client, tools: Sequence[Tool]) -> None:
    """Run to the end."""
    assert stream_text(client.model("gpt-4o"), prompt="Hello", tools=tools).result().complete


def abandoned(client: Client, tools: Sequence[Tool]) -> None:
    """Drop a view half-way."""
    assert next(stream_text(client.model("gpt-4o"), prompt="Hello", tools=tools).text_stream())


def cancelled(client: Client, tools: Sequence[Tool]) -> None:
    """Cancel at some point."""
    ctx = Context()
    try:
        stream = stream_text(client.model("gpt-4o"), prompt="Hello", tools=tools, ctx=ctx)
        for _ in zip(range(random.randrange(6)), stream.stream(), strict=False):
            pass
        ctx.cancel()
        stream.err()
    except Cancelled:
        pass


def ours() -> Counter[str]:
    """How many objects of which of our classes live in this process, but for the server's."""
    gc.collect()
    classes = [type(thing) for thing in gc.get_objects()]
    return Counter(
        f"{cls.__module__}.{cls.__qualname__}"
        for cls in classes
        if (module := str(cls.__module__)).startswith("streamkit.") and not module.startswith("streamkit.testing")
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", [finished, abandoned, cancelled])
def test_many_generations_leave_nothing(how: Callable[..., None], scene: Scene, client: Client) -> None:
    """No thread, no socket, and no more objects of ours than there were after the first of them."""
    tools = [Tool(name="weather", parameters=CITY, execute=lambda city: city * 100)]

    def answer(request: Any) -> Script:
        is_first = request.json()["messages"][-1]["role"] == "user"
        return asking("weather", "weather") if is_first else chat_answer("It is warm.")

    def run(times: int) -> Counter[str]:
        for _ in range(times):
            how(client, tools)
        ended(scene)
        return ours()

    scene.server.reply(answer, times=None)
    first, threads = run(20), threading.active_count()
    grown = run(300) - first

    # What 300 leave would be hundreds. As many connections lie in the pool as calls have overlapped.
    assert all(more <= 8 for more in grown.values()), grown
    assert threading.active_count() <= threads + 9  # the watchdog, and the server's threads of those connections
