"""The batch on a Dask cluster, as a user has it run, stopped, and run again."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from tests.echoing import EchoServer
from tests.running import EXAMPLES, run_example

pytest.importorskip("distributed", reason="needs distributed")

pytestmark = pytest.mark.slow


def test_it_summarises_all(tmp_path: pathlib.Path) -> None:
    """By the workers of a cluster of its own; a second run asks nothing."""
    path = str(tmp_path / "summaries.jsonl")
    with EchoServer() as server:
        code, out, err = run_example("dask_batch.py", "openai", path, server=server)
        again, out_again, _ = run_example("dask_batch.py", "openai", path, server=server)
        asked = server.asked

    assert (0, 0) == (code, again), err
    assert {"ants", "hares"} < {line.partition(":")[0] for line in out.splitlines()}
    assert out.endswith("\n[8 of 8 summarised, 0 in an earlier run]\n")
    assert out_again.endswith("\n[8 of 8 summarised, 8 in an earlier run]\n")
    assert {1} == set(asked.values())
    assert "[8/8 done, 0 running" in err


def test_it_summarises_a_folder(tmp_path: pathlib.Path) -> None:
    """Its .txt files, one prompt each."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text(f"all about {name}")
    (tmp_path / "three.md").write_text("fail")
    with EchoServer() as server:
        code, out, err = run_example("dask_batch.py", "openai", str(tmp_path / "c"), str(tmp_path), server=server)

    assert 0 == code, err
    assert "one: all about one:0 all about one:1" in out
    assert "[2 of 2 summarised" in out


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_ctrl_c_and_on(tmp_path: pathlib.Path) -> None:
    """Interrupted, it says how to go on, and the workers' streams have ended; run again, it asks the rest."""
    for number in range(12):
        (tmp_path / f"{number:02}.txt").write_text(f"wait for {number}" if number > 3 else f"document {number}")
    path, folder = str(tmp_path / "c"), str(tmp_path)
    with EchoServer() as server:
        environment = {**os.environ, "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": server.base_url}
        command = [sys.executable, str(EXAMPLES / "dask_batch.py"), "openai", path, folder]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, env=environment, start_new_session=True, **pipes) as process:
            server.wait_for_request(8, timeout=30)
            os.killpg(process.pid, signal.SIGINT)  # to its workers, too, as a terminal does
            out, _ = process.communicate(timeout=30)
        server.wait_until(lambda: server.open_connections == 0)
        server.gate.set()
        code, out_again, err = run_example("dask_batch.py", "openai", path, folder, server=server)

    assert 130 == process.returncode
    assert "[4 of 12 summarised, 0 in an earlier run]" in out.decode()
    assert f"[Stopped. Run it again to go on: the answers are in {path}]" in out.decode()
    assert 0 == code, err
    assert "[12 of 12 summarised, 4 in an earlier run]" in out_again


def test_a_missing_key_is_told() -> None:
    """Asked for openai without a key, it says what to set and fails."""
    code, out, err = run_example("dask_batch.py", "openai")

    assert (1, "") == (code, out)
    assert "OPENAI_API_KEY" in err


@pytest.mark.model
def test_the_small_model_answers(tmp_path: pathlib.Path) -> None:
    """Without a key, by the model on this machine."""
    code, out, err = run_example("dask_batch.py", "local", str(tmp_path / "c"))

    assert 0 == code, err
    assert "[8 of 8 summarised, 0 in an earlier run]" in out
