"""A Redis of the tests' own, on a Unix socket; Debian's redis-server."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import tempfile
from types import TracebackType

import pytest

from tests.missing import needed_package, needed_program

__all__ = ["RedisServer", "needs_redis"]


def needs_redis() -> None:
    """Skip, or fail where STREAMKIT_REQUIRE_SERVERS is set, if there is no Redis or no redis-py."""
    needed_program("redis-server", "test-servers")
    needed_package("redis", "test-servers")


class RedisServer:
    """A running Redis. Its child process ends when this one does, however that ends."""

    def __init__(self, *settings: str) -> None:
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="redis-"))  # a socket's path has to be short
        self._settings = settings
        self.socket = self._folder / "socket"
        self.url = f"unix://{self.socket}"
        self.start()

    def start(self) -> None:
        """Start it, or start it again; what it had written to its disk is there."""
        command = ["redis-server", "--port", "0", "--unixsocket", str(self.socket), "--dir", str(self._folder)]
        command += ["--save", "", *self._settings]
        tied = '"$@" & cat >/dev/null; kill -9 $!'  # it ends with its standard input
        self._process = subprocess.Popen(
            ["sh", "-c", tied, "sh", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if "eady to accept connections" in line:
                return
        pytest.fail(f"redis-server did not start: {''.join(said[-5:])}", pytrace=False)

    def kill(self) -> None:
        """Kill it."""
        self._process.communicate()

    def restart(self) -> None:
        """Kill it, and start it again."""
        self.kill()
        self.start()

    def __enter__(self) -> RedisServer:
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        """Kill it, and remove what it has written."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
