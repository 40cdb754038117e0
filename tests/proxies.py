"""nginx and HAProxy as child processes, with the settings that the guide on deployment shows."""

from __future__ import annotations

import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.missing import needed_program

__all__ = ["PROXIES", "proxied"]

GUIDE = pathlib.Path(__file__).parents[1] / "docs" / "guides" / "deployment.md"

PROXIES = ("nginx", "haproxy")

_NGINX = """
daemon off;
pid {folder}/pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {settings}
}}
"""


@contextmanager
def proxied(proxy: str, url: str) -> Iterator[str]:
    """Run a proxy in front of the server at that URL; give the proxy's."""
    port = _free_port()
    settings = _settings(proxy).replace("127.0.0.1:8000", url.removeprefix("http://"))
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(_command(proxy, settings, port, pathlib.Path(folder)), stderr=subprocess.PIPE)
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            _, said = process.communicate(timeout=10)
            sys.stderr.write(said.decode(errors="replace"))  # shown where a test fails


def _settings(proxy: str) -> str:
    found = re.search(rf"^```{proxy}\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert found is not None, f"the guide shows no settings of {proxy}"
    return found[1]


def _command(proxy: str, settings: str, port: int, folder: pathlib.Path) -> list[str]:
    program = needed_program(proxy, "test-servers")
    file = folder / "settings"
    if proxy == "nginx":
        file.write_text(
            _NGINX.format(folder=folder, settings=settings.replace("listen 80", f"listen 127.0.0.1:{port}"))
        )
        return [program, "-e", "stderr", "-p", str(folder), "-c", str(file)]
    file.write_text(settings.replace("bind :80", f"bind 127.0.0.1:{port}"))
    return [program, "-db", "-f", str(file)]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until, pause = time.monotonic() + 10, threading.Event()
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert process.poll() is None, "the proxy has ended"
            assert time.monotonic() < until, "the proxy does not answer"
            pause.wait(0.02)
        else:
            return
