"""One very large event in pieces of a packet each: its time, and whether that is linear in its size."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from time import perf_counter

from benchmarks.bench import Bench, Worker, alternating
from benchmarks.clients import client_named
from benchmarks.row import Row, absolute

__all__ = ["measure", "seconds"]


def measure(bench: Bench) -> Iterator[Row]:
    """Take the figures."""
    bench.tell("one event of 8 MB and of 16 MB")
    with (
        Worker("large_event.seconds", bench.url("large", 8), "8") as eight,
        Worker("large_event.seconds", bench.url("large", 16), "16") as sixteen,
    ):
        # Many rounds: in the first ones a process gets its memory from the system, a page at a time.
        taken = alternating(bench.count(25, 1), {"8": eight.measure, "16": sixteen.measure})
    small, large = statistics.median(taken["8"]), statistics.median(taken["16"])
    yield absolute("one event of 8 MB", "s", small, at_most=2)
    yield absolute("one event: 16 MB / 8 MB", "", large / small, at_most=2.5)


def seconds(url: str, megabytes: str) -> Iterator[float]:
    """Read an answer of one event a round; give the seconds."""
    client = client_named("streamkit", url)
    while True:
        begin = perf_counter()
        text = client.read()
        taken = perf_counter() - begin
        if len(text) != int(megabytes) << 20:
            raise RuntimeError(f"{len(text)} characters came instead of {megabytes} MB")
        yield taken
