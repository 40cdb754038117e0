"""Bytes to events, and events to bytes.

It stands between the transport, whose blocks of bytes end anywhere, and a codec's decoder, which takes whole events.
Two framings: server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) and newline-delimited
JSON. It knows nothing of providers, threads or sockets.

An event stream passes through in three steps. Line ends become "\\n", so that a blank line is always "\\n\\n".
`_Cutter` gives the text up to the last blank line and keeps the rest. Each event of that text is read by the cheapest
that can: `_recognise` for the plain forms that nearly all events have, `_by_lines` for one of very many lines,
sseclient-py for all others. It is shown whole, prepared events only: by itself sseclient-py 1.9 dispatches an
unterminated last event, loses the first after a byte order mark, joins two at "\\n\\r\\n", raises UnicodeDecodeError,
and takes time quadratic in the number of blocks and of lines.
"""

from __future__ import annotations

import functools
import itertools
import re
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from streamkit import lazy_attrs as attrs
from streamkit.errors import ConfigError, ResponseTooLarge, printable

if TYPE_CHECKING:
    from sseclient import SSEClient

__all__ = [
    "Event",
    "EventReader",
    "Framer",
    "NDJSONFramer",
    "SSEFramer",
    "encode_comment",
    "encode_sse",
    "parse_ndjson",
    "parse_sse",
]


@attrs.define
class Event:
    """One event: `data`, its type `event`, the last event `id` and the reconnection time `retry` (ms) at that moment.

    `id` and `retry` stay as an earlier event of the stream set them; "" and None if none did. A line of NDJSON has
    only `data`.
    """

    # Not frozen: a frozen one costs 0.40 µs to make, this one 0.13, and every chunk needs one.
    data: str
    event: str = "message"
    id: str = ""
    retry: int | None = None


class SSEFramer:
    """Blocks of an event stream to events, spec-exact and incremental. Never blocks; one thread at a time.

    The time is linear in the bytes, however they are cut into blocks. Invalid UTF-8 becomes U+FFFD. One departure from
    the letter: a reconnection time of more than 18 digits is ignored.

    `last_event_id` and `retry` (ms, or None) are those of all that was fed, events without data included.

    Args:
        max_event: the most bytes of one event, its line ends counted as one byte each; None = no limit.
    """

    __slots__ = ("_after_cr", "_cutter", "last_event_id", "retry", "strays")

    def __init__(self, max_event: int | None = None) -> None:
        self.last_event_id = ""
        self.retry: int | None = None
        self.strays = False
        """Whether to give, as an event named "error", what the standard ignores and servers send all the same: an error
        that stands outside of any field, as JSON, or in a field of that name."""
        self._cutter = _Cutter(b"\n\n", max_event)
        self._after_cr = False

    @property
    def pending(self) -> int:
        """Bytes held of the event that is not complete yet."""
        return self._cutter.pending

    def feed(self, block: bytes) -> list[Event]:
        """Give the events that this block completes.

        Raises:
            ResponseTooLarge: an event passed `max_event`. Where the block brought events before it, these are given
                first, and the next call raises.
        """
        if self._after_cr or _CR in block:
            block = self._with_line_feeds(block)
        text = self._cutter.cut(block)
        # Mostly all events are of the same plain form: then one search does for all of them, not several for each.
        if text.startswith("data: "):
            values = text[6:].split("\n\ndata: ")
            id, retry = self.last_event_id, self.retry
            events = [Event(value, "message", id, retry) for value in values if "\n" not in value]
            if len(events) == len(values):
                return events
        elif text.startswith("event: "):
            pairs = [pair.partition("\ndata: ") for pair in text[7:].split("\n\nevent: ")]
            id, retry = self.last_event_id, self.retry
            events = [
                Event(value, name or "message", id, retry)
                for name, _, value in pairs
                if value and "\n" not in value and "\n" not in name
            ]
            if len(events) == len(pairs):
                return events
        return self._one_by_one(text) if text else []

    def finish(self) -> list[Event]:
        """End the stream: gives nothing but `strays`, as an unfinished last event is no event; takes its `retry`.

        Raises:
            ResponseTooLarge: as `feed`.
        """
        rest = self._cutter.rest()
        lines, _, _ = rest.rpartition("\n")
        _, _, _, retry = _by_lines(lines)
        if retry is not None:
            self.retry = retry
        return self._stray(rest)

    def _with_line_feeds(self, block: bytes) -> bytes:
        """Turn each "\\r\\n" and "\\r" into "\\n".

        A "\\r" that ends a block counts at once, since the next block may be long in coming; a "\\n" that then begins
        that one belongs to it.
        """
        if not block:
            return block
        if self._after_cr and block.startswith(b"\n"):
            self._after_cr = block.endswith(b"\r")
            block = block[1:]
        else:
            self._after_cr = block.endswith(b"\r")
        return block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _one_by_one(self, text: str) -> list[Event]:
        events = []
        for one in text.split("\n\n"):
            data, event, id, retry = _recognise(one) or _parse(one)
            if id is not None:
                self.last_event_id = id
            if retry is not None:
                self.retry = retry
            if data is not None:
                events.append(Event(data, event, self.last_event_id, self.retry))
            else:
                events += self._stray(one)
        return events

    def _stray(self, text: str) -> list[Event]:
        found = _compiled(_STRAY).search(text) if self.strays else None
        return [Event(text[found.end(1) :].strip(), "error", self.last_event_id, self.retry)] if found else []


