"""The example that saves its answer, as a user runs it: cut, killed, and run again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamkit import StreamState
from streamkit.testing import Close, ProviderServer, chat_answer, error_answer
from tests.running import run_example

STORY = "Once upon a time there was a stream. It was cut in the middle, and it went on as if nothing had happened."


def test_it_goes_on_by_itself(tmp_path: Path) -> None:
    """Its own server cuts the answer, and begins two words earlier: the story is whole, and no state is left."""
    file = tmp_path / "story.json"
    code, out, err = run_example("resume.py", str(file))

    assert (0, "") == (code, err)
    assert out.startswith("Once upon a time there was a stream.[it goes on] It was cut")
    assert f"{STORY}\n[{len(STORY)} characters, " in out.replace("[it goes on]", "")
    assert not file.exists()


@pytest.mark.slow
def test_it_goes_on_after_a_restart(tmp_path: Path) -> None:
    """What failed for good is saved; the next run prints it, and asks for the rest only."""
    file = tmp_path / "story.json"
    with ProviderServer() as server:
        server.reply(*chat_answer("Once upon", " a time")[:4], Close())
        server.reply(*error_answer(401, "expired"))
        first = run_example("resume.py", str(file), "openai", server=server)
        state = StreamState.load(file)
        server.reply(*chat_answer(" there was", " a stream."))
        second = run_example("resume.py", str(file), "openai", server=server)
        asked = json.dumps(server.requests[-1].json()["messages"])

    assert (1, "Once upon a time") == (first[0], first[1].rstrip())
    assert "Run it again to go on from" in first[2]
    assert ("Once upon a time", 2) == (state.partial_content, state.token_count)
    assert (0, "") == (second[0], second[2])
    assert second[1].startswith(
        "Once upon a time[it goes on] there was a stream.\n[36 characters, 3 chunks in this run]\n"
    )
    assert "Tell me a story" in asked and "You were writing:\\n---\\nOnce upon a time\\n---" in asked
    assert not file.exists()
