"""The run's end of the ropes: who may hang on to it, and what comes in there."""

from __future__ import annotations

import contextlib
import pickle
import socket
import threading
from collections.abc import Iterator

import attrs
import pytest

from streamkit import Context, StreamKitError
from streamkit.parallel.chunk_feed import ChunkFeed, Tape
from streamkit.parallel.lifeline import Lifeline
from streamkit.parallel.rope import CHUNKS, END, TAKEN, WANTED, Grip, Rope
from streamkit.parallel.sealed import Sealed, called
from streamkit.types import TextChunk

MARK = b"a prompt's mark."


@attrs.define
class Run:
    """A lifeline and the tapes that it has made."""

    feed: ChunkFeed = attrs.field(factory=ChunkFeed)
    over: bool = False

    def tape_of(self, mark: bytes, attempt: bytes) -> Tape | None:
        """As a run does."""
        return self.feed.tape(0, attempt) if mark == MARK and not self.over else None


@pytest.fixture(name="run")
def fixture_run() -> Run:
    """What a run has beside its lifeline."""
    return Run()


@pytest.fixture(name="lifeline")
def fixture_lifeline(run: Run) -> Iterator[Lifeline]:
    """One that is cut in the end."""
    lifeline = Lifeline("127.0.0.1", sole=True, tape_of=run.tape_of)
    lifeline.start()
    yield lifeline
    lifeline.cut()


def connected(rope: Rope, hello: bytes = MARK + b"attempt1") -> Sealed:
    """Hang on to it as a worker does, by hand."""
    sock = socket.create_connection((rope.host, rope.port), timeout=5)
    try:
        line = called(sock, rope.secret)
    except OSError:
        sock.close()
        raise
    line.send(hello)
    return line


def texts(feed: ChunkFeed) -> list[str]:
    """What a reader would get, once all has come."""
    feed.close()
    return [chunk.content for _, chunk in feed.open().pairs()]


def test_a_cut_is_felt(lifeline: Lifeline) -> None:
    """By all that hang on to it."""
    lines = [connected(lifeline.rope()) for _ in range(3)]
    lifeline.want()
    said = [line.receive() for line in lines]  # so it has taken them in
    lifeline.cut()
    lifeline.cut()

    assert [WANTED] * 3 == said
    for line in lines:
        with pytest.raises(OSError, match=r"cut|reset"):
            line.receive()
        line.close()


def test_who_comes_too_late_finds_nobody(lifeline: Lifeline) -> None:
    """An errand that was still in line when the run ended is not asked."""
    rope = lifeline.rope()
    lifeline.cut()
    ctx = Context()
    with Grip(rope, ctx, Tape(0, ())):
        assert ctx.cancelled


def test_strangers_are_sent_away(lifeline: Lifeline, run: Run) -> None:
    """Who does not know the secret, who says nothing sensible, and more of them than it minds."""
    rope = lifeline.rope()
    with pytest.raises(OSError, match=r"cut|reset"):
        connected(attrs.evolve(rope, secret=bytes(32)))
    with socket.create_connection((rope.host, rope.port), timeout=5) as web:
        web.sendall(b"GET / HTTP/1.1\r\nHost: somebody.example\r\n\r\n" + bytes(64))
        with contextlib.suppress(ConnectionResetError):
            while web.recv(100):
                pass

    assert [] == texts(run.feed)


def test_there_are_never_too_many_strangers(lifeline: Lifeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than it minds find the door shut."""
    monkeypatch.setattr(lifeline, "_most", 2)
    rope = lifeline.rope()
    waiting = [socket.create_connection((rope.host, rope.port), timeout=5) for _ in range(2)]
    nonces = [len(each.recv(32, socket.MSG_WAITALL)) for each in waiting]
    with socket.create_connection((rope.host, rope.port), timeout=5) as third:
        sent_away = third.recv(1)
    for each in waiting:
        each.close()

    assert [32, 32] == nonces
    assert b"" == sent_away


def test_chunks_are_taken_in_once_they_are_wanted(lifeline: Lifeline, run: Run) -> None:
    """Those of who hangs there already, and of who comes later; each is told when all have come."""
    early = connected(lifeline.rope(), MARK + b"early")
    lifeline.want()
    lifeline.want()
    late = connected(lifeline.rope(), MARK + b"late")
    wanted = [early.receive(), late.receive()]
    late.send(CHUNKS + pickle.dumps([TextChunk(content="a", index=0), TextChunk(content="b", index=1)]))
    late.send(CHUNKS + pickle.dumps([TextChunk(content="c", index=2)]))
    late.send(END)
    taken = late.receive()
    early.close()
    late.close()

    assert [WANTED, WANTED, TAKEN] == [*wanted, taken]
    assert ["a", "b", "c"] == texts(run.feed)


def test_an_attempt_that_was_overtaken_is_not_heard(lifeline: Lifeline, run: Run) -> None:
    """A worker that was given up for lost may live: what it sends goes nowhere, and it is cut off."""
    first, second = (connected(lifeline.rope(), MARK + number) for number in (b"1", b"2"))
    for line, text in ((first, "old"), (second, "new")):
        line.send(CHUNKS + pickle.dumps([TextChunk(content=text, index=0)]))
        lifeline.want()
        assert line.receive() == WANTED
        while run.feed.tape_of(0, b"1" if line is first else b"2") is None:
            pass  # it is on its way
    first.send(CHUNKS + pickle.dumps([TextChunk(content="older", index=1)]))
    first.send(END)
    with pytest.raises(OSError, match=r"cut|reset"):
        first.receive()
    second.send(END)
    taken = second.receive()
    second.close()
    first.close()

    assert TAKEN == taken
    assert ["new"] == texts(run.feed)[-1:]
    assert "older" not in texts(run.feed)


def test_who_is_not_expected_is_cut_off(lifeline: Lifeline, run: Run) -> None:
    """One with a prompt that has its outcome."""
    run.over = True
    line = connected(lifeline.rope())
    line.send(END)
    with pytest.raises(OSError, match=r"cut|reset"):
        line.receive()
    line.close()


def test_without_a_port_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the family says so."""

    def refuse(*arguments: object, **settings: object) -> None:
        raise OSError("no more descriptors")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(StreamKitError, match="no more descriptors"):
        Lifeline("127.0.0.1", sole=True, tape_of=Run().tape_of)


def test_without_a_thread_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The port is given back, and an error of the family says so."""

    def refuse(thread: object) -> None:
        raise RuntimeError("can't start new thread")

    lifeline = Lifeline("127.0.0.1", sole=True, tape_of=Run().tape_of)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(StreamKitError, match="no thread"):
        lifeline.start()


def test_copies_in_a_forked_child_are_given_up(lifeline: Lifeline, run: Run) -> None:
    """They are closed without a word to those that hang on to it."""
    lifeline.want()
    line = connected(lifeline.rope())
    copy = Lifeline("127.0.0.1", sole=True, tape_of=run.tape_of)
    copy.forked()
    line.receive()
    line.send(END)

    assert TAKEN == line.receive()
    line.close()
