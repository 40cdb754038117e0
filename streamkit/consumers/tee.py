"""tee and stream_to_multiple: one stream for several readers.

One thread reads the stream and hands every batch to each of the readers that are left.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from streamkit.channel import Channel
from streamkit.consumers.user_queue import CLOSED, put_newest
from streamkit.context import Context
from streamkit.derived import AnyStream, Run, divided, opened
from streamkit.errors import ConfigError, ContextError, SlowConsumer, StreamKitError, require
from streamkit.producer import Production
from streamkit.stream import ChatStream
from streamkit.types.chunks import Chunk

__all__ = ["OnFull", "stream_to_multiple", "tee"]

logger = logging.getLogger("streamkit")

_PATIENCE = 0.2
"""Seconds that are waited at once for a reader that is full."""

_PATIENCE_IN_ALL = 1.0
"""Seconds that it is waited for in all, but for a tenth of the time beside."""

_LOOK_AGAIN = 0.1
"""Seconds after which a queue that is waited for is looked at again: it may have been dropped, the stream cancelled."""

OnFull = Literal["block", "drop", "raise"]
"""What happens to a reader that is too far behind: all wait for it, it misses chunks, or it is ended."""


def tee(stream: AnyStream, n: int = 2, *, buffer: int = 10_000, on_full: OnFull = "block") -> tuple[ChatStream, ...]:
    """Give `n` independent streams with all chunks and the outcome of `stream`; returns at once.

    A branch that is `buffer` chunks behind (0: no bound) holds all branches back under "block", misses new chunks under
    "drop" (`branch.stats.dropped`; `final` stays whole), and ends with `SlowConsumer` under "raise". A branch that is
    cancelled or abandoned no longer counts; the last one cancels `stream`, which should have no other reader.

    Raises:
        ConfigError: `n` is below 1, or `on_full` unknown.
    """
    if n < 1:
        raise ConfigError(f"n={n}: a stream is divided into at least one")
    _check(on_full)
    return divided(stream, _deliver if on_full == "block" else _Hand(on_full).to, n, name="tee", buffer=buffer)


def _check(on_full: str) -> None:
    if on_full not in ("block", "drop", "raise"):
        raise ConfigError(f"on_full={on_full!r}: use 'block', 'drop' or 'raise'")


def _deliver(branch: Run, batch: list[Chunk]) -> bool:
    return branch.deliver(batch)


class _Patience:
    """How long a reader that is full is waited for, while others wait with it.

    It may just not have had its turn, as what comes at once may be more than it holds. So it is waited for, for a
    moment; but not again before it has caught up, nor for more than a tenth of the time in the long run: else a slow
    one would slow the others down to its own pace.
    """

    def __init__(self) -> None:
        self.behind = False
        self._began = time.monotonic()
        self._spent = 0.0

    def wait(self) -> float:
        """Give the seconds that it may be waited for now."""
        left = _PATIENCE_IN_ALL + (time.monotonic() - self._began) / 10 - self._spent
        return 0.0 if self.behind else max(0.0, min(_PATIENCE, left))

    @contextmanager
    def spending(self) -> Iterator[float]:
        """Give the same, and count what is spent of it."""
        began = time.monotonic()
        try:
            yield self.wait()
        finally:
            self._spent += time.monotonic() - began


class _Hand:
    """Hands chunks to branches that must not hold each other up."""

    def __init__(self, on_full: OnFull) -> None:
        self._ends = on_full == "raise"
        self._with: defaultdict[int, _Patience] = defaultdict(_Patience)  # by the ids of branches

    def to(self, branch: Run, batch: list[Chunk]) -> bool:
        """Hand them over; False when the branch has ended."""
        patience = self._with[id(branch)]
        with patience.spending() as seconds:
            room = branch.pipe.room(len(batch), seconds)
        delivered = branch.deliver(batch[:room])
        if room == len(batch):
            if branch.pipe.room(len(batch), 0.0) == len(batch):
                patience.behind = False
            return delivered
        patience.behind = True
        branch.stats.dropped += len(batch) - room
        if self._ends:
            behind = f"the reader of this branch is {branch.pipe.bound} chunks behind"
            branch.fail(SlowConsumer(f"{behind}: read faster, or allow more with buffer=..."))
        return branch.live


def stream_to_multiple(
    stream: AnyStream, *destinations: queue.Queue[Any], ctx: Context | None = None, on_full: OnFull = "block"
) -> None:
    """Copy each text to every queue, on a background thread; returns at once.

    The outcome stays on `stream.err` and `stream.final`. At the end, also after an error or a cancel, a `Channel` is
    closed, and a plain `queue.Queue` gets a last None, for which a full one gives up its oldest item unless it is
    waited for ("block"). `on_full` is as in `tee`; "raise" ends that destination only. Thinking is not copied. A
    destination that nobody holds any more, or that was closed, no longer counts; the last one cancels `stream`, and so
    does `ctx`. `stream` should have no other reader.

    Raises:
        ConfigError: there is no destination, or `on_full` is unknown.
        StreamKitError: the system gives no thread.
    """
    if not destinations:
        raise ConfigError("there is no destination: give one queue or more")
    _check(on_full)
    for destination in destinations:
        require("destination", destination, queue.Queue, "give a Channel or a queue.Queue")
    other = opened(stream)
    copy = _Copy(other, [_Destination(queue_, on_full) for queue_ in destinations])
    detach = ctx.on_cancel(lambda: other.cancel("the context of its copies has ended")) if ctx is not None else None
    try:
        Production(functools.partial(copy.run, detach), "streamkit-copy").start()
    except RuntimeError as e:
        if detach is not None:
            detach()
        raise StreamKitError(f"no thread can be started for the copies: {e}") from e


class _Copy:
    """The thread that copies a stream's text."""

    def __init__(self, stream: ChatStream, destinations: Sequence[_Destination]) -> None:
        self._stream = stream
        self._left = [*destinations]

    def run(self, detach: Callable[[], object] | None) -> None:
        try:
            for chunk in self._stream.ch:
                if chunk.type == "text" and chunk.content:
                    self._left = [to for to in self._left if to.put(chunk.content, self._is_cancelled)]
                    if not self._left:
                        self._stream.cancel("nobody reads its copies any more")
                        return
        finally:
            for to in [to for to in self._left if not to.end_at_once()]:
                to.end(self._is_cancelled)
            if detach is not None:
                detach()

    def _is_cancelled(self) -> bool:
        """Whether nobody is to be waited for any more."""
        err = self._stream.err
        return bool(err.queue) and isinstance(err.queue[0], ContextError)


