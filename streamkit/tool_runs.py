"""Tools on threads: a bounded number at a time, each with its own time limit, all of them told when the stream ends.

A Python function cannot be killed: one that does not end in time, or does not heed its context, keeps its (daemon)
thread until it ends by itself; nobody waits for it.
"""

from __future__ import annotations

import contextvars
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from streamkit import lazy_attrs as attrs
from streamkit.context import Context
from streamkit.errors import ConfigError, DeadlineExceeded, ToolError, printable
from streamkit.forks import new_lock
from streamkit.inbox import take
from streamkit.jsontext import parse_arguments, scrub
from streamkit.tools import ToolDecision, in_words, run_tool
from streamkit.types.messages import ImagePart
from streamkit.types.request import Tool
from streamkit.types.response import ToolCall
from streamkit.watchdog import watchdog

__all__ = ["ToolRun", "run_tools"]


@attrs.define(eq=False)
class ToolRun:
    """One run of a tool: what it is given, and what became of it. Done once, by its thread or by who waits for it."""

    call: ToolCall
    tool: Tool
    position: int
    """Among the calls of its step, from 0."""
    output: str | None = None
    images: tuple[ImagePart, ...] = ()
    error: ToolError | None = None
    began: float | None = None
    elapsed: float = 0.0
    announced: bool = False
    """Whether its thread has come to it: then observers hear of it, and are to hear of its end."""
    done: bool = False
    _settling: threading.Lock = attrs.field(factory=new_lock, init=False, repr=False)  # guards `announced` and `done`

    def decide(self, decision: ToolDecision) -> None:
        """Do what was decided of the call: nothing where it may run as it is."""
        if not isinstance(decision.text, str):
            raise ConfigError(f"approve gave a {type(decision.text).__name__} where a text belongs: make it a str")
        if decision.action == "answer":
            self.finish(scrub(decision.text))
        elif decision.action == "refuse":
            self.fail(decision.text or "the call was refused")
        elif decision.text:
            arguments, wrong = parse_arguments(decision.text)
            if wrong is not None:
                raise ConfigError(f"approve gave an input that is no JSON object: {wrong}")
            self.call = attrs.evolve(self.call, input=decision.text, arguments=arguments)

    def begin(self) -> bool:
        """Note that its thread has come to it; False when it was done before, so that it must not run any more."""
        with self._settling:
            self.announced = not self.done
            return self.announced

    def finish(self, output: str, images: tuple[ImagePart, ...] = ()) -> bool:
        """Note what the tool answered; False when it was done before."""
        return self._settle(output, None, images)

    def fail(self, message: str) -> bool:
        """Note that it failed; False when it was done before."""
        error = ToolError(scrub(message))
        error.tool_name, error.tool_call_id = self.tool.name, self.call.id
        return self._settle(None, error)

    def _settle(self, output: str | None, error: ToolError | None, images: tuple[ImagePart, ...] = ()) -> bool:
        with self._settling:
            if self.done:
                return False
            self.output, self.images, self.error, self.done = output, images, error, True
            self.elapsed = 0.0 if self.began is None else time.monotonic() - self.began
            return True


def run_tools(
    runs: Sequence[ToolRun], ctx: Context, *, workers: int, on_start: Callable[[ToolRun], object]
) -> Iterator[ToolRun]:
    """Run tools, in order as far as their number at a time allows; give each as soon as it is done.

    Each sees the context variables of who asks for the first result, in a copy of its own. None is begun once `ctx` has
    ended.

    Args:
        runs: in the order of their calls.
        ctx: ends with the stream; each tool that asks for it gets a child of it.
        workers: how many may run at once; a `sequential` one runs alone.
        on_start: called before each run, on its thread.

    Raises:
        ContextError: `ctx` has ended.
        ConfigError: `workers` is below 1.
    """
    if workers < 1:
        raise ConfigError(f"{workers} tools at a time: must be 1 or more")
    yield from _Runs(runs, ctx, workers, on_start).results()


