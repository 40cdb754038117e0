"""Tools on threads: how many at a time, how long, in what order they are told, and what a cancel does."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streamkit import watchdog as watchdog_module
from streamkit.context import Context
from streamkit.errors import Cancelled, ConfigError, DeadlineExceeded, ToolError
from streamkit.tool_runs import ToolRun, run_tools
from streamkit.tools import ToolDecision
from streamkit.types.request import Tool
from streamkit.types.response import ToolCall

PATIENCE = 10.0
"""Seconds after which a test gives up hope."""


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog makes its rounds far more often than usual, so that it ends soon after each test."""
    monkeypatch.setattr(watchdog_module, "PATROL", 0.002)


def prepared(execute: Callable[..., Any], position: int = 0, **more: Any) -> ToolRun:
    """Give a run of a function."""
    call = ToolCall(id=f"call-{position}", name="t", input="{}", arguments={})
    return ToolRun(call=call, tool=Tool(name="t", execute=execute, **more), position=position)


def running(
    *runs: ToolRun,
    ctx: Context | None = None,
    workers: int = 8,
    on_start: Callable[[ToolRun], object] = lambda run: None,
) -> Iterator[ToolRun]:
    """Run tools with what is usual."""
    return run_tools(runs, ctx or Context(), workers=workers, on_start=on_start)


def passed(event: threading.Event) -> bool:
    """Wait for an event; fail where it does not come."""
    assert event.wait(PATIENCE), "it did not happen"
    return True


def no_tool_left() -> bool:
    """Whether the threads of all tools end."""
    for thread in threading.enumerate():
        if thread.name.startswith("streamkit-tool"):
            thread.join(PATIENCE)
    return not any(thread.name.startswith("streamkit-tool") for thread in threading.enumerate())


# -- how many


def test_tools_run_beside_each_other() -> None:
    """All of them meet at a barrier, so all of them run at once, on threads that are named after the tool."""
    barrier = threading.Barrier(3)

    def meet() -> str:
        barrier.wait(PATIENCE)
        return threading.current_thread().name

    runs = [prepared(meet, i) for i in range(3)]
    done = list(running(*runs))

    assert {id(run) for run in runs} == {id(run) for run in done}
    assert ["streamkit-tool-t"] * 3 == [run.output for run in done]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_no_more_than_the_workers(workers: int) -> None:
    """Never more at a time; all of them in the end, begun in order."""
    lock, now, most, begun = threading.Lock(), 0, 0, []

    def work(position: int) -> None:
        nonlocal now, most
        with lock:
            now, most = now + 1, max(most, now + 1)
            begun.append(position)
        with lock:
            now -= 1

    runs = [prepared(lambda i=i: work(i), i) for i in range(12)]

    assert 12 == len(list(running(*runs, workers=workers)))
    assert most <= workers
    assert workers > 1 or list(range(12)) == begun


def test_a_sequential_tool_runs_alone() -> None:
    """Those before it have ended when it begins, those after it begin when it has ended."""
    log: list[str] = []
    barrier = threading.Barrier(2)

    def beside(name: str) -> None:
        barrier.wait(PATIENCE)
        log.append(f"{name} ends")

    def alone() -> None:
        log.append("alone begins")
        log.append("alone ends")

    runs = [
        prepared(lambda: beside("a"), 0),
        prepared(lambda: beside("a"), 1),
        prepared(alone, 2, sequential=True),
        prepared(alone, 3, sequential=True),
        prepared(lambda: beside("b"), 4),
        prepared(lambda: beside("b"), 5),
    ]
    list(running(*runs))

    assert ["a ends"] * 2 + ["alone begins", "alone ends"] * 2 + ["b ends"] * 2 == log


def test_who_is_done_is_told_at_once() -> None:
    """Not in the order of the calls: the second one ends, and is told, while the first still runs."""
    told = threading.Event()
    first, second = prepared(lambda: passed(told), 0), prepared(lambda: "quick", 1)
    results = running(first, second)

    assert second is next(results)
    told.set()
    assert [first] == list(results)
    assert ("true", "quick") == (first.output, second.output)


def test_nothing_to_run() -> None:
    """There is nothing to tell, and no thread."""
    assert [] == list(running())


def test_too_few_workers() -> None:
    """None would never be done."""
    with pytest.raises(ConfigError, match="0 tools at a time: must be 1 or more"):
        list(running(prepared(lambda: 1), workers=0))


# -- what becomes of them


def test_what_a_tool_answers_and_raises() -> None:
    """Both are results, with the time they took; an exception is the error's cause."""

    def fail() -> None:
        raise ValueError("no")

    good, bad = prepared(lambda: {"a": 1}, 0), prepared(fail, 1)
    list(running(good, bad))

    assert ('{"a": 1}', None, True) == (good.output, good.error, good.done)
    assert (None, "ValueError: no", "t", "call-1") == (
        bad.output,
        str(bad.error),
        bad.error and bad.error.tool_name,
        bad.error and bad.error.tool_call_id,
    )
    assert isinstance(bad.error, ToolError) and isinstance(bad.error.__cause__, ValueError)
    assert 0 <= good.elapsed < PATIENCE and 0 <= bad.elapsed < PATIENCE


