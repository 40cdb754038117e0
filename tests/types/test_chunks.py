"""Chunks: one frozen class for each kind, told apart by `type`, all with a text, a position and metadata."""

from __future__ import annotations

import pickle
import typing
from typing import Any

import attrs
import pytest

from streamkit.errors import StreamKitError
from streamkit.types import (
    Chunk,
    ChunkType,
    ErrorChunk,
    FinishChunk,
    ResponseInfoFields,
    Source,
    SourceChunk,
    StepFinishChunk,
    TextChunk,
    ThinkingChunk,
    ToolCallChunk,
    ToolCallDeltaChunk,
    ToolCallStartChunk,
    ToolResultChunk,
    Usage,
)
from streamkit.types.chunks import plain_text, plain_thinking
from streamkit.types.nothing import NOTHING

CHUNKS: list[Any] = [
    TextChunk(content="a", index=0),
    ThinkingChunk(content="b", index=1),
    ToolCallStartChunk(tool_call_id="c", tool_name="f", index=2),
    ToolCallDeltaChunk(tool_call_id="c", tool_input="{", index=3),
    ToolCallChunk(tool_call_id="c", tool_name="f", tool_input="{}", arguments={}, index=4),
    ToolResultChunk(tool_call_id="c", tool_name="f", tool_output="out", index=5),
    SourceChunk(source=Source(url="u"), index=6),
    StepFinishChunk(step=1, finish_reason="stop", usage=Usage(), response=ResponseInfoFields(), index=7),
    FinishChunk(finish_reason="stop", usage=Usage(), response=ResponseInfoFields(), index=8),
    ErrorChunk(error=StreamKitError("x"), index=9),
]


def test_every_kind_has_its_class_and_its_name() -> None:
    """The union, the classes and the names in `ChunkType` are the same ten."""
    names = {value for name, value in vars(ChunkType).items() if name.isupper()}

    assert set(typing.get_args(Chunk)) == {type(chunk) for chunk in CHUNKS}
    assert names == {chunk.type for chunk in CHUNKS}
    assert ChunkType.REASONING == ChunkType.THINKING == "thinking"


@pytest.mark.parametrize("chunk", CHUNKS, ids=lambda chunk: chunk.type)
def test_what_every_chunk_has(chunk: Any) -> None:
    """Text with its aliases, position and metadata; only text and thinking have a text, for plain print loops."""
    expected = {"text": "a", "thinking": "b"}.get(chunk.type, "")

    assert (expected, expected, expected) == (chunk.content, chunk.text, chunk.delta)
    assert (CHUNKS.index(chunk), {}) == (chunk.index, chunk.metadata)


@pytest.mark.parametrize("chunk", CHUNKS, ids=lambda chunk: chunk.type)
def test_chunks_cannot_be_changed(chunk: Any) -> None:
    """They are shared between threads, so they are frozen, and take no new attributes."""
    for name in ("content", "index", "type", "new"):
        with pytest.raises(AttributeError):
            setattr(chunk, name, "x")


@pytest.mark.parametrize("chunk", CHUNKS[:-1], ids=lambda chunk: chunk.type)
def test_chunks_travel(chunk: Any) -> None:
    """They can be pickled, and are equal by value."""
    assert chunk == pickle.loads(pickle.dumps(chunk))
    assert chunk != attrs.evolve(chunk, index=99)


def test_a_chunk_without_metadata_shares_what_cannot_be_changed() -> None:
    """Whichever way it was made, it holds the one empty mapping."""
    assert NOTHING is TextChunk(content="", index=0).metadata
    assert NOTHING is plain_text("", 0).metadata
    assert NOTHING is plain_thinking("", 0).metadata


@pytest.mark.parametrize(("make", "cls"), [(plain_text, TextChunk), (plain_thinking, ThinkingChunk)])
def test_the_quick_way_makes_the_same_chunk(make: Any, cls: Any) -> None:
    """It fills every field that the class has."""
    quick, ordinary = make("a", 3), cls(content="a", index=3)

    assert (ordinary, attrs.asdict(ordinary), type(ordinary)) == (quick, attrs.asdict(quick), type(quick))
    assert quick == pickle.loads(pickle.dumps(quick))
