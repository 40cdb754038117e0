"""One connection of a scripted server: the socket, the request read from it, and the steps that are run on it.

Steps act on the real socket, because most faults of a network cannot be produced above it. The servers make a `Wire` of
each connection that they accept. It knows a step by its `run` alone, and nothing of the servers.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol, TypeVar, Union, runtime_checkable

from streamkit import lazy_attrs as attrs
from streamkit.errors import ConfigError

__all__ = ["Disconnected", "Gate", "ReceivedRequest", "Script", "Step", "Wire", "select"]

Script = Union["Step", Iterable["Script"], Callable[["ReceivedRequest"], "Script"]]
"""Steps, rows of steps, and functions (generator functions, too) that make them from the request in their turn."""

_T = TypeVar("_T")

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

# select.select fails for descriptors of 1024 and above, which 500 connections in one process reach; epoll costs one.
_Selector: type[selectors.PollSelector | selectors.SelectSelector] = getattr(
    selectors, "PollSelector", selectors.SelectSelector
)


@runtime_checkable
class Step(Protocol):
    """What a script is made of: anything that does something on a wire."""

    def run(self, wire: Wire) -> None:
        """Do it. Blocking belongs into the wire's methods, which end when the client goes or the server stops."""
        ...


@attrs.define(kw_only=True, eq=False)
class ReceivedRequest:
    """One request as it came; it is complete when a test sees it.

    `headers` has names in lower case, repeated fields joined by ", ". `connection` counts from 1: equal numbers mean
    that the connection was reused. `sent` is how many bytes of the answer went out so far, heads and framing included.
    `disconnected` is set once the client was seen to close its connection, while a script runs or later; `blocked` is
    set while a script cannot send because the client does not read.
    """

    method: str
    path: str
    version: str
    headers: Mapping[str, str] = attrs.field(repr=False)  # the key is in it
    body: bytes = attrs.field(repr=False)
    connection: int
    disconnected: threading.Event
    blocked: threading.Event
    sent: int = 0

    def json(self) -> Any:
        """Give the body as JSON; ValueError if it is none."""
        return json.loads(self.body)

    @property
    def keep_alive(self) -> bool:
        """Whether the client means to use the connection again."""
        said = self.headers.get("connection", "").lower()
        return "keep-alive" in said if self.version == "HTTP/1.0" else "close" not in said


class Disconnected(Exception):
    """The connection is over, by the client or because the server stops; it ends a script and never reaches a test."""


class Gate(threading.Event):
    """An event for `Wait`: the test sets it, the script goes on. Do not clear it.

    A plain `threading.Event` cannot be waited for together with a socket, so a script held by one would not see its
    client go.
    """

    def __init__(self) -> None:
        super().__init__()
        # Guards the pair, which exists while somebody waits: a gate at rest holds no descriptor.
        self._lock = threading.Lock()
        self._waiting = 0
        self._pair: tuple[socket.socket, socket.socket] | None = None

    def set(self) -> None:
        """Let every script that waits here go on."""
        super().set()
        with self._lock:
            self._ring()

    @contextlib.contextmanager
    def bell(self) -> Iterator[socket.socket]:
        """Give a socket that is readable once the gate is set."""
        with self._lock:
            if self._pair is None:
                self._pair = socket.socketpair()
                self._ring()
            self._waiting += 1
            pair = self._pair
        try:
            yield pair[0]
        finally:
            with self._lock:
                self._waiting -= 1
                if not self._waiting:
                    self._pair = None
                    pair[0].close()
                    pair[1].close()

    def _ring(self) -> None:
        if self._pair is not None and self.is_set():
            self._pair[1].close()  # the end of the stream stays readable for everybody, as a byte would not


