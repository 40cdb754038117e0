"""Foreign exceptions into ours: each kind, however deep the libraries have wrapped it, and stripped of what it knew."""

from __future__ import annotations

import socket
import ssl
from http.client import BadStatusLine, IncompleteRead, LineTooLong, RemoteDisconnected
from typing import Any

import pytest
import requests
from urllib3 import exceptions as u

from streamkit import errors
from streamkit.errors import StreamKitError
from streamkit.transport.faults import opening_error, reading_error
from streamkit.transport.http1 import BadFraming

URL = "https://provider.test/v1"
POOL: Any = "pool"
CERTIFICATE = ssl.SSLCertVerificationError(1, "certificate verify failed: certificate has expired")
TIMEOUT = TimeoutError("timed out")


def wrapped(reason: Exception, outer: type[requests.RequestException] = requests.ConnectionError) -> Exception:
    """Give what requests raises for a failure to connect."""
    return outer(u.MaxRetryError(POOL, "/v1", reason), request=requests.Request("POST", URL))


def aborted(reason: Exception) -> Exception:
    """Give what requests raises for a connection that broke."""
    return requests.ConnectionError(u.ProtocolError("Connection aborted.", reason))


def proxied(reason: Exception) -> Exception:
    """Give what requests raises for a failure of a proxy."""
    return wrapped(u.ProxyError("Unable to connect to proxy", reason), requests.exceptions.ProxyError)


def silent() -> Exception:
    """Give what requests raises for silence, as seen from a TimeoutError of the socket."""
    error = u.ReadTimeoutError(POOL, "/v1", "slow")
    error.__cause__ = TIMEOUT
    return requests.ReadTimeout(error)


UNRESOLVED = u.NameResolutionError("host", POOL, socket.gaierror(8, "no such name"))
Expected = tuple[Exception, type[StreamKitError], bool, str]

CONNECTING: list[Expected] = [
    (wrapped(u.SSLError(CERTIFICATE), requests.exceptions.SSLError), errors.TLSFailed, False, "has expired"),
    (wrapped(u.SSLError(ssl.SSLEOFError(8, "EOF"))), errors.TLSFailed, True, "EOF"),
    (wrapped(u.SSLError(ssl.SSLZeroReturnError(6, "closed"))), errors.TLSFailed, True, "closed"),
    (wrapped(u.SSLError(ssl.SSLError(1, "wrong version number"))), errors.TLSFailed, False, "wrong version"),
    (wrapped(u.NewConnectionError(POOL, "refused")), errors.ConnectFailed, True, "refused"),
    (wrapped(UNRESOLVED), errors.ConnectFailed, True, "no such name"),
    (wrapped(u.ConnectTimeoutError(POOL, "slow"), requests.ConnectTimeout), errors.ConnectTimeout, True, "1.5 s"),
    (silent(), errors.ConnectTimeout, True, "1.5 s"),
    (proxied(u.NewConnectionError(POOL, "refused")), errors.ConnectFailed, True, "the proxy"),
    (proxied(u.ConnectTimeoutError(POOL, "slow")), errors.ConnectTimeout, True, "1.5 s"),
    (proxied(OSError("Tunnel connection failed: 407 x")), errors.ConnectFailed, False, "407"),
    (proxied(OSError("Tunnel connection failed: 502 x")), errors.ConnectFailed, True, "502"),
    (requests.exceptions.InvalidURL("no host"), errors.ConfigError, False, "no host"),
    (requests.exceptions.InvalidProxyURL("bad proxy"), errors.ConfigError, False, "bad proxy"),
    (OSError("invalid path: /nowhere.pem"), errors.ConfigError, False, "/nowhere.pem"),
    (ValueError("bad timeout"), errors.ConfigError, False, "bad timeout"),
    (KeyError("what?"), errors.TransportError, True, "what?"),
]
AWAITING: list[Expected] = [
    (silent(), errors.StreamIdle, True, "2.5 s"),
    (aborted(ConnectionResetError(104, "reset by peer")), errors.ConnectionLost, True, "reset by peer"),
    (aborted(RemoteDisconnected("gone")), errors.ConnectionLost, True, "gone"),
    (aborted(BadStatusLine("what?")), errors.ConnectionLost, True, "what?"),
    (aborted(LineTooLong("header line")), errors.ResponseTooLarge, False, "too long"),
    (requests.exceptions.InvalidHeader(u.InvalidHeader("two lengths")), errors.ConnectionLost, False, "two lengths"),
]


