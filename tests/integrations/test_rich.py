"""RichHandler: when it draws, what it prints where there is no terminal, and that it always ends."""

from __future__ import annotations

import io
import itertools
import math
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("rich", reason="needs rich")

from rich.console import Console

from streamkit import (
    Cancelled,
    ChatResponse,
    Context,
    StreamProgress,
    StreamTruncated,
    TextChunk,
    ThinkingChunk,
    Usage,
    stream_with_handler,
)
from streamkit.errors import ConfigError
from streamkit.integrations.rich import RichHandler
from streamkit.testing import Close, ProviderServer, Stall, chat_answer
from tests.integrations.test_rich_page import Terminal
from tests.loopback import ask, client_of
from tests.screen import PATIENCE, Screen, pseudo_terminal

USAGE = Usage(total_tokens=312, source="reported")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class Never:
    """A timer that waits for ever."""

    daemon = False

    def __init__(self, seconds: float, fn: Any) -> None:
        self.seconds = seconds

    def start(self) -> None:
        """Begin to wait."""

    def cancel(self) -> None:
        """Wait no longer."""


@pytest.fixture(name="clock")
def fixture_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands still, and timers that know it."""
    monkeypatch.setattr(threading, "Timer", Never)
    return Clock()


@pytest.fixture(name="file")
def fixture_file() -> Iterator[Terminal]:
    """A terminal; stdout and stderr are themselves again afterwards."""
    before = sys.stdout, sys.stderr
    yield Terminal()

    assert before == (sys.stdout, sys.stderr)


def console(file: io.StringIO, clock: Any = time.monotonic, **settings: Any) -> Console:
    """A terminal's console of 60 columns and 20 rows."""
    settings = {"force_terminal": True, "width": 60, "height": 20, "_environ": {}, **settings}
    return Console(file=file, get_time=clock, legacy_windows=False, **settings)


def shown(file: io.StringIO) -> list[str]:
    """The screen's rows that are not blank."""
    screen = Screen(60, 20).feed(file.getvalue())
    assert [] == screen.unknown
    return [row for row in screen.text().splitlines() if row]


def texts(*contents: str) -> list[TextChunk]:
    """Chunks of text."""
    return [TextChunk(content=content, index=index) for index, content in enumerate(contents)]


# -- on a terminal


def test_an_answer_grows_with_its_status(file: Terminal, clock: Clock) -> None:
    """Tokens, tokens a second and seconds are beneath it; at the end there is what it took in all."""
    handler = RichHandler(console(file, clock))
    handler.on_token("Hello ")
    clock.now += 2
    handler.on_token("*you*")
    meanwhile = shown(file)
    handler.on_complete(ChatResponse(total_usage=USAGE))

    assert ["Hello you", "2 tokens, 1.0 tokens/s, 2.0s elapsed"] == meanwhile
    assert ["Hello you", "[2 tokens, 1.0 tokens/s, 2.0s elapsed, 312 total tokens]"] == shown(file)


def test_the_clock_is_that_of_the_stream(file: Terminal, clock: Clock) -> None:
    """Which began before the first token."""
    handler = RichHandler(console(file, clock))
    handler.on_token("Hello")
    handler.on_progress(StreamProgress(tokens_received=1, chars_received=5, elapsed=4.0))
    handler.on_complete(ChatResponse())

    assert "[1 tokens, 0.2 tokens/s, 4.0s elapsed]" == shown(file)[-1]


def test_thinking_is_shown_or_not(file: Terminal, clock: Clock) -> None:
    """As one likes."""
    for thinking in (True, False):
        handler = RichHandler(console(file, clock), thinking=thinking)
        handler.on_thinking("Hm.")
        handler.on_token("Hello")
        handler.on_complete(ChatResponse())

    assert ["Hm.", "Hello", "Hello"] == [row for row in shown(file) if "tokens" not in row]


