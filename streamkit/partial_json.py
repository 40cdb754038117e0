"""PartialJSON: a JSON text, piece by piece, into the value that it says so far.

Each character is read once, whatever pieces it comes in; what has closed is made once and kept. Prose and code fences
around the value are passed over. Pure: it knows no stream, no provider and no schema; a `Shape` says what values
become.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol

from streamkit import lazy_attrs as attrs

__all__ = ["ANY", "PartialJSON", "Shape"]


class Shape(Protocol):
    """What JSON values are made into."""

    def member(self, key: str) -> Shape:
        """Give the shape of an object's member."""

    def item(self) -> Shape:
        """Give the shape of a list's items."""

    def made(self, value: Any, *, growing: bool) -> Any:
        """Give what a value becomes: a scalar, a list, or the members of an object, in a dict.

        Called once for what has closed, and again and again for what is `growing`, each time with a new list or dict. A
        growing item of a list that becomes None is left out.
        """


class _Any:
    """JSON as it is."""

    def member(self, key: str) -> Shape:
        return self

    def item(self) -> Shape:
        return self

    def made(self, value: Any, *, growing: bool) -> Any:
        return value


ANY: Shape = _Any()


@attrs.define
class _Open:
    """A container that has not closed."""

    value: dict[str, Any] | list[Any]  # of what its closed parts were made into
    shape: Shape
    key: str = ""  # of the member that is being read

    def inner(self) -> Shape:
        return self.shape.member(self.key) if isinstance(self.value, dict) else self.shape.item()

    def put(self, part: Any) -> None:
        if isinstance(self.value, dict):
            self.value[self.key] = part
        else:
            self.value.append(part)

    def with_part(self, part: Any) -> Any:
        """A copy with one part more, which has not closed."""
        copy = _Open(self.value.copy(), self.shape, self.key)
        if part is not _NOTHING:
            copy.put(part)
        return self.shape.made(copy.value, growing=True)


