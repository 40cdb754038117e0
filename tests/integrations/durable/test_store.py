"""How durable streams are named to the user."""

from __future__ import annotations

from streamkit.integrations.durable.store import told


def test_names_are_shown_harmlessly() -> None:
    """They come from URLs: bounded, control characters escaped."""
    assert "the durable stream 'a'" == told("a")
    assert "\x1b" not in told("\x1b[2J") and "\n" not in told("a\nb")
    assert 100 > len(told("x" * 500))
