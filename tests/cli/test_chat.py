"""`streamkit chat`: what is asked, what is shown, and how it ends."""

from __future__ import annotations

import io
import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from streamkit.cli import main
from streamkit.testing import ProviderServer, ReceivedRequest, Stall, chat_answer, error_answer
from tests.embedded import embedded


class Typed(io.StringIO):
    """What a user types at a terminal; a line of `^C` is that key."""

    def isatty(self) -> bool:
        """Say that it is a terminal."""
        return True

    def readline(self, size: int | None = -1, /) -> str:
        """Give a line."""
        line = super().readline(-1 if size is None else size)
        if line == "^C\n":
            raise KeyboardInterrupt
        return line


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProviderServer]:
    """A scripted OpenAI, with a key configured for it and nothing on stdin."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with ProviderServer() as server:
        monkeypatch.setenv("OPENAI_API_KEY", "test")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        yield server


def asked(server: ProviderServer, number: int = 0) -> list[tuple[str, Any]]:
    """Give role and content of the messages of a request."""
    return [(message["role"], message["content"]) for message in server.requests[number].json()["messages"]]


def test_an_answer_is_printed(server: ProviderServer, capsys: pytest.CaptureFixture[str]) -> None:
    """The answer, and a line's end, are on stdout; nothing is on stderr; the code is 0."""
    server.reply(chat_answer("Hello", " world"))

    assert 0 == main(["chat", "hi"])
    assert ("Hello world\n", "") == capsys.readouterr()
    assert [("user", "hi")] == asked(server)


def test_model_and_system_prompt_are_sent(server: ProviderServer) -> None:
    """`-m` and `-s` reach the request."""
    server.reply(chat_answer("ok"))
    main(["chat", "hi", "-m", "gpt-x", "-s", "Be brief."])

    assert [("system", "Be brief."), ("user", "hi")] == asked(server)
    assert "gpt-x" == server.requests[0].json()["model"]


@pytest.mark.parametrize(
    ("args", "piped", "question"),
    [
        (["summarize:"], "a text\n", "summarize:\n\na text"),
        ([], "a text\n", "a text"),
        (["hi"], " \n", "hi"),
    ],
)
def test_stdin_is_appended(
    server: ProviderServer, monkeypatch: pytest.MonkeyPatch, args: list[str], piped: str, question: str
) -> None:
    """What is piped in follows the prompt, or is the prompt."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(piped))
    server.reply(chat_answer("ok"))
    main(["chat", *args])

    assert [("user", question)] == asked(server)


@pytest.mark.parametrize("closed", [False, True])
def test_no_prompt_at_all_is_wrong_use(
    server: ProviderServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], closed: bool
) -> None:
    """With neither prompt nor input, also where stdin is closed, the code is 1 and nothing is sent."""
    if closed:
        monkeypatch.setattr(sys, "stdin", None)

    assert 1 == main(["chat"])
    assert "no prompt: give one, or pipe one in" in capsys.readouterr().err
    assert [] == list(server.requests)


def test_an_answer_can_be_printed_at_once(server: ProviderServer, capsys: pytest.CaptureFixture[str]) -> None:
    """`--no-stream` prints the same."""
    server.reply(chat_answer("Hello", " world"))

    assert 0 == main(["chat", "hi", "--no-stream"])
    assert "Hello world\n" == capsys.readouterr().out


def test_an_answer_can_be_json(server: ProviderServer, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints one object on one line."""
    server.reply(chat_answer("Grüße\n", thinking="hm"))
    main(["chat", "hi", "--json"])
    out = capsys.readouterr().out

    assert {
        "text": "Grüße\n",
        "model": "gpt-4o",
        "finish_reason": "stop",
        "complete": True,
        "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
    } == json.loads(out)
    assert 1 == out.count("\n")


@pytest.mark.parametrize(
    ("known", "said"), [(True, "[Tokens: 5 prompt, 2 completion, 7 total]\n"), (False, "[Tokens: unknown]\n")]
)
def test_usage_is_reported(server: ProviderServer, capsys: pytest.CaptureFixture[str], known: bool, said: str) -> None:
    """`-u` reports the tokens on stderr, and does not invent them."""
    server.reply(chat_answer("Hello", " world", usage=known))
    main(["chat", "hi", "-u"])

    assert ("Hello world\n", said) == capsys.readouterr()


def test_thinking_is_not_printed(server: ProviderServer, capsys: pytest.CaptureFixture[str]) -> None:
    """Only the answer is on stdout."""
    server.reply(chat_answer("Hello", thinking="Let me see."))
    main(["chat", "hi"])

    assert "Hello\n" == capsys.readouterr().out


