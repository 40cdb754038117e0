"""A scripted provider on 127.0.0.1: what our tests, users' tests and the examples stream from.

    with ProviderServer() as server:
        server.reply(chat_answer("Hello", " world"))
        client = Client(OpenAI(api_key="test", base_url=server.base_url))

Each request takes the next script. A script is a row of small frozen steps (`Status`, `Event`, `Pause`, `Reset`, …)
that run in order on the connection's real socket, because most faults of a network cannot be produced above it.
`chat_answer` and its like give whole scripts made of these steps, so a test may cut them anywhere:
`server.reply(chat_answer("Hello")[:2], Reset())`.

It stands at the far end of the wire and knows nothing of the client's side: no codec, no framing, no transport, no test
framework. It makes its own event-stream bytes, too: with our encoder an error that encoder and parser share would go
unseen.

The parts in order: the servers (threads, scripts queued), the answers, the steps, `Wire` (the socket).
"""

from __future__ import annotations

import abc
import contextlib
import http.client
import json
import os
import selectors
import socket
import ssl
import struct
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Protocol, TypeVar, Union, runtime_checkable

import attrs

from streamkit.errors import ConfigError

__all__ = [
    "Close",
    "Disconnected",
    "Drip",
    "End",
    "Event",
    "Gate",
    "LoopbackServer",
    "Notify",
    "Pause",
    "ProviderServer",
    "Raw",
    "ReceivedRequest",
    "Repeat",
    "Reset",
    "Script",
    "Send",
    "Slowly",
    "Stall",
    "Status",
    "Step",
    "Wait",
    "Wire",
    "anthropic_answer",
    "chat_answer",
    "error_answer",
    "error_event",
]

Headers = Mapping[str, str] | Sequence[tuple[str, str]]
"""Header fields of an answer; pairs where a name comes twice."""

Script = Union["Step", Iterable["Script"], Callable[["ReceivedRequest"], "Script"]]
"""Steps, rows of steps, and functions (generator functions, too) that make them from the request in their turn."""

TLS = Union[ssl.SSLContext, str, "os.PathLike[str]", "tuple[str | os.PathLike[str], str | os.PathLike[str]]"]
"""A server-side context, one PEM file with certificate and key, or a pair of files."""

_S = TypeVar("_S", bound="LoopbackServer")
_T = TypeVar("_T")

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

_CLOSE_TIMEOUT = 5.0
"""Seconds that `close()` waits for the threads."""


