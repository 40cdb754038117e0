"""Run: a stream as its producer thread and the watchdog see it, and what the thread does.

The thread and the watchdog hold the `Run`, which has the pipe, and nothing that the user holds: see `stream`.
"""

from __future__ import annotations

import contextvars
import functools
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from streamkit import errors
from streamkit import lazy_attrs as attrs
from streamkit.channel import Pipe
from streamkit.context import Context
from streamkit.errors import Cancelled, ConnectionLost, ContextError, StreamKitError, without_frames
from streamkit.hooks import Hooks, observe
from streamkit.producer import Production
from streamkit.settings import Timeouts
from streamkit.stats import Stats
from streamkit.transport.slot import SocketSlot
from streamkit.types.chunks import Chunk
from streamkit.types.response import ChatResponse, Fold, StepState, StopCause
from streamkit.watchdog import watchdog

__all__ = ["Joinable", "Mirror", "Run", "Source", "Upstream", "fill", "on_a_thread", "produce"]

logger = logging.getLogger("streamkit")

Source = Callable[["Run"], Iterable["list[Chunk]"]]
"""What a stream is made of: given the running stream (a `Scope` of calls), it gives batches of chunks."""


class Joinable(Protocol):
    """What runs a stream."""

    def join(self, seconds: float) -> None:
        """Wait for its end, but not longer."""


class Upstream(Protocol):
    """A stream that another one is made of, as that one sees it."""

    @property
    def partial(self) -> ChatResponse:
        """The response so far; `complete` once it is."""

    def leave(self, reason: str | None) -> None:
        """The other one has ended: nobody needs this any more. Idempotent; never blocks."""


_HANDING_OVER = math.inf
"""Stands for the time of the last chunk while one is being handed over, which may take as long as the reader likes."""

_STEP_ASIDE = 0.00005
"""Seconds that the producer sleeps after handing over the first chunks. A reader that was just woken needs as long to
get the interpreter's lock; from a producer that goes on reading a fast answer it gets it after 5 ms only."""


class Mirror(Fold):
    """Has another stream's response for its own: whatever is made of the chunks, the outcome is kept."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__()
        self._upstream = upstream

    def add(self, chunks: Iterable[Chunk]) -> None:
        """Count the characters that were passed on."""
        self.chars += sum(len(chunk.content) for chunk in chunks if chunk.type == "text")

    def response(self, *, complete: bool = False) -> ChatResponse:
        """Give the other's response; `complete` only where this stream is, too."""
        whole = self._upstream.partial
        return whole if whole.complete == complete else attrs.evolve(whole, complete=complete, stop_cause="none")


