"""serve: a small threaded WSGI server for loopback and demonstrations, on the standard library's.

Each connection has a thread and serves one request. The application is shown its socket, `environ["streamkit.socket"]`,
so that a browser that leaves is noticed. For the Internet take waitress or gunicorn, behind a proxy.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socketserver import TCPServer
from typing import IO, TYPE_CHECKING, Any, cast
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

from streamkit.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["serve", "serving"]

logger = logging.getLogger("streamkit")

_PATIENCE = 30.0
"""Seconds that a client has to send its request, and to take each frame."""

_MAX_HEAD = 64 * 1024
_MAX_BODY = 1024 * 1024
"""Bytes of a request line with its headers, and of a body."""

_MAX_CONNECTIONS = 256
"""Connections at a time, a thread each; one more is closed."""

_BACKLOG = 128


def serve(
    app: WSGIApplication,
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    on_ready: Callable[[str], object] = print,
) -> None:
    """Serve an application until Ctrl-C, which ends it at once, with the answers that run. Blocks.

    `on_ready` is called with the URL when it listens; port 0 takes a free one. In the end connections are closed, and
    `app.close()` is called where there is one. There is no TLS.

    Raises:
        ConfigError: it cannot listen there: the port is taken or not allowed, or there is no such host.
    """
    with _listening(app, host, port) as server:
        try:
            on_ready(server.url)
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            pass


@contextmanager
def serving(app: WSGIApplication, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve an application on threads while the `with` body runs; gives its URL. For tests and notebooks.

    Raises:
        ConfigError: as `serve`.
    """
    with _listening(app, host, port) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="streamkit-server", daemon=True)
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _listening(app: WSGIApplication, host: str, port: int) -> Iterator[_Server]:
    try:
        server = _Server(host, port)
    except (OSError, OverflowError) as error:
        raise ConfigError(_cannot_listen(error, host, port)) from error
    server.set_app(app)
    try:
        yield server
    finally:
        server.server_close()
        close = getattr(app, "close", None)
        if close is not None:
            close()
        server.hang_up()


def _cannot_listen(error: Exception, host: str, port: int) -> str:
    code = getattr(error, "errno", None)
    if code == errno.EADDRINUSE:
        return f"port {port} is in use: end what listens there, or take another, such as {port + 1}, or 0 for any"
    if code == errno.EACCES:
        return f"port {port} is not allowed to this user: take one above 1023"
    return f"cannot listen on {host!r}, port {port}: {error}"


class _Server(WSGIServer):
    """Listens; a thread for each connection."""

    request_queue_size = _BACKLOG
    allow_reuse_address = os.name == "posix"  # elsewhere it would let two servers share a port

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._lock = threading.Lock()
        self._served: dict[threading.Thread, socket.socket] = {}  # the lock guards it
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        """Where it listens."""
        host = f"[{self.server_name}]" if self.address_family == socket.AF_INET6 else self.server_name
        return f"http://{host}:{self.server_port}"

    def server_bind(self) -> None:
        """Bind, without asking the name service who we are, as the base class does."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection on a thread, unless there are too many."""
        thread = threading.Thread(
            target=self._serve, args=(request, client_address), name="streamkit-http", daemon=True
        )
        with self._lock:
            full = len(self._served) >= _MAX_CONNECTIONS
            if not full:
                self._served[thread] = request
        if full:
            logger.warning("a connection was closed: %d are open", _MAX_CONNECTIONS)
            self.shutdown_request(request)
            return
        try:
            thread.start()
        except BaseException:  # no more threads, or Ctrl-C; the base class closes the connection
            self._forget(thread)
            raise

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except Exception:
            self.handle_error(request, client_address)
        finally:
            self.shutdown_request(request)
            self._forget(threading.current_thread())

    def _forget(self, thread: threading.Thread) -> None:
        with self._lock:
            self._served.pop(thread, None)

    def hang_up(self) -> None:
        """Let answers that have ended be sent, close the connections, and wait a moment for their threads."""
        self._join(0.2)
        with self._lock:
            for sock in self._served.values():
                _shut(sock)
        self._join(2.0)

    def _join(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._lock:
            threads = [*self._served]
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log it; the base class prints."""
        logger.debug("a connection failed: %r", sys.exc_info()[1])


class _Handler(WSGIRequestHandler):
    """A connection, with one request."""

    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Read the request with an eye on its size and on the clock."""
        super().setup()
        self._incoming = _Incoming(self.connection)
        self.rfile = io.BufferedReader(self._incoming)

    def handle(self) -> None:
        """Read a request and have it answered."""
        try:
            self.raw_requestline = self.rfile.readline()
            if not self.raw_requestline.endswith(b"\n") or not self.parse_request():  # which has told the client
                return
            body = self._body()
        except _TooLarge:
            self.requestline, self.request_version, self.command = "", "HTTP/1.0", ""  # what the refusal looks at
            self.send_error(431)
            return
        if body is None:
            return
        self.connection.settimeout(_PATIENCE)  # from here on for what is sent
        handler = _Answer(io.BytesIO(body), cast("IO[bytes]", self.wfile), self.get_stderr(), self.get_environ())
        handler.request_handler = self  # type: ignore[attr-defined]  # as the base class does, to have it logged
        handler.run(self.server.get_app())  # type: ignore[attr-defined]  # it is a WSGIServer

    def get_environ(self) -> dict[str, Any]:
        """Give the environment, with the socket in it."""
        return {**super().get_environ(), "streamkit.socket": self.connection}

    def log_message(self, format: str, *args: Any) -> None:
        """Log it; the base class prints."""
        logger.debug(format, *args)

    def _body(self) -> bytes | None:
        """Read the body; None where it was refused."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers:
            self.send_error(411)
        elif not (length.isascii() and length.isdigit()):
            self.send_error(400)
        elif len(length) > 9 or int(length) > _MAX_BODY:
            self.send_error(413)
        else:
            self._incoming.allow(int(length))
            body = self.rfile.read(int(length))
            return body if len(body) == int(length) else None
        return None


class _TooLarge(Exception):
    """The head of a request is."""


class _Incoming(io.RawIOBase):
    """The bytes of one request, bounded in number and in time: a slow client is not to hold a thread for ever."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._sock = sock
        self._until = time.monotonic() + _PATIENCE
        self._left = _MAX_HEAD

    def allow(self, size: int) -> None:
        """Let so many more bytes come."""
        self._left += size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request did not come in time")
        self._sock.settimeout(left)
        size = self._sock.recv_into(buffer)
        self._left -= size
        if self._left < 0:
            raise _TooLarge
        return size


class _Answer(ServerHandler):
    """An answer as it is sent."""

    server_software = "streamkit"
    wsgi_multithread = True

    def log_exception(self, exc_info: Any) -> None:
        """Log it, where it is more than a client that has left; the base class prints."""
        if not isinstance(exc_info[1], OSError):
            logger.error("an application failed", exc_info=exc_info)


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:  # it is closed
        pass
