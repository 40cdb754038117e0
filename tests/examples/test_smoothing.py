"""An even pace, as a user watches it."""

from __future__ import annotations

import re

import pytest

from streamkit.testing import ProviderServer, chat_answer
from tests.running import run_example

pytestmark = pytest.mark.slow


def test_nothing_is_lost() -> None:
    """The text is printed whole, and the outcome is that of the stream beneath."""
    with ProviderServer() as server:
        server.reply(chat_answer("Once upon", " a ti", "me."))
        code, out, err = run_example("smoothing.py", "openai", server=server)

    assert (0, "") == (code, err)
    assert re.fullmatch(r"Once upon a time\.\n\n\[4 pieces came, \d went; \d+ tokens\]\n", out)


def test_a_cut_answer_is_told() -> None:
    """What had come is printed, then the error."""
    with ProviderServer() as server:
        server.reply(chat_answer("Once upon", " a ti", "me.")[:4])
        code, out, err = run_example("smoothing.py", "openai", server=server)

    assert (1, "Once upon a ti\n") == (code, out)
    assert err.startswith("\nStreaming error: ")
