"""`python -m benchmarks`: take the figures and print them as a table; progress goes to stderr."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from benchmarks import cancel, durable, executors, large_event, latency, leak, objects, parallel, per_chunk, startup
from benchmarks.bench import Bench, serving
from benchmarks.row import Row

__all__ = ["FAMILIES", "main", "table"]

FAMILIES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "per_chunk": per_chunk.measure,
    "startup": startup.measure,
    "latency": latency.measure,
    "parallel": parallel.measure,
    "executors": executors.measure,
    "cancel": cancel.measure,
    "large_event": large_event.measure,
    "objects": objects.measure,
    "durable": durable.measure,
    "leak": leak.measure,
}
COLUMNS = ("figure", "streamkit", "peer", "ratio", "goal", "ok")


def main(args: Sequence[str] | None = None) -> None:
    """Run the command."""
    options = _options(args)
    rows: list[Row] = []
    begin = time.monotonic()
    with serving(quick=options.quick) as bench:
        for name in options.only or FAMILIES:
            rows.extend(FAMILIES[name](bench))
    bench.tell(f"took {time.monotonic() - begin:.0f} s")
    print(table(rows))
    if options.json is not None:
        report = {**_circumstances(), "quick": options.quick, "rows": [attrs.asdict(row) for row in rows]}
        options.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def table(rows: Iterable[Row]) -> str:
    """Give the rows as a table of text."""
    lines = [COLUMNS, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _options(args: Sequence[str] | None) -> Any:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure streamkit against its peers.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: shows that it works, and no more")
    parser.add_argument("--only", nargs="+", choices=list(FAMILIES), metavar="NAME", help=f"of {', '.join(FAMILIES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file, too")
    return parser.parse_args(args)


def _cells(row: Row) -> tuple[str, ...]:
    peer = f"{_shown(row.peer, row.unit)} {row.peer_name}" if row.peer is not None else "-"
    return (
        row.figure,
        row.note or _shown(row.streamkit, row.unit),
        peer,
        "-" if row.ratio is None else f"{row.ratio:.3f}",
        row.goal or "-",
        "-" if row.ok is None else "yes" if row.ok else "NO",
    )


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    size = abs(value)
    digits = 0 if size == int(size) or size >= 100 else 3 if size < 1 else 2
    return f"{value:.{digits}f} {unit}".rstrip()


def _circumstances() -> dict[str, Any]:
    """Say where and with what the figures were taken."""
    packages = ("streamkit-llm", "requests", "urllib3", "sseclient-py", "msgspec", "openai", "jiter", "instructor")
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "packages": {name: _version(name) for name in packages},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
