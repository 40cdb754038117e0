"""A page that grows: what the screen shows meanwhile, and what is left on it."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("rich", reason="needs rich")

from rich.console import Console
from rich.errors import LiveError
from rich.live import Live
from rich.markdown import Markdown

from streamkit.errors import ConfigError
from streamkit.integrations.rich_page import Page
from tests.integrations.test_markdown import SOURCE
from tests.screen import Screen


class Terminal(io.StringIO):
    """A file that says that it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


class Showing:
    """A console, and the screen that shows what it wrote."""

    def __init__(self, columns: int = 40, rows: int = 12) -> None:
        self.columns, self.rows = columns, rows
        self.file = Terminal()
        self.console = Console(
            file=self.file, force_terminal=True, width=columns, height=rows, legacy_windows=False, _environ={}
        )

    def screen(self) -> Screen:
        """What there is to be seen."""
        screen = Screen(self.columns, self.rows).feed(self.file.getvalue())
        assert [] == screen.unknown
        return screen


@pytest.fixture(name="showing")
def fixture_showing() -> Iterator[Showing]:
    """A small terminal; stdout and stderr are themselves again afterwards."""
    before = sys.stdout, sys.stderr
    yield Showing()

    assert before == (sys.stdout, sys.stderr)


def test_the_status_is_below_what_grows(showing: Showing) -> None:
    """Each drawing replaces the one before."""
    page = Page(showing.console)
    page.write("Hello")
    page.draw("[1 token]")
    first = showing.screen().shown()
    page.write(" *you*\n\nand")
    page.draw("[2 tokens]")
    second = showing.screen().shown()
    page.end("[done]")

    assert ["Hello", "[1 token]"] == first
    assert ["Hello you", "", "and", "[2 tokens]"] == second
    assert ["Hello you", "", "and", "", "[done]"] == showing.screen().shown()


@pytest.mark.parametrize("step", [1, 5, 40])
@pytest.mark.parametrize("rows", [3, 12])
def test_what_is_left_is_the_whole(step: int, rows: int) -> None:
    """However it came, and however small the screen: the same rows as if it had been drawn at once."""
    showing, whole = Showing(rows=rows), Showing(rows=rows)
    source = SOURCE.replace("[", "(")
    page = Page(showing.console)
    for at in range(0, len(source), step):
        page.write(source[at : at + step])
        page.draw("[status]")
    page.end("[done]")
    whole.console.print(Markdown(source, hyperlinks=False))

    assert f"{whole.screen().text()}\n\n[done]" == showing.screen().text()


def test_what_is_taller_than_the_screen_is_shown_from_its_end(showing: Showing) -> None:
    """A piece of code that does not end: its last lines, and above them nothing of former drawings."""
    page = Page(showing.console)
    page.write("```\n")
    for n in range(50):
        page.write(f"line {n}\n")
        page.draw("[status]")
    screen = showing.screen()

    assert [f" line {n}" for n in range(41, 50)] == screen.shown()[-11:-2]
    assert "[status]" == screen.shown()[-1]
    assert "" == screen.text().partition(" line 41")[0].strip()
    page.end("[done]")
    assert [f" line {n}" for n in range(50)] == [row for row in showing.screen().text().splitlines() if "line" in row]


def test_thinking_is_dim_and_apart(showing: Showing) -> None:
    """It is shown as it is, and finished before the answer begins; so is the answer before more thinking."""
    page = Page(showing.console)
    page.write("Let me *count*.\nFour", thinking=True)
    page.draw("[0 tokens]")
    meanwhile = showing.screen().shown()
    page.write("There are *four*.")
    page.write("Are there?", thinking=True)
    page.end("[done]")

    assert ["Let me *count*.", "Four", "[0 tokens]"] == meanwhile
    assert "\x1b[2mLet me *count*." in showing.file.getvalue()
    rows = ["Let me *count*.", "Four", "", "There are four.", "", "Are there?", "", "[done]"]
    assert rows == showing.screen().text().splitlines()


def test_the_status_stays_between_two_kinds(showing: Showing) -> None:
    """As the answer begins after the thinking, the status of the last drawing is below until the next one."""
    page = Page(showing.console)
    page.write("Let me count.\n", thinking=True)
    page.draw("[0 tokens]")
    page.write("Four.")

    assert ["Let me count.", "[0 tokens]"] == showing.screen().shown()
    page.end("[done]")


def test_the_cursor_and_the_streams_are_left_alone(showing: Showing) -> None:
    """The cursor stays visible, so nothing is to be set back even where the process is killed."""
    page = Page(showing.console)
    page.write("Hello")
    page.draw("[status]")

    assert showing.screen().cursor_visible
    page.end("[done]")
    assert showing.screen().cursor_visible


def test_what_others_print_goes_above(showing: Showing, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning to stderr, say, while the page is drawn, stays readable."""
    monkeypatch.setattr(sys, "stderr", showing.file)
    page = Page(showing.console)
    page.write("Hello")
    page.draw("[status]")
    sys.stderr.write("a warning\n")
    page.write(" you")
    page.end("[done]")

    assert ["a warning", "Hello you", "", "[done]"] == showing.screen().shown()


def test_an_empty_page_has_its_last_line(showing: Showing) -> None:
    """Whether or not something was drawn."""
    Page(showing.console).end("[one]")
    page = Page(showing.console)
    page.draw("[status]")
    page.end("[two]")

    assert ["[one]", "[two]"] == showing.screen().shown()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_drawing_loses_nothing(showing: Showing, error: type[BaseException]) -> None:
    """The live part is taken away, the streams are set back, and the end prints all that had come."""

    class Failing(Terminal):
        def write(self, text: str) -> int:
            raise error

    page = Page(showing.console)
    page.write("one\n\ntwo")
    page.draw("[status]")
    page.write("\n\nthree")
    own, redirected = showing.console.file, sys.stdout
    showing.console.file = Failing()
    with pytest.raises(error):
        page.draw("[status]")
    showing.console.file = own
    assert redirected is not sys.stdout
    page.end("[done]")
    rows = showing.screen().text().splitlines()

    assert ["one", "two", "three", "[done]"] == list(dict.fromkeys(row for row in rows if row and row != "[status]"))


def test_a_console_that_shows_something_else(showing: Showing, monkeypatch: pytest.MonkeyPatch) -> None:
    """As rich before 14.1 did, which takes one at a time, the error says what to do."""

    def refuse(live: Live) -> None:
        raise LiveError("Only one live display may be active at once")

    monkeypatch.setattr(showing.console, "set_live", refuse)
    page = Page(showing.console)
    page.write("Hello")
    with pytest.raises(ConfigError, match="give RichHandler another"):
        page.draw("[status]")


def test_a_wider_answer_than_the_terminal_is_wrapped() -> None:
    """Words go to the next row; none is cut."""
    showing = Showing(columns=12)
    page = Page(showing.console)
    words: list[Any] = [f"word{n} " for n in range(20)]
    for word in words:
        page.write(word)
        page.draw("[a status that is wider than the terminal]")
    page.end("[done]")

    assert [word.strip() for word in words] == showing.screen().text().partition("[done]")[0].split()
