"""take: from a `SimpleQueue`, with a time limit that holds."""

from __future__ import annotations

import queue
from typing import TypeVar

__all__ = ["take"]

T = TypeVar("T")


def take(inbox: queue.SimpleQueue[T], seconds: float) -> T:
    """Give the next item; `queue.Empty` when so many seconds pass first. For queues that one thread reads.

    Up to Python 3.12 `get(timeout=…)` by itself may wait for ever: it takes the queue's lock, which is free after each
    `put`, looks, computes the time that is left, and takes what is below zero for no limit. A look before it leaves
    the lock taken, so that it waits for that with the time that it was given.
    """
    try:
        return inbox.get_nowait()
    except queue.Empty:
        return inbox.get(timeout=seconds)
