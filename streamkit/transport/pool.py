"""Connections that report their socket to the stream's slot, and the session that pools them."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.cookies import RequestsCookieJar
from requests.models import PreparedRequest
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from streamkit.transport.http1 import Response
from streamkit.transport.slot import current_slot
from streamkit.types.secret import Secret

__all__ = ["SecretHeaders", "environment", "new_session", "settings_for"]

POOL_SIZE = 128
"""Idle connections kept for one host: as many streams may end at once without losing theirs."""


_TOGETHER = 32_768
"""Bytes of a request that go out at once; a larger one is not worth the copy."""


class _Reporting:
    """Names this thread's slot at connect, and again with each request: a reused connection never connects.

    A request goes out in one piece: http.client would send its head first, and wake the server for that alone.
    """

    response_class: Any = Response
    sock: Any
    _served = False  # whether a request has gone out on this socket
    _held: list[bytes] | None = None  # what of a request is still to go out

    def _new_conn(self) -> socket.socket:
        sock: socket.socket = super()._new_conn()  # type: ignore[misc]  # of the connection class mixed with
        self._served = False
        slot = current_slot()
        if slot is not None:
            slot.hold(sock)
        return sock

    def request(self, *args: Any, **kwargs: Any) -> None:
        slot = current_slot()
        if slot is not None:
            slot.connected = True
            slot.reused = self.sock is not None and self._served
            if slot.reused:
                slot.hold(self.sock)
        self._held = []
        try:
            super().request(*args, **kwargs)  # type: ignore[misc]  # of the connection class mixed with
            self._send_held()
        finally:
            self._held = None
        self._served = True

    def send(self, data: Any) -> None:
        if self._held is not None and isinstance(data, bytes) and len(data) <= _TOGETHER:
            self._held.append(data)
            return
        self._send_held()
        super().send(data)  # type: ignore[misc]  # of the connection class mixed with

    def _send_held(self) -> None:
        held, self._held = self._held, None
        if held:
            self.send(b"".join(held))


class _HTTPConnection(_Reporting, HTTPConnection):
    response_class: Any


class _HTTPSConnection(_Reporting, HTTPSConnection):
    response_class: Any


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


class _Adapter(HTTPAdapter):
    """requests' adapter over these pools. It overrides no `send`, so that mocking libraries go on working."""

    _last: tuple[Any, Any] | None = None

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        """Give the pool for a request; the last one at once: finding it takes a twentieth of a first token's time."""
        asked = (request.url, verify, dict(proxies or {}), cert)
        found = self._last
        if found is None or found[0] != asked or found[1].pool is None:  # closed
            found = asked, super().get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
            self._last = found
        return found[1]

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def close(self) -> None:
        """Close the idle connections. urllib3 does so when nobody holds their pool any more, perhaps much later."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118 - this container gives no iterator
                pool = manager.pools.get(key)
                if pool is not None:
                    pool.close()
        super().close()

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):  # their connections are made by classes of their own
            manager.pool_classes_by_scheme = _POOLS
        return manager


class SecretHeaders(AuthBase):
    """Sets the headers that carry a key; being the request's auth, it keeps netrc and URL user-info from theirs."""

    def __init__(self, secrets: Mapping[str, Secret]) -> None:
        self._secrets = secrets

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Set them."""
        for name, secret in self._secrets.items():
            request.headers[name] = secret.expose()
        return request


class _NoCookies(RequestsCookieJar):
    """Stays empty, without a look at what the server would set."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        pass


def new_session() -> requests.Session:
    """Make a session pooled for parallel streams: no retries of its own, no cookies kept."""
    session = requests.Session()
    session.headers.clear()
    session.cookies = _NoCookies()
    adapter = _Adapter(pool_connections=16, pool_maxsize=POOL_SIZE)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


_VARIABLES = [
    variable for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for variable in (name, name.upper())
] + ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"]
"""What requests and `settings_for` read of the environment."""


def environment() -> tuple[str | None, ...]:
    """Give what the environment says of proxies and CA bundles; while it stays, `settings_for` gives the same."""
    return tuple(map(os.environ.get, _VARIABLES))


def settings_for(session: requests.Session, url: str, *, own: bool) -> dict[str, Any]:
    """Give proxies, CA bundle and client certificate from session and environment.

    requests honours REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE; OpenSSL's own SSL_CERT_FILE is honoured here too.
    """
    settings = dict(session.merge_environment_settings(url, {}, True, None, None))
    if own and settings.get("verify") is True:
        settings["verify"] = os.environ.get("SSL_CERT_FILE") or True
    return settings
