"""The page for all who use it: keys alone, a screen reader, little room, either colour scheme, long answers."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from streamkit.testing import Gate, ProviderServer, Stall, Wait, chat_answer, error_answer
from tests.browser.chat import ENTER, ESCAPE, TAB, Chat

pytestmark = pytest.mark.browser

EVERYTHING = """# Heading

A paragraph with **bold**, *italics*, `code`, ~~deleted~~ and [a link](https://example.org/).

- [x] done
- item
  1. nested

> A quote.

| a | b |
|---|---|
| 1 | 2 |

```python
print("Hello")
```
"""

_NAMES = """
return [...document.querySelectorAll("button, textarea, a, summary, img, [role]")]
  .filter((node) => node.checkVisibility())
  .filter((node) => {
    const label = node.labels?.[0]?.textContent ?? node.getAttribute("aria-label") ?? node.getAttribute("alt");
    return label === null && node.textContent.trim() === "" && node.id !== "announcer";
  })
  .map((node) => node.outerHTML);
"""

_CONTRASTS = """
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
function over(color, ground) {
  canvas.fillStyle = `rgb(${ground.join(" ")})`;
  canvas.fillRect(0, 0, 1, 1);
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
}
function ground(node) {
  const chain = [];
  for (let at = node; at !== null; at = at.parentElement) chain.unshift(getComputedStyle(at).backgroundColor);
  return chain.reduce((below, color) => over(color, below), [255, 255, 255]);
}
function luminance(rgb) {
  const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (walker.currentNode.data.trim() === "" || !node.checkVisibility() || node.closest(".unseen, :disabled")) continue;
  const below = ground(node);
  const ratio = contrast(over(getComputedStyle(node).color, below), below);
  if (ratio < 4.5) found.push([ratio.toFixed(2), node.tagName, walker.currentNode.data.trim()]);
}
return found;
"""


def scheme(chat: Chat, name: str) -> None:
    """Prefer a colour scheme."""
    chat.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])


@pytest.fixture
def full(chat: Chat, server: ProviderServer) -> Chat:
    """A page with all that there can be on it: an answer of every kind, one that was stopped, one that failed."""
    server.reply(chat_answer(EVERYTHING, thinking="Let me see."))
    server.reply(chat_answer("Hello")[:3], Stall())
    server.reply(error_answer(400, "not that"))
    chat.ask("one")
    chat.wait_state("done")
    chat.ask("two")
    chat.wait_text("Hello")
    chat.press(ESCAPE)
    chat.wait_state("stopped")
    chat.ask("three")
    chat.wait_state("failed")
    return chat


# -- keys


def test_keys_are_enough(chat: Chat, server: ProviderServer) -> None:
    """From the field everything is reached by Tab, used by Enter, and the focus is never lost or invisible."""
    server.reply(chat_answer("```\ncode\n```", thinking="Hm."))
    server.reply(chat_answer("Hello")[:3], Stall())
    chat.press("one", ENTER)
    chat.wait_state("done")
    chat.press("two", ENTER)
    chat.wait_text("Hello")
    seen = []
    for _ in range(20):
        chat.press(TAB)
        node = "const node = document.activeElement;"
        seen.append(chat.run(f"{node} return node.id || node.className || node.tagName.toLowerCase()"))
        outline = chat.run(f"{node} return getComputedStyle(node).outlineStyle")
        assert outline != "none" or seen[-1] in ("input", "body"), seen[-1]
        if seen[-1] == "stop":
            break

    assert ["stop"] == seen[-1:]

    chat.press(ENTER)
    chat.wait_state("stopped")
    server.wait_until(lambda: server.open_connections == 0)

    assert "input" == chat.run("return document.activeElement.id")

    backwards = []
    for _ in range(12):
        chat.press(TAB, shift=True)
        backwards.append(chat.run("const n = document.activeElement; return n.id || n.className || n.tagName"))
        if backwards[-1] == "new":
            break

    assert ["copy-answer", "retry", "copy-answer", "PRE", "copy", "summary", "new"] == backwards


def test_enter_sends_and_shift_enter_does_not(chat: Chat, server: ProviderServer) -> None:
    """A question may have several lines; blanks alone are none; what is typed while an answer comes waits."""
    gate = Gate()
    first = [*chat_answer("Hello", " world")]
    server.reply(*first[:3], Wait(gate), *first[3:])
    height = chat.run("return document.getElementById('input').offsetHeight")
    chat.press(" ", ENTER)
    chat.press("a")
    chat.press(ENTER, shift=True)
    chat.press("b")

    assert 0 == chat.count(".turn")
    assert chat.run("return document.getElementById('input').offsetHeight") > height

    chat.press(ENTER)
    chat.wait_text("Hello")

    assert "a\nb" == chat.text(".question")
    assert height == chat.run("return document.getElementById('input').offsetHeight")

    chat.press("later", ENTER)

    assert "later" == chat.run("return document.getElementById('input').value")
    assert 1 == chat.count(".turn")

    gate.set()
    chat.wait_state("done")


@pytest.mark.parametrize("secure", [True, False])
def test_code_and_answers_can_be_copied(chat: Chat, server: ProviderServer, secure: bool) -> None:
    """The buttons put the code, or the answer as it was written, on the clipboard, and say so; over plain http, too."""
    chat.run("window.clipboard = navigator.clipboard")
    if not secure:
        chat.run("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    chat.command("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    server.reply(chat_answer("Look:\n\n```\na <b>\n```"))
    chat.ask("hi")
    chat.wait_state("done")
    read = "window.clipboard.readText().then(arguments[0], (e) => arguments[0](String(e)))"
    chat.click("button.copy")
    chat.until(lambda: chat.text("button.copy") == "Copied")

    assert "a <b>\n" == chat.driver.execute_async_script(read)
    assert "Copied" == chat.text("#announcer")

    chat.click(".copy-answer")
    chat.until(lambda: chat.text(".copy-answer") == "Copied")

    assert "Look:\n\n```\na <b>\n```" == chat.driver.execute_async_script(read)


# -- a screen reader


def test_everything_has_a_name(full: Chat) -> None:
    """Every control and image that is to be seen has one, and the page its landmarks, headings and language."""
    assert [] == full.run(_NAMES)
    assert ["HEADER", "MAIN", "FOOTER"] == full.run(
        "return [...document.body.children].map((n) => n.tagName).filter((n) => /HEADER|MAIN|FOOTER/.test(n))"
    )
    assert 1 == full.count("h1")
    assert "en" == full.run("return document.documentElement.lang")
    levels = full.run("return [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map((n) => +n.tagName[1])")
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_begin_and_end_are_announced_and_tokens_are_not(chat: Chat, server: ProviderServer) -> None:
    """One polite live region tells that an answer begins and how it ended; what grows is in none."""
    gate = Gate()
    steps = [*chat_answer("Hello", " world")]
    server.reply(*steps[:3], Wait(gate), *steps[3:])
    chat.run("""
        window.said = [];
        new MutationObserver(() => window.said.push(document.getElementById("announcer").textContent))
          .observe(document.getElementById("announcer"), { childList: true });
    """)
    chat.ask("hi")
    chat.wait_text("Hello")
    gate.set()
    chat.wait_state("done")
    chat.until(lambda: len(chat.run("return window.said")) == 2)
    said = chat.run("return window.said")

    assert "Answering" == said[0]
    assert said[1].startswith("Answer complete. 2 tokens")
    assert 1 == chat.count("[aria-live], [role=status], [role=alert], [role=log]")
    assert "polite" == chat.find("#announcer").get_attribute("aria-live")


# -- looks


@pytest.mark.parametrize("name", ["light", "dark"])
def test_contrast_is_enough(full: Chat, name: str) -> None:
    """All text has a contrast of 4.5 at least, in either scheme."""
    full.run("for (const node of document.querySelectorAll('details')) node.open = true")
    scheme(full, name)

    assert [] == full.run(_CONTRASTS)


def test_the_scheme_is_the_users(chat: Chat) -> None:
    """Light where light is preferred, and dark where dark is."""
    grounds = []
    for name in ("light", "dark"):
        scheme(chat, name)
        grounds.append(chat.run("return getComputedStyle(document.documentElement).backgroundColor"))

    assert ["rgb(250, 249, 246)", "rgb(20, 22, 21)"] == grounds


def test_who_wants_no_motion_sees_none(chat: Chat, server: ProviderServer) -> None:
    """Where reduced motion is preferred nothing is animated, also while an answer comes."""
    still = {"name": "prefers-reduced-motion", "value": "reduce"}
    server.reply(chat_answer("Hello")[:3], Stall())
    chat.ask("hi")
    chat.wait_text("Hello")
    running = "return document.getAnimations().length"
    chat.command("Emulation.setEmulatedMedia", features=[{**still, "value": "no-preference"}])

    assert chat.run(running) > 0

    chat.command("Emulation.setEmulatedMedia", features=[still])

    assert 0 == chat.run(running)

    chat.command("Emulation.setEmulatedMedia", features=[])
    chat.press(ESCAPE)


@pytest.mark.parametrize("width", [320, 768])
def test_nothing_is_wider_than_the_screen(chat: Chat, server: ProviderServer, width: int) -> None:
    """The page does not scroll sideways; code and tables that are wider do so by themselves."""
    wide = f"{'x' * 300}\n\n```\n{'y' * 300}\n```\n\n|{'z z|' * 30}\n|{'-|' * 30}\n\n# {'w' * 100}\n\n- `{'v' * 200}`"
    server.reply(chat_answer(wide, thinking="u" * 300))
    server.reply(error_answer(400, "t" * 300))
    chat.command("Emulation.setDeviceMetricsOverride", width=width, height=640, deviceScaleFactor=1, mobile=width < 500)
    try:
        chat.ask("s" * 300)
        chat.wait_state("done")
        chat.click(".thinking summary")
        chat.ask("hi")
        chat.wait_state("failed")
        sizes: Any = chat.run("return [document.documentElement.scrollWidth, innerWidth]")
        inner = "const node = document.querySelector(arguments[0]); return node.scrollWidth > node.clientWidth"

        assert [width, width] == sizes
        assert chat.run(inner, "pre")
        assert chat.run(inner, "div.table")
    finally:
        chat.command("Emulation.clearDeviceMetricsOverride")


def test_text_has_its_own_direction(chat: Chat, server: ProviderServer) -> None:
    """Hebrew stands at the right and English at the left, in one answer; so do its lists and tables."""
    server.reply(chat_answer("שלום עולם\n\n1. אחת\n\n   שתיים\n\n|א|1|\n|-|-|\n|ב|2|\n\n> שלוש\n\nHello"))
    chat.ask("مرحبا")
    chat.wait_state("done")
    direction = "return getComputedStyle(document.querySelector(arguments[0])).direction"

    for selector in ("p:first-child", "ol", "li p", "table", "td:last-child", "blockquote p"):
        assert "rtl" == chat.run(direction, f".prose {selector}"), selector
    assert "ltr" == chat.run(direction, ".prose > p:last-child")
    assert "rtl" == chat.run(direction, ".question")


# -- long answers


def test_the_end_stays_in_sight_unless_its_reader_looks_elsewhere(chat: Chat, server: ProviderServer) -> None:
    """The page follows a growing answer; who has scrolled up stays there, and has a button that leads back."""
    gates = [Gate(), Gate()]
    texts = [f"{name}\n\n" * 100 for name in ("one", "two", "three")]
    steps = [*chat_answer(*texts)]
    server.reply(*steps[:3], Wait(gates[0]), steps[3], Wait(gates[1]), *steps[4:])
    left = "return Math.round(document.documentElement.scrollHeight - innerHeight - scrollY)"
    chat.ask("hi")
    chat.until(lambda: chat.text().endswith("one"))
    chat.until(lambda: chat.run(left) <= 1)

    assert not chat.shown("#latest")

    chat.run("scrollTo(0, 0)")
    chat.until(lambda: chat.shown("#latest"))
    gates[0].set()
    chat.until(lambda: chat.text().endswith("two"))

    assert 0 == chat.run("return scrollY")

    chat.click("#latest")
    gates[1].set()
    chat.wait_state("done")
    chat.until(lambda: chat.run(left) <= 1)

    assert not chat.shown("#latest")


def test_a_long_answer(chat: Chat, server: ProviderServer) -> None:
    """200 kB arrive whole and are shown whole, and survive a reload."""
    paragraph = "A paragraph of *some* words, `code` and a [link](https://example.org/).\n\n"
    texts = [paragraph * 10] * (200_000 // len(paragraph * 10))
    server.reply(chat_answer(*texts))
    chat.ask("hi")
    chat.wait_state("done")
    count = 10 * len(texts)

    assert count == chat.count(".prose > p")
    assert "A paragraph of some words, code and a link." * count == chat.text()

    chat.reload()

    assert count == chat.count(".prose > p")
