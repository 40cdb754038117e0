"""Conversation: a history that grows with each answer."""

from __future__ import annotations

from typing import Any

import pytest

from streamkit import BadRequest, Client, ConfigError, Context, Conversation, StreamTruncated, tool, user
from streamkit.testing import Close, ProviderServer, Stall, Status, chat_answer, error_answer
from tests.loopback import client_of, delta


def talk(client: Client, **options: Any) -> Conversation:
    """A conversation with a system prompt."""
    return Conversation(client.chat("gpt-4o").system("Be brief."), **options)


def said(conversation: Conversation) -> list[tuple[str, str]]:
    """Who said what."""
    return [(message.role, message.text) for message in conversation.messages]


def test_it_grows_with_each_answer(server: ProviderServer, client: Client) -> None:
    """The next turn is asked with all before it; the system prompt is sent and is no part of the history."""
    server.reply(*chat_answer("One."))
    server.reply(*chat_answer("Two."))
    conversation = talk(client)

    assert "One." == "".join(conversation.send("First?").text())
    assert [("user", "First?"), ("assistant", "One.")] == said(conversation)
    assert "Two." == conversation.send(user("Second?")).result().text
    assert [("user", "First?"), ("assistant", "One."), ("user", "Second?"), ("assistant", "Two.")] == said(conversation)
    assert ["Be brief.", "First?", "One.", "Second?"] == [m["content"] for m in server.requests[1].json()["messages"]]


def test_the_history_has_grown_when_final_can_be_read(server: ProviderServer, client: Client) -> None:
    """However often: nobody has to wait for anything else."""
    server.reply(*chat_answer("Yes."), times=None)
    conversation = talk(client)
    for turn in range(1, 21):
        conversation.send("More?").final.get()

        assert 2 * turn == len(conversation.messages)


def test_tools(server: ProviderServer, client: Client) -> None:
    """All messages of all steps enter the history."""

    @tool
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    server.reply(*chat_answer(tool_calls=[("add", {"a": 1, "b": 2})]))
    server.reply(*chat_answer("Three."))
    conversation = talk(client)

    assert "Three." == conversation.send_text("1 + 2?", tools=[add]).result().text
    assert ["user", "assistant", "tool", "assistant"] == [message.role for message in conversation.messages]


def failing(server: ProviderServer, how: str) -> None:
    """Have the next answer fail, before it opens or in its middle."""
    if how == "before":
        server.reply(*error_answer(400, "no"))
    else:
        server.reply(Status(), delta("Half an"), Close())


@pytest.mark.parametrize("how", ["before", "after"])
def test_a_failed_turn_is_forgotten(how: str, server: ProviderServer, client: Client) -> None:
    """Question and all; the next one is asked as if it had not been."""
    failing(server, how)
    server.reply(*chat_answer("Yes."))
    conversation = talk(client)
    with pytest.raises((BadRequest, StreamTruncated)):
        conversation.send("First?").result()

    assert [] == said(conversation)
    conversation.send("Second?").result()
    assert ["Be brief.", "Second?"] == [m["content"] for m in server.requests[1].json()["messages"]]


def test_a_failed_turn_is_kept(server: ProviderServer, client: Client) -> None:
    """Where that is wished, marked as not complete; the next turn is sent with it."""
    failing(server, "after")
    server.reply(*chat_answer("Yes."))
    conversation = talk(client, on_failure="keep")
    error = conversation.send("First?").err.get()

    assert isinstance(error, StreamTruncated)
    assert [("user", "First?"), ("assistant", "Half an")] == said(conversation)
    assert [True, False] == [message.complete for message in conversation.messages]
    conversation.send("Go on").result()
    assert ["First?", "Half an", "Go on"] == [m["content"] for m in server.requests[1].json()["messages"][1:]]


def test_calls_without_results_are_not_kept(server: ProviderServer, client: Client) -> None:
    """No provider would take them back."""
    started = chat_answer("Let me see.", tool_calls=[("add", {"a": 1})])
    server.reply(*started[:-4], Close())
    conversation = talk(client, on_failure="keep")
    conversation.send("1 + 2?").err.get()

    assert [("user", "1 + 2?"), ("assistant", "Let me see.")] == said(conversation)


