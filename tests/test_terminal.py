"""What a terminal is given: no commands of others, and a status that never harms the text."""

from __future__ import annotations

import io
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.terminal import StatusLine, harmless, is_terminal, put
from tests.screen import Screen, TerminalFile, pseudo_terminal, terminal_file

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")


@pytest.fixture(autouse=True)
def _terminal_obeys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own terminal may be a dumb one."""
    monkeypatch.setenv("TERM", "xterm")


# -- text


def test_commands_are_shown_and_not_obeyed() -> None:
    """Control characters of either set become U+FFFD; line feeds and tabs stay, carriage returns go."""
    assert "a\ufffd[2Jb\ufffd\ufffd\ufffd\tc\nd" == harmless("a\x1b[2Jb\x07\x9b\x7f\tc\r\nd")


@pytest.mark.parametrize("file", [io.StringIO(), None, object()])
def test_what_is_no_terminal(file: object) -> None:
    """A buffer, no file at all and something else are no terminals."""
    assert not is_terminal(file)


def test_a_closed_file_is_no_terminal() -> None:
    """It is asked without an error."""
    file = io.StringIO()
    file.close()

    assert not is_terminal(file)


def test_a_terminal_is_one() -> None:
    """A pseudo-terminal is."""
    with terminal_file() as file:
        assert is_terminal(file)


def test_writing_never_fails_for_the_encoding() -> None:
    """What an ASCII file has no place for becomes a question mark; all else is written, at once."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii", newline="")
    put(file, "caf\xe9 \u2192 ok")

    assert b"caf? ? ok" == raw.getvalue()


def test_no_file_takes_everything() -> None:
    """Programs without a console have None for stdout."""
    put(None, "text")


# -- the status


def shown(file: TerminalFile, columns: int = 80, rows: int = 24, *, before: str = "", ambiguous: int = 1) -> Screen:
    """The screen after what was written."""
    screen = Screen(columns, rows, ambiguous=ambiguous).feed(before + file.getvalue())
    assert [] == screen.unknown
    return screen


def test_it_stands_beneath_the_text_and_the_text_goes_on() -> None:
    """The status is on the row below; the next text continues where the text was, and the status moves along."""
    with terminal_file() as file:
        line = StatusLine(file)
        line.write("Title\nHello")
        line.show("[10 tokens]")
        first = shown(file).shown()
        line.write(" wor")
        line.write("ld\nand")
        second = shown(file).shown()
        line.clear()

        assert ["Title", "Hello", "[10 tokens]"] == first
        assert ["Title", "Hello world", "and", "[10 tokens]"] == second
        assert ["Title", "Hello world", "and"] == shown(file).shown()


def test_it_is_replaced() -> None:
    """A shorter status leaves nothing of a longer one."""
    with terminal_file() as file:
        line = StatusLine(file)
        line.write("\nHello")
        line.show("[1000 tokens]")
        line.show("[x]")

        assert ["", "Hello", "[x]"] == shown(file).shown()


def test_it_waits_for_the_first_line_feed() -> None:
    """Where the text begins in its row is not known, so nothing is drawn; what stood before the text stays."""
    with terminal_file() as file:
        line = StatusLine(file)
        line.write("Hello")
        line.show("[10 tokens]")
        first = shown(file, before="Answer: ").shown()
        line.write(" you\n")

        assert ["Answer: Hello"] == first
        assert ["Answer: Hello you", "", "[10 tokens]"] == shown(file, before="Answer: ").shown()


def test_the_last_row_scrolls() -> None:
    """At the bottom of the screen the text moves up to make room, and none is lost."""
    with terminal_file(20, 3) as file:
        line = StatusLine(file)
        line.show("[s]")
        for n in range(10):
            line.write(f"line {n}\n")
        line.write("end")
        screen = shown(file, 20, 3)

        assert ["line 9", "end", "[s]"] == screen.shown()
        line.clear()
        assert [*(f"line {n}" for n in range(10)), "end"] == shown(file, 20, 3).text().splitlines()


def test_a_full_row_has_no_status() -> None:
    """While the text fills its row to the last column the status is away, and it is back with the next character."""
    with terminal_file(10, 5) as file:
        line = StatusLine(file)
        line.write("\n")
        line.show("[s]")
        line.write("0123456789")
        full = shown(file, 10, 5).shown()
        line.write("x")

        assert ["", "0123456789"] == full
        assert ["", "0123456789", "x", "[s]"] == shown(file, 10, 5).shown()


