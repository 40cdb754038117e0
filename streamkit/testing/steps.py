"""What scripts are made of: small frozen steps, each of which does one thing on the wire.

A test puts them in a row by hand or takes a whole answer and cuts it: they are values, and one may run on any number of
connections. They make their own HTTP and event-stream bytes: with our encoder an error that encoder and parser share
would go unseen.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from streamkit import lazy_attrs as attrs
from streamkit.testing.wire import Gate, Step, Wire

__all__ = [
    "Close",
    "Drip",
    "End",
    "Event",
    "Headers",
    "Notify",
    "Pause",
    "Raw",
    "Repeat",
    "Reset",
    "Send",
    "Slowly",
    "Stall",
    "Status",
    "Wait",
    "compact_json",
    "header_pairs",
]

Headers = Mapping[str, str] | Sequence[tuple[str, str]]
"""Header fields of an answer; pairs where a name comes twice."""


@attrs.frozen
class Status:
    """The head of the answer; with a status below 200 an interim one, and the real head is still to come.

    `framing` says how the body ends: "chunked", "close" (with the connection), or a number, sent as Content-Length and
    not enforced. `encoding` compresses the body, every piece of it flushed. A header given replaces the one of its name
    that we would set: `Content-Type: text/event-stream` for a 200, and those of the framing. HTTP/1.0 has no chunks;
    its bodies end with the connection.
    """

    status: int = 200
    headers: Headers = ()
    framing: Literal["chunked", "close"] | int = attrs.field(default="chunked", kw_only=True)
    encoding: Literal["gzip", "deflate"] | None = attrs.field(default=None, kw_only=True)
    http: Literal["1.0", "1.1"] = attrs.field(default="1.1", kw_only=True)
    reason: str | None = attrs.field(default=None, kw_only=True)

    def run(self, wire: Wire) -> None:
        """Send the head and open the body."""
        wire.write(self.head())
        if self.status >= 200:
            keep = self.http == "1.1" and (self._bodiless or self.framing != "close")
            said = {name.lower(): value.lower() for name, value in header_pairs(self.headers)}.get("connection")
            wire.open_body(chunked=self._chunked, encoding=self.encoding, keep_alive=keep and said != "close")

    def head(self) -> bytes:
        """Give the bytes of the head, its blank line included."""
        reason = http.client.responses.get(self.status, "") if self.reason is None else self.reason
        given = header_pairs(self.headers)
        names = {name.lower() for name, _ in given}
        fields = [pair for pair in self._own_headers() if pair[0] not in names]
        lines = [f"HTTP/{self.http} {self.status} {reason}", *(f"{name}: {value}" for name, value in [*fields, *given])]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    @property
    def _bodiless(self) -> bool:
        return self.status < 200 or self.status in (204, 304)

    @property
    def _chunked(self) -> bool:
        return self.framing == "chunked" and self.http == "1.1" and not self._bodiless

    def _own_headers(self) -> Iterator[tuple[str, str]]:
        if self.status == 200:
            yield "content-type", "text/event-stream"
        if self.encoding is not None:
            yield "content-encoding", self.encoding
        if self._chunked:
            yield "transfer-encoding", "chunked"
        if isinstance(self.framing, int) and not self._bodiless:
            yield "content-length", str(self.framing)


@attrs.frozen
class Raw:
    """Bytes straight to the socket, past any framing."""

    data: bytes = attrs.field(repr=False)

    def run(self, wire: Wire) -> None:
        """Write them."""
        wire.write(self.data)


@attrs.frozen
class Send:
    """A piece of the body, in the form of its framing: one HTTP chunk where it is chunked."""

    data: bytes = attrs.field(repr=False)

    def run(self, wire: Wire) -> None:
        """Send it."""
        wire.send(self.data)


@attrs.frozen
class Event:
    """One server-sent event; a mapping is sent as JSON."""

    data: str | Mapping[str, Any]
    event: str | None = None

    def run(self, wire: Wire) -> None:
        """Send it as one piece of the body."""
        wire.send(self.encode())

    def encode(self) -> bytes:
        """Give the event's bytes."""
        text = self.data if isinstance(self.data, str) else compact_json(self.data)
        lines = [f"data: {line}" for line in text.split("\n")]
        if self.event is not None:
            lines.insert(0, f"event: {self.event}")
        return "\n".join([*lines, "", ""]).encode()


