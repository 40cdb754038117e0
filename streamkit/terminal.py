"""What a terminal is given: text that cannot command it, and a line of status beneath that text.

It knows neither streams nor chunks; who prints a stream uses it.
"""

from __future__ import annotations

import math
import os
import unicodedata
from typing import Any

__all__ = ["StatusLine", "harmless", "is_terminal", "put"]


def harmless(text: str) -> str:
    """Give a text that others made without what a terminal would obey: control characters are shown as U+FFFD.

    Line feeds and tabs stay, carriage returns go.
    """
    return text.translate(_COMMANDS)


def is_terminal(file: Any) -> bool:
    """Whether a person sees what is written to this file at once."""
    try:
        return bool(file.isatty())
    except (AttributeError, ValueError):  # no real file; a closed one
        return False


def put(file: Any, text: str) -> None:
    """Write at once. What the file's encoding has no place for becomes "?"."""
    if file is None:  # sys.stdout of a program without a console
        return
    try:
        file.write(text)
    except UnicodeEncodeError as e:  # raised before anything is written
        file.write(text.encode(e.encoding, "replace").decode(e.encoding))
    file.flush()


class StatusLine:
    """Text on its way to a terminal, with one line beneath it that is erased before the next text is written.

    The line is shown only where it can do no harm to the text. Beyond a row's last column a terminal waits with the
    cursor on the last character, where erasing would take that character away; and how wide a character is drawn is
    the terminal's own affair. So the columns written since the last line feed are counted, at least and at most, and
    the line waits while they may fill a row. Before the first line feed nothing is known: who knows where the cursor
    was. One thread at a time.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._obeys = os.name != "nt" and os.environ.get("TERM", "dumb") != "dumb"
        self._columns = self._rows = 0
        self._least = 0.0
        self._most = math.inf
        self._status = ""
        self._shown = False

    def write(self, text: str) -> None:
        """Write text, and the status again beneath it."""
        text = harmless(text)
        erased = self._erased()
        self._measure()
        self._advance(text)
        put(self._file, erased + text + self._drawn())

    def show(self, status: str) -> None:
        """Set the status, one line of ASCII, to be shown from now on, where it can be."""
        erased = self._erased()
        self._measure()
        self._status = status
        put(self._file, erased + self._drawn())

    def clear(self) -> None:
        """Take the status away."""
        self._status = ""
        put(self._file, self._erased())

    def _measure(self) -> None:
        columns, rows = _size(self._file)
        if columns != self._columns and self._most > 0:
            self._most = math.inf  # the terminal has set the line anew, in rows of another width
        self._columns, self._rows = columns, rows

    def _advance(self, text: str) -> None:
        _, newline, rest = text.rpartition("\n")
        if newline:
            self._least = self._most = 0
        if rest.isascii() and "\t" not in rest:
            self._least += len(rest)
            self._most += len(rest)
            return
        for c in rest:
            least, most = _width(c)
            self._least += least
            gap = most > 1 and self._columns > 0 and self._most % self._columns == self._columns - 1
            self._most += most + gap  # a wide character does not begin in the last column

    def _is_safe(self) -> bool:
        if self._least == 0:
            return self._most == 0
        if not self._columns or self._most == math.inf:
            return False
        return self._most // self._columns == (self._least - 1) // self._columns

    def _drawn(self) -> str:
        if not (self._status and self._obeys and self._rows != 1 and self._is_safe()):
            return ""
        self._shown = True
        status = self._status[: self._columns - 1] if self._columns else self._status
        return f"{_MAKE_ROOM}{_SAVE}\r\n{status}{_RESTORE}"

    def _erased(self) -> str:
        shown, self._shown = self._shown, False
        return _ERASE_BELOW if shown else ""


_COMMANDS = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"} | {ord("\r"): ""}

_MAKE_ROOM = "\x1bD\x1b[A"
"""Down a row and up again: in the last row this moves all rows up. The column stays."""
_SAVE, _RESTORE = "\x1b7", "\x1b8"
_ERASE_BELOW = "\x1b[J"

_PLAIN_SCRIPTS = "\u0590"
"""Up to here (Latin, Greek, Cyrillic, Armenian) what takes one column does so everywhere."""


def _size(file: Any) -> tuple[int, int]:
    """Give columns and rows; zeros where nobody knows."""
    try:
        size = os.get_terminal_size(file.fileno())
    except (AttributeError, OSError, ValueError):
        return 0, 0
    return size.columns, size.lines


def _width(c: str) -> tuple[float, float]:
    """Give how many columns a character takes, at least and at most."""
    if c == "\t":
        return 0, math.inf
    if unicodedata.category(c)[0] not in "LNP" and not c.isascii():
        return 0, 2  # marks, joiners, emoji
    width = unicodedata.east_asian_width(c)
    if width in "WF":
        return 2, 2
    return (1, 2) if width == "A" else (1, 1) if c < _PLAIN_SCRIPTS else (0, 2)