def test_a_long_status_is_cut() -> None:
    """It never takes a second row, nor the last column."""
    with terminal_file(10, 5) as file:
        line = StatusLine(file)
        line.write("\n")
        line.show("[123456789012345]")

        assert ["", "", "[12345678"] == shown(file, 10, 5).shown()


@pytest.mark.parametrize(("columns", "rows"), [(80, 1), (0, 0)])
def test_a_terminal_without_room_shows_the_text_alone(columns: int, rows: int) -> None:
    """With one row there is no place; where no size is known the status is shown at the begin of a row only."""
    with terminal_file(columns, rows) as file:
        line = StatusLine(file)
        line.write("a\nb")
        line.show("[s]")

        assert "a\nb" == file.getvalue()


@pytest.mark.parametrize("kind", ["dumb", ""])
def test_a_dumb_terminal_shows_the_text_alone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that knows no movements is sent none."""
    monkeypatch.setenv("TERM", kind) if kind else monkeypatch.delenv("TERM")
    with terminal_file() as file:
        line = StatusLine(file)
        line.show("[s]")
        line.write("a\nb\n")
        line.clear()

        assert "a\nb\n" == file.getvalue()


def test_another_size_waits_for_the_next_line() -> None:
    """A line that the terminal has set anew may stand anywhere; at the next line feed all is known again."""
    with terminal_file(20, 5) as file:
        line = StatusLine(file)
        line.show("[s]")
        line.write("\nHello")
        file.resize(10, 5)
        line.write(" you")
        away = file.getvalue()
        line.write("\n")

        assert away.endswith("\x1b[J you")
        assert file.getvalue().endswith("\r\n[s]\x1b8")


@pytest.mark.parametrize("text", ["a\tb", "\U0001f469\u200d\U0001f467", "\u0644\u0627", "e\u0301"])
def test_text_of_unknown_width_may_hide_it_but_loses_nothing(text: str) -> None:
    """Tabs, emoji and combining marks take as many columns as the terminal likes."""
    with terminal_file(12, 6) as file:
        line = StatusLine(file)
        line.show("[s]")
        line.write("\n")
        for _ in range(12):
            line.write(text)
        line.clear()

        assert shown(file, 12, 6).text() == Screen(12, 6).feed("\n" + text * 12).text()


def test_a_wide_character_is_not_split() -> None:
    """One that finds the last column only begins the next row, and so the text fills that one sooner."""
    with terminal_file(3, 4) as file:
        line = StatusLine(file)
        line.write("\n")
        line.write("aa\u6f22b")
        line.show("[s]")
        line.write("c")

        assert ["", "aa", "\u6f22b", "c"] == shown(file, 3, 4).shown()


PIECES = st.lists(
    st.one_of(
        st.text("ab \n", max_size=12),
        st.text("aé’—…Жω\n", max_size=8),
        st.text("漢字かな\n a", max_size=6),
        st.text("e\u0301\u200d🎉\ta\n", max_size=6),
        st.none(),
    ),
    max_size=30,
)


@given(pieces=PIECES, columns=st.integers(2, 13), rows=st.integers(2, 5), ambiguous=st.sampled_from([1, 2]))
def test_the_text_is_what_it_would_be_without(
    pieces: list[str | None], columns: int, rows: int, ambiguous: int
) -> None:
    """Whatever is written, on a terminal of any size, nothing is overwritten, lost or moved by the status."""
    with pytest.MonkeyPatch.context() as patch, terminal_file(columns, rows) as file:
        patch.setenv("TERM", "xterm")
        line = StatusLine(file)
        for n, piece in enumerate(pieces):
            line.show(f"[{n} tokens]") if piece is None else line.write(piece)
        line.clear()
        plain = Screen(columns, rows, ambiguous=ambiguous).feed("".join(piece or "" for piece in pieces))

        assert plain.text() == shown(file, columns, rows, ambiguous=ambiguous).text()


def test_a_real_terminal_shows_it() -> None:
    """Through a pseudo-terminal, whose driver makes two characters of a line feed, it looks the same."""
    with pseudo_terminal(30, 4) as terminal:
        line = StatusLine(terminal.file)
        line.write("one\ntwo\nthree\nfour\nfive")
        line.show("[5 tokens]")
        screen = Screen(30, 4).feed(terminal.output())

        assert ["three", "four", "five", "[5 tokens]"] == screen.shown()


def test_what_is_not_known_is_never_safe() -> None:
    """Before the first line feed any column is possible."""
    with terminal_file() as file:
        line = StatusLine(file)

        assert math.inf == line._most
        assert not line._is_safe()