class NDJSONFramer:
    """Blocks of newline-delimited JSON to events, one for each line not blank. Never blocks; one thread at a time.

    A line ends in "\\n" or "\\r\\n"; the last one need not. Invalid UTF-8 becomes U+FFFD. Nothing here looks whether it
    is JSON.

    Args:
        max_event: the most bytes of one line; None = no limit.
    """

    __slots__ = ("_cutter",)

    def __init__(self, max_event: int | None = None) -> None:
        self._cutter = _Cutter(b"\n", max_event)

    @property
    def pending(self) -> int:
        """Bytes held of the line that is not complete yet."""
        return self._cutter.pending

    def feed(self, block: bytes) -> list[Event]:
        """Give the lines that this block completes.

        Raises:
            ResponseTooLarge: a line passed `max_event`. Where the block brought lines before it, these are given first,
                and the next call raises.
        """
        return _lines(self._cutter.cut(block))

    def finish(self) -> list[Event]:
        """End the stream: gives the last line, where no line end came after it.

        Raises:
            ResponseTooLarge: as `feed`.
        """
        return _lines(self._cutter.rest())


Framer = SSEFramer | NDJSONFramer
"""Either of them: `feed` gives the events that a block completes, `finish` those that the end does."""


class EventReader(Iterator[Event]):
    """The events of an event stream, each given as soon as its last byte has come; made by `parse_sse`.

    Blocks where the iterable of blocks does. Raises what that raises, and `ResponseTooLarge`. One thread at a time.
    """

    def __init__(self, blocks: Iterable[bytes], *, max_event: int | None = None) -> None:
        self._framer = SSEFramer(max_event)
        self._events = _read(blocks, self._framer)

    def __next__(self) -> Event:
        """Give the next event."""
        return next(self._events)

    @property
    def last_event_id(self) -> str:
        """The last event id in the blocks read so far; they may be ahead of the last event given, see its `id`."""
        return self._framer.last_event_id

    @property
    def retry(self) -> int | None:
        """The reconnection time in ms that the blocks read so far set, or None."""
        return self._framer.retry


def parse_sse(blocks: Iterable[bytes], *, max_event: int | None = None) -> EventReader:
    """Give the events of an event stream, whose bytes may be cut into blocks anywhere. See `SSEFramer`."""
    return EventReader(blocks, max_event=max_event)


def parse_ndjson(blocks: Iterable[bytes], *, max_event: int | None = None) -> Iterator[Event]:
    """Give an event for each line of JSON, whose bytes may be cut into blocks anywhere. See `NDJSONFramer`."""
    return _read(blocks, NDJSONFramer(max_event))


