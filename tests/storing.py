"""A Store whose answers the test gives, one by one; what it was asked is noted."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from streamkit.integrations.durable.scripts import Script
from streamkit.integrations.durable.store import Entry

__all__ = ["ScriptedStore"]

T = TypeVar("T")


class ScriptedStore:
    """Gives what was queued for a script, or raises it, or computes it; "ok" without anything is the default."""

    def __init__(self, **replies: list[Any]) -> None:
        self._replies = {name.upper(): [*several] for name, several in replies.items()}
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.entries: list[list[Entry]] = []
        self.messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.subscribed: list[str] = []

    def ask(self, script: Script, names: Sequence[str], *arguments: Any, pause: Callable[[float], None]) -> Any:
        """Note it, and answer."""
        from streamkit.integrations.durable import scripts

        (name,) = [name for name in scripts.__all__ if getattr(scripts, name) is script]
        self.asked.append((name, arguments))
        queued = self._replies.get(name)
        reply = queued.pop(0) if queued else _DEFAULTS[name](names)
        if isinstance(reply, BaseException):
            raise reply
        return reply

    def asks(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of each time that a script was asked for."""
        return [arguments for asked, arguments in self.asked if asked == name]

    def lasting(self, attempt: Callable[[], T], pause: Callable[[float], None]) -> T:
        """Attempt it once."""
        return attempt()

    @contextmanager
    def line(self, slot: Any = None) -> Iterator[ScriptedStore]:
        """Be the line."""
        yield self

    def channel(self, name: str) -> str:
        """A name."""
        return f"channel-{name}"

    def read(self, name: str, position: str, wait: float) -> Sequence[Entry]:
        """Give the next entries."""
        return self.entries.pop(0) if self.entries else ()

    def subscribe(self, channel: str) -> None:
        """Note it."""
        self.subscribed.append(channel)

    def heard(self, wait: float) -> bytes | None:
        """Give the next message; there is no socket that wakes who waits, so not for long."""
        try:
            return self.messages.get(timeout=min(wait, 0.02))
        except queue.Empty:
            return None


_DEFAULTS: dict[str, Callable[[Sequence[str]], Any]] = {
    "BEGIN": lambda names: (b"ok", b"7", b"0"),
    "APPEND": lambda names: (b"ok", b""),
    "RENEW": lambda names: [(b"ok", b"")] * len(names),
}
