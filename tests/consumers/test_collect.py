"""collect: any stream to its response."""

from __future__ import annotations

import pytest

from streamkit import StreamTruncated, TextStream
from streamkit.consumers.collect import collect
from tests.feeding import Feed, finish, text


def test_a_stream() -> None:
    """Its response, whoever holds it."""
    with Feed() as feed:
        stream = feed.stream()
        feed.give(text("Hello", 0), finish(1))
        feed.end()

        assert collect(stream) is collect(TextStream(stream))
        assert "Hello" == collect(stream).text


def test_chunks() -> None:
    """They are folded."""
    final = collect([text("Hello ", 0), text("world", 1), finish(2, tokens=9)])

    assert ("Hello world", 9, True) == (final.text, final.total_usage.total_tokens, final.complete)


def test_a_failure() -> None:
    """It is raised, with what had come."""
    with Feed() as feed:
        stream = feed.stream()
        feed.give(text("Hel"))
        feed.fail(StreamTruncated("cut"))
        with pytest.raises(StreamTruncated) as caught:
            collect(stream)

    assert caught.value.partial is not None
    assert "Hel" == caught.value.partial.text
