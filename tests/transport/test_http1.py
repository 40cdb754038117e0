"""HTTP/1 answers: whatever the socket brings together is given together, and nothing that the framing does not say."""

from __future__ import annotations

import contextlib
import io
import itertools
import socket
from collections.abc import Iterable, Iterator, Sequence
from http.client import HTTPException, IncompleteRead, LineTooLong, RemoteDisconnected
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import ResponseTooLarge
from streamkit.transport.http1 import MAX_LINE, MAX_TRAILERS, BadFraming, Response
from streamkit.transport.slot import SocketSlot

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class Wire(io.RawIOBase):
    """A socket's readable side: each read gives the next packet, or as much of it as is asked for."""

    def __init__(self, packets: Iterable[bytes]) -> None:
        self._packets = list(packets)
        self.shut = False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Give from the next packet."""
        if not self._packets:
            return 0
        packet = self._packets.pop(0)
        if len(packet) > len(buffer):
            self._packets.insert(0, packet[len(buffer) :])
            packet = packet[: len(buffer)]
        buffer[: len(packet)] = packet
        return len(packet)

    # -- what of a socket is asked for

    def makefile(self, mode: str) -> io.BufferedReader:
        """Give what http.client reads from."""
        return io.BufferedReader(self)

    def shutdown(self, how: int) -> None:
        """Note it."""
        self.shut = True


made: list[Response] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Close what a test has made."""
    yield
    close_all()


def close_all() -> None:
    """Close the answers; collected unclosed, they complain of closed files."""
    while made:
        made.pop().close()


def answer(*packets: bytes, max_headers: int | None = None) -> tuple[Response, Wire]:
    """Give an answer whose head was read, and its wire."""
    wire = Wire(packets)
    with SocketSlot(max_headers=max_headers).in_use():
        response = Response(wire, method="POST")  # type: ignore[arg-type]
    made.append(response)
    response.begin()
    return response, wire


def pieces(response: Response, size: int = 65_536) -> Iterator[bytes]:
    """Give the body piece by piece."""
    return iter(lambda: response.read1(size), b"")


