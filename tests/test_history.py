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
            ImagePart(url="https://example.com/a.png", detail="low", media_type="image/png"),
            FilePart(data=b"%PDF-1.7", name="a.pdf", cache=True, citations=True),
            FilePart(url="https://example.com/a.pdf", media_type="application/pdf"),
        ],
    ),
    Message(
        role="assistant",
        content=[
            ThinkingPart(text="Hm.", signature="s", provider="anthropic"),
            ThinkingPart(redacted="xyz", provider="anthropic"),
            RawPart(provider="anthropic", block={"type": "server_tool_use", "input": {"a": [1, None]}}),
            TextPart(text="The grass is green.", citations=({"type": "page_location", "start_page_number": 1},)),
            ToolCallPart(id="c1", name="f", input='{"a": 1}', signature="p", provider="gemini"),
        ],
    ),
    Message(
        role="tool",
        content=[
            ToolResultPart(
                tool_call_id="c1", tool_name="f", output="no", is_error=True, images=(ImagePart(data=PNG),), cache=True
            )
        ],
    ),
    Message(role="assistant", content="Half an ans", complete=False),
)


def test_there_and_back() -> None:
    """Every kind of part, with all that it has."""
    read = messages_from_json(messages_to_json(EVERY))

    assert EVERY == read
    assert [False, "anthropic"] == [read[-1].complete, attrs.asdict(read[2].content[0])["provider"]]


@pytest.mark.parametrize("kind", sorted({type(part) for message in EVERY for part in message.content}, key=str))
def test_every_field_is_tried(kind: type) -> None:
    """Somewhere above each field of each kind of part is another than by default."""
    parts = [part for message in EVERY for part in message.content if type(part) is kind]

    assert [] == [
        field.name for field in attrs.fields(kind) if all(getattr(part, field.name) == field.default for part in parts)
    ]


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
