"""The haiku, as a user has it written."""

from __future__ import annotations

import re

import pytest

from streamkit.testing import ProviderServer, chat_answer
from tests.running import run_example

HAIKU = ("Moon on ", "black water\n", "a wave forgets ", "its own name\n", "the shore remembers")

pytestmark = pytest.mark.slow


def test_it_writes_and_counts() -> None:
    """It prints the text as it came, then who wrote it and for how many tokens."""
    with ProviderServer() as server:
        server.reply(chat_answer(*HAIKU))
        code, out, err = run_example("haiku.py", "openai", server=server)
        asked = server.requests[0].json()

    assert (0, "") == (code, err)
    assert "".join(HAIKU) + "\n\n[gpt-4o: 10 tokens, ended by 'stop']\n" == out
    assert ["system", "user"] == [message["role"] for message in asked["messages"]]


def test_a_cut_answer_is_told() -> None:
    """What had come is printed, then the error, and it fails."""
    with ProviderServer() as server:
        server.reply(chat_answer(*HAIKU)[:4])
        code, out, err = run_example("haiku.py", "openai", server=server)

    assert (1, "Moon on black water\n\n") == (code, out)
    assert err.startswith("Streaming error: ")


def test_a_missing_key_is_told() -> None:
    """Asked for openai without a key, it says what to set and fails."""
    code, out, err = run_example("haiku.py", "openai")

    assert (1, "") == (code, out)
    assert "OPENAI_API_KEY" in err


@pytest.mark.model
def test_the_small_model_writes() -> None:
    """Without arguments the model on this machine writes something."""
    code, out, err = run_example("haiku.py")

    assert (0, "") == (code, err)
    assert re.search(r"\S.*\n\n\[smollm2-135m: \d+ tokens, ended by '(stop|length)'\]\n$", out, re.DOTALL)
