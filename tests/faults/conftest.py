"""A scripted server for each test, and none of the user's certificates and passwords."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from streamkit.testing import ProviderServer
from tests.faults.scenes import Scene
from tests.loopback import CA_VARIABLES


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Hide the user's CA bundles and netrc."""
    for name in CA_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.fixture
def scene(server: ProviderServer) -> Iterator[Scene]:
    """A generation that may be held; at the end everything is let go of, also in a test that fails."""
    scene = Scene(server)
    yield scene
    scene.free.set()
