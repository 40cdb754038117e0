"""Running an example that serves, as its user does, until Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from streamkit.testing import ProviderServer
from tests.running import EXAMPLES

__all__ = ["example_serving"]


@contextmanager
def example_serving(name: str, server: ProviderServer) -> Iterator[tuple[str, str]]:
    """Give what an example says first, and its address, while it serves on a free port; `server` stands for OpenAI."""
    command = [sys.executable, str(EXAMPLES / name), "openai", "0"]
    environment = {**os.environ, "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": server.base_url}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        port = re.search(r":(\d+)$", said)
        try:
            assert port is not None, process.communicate()[1]
            yield said, f"http://127.0.0.1:{port[1]}"
        finally:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=10)
    errors = [line for line in err.splitlines() if "GET /" not in line]  # which some servers log
    assert (0, []) == (process.returncode, errors), (process.returncode, err)
