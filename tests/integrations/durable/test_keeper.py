"""The keeper of leases, with a store whose answers the test gives."""

from __future__ import annotations

import queue
import threading

import pytest

from streamkit import ChatStream, ConnectionLost
from streamkit.integrations.durable.keeper import Keeper
from tests.storing import ScriptedStore


class Told:
    """What is kept, and what it was told."""

    handle: ChatStream | None = None

    def __init__(self, token: str = "0" * 16, *, begun: bool = True) -> None:
        self.name = "a"
        self.token = token
        self.begun = begun
        self.heard: queue.SimpleQueue[tuple[str, bytes | str]] = queue.SimpleQueue()

    def cancel(self, wish: bytes) -> None:
        """Note it."""
        self.heard.put(("cancel", wish))

    def lose(self, state: str) -> None:
        """Note it."""
        self.heard.put(("lose", state))

    def give_up(self) -> None:
        """Note it."""
        self.heard.put(("give up", ""))


def test_what_is_published_reaches_the_one_it_is_for() -> None:
    """By its token."""
    store, one, other = ScriptedStore(), Told("1" * 16), Told("2" * 16)
    keeper = Keeper(store, 10.0)
    with keeper.keeping(one), keeper.keeping(other):
        store.messages.put(b"3" * 16 + b"because:of another process")
        store.messages.put(b"2" * 16 + b"because:enough")

        assert ("cancel", b"because:enough") == other.heard.get(timeout=5)
        assert one.heard.empty()
    keeper.release(one)
    keeper.release(other)
    keeper.close()

    assert [keeper.channel] == store.subscribed


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ((b"ok", b"because:"), ("cancel", b"because:")),
        ((b"lost", b""), ("lose", "lost")),
        ((b"gone", b""), ("lose", "gone")),
    ],
)
def test_what_a_renewal_finds(reply: tuple[bytes, bytes], expected: tuple[str, object]) -> None:
    """A wish that was published before anybody heard; that it is not this writer's any more."""
    kept = Told()
    keeper = Keeper(ScriptedStore(renew=[[reply]]), 10.0)
    with keeper.keeping(kept):
        assert expected == kept.heard.get(timeout=5)
    keeper.release(kept)
    keeper.close()


def test_one_that_has_not_begun_is_not_lost() -> None:
    """It is kept before it has its name, so that no cancel is missed."""
    kept = Told(begun=False)
    keeper = Keeper(ScriptedStore(renew=[[(b"gone", b"")], [(b"ok", b"because:now")]]), 0.3)
    with keeper.keeping(kept):
        assert ("cancel", b"because:now") == kept.heard.get(timeout=5)
    keeper.release(kept)
    keeper.close()


def test_leases_are_renewed_when_the_database_is_back() -> None:
    """At once, on a line of its own."""
    kept = Told()
    store = ScriptedStore(renew=[ConnectionLost("away"), [(b"ok", b"because:now")]])
    keeper = Keeper(store, 3600.0)
    with keeper.keeping(kept):
        assert ("cancel", b"because:now") == kept.heard.get(timeout=5)
    keeper.release(kept)
    keeper.close()

    assert 2 == len(store.subscribed)


def test_the_thread_ends_with_the_last() -> None:
    """And another begins with the next; what could not begin is not kept."""
    keeper = Keeper(ScriptedStore(), 10.0)

    def alive() -> bool:
        return any(thread.name == "streamkit-leases" for thread in threading.enumerate())

    for _ in range(2):
        kept = Told()
        with pytest.raises(ValueError, match="taken"), keeper.keeping(kept):
            assert alive()
            raise ValueError("taken")
        keeper.close()

        assert not alive()


def test_closing_does_not_wait_for_the_database() -> None:
    """What is kept is told that its time is over."""
    keeper, kept = Keeper(ScriptedStore(), 10.0), Told()
    with keeper.keeping(kept):
        keeper._thread, thread = None, keeper._thread  # it ends with what is kept, which here goes on
        keeper.close()

        assert ("give up", "") == kept.heard.get(timeout=5)
    keeper.release(kept)
    assert thread is not None
    thread.join()


def test_a_forked_child_keeps_nothing() -> None:
    """Its parent does; and it is told of its own by a channel of its own."""
    keeper, kept = Keeper(ScriptedStore(), 10.0), Told()
    with keeper.keeping(kept):
        thread, channel = keeper._thread, keeper.channel
        keeper.forked()

        assert keeper._kept_now() == []
        assert channel != keeper.channel
    assert thread is not None
    thread.join()
