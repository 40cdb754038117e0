"""A document's summary, as a user has it made."""

from __future__ import annotations

import pathlib

import pytest

from streamkit.testing import ProviderServer, chat_answer
from tests.running import run_example

pytestmark = pytest.mark.slow


def test_a_bar_and_a_summary(tmp_path: pathlib.Path) -> None:
    """The bar goes to the error output and ends full; the summary can be piped on."""
    document = tmp_path / "document.txt"
    document.write_text("x" * 200, encoding="utf-8")
    with ProviderServer() as server:
        server.reply(chat_answer("It is ", "all x."))
        code, out, err = run_example("summary.py", str(document), "openai", server=server)
        asked = server.requests[0].json()

    assert (0, "\nIt is all x.\n") == (code, out)
    assert [" 10%", " 20%", "100%"] == [shown[-4:] for shown in err.splitlines()[1:]]
    assert "x" * 200 == asked["messages"][1]["content"]
