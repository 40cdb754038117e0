"""Queues of the user's."""

from __future__ import annotations

import queue

import pytest

from streamkit import Channel
from streamkit.consumers.user_queue import CLOSED, put_newest


def drained(items: queue.Queue[int]) -> list[int]:
    """What lies in a queue."""
    return [items.get_nowait() for _ in range(items.qsize())]


@pytest.mark.parametrize("kind", [queue.Queue, Channel])
def test_a_full_one_gives_up_its_oldest(kind: type[queue.Queue[int]]) -> None:
    """The newest is in it, and what there was room for besides."""
    items = kind(2)
    for number in range(5):
        put_newest(items, number)

    assert [3, 4] == drained(items)


def test_a_closed_one_takes_nothing() -> None:
    """It is no error."""
    channel = Channel[int](2)
    channel.close()
    put_newest(channel, 1)

    assert 0 == channel.qsize()
    with pytest.raises(CLOSED):
        channel.put(1)


@pytest.mark.skipif(not hasattr(queue, "ShutDown"), reason="needs Python 3.13")
def test_one_that_was_shut_down_takes_nothing() -> None:
    """Neither with room nor full."""
    for size in (1, 2):
        items = queue.Queue[int](size)
        items.put(1)
        items.shutdown()  # type: ignore[attr-defined]
        put_newest(items, 2)

        assert [1] == drained(items)