def encode_sse(data: str, *, event: str | None = None, id: str | None = None, retry: int | None = None) -> bytes:
    """Give the bytes of one event, its blank line included. `retry` is in ms.

    Each line of `data` gets a line; "\\r\\n" and "\\r" arrive as "\\n". Half a surrogate pair, which UTF-8 cannot hold,
    becomes "?".

    Raises:
        ConfigError: a line break or a NUL in `event` or `id`, which would end the field or void it; a negative `retry`.
    """
    lines = []
    for name, value in (("id", id), ("event", event)):
        if value is not None:
            lines.append(f"{name}: {_one_line(name, value)}")
    if retry is not None:
        if retry < 0:
            raise ConfigError(f"retry={retry}: give a number of milliseconds that is not negative")
        lines.append(f"retry: {retry}")
    lines += [f"data: {line}" for line in _split_lines(data)]
    return _encode(lines)


def encode_comment(text: str = "") -> bytes:
    """Give the bytes of a comment, which a client ignores: it keeps an idle connection alive. Each line becomes one."""
    return _encode([f": {line}" if line else ":" for line in _split_lines(text)])


# -- cutting

_CR = 13  # a number, as `13 in block` takes a tenth of the time of `b"\r" in block`


class _Cutter:
    """Holds the bytes that no separator has ended yet."""

    __slots__ = ("_begun", "_failure", "_max", "_separator", "_tail")

    def __init__(self, separator: bytes, max_event: int | None) -> None:
        self._separator = separator
        self._max = sys.maxsize if max_event is None else max_event
        self._tail = bytearray()  # not a list of pieces: tiny ones take many times their size
        self._begun = False
        self._failure: ResponseTooLarge | None = None

    @property
    def pending(self) -> int:
        return len(self._tail)

    def cut(self, block: bytes) -> str:
        """Give what the block completes, without the last separator; "" for nothing. Separators inside are left in."""
        if self._failure is not None:
            raise self._failure
        separator, tail = self._separator, self._tail
        whole: bytes | bytearray
        if tail:
            start = len(tail) + 1 - len(separator)  # only what is new, and a separator that the cut went through
            tail += block
            end = tail.rfind(separator, start)
            if end < 0:
                return self._held()
            whole = tail[:end]
            del tail[: end + len(separator)]
        else:
            end = block.rfind(separator)
            if end < 0:
                return self._hold(block)
            whole = block[:end]
            tail += block[end + len(separator) :]
        if len(whole) >= self._max or len(tail) > self._max:
            whole = self._bounded(whole)
        return self._decode(whole)

    def rest(self) -> str:
        """Give what no separator ended, and hold nothing any more."""
        if self._failure is not None:
            raise self._failure
        text = self._decode(self._tail)
        self._tail = bytearray()
        return text

    def _decode(self, whole: bytes | bytearray) -> str:
        # The same as decoding the stream: a line feed is never part of another character, not even of a broken one.
        text = whole.decode("utf-8", "replace")
        if not self._begun:
            self._begun = True
            return text.removeprefix("\ufeff")
        return text

    def _hold(self, block: bytes) -> str:
        # A line feed before an event is one more blank line. Held, it would count as a byte of the event in some cuts.
        held = block.lstrip(b"\n")
        self._begun = self._begun or len(held) < len(block)
        self._tail += held
        return self._held()

    def _held(self) -> str:
        if len(self._tail) > self._max:
            raise self._fail()
        return ""

    def _bounded(self, whole: bytes | bytearray) -> bytes:
        """Give what stands before the first event that is too large; fail at the next call, or now if it is nothing."""
        fits = list(itertools.takewhile(self._fits, bytes(whole).split(self._separator)))
        before = self._separator.join(fits)
        if len(before) < len(whole) or len(self._tail) > self._max:
            failure = self._fail()
            if not before:
                raise failure
        return before

    def _fits(self, event: bytes) -> bool:
        # The end of its last line counts, as it does while the event is held: no cut shall decide.
        return len(event.strip(b"\n")) + len(self._separator) - 1 <= self._max

    def _fail(self) -> ResponseTooLarge:
        self._tail.clear()
        self._failure = ResponseTooLarge(
            f"one event of the answer is larger than {self._max} bytes: where that is right, raise Limits(event=...)"
        )
        return self._failure


def _read(blocks: Iterable[bytes], framer: Framer) -> Iterator[Event]:
    for block in blocks:
        yield from framer.feed(block)
    yield from framer.finish()