class Wire:
    """One accepted connection, for the steps that run on it. Only the connection's own thread uses it.

    Every method that blocks raises `Disconnected` as soon as the client has closed or the server stops. The socket
    never blocks by itself: waiting is always for the socket, the server's stop and a gate together, so nothing is
    polled for.
    """

    def __init__(self, sock: socket.socket, number: int, stop: Gate) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):  # already reset by the client: the first read will tell
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = number
        self.disconnected = threading.Event()
        self.blocked = threading.Event()
        self.closed = False
        """Whether our side has closed or reset it."""
        self._sock = sock
        self._stop = stop
        self._received = bytearray()
        self._request: ReceivedRequest | None = None
        self._body: _Body | None = None
        self._ended = False
        self._reset = False  # a script may go on after it, so its socket is not to be waited for
        self._pace: tuple[int, float] | None = None

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Do the server's part of a TLS handshake."""
        while not self._attempt(self._handshake, context):
            self._poll({self._sock: _READ})

    def read_request(self) -> ReceivedRequest:
        """Block until a whole request has come."""
        head = self._take_until(b"\r\n\r\n").decode("latin-1")
        start, *lines = head.split("\r\n")
        words = start.split(" ")
        if len(words) != 3:
            raise ConfigError(f"the client sent no HTTP request but {start[:200]!r}")
        headers: dict[str, str] = {}
        for name, _, value in (line.partition(":") for line in lines):
            key = name.lower()
            headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
        return ReceivedRequest(
            method=words[0],
            path=words[1],
            version=words[2],
            headers=headers,
            body=self._read_body(headers),
            connection=self.number,
            disconnected=self.disconnected,
            blocked=self.blocked,
        )

    def answer(self, request: ReceivedRequest, script: Script) -> None:
        """Run a script as the answer to a request, and end what it left without an end."""
        self._begin(request)
        self.play(script)
        if self.closed or self._ended:
            return
        if self._body is None:
            self.close()
        else:
            self.end()

    def play(self, script: Script) -> None:
        """Run the steps of a script."""
        for step in _steps(script, self._request):
            step.run(self)

    def open_body(self, *, chunked: bool, encoding: Literal["gzip", "deflate"] | None, keep_alive: bool) -> None:
        """Let a body begin: what is sent from here on takes this form."""
        self._body = _Body(chunked=chunked, packer=_packer(encoding), keep_alive=keep_alive)

    def write(self, data: bytes) -> None:
        """Write bytes as they are; blocks while the client does not read."""
        if self._pace is None:
            self._write(data)
            return
        size, interval = self._pace
        for start in range(0, len(data), size):
            if start:
                self.wait(interval)
            self._write(data[start : start + size])

    def send(self, data: bytes) -> None:
        """Write a piece of the body in the form of its framing; blocks while the client does not read."""
        if self._body is None:
            raise ConfigError("a body needs a head: put Status(...) before it, or send it with Raw(...)")
        self.write(self._body.pack(data))

    def wait(self, timeout: float | None = None, gate: Gate | None = None) -> bool:
        """Block until the gate is set (True) or `timeout` seconds have passed (False).

        What the client sends meanwhile is kept for the next request.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while gate is None or not gate.is_set():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            wanted = {} if self._reset else {self._sock: _READ}
            if self._sock in self._poll(wanted, left, gate):
                self._receive()
        return True

    @property
    def pending(self) -> bool:
        """Whether something was received that nobody has read or taken."""
        return bool(self._received)

    def wait_with(self, other: Wire) -> None:
        """Block until something is pending on this wire or on the other."""
        while not self.pending and not other.pending:
            ready = self._poll({self._sock: _READ, other._sock: _READ})
            for wire in (self, other):
                if wire._sock in ready:
                    wire._receive()

    def take(self) -> bytes:
        """Give what is pending. Never blocks."""
        data = bytes(self._received)
        self._received.clear()
        return data

    @contextlib.contextmanager
    def paced(self, size: int, interval: float) -> Iterator[None]:
        """Let every write within the block leave in pieces of `size` bytes, `interval` seconds apart."""
        before, self._pace = self._pace, (size, interval)
        try:
            yield
        finally:
            self._pace = before

    def end(self) -> None:
        """End the answer as its framing does, and close where the connection cannot be used again."""
        self._ended = True
        keep_alive = self._request is None or self._request.keep_alive
        if self._body is not None:
            self.write(self._body.end())
            keep_alive = keep_alive and self._body.keep_alive
        if not keep_alive:
            self.close()

    def close(self, *, notify: bool = True) -> None:
        """Close our half of the connection (FIN)."""
        if self.closed:
            return
        self.closed = True
        with contextlib.suppress(OSError):  # that the client's goodbye is still to come is one of them
            if notify and isinstance(self._sock, ssl.SSLSocket):
                self._sock.unwrap()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def linger(self) -> None:
        """Wait until the client has closed its half too.

        To close both at once would reset the connection if something from the client is still unread.
        """
        while not self._reset:
            self._fill()

    def reset(self) -> None:
        """Close the connection with a RST."""
        self.closed = self._reset = True
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def release(self) -> None:
        """Give the socket back."""
        self._sock.close()

    def _begin(self, request: ReceivedRequest) -> None:
        self._request, self._body, self._ended = request, None, False

    def _handshake(self, context: ssl.SSLContext) -> bool:
        if not isinstance(self._sock, ssl.SSLSocket):
            self._sock = context.wrap_socket(self._sock, server_side=True, do_handshake_on_connect=False)
        self._sock.do_handshake()
        return True

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            if self._stop.is_set():  # a client that reads fast enough would never let it be seen below
                raise Disconnected
            sent = self._attempt(self._sock.send, rest)
            if sent is None:
                self._wait_to_write()
                continue
            rest = rest[sent:]
            if self._request is not None:
                self._request.sent += sent

    def _wait_to_write(self) -> None:
        self.blocked.set()
        if self._poll({self._sock: _READ | _WRITE}).get(self._sock, 0) & _READ:
            self._receive()
        self.blocked.clear()

    def _read_body(self, headers: Mapping[str, str]) -> bytes:
        if "chunked" not in headers.get("transfer-encoding", "").lower():
            return self._take_exactly(int(headers.get("content-length", "0")))
        body = b""
        while size := int(self._take_until(b"\r\n").partition(b";")[0], 16):
            body += self._take_exactly(size)
            self._take_until(b"\r\n")
        while self._take_until(b"\r\n"):
            pass
        return body

    def _take_until(self, mark: bytes) -> bytes:
        while (end := self._received.find(mark)) < 0:
            self._fill()
        taken = self._take_exactly(end + len(mark))
        return taken[:end]

    def _take_exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            self._fill()
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    def _fill(self) -> None:
        self._poll({self._sock: _READ})
        self._receive()

    def _receive(self) -> None:
        data = self._attempt(self._sock.recv, 65536)
        if data == b"":
            raise self._gone()
        if data and not self.closed:
            self._received += data

    def _attempt(self, act: Callable[..., _T], *args: Any) -> _T | None:
        """Give what a call on the socket gives, or None where it would block."""
        try:
            return act(*args)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except OSError:
            raise self._gone() from None

    def _gone(self) -> Disconnected:
        if not self._reset:
            self.disconnected.set()
        return Disconnected()

    def _poll(
        self, wanted: Mapping[socket.socket, int], timeout: float | None = None, gate: Gate | None = None
    ) -> dict[socket.socket, int]:
        with self._stop.bell() as stop, (gate or self._stop).bell() as bell:
            ready = select({**wanted, stop: _READ, bell: _READ}, timeout)
        if self._stop.is_set():
            raise Disconnected
        return ready


def select(wanted: Mapping[socket.socket, int], timeout: float | None = None) -> dict[socket.socket, int]:
    """Give what each socket is ready for of what is wanted of it; blocks until one is, or for `timeout` seconds."""
    with _Selector() as selector:
        for sock, events in wanted.items():
            selector.register(sock, events, sock)
        return {key.data: events for key, events in selector.select(timeout)}


@attrs.frozen(kw_only=True)
class _Body:
    """The form of an answer's body."""

    chunked: bool
    packer: zlib._Compress | None
    keep_alive: bool

    def pack(self, data: bytes) -> bytes:
        if self.packer is not None:
            data = self.packer.compress(data) + self.packer.flush(zlib.Z_SYNC_FLUSH)
        return self._frame(data)

    def end(self) -> bytes:
        rest = b"" if self.packer is None else self._frame(self.packer.flush())
        return rest + b"0\r\n\r\n" if self.chunked else rest

    def _frame(self, data: bytes) -> bytes:
        if not self.chunked or not data:  # an empty chunk would be the last one
            return data
        return b"%x\r\n%b\r\n" % (len(data), data)


def _steps(script: Script, request: ReceivedRequest | None) -> Iterator[Step]:
    if isinstance(script, Step):
        yield script
    elif callable(script) and request is not None:
        yield from _steps(script(request), request)
    elif isinstance(script, Iterable) and not isinstance(script, (str, bytes)):
        for part in script:
            yield from _steps(part, request)
    else:
        raise ConfigError(f"a script is made of steps such as Status(200) or Event('...'), not of {script!r}")


def _packer(encoding: Literal["gzip", "deflate"] | None) -> zlib._Compress | None:
    if encoding is None:
        return None
    return zlib.compressobj(wbits=zlib.MAX_WBITS | 16 if encoding == "gzip" else zlib.MAX_WBITS)
