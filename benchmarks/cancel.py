"""How long after cancel() the consumer is free, while the provider says nothing."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from benchmarks.bench import Bench, Worker
from benchmarks.row import Row, absolute, p99

if TYPE_CHECKING:
    from streamkit import ChatBuilder

__all__ = ["full", "measure", "opening", "reading"]

SETTLE = 0.005
"""Seconds for a thread to be blocked where it is to be cancelled."""


def measure(bench: Bench) -> Iterator[Row]:
    """Take the figures."""
    for state, body, url, samples in (
        ("connecting", "opening", bench.stuck_url, bench.count(50, 10)),
        ("waiting for headers", "opening", bench.url("headless"), bench.count(200, 10)),
        ("silent body", "reading", bench.url("silent"), bench.count(200, 10)),
        ("full buffer", "full", bench.url("endless"), bench.count(200, 10)),
    ):
        bench.tell(f"cancel to a free consumer: {state}")
        with Worker(f"cancel.{body}", url) as worker:
            worker.measure()
            taken = [worker.measure() for _ in range(samples)]
        yield absolute(f"cancel, {state}: median", "ms", statistics.median(taken), at_most=5)
        yield absolute(f"cancel, {state}: p99", "ms", p99(taken), at_most=5)


def opening(url: str) -> Iterator[float]:
    """Cancel the context of a call that is not open yet; give the ms until get_stream() has raised."""
    from streamkit import Context

    chat = _chat(url)
    while True:
        ctx = Context()
        consumer = _Consumer(lambda ctx=ctx: chat.get_stream(ctx))  # type: ignore[misc]  # of lambdas mypy infers no defaults
        time.sleep(SETTLE)
        yield consumer.freed_by(ctx.cancel)


def reading(url: str) -> Iterator[float]:
    """Cancel a stream that has fallen silent; give the ms until the loop over its channel has ended."""
    chat = _chat(url)
    while True:
        stream = chat.get_stream()
        stream.ch.get()
        consumer = _Consumer(lambda ch=stream.ch: list(ch))  # type: ignore[misc]  # of lambdas mypy infers no defaults
        time.sleep(SETTLE)
        yield consumer.freed_by(stream.cancel)


def full(url: str) -> Iterator[float]:
    """Cancel a stream whose buffer is full; give the ms until a loop over its channel ends."""
    chat = _chat(url).buffer(100)
    while True:
        stream = chat.get_stream()
        while not stream.ch.full():
            time.sleep(SETTLE)
        begin = time.perf_counter()
        stream.cancel()
        for _ in stream.ch:
            pass
        yield (time.perf_counter() - begin) * 1e3


class _Consumer:
    """A thread that blocks until it is cancelled, and notes when it was free."""

    def __init__(self, block: Callable[[], object]) -> None:
        self._block = block
        self._freed = 0.0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def freed_by(self, cancel: Callable[[], object]) -> float:
        """Cancel; give the ms it took."""
        begin = time.perf_counter()
        cancel()
        self._thread.join()
        return (self._freed - begin) * 1e3

    def _run(self) -> None:
        from streamkit import Cancelled

        with contextlib.suppress(Cancelled):
            self._block()
        self._freed = time.perf_counter()


def _chat(url: str) -> ChatBuilder:
    from streamkit import Client, Timeouts
    from streamkit.providers import OpenAI

    # A thread that connects sits out this time; with a long one they would be counted in the hundreds.
    client = Client(OpenAI(api_key="sk-benchmark", base_url=url), timeouts=Timeouts(connect=1.0))
    return client.chat("gpt-4o").user("Tell me a story")
