"""Exceptions of requests, urllib3 and the socket, each made into one of ours.

The original becomes the cause, stripped of its traceback and its request: the frames and the request hold the key, and
a crash reporter prints both.
"""

from __future__ import annotations

import re
import ssl
from http.client import IncompleteRead, LineTooLong
from typing import Any

import requests
import urllib3

from streamkit import errors
from streamkit.errors import StreamKitError, printable, without_frames

__all__ = ["opening_error", "reading_error"]

_DENIED = re.compile(r"Tunnel connection failed: 4\d\d")  # http.client's words; it keeps the status nowhere else


def opening_error(
    exc: BaseException, url: str, *, connect: float | None, idle: float | None, connected: bool = True
) -> StreamKitError:
    """Give the error for what went wrong before the headers; `connected` when the request had begun to go out."""
    chain = list(_chain(exc))
    why = printable(_why(chain), 300)
    error: StreamKitError
    ours = next((e for e in chain if isinstance(e, StreamKitError)), None)
    if ours is not None:
        error = ours
    elif _any(chain, ssl.SSLCertVerificationError):
        error = errors.TLSFailed(f"the certificate of {url} is not trusted: {why} (CA bundle: REQUESTS_CA_BUNDLE)")
    elif _any(chain, urllib3.exceptions.NewConnectionError):  # before the next: urllib3 derives it from a timeout
        whom = "the proxy for " if _any(chain, urllib3.exceptions.ProxyError) else ""
        error = errors.ConnectFailed(f"cannot connect to {whom}{url}: {why}")
    elif _any(chain, urllib3.exceptions.ConnectTimeoutError) or (_any(chain, TimeoutError) and not connected):
        error = errors.ConnectTimeout(f"no connection to {url} within {connect} s: check the address and the network")
    elif _any(chain, urllib3.exceptions.ReadTimeoutError):
        error = _idle(url, idle)
    elif _any(chain, urllib3.exceptions.ProxyError):
        error = errors.ConnectFailed(f"the proxy for {url} failed: {why}", retryable=not _DENIED.search(why))
    elif _any(chain, ssl.SSLError, urllib3.exceptions.SSLError):
        broke_off = _any(chain, ssl.SSLEOFError, ssl.SSLZeroReturnError)
        error = errors.TLSFailed(f"the TLS handshake with {url} failed: {why}", retryable=broke_off)
    elif _any(chain, urllib3.exceptions.InvalidHeader):
        error = errors.ConnectionLost(
            f"the headers of the answer of {url} contradict each other: {why}", retryable=False
        )
    elif _any(chain, LineTooLong) or "more than 100 headers" in why:
        error = errors.ResponseTooLarge(f"the headers of the answer of {url} are too long: {why}")
    elif _any(chain, urllib3.exceptions.ProtocolError, requests.exceptions.ConnectionError):
        error = errors.ConnectionLost(f"the connection to {url} broke before the answer: {why}")
    elif isinstance(exc, (requests.exceptions.RequestException, OSError, ValueError)):
        # A URL, header, proxy or CA bundle path that cannot be used.
        error = errors.ConfigError(f"the request to {url} cannot be sent: {why}")
    else:
        error = errors.TransportError(f"the request to {url} failed: {why}")
    if ours is None:
        error.__cause__ = _stripped(exc)
    return error


def reading_error(exc: BaseException, url: str, *, idle: float | None) -> StreamKitError:
    """Give the error for what went wrong in the body."""
    chain = list(_chain(exc))
    why = printable(_why(chain), 300)
    error: StreamKitError
    if _any(chain, urllib3.exceptions.ReadTimeoutError, TimeoutError):
        error = _idle(url, idle)
    elif _any(chain, urllib3.exceptions.DecodeError):
        error = errors.DecodeError(f"the compressed answer of {url} is corrupt: {why}")
    elif _any(chain, IncompleteRead, urllib3.exceptions.IncompleteRead):
        error = errors.StreamTruncated(f"{url} closed the connection in the middle of the answer")
    else:
        error = errors.ConnectionLost(f"the connection to {url} broke in the middle of the answer: {why}")
    error.__cause__ = _stripped(exc)
    return error


def _idle(url: str, idle: float | None) -> StreamKitError:
    return errors.StreamIdle(f"{url} sent nothing for {idle} s: try again, or allow more with Timeouts(idle=...)")


def _chain(exc: BaseException | None) -> Any:
    """The exception, its causes, contexts, and the exceptions that the libraries carry as arguments or reasons."""
    seen: set[int] = set()
    todo = [exc]
    while todo:
        e = todo.pop(0)
        if not isinstance(e, BaseException) or id(e) in seen:
            continue
        seen.add(id(e))
        yield e
        todo += [getattr(e, "reason", None), *e.args, e.__cause__, e.__context__]


def _any(chain: list[BaseException], *classes: type[BaseException]) -> bool:
    return any(isinstance(e, classes) for e in chain)


def _why(chain: list[BaseException]) -> str:
    """The innermost cause's text: the libraries wrap it into the reprs of pools and connections."""
    for e in reversed(chain):
        if isinstance(e, OSError) and e.strerror:
            return str(e.strerror)
    return next((str(e) for e in reversed(chain) if str(e)), type(chain[0]).__name__)


def _stripped(exc: BaseException) -> BaseException:
    without_frames(exc)
    for e in _chain(exc):
        for name in ("request", "response", "pool", "conn", "_conn"):
            if name in getattr(e, "__dict__", {}):
                setattr(e, name, None)
    return exc
