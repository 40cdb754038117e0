"""Typed partials of one large object: their CPU, whether it is linear, and what parsing anew at each delta costs."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from time import process_time
from typing import Any

import attrs

from benchmarks.bench import Bench, Worker, alternating, installed
from benchmarks.row import Row, absolute, compared, missing

__all__ = ["measure", "partials", "reparsed"]

ITEMS = 4_000
DELTA = 8


@attrs.define
class Item:
    """One of many."""

    id: int
    name: str
    price: float


@attrs.define
class Catalogue:
    """Some 200 kB of them."""

    items: list[Item]


def measure(bench: Bench) -> Iterator[Row]:
    """Take the figures."""
    bench.tell(f"typed partials of an object of {ITEMS} items")
    with (
        Worker("objects.partials", str(ITEMS)) as ours,
        Worker("objects.partials", str(2 * ITEMS)) as twice,
    ):
        taken = alternating(bench.count(5, 1), {"once": ours.measure, "twice": twice.measure})
        figure = f"partials of a 200 kB object of {ITEMS:,} items: CPU"
        yield absolute(figure, "s", statistics.median(taken["once"]), at_most=1)
        growth = [large / small for small, large in zip(taken["once"], taken["twice"], strict=True)]
        yield absolute("partials: twice the items", "", statistics.median(growth), at_most=2.5)
        if not installed("jiter"):
            yield missing(figure, "jiter")
            return
        with Worker("objects.reparsed", str(ITEMS)) as theirs:
            taken = alternating(bench.count(2, 1), {"ours": ours.measure, "theirs": theirs.measure})
        yield compared(figure, "s", taken["ours"], "jiter, parsing anew", taken["theirs"], at_most=0.5)


def partials(items: str) -> Iterator[float]:
    """Read all partials of a stream a round; give the seconds of CPU."""
    from streamkit.consumers.objects import ObjectStream, Wanted
    from streamkit.stream import start_stream
    from streamkit.typed import typed
    from streamkit.types.chunks import Chunk, TextChunk

    chunks: list[Chunk] = [TextChunk(content=delta, index=i) for i, delta in enumerate(_deltas(int(items)))]

    def source(run: Any) -> Iterator[list[Chunk]]:
        run.answered({}, None)
        for at in range(0, len(chunks), 20):
            yield chunks[at : at + 20]

    while True:
        begin = process_time()
        stream: ObjectStream[Catalogue] = ObjectStream(
            start_stream(source, name="bench", logs=True), Wanted(kind=typed(Catalogue)), lambda: None
        )
        *_, last = stream.partial_object_stream()
        taken = process_time() - begin
        if len(last.items) != int(items):
            raise RuntimeError("the last partial is not the whole object")
        yield taken


def reparsed(items: str) -> Iterator[float]:
    """Parse the text so far at each delta, as clients without an incremental parser do."""
    import jiter

    deltas = [delta.encode() for delta in _deltas(int(items))]
    while True:
        begin = process_time()
        text = bytearray()
        last: Any = None
        for delta in deltas:
            text += delta
            last = jiter.from_json(bytes(text), partial_mode="trailing-strings")
        taken = process_time() - begin
        if len(last["items"]) != int(items):
            raise RuntimeError("the last partial is not the whole object")
        yield taken


def _deltas(items: int) -> list[str]:
    text = json.dumps({"items": [{"id": i, "name": f"item {i:05d}", "price": i / 8} for i in range(items)]})
    return [text[at : at + DELTA] for at in range(0, len(text), DELTA)]
