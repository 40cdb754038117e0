"""Hypothesis strategies: bodies as a good, a broken or a hostile provider sends them, and the cuts a network makes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st

__all__ = ["PROPERTY", "cuts", "encodable_text", "event_streams", "event_texts", "json_lines"]

PROPERTY = settings(deadline=None, derandomize=True, max_examples=80)
"""For a property of pure code: the same examples at each run, and no clock, since the machine may be busy."""

encodable_text = st.text(st.characters(exclude_categories=["Cs"]))
"""Any text that UTF-8 can hold."""

# What a reader could take for a line end, a field name, a byte order mark or a digit.
_HARD = [
    "",
    " ",
    ":",
    "\0",
    "a",
    "é",
    "世",
    "😀",
    "\u0085",
    "\u2028",
    "\u2029",
    "\x0b",
    "\x0c",
    "\x1c",
    "\ufeff",
    "٣",
    "0",
    "7",
]
_NAMES = ["data", "event", "id", "retry", "", "Data", "data ", " data", "dat", "dataa", "ID", "foo", "\ufeffdata"]
_BROKEN = [
    b"\xff",
    b"data: \xc3",
    b"\xe2\x82",
    b"data: \xf0\x9f\x98 x",
    b"id: \x80",
    b"data: \xed\xa0\x80",
    b"\xef\xbb",
]

_values = st.lists(st.sampled_from(_HARD), max_size=4).map("".join) | st.sampled_from(
    ["0", "5000", "007", "-1", "1.5", "9" * 30]
)
_fields = st.builds(
    lambda name, colon, value: name + colon + (value if colon else ""),
    st.sampled_from(_NAMES),
    st.sampled_from(["", ":", ": ", ":  "]),
    _values,
)
_plain = st.builds("{}{}".format, st.sampled_from(["data: ", "data:", "event: ", ": ", "id: "]), _values)


# Events as nearly all providers send them, and what may stand among them.
_forms = ["data: {0}", "data: {0}", "event: {0}\ndata: {1}", "event: {0}\ndata: {1}"]
_rare_forms = [
    *_forms,
    ": {0}",
    "data:{0}",
    "event: {0}",
    "event: {0}\nid: {1}\ndata: x",
    "data: {0}\ndata: {1}",
    "\ndata: x",
]


def event_streams() -> st.SearchStrategy[bytes]:
    """Event streams good and bad; some end inside an event."""
    return _orderly_streams() | _wild_streams()


@st.composite
def _orderly_streams(draw: st.DrawFn) -> bytes:
    """Whole events of one form, of the plain forms, or of these with a rare one among them."""
    forms = draw(st.sampled_from([_forms[:1], _forms[2:3], _forms, _rare_forms]))
    event = st.builds(str.format, st.sampled_from(forms), _values, _values)
    return "".join(one + "\n\n" for one in draw(st.lists(event, max_size=6))).encode()


@st.composite
def _wild_streams(draw: st.DrawFn) -> bytes:
    """Every line end, kind of field and kind of damage."""
    lines: st.SearchStrategy[bytes] = (_fields | _plain | st.just("")).map(str.encode) | st.sampled_from(_BROKEN)
    ends = st.sampled_from([b"\n", b"\n\n", b"\r\n", b"\r", b"\r\r", b"\r\n\r\n", b"\n\r\n", b"\n\r", b"\n\n\n"])
    body = b"".join(line + end for line, end in draw(st.lists(st.tuples(lines, ends), max_size=12)))
    return draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"])) + body + draw(st.sampled_from([b"", b"", b"data: x"]))


def event_texts() -> st.SearchStrategy[str]:
    """The text of one event: lines without a blank line among them, line ends already "\\n"; often of a plain form."""
    line = _fields | _plain
    return st.lists(line, max_size=2).map("\n".join) | st.lists(line, max_size=9).map("\n".join)


def json_lines() -> st.SearchStrategy[bytes]:
    """Bodies of newline-delimited JSON, blank lines and damage among them; some end without a line end."""
    lines: st.SearchStrategy[bytes] = _values.map(str.encode) | st.sampled_from(
        [b"", b" ", b"\t", b'{"a": 1}', b"\xff", b"x\ry"]
    )
    ends = st.sampled_from([b"\n", b"\r\n", b"\n\n"])
    body = st.lists(st.builds(bytes.__add__, lines, ends), max_size=9).map(b"".join)
    return st.builds(bytes.__add__, body, lines)


@st.composite
def cuts(draw: st.DrawFn, body: bytes) -> Sequence[bytes]:
    """The body in blocks, as a network may cut it; empty ones among them."""
    if draw(st.integers(0, 3)) == 0:
        return [body[i : i + 1] for i in range(len(body))]
    ends = [0, *sorted(draw(st.lists(st.integers(0, len(body)), max_size=12))), len(body)]
    return [body[a:b] for a, b in itertools.pairwise(ends)]
