"""ConsoleHandler: an answer printed as it comes, and how it ended. What a terminal needs is in `streamkit.terminal`."""

from __future__ import annotations

import os
import sys
from typing import Any

from streamkit.consumers.handler import StreamHandler, StreamProgress
from streamkit.errors import StreamKitError
from streamkit.terminal import StatusLine, is_terminal, put
from streamkit.types.response import ChatResponse

__all__ = ["ConsoleHandler"]


class ConsoleHandler(StreamHandler):
    """Prints the answer as it comes, a line of progress now and then, and how it ended.

    On a terminal the progress is a line of its own beneath the text, from the first line feed of the answer on (before
    it, nobody knows where the text stands), and is gone at the end. Elsewhere it stands amid the text, as
    "\\r[245 tokens, 3.2s elapsed]". A terminal does not obey what a model writes. Thinking is not printed. Use it for
    one stream at a time, and for any number one after the other.
    """

    def __init__(self, file: Any = None, *, progress_every: float = 1.0, progress_file: Any = None) -> None:
        """Set where to print.

        Args:
            file: A text file; what `sys.stdout` is when something is printed, by default.
            progress_every: Seconds from one progress to the next, at least; `math.inf` for only the first.
            progress_file: Where the progress goes if not to `file`, such as `sys.stderr`.
        """
        self._given = file
        self._progress_every = progress_every
        self._progress_file = progress_file
        self._line: StatusLine | None = None
        self._told: float | None = None  # the elapsed time of the last progress printed
        self._beside = False  # whether there is progress in a file of its own

    def on_token(self, token: str) -> None:
        """Print it."""
        line = self._terminal()
        put(self._file, token) if line is None else line.write(token)

    def on_progress(self, progress: StreamProgress) -> None:
        """Print it, unless the last one was printed just now."""
        if self._told is not None and 0 <= progress.elapsed - self._told < self._progress_every:
            return
        self._told = progress.elapsed
        told = f"[{progress.tokens_received} tokens, {progress.elapsed:.1f}s elapsed]"
        line, beside = self._terminal(), self._progress_file
        if line is not None and (beside is None or _is_same(beside, self._file)):
            line.show(told)
        else:
            self._beside = beside is not None and beside is not self._file
            put(self._file if beside is None else beside, f"\r{told}")

    def on_complete(self, response: ChatResponse) -> None:
        """Print the tokens of all its steps, as the provider counted them."""
        usage = response.total_usage
        tokens = f"{usage.total_tokens} total tokens" if usage.source == "reported" else "total tokens not reported"
        self._end(f"\n\n[Complete: {tokens}]\n")

    def on_error(self, error: StreamKitError) -> None:
        """Print it."""
        self._end(f"\n[Error: {error}]\n")

    @property
    def _file(self) -> Any:
        return sys.stdout if self._given is None else self._given

    def _terminal(self) -> StatusLine | None:
        if self._line is None and is_terminal(self._file):
            self._line = StatusLine(self._file)
        return self._line

    def _end(self, text: str) -> None:
        if self._beside:
            put(self._progress_file, "\n")
        if self._line is not None:
            self._line.clear()
            self._line.write(text)
        else:
            put(self._file, text)
        self._line, self._told, self._beside = None, None, False


def _is_same(a: Any, b: Any) -> bool:
    """Whether two files are one terminal."""
    try:
        return os.path.samestat(os.fstat(a.fileno()), os.fstat(b.fileno()))
    except (AttributeError, OSError, ValueError):
        return False
