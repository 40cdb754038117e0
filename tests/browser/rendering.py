"""Markdown rendered in the page's browser, by the page's own renderer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.browser.chat import Chat

__all__ = ["rendered"]

_RENDER = """
const [texts, open, done] = arguments;
function shown(MarkdownView, pieces) {
  const root = document.createElement("div");
  const view = new MarkdownView(root);
  for (const piece of pieces) {
    view.append(piece);
    view.render();
  }
  if (!open) view.render({ open: false });
  return root.innerHTML;
}
import("/static/markdown.js").then(
  ({ MarkdownView }) => done(texts.map((pieces) => shown(MarkdownView, pieces))),
  (error) => done(String(error)),
);
"""


def rendered(chat: Chat, texts: Sequence[Sequence[str]], *, open: bool = False) -> list[str]:
    """Give the HTML of texts that come in pieces, each drawn with what came before; `open`: as if more would come."""
    shown: Any = chat.driver.execute_async_script(_RENDER, [list(pieces) for pieces in texts], open)

    assert isinstance(shown, list), shown
    return shown
