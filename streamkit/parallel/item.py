"""ParallelItem: what became of one prompt of a batch."""

from __future__ import annotations

from streamkit import lazy_attrs as attrs
from streamkit.errors import StreamKitError
from streamkit.types.response import ChatResponse

__all__ = ["ParallelItem"]


@attrs.frozen(kw_only=True)
class ParallelItem:
    """One prompt's outcome; it pickles.

    `index` is the prompt's position, from 0. `text` is partial when `error` is set; `response` too (`complete` False),
    and None if the answer never opened. `elapsed` is in seconds, without the wait for its turn. `prompt` is the prompt
    itself, or of a `ChatBuilder` the text of its last user message. `from_checkpoint`: answered in an earlier run.
    """

    index: int
    prompt: str
    text: str
    response: ChatResponse | None
    error: StreamKitError | None
    elapsed: float
    from_checkpoint: bool = False