class _Runs:
    def __init__(
        self, runs: Sequence[ToolRun], ctx: Context, workers: int, on_start: Callable[[ToolRun], object]
    ) -> None:
        self._waiting = deque(runs)
        self._running: dict[int, ToolRun] = {}
        self._scopes: dict[int, Context] = {}  # of those that run
        self._done: queue.SimpleQueue[ToolRun | None] = queue.SimpleQueue()
        self._ctx = ctx
        self._workers = workers
        self._on_start = on_start
        self._variables = contextvars.copy_context()

    # -- a watcher of the context, watched so that there is a thread that tells it

    def alert(self) -> None:
        """Nothing to note."""

    def cancelled(self) -> None:
        """Wake who waits for results."""
        self._done.put(None)

    def check(self, now: float) -> None:
        """Nothing is due: who waits for results keeps the time."""

    def forked(self) -> None:
        """Nothing runs in the child."""

    # -- the stream's thread

    def results(self) -> Iterator[ToolRun]:
        detach = self._ctx.attach(self)
        try:
            self._watch()
            while self._waiting or self._running:
                self._start_some()
                run = self._next()
                self._raise_if_ended()
                if run is not None:
                    del self._running[id(run)]
                    del self._scopes[id(run)]
                    yield run
        finally:
            detach()
            watchdog.unwatch(self)
            for ctx in self._scopes.values():  # of tools that nobody waits for any more
                ctx.cancel()

    def _watch(self) -> None:
        try:
            watchdog.watch(self)
        except RuntimeError:
            pass  # no thread can be started: neither can one for a tool, which tells

    def _raise_if_ended(self) -> None:
        error = self._ctx.error()
        if error is not None:
            raise error

    def _start_some(self) -> None:
        while self._waiting and len(self._running) < self._workers:
            self._raise_if_ended()  # each time: a tool that runs already may have ended the stream
            alone = self._waiting[0].tool.sequential or any(run.tool.sequential for run in self._running.values())
            if alone and self._running:
                return
            self._start(self._waiting.popleft())

    def _start(self, run: ToolRun) -> None:
        self._running[id(run)] = run
        run.began = time.monotonic()
        ctx = self._scopes[id(run)] = self._ctx.child(run.tool.timeout)
        work = self._variables.copy()
        thread = threading.Thread(
            target=work.run, args=(self._run, run, ctx), name=f"streamkit-tool-{run.tool.name}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as e:
            run.fail(f"no thread can be started for the tool: {e}")
            self._done.put(run)

    def _next(self) -> ToolRun | None:
        """Wait for a result, or for the first time limit to pass; None when neither came of it."""
        limits = [_limit(run) for run in self._running.values()]
        if self._ctx.deadline is not None:
            limits.append(self._ctx.deadline)
        left = min(limits, default=math.inf) - time.monotonic()
        try:
            run = take(self._done, min(max(0.0, left), threading.TIMEOUT_MAX))
        except queue.Empty:
            return self._late()
        return run if run is not None and id(run) in self._running else None

    def _late(self) -> ToolRun | None:
        now = time.monotonic()
        return next((run for run in self._running.values() if _limit(run) <= now and run.fail(_too_late(run))), None)

    # -- a tool's thread

    def _run(self, run: ToolRun, ctx: Context) -> None:
        try:
            if not ctx.cancelled and run.begin() and self._settled(run, ctx):
                self._done.put(run)
        finally:
            ctx.cancel()

    def _settled(self, run: ToolRun, ctx: Context) -> bool:
        """Run a tool and note what becomes of it; False when nobody waits for that any more."""
        try:
            self._on_start(run)
            if ctx.cancelled:  # by the observer, perhaps
                return False
            output = run_tool(run.tool, run.call.arguments, ctx)
            return run.finish(output.text, output.images)
        except ToolError as error:
            timed_out = run.tool.timeout is not None and isinstance(ctx.error(), DeadlineExceeded)
            first = run.fail(_too_late(run) if timed_out else in_words(error, str) or type(error).__name__)
            if first and run.error is not None:
                run.error.__cause__ = error.__cause__
            return first
        except BaseException as error:  # SystemExit and the like: the stream must not wait for ever
            shown = in_words(error, repr) or type(error).__name__
            return run.fail(f"the tool ended its thread: {printable(shown, 500)}")


def _limit(run: ToolRun) -> float:
    """When its time is up, in monotonic seconds."""
    return math.inf if run.tool.timeout is None or run.began is None else run.began + run.tool.timeout


def _too_late(run: ToolRun) -> str:
    return f"the tool did not end within {run.tool.timeout} s"
