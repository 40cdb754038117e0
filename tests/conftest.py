"""What every test has: a server and a client; nothing left behind, the environment unseen, the local model optional."""

from __future__ import annotations

import contextlib
import gc
import os
import pathlib
import stat
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from streamkit import Client, producer, providers
from streamkit import client as client_module
from streamkit.errors import ConfigError
from streamkit.local import require_wheels
from streamkit.testing import ProviderServer
from streamkit.watchdog import watchdog
from tests.loopback import client_of
from tests.sources import Gate

PATIENCE = 2.0
"""Seconds that threads and sockets of a test have to end after it."""

_OURS = ("_API_KEY", "_BASE_URL")
_OTHERS = frozenset(
    {"CO_API_URL", "GOOGLE_CLOUD_LOCATION", "GOOGLE_CLOUD_PROJECT", "OLLAMA_HOST", "OPENAI_API_VERSION"}
)
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def pytest_configure(config: pytest.Config) -> None:
    """Hide the user's keys, addresses and proxies (a test that needs one sets it); let child processes find us."""
    hidden = _OTHERS | _of_providers()
    for name in list(os.environ):
        if name.endswith(_OURS) or name in hidden or name.lower() in _PROXIES:
            del os.environ[name]
    producer.REST = 0.001  # a tenth of a second for each test that streams would be half of the whole time
    paths = [str(pathlib.Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))


def _of_providers() -> set[str]:
    """The variables that hold keys, addresses and their parts."""
    rows = [providers.find(name) for name in providers.names(others=False)]
    names = [(*getattr(row, "key_variables", ()), *getattr(row, "settings", {}).values()) for row in rows]
    return {name for several in names for name in several}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what asks the real model where it is not installed, unless STREAMKIT_REQUIRE_MODEL is set."""
    if item.get_closest_marker("model") and not os.environ.get("STREAMKIT_REQUIRE_MODEL"):
        try:
            require_wheels()
        except ConfigError as e:
            pytest.skip(str(e))


@pytest.fixture
def server() -> Iterator[ProviderServer]:
    """A scripted server of its own for each test."""
    with ProviderServer() as server:
        yield server


@pytest.fixture
def client(server: ProviderServer) -> Iterator[Client]:
    """A client of it."""
    with client_of(server) as client:
        yield client


@pytest.fixture
def gate() -> Iterator[Gate]:
    """What holds a source; opened in the end."""
    gate = Gate()
    yield gate
    gate.close()
    gate._theirs.close()


@pytest.fixture
def no_shared_clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The clients that the process shares are those of one test, and closed after it."""
    clients: dict[Any, Client] = {}
    monkeypatch.setattr(client_module, "_clients", clients)
    yield
    for one in clients.values():
        one.close()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fail a test that leaves a thread alive or a socket open."""
    threads, sockets = set(threading.enumerate()), _sockets()
    yield
    deadline = time.monotonic() + PATIENCE
    left = [thread for thread in threading.enumerate() if thread not in threads]
    for thread in sorted(left, key=lambda thread: thread.name == "streamkit-watchdog"):
        if thread.name != "streamkit-watchdog" or not watchdog.idle:  # idle, it ends within a tenth of a second
            thread.join(max(0.0, deadline - time.monotonic()))
    left = [t for t in left if t.is_alive() and not (t.name == "streamkit-watchdog" and watchdog.idle)]
    if left:
        pytest.fail(f"threads left alive: {', '.join(thread.name for thread in left)}", pytrace=False)
    if _sockets() - sockets and _open_still(sockets, deadline):
        pytest.fail(f"{len(_sockets() - sockets)} sockets left open", pytrace=False)


def _open_still(sockets: set[int], deadline: float) -> bool:
    """Whether more than these stay open, after a collection and some patience with threads older than the test."""
    gc.collect()
    pause = threading.Event()
    while _sockets() - sockets:
        if time.monotonic() > deadline:
            return True
        pause.wait(0.005)
    return False


def _sockets() -> set[int]:
    """The inodes of this process's open sockets; nothing where the system does not list its descriptors."""
    found = set()
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir("/dev/fd"):
            with contextlib.suppress(OSError):  # the descriptor of the listing itself
                status = os.fstat(int(name))
                if stat.S_ISSOCK(status.st_mode):
                    found.add(status.st_ino)
    return found
