"""The page's reader of event streams gives what the standard says, however the stream is cut."""

from __future__ import annotations

import random

import pytest

from streamkit.framing import parse_sse
from tests.browser.chat import Chat

pytestmark = pytest.mark.browser

ATOMS = [
    "data: a", "data:b", "data", "data:", "data:  c", "id: 7", "id", "id: a\0b", "event: x", "event", "retry: 10",
    ": comment", ":", "other: x", "data : x", "é😀", "\n", "\r\n", "\r", "\n\n", "\r\r", "\r\n\r\n", "\n", "\n\n",
]  # fmt: skip

_PARSE = """
const [texts, done] = arguments;
import("/static/sse.js").then(({ EventParser }) => {
  done(texts.map((pieces) => {
    const parser = new EventParser();
    return pieces.flatMap((piece) => parser.feed(piece)).map(({ type, data, id }) => [type, data, id]);
  }));
});
"""


def test_events_are_read_as_the_standard_says(chat: Chat) -> None:
    """Random streams in random pieces give the events that the library's own reader gives."""
    chance = random.Random(8)
    texts = ["".join(chance.choices(ATOMS, k=chance.randint(1, 25))) for _ in range(500)]
    cuts = [sorted(chance.choices(range(len(text) + 1), k=4)) for text in texts]
    pieces = [
        [text[start:end] for start, end in zip([0, *cut], [*cut, len(text)], strict=True)]
        for text, cut in zip(texts, cuts, strict=True)
    ]
    expected = [[[event.event, event.data, event.id] for event in parse_sse([text.encode()])] for text in texts]

    assert any(len(events) > 1 for events in expected)
    assert expected == chat.driver.execute_async_script(_PARSE, [[text] for text in texts])
    assert expected == chat.driver.execute_async_script(_PARSE, [list(text) for text in texts])
    assert expected == chat.driver.execute_async_script(_PARSE, pieces)


def test_a_body_is_read_piece_by_piece(chat: Chat) -> None:
    """A byte order mark is dropped, a character may be cut in its middle, an event without its end is none."""
    read = chat.driver.execute_async_script("""
        const done = arguments[0];
        const bytes = [...new TextEncoder().encode("\\ufeffdata: é😀\\n\\n: x\\n\\ndata: lost")];
        const body = new ReadableStream({
          start(controller) {
            for (const byte of bytes) controller.enqueue(new Uint8Array([byte]));
            controller.close();
          },
        });
        let heard = 0;
        import("/static/sse.js").then(async ({ readEvents }) => {
          const events = [];
          for await (const { data } of readEvents(body, () => (heard += 1))) events.push(data);
          done([events, heard === bytes.length]);
        });
    """)

    assert [["é😀"], True] == read
