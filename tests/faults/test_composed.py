"""What transforms streams, one upon the other in any order: text, outcome and end come through all of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import (
    Cancelled,
    ChatStream,
    Chunk,
    Context,
    StreamKitError,
    StreamTruncated,
    TextStream,
    collect,
    smooth,
    tee,
    with_progress,
)
from tests.feeding import Feed, finish, text, thinking
from tests.loopback import took
from tests.strategies import PROPERTY


def first_branch(stream: ChatStream) -> ChatStream:
    """One of two; the other is dropped."""
    return tee(stream, buffer=2)[0]


def drained_branch(stream: ChatStream) -> ChatStream:
    """One of two; the other is read by a thread."""
    branch, other = tee(stream, buffer=3, on_full="drop")
    threading.Thread(target=lambda: list(other.ch), daemon=True).start()
    return branch


PARTS: dict[str, Callable[[ChatStream], ChatStream]] = {
    "smooth": lambda stream: smooth(stream, 0.001),
    "by char": lambda stream: smooth(stream, 0.001, by="char", max_delay=0.01),
    "by word": lambda stream: smooth(stream, 0.001, by="word", max_delay=0.01),
    "progress": lambda stream: with_progress(stream, 3, lambda fraction: None),
    "branch": first_branch,
    "drained branch": drained_branch,
    "chunks": lambda stream: smooth(iter(stream), 0),
}

pieces = st.lists(
    st.one_of(
        st.builds(text, st.text("ab \n🏽", max_size=4)),
        st.builds(thinking, st.text("xy ", max_size=3)),
        st.builds(lambda said: text(said, mark=1), st.sampled_from(["", "c"])),
    ),
    max_size=12,
)


def composed(names: list[str], stream: ChatStream) -> ChatStream:
    """The parts upon each other."""
    for name in names:
        stream = PARTS[name](stream)
    return stream


def said(chunks: list[Chunk], kind: str) -> str:
    """The text of all chunks of a kind."""
    return "".join(chunk.content for chunk in chunks if chunk.type == kind)


@PROPERTY
@given(st.lists(st.sampled_from(sorted(PARTS)), max_size=4), pieces, st.booleans())
def test_any_composition(names: list[str], given: list[Chunk], whole: bool) -> None:
    """Complete or cut: all text, in order, and one outcome."""
    with Feed() as feed:
        stream = composed(names, source := feed.stream())
        for chunk in given:
            feed.give(chunk)
        error = StreamTruncated("cut")
        if whole:
            feed.give(finish(len(given), tokens=9))
            feed.end()
        else:
            feed.fail(error)
        chunks = list(stream.ch)
        outcome = stream.err.get()

        assert [said(given, kind) for kind in ("text", "thinking")] == [
            said(chunks, kind) for kind in ("text", "thinking")
        ]
        if whole:
            assert None is outcome
            assert (said(given, "text"), 9) == ((final := stream.result()).text, final.total_usage.total_tokens)
        else:
            assert error is outcome
            assert outcome.partial is not None
            assert said(given, "text") == outcome.partial.text
        source.close()


@pytest.mark.parametrize("how", ["context", "top", "bottom", "dropped"])
@pytest.mark.parametrize(
    "names", [["branch", "smooth"], ["smooth", "progress", "branch"], ["by word", "by char", "progress"]]
)
def test_an_end_from_outside(names: list[str], how: str) -> None:
    """It frees every part of it at once, wherever it comes."""
    ctx = Context()
    with Feed() as feed:
        source = feed.stream(ctx)
        stream = composed(names, source)
        feed.give(text("a b ", 0, mark=1))
        stream.ch.get(timeout=5)
        with took(1.0):
            if how == "dropped":
                del stream
            else:
                {"context": ctx, "top": stream, "bottom": source}[how].cancel("enough")
                list(stream.ch)
                assert isinstance(stream.err.get(), Cancelled)
            assert isinstance(source.err.get(), Cancelled)


def test_a_text_stream_is_transformed_like_any() -> None:
    """What is beneath it is read."""
    with Feed() as feed:
        stream = smooth(with_progress(TextStream(feed.stream()), 1, lambda fraction: None), by="word")
        feed.give(text("Hello world", 0), finish(1))
        feed.end()

        assert "Hello world" == collect(stream).text


def test_a_thousand_chunks_for_a_slow_and_a_fast_reader() -> None:
    """Through all parts: the fast one has all at once, the slow one has all in the end."""
    many = [text(f"{number} ", number) for number in range(1_000)]
    slow, fast = tee(with_progress(many, 1_000, lambda fraction: None))
    fast = smooth(fast, 0.001, by="word", max_delay=0.05)
    with took(2.0):
        assert said(many, "text") == said(list(fast.ch), "text")

    assert said(many, "text") == said(list(slow), "text")


def test_an_error_of_the_transformed_is_the_error(caplog: pytest.LogCaptureFixture) -> None:
    """What an iterable raises comes through as what it is."""

    def chunks() -> Any:
        yield text("Hel", 0)
        raise StreamTruncated("cut")

    with pytest.raises(StreamKitError) as caught:
        collect(smooth(with_progress(chunks(), 2, lambda fraction: None)))

    assert isinstance(caught.value, StreamTruncated)
    assert caught.value.partial is not None
    assert "Hel" == caught.value.partial.text
