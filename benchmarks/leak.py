"""What a thousand streams leave behind: threads, open files, memory; finished ones, and ones dropped half-read."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator

from benchmarks.bench import Bench, Worker
from benchmarks.process import open_files, rss
from benchmarks.row import Row, absolute

__all__ = ["abandoned", "finished", "measure"]

WARM_UP = 100
PATIENCE = 5.0
"""Seconds in which what was dropped must be gone."""


def measure(bench: Bench) -> Iterator[Row]:
    """Take the figures."""
    count = bench.count(1_000, 100)
    for kind, url in (("finished", bench.url("chunks", 20)), ("abandoned", bench.url("silent"))):
        bench.tell(f"what {count} {kind} streams leave behind")
        with Worker(f"leak.{kind}", url, str(count)) as worker:
            threads, files, megabytes = worker.measure()
        yield absolute(f"{count} {kind} streams: threads left", "", threads, at_most=0)
        yield absolute(f"{count} {kind} streams: files left", "", files, at_most=0)
        yield absolute(f"{count} {kind} streams: RSS growth", "MB", megabytes, at_most=2)


def finished(url: str, count: str) -> Iterator[tuple[int, int, float]]:
    """Read streams to their end; give what they leave behind."""
    from benchmarks.clients import Streamkit

    client = Streamkit(url)
    yield _left_behind(client.read, int(count))


def abandoned(url: str, count: str) -> Iterator[tuple[int, int, float]]:
    """Open streams, read one piece and drop them; give what they leave behind."""
    from benchmarks.clients import Streamkit

    client = Streamkit(url)
    yield _left_behind(lambda: next(client.texts()), int(count))


def _left_behind(use: Callable[[], object], count: int) -> tuple[int, int, float]:
    """Give threads, open files and MB that are there after `count` uses and were not before."""
    for _ in range(WARM_UP):
        use()
    before = _settled(1, sys.maxsize)
    for _ in range(count):
        use()
    after = _settled(before[0], before[1])
    return after[0] - before[0], after[1] - before[1], after[2] - before[2]


def _settled(threads: int, files: int) -> tuple[int, int, float]:
    """Give threads, open files and MB as soon as the first two are back where they were, or when patience ends."""
    until = time.monotonic() + PATIENCE
    gc.collect()
    while time.monotonic() < until and (threading.active_count() > threads or open_files() > files):
        time.sleep(0.01)
    return threading.active_count(), open_files(), rss()