class Run:
    """A stream as its producer and the watchdog see it; the `Scope` of the calls in it."""

    def __init__(
        self,
        pipe: Pipe[Chunk],
        *,
        ctx: Context | None,
        timeouts: Timeouts,
        hooks: Hooks,
        accumulate: bool,
        max_headers: int | None,
        on_end: Callable[[ChatResponse], object] | None,
        on_settled: Callable[[ChatResponse], object] | None,
        upstream: Upstream | None,
        drains: bool,
    ) -> None:
        self.pipe = pipe
        self.slot = SocketSlot(max_headers=max_headers)
        self.fold = Fold(keep=accumulate) if upstream is None else Mirror(upstream)
        self.stats = Stats(self.fold)
        self.headers: Mapping[str, str] = {}
        self.request_id: str | None = None
        self.ctx = ctx
        self._timeouts = timeouts
        self._hooks = hooks
        self._on_end = on_end or _nothing
        self._on_settled = on_settled or _nothing
        self._upstream = upstream
        self._drains = drains
        self._began = time.monotonic()
        self._deadline = _earlier(ctx.deadline if ctx is not None else None, _after(self._began, timeouts.total))
        self._last_chunk: float | None = None
        self._own_work = 0  # how deep in work that is not the provider's; chunks may be handed over meanwhile
        self._reason: str | None = None
        self._decided = False  # whether the producer itself decided the outcome
        self._deferred: list[Callable[[], object]] = []
        self._detach: Callable[[], None] = _nothing
        self._inner: Context | None = None
        self._production: Joinable | None = None
        if ctx is not None:
            self.pipe.ended_by = lambda: isinstance(ctx.error(), Cancelled)

    # -- the caller's side

    def start(self, source: Source, name: str) -> None:
        """Run `source` on a producer thread."""
        if self.ctx is not None:
            error = self.ctx.error()
            if error is not None:
                error.partial = self.fold.response()
                self._claim(error, error.partial)
                self.pipe.publish()
                raise error
        production = on_a_thread(name, produce, self, source)
        try:
            self.attend(production)
            production.start()
        except RuntimeError as e:
            self._unwatch()
            raise StreamKitError(f"no thread can be started for the stream: {e}") from e

    def attend(self, production: Joinable) -> None:
        """Be told of the context's end, and watched; RuntimeError where the system gives no thread for that."""
        self._production = production
        if self.ctx is not None:
            self._detach = self.ctx.attach(self)
        watchdog.watch(self)
        if self.ctx is not None and self.ctx.cancelled:  # before it was attached
            watchdog.post(self.cancelled)

    def wait_open(self) -> None:
        """Wait until the answer is open, or has failed."""
        self.pipe.wait_changed(lambda: self.pipe.opened or self.pipe.closed)

    def cancel(self, reason: str | None = None) -> None:
        """End the run; signal-safe: plain stores, `SimpleQueue.put`, and `Context.cancel`, which does no more."""
        if self._reason is None:
            self._reason = reason
        if self._drains:
            watchdog.post(self._drain)
            return
        self.alert()
        if self._inner is not None:
            self._inner.cancel(self._reason)  # now, not when the watchdog comes to it: so no tool is begun after this
        if not self.pipe.closed:  # else the message would keep the run alive until another stream begins
            watchdog.post(self._cancel)

    @property
    def live(self) -> bool:
        """Whether it has no outcome yet."""
        return not self.pipe.closed

    def join(self, seconds: float) -> None:
        """Wait for the end of the thread, but not longer."""
        if self._production is not None:
            self.pipe.wait_changed(lambda: self.pipe.closed, seconds)
            self._production.join(seconds)

    # -- the watchdog's side

    def alert(self) -> None:
        """Stop the readers at their next item; plain stores only."""
        self.pipe.cut = True
        self.pipe.alert = True

    def cancelled(self) -> None:
        """The context was cancelled."""
        error = self.ctx.error() if self.ctx is not None else None
        self._end(error or self._wish(), discard=not isinstance(error, errors.DeadlineExceeded))

    def _cancel(self) -> None:
        self._end(self._wish(), discard=True)

    def _wish(self) -> Cancelled:
        return Cancelled(f"cancelled: {self._reason}" if self._reason else "cancelled")

    def _drain(self) -> None:
        self.pipe.lift()
        self._end_upstream()

    def abandon(self) -> None:
        """Nobody can read the stream any more."""
        self._end(Cancelled("cancelled: the stream was dropped before its end"), discard=True)

    def check(self, now: float) -> float | None:
        """End the run if one of its clocks has run out; give when to look again."""
        if self.pipe.closed:
            return None
        if self._deadline is not None and now >= self._deadline:
            self._end(errors.DeadlineExceeded(self._late()), discard=False)
            return None
        limits, last = self._timeouts, self._last_chunk  # read once: the producer may store another meanwhile
        if self._own_work:
            due = _earlier(_after(now, limits.first_chunk), _after(now, limits.stall))  # to look again
        elif last is None:
            due = _after(self._began, limits.first_chunk)
            if due is not None and now >= due:
                self._end(_no_chunk(errors.FirstChunkTimeout, "no chunk came", limits.first_chunk, "first_chunk"))
                return None
        elif last is _HANDING_OVER:
            due = _after(now, limits.stall)  # the reader may be slow; the provider is not to blame
        else:
            due = _after(last, limits.stall)
            if due is not None and now >= due:
                self._end(_no_chunk(errors.StreamStalled, "no further chunk came", limits.stall, "stall"))
                return None
        # The first chunk may shorten what is waited for.
        stall = _after(now, limits.stall) if last is None else None
        return _earlier(_earlier(due, stall), self._deadline)

    def _late(self) -> str:
        if self.ctx is not None and self._deadline == self.ctx.deadline:
            return "the context's deadline passed: allow more time or ask for less"
        return f"the answer took longer than {self._timeouts.total} s: raise Timeouts(total=...) or ask for less"

    def _end(self, error: StreamKitError, *, discard: bool = False) -> None:
        """Settle from outside and wake the producer; what it had decided just before stands."""
        error.partial = self.fold.response()
        error.attempts = self.stats.attempts
        self._claim(error, error.partial)
        self.stats.end()
        self._end_upstream()
        self.pipe.publish(discard=discard)
        self.slot.interrupt()
        if self._inner is not None:
            self._inner.cancel("the stream has ended")
        self._unwatch()

    def forked(self) -> None:
        """In a child process: the thread is not here, so nothing more will come."""
        self.pipe.forked()
        self._detach()
        error = ConnectionLost("the process was forked: the stream lives on in the parent only", retryable=False)
        error.partial = self.fold.response()
        self._claim(error, error.partial)
        self.pipe.publish()

    def _claim(self, error: StreamKitError | None, response: ChatResponse) -> bool:
        """Decide the outcome, once."""
        first = self.pipe.claim(error, response if error is None else None)
        if first:
            self._on_end(response)
        return first

    # -- the producer's side

    def pause(self, seconds: float) -> None:
        """Sleep, unless the stream ends meanwhile."""
        if self.pipe.cut or self.pipe.wait_changed(lambda: self.pipe.closed, seconds):
            # Perhaps before the watchdog comes to the cancel; so it must say the same.
            raise (self.ctx.error() if self.ctx is not None and self._reason is None else None) or self._wish()

    def remaining(self) -> float | None:
        """The seconds to the deadline, or None."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def answered(self, headers: Mapping[str, str], request_id: str | None) -> None:
        """Note the answer's headers."""
        self.headers, self.request_id = headers, request_id
        self.pipe.open()

    def waits(self) -> None:
        """Let `get_stream` return, if the first chunks have not done so."""
        self.pipe.announce()

    def retried(self, attempt: int) -> None:
        """Count a retry."""
        self.stats.attempts = attempt + 1

    def ended(self) -> StreamKitError | None:
        """The error that has ended the run from outside, or None."""
        claimed = self.pipe.claimed
        return claimed[0] if claimed is not None else None

    def follow(self, state: StepState) -> None:
        """Learn where a step reports."""
        self.fold.state = state

    def defer(self, fn: Callable[[], object]) -> None:
        """Call `fn` after the stream has settled."""
        self._deferred.append(fn)

    def context(self) -> Context:
        """Give a context that ends when the stream does, whoever ends it."""
        if self._inner is None:
            self._inner = (self.ctx or Context()).child()
            self.defer(self._inner.cancel)
            if self.pipe.cut or self.pipe.claimed is not None:
                self._inner.cancel(self._reason)
        return self._inner

    def response(self) -> ChatResponse:
        """Give what has been handed over so far."""
        return self.fold.response()

    def next_step(self) -> None:
        """Begin the next step of the fold."""
        self.fold.next_step()

    def stopped(self, cause: StopCause) -> None:
        """Note why a loop ends."""
        self.fold.stop_cause = cause

    @contextmanager
    def own_work(self) -> Iterator[None]:
        """Stop the clocks that wait for chunks."""
        self._own_work += 1
        try:
            yield
        finally:
            if self._last_chunk is not None:
                self._last_chunk = time.monotonic()
            else:
                self._began = time.monotonic()  # from here on the first chunk is waited for
            self._own_work -= 1

    def deliver(self, batch: list[Chunk]) -> bool:
        """Fold and hand over a batch; False when the stream has ended."""
        if not batch:
            return True
        if self.pipe.closed:
            return False
        self.fold.add(batch)
        first, self._last_chunk = self._last_chunk is None, _HANDING_OVER
        self.stats.note(len(batch), time.monotonic())
        if self._hooks.on_chunk is not None:
            for chunk in batch:
                observe(self._hooks.on_chunk, chunk)
                if self.pipe.cut or self.pipe.closed:
                    break  # a slow observer is not to hold the thread for chunks that nobody gets
        if self._hooks.on_step_finish is not None and batch[-1].type == "step_finish":
            observe(self._hooks.on_step_finish, self.fold.response().steps[-1])
        delivered = self.pipe.put_many(batch)
        if first:
            time.sleep(_STEP_ASIDE)
        self._last_chunk = time.monotonic()
        return delivered

    def finish(self) -> None:
        """Settle as complete."""
        response = self.fold.response(complete=True)
        if self._claim(None, response):
            self._decided = True
            _guarded(self._on_settled, response)
            _guarded(observe, self._hooks.on_finish, response)
            self._publish()

    def fail(self, error: StreamKitError) -> None:
        """Settle as failed."""
        without_frames(error)
        error.partial = self.fold.response()
        error.attempts = self.stats.attempts
        if self._claim(error, error.partial):
            self._decided = True
            _guarded(self._on_settled, error.partial)
            _guarded(self._observe_failure, error)
            self._publish()

    def _publish(self) -> None:
        self.stats.end()
        self.pipe.publish(discard=self.pipe.cut)
        self._unwatch()

    def tell_end(self) -> None:
        """Tell the observers of an end that came from outside: they never run on the watchdog's thread."""
        claimed = self.pipe.claimed
        if self._decided or claimed is None:
            return
        error = claimed[0]
        self._on_settled(error.partial)
        self._observe_failure(error)

    def _observe_failure(self, error: StreamKitError) -> None:
        if isinstance(error, ContextError):
            observe(self._hooks.on_cancel, error)
        else:
            observe(self._hooks.on_error, error)

    def clean_up(self) -> None:
        """Let go of everything that the run had taken."""
        self._unwatch()
        while self._deferred:
            self._deferred.pop()()
        self._end_upstream()
        self.slot.release()

    def _end_upstream(self) -> None:
        if self._upstream is not None:
            self._upstream.leave(self._reason)

    def _unwatch(self) -> None:
        watchdog.unwatch(self)
        self._detach()


