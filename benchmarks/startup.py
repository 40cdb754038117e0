"""What it costs to begin: imports, and the time from the start of a process to its first token."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from time import perf_counter

from benchmarks.bench import Bench, Worker, alternating, installed, python
from benchmarks.row import Row, compared, missing

__all__ = ["measure"]


def measure(bench: Bench) -> Iterator[Row]:
    """Take the figures."""
    yield from _imports(bench)
    yield from _first_token(bench)


def _imports(bench: Bench) -> Iterator[Row]:
    bench.tell("CPU and memory of imports")
    names = ("requests", "streamkit", "streamkit_client")
    taken = alternating(bench.count(21, 3), {name: partial(_import, name) for name in names})
    seconds = {name: [cpu * 1e3 for cpu, _ in pairs] for name, pairs in taken.items()}
    memory = {name: [mb for _, mb in pairs] for name, pairs in taken.items()}
    for name, what in (("streamkit", "import streamkit"), ("streamkit_client", "import, make a client")):
        yield compared(f"{what}: CPU", "ms", seconds[name], "requests", seconds["requests"], at_most=1.3)
        yield compared(f"{what}: RSS", "MB", memory[name], "requests", memory["requests"], more=8)


def _import(name: str) -> tuple[float, float]:
    output, _ = python("benchmarks.imports", name).communicate()
    seconds, megabytes = map(float, output.split())
    return seconds, megabytes


def _first_token(bench: Bench) -> Iterator[Row]:
    figure = "process start to first token"
    if not installed("openai"):
        yield missing(figure, "openai")
        return
    bench.tell(figure)
    takers = {
        "openai": partial(_cold, bench, "openai"),
        "core": partial(_cold, bench, "streamkit", without_msgspec=True),
    }
    if installed("msgspec"):
        takers["fast"] = partial(_cold, bench, "streamkit")
    taken = alternating(bench.count(15, 2), takers)
    for variant in ("core", "fast"):
        if variant in taken:
            yield compared(f"{figure}, {variant}", "ms", taken[variant], "openai", taken["openai"], at_most=1 / 4)
        else:
            yield missing(f"{figure}, {variant}", "msgspec")


def _cold(bench: Bench, name: str, *, without_msgspec: bool = False) -> float:
    begin = perf_counter()
    with Worker("first_token.cold", name, bench.url("chunks", 10), without_msgspec=without_msgspec) as worker:
        worker.measure()
        return (perf_counter() - begin) * 1e3
