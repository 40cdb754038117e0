"""Many streams at once, on a ThreadPoolExecutor: CPU and memory, each round in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from benchmarks.bench import Bench, Worker, alternating, installed
from benchmarks.clients import client_named
from benchmarks.process import cpu, peak_rss, reset_peak_rss, rss
from benchmarks.row import Row, compared, missing

__all__ = ["batch", "measure"]

STREAMS = 64
CHUNKS = 200


def measure(bench: Bench) -> Iterator[Row]:
    """Take the figures."""
    figure = f"{STREAMS} parallel streams"
    if not installed("openai"):
        yield missing(figure, "openai")
        return
    bench.tell(f"{figure} of {CHUNKS} chunks each")
    taken = alternating(bench.count(7, 2), {name: partial(_taken, bench, name) for name in ("openai", "streamkit")})
    for which, what, unit, at_most in ((0, "CPU", "ms", 1 / 6), (1, "peak RSS growth", "MB", 1.0)):
        our, peer = ([one[which] for one in taken[name]] for name in ("streamkit", "openai"))
        yield compared(f"{figure}: {what}", unit, our, "openai", peer, at_most=at_most)


def batch(name: str, url: str) -> Iterator[tuple[float, float]]:
    """Read all streams at once, after one has warmed up; give ms of CPU and MB by which the peak of the memory grew."""
    client = client_named(name, url)
    client.read()
    reset_peak_rss()
    seconds, megabytes = cpu(), rss()
    with ThreadPoolExecutor(STREAMS) as pool:
        lengths = set(pool.map(lambda _: len(client.read()), range(STREAMS)))
    if len(lengths) != 1:
        raise RuntimeError(f"the texts differ in length: {lengths}")
    yield (cpu() - seconds) * 1e3, peak_rss() - megabytes


def _taken(bench: Bench, name: str) -> tuple[float, float]:
    with Worker("parallel.batch", name, bench.url("chunks", CHUNKS)) as worker:
        milliseconds, megabytes = worker.measure()
        return milliseconds, megabytes
