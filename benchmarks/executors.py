"""Many prompts by threads, by processes and by Dask: what each costs. Linux: what processes use comes from /proc."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from multiprocessing import get_context
from typing import Any

from benchmarks.bench import Bench, Worker, alternating, installed
from benchmarks.row import Row, absolute, compared, missing

__all__ = ["batch", "measure"]

PROMPTS = 200
CHUNKS = 200
AT_A_TIME = 8
FIGURES = (
    ("start", "s"),
    ("wall time", "s"),
    ("CPU of all processes", "s"),
    ("memory of all processes", "MB"),
    ("wall time with chunks", "s"),
    ("CPU with chunks", "s"),
)


def measure(bench: Bench) -> Iterator[Row]:
    """Take the figures; the peer of processes and Dask are threads."""
    prompts = bench.count(PROMPTS, 16)
    kinds = ["threads", "processes", *(["dask"] if installed("distributed") else [])]
    bench.tell(f"{prompts} prompts of {CHUNKS} chunks each on {', '.join(kinds)}")
    taken = alternating(bench.count(5, 1), {kind: partial(_taken, bench, kind, prompts) for kind in kinds})
    for at, (what, unit) in enumerate(FIGURES):
        threads = [one[at] for one in taken["threads"]]
        yield absolute(f"{prompts} prompts on threads: {what}", unit, sorted(threads)[len(threads) // 2])
        for kind in kinds[1:]:
            ours = [one[at] for one in taken[kind]]
            yield compared(f"{prompts} prompts on {kind}: {what}", unit, ours, "threads", threads)
    if "dask" not in kinds:
        yield missing(f"{prompts} prompts on dask", "distributed")


def batch(kind: str, url: str, prompts: str) -> Iterator[list[float]]:
    """Ask so many prompts, 8 at a time, for their items and then for their chunks; give `FIGURES`."""
    from streamkit import Client, stream_parallel
    from streamkit.providers import OpenAI

    os.environ["OPENAI_API_KEY"] = "sk-benchmark"
    begin = time.perf_counter()
    with EXECUTORS[kind]() as executor:
        chat = Client(OpenAI(base_url=url)).chat("gpt-4o")
        ask = partial(stream_parallel, chat, executor=executor, max_workers=AT_A_TIME)
        ask(["warm up"] * 4 * AT_A_TIME).result()
        start = time.perf_counter() - begin
        questions = [f"Tell me story {number}" for number in range(int(prompts))]
        items = _timed(lambda: len(ask(questions).result()))
        memory = sum(map(_megabytes, _processes()))
        chunks = _timed(lambda: sum(1 for _ in ask(questions).chunks()))
    yield [start, *items, memory, *chunks]


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock, and of CPU in all our processes."""
    begin, used = time.perf_counter(), sum(map(_cpu, _processes()))
    work()
    return time.perf_counter() - begin, sum(map(_cpu, _processes())) - used


def _taken(bench: Bench, kind: str, prompts: int) -> list[float]:
    with Worker("executors.batch", kind, bench.url("chunks", CHUNKS), str(prompts)) as worker:
        figures: list[float] = worker.measure()
        return figures


# -- executors


def _threads() -> AbstractContextManager[None]:
    return nullcontext()


def _process_pool() -> AbstractContextManager[Executor]:
    return ProcessPoolExecutor(AT_A_TIME, mp_context=get_context("spawn"))


@contextmanager
def _dask() -> Iterator[Executor]:
    from distributed import Client, LocalCluster

    settings: dict[str, Any] = {"n_workers": 2, "threads_per_worker": AT_A_TIME // 2, "dashboard_address": ":0"}
    with LocalCluster(**settings) as cluster, Client(cluster) as client:
        yield client.get_executor()


EXECUTORS: dict[str, Callable[[], AbstractContextManager[Executor | None]]] = {
    "threads": _threads,
    "processes": _process_pool,
    "dask": _dask,
}


# -- processes


def _processes() -> list[int]:
    """Give this process and all that it has begun."""
    found, todo = [], [os.getpid()]
    while todo:
        pid = todo.pop()
        found.append(pid)
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(FileNotFoundError), open(f"/proc/{pid}/task/{thread}/children") as file:
                todo += map(int, file.read().split())
    return found


def _cpu(pid: int) -> float:
    """Seconds, user and system."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _megabytes(pid: int) -> float:
    """What the process has in memory, its part of what it shares included."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1024