class _Destination:
    """A queue that texts are copied to. Not held: one that its reader has dropped must not be waited for."""

    def __init__(self, queue_: queue.Queue[Any], on_full: OnFull) -> None:
        self._queue = weakref.ref(queue_)
        self._on_full = on_full
        self._patience = _Patience()

    def put(self, text: str, is_cancelled: Callable[[], bool]) -> bool:
        """Copy a text; False when the destination no longer counts."""
        try:
            if self._offer(text, is_cancelled):
                return True
        except CLOSED:
            return False
        if self._queue() is None:
            return False
        if self._on_full == "drop" or is_cancelled():  # it is still to be told the end
            return True
        logger.warning("a copy of a stream was ended: its queue is full, and its reader too slow")
        self.end(is_cancelled)
        return False

    def end_at_once(self) -> bool:
        """Say that nothing more comes, if that needs no waiting; False where it does."""
        queue_ = self._queue()
        try:
            if isinstance(queue_, Channel):
                queue_.close()
            elif queue_ is not None:
                queue_.put_nowait(None)
        except queue.Full:
            return False
        except CLOSED:
            pass
        return True

    def end(self, is_cancelled: Callable[[], bool]) -> None:
        """Say that nothing more comes; a full queue that is not waited for loses its oldest item to that."""
        with contextlib.suppress(*CLOSED):
            if not self.end_at_once() and not self._offer(None, is_cancelled):
                queue_ = self._queue()
                if queue_ is not None:
                    put_newest(queue_, None)

    def _put(self, queue_: queue.Queue[Any], item: str | None, *, at_once: bool) -> None:
        if at_once or self._on_full == "block":
            queue_.put(item, timeout=0.0 if at_once else _LOOK_AGAIN)
            return
        try:
            with self._patience.spending() as seconds:
                queue_.put(item, timeout=seconds)
        except queue.Full:
            self._patience.behind = True
            raise
        if 2 * queue_.qsize() <= queue_.maxsize:
            self._patience.behind = False

    def _offer(self, item: str | None, is_cancelled: Callable[[], bool]) -> bool:
        """Put it, waiting where that is wanted; False when it could not be put."""
        while (queue_ := self._queue()) is not None:
            if is_cancelled() and isinstance(queue_, Channel):
                queue_._pipe.lift()  # nobody is waited for any more, and what had come is not lost by that
            with contextlib.suppress(queue.Full):
                self._put(queue_, item, at_once=is_cancelled())
                return True
            if self._on_full != "block" or (is_cancelled() and not isinstance(queue_, Channel)):
                return False
            del queue_  # for a moment nobody may hold it
        return False
