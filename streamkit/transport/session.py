"""Transport sends one request; Answer gives its body as blocks of bytes.

It knows nothing of events or providers. Redirects are not followed: an answer that redirects is given like any other,
and the key goes to no second host.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import requests
from urllib3.util.wait import wait_for_read

from streamkit.codec import HttpRequest
from streamkit.errors import ResponseTooLarge, StreamKitError
from streamkit.transport.faults import opening_error, reading_error
from streamkit.transport.http1 import Response
from streamkit.transport.pool import SecretHeaders, environment, new_session, settings_for
from streamkit.transport.slot import SocketSlot

__all__ = ["Answer", "Transport"]

BLOCK = 8_192
"""Bytes asked of the body at once. A token comes alone anyway; for a flood 65,536 would save a tenth of the time, and
cost each of many parallel streams three buffers of that size."""
MAX_DRAIN = 65_536
"""Bytes read after the answer's end to save the connection; a longer rest costs more than a new connection."""
EXCERPT_WAIT = 2.0
"""Seconds spent on the text of a refusal: its status is known, so a text that drips or stalls is not worth the wait."""


class Transport:
    """Sends requests over one pooled session; thread-safe. After a fork the child gets a session of its own.

    A session passed in is used as it is: nothing is mounted on it and it is never closed.
    """

    def __init__(self, session: requests.Session | None = None) -> None:
        self._given = session
        self._own: requests.Session | None = None
        self._pid = os.getpid()
        self._lock = threading.Lock()  # guards the making of _own
        self._last: _Groundwork | None = None

    def open(self, request: HttpRequest, slot: SocketSlot, *, connect: float | None, idle: float | None) -> Answer:
        """Send a request and give its answer as soon as the headers are there, whatever the status.

        Blocks for at most `connect` seconds for the connection and `idle` seconds of silence. A pooled connection that
        the server had closed, or closes as the request goes out, is replaced without a word.
        """
        session = self._session()
        while True:
            slot.reused = slot.connected = False
            try:
                with slot.in_use():
                    response = self._send(session, request, (connect, idle))
            except StreamKitError:
                raise
            except Exception as exc:
                # Nothing of an answer came on a connection that had idled in the pool: the server had let it go.
                # Each such connection is gone afterwards, so this ends.
                if slot.reused and not slot.interrupted and _was_dropped(exc):
                    continue
                slot.release()
                connected = slot.connected or session is self._given  # which does not say
                error = opening_error(exc, _shown(request.url), connect=connect, idle=idle, connected=connected)
                raise error from error.__cause__
            for secret in request.secrets.values():  # a server may send back what it was sent
                response.headers.update({name: secret.redact(value) for name, value in response.headers.items()})
            return Answer(response, slot, url=_shown(request.url), idle=idle)

    def _send(self, session: requests.Session, request: HttpRequest, timeout: Any) -> requests.Response:
        groundwork = self._groundwork(session, request.url, direct=request.direct)
        prepared = groundwork.request.copy()
        headers = {**groundwork.request.headers, **request.headers}  # a session of the user's may have some of its own
        prepared.prepare_headers({name: value for name, value in headers.items() if name != "Content-Length"})
        prepared.method = request.method
        prepared.prepare_body(request.body, None)
        prepared.prepare_auth(SecretHeaders(request.secrets), request.url)
        return session.send(prepared, timeout=timeout, allow_redirects=False, **groundwork.settings)

    def _groundwork(self, session: requests.Session, url: str, *, direct: bool) -> _Groundwork:
        """Give what the last request to this address was sent with, unless the environment has changed since.

        Preparing it anew takes 0.15 ms of the 1 ms that a first token takes on loopback. A session of the user's may
        change at any time, so for that it is done each time.
        """
        if self._given is not None:
            return _Groundwork.of(session, url, direct=direct, own=False)
        found = self._last
        if found is None or (url, direct, environment()) != (found.url, found.direct, found.environment):
            found = self._last = _Groundwork.of(session, url, direct=direct, own=True)
        return found

    def _session(self) -> requests.Session:
        if self._given is not None:
            return self._given
        if self._pid != os.getpid():  # forked: the parent's connections and lock are not ours to use
            self._own, self._pid, self._lock = None, os.getpid(), threading.Lock()
        with self._lock:
            if self._own is None:
                self._own = new_session()
            return self._own

    def close(self) -> None:
        """Close the idle connections of our own session; a later request begins a new one."""
        own, self._own = self._own, None
        if own is not None:
            own.close()


class _Groundwork(NamedTuple):
    """A request without headers, body and key, and what of session and environment goes with it."""

    url: str
    direct: bool
    environment: tuple[str | None, ...]
    request: requests.PreparedRequest
    settings: dict[str, Any]

    @classmethod
    def of(cls, session: requests.Session, url: str, *, direct: bool, own: bool) -> _Groundwork:
        # With an auth, be it empty, requests looks for no key in netrc or the URL.
        request = session.prepare_request(requests.Request("POST", url, auth=SecretHeaders({})))
        settings = settings_for(session, url, own=own)
        return cls(url, direct, environment(), request, {**settings, "proxies": {}} if direct else settings)