@pytest.mark.parametrize("how", ["cancel", "context", "close"])
def test_a_cancelled_turn(how: str, server: ProviderServer, client: Client) -> None:
    """Is a failed one; the history has settled when `err` can be read, and another turn may begin."""
    server.reply(Status(), delta("Half an"), Stall())
    server.reply(*chat_answer("Yes."))
    ctx = Context()
    conversation = talk(client, on_failure="keep")
    stream = conversation.send("First?", ctx=ctx)
    next(stream.text())
    {"cancel": stream.cancel, "context": ctx.cancel, "close": stream.close}[how]()
    stream.err.get()

    assert [("user", "First?"), ("assistant", "Half an")] == said(conversation)
    assert "Yes." == conversation.send("Second?").result().text


def test_one_answer_at_a_time(server: ProviderServer, client: Client) -> None:
    """Another is refused while one is under way; a fork may have one."""
    server.reply(*chat_answer("One."))
    server.reply(Status(), delta("Two"), Stall())
    server.reply(*chat_answer("Three."))
    conversation = talk(client)
    conversation.send("First?").result()
    with conversation.send("Second?"):
        for refused in (lambda: conversation.send("Third?"), conversation.clear):
            with pytest.raises(ConfigError, match="under way"):
                refused()
        fork = conversation.fork()

        assert "Three." == fork.send("Third?").result().text
    assert [("user", "First?"), ("assistant", "One.")] == said(conversation)
    assert [("user", "First?"), ("assistant", "One."), ("user", "Third?"), ("assistant", "Three.")] == said(fork)


def test_a_dropped_turn_ends(server: ProviderServer, client: Client) -> None:
    """The conversation does not hold its stream."""
    server.reply(Status(), delta("Half an"), Stall())
    conversation = talk(client)
    stream = conversation.send("First?")
    run = stream._run
    del stream
    run.pipe.wait_changed(lambda: run.pipe.closed, 2)

    assert not run.live
    assert [] == said(conversation)


def test_trimming(server: ProviderServer, client: Client) -> None:
    """What it leaves out is not sent, and stays; what it raises is the caller's, and nothing has begun."""
    server.reply(*chat_answer("Yes."), times=None)
    conversation = talk(client, trim=lambda messages: messages[-1:])
    for question in ("First?", "Second?"):
        conversation.send(question).result()

    assert 4 == len(conversation.messages)
    assert ["Be brief.", "Second?"] == [m["content"] for m in server.requests[1].json()["messages"]]
    broken = talk(client, trim=lambda messages: messages[99])  # type: ignore[arg-type, return-value]
    for _ in range(2):
        with pytest.raises(IndexError):
            broken.send("First?")


def test_saving_and_forgetting(server: ProviderServer, client: Client) -> None:
    """A history can be written and read; `clear` leaves the system prompt."""
    server.reply(*chat_answer("Yes."), times=None)
    conversation = talk(client)
    conversation.send("First?").result()
    again = Conversation.from_json(client.chat("gpt-4o").system("Be brief."), conversation.to_json())

    assert conversation.messages == again.messages
    again.clear()
    assert "<Conversation messages=0>" == repr(again)
    again.send("Second?").result()
    assert ["Be brief.", "Second?"] == [m["content"] for m in server.requests[1].json()["messages"]]


def test_a_client_that_keeps_no_text(server: ProviderServer) -> None:
    """Its answers enter the history all the same."""
    server.reply(*chat_answer("Hello"))
    with client_of(server, accumulate=False) as client:
        talk = Conversation(client.chat("gpt-4o"))
        talk.send("Hi").result()

    assert ["user", "assistant"] == [message.role for message in talk.messages]


def test_a_wrong_policy(client: Client) -> None:
    """Is refused."""
    with pytest.raises(ConfigError, match="rollback"):
        talk(client, on_failure="forget")