@pytest.mark.parametrize(
    ("connected", "expected"), [*((False, row) for row in CONNECTING), *((True, row) for row in AWAITING)]
)
def test_a_failure_before_the_headers(connected: bool, expected: Expected) -> None:
    """It has the class that says what to do, names address and reason, and has the original as its cause."""
    foreign, error_class, retryable, said = expected
    error = opening_error(foreign, URL, connect=1.5, idle=2.5, connected=connected)

    assert (error_class, retryable) == (type(error), error.retryable)
    assert said in str(error)
    assert URL in str(error)
    assert foreign is error.__cause__


READING: list[tuple[Exception, type[StreamKitError], bool]] = [
    (u.ReadTimeoutError(POOL, "/v1", "slow"), errors.StreamIdle, True),
    (TIMEOUT, errors.StreamIdle, True),
    (u.DecodeError("gzip", ValueError("bad data")), errors.DecodeError, False),
    (u.ProtocolError("broken", IncompleteRead(b"")), errors.StreamTruncated, True),
    (u.ProtocolError("broken", u.IncompleteRead(1, 2)), errors.StreamTruncated, True),
    (u.ProtocolError("broken", BadFraming("no size")), errors.ConnectionLost, True),
    (u.ProtocolError("broken", ConnectionResetError(104, "reset")), errors.ConnectionLost, True),
    (u.SSLError(ssl.SSLError(1, "bad record mac")), errors.ConnectionLost, True),
    (AttributeError("whatever urllib3 trips over"), errors.ConnectionLost, True),
]


@pytest.mark.parametrize(("foreign", "error_class", "retryable"), READING)
def test_a_failure_in_the_body(foreign: Exception, error_class: type, retryable: bool) -> None:
    """Likewise."""
    error = reading_error(foreign, URL, idle=2.5)

    assert (error_class, retryable) == (type(error), error.retryable)
    assert URL in str(error)
    assert foreign is error.__cause__


def test_our_own_error_stays_what_it_is() -> None:
    """However the libraries wrap it."""
    own = errors.ResponseTooLarge("too long")

    assert own is opening_error(requests.ConnectionError(u.ProtocolError("x", own)), URL, connect=1, idle=1)


def test_a_cause_is_stripped() -> None:
    """Of tracebacks, requests and pools, through the whole chain: they lead to the key."""
    pool = object()
    try:
        try:
            raise u.NewConnectionError(pool, "refused")  # type: ignore[arg-type]
        except u.NewConnectionError as e:
            raise u.MaxRetryError(pool, "/v1", e) from e  # type: ignore[arg-type]
    except u.MaxRetryError as e:
        foreign = requests.ConnectionError(e, request=requests.Request("POST", URL), response=requests.Response())
    error = opening_error(foreign, URL, connect=1, idle=1)
    inner = foreign.args[0]

    assert None is error.__traceback__ is inner.__traceback__ is inner.reason.__traceback__
    assert None is foreign.request is foreign.response
    assert None is inner.pool
    assert pool not in vars(inner.reason).values()


def test_a_message_is_bounded_and_printable() -> None:
    """A server's words are in it."""
    error = opening_error(
        requests.ConnectionError(u.ProtocolError("x", BadStatusLine("\x1b[31m" + "x" * 1_000))), URL, connect=1, idle=1
    )

    assert str(error).isprintable()
    assert len(str(error)) < 500


def test_a_cycle_of_causes_ends() -> None:
    """Exceptions may refer to each other."""
    one, two = OSError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one

    assert isinstance(opening_error(one, URL, connect=1, idle=1), errors.ConfigError)


def test_a_foreign_error_without_words_is_named() -> None:
    """Its class is better than nothing."""
    assert str(opening_error(requests.ConnectionError(), URL, connect=1, idle=1)).endswith(": ConnectionError")
