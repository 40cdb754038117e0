"""What a command writes to stdout: safe for a terminal, and silent when nobody reads any more."""

from __future__ import annotations

import os
import sys

from streamkit.terminal import harmless

__all__ = ["discard", "write"]


def write(text: str) -> None:
    """Write a text that others made, at once; at a terminal without what that would obey."""
    if sys.stdout.isatty():
        text = harmless(text)  # a terminal would obey what a model, or who feeds it, put there
    sys.stdout.write(text)
    sys.stdout.flush()


def discard() -> None:
    """Let the flush at exit succeed after a broken pipe, which it would otherwise report once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
