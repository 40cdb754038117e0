"""collect: any stream to its response."""

from __future__ import annotations

from streamkit.derived import AnyStream, opened
from streamkit.types.response import ChatResponse

__all__ = ["collect"]


def collect(stream: AnyStream) -> ChatResponse:
    """Drain and fold any stream or iterable of chunks, and give its response. Blocks to the end.

    Raises:
        StreamKitError: it failed; `partial.text` of the error is what had arrived.
    """
    return opened(stream).result()
