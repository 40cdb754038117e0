"""Every Python snippet of the README runs, in order, in one namespace, as a reader would paste them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from streamkit.testing import ProviderServer, anthropic_answer, chat_answer, error_answer
from tests.answering import AnsweringServer

README = Path(__file__).parent.parent / "README.md"


def snippets(path: Path) -> list[str]:
    """The Python blocks of a Markdown file."""
    return re.findall(r"^```python\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def providers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ProviderServer, ProviderServer]]:
    """An OpenAI and an Anthropic that answer every request, found through the environment as the real ones are."""
    with AnsweringServer("The sky ", "is blue.") as openai, ProviderServer() as anthropic, ProviderServer() as groq:
        anthropic.reply(anthropic_answer("There are 25.", thinking="Let me count."), times=None)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("OPENAI_BASE_URL", openai.base_url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", anthropic.url)
        groq.reply(chat_answer("Hi."))
        groq.reply(*error_answer(200, b'{"data": [{"id": "openai/gpt-oss-20b"}]}'))
        monkeypatch.setenv("GROQ_API_KEY", "gsk-test")
        monkeypatch.setenv("GROQ_BASE_URL", groq.base_url)
        monkeypatch.setenv("GEMINI_API_KEY", "key-test")
        yield openai, anthropic


def test_readme_snippets_run(
    providers: tuple[ProviderServer, ProviderServer],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The snippets run from first to last and print what the README promises."""
    module = ModuleType("readme")
    monkeypatch.setitem(sys.modules, "readme", module)  # dataclasses look their module up
    namespace = vars(module)
    blocks = snippets(README)

    for block in blocks:
        exec(compile(block, str(README), "exec"), namespace)  # running the README is the point
    for name in ("client", "claude", "groq", "gemini", "fake"):
        namespace[name].close()

    printed = capsys.readouterr().out
    assert len(blocks) >= 8
    assert printed.startswith("The sky is blue.\n[Tokens: ")
    assert "Hi.['openai/gpt-oss-20b'] True" in printed
    assert "=== Thinking ===\nLet me count.\n\n=== Response ===\nThere are 25." in printed
    assert "\n\n[Complete: " in printed
    assert "16 characters kept" in printed
    assert "City(name=None, sights=[])" in printed
    assert "City(name='Hello', sights=['Hello', 'Hello'])" in printed
    assert printed.endswith("Hello world\n")
