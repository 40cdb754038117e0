"""The pages of services are those of the code, and what they say to do works."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import attrs
import pytest

from streamkit import Client, providers
from streamkit.codec import Capabilities
from streamkit.testing import ProviderServer, anthropic_answer, chat_answer, responses_answer
from tests.test_readme import snippets

FOLDER = Path(__file__).parents[2] / "docs" / "providers"
WRITER: dict[str, Any] = runpy.run_path(str(FOLDER / "services.py"))
NAMES: list[str] = WRITER["names"]()
ANSWERS = {"openai_chat": chat_answer, "anthropic": anthropic_answer, "openai_responses": responses_answer}


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_up_to_date(name: str) -> None:
    """It is what `python docs/providers/services.py` would write."""
    written = (FOLDER / "services" / f"{name}.md").read_text(encoding="utf-8")

    assert WRITER["page"](name) == written, "it is out of date: run python docs/providers/services.py"


def test_every_service_has_a_page() -> None:
    """And every page, and every note, a service; the others have one beside the folder."""
    assert set(NAMES) == {path.stem for path in (FOLDER / "services").glob("*.md")}
    assert set(WRITER["NOTES"]) <= set(NAMES)
    assert {*NAMES, *WRITER["OWN_PAGES"]} == set(providers.names(others=False))


@pytest.mark.parametrize(
    ("down", "refused"),
    [
        ({}, []),
        ({"prefill": False}, []),
        ({"prompt_caching": False}, ["`.prompt_caching()` and `cache=True`"]),
        ({"named_tool": False, "seed": False}, ["tool_choice by name", "`.seed(n)`"]),
        (
            {"tools": False, "named_tool": False, "stop": False},
            [
                'tools, and with them tool_choice "required", tool_choice by name, `parallel=False` '
                "and images in a tool's result",
                "`.stop(...)`",
            ],
        ),
        ({"images": False, "image_urls": False}, ["images, and with them images by URL"]),
    ],
)
def test_what_a_page_says_is_refused(down: dict[str, bool], refused: list[str]) -> None:
    """What flags deny, and with it what follows from that; an answer that was begun is never refused."""
    able = Capabilities(**dict.fromkeys(WRITER["WORDS"], True))

    assert refused == list(WRITER["_refused"](attrs.evolve(able, **down)))


@pytest.mark.parametrize("name", NAMES)
def test_the_snippet_of_a_page_runs(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the key that the page names in the environment, it prints the answer."""
    row: Any = providers.find(name)
    codec = object.__new__(row).codec
    module = next(one for one in ANSWERS if any(one in base.__module__ for base in type(codec).__mro__))
    with ProviderServer() as server:
        server.reply(*ANSWERS[module]("It is not."), times=None)
        monkeypatch.setenv(row.key_variables[0], "key-0123456789")
        if row.base_url_variable:
            monkeypatch.setenv(row.base_url_variable, server.base_url)
        else:
            monkeypatch.setattr(row, "default_base_url", server.base_url)
            for variable in row.settings.values():
                monkeypatch.setenv(variable, "mine")
        namespace: dict[str, Any] = {"__name__": "page"}
        for block in snippets(FOLDER / "services" / f"{name}.md"):
            exec(compile(block, f"{name}.md", "exec"), namespace)  # running the page is the point
        client: Client = namespace["client"]
        client.close()

    assert "It is not." == capsys.readouterr().out
    assert "key-0123456789" in str(server.requests[0].headers)