class LoopbackServer(abc.ABC):
    """Connections on 127.0.0.1; a subclass says in `serve` what happens on one.

    One thread accepts, and each connection has its own. It listens from its construction to `close()`, which ends
    every thread and socket of it. All its methods and attributes may be used from any thread. `errors` holds what went
    wrong in scripts; leaving the `with` block raises the first of them.

    Args:
        port: 0 takes a free one.
        tls: Serve TLS with this context or certificate.
    """

    def __init__(self, *, port: int = 0, tls: TLS | None = None) -> None:
        self.errors: list[Exception] = []
        self._tls = _tls_context(tls)
        self._stop = Gate()
        # Guards all that follows; notified when a request, a connection or the end of one was counted.
        self._changed = threading.Condition()
        self._requests: list[ReceivedRequest] = []
        self._greetings: _Scripts = _Scripts()
        self._threads: list[threading.Thread] = []
        self._connections = 0
        self._open_connections = 0
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, name=f"streamkit-testing-{self.port}", daemon=True)
        self._accepting.start()

    @abc.abstractmethod
    def serve(self, wire: Wire) -> None:
        """Answer on one connection until it ends; runs on the connection's thread."""

    @property
    def url(self) -> str:
        """Scheme, address and port, without a slash at the end."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[ReceivedRequest]:
        """The requests received so far, in order of their arrival."""
        with self._changed:
            return list(self._requests)

    @property
    def connections(self) -> int:
        """How many connections were accepted so far."""
        return self._connections

    @property
    def open_connections(self) -> int:
        """How many of them are open: neither closed by the client nor reset by a script."""
        return self._open_connections

    def greet(self, *steps: Step, times: int | None = 1) -> None:
        """Let the next connection meet these steps first of all, before a TLS handshake or a request is read.

        `Reset()` drops it on connect (the client may still be connecting, or in its first read), `Stall()` never
        speaks. After steps that do not close it the connection goes on as usual. `times` is for how many connections;
        None, for each that finds no other greeting queued.
        """
        with self._changed:
            self._greetings.add(steps, times)

    def wait_for_request(self, number: int = 1, timeout: float = 5.0) -> ReceivedRequest:
        """Block until this many requests came and give the last of them; TimeoutError after `timeout` seconds."""
        self.wait_until(lambda: len(self._requests) >= number, timeout)
        return self.requests[number - 1]

    def wait_until(self, condition: Callable[[], bool], timeout: float = 5.0) -> None:
        """Block until something about requests and connections holds; TimeoutError after `timeout` seconds.

        `condition` is asked again whenever one of them changed, as in
        `server.wait_until(lambda: server.open_connections == 0)`.
        """
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                state = (
                    f"{len(self._requests)} requests, {self._open_connections} of {self._connections} connections open"
                )
                cause = self.errors[0] if self.errors else None
                raise TimeoutError(f"what the test waits for did not come within {timeout} s ({state})") from cause

    def record(self, request: ReceivedRequest) -> None:
        """Add a request to `requests`."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    def close(self) -> None:
        """Stop listening, end every script and connection, and wait up to five seconds for the threads. Idempotent."""
        self._stop.set()
        deadline = time.monotonic() + _CLOSE_TIMEOUT
        self._accepting.join(_CLOSE_TIMEOUT)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                hint = "a step must block in methods of its wire only"
                self.errors.append(TimeoutError(f"{thread.name} still runs: {hint}"))

    def __enter__(self: _S) -> _S:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
        # A failure in the block is most likely the consequence; it stays visible as the context of this one.
        if self.errors and (error is None or isinstance(error, Exception)):
            raise self.errors[0]

    def _accept(self) -> None:
        try:
            with self._listener, self._stop.bell() as bell:
                while not self._stop.is_set():
                    _select({self._listener: _READ, bell: _READ})
                    # The client may have gone again before its turn.
                    with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
                        self._start(self._listener.accept()[0])
        except Exception as error:  # no descriptor or no thread left: the test must see it
            self.errors.append(error)

    def _start(self, sock: socket.socket) -> None:
        with self._changed:
            self._connections += 1
            self._open_connections += 1
            wire = Wire(sock, self._connections, self._stop)
            greeting = self._greetings.take() or ()
            self._changed.notify_all()
        name = f"streamkit-testing-{self.port}-{wire.number}"
        thread = threading.Thread(target=self._run, args=(wire, greeting), name=name, daemon=True)
        self._threads = [*(t for t in self._threads if t.is_alive()), thread]
        thread.start()

    def _run(self, wire: Wire, greeting: Script) -> None:
        try:
            wire.play(greeting)
            if self._tls is not None and not wire.closed:
                wire.start_tls(self._tls)
            if not wire.closed:
                self.serve(wire)
            wire.linger()
        except Disconnected:
            pass
        except Exception as error:  # the test must see it, and the client no clean end
            self.errors.append(error)
            wire.reset()
        finally:
            wire.release()
            with self._changed:
                self._open_connections -= 1
                self._changed.notify_all()


class ProviderServer(LoopbackServer):
    """An HTTP server that answers each request with the next script.

    A request that finds no script is answered with status 501 and leaves a ConfigError in `errors`.
    """

    def __init__(self, *, port: int = 0, tls: TLS | None = None) -> None:
        self._scripts = _Scripts()
        super().__init__(port=port, tls=tls)

    @property
    def base_url(self) -> str:
        """What an OpenAI-style provider takes as `base_url`: the address with "/v1"."""
        return f"{self.url}/v1"

    def reply(self, *script: Script, times: int | None = 1) -> None:
        """Queue a script for the next request.

        `times` is for how many requests; None, for each that finds nothing else queued. A script that says no `End`,
        `Close`, `Reset` or `Stall` itself ends cleanly.
        """
        with self._changed:
            self._scripts.add(script, times)

    def serve(self, wire: Wire) -> None:
        """Answer the requests of one connection, one after the other."""
        while not wire.closed:
            request = wire.read_request()
            with self._changed:  # one lock for both: the n-th request gets the n-th script
                self.record(request)
                script = self._scripts.take()
            wire.answer(request, self._no_script(request) if script is None else script)

    def _no_script(self, request: ReceivedRequest) -> Script:
        message = f"no script for {request.method} {request.path}: queue one with server.reply(...)"
        self.errors.append(ConfigError(message))
        return error_answer(501, message)


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


