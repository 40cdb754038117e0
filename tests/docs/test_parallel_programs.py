"""The programs of the guide to batches, each run as its reader would: they begin processes, which import them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.echoing import EchoServer, echo

pytestmark = pytest.mark.slow

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "parallel.md"
PROGRAMS = re.findall(r"^```py\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(2))
def test_a_program_of_the_guide_runs(number: int, tmp_path: Path) -> None:
    """To its end, with the answers."""
    program = PROGRAMS[number]
    if "distributed" in program:
        pytest.importorskip("distributed", reason="needs distributed")
    path = tmp_path / "program.py"
    path.write_text(program, encoding="utf-8")
    with EchoServer() as server:
        environment = {**os.environ, "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": server.base_url}
        ran = subprocess.run(
            [sys.executable, str(path)], capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60
        )
        asked = server.asked

    assert 0 == ran.returncode, ran.stderr
    assert {1} == set(asked.values())
    for prompt in asked:
        assert set(echo(prompt).split()) <= set(ran.stdout.split())


def test_there_are_two() -> None:
    """None is left out."""
    assert 2 == len(PROGRAMS)
