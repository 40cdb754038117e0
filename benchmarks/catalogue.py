"""The object of the benchmarks of objects: a list of items of 50 bytes each, in pieces as small as tokens."""

from __future__ import annotations

import json

__all__ = ["pieces"]

PIECE = 8


def pieces(items: int) -> list[str]:
    """Give the JSON of so many items, in pieces of eight characters."""
    text = json.dumps({"items": [{"id": i, "name": f"item {i:05d}", "price": i / 8} for i in range(items)]})
    return [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
