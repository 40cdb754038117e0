"""How durable streams are named to the user."""

from __future__ import annotations

from streamkit.integrations.durable.store import named


def test_names_are_shown_harmlessly() -> None:
    """They come from URLs: bounded, control characters escaped."""
    assert "durable stream 'a'" == named("a")
    assert "\x1b" not in named("\x1b[2J") and "\n" not in named("a\nb")
    assert 100 > len(named("x" * 500))
