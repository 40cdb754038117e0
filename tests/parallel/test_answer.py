"""Asking one prompt."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from streamkit import BadRequest, ChatBuilder, Context, DeadlineExceeded, StreamTruncated
from streamkit.parallel.answer import ask
from tests.echoing import EchoServer, echo


@pytest.fixture(name="chat")
def fixture_chat() -> Iterator[ChatBuilder]:
    """A builder of a client of a server that echoes."""
    with EchoServer(headers={"x-ratelimit-remaining-requests": "7"}) as server, server.client() as client:
        yield client.chat("gpt-4o")


def test_a_whole_answer(chat: ChatBuilder) -> None:
    """Response, time and headers; who wants is told the stream and its chunks."""
    streams: list[Any] = []
    chunks: list[Any] = []
    answer = ask(chat.user("a"), Context(), opened=streams.append, chunk=chunks.append)

    assert answer.response is not None
    assert (echo("a"), True, None) == (answer.response.text, answer.response.complete, answer.error)
    assert "7" == answer.headers["x-ratelimit-remaining-requests"]
    assert echo("a") == "".join(chunk.content for chunk in chunks)
    assert 1 == len(streams)
    assert answer.elapsed > 0


def test_nobody_need_listen(chat: ChatBuilder) -> None:
    """Then nothing is read but the outcome."""
    answer = ask(chat.user("a"), Context())

    assert answer.response is not None
    assert echo("a") == answer.response.text


@pytest.mark.parametrize(
    ("prompt", "kind", "text"), [("cut", StreamTruncated, "cut:0 cut:1 "), ("fail", BadRequest, None)]
)
def test_an_error_is_an_answer(chat: ChatBuilder, prompt: str, kind: type[Exception], text: str | None) -> None:
    """With what had come; without frames."""
    answer = ask(chat.user(prompt), Context())

    assert kind is type(answer.error)
    assert text == (answer.response.text if answer.response is not None else None)
    assert None is (answer.error and answer.error.__traceback__)


def test_a_deadline_is_an_answer(chat: ChatBuilder) -> None:
    """What had come until then is kept."""
    answer = ask(chat.user("stall"), Context(0.2))

    assert DeadlineExceeded is type(answer.error)
    assert answer.response is not None
    assert "stall:0 stall:1 " == answer.response.text


def test_an_answer_pickles(chat: ChatBuilder) -> None:
    """It may come from another process."""
    answer = ask(chat.user("a"), Context())

    assert answer == pickle.loads(pickle.dumps(answer))