class Watched(Terminal):
    """A terminal that tells when a text is written."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.written = threading.Event()
        self._awaited = text

    def write(self, text: str) -> int:
        """Write, and tell."""
        size = super().write(text)
        if self._awaited in text:
            self.written.set()
        return size


def test_what_came_too_soon_is_drawn_a_little_later() -> None:
    """Though nothing more comes: the provider may be silent for long."""
    file = Watched("you, 2")
    handler = RichHandler(console(file), refresh=0.05)
    handler.on_token("Hello ")
    handler.on_token("you, ")
    handler.on_token("2")

    assert file.written.wait(PATIENCE)
    assert "Hello you, 2" == shown(file)[0]
    handler.on_complete(ChatResponse())
    assert 2 == len(shown(file))


def test_no_timer_is_left(file: Terminal) -> None:
    """One that waits is called off at the end, and draws nothing after it."""
    handler = RichHandler(console(file), refresh=60)
    handler.on_token("Hello ")
    handler.on_token("you")
    timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    handler.on_error(StreamTruncated("cut"))
    for timer in timers:
        timer.join(PATIENCE)

    assert [False] == [timer.is_alive() for timer in timers]
    assert ["Hello you", "[Error: cut]"] == shown(file)


@pytest.mark.parametrize("refresh", [math.inf, 1e9])
def test_it_may_draw_at_the_end_only(file: Terminal, refresh: float) -> None:
    """After the first time."""
    handler = RichHandler(console(file), refresh=refresh)
    for _ in range(20):
        handler.on_token("x")
    handler.on_complete(ChatResponse())

    assert "x" * 20 == shown(file)[0]


def test_a_late_drawing_that_fails_is_made_good() -> None:
    """Nobody could be told of it on the timer's thread; the next call is, where it fails again."""

    class Failing(Watched):
        def write(self, text: str) -> int:
            super().write(text)
            if "you" in text:
                raise OSError
            return len(text)

    file = Failing("you")
    handler = RichHandler(target := console(file), refresh=0.05)
    handler.on_token("Hello ")
    handler.on_token("you")
    assert file.written.wait(PATIENCE)
    target.file = again = Terminal()
    handler.on_complete(ChatResponse())

    assert "Hello you" == shown(again)[0]


@pytest.mark.parametrize(("refresh", "drawings"), [(0.1, 11), (0.5, 3), (10.0, 1)])
def test_it_draws_no_oftener_than_asked(file: Terminal, clock: Clock, refresh: float, drawings: int) -> None:
    """However many tokens come."""
    handler = RichHandler(console(file, clock), refresh=refresh)
    for n in range(1001):
        clock.now = 100 + n / 1000 + 1e-9 * n
        handler.on_token("x")

    assert drawings == file.getvalue().count(" elapsed")
    handler.on_complete(ChatResponse())


def test_slow_drawings_are_rarer(file: Terminal, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most a fifth of the time goes into them."""
    handler = RichHandler(console(file, clock), refresh=0.1)
    page = handler._page
    drawings: list[float] = []

    def slow(status: str) -> None:
        drawings.append(clock.now)
        clock.now += 1

    monkeypatch.setattr(page, "draw", slow)
    for _ in range(120):
        handler.on_token("x")
        clock.now += 0.1

    assert [5.0, 5.0] == [round(b - a, 0) for a, b in itertools.pairwise(drawings)][:2]


def test_a_model_does_not_command_the_terminal(file: Terminal, clock: Clock) -> None:
    """Neither by its answer nor by its thinking."""
    handler = RichHandler(console(file, clock))
    handler.on_thinking("\x1b[2Jone")
    handler.on_token("\x1b]0;title\x07two\r")
    handler.on_complete(ChatResponse())

    assert ["\ufffd[2Jone", "\ufffd]0;title\ufffdtwo"] == shown(file)[:2]


def test_the_next_answer_begins_anew(file: Terminal, clock: Clock) -> None:
    """Its tokens are its own."""
    handler = RichHandler(console(file, clock))
    for _ in range(2):
        handler.on_token("Hello")
        clock.now += 1
        handler.on_complete(ChatResponse())

    assert ["Hello", "[1 tokens, 1.0 tokens/s, 1.0s elapsed]"] * 2 == shown(file)


def test_a_failure_is_told_after_what_had_come(file: Terminal) -> None:
    """All of it, though not all was drawn before; the error is raised as ever."""
    with ProviderServer() as server, client_of(server) as client:
        server.reply(chat_answer("one\n\n", "two ", "three")[:5], Close())
        with pytest.raises(StreamTruncated) as raised:
            stream_with_handler(ask(client), RichHandler(console(file), refresh=60))

    assert ["one", "two three"] == shown(file)[:2]
    assert f"[Error: {raised.value}]" == " ".join(shown(file)[2:])


def test_a_cancel_is_told_after_what_had_come(file: Terminal) -> None:
    """Also while the provider is silent."""
    ctx = Context()

    class Cancelling(RichHandler):
        def on_token(self, token: str) -> None:
            super().on_token(token)
            ctx.cancel("enough")

    with ProviderServer() as server, client_of(server) as client:
        server.reply(chat_answer("one", "two")[:3], Stall())
        with pytest.raises(Cancelled):
            stream_with_handler(ask(client), Cancelling(console(file)), ctx=ctx)

    assert ["one", "[Error: cancelled: enough]"] == shown(file)
    assert Screen(60, 20).feed(file.getvalue()).cursor_visible


@pytest.mark.parametrize("where", ["token", "drawing"])
def test_ctrl_c_leaves_all_that_had_come(file: Terminal, where: str) -> None:
    """Between two tokens, or in the middle of a drawing: the text is printed, and the streams are set back."""
    target = console(file, Clock())

    class Interrupted(RichHandler):
        def on_token(self, token: str) -> None:
            super().on_token(token)
            if token == "two ":
                if where == "token":
                    raise KeyboardInterrupt
                target.file, self.kept = Raising(), target.file

        def on_error(self, error: Any) -> None:
            if where == "drawing":
                target.file = self.kept
            super().on_error(error)

    class Raising(Terminal):
        def write(self, text: str) -> int:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stream_with_handler(texts("one\n\n", "two ", "three"), Interrupted(target, refresh=0))
    rows = [row for row in shown(file) if "elapsed" not in row]

    assert ["one", "two" if where == "token" else "two three", "[Error: cancelled: interrupted]"] == list(
        dict.fromkeys(rows)
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
def test_a_real_terminal_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is taller than it is on it and above it, whole."""
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "50")  # else rich asks the terminal of stdin
    monkeypatch.setenv("LINES", "8")
    words = [f"- item {n} of `many`\n" for n in range(30)]
    with pseudo_terminal(50, 8) as terminal:
        stream_with_handler(texts(*words), RichHandler(Console(file=terminal.file), refresh=0))
        output = terminal.output()
    screen = Screen(50, 8).feed(output)

    assert [f" • item {n} of many" for n in range(30)] == screen.text().splitlines()[:30]
    assert " elapsed" in screen.shown()[-1]
    assert [] == screen.unknown


