"""stream_parallel, and the ParallelRun that it gives: the reader's side of a batch."""

from __future__ import annotations

import contextlib
import operator
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from os import PathLike
from types import NoneType, TracebackType

from streamkit.client import ChatBuilder, Client
from streamkit.context import Context
from streamkit.errors import Cancelled, ConfigError, StreamKitError, require
from streamkit.parallel.batch import Batch, OnError
from streamkit.parallel.checkpoint import Checkpoint
from streamkit.parallel.chunk_feed import ChunkFeed, Cursor
from streamkit.parallel.crew import Crew
from streamkit.parallel.foreman import Foreman
from streamkit.parallel.item import ParallelItem
from streamkit.parallel.progress import ParallelProgress
from streamkit.parallel.prompts import Prompts
from streamkit.parallel.rate_limit import Pacer, RateLimit
from streamkit.parallel.route import route_to
from streamkit.types.chunks import Chunk
from streamkit.types.response import ChatResponse
from streamkit.watchdog import watchdog

__all__ = ["ParallelRun", "stream_parallel"]

CLOSE_WAIT = 1.0
"""Seconds that leaving a `with` block waits for the threads."""


def stream_parallel(
    client: Client | ChatBuilder,
    prompts: Iterable[str | ChatBuilder],
    *,
    model: str | None = None,
    max_workers: int = 8,
    executor: Executor | None = None,
    on_error: OnError = "collect",
    rate_limit: RateLimit | None = None,
    checkpoint: str | PathLike[str] | None = None,
    on_progress: Callable[[ParallelProgress], object] | None = None,
    ctx: Context | None = None,
) -> ParallelRun:
    """Run one stream per prompt on a thread pool; returns at once.

    Args:
        client: A client, or a builder as the template to which each text is added by `.user()`.
        prompts: Texts, and builders, which are asked as they are. Read lazily, on a thread of the pool, one when a
            worker is free for it; so it may be endless, or slow. What it raises ends the batch, as an item of its own.
        model: For texts with a `Client`; with a template, instead of the template's.
        max_workers: Streams at a time.
        executor: Replaces the pool, and stays yours to shut down. `ProcessPoolExecutor` and Dask's
            `client.get_executor()`, too: clients are rebuilt there, and keys are looked up there, in the environment
            of the workers; a request with a key in its headers or options fails with `ConfigError`, unsent. For such
            workers this process listens on a port, of the address by which it reaches them: there the end of the run
            is felt, however it ends, and chunks come in once they are read. A prompt whose worker was lost is asked
            again.
        on_error: "collect" keeps going. "raise" stops the rest at the first error, and every reader raises it where it
            comes to an item that has failed or was stopped. "cancel_rest" stops the rest and keeps the items.
        rate_limit: Requests and tokens a minute. Without it nothing is paced, but after a 429 all threads wait as long
            as the provider asks.
        checkpoint: A JSON-lines file. Complete answers are added to it, each before anybody sees its item; prompts
            answered in it are not sent again, wherever they now stand in the batch. A prompt that was changed, or is
            asked of another model or with other settings, is sent; failed ones are, too. One run at a time may use it.
            Prompts and answers are in it in clear, keys are not.
        on_progress: Told each change, one after the other, on the run's threads; what it raises is logged. The last
            is told before the run ends, unless it was cancelled. It must not wait for the run.
        ctx: Ends all of it.

    Raises:
        ConfigError: A prompt of a list is none, or needs a model; the checkpoint cannot be used.
    """
    if not isinstance(max_workers, int) or max_workers < 1:
        raise ConfigError(f"max_workers={max_workers!r}: must be a whole number, 1 or more")
    if on_error not in ("collect", "raise", "cancel_rest"):
        raise ConfigError(f"on_error={on_error!r}: use 'collect', 'raise' or 'cancel_rest'")
    require("executor", executor, (Executor, NoneType), "give a concurrent.futures.Executor")
    require("rate_limit", rate_limit, (RateLimit, NoneType), "give one, such as RateLimit(requests_per_minute=60)")
    if on_progress is not None and not callable(on_progress):
        raise ConfigError(f"on_progress={on_progress!r}: give a function that takes a ParallelProgress")
    read = Prompts(client, prompts, model)
    saved = Checkpoint(checkpoint) if checkpoint is not None else None
    batch = Batch(
        read,
        ctx=ctx,
        on_error=on_error,
        pacer=rate_limit.pacer if rate_limit is not None else Pacer(heeds_headers=False),
        checkpoint=saved,
        on_progress=on_progress,
    )
    try:
        workers: Crew | Foreman
        if executor is None:
            workers = Crew(batch, max_workers)
        else:
            workers = Foreman(batch, max_workers, executor, route_to(executor))
        run = ParallelRun(batch, workers)  # before they start: so there is always somebody who can drop it
        batch.start()
        workers.start()
    except BaseException:
        batch.give_up()
        raise
    return run


