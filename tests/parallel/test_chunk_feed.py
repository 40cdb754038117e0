"""Merged chunks: tapes, cursors, and who waits for whom."""

from __future__ import annotations

import threading

import pytest

from streamkit.parallel import chunk_feed
from streamkit.parallel.chunk_feed import ChunkFeed, joined
from streamkit.types import Chunk, SourceChunk, TextChunk, ThinkingChunk
from streamkit.types.chunks import Source


def text(content: str, index: int = 0) -> TextChunk:
    """Make a piece of text."""
    return TextChunk(content=content, index=index)


def test_a_cursor_gets_what_was_and_what_comes() -> None:
    """Of every tape, in the tape's order."""
    feed = ChunkFeed()
    one, two = feed.tape(0), feed.tape(1)
    one.add(text("a"))
    cursor = feed.open()
    two.add(text("b"))
    one.add(text("c"))
    feed.tape(2).add(text("d"))
    feed.close()

    assert [(0, "a"), (1, "b"), (0, "c"), (2, "d")] == [(index, chunk.content) for index, chunk in cursor.pairs()]


def test_a_tape_is_completed() -> None:
    """With the text that a stream kept back as it was stopped; one that has it all gets nothing more."""
    feed = ChunkFeed()
    tape = feed.tape(0)
    tape.add(ThinkingChunk(content="Hm.", index=0))
    tape.add(text("ab", 1))
    tape.complete("abcd")
    tape.complete("abcd")
    feed.close()

    assert [("Hm.", 0), ("ab", 1), ("cd", 2)] == [(chunk.content, chunk.index) for _, chunk in feed.open().pairs()]


def test_cursors_do_not_share() -> None:
    """Each gets all."""
    feed = ChunkFeed()
    cursors = [feed.open(), feed.open()]
    feed.tape(0).add(text("a"))
    feed.close()
    cursors.append(feed.open())

    assert [[(0, text("a"))]] * 3 == [list(cursor.pairs()) for cursor in cursors]


def test_neighbouring_texts_are_joined() -> None:
    """Not over another kind of chunk, and not those that carry something."""
    source = SourceChunk(source=Source(url="u"), index=3)
    marked = TextChunk(content="e", index=6, metadata={"logprobs": []})
    chunks: list[Chunk] = [
        ThinkingChunk(content="Hm", index=0),
        ThinkingChunk(content=".", index=1),
        text("a", 2),
        source,
        text("b", 4),
        text("c", 5),
        marked,
        text("f", 7),
    ]

    assert [
        ThinkingChunk(content="Hm.", index=0),
        text("a", 2),
        source,
        text("bc", 4),
        marked,
        text("f", 7),
    ] == joined(chunks)


def test_a_long_tape_is_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is written, and of ended ones the oldest first: nothing of their text is lost."""
    monkeypatch.setattr(chunk_feed, "KEPT", 10)
    feed = ChunkFeed()
    tapes = [feed.tape(number) for number in range(3)]
    for number in range(25):
        tapes[0].add(text(str(number % 10)))
    for tape in tapes[1:]:
        for number in range(8):
            tape.add(text(str(number)))
        feed.end(tape)
    feed.close()
    texts = ["", "", ""]
    count = [0, 0, 0]
    for index, chunk in feed.open().pairs():
        texts[index] += chunk.content
        count[index] += 1

    assert ["0123456789012345678901234", "01234567", "01234567"] == texts
    assert count[0] <= 11
    assert [1, 8] == count[1:]


def test_chunks_that_cannot_be_joined_are_looked_at_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """With metadata each stays alone: the tape grows, and is read again only when it is twice as long."""
    monkeypatch.setattr(chunk_feed, "KEPT", 10)
    read: list[int] = []

    def noted(chunks: list[Chunk]) -> list[Chunk]:
        read.append(len(chunks))
        return joined(chunks)

    monkeypatch.setattr(chunk_feed, "joined", noted)
    tape = ChunkFeed().tape(0)
    for number in range(200):
        tape.add(TextChunk(content="x", index=number, metadata={"logprobs": [number]}))

    assert [11, 23, 47, 95, 191] == read
    assert 200 == len(tape)


def test_a_slow_reader_holds_the_writer_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """When as many chunks lie unread as may; reading frees the writer."""
    monkeypatch.setattr(chunk_feed, "BUFFER", 4)
    feed = ChunkFeed()
    cursor = feed.open()
    tape = feed.tape(0)
    written: list[int] = []
    full = threading.Event()

    def write() -> None:
        for number in range(10):
            written.append(number)
            if number == 4:
                full.set()
            tape.add(text(str(number)))
        feed.close()

    writer = threading.Thread(target=write)
    writer.start()
    full.wait()
    most = len(written), cursor.qsize()
    read = [chunk.content for _, chunk in cursor.pairs()]
    writer.join()

    assert (5, 4) == most
    assert [str(number) for number in range(10)] == read


@pytest.mark.parametrize("free", ["leave", "lift", "lift this thread's", "close"])
def test_what_frees_a_writer(monkeypatch: pytest.MonkeyPatch, free: str) -> None:
    """A reader that has gone, that waits for something else, or is cancelled."""
    monkeypatch.setattr(chunk_feed, "BUFFER", 1)
    feed = ChunkFeed()
    cursor = feed.open()
    tape = feed.tape(0)
    writer = threading.Thread(target=lambda: [tape.add(text("x")) for _ in range(5)])
    writer.start()
    if free == "leave":
        cursor.shutdown(immediate=True)
    elif free == "close":
        feed.close(discard=True)
    else:
        feed.lift(threading.get_ident() if "thread" in free else None)
    writer.join(5)
    alive = writer.is_alive()

    assert not alive


def test_another_thread_s_wait_does_not_lift(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says nothing of who reads the chunks."""
    monkeypatch.setattr(chunk_feed, "BUFFER", 1)
    feed = ChunkFeed()
    cursor = feed.open()
    other = threading.Thread(target=lambda: feed.lift(threading.get_ident()))
    other.start()
    other.join()

    assert 1 == cursor.maxsize


