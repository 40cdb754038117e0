"""HTTP/1 answers, read so that each piece is delivered at once and all pieces of one socket read together.

http.client's own reader gives one HTTP chunk a call; this one takes what a single `recv` brought, checks the framing
and gives the bodies of all chunks in it, whole or in part. It also skips every interim answer (http.client takes a 103
for the final one), bounds the headers, and refuses those that break off (http.client takes them for whole).
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from typing import Any

from streamkit.errors import ResponseTooLarge
from streamkit.transport.slot import SocketSlot, current_slot

__all__ = ["BadFraming", "Response"]

BLOCK = 65_536
"""Bytes asked of the socket at once."""
MAX_LINE = 4_096
"""Bytes of a chunk's size line; http.client allows 65,536."""
MAX_TRAILERS = 65_536
MAX_SIZES = 1_024
"""Size lines of chunks that are remembered for an answer."""

# What the reader expects next in a chunked body.
_SIZE, _DATA, _DATA_END, _TRAILER = range(4)


class BadFraming(HTTPException):
    """The chunked framing is broken, so nothing after it can be trusted."""


class Response(http.client.HTTPResponse):
    """An answer whose `read1` gives all that one socket read brought."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._slot = current_slot()
        self.sock = sock
        """What is read from; http.client closes it early where the connection's end is the body's."""
        self._expect = _SIZE
        self._left = 0  # bytes left of the running chunk
        self._rest = b""  # an unfinished size or trailer line
        self._sizes: dict[bytes, int] = {}  # size lines, with their line ends, that were read and checked before
        self._trailers = 0
        self._failure: BadFraming | None = None  # raised once what came before it was given

    # -- the head

    def begin(self) -> None:
        """Read the head, bounded, skipping interim answers."""
        if self.headers is not None:
            return
        fp = self.fp
        self.fp = _Head(fp, self._slot)  # it has all that http.client calls there
        super().begin()
        self.fp = fp
        if self.status == http.HTTPStatus.SWITCHING_PROTOCOLS:
            self.will_close = True  # whatever is spoken on it now, no request can follow

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]  # typeshed does not list it
            if not 100 < status < 200 or status == 101:
                return version, status, reason
            while self.fp.readline(MAX_TRAILERS) not in (b"\r\n", b"\n", b""):
                pass

    # -- the body

    def read1(self, n: int | None = -1) -> bytes:
        """Give what is there, waiting for at least one byte; b"" at the end."""
        if not self.chunked:
            return super().read1(-1 if n is None else n)
        size = BLOCK if n is None or n < 0 else n
        while self.fp is not None and size:
            if self._failure is not None:
                raise self._failure
            data = self.fp.read1(size)
            if not data:
                raise IncompleteRead(b"")
            body = self._unchunk(data)
            if body:
                return body
        return b""

    def read(self, amt: int | None = None) -> bytes:
        """As `read1` for a chunked body, so that only one reader ever keeps count of the chunks."""
        if not self.chunked:
            return super().read(amt)
        pieces: list[bytes] = []
        while amt is None or amt > 0:
            piece = self.read1(amt)
            if not piece:
                break
            pieces.append(piece)
            amt = None if amt is None else amt - len(piece)
        return b"".join(pieces)

    def _unchunk(self, data: bytes) -> bytes:
        """Take the chunked framing off; close at the body's end."""
        pieces: list[bytes] = []
        try:
            self._take(data, pieces)
        except BadFraming as error:
            if not pieces:
                raise
            self._failure = error.with_traceback(None)  # with its frames it would be a cycle
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _take(self, data: bytes, pieces: list[bytes]) -> None:
        at, end = 0, len(data)
        while at < end:
            if self._expect == _SIZE and not self._rest:
                at = self._take_alike(data, at, pieces)
                if at == end:
                    break
            if self._expect == _DATA:
                stop = at + self._left
                if stop > end:
                    pieces.append(data[at:])
                    self._left = stop - end
                    break
                pieces.append(data[at:stop])
                at = stop
                self._expect = _DATA_END
                if data.startswith(b"\r\n", at):  # by far the commonest case
                    at += 2
                    self._expect = _SIZE
                continue
            newline = data.find(b"\n", at)
            if newline < 0:
                self._keep(data[at:])
                break
            whole = not self._rest
            line = data[at:newline].rstrip(b"\r") if whole else self._line(data[at:newline])
            sized = self._expect == _SIZE
            self._take_line(line)
            if sized and whole and self._left and len(self._sizes) < MAX_SIZES:
                self._sizes[data[at : newline + 1]] = self._left
            at = newline + 1
            if self.fp is None:
                if at < end:
                    # More than the body was sent: what follows could be taken for the next request's answer.
                    with contextlib.suppress(OSError):
                        self.sock.shutdown(socket.SHUT_RDWR)
                break

    def _take_alike(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Take whole chunks whose size line was read and checked before: sizes recur, and a look-up is cheaper."""
        sizes, find, add = self._sizes, data.find, pieces.append
        while True:
            begin = find(b"\n", at) + 1
            size = sizes.get(data[at:begin])
            if size is None:
                return at
            stop = begin + size
            if data[stop : stop + 2] != b"\r\n":
                return at
            add(data[begin:stop])
            at = stop + 2

    def _keep(self, piece: bytes) -> None:
        if len(self._rest) + len(piece) > MAX_LINE:
            raise BadFraming("a chunk's size line is too long")
        self._rest += piece

    def _line(self, end: bytes) -> bytes:
        line, self._rest = self._rest + end, b""
        return line.rstrip(b"\r")

    def _take_line(self, line: bytes) -> None:
        """Take one line of the framing: a chunk's size, the empty line after its data, or a trailer."""
        if self._expect == _DATA_END:
            if line:
                raise BadFraming("a chunk is longer than its size says")
            self._expect = _SIZE
        elif self._expect == _SIZE:
            self._left = _chunk_size(line)
            self._expect = _DATA if self._left else _TRAILER
        elif not line:
            self._close_conn()
        else:
            self._trailers += len(line)
            if self._trailers > MAX_TRAILERS:
                raise BadFraming("the trailers are too long")

    def _close_conn(self) -> None:
        # urllib3 returns the connection to the pool right after this, so the socket is given up here and not later.
        # A proxy's answer to CONNECT, whose headers are not kept, is closed too: there the connection only begins.
        if self._slot is not None and self.headers is not None:
            self._slot.release()
        super()._close_conn()  # type: ignore[misc]  # typeshed does not list it


class _Head:
    """What http.client reads the head from: lines of the socket, counted."""

    def __init__(self, fp: io.BufferedReader, slot: SocketSlot | None) -> None:
        self._fp = fp
        self._slot = slot
        self._left = slot.max_headers if slot is not None else None

    def readline(self, limit: int) -> bytes:
        line = self._fp.readline(limit)
        if not line:
            raise RemoteDisconnected("the server closed the connection before the end of the headers")
        if self._slot is not None:
            self._slot.reused = False
        if self._left is not None:
            self._left -= len(line)
            if self._left < 0:
                raise ResponseTooLarge("the answer's headers passed Limits(headers=...): raise it, or check base_url")
        return line

    def close(self) -> None:
        self._fp.close()

    def flush(self) -> None:
        self._fp.flush()


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    # int() alone would also take a sign, underscores and 0x.
    if not digits.isalnum() or digits[1:2] in (b"x", b"X") or len(digits) > 16:
        raise BadFraming(f"not a chunk size: {line[:40]!r}")
    try:
        return int(digits, 16)
    except ValueError:
        raise BadFraming(f"not a chunk size: {line[:40]!r}") from None
