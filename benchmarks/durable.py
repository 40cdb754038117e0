"""What an answer in Redis costs: µs of a chunk beside redis-py's own commands, ms from writer to follower."""

from __future__ import annotations

import contextlib
import queue
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.bench import Bench, alternating, installed
from benchmarks.row import Row, absolute, compared, missing, p99

if TYPE_CHECKING:
    from streamkit import Chunk
    from streamkit.integrations.redis import DurableStreams

__all__ = ["measure"]

BATCH = 100
"""Chunks that one read of a fast provider brings."""


def measure(bench: Bench) -> Iterator[Row]:
    """Take the figures."""
    if shutil.which("redis-server") is None or not installed("redis"):
        yield missing("durable streams", "redis, and Debian's redis-server")
        return
    from streamkit.integrations.redis import DurableStreams

    with _redis() as url, DurableStreams(url) as durable:
        chunks = _chunks(bench.count(20_000, 1_000))
        for what, ours, peer in (("write", _write, _xadd), ("follow", _follow, _xread)):
            bench.tell(f"durable streams: {what}")
            rounds = {"streamkit": _round(ours, durable, chunks), "redis-py": _round(peer, durable, chunks)}
            taken = alternating(bench.count(7, 2), rounds)
            figure = f"durable, {what}: a chunk, in batches of {BATCH}"
            yield compared(figure, "µs", taken["streamkit"], "redis-py", taken["redis-py"])
        bench.tell("durable streams: from writer to follower")
        delays = list(_delays(durable, bench.count(1_000, 50)))
        yield absolute("durable, writer to follower: median", "ms", statistics.median(delays))
        yield absolute("durable, writer to follower: p99", "ms", p99(delays))


@contextlib.contextmanager
def _redis() -> Iterator[str]:
    """A Redis of our own, which keeps nothing on a disk."""
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        command = ["redis-server", "--port", "0", "--unixsocket", f"{folder}/socket", "--dir", folder, "--save", ""]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if "eady to accept connections" in line:
                    break
            yield f"unix://{folder}/socket"
            process.kill()


def _round(taking: Callable[..., None], durable: DurableStreams, chunks: Sequence[Chunk]) -> Callable[[], float]:
    """A round of a measurement: µs of a chunk."""

    def taken() -> float:
        begin = time.perf_counter()
        taking(durable, chunks)
        return (time.perf_counter() - begin) * 1e6 / len(chunks)

    return taken


def _chunks(count: int) -> list[Chunk]:
    from streamkit import TextChunk

    return [TextChunk(content=f" token{n}", index=n) for n in range(count)]


def _write(durable: DurableStreams, chunks: Sequence[Chunk]) -> None:
    from streamkit.stream import start_stream

    def source(run: Any) -> Iterator[list[Chunk]]:
        run.answered({}, None)
        for at in range(0, len(chunks), BATCH):
            yield [*chunks[at : at + BATCH]]

    durable.delete("a")
    durable.write("a", start_stream(source, name="bench")).result()


def _xadd(durable: DurableStreams, chunks: Sequence[Chunk]) -> None:
    from streamkit.chunk_json import chunk_to_json

    client = durable._store._client
    client.delete("raw")
    payloads = [chunk_to_json(chunk) for chunk in chunks]
    for at in range(0, len(payloads), BATCH):
        with client.pipeline(transaction=False) as pipeline:
            for n, payload in enumerate(payloads[at : at + BATCH], at + 1):
                pipeline.xadd("raw", {"c": payload}, id=f"1-{n}")
            pipeline.execute()


def _follow(durable: DurableStreams, chunks: Sequence[Chunk]) -> None:
    if len(chunks) != sum(1 for _ in durable.follow("a")):
        raise RuntimeError("there are chunks missing")


def _xread(durable: DurableStreams, chunks: Sequence[Chunk]) -> None:
    client, last, count = durable._store._client, "0", 0
    while count < len(chunks):
        ((_, entries),) = client.xread({"raw": last}, count=500)
        last, count = entries[-1][0], count + len(entries)


def _delays(durable: DurableStreams, count: int) -> Iterator[float]:
    """Give the ms that each of so many chunks takes from a writer's provider to a follower's reader."""
    provider: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()
    durable.delete("a")
    durable.write("a", iter(provider.get, None))  # type: ignore[arg-type]  # None ends it
    followed = durable.follow("a")
    for chunk in _chunks(count):
        begin = time.perf_counter()
        provider.put(chunk)
        followed.ch.get()
        yield (time.perf_counter() - begin) * 1e3
    provider.put(None)
    followed.result()