def test_a_tool_that_ends_its_thread() -> None:
    """The stream does not wait for ever for one that calls sys.exit."""

    def leave() -> None:
        raise SystemExit(3)

    (run,) = running(prepared(leave))

    assert "the tool ended its thread: SystemExit(3)" == str(run.error)


def test_a_thread_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool fails, and the stream goes on."""

    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        patch.setattr(watchdog_module.watchdog, "watch", refuse)  # it would need one, too
        (run,) = running(prepared(lambda: 1))

    assert "no thread can be started for the tool: can't start new thread" == str(run.error)


def test_each_is_announced_on_its_thread() -> None:
    """Before it runs."""
    log: list[tuple[str, str]] = []

    def note(what: str) -> None:
        log.append((what, threading.current_thread().name))

    list(running(prepared(lambda: note("run")), on_start=lambda run: note("start")))

    assert [("start", "streamkit-tool-t"), ("run", "streamkit-tool-t")] == log


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def test_context_variables() -> None:
    """Each tool sees those of whoever runs it, in a copy of its own."""

    def look() -> str:
        before = variable.get()
        variable.set("changed")
        return before

    variables = contextvars.copy_context()
    variables.run(variable.set, "given")

    given = variables.run(lambda: [run.output for run in running(prepared(look), prepared(look, 1))])

    assert ["given"] * 2 == given
    assert ["unset"] == [run.output for run in running(prepared(look))]


# -- time limits


def test_a_tool_that_takes_too_long() -> None:
    """It fails when its time is up, its context ends, and nobody waits for it; what it says then is not heard."""
    ended, free = threading.Event(), threading.Event()

    def hang(ctx: Context) -> str:
        ctx.wait(PATIENCE)
        passed(free)
        ended.set()
        return "late"

    run = prepared(hang, timeout=0.02)

    assert [run] == list(running(run))
    assert not ended.is_set()
    free.set()
    passed(ended)
    assert no_tool_left()
    assert (None, "the tool did not end within 0.02 s") == (run.output, str(run.error))
    assert 0.02 <= run.elapsed < PATIENCE


def test_a_tool_that_heeds_its_time_limit() -> None:
    """Whatever it raises then, the model is told that the time was up."""

    def heed(ctx: Context) -> None:
        ctx.wait(PATIENCE)
        raise ValueError("interrupted")

    (run,) = running(prepared(heed, timeout=0.01))

    assert no_tool_left()
    assert "the tool did not end within 0.01 s" == str(run.error)


def test_a_slow_tool_holds_up_no_other() -> None:
    """The place of one that is late is free for the next."""
    free = threading.Event()
    late, next_one = prepared(lambda: passed(free), 0, timeout=0.01), prepared(lambda: "done", 1)

    assert [late, next_one] == list(running(late, next_one, workers=1))
    free.set()
    assert "done" == next_one.output
    assert no_tool_left()


@pytest.mark.parametrize("timeout", [None, 1e12, float("inf")])
def test_a_limit_that_no_clock_can_wait_for(timeout: float | None) -> None:
    """It is none."""
    (run,) = running(prepared(lambda: "done", timeout=timeout))

    assert "done" == run.output


# -- the end of the stream


def test_a_cancel_reaches_running_tools() -> None:
    """Who waits for results is freed at once, and each tool that asked for its context sees it end."""
    begun, seen = threading.Barrier(3), [threading.Event(), threading.Event()]
    ctx = Context()

    def work(i: int, scope: Context) -> None:
        begun.wait(PATIENCE)
        if scope.wait(PATIENCE):
            seen[i].set()

    def first(scope: Context) -> None:
        work(0, scope)

    def second(scope: Context) -> None:
        work(1, scope)

    def cancel() -> None:
        begun.wait(PATIENCE)
        ctx.cancel("enough")

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(Cancelled, match="enough"):
        list(running(prepared(first), prepared(second, 1), ctx=ctx))
    canceller.join(PATIENCE)

    assert all(passed(event) for event in seen)
    assert no_tool_left()


def test_nobody_waits_for_a_tool_that_heeds_nothing() -> None:
    """After a cancel the stream ends while the tool runs on."""
    begun, free, ended, ctx = threading.Event(), threading.Event(), threading.Event(), Context()

    def work() -> None:
        begun.set()
        free.wait(PATIENCE)
        ended.set()

    def cancel() -> None:
        passed(begun)
        ctx.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(Cancelled):
        list(running(prepared(work), ctx=ctx))
    was_waited_for = ended.is_set()
    free.set()
    canceller.join(PATIENCE)

    assert no_tool_left()
    assert not was_waited_for


def test_the_deadline_of_the_stream() -> None:
    """It ends the wait for a tool that has no limit of its own."""
    free = threading.Event()
    begin = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        list(running(prepared(lambda: passed(free)), ctx=Context(0.02)))
    took = time.monotonic() - begin
    free.set()

    assert 0.02 <= took < PATIENCE / 2
    assert no_tool_left()


def test_a_context_that_has_ended() -> None:
    """No tool is begun."""
    ctx, log = Context(), []
    ctx.cancel()
    with pytest.raises(Cancelled):
        list(running(prepared(lambda: log.append(1)), ctx=ctx))

    assert [] == log


def test_results_that_nobody_takes_any_more() -> None:
    """Where the reader goes away, the contexts of the tools that still run end, and that of the stream does not."""
    ended, ctx = threading.Event(), Context()

    def work(scope: Context) -> None:
        if scope.wait(PATIENCE):
            ended.set()

    results = running(prepared(lambda: "quick"), prepared(work, 1), ctx=ctx)
    next(results)
    results.close()  # type: ignore[attr-defined]  # it is a generator

    assert passed(ended)
    assert not ctx.cancelled
    assert no_tool_left()


def test_contexts_are_left_alone_afterwards() -> None:
    """A stream's context keeps no watcher of a run that is over."""
    ctx = Context()
    list(running(prepared(lambda: 1), ctx=ctx))

    assert {} == ctx._watchers


