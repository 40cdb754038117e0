"""The program of the embedded model server, with a stand-in for the engine: its protocol and parameters."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from streamkit import local_server

PROGRAM = pathlib.Path(local_server.__file__)

ENGINE = """
import json, os, types

class CommonParams(types.SimpleNamespace):
    def __init__(self):
        parts = ("model", "cpuparams", "cpuparams_batch", "sampling")
        super().__init__(**{name: types.SimpleNamespace() for name in parts})

class Server:
    def __init__(self, params):
        print("native code says hello", flush=True)
        os.write(1, b"by both ways\\n")
        told = json.dumps(params, default=lambda value: sorted(value) if isinstance(value, set) else vars(value))
        self.listening_address = told
"""


def run(tmp_path: pathlib.Path, settings: dict[str, Any]) -> subprocess.CompletedProcess[bytes]:
    """Run the program with the stand-in engine, to the end of its stdin."""
    (tmp_path / "xllamacpp.py").write_text(ENGINE)
    told = json.dumps({"path": [str(tmp_path), *sys.path], **settings}).encode() + b"\n"
    return subprocess.run([sys.executable, "-I", str(PROGRAM)], input=told, capture_output=True, timeout=60)


@pytest.fixture(name="params")
def fixture_params(tmp_path: pathlib.Path) -> dict[str, Any]:
    """What the engine was started with."""
    ran = run(tmp_path, {"model": "m.gguf", "template": "{{ t }}", "threads": 2, "key": "k"})
    params: dict[str, Any] = json.loads(json.loads(ran.stdout)["url"])
    return params


def test_the_engine_gets_the_settings(params: dict[str, Any]) -> None:
    """Model, template, threads and key arrive where the engine looks for them."""
    given = (params["model"]["path"], params["chat_template"], params["api_keys"])

    assert ("m.gguf", "{{ t }}", ["k"]) == given
    assert {"n_threads": 2} == params["cpuparams"] == params["cpuparams_batch"]


def test_only_this_machine_can_connect(params: dict[str, Any]) -> None:
    """The engine listens on the loopback address, on a port that the system chooses, and serves no page."""
    assert (["127.0.0.1"], 0, False) == (params["hostnames"], params["port"], params["ui"])


def test_an_answer_ends(params: dict[str, Any]) -> None:
    """An answer for which no bound was asked has one."""
    assert local_server.ANSWER == params["n_predict"] < local_server.CONTEXT


def test_only_the_answer_is_on_stdout(tmp_path: pathlib.Path) -> None:
    """What native code prints goes to stderr: stdout has one line. The end of stdin ends the program, with code 0."""
    ran = run(tmp_path, {"model": "", "template": "", "threads": 1, "key": "k"})

    assert (0, 1) == (ran.returncode, ran.stdout.count(b"\n"))
    assert b"native code says hello\nby both ways\n" == ran.stderr


def test_a_missing_engine_is_said_on_stderr(tmp_path: pathlib.Path) -> None:
    """A program that cannot import the engine ends with an error and no answer."""
    told = json.dumps({"path": []}).encode() + b"\n"
    ran = subprocess.run([sys.executable, "-I", str(PROGRAM)], input=told, capture_output=True, timeout=60)

    assert (1, b"") == (ran.returncode, ran.stdout)
    assert b"xllamacpp" in ran.stderr
