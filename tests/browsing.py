"""What a browser does with a stream of events, on a plain socket: it asks, reads, leaves, and comes back."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlencode, urlsplit

from streamkit.framing import Event, parse_sse

__all__ = ["EVENT_SOURCE", "Browser", "told"]

EVENT_SOURCE = {"Accept": "text/event-stream"}
"""The header by which an `EventSource` is known."""


class Browser:
    """One request, and the answer as it comes."""

    def __init__(
        self,
        url: str,
        path: str = "/stream",
        *,
        method: str = "GET",
        headers: Mapping[str, str] = EVENT_SOURCE,
        **query: str,
    ) -> None:
        place = urlsplit(url)
        self._connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)
        self._connection.connect()
        self._sock: socket.socket = self._connection.sock
        target = f"{path}?{urlencode(query)}" if query else path
        self._connection.request(method, target, headers=dict(headers))
        self._response: http.client.HTTPResponse | None = None
        self._events: Iterator[Event] | None = None
        self.raw = b""
        """What was read so far."""

    @property
    def response(self) -> http.client.HTTPResponse:
        """Status and headers; waits for them."""
        if self._response is None:
            self._response = self._connection.getresponse()
        return self._response

    def read(self) -> bytes:
        """Read what comes next: b"" at the end."""
        block = self.response.read1(65536)
        self.raw += block
        return block

    def next(self) -> Event:
        """Wait for the next event."""
        if self._events is None:
            self._events = parse_sse(iter(self.read, b""))
        return next(self._events)

    def rest(self) -> list[Event]:
        """Read all events to the end."""
        if self._events is None:
            self._events = parse_sse(iter(self.read, b""))
        return list(self._events)

    def leave(self) -> None:
        """Close the connection, as a closed tab does."""
        self._sock.close()
        self._connection.close()
        if self._response is not None:
            self._response.close()

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.leave()


def told(*events: Event) -> list[Any]:
    """What events say."""
    return [json.loads(event.data) for event in events]
