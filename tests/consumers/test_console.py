"""ConsoleHandler: what is printed, to files and to terminals."""

from __future__ import annotations

import io
import math
import os
import sys

import pytest

from streamkit import (
    ChatResponse,
    Client,
    ConsoleHandler,
    StreamProgress,
    StreamTruncated,
    TextChunk,
    Usage,
    stream_with_handler,
)
from streamkit.testing import ProviderServer, Stall, chat_answer
from tests.loopback import ask
from tests.screen import Screen, pseudo_terminal, terminal_file


def response(total: int | None = 312) -> ChatResponse:
    """A whole answer."""
    usage = Usage() if total is None else Usage(total_tokens=total, source="reported")
    return ChatResponse(usage=usage, total_usage=usage, complete=True)


def progress(tokens: int, elapsed: float) -> StreamProgress:
    """How far a stream has come."""
    return StreamProgress(tokens_received=tokens, chars_received=5 * tokens, elapsed=elapsed)


def test_the_console_prints_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """To stdout: the text unbroken, progress at most once a second, and the tokens at the end."""
    handler = ConsoleHandler()
    handler.on_token("Distributed ")
    handler.on_progress(progress(10, 0.51))
    handler.on_thinking("never seen")
    handler.on_token("systems")
    handler.on_progress(progress(20, 1.5))
    handler.on_progress(progress(245, 3.21))
    handler.on_token(".")
    handler.on_complete(response())
    expected = (
        "Distributed \r[10 tokens, 0.5s elapsed]systems\r[245 tokens, 3.2s elapsed].\n\n[Complete: 312 total tokens]\n"
    )

    assert (expected, "") == capsys.readouterr()


def test_the_console_prints_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """After what had come."""
    handler = ConsoleHandler()
    handler.on_token("Hel")
    handler.on_error(StreamTruncated("the connection was lost"))

    assert "Hel\n[Error: the connection was lost]\n" == capsys.readouterr().out


def test_the_console_makes_no_number_up(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the provider told no usage, it says so."""
    ConsoleHandler().on_complete(response(None))

    assert "\n\n[Complete: total tokens not reported]\n" == capsys.readouterr().out


def test_the_next_stream_begins_anew() -> None:
    """Its first progress is printed, though the clock begins at 0 again, whether the last one ended or not."""
    file = io.StringIO()
    handler = ConsoleHandler(file)
    handler.on_progress(progress(10, 5.0))
    handler.on_complete(response())
    handler.on_progress(progress(10, 5.1))
    handler.on_progress(progress(20, 0.2))

    assert 3 == file.getvalue().count("\r[")


@pytest.mark.parametrize(("every", "printed"), [(0.0, 3), (0.5, 2), (math.inf, 1)])
def test_how_often_is_set(every: float, printed: int) -> None:
    """In seconds of the stream."""
    file = io.StringIO()
    handler = ConsoleHandler(file, progress_every=every)
    for elapsed in (0.0, 0.25, 0.5):
        handler.on_progress(progress(10, elapsed))

    assert printed == file.getvalue().count("\r[")


def test_progress_goes_to_a_file_of_its_own() -> None:
    """Then the text has nothing but text, and the progress ends with a line feed."""
    text, beside = io.StringIO(), io.StringIO()
    handler = ConsoleHandler(text, progress_file=beside)
    handler.on_token("Hello")
    handler.on_progress(progress(10, 0.5))
    handler.on_token(" you")
    handler.on_complete(response(3))

    assert "Hello you\n\n[Complete: 3 total tokens]\n" == text.getvalue()
    assert "\r[10 tokens, 0.5s elapsed]\n" == beside.getvalue()


def test_control_characters_pass_to_a_file() -> None:
    """What is no terminal is given the text as it came."""
    file = io.StringIO()
    ConsoleHandler(file).on_token("a\x1b[2Jb\r\n")

    assert "a\x1b[2Jb\r\n" == file.getvalue()


needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")


@needs_terminal
def test_progress_is_beneath_the_text_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither overwrites the other; at the end the text and how it ended are all that is left."""
    monkeypatch.setenv("TERM", "xterm")
    with pseudo_terminal(40, 6) as terminal:
        handler = ConsoleHandler(terminal.file)
        for n in range(8):
            handler.on_token(f"line {n}\n")
        handler.on_token("the last \x1b[2J")
        handler.on_progress(progress(9, 3.2))
        meanwhile = Screen(40, 6).feed(terminal.output()).shown()
        handler.on_token("line")
        handler.on_complete(response())
        screen = Screen(40, 6).feed(terminal.output())
    lines = [*(f"line {n}" for n in range(8)), "the last \ufffd[2Jline", "", "[Complete: 312 total tokens]"]

    assert ["the last \ufffd[2J", "[9 tokens, 3.2s elapsed]"] == meanwhile[-2:]
    assert lines == screen.text().splitlines()
    assert [] == screen.unknown


@needs_terminal
def test_a_stream_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run by `stream_with_handler`, with a progress after each token, the screen shows what was said."""
    monkeypatch.setenv("TERM", "xterm")
    words = [f"word{n} " if n % 9 else "\n" for n in range(60)]
    with pseudo_terminal(33, 5) as terminal:
        chunks = [TextChunk(content=word, index=index) for index, word in enumerate(words)]
        stream_with_handler(chunks, ConsoleHandler(terminal.file, progress_every=0), every=1)
        output = terminal.output()
    plain = Screen(33, 5).feed("".join(words) + "\n\n[Complete: total tokens not reported]\n")

    assert plain.text() == Screen(33, 5).feed(output).text()
    assert " tokens, " in output


@needs_terminal
@pytest.mark.parametrize("same", [True, False])
def test_progress_to_stderr_on_the_same_terminal(same: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is beneath the text there, too; where the text goes to a file, it is alone in its row."""
    monkeypatch.setenv("TERM", "xterm")
    with terminal_file() as terminal:
        text = terminal if same else io.StringIO()
        handler = ConsoleHandler(text, progress_file=terminal)
        handler.on_token("Hello\nyou")
        handler.on_progress(progress(2, 0.5))
        shown = Screen().feed(terminal.getvalue()).shown()
        handler.on_complete(response(3))

    assert (["Hello", "you"] if same else []) + ["[2 tokens, 0.5s elapsed]"] == shown
    assert text.getvalue().replace("\x1b[J", "").endswith("\n\n[Complete: 3 total tokens]\n")


@needs_terminal
def test_files_of_two_terminals_are_not_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The progress goes to the one that was named."""
    monkeypatch.setenv("TERM", "xterm")
    with terminal_file() as one, terminal_file() as other:
        assert not os.path.samestat(os.fstat(one.fileno()), os.fstat(other.fileno()))
        handler = ConsoleHandler(one, progress_file=other)
        handler.on_token("Hello\n")
        handler.on_progress(progress(2, 0.5))

        assert ("Hello\n", "\r[2 tokens, 0.5s elapsed]") == (one.getvalue(), other.getvalue())


def test_a_reader_that_has_gone_ends_the_stream(server: ProviderServer, client: Client) -> None:
    """`program | head` closes the pipe: nobody pays for what nobody reads."""

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    server.reply(chat_answer("one", "two")[:3], Stall())
    with pytest.raises(BrokenPipeError):
        stream_with_handler(ask(client), ConsoleHandler(Gone()))

    server.wait_until(lambda: server.open_connections == 0)
