"""Chunks as JSON and back."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import ConfigError, RateLimited
from streamkit.chunk_json import chunk_from_json, chunk_to_json
from streamkit.types import ImagePart, Source, Usage
from streamkit.types.chunks import (
    Chunk,
    ErrorChunk,
    FinishChunk,
    ResponseInfoFields,
    SourceChunk,
    StepFinishChunk,
    TextChunk,
    ThinkingChunk,
    ToolCallChunk,
    ToolCallDeltaChunk,
    ToolCallStartChunk,
    ToolResultChunk,
)
from tests.strategies import PROPERTY

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
index = st.integers(0, 10**9)
metadata = st.dictionaries(st.text(), anything, max_size=3)
counts = st.integers(0, 2**62)
usages = st.builds(
    Usage,
    prompt_tokens=counts,
    completion_tokens=counts,
    total_tokens=counts,
    raw=metadata,
    source=st.sampled_from(["reported", "unknown"]),
)
infos = st.builds(ResponseInfoFields, id=st.none() | st.text(), model=st.none() | st.text(), provider_metadata=metadata)
images = st.builds(ImagePart, data=st.binary(min_size=1), media_type=st.just("application/x-any"))
sources = st.builds(Source, url=st.none() | st.text(), title=st.none() | st.text(), metadata=metadata)
texts: Any = st.text(st.characters())  # half surrogate pairs, too
chunks: st.SearchStrategy[Chunk] = st.one_of(
    st.builds(TextChunk, content=texts, index=index),
    st.builds(TextChunk, content=texts, index=index, metadata=metadata),
    st.builds(ThinkingChunk, content=texts, index=index, metadata=metadata),
    st.builds(ToolCallStartChunk, tool_call_id=texts, tool_name=texts, index=index, metadata=metadata),
    st.builds(ToolCallDeltaChunk, tool_call_id=texts, tool_input=texts, index=index, metadata=metadata),
    st.builds(ToolCallChunk, tool_call_id=texts, tool_name=texts, tool_input=texts, arguments=anything, index=index),
    st.builds(
        ToolResultChunk,
        tool_call_id=texts,
        tool_name=texts,
        tool_output=texts,
        images=st.lists(images, max_size=2).map(tuple),
        is_error=st.booleans(),
        index=index,
        metadata=metadata,
    ),
    st.builds(SourceChunk, source=sources, index=index, metadata=metadata),
    st.builds(
        StepFinishChunk,
        step=st.integers(1, 9),
        finish_reason=texts,
        usage=usages,
        response=infos,
        index=index,
        metadata=metadata,
    ),
    st.builds(FinishChunk, finish_reason=texts, usage=usages, response=infos, index=index, metadata=metadata),
)


@given(chunk=chunks)
@PROPERTY
def test_any_chunk_comes_back(chunk: Chunk) -> None:
    """As it was, from one line of UTF-8."""
    line = chunk_to_json(chunk).encode("utf-8", "surrogatepass")

    assert b"\n" not in line
    assert chunk == chunk_from_json(line)
    assert type(chunk) is type(chunk_from_json(line))


def test_an_error_comes_back() -> None:
    """With its class, its text and its fields."""
    read = chunk_from_json(chunk_to_json(ErrorChunk(error=RateLimited("slow", status=429), index=3)))

    assert isinstance(read, ErrorChunk) and isinstance(read.error, RateLimited)
    assert ("slow", 429, 3) == (str(read.error), read.error.status, read.index)


def test_a_piece_of_text_is_short() -> None:
    """It is what nearly all chunks are."""
    assert '{"type":"text","content":"Grün \\n","index":3}' == chunk_to_json(TextChunk(content="Grün \n", index=3))
    assert '{"type":"thinking","content":"Hm.","index":0}' == chunk_to_json(ThinkingChunk(content="Hm.", index=0))


def test_metadata_that_is_no_json_comes_out_as_text() -> None:
    """A provider of the user's own may put anything there."""
    odd: Any = {"when": 3 + 4j, "many": MappingProxyType({"a": (1, 2)})}
    read = chunk_from_json(chunk_to_json(TextChunk(content="x", index=0, metadata=odd)))

    assert {"when": "(3+4j)", "many": {"a": [1, 2]}} == read.metadata


def test_metadata_that_cannot_be_written_is_told() -> None:
    """A circle, and keys that are no texts."""
    circle: dict[str, Any] = {}
    circle["self"] = circle
    for metadata in (circle, {(1, 2): "x"}):
        with pytest.raises(ConfigError, match="cannot be written"):
            chunk_to_json(TextChunk(content="x", index=0, metadata=metadata))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "7",
        "[]",
        "{}",
        '{"type":"text"}',
        '{"type":"text","content":"x","index":0,"new":1}',
        '{"type":"new","index":0}',
        '{"type":[],"index":0}',
        '{"type":"text","content":"x","index":0,"metadata":3}',
        '{"type":"step_finish","step":1,"finish_reason":"stop","usage":{"new":1},"response":{},"index":0}',
        '{"type":"tool_result","tool_call_id":"","tool_name":"","tool_output":"","images":[1],"index":0}',
        "[" * 100_000,
        b"\xff\xfe\xfd",
    ],
)
def test_what_is_something_else_is_told(line: str | bytes) -> None:
    """With a ConfigError, whatever is wrong with it."""
    with pytest.raises(ConfigError, match=r"no chunk as|no history as|no error as"):
        chunk_from_json(line)


def test_a_line_is_plain_json() -> None:
    """Others can read it."""
    chunk = ToolCallChunk(tool_call_id="c", tool_name="f", tool_input='{"a":1}', arguments={"a": 1}, index=4)

    assert {
        "type": "tool_call",
        "tool_call_id": "c",
        "tool_name": "f",
        "tool_input": '{"a":1}',
        "arguments": {"a": 1},
        "index": 4,
    } == json.loads(chunk_to_json(chunk))
