"""ChatStream: one producer thread, three channels, one outcome.

Any generator of batches of chunks becomes a stream here: a call, a loop over calls, or what transforms another stream.
No other module asks for a producer thread.

Who holds whom: the thread and the watchdog hold the `Run`, which has the pipe. The user's ends (the stream and its
three channels) share one `_Lease`; when the last of them is gone, its finalizer tells the watchdog, which ends the run.
So nothing that the thread holds may ever refer to one of the user's ends.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import NoneType, TracebackType
from typing import Any, Protocol, TypeVar

from streamkit.channel import Channel, Outcome, Pipe
from streamkit.context import Context
from streamkit.errors import Cancelled, ChannelClosed, StreamKitError, require
from streamkit.hooks import Hooks
from streamkit.producer import Production
from streamkit.run import Joinable, Run, Source, Upstream, fill, on_a_thread
from streamkit.settings import Timeouts
from streamkit.stats import Stats
from streamkit.types.chunks import Chunk
from streamkit.types.response import ChatResponse
from streamkit.watchdog import watchdog

__all__ = ["NO_CLOCKS", "Cancellable", "ChatStream", "Share", "start_stream", "start_streams"]

T = TypeVar("T")


class Cancellable(Protocol):
    """A running stream, as its client sees it."""

    def cancel(self, reason: str | None = None) -> None:
        """End it."""

    @property
    def live(self) -> bool:
        """Whether it has no outcome yet."""


class Share(Upstream, Joinable, Protocol):
    """A stream that several others are made of, as one of them sees it."""

    production: Production
    """The thread that they share."""


NO_CLOCKS = Timeouts(connect=None, idle=None, first_chunk=None, stall=None, total=None)
"""For streams that are made of others, which have clocks of their own."""

CLOSE_WAIT = 1.0
"""Seconds that `close()` waits for the producer thread."""

_numbers = itertools.count(1)


def start_stream(
    source: Source,
    *,
    name: str,
    ctx: Context | None = None,
    timeouts: Timeouts | None = None,
    hooks: Hooks | None = None,
    buffer: int = 10_000,
    accumulate: bool = True,
    max_headers: int | None = None,
    on_end: Callable[[ChatResponse], object] | None = None,
    on_settled: Callable[[ChatResponse], object] | None = None,
    enlist: Callable[[Cancellable], object] | None = None,
    logs: bool = False,
    made_of: Upstream | None = None,
    drains: bool = False,
) -> ChatStream:
    """Start a producer thread on `source` and give its stream once the answer is open.

    Blocks until then; a failure before raises here. Leaving by any exception, KeyboardInterrupt included, cancels the
    stream. `enlist` is given what cancels it; `on_settled` is called, on the producer thread, with the response,
    partial or whole, before the outcome can be read, or, where that came from outside, after. `on_end` is so always
    before, on the thread that decides: it must be quick and take no lock. `logs` keeps all chunks, for `replay`.
    `made_of` is the stream that this one reads: its outcome is this one's, too, and it ends when this one does. With
    `drains` a cancel ends only that one, so that what had come still passes.
    """
    require("ctx", ctx, (Context, NoneType), "give a Context, such as Context(timeout=30)")
    run = Run(
        Pipe(0 if logs else buffer, logs=logs),  # who reads the log alone must not be held up by what lies in `ch`
        ctx=ctx,
        timeouts=timeouts or Timeouts(),
        hooks=hooks or Hooks(),
        accumulate=accumulate,
        max_headers=max_headers,
        on_end=on_end,
        on_settled=on_settled,
        upstream=made_of,
        drains=drains,
    )
    if enlist is not None:
        enlist(run)
    stream = ChatStream(run)
    try:
        run.start(source, f"streamkit-{name}-{next(_numbers)}")
        run.wait_open()
    except BaseException:
        run.cancel("get_stream was interrupted")
        raise
    if run.pipe.opened:
        return stream
    try:
        stream._raise_error()
        return stream
    finally:
        del stream, run  # of the error's traceback: it would keep the stream alive, and the stream the error


def start_streams(
    source: Callable[[Sequence[Run]], object],
    shares: Sequence[Share],
    *,
    name: str,
    ctx: Context | None = None,
    buffer: int = 10_000,
) -> tuple[ChatStream, ...]:
    """Start one producer thread on `source`, which fills a stream for each share of another one; returns at once."""
    runs = [
        Run(
            Pipe(buffer),
            ctx=ctx,
            timeouts=NO_CLOCKS,
            hooks=Hooks(),
            accumulate=False,
            max_headers=None,
            on_end=None,
            on_settled=None,
            upstream=share,
            drains=False,
        )
        for share in shares
    ]
    streams = tuple(ChatStream(run) for run in runs)
    production = on_a_thread(f"streamkit-{name}-{next(_numbers)}", fill, runs, functools.partial(source, runs))
    try:
        for run, share in zip(runs, shares, strict=True):
            share.production = production
            run.attend(share)
        production.start()
    except RuntimeError as e:
        for run in runs:
            run._unwatch()
        raise StreamKitError(f"no thread can be started for the streams: {e}") from e
    return streams


class ChatStream:
    """One answer on its way.

    `ch` brings the chunks and ends when the stream ends, however it ends; `err` and `final` bring the one outcome: an
    error and None, or None and the response. Reading them from any thread, in any order, as often as you like, never
    hangs once the stream has ended and never deadlocks before. When the last of the stream and its three channels is
    dropped, the stream is cancelled.
    """

    ch: Channel[Chunk]
    err: Outcome[StreamKitError | None]
    final: Outcome[ChatResponse | None]

    def __init__(self, run: Run) -> None:
        self._run = run
        self._lease = lease = _Lease(run)
        self.ch = _StreamChannel(run, lease)
        self.err = _StreamOutcome(run.pipe, run.pipe.err, lease)
        self.final = _StreamOutcome(run.pipe, run.pipe.final, lease)

    @property
    def stats(self) -> Stats:
        """Timings and counts, at any time."""
        return self._run.stats

    @property
    def request_id(self) -> str | None:
        """The provider's id of the request, for its support."""
        return self._run.request_id

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the answer."""
        return self._run.headers

    @property
    def partial(self) -> ChatResponse:
        """The response so far, at any time; `complete` once it is."""
        pipe = self._run.pipe
        if pipe.closed:
            partial: ChatResponse = pipe.final[0] or pipe.err[0].partial
            return partial
        return self._run.fold.response()

    def __iter__(self) -> Iterator[Chunk]:
        """Give the chunks as `ch` brings them; raise the error at the end.

        `Cancelled`, too, where a cancel ends the loop before it has given all of a stream that is complete.
        """
        yield from self.ch
        self._raise(self.reading_error())

    def text(self) -> Iterator[str]:
        """Give the text without thinking; raise the error at the end, as a loop over the stream does.

        Reads `ch`, so for one consumer only.
        """
        for chunk in self.ch:
            if chunk.type == "text" and chunk.content:
                yield chunk.content
        self._raise(self.reading_error())

    def replay(self) -> Iterator[Chunk]:
        """Give the chunks from the first on, whoever else reads; for streams that keep a log (`logs`).

        Blocks for the next; never raises; ends however the stream ends. A cancel ends it at once, unless it was begun
        after: then it gives all that had arrived.
        """
        pipe = self._run.pipe
        late, at = pipe.alert and pipe.is_cut(), 0
        while pipe.wait_logged(at):
            if pipe.alert and not late and pipe.is_cut():
                return
            assert pipe.log is not None
            yield pipe.log[at]
            at += 1

    def result(self, timeout: float | None = None) -> ChatResponse:
        """Drain, then give the response or raise its error.

        Blocks to the end; TimeoutError after `timeout` seconds leaves the stream running.
        """
        pipe = self._run.pipe
        if not pipe.closed:
            pipe.refuse_producer()
        pipe.lift()
        if not pipe.wait_changed(lambda: pipe.closed, timeout):
            raise TimeoutError(f"the stream has not ended within {timeout} s; it goes on: ask again, or cancel() it")
        self._raise_error()
        response = self.final.get()
        assert response is not None  # there is always one of the two
        return response

    def cancel(self, reason: str | None = None) -> None:
        """End the stream at once; idempotent; any thread, signal handler or finalizer may call it."""
        self._run.cancel(reason)

    def close(self) -> None:
        """Cancel unless finished, and wait up to a second for the thread."""
        if not self._run.pipe.closed:
            self._run.cancel("closed")
        self._run.join(CLOSE_WAIT)

    def __enter__(self) -> ChatStream:
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        pipe = self._run.pipe
        error = pipe.err[0] if pipe.closed else None
        state = "live" if not pipe.closed else "complete" if error is None else type(error).__name__
        return f"<ChatStream {state} chunks={self.stats.chunks}>"

    def reading_error(self) -> StreamKitError | None:
        """Give the error that who has read `ch` to its end must know of: the stream's, or that not all was given.

        Internal. Blocks to the end of the stream.
        """
        error = self.err.get()
        if error is None and self._run.pipe.missed:
            error = Cancelled("cancelled: the stream was complete, and this reading of it was not: ask result()")
            error.partial = self.final.get()
        return error

    def _raise_error(self) -> None:
        self._raise(self.err.get())

    def _raise(self, error: StreamKitError | None) -> None:
        if error is not None:
            raise error.with_traceback(None)  # raised again, it would gather the frames of every reader


class _Lease:
    """Shared by the user's ends of a stream; gone when all of them are."""

    __slots__ = ("_post", "_run")

    def __init__(self, run: Run) -> None:
        self._run = run
        self._post = watchdog.post  # kept: at interpreter exit a module's names may be gone

    def __del__(self) -> None:
        # A finalizer may run in the middle of any line: it takes no lock and does no more than this.
        if not self._run.pipe.closed:
            self._post(self._run.abandon)


class _StreamChannel(Channel[Chunk]):
    """`stream.ch`."""

    def __init__(self, run: Run, lease: _Lease) -> None:
        self._join(run.pipe)
        self._run = run
        self._lease = lease

    def put(self, item: Chunk, block: bool = True, timeout: float | None = None) -> None:
        """Refuse: the stream fills it."""
        raise ChannelClosed("the channel of a stream is filled by the stream alone")

    def close(self) -> None:
        """Cancel the stream."""
        self._run.cancel("its channel was closed")

    def shutdown(self, immediate: bool = False) -> None:
        """Cancel the stream."""
        self.close()


class _StreamOutcome(Outcome[T]):
    """`stream.err` and `stream.final`."""

    def __init__(self, pipe: Pipe[Any], values: Any, lease: _Lease) -> None:
        super().__init__(pipe, values)
        self._lease = lease