_NOTHING: Any = object()
_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN = re.compile(r'[^"\\]*')
_SCALAR = re.compile(r"[-+.\w]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_UNICODE = re.compile(r"\\u([0-9a-fA-F]{4})")
_HALF_ESCAPE = re.compile(r"(\\(u[0-9a-fA-F]{0,3})?)?\Z")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS = {"true": True, "false": False, "null": None}
_LONGEST_SCALAR = 1000
_DEEPEST = 200


class PartialJSON:
    """Feed it the text as it comes; ask for `value()` at any time. Not thread-safe.

    Args:
        shape: what the values become.
        opens: the character that the value begins with, `{` or `[`; text before it is passed over.
    """

    def __init__(self, shape: Shape = ANY, *, opens: str = "{") -> None:
        self.complete = False
        """The value has closed; what follows it is not read."""
        self.broken = False
        """The text cannot become JSON any more; `value()` stays what it was."""
        self.too_deep = False
        """It is broken only because it is nested more deeply than is read."""
        self.start = 0
        """Where the value begins in the text, in characters."""
        self.end = 0
        """Up to where the text was read; the value's end where it is `complete`."""
        self._shape = shape
        self._opens = opens
        self._root: Any = None
        self._path: list[_Open] = []
        self._state: Callable[[str, int], int] = self._before
        self._rest = ""  # a token of which the text has only the beginning
        self._string: list[str] | None = None  # the pieces of the string that is being read
        self._length = 0  # theirs together
        self._is_key = False
        self._changed = False
        self._begun = False  # a scalar has begun or a container closed: this is the value, not prose in braces

    def feed(self, piece: str) -> bool:
        """Read on; say whether `value()` is another one now, or at least made anew. Never raises."""
        self._changed = False
        text, self._rest = self._rest + piece, ""
        base, at = self.end, 0
        while at < len(text) and not (self.complete or self.broken):
            self.end = base + at
            then = self._state(text, at)
            if then < 0:
                at = ~then
                self._rest = text[at:]
                break
            at = then
        self.end = base + at
        return self._changed

    def value(self) -> Any:
        """Give what the text says so far, None before it begins. What is open is copied.

        Until its first scalar has begun it is empty: a bracket, or several, may be those of prose.
        """
        if not self._path:
            return self._root
        if not self._begun:
            return self._root
        part = _NOTHING
        if self._string is not None and not self._is_key:
            self._string = ["".join(self._string)]
            part = self._path[-1].inner().made(self._string[0], growing=True)
            if part is None and isinstance(self._path[-1].value, list):
                part = _NOTHING  # an item that is nothing yet
        for container in reversed(self._path):
            part = container.with_part(part)
        return part

    @property
    def members(self) -> int:
        """How many members and items `value()` has to copy."""
        return sum(len(container.value) for container in self._path)

    @property
    def characters(self) -> int:
        """How many characters of text it has to copy."""
        return self._length

    # -- the states: each reads a token and gives where the next one begins; where it is not whole, that inverted

    def _before(self, text: str, at: int) -> int:
        """Prose."""
        found = text.find(self._opens, at)
        if found < 0:
            return len(text)
        self.start = self.end + found - at
        self._open(text[found], self._shape)
        return found + 1

    def _value(self, text: str, at: int) -> int:
        at = _past(_SPACE, text, at)
        if at == len(text):
            return at
        c = text[at]
        if c == '"':
            self._begin_string(key=False)
            return at + 1
        if c in "{[":
            self._open(c, self._path[-1].inner())
            return at + 1
        return self._scalar(text, at)

    def _first(self, text: str, at: int) -> int:
        """What follows the opening of a container: perhaps its end."""
        at = _past(_SPACE, text, at)
        if at == len(text):
            return at
        if text[at] == ("}" if isinstance(self._path[-1].value, dict) else "]"):
            return self._close(at)
        return self._key(text, at) if isinstance(self._path[-1].value, dict) else self._value(text, at)

    def _key(self, text: str, at: int) -> int:
        at = _past(_SPACE, text, at)
        if at == len(text):
            return at
        if text[at] != '"':
            return self._wrong(at)
        self._begin_string(key=True)
        return at + 1

    def _colon(self, text: str, at: int) -> int:
        at = _past(_SPACE, text, at)
        if at == len(text):
            return at
        if text[at] != ":":
            return self._wrong(at)
        self._state = self._value
        return at + 1

    def _after(self, text: str, at: int) -> int:
        """What follows a value."""
        at = _past(_SPACE, text, at)
        if at == len(text):
            return at
        in_object = isinstance(self._path[-1].value, dict)
        if text[at] == ",":
            self._state = self._key if in_object else self._value
            return at + 1
        if text[at] == ("}" if in_object else "]"):
            return self._close(at)
        return self._wrong(at)

    def _in_string(self, text: str, at: int) -> int:
        end = _past(_PLAIN, text, at)
        if end > at:
            self._grow(text[at:end])
        if end == len(text):
            return end
        if text[end] == '"':
            self._end_string()
            return end + 1
        return self._escape(text, end)

    def _escape(self, text: str, at: int) -> int:
        if _HALF_ESCAPE.match(text, at):
            return ~at
        plain = _ESCAPES.get(text[at + 1])
        if plain is not None:
            self._grow(plain)
            return at + 2
        found = _UNICODE.match(text, at)
        if found is None:
            return self._wrong(at)
        code = int(found[1], 16)
        if 0xD800 <= code < 0xDC00:
            if _HALF_ESCAPE.match(text, at + 6):
                return ~at  # the other half may come
            low = _UNICODE.match(text, at + 6)
            if low is not None and 0xDC00 <= (half := int(low[1], 16)) < 0xE000:
                self._grow(chr(0x10000 + ((code - 0xD800) << 10) + half - 0xDC00))
                return at + 12
        self._grow("\ufffd" if 0xD800 <= code < 0xE000 else chr(code))
        return at + 6

    def _scalar(self, text: str, at: int) -> int:
        end = _past(_SCALAR, text, at)
        if end == len(text) and end - at <= _LONGEST_SCALAR:
            return ~at  # 12 may become 123
        word = text[at:end]
        if word in _WORDS:
            self._part(_WORDS[word])
            return end
        number = _NUMBER.fullmatch(word)
        if number is None or len(word) > _LONGEST_SCALAR:
            return self._wrong(at)
        self._part(float(word) if number[1] or number[2] else int(word))
        return end

    # -- what they do

    def _open(self, c: str, shape: Shape) -> None:
        if len(self._path) == _DEEPEST:
            self.broken = self.too_deep = True
            return
        self._path.append(_Open({} if c == "{" else [], shape))
        self._state = self._first
        if self._root is None:
            self._root = shape.made({} if c == "{" else [], growing=True)
            self._changed = True
        self._changed = self._changed or self._begun

    def _close(self, at: int) -> int:
        closed = self._path.pop()
        value = closed.shape.made(closed.value, growing=False)
        # What is made into something else may be another one than while it grew.
        self._changed = self._changed or value is not closed.value or (not self._begun and bool(self._path))
        self._begun = True
        if self._path:
            self._path[-1].put(value)
            self._state = self._after
        else:
            self._root, self.complete = value, True
        return at + 1

    def _begin_string(self, *, key: bool) -> None:
        self._string, self._length, self._is_key = [], 0, key
        self._state = self._in_string
        if not key:
            self._changed = self._begun = True

    def _grow(self, piece: str) -> None:
        assert self._string is not None
        self._string.append(piece)
        self._length += len(piece)
        self._changed = self._changed or not self._is_key

    def _end_string(self) -> None:
        text = "".join(self._string or ())
        self._string, self._length = None, 0
        if self._is_key:
            self._path[-1].key = text
            self._state = self._colon
        else:
            value = self._path[-1].inner().made(text, growing=False)
            self._path[-1].put(value)
            self._changed = self._changed or value is not text  # such as a date, which is none while it grows
            self._state = self._after

    def _part(self, scalar: Any) -> None:
        self._path[-1].put(self._path[-1].inner().made(scalar, growing=False))
        self._state = self._after
        self._changed = self._begun = True

    def _wrong(self, at: int) -> int:
        """No JSON. Before the first scalar it may have been prose in braces, as {"items": [...]}: go on looking."""
        if self._begun:
            self.broken = True
        else:
            self._path.clear()
            self._string, self._length = None, 0
            self._state = self._before
        return at


def _past(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where what matches here ends; the pattern matches nothing, too."""
    found = pattern.match(text, at)
    assert found is not None
    return found.end()
