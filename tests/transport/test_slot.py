"""The slot: whoever holds it can wake a thread that is blocked on its socket, and only that one."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from streamkit.transport.slot import SocketSlot, current_slot
from tests.loopback import CERTS, took


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection."""
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def is_shut(other: socket.socket) -> bool:
    """Tell whether the far end of a socket was shut down."""
    other.settimeout(0.05)
    try:
        return other.recv(1) == b""
    except TimeoutError:
        return False


def test_an_interrupt_wakes_a_blocked_reader(pair: tuple[socket.socket, socket.socket]) -> None:
    """Closing the descriptor would not."""
    left, _ = pair
    slot = SocketSlot()
    slot.hold(left)
    with ThreadPoolExecutor(1) as executor, took(1.0):
        reader = executor.submit(left.recv, 1)
        slot.interrupt()

        assert b"" == reader.result(2)
    assert slot.interrupted
    slot.release()


def test_an_interrupt_reaches_through_tls(pair: tuple[socket.socket, socket.socket]) -> None:
    """`wrap_socket` detaches the socket that was held; its duplicate still is the connection."""
    left, right = pair
    slot = SocketSlot()
    slot.hold(left)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=str(CERTS / "ca.pem"))
    server.load_cert_chain(CERTS / "localhost.pem")
    with ThreadPoolExecutor(1) as executor:
        served = executor.submit(server.wrap_socket, right, server_side=True)
        with client.wrap_socket(left, server_hostname="localhost") as wrapped, served.result() as other, took(1.0):
            reader = executor.submit(wrapped.recv, 1)
            slot.interrupt()

            assert b"" == reader.result(2)
            assert other.fileno() >= 0
    slot.release()


def test_an_interrupt_that_came_first_reaches_a_socket_held_later(pair: tuple[socket.socket, socket.socket]) -> None:
    """A stream cancelled while it connects never sends its request."""
    left, right = pair
    slot = SocketSlot()
    slot.interrupt()
    slot.hold(left)

    assert is_shut(right)
    slot.release()


def test_a_released_socket_is_left_alone(pair: tuple[socket.socket, socket.socket]) -> None:
    """Its connection may serve another stream by now."""
    left, right = pair
    slot = SocketSlot()
    slot.hold(left)
    slot.release()
    slot.interrupt()

    assert not is_shut(right)


def test_a_slot_holds_one_socket(pair: tuple[socket.socket, socket.socket]) -> None:
    """The last one: an earlier attempt's is of no concern."""
    left, right = pair
    first, other = socket.socketpair()
    with first, other:
        slot = SocketSlot()
        slot.hold(first)
        slot.hold(left)
        slot.interrupt()

        assert not is_shut(other)
        assert is_shut(right)
        slot.release()
        slot.release()


def test_a_held_socket_can_be_closed_by_its_owner(pair: tuple[socket.socket, socket.socket]) -> None:
    """http.client closes some early; the duplicate keeps the connection in reach, and goes with the slot's release."""
    left, right = pair
    slot = SocketSlot()
    slot.hold(left)
    left.close()

    assert not is_shut(right)
    slot.interrupt()
    assert is_shut(right)
    slot.release()


def test_an_interrupt_of_a_socket_that_is_not_connected_is_harmless() -> None:
    """As one whose other end has reset it; it is idempotent, too."""
    slot = SocketSlot()
    with socket.socket() as unconnected:
        slot.hold(unconnected)
        slot.interrupt()
        slot.interrupt()
        slot.release()

    assert slot.interrupted


def test_an_interrupt_in_a_forked_child_does_nothing(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is the parent's, and the lock may have been copied while it was held."""
    left, right = pair
    slot = SocketSlot()
    slot.hold(left)
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        with slot._lock:
            slot.interrupt()

    assert not slot.interrupted
    assert not is_shut(right)
    slot.release()


def test_a_slot_in_use_is_its_threads() -> None:
    """Connections report to the slot of the thread that makes or reuses them."""
    mine, other = SocketSlot(), SocketSlot()
    seen: list[SocketSlot | None] = []

    def elsewhere() -> None:
        seen.append(current_slot())
        with other.in_use():
            seen.append(current_slot())

    with mine.in_use():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        seen.append(current_slot())
    seen.append(current_slot())

    assert [None, other, mine, None] == seen


def test_a_slot_is_given_back_when_an_exception_leaves() -> None:
    """The next request of the thread has another."""
    with pytest.raises(ZeroDivisionError), SocketSlot().in_use():
        raise ZeroDivisionError

    assert None is current_slot()
