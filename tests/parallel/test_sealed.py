"""Lines between two ends that share a secret: who is heard, and who is not."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from streamkit.parallel import sealed
from streamkit.parallel.sealed import Sealed, called, greeted, new_secret


@pytest.fixture(name="pair")
def fixture_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets that are connected."""
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def met(pair: tuple[socket.socket, socket.socket], secret: bytes, other: bytes) -> tuple[Sealed | None, Sealed | None]:
    """Have two ends prove themselves, each with what it takes for the secret; None for one that gives up."""
    lines: list[Sealed | None] = [None, None]

    def prove(number: int, how: Callable[[socket.socket, bytes], Sealed], key: bytes) -> None:
        with contextlib.suppress(OSError):
            lines[number] = how(pair[number], key)
        if lines[number] is None:
            pair[number].close()

    thread = threading.Thread(target=prove, args=(1, called, other))
    thread.start()
    prove(0, greeted, secret)
    thread.join()
    return lines[0], lines[1]


def test_messages_go_both_ways(pair: tuple[socket.socket, socket.socket]) -> None:
    """Each whole, in order, also an empty and a long one."""
    run, worker = met(pair, secret := new_secret(), secret)
    assert run is not None
    assert worker is not None
    run.send(b"")
    run.send(b"one")
    sender = threading.Thread(target=worker.send, args=(bytes(1_000_000),))
    sender.start()
    long = run.receive()
    sender.join()

    assert [b"", b"one"] == [worker.receive(), worker.receive()]
    assert bytes(1_000_000) == long


def test_a_stranger_is_not_heard(pair: tuple[socket.socket, socket.socket]) -> None:
    """Who does not know the secret is found out by the one called; neither has a line."""
    assert (None, None) == met(pair, new_secret(), new_secret())


def test_a_false_run_is_found_out(pair: tuple[socket.socket, socket.socket]) -> None:
    """One that took any proof for good still has to give its own."""
    run, worker = pair

    def lie() -> None:
        run.sendall(bytes(32))
        run.recv(64, socket.MSG_WAITALL)
        run.sendall(bytes(32))

    liar = threading.Thread(target=lie)
    liar.start()
    with pytest.raises(OSError, match="stranger has answered"):
        called(worker, new_secret())
    liar.join()


def test_the_secret_is_not_said() -> None:
    """What passes in the handshake does not have it, and is never the same."""
    heard = []
    for _ in range(2):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(bytes(32))
            worker = threading.Thread(target=lambda sock=theirs: pytest.raises(OSError, called, sock, b"S" * 32))
            worker.start()
            heard.append(ours.recv(64, socket.MSG_WAITALL))
            ours.shutdown(socket.SHUT_RDWR)
            worker.join()

    assert not any(b"S" * 8 in text for text in heard)
    assert heard[0] != heard[1]


@pytest.mark.parametrize("meddling", ["change", "repeat", "return", "lengthen"])
def test_meddling_is_noticed(pair: tuple[socket.socket, socket.socket], meddling: str) -> None:
    """A message that was changed, said twice, sent back to its sender, or is longer than any may be."""
    run, worker = met(pair, secret := new_secret(), secret)
    assert run is not None
    assert worker is not None
    run.send(b"wanted")
    seen = pair[1].recv(42, socket.MSG_WAITALL)
    victim, at = worker, pair[0]
    if meddling == "change":
        at.sendall(seen[:-1] + b"!")
    elif meddling == "repeat":
        at.sendall(seen + seen)
        assert b"wanted" == worker.receive()
    elif meddling == "return":
        victim = run
        pair[1].sendall(seen)
    else:
        at.sendall((sealed.LONGEST + 1).to_bytes(4, "big") + seen[4:])

    with pytest.raises(OSError, match=r"not from the other end|too long"):
        victim.receive()


def test_who_dawdles_is_given_up(pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    """One that says nothing, and one that says little by little."""
    monkeypatch.setattr(sealed, "HANDSHAKE", 0.05)
    with pytest.raises(TimeoutError):
        greeted(pair[0], new_secret())
    monkeypatch.setattr(sealed, "HANDSHAKE", -1)
    pair[1].sendall(bytes(1))
    pair[0].settimeout(None)
    with pytest.raises((TimeoutError, ValueError)):
        greeted(pair[0], new_secret())


def test_closing_frees_both_ends(pair: tuple[socket.socket, socket.socket]) -> None:
    """Also with a copy of the socket in a forked process."""
    run, worker = met(pair, secret := new_secret(), secret)
    assert run is not None
    assert worker is not None
    with pair[0].dup():
        run.cut()
        run.close()
        run.close()
        with pytest.raises(OSError, match="cut"):
            worker.receive()
    worker.close()


def test_a_forked_child_says_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    """It gives up its copy, and the line goes on."""
    run, worker = met(pair, secret := new_secret(), secret)
    assert run is not None
    assert worker is not None
    copy = Sealed(pair[0].dup(), b"", b"")
    copy.forked()
    run.send(b"still here")

    assert b"still here" == worker.receive()
