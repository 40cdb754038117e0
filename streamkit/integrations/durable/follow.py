"""Following an answer: its entries, as they come, become the chunks of a stream."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator

from streamkit.errors import ConfigError, StreamTruncated
from streamkit.integrations.durable.log import DurableLog, written_outcome
from streamkit.integrations.durable.scripts import LOOK
from streamkit.integrations.durable.store import Pause, Store, named
from streamkit.run import Run
from streamkit.types.chunks import Chunk

__all__ = ["LONGEST_WAIT", "as_it_is", "entries_of", "look"]

LONGEST_WAIT = 5.0
"""Seconds that are waited at once. A connection that died without a word is noticed a moment later."""


def look(store: Store, name: str, pause: Pause) -> tuple[str, int, float]:
    """Give the state of an answer, how many chunks there are, and the seconds that its writer may be silent yet.

    An answer whose writer's time has run out is sealed as lost: from then on that is its outcome, for everybody.
    """
    lost = StreamTruncated(
        f"the writer of the {named(name)} was lost (killed, paused, or cut off from Redis): what had come is in "
        "`partial`; go on with durable.resume(name, chat), or delete it and ask anew"
    )
    state, count, left = store.ask(LOOK, [name], written_outcome(lost), pause=pause)
    if state == b"foreign":
        raise ConfigError(f"the {named(name)} is none: its key holds something else; use another prefix, or delete it")
    return state.decode(), int(count), int(left) / 1000


def entries_of(store: Store, log: DurableLog, run: Run, wait: float) -> Iterator[list[Chunk]]:
    """Read an answer into its log up to its end, or as far as it is when nobody writes it any more.

    Gives the chunks that are new, a batch for each read. `wait` is in seconds, for an answer that nobody has begun.
    """
    until, ended = time.monotonic() + wait, ""
    with store.line(run.slot) as line:
        while log.outcome is None:
            state, count, left = look(store, log.name, run.pause)
            if state == "unknown":
                if log.position != "0-0":
                    raise log.vanished()
                left = until - time.monotonic()
                if left <= 0:
                    raise ConfigError(f"there is no {named(log.name)}: not begun, or expired; see follow(wait=...)")
            elif state != "running" and ended == log.position:
                raise log.vanished()  # its end is said to be there, and is not; nor has anybody gone on with it
            ended = "" if state in ("unknown", "running") else log.position
            log.caught_up(count)
            while log.outcome is None:
                read = functools.partial(line.read, log.name, log.position, max(0.001, min(left, LONGEST_WAIT)))
                entries = store.lasting(read, run.pause)
                if not entries:
                    break
                yield from log.read(entries)
                log.caught_up(count)
                if state == "unknown":  # now it is known, and who writes it may die
                    break


def as_it_is(store: Store, name: str, pause: Pause) -> DurableLog:
    """Read what is there of an answer, without waiting for more; `ConfigError` where there is none."""
    log, ended = DurableLog(name), ""
    with store.line() as line:
        while True:
            state, count, _ = look(store, name, pause)
            if state == "unknown":
                raise ConfigError(f"there is no {named(name)}: not begun, or expired")
            while log.count < count or (state != "running" and log.outcome is None):
                entries = store.lasting(functools.partial(line.read, name, log.position, 0.0), pause)
                if not entries:
                    break  # it was deleted, or somebody goes on with it
                for _ in log.read(entries):
                    pass  # they are in the log
            else:
                return log
            if ended == log.position:
                raise log.vanished()
            ended = log.position
