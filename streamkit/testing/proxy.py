"""An HTTP proxy on 127.0.0.1, for tests of proxy settings: plain requests are forwarded, CONNECT opens a tunnel.

It stands between a client and, mostly, a `ProviderServer`, and passes bytes on as they come; what it is asked is in
`requests`.
"""

from __future__ import annotations

import contextlib
import socket
from urllib.parse import urlsplit

from streamkit.testing.answers import error_answer
from streamkit.testing.server import LoopbackServer
from streamkit.testing.wire import Disconnected, ReceivedRequest, Wire

__all__ = ["ProxyServer"]


class ProxyServer(LoopbackServer):
    """A forwarding proxy: give `proxy.url` to the client as its proxy.

    `requests` holds what the proxy itself was asked: absolute URLs as `path` for plain HTTP, "host:port" for CONNECT;
    what goes through a tunnel it does not see. A server that cannot be reached is answered with 502. With `tls` the way
    to the proxy is TLS. A server that resets its connection shows to the client as one that closes.
    """

    def serve(self, wire: Wire) -> None:
        """Forward the requests of one connection, each on a connection of its own."""
        while not wire.closed:
            request = wire.read_request()
            self.record(request)
            try:
                upstream = _connect(request)
            except OSError as error:
                wire.answer(request, error_answer(502, f"no connection to {request.path}: {error}"))
                continue
            with contextlib.closing(upstream):
                _forward(request, wire, Wire(upstream, wire.number, self._stop))


def _connect(request: ReceivedRequest) -> socket.socket:
    url = urlsplit(f"//{request.path}" if request.method == "CONNECT" else request.path)
    return socket.create_connection((url.hostname or "", url.port or 80), timeout=5.0)


def _forward(request: ReceivedRequest, wire: Wire, upstream: Wire) -> None:
    """Pass bytes until the server closes or, outside a tunnel, the client begins its next request."""
    tunnel = request.method == "CONNECT"
    try:
        if tunnel:
            wire.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            upstream.write(_origin_form(request))
        while tunnel or not wire.pending:
            wire.wait_with(upstream)
            wire.write(upstream.take())
            if tunnel:
                upstream.write(wire.take())
    except Disconnected:
        if not upstream.disconnected.is_set():
            raise
        wire.write(upstream.take())
        wire.close()


def _origin_form(request: ReceivedRequest) -> bytes:
    """Give the request as the server itself expects it."""
    url = urlsplit(request.path)
    dropped = ("proxy-connection", "proxy-authorization", "transfer-encoding", "content-length")
    fields = [f"{name}: {value}" for name, value in request.headers.items() if name not in dropped]
    target = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
    start = f"{request.method} {target} {request.version}"
    head = "\r\n".join([start, *fields, f"content-length: {len(request.body)}", "", ""])
    return head.encode("latin-1") + request.body
