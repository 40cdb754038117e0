"""The tables of providers in the documentation are those of the code."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import attrs
import pytest

from streamkit import providers
from streamkit.codec import Capabilities
from streamkit.providers import Groq
from streamkit.testing import ProviderServer, chat_answer, error_answer
from tests.test_readme import snippets

FOLDER = Path(__file__).parents[2] / "docs" / "providers"


@pytest.fixture(name="table", scope="module")
def fixture_table() -> dict[str, Any]:
    """What docs/providers/table.py defines."""
    return runpy.run_path(str(FOLDER / "table.py"))


def test_the_page_is_up_to_date(table: dict[str, Any]) -> None:
    """The page is what `python docs/providers/table.py` would write."""
    written = (FOLDER / "README.md").read_text(encoding="utf-8")

    assert table["page"]() == written, "docs/providers/README.md is out of date: run python docs/providers/table.py"


def test_every_provider_is_in_both_tables(table: dict[str, Any]) -> None:
    """Each has a line with its facts and a line with what it can do."""
    lines = table["tables"]().splitlines()

    assert [] == [n for n in providers.names(others=False) if 2 != sum(line.startswith(f"| `{n}` |") for line in lines)]


def test_every_flag_has_a_column(table: dict[str, Any]) -> None:
    """All that is yes or no in `Capabilities`, but for what is a matter of files, is shown."""
    flags = {field.name for field in attrs.fields(Capabilities) if field.type in (bool, "bool")}

    assert {"file_urls", "citations"} == flags - set(table["FLAGS"])


def test_a_line_says_what_the_code_says(table: dict[str, Any]) -> None:
    """A mark stands where the flag is set."""
    can = Groq("key-0123456789").capabilities
    (line,) = [line for line in table["tables"]().splitlines() if line.startswith("| `groq` |") and "✓" in line]

    assert ["✓" if getattr(can, flag) else "–" for flag in table["FLAGS"]] == line.removesuffix(" |").split(" | ")[1:]


def test_the_snippet_of_the_page_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It makes providers by class and by name, and asks one."""
    with ProviderServer() as server:
        monkeypatch.setenv("GROQ_API_KEY", "key-0123456789")
        monkeypatch.setenv("GROQ_BASE_URL", server.base_url)
        server.reply(chat_answer("It is not."))
        server.reply(error_answer(200, {"data": [{"id": "openai/gpt-oss-20b"}]}))
        for block in snippets(FOLDER / "README.md"):
            exec(compile(block, "README.md", "exec"), {"__name__": "page"})  # running the page is the point

    assert "It is not.\n['openai/gpt-oss-20b']\nTrue\n" == capsys.readouterr().out
