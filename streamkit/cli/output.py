"""What a command writes to stdout: safe for a terminal, and silent when nobody reads any more."""

from __future__ import annotations

import os
import sys

import click

from streamkit.terminal import harmless

__all__ = ["discard", "write"]


def write(text: str) -> None:
    """Write a text that others made, at once; at a terminal without what that would obey.

    Raises:
        BrokenPipeError: nobody reads it any more.
        ClickException: it cannot be written, to a full disk, say.
    """
    if sys.stdout.isatty():
        text = harmless(text)  # a terminal would obey what a model, or who feeds it, put there
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as e:
        discard()
        raise click.ClickException(f"the output cannot be written: {e.strerror}") from e


def discard() -> None:
    """Let the flush at exit succeed where the output cannot be written, which it would otherwise report once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
