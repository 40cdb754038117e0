"""The process that measures: `python -m benchmarks.worker MODULE.FUNCTION [ARG...]`.

The function is a generator: it prepares, then yields one measurement a round. For each line on stdin one is printed, as
JSON; at the end of stdin the process ends. With `--without-msgspec` in first place importing msgspec fails, which makes
it a core install. Imports next to nothing, so that it may also measure how long a process takes to start.
"""

from __future__ import annotations

import importlib
import json
import sys

__all__: list[str] = []


def _main(args: list[str]) -> None:
    if args[0] == "--without-msgspec":
        sys.modules["msgspec"] = None  # type: ignore[assignment]  # how Python is told that there is no such module
        args = args[1:]
    module, _, function = args[0].rpartition(".")
    rounds = getattr(importlib.import_module(f"benchmarks.{module}"), function)(*args[1:])
    for _ in sys.stdin:
        print(json.dumps(next(rounds)), flush=True)


if __name__ == "__main__":
    _main(sys.argv[1:])
