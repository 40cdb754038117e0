"""Who does the work of a batch: threads of its own, or an executor of the user's."""

from __future__ import annotations

import contextvars
import functools
import itertools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from typing import Any

import attrs

from streamkit.errors import Cancelled, StreamKitError
from streamkit.forks import new_lock
from streamkit.parallel.answer import Answer, failed
from streamkit.parallel.batch import Batch, item_of
from streamkit.parallel.errand import answer_errand, errand_of
from streamkit.parallel.lifeline import Lifeline
from streamkit.parallel.prompts import Task

__all__ = ["Crew", "Foreman", "shares_memory"]

logger = logging.getLogger("streamkit")

GRACE = 0.25
"""Seconds that a cancelled run waits for what workers of other processes have so far."""

_numbers = itertools.count(1)


def shares_memory(executor: Executor | None) -> bool:
    """Whether its workers are threads of this process, and of this interpreter."""
    threads = executor is None or isinstance(executor, ThreadPoolExecutor)
    return threads and type(executor).__name__ != "InterpreterPoolExecutor"  # a pool of threads, since Python 3.14


class Crew:
    """Threads of the run's own: each takes a prompt and asks it, until there is none left.

    One is hired with each prompt that is taken, up to `size`: so there are never more than prompts.
    """

    def __init__(self, batch: Batch, size: int) -> None:
        self._batch = batch
        self._size = size
        self._name = f"streamkit-parallel-{next(_numbers)}"
        self._threads: list[threading.Thread] = []
        self._variables = contextvars.copy_context()  # hooks see the request, or the trace, that the run was begun in
        self._lock = new_lock()  # guards _threads

    def start(self) -> None:
        """Hire the first; `StreamKitError` where the system gives no thread."""
        try:
            self._hire()
        except RuntimeError as e:
            raise StreamKitError(f"no thread can be started for the run: {e}") from e

    def join(self, seconds: float) -> None:
        """Wait for their end, at most so long; not on one of them."""
        _join(self._threads.copy(), seconds)

    def _hire(self) -> None:
        with self._lock:
            if len(self._threads) == self._size:
                return
            name = f"{self._name}-{len(self._threads) + 1}"
            thread = threading.Thread(target=self._variables.copy().run, args=(self._work,), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def _work(self) -> None:
        while (task := self._batch.take()) is not None:
            try:
                self._hire()
            except RuntimeError:
                self._size = len(self._threads)  # as many as the system gives
            self._batch.settle(self._batch.ask(task))


class Foreman:
    """One thread that gives prompts to an executor, at most `size` at a time.

    A prompt whose worker was lost is given to another; where the executor is broken by that, as a pool of processes is,
    it and all further prompts are asked on threads of this process.
    """

    def __init__(self, batch: Batch, size: int, executor: Executor) -> None:
        self._batch = batch
        self._size = size
        self._executor = executor
        self._lifeline = Lifeline() if not shares_memory(executor) else None
        self._lock = new_lock()  # guards all that follows
        self._futures: dict[int, tuple[Task, Future[Any]]] = {}
        self._lost: set[int] = set()  # prompts whose worker was lost once
        self._broken = False
        self._variables = contextvars.copy_context()
        self._name = f"streamkit-parallel-{next(_numbers)}"
        self._thread = threading.Thread(
            target=self._variables.copy().run, args=(self._work,), name=self._name, daemon=True
        )
        batch.on_stop = self._stopped
        if self._lifeline is not None:
            batch.on_end, batch.on_fork = self._lifeline.cut, self._lifeline.forked

    def start(self) -> None:
        """Begin; `StreamKitError` where the system gives no thread."""
        try:
            self._thread.start()
        except RuntimeError as e:
            raise StreamKitError(f"no thread can be started for the run: {e}") from e

    def join(self, seconds: float) -> None:
        """Wait for the end of its thread, at most so long. The executor is the user's to end."""
        _join([self._thread], seconds)

    def _work(self) -> None:
        while self._batch.has_room(self._size) and (task := self._batch.take()) is not None:
            self._give(task)

    def _give(self, task: Task) -> None:
        """Have a prompt asked, somewhere."""
        try:
            if self._broken:
                threading.Thread(target=self._ask_here, args=(task,), name=self._name, daemon=True).start()
            elif self._lifeline is None:
                self._follow(task, self._executor.submit(self._ask_here, task), 0.0)
            else:
                estimate = self._batch.pace(task)
                errand = errand_of(task, self._batch.ctx, self._lifeline.rope)
                self._follow(task, self._executor.submit(answer_errand, errand), estimate)
        except StreamKitError as refused:  # it cannot travel, or the run was stopped before its turn came
            self._settle(task, failed(refused))
        except BrokenExecutor as e:
            self._break(e)
            self._give(task)
        except Exception as e:  # shut down, as a rule
            self._settle(task, failed(_caused(f"the executor takes no more work: {e!r}", e)))

    def _follow(self, task: Task, future: Future[Any], estimate: float) -> None:
        with self._lock:
            self._futures[task.index] = task, future
        future.add_done_callback(functools.partial(self._landed, task, estimate))
        if self._batch.ctx.cancelled:  # in between
            self._stopped()

    def _ask_here(self, task: Task) -> None:
        item = self._variables.copy().run(self._batch.ask, task)
        self._batch.settle(item)

    def _landed(self, task: Task, estimate: float, future: Future[Any]) -> None:
        """Take what has become of a prompt, on a thread of the executor's."""
        with self._lock:
            self._futures.pop(task.index, None)
        try:
            answer = future.result(timeout=0)
        except CancelledError:
            self._settle(task, failed(self._batch.ctx.error() or Cancelled("cancelled by the executor")))
        except BrokenExecutor as e:
            self._break(e)
            self._give(task)
        except Exception as e:
            self._give_again(task, e)
        else:
            if isinstance(answer, Answer):  # what a thread asks, it has settled itself
                self._batch.heed(answer.headers)
                self._batch.learn(estimate, answer)
                self._settle(task, self._explained(answer))

    def _explained(self, answer: Answer) -> Answer:
        """A worker of another process knows only that the run has ended; here it is known why."""
        error = self._batch.ctx.error()
        if error is None or not isinstance(answer.error, Cancelled):
            return answer
        error.partial = answer.error.partial
        return attrs.evolve(answer, error=error)

    def _break(self, error: BrokenExecutor) -> None:
        with self._lock:
            first, self._broken = not self._broken, True
        if first:
            logger.warning("the executor is broken (%r): the rest of the batch is asked on threads", error)

    def _give_again(self, task: Task, error: Exception) -> None:
        """Once: what was lost twice may be what kills its workers."""
        with self._lock:
            again = task.index not in self._lost
            self._lost.add(task.index)
        stopped = self._batch.ctx.error()
        # On a thread of its own: it may have to wait for its turn, and this one is the executor's.
        if stopped is not None or not (again and self._start(self._give, task)):
            lost = _caused(f"the executor lost the prompt: {error!r}", error)
            self._settle(task, failed(stopped or lost))

    def _start(self, work: Callable[..., object], *arguments: Any) -> bool:
        """Do something on a thread of its own; False where the system gives none."""
        try:
            threading.Thread(target=work, args=arguments, name=self._name, daemon=True).start()
        except RuntimeError:
            return False
        return True

    def _settle(self, task: Task, answer: Answer) -> None:
        self._batch.settle(item_of(task, answer))

    def _stopped(self) -> None:
        """Call back what has not begun; workers of other processes are told first. Does not block."""
        with self._lock:
            futures = list(self._futures.values())
        if self._lifeline is not None:
            self._lifeline.cut()
        # On a thread of its own, also as a cancelled future has its item told to on_progress at once.
        if futures and not self._start(self._leave, futures, GRACE):
            self._leave(futures, 0.0)

    def _leave(self, futures: list[tuple[Task, Future[Any]]], seconds: float) -> None:
        if self._lifeline is None:
            for _, future in futures:
                future.cancel()  # those that run end by their context
            return
        # Workers of other processes are given a moment to send what they have, before their futures are cancelled: Dask
        # would then drop it.
        wait([future for _, future in futures], timeout=seconds)
        for task, future in futures:
            future.cancel()
            self._settle(task, failed(self._batch.ctx.error() or Cancelled("cancelled")))


def _caused(message: str, cause: BaseException) -> StreamKitError:
    error = StreamKitError(message)
    error.__cause__ = cause
    return error


def _join(threads: list[threading.Thread], seconds: float) -> None:
    until = time.monotonic() + seconds
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(max(0.0, until - time.monotonic()))