@pytest.mark.slow
def test_a_long_answer_costs_little() -> None:
    """100,000 characters in 20,000 pieces: a drawing for each would take minutes."""
    file = Terminal()
    handler = RichHandler(console(file))
    began = time.process_time()
    for n in range(20_000):
        handler.on_token("word\n" if n % 40 else "\n\n# H\n")
    handler.on_complete(ChatResponse())

    assert time.process_time() - began < 20
    assert 19_500 == "\n".join(shown(file)).count("word")


# -- elsewhere


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        (io.StringIO, {"force_terminal": None}),
        (io.StringIO, {"force_terminal": None, "_environ": {"FORCE_COLOR": "1"}}),
        (Terminal, {"_environ": {"TERM": "dumb"}}),
        (Terminal, {"force_interactive": False}),
    ],
)
def test_what_is_no_terminal_gets_the_text(file: type[io.StringIO], settings: dict[str, Any]) -> None:
    """As it came: no control code, no thinking, no status; tabs and long lines stay, a last line feed is added."""
    written = file()
    source = "# Title\n\n\tMakefile " + "long " * 30
    chunks = [ThinkingChunk(content="Hm.", index=0), *texts(source, "\x0bend")]
    stream_with_handler(chunks, RichHandler(console(written, **settings)))

    assert f"{source}\x0bend\n" == written.getvalue()


@pytest.mark.parametrize(("text", "written"), [("one", "one\n[Error: cut]\n"), ("one\n", "one\n[Error: cut]\n")])
def test_a_file_tells_that_it_is_cut(text: str, written: str) -> None:
    """What looks whole would be a lie."""
    file = io.StringIO()
    handler = RichHandler(console(file, force_terminal=False))
    handler.on_token(text)
    handler.on_error(StreamTruncated("cut"))

    assert written == file.getvalue()


def test_stdout_by_default(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A captured one is no terminal."""
    for name in [name for name in os.environ if name.startswith(("FORCE_", "TTY_"))]:
        monkeypatch.delenv(name)
    stream_with_handler(texts("Hello"), RichHandler())

    assert "Hello\n" == capsys.readouterr().out


def test_without_rich_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one installs it."""
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with pytest.raises(ConfigError, match=re.escape("pip install 'streamkit-llm[rich]'")):
        RichHandler()
