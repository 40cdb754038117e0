"""The pictures of the chat page in the docs, taken anew by `python -m tests.browser.screenshots`."""

from __future__ import annotations

import pathlib
import re
import sys
from typing import TYPE_CHECKING

from streamkit.integrations.chat_page import chat_page
from streamkit.integrations.wsgi_server import serving
from streamkit.testing import Event, Pause, ProviderServer, Step, chat_answer
from tests.browser.chat import Chat
from tests.browser.conftest import start_chromium
from tests.loopback import client_of

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

__all__ = ["IMAGES", "take"]

IMAGES = pathlib.Path(__file__).parents[2] / "docs" / "images"

QUESTION = "When do I want threads, and when processes?"
THINKING = "They ask about concurrency in Python. A table will say it best."
ANSWER = """Ask what the work **waits for**:

| | threads | processes |
|---|---|---|
| good for | waiting: sockets, files | computing |
| memory | shared | their own |
| to start | 0.05 ms | 30 ms |

A stream of tokens is nearly all waiting, so a thread and a queue are enough:

```python
from streamkit import Client, Local

with Client(Local()) as client:
    stream = client.chat().user("Hello").get_stream()
    for chunk in stream.ch:
        print(chunk.content, end="", flush=True)
```
"""


def take(driver: Chrome, folder: pathlib.Path) -> None:
    """Write chat-light.png and chat-dark.png."""
    with ProviderServer() as server, client_of(server) as client, serving(chat_page(client.chat("gpt-4o"))) as url:
        server.reply(*_paced())
        chat = Chat(driver, url)
        size = {"width": 900, "height": 860, "deviceScaleFactor": 1, "mobile": False}
        chat.command("Emulation.setDeviceMetricsOverride", **size)
        try:
            chat.open()
            chat.ask(QUESTION)
            chat.wait_state("done")
            for scheme in ("light", "dark"):
                preferred = [{"name": "prefers-color-scheme", "value": scheme}]
                chat.command("Emulation.setEmulatedMedia", features=preferred)
                driver.save_screenshot(str(folder / f"chat-{scheme}.png"))
        finally:
            chat.command("Emulation.clearDeviceMetricsOverride")
            chat.command("Emulation.setEmulatedMedia", features=[])
            driver.get("about:blank")


def _paced() -> list[Step]:
    """The answer, as fast as a model gives it."""
    steps: list[Step] = []
    for step in chat_answer(*re.findall(r"\s*\S{1,5}|\s+", ANSWER), thinking=THINKING):
        steps += [step, Pause(0.01)] if isinstance(step, Event) else [step]
    return steps


def main() -> None:
    """Take them for the docs."""
    IMAGES.mkdir(exist_ok=True)
    driver = start_chromium()
    try:
        take(driver, IMAGES)
    finally:
        driver.quit()


if __name__ == "__main__":
    sys.exit(main())
