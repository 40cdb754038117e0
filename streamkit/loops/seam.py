"""Where a cut answer goes on: how much of the continuation says once more what was there already.

Pure text. A seam is fed the continuation as it comes and answers, as soon as that is sure, how many of its first
characters are to be left out. Until then its reader holds them back.

Which repetition is safe to remove? A model told to go on may begin again with the last words, or with the first; but
"ha ha" goes on with " ha", too, and that is new. What a continuation begins with is taken for a repetition where to
take it for new would be stranger: where it would be glued to the end of a word ("the brown foxbrown fox"), where the
rest of a sentence would come once more behind it ("a fox. a fox."), or where it is so long, and so unlike what came
before, that it hardly came twice by itself. White space alone is never removed.
"""

from __future__ import annotations

import re
from typing import Protocol

__all__ = ["Prefilled", "Repeats", "Seam"]

WINDOW = 4000
"""Characters at the end of the text in which a repetition may begin; another may begin with the text itself."""

_WORD = 3
"""Letters of a word that is taken for a repetition where it would be glued to itself."""
_LONG, _WORDS = 12, 3
"""Characters and words of a repetition that stands by itself: a phrase of two words is often said twice."""
_UNBROKEN = 20
"""Characters of a repetition that need be no words: code, or a script without spaces."""
_ALL = 4
"""Characters of a text that is repeated from its beginning, right at its end."""


class Seam(Protocol):
    """The place where two pieces of an answer meet."""

    def feed(self, piece: str) -> int | None:
        """Take the next piece of the continuation; give how much of all that was fed to leave out, None for not yet."""

    def end(self) -> int:
        """Give the same, as nothing more will come."""


class Prefilled:
    """The seam of an answer that was sent as begun, without the white space at its end.

    `sent` is what the provider gives once more, before what is new: "" where it does not. `blank` is the white space.
    """

    def __init__(self, sent: str, blank: str) -> None:
        self._sent = sent
        self._blank = blank
        self._got = ""

    def feed(self, piece: str) -> int | None:
        """Wait for as much as was sent, and for the white space that was not."""
        self._got += piece
        got, sent = self._got, self._sent
        if len(got) < len(sent) and sent.startswith(got):
            return None
        rest = got.removeprefix(sent)
        return None if rest != self._blank and self._blank.startswith(rest) else self.end()

    def end(self) -> int:
        """Leave out what was sent, all of it or nothing, and what of the white space comes again."""
        repeated = len(self._sent) if self._got.startswith(self._sent) else 0
        rest = self._got[repeated:]
        same = next((n for n, (a, b) in enumerate(zip(rest, self._blank, strict=False)) if a != b), None)
        return repeated + (min(len(rest), len(self._blank)) if same is None else same)


