"""The chat window's logic, without a window: what it would be told, on which thread, and that it can be stopped."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
from types import ModuleType
from typing import Any

import pytest

from streamkit import ChatUI, Client
from streamkit.testing import Gate, ProviderServer, Stall, Wait, chat_answer, error_answer
from tests.running import EXAMPLES, run_example

PATIENCE = 10.0
"""Seconds after which a test gives up hope."""


@pytest.fixture(name="example", scope="module")
def fixture_example() -> ModuleType:
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("chat_ui", EXAMPLES / "chat_ui.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Window:
    """Keeps what it is told, and on which thread."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.threads: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        def note(value: Any) -> None:
            self.threads.add(threading.get_ident())
            if name == "append_text" and self.calls and self.calls[-1][0] == name:
                value = self.calls.pop()[1] + value
            self.calls.append((name, value))

        return note


def finish(chat: Any, window: Window) -> None:
    """Wait for the answer, and let the window look."""
    chat._thread.join(PATIENCE)
    assert not chat.is_busy
    chat.mailbox.deliver(window)


def test_the_mailbox_is_a_chat_ui(example: ModuleType) -> None:
    """It has all methods of one."""
    assert isinstance(example.Mailbox(), ChatUI)


def test_an_answer_is_shown_on_the_windows_thread(example: ModuleType, server: ProviderServer, client: Client) -> None:
    """Indicator, text, token count, indicator; and the thread that streams touches nothing of it."""
    server.reply(chat_answer("Hel", "lo"))
    chat, window = example.Chat(client.chat("gpt-4o")), Window()
    chat.send("Hi")
    finish(chat, window)

    assert [
        ("show_typing_indicator", True),
        ("append_text", "\n\nModel: Hello"),
        ("show_token_count", 7),
        ("show_typing_indicator", False),
    ] == window.calls
    assert {threading.get_ident()} == window.threads


def test_pieces_of_text_are_appended_at_once(example: ModuleType) -> None:
    """A window that is drawn twenty times a second is not drawn for each token."""
    mailbox, appended = example.Mailbox(), []
    for _ in range(100):
        mailbox.append_text("x")

    class Plain:
        def append_text(self, text: str) -> None:
            appended.append(text)

    mailbox.deliver(Plain())
    mailbox.deliver(Plain())

    assert ["x" * 100] == appended


def test_the_window_is_free_meanwhile(example: ModuleType, server: ProviderServer, client: Client) -> None:
    """Sending returns before the model has said anything, and what has come is shown before it has said all."""
    gate = Gate()
    answer = chat_answer("one ", "two")
    server.reply(answer[:3], Wait(gate), answer[3:])
    chat, window = example.Chat(client.chat("gpt-4o")), Window()
    chat.send("Hi")
    pause = threading.Event()
    while ("append_text", "\n\nModel: one ") not in window.calls:
        chat.mailbox.deliver(window)
        pause.wait(0.001)

    assert chat.is_busy
    gate.set()
    finish(chat, window)
    assert ("append_text", "\n\nModel: one two") in window.calls


def test_the_stop_button_stops(example: ModuleType, server: ProviderServer, client: Client) -> None:
    """At once, also while the provider is silent; what had come is kept in the conversation."""
    server.reply(chat_answer("one ", "two")[:3], Stall())
    server.reply(chat_answer("three"))
    chat, window = example.Chat(client.chat("gpt-4o")), Window()
    chat.send("Hi")
    server.wait_for_request()
    pause = threading.Event()
    while ("append_text", "\n\nModel: one ") not in window.calls:
        chat.mailbox.deliver(window)
        pause.wait(0.001)
    chat.stop()
    finish(chat, window)
    chat.send("Go on")
    finish(chat, window)
    said = [message["content"] for message in server.requests[-1].json()["messages"]]

    assert ("append_text", "\n\nModel: one \n[Stopped]") in window.calls
    assert ["Hi", "one ", "Go on"] == said
    assert ("append_text", "\n\nModel: three") in window.calls


def test_an_error_is_shown_and_the_chat_goes_on(example: ModuleType, server: ProviderServer, client: Client) -> None:
    """In the place of the answer."""
    server.reply(error_answer(400, "not today"))
    server.reply(chat_answer("Hello"))
    chat, window = example.Chat(client.chat("gpt-4o")), Window()
    for _ in range(2):
        chat.send("Hi")
        finish(chat, window)
    told = "".join(value for name, value in window.calls if name == "append_text")

    assert "not today" in told
    assert told.endswith("\n\nModel: Hello")


def test_closing_leaves_nothing(example: ModuleType, server: ProviderServer, client: Client) -> None:
    """Neither an answer that was under way, nor its thread; nor does it mind that there was none."""
    chat = example.Chat(client.chat("gpt-4o"))
    chat.close()
    server.reply(Stall())
    chat.send("Hi")
    server.wait_for_request()
    chat.close()

    assert not chat.is_busy


@pytest.mark.slow
@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there is always a display")
def test_without_a_display_it_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """And says why; without tkinter, too."""
    monkeypatch.delenv("DISPLAY", raising=False)
    assert "DISPLAY" not in os.environ
    code, out, err = run_example("chat_ui.py")

    assert (0, "") == (code, err)
    assert out.startswith("Skipped: ")
