"""What a command writes to stdout."""

from __future__ import annotations

import io
import sys

import pytest

from streamkit.cli.output import write

TRICKY = "a\x1b[2Jb\x07\rc\x9bd\te\n"


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.mark.parametrize(
    ("stdout", "expected"), [(io.StringIO(), TRICKY), (Terminal(), "a\ufffd[2Jb\ufffdc\ufffdd\te\n")]
)
def test_what_a_terminal_would_obey(monkeypatch: pytest.MonkeyPatch, stdout: io.StringIO, expected: str) -> None:
    """Control characters are shown at a terminal rather than obeyed; elsewhere the text is written as it is."""
    monkeypatch.setattr(sys, "stdout", stdout)
    write(TRICKY)

    assert expected == stdout.getvalue()
