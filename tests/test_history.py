"""Messages as JSON text and back."""

from __future__ import annotations

import json

import attrs
import pytest

from streamkit import ConfigError, FilePart, ImagePart, Message, TextPart, ThinkingPart, ToolCallPart, ToolResultPart
from streamkit.history import messages_from_json, messages_to_json
from streamkit.types.messages import RawPart

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)

EVERY = (
    Message(role="system", content="Be brief."),
    Message(
        role="user",
        content=[
            TextPart(text="Grün 🎨 \ud800".encode("utf-8", "replace").decode(), cache=True),
            ImagePart(data=PNG),
            ImagePart(url="https://example.com/a.png", cache=True),
            FilePart(data=b"%PDF-1.7", name="a.pdf"),
            FilePart(url="https://example.com/a.pdf", media_type="application/pdf"),
        ],
    ),
    Message(
        role="assistant",
        content=[
            ThinkingPart(text="Hm.", signature="s", provider="anthropic"),
            ThinkingPart(redacted="xyz", provider="anthropic"),
            RawPart(provider="anthropic", block={"type": "server_tool_use", "input": {"a": [1, None]}}),
            ToolCallPart(id="c1", name="f", input='{"a": 1}', signature="p"),
        ],
    ),
    Message(
        role="tool",
        content=[
            ToolResultPart(tool_call_id="c1", tool_name="f", output="no", is_error=True, images=(ImagePart(data=PNG),))
        ],
    ),
    Message(role="assistant", content="Half an ans", complete=False),
)


def test_there_and_back() -> None:
    """Every kind of part, with all that it has."""
    read = messages_from_json(messages_to_json(EVERY))

    assert EVERY == read
    assert [False, "anthropic"] == [read[-1].complete, attrs.asdict(read[2].content[0])["provider"]]


def test_what_is_written() -> None:
    """Little: fields that are as by default are left out, and text is readable."""
    assert {
        "version": 1,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Grün"}]}],
    } == json.loads(messages_to_json((Message(role="user", content="Grün"),)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "messages": []}',
        '{"version": 1}',
        '{"version": 1, "messages": [{"role": "user"}]}',
        '{"version": 1, "messages": [{"role": "king", "content": []}]}',
        '{"version": 1, "messages": [{"role": "user", "content": [{"type": "odd"}]}]}',
        '{"version": 1, "messages": [{"role": "user", "content": [{"type": "text", "colour": 1}]}]}',
        '{"version": 1, "messages": [{"role": "user", "content": [{"type": "image", "data": "%"}]}]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_history(text: str) -> None:
    """Is refused with an error of ours."""
    with pytest.raises(ConfigError):
        messages_from_json(text)


def test_what_cannot_be_written() -> None:
    """A raw block with something in it that is no JSON."""
    with pytest.raises(ConfigError, match="cannot be written as JSON"):
        messages_to_json((Message(role="assistant", content=[RawPart(provider="p", block={"a": {1, 2}})]),))
