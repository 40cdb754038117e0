"""Every Python snippet of a provider's page runs, in order, against a server that answers as the provider does."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamkit.testing import (
    ProviderServer,
    Script,
    anthropic_answer,
    chat_answer,
    cohere_answer,
    gemini_answer,
    ollama_answer,
    responses_answer,
)
from tests.test_readme import snippets

PAGES = Path(__file__).parents[1] / "docs" / "providers"
NAMES = sorted({path.stem for path in PAGES.glob("*.md")} - {"README"})

# What a page's provider needs in the environment to be found at the server, and what the server answers.
ANSWERS: dict[str, tuple[dict[str, str], Script]] = {
    "anthropic": (
        {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "{url}"},
        anthropic_answer("Hello", thinking="Hm."),
    ),
    "cohere": ({"COHERE_API_KEY": "k", "CO_API_URL": "{url}"}, cohere_answer("Hello", thinking="Hm.")),
    "gemini": (
        {"GEMINI_API_KEY": "k", "GEMINI_BASE_URL": "{url}", "GOOGLE_GEMINI_BASE_URL": "{url}"},
        gemini_answer("Hello", thinking="Hm."),
    ),
    "ollama": ({"OLLAMA_HOST": "{url}"}, ollama_answer("Hello", thinking="Hm.")),
    "openai": ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "{url}/v1"}, chat_answer("Hello", thinking="Hm.")),
    "openai_responses": (
        {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "{url}/v1"},
        responses_answer("Hello", thinking="Hm."),
    ),
}


@pytest.mark.parametrize("page", NAMES)
def test_the_snippets_of_a_page_run(
    page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From first to last, in one namespace; what is streamed gets printed."""
    path = PAGES / f"{page}.md"
    variables, answer = ANSWERS[page]
    namespace: dict[str, object] = {"__name__": "page"}
    with ProviderServer() as server:
        server.reply(*answer, times=None)
        for name, value in variables.items():
            monkeypatch.setenv(name, value.format(url=server.url))
        blocks = snippets(path)
        for block in blocks:
            exec(compile(block, str(path), "exec"), namespace)  # running the page is the point
        for value in namespace.values():
            if type(value).__name__ == "Client":
                value.close()  # type: ignore[attr-defined]

    assert blocks
    assert server.requests
    assert "Hello" in capsys.readouterr().out
