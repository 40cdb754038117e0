"""What type checkers make of handlers and windows: checked by mypy, never run."""

from __future__ import annotations

from streamkit import ChatResponse, ChatUI, Client, StreamKitError, StreamProgress, drive_ui, stream_with_handler
from streamkit.providers import OpenAI


class Own:
    """A handler that is derived from nothing."""

    def on_token(self, token: str) -> None:
        """Take it."""

    def on_thinking(self, token: str) -> int:
        """Take it; what it gives is nobody's concern."""
        return 0

    def on_progress(self, progress: StreamProgress) -> None:
        """Take it."""

    def on_complete(self, response: ChatResponse) -> None:
        """Take it."""

    def on_error(self, error: StreamKitError) -> None:
        """Take it."""


class Window:
    """A window that is derived from nothing."""

    def show_typing_indicator(self, visible: bool) -> None:
        """Show it."""

    def start_new_message(self) -> None:
        """Begin one."""

    def append_text(self, text: str) -> None:
        """Add it."""

    def show_error(self, error: StreamKitError) -> str:
        """Show it."""
        return "shown"

    def show_token_count(self, total_tokens: int) -> None:
        """Show it."""


def whatever_has_the_methods() -> None:
    """Handlers and windows need no base class; builders and streams of all kinds are taken."""
    chat = Client(OpenAI()).chat("gpt-4o").user("Hello")
    stream = chat.get_stream()
    of_a_builder: ChatResponse = stream_with_handler(chat, Own())
    of_a_stream: ChatResponse = stream_with_handler(stream, Own(), every=5)
    of_chunks: ChatResponse = stream_with_handler(iter(stream), Own())
    window: ChatUI = Window()
    drive_ui(chat, window)
    stream_with_handler(chat, Window())  # type: ignore[arg-type]  # a window is no handler
    assert of_a_builder and of_a_stream and of_chunks
