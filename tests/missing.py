"""What tests need beside streamkit and its test packages: found, or the test says how to install it."""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import NoReturn

import pytest

__all__ = ["missing", "needed_package", "needed_program"]

_PLACES = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
"""Debian puts servers where only root's shell looks."""


def missing(reason: str) -> NoReturn:
    """Skip the test with the reason, or fail it where STREAMKIT_REQUIRE_SERVERS is set."""
    if os.environ.get("STREAMKIT_REQUIRE_SERVERS"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def needed_program(name: str, target: str) -> str:
    """Give the path of a program; `missing` where there is none. `target` is what `make` installs it with."""
    return shutil.which(name, path=_PLACES) or missing(f"{name} is not installed: make {target}")


def needed_package(name: str, target: str) -> None:
    """Do nothing where a package can be imported; else `missing`."""
    if importlib.util.find_spec(name) is None:
        missing(f"the package {name} is not installed: make {target}")