class Answer:
    """An answer whose headers have come."""

    def __init__(self, response: requests.Response, slot: SocketSlot, *, url: str, idle: float | None) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._raw = response.raw
        self._slot = slot
        self._url = url
        self._idle = idle
        self._decode = "content-encoding" in response.headers
        self._ended = False
        if not slot.connected:
            self._adopt()

    def _adopt(self) -> None:
        """Hold the socket of a session that is not ours, whose connections report nothing, until it is given back."""
        raw, slot = self._raw, self._slot
        sock = self._connection_sock()
        if sock is None:
            return
        slot.hold(sock)
        give_back = raw.release_conn

        def release_conn() -> None:
            slot.release()
            give_back()

        raw.release_conn = release_conn  # type: ignore[method-assign]  # all that urllib3 calls to give it back

    def blocks(self, limit: int | None = None, *, before_wait: Callable[[], object] = lambda: None) -> Iterator[bytes]:
        """Give the body, decompressed, piece by piece as it comes; `ResponseTooLarge` beyond `limit` bytes.

        Calls `before_wait` once, before the first read that may have to wait.
        """
        read1, decode, total, told = self._raw.read1, self._decode, 0, False
        while True:
            try:
                if not told and (total or not self._event_at_hand()):
                    told = True
                    before_wait()
                block = read1(BLOCK, decode_content=decode)
            except Exception as exc:
                error = reading_error(exc, self._url, idle=self._idle)
                raise error from error.__cause__
            if not block:
                self._ended = True
                return
            total += len(block)
            if limit is not None and total > limit:
                raise ResponseTooLarge(
                    f"the answer passed {limit} bytes: raise Limits(response=...) if it is meant to be so long"
                )
            yield block

    def excerpt(self, limit: int | None) -> bytes:
        """Give at most `limit` bytes of the body; one that breaks off, drips or stalls gives what had come."""
        pieces: list[bytes] = []
        left = 2**20 if limit is None else limit
        until = time.monotonic() + EXCERPT_WAIT
        self._wait_at_most(EXCERPT_WAIT)
        try:
            for block in self.blocks():
                pieces.append(block[:left])
                left -= len(block)
                if left <= 0 or time.monotonic() > until:
                    break
        except StreamKitError:
            pass  # the status is the error; half its text is better than another error
        return b"".join(pieces)

    def drain(self, seconds: float) -> bool:
        """Read what is left of a finished answer, so that the connection can serve again; wait at most `seconds`.

        Gives True when the end was reached. Closing without it loses the connection; handing it back undrained would
        poison the pool.
        """
        left = MAX_DRAIN
        until = time.monotonic() + seconds
        self._wait_at_most(seconds)  # what is readable need not give a byte of the body
        try:
            while not self._ended and left > 0 and self._readable(max(0.0, until - time.monotonic())):
                block = self._raw.read1(left, decode_content=self._decode)
                self._ended = not block
                left -= len(block)
        except Exception:
            return False  # the answer was whole; what its connection does now is nobody's concern
        return self._ended

    def _wait_at_most(self, seconds: float) -> None:
        """Shorten the time that a read may wait for the next byte."""
        if self._raw.isclosed():
            return  # read to its end: its connection is in the pool, and may be another answer's by now
        answer = getattr(self._raw, "_original_response", None)
        sock = answer.sock if isinstance(answer, Response) else self._connection_sock()
        now = None if sock is None else sock.gettimeout()
        if sock is not None and (now is None or now > seconds):
            with contextlib.suppress(OSError):  # it may be closed already
                sock.settimeout(seconds)

    def _readable(self, seconds: float) -> bool:
        if self._raw.isclosed():
            return True  # nothing more will block
        sock = self._connection_sock()
        return sock is not None and (self._is_buffered(sock) or wait_for_read(sock, timeout=seconds))

    def _is_buffered(self, sock: socket.socket) -> bool:
        """Whether something has been read ahead, by TLS or http.client, which makes no socket readable."""
        pending = getattr(sock, "pending", None)
        if pending is not None and pending():
            return True
        try:
            return bool(self._peek(sock))
        except OSError:
            return False

    def _event_at_hand(self) -> bool:
        """Whether a whole event has come already, so that a read gives something at once."""
        sock = self._connection_sock()
        return sock is not None and b"\n\n" in self._peek(sock)

    def _peek(self, sock: socket.socket) -> bytes:
        """Give what http.client has read ahead, which is refilled if there is nothing, without waiting."""
        timeout = sock.gettimeout()
        sock.settimeout(0)
        try:
            return self._raw._fp.fp.peek(1)  # type: ignore[union-attr]  # it is an http.client response
        except ssl.SSLWantReadError:
            return b""
        finally:
            sock.settimeout(timeout)

    def _connection_sock(self) -> Any:
        """The socket of a connection that could serve again."""
        return getattr(getattr(self._raw, "connection", None), "sock", None)

    def close(self) -> None:
        """Close the connection unless the body was read to its end, in which case it is back in the pool already."""
        self._slot.release()
        try:
            self._response.close()
        except Exception:  # noqa: S110 - whatever the socket says now, it is closed
            pass


def _was_dropped(exc: BaseException) -> bool:
    return isinstance(exc, requests.exceptions.ConnectionError) and not isinstance(
        exc, (requests.exceptions.Timeout, requests.exceptions.ProxyError)
    )


def _shown(url: str) -> str:
    """The address without its query, which may carry a key."""
    return url.partition("?")[0]
