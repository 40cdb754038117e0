"""An answer that its provider gives once more from the beginning: what of it is new."""

from __future__ import annotations

from typing import TypeVar

from streamkit import lazy_attrs as attrs
from streamkit.errors import DecodeError
from streamkit.types.chunks import Chunk, SourceChunk, StepFinishChunk, TextChunk, ThinkingChunk
from streamkit.types.messages import ThinkingPart
from streamkit.types.response import ChatResponse

__all__ = ["Replayed"]

P = TypeVar("P", TextChunk, ThinkingChunk)


class Replayed:
    """Leaves out what is known of an answer, which comes exactly as it came before.

    What stands before text that is known is known, too, even where nobody kept it.
    """

    def __init__(self, known: ChatResponse) -> None:
        self._text = known.text
        self._thinking = known.thinking
        self._at = 0  # characters of the text that have come again
        self._thought = 0  # and of the thinking
        self._sources = set(map(repr, known.sources))
        parts = [part for message in known.messages for part in message.content if isinstance(part, ThinkingPart)]
        self._proofs = {part.signature for part in parts} | {part.redacted for part in parts}

    def new(self, chunk: Chunk) -> Chunk | None:
        """Give what is new of a chunk, or None.

        Raises:
            DecodeError: the text is another one than before.
        """
        if isinstance(chunk, TextChunk) and self._at < len(self._text):
            rest = self._rest(chunk, self._text, self._at)
            self._at += len(chunk.content)
            return rest
        if isinstance(chunk, StepFinishChunk):
            return chunk
        if self._at < len(self._text) or (isinstance(chunk, SourceChunk) and repr(chunk.source) in self._sources):
            return None
        if isinstance(chunk, ThinkingChunk) and not self._text:
            return self._new_thinking(chunk)
        return chunk

    def _new_thinking(self, chunk: ThinkingChunk) -> ThinkingChunk | None:
        if self._thought < len(self._thinking):
            rest = self._rest(chunk, self._thinking, self._thought)
            self._thought += len(chunk.content)
            return rest
        proof = chunk.metadata.get("signature") or chunk.metadata.get("redacted")
        return None if proof and proof in self._proofs else chunk

    def _rest(self, chunk: P, known: str, at: int) -> P | None:
        part = known[at : at + len(chunk.content)]
        if not chunk.content.startswith(part):
            raise DecodeError("the answer that the provider gives once more is not the one that was cut: ask anew")
        return attrs.evolve(chunk, content=chunk.content[len(part) :]) if len(part) < len(chunk.content) else None