@pytest.mark.parametrize(("finish", "said"), [("length", "[Stopped at the token limit]\n"), ("stop", "")])
def test_the_token_limit_is_told(
    server: ProviderServer, capsys: pytest.CaptureFixture[str], finish: str, said: str
) -> None:
    """A text that ends in the middle of a sentence did so for a reason."""
    server.reply(*chat_answer("Once upon", finish=finish))

    assert 0 == main(["chat", "hi"])
    assert ("Once upon\n", said) == capsys.readouterr()


@pytest.mark.parametrize("option", ["--no-stream", "--usage"])
def test_a_refusal_is_told(server: ProviderServer, capsys: pytest.CaptureFixture[str], option: str) -> None:
    """An error answer of the provider is code 2, its message on stderr."""
    server.reply(error_answer(401, "no such key"))

    assert 2 == main(["chat", "hi", option])

    out, err = capsys.readouterr()

    assert "" == out
    assert err.startswith("Error: ")
    assert "no such key" in err


@pytest.mark.parametrize("option", ["--no-stream", "--usage"])
def test_a_cut_answer_is_shown_as_far_as_it_came(
    server: ProviderServer, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """An answer that is cut is printed as far as it came, then the error; the code is 2."""
    status, role, hello, world, *_, end = chat_answer("Hello", " world", usage=False)
    server.reply(status, role, hello, world, end)

    assert 2 == main(["chat", "hi", option])

    out, err = capsys.readouterr()

    assert "Hello world\n" == out
    assert err.startswith("Error: ")


def test_a_time_limit_is_code_4(server: ProviderServer, capsys: pytest.CaptureFixture[str]) -> None:
    """`--timeout` ends a silent answer; what had arrived is printed."""
    server.reply(chat_answer("Hello")[:3], Stall())

    assert 4 == main(["chat", "hi", "--timeout", "0.3"])
    assert "Hello\n" == capsys.readouterr().out


def test_a_connection_that_fails_is_code_3(server: ProviderServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose certificate is not trusted is code 3."""
    with ProviderServer(tls=pathlib.Path(__file__).parents[1] / "certs" / "localhost.pem") as secure:
        monkeypatch.setenv("OPENAI_BASE_URL", secure.base_url)

        assert 3 == main(["chat", "hi"])


def test_the_local_model_answers_without_a_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With no key configured the embedded server is asked, and stderr says so."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with embedded(monkeypatch, tmp_path) as server:
        server.reply(chat_answer("Hello"))

        assert 0 == main(["chat", "hi"])

    out, err = capsys.readouterr()

    assert "Hello\n" == out
    assert "local model (SmolLM2-135M, on this machine)" in err


# -- a terminal


class Screen(io.StringIO):
    """A terminal that presses Ctrl-C when it shows a certain text."""

    def __init__(self, fatal: str = "\0") -> None:
        super().__init__()
        self._fatal = fatal

    def isatty(self) -> bool:
        """Say that it is a terminal."""
        return True

    def write(self, text: str) -> int:
        """Show a text."""
        written = super().write(text)
        if self._fatal in text:
            signal.raise_signal(signal.SIGINT)
        return written


def test_a_terminal_obeys_no_answer(server: ProviderServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control characters of an answer do not reach a terminal; line breaks and tabs do."""
    monkeypatch.setattr(sys, "stdout", Screen())
    server.reply(chat_answer("a\x1b[2Jb\x07\tc\r\n", "\x9bd\x7f"))
    main(["chat", "hi"])

    assert "a\ufffd[2Jb\ufffd\tc\n\ufffdd\ufffd\n" == sys.stdout.getvalue()


@pytest.mark.parametrize("option", ["--usage", "--timeout=60"])
def test_ctrl_c_cancels_the_answer(
    server: ProviderServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """The first Ctrl-C ends the answer: what had arrived is shown, stderr says why, the code is 130."""
    monkeypatch.setattr(sys, "stdout", Screen(fatal="world"))
    server.reply(chat_answer("Hello", " world")[:4], Stall())

    assert 130 == main(["chat", "hi", option])
    assert "Hello world\n" == sys.stdout.getvalue()
    assert capsys.readouterr().err.startswith("[Cancelled by user]\n")
    server.wait_until(lambda: server.open_connections == 0)


def test_a_conversation(
    server: ProviderServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a terminal without a prompt each line is asked with all that was said; blank lines are not; /exit ends it."""
    monkeypatch.setattr(sys, "stdin", Typed("one\n\n^C\ntwo\n/exit\nnever\n"))
    server.reply(chat_answer("first"))
    server.reply(chat_answer("second"))

    assert 0 == main(["chat", "-s", "Be brief."])
    assert "> first\n> > \n> second\n> " == capsys.readouterr().out
    assert [("system", "Be brief."), ("user", "one"), ("assistant", "first"), ("user", "two")] == asked(server, 1)


def test_a_conversation_survives_an_error(
    server: ProviderServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A turn that fails is told and forgotten; the end of input ends the conversation."""
    monkeypatch.setattr(sys, "stdin", Typed("one\ntwo\n"))
    server.reply(error_answer(400, "not that"))
    server.reply(chat_answer("second"))

    assert 0 == main(["chat"])

    out, err = capsys.readouterr()

    assert "> > second\n> \n" == out  # an answer that has no text takes no line
    assert "not that" in err
    assert [("user", "two")] == asked(server, 1)


def test_a_cancelled_turn_is_kept(server: ProviderServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C in an answer the conversation goes on, with as much of it as had arrived."""
    monkeypatch.setattr(sys, "stdin", Typed("one\ntwo\n"))
    monkeypatch.setattr(sys, "stdout", Screen(fatal="fir"))
    server.reply(chat_answer("fir", "st")[:3], Stall())
    server.reply(chat_answer("second"))

    assert 0 == main(["chat"])
    assert [("user", "one"), ("assistant", "fir"), ("user", "two")] == asked(server, 1)


def test_a_turn_cancelled_before_its_first_word_is_forgotten(
    server: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Ctrl-C while nothing had come yet the question is as if never asked."""
    monkeypatch.setattr(sys, "stdin", Typed("one\ntwo\n"))

    def interrupt(request: ReceivedRequest) -> Stall:
        os.kill(os.getpid(), signal.SIGINT)
        return Stall()

    server.reply(interrupt)
    server.reply(chat_answer("second"))

    assert 0 == main(["chat"])
    assert [("user", "two")] == asked(server, 1)


def test_ctrl_c_before_anything_is_asked(
    server: ProviderServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C while the input is read is code 130, without a traceback."""

    class Endless(io.StringIO):
        def read(self, size: int | None = -1, /) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Endless())

    assert 130 == main(["chat"])
    assert "\n[Cancelled by user]\n" == capsys.readouterr().err


# -- a process of its own


def start(server: ProviderServer, *args: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """Run the command line against the scripted server."""
    env = {**os.environ, "OPENAI_API_KEY": "test", "OPENAI_BASE_URL": server.base_url}
    return subprocess.Popen(
        [sys.executable, "-m", "streamkit", "chat", *args],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_an_interrupted_process_keeps_what_it_printed(server: ProviderServer) -> None:
    """SIGINT in the middle of an answer ends the process with code 130; the text so far is on stdout."""
    server.reply(chat_answer("Hello", " world")[:4], Stall())
    with start(server, "hi") as process:
        assert process.stdout is not None
        first = process.stdout.read(len("Hello world"))
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate()

    assert (130, b"Hello world\n", b"[Cancelled by user]\n") == (process.returncode, first + rest, said)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pipe's rules of POSIX")
def test_a_reader_that_goes_away_is_no_error(server: ProviderServer) -> None:
    """When nobody reads its output any more the process ends quietly with code 141, and cancels the answer."""
    server.reply(chat_answer(*["word " * 100] * 1000)[:-3], Stall())  # more than the pipe holds
    with start(server, "hi") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        said = process.stderr.read()

    assert (141, b"") == (process.returncode, said)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux' /dev/full")
def test_a_full_disk_is_told(server: ProviderServer) -> None:
    """In a line, and with code 1."""
    server.reply(chat_answer("Hello"))
    with open("/dev/full", "wb") as full, start(server, "hi", stdout=full.fileno()) as process:
        _, said = process.communicate()

    assert (1, b"Error: the output cannot be written: No space left on device\n") == (process.returncode, said)


@pytest.mark.model
@pytest.mark.slow
def test_the_real_local_model_answers() -> None:
    """Without a key the real model answers, in a process that leaves no other behind."""
    ran = subprocess.run(
        [sys.executable, "-m", "streamkit", "chat", "What is the capital of France?", "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=100,
    )
    answer = json.loads(ran.stdout)

    assert (0, "smollm2-135m", True) == (ran.returncode, answer["model"], answer["complete"])
    assert answer["text"]
    assert b"on this machine" in ran.stderr
