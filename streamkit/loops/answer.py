"""The answer that several attempts make together: what came of it, what each attempt was, and what all of them cost.

It is what the stream is made of (`streamkit.stream.Upstream`): some of it may be known from before and never pass, some
may be held back at a seam, and what one attempt cost is added to what another did.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from streamkit import lazy_attrs as attrs
from streamkit.errors import StreamKitError, printable
from streamkit.forks import new_lock
from streamkit.loops.state import StreamState
from streamkit.types.chunks import Chunk, StepFinishChunk, TextChunk, plain_text
from streamkit.types.messages import TextPart
from streamkit.types.response import ChatResponse, Fold, StepState
from streamkit.types.usage import Usage

__all__ = ["Answer", "Way"]

Way = Literal["native", "prefill", "prompt", "again"]
"""How an answer is gone on with. "again" asks once more, where there is no text yet that could be gone on with."""


@attrs.define(kw_only=True)
class _Made:
    """An attempt, as the metadata tells of it."""

    attempt: int
    mode: Way | Literal["first", "earlier"]
    id: str | None = None
    chunks: int = 0
    removed: int = 0
    """Characters that were there already."""
    usage: str = "unknown"
    """Whether its usage was reported."""
    error: str | None = None


class Answer:
    """An answer as it is made; the producer's thread makes it, any thread may ask for `partial`."""

    def __init__(self, known: StreamState) -> None:
        self._lock = new_lock()  # guards what changes together: the fold, what is held, the attempts and the cost
        self._fold = Fold()
        self._held: list[TextChunk] = []
        self._made: list[_Made] = []
        self._spent = known.usage  # what the attempts before the running one were reported to cost
        self._complete = False
        self._mark: Mapping[str, Any] | None = None
        self.index = 0
        """Of the next chunk."""
        if known.partial_content:
            self._fold.add([plain_text(known.partial_content, 0)])
        if known != StreamState():
            self._made.append(_earlier(known))

    # -- what there is of it

    @property
    def partial(self) -> ChatResponse:
        """All of it: what was known before, what came, and what is held back."""
        with self._lock:
            response, held = self._response(), "".join([chunk.content for chunk in self._held])
        return _with_text(response, held) if held else response

    @property
    def passed(self) -> ChatResponse:
        """The same without what is held back."""
        with self._lock:
            return self._response()

    @property
    def state(self) -> StreamState:
        """What is needed to go on from what has passed."""
        state = StreamState.of(self.passed)
        if not self._made:
            return state
        return attrs.evolve(state, token_count=sum(made.chunks for made in self._made), attempts=self.number)

    @property
    def begun(self) -> bool:
        """Whether there was an attempt, now or before."""
        return bool(self._made)

    @property
    def number(self) -> int:
        """The number of the running attempt, or of the last one."""
        return self._made[-1].attempt

    @property
    def is_untouched(self) -> bool:
        """Whether the running attempt has given nothing."""
        return not self._made[-1].chunks

    @property
    def is_first(self) -> bool:
        """Whether the running attempt is the first ever, so that its chunks are the stream's."""
        return [made.mode for made in self._made] == ["first"]

    def _response(self) -> ChatResponse:
        response = self._fold.response(complete=self._complete)
        if response.finish_reason:
            return response  # its last chunk has told the sum
        made = [] if self.is_first else [attrs.asdict(made) for made in self._made]
        return _accounted(response, self._spent + response.usage, made)

    # -- attempts

    def begin(self, way: Way | None) -> None:
        """Begin the next attempt; None for the first one ever. Its first chunk is marked."""
        with self._lock:
            last = self._made[-1] if self._made else None
            number = last.attempt + 1 if last is not None else 1
            self._mark = {"attempt": number, "mode": way, "error": last.error} if way and last is not None else None
            self._made.append(_Made(attempt=number, mode=way or "first"))

    def follow(self, reported: StepState) -> None:
        """Learn where the running attempt reports."""
        with self._lock:
            self._fold.state = reported

    def fail(self, error: StreamKitError) -> None:
        """Note how the running attempt ended, and what it cost as far as that was reported."""
        with self._lock:
            made, reported = self._made[-1], self._fold.state
            made.error = printable(f"{type(error).__name__}: {error}", 500)
            if reported is not None:
                made.id, made.usage = reported.id, reported.usage.source
                self._spent += reported.usage
                self._fold.state = attrs.evolve(reported, usage=Usage())

    def complete(self) -> None:
        """Note that it is whole."""
        self._complete = True

    # -- chunks

    def take(self, batch: list[Chunk]) -> list[Chunk]:
        """Add chunks of the first attempt, which pass as they are."""
        self._fold.add(batch)
        self.index += len(batch)
        self._count(len(batch))
        return batch

    def add(self, chunks: list[Chunk]) -> list[Chunk]:
        """Add chunks of a later attempt; give them numbered, the first one marked, the last one with the sum."""
        numbered: list[Chunk] = []
        self._count(len(chunks))
        for chunk in chunks:
            if isinstance(chunk, StepFinishChunk):
                chunk = self._summed(chunk)
            if self._mark is not None:
                chunk = attrs.evolve(chunk, metadata={**chunk.metadata, "resumed": self._mark})
                self._mark = None
            numbered.append(_numbered(chunk, self.index))
            self.index += 1
        self._fold.add(numbered)
        return numbered

    def hold(self, chunk: TextChunk) -> None:
        """Hold text back: it may be there already."""
        with self._lock:
            self._held.append(chunk)

    def let_go(self, removed: int) -> list[Chunk]:
        """Add what is held back, but for this many characters at its beginning."""
        self._made[-1].removed += removed
        kept: list[Chunk] = []
        for chunk in self._held:
            content = chunk.content[removed:]
            removed = max(0, removed - len(chunk.content))
            if content:
                kept.append(chunk if content == chunk.content else attrs.evolve(chunk, content=content))
        with self._lock:
            kept = self.add(kept)
            self._held.clear()
        return kept

    def forget_held(self) -> None:
        """Forget what is held back: it has not passed, so it will be written again."""
        with self._lock:
            self._held.clear()

    @property
    def holds(self) -> bool:
        """Whether anything is held back."""
        return bool(self._held)

    def _count(self, chunks: int) -> None:
        made, reported = self._made[-1], self._fold.state
        made.chunks += chunks
        if reported is not None:
            made.id = reported.id

    def _summed(self, chunk: StepFinishChunk) -> StepFinishChunk:
        self._made[-1].id, self._made[-1].usage = chunk.response.id, chunk.usage.source
        made = [attrs.asdict(made) for made in self._made]
        told = {**chunk.response.provider_metadata, "attempts": made}
        return attrs.evolve(
            chunk,
            usage=self._spent + chunk.usage,
            response=attrs.evolve(chunk.response, provider_metadata=told),
            metadata={**chunk.metadata, "attempts": made},
        )


