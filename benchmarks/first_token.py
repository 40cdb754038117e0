"""The first token of a client: of a new process (`cold`) and of one that has asked before (`warm`)."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

from benchmarks.clients import client_named

__all__ = ["cold", "warm"]


def cold(name: str, url: str) -> Iterator[str]:
    """Give the first token; import and make everything for it."""
    texts = client_named(name, url).texts()
    yield next(texts)


def warm(name: str, url: str) -> Iterator[float]:
    """Ask once a round; give the ms from asking to the first token."""
    client = client_named(name, url)
    while True:
        begin = perf_counter()
        texts = client.texts()
        next(texts)
        yield (perf_counter() - begin) * 1e3
        for _ in texts:
            pass
