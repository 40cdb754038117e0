"""CPU per chunk of a whole answer: reading, framing, decoding, handing over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.bench import Bench, Worker, alternating, installed
from benchmarks.clients import client_named
from benchmarks.process import cpu
from benchmarks.row import Row, compared, missing

__all__ = ["measure", "rounds"]

NAIVE = "naive loop"


def measure(bench: Bench) -> Iterator[Row]:
    """Take the figures: events alike as a provider's are, events unlike each other, and events that come one by one."""
    for variant, without_msgspec, of_naive, of_openai in (("core", True, 1.0, 1 / 10), ("fast", False, 0.7, 1 / 14)):
        if variant == "fast" and not installed("msgspec"):
            yield missing("CPU per chunk, fast", "msgspec")
            continue
        count = bench.count(20_000, 5_000)
        naive, ours, openai = _taken(bench, variant, "chunks", count, without_msgspec=without_msgspec)
        figure = f"CPU per chunk, {variant}"
        yield compared(figure, "µs", ours, NAIVE, naive, at_most=of_naive)
        yield compared(figure, "µs", ours, "openai", openai, at_most=of_openai) if openai else missing(figure, "openai")
        naive, ours, _ = _taken(bench, variant, "unlike", count, without_msgspec=without_msgspec, sdk=False)
        yield compared(f"{figure}, ids differ", "µs", ours, NAIVE, naive, at_most=1.0)
    naive, ours, openai = _taken(bench, "core", "paced", bench.count(2_000, 500), without_msgspec=True)
    figure = "CPU per chunk, core, one by one"
    yield compared(figure, "µs", ours, NAIVE, naive)
    yield compared(figure, "µs", ours, "openai", openai) if openai else missing(figure, "openai")


def rounds(name: str, url: str, count: str) -> Iterator[tuple[float, int]]:
    """Read an answer of `count` chunks a round; give µs of CPU per chunk, and how much text it was."""
    client = client_named(name, url)
    while True:
        before = cpu()
        text = client.read()
        yield (cpu() - before) / int(count) * 1e6, len(text)


def _taken(
    bench: Bench, variant: str, answer: str, count: int, *, without_msgspec: bool, sdk: bool = True
) -> tuple[list[float], list[float], list[float]]:
    """Give the µs per chunk of the naive loop, streamkit, and the SDK where it is installed."""
    names = ["naive", "streamkit", *(["openai"] if sdk and installed("openai") else [])]
    bench.tell(f"CPU per chunk ({variant}, {answer}): {', '.join(names)}")
    url = bench.url(answer, count)
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(
                Worker("per_chunk.rounds", name, url, str(count), without_msgspec=without_msgspec)
            )
            for name in names
        }
        taken = alternating(bench.count(7, 2), {name: worker.measure for name, worker in workers.items()})
    if len({length for results in taken.values() for _, length in results}) != 1:
        raise RuntimeError(f"the clients do not agree on the text of the answer: {taken}")
    microseconds = {name: [one for one, _ in results] for name, results in taken.items()}
    return microseconds["naive"], microseconds["streamkit"], microseconds.get("openai", [])
