"""Servers that others wrote: llama.cpp with the local model, and aimock, to stream from; Redis, to keep answers in.

`make test-servers` installs them. What is missing is skipped with the reason, or fails where STREAMKIT_REQUIRE_MODEL
(llama.cpp) or STREAMKIT_REQUIRE_SERVERS (the others) is set. Each server is a child process that ends when its stdin
does, so none is left behind, however the tests end.
"""

from __future__ import annotations

import json
import pathlib
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.loopback import KEY
from tests.missing import missing
from tests.redis_server import RedisServer, needs_redis
from tests.servers.node import OLDEST, find_node

if TYPE_CHECKING:
    from streamkit.integrations.redis import DurableStreams

AIMOCK = pathlib.Path(__file__).with_name("aimock")


@pytest.fixture(scope="session")
def aimock_command() -> list[str]:
    """What runs aimock with a key: it says its address on stdout, and ends when its stdin does."""
    node = find_node()
    if node is None:
        missing("aimock needs node {}.{} or newer, which is not here: make test-servers".format(*OLDEST))
    if not (AIMOCK / "node_modules" / "@copilotkit" / "aimock").is_dir():
        missing("aimock is not installed: make test-servers")
    return [str(node), str(AIMOCK / "serve.mjs"), KEY]


@pytest.fixture(scope="session")
def aimock(aimock_command: list[str]) -> Iterator[str]:
    """The address of an aimock, one for all tests."""
    with subprocess.Popen(aimock_command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        if not said:
            pytest.fail("aimock did not start, and said why on stderr: make test-servers", pytrace=False)
        yield str(json.loads(said)["url"])


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The address of a Redis that keeps nothing on its disk, one for all tests."""
    needs_redis()
    with RedisServer("--appendonly", "no") as server:
        yield server.url


@pytest.fixture
def durables(redis_url: str) -> Iterator[Callable[..., DurableStreams]]:
    """What gives durable streams of the test's own, with these settings; closed at the end."""
    from streamkit.integrations.redis import DurableStreams

    prefix = f"{secrets.token_hex(4)}:"
    with ExitStack() as stack:

        def made(server: Any = redis_url, **settings: Any) -> DurableStreams:
            return stack.enter_context(DurableStreams(server, **{"prefix": prefix, **settings}))

        yield made


@pytest.fixture
def durable(durables: Callable[..., DurableStreams]) -> DurableStreams:
    """Durable streams with the settings that everybody has."""
    return durables()
