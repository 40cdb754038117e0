"""The object of a document, as a user has it made."""

from __future__ import annotations

import pathlib

import pytest

from streamkit.testing import ProviderServer, chat_answer
from tests.running import run_example

PIECES = (
    '{"subject": "The Left',
    ' Hand of Darkness", "place": "the',
    ' library", "day": "12 March", "peo',
    'ple": ["Ada", "Gra',
    'ce", "Edsger"]}',
)
SHOWN = "The Left Hand of Darkness\nthe library\n12 March\nAda\nGrace\nEdsger"

pytestmark = pytest.mark.slow


def test_it_grows_and_is_checked() -> None:
    """What is new in each partial is printed, all of it once; then comes the object, validated."""
    with ProviderServer() as server:
        server.reply(chat_answer(*PIECES))
        code, out, err = run_example("typed_object.py", "openai", server=server)
        asked = server.requests[0].json()
    meeting = (
        "Meeting(subject='The Left Hand of Darkness', place='the library', day='12 March', "
        "people=['Ada', 'Grace', 'Edsger'])"
    )

    assert (0, "") == (code, err)
    assert f"{SHOWN}\n\n{meeting}\n" == out
    assert "Meeting" in str(asked) or "subject" in str(asked["response_format"])


def test_another_document_is_read(tmp_path: pathlib.Path) -> None:
    """A path given is whose text the model gets."""
    document = tmp_path / "notes.txt"
    document.write_text("We meet at noon.", encoding="utf-8")
    with ProviderServer() as server:
        server.reply(chat_answer(*PIECES))
        code, _, _ = run_example("typed_object.py", "openai", str(document), server=server)
        asked = server.requests[0].json()

    assert 0 == code
    assert asked["messages"][-1]["content"].endswith("We meet at noon.")


def test_half_an_object_is_none() -> None:
    """An answer that the limit of tokens cuts fails, and what had come is told as what it is."""
    with ProviderServer() as server:
        server.reply(chat_answer(*PIECES[:3], finish="length"))
        code, out, err = run_example("typed_object.py", "openai", server=server)

    assert (1, "The Left Hand of Darkness\nthe library\n12 March") == (code, out)
    assert err.startswith("\nNo meeting: ")
    assert "place='the library'" in err


@pytest.mark.model
def test_the_small_model_is_held_to_the_form() -> None:
    """Without arguments the model on this machine gives a meeting, or it is told why it is none."""
    code, out, err = run_example("typed_object.py")

    assert code in (0, 1)
    assert "Meeting(subject=" in out if code == 0 else "No meeting: " in err
