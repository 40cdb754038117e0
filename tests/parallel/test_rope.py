"""A worker's hold on its run: what it feels, and what it sends."""

from __future__ import annotations

import pickle
import socket
import threading
from collections import deque
from collections.abc import Iterator

import pytest

from streamkit import Context
from streamkit.parallel import chunk_feed
from streamkit.parallel import rope as rope_module
from streamkit.parallel.chunk_feed import Tape
from streamkit.parallel.rope import CHUNKS, END, TAKEN, WANTED, Grip, Rope
from streamkit.parallel.sealed import Sealed, greeted, new_secret
from streamkit.types import Chunk, TextChunk


class Run:
    """The other end, by hand."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.rope = Rope(
            host="127.0.0.1", port=self.listener.getsockname()[1], sole=True, secret=new_secret(), mark=b"m" * 16
        )
        self._lines: list[Sealed] = []
        self._thread = threading.Thread(target=self._greet)
        self._thread.start()

    def _greet(self) -> None:
        sock, _ = self.listener.accept()
        self._lines.append(greeted(sock, self.rope.secret))

    def line(self) -> Sealed:
        """The line that a worker has made."""
        self._thread.join()
        return self._lines[0]

    def close(self) -> None:
        """Let go of all."""
        for line in self._lines:
            line.close()
        self.listener.close()


@pytest.fixture(name="run")
def fixture_run() -> Iterator[Run]:
    """A run."""
    run = Run()
    yield run
    run.close()


@pytest.fixture(autouse=True)
def all_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test cannot reach, another may."""
    monkeypatch.setattr(rope_module, "_unreachable", deque())


def text(content: str, index: int = 0) -> TextChunk:
    """Make a piece of text."""
    return TextChunk(content=content, index=index)


def received(line: Sealed) -> list[Chunk]:
    """All chunks, to the end."""
    chunks: list[Chunk] = []
    while (message := line.receive()) != END:
        chunks += pickle.loads(message.removeprefix(CHUNKS))
    return chunks


def test_a_rope_travels() -> None:
    """Its secret does, too, and is not printed; each is for another prompt."""
    rope = Rope(host="h", port=1, sole=True, secret=b"a secret of ours")

    assert rope == pickle.loads(pickle.dumps(rope))
    assert "secret" not in repr(rope)
    assert rope.mark != Rope(host="h", port=1, sole=True, secret=b"").mark


def test_the_end_of_the_run_is_felt(run: Run) -> None:
    """As soon as the connection is cut."""
    ctx = Context()
    with Grip(run.rope, ctx, Tape(0, ())) as grip:
        line = run.line()
        hello = line.receive()
        alive = not ctx.cancelled
        line.close()

        assert ctx.wait(5)
    assert alive
    assert b"m" * 16 + grip.attempt == hello


def test_chunks_that_nobody_wants_stay(run: Run) -> None:
    """They are for the answer to take along."""
    tape = Tape(0, ())
    with Grip(run.rope, Context(), tape) as grip:
        run.line().receive()
        tape.add(text("a"))

        assert not grip.deliver()


def test_chunks_that_are_wanted_go_out(run: Run) -> None:
    """Those from before, and those that come; it ends when the run has them."""
    tape, delivered = Tape(0, ()), []
    with Grip(run.rope, Context(), tape) as grip:
        line = run.line()
        line.receive()
        tape.add(text("a"))
        line.send(WANTED)
        line.send(WANTED)
        first = pickle.loads(line.receive().removeprefix(CHUNKS))
        tape.add(text("b", 1))
        waiting = threading.Thread(target=lambda: delivered.append(grip.deliver()))
        waiting.start()
        rest = received(line)
        line.send(TAKEN)
        waiting.join()

    assert [text("a")] == first
    assert [text("b", 1)] == rest
    assert [True] == delivered


def test_a_run_that_ends_is_not_waited_for(run: Run) -> None:
    """Nor for its thanks."""
    tape = Tape(0, ())
    with Grip(run.rope, Context(), tape) as grip:
        line = run.line()
        line.receive()
        line.send(WANTED)
        tape.add(text("a"))
        line.receive()
        line.close()

        assert not grip.deliver()


def test_not_live_nothing_is_sent(run: Run) -> None:
    """Whoever asks."""
    tape = Tape(0, ())
    with Grip(run.rope, Context(), tape, live=False) as grip:
        line = run.line()
        line.receive()
        line.send(WANTED)
        tape.add(text("a"))

        assert not grip.deliver()


def test_messages_have_a_bound(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many chunks go in several; one that is too long by itself goes with the answer, and the stream is not held up."""
    monkeypatch.setattr(rope_module, "LONGEST", 2000)
    monkeypatch.setattr(chunk_feed, "BUFFER", 2)
    tape = Tape(0, ())
    for number in range(100):
        tape.add(text("x" * 100, number))
    with Grip(run.rope, Context(), tape) as grip:
        line = run.line()
        line.receive()
        line.send(WANTED)
        sizes = []
        chunks: list[Chunk] = []
        while len(chunks) < 100:
            message = line.receive()
            sizes.append(len(message))
            chunks += pickle.loads(message.removeprefix(CHUNKS))
        for number in range(100, 110):
            tape.add(text("y" * 5000, number))

        assert not grip.deliver()
    assert list(range(100)) == [chunk.index for chunk in chunks]
    assert max(sizes) <= 2000


def test_without_a_run_nothing_is_asked() -> None:
    """Where nothing else would tell of its end: it has ended."""
    ctx = Context()
    with Grip(Rope(host="127.0.0.1", port=9, sole=True, secret=b""), ctx, Tape(0, ())) as grip:
        assert ctx.cancelled
        assert not grip.deliver()


def test_where_others_tell_they_are_given_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection means that it has ended, or a firewall: who knows has a moment to say so."""
    monkeypatch.setattr(rope_module, "REFUSED", 0.01)
    ctx = Context()
    with Grip(Rope(host="127.0.0.1", port=9, sole=False, secret=b""), ctx, Tape(0, ())) as grip:
        assert not ctx.cancelled
        assert not grip.deliver()


def test_what_cannot_be_reached_is_tried_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A wall, most likely: the next prompt does not wait for it; the log tells."""
    tried = []

    def nowhere(address: object, timeout: float) -> None:
        tried.append(address)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", nowhere)
    for sole in (False, True):
        ctx = Context()
        with Grip(Rope(host="192.0.2.9", port=9, sole=sole, secret=b""), ctx, Tape(0, ())):
            assert not ctx.cancelled

    assert [("192.0.2.9", 9)] == tried
    assert "192.0.2.9:9 cannot be reached" in caplog.text