# ---------------------------------------------------------------- answers


def chat_answer(
    *texts: str,
    thinking: str = "",
    tool_calls: Sequence[tuple[str, Mapping[str, Any] | str]] = (),
    finish: str | None = None,
    usage: bool = True,
    model: str = "gpt-4o",
) -> tuple[Step, ...]:
    """Give an OpenAI chat completion stream, one event a text, with `[DONE]` at the end.

    `thinking` comes first, as `reasoning_content`. `tool_calls` are pairs of a name and arguments (a str is sent as it
    is) with the ids call_1, call_2, …; the arguments come in two fragments. `finish` is "tool_calls" where there are
    some, else "stop".
    """
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    if thinking:
        deltas.append({"reasoning_content": thinking})
    deltas += [{"content": text} for text in texts]
    for index, (name, arguments) in enumerate(tool_calls):
        function = {"name": name, "arguments": ""}
        deltas.append(
            {"tool_calls": [{"index": index, "id": f"call_{index + 1}", "type": "function", "function": function}]}
        )
        for part in _halves(arguments):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    common = {"id": "chatcmpl-test", "object": "chat.completion.chunk", "created": 0, "model": model}
    choices: list[list[dict[str, Any]]] = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    choices.append([{"index": 0, "delta": {}, "finish_reason": finish or ("tool_calls" if tool_calls else "stop")}])
    events = [Event({**common, "choices": choice}) for choice in choices]
    if usage:
        counts = {"prompt_tokens": 5, "completion_tokens": len(texts), "total_tokens": 5 + len(texts)}
        events.append(Event({**common, "choices": [], "usage": counts}))
    return (Status(200, {"x-request-id": "req_test"}), *events, Event("[DONE]"), End())


def anthropic_answer(
    *texts: str,
    thinking: str = "",
    tool_calls: Sequence[tuple[str, Mapping[str, Any] | str]] = (),
    finish: str | None = None,
    model: str = "claude-sonnet-4-20250514",
) -> tuple[Step, ...]:
    """Give an Anthropic message stream: blocks of thinking, of text with a delta a text, and of each tool call.

    The calls are as in `chat_answer`, with the ids toolu_1, toolu_2, …; `finish` is "tool_use" where there are some,
    else "end_turn".
    """
    blocks = list(_anthropic_blocks(texts, thinking, tool_calls))
    message: dict[str, Any] = {
        "id": "msg_test",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
    }
    events = [_typed("message_start", message={**message, "usage": {"input_tokens": 5, "output_tokens": 1}})]
    for index, (block, deltas) in enumerate(blocks):
        events.append(_typed("content_block_start", index=index, content_block=block))
        events += [_typed("content_block_delta", index=index, delta=delta) for delta in deltas]
        events.append(_typed("content_block_stop", index=index))
    end = {"stop_reason": finish or ("tool_use" if tool_calls else "end_turn"), "stop_sequence": None}
    events.append(_typed("message_delta", delta=end, usage={"output_tokens": len(texts)}))
    return (Status(200, {"request-id": "req_test"}), *events, _typed("message_stop"), End())


def error_answer(status: int, body: str | bytes | Mapping[str, Any] = "", headers: Headers = ()) -> tuple[Step, ...]:
    """Give a whole answer that is no stream, with its Content-Length.

    A str is the message of an OpenAI error object, a mapping is sent as JSON, bytes are sent as they are.
    """
    if isinstance(body, str):
        body = {"error": {"message": body or f"scripted error {status}", "type": "test_error", "code": None}}
    content = body if isinstance(body, bytes) else _json(body).encode()
    # Those given come last, so that a content type among them replaces ours.
    fields = {"content-type": "application/json", **{name.lower(): value for name, value in _pairs(headers)}}
    return (Status(status, fields, framing=len(content)), Send(content), End())