class ParallelRun:
    """A batch in progress; work has begun when you hold it.

    Read it in one or several ways, from any thread, as often as you like, also after its end: each reading begins with
    the first item. For that the run keeps all its items. Leaving `with` cancels what is left, and so does dropping the
    run with all that reads it.
    """

    def __init__(self, batch: Batch, workers: Crew | Foreman) -> None:
        """Internal: `stream_parallel` makes it."""
        self._batch = batch
        self._workers = workers
        self._post = watchdog.post  # kept: at interpreter exit a module's names may be gone

    def __iter__(self) -> Iterator[ParallelItem]:
        """Give items in prompt order, each as soon as it and those before it are done.

        Blocks for the next. Never raises under `on_error="collect"`.
        """
        early: dict[int, ParallelItem] = {}
        due = 0
        for item in self._items():
            early[item.index] = item
            while due in early:
                yield self._checked(early.pop(due))
                due += 1

    def __len__(self) -> int:
        """Give the number of prompts: of an iterable without a length those read so far, until it is exhausted."""
        return len(self._batch)

    def as_completed(self) -> Iterator[ParallelItem]:
        """Give items as they finish; blocks for the next."""
        for item in self._items():
            yield self._checked(item)

    def chunks(self) -> Iterator[tuple[int, Chunk]]:
        """Give the chunks of all streams as they arrive, each with its prompt's index; blocks for the next.

        Begins with the first chunk of each stream, whenever it is asked for; of what came long before, neighbouring
        pieces of text come as one chunk. Answers from a checkpoint are not repeated. A reader that is 10,000 chunks
        behind holds the streams up, unless its thread waits for items meanwhile. A cancel ends it at once; but for
        that, the text of a prompt's chunks is its item's text.

        A prompt whose worker was lost begins again: the first chunk of its next answer, of index 0, has
        `metadata["attempt"]` (2, 3, …), and what came before of that prompt is void. From workers in other processes
        chunks come as they arrive, too; from those that cannot reach this one, or whose Dask cluster encrypts, they
        come when their answer is whole.
        """
        return self._chunks(self._batch.feed)

    def texts(self) -> list[str]:
        """Block to the end; give the texts in prompt order, partial where a stream failed."""
        return [item.text for item in self._all()]

    def err(self) -> StreamKitError | None:
        """Block to the end; give the first error in prompt order, or None. Never raises.

        Where the first error stopped the rest, the items that were stopped do not count.
        """
        errors = [item.error for item in self._waited() if item.error is not None]
        if self._batch.stopped_by_failure:
            errors = [error for error in errors if not isinstance(error, Cancelled)] or errors
        return errors[0] if errors else None

    def result(self) -> list[ChatResponse]:
        """Block to the end; give all responses in prompt order, or raise the first error in prompt order."""
        items = self._all()
        error = self.err()
        if error is not None:
            raise error.with_traceback(None)  # raised again, it would gather the frames of every reader
        return [item.response for item in items if item.response is not None]

    def cancel(self, reason: str | None = None) -> None:
        """Stop running streams and those not yet begun; their items carry `Cancelled`. Returns at once; idempotent.

        Any thread, signal handler or finalizer may call it. Prompts of a list that were not read yet become items,
        too; an iterable without a length is read no further.
        """
        if not self._batch.items.closed:
            self._batch.ctx.cancel(reason)

    def __enter__(self) -> ParallelRun:
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        """Cancel what is left, and wait up to a second for the end: then the checkpoint is free for the next run."""
        self.cancel("the with block was left")
        until, items = time.monotonic() + CLOSE_WAIT, self._batch.items
        items.wait_changed(lambda: items.closed, CLOSE_WAIT)
        self._workers.join(max(0.0, until - time.monotonic()))

    def __del__(self) -> None:
        # A finalizer may run in the middle of any line: it takes no lock and does no more than this.
        if not self._batch.items.closed:
            self._post(self._batch.abandon)

    def __repr__(self) -> str:
        state = "ended" if self._batch.items.closed else "live"
        return f"<ParallelRun {state} {self._batch.done} of {len(self)} done>"

    def _items(self) -> Iterator[ParallelItem]:
        """In the order of their end; blocks for the next."""
        pipe = self._batch.items
        log = pipe.log
        assert log is not None  # it is one that logs
        at = 0
        while True:
            if len(log) <= at and not pipe.closed:
                self._batch.feed.lift(threading.get_ident())  # chunks that this thread does not read now
            with self._ended_by_an_interrupt():
                if not pipe.wait_logged(at):
                    return
            yield log[at]
            at += 1

    @contextlib.contextmanager
    def _ended_by_an_interrupt(self) -> Iterator[None]:
        """Ctrl-C while one waits for the run ends it, though frames hold it: a pool's `with` waits for its tasks."""
        try:
            yield
        except KeyboardInterrupt:
            self.cancel("the wait for it was interrupted")
            raise

    def _waited(self) -> list[ParallelItem]:
        """All items in prompt order."""
        return sorted(self._items(), key=operator.attrgetter("index"))

    def _all(self) -> list[ParallelItem]:
        items = self._waited()
        for item in items:
            self._checked(item)
        return items

    def _checked(self, item: ParallelItem) -> ParallelItem:
        """The item itself; under `on_error="raise"` the first error, in time, instead of one that has failed."""
        failure = self._batch.failure
        if item.error is not None and self._batch.raises and failure is not None:
            raise failure.with_traceback(None)
        return item

    def _chunks(self, feed: ChunkFeed) -> Iterator[tuple[int, Chunk]]:
        cursor: Cursor = feed.open()
        try:
            with self._ended_by_an_interrupt():
                yield from cursor.pairs()
        finally:
            feed.leave(cursor)
        failure = self._batch.failure
        if self._batch.raises and failure is not None:
            raise failure.with_traceback(None)
