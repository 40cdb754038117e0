"""Every Python snippet of a guide runs, in order, against a server that answers what each of them asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamkit import Client
from streamkit import client as client_module
from tests.answering import AnsweringServer
from tests.redis_server import RedisServer, needs_redis
from tests.test_readme import snippets

GUIDES = Path(__file__).parents[2] / "docs" / "guides"

# What each page prints, among other things, if it does what it says.
PRINTED = {
    "conversations": ["Hello", "4 messages", "4 6", "True"],
    "durable": [
        "Hm.Hello\n 7 tokens",
        "0 chunks, 5 characters in all",
        "DurableStatus(state='complete', chunks=4)",
        "True\nthe durable stream 'answer-17' is written, and whole",
    ],
    "handlers": [
        "Hello\n7 tokens, stop\n",
        "Hello\r[2 tokens, ",
        "Hello\n\n[Complete: 7 total tokens]\nHello\n[on]",
        "\nModel: Hello\n[7 tokens]\n[off]\n",
        "Hello\n\n[Tokens: 5 prompt, 2 completion, 7 total]\n",
    ],
    "hooks": [
        "-> openai gpt-4o, 1 messages",
        "<- 200,",
        "done: stop",
        "Hello {'thinking': 1, 'text': 2, 'step_finish': 1}",
    ],
    "objects": ["headline='Hello'", "'Hello', 2 sections so far", "positive"],
    "observability": ["chat gpt-4o {", "step 1 {", "'gen_ai.provider.name': 'openai'", "my request {}"],
    "parallel": [
        "0 Explain queues. Hello",
        "['Hello', 'Hello', 'Hello', 'Hello']",
        "0 failed: None",
        "True",
        "0 answers from an earlier run\n3 answers from an earlier run",
        "3 answers\n",
        "['Hello', 'Hello', 'Hello']",
    ],
    "resuming": [
        "1 step, 7 tokens, 1 attempts",
        "Hm.Hello\nended by stop",
        "5 characters, 4 chunks",
        "whole: Once upon a timeHello",
    ],
    "serve": ['data: {"type":"token","content":"Hel"}', '"type":"done"', "\nstop\n"],
    "streaming": [
        "Hello\n7 tokens",
        "Hello5\n",
        "5%\n100%",
        "['thinking', 'text', 'text', 'step_finish']",
        "Hello None",
    ],
    "text": [
        "Hello",
        "stop, 7 tokens",
        "(Hm.)",
        "[step 1: stop]",
        "[7 tokens]",
        "request: model=gpt-4o messages=1",
        "s, 7 tokens, error: None",
        "Hello gpt-4o 2",
    ],
    "web": [
        'data: {"type":"token","content":"Hel"}\n\ndata: {"type":"token","content":"lo"}\n\ndata: {"type":"done",',
        "retry: 500\nid: ",
    ],
    "tools": ["[get_weather({'city': 'Hello', 'unit': 'celsius'})]", "2 steps", "natural", "ask_user", "stop_when"],
}


@pytest.fixture(name="server")
def fixture_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[AnsweringServer]:
    """A server, found through the environment as the real one is; the process's own clients end with it."""
    monkeypatch.chdir(tmp_path)  # some pages write a file
    with AnsweringServer("Hel", "lo", thinking="Hm.") as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setattr(client_module, "_clients", shared := {})
        yield server
        for client in shared.values():
            client.close()


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A Redis."""
    needs_redis()
    with RedisServer() as server:
        yield server


def test_every_guide_is_run() -> None:
    """No page that has snippets is left out."""
    assert {path.stem for path in GUIDES.glob("*.md") if snippets(path)} == set(PRINTED)


@pytest.mark.parametrize("page", PRINTED)
def test_the_snippets_of_a_guide_run(
    page: str,
    server: AnsweringServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """From first to last, in one namespace; what they print is what the page says of them."""
    if page == "observability":
        pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk")
    if page == "handlers":
        pytest.importorskip("rich", reason="needs rich")
    if page == "durable":
        monkeypatch.setenv("REDIS_URL", request.getfixturevalue("redis_server").url)
    if page in ("handlers", "parallel"):
        tqdm = pytest.importorskip("tqdm", reason="needs tqdm")
        monkeypatch.setattr(tqdm.tqdm, "monitor_interval", 0)  # its thread would outlive the test
    if page == "web":
        pytest.importorskip("flask", reason="needs flask")
        pytest.importorskip("django", reason="needs django")
    path = GUIDES / f"{page}.md"
    namespace: dict[str, object] = {"__name__": "page"}
    blocks = snippets(path)
    try:
        for block in blocks:
            exec(compile(block, str(path), "exec", dont_inherit=True), namespace)  # running the page is the point
    finally:
        for value in namespace.values():
            if isinstance(value, Client) or type(value).__name__ == "DurableStreams":
                value.close()  # type: ignore[attr-defined]  # both have it
    printed = capsys.readouterr().out

    assert blocks
    assert server.requests
    assert [] == [text for text in PRINTED[page] if text not in printed]
