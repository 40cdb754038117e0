"""The run: the server, the processes that measure, and progress on stderr."""

from __future__ import annotations

import atexit
import functools
import http.client
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import attrs

__all__ = ["Bench", "Worker", "alternating", "installed", "python", "serving"]

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent


@attrs.frozen(kw_only=True)
class Bench:
    """What a family of figures needs to be taken."""

    port: int
    stuck_port: int
    quick: bool

    def url(self, answer: str, argument: int = 0, client: str = "any") -> str:
        """Give the base URL under which the server gives this answer."""
        return f"http://127.0.0.1:{self.port}/{answer}/{argument}/{client}/v1"

    @property
    def stuck_url(self) -> str:
        """A base URL to which no connection ever comes about."""
        return f"http://127.0.0.1:{self.stuck_port}/v1"

    def connections(self, client: str) -> int:
        """Give how many connections this client has made."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", f"/connections/{client}")
        with closing(connection), connection.getresponse() as answer:
            return int(answer.read())

    def count(self, normal: int, quick: int) -> int:
        """Give how often to do something."""
        return quick if self.quick else normal

    def tell(self, what: str) -> None:
        """Say on stderr what is being measured."""
        print(f"benchmarks: {what}", file=sys.stderr, flush=True)


class Worker:
    """A process that takes a measurement when told to; see `worker`. Use it in a `with`."""

    def __init__(self, body: str, *args: str, without_msgspec: bool = False) -> None:
        self._body = body
        options = ["--without-msgspec"] if without_msgspec else []
        self._process = python("benchmarks.worker", *options, body, *args)

    def measure(self) -> Any:
        """Take one measurement; blocks."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # made with pipes
        assert stdout is not None
        with suppress(BrokenPipeError):  # it has ended already, which the next line finds out
            stdin.write("\n")
            stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError(f"{self._body} ended without a measurement; stderr says why")
        return json.loads(line)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        _end(self._process)


def python(module: str, *args: str) -> subprocess.Popen[str]:
    """Start a module of ours as a process, with pipes for stdin and stdout."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(),
    )


@functools.cache
def _environment() -> dict[str, str]:
    """Give our processes no proxy on the way to the server, and a place for bytecode.

    An installed package comes with its bytecode, a checkout may not, or may not be allowed to write any. So all of it
    is written anew, in the rounds that warm up; imports would be compared unfairly otherwise.
    """
    bytecode = tempfile.TemporaryDirectory(prefix="benchmarks-")
    atexit.register(bytecode.cleanup)
    own = {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "PYTHONPYCACHEPREFIX": bytecode.name,
    }
    left_out = (*own, "PYTHONDONTWRITEBYTECODE")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in left_out and not name.lower().endswith("_proxy")
    }
    return kept | own


@contextmanager
def serving(*, quick: bool) -> Iterator[Bench]:
    """Run the server meanwhile."""
    process = python("benchmarks.server")
    assert process.stdout is not None  # made with a pipe
    try:
        port, stuck_port = map(int, process.stdout.readline().split())
        yield Bench(port=port, stuck_port=stuck_port, quick=quick)
    finally:
        _end(process)


def alternating(rounds: int, takers: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Call each in turn, round by round, and give what each gave; a first round, which warms up, is left out."""
    taken: dict[str, list[T]] = {name: [] for name in takers}
    for number in range(rounds + 1):
        for name, take in takers.items():
            result = take()
            if number:
                taken[name].append(result)
    return taken


def installed(package: str) -> bool:
    """Whether a package is there to be imported."""
    return importlib.util.find_spec(package) is not None


def _end(process: subprocess.Popen[str]) -> None:
    """Close stdin, which ends our processes, and make sure of it."""
    try:
        process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