class Repeats:
    """The seam of an answer that the model was asked to go on with, in words.

    Texts are compared word by word, whatever white space stands between them.
    """

    def __init__(self, begun: str) -> None:
        core = begun.rstrip()
        self._blank = begun[len(core) :]
        self._known = " ".join(core.split())
        self._got: list[str] = []
        self._said = 0  # characters of the continuation, its white space made even
        self._gap = False  # whether white space has come since
        self._lead = False  # whether it began with white space
        self._starts: list[int] = []  # where in the known text a repetition may have begun that is still under way
        self._found: list[int] = []  # where those began that are whole

    def feed(self, piece: str) -> int | None:
        """Go on with each repetition that may be under way."""
        self._got.append(piece)
        words = piece.split()
        if not words:
            self._gap = True
            return None if self._known else 0
        gap = self._gap or piece[0].isspace()
        self._gap = piece[-1].isspace()
        text = " ".join(words)
        if self._said:
            self._follow(text, gap=gap)
        else:
            self._begin(text, lead=gap)
        return None if self._starts or self._may_grow() else self.end()

    def end(self) -> int:
        """Leave out the longest repetition that is whole and safe to remove."""
        found = self._longest()
        if found is None:
            return 0
        got = "".join(self._got)
        at = _position(got, len(self._known) - found)
        blank = got[at : len(got) - len(got[at:].lstrip())]
        if not self._blank:
            return at
        return at + len(self._blank if blank.startswith(self._blank) else blank)

    # -- repetitions under way

    def _begin(self, text: str, *, lead: bool) -> None:
        self._lead = lead
        first = max(0, len(self._known) - WINDOW)
        starts = [0] if first else []
        at = self._known.find(text[0], first)
        while at >= 0:
            starts.append(at)
            at = self._known.find(text[0], at + 1)
        rhythms = _rhythms(self._known[first:])
        self._starts = [start for start in starts if self._is_long(start) and start - first not in rhythms]
        self._keep(text)

    def _follow(self, text: str, *, gap: bool) -> None:
        if self._blank and not gap:  # there was white space at the end of the text: a word that goes on is another one
            self._found = [start for start in self._found if len(self._known) - start != self._said]
        self._keep(f" {text}" if gap else text)

    def _keep(self, text: str) -> None:
        """Keep the repetitions that go on with this text; note those that are whole with it."""
        known, under_way = self._known, []
        for start in self._starts:
            at = start + self._said
            if at + len(text) < len(known):
                if known.startswith(text, at):
                    under_way.append(start)
            elif text.startswith(known[at:]) and not (self._blank and text[len(known) - at :][:1].strip()):
                self._found.append(start)
        self._starts = under_way
        self._said += len(text)

    def _may_grow(self) -> bool:
        """Whether white space is still to come that was at the end of the text, too."""
        found = self._longest() if self._blank else None
        return found is not None and self._said == len(self._known) - found

    def _longest(self) -> int | None:
        return next((start for start in sorted(self._found) if self._is_safe(start)), None)

    # -- what is safe to remove

    def _is_long(self, start: int) -> bool:
        """Whether a repetition from here on is enough of one, if it comes."""
        length = len(self._known) - start
        if length >= _UNBROKEN:
            return True
        text = self._known[start:]
        if self._is_glued(start) and length >= _WORD and any(character.isalpha() for character in text):
            return True
        if start == 0 and length >= _ALL and not self._blank and not self._lead:
            return True
        if self._ends_sentence(start):
            return True
        return length >= _LONG and len(re.findall(r"\w+", text)) >= _WORDS

    def _is_safe(self, start: int) -> bool:
        """Whether it is no rhythm of the text's own, which may well go on."""
        text = self._known[start:]
        if 0 in _rhythms(text):
            return False
        return (
            self._is_glued(start) or self._known.find(text, max(0, len(self._known) - WINDOW), len(self._known) - 1) < 0
        )

    def _ends_sentence(self, start: int) -> bool:
        """Whether it is the rest of a sentence, with which no other one begins."""
        known = self._known
        return start >= 2 and known[start].islower() and _END_OF_SENTENCE.fullmatch(known, start - 2) is not None

    def _is_glued(self, start: int) -> bool:
        """Whether a word that begins here would make one with the text's last, were it new."""
        known = self._known
        begins = start == 0 or not _joins_word(known[start - 1], known[start])
        return begins and not self._blank and not self._lead and _joins_word(known[-1], known[start])


_END_OF_SENTENCE = re.compile(r"[^\s.!?:;…]\s[^\W\d_][^.!?:;…]*\s[^.!?:;…]+\.")
"""Two words at least, the first of which begins no sentence and the last of which ends one."""


def _joins_word(left: str, right: str) -> bool:
    """Whether these two characters, side by side, belong to one word."""
    return (left.isalnum() or left == "_") and (right.isalnum() or right == "_")


def _position(text: str, length: int) -> int:
    """Where `length` characters of a text end, of which leading white space is none and any other run of it one."""
    spaced = True
    for at, character in enumerate(text):
        if length <= 0:
            return at
        space = character.isspace()
        length -= not (space and spaced)
        spaced = space
    return len(text)


def _rhythms(text: str) -> set[int]:
    """The places from which on a text says one piece again and again: one and a half times at least."""
    backwards = text[::-1]  # its beginnings are the text's ends, and one pass finds the borders of all beginnings
    borders = [0] * len(text)
    border = 0
    for at in range(1, len(text)):
        while border and backwards[at] != backwards[border]:
            border = borders[border - 1]
        border += backwards[at] == backwards[border]
        borders[at] = border
    return {len(text) - n for n, border in enumerate(borders, 1) if (n - border) * 3 <= n * 2}
