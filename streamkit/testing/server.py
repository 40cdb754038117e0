"""A scripted provider on 127.0.0.1: what our tests, users' tests and the examples stream from.

    with ProviderServer() as server:
        server.reply(chat_answer("Hello", " world"))
        client = Client(OpenAI(api_key="test", base_url=server.base_url))

Each request takes the next script. A script is a row of small frozen steps (`Status`, `Event`, `Pause`, `Reset`, …)
that run in order on the connection; `chat_answer` and its like give whole scripts made of these steps.

Here are the threads, the listening socket and the queue of scripts. All of it stands at the far end of the wire and
knows nothing of the client's side: no codec, no framing, no transport, no test framework.
"""

from __future__ import annotations

import abc
import contextlib
import os
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar, Union

from streamkit.errors import ConfigError
from streamkit.testing.answers import error_answer
from streamkit.testing.wire import Disconnected, Gate, ReceivedRequest, Script, Step, Wire, select

__all__ = ["LoopbackServer", "ProviderServer"]

TLS = Union[ssl.SSLContext, str, "os.PathLike[str]", "tuple[str | os.PathLike[str], str | os.PathLike[str]]"]
"""A server-side context, one PEM file with certificate and key, or a pair of files."""

_S = TypeVar("_S", bound="LoopbackServer")

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
                    select({self._listener: selectors.EVENT_READ, bell: selectors.EVENT_READ})
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


def _tls_context(tls: TLS | None) -> ssl.SSLContext | None:
    if tls is None or isinstance(tls, ssl.SSLContext):
        return tls
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*(tls if isinstance(tls, tuple) else (tls,)))
    return context
