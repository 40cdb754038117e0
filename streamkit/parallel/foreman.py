"""The foreman: gives the prompts of a run to an executor of the user's, and takes in what becomes of them."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import logging
import pickle
import queue
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, wait
from typing import Any

from streamkit import lazy_attrs as attrs
from streamkit.errors import Cancelled, ConfigError, StreamKitError
from streamkit.forks import new_lock
from streamkit.inbox import take
from streamkit.parallel.answer import Answer, broken, failed
from streamkit.parallel.batch import Batch, item_of
from streamkit.parallel.chunk_feed import Tape
from streamkit.parallel.crew import join, new_name
from streamkit.parallel.errand import Call, errand_of
from streamkit.parallel.lifeline import Lifeline
from streamkit.parallel.prompts import Task
from streamkit.parallel.route import Route, has_closed

__all__ = ["Foreman"]

logger = logging.getLogger("streamkit")

GRACE = 0.25
"""Seconds that a cancelled run waits for what workers of other processes have so far."""
LOOK = 1.0
"""Seconds between two looks whether an executor that says nothing has closed."""


@attrs.frozen(kw_only=True)
class _Given:
    """A prompt that the executor has: the mark of its rope, and the tokens that it is expected to use."""

    task: Task
    mark: bytes = b""
    estimate: float = 0.0


class Foreman:
    """Two threads: one gives prompts to an executor, at most `size` at a time, one takes in what becomes of them.

    A prompt whose worker was lost is given to another; where the executor is broken by that, as a pool of processes is,
    it and all further prompts are asked on threads of this process. `route` is that of workers in other processes, None
    where they are threads of this one.
    """

    def __init__(self, batch: Batch, size: int, executor: Executor, route: Route | None) -> None:
        self._batch = batch
        self._size = size
        self._executor = executor
        self._route = route
        self._lifeline: Lifeline | None = None
        if route is not None:
            self._lifeline = Lifeline(route.host, size=size, sole=route.sole, tape_of=self._tape_of)
        self._lock = new_lock()  # guards all that follows
        self._futures: dict[int, tuple[_Given, Future[Any]]] = {}
        self._lost: set[int] = set()  # prompts whose worker was lost once
        self._marks: dict[bytes, int] = {}  # the prompts that are asked elsewhere, by the marks of their ropes
        self._broken = False
        self._ended: queue.SimpleQueue[tuple[_Given, Future[Any]] | None] = queue.SimpleQueue()
        self._variables = contextvars.copy_context()
        self._name = new_name()
        self._threads = [self._thread(self._work), self._thread(self._collect)]
        batch.on_stop, batch.on_end = self._stopped, self._over
        if self._lifeline is not None:
            batch.on_fork, batch.feed.on_open = self._lifeline.forked, self._lifeline.want

    def start(self) -> None:
        """Begin; `StreamKitError` where the system gives no thread."""
        if self._lifeline is not None:
            self._lifeline.start()
        try:
            for thread in self._threads:
                thread.start()
        except RuntimeError as e:
            raise StreamKitError(f"no thread can be started for the run: {e}") from e

    def join(self, seconds: float) -> None:
        """Wait for the end of its threads, at most so long. The executor is the user's to end."""
        join(self._threads, seconds)

    # -- giving

    def _work(self) -> None:
        while self._batch.has_room(self._size) and (task := self._batch.take()) is not None:
            self._give(task)

    def _give(self, task: Task) -> None:
        """Have a prompt asked, somewhere."""
        try:
            if self._broken:
                threading.Thread(target=self._ask_here, args=(task,), name=self._name, daemon=True).start()
            elif self._lifeline is None:
                self._follow(_Given(task=task), self._executor.submit(self._ask_here, task))
            else:
                self._send(task, self._lifeline)
        except StreamKitError as refused:  # it cannot travel, or the run was stopped before its turn came
            self._settle(task, failed(refused))
        except BrokenExecutor as e:
            self._break(e)
            self._give(task)
        except Exception as e:  # shut down, as a rule
            self._settle(task, broken("the executor takes no more work", e))

    def _send(self, task: Task, lifeline: Lifeline) -> None:
        assert self._route is not None  # there is a lifeline
        estimate = self._batch.pace(task)
        rope = lifeline.rope()
        call = pickle.dumps(Call(errand_of(task, self._batch.ctx, rope, live=self._route.live)))
        with self._lock:
            self._marks[rope.mark] = task.index
        future = self._executor.submit(pickle.loads, call)
        self._follow(_Given(task=task, mark=rope.mark, estimate=estimate), future)

    def _follow(self, given: _Given, future: Future[Any]) -> None:
        with self._lock:
            self._futures[given.task.index] = given, future
        # Taken in on our own thread: this may be the one that Dask's network, or the pool, lives on.
        future.add_done_callback(lambda done: self._ended.put((given, done)))
        if self._batch.ctx.cancelled:  # in between
            self._stopped()

    def _ask_here(self, task: Task) -> None:
        item = self._variables.copy().run(self._batch.ask, task)
        self._batch.settle(item)

    # -- taking in

    def _collect(self) -> None:
        while (ended := self._next_ended()) is not None:
            given, future = ended
            del ended
            with self._lock:
                self._futures.pop(given.task.index, None)
                self._marks.pop(given.mark, None)  # what a worker sends later, given up for lost, is not heard
            try:
                self._take_in(given, future)
            except Exception as bug:
                self._settle(given.task, broken("an internal error ended the prompt", bug))

    def _next_ended(self) -> tuple[_Given, Future[Any]] | None:
        while True:
            with contextlib.suppress(queue.Empty):
                return take(self._ended, LOOK)
            if has_closed(self._executor):
                self._give_up()

    def _give_up(self) -> None:
        """Wait no longer for what the executor still had."""
        with self._lock:
            futures, self._futures = self._futures, {}
        for given, _ in futures.values():
            self._settle(given.task, failed(StreamKitError("the executor has closed, and lost the prompt")))

    def _take_in(self, given: _Given, future: Future[Any]) -> None:
        """Take what has become of a prompt."""
        task = given.task
        try:
            answer = future.result(timeout=0)
        except CancelledError:
            self._settle(task, failed(self._batch.ctx.error() or Cancelled("cancelled by the executor")))
        except BrokenExecutor as e:
            self._break(e)
            self._give(task)
        except ImportError as e:
            problem = f"the executor's workers cannot import what they need ({e!r}): install the same packages there"
            self._settle(task, failed(ConfigError(problem)))
        except BaseException as e:  # KeyboardInterrupt, too: Ctrl-C ends the processes of a pool as well
            self._give_again(task, e)
        else:
            if isinstance(answer, Answer):  # what a thread asks, it has settled itself
                self._take_answer(given, answer)

    def _take_answer(self, given: _Given, answer: Answer) -> None:
        stopped = self._batch.ctx.error()
        if isinstance(answer.error, Cancelled) and stopped is None:  # its worker was interrupted, or cut off
            self._give_again(given.task, answer.error)
            return
        self._batch.heed(answer.headers)
        self._batch.learn(given.estimate, answer)
        self._fill_tape(given.task.index, answer)
        if stopped is not None and isinstance(answer.error, Cancelled):  # there nobody knows why
            stopped.partial = answer.error.partial
            answer = attrs.evolve(answer, error=stopped)
        self._settle(given.task, answer)

    def _tape_of(self, mark: bytes, attempt: bytes) -> Tape | None:
        """The tape for what a worker sends ahead of its answer."""
        with self._lock:
            index = self._marks.get(mark)
            return None if index is None else self._batch.feed.tape(index, attempt)

    def _fill_tape(self, index: int, answer: Answer) -> None:
        """Put what did not come ahead of an answer on its tape."""
        feed = self._batch.feed
        tape = feed.tape_of(index, answer.attempt)
        if tape is None:
            tape = feed.tape(index, answer.attempt)
            for chunk in answer.chunks:
                tape.add(chunk)
        if answer.response is not None:
            tape.complete(answer.response.text)
        feed.end(tape)

    def _break(self, error: BrokenExecutor) -> None:
        with self._lock:
            first, self._broken = not self._broken, True
        if first:
            logger.warning("the executor is broken (%r): the rest of the batch is asked on threads", error)

    def _give_again(self, task: Task, error: BaseException) -> None:
        """Once: what was lost twice may be what kills its workers."""
        with self._lock:
            again = task.index not in self._lost
            self._lost.add(task.index)
        stopped = self._batch.ctx.error()
        # On a thread of its own: it may have to wait for its turn, and meanwhile others end.
        if stopped is not None:
            self._settle(task, failed(stopped))
        elif not (again and self._start(self._give, task)):
            self._settle(task, broken("the executor lost the prompt", error))

    def _settle(self, task: Task, answer: Answer) -> None:
        self._batch.settle(item_of(task, answer))

    # -- the end

    def _stopped(self) -> None:
        """Call back what has not begun; workers of other processes are told first. Does not block."""
        with self._lock:
            futures = list(self._futures.values())
        if self._lifeline is not None:
            self._lifeline.cut()
        # On a thread of its own, also as a cancelled future has its item told to on_progress at once.
        if futures and not self._start(self._leave, futures, GRACE):
            self._leave(futures, 0.0)

    def _leave(self, futures: list[tuple[_Given, Future[Any]]], seconds: float) -> None:
        if self._lifeline is None:
            for _, future in futures:
                future.cancel()  # those that run end by their context
            return
        # Workers of other processes are given a moment to send what they have, before their futures are cancelled: Dask
        # would then drop it.
        wait([future for _, future in futures], timeout=seconds)
        for given, future in futures:
            if not future.done():  # what has come is being taken in
                self._settle(given.task, failed(self._batch.ctx.error() or Cancelled("cancelled")))
        for _, future in futures:
            future.cancel()  # last: where the cluster is gone, Dask may wait for it

    def _over(self) -> None:
        """The last item has come."""
        if self._lifeline is not None:
            self._lifeline.cut()
        self._ended.put(None)

    def _start(self, work: Callable[..., object], *arguments: Any) -> bool:
        """Do something on a thread of its own; False where the system gives none."""
        try:
            self._thread(functools.partial(work, *arguments)).start()
        except RuntimeError:
            return False
        return True

    def _thread(self, work: Callable[[], object]) -> threading.Thread:
        return threading.Thread(target=self._variables.copy().run, args=(work,), name=self._name, daemon=True)
