"""TqdmHandler: a bar that counts an answer's tokens; needs the extra `tqdm`.

stream_with_handler(chat, TqdmHandler(expected=500))
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from streamkit.consumers.handler import StreamHandler
from streamkit.errors import ConfigError, StreamKitError
from streamkit.terminal import harmless, is_terminal
from streamkit.types.response import ChatResponse

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["TqdmHandler"]


class TqdmHandler(StreamHandler):
    """Counts the pieces of text of an answer: how many, how many a second, and how long it will take.

    The bar appears with the first piece, of thinking or of text, on stderr. It counts what comes, which may be more
    than was expected; an answer that is complete fills it, one that failed leaves it where it was, with the error's
    name. What you print with `tqdm.write` goes above it. No thread is started. Use it for one stream at a time, and for
    any number one after the other; several handlers have a bar each.
    """

    def __init__(self, expected: int | None = None, *, echo: bool = False, **options: Any) -> None:
        """Set what the bar is like.

        Args:
            expected: How many pieces of text there may be; without it, a counter in place of the bar.
            echo: Whether the answer is printed, too: to stdout, above the bar, line by line.
            options: What `tqdm` takes, such as `desc`, `file`, `leave`, and `disable=None` for terminals only.

        Raises:
            ConfigError: tqdm is not installed.
        """
        try:
            from tqdm import tqdm
        except ImportError as e:
            raise ConfigError("tqdm is not installed: pip install 'streamkit-llm[tqdm]'") from e
        # Its monitor is a thread that would outlive the bar.
        self._kind: Any = type("Bar", (tqdm,), {"monitor_interval": 0})
        self._options = {"total": expected, "unit": " tokens", **options}
        self._echo = echo
        self._line: list[str] = []  # of the answer, what is not yet printed
        self._thinks = False
        self._bar: tqdm[Any] | None = None

    def on_token(self, token: str) -> None:
        """Count it."""
        bar = self._shown()
        if self._thinks:
            self._thinks = False
            bar.set_postfix_str("", refresh=False)
        bar.update()
        if self._echo:
            lines, newline, rest = token.rpartition("\n")
            if newline:
                self._print("".join(self._line) + lines)
                self._line.clear()
            self._line.append(rest)

    def on_thinking(self, token: str) -> None:
        """Tell that the model thinks."""
        bar = self._shown()
        if not self._thinks:
            self._thinks = True
            bar.set_postfix_str("thinking")

    def on_complete(self, response: ChatResponse) -> None:
        """Fill the bar."""
        bar = self._shown()
        if bar.total is not None:
            bar.total = bar.n
        self._end("")

    def on_error(self, error: StreamKitError) -> None:
        """Leave the bar as it is."""
        self._end(type(error).__name__)

    def _shown(self) -> tqdm[Any]:
        if self._bar is None:
            self._bar = self._kind(**self._options)
        return self._bar

    def _print(self, text: str) -> None:
        self._kind.write(harmless(text) if is_terminal(sys.stdout) else text)

    def _end(self, told: str) -> None:
        bar, line = self._shown(), "".join(self._line)
        self._bar, self._line, self._thinks = None, [], False
        try:
            bar.set_postfix_str(told, refresh=False)
            if line:
                self._print(line)
        finally:
            bar.close()
