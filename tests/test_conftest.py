"""What conftest.py promises of every test, tried on tests that break it."""

from __future__ import annotations

import os
import pathlib

import pytest

pytest_plugins = ["pytester"]

CONFTEST = pathlib.Path(__file__).with_name("conftest.py")

CLEAN = """
import socket, threading

def test_clean():
    thread = threading.Thread(target=print)
    thread.start()
    socket.create_server(("127.0.0.1", 0)).close()
"""

THREAD = """
import threading, time

def test_leaves_a_thread():
    threading.Thread(target=threading.Event().wait, name="forgotten", daemon=True).start()
"""

SOCKET = """
import socket

kept = []

def test_leaves_a_socket():
    kept.append(socket.create_server(("127.0.0.1", 0)))
"""

MODEL = """
import pytest

@pytest.mark.model
def test_asks_the_model():
    pass
"""


@pytest.fixture(name="run")
def fixture_run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A pytest with our conftest.py, less patient."""
    pytester.makeconftest(CONFTEST.read_text().replace("PATIENCE = 2.0", "PATIENCE = 0.2"))
    pytester.makeini("[pytest]\nmarkers =\n    model: asks the real local model\n")
    monkeypatch.setenv("PYTHONPATH", str(CONFTEST.parents[1]))
    monkeypatch.delenv("STREAMKIT_REQUIRE_MODEL", raising=False)
    return pytester


@pytest.mark.slow
@pytest.mark.parametrize(
    ("test", "outcomes", "said"),
    [
        (CLEAN, {"passed": 1}, "*"),
        (THREAD, {"passed": 1, "errors": 1}, "*threads left alive: forgotten*"),
        (SOCKET, {"passed": 1, "errors": 1}, "*1 sockets left open*"),
    ],
)
def test_what_is_left_behind_is_an_error(run: pytest.Pytester, test: str, outcomes: dict[str, int], said: str) -> None:
    """A thread or a socket that outlives its test fails it; one that ends does not."""
    run.makepyfile(test)
    result = run.runpytest_subprocess()

    result.assert_outcomes(**outcomes)
    result.stdout.fnmatch_lines([said])


@pytest.mark.slow
@pytest.mark.parametrize(("required", "outcomes"), [("", {"skipped": 1}), ("1", {"passed": 1})])
def test_the_model_is_optional(
    run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, required: str, outcomes: dict[str, int]
) -> None:
    """Where the wheels are missing, tests of the model are skipped with the commands, unless they are required."""
    run.makepyfile(MODEL)
    run.makepyfile(sitecustomize="import sys\nsys.modules['xllamacpp'] = None\n")
    monkeypatch.setenv("PYTHONPATH", f"{run.path}{os.pathsep}{CONFTEST.parents[1]}")
    monkeypatch.setenv("STREAMKIT_REQUIRE_MODEL", required)
    result = run.runpytest_subprocess("-rs")

    result.assert_outcomes(**outcomes)


@pytest.mark.slow
def test_the_users_keys_are_unseen(run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, addresses and proxies of the environment do not reach a test."""
    names = ["OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTPS_PROXY", "no_proxy"]
    for name in names:
        monkeypatch.setenv(name, "x")
    run.makepyfile(
        f"import os\n\ndef test_unseen():\n    assert not {names!r} & os.environ.keys()\n".replace("[", "{").replace(
            "]", "}"
        )
    )
    run.runpytest_subprocess().assert_outcomes(passed=1)
