"""RichHandler: an answer as Markdown in the terminal, while it is being written; needs the extra `rich`.

    stream_with_handler(chat, RichHandler())

Here is what is drawn when; how, is in `rich_page` and `markdown`.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from streamkit.consumers.handler import StreamHandler, StreamProgress
from streamkit.errors import ConfigError, StreamKitError
from streamkit.terminal import harmless, is_terminal, put
from streamkit.types.response import ChatResponse

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["RichHandler"]

_REST = 4
"""So many times as long as a drawing took there is no other: at most a fifth of the time goes into drawing."""


class RichHandler(StreamHandler):
    """Shows an answer as Markdown that grows, the model's thinking dimmed, and tokens, speed and time beneath.

    What comes is drawn at once, or, where that would be sooner than `refresh` seconds after the last time, then, on a
    timer's thread; while nothing comes, the screen stands still. Where the output is no terminal, the answer's text is
    written as it comes, and nothing else but how it failed. A terminal does not obey what a model writes, and what
    Markdown would leave out is shown as it was written.

    Nothing about the terminal has to be set back. Where it is made narrower between two drawings, rows of the first may
    stay. `on_error`, which `stream_with_handler` calls for a cancel and for Ctrl-C too, prints what had come. Use it
    for one stream at a time, and for any number one after the other.
    """

    def __init__(self, console: Console | None = None, *, refresh: float = 0.1, thinking: bool = True) -> None:
        """Set where to print.

        Args:
            console: A `rich.console.Console`, whose clock is the handler's; one of stdout by default.
            refresh: Seconds between two drawings, at least.
            thinking: Whether thinking is shown.

        Raises:
            ConfigError: rich is not installed.
        """
        try:
            from rich.console import Console

            from streamkit.integrations.rich_page import Page
        except ImportError as e:
            raise ConfigError("rich is not installed: pip install 'streamkit-llm[rich]'") from e
        self._console = Console() if console is None else console
        self._refresh = refresh
        self._shows_thinking = thinking
        self._lock = threading.RLock()  # guards all that follows: a timer's thread draws, too
        self._page = Page(self._console)
        self._timer: threading.Timer | None = None
        self._tokens = 0
        self._began: float | None = None
        self._due = 0.0
        self._open_line = False  # whether what was written last is to be ended by a line feed

    def on_token(self, token: str) -> None:
        """Show it, now or with the next drawing."""
        if self._is_live():
            with self._lock:
                self._tokens += 1
                self._page.write(harmless(token))
                self._show()
        else:
            put(self._console.file, token)
            self._open_line = not token.endswith("\n")

    def on_thinking(self, token: str) -> None:
        """Show it dimmed, now or with the next drawing."""
        if self._shows_thinking and self._is_live():
            with self._lock:
                self._page.write(harmless(token), thinking=True)
                self._show()

    def on_progress(self, progress: StreamProgress) -> None:
        """Set the clock by that of the stream."""
        self._began = self._console.get_time() - progress.elapsed

    def on_complete(self, response: ChatResponse) -> None:
        """Print what is left, and what it took."""
        usage = response.total_usage
        total = f", {usage.total_tokens} total tokens" if usage.source == "reported" else ""
        if self._is_live():
            self._end(f"[{self._status()}{total}]", style="dim")
        elif self._open_line:
            put(self._console.file, "\n")
            self._open_line = False

    def on_error(self, error: StreamKitError) -> None:
        """Print what is left, and the error."""
        told = f"[Error: {error}]"
        if self._is_live():
            self._end(told, style="red")
        else:
            put(self._console.file, f"\n{told}\n" if self._open_line else f"{told}\n")
            self._open_line = False

    def _end(self, last: str, *, style: str) -> None:
        with self._lock:
            self._forget_timer()
            self._tokens, self._began, self._due = 0, None, 0.0
            self._page.end(last, style=style)

    def _is_live(self) -> bool:
        console = self._console
        seen = is_terminal(console.file)  # asked, too: FORCE_COLOR has rich take a pipe for a terminal
        return seen and console.is_terminal and console.is_interactive and not console.is_jupyter

    def _show(self) -> None:
        """Draw, now or, where the last time was just now, soon."""
        now = self._console.get_time()
        if self._began is None:
            self._began = now
        if now >= self._due:
            self._draw()
        elif self._timer is None:
            self._timer = threading.Timer(min(self._due - now, threading.TIMEOUT_MAX), self._draw_late)
            self._timer.daemon = True
            with contextlib.suppress(RuntimeError):  # no more threads: then with the next chunk
                self._timer.start()

    def _draw(self) -> None:
        self._forget_timer()
        begun = self._console.get_time()
        self._page.draw(self._status())
        ended = self._console.get_time()
        self._due = ended + max(self._refresh, _REST * (ended - begun))

    def _draw_late(self) -> None:
        with self._lock, contextlib.suppress(Exception):  # what fails here fails again where it can be raised
            if self._timer is threading.current_thread():
                self._draw()

    def _forget_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _status(self) -> str:
        elapsed = 0.0 if self._began is None else max(0.0, self._console.get_time() - self._began)
        speed = self._tokens / elapsed if elapsed else 0.0
        return f"{self._tokens} tokens, {speed:.1f} tokens/s, {elapsed:.1f}s elapsed"
