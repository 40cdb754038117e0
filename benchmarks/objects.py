"""Typed partials of one large object: their CPU, whether it is linear, and what parsing anew at each delta costs.

instructor is asked for smaller ones, as its time grows with the square of their size; of two sizes, so that it shows.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Iterator
from time import process_time
from typing import Any

import attrs

from benchmarks.bench import Bench, Worker, alternating, installed
from benchmarks.catalogue import pieces
from benchmarks.process import cpu
from benchmarks.row import Row, absolute, compared, missing

__all__ = ["measure", "partials", "reparsed", "streamed"]

ITEMS = 4_000
FEW = (200, 400)


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
    yield from _large(bench)
    yield from _over_http(bench)


def _large(bench: Bench) -> Iterator[Row]:
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


def _over_http(bench: Bench) -> Iterator[Row]:
    for items in FEW:
        figure = f"partials of a {items // 20} kB object of {items} items over HTTP: CPU"
        if not installed("instructor"):
            yield missing(figure, "instructor (in an environment of its own: it needs an older openai)")
            continue
        bench.tell(f"typed partials of an object of {items} items: instructor, streamkit")
        url = bench.url("catalogue", items)
        with (
            Worker("objects.streamed", "streamkit", url, str(items)) as ours,
            Worker("objects.streamed", "instructor", url, str(items)) as theirs,
        ):
            taken = alternating(bench.count(2, 1), {"ours": ours.measure, "theirs": theirs.measure})
        yield compared(figure, "s", taken["ours"], "instructor", taken["theirs"], at_most=0.1)


def partials(items: str) -> Iterator[float]:
    """Read all partials of a stream a round; give the seconds of CPU."""
    from streamkit.consumers.objects import ObjectStream, Wanted
    from streamkit.stream import start_stream
    from streamkit.typed import typed
    from streamkit.types.chunks import Chunk, TextChunk

    chunks: list[Chunk] = [TextChunk(content=delta, index=i) for i, delta in enumerate(pieces(int(items)))]

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

    deltas = [delta.encode() for delta in pieces(int(items))]
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


def streamed(name: str, url: str, items: str) -> Iterator[float]:
    """Ask for the object and read its partials, of a pydantic model, a round; give the seconds of CPU."""
    ask = {"instructor": _instructor, "streamkit": _streamkit}[name](url)
    while True:
        before = cpu()
        *_, last = ask()
        taken = cpu() - before
        if len(last.items) != int(items):
            raise RuntimeError("the last partial is not the whole object")
        yield taken


def _streamkit(url: str) -> Callable[[], Iterator[Any]]:
    from streamkit import Client, stream_object
    from streamkit.providers import OpenAI

    model = Client(OpenAI(api_key="sk-benchmark", base_url=url)).model("gpt-4o")
    wanted = _pydantic_catalogue()
    return lambda: stream_object(model, wanted, prompt="List all", mode="tool").partial_object_stream()


def _instructor(url: str) -> Callable[[], Iterator[Any]]:
    import instructor
    import openai

    client = instructor.from_openai(openai.OpenAI(api_key="sk-benchmark", base_url=url))
    return functools.partial(
        client.create_partial,
        response_model=_pydantic_catalogue(),
        model="gpt-4o",
        messages=[{"role": "user", "content": "List all"}],
    )


def _pydantic_catalogue() -> Any:
    import pydantic

    item = pydantic.create_model("Item", id=(int, ...), name=(str, ...), price=(float, ...))
    return pydantic.create_model("Catalogue", items=(list[item], ...))  # type: ignore[valid-type]  # a class made just now
