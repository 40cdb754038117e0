"""Waiting: for the first token of a client that has asked before, and for each piece once it has come."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain

from benchmarks.bench import Bench, Worker, alternating, installed
from benchmarks.clients import client_named
from benchmarks.row import Row, absolute, compared, missing, p99

__all__ = ["delays", "measure"]

CALLS = 45


def measure(bench: Bench) -> Iterator[Row]:
    """Take the figures."""
    yield from _warm(bench)
    yield from _delay(bench)


def delays(name: str, url: str) -> Iterator[list[float]]:
    """Read an answer of time stamps a round; give the ms between each one's sending and its being in hand."""
    client = client_named(name, url)
    while True:
        yield [(time.monotonic_ns() - int(text)) / 1e6 for text in client.texts()]


def _warm(bench: Bench) -> Iterator[Row]:
    figure = "warm time to first token"
    names = ["streamkit", *(["openai"] if installed("openai") else [])]
    bench.tell(f"{figure}, connections of {CALLS} calls: {', '.join(names)}")
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(Worker("first_token.warm", name, bench.url("chunks", 10, name))) for name in names
        }
        taken = alternating(CALLS - 1, {name: worker.measure for name, worker in workers.items()})
        connections = {name: bench.connections(name) for name in names}
    if "openai" in taken:
        yield compared(figure, "ms", taken["streamkit"], "openai", taken["openai"], at_most=0.75)
    else:
        yield missing(figure, "openai")
    yield absolute(
        f"connections of {CALLS} calls",
        "",
        connections["streamkit"],
        at_most=1,
        peer_name="openai",
        peer=connections.get("openai"),
    )


def _delay(bench: Bench) -> Iterator[Row]:
    bench.tell("delay between a piece's sending and its being in hand")
    url = bench.url("stamped", bench.count(500, 100))
    with Worker("latency.delays", "streamkit", url) as ours, Worker("latency.delays", "naive", url) as naive:
        taken = alternating(bench.count(4, 1), {"streamkit": ours.measure, "naive": naive.measure})
    for what, of, at_most in (("median", statistics.median, 0.5), ("p99", p99, None)):
        our, peer = (of(list(chain.from_iterable(taken[name]))) for name in ("streamkit", "naive"))
        yield absolute(f"delay of a piece: {what}", "ms", our, at_most=at_most, peer_name="naive loop", peer=peer)
