"""The scripts; what they do is in tests/servers, as only Redis knows it."""

from __future__ import annotations

import hashlib

import pytest

from streamkit.integrations.durable import scripts
from streamkit.integrations.durable.scripts import Script

SCRIPTS = {name: found for name in scripts.__all__ if isinstance(found := getattr(scripts, name), Script)}


@pytest.mark.parametrize("name", SCRIPTS)
def test_redis_knows_it_by_its_digest(name: str) -> None:
    """The SHA-1 of its text."""
    script = SCRIPTS[name]

    assert hashlib.sha1(script.text.encode()).hexdigest() == script.sha


def test_no_two_are_the_same() -> None:
    """There are six."""
    assert 6 == len({script.sha for script in SCRIPTS.values()})