def _earlier(known: StreamState) -> _Made:
    return _Made(
        attempt=max(1, known.attempts),
        mode="earlier",
        id=known.response_id,
        chunks=known.token_count,
        usage=known.usage.source,
    )


def _numbered(chunk: Chunk, index: int) -> Chunk:
    if chunk.index == index:
        return chunk
    if isinstance(chunk, TextChunk) and not chunk.metadata:
        return plain_text(chunk.content, index)  # most are such, and this takes a fifth of the time
    return attrs.evolve(chunk, index=index)


def _accounted(response: ChatResponse, usage: Usage, made: list[dict[str, Any]]) -> ChatResponse:
    """A response that is not whole, with what all attempts cost, and with these where there were several."""
    info = response.response
    if made:
        id = info.id or next((one["id"] for one in reversed(made) if one["id"]), None)
        info = attrs.evolve(info, id=id, provider_metadata={**info.provider_metadata, "attempts": made})
    step = attrs.evolve(response.steps[-1], usage=usage, response=info, provider_metadata=info.provider_metadata)
    return attrs.evolve(response, usage=usage, total_usage=usage, response=info, steps=(step,))


def _with_text(response: ChatResponse, text: str) -> ChatResponse:
    """A response with more text at its end, where it has some."""
    step = attrs.evolve(response.steps[-1], text=response.text + text)
    *messages, last = response.messages
    longer = attrs.evolve(last, content=[*last.content, TextPart(text=text)])
    return attrs.evolve(response, text=step.text, steps=(step,), messages=(*messages, longer))
