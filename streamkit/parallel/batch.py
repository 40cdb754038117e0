"""Batch: what the threads of a run share: prompts going out, items coming in, and how it all ends.

Who holds whom: the threads and the watchdog hold the batch; the user's `ParallelRun` holds it too. So nothing here may
refer to the `ParallelRun`, or a run that nobody holds any more would not be noticed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Literal

from streamkit import lazy_attrs as attrs
from streamkit.channel import Pipe
from streamkit.client import ChatBuilder
from streamkit.context import Context
from streamkit.errors import Cancelled, ConnectionLost, StreamKitError
from streamkit.forks import new_lock
from streamkit.hooks import Hooks, RetryInfo
from streamkit.parallel.announcer import Announcer
from streamkit.parallel.answer import Answer, ask, broken, failed
from streamkit.parallel.checkpoint import Checkpoint
from streamkit.parallel.chunk_feed import ChunkFeed
from streamkit.parallel.digest import request_digest
from streamkit.parallel.item import ParallelItem
from streamkit.parallel.progress import ParallelProgress, Tally
from streamkit.parallel.prompts import Prompts, Task
from streamkit.parallel.rate_limit import Pacer, estimated_tokens
from streamkit.stream import ChatStream
from streamkit.watchdog import watchdog

__all__ = ["Batch", "OnError"]

logger = logging.getLogger("streamkit")

OnError = Literal["collect", "raise", "cancel_rest"]


class Batch:
    """A run as its threads see it.

    `items` has the log of all items, in the order of their end; it is closed when the run has ended.
    """

    def __init__(
        self,
        prompts: Prompts,
        *,
        ctx: Context | None,
        on_error: OnError,
        pacer: Pacer,
        checkpoint: Checkpoint | None,
        on_progress: Callable[[ParallelProgress], object] | None,
    ) -> None:
        self.ctx = (ctx or Context()).child()
        self.items: Pipe[ParallelItem] = Pipe(logs=True)
        self.feed = ChunkFeed()
        self.failure: StreamKitError | None = None
        """The first error, in time."""
        self.stopped_by_failure = False
        self.on_stop: Callable[[], object] = _nothing
        """Called, on some thread, when the run is cancelled or its time is up."""
        self.on_end: Callable[[], object] = _nothing
        """Called, on some thread, when the last item has come."""
        self.on_fork: Callable[[], object] = _nothing
        """Called in a forked child."""
        self.raises = on_error == "raise"
        """Whether readers raise."""
        self._prompts = prompts
        self._on_error = on_error
        self._pacer = pacer
        self._checkpoint = checkpoint
        self._announcer = Announcer(on_progress) if on_progress is not None else None
        self._pulling = threading.Lock()  # held while the prompts are asked for the next one, however long that takes
        self._detach: Callable[[], object] = _nothing
        self._lock = new_lock()  # guards all that follows; nothing waits under it
        self.room = threading.Condition(self._lock)
        """Told when fewer prompts are running, and when the run is stopped."""
        self._running: dict[int, Task] = {}
        self._digests: dict[int, str] = {}
        self._tally = Tally()
        self._exhausted = False
        self._ended = False

    def start(self) -> None:
        """Begin to keep time; `StreamKitError` where no thread can be started."""
        self._detach = self.ctx.attach(self)
        try:
            watchdog.watch(self)
        except RuntimeError as e:
            self._detach()
            raise StreamKitError(f"no thread can be started for the run: {e}") from e
        if self.ctx.cancelled:  # before attach
            watchdog.post(self.cancelled)

    def give_up(self) -> None:
        """Let go of everything: it could not begin."""
        self.ctx.cancel("it could not begin")
        self._exhausted = True
        self._end_if_over()

    # -- how many

    def __len__(self) -> int:
        total = self._prompts.total
        return self._prompts.read if total is None else total

    @property
    def done(self) -> int:
        """How many have an outcome."""
        return self._tally.done

    def has_room(self, size: int) -> bool:
        """Wait until fewer than `size` prompts are running, or the run is stopped; False when it has ended."""
        with self.room:
            self.room.wait_for(lambda: len(self._running) < size or self.ctx.cancelled or self._ended)
            return not self._ended

    # -- a worker's side

    def take(self) -> Task | None:
        """Give the next prompt that is to be asked; None when there is none. Blocks while the prompts are slow.

        What needs no asking (an answer in the checkpoint, a prompt that is none, the rest of a cancelled batch) is
        settled on the way.
        """
        while (task := self._pull()) is not None:
            item = self._without_asking(task)
            if item is None:
                return task
            self.settle(item)
        self._end_if_over()
        return None

    def ask(self, task: Task) -> ParallelItem:
        """Ask a prompt, when its turn has come; blocks to the end of its answer. Never raises."""
        began = time.monotonic()
        try:
            estimate = self.pace(task)
            answer = self._ask(task)
            self.learn(estimate, answer)
        except StreamKitError as stopped:  # before its turn came
            answer = failed(stopped)
        except BaseException as bug:
            answer = broken("an internal error ended the prompt", bug, time.monotonic() - began)
        return item_of(task, answer)

    def pace(self, task: Task) -> float:
        """Wait for the prompt's turn; give the tokens that it is expected to use. Raises when the run is stopped."""
        assert task.chat is not None  # only such are asked
        estimate = estimated_tokens(task.chat.request)
        self._pacer.admit(estimate, self.ctx)
        return estimate

    def learn(self, estimate: float, answer: Answer) -> None:
        """Take in what an answer has used."""
        self._pacer.used(estimate, answer.response)
        if answer.error is not None:
            self._pacer.refused(answer.error)

    def heed(self, headers: Mapping[str, str]) -> None:
        """Take in what the headers of an answer say of the provider's limits."""
        self._pacer.answered(headers)

    def settle(self, item: ParallelItem) -> None:
        """Add an item, once it is safe in the checkpoint. The first one of a prompt counts.

        A whole answer that comes after its prompt was given up still enters the checkpoint: it is paid for.
        """
        self._save(item)
        with self._lock:
            if self._running.pop(item.index, None) is None:
                return
            self._tally.end(item)
            self.items.put_many([item])
            first = item.error is not None and self.failure is None
            if first:
                self.failure = item.error
            self._note_progress()
            self.room.notify_all()
        if first and self._on_error != "collect" and not self.ctx.cancelled:
            self.stopped_by_failure = True
            self.ctx.cancel(f"prompt {item.index} failed, and on_error is {self._on_error!r}")
        self._tell()
        self._end_if_over()

    def _pull(self) -> Task | None:
        with self._pulling:
            task = None if self._exhausted or self._ended or self._stops_reading() else self._prompts.next()
            with self._lock:
                if task is None or self._ended or self._stops_reading():
                    task, self._exhausted = None, True
                else:
                    self._running[task.index] = task
                    self._note_progress()
            if task is None:
                self._prompts.drop()  # outside the lock: what a generator then does is the user's code
        self._tell()
        return task

    def _stops_reading(self) -> bool:
        """Whether it is stopped, and the prompts are better left alone: they may be endless, or slow."""
        return self.ctx.cancelled and not self._prompts.sized

    def _note_progress(self) -> None:
        """Note it for the observer; under the lock, so that it is told in order."""
        if self._announcer is not None:
            self._announcer.note(self._tally.progress(len(self), len(self._running)))

    def _tell(self) -> None:
        if self._announcer is not None:
            self._announcer.tell()

    def _without_asking(self, task: Task) -> ParallelItem | None:
        try:
            return self._restored(task) or self._unasked(task)
        except StreamKitError as refused:  # it could not be told from others in the checkpoint
            return item_of(task, failed(refused))
        except Exception as bug:  # the worker goes on, or the others would wait for this one's prompts for ever
            return item_of(task, broken("an internal error ended the prompt", bug))

    def _restored(self, task: Task) -> ParallelItem | None:
        if self._checkpoint is None or task.chat is None:
            return None
        digest = request_digest(task.chat)
        self._digests[task.index] = digest
        return self._checkpoint.take(task.index, digest)

    def _unasked(self, task: Task) -> ParallelItem | None:
        error = task.error or self.ctx.error()
        return None if error is None else item_of(task, failed(error))

    def _ask(self, task: Task) -> Answer:
        assert task.chat is not None  # only such are asked
        tape = self.feed.tape(task.index)
        answer = ask(
            self._observed(task.chat),
            self.ctx,
            opened=lambda stream: self._opened(task.index, stream),
            chunk=tape.add,
        )
        if answer.response is not None:
            tape.complete(answer.response.text)
        self.feed.end(tape)
        return answer

    def _observed(self, chat: ChatBuilder) -> ChatBuilder:
        """With an ear for refusals that the client answers by trying again: they concern all threads at once."""

        def retried(info: RetryInfo) -> None:
            self._pacer.refused(info.error, info.delay)

        settings = chat.settings  # hooks() would add it after the user's, which may be slow
        return attrs.evolve(chat, settings=attrs.evolve(settings, hooks=Hooks(on_retry=retried) | settings.hooks))

    def _opened(self, index: int, stream: ChatStream) -> None:
        self.heed(stream.headers)
        with self._lock:
            self._tally.open(index, stream)

    def _save(self, item: ParallelItem) -> None:
        digest = self._digests.get(item.index)
        complete = item.response is not None and item.response.complete
        if self._checkpoint is None or digest is None or not complete or item.from_checkpoint:
            return
        try:
            self._checkpoint.write(item, digest)
        except Exception as e:
            # To go on would be to pay for answers that the next run does not know of.
            logger.exception("the checkpoint cannot be written: the run is stopped")
            self.ctx.cancel(f"the checkpoint cannot be written: {e}")
        else:
            del self._digests[item.index]

    # -- the end

    def _end_if_over(self) -> None:
        with self._lock:
            over = (self._exhausted or self._stops_reading()) and not self._running and not self._ended
            if not over:
                return
            self._ended = True
            self.room.notify_all()
        self.on_end()
        if self._checkpoint is not None:
            self._checkpoint.close()
        self.feed.close(discard=self._discards())
        if self._announcer is None or self.ctx.cancelled:
            self._close()  # on_progress, which may be slow, holds nobody up
        else:
            self._announcer.note(self._close)
            self._announcer.tell()

    def _close(self) -> None:
        watchdog.unwatch(self)
        self._detach()
        self.items.close()

    def _discards(self) -> bool:
        """Whether chunks that nobody has read yet are to be dropped: the user has cancelled."""
        return isinstance(self.ctx.error(), Cancelled) and not self.stopped_by_failure

    # -- the watchdog's side

    def alert(self) -> None:
        """The context is being cancelled, perhaps in a signal handler."""
        if not self.stopped_by_failure:
            self.feed.alert()

    def cancelled(self) -> None:
        """The context has ended: free all that wait."""
        if self._discards():
            self.feed.close(discard=True)
        else:
            self.feed.lift()
        with self._lock:
            self.room.notify_all()
            ended = self._ended
        self.on_stop()
        if ended:
            self._close()
        else:
            self._end_if_over()

    def abandon(self) -> None:
        """Nobody can read the run any more."""
        self.ctx.cancel("the run was dropped before its end")

    def check(self, now: float) -> float | None:
        """Stop when the deadline has passed; give when to look again."""
        if self.ctx.deadline is None or isinstance(self.ctx.error(), Cancelled):
            return None
        if now < self.ctx.deadline:
            return self.ctx.deadline
        self.cancelled()
        return None

    def forked(self) -> None:
        """In a child process: the threads are not here; what was running is lost here, and goes on in the parent."""
        self.items.forked()
        self.on_fork()
        if self._checkpoint is not None:
            self._checkpoint.forked()
        self.feed.forked()
        self._detach()
        for task in self._running.values():
            error = ConnectionLost("the process was forked: the run lives on in the parent only", retryable=False)
            self.items.put_many([item_of(task, failed(error))])
            self.failure = self.failure or error
        self._ended = self._exhausted = True
        self.items.close()


def item_of(task: Task, answer: Answer) -> ParallelItem:
    """Give the item of a prompt and its answer."""
    return ParallelItem(
        index=task.index,
        prompt=task.prompt,
        text=answer.response.text if answer.response is not None else "",
        response=answer.response,
        error=answer.error,
        elapsed=answer.elapsed,
    )


def _nothing() -> None:
    pass
