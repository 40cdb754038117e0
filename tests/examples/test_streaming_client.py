"""Three ways to stream, as a user sees them."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest

from streamkit.testing import Close, ProviderServer, Script, Stall, Wire, chat_answer, error_answer
from tests.running import EXAMPLES, run_example

pytestmark = pytest.mark.slow

WORDS = [f"word{n} " for n in range(25)]


class Explaining(ProviderServer):
    """An OpenAI that answers topics with their own words, and all else with what was queued."""

    def serve(self, wire: Wire) -> None:
        """Answer the requests of one connection, one after the other."""
        while not wire.closed:
            request = wire.read_request()
            self.record(request)
            asked = request.json()["messages"][-1]["content"]
            wire.answer(request, self.answers[asked] if asked in self.answers else chat_answer(*[f"{asked}. "] * 20))

    answers: dict[str, Script]


def guide(*script: object) -> dict[str, Script]:
    """The answers to the first two questions."""
    return {
        "Write a comprehensive guide to Go error handling patterns. Include examples.": script or GUIDE,  # type: ignore[dict-item]  # steps
        "Summarize the key concepts of distributed systems in 500 words.": chat_answer(*WORDS),
    }


GUIDE = chat_answer("# Go Error Handling\n", "Errors are values.")


def test_it_streams_in_three_ways() -> None:
    """The output has the three headings, the answers, their tokens, and the beginnings of the topics, in order."""
    with Explaining() as server:
        server.answers = guide()
        code, out, err = run_example("streaming_client.py", "openai", server=server)
        asked = [request.json() for request in server.requests]
    topics = ["Explain Go channels", "Explain Go goroutines", "Explain Go mutexes"]
    shown = "".join(f"\n--- Topic {n} ---\n{(f'{topic}. ' * 20)[:200]}...\n" for n, topic in enumerate(topics, 1))
    progress = r"\n\[10 tokens, \d+\.\ds elapsed\]"  # read as text, the carriage return is a line feed

    assert (0, "") == (code, err)
    assert re.sub(progress, "", out) == (
        "=== Basic Streaming ===\n\n# Go Error Handling\nErrors are values.\n"
        "\n[Tokens: 5 prompt, 2 completion, 7 total]\n"
        f"\n\n=== Streaming with Progress ===\n\n{''.join(WORDS)}\n\n[Complete: 30 total tokens]\n"
        f"\n\n=== Parallel Streaming ===\n{shown}"
    )
    assert re.search(progress, out)
    assert [0.7, 0.7, None, None, None] == [each.get("temperature") for each in asked]
    assert ["Be concise."] * 3 == [each["messages"][0]["content"] for each in asked[2:]]


def test_a_failure_is_told_and_the_rest_goes_on() -> None:
    """What had come is printed, and so are the other answers; it fails."""
    with Explaining() as server:
        server.answers = guide(*GUIDE[:3], Close())
        code, out, err = run_example("streaming_client.py", "openai", server=server)

    assert 1 == code
    assert err.startswith("streaming error: ")
    assert "# Go Error Handling\n\n\n\n=== Streaming with Progress ===" in out
    assert "[Complete: 30 total tokens]" in out


def test_a_failed_topic_does_not_hide_the_others() -> None:
    """Its error is told after them."""
    with Explaining() as server:
        server.answers = {**guide(), "Explain Go goroutines": error_answer(400, "no goroutines today")}
        code, out, err = run_example("streaming_client.py", "openai", server=server)

    assert 1 == code
    assert "no goroutines today" in err
    assert "--- Topic 2 ---\n\n\n--- Topic 3 ---\nExplain Go mutexes." in out


def interrupted(began: str, *arguments: str) -> tuple[int, str]:
    """Run the example, interrupt it when it has printed this and some more, and give exit code and all output."""
    command = [sys.executable, str(EXAMPLES / "streaming_client.py"), *arguments]
    with subprocess.Popen(command, bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        out = b""
        while len(out) < len(began) + 5:
            out += process.stdout.read(1000)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
    return process.returncode, (out + rest).decode()


needs_signal = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
HEADING = "=== Basic Streaming ===\n\n"


@needs_signal
def test_ctrl_c_cancels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, for all three."""
    with Explaining() as server:
        server.answers = guide(*GUIDE[:3], Stall())
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        code, out = interrupted(HEADING, "openai")

    assert 130 == code
    assert f"{HEADING}# Go Error Handling\n\n\nCancelling...\n\n\n[Cancelled by user]\n" == out


def test_a_missing_key_is_told() -> None:
    """Asked for openai without a key, it says what to set and fails."""
    code, out, err = run_example("streaming_client.py", "openai")

    assert (1, "") == (code, out)
    assert err.startswith("openai not configured: ")
    assert "OPENAI_API_KEY" in err


@needs_signal
@pytest.mark.model
def test_the_small_model_answers() -> None:
    """Without arguments it is the model on this machine that writes."""
    code, out = interrupted(HEADING)

    assert 130 == code
    assert len(out.partition(HEADING)[2].partition("\n\nCancelling...")[0].strip()) > 3
