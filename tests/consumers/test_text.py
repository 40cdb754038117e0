"""TextStream: views over one stream."""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from streamkit import Cancelled, Client, Context, StreamTruncated, TextStream, stream_text
from streamkit.testing import Close, Gate, ProviderServer, Stall, Status, Wait, chat_answer
from tests.loopback import ask, client_of, delta, took

TEXT = ["Hel", "lo", " world"]


def started(client: Client, **options: Any) -> TextStream:
    """A stream that was asked for."""
    return stream_text(client.model("gpt-4o"), prompt="Hello", **options)


VIEWS: dict[str, tuple[Callable[[TextStream], Any], Any]] = {
    "text_stream": (lambda stream: list(stream.text_stream()), TEXT),
    "stream": (lambda stream: [chunk.type for chunk in stream.stream()], ["text"] * 3 + ["step_finish", "finish"]),
    "iteration": (lambda stream: [chunk.type for chunk in stream], ["text"] * 3 + ["step_finish"]),
    "result": (lambda stream: stream.result().text, "".join(TEXT)),
    "err": (lambda stream: stream.err(), None),
    "ch": (lambda stream: [chunk.index for chunk in stream.chat_stream.ch], [0, 1, 2, 3]),
    "final": (lambda stream: stream.chat_stream.final.get().text, "".join(TEXT)),
}


@pytest.mark.parametrize(
    "order", [*itertools.permutations(["text_stream", "stream", "result", "ch"]), [*VIEWS], [*VIEWS][::-1]]
)
def test_views_in_any_order(server: ProviderServer, client: Client, order: list[str]) -> None:
    """Each gives the whole, whichever were read before; but for `ch`, which is read once."""
    server.reply(*chat_answer(*TEXT))
    stream = started(client)
    for name in order:
        view, expected = VIEWS[name]

        assert expected == view(stream), name


def test_views_from_many_threads(server: ProviderServer, client: Client) -> None:
    """Begun at the same time while the answer is coming, each gives the whole."""
    server.reply(*chat_answer(*TEXT * 50))
    stream = started(client)
    names = ["text_stream", "stream", "result", "err"] * 3
    together = threading.Barrier(len(names))

    def read(name: str) -> Any:
        together.wait(5)
        return VIEWS[name][0](stream)

    with ThreadPoolExecutor(len(names)) as pool:
        read_by = list(zip(names, pool.map(read, names), strict=True))

    assert {("text_stream", "".join(TEXT * 50))} == {(n, "".join(r)) for n, r in read_by if n == "text_stream"}
    assert all(len(r) == 152 for n, r in read_by if n == "stream")
    assert {"".join(TEXT * 50)} == {r for n, r in read_by if n == "result"}


def test_a_view_in_the_middle_of_another(server: ProviderServer, client: Client) -> None:
    """It begins at the beginning, and takes nothing from the other."""
    server.reply(*chat_answer(*TEXT))
    stream = started(client)
    first = stream.text_stream()

    assert TEXT[0] == next(first)
    assert TEXT == list(stream.text_stream())
    assert TEXT[1:] == list(first)


def test_what_the_last_chunk_says(server: ProviderServer, client: Client) -> None:
    """`finish` has the reason, the usage of all steps and the response, and goes on with the numbering."""
    server.reply(*chat_answer(*TEXT))
    stream = started(client)
    *_, finish = stream.stream()

    assert finish.type == "finish"
    assert ("stop", 4) == (finish.finish_reason, finish.index)
    assert stream.result().total_usage == finish.usage
    assert stream.result().response == finish.response
    assert ("natural", 1) == (finish.metadata["stop_cause"], finish.metadata["steps"])


def test_a_cut_stream(server: ProviderServer, client: Client) -> None:
    """Views that do not raise end, `stream` with the error; the others raise it, each time anew, with the text."""
    server.reply(Status(), delta("Hel"), Close())
    stream = started(client)

    assert ["Hel"] == list(stream.text_stream())
    assert ["text", "error"] == [chunk.type for chunk in stream.stream()]
    for _ in range(2):
        with pytest.raises(StreamTruncated) as raised:
            stream.result()
        assert isinstance(raised.value.partial, type(stream.partial))
        assert "Hel" == raised.value.partial.text
    with pytest.raises(StreamTruncated):
        list(stream)
    assert isinstance(stream.err(), StreamTruncated)