def test_who_hears_of_a_tool_may_end_the_stream() -> None:
    """The tool that was announced is not run, and no other is begun."""
    ctx, ran = Context(), []
    runs = [prepared(lambda: ran.append(1), i) for i in range(3)]
    with pytest.raises(Cancelled, match="enough"):
        list(running(*runs, ctx=ctx, workers=1, on_start=lambda run: ctx.cancel("enough")))

    assert no_tool_left()
    assert [True, False, False] == [run.announced for run in runs]
    assert [] == ran


def test_who_hears_of_a_tool_may_end_its_thread() -> None:
    """The tool has failed then; the stream does not wait for it."""

    def leave(run: ToolRun) -> None:
        raise SystemExit(3)

    (run,) = running(prepared(lambda: 1), on_start=leave)

    assert "the tool ended its thread: SystemExit(3)" == str(run.error)


# -- a run by itself


def test_a_run_that_is_done_does_not_begin() -> None:
    """Nobody waits for it any more."""
    early, late = prepared(lambda: 1), prepared(lambda: 1)

    assert (True, True) == (early.begin(), early.fail("the stream ended"))
    assert (True, False) == (late.fail("the stream ended"), late.begin())
    assert (True, False) == (early.announced, late.announced)


@pytest.mark.parametrize("decision", [ToolDecision.answer("a\ud800"), ToolDecision.refuse("a\ud800")])
def test_a_decision_that_no_request_can_carry(decision: ToolDecision) -> None:
    """Lone surrogates are replaced."""
    run = prepared(lambda: 1)
    run.decide(decision)

    assert "a\ufffd" == (run.output or str(run.error))


def test_a_decision_that_is_no_text() -> None:
    """It ends the stream: who approves gives texts."""
    with pytest.raises(ConfigError, match="approve gave a dict where a text belongs"):
        prepared(lambda: 1).decide(ToolDecision.answer({"a": 1}))  # type: ignore[arg-type]


def test_a_run_is_done_once() -> None:
    """The first outcome stays."""
    run = prepared(lambda: 1)

    assert [True, False, False] == [run.finish("a"), run.fail("b"), run.finish("c")]
    assert ("a", None, 0.0) == (run.output, run.error, run.elapsed)


def test_what_was_decided() -> None:
    """A call may be answered, refused, or run with another input."""
    runs = [prepared(lambda: 1) for _ in range(5)]
    decisions = [
        ToolDecision.allow(),
        ToolDecision.allow('{"a": 1}'),
        ToolDecision.answer(""),
        ToolDecision.refuse("not now"),
        ToolDecision.refuse(""),
    ]
    for run, decision in zip(runs, decisions, strict=True):
        run.decide(decision)

    assert [False, False, True, True, True] == [run.done for run in runs]
    assert [("{}", {}), ('{"a": 1}', {"a": 1})] == [(run.call.input, run.call.arguments) for run in runs[:2]]
    assert ["", None, None] == [run.output for run in runs[2:]]
    assert ["None", "not now", "the call was refused"] == [str(run.error) for run in runs[2:]]


def test_an_input_that_is_no_json() -> None:
    """Who approves gives JSON, or the stream ends."""
    with pytest.raises(ConfigError, match="approve gave an input that is no JSON"):
        prepared(lambda: 1).decide(ToolDecision.allow("{"))