@attrs.frozen
class Drip:
    """Body bytes in pieces of `size` bytes, `interval` seconds apart; in a chunked body each is an HTTP chunk."""

    data: bytes = attrs.field(repr=False)
    size: int = 1
    interval: float = 0.01

    def run(self, wire: Wire) -> None:
        """Send them."""
        for start in range(0, len(self.data), self.size):
            if start:
                wire.wait(self.interval)
            wire.send(self.data[start : start + self.size])


@attrs.frozen
class Slowly:
    """Another step, whose bytes (head and framing, too) leave in pieces of `size` bytes, `interval` seconds apart."""

    step: Step
    size: int = 1
    interval: float = 0.01

    def run(self, wire: Wire) -> None:
        """Run the step at this pace."""
        with wire.paced(self.size, self.interval):
            self.step.run(wire)


@attrs.frozen(init=False)
class Repeat:
    """Steps again and again: `times` times, or with None until the client goes away or the server stops."""

    steps: tuple[Step, ...]
    times: int | None

    def __init__(self, *steps: Step, times: int | None = None) -> None:
        self.__attrs_init__(steps, times)

    def run(self, wire: Wire) -> None:
        """Run them."""
        rounds = 0
        while self.times is None or rounds < self.times:
            rounds += 1
            wire.play(self.steps)


@attrs.frozen
class Pause:
    """Nothing for some seconds."""

    seconds: float

    def run(self, wire: Wire) -> None:
        """Wait."""
        wire.wait(self.seconds)


@attrs.frozen
class Wait:
    """Nothing until the test sets the gate; after `timeout` seconds without that the script fails with TimeoutError."""

    gate: Gate = attrs.field(validator=attrs.validators.instance_of(Gate))
    timeout: float = 30.0

    def run(self, wire: Wire) -> None:
        """Wait."""
        if not wire.wait(self.timeout, self.gate):
            raise TimeoutError(f"the test did not set the gate within {self.timeout} s")


@attrs.frozen
class Notify:
    """Tell the test that the script came this far."""

    event: threading.Event

    def run(self, wire: Wire) -> None:
        """Set the event."""
        self.event.set()


@attrs.frozen
class Stall:
    """Nothing until the client goes away or the server stops."""

    def run(self, wire: Wire) -> None:
        """Wait."""
        wire.wait()


@attrs.frozen
class End:
    """The clean end of the answer; the connection is kept for the next request where head and request allow it."""

    def run(self, wire: Wire) -> None:
        """End it."""
        wire.end()


@attrs.frozen
class Close:
    """A polite close (FIN) wherever the answer stands, without the end of its framing.

    Only our half: the connection counts as open until the client closes its own, so a test can see that it does.
    `notify=False` leaves out TLS's own goodbye, as an attacker who cuts the connection would.
    """

    notify: bool = attrs.field(default=True, kw_only=True)

    def run(self, wire: Wire) -> None:
        """Close our half."""
        wire.close(notify=self.notify)


@attrs.frozen
class Reset:
    """A rude close (RST): what the client has not read yet may be lost."""

    def run(self, wire: Wire) -> None:
        """Reset the connection."""
        wire.reset()


def compact_json(value: Any) -> str:
    """Give a value as JSON, without spaces and without escapes for what is not ASCII."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def header_pairs(headers: Headers) -> list[tuple[str, str]]:
    """Give header fields as pairs, in their order."""
    return list(headers.items() if isinstance(headers, Mapping) else headers)
