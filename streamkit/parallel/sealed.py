"""Sealed lines: messages between two processes that share a secret, over a socket that anybody may reach.

Either end proves that it knows the secret, without saying it, before the other takes in anything; each message then
carries a code that only they can make. So nobody else can be heard, and no message can be changed, repeated, left out
or sent back. Whoever listens on the way can read along: nothing is encrypted.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
import socket
import time

from streamkit.forks import new_lock

__all__ = ["LONGEST", "Sealed", "called", "greeted", "new_secret"]

LONGEST = 2**26
"""Bytes of a message."""
HANDSHAKE = 5.0
"""Seconds that the other end has to prove itself."""
_SIZE = 32  # of secrets, nonces and codes


class Sealed:
    """One end of such a line. One thread receives, and closes it in the end; any may send, and cut it."""

    def __init__(self, sock: socket.socket, out: bytes, back: bytes) -> None:
        self._sock = sock
        self._out, self._back = out, back
        self._sent = self._received = 0
        self._lock = new_lock()  # held while sending

    def send(self, message: bytes) -> None:
        """Send a message; blocks while the other end does not read. OSError where the line is cut."""
        with self._lock:
            code = _code(self._out, self._sent.to_bytes(8, "big") + message)
            self._sent += 1
            self._sock.sendall(len(message).to_bytes(4, "big") + code + message)

    def receive(self) -> bytes:
        """Wait for the next message; OSError where the line is cut, or somebody has meddled."""
        head = _exactly(self._sock, 4 + _SIZE)
        size = int.from_bytes(head[:4], "big")
        if size > LONGEST:
            raise ConnectionAbortedError("a message is too long")
        message = _exactly(self._sock, size)
        if not hmac.compare_digest(head[4:], _code(self._back, self._received.to_bytes(8, "big") + message)):
            raise ConnectionAbortedError("a message is not from the other end")
        self._received += 1
        return message

    def patient(self, patient: bool) -> None:
        """Wait as long as it takes, or no longer than for a handshake."""
        self._sock.settimeout(None if patient else HANDSHAKE)

    def cut(self) -> None:
        """End it: either end's threads that read or send are freed. Idempotent; never blocks."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # forked processes may have a copy, which closing would leave open

    def close(self) -> None:
        """End it and give the socket back; not while another thread sends, as the descriptor may soon be another's."""
        self.cut()
        with self._lock:
            self._sock.close()

    def forked(self) -> None:
        """In a forked child: give up its copy, without a word to the other end."""
        self._sock.close()


def new_secret() -> bytes:
    """Give a secret that nobody can guess."""
    return secrets.token_bytes(_SIZE)


def greeted(sock: socket.socket, secret: bytes) -> Sealed:
    """Prove both ends to each other, on the side that was connected to; OSError for a stranger."""
    mine = secrets.token_bytes(_SIZE)
    sock.settimeout(HANDSHAKE)
    sock.sendall(mine)
    answer = _exactly(sock, 2 * _SIZE, time.monotonic() + HANDSHAKE)
    nonces = mine + answer[:_SIZE]
    if not hmac.compare_digest(answer[_SIZE:], _code(secret, b"caller" + nonces)):
        raise ConnectionRefusedError("a stranger has called")
    sock.sendall(_code(secret, b"called" + nonces))
    return Sealed(sock, out=_code(secret, b"back" + nonces), back=_code(secret, b"out" + nonces))


def called(sock: socket.socket, secret: bytes) -> Sealed:
    """Prove both ends to each other, on the side that has connected; OSError for a stranger."""
    until = time.monotonic() + HANDSHAKE
    mine = secrets.token_bytes(_SIZE)
    sock.settimeout(HANDSHAKE)
    nonces = _exactly(sock, _SIZE, until) + mine
    sock.sendall(mine + _code(secret, b"caller" + nonces))
    if not hmac.compare_digest(_exactly(sock, _SIZE, until), _code(secret, b"called" + nonces)):
        raise ConnectionRefusedError("a stranger has answered")
    return Sealed(sock, out=_code(secret, b"out" + nonces), back=_code(secret, b"back" + nonces))


def _code(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _exactly(sock: socket.socket, size: int, until: float | None = None) -> bytes:
    """Read so many bytes, by the time `until` if there is one; OSError where they do not come."""
    pieces: list[bytes] = []
    while size:
        if until is not None and time.monotonic() > until:
            raise TimeoutError("the handshake takes too long")
        piece = sock.recv(min(size, 2**18))
        if not piece:
            raise ConnectionResetError("the line was cut")
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
