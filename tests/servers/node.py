"""The node that aimock runs on: where it is. Also a program, for the Makefile: it exits with 1 where there is none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

__all__ = ["OLDEST", "find_node"]

OLDEST = (20, 15)
"""The oldest version that will do: aimock's package says so."""


def find_node() -> str | None:
    """Give the path of the node beside this Python, else of the system's; None where neither is new enough."""
    for folders in (os.path.dirname(sys.executable), None):
        node = shutil.which("node", path=folders)
        if node is not None and _version(node) >= OLDEST:
            return node
    return None


def _version(node: str) -> tuple[int, ...]:
    ran = subprocess.run([node, "--version"], stdout=subprocess.PIPE, text=True, timeout=60)
    return tuple(int(number) for number in re.findall(r"\d+", ran.stdout))


if __name__ == "__main__":
    sys.exit(find_node() is None)
