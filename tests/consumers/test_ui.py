"""Chat windows: what is shown, in which order, and that the indicator goes off however it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamkit import Cancelled, ChatUI, Client, ConfigError, Context, RateLimited, StreamTruncated, drive_ui, tool
from streamkit.testing import Close, ProviderServer, Stall, chat_answer, error_answer
from tests.loopback import ask, client_of


class Window:
    """Keeps what it is told; does something at the first call of one of its methods."""

    def __init__(self, at: str = "", do: Callable[[], object] = lambda: None) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._at, self._do = at, do

    def _note(self, name: str, *values: Any) -> None:
        self.calls.append((name, *values))
        if name == self._at:
            self._at = ""
            self._do()

    def show_typing_indicator(self, visible: bool) -> None:
        """Note it."""
        self._note("on" if visible else "off")

    def start_new_message(self) -> None:
        """Note it."""
        self._note("start")

    def append_text(self, text: str) -> None:
        """Note it."""
        self._note("append", text)

    def show_error(self, error: Exception) -> str:
        """Note it."""
        self._note("error", error)
        return "what show_error gave"

    def show_token_count(self, total_tokens: int) -> None:
        """Note it."""
        self._note("count", total_tokens)

    def names(self) -> list[str]:
        """The calls without what was given."""
        return [call[0] for call in self.calls]


class WindowFailed(Exception):
    """What a window of these tests raises."""


def fail() -> None:
    """Raise as a window with a bug does."""
    raise WindowFailed


def test_an_answer_is_shown_in_order(server: ProviderServer, client: Client) -> None:
    """Indicator, message, its text without thinking, token count, indicator; the response is returned."""
    server.reply(chat_answer("Hel", "lo", thinking="Hm."))
    window = Window()
    response = drive_ui(ask(client), window)

    assert [("on",), ("start",), ("append", "Hel"), ("append", "lo"), ("count", 7), ("off",)] == window.calls
    assert ("Hello", True) == (response.text, response.complete)


def test_the_indicator_is_on_before_anything_is_asked(server: ProviderServer, client: Client) -> None:
    """Opening may take long."""
    asked: list[int] = []
    server.reply(chat_answer("Hello"))
    drive_ui(ask(client), Window("on", lambda: asked.append(len(server.requests))))

    assert [0] == asked


def test_an_unknown_usage_is_not_shown(server: ProviderServer, client: Client) -> None:
    """Rather no number than a made-up one."""
    server.reply(chat_answer("Hello", usage=False))
    window = Window()
    drive_ui(ask(client), window)

    assert ["on", "start", "append", "off"] == window.names()


def test_a_failed_opening_is_shown(server: ProviderServer, client: Client) -> None:
    """In place of a message; what `show_error` gives is returned, and nothing is raised."""
    server.reply(error_answer(429))
    window = Window()

    assert "what show_error gave" == drive_ui(ask(client), window)
    assert ["on", "error", "off"] == window.names()
    assert isinstance(window.calls[1][1], RateLimited)


def test_a_refused_request_is_shown(client: Client) -> None:
    """An error of ours, before anything was sent, is one too."""
    window = Window()
    drive_ui(client.chat("gpt-4o"), window)

    assert isinstance(window.calls[1][1], ConfigError)


def test_a_cut_answer_is_shown(server: ProviderServer, client: Client) -> None:
    """After what had come, and without a count."""
    server.reply(chat_answer("one", "two")[:3], Close())
    window = Window()

    assert "what show_error gave" == drive_ui(ask(client), window)
    assert ["on", "start", "append", "error", "off"] == window.names()
    assert isinstance(window.calls[3][1], StreamTruncated)
    assert "one" == window.calls[3][1].partial.text


def test_a_cancel_is_shown(server: ProviderServer, client: Client) -> None:
    """The stop button cancels the context, and the window learns it as an error of that class."""
    ctx = Context()
    server.reply(chat_answer("one", "two")[:3], Stall())
    window = Window("append", ctx.cancel)
    drive_ui(ask(client), window, ctx=ctx)

    assert ["on", "start", "append", "error", "off"] == window.names()
    assert isinstance(window.calls[3][1], Cancelled)


def test_a_cancel_after_the_provider_had_said_all(server: ProviderServer, client: Client) -> None:
    """Not all of it is shown, so it is shown as an error, and no token count with it."""
    ctx = Context()
    server.reply(chat_answer("one", "two"))
    stream = ask(client).get_stream(ctx)
    assert stream.final.get() is not None

    class Opened:
        def get_stream(self, ctx: Context | None = None) -> Any:
            return stream

    window = Window("start", ctx.cancel)
    drive_ui(Opened(), window, ctx=ctx)

    assert ["on", "start", "error", "off"] == window.names()
    assert isinstance(window.calls[2][1], Cancelled)
    assert "onetwo" == window.calls[2][1].partial.text


@pytest.mark.parametrize("method", ["on", "start", "append", "count"])
def test_what_a_window_raises_propagates(server: ProviderServer, client: Client, method: str) -> None:
    """The indicator goes off all the same, nothing else is called, and the stream is ended."""
    server.reply(chat_answer("one", "two"), times=1)
    window = Window(method, fail)
    with pytest.raises(WindowFailed):
        drive_ui(ask(client), window)

    assert [method, "off"] == window.names()[-2:]
    assert "error" not in window.names()


def test_a_window_that_fails_ends_the_stream(server: ProviderServer, client: Client) -> None:
    """While the provider is silent; the connection is given up."""
    server.reply(chat_answer("one", "two")[:3], Stall())
    with pytest.raises(WindowFailed) as raised:  # kept, its frames keep the stream from being dropped
        drive_ui(ask(client), Window("append", fail))
    server.wait_until(lambda: server.open_connections == 0)

    assert raised.tb is not None


@pytest.mark.parametrize("opens", [True, False])
def test_a_window_may_fail_to_show_an_error(server: ProviderServer, client: Client, opens: bool) -> None:
    """The indicator goes off."""
    server.reply(chat_answer("one")[:3] if opens else error_answer(429))
    window = Window("error", fail)
    with pytest.raises(WindowFailed):
        drive_ui(ask(client), window)

    assert ["error", "off"] == window.names()[-2:]


def test_the_tokens_are_those_of_all_steps() -> None:
    """What a tool loop took is shown whole."""
    with ProviderServer() as server, client_of(server) as client:

        @tool
        def now() -> str:
            """Tell the time."""
            return "noon"

        server.reply(chat_answer(tool_calls=[("now", {})]))
        server.reply(chat_answer("It is ", "noon."))
        window = Window()
        from streamkit import stream_text

        class Loop:
            def get_stream(self, ctx: Context | None = None) -> Any:
                return stream_text(client.model("gpt-4o"), prompt="Hello", tools=[now], ctx=ctx).chat_stream

        response = drive_ui(Loop(), window)

    assert ("count", response.total_usage.total_tokens) in window.calls
    assert response.total_usage.total_tokens > response.usage.total_tokens


def test_a_window_is_known_by_its_methods() -> None:
    """`ChatUI` can be asked for at run time."""
    assert isinstance(Window(), ChatUI)
    assert not isinstance(object(), ChatUI)
