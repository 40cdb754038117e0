"""Keeper: one thread for all that a process writes. It renews the leases, and hears who is to be cancelled.

A wish to cancel is published, and noted beside the answer: one that was published while nobody heard is found with the
next renewal. The thread ends with the last answer.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from streamkit.errors import StreamKitError
from streamkit.forks import after_fork, new_lock
from streamkit.integrations.durable.scripts import RENEW
from streamkit.integrations.durable.store import Line, Store
from streamkit.stream import CLOSE_WAIT, ChatStream
from streamkit.transport.slot import SocketSlot

__all__ = ["Keeper", "Kept"]

logger = logging.getLogger("streamkit")

_TOKEN = 16
"""Characters of a token."""

REST = 0.25
"""Seconds until the database is tried again that was away."""


class Kept(Protocol):
    """An answer that is written here."""

    name: str
    token: str
    begun: bool
    """Whether it has its name: before, it is not missed."""
    handle: ChatStream | None

    def cancel(self, wish: bytes) -> None:
        """The user cancelled it, and said why."""

    def lose(self, state: str) -> None:
        """It is not this writer's any more."""

    def give_up(self) -> None:
        """Its process may end: how it ended is not worth waiting for any longer."""


class Keeper:
    """Keeps what is written in this process. Thread-safe; in a forked child it has nothing to keep."""

    def __init__(self, store: Store, lease: float) -> None:
        self._store = store
        self._lease = lease
        self._lock = new_lock()  # guards _kept and _thread
        self.forked()
        _keepers.add(self)

    def forked(self) -> None:
        """Begin with nothing, and with a channel of one's own."""
        self._kept: dict[str, Kept] = {}
        self._thread: threading.Thread | None = None
        self._slot = SocketSlot()  # of what the thread waits on
        self._idle = threading.Event()  # set when nothing is left to keep
        self.channel = self._store.channel(secrets.token_hex(8))

    @contextmanager
    def keeping(self, kept: Kept) -> Iterator[None]:
        """Keep an answer from now on; it is given up if the body raises."""
        with self._lock:
            self._kept[kept.token] = kept
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="streamkit-leases", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError as e:
                    self._thread = None
                    del self._kept[kept.token]
                    raise StreamKitError(f"no thread can be started to keep what is written: {e}") from e
        try:
            yield
        except BaseException:
            self.release(kept)
            raise

    def release(self, kept: Kept) -> None:
        """Keep it no longer."""
        with self._lock:
            self._kept.pop(kept.token, None)
            if self._kept:
                return
            slot = self._slot
            self._idle.set()
        slot.interrupt()

    def close(self) -> None:
        """Cancel what is written, and wait up to a second for all of it, and for the thread."""
        kept = self._kept_now()
        handles = [one.handle for one in kept if one.handle is not None]
        for handle in handles:
            handle.cancel("its writer was closed")
        until = time.monotonic() + CLOSE_WAIT
        for handle in handles:
            handle._run.join(max(0.0, until - time.monotonic()))
        for one in kept:
            one.give_up()
        thread = self._thread
        if thread is not None:
            thread.join(1.0)

    def _kept_now(self) -> list[Kept]:
        with self._lock:
            return list(self._kept.values())

    def _run(self) -> None:
        while not self._is_done():
            slot = self._slot
            try:
                with self._store.line(slot) as line:
                    self._listen(line)
            except StreamKitError as error:
                if not slot.interrupted:
                    logger.debug("leases cannot be renewed now: %s", error)
                    self._idle.wait(REST)
            except Exception:
                logger.exception("an internal error of the keeper of leases")
                self._idle.wait(REST)
            finally:
                slot.release()

    def _is_done(self) -> bool:
        with self._lock:
            if self._kept:
                self._slot = SocketSlot()
                self._idle.clear()
                return False
            self._thread = None
            return True

    def _listen(self, line: Line) -> None:
        line.subscribe(self.channel)
        due = 0.0  # at once: what was wished for before is noted
        while self._kept_now():
            if time.monotonic() >= due:
                self._renew()
                due = time.monotonic() + self._lease / 3
            message = line.heard(max(0.001, due - time.monotonic()))
            if message is not None:
                self._cancel(message)

    def _cancel(self, message: bytes) -> None:
        with self._lock:
            kept = self._kept.get(message[:_TOKEN].decode("ascii", "replace"))
        if kept is not None:
            kept.cancel(message[_TOKEN:])

    def _renew(self) -> None:
        kept = self._kept_now()
        begun = [one.begun for one in kept]
        told = self._store.ask(RENEW, [one.name for one in kept], *(one.token for one in kept), pause=_refuse)
        for one, was_begun, (state, wish) in zip(kept, begun, told, strict=True):
            if state != b"ok":
                if was_begun:
                    one.lose(state.decode())
            elif wish:
                one.cancel(wish)


_keepers: weakref.WeakSet[Keeper] = weakref.WeakSet()


def _forked() -> None:
    for keeper in _keepers:
        keeper.forked()


after_fork(_forked)


def _refuse(seconds: float) -> None:
    raise StreamKitError("the database is away")  # the line finds out when it is back
