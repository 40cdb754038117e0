"""Where a text may be cut: between two grapheme clusters, each of which a reader takes for one character.

The rules are those of Unicode's annex 29, as of version 16. The standard library does not have the property that they
speak of, so it is made of general categories and a few ranges; where that is not exact, too much is kept together
rather than too little. It knows nothing of streams.
"""

from __future__ import annotations

import re
import unicodedata

from streamkit.errors import ConfigError

__all__ = ["is_boundary", "truncate"]


def truncate(text: str, max_len: int) -> str:
    """Give the text itself when it has at most `max_len` characters, else its first `max_len` and "...".

    Characters are what `len` counts. What is read as one (a letter and its accents, a flag, an emoji made of several,
    a line break made of two) is never split: the text is cut before it, and is that much shorter.

    Raises:
        ConfigError: `max_len` is negative.
    """
    if max_len < 0:
        raise ConfigError(f"truncate(..., {max_len}): give a length of 0 or more")
    if len(text) <= max_len:
        return text
    at = max_len
    while not is_boundary(text, at):
        at -= 1
    return text[:at] + "..."


def is_boundary(text: str, at: int) -> bool:
    """Whether a text may be cut between its characters number `at - 1` and `at`, counted from 0."""
    if at <= 0 or at >= len(text):
        return True
    before, after = text[at - 1], text[at]
    if before == "\r" and after == "\n":
        return False
    if _is_control(before) or _is_control(after):
        return True
    if _is_mark(after) or _PREPENDED.match(before) or _is_syllable(before, after):
        return False
    if _FLAG.match(before) and _FLAG.match(after):
        return _flags_before(text, at) % 2 == 0
    return not _is_bound(text, at)


_JOINER = "\u200d"

_PREPENDED = re.compile(
    "[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u0d4e\U000110bd\U000110cd\U000111c2\U000111c3\U000113d1\U0001193f"
    "\U00011941\U00011a3f\U00011a84-\U00011a89\U00011d46\U00011f02]"
)
_MORE_MARKS = re.compile("[\u0e33\u0eb3\u200c\u200d\uff9e\uff9f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")
"""What belongs to the character before it though its category does not tell: vowels, joiners, skin tones, tags."""
_FLAG = re.compile("[\U0001f1e6-\U0001f1ff]")
_PICTURE = re.compile(
    "[\xa9\xae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff"
    "\u3030\u303d\u3297\u3299\U0001f000-\U0001f1e5\U0001f200-\U0001faff\U0001fc00-\U0001fffd]"
)
_VIRAMA = re.compile(
    "[\u094d\u09cd\u0acd\u0b4d\u0c4d\u0d4d\u1039\u17d2\u1a60\u1b44\u1bab\ua9c0\uaaf6\U00010a3f\U00011133\U000113d0"
    "\U0001193e\U00011a47\U00011a99\U00011f42]"
)
"""What joins the consonant before it to the one after it, in Indic scripts."""

_LEADING = re.compile("[\u1100-\u115f\ua960-\ua97c]")
_VOWEL = re.compile("[\u1160-\u11a7\ud7b0-\ud7c6\U00016d63\U00016d67-\U00016d6a]")
_TRAILING = re.compile("[\u11a8-\u11ff\ud7cb-\ud7fb]")
_SYLLABLE = re.compile("[\uac00-\ud7a3]")
_WITHOUT_TRAILING = 28
"""Each so many-th syllable of Hangul has no trailing consonant yet."""


def _is_control(c: str) -> bool:
    return unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and not (_is_mark(c) or _PREPENDED.match(c))


def _is_mark(c: str) -> bool:
    return unicodedata.category(c).startswith("M") or _MORE_MARKS.match(c) is not None


def _is_syllable(before: str, after: str) -> bool:
    """Whether two parts of Hangul make one syllable, or a longer one."""
    if _LEADING.match(before):
        return any(part.match(after) for part in (_LEADING, _VOWEL, _SYLLABLE))
    whole = _SYLLABLE.match(before) is not None
    open_ended = whole and (ord(before) - 0xAC00) % _WITHOUT_TRAILING == 0
    if _VOWEL.match(after):
        return open_ended or _VOWEL.match(before) is not None
    return _TRAILING.match(after) is not None and (
        whole or _VOWEL.match(before) is not None or _TRAILING.match(before) is not None
    )


def _flags_before(text: str, at: int) -> int:
    """How many letters of flags end at this place; two make a flag."""
    start = at
    while start > 0 and _FLAG.match(text[start - 1]):
        start -= 1
    return at - start


def _is_bound(text: str, at: int) -> bool:
    """Whether joiners or marks between two characters make one of them."""
    start = at
    while start > 0 and _is_mark(text[start - 1]):
        start -= 1
    marks = text[start:at]
    if not marks or start == 0:
        return False
    if marks.endswith(_JOINER) and _PICTURE.match(text[at]):
        return _PICTURE.match(text[start - 1]) is not None
    letters = unicodedata.category(text[start - 1]) == unicodedata.category(text[at]) == "Lo"
    return letters and _VIRAMA.search(marks) is not None