def produce(run: Run, source: Source) -> None:
    """The producer thread."""
    run.pipe.producer = threading.get_ident()
    batches: Iterable[list[Chunk]] = ()
    try:
        batches = source(run)
        for batch in batches:
            if not run.deliver(batch):
                break
        else:
            run.finish()
    except StreamKitError as error:
        run.fail(error)
    except BaseException as error:  # a bug, ours or of a user's callable: the reader must not wait for ever
        run.fail(_bug(error))
    finally:
        _guarded(_close, batches)
        _guarded(run.tell_end)
        run.clean_up()


def _shown(error: BaseException) -> str:
    try:
        return repr(error)
    except BaseException:  # its class may be the user's
        return type(error).__name__


def fill(runs: Sequence[Run], fill: Callable[[], object]) -> None:
    """The producer thread of several streams."""
    try:
        fill()
    except BaseException as error:  # as in `produce`
        for run in runs:
            run.fail(_bug(error))
    finally:
        for run in runs:
            run.clean_up()


def on_a_thread(name: str, work: Callable[..., object], *args: object) -> Production:
    """Give what runs `work` in the caller's context variables: observers and tools see its request, and its trace."""
    return Production(functools.partial(contextvars.copy_context().run, work, *args), name)


def _bug(error: BaseException) -> StreamKitError:
    failure = StreamKitError(f"an internal error ended the stream: {_shown(error)}")
    failure.__cause__ = error
    return failure


def _close(batches: Iterable[list[Chunk]]) -> None:
    close = getattr(batches, "close", None)
    if close is not None:
        close()


def _guarded(do: Callable[..., object], *args: object) -> None:
    """Do what runs functions of the user's as the stream ends: whatever they raise, the rest must be done, too."""
    try:
        do(*args)
    except BaseException:  # sys.exit, mostly: `observe` has caught the others
        logger.exception("raised as the stream ended, which changes nothing")


def _no_chunk(cls: type[StreamKitError], what: str, seconds: float | None, clock: str) -> StreamKitError:
    return cls(f"{what} within {seconds} s: try again, or allow more with Timeouts({clock}=...)")


def _after(moment: float, seconds: float | None) -> float | None:
    return None if seconds is None else moment + seconds


def _earlier(a: float | None, b: float | None) -> float | None:
    return b if a is None else a if b is None else min(a, b)


def _nothing(_: object = None) -> None:
    pass
