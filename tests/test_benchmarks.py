"""The benchmarks run: their command, on the family that needs no peer, prints its table and writes its file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.bench import Worker, serving

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_command_prints_a_table_and_writes_json(tmp_path: Path) -> None:
    """`python -m benchmarks` takes the figures asked for, prints one row each, and writes the same to the file."""
    file = tmp_path / "figures.json"

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--only", "large_event", "--json", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    head, rule, *lines = [[cell.strip() for cell in line.split("|")] for line in done.stdout.splitlines()]
    assert ["figure", "streamkit", "peer", "ratio", "goal", "ok"] == head
    assert {"-"} == set("".join(rule))
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert (
        ["one event of 8 MB", "one event: 16 MB / 8 MB"]
        == [line[0] for line in lines]
        == [row["figure"] for row in rows]
    )
    assert all(row["streamkit"] > 0 for row in rows)
    assert "one event of 8 MB and of 16 MB" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("client", ["streamkit", "instructor"])
def test_a_client_reads_the_partials_of_an_object(client: str) -> None:
    """It asks the server, and reads to the whole object: the figure is of the work that its name says."""
    pytest.importorskip("pydantic")
    if client != "streamkit":
        pytest.importorskip(client)

    with serving(quick=True) as bench, Worker("objects.streamed", client, bench.url("catalogue", 20), "20") as worker:
        assert worker.measure() > 0


def test_an_unknown_family_is_refused() -> None:
    """A name that is no family of figures ends the command with the list of those there are."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--only", "nothing"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert 2 == done.returncode
    assert "large_event" in done.stderr