def chunk(data: bytes) -> bytes:
    """Give an HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


# ---------------------------------------------------------------- chunks


def test_chunks_that_came_together_are_given_together() -> None:
    """One read of the socket, one piece; http.client would give them one by one."""
    response, _ = answer(CHUNKED, chunk(b"one ") + chunk(b"two ") + chunk(b"three"), b"0\r\n\r\n")

    assert [b"one two three"] == list(pieces(response))
    assert response.isclosed()


def test_a_part_of_a_chunk_is_given_at_once() -> None:
    """Nobody waits for the rest of a chunk, or for its line end."""
    response, _ = answer(CHUNKED, b"a\r\n12345", b"67890", b"\r", b"\n0\r\n\r\n")

    assert [b"12345", b"67890"] == list(pieces(response))


def test_a_size_is_recognised_when_it_recurs() -> None:
    """Alike chunks, in one packet and in several, are all there, in order."""
    parts = [b"%04d" % number for number in range(1_000)]
    body = b"".join(map(chunk, parts))
    response, _ = answer(CHUNKED, *[body[at : at + 100] for at in range(0, len(body), 100)], b"0\r\n\r\n")

    assert b"".join(parts) == b"".join(pieces(response))


@pytest.mark.parametrize(
    "size", [b"5", b"05", b"5;name=value", b"5 ; a", b"00000005", b" 5 "], ids=lambda value: value.decode()
)
@pytest.mark.parametrize("newline", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
def test_a_size_may_be_written_so(size: bytes, newline: bytes) -> None:
    """In lower or upper case, with zeros in front, with extensions, and with a bare line feed."""
    response, _ = answer(CHUNKED, size + newline + b"hello" + newline, b"0" + newline + newline)

    assert b"hello" == b"".join(pieces(response))


def test_sizes_are_hexadecimal_in_either_case() -> None:
    """As RFC 9112 has it."""
    response, _ = answer(CHUNKED, b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n")

    assert b"0123456789" * 2 == b"".join(pieces(response))


@pytest.mark.parametrize(
    "size",
    [b"", b"x", b"-1", b"+1", b"0x1", b"1_0", b"\xd9\xa1", b"1 1", b"f" * 17, b";a"],
    ids=repr,
)
def test_a_size_that_is_none_breaks_the_framing(size: bytes) -> None:
    """Nothing after it can be trusted; what came before it in the same packet is given first."""
    response, _ = answer(CHUNKED, chunk(b"hello") + size + b"\r\nmore")

    assert b"hello" == response.read1()
    with pytest.raises(BadFraming):
        response.read1()


@pytest.mark.parametrize(
    "rest",
    [
        b"5\r\nhello!\r\n",
        b"5\r\nhello" + b"x" * (MAX_LINE + 1),
        b"1" * (MAX_LINE + 1),
        b"0\r\n" + b"x: y\r\n" * MAX_TRAILERS,
    ],
    ids=["longer than its size", "without an end", "endless size", "endless trailers"],
)
def test_framing_without_bounds_breaks(rest: bytes) -> None:
    """Whatever goes on longer than anybody means it to."""
    response, _ = answer(CHUNKED, rest)

    with pytest.raises(BadFraming):
        list(pieces(response))


@pytest.mark.parametrize("at", range(1, 24))
def test_a_body_cut_anywhere_is_incomplete(at: int) -> None:
    """Before the empty line that ends the last chunk, the end of the connection is no end of the body."""
    body = chunk(b"hello") + chunk(b"world") + b"0\r\n\r\n"
    assert len(body) == 25
    response, _ = answer(CHUNKED, body[:at])

    with pytest.raises(IncompleteRead):
        list(pieces(response))


def test_trailers_are_passed_over() -> None:
    """They end with an empty line like the head."""
    response, _ = answer(CHUNKED, chunk(b"hello"), b"0\r\nx: y\r\n", b"z: ", b"w\r\n\r\n")

    assert [b"hello"] == list(pieces(response))
    assert response.isclosed()


def test_what_follows_the_body_spoils_the_connection() -> None:
    """It could be taken for the answer to the next request, so the socket is shut down."""
    response, wire = answer(CHUNKED, chunk(b"hello") + b"0\r\n\r\n" + b"HTTP/1.1 200 OK\r\n\r\n")

    assert [b"hello"] == list(pieces(response))
    assert wire.shut


def test_a_body_that_ends_well_leaves_the_connection() -> None:
    """Nothing is shut down."""
    response, wire = answer(CHUNKED, chunk(b"hello") + b"0\r\n\r\n")
    list(pieces(response))

    assert not wire.shut


@given(
    parts=st.lists(st.binary(min_size=1, max_size=40), max_size=8),
    cuts=st.lists(st.integers(0, 400), max_size=12),
    size=st.integers(1, 300),
    extension=st.sampled_from([b"", b";a=b"]),
)
def test_any_split_gives_the_same_body(
    parts: Sequence[bytes], cuts: Sequence[int], size: int, extension: bytes
) -> None:
    """Wherever packets and reads are cut, the bytes are those of the chunks; nothing is lost or added."""
    wire = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts) + b"0\r\n\r\n"
    ends = sorted({min(cut, len(wire)) for cut in cuts} | {0, len(wire)})
    packets = [wire[begin:end] for begin, end in itertools.pairwise(ends)]
    response, _ = answer(CHUNKED, *packets)

    assert b"".join(parts) == b"".join(pieces(response, size))
    assert response.isclosed()
    close_all()


@given(data=st.binary(max_size=200), packet=st.integers(1, 50))
def test_any_bytes_end_in_a_body_or_an_error(data: bytes, packet: int) -> None:
    """Never in another exception, and never for ever."""
    response, _ = answer(CHUNKED, *[data[at : at + packet] for at in range(0, len(data), packet)])
    body = b""
    with contextlib.suppress(HTTPException):
        body = b"".join(pieces(response))
    close_all()

    assert len(body) <= len(data)


# ---------------------------------------------------------------- other bodies


def test_a_body_of_known_length_ends_there() -> None:
    """The rest belongs to the next answer."""
    response, _ = answer(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", b"hel", b"lo", b"more")

    assert [b"hel", b"lo"] == list(pieces(response))


def test_a_body_may_end_with_the_connection() -> None:
    """HTTP/1.0, or neither length nor chunks."""
    response, _ = answer(b"HTTP/1.0 200 OK\r\n\r\n", b"hel", b"lo")

    assert [b"hel", b"lo"] == list(pieces(response))


@pytest.mark.parametrize("amount", [None, 3, 100])
@pytest.mark.parametrize("head", [CHUNKED, b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n"], ids=["chunked", "length"])
def test_read_gives_as_much_as_is_asked_for(head: bytes, amount: int | None) -> None:
    """As http.client's own does, with one reader counting the chunks."""
    body = chunk(b"hello") + chunk(b"world") + b"0\r\n\r\n" if head is CHUNKED else b"helloworld"
    response, _ = answer(head, body)
    got = [response.read(amount)]
    while amount is not None and got[-1]:
        got.append(response.read(amount))

    assert b"helloworld" == b"".join(got)
    assert amount is None or all(len(piece) <= amount for piece in got)


