"""The first example, as a user runs it, on the real model."""

from __future__ import annotations

import pathlib
import re
import signal
import subprocess
import sys

import pytest

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "basic.py"

pytestmark = [pytest.mark.model, pytest.mark.slow]


def start() -> subprocess.Popen[bytes]:
    """Run the example."""
    return subprocess.Popen([sys.executable, str(EXAMPLE)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_it_streams_and_counts() -> None:
    """It prints the answer, the tokens it took, and how fast they came."""
    with start() as process:
        out, err = process.communicate()
    counts = re.search(rb"\n\n\[Tokens: (\d+) prompt, (\d+) completion, (\d+) total\]\n", out)
    speed = re.search(rb"\n\[First token after (\d+\.\d\d) s, then (\d+) tokens per second\]\n$", out)

    assert (0, b"") == (process.returncode, err)
    assert out.startswith(b"=== Basic Streaming ===\n\n")
    assert counts is not None
    prompt, completion, total = map(int, counts.groups())
    assert 0 < completion <= 400
    assert prompt + completion == total
    assert speed is not None
    assert int(speed[2]) > 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_ctrl_c_keeps_what_has_come() -> None:
    """Interrupted after the first words, it says that it cancels, that it was cancelled, and how much it keeps."""
    header = len("=== Basic Streaming ===\n\n")
    with start() as process:
        assert process.stdout is not None
        began = process.stdout.read(header + 20)
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate()
    told = re.search(
        rb"\n\nCancelling\.\.\.\n\n\n\[Cancelled by user\]\n\[Kept: (\d+) characters, (\d+) words\]\n$", began + rest
    )

    assert (130, b"") == (process.returncode, err)
    assert told is not None
    printed = (began + rest).decode()[header:].partition("\n\nCancelling...")[0]
    assert int(told[1]) >= len(printed) > 0


def test_an_unknown_key_is_told() -> None:
    """Asked for openai without a key, it says what to set and fails."""
    ran = subprocess.run([sys.executable, str(EXAMPLE), "openai"], capture_output=True)

    assert 1 == ran.returncode
    assert b"OPENAI_API_KEY" in ran.stderr
