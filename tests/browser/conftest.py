"""A headless Chromium with the chat page in it, before the scripted provider.

`make test-browser` installs what is needed. Without it these tests are skipped with the reason, or fail where
STREAMKIT_REQUIRE_SERVERS is set.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from streamkit import Client
from streamkit.integrations.chat_page import ChatPage, chat_page
from streamkit.integrations.wsgi_server import serving
from tests.missing import needed_package, needed_program

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from tests.browser.chat import Chat


def start_chromium(*arguments: str) -> Chrome:
    """Start a Chromium; nothing is downloaded for it, and nobody is told."""
    os.environ |= {"SE_OFFLINE": "true", "SE_AVOID_STATS": "true"}
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})  # type: ignore[no-untyped-call]
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    for argument in ("--headless=new", "--disable-dev-shm-usage", "--hide-scrollbars", *sandbox, *arguments):
        options.add_argument(argument)
    return Chrome(options=options, service=ChromeService(shutil.which("chromedriver")))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chrome]:
    """A browser, one for all tests."""
    for program in ("chromium", "chromedriver"):
        needed_program(program, "test-browser")
    needed_package("selenium", "test-browser")
    driver = start_chromium("--window-size=1000,800")
    yield driver
    driver.quit()


@pytest.fixture
def app(client: Client) -> ChatPage:
    """The application: GPT-4o, as the scripted server plays it."""
    return chat_page(client.chat("gpt-4o"), keep_alive=1.0)


@pytest.fixture
def chat(chromium: Chrome, app: ChatPage) -> Iterator[Chat]:
    """The page, open; in the end there must be no complaint in the console that the test has not asked for."""
    from tests.browser.chat import Chat

    with serving(app) as url:
        chat = Chat(chromium, url)
        chat.complaints()
        chat.open()
        yield chat
        left = chat.complaints()
        chat.run("sessionStorage.clear()")
        chromium.get("about:blank")

    assert [] == left