def test_read1_without_a_size_gives_what_is_there() -> None:
    """None and -1 are no bound, 0 asks for nothing."""
    response, _ = answer(CHUNKED, chunk(b"one"), chunk(b"two"), b"0\r\n\r\n")

    assert [b"", b"one", b"two", b""] == [response.read1(0), response.read1(None), response.read1(-1), response.read1()]
    other, _ = answer(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", b"one")
    assert b"one" == other.read1(None)


# ---------------------------------------------------------------- the head


@pytest.mark.parametrize("interim", [b"100 Continue", b"102 Processing", b"103 Early Hints", b"199 Huh"])
def test_interim_answers_are_skipped(interim: bytes) -> None:
    """http.client takes a 103 for the final one."""
    first = b"HTTP/1.1 " + interim + b"\r\nlink: </a>\r\n\r\n"
    response, _ = answer(first * 2 + b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    assert (200, None) == (response.status, response.getheader("link"))


def test_switched_protocols_end_the_connection() -> None:
    """Whatever is spoken then, it is no HTTP."""
    response, _ = answer(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")

    assert (101, True) == (response.status, response.will_close)


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nx: y", b"HTTP/1.1 200 OK\r\nx: y\r\n"]
)
def test_a_head_that_breaks_off_is_none(head: bytes) -> None:
    """http.client takes the end of the connection for the end of the headers."""
    with pytest.raises(RemoteDisconnected):
        answer(head)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 90,
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 500,
        b"HTTP/1.1 103 x\r\n\r\n" * 30,
        b"HTTP/1.1 200 " + b"y" * 500,
    ],
    ids=["many", "long", "interim", "reason"],
)
def test_the_head_is_bounded(head: bytes) -> None:
    """All of its lines count, those of interim answers too."""
    with pytest.raises(ResponseTooLarge, match=r"Limits\(headers"):
        answer(head + b"\r\n\r\n", max_headers=300)


def test_a_head_without_a_bound_has_those_of_http_client() -> None:
    """64 kB a line, 100 lines."""
    with pytest.raises(LineTooLong):
        answer(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000)
    with pytest.raises(HTTPException, match="100 headers"):
        answer(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 101 + b"\r\n")


def test_a_head_is_read_once() -> None:
    """`begin` is called again by http.client in places."""
    response, _ = answer(CHUNKED)
    response.begin()

    assert 200 == response.status


# ---------------------------------------------------------------- the slot


def test_the_socket_is_given_up_with_the_bodys_last_byte() -> None:
    """urllib3 gives the connection back to the pool right then; an interrupt must not reach it there."""
    left, right = socket.socketpair()
    with left, right:
        slot = SocketSlot()
        slot.hold(left)
        with slot.in_use():
            response = Response(left, method="POST")
        right.sendall(CHUNKED + chunk(b"hello") + b"0\r\n\r\n")
        response.begin()
        assert [b"hello"] == list(pieces(response))
        slot.interrupt()

        assert 1 == right.send(b"x")
        assert b"x" == left.recv(1)


def test_a_proxys_answer_to_connect_does_not_give_the_socket_up() -> None:
    """Its headers are not kept (http.client reads them past us); the connection only begins there."""
    left, right = socket.socketpair()
    with left, right:
        slot = SocketSlot()
        slot.hold(left)
        with slot.in_use():
            response = Response(left, method="CONNECT")
        right.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        response._read_status()
        response.close()
        slot.interrupt()

        assert b"" == right.recv(1)
        slot.release()