def error_event(
    message: str, *, type: str = "server_error", code: str | None = None, event: str | None = None
) -> Event:
    """Give an error event to put into a stream: OpenAI's, or with `event="error"` Anthropic's."""
    if event is None:
        return Event({"error": {"message": message, "type": type, "code": code}})
    return Event({"type": event, "error": {"type": type, "message": message}}, event)


# ---------------------------------------------------------------- steps


@runtime_checkable
class Step(Protocol):
    """What a script is made of: anything that does something on a wire."""

    def run(self, wire: Wire) -> None:
        """Do it. Blocking belongs into the wire's methods, which end when the client goes or the server stops."""
        ...


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
            said = {name.lower(): value.lower() for name, value in _pairs(self.headers)}.get("connection")
            wire.open_body(chunked=self._chunked, encoding=self.encoding, keep_alive=keep and said != "close")

    def head(self) -> bytes:
        """Give the bytes of the head, its blank line included."""
        reason = http.client.responses.get(self.status, "") if self.reason is None else self.reason
        given = _pairs(self.headers)
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
        text = self.data if isinstance(self.data, str) else _json(self.data)
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


# ---------------------------------------------------------------- the connection


class Disconnected(Exception):
    """The connection is over, by the client or because the server stops; it ends a script and never reaches a test."""


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
            ready = _select({**wanted, stop: _READ, bell: _READ}, timeout)
        if self._stop.is_set():
            raise Disconnected
        return ready


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


class _Scripts:
    """Scripts in the order of their use, and one for when none is left. The server's lock guards it."""

    def __init__(self) -> None:
        self._queue: deque[Script] = deque()
        self._standing: Script | None = None

    def add(self, script: Script, times: int | None) -> None:
        if times is None:
            self._standing = script
        else:
            self._queue.extend([script] * times)

    def take(self) -> Script | None:
        return self._queue.popleft() if self._queue else self._standing


# select.select fails for descriptors of 1024 and above, which 500 connections in one process reach; epoll costs one.
_Selector: type[selectors.PollSelector | selectors.SelectSelector] = getattr(
    selectors, "PollSelector", selectors.SelectSelector
)


def _select(wanted: Mapping[socket.socket, int], timeout: float | None = None) -> dict[socket.socket, int]:
    with _Selector() as selector:
        for sock, events in wanted.items():
            selector.register(sock, events, sock)
        return {key.data: events for key, events in selector.select(timeout)}


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


def _tls_context(tls: TLS | None) -> ssl.SSLContext | None:
    if tls is None or isinstance(tls, ssl.SSLContext):
        return tls
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*(tls if isinstance(tls, tuple) else (tls,)))
    return context


def _pairs(headers: Headers) -> list[tuple[str, str]]:
    return list(headers.items() if isinstance(headers, Mapping) else headers)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _halves(arguments: Mapping[str, Any] | str) -> tuple[str, str]:
    text = arguments if isinstance(arguments, str) else _json(arguments)
    return text[: len(text) // 2], text[len(text) // 2 :]


def _typed(type: str, **fields: Any) -> Event:
    return Event({"type": type, **fields}, type)


def _anthropic_blocks(
    texts: Sequence[str], thinking: str, tool_calls: Sequence[tuple[str, Mapping[str, Any] | str]]
) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Give each block as it starts, and its deltas."""
    if thinking:
        deltas = [
            {"type": "thinking_delta", "thinking": thinking},
            {"type": "signature_delta", "signature": "dGVzdA=="},
        ]
        yield {"type": "thinking", "thinking": "", "signature": ""}, deltas
    if texts:
        yield {"type": "text", "text": ""}, [{"type": "text_delta", "text": text} for text in texts]
    for number, (name, arguments) in enumerate(tool_calls, 1):
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in _halves(arguments)]
        yield {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": {}}, deltas