def test_a_cancel_ends_the_views(server: ProviderServer, client: Client) -> None:
    """Those under way at once, while the provider is silent; one that is begun later gives all that had arrived."""
    server.reply(Status(), delta("Hel"), delta("lo"), Stall())
    stream = started(client)
    view = stream.stream()

    assert "Hel" == next(view).content
    assert "lo" == next(view).content
    threading.Timer(0.05, stream.cancel).start()
    with took(1.0):
        last = next(view)
    assert last.type == "error"
    assert isinstance(last.error, Cancelled)
    assert [] == list(view)
    assert ["Hel", "lo"] == list(stream.text_stream())
    assert ["text", "text", "error"] == [chunk.type for chunk in stream.stream()]


def test_a_cancel_while_much_lies_unread(server: ProviderServer, client: Client) -> None:
    """As with `ch`, the view under way ends, also where all had arrived; the outcome stays, and a new view is whole."""
    gate = Gate()
    server.reply(Status(), delta("Hel"), Wait(gate), *chat_answer(*TEXT * 100)[1:])
    stream = started(client)
    view = stream.text_stream()
    next(view)
    gate.set()
    stream.result()
    stream.cancel()

    assert [] == list(view)
    assert 301 == len(list(stream.text_stream()))
    assert stream.result().complete


def test_more_chunks_than_a_buffer_holds(server: ProviderServer) -> None:
    """Who reads a view alone is not held up by a channel that nobody reads."""
    server.reply(*chat_answer(*TEXT * 20))
    with client_of(server, buffer=3) as client:
        assert "".join(TEXT * 20) == "".join(started(client).text_stream())


def test_dropped_streams_end(server: ProviderServer, client: Client) -> None:
    """Held by nobody, it is cancelled; a view alone keeps it running."""
    server.reply(Status(), delta("Hel"), Stall())
    stream = started(client)
    run = stream.chat_stream._run
    view = stream.text_stream()
    next(view)
    del stream
    gc.collect()

    assert run.live
    del view
    gc.collect()
    run.pipe.wait_changed(lambda: run.pipe.closed, 2)
    assert not run.live


def test_with_and_close(server: ProviderServer, client: Client) -> None:
    """Leaving the block ends the stream."""
    server.reply(Status(), delta("Hel"), Stall())
    with started(client) as stream:
        next(stream.text_stream())

    assert isinstance(stream.err(), Cancelled)
    assert "TextStream Cancelled" in repr(stream)


def test_a_context_ends_it(server: ProviderServer, client: Client) -> None:
    """As it ends any stream."""
    server.reply(Status(), delta("Hel"), Stall())
    ctx = Context()
    stream = started(client, ctx=ctx)
    view = stream.text_stream()
    next(view)
    ctx.cancel("enough")

    assert [] == list(view)
    assert "enough" in str(stream.err())
    assert "Hel" == stream.partial.text


def test_a_stream_that_keeps_no_log(server: ProviderServer, client: Client) -> None:
    """Only those of `stream_text` and its kin do: the memory is the user's."""
    server.reply(*chat_answer(*TEXT))
    stream = ask(client).get_stream()

    assert stream._run.pipe.log is None
    assert "".join(TEXT) == stream.result().text


def test_threads_may_share_a_view(server: ProviderServer, client: Client) -> None:
    """Each piece goes to one of them."""
    pieces = [f"{number} " for number in range(500)]
    server.reply(*chat_answer(*pieces))
    view = started(client).text_stream()
    together = threading.Barrier(4)

    def read(_: int) -> list[str]:
        together.wait(5)
        return list(view)

    with ThreadPoolExecutor(4) as pool:
        read_by = list(pool.map(read, range(4)))

    assert sorted(pieces) == sorted(text for texts in read_by for text in texts)


def test_a_view_that_a_cancel_ends_is_not_complete(server: ProviderServer, client: Client) -> None:
    """Its last chunk says so, with the whole answer, though the stream had ended well."""
    server.reply(*chat_answer(*TEXT))
    stream = started(client)
    view = stream.stream()
    next(view)
    stream.result()
    stream.cancel()
    last = [*view][-1]

    assert ("error", 1) == (last.type, last.index)
    assert isinstance(last.error, Cancelled)
    assert last.error.partial is stream.result()
