"""drive_ui: an answer shown in a chat window, whatever the window is made of.

A builder is known by its `get_stream`: the client stands above this module.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from streamkit.context import Context
from streamkit.derived import Opens
from streamkit.errors import ConfigError, StreamKitError
from streamkit.stream import ChatStream
from streamkit.types.response import ChatResponse

__all__ = ["ChatUI", "drive_ui"]


@runtime_checkable
class ChatUI(Protocol):
    """What a chat window must do. Its methods are called on the thread that runs `drive_ui`."""

    def show_typing_indicator(self, visible: bool) -> object:
        """Show that the model writes, or no longer."""

    def start_new_message(self) -> object:
        """Begin an empty message of the model's."""

    def append_text(self, text: str) -> object:
        """Add to the message."""

    def show_error(self, error: StreamKitError) -> Any:
        """Show why there is no answer, or no more of it; `error.partial` has what had come. Gives what you like."""

    def show_token_count(self, total_tokens: int) -> object:
        """Show what the answer took."""


_METHODS = ("show_typing_indicator", "start_new_message", "append_text", "show_error", "show_token_count")


def drive_ui(chat: Opens, ui: ChatUI, *, ctx: Context | None = None) -> Any:
    """Open an answer and show it: indicator on, open, new message, its text, token count or error, indicator off.

    Gives the `ChatResponse`, or what `show_error` gave; errors of the stream are shown and not raised. The indicator
    goes off however it ends. What a method of the window raises cancels the stream and propagates. The token count is
    of all steps, and not shown where the provider reports none. Thinking is not shown. Blocks to the end: run it on a
    thread of its own, and let the window's methods hand over to the window's thread.
    """
    missing = [name for name in _METHODS if not callable(getattr(ui, name, None))]
    if missing:
        raise ConfigError(f"{type(ui).__name__} is no window: it needs the methods of ChatUI, and has no {missing[0]}")
    try:
        ui.show_typing_indicator(True)
        try:
            stream = chat.get_stream(ctx)
        except StreamKitError as error:
            return ui.show_error(error)
        try:
            return _show(stream, ui)
        except BaseException:
            stream.cancel("its window raised")  # or Ctrl-C did; to a stream that has ended it is nothing
            raise
    finally:
        ui.show_typing_indicator(False)


def _show(stream: ChatStream, ui: ChatUI) -> Any:
    ui.start_new_message()
    for chunk in stream.ch:
        if chunk.type == "text" and chunk.content:
            ui.append_text(chunk.content)
    error = stream.reading_error()
    if error is not None:
        return ui.show_error(error)
    response: ChatResponse | None = stream.final.get()
    assert response is not None  # there is always one of the two
    if response.total_usage.source == "reported":
        ui.show_token_count(response.total_usage.total_tokens)
    return response
