"""An answer given once more from the beginning: only what is new of it passes."""

from __future__ import annotations

import pytest

from streamkit import Chunk, DecodeError, Source, SourceChunk, StepFinishChunk, TextChunk, ThinkingChunk, Usage
from streamkit.loops.replayed import Replayed
from streamkit.types.response import Fold, ResponseInfoFields

ANSWER: list[Chunk] = [
    ThinkingChunk(content="Let me", index=0),
    ThinkingChunk(content=" think.", index=1),
    ThinkingChunk(content="", index=2, metadata={"signature": "c2ln"}),
    TextChunk(content="Foxes", index=3),
    SourceChunk(source=Source(url="https://foxes.test"), index=4),
    TextChunk(content=" are", index=5),
    TextChunk(content=" quick.", index=6),
    SourceChunk(source=Source(url="https://quick.test"), index=7),
    StepFinishChunk(step=1, finish_reason="stop", usage=Usage(), response=ResponseInfoFields(), index=8),
]


def after(known: list[Chunk]) -> list[Chunk]:
    """What is new of the answer, where this is known."""
    fold = Fold()
    fold.add(known)
    replayed = Replayed(fold.response())
    return [new for chunk in ANSWER if (new := replayed.new(chunk)) is not None]


@pytest.mark.parametrize("cut", range(len(ANSWER)))
def test_what_came_before_the_cut_is_left_out(cut: int) -> None:
    """Thinking and its signature, text, sources: each comes once, whenever the answer was cut."""
    assert ANSWER[cut:] == after(ANSWER[:cut])


def test_a_cut_may_be_within_a_delta() -> None:
    """A provider may put its deltas together in another way; of one that is known in part the rest is new."""
    assert ["es", " are", " quick.", ""] == [
        chunk.content for chunk in after([TextChunk(content="Fox", index=0)]) if chunk.type in ("text", "step_finish")
    ]
    assert " me" == after([ThinkingChunk(content="Let", index=0)])[0].content


def test_thinking_before_text_that_is_known_is_known() -> None:
    """A saved state has the text alone: what was thought before it was shown, too."""
    new = after([TextChunk(content="Foxes are", index=0)])

    assert ["text", "source", "step_finish"] == [chunk.type for chunk in new]


def test_another_answer_is_an_error() -> None:
    """Where it is not the one that was cut, the two cannot be put together."""
    with pytest.raises(DecodeError, match="is not the one that was cut"):
        after([TextChunk(content="Wolves", index=0)])
