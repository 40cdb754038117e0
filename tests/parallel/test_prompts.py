"""Prompts, read one by one and made into requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from streamkit import Client, ConfigError
from streamkit.parallel.prompts import Prompts
from streamkit.providers import OpenAI

CLIENT = Client(OpenAI(api_key="test"))
CHAT = CLIENT.chat("gpt-4o")


def read(prompts: Prompts) -> list[Any]:
    """Read to the end."""
    return list(iter(prompts.next, None))


def test_texts_and_builders() -> None:
    """A text is added to the template; a builder is asked as it is."""
    own = CHAT.system("S").user("first").assistant("yes").user("last")
    tasks = read(Prompts(CHAT.system("T"), ["text", own, CHAT], None))

    assert [(0, "text"), (1, "last"), (2, "")] == [(task.index, task.prompt) for task in tasks]
    assert ["T", "text"] == [message.text for message in tasks[0].chat.request.messages]
    assert tasks[1].chat is own


@pytest.mark.parametrize("prompts", [["a", "b"], ("a", "b"), {"a": 1, "b": 2}, {"a": 1, "b": 2}.keys()])
def test_what_has_a_length_has_a_total(prompts: Any) -> None:
    """From the beginning."""
    found = Prompts(CHAT, prompts, None)

    assert (2, True) == (found.total, found.sized)


def test_the_total_of_a_generator_is_known_at_its_end() -> None:
    """Not before."""
    prompts = Prompts(CHAT, iter(["a", "b"]), None)
    before = prompts.total
    read(prompts)

    assert (None, 2, 2, False) == (before, prompts.total, prompts.read, prompts.sized)


def test_a_generator_is_let_go_at_its_end() -> None:
    """With whatever it holds."""
    closed: list[bool] = []

    def given() -> Iterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            closed.append(True)

    prompts = Prompts(CHAT, given(), None)
    prompts.next()
    prompts.drop()

    assert [True] == closed
    assert None is prompts.next()


def test_an_error_is_the_last_task() -> None:
    """It tells how many came before."""

    def broken() -> Iterator[str]:
        yield "a"
        raise OSError("disk gone")

    prompts = Prompts(CHAT, broken(), None)
    first, last = read(prompts)

    assert None is first.error
    assert "after 1: OSError('disk gone')" in str(last.error)
    assert isinstance(last.error.__cause__, OSError)


def test_a_provider_s_default_model_will_do() -> None:
    """Where there is one, text prompts need no other."""
    client = Client(OpenAI(api_key="test"))
    client.provider.__dict__["default_model"] = "usual"

    assert "usual" == read(Prompts(client, ["a"], None))[0].chat.request.model


def test_a_builder_needs_no_model() -> None:
    """It has its own."""
    with pytest.raises(ConfigError, match="need a model"):
        Prompts(CLIENT, [CHAT, "text"], None)

    assert 1 == len(read(Prompts(CLIENT, [CHAT], None)))
