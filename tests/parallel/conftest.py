"""What tests of batches have: a server that echoes, a client of it, and a place for errands to arrive at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streamkit import Client
from streamkit.parallel import errand
from tests.echoing import EchoServer


@pytest.fixture
def server() -> Iterator[EchoServer]:
    """A server that echoes."""
    with EchoServer() as server:
        yield server


@pytest.fixture
def client(server: EchoServer) -> Iterator[Client]:
    """A client of it."""
    with server.client() as client:
        yield client


@pytest.fixture
def errands(server: EchoServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A key where errands arrive, which is here; the clients that are made for them are closed at the end."""
    made: dict[bytes, Client] = {}
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-worker")
    monkeypatch.setattr(errand, "_clients", made)
    yield
    for client in made.values():
        client.close()
