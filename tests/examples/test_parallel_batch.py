"""The batch, as a user has it run, stopped, and run again."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from tests.echoing import EchoServer
from tests.running import EXAMPLES, run_example

pytestmark = pytest.mark.slow


def test_it_answers_all_and_draws_a_bar(tmp_path: pathlib.Path) -> None:
    """Answers in order on stdout, the bar on stderr; a second run asks nothing."""
    path = str(tmp_path / "answers.jsonl")
    with EchoServer() as server:
        code, out, err = run_example("parallel_batch.py", "openai", path, server=server)
        again, out_again, _ = run_example("parallel_batch.py", "openai", path, server=server)
        asked = server.asked
    lines = out.splitlines()

    assert (0, 0) == (code, again)
    assert ["ant", "bear", "cat"] == [line.partition(":")[0] for line in lines[:3]]
    assert "[14 of 14 answered, 0 in an earlier run]" == lines[-1]
    assert lines[:-1] == out_again.splitlines()[:-1]
    assert out_again.endswith("[14 of 14 answered, 14 in an earlier run]\n")
    assert {1} == set(asked.values())
    assert f"[{'#' * 30}] 14/14" in err


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_ctrl_c_and_on(tmp_path: pathlib.Path) -> None:
    """Interrupted, it says how to go on; run again, it asks only what was not answered."""
    path = str(tmp_path / "answers.jsonl")
    with EchoServer(pieces=200) as server:
        environment = {**os.environ, "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": server.base_url}
        command = [sys.executable, str(EXAMPLES / "parallel_batch.py"), "openai", path]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            server.wait_for_request(6)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=30)
        first = server.asked
        code, out_again, _ = run_example("parallel_batch.py", "openai", path, server=server)
        asked = server.asked

    assert 130 == process.returncode
    assert f"[Stopped. Run it again to go on: the answers are in {path}]" in out.decode()
    assert 0 == code
    assert "[14 of 14 answered" in out_again
    assert 14 == len(asked)
    assert asked.total() <= 14 + 4
    assert first.total() < 14


def test_a_missing_key_is_told() -> None:
    """Asked for openai without a key, it says what to set and fails."""
    code, out, err = run_example("parallel_batch.py", "openai")

    assert (1, "") == (code, out)
    assert "OPENAI_API_KEY" in err


@pytest.mark.model
def test_the_small_model_answers(tmp_path: pathlib.Path) -> None:
    """Without a key, by the model on this machine."""
    code, out, _ = run_example("parallel_batch.py", "local", str(tmp_path / "answers.jsonl"))

    assert 0 == code
    assert "[14 of 14 answered, 0 in an earlier run]" in out
