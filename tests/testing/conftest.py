"""A scripted server for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streamkit.testing import ProviderServer


@pytest.fixture
def server() -> Iterator[ProviderServer]:
    """A server of its own for each test."""
    with ProviderServer() as server:
        yield server