def _lines(text: str) -> list[Event]:
    return [Event(line.removesuffix("\r")) for line in text.split("\n") if line.strip()]


# -- one event's text to its fields

_Fields = tuple[str | None, str, str | None, int | None]
"""data (None: no event is dispatched), event, id (None: not set), retry (None: not set)."""

_NOTHING: _Fields = (None, "message", None, None)
_STRAY = r'(?:\A|\n)(error:|(?=[ \t]*(?:\[\s*)?\{\s*"error"\s*:(?!\s*null)))'
"""Where an error begins that stands outside of any field: llama.cpp's `error: {...}`, or plain JSON."""
_COPYING = 2**20  # characters; sseclient-py copies what it has of an event once a line: 26 s for 4 MB in 100,000 lines
_FIELD = r"(?m)^(data|event|id|retry)(?:: ?([^\n]*))?$"
_compiled = functools.cache(re.compile)  # with their first use, which may be long after the import


def _recognise(text: str) -> _Fields | None:
    """Read the plain forms: a data line; an event line and a data line; a comment; nothing. None for any other."""
    if text.startswith("data:"):
        return None if "\n" in text else (_value(text, 5), "message", None, None)
    if text.startswith("event:"):
        first, _, second = text.partition("\n")
        if second.startswith("data:") and "\n" not in second:
            return _value(second, 5), _value(first, 6) or "message", None, None
        return None
    if not text or (text.startswith(":") and "\n" not in text):
        return _NOTHING
    return None


def _value(line: str, colon: int) -> str:
    return line[colon + 1 :] if line.startswith(" ", colon) else line[colon:]


def _parse(text: str) -> _Fields:
    return _by_sseclient(text) if text.count("\n") * len(text) < _COPYING else _by_lines(text)


def _by_lines(text: str) -> _Fields:
    """Read any event, in time linear in its length."""
    data: list[str] = []
    event = "message"
    id = retry = None
    for match in _compiled(_FIELD).finditer(text):
        name, value = match.groups("")
        if name == "data":
            data.append(value)
        elif name == "event":
            event = value or "message"
        elif name == "id":
            id = id if "\0" in value else value
        else:
            retry = _milliseconds(value, retry)
    return "\n".join(data) if data else None, event, id, retry


def _by_sseclient(text: str) -> _Fields:
    """Read any event with sseclient-py, shown only the lines that the standard acts on.

    It lets a void id or retry win over a valid one before it, and logs the names that it does not know.
    """
    lines = [match.group() for match in _compiled(_FIELD).finditer(text) if _is_valid(*match.groups(""))]
    lines.append("data")  # a line more, taken off again below: without any data it would not give the id and retry
    blocks = iter([("\n".join(lines) + "\n\n").encode()])
    event = next(_sseclient()(blocks).events())
    data = event.data.removesuffix("\n") if event.data else None
    return data, event.event, event.id, None if event.retry is None else _milliseconds(event.retry, None)


def _is_valid(name: str, value: str) -> bool:
    if name == "id":
        return "\0" not in value
    return name != "retry" or _milliseconds(value, None) is not None


def _milliseconds(value: str, default: int | None) -> int | None:
    """Read a reconnection time; `default` for what is none.

    int() alone would take "1_0" and the digits of other scripts, and raise at thousands of digits.
    """
    if value.isascii() and value.isdigit() and len(value.lstrip("0")) <= 18:
        return int(value[-18:])
    return default


@functools.cache
def _sseclient() -> type[SSEClient]:
    """Import sseclient-py, which few streams need, when the first of them needs it."""
    import logging

    from sseclient import SSEClient

    class Silent(SSEClient):
        """Its log, named after its class's module, is ours and off: it would hold the provider's words as they came."""

    logging.getLogger(__name__).addFilter(lambda record: False)
    return Silent


# -- encoding


def _one_line(name: str, value: str) -> str:
    if any(c in value for c in "\r\n\0"):
        raise ConfigError(f"{name}={printable(value, 200)}: it cannot hold a line break or a NUL; take them out")
    return value


def _split_lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _encode(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n\n").encode("utf-8", "replace")