def test_who_left_is_forgotten() -> None:
    """Later tapes do not write to a cursor that is closed."""
    feed = ChunkFeed()
    cursor = feed.open()
    tape = feed.tape(0)
    feed.leave(cursor)
    cursor.shutdown(immediate=True)
    tape.add(text("a"))
    feed.tape(1).add(text("b"))

    assert [] == list(cursor.pairs())
    assert 0 == cursor.qsize()


def test_a_prompt_that_begins_again() -> None:
    """Its first chunk says so; what the earlier attempt still writes goes nowhere."""
    feed = ChunkFeed()
    cursor = feed.open()
    lost = feed.tape(0, b"one")
    lost.add(text("a"))
    again = feed.tape(0, b"two")
    lost.add(text("b", 1))
    again.add(text("c"))
    again.add(text("d", 1))
    third = feed.tape(0, b"three")
    third.add(text("e"))
    feed.close()
    told = [(chunk.content, dict(chunk.metadata)) for _, chunk in cursor.pairs()]

    assert [("a", {}), ("c", {"attempt": 2}), ("d", {}), ("e", {"attempt": 3})] == told
    assert (True, True, False) == (lost.stale, again.stale, third.stale)


def test_an_attempt_of_which_nothing_came_does_not_count() -> None:
    """Nobody has read anything of it."""
    feed = ChunkFeed()
    feed.tape(0, b"one")
    feed.tape(0, b"two").add(text("a"))
    feed.close()

    assert [(0, text("a"))] == list(feed.open().pairs())


def test_the_tape_of_an_attempt() -> None:
    """Only of the latest."""
    feed = ChunkFeed()
    first = feed.tape(0, b"one")
    found = feed.tape_of(0, b"one")
    second = feed.tape(0, b"two")

    assert first is found
    assert [None, second, None] == [
        feed.tape_of(0, b"one"),
        feed.tape_of(0, b"two"),
        feed.tape_of(1, b"two"),
    ]


def test_chunks_in_lists() -> None:
    """All that is there at a time, what had come before first."""
    feed = ChunkFeed()
    tape = feed.tape(0)
    for number in range(2_500):
        tape.add(text("x", number))
    cursor = feed.open()
    tape.add(text("y", 2_500))
    feed.close()
    lists = list(cursor.lists())

    assert list(range(2_501)) == [chunk.index for chunks in lists for chunk in chunks]
    assert max(map(len, lists)) <= 1_000


def test_who_opens_is_noticed() -> None:
    """So that chunks of workers elsewhere are asked for."""
    feed = ChunkFeed()
    opened: list[int] = []
    feed.on_open = lambda: opened.append(1)
    feed.open()
    feed.open()

    assert [1, 1] == opened
