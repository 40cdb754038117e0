"""What tests of the scripted server share: a client of plain sockets, and scripts that would go on for long."""

from __future__ import annotations

import json
import pathlib
import socket
import ssl
from typing import Any

from streamkit.testing import (
    Close,
    Drip,
    Gate,
    Pause,
    ProviderServer,
    Repeat,
    Send,
    Slowly,
    Stall,
    Status,
    Step,
    Wait,
    error_answer,
)

__all__ = ["BLOCKING", "CERTS", "CHUNKED", "GET", "HEAD", "connect", "events", "read_all", "read_exactly", "trusting"]

CERTS = pathlib.Path(__file__).parent / "certs"
GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"

BLOCKING: dict[str, list[Step]] = {
    "stall": [Stall()],
    "wait": [Wait(Gate())],
    "pause": [Pause(60)],
    "drip": [Status(200), Drip(b"ab", 1, 60)],
    "slowly": [Slowly(Status(200), 1, 60)],
    "write": [Status(200), Send(bytes(50_000_000))],
    "endless": [Status(200), Repeat(Send(bytes(1000)))],
    "endless pause": [Status(200), Repeat(Pause(1))],
    "after the end": [error_answer(200)[0], Send(b""), Close(), Stall()],
}


def connect(server: ProviderServer, send: bytes = GET) -> socket.socket:
    """Open a connection and send a request."""
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=5)
    sock.sendall(send)
    return sock


def read_all(sock: socket.socket) -> bytes:
    """Read to the end of the connection."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


def read_exactly(sock: socket.socket, size: int) -> bytes:
    """Read that many bytes."""
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        assert piece, f"the connection ended after {data!r}"
        data += piece
    return data


def events(body: str) -> list[Any]:
    """Give the data of an event stream, from JSON where it is JSON."""
    data = [line[6:] for line in body.split("\n") if line.startswith("data: ")]
    return [json.loads(text) if text.startswith("{") else text for text in data]


def trusting() -> ssl.SSLContext:
    """Give a client's context that trusts the test authority."""
    return ssl.create_default_context(cafile=str(CERTS / "ca.pem"))
