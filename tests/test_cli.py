"""The command line as a whole: exit codes, and what is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import streamkit
from streamkit import errors
from streamkit.cli import exit_code, main


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError, 1),
        (errors.ProviderError, 2),
        (errors.Unauthorized, 2),
        (errors.DecodeError, 2),
        (errors.StreamTruncated, 2),
        (errors.ConnectFailed, 3),
        (errors.TLSFailed, 3),
        (errors.ConnectionLost, 3),
        (errors.ConnectTimeout, 4),
        (errors.FirstChunkTimeout, 4),
        (errors.StreamIdle, 4),
        (errors.StreamStalled, 4),
        (errors.DeadlineExceeded, 4),
        (errors.Cancelled, 130),
    ],
)
def test_an_error_has_its_exit_code(error: type[errors.StreamKitError], code: int) -> None:
    """Wrong use, the provider, the network, time and the user have codes of their own."""
    assert code == exit_code(error("x"))


def test_without_click_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where click is not installed, the message has the command that brings it."""
    monkeypatch.setitem(sys.modules, "click", None)

    assert 1 == main([])
    assert 'The command line needs click: pip install "streamkit-llm[cli]"\n' == capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "code", "out"),
    [
        (["--version"], 0, f"streamkit, version {streamkit.__version__}\n"),
        (["chat", "--help"], 0, "--timeout SECONDS"),
        (["chat", "--no-such-option"], 1, ""),
        (["no-such-command"], 1, ""),
    ],
)
def test_use_and_wrong_use(args: list[str], code: int, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Asking for help or the version succeeds, wrong use is code 1 and explained on stderr."""
    assert code == main(args)

    said = capsys.readouterr()

    assert out in said.out
    assert bool(said.err) == bool(code)


@pytest.mark.slow
def test_the_package_can_be_run() -> None:
    """`python -m streamkit` is the command line."""
    ran = subprocess.run([sys.executable, "-m", "streamkit", "--version"], capture_output=True, text=True)

    assert (0, f"streamkit, version {streamkit.__version__}\n") == (ran.returncode, ran.stdout)
