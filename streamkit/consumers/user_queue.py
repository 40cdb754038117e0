"""Queues of the user's that something is put into: what they raise when they are closed, and what to do when full."""

from __future__ import annotations

import contextlib
import queue
from typing import Any

from streamkit.errors import ChannelClosed

__all__ = ["CLOSED", "put_newest"]

CLOSED: tuple[type[Exception], ...] = (ChannelClosed, getattr(queue, "ShutDown", ChannelClosed))
"""What a queue raises that takes no more items: a `Channel`, and since Python 3.13 any other."""


def put_newest(items: queue.Queue[Any], item: object) -> None:
    """Put an item at once: a full queue gives up its oldest ones, and a closed one does not take it."""
    with contextlib.suppress(*CLOSED):
        while True:
            with contextlib.suppress(queue.Full):
                items.put_nowait(item)
                return
            with contextlib.suppress(queue.Empty):
                items.get_nowait()
