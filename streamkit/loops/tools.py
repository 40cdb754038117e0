"""The tool loop: ask, run the tools that the model calls, tell it the results, ask again.

A generator of batches, as a call is, over any number of calls; the whole is one stream with one numbering. Per step it
gives the call's chunks, a `tool_result` for each call of a tool, and then the call's `step_finish`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Protocol, TypeVar

from streamkit import lazy_attrs as attrs
from streamkit.call import Call
from streamkit.errors import ConfigError, StreamKitError, printable
from streamkit.hooks import Hooks, ToolCallInfo, observe
from streamkit.loops import LoopScope
from streamkit.loops.fallback import Fallback
from streamkit.tool_runs import ToolRun, run_tools
from streamkit.tools import StopWhen, ToolDecision, in_words
from streamkit.types.chunks import Chunk, StepFinishChunk, ToolResultChunk
from streamkit.types.messages import Message
from streamkit.types.request import AnyTool, Tool
from streamkit.types.response import Step, StopCause, ToolCall

__all__ = ["Ask", "StepPlan", "ToolLoop", "held_back"]

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class StepPlan:
    """What `prepare_step` may change for one step; None leaves it as it is.

    `messages` are all that the model is told, but for the system message, which stays unless they have one. `stop` ends
    the loop before the step.
    """

    model: Any = None
    messages: Sequence[Message] | None = None
    tools: Sequence[AnyTool] | None = None
    tool_choice: str | None = None
    stop: bool = False


class Ask(Protocol):
    """Makes the call of a step."""

    def __call__(self, *, step: int, index: int, said: tuple[Message, ...], plan: StepPlan) -> Call | Fallback:
        """Give the call of step `step` (1-based), whose first chunk has this index.

        `said` is what the steps before have added to the conversation.
        """


@attrs.frozen(kw_only=True)
class ToolLoop:
    """Several calls as one stream."""

    ask: Ask
    tools: Sequence[Tool] = ()
    max_steps: int = 5
    stop_when: StopWhen | None = None
    prepare_step: Callable[[Sequence[Step]], StepPlan | None] | None = None
    approve: Callable[[ToolCall], ToolDecision] | None = None
    workers: int = 8
    hooks: Hooks = attrs.field(factory=Hooks)

    def batches(self, scope: LoopScope) -> Iterator[list[Chunk]]:
        """Make the calls; give all their chunks. Raises errors of our tree only."""
        steps: tuple[Step, ...] = ()
        said: tuple[Message, ...] = ()
        index = 0
        for number in itertools.count(1):
            plan = self._plan(scope, steps)
            scope.pause(0)  # raises where the stream has ended: then nothing more is asked
            if plan.stop:
                scope.stopped("stop_when")
                return
            if steps:
                scope.next_step()
            finish = yield from held_back(self.ask(step=number, index=index, said=said, plan=plan), scope)
            calls, known = scope.response().steps[-1].tool_calls, self._known(plan)
            last = number >= self.max_steps
            index = finish.index
            if calls and not last:
                index = yield from self._results(scope, number, index, calls, known)
            yield [attrs.evolve(finish, index=index)]
            index += 1
            done = scope.response()
            steps, said = done.steps, done.messages
            cause = self._cause(scope, steps, known, last=last, paused=_is_paused(finish))
            if cause is not None:
                scope.stopped(cause)
                return

    # -- what is decided

    def _plan(self, scope: LoopScope, steps: tuple[Step, ...]) -> StepPlan:
        if self.prepare_step is None:
            return StepPlan()
        plan = _decided(scope, "prepare_step", self.prepare_step, steps)
        if not isinstance(plan, (StepPlan, type(None))):
            raise ConfigError(f"prepare_step must give a StepPlan or None, not {printable(repr(plan), 200)}")
        return plan or StepPlan()

    def _known(self, plan: StepPlan) -> Mapping[str, Tool]:
        tools = self.tools if plan.tools is None else [Tool.of(tool) for tool in plan.tools]
        return {tool.name: tool for tool in tools}

    def _cause(
        self, scope: LoopScope, steps: tuple[Step, ...], known: Mapping[str, Tool], *, last: bool, paused: bool
    ) -> StopCause | None:
        """Why the loop ends after these steps; None where it goes on."""
        calls = steps[-1].tool_calls
        if not calls and not paused:
            return "natural"
        if any(call.name in known and known[call.name].execute is None for call in calls):
            return "natural"  # the caller answers these
        if last:
            return "max_steps"
        if self.stop_when is not None and _decided(scope, "stop_when", self.stop_when, steps):
            return "stop_when"
        return None

    def _approved(self, scope: LoopScope, call: ToolCall) -> ToolDecision:
        if self.approve is None:
            return ToolDecision.allow()
        decision = _decided(scope, "approve", self.approve, call)
        if not isinstance(decision, ToolDecision):
            shown = printable(repr(decision), 200)
            raise ConfigError(f"approve must give a ToolDecision, such as ToolDecision.allow(), not {shown}")
        return decision

    # -- tools

    def _results(
        self, scope: LoopScope, step: int, index: int, calls: tuple[ToolCall, ...], known: Mapping[str, Tool]
    ) -> Generator[list[Chunk], None, int]:
        """Give a result for each call of a tool that is ours to run, as they come; return the next index."""
        with scope.own_work():
            prepared = [self._prepared(scope, position, call, known) for position, call in enumerate(calls)]
            untold = [run for run in prepared if run is not None]
            try:
                for run in self._finished(scope, step, untold[:]):
                    untold.remove(run)
                    self._tell(step, run)
                    yield [_chunk(run, index)]
                    index += 1
            finally:
                for run in untold:  # the stream has ended: those that wait will never run
                    run.fail("the stream ended while the tool ran")
                    if run.announced:
                        self._tell(step, run)
        return index

    def _prepared(self, scope: LoopScope, position: int, call: ToolCall, known: Mapping[str, Tool]) -> ToolRun | None:
        """A run of a call, perhaps done already; None where the caller is to answer it."""
        tool = known.get(call.name)
        if tool is not None and tool.execute is None:
            return None
        run = ToolRun(call=call, tool=tool or Tool(name=call.name), position=position)
        if tool is None:
            names = ", ".join(known) or "none"
            run.fail(f"there is no tool {printable(call.name, 100)!r}: there is {names}")
        elif not call.complete:
            run.fail("the arguments are no complete JSON, so the tool was not run: call it again")
        else:
            run.decide(self._approved(scope, call))
        return run

    def _finished(self, scope: LoopScope, step: int, runs: list[ToolRun]) -> Iterator[ToolRun]:
        yield from (run for run in runs if run.done)

        def start(run: ToolRun) -> None:
            observe(self.hooks.on_tool_call_start, ToolCallInfo(step=step, tool_call=run.call))

        rest = [run for run in runs if not run.done]
        if rest:
            yield from run_tools(rest, scope.context(), workers=self.workers, on_start=start)

    def _tell(self, step: int, run: ToolRun) -> None:
        info = ToolCallInfo(
            step=step,
            tool_call=run.call,
            output=run.output,
            images=run.images,
            error=run.error,
            elapsed=run.elapsed,
        )
        observe(self.hooks.on_tool_call, info)


def held_back(call: Call | Fallback, scope: LoopScope) -> Generator[list[Chunk], None, StepFinishChunk]:
    """Give a call's chunks but for its `step_finish`, which is returned: the results of tools go before it."""
    finish: StepFinishChunk | None = None
    # Closed with the stream, so that its observers are told then and not some time.
    with closing(call.batches(scope)) as batches:
        for batch in batches:
            last = batch[-1] if batch else None
            if isinstance(last, StepFinishChunk):
                batch, finish = batch[:-1], last
            if batch:
                yield batch
    assert finish is not None  # a call ends with it, or raises
    return finish


def _is_paused(finish: StepFinishChunk) -> bool:
    """Whether the provider asks to be asked again with what it has said: Anthropic, after much work of its own."""
    return finish.metadata.get("raw_finish_reason") == "pause_turn"


def _decided(scope: LoopScope, name: str, decide: Callable[..., T], *args: Any) -> T:
    """Ask what the user wants, unless the stream has ended; an exception there ends it."""
    scope.pause(0)
    try:
        with scope.own_work():
            decision = decide(*args)
    except StreamKitError:
        raise
    except BaseException as e:  # sys.exit, too: on this thread it would end nothing else
        shown = in_words(e, repr) or type(e).__name__
        raise StreamKitError(f"{name} raised, which ends the stream: {printable(shown, 500)}") from e
    scope.pause(0)  # it may have taken its time
    return decision


def _chunk(run: ToolRun, index: int) -> ToolResultChunk:
    return ToolResultChunk(
        tool_call_id=run.call.id,
        tool_name=run.call.name,
        tool_output=run.output if run.error is None and run.output is not None else str(run.error),
        images=run.images,
        is_error=run.error is not None,
        index=index,
        metadata={"elapsed": run.elapsed, "position": run.position},
    )
