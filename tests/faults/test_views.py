"""Views of a generation: whoever begins, reads and gives them up, when and on what thread, they are of one log."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamkit import (
    Client,
    Context,
    StreamKitError,
    StreamTruncated,
    TextStream,
    stream_text,
)
from streamkit.testing import (
    Close,
    End,
    Gate,
    ProviderServer,
    Status,
    Wait,
    chat_answer,
    error_event,
)
from tests.faults.scenes import FREE, PATIENCE, Scene, asking, quick
from tests.loopback import delta, took

PIECES = [str(number) for number in range(4)]
VIEWS: dict[str, Callable[[TextStream], Iterator[Any]]] = {
    "text_stream": lambda stream: stream.text_stream(),
    "stream": lambda stream: stream.stream(),
    "iteration": lambda stream: iter(stream),
}
WAITS: dict[str, Callable[[TextStream], Any]] = {
    "result": lambda stream: _outcome(stream.result),
    "err": lambda stream: stream.err(),
    "final": lambda stream: stream.chat_stream.final.get(),
    "ch.err": lambda stream: stream.chat_stream.err.get(),
}
ENDS: dict[str, tuple[Any, ...]] = {
    "whole": chat_answer()[1:],
    "cut": (Close(),),
    "error": (error_event("overloaded"), End()),
}
OPS = st.one_of(
    st.just(("send", "")),
    st.tuples(st.sampled_from(["begin", "thread"]), st.sampled_from(sorted(VIEWS))),
    st.tuples(st.just("wait"), st.sampled_from(sorted(WAITS))),
    st.tuples(st.sampled_from(["read", "drop"]), st.integers(0, 5)),
)


def _outcome(result: Callable[[], Any]) -> Any:
    try:
        return result()
    except StreamKitError as error:
        return error


def _read(view: Iterator[Any]) -> tuple[list[Any], StreamKitError | None]:
    """All that a view gives, and what it raises at its end."""
    given: list[Any] = []
    try:
        for item in view:
            given.append(item)
    except StreamKitError as error:
        return given, error
    return given, None


@attrs.define
class Reader:
    """A view, and what it has given so far."""

    kind: str
    view: Iterator[Any]
    given: list[Any] = attrs.field(factory=list)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(OPS, max_size=25), st.sampled_from(sorted(ENDS)))
def test_views_in_any_interleaving(server: ProviderServer, client: Client, ops: list[Any], end: str) -> None:
    """Begun, read, and given up at any time, from any thread: all views are of one log, and of one outcome."""
    gates = [Gate() for _ in range(len(PIECES) + 1)]
    pieces = [step for gate, piece in zip(gates, PIECES, strict=False) for step in (Wait(gate), delta(piece))]
    server.reply(Status(), *pieces, Wait(gates[-1]), *ENDS[end])
    stream = stream_text(client.model("gpt-4o"), prompt="Hello")
    sent = 0
    readers: list[Reader] = []
    threads: list[tuple[str, Future[Any]]] = []
    waits: list[tuple[str, Future[Any]]] = []
    with ThreadPoolExecutor(len(ops) + 1) as executor:
        for op, value in ops:
            if op == "send" and sent < len(PIECES):
                gates[sent].set()
                sent += 1
            elif op == "begin":
                readers.append(Reader(value, VIEWS[value](stream)))
            elif op == "thread":
                threads.append((value, executor.submit(_read, VIEWS[value](stream))))
            elif op == "wait":
                waits.append((value, executor.submit(WAITS[value], stream)))
            elif op == "read" and value < len(readers) and len(readers[value].given) < sent:
                readers[value].given.append(next(readers[value].view))
            elif op == "drop" and value < len(readers):
                del readers[value]
        for gate in gates:
            gate.set()
        done = [(kind, *thread.result(PATIENCE)) for kind, thread in threads]
        done += [(r.kind, r.given + rest, error) for r in readers for rest, error in [_read(r.view)]]
        outcomes = [(kind, wait.result(PATIENCE)) for kind, wait in waits]
    error, log = stream.err(), list(stream.stream())

    assert (error is None) == (end == "whole")
    assert PIECES == [chunk.content for chunk in log if chunk.type == "text"]
    assert list(range(len(log))) == [chunk.index for chunk in log]
    for kind, got, raised in done:
        assert {"text_stream": PIECES, "stream": log, "iteration": log[:-1]}[kind] == got
        assert raised is (error if kind == "iteration" else None)
    final = stream.chat_stream.final.get()
    for kind, outcome in outcomes:
        assert outcome is {"result": error or final, "final": final}.get(kind, error)


@pytest.mark.parametrize("how", ["stream", "context"])
@pytest.mark.parametrize("begun", ["while it runs", "before its end", "after its end"])
def test_views_and_a_cancel(how: str, begun: str, server: ProviderServer, client: Client) -> None:
    """Those under way end at once, whenever they were begun; one that is begun later gives all that had arrived."""
    ctx, gate = Context(), Gate()
    server.reply(Status(), *map(delta, PIECES), Wait(gate), *(chat_answer()[1:]))
    with stream_text(client.model("gpt-4o"), prompt="Hello", ctx=ctx) as stream:
        if begun == "after its end":
            gate.set()
            stream.result()
        under_way = [stream.text_stream(), stream.text_stream(), stream.stream()]
        assert PIECES == [next(under_way[0]) for _ in PIECES]
        next(under_way[1]), next(under_way[2])
        if begun == "before its end":
            gate.set()
            stream.result()
        stream.cancel() if how == "stream" else ctx.cancel()
        with took(FREE):
            rest = [[getattr(item, "type", item) for item in view] for view in under_way]
        gate.set()

        assert [[], [], ["error"]] == rest
        assert PIECES == list(stream.text_stream())
        assert [] == list(stream.chat_stream.ch)


def test_channel_and_views_beside_each_other(server: ProviderServer, client: Client) -> None:
    """Readers share what `ch` brings, and take nothing from a view; a view takes nothing from them."""
    pieces = [str(number) for number in range(2_000)]
    server.reply(*chat_answer(*pieces))
    together = threading.Barrier(8)

    def read(number: int) -> list[str]:
        together.wait(PATIENCE)
        source = stream.text_stream() if number % 2 else (chunk.content for chunk in stream.chat_stream.ch)
        return [text for text in source if text]

    with stream_text(client.model("gpt-4o"), prompt="Hello") as stream, ThreadPoolExecutor(8) as executor:
        read_by = list(executor.map(read, range(8)))

    assert all(pieces == texts for texts in read_by[1::2])
    assert sorted(pieces) == sorted(text for texts in read_by[::2] for text in texts)
    assert all(sorted(texts, key=int) == texts for texts in read_by)


@pytest.mark.parametrize("end", ["whole", "cut"])
def test_what_a_generation_gives_can_be_pickled(end: str, scene: Scene, client: Client) -> None:
    """The response with its steps, each chunk, and the error with what had arrived."""
    scene.server.reply(*asking("weather"))
    scene.server.reply(*(chat_answer("It is warm.") if end == "whole" else [Status(), delta("It is"), Close()]))
    stream = scene.start(client, tools=[scene.tool("weather", quick)])
    *chunks, last = stream.stream()

    assert chunks == pickle.loads(pickle.dumps(chunks))
    if end == "whole":
        assert (stream.result(), last) == pickle.loads(pickle.dumps((stream.result(), last)))
    else:
        error = pickle.loads(pickle.dumps(last)).error
        assert (StreamTruncated, str(stream.err()), stream.partial) == (type(error), str(error), error.partial)
