"""Drives a provider's decoder as a call does, without a transport: blocks in, the folded response and the error out.

And compares what came of a transcript with what its `expected` says (the corpus' own format, see `tests/corpus.py`).
"""

from __future__ import annotations

import itertools
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from streamkit.codec import Provider
from streamkit.errors import StreamKitError
from streamkit.framing import Event
from streamkit.types import ChatRequest, ChatResponse, Chunk, Fold, user

__all__ = [
    "Decoded",
    "cut",
    "decode",
    "decode_events",
    "difference",
    "error_message",
    "is_complete",
    "own_transcripts",
]

REQUEST = ChatRequest(model="m-1", messages=(user("hi"),))


@attrs.frozen(kw_only=True)
class Decoded:
    """What became of an answer: its chunks, their fold, and the error that ended it, if one did."""

    chunks: tuple[Chunk, ...]
    response: ChatResponse
    error: StreamKitError | None


def decode(provider: Provider, blocks: Iterable[bytes], request: ChatRequest = REQUEST) -> Decoded:
    """Decode an answer whose bytes came in these blocks."""
    framer = provider.codec.framer()
    feeds = (framer.feed(block) for block in blocks)
    return decode_events(provider, itertools.chain(feeds, (framer.finish() for _ in range(1))), request)


def decode_events(provider: Provider, batches: Iterable[Sequence[Event]], request: ChatRequest = REQUEST) -> Decoded:
    """Decode these events, given to the decoder in these batches."""
    decoder = provider.codec.decoder(request, provider)
    chunks: list[Chunk] = []
    error: StreamKitError | None = None
    try:
        for batch in batches:
            chunks += decoder.feed(batch)
            if decoder.finished:
                break
        chunks += decoder.end()
    except StreamKitError as e:
        error = e
        chunks += decoder.take()
    fold = Fold()
    fold.state = decoder.state
    fold.add(chunks)
    return Decoded(chunks=tuple(chunks), response=fold.response(complete=error is None), error=error)


def cut(body: bytes, places: Iterable[int]) -> list[bytes]:
    """Give a body as the blocks between these places, which may be in any order and beyond its end."""
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in itertools.pairwise(edges)]


def difference(expected: Mapping[str, Any], decoded: Decoded) -> dict[str, tuple[Any, Any]]:
    """Give each fact of a transcript's `expected` that was decoded otherwise, with what was expected and decoded."""
    response, complete = decoded.response, is_complete(expected)
    calls = list(zip(expected["tool_calls"], response.tool_calls, strict=False))
    facts = {
        "text": (expected["text"], response.text),
        "text of the chunks": (expected["text"], "".join(c.content for c in decoded.chunks if c.type == "text")),
        "reasoning": (expected["reasoning"], response.thinking),
        "finish_reason": (expected["finish_reason"], response.raw_finish_reason),
        "usage": (expected["usage"] or {}, response.usage.raw),
        "calls": ([_call(call) for call in expected["tool_calls"]], [(c.id, c.name) for c in response.tool_calls]),
        "input": (
            [m.input if e["arguments_raw"] is None else e["arguments_raw"] for e, m in calls],
            [m.input for _, m in calls],
        ),
        "arguments": ([e["arguments"] for e, _ in calls if complete], [m.arguments for _, m in calls if complete]),
        "complete": (complete, response.complete),
        "indices": (list(range(len(decoded.chunks))), [chunk.index for chunk in decoded.chunks]),
    }
    different = {name: pair for name, pair in facts.items() if pair[0] != pair[1]}
    message = error_message(expected)
    if message not in str(decoded.error):
        different["error"] = (message, str(decoded.error))
    return different


def is_complete(expected: Mapping[str, Any]) -> bool:
    """Whether a transcript is a complete answer: no error, and the protocol's own end or a finish reason."""
    return expected["error"] is None and (expected["terminated"] or expected["finish_reason"] is not None)


def error_message(expected: Mapping[str, Any]) -> str:
    """Give what a transcript's error says; "" where it has none."""
    error = expected["error"]
    return str(error.get("message", "") if isinstance(error, dict) else error or "")


def own_transcripts(folder: str) -> list[tuple[str, dict[str, Any], bytes]]:
    """Give the project's own transcripts of a folder of `tests/transcripts`, as (name, meta data, body)."""
    paths = sorted((pathlib.Path(__file__).parent / "transcripts" / folder).glob("*.json"))
    metas = [(path, json.loads(path.read_text("utf-8"))) for path in paths]
    return [(path.stem, meta, (path.parent / meta["body"]).read_bytes()) for path, meta in metas]


def _call(call: Mapping[str, Any]) -> tuple[str, str]:
    return call["id"] or "", call["name"]
