"""The pictures in the docs can be taken again."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

import pytest

from tests.browser.screenshots import IMAGES, take

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_the_screenshots(chromium: Chrome, tmp_path: pathlib.Path) -> None:
    """One of each scheme, as the docs have them, of the same size, and small enough for a page."""
    take(chromium, tmp_path)
    taken = {path.name: _size(path) for path in tmp_path.iterdir()}

    assert {"chat-light.png": (900, 860), "chat-dark.png": (900, 860)} == taken
    assert taken == {path.name: _size(path) for path in IMAGES.glob("chat-*.png")}
    assert all(path.stat().st_size < 150_000 for path in IMAGES.glob("*.png"))


def _size(path: pathlib.Path) -> tuple[int, int]:
    """Width and height of a PNG."""
    head = path.read_bytes()[:24]

    assert head.startswith(b"\x89PNG")
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
