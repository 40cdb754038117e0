"""Running an example as its user does, with a provider that a test has scripted."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

from streamkit.testing import ProviderServer

__all__ = ["run_example"]

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"


def run_example(
    name: str, *arguments: str, server: ProviderServer | None = None, cwd: pathlib.Path | None = None
) -> tuple[int, str, str]:
    """Give exit code, output and error output; `server` stands for OpenAI and Anthropic."""
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    if server is not None:
        environment |= {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": server.base_url}
        environment |= {"ANTHROPIC_API_KEY": "sk-test", "ANTHROPIC_BASE_URL": server.base_url.removesuffix("/v1")}
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    ran = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", env=environment, timeout=60, cwd=cwd
    )
    return ran.returncode, ran.stdout, ran.stderr
