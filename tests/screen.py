"""A terminal of our own: a pseudo-terminal to write to, and what its screen would show.

The screen is a harsh one: with the cursor waiting on the last column, erasing takes the last character away, and any
movement forgets that it waits. Real terminals differ in both.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import re
import threading
import unicodedata
from collections.abc import Iterator
from typing import Any, TextIO

__all__ = ["PATIENCE", "Screen", "TerminalFile", "pseudo_terminal", "terminal_file"]

PATIENCE = 10.0
"""Seconds after which a test gives up hope."""

_SEQUENCE = re.compile(r"\x1b(?:\[(?P<arguments>[?\d;]*)(?P<command>[A-Za-z])|\](?P<title>[^\x07]*)\x07|(?P<short>.))")


class Screen:
    """Rows and columns of characters, and above them what has scrolled away."""

    def __init__(self, columns: int = 80, rows: int = 24, *, ambiguous: int = 1) -> None:
        self.columns, self.rows = columns, rows
        self.cursor_visible = True
        self.unknown: list[str] = []
        self._ambiguous = ambiguous
        self._above: list[tuple[list[str], bool]] = []
        self._cells = [[""] * columns for _ in range(rows)]
        self._wrapped = [False] * rows
        self._row = self._column = 0
        self._waits = False
        self._saved = (0, 0)

    def feed(self, text: str) -> Screen:
        """Take what a program writes, line feeds as a terminal driver passes them on."""
        at = 0
        while at < len(text):
            found = _SEQUENCE.match(text, at)
            if found:
                self._obey(found)
                at = found.end()
            else:
                self._take(text[at])
                at += 1
        return self

    def text(self) -> str:
        """What there is to be read, scrolled away or not: rows that were wrapped are one line, ends are stripped."""
        lines, line = [], ""
        for cells, wrapped in [*self._above, *zip(self._cells, self._wrapped, strict=True)]:
            line += _row(cells)
            if not wrapped:
                lines.append(line.rstrip())
                line = ""
        return "\n".join(lines).rstrip("\n")

    def shown(self) -> list[str]:
        """The rows that can be seen now, without what is blank at their ends and below."""
        rows = [_row(cells).rstrip() for cells in self._cells]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def _obey(self, found: re.Match[str]) -> None:
        command = found["command"] or found["short"]
        count = int(found["arguments"]) if (found["arguments"] or "").isdigit() else 0
        if found["title"] is not None or command == "m":
            return
        self._waits = False
        if command == "A":
            self._row = max(0, self._row - max(1, count))
        elif command == "D" and found["short"]:
            self._down()
        elif command == "7":
            self._saved = (self._row, self._column)
        elif command == "8":
            self._row, self._column = self._saved
        elif command == "K":
            start = 0 if count == 2 else self._column
            self._cells[self._row][start:] = [""] * (self.columns - start)
        elif command == "J" and not count:
            self._cells[self._row][self._column :] = [""] * (self.columns - self._column)
            self._wrapped[self._row] = False
            for row in range(self._row + 1, self.rows):
                self._cells[row], self._wrapped[row] = [""] * self.columns, False
        elif found["arguments"] == "?25":
            self.cursor_visible = command == "h"
        else:
            self.unknown.append(found[0])

    def _take(self, c: str) -> None:
        if c == "\n":
            self._wrapped[self._row] = False
            self._down()
            self._column, self._waits = 0, False
        elif c == "\r":
            self._column, self._waits = 0, False
        elif c == "\t":
            self._column = min(self.columns - 1, self._column // 8 * 8 + 8)
        elif c < " " or c == "\x7f":
            self.unknown.append(c)
        else:
            self._draw(c)

    def _draw(self, c: str) -> None:
        width = self._width(c)
        if not width:
            row, column = (self._row, self._column - (not self._waits)) if self._column else (self._row, 0)
            self._cells[row][column] += c
            return
        if self._waits or self._column + width > self.columns:
            self._wrapped[self._row] = True
            self._down()
            self._column, self._waits = 0, False
        self._cells[self._row][self._column : self._column + width] = [c, *["\0"] * (width - 1)]
        self._column += width
        if self._column >= self.columns:
            self._column, self._waits = self.columns - 1, True

    def _width(self, c: str) -> int:
        if unicodedata.category(c)[0] == "M" or unicodedata.category(c) == "Cf":
            return 0
        return {"W": 2, "F": 2, "A": self._ambiguous}.get(unicodedata.east_asian_width(c), 1)

    def _down(self) -> None:
        if self._row + 1 < self.rows:
            self._row += 1
            return
        self._above.append((self._cells.pop(0), self._wrapped.pop(0)))
        self._cells.append([""] * self.columns)
        self._wrapped.append(False)


class TerminalFile(io.StringIO):
    """A file that says that it is a terminal, of a size that can be changed, and keeps what is written."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def isatty(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The descriptor of a real terminal that nobody writes to: the size is asked for there."""
        return self._descriptor

    def resize(self, columns: int, rows: int) -> None:
        """Set the size."""
        _set_size(self._descriptor, columns, rows)


@contextlib.contextmanager
def terminal_file(columns: int = 80, rows: int = 24) -> Iterator[TerminalFile]:
    """Give a terminal to write to whose text stays here: quick, for many small tests."""
    import pty  # here, as Windows has none

    master, slave = pty.openpty()
    try:
        _set_size(slave, columns, rows)
        yield TerminalFile(slave)
    finally:
        os.close(master)
        os.close(slave)


class PseudoTerminal:
    """A real terminal's two ends: a file to write to, and what has come out at the other."""

    def __init__(self, master: int, file: TextIO) -> None:
        self.file: Any = file
        self._master = master
        self._text = ""
        self._marks = 0
        self._changed = threading.Condition()  # guards _text
        self._reader = threading.Thread(target=self._read, name="tests-pseudo-terminal", daemon=True)
        self._reader.start()

    def output(self) -> str:
        """All that was written so far; blocks until it has come through."""
        self._marks += 1
        mark = f"\x1b]mark {self._marks}\x07"
        self.file.write(mark)
        self.file.flush()
        with self._changed:
            assert self._changed.wait_for(lambda: mark in self._text, PATIENCE)
            return re.sub(r"\x1b\]mark \d+\x07", "", self._text)

    def close(self) -> None:
        """Close both ends."""
        self.file.close()
        self._reader.join(PATIENCE)
        os.close(self._master)

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")()
        with contextlib.suppress(OSError):  # the other end is closed
            while block := os.read(self._master, 65536):
                with self._changed:
                    self._text += decoder.decode(block)
                    self._changed.notify_all()


@contextlib.contextmanager
def pseudo_terminal(columns: int = 80, rows: int = 24) -> Iterator[PseudoTerminal]:
    """Give a pseudo-terminal of this size."""
    import pty  # here, as Windows has none

    master, slave = pty.openpty()
    _set_size(slave, columns, rows)
    with open(slave, "w", encoding="utf-8", newline="") as file:
        terminal = PseudoTerminal(master, file)
        try:
            yield terminal
        finally:
            terminal.close()


def _row(cells: list[str]) -> str:
    return "".join(cell or " " for cell in cells).replace("\0", "")


def _set_size(descriptor: int, columns: int, rows: int) -> None:
    import fcntl
    import struct
    import termios

    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
