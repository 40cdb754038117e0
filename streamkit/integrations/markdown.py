"""Markdown as rich draws it, block by block, while it is still being written. It imports rich, so import it late.

A block (a paragraph, a list, a table, a piece of code) that another one follows will not change any more: it is drawn
once, for good. The last one may change with the next character: it is drawn anew, as far as it fits the screen.

Markdown is made to be read, and so leaves things out: definitions of links, tags, cells beyond a table's last column. A
block of which it would leave out a letter is shown as it was written.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.markdown import Markdown
from rich.segment import Segment
from rich.text import Text

__all__ = ["Block", "Bottom", "split", "window"]


class Block:
    """A block that will not change any more, drawn for a console of this width."""

    def __init__(self, source: str, console: Console) -> None:
        markdown = _Whole(source)
        self.is_rule = markdown.begins_with("hr")
        """Whether it is a line between two others, which has its own distance from the next."""
        self._lines = _lines(markdown, console, console.options)
        shown = "".join(segment.text for line in self._lines for segment in line)
        if _letters(source) - _hidden(markdown) - _letters(shown):
            self._lines = _lines(Text(source.strip("\n")), console, console.options)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Give what was drawn."""
        for line in self._lines:
            yield from line
            yield Segment.line()


class Bottom:
    """The last rows of what is drawn, as many as fit."""

    def __init__(self, content: RenderableType, height: int) -> None:
        self._content = content
        self._height = height

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw all of it and give the last rows."""
        lines = _lines(self._content, console, options)
        for line in lines[max(0, len(lines) - self._height) :]:
            yield from line
            yield Segment.line()


def split(source: str, *, ended: bool = False) -> tuple[list[str], str]:
    """Give the blocks that will not change any more, and the rest; with `ended` there is no rest.

    Only whole lines count: with the rest of its last line, a block may become part of the one before it.
    """
    complete = source if ended else source[: source.rfind("\n") + 1]
    lines = complete.split("\n")
    blocks = _extents(complete)
    last = len(lines) if ended else blocks[-1][0] if blocks else 0
    cuts = [*sorted({0, *(cut for block in blocks for cut in block if cut < last)}), last]
    pieces = ["\n".join(lines[at:to]) for at, to in itertools.pairwise(cuts)]
    rest = "" if ended else "\n".join(lines[last:]) + source[len(complete) :]
    return [piece for piece in pieces if piece.strip()], rest


def window(source: str, characters: int) -> RenderableType:
    """Draw the end of what may still change, as much as about so many characters, from the beginning of a line on."""
    cut = len(source) - characters
    if cut > 0:
        cut = source.find("\n", cut) + 1 or cut
        source = _open_fence(source[:cut]) + source[cut:]
    return _Whole(source)


_LANGUAGE = re.compile(r"[\w+#.-]{0,20}")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$", re.MULTILINE)


class _Whole(Markdown):
    """Markdown without two of rich's omissions, and one addition."""

    def __init__(self, source: str) -> None:
        super().__init__(source, hyperlinks=False)  # not every terminal can follow an address that is not shown
        for token in self.parsed:
            for child in token.children or ():
                if child.type == "html_inline":  # <br>, or the <int> of vector<int>
                    child.type = "text"

    def begins_with(self, *kinds: str) -> bool:
        """Whether the first thing in it is of one of these kinds."""
        return bool(self.parsed) and self.parsed[0].type in kinds

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it without the empty row that rich draws before what is nested, also where nothing is before it."""
        drawn = iter(super().__rich_console__(console, options))
        if self.begins_with("blockquote_open", "bullet_list_open", "ordered_list_open", "table_open"):
            next(drawn, None)
        yield from drawn


def _lines(content: RenderableType, console: Console, options: ConsoleOptions) -> list[list[Segment]]:
    return console.render_lines(content, options.update(height=None), pad=False)


def _extents(source: str) -> list[tuple[int, int]]:
    """Give the lines at which blocks begin and end; what is between two of them defines links."""
    tokens = Markdown(source).parsed
    return [(token.map[0], token.map[1]) for token in tokens if token.level == 0 and token.map and token.nesting >= 0]


def _letters(text: str) -> Counter[str]:
    return Counter(c for c in text if c.isalpha())


def _hidden(markdown: _Whole) -> Counter[str]:
    """The letters that are not meant to be seen: the names of languages."""
    infos = [token.info.strip() for token in markdown.parsed if token.type == "fence"]
    return _letters("".join(info for info in infos if _LANGUAGE.fullmatch(info)))


def _open_fence(source: str) -> str:
    """Give the line that begins the code in which a source ends, or nothing."""
    opening: re.Match[str] | None = None
    for fence in _FENCE.finditer(source):
        if opening is None:
            opening = fence if fence[1][0] == "~" or "`" not in fence[2] else None
        elif fence[1].startswith(opening[1]) and not fence[2].strip():
            opening = None
    return f"{opening[0]}\n" if opening else ""
