"""Checkpoint: the answers of a batch in a file, so that a killed batch goes on where it stopped.

JSON lines: the first says what the file is, each further one holds one complete answer with the position and the
digest of its request. A line is appended by one write and an fsync before its item is shown to anybody. So whatever
kills the process, at most the last line is torn; it is cut off when the file is opened again.

No key is in it: requests are known by their digest, which leaves out key and headers.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Mapping
from os import PathLike
from typing import Any

from streamkit import lazy_attrs as attrs
from streamkit.errors import ConfigError
from streamkit.forks import new_lock
from streamkit.parallel.item import ParallelItem
from streamkit.response_json import response_from_json, response_to_json

__all__ = ["Checkpoint"]

logger = logging.getLogger("streamkit")

VERSION = 1
_KINDS: Mapping[str, Any] = {"index": int, "request": str, "prompt": str, "elapsed": (int, float), "response": dict}
"""What a line has."""
_HEAD = b'{"streamkit": "parallel checkpoint", "version": %d}\n'


class Checkpoint:
    """An open checkpoint file, locked against other runs and other processes until `close`. Thread-safe.

    Raises:
        ConfigError: the file cannot be opened, is in use, or is something else; it is left as it was.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._lock = new_lock()  # guards _answers, and the writing
        self._answers: dict[str, dict[int, list[dict[str, Any]]]] = {}  # by digest, then by position
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        try:
            self._file = os.open(self._path, flags, 0o666)
        except OSError as e:
            raise ConfigError(f"the checkpoint {self._path!r} cannot be opened: {e.strerror}") from e
        try:
            self._acquire()
            self._read()
        except BaseException:
            os.close(self._file)
            raise
        self._open = True

    def take(self, index: int, digest: str) -> ParallelItem | None:
        """Take the answer to this request: the one that was at this position, else any that nobody has taken yet."""
        with self._lock:
            found = self._answers.get(digest)
            if not found:
                return None
            at = index if index in found else next(iter(found))
            written = found[at].pop(0)
            if not found[at]:
                del found[at]
        return self._item(index, written)

    def write(self, item: ParallelItem, digest: str) -> None:
        """Add a complete answer; when this returns it is on the disk. After `close` it does nothing.

        Raises:
            OSError: it cannot be written; the file is as it was.
        """
        assert item.response is not None  # it is complete
        line = {
            "index": item.index,
            "request": digest,
            "prompt": item.prompt,
            "elapsed": item.elapsed,
            "response": response_to_json(item.response),
        }
        with self._lock:
            if self._open:
                self._append(_encoded(line))

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        with self._lock:
            if self._open:
                self._open = False
                os.close(self._file)

    def forked(self) -> None:
        """In a forked child: give up its copy of the file, which would hold the parent's lock beyond its death."""
        self.close()

    def _acquire(self) -> None:
        """Lock the file, or say that it is in use."""
        try:
            _lock_file(self._file)
        except BlockingIOError:
            raise ConfigError(
                f"the checkpoint {self._path!r} is in use by another run: wait for its end, or name another file"
            ) from None
        except OSError as e:
            raise ConfigError(
                f"the checkpoint {self._path!r} cannot be locked: {e.strerror}; put it on a local disk"
            ) from e

    def _read(self) -> None:
        """Take in the answers, and cut off a torn last line."""
        with open(self._file, "rb", closefd=False) as file:
            content = file.read()
        head = _HEAD % VERSION
        if head.startswith(content):  # new, or killed while this was written
            os.ftruncate(self._file, 0)
            self._append(head)
            _sync_folder(self._path)
            return
        first, _, rest = content.partition(b"\n")
        self._check_head(first)
        *lines, torn = rest.split(b"\n")
        while lines and _decoded(lines[-1]) is None:  # whole blocks of zeros, after a loss of power
            torn = lines.pop()
        if torn:
            os.ftruncate(self._file, len(first) + 1 + sum(len(line) + 1 for line in lines))
        for number, line in enumerate(lines, 2):
            self._note(number, _decoded(line))

    def _check_head(self, line: bytes) -> None:
        try:
            head = json.loads(line)
            version = head["version"] if head["streamkit"] == "parallel checkpoint" else None
        except (ValueError, KeyError, TypeError, RecursionError):
            version = None
        if version is None:
            raise ConfigError(f"{self._path!r} is no checkpoint of stream_parallel: name another file, or a new one")
        if version != VERSION:
            raise ConfigError(
                f"the checkpoint {self._path!r} is of version {version!r}, not {VERSION}: name a new file"
            )

    def _note(self, number: int, written: dict[str, Any] | None) -> None:
        if written is None:
            logger.warning(
                "line %d of the checkpoint %r cannot be read: what it answered is asked again", number, self._path
            )
        else:
            self._answers.setdefault(written["request"], {}).setdefault(written["index"], []).append(written)

    def _item(self, index: int, written: dict[str, Any]) -> ParallelItem | None:
        try:
            response = response_from_json(written["response"])
        except ConfigError:
            logger.warning("an answer in the checkpoint %r cannot be read: it is asked again", self._path)
            return None
        return ParallelItem(
            index=index,
            prompt=written["prompt"],
            text=response.text,
            response=attrs.evolve(response, complete=True),
            error=None,
            elapsed=written["elapsed"],
            from_checkpoint=True,
        )

    def _append(self, line: bytes) -> None:
        size = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            if written != len(line):
                raise OSError(f"only {written} of {len(line)} bytes could be written: is the disk full?")
            os.fsync(self._file)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, size)  # half a line would spoil the next one
            raise


def _encoded(line: dict[str, Any]) -> bytes:
    try:
        return json.dumps(line, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # a half of a surrogate pair
        return json.dumps(line).encode() + b"\n"


def _decoded(line: bytes) -> dict[str, Any] | None:
    """Give an answer's line, None for what is none."""
    try:
        written = json.loads(line)
        return written if all(isinstance(written[name], kind) for name, kind in _KINDS.items()) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _sync_folder(path: str) -> None:
    """Make the new file's name outlive a loss of power, where folders can be synced."""
    with contextlib.suppress(OSError):
        folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


if sys.platform == "win32":  # pragma: no cover - tested on Windows only
    import errno
    import msvcrt

    def _lock_file(file: int) -> None:
        """Lock one byte far behind the end: there a lock keeps others from reading what it covers."""
        os.lseek(file, 2**40, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError as e:
            raise BlockingIOError(errno.EAGAIN, "locked") from e
        finally:
            os.lseek(file, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock_file(file: int) -> None:
        """Lock it; the system takes the lock back however the process ends."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
