"""One answer that has to be an object, and the second try."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from streamkit import Cancelled, Client, Hooks, ObjectError, generate_object, stream_object
from streamkit.testing import ProviderServer, Stall, Status, chat_answer
from tests.loopback import delta, took


@attrs.define
class Point:
    """A point."""

    x: int
    y: int


def point(client: Client, **options: Any) -> Any:
    """Ask for a point."""
    return generate_object(client.model("gpt-4o"), Point, prompt="Where?", **options)


def test_asked_once_more(server: ProviderServer, client: Client) -> None:
    """The model is told what was wrong, after its own answer; usage is of both, and observers see two steps."""
    steps: list[str] = []
    server.reply(*chat_answer('{"x": 1}'))
    server.reply(*chat_answer('{"x": 1, "y": 2}'))
    result = point(client, repair=True, hooks=Hooks(on_step_finish=lambda step: steps.append(step.text)))
    asked = server.requests[1].json()["messages"]

    assert Point(1, 2) == result.object
    assert ['{"x": 1}', '{"x": 1, "y": 2}'] == steps
    assert ["user", "assistant", "user"] == [message["role"] for message in asked]
    assert "y is missing" in asked[-1]["content"]
    assert 12 == result.usage.total_tokens


def test_asked_once_more_by_tool(server: ProviderServer, client: Client) -> None:
    """There the model is told in the call's result."""
    server.reply(*chat_answer(tool_calls=[("answer", {"x": 1})]))
    server.reply(*chat_answer(tool_calls=[("answer", {"x": 1, "y": 2})]))
    result = point(client, repair=True, mode="tool")
    asked = server.requests[1].json()["messages"]

    assert Point(1, 2) == result.object
    assert ["user", "assistant", "tool"] == [message["role"] for message in asked]
    assert "y is missing" in asked[-1]["content"]


@pytest.mark.parametrize("repair", [False, True])
def test_calls_are_answered(repair: bool, server: ProviderServer, client: Client) -> None:
    """So the messages of the answer can be sent along with the next request; the numbering has no gaps."""
    wrong = [chat_answer(tool_calls=[("answer", {"x": 1})])] * repair
    for script in (*wrong, chat_answer(tool_calls=[("answer", {"x": 1, "y": 2})])):
        server.reply(*script)
    stream = stream_object(client.model("gpt-4o"), Point, prompt="Where?", repair=repair, mode="tool")
    response = stream.result().response
    told = [step.tool_results[0] for step in response.steps]

    assert ["assistant", "tool"] * (1 + repair) == [message.role for message in response.messages]
    assert [True] * repair + [False] == [result.is_error for result in told]
    assert "The answer was taken." == told[-1].output
    assert [*range(6 * (1 + repair))] == [chunk.index for chunk in stream.chat_stream.replay()]


def test_wrong_twice(server: ProviderServer, client: Client) -> None:
    """Is the error of the second answer; there is no third."""
    server.reply(*chat_answer('{"x": 1}'))
    server.reply(*chat_answer('{"x": 1, "y": "2"}'))
    with pytest.raises(ObjectError, match="y must be integer, not '2'"):
        point(client, repair=True)

    assert 2 == len(server.requests)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (chat_answer('{"x": 1, "y', finish="length"), "was cut off by the limit of tokens"),
        (chat_answer("", finish="content_filter"), "was refused"),
    ],
)
def test_what_another_try_would_not_mend(answer: Any, says: str, server: ProviderServer, client: Client) -> None:
    """An answer that was too long, or refused, is not asked for again."""
    server.reply(*answer)
    with pytest.raises(ObjectError, match=says):
        point(client, repair=True)

    assert 1 == len(server.requests)


def test_a_cancel_in_the_second_try(server: ProviderServer, client: Client) -> None:
    """Frees the caller at once; both answers are kept."""
    server.reply(*chat_answer('{"x": 1}'))
    server.reply(Status(), delta('{"x": 2, '), Stall())
    stream = stream_object(client.model("gpt-4o"), Point, prompt="Where?", repair=True)
    partials = stream.partial_object_stream()
    partial = next(partial for partial in partials if partial.x == 2)
    with took(1.0):
        stream.cancel()

        assert isinstance(stream.err(), Cancelled)
    assert (Point(2, None), '{"x": 1}{"x": 2, ') == (partial, stream.partial.text)  # type: ignore[arg-type]
