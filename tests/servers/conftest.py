"""Servers that others wrote, to stream from: llama.cpp with the local model, and aimock.

`make test-servers` installs both. What is missing is skipped with the reason, or fails where STREAMKIT_REQUIRE_MODEL
(llama.cpp) or STREAMKIT_REQUIRE_SERVERS (aimock) is set. Each server is a child process that ends when its stdin does,
so none is left behind, however the tests end.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from tests.loopback import KEY
from tests.servers.node import OLDEST, find_node

AIMOCK = pathlib.Path(__file__).with_name("aimock")


@pytest.fixture(scope="session")
def aimock_command() -> list[str]:
    """What runs aimock with a key: it says its address on stdout, and ends when its stdin does."""
    node = find_node()
    if node is None:
        _missing("aimock needs node {}.{} or newer, which is not here: make test-servers".format(*OLDEST))
    if not (AIMOCK / "node_modules" / "@copilotkit" / "aimock").is_dir():
        _missing("aimock is not installed: make test-servers")
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


def _missing(reason: str) -> None:
    if os.environ.get("STREAMKIT_REQUIRE_SERVERS"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
