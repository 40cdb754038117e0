"""The loopback provider: `python -m benchmarks.server`, a process of its own.

The address says what to answer: `/ANSWER/ARGUMENT/CLIENT/v1/chat/completions`; the answers are the public functions
below. `GET /connections/CLIENT` gives how many connections a client has made. Answers are serialised before they are
timed, one HTTP chunk an event. On stdout it prints its port, and one whose connections never come about; at the end of
stdin it ends.
"""

from __future__ import annotations

import functools
import json
import os
import random
import socket
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from benchmarks.catalogue import pieces

__all__ = ["catalogue", "chunks", "endless", "headless", "large", "paced", "silent", "stamped", "unlike"]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
PIECE = 1_400
"""Bytes of a piece of a large event: what fits into one packet."""
TOKENS = (
    *(" the", " and", " a", " story", " of", ",", ".", " light", "house", " keeper", " who", " remember", "ed", " it"),
    *("\n\n", ' "', "\u2019s", " \u2014"),
)
"""Texts of the lengths that tokens have; few of them need an escape, fewer are not ASCII."""
WEIGHTS = (*[20] * 14, 6, 4, 3, 1)
LENGTH = 300
"""Bytes of an event's JSON, about. The obfuscation fills it up, as at the provider."""


# -- answers


def chunks(conn: socket.socket, count: int) -> None:
    """Send an answer of `count` pieces of text at once."""
    conn.sendall(HEAD + b"".join(_answer(count, alike=True)) + END)


def unlike(conn: socket.socket, count: int) -> None:
    """Send the same, but for the id, which differs from event to event."""
    conn.sendall(HEAD + b"".join(_answer(count, alike=False)) + END)


def paced(conn: socket.socket, count: int) -> None:
    """Send the same with a pause of half a millisecond after each event, so that each is read by itself."""
    conn.sendall(HEAD)
    for piece in _answer(count, alike=True):
        conn.sendall(piece)
        time.sleep(0.0005)
    conn.sendall(END)


def stamped(conn: socket.socket, count: int) -> None:
    """Send `count` pieces of text, 2 ms apart, each of which is the monotonic time of its sending in ns."""
    before, after = _event("TIME", 0).split(b"TIME")
    conn.sendall(HEAD)
    for _ in range(count):
        conn.sendall(_framed(b"%s%d%s" % (before, time.monotonic_ns(), after)))
        time.sleep(0.002)
    conn.sendall(b"".join(_endings()) + END)


def large(conn: socket.socket, megabytes: int) -> None:
    """Send one event of so many MB, cut into pieces of one packet each, as HTTP chunks of their own."""
    conn.sendall(HEAD + _large(megabytes) + b"".join(_endings()) + END)


def catalogue(conn: socket.socket, items: int) -> None:
    """Send a call of a tool at once whose input is an object of so many items."""
    conn.sendall(HEAD + b"".join(_catalogue(items)) + END)


def silent(conn: socket.socket, _: int) -> None:
    """Send the head and one piece of text, then nothing more until the client goes."""
    conn.sendall(HEAD + _framed(_event(" the", 0)))
    conn.recv(1)


def headless(conn: socket.socket, _: int) -> None:
    """Send nothing at all until the client goes."""
    conn.recv(1)


def endless(conn: socket.socket, _: int) -> None:
    """Send pieces of text for as long as they are taken."""
    some = b"".join(_framed(_event(" the", 0)) for _ in range(1000))
    conn.sendall(HEAD)
    while True:
        conn.sendall(some)


ANSWERS = {
    answer.__name__: answer for answer in (catalogue, chunks, endless, headless, large, paced, silent, stamped, unlike)
}


# -- their bytes


@functools.cache
def _answer(count: int, *, alike: bool) -> list[bytes]:
    texts = random.Random(0).choices(TOKENS, WEIGHTS, k=count)
    return [*(_framed(_event(text, 0 if alike else n)) for n, text in enumerate(texts)), *_endings()]


@functools.cache
def _large(megabytes: int) -> bytes:
    event = _event("x" * (megabytes << 20), 0)
    return b"".join(_framed(event[at : at + PIECE]) for at in range(0, len(event), PIECE))


@functools.cache
def _catalogue(items: int) -> list[bytes]:
    call = {"index": 0, "id": "call_0", "type": "function", "function": {"name": "Catalogue", "arguments": ""}}
    deltas = [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces(items)]
    events = [_chunk({"tool_calls": [call]}, 0), *(_chunk(delta, 0) for delta in deltas)]
    return [*map(_framed, events), *_endings("tool_calls")]


def _endings(finish_reason: str = "stop") -> Iterator[bytes]:
    yield _framed(_event("", 0, finish_reason))
    yield _framed(b"data: [DONE]\n\n")


def _event(text: str, number: int, finish_reason: str | None = None) -> bytes:
    return _chunk({"content": text} if text else {}, number, finish_reason)


def _chunk(delta: dict[str, Any], number: int, finish_reason: str | None = None) -> bytes:
    chunk = {
        "id": f"chatcmpl-AbCdEfGhIjKlMnOpQrSt{number:09}",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "gpt-4o-2024-08-06",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}],
        "usage": None,
    }
    plain = json.dumps(chunk, ensure_ascii=False, separators=(",", ":"))
    chunk["obfuscation"] = ("aZ3kQ9xW7mB2" * 2)[: max(0, LENGTH - 17 - len(plain))]
    return b"data: %s\n\n" % json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode()


def _framed(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


# -- serving


class _Connections:
    """How many connections each client has made."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards _counts
        self._counts: defaultdict[str, int] = defaultdict(int)

    def add(self, client: str) -> None:
        with self._lock:
            self._counts[client] += 1

    def answer(self, conn: socket.socket, client: str) -> None:
        body = b"%d" % self._counts[client]
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def _serve(conn: socket.socket, connections: _Connections) -> None:
    """Answer the requests of one connection."""
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    counted = False
    try:
        with conn, conn.makefile("rb") as file:
            while line := file.readline():
                length = 0
                while (header := file.readline()) not in (b"\r\n", b""):
                    if header.lower().startswith(b"content-length:"):
                        length = int(header.split(b":")[1])
                file.read(length)
                _, answer, argument, *rest = line.split()[1].decode().split("/")
                if answer == "connections":
                    connections.answer(conn, argument)
                    continue
                if not counted:
                    connections.add(rest[0])
                    counted = True
                ANSWERS[answer](conn, int(argument))
    except OSError:
        pass  # the client has gone


def _stuck() -> tuple[socket.socket, list[socket.socket]]:
    """Give a listener whose queue is full, so that connecting to it never ends, and what fills the queue."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    return listener, fillers


def _main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    stuck, _fillers = _stuck()
    connections = _Connections()
    threading.Thread(target=_accept, args=(listener, connections), daemon=True).start()
    print(listener.getsockname()[1], stuck.getsockname()[1], flush=True)
    sys.stdin.read()
    os._exit(0)  # connections may still be served


def _accept(listener: socket.socket, connections: _Connections) -> None:
    while True:
        conn, _ = listener.accept()
        threading.Thread(target=_serve, args=(conn, connections), daemon=True).start()


if __name__ == "__main__":
    _main()
