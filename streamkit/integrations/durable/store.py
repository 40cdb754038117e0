"""What durable streams want of a database; `redis` fulfils it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from streamkit.errors import printable
from streamkit.integrations.durable.scripts import Script
from streamkit.transport.slot import SocketSlot

__all__ = ["Entry", "Line", "Pause", "Store", "named"]

T = TypeVar("T")

Entry = Sequence[Any]
"""The id, and a list of the one field and its value; all bytes."""

Pause = Callable[[float], None]
"""Sleeps so many seconds, and raises if what waits has ended meanwhile."""


class Line(Protocol):
    """A connection of one's own, on which one may wait."""

    def read(self, name: str, position: str, wait: float) -> Sequence[Entry]:
        """Give the entries behind `position`, waiting up to `wait` seconds for the first."""

    def subscribe(self, channel: str) -> None:
        """Hear what is published there from now on."""

    def heard(self, wait: float) -> bytes | None:
        """Give what was published, waiting up to `wait` seconds for it."""


class Store(Protocol):
    """A database. All of its methods raise errors of streamkit's tree only; `ConnectionLost` where it is away."""

    def ask(self, script: Script, names: Sequence[str], *arguments: str | int | bytes, pause: Pause) -> Any:
        """Run a script on the keys of these names, as `lasting`."""

    def lasting(self, attempt: Callable[[], T], pause: Pause) -> T:
        """Give what an attempt gives, made again while the database is away, for as long as that may be."""

    def line(self, slot: SocketSlot | None = None) -> AbstractContextManager[Line]:
        """Open a line; its socket is held in `slot`, so that who waits on it can be woken."""

    def channel(self, name: str) -> str:
        """Give the key of a channel."""


def named(name: str) -> str:
    """Give the words for a stream of this name, behind an article."""
    return f"durable stream {printable(repr(name), 60)}"
