"""Claude's thinking, as a user watches it."""

from __future__ import annotations

import pytest

from streamkit.testing import ProviderServer, anthropic_answer
from tests.running import run_example

pytestmark = pytest.mark.slow


def test_thinking_comes_first() -> None:
    """Two headings, each with what is beneath it; what the API is asked is what the page asks."""
    with ProviderServer() as server:
        server.reply(anthropic_answer("At ", "18:05.", thinking="14:10 plus 3:55."))
        code, out, err = run_example("thinking.py", server=server)
        asked = server.requests[0].json()

    assert (0, "") == (code, err)
    assert out.startswith("=== Thinking ===\n14:10 plus 3:55.\n\n=== Response ===\nAt 18:05.\n\n[")
    assert "16 characters of thinking, 9 of text" in out
    assert {"type": "enabled", "budget_tokens": 5000} == asked["thinking"]


def test_a_missing_key_is_told() -> None:
    """It says what to set, and fails."""
    code, out, err = run_example("thinking.py")

    assert (1, "") == (code, out)
    assert "ANTHROPIC_API_KEY" in err
