"""A chunk as one line of compact JSON and back, whole: fields that are as by default left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from streamkit import lazy_attrs as attrs
from streamkit.error_json import error_from_json, error_to_json
from streamkit.errors import ConfigError, printable
from streamkit.history import messages_from_json, messages_to_json
from streamkit.types import chunks
from streamkit.types.chunks import Chunk, ResponseInfoFields, Source, TextChunk, plain_text
from streamkit.types.defaults import differs
from streamkit.types.messages import ImagePart, Message
from streamkit.types.usage import Usage

__all__ = ["chunk_from_json", "chunk_to_json"]

_KINDS: Mapping[str, Any] = {
    "text": chunks.TextChunk,
    "thinking": chunks.ThinkingChunk,
    "tool_call_start": chunks.ToolCallStartChunk,
    "tool_call_delta": chunks.ToolCallDeltaChunk,
    "tool_call": chunks.ToolCallChunk,
    "tool_result": chunks.ToolResultChunk,
    "source": chunks.SourceChunk,
    "step_finish": chunks.StepFinishChunk,
    "finish": chunks.FinishChunk,
    "error": chunks.ErrorChunk,
}


def chunk_to_json(chunk: Chunk) -> str:
    """Write it; what is no JSON in its metadata comes out as its text, and a tuple there as a list.

    Half a surrogate pair, as a model may send, stays one: encode the line with "surrogatepass".

    Raises:
        ConfigError: metadata that cannot be written: a circle, or keys that are no texts.
    """
    if type(chunk) is TextChunk and not chunk.metadata:  # nearly all
        return f'{{"type":"text","content":{_encode(chunk.content)},"index":{chunk.index}}}'
    written = {"type": chunk.type, **attrs.asdict(chunk, recurse=False, filter=differs)}
    try:
        return _encode({name: _WRITERS.get(name, _itself)(value) for name, value in written.items()})
    except (TypeError, ValueError, RecursionError) as e:
        raise ConfigError(f"the chunk cannot be written as JSON: {printable(str(e), 200)}") from e


def chunk_from_json(text: str | bytes) -> Chunk:
    """Read what `chunk_to_json` wrote.

    Raises:
        ConfigError: it is something else.
    """
    try:
        written = json.loads(text if isinstance(text, str) else text.decode("utf-8", "surrogatepass"))
        kind = written.pop("type")
        if kind == "text" and len(written) == 2:  # nearly all
            return plain_text(written["content"], written["index"])
        for name in _READERS.keys() & written.keys():
            written[name] = _READERS[name](written[name])
        chunk: Chunk = _KINDS[kind](**written)
        return chunk
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as e:
        raise ConfigError(f"this is no chunk as chunk_to_json() writes it: {printable(repr(e), 200)}") from e


def _foreign(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_foreign).encode


def _itself(value: Any) -> Any:
    return value


def _bare(value: Any) -> dict[str, Any]:
    return attrs.asdict(value, recurse=False, filter=differs)


def _written_images(images: tuple[ImagePart, ...]) -> Any:
    return json.loads(messages_to_json((Message(role="user", content=images),)))


def _images(written: Any) -> tuple[Any, ...]:
    (message,) = messages_from_json(json.dumps(written))
    return message.content


_WRITERS: Mapping[str, Callable[[Any], Any]] = {
    "error": error_to_json,
    "images": _written_images,
    "response": _bare,
    "source": _bare,
    "usage": _bare,
}
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "error": error_from_json,
    "images": _images,
    "metadata": lambda written: {**written},
    "response": lambda written: ResponseInfoFields(**written),
    "source": lambda written: Source(**written),
    "usage": lambda written: Usage(**written),
}
"""How the fields of chunks are written and read that are no plain JSON."""
