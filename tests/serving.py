"""WSGI servers as child processes; each takes a listening socket that the test made, so it can be asked at once."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["SERVERS", "served"]

ROOT = pathlib.Path(__file__).parents[1]

_LISTENING = "import socket, sys; listening = socket.socket(fileno=int(sys.argv[1])); "

SERVERS = {
    "waitress": [
        "-c",
        f"{_LISTENING} import waitress; from served import app; waitress.serve(app, sockets=[listening], threads=8)",
    ],
    "waitress looking ahead": [
        "-c",
        f"{_LISTENING} import waitress; from served import app; "
        "waitress.serve(app, sockets=[listening], threads=8, channel_request_lookahead=2)",
    ],
    "gunicorn gthread": ["-m", "gunicorn", "-b", "fd://{fd}", "-k", "gthread", "--threads", "8", "served:app"],
    "gunicorn sync": ["-m", "gunicorn", "-b", "fd://{fd}", "--workers", "2", "served:app"],
    "werkzeug": [
        "-c",
        f"{_LISTENING} from werkzeug.serving import make_server; from served import app; "
        "make_server('127.0.0.1', 0, app, threaded=True, fd=listening.detach()).serve_forever()",
    ],
    "streamkit": [
        "-c",
        "from served import app; from streamkit.integrations.wsgi_server import serve; serve(app, port=0)",
    ],
    "wsgiref": [
        "-c",
        f"{_LISTENING} from wsgiref.simple_server import WSGIServer, WSGIRequestHandler; from served import app; "
        "from socketserver import ThreadingMixIn; Server = type('Server', (ThreadingMixIn, WSGIServer), {{}}); "
        "server = Server(('127.0.0.1', 0), WSGIRequestHandler, bind_and_activate=False); server.socket.close(); "
        "server.socket = listening; server.server_name, server.server_port = listening.getsockname(); "
        "server.setup_environ(); server.set_app(app); server.serve_forever()",
    ],
}
"""What Python is told for each, with the descriptor as its argument; but "streamkit" listens itself, and says where."""


class Served:
    """A server that runs in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, workers: int) -> None:
        self._process = process
        self.url = url
        self.workers = workers
        """How many processes answer; they share no memory."""

    def threads(self) -> int:
        """How many threads it has, with those of its workers."""
        return sum(len(os.listdir(f"/proc/{pid}/task")) for pid in self._family())

    def sockets(self) -> int:
        """How many sockets they have open."""
        return sum(_sockets(pid) for pid in self._family())

    def wait_until(self, holds: Callable[[], bool], seconds: float = 5.0) -> None:
        """Ask again and again whether something holds."""
        until, pause = time.monotonic() + seconds, threading.Event()
        while not holds():
            assert time.monotonic() < until, f"{self.threads()} threads, {self.sockets()} sockets"
            pause.wait(0.02)

    def _family(self) -> list[int]:
        pid = self._process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        return [pid, *map(int, children.split())]


def _sockets(pid: int) -> int:
    """How many sockets a process has open."""
    found = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found += os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:")
    return found


@contextmanager
def served(server: str, program: str, **env: str) -> Iterator[Served]:
    """Serve the `app` of a program by one of these servers, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        pathlib.Path(folder, "served.py").write_text(textwrap.dedent(program), encoding="utf-8")
        fd = listening.fileno()
        arguments = [argument.format(fd=fd) for argument in SERVERS[server]]
        process = subprocess.Popen(
            [sys.executable, *arguments, *([] if "-m" in arguments else [str(fd)])],
            pass_fds=[fd],
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([folder, str(ROOT), os.environ.get("PYTHONPATH", "")]),
                **env,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            said = process.stdout.readline().decode().strip() if server == "streamkit" else ""
            url = said or f"http://127.0.0.1:{listening.getsockname()[1]}"
            yield Served(process, url, 2 if server == "gunicorn sync" else 1)
        finally:
            process.terminate()
            _, errors = process.communicate(timeout=10)
            sys.stderr.write(errors.decode(errors="replace"))  # shown where a test fails
