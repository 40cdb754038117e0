"""One answer for three readers, as a user runs it."""

from __future__ import annotations

import pathlib

import pytest

from streamkit.testing import ProviderServer, chat_answer
from tests.running import run_example

pytestmark = pytest.mark.slow


def test_all_three_have_it(tmp_path: pathlib.Path) -> None:
    """It is printed, logged piece by piece, and kept."""
    with ProviderServer() as server:
        server.reply(chat_answer("Nile, ", "Rhine, ", "Po"))
        code, out, err = run_example("fan_out.py", "openai", server=server, cwd=tmp_path)
    log = (tmp_path / "fan_out.log").read_text(encoding="utf-8")

    assert (0, "") == (code, err)
    assert out.startswith("Nile, Rhine, Po\n[15 characters kept, ")
    assert "token: 'Nile, '\ntoken: 'Rhine, '\ntoken: 'Po'\n" in log


def test_an_answer_that_cannot_be_opened(tmp_path: pathlib.Path) -> None:
    """It is told, and nobody waits for ever."""
    code, out, err = run_example("fan_out.py", "openai", cwd=tmp_path)

    assert (1, "") == (code, out)
    assert "OPENAI_API_KEY" in err
