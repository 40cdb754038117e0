"""TqdmHandler: a bar that counts, beside what is printed."""

from __future__ import annotations

import io
import sys
import threading
from typing import Any

import pytest

from streamkit import ChatResponse, ConfigError, StreamTruncated, TextChunk, ThinkingChunk, stream_with_handler
from streamkit.integrations.tqdm import TqdmHandler
from tests.screen import Screen, pseudo_terminal

tqdm = pytest.importorskip("tqdm", reason="needs tqdm").tqdm


def texts(*contents: str) -> list[TextChunk]:
    """Chunks of text."""
    return [TextChunk(content=content, index=index) for index, content in enumerate(contents)]


def options(file: Any) -> dict[str, Any]:
    """A bar of a fixed width that is drawn anew at each token."""
    return {"file": file, "ncols": 80, "mininterval": 0, "ascii": True}


def last(file: io.StringIO) -> str:
    """What the bar shows at the end."""
    return Screen(80).feed(file.getvalue()).text()


def test_it_counts_tokens_and_their_speed() -> None:
    """Without an expectation: how many, how long, how many a second."""
    file = io.StringIO()
    stream_with_handler(texts("a", "b", "c"), TqdmHandler(**options(file)))

    assert last(file).startswith("3 tokens [00:00, ")
    assert last(file).endswith(" tokens/s]")
    assert file.getvalue().endswith("\n")


def test_an_expectation_makes_a_bar() -> None:
    """Which is filled when the answer is complete, however many tokens it had."""
    file = io.StringIO()
    handler = TqdmHandler(expected=10, **options(file))
    for _ in range(5):
        handler.on_token("x")
    half = last(file)
    handler.on_complete(ChatResponse())

    assert half.startswith(" 50%|")
    assert "| 5/10 [" in half
    assert last(file).startswith("100%|")
    assert "| 5/5 [" in last(file)


def test_more_than_expected_is_counted() -> None:
    """The bar gives way to a counter, and is full at the end."""
    file = io.StringIO()
    handler = TqdmHandler(expected=2, **options(file))
    for _ in range(4):
        handler.on_token("x")
    meanwhile = last(file)
    handler.on_complete(ChatResponse())

    assert meanwhile.startswith("4 tokens [")
    assert "| 4/4 [" in last(file)


def test_thinking_is_told_until_the_text_begins() -> None:
    """And is not counted."""
    file = io.StringIO()
    handler = TqdmHandler(**options(file))
    handler.on_thinking("Hm.")
    handler.on_thinking("Hm.")
    first = last(file)
    handler.on_token("a")

    assert first.startswith("0 tokens [")
    assert first.endswith(", thinking]")
    assert last(file).startswith("1 tokens [")
    assert "thinking" not in last(file)
    handler.on_complete(ChatResponse())


def test_a_failure_leaves_the_bar_where_it_was() -> None:
    """With the name of the error; the error itself is raised by who runs the stream."""
    file = io.StringIO()
    handler = TqdmHandler(expected=10, **options(file))
    handler.on_token("x")
    handler.on_error(StreamTruncated("cut"))

    assert last(file).startswith(" 10%|")
    assert last(file).endswith(", StreamTruncated]")
    assert file.getvalue().endswith("\n")


@pytest.mark.parametrize("ending", [lambda handler: handler.on_complete(ChatResponse()), None])
def test_one_handler_for_one_stream_after_the_other(ending: Any) -> None:
    """Each has a bar of its own, that begins at nothing, whether or not the last answer was empty."""
    file = io.StringIO()
    handler = TqdmHandler(**options(file))
    handler.on_token("x")
    (ending or (lambda handler: handler.on_error(StreamTruncated("cut"))))(handler)
    stream_with_handler(texts("a", "b"), handler)
    stream_with_handler([ThinkingChunk(content="Hm.", index=0)], handler)
    counts = [line.partition(" [")[0] for line in last(file).splitlines()]

    assert ["1 tokens", "2 tokens", "0 tokens"] == counts


def test_its_options_are_those_of_tqdm() -> None:
    """A description, say, and another unit."""
    file = io.StringIO()
    stream_with_handler(texts("a"), TqdmHandler(desc="story", unit="t", **options(file)))

    assert last(file).startswith("story: 1t [")


def test_nothing_is_left() -> None:
    """No thread of tqdm's, and no bar among those that it knows."""
    before = set(threading.enumerate())
    handler = TqdmHandler(**options(io.StringIO()))
    handler.on_token("a")
    handler.on_complete(ChatResponse())

    assert before == set(threading.enumerate())
    assert 0 == len(tqdm._instances)


def test_the_answer_may_be_printed_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Line by line to stdout, the last one without a line feed included; the next answer begins anew."""
    handler = TqdmHandler(echo=True, ncols=60)
    stream_with_handler(texts("one\ntwo", "\nth", "ree"), handler)
    stream_with_handler(texts("four"), handler)

    assert "one\ntwo\nthree\nfour\n" == capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
def test_bar_and_text_share_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed stands above the bar, whole; what a model writes does not command the terminal."""
    with pseudo_terminal(60, 6) as terminal:
        monkeypatch.setattr(sys, "stdout", terminal.file)
        monkeypatch.setattr(sys, "stderr", terminal.file)
        handler = TqdmHandler(expected=20, echo=True, ncols=50, mininterval=0, ascii=True)
        for n in range(10):
            handler.on_token(f"line {n} \x1b[2J\n")
        tqdm.write("and a word of mine")
        meanwhile = Screen(60, 6).feed(terminal.output())
        handler.on_token("the end")
        handler.on_complete(ChatResponse())
        monkeypatch.undo()
        screen = Screen(60, 6).feed(terminal.output())
    lines = [f"line {n} \ufffd[2J" for n in range(10)] + ["and a word of mine"]

    assert lines == meanwhile.text().splitlines()[:-1]
    assert meanwhile.shown()[-1].startswith(" 50%|")
    assert [*lines, "the end"] == screen.text().splitlines()[:-1]
    assert screen.shown()[-1].startswith("100%|")


def test_without_tqdm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one installs it."""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ConfigError, match=r"pip install 'streamkit-llm\[tqdm\]'"):
        TqdmHandler()
