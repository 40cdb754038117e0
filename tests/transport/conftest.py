"""None of the user's certificates and passwords."""

from __future__ import annotations

import pathlib

import pytest

from tests.loopback import CA_VARIABLES


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Hide the user's CA bundles and netrc."""
    for name in CA_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
