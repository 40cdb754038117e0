"""A scripted server in the place of the embedded model."""

from __future__ import annotations

import contextlib
import importlib.util
import pathlib
from collections.abc import Iterator

import pytest

from streamkit import local
from streamkit.local import ModelServer
from streamkit.testing import ProviderServer

__all__ = ["embedded"]

_PROGRAM = """
import json, sys
told = json.loads(sys.stdin.buffer.readline())
print(json.dumps({"url": told["url"]}), flush=True)
sys.stdin.buffer.read()
"""


@contextlib.contextmanager
def embedded(monkeypatch: pytest.MonkeyPatch, folder: pathlib.Path) -> Iterator[ProviderServer]:
    """Give a scripted server; the embedded server, as if its wheels were there, starts a program that leads to it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    program = folder / "program.py"
    program.write_text(_PROGRAM)
    with ProviderServer() as scripted:
        server = ModelServer(program, lambda: {"url": scripted.url})
        monkeypatch.setattr(local, "_server", server)
        try:
            yield scripted
        finally:
            server.stop()
