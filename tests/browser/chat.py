"""The chat page in a browser, as its user sees it: what tests do with it, and what they wait for.

Importing it does not need selenium, so that tests can be collected, and skipped, without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

__all__ = ["ENTER", "ESCAPE", "SHIFT", "TAB", "Chat"]

TAB, ENTER, SHIFT, ESCAPE = "\ue004", "\ue007", "\ue008", "\ue00c"
"""Keys, as WebDriver names them."""

PATIENCE = 15.0
"""Seconds that what must come may take."""


class Chat:
    """A chat page that is open in a browser."""

    def __init__(self, driver: Chrome, url: str) -> None:
        self.driver = driver
        self.url = url

    def open(self) -> None:
        """Go there, and wait until it can be used."""
        self.driver.get(self.url)
        self.ready()

    def ready(self) -> None:
        """Wait until the page has begun: it has the focus in its field then."""
        self.until(lambda: self.run("return document.activeElement?.id === 'input' && document.title !== 'streamkit'"))

    def reload(self) -> None:
        """Load it again, as the user's key does."""
        self.driver.refresh()
        self.ready()

    # -- what a user does

    def ask(self, text: str) -> None:
        """Type a question and send it."""
        self.find("#input").send_keys(text, ENTER)

    def press(self, *keys: str, shift: bool = False) -> None:
        """Press keys, one after the other, wherever the focus is."""
        from selenium.webdriver import ActionChains

        for key in keys:
            chain = ActionChains(self.driver)
            if shift:
                chain.key_down(SHIFT).send_keys(key).key_up(SHIFT).perform()
            else:
                chain.send_keys(key).perform()

    def click(self, selector: str) -> None:
        """Click what is there, brought out from under the bars at the page's top and bottom."""
        self.run("arguments[0].scrollIntoView({ block: 'center', behavior: 'instant' })", self.find(selector))
        self.find(selector).click()

    # -- what a user sees

    def find(self, selector: str) -> WebElement:
        """Give the last of these elements."""
        return self.driver.find_elements("css selector", selector)[-1]

    def count(self, selector: str) -> int:
        """How many of these elements there are."""
        return len(self.driver.find_elements("css selector", selector))

    def text(self, selector: str = ".prose") -> str:
        """Give the text of the last of these elements, shown or not; "" where there is none."""
        return str(self.run("return [...document.querySelectorAll(arguments[0])].at(-1)?.textContent ?? ''", selector))

    def shown(self, selector: str) -> bool:
        """Whether the last of these elements is to be seen."""
        return self.find(selector).is_displayed()

    @property
    def state(self) -> str | None:
        """The state of the last answer."""
        return str(self.run("return [...document.querySelectorAll('.turn')].at(-1)?.dataset.state ?? ''"))

    def wait_text(self, text: str, selector: str = ".prose") -> None:
        """Wait until the last of these elements has exactly this text."""
        self.until(lambda: self.text(selector) == text, lambda: f"{self.text(selector)!r} instead of {text!r}")

    def wait_state(self, state: str) -> None:
        """Wait until the last answer is in this state."""
        self.until(lambda: self.state == state, lambda: f"the answer is {self.state!r}, not {state!r}")

    def until(self, condition: Callable[[], object], said: Callable[[], str] = str) -> None:
        """Wait until something holds."""
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(self.driver, PATIENCE, poll_frequency=0.02).until(lambda _: condition(), said())

    # -- what a test asks

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page and give what it returns."""
        return self.driver.execute_script(script, *arguments)

    def command(self, name: str, **parameters: Any) -> Any:
        """Run a command of the browser's own protocol."""
        return self.driver.execute_cdp_cmd(name, parameters)

    def complaints(self) -> list[str]:
        """Give what the console has as warnings and errors since it was last asked; violations of the CSP, too."""
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries if entry["level"] in ("WARNING", "SEVERE")]
