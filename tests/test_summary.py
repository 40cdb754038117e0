"""summarize_with_progress: the page's summary."""

from __future__ import annotations

from typing import Any

import pytest

from streamkit import Cancelled, ChatStream, Client, Context, StreamTruncated, summary
from streamkit.summary import summarize_with_progress
from streamkit.testing import Close, Gate, ProviderServer, Status, Wait, chat_answer
from tests.loopback import delta


def asked(server: ProviderServer) -> Any:
    """What the server was asked."""
    return server.requests[-1].json()


def test_a_summary(server: ProviderServer, client: Client) -> None:
    """The text, and a bar that expects a chunk for each twenty characters."""
    server.reply(*chat_answer("It", " is", " long", "."))
    told: list[float] = []
    said = summarize_with_progress(client, "x" * 200, told.append)

    assert ("It is long.", [0.1, 0.2, pytest.approx(0.3), 0.4, 1.0]) == (said, told)
    assert "gpt-4o" == asked(server)["model"]
    assert ["Summarize the following document concisely.", "x" * 200] == [
        message["content"] for message in asked(server)["messages"]
    ]


def test_a_short_document(server: ProviderServer, client: Client) -> None:
    """It divides by nothing that is zero."""
    server.reply(*chat_answer("Hi"))
    told: list[float] = []

    assert ("Hi", [0.95, 1.0]) == (summarize_with_progress(client, "x", told.append), told)


def test_a_builder(server: ProviderServer, client: Client) -> None:
    """It has its own model, and its own system text where it has one."""
    for chat, system in ((client.chat("m"), "Be quick."), (client.chat("m").system("In French."), "In French.")):
        server.reply(*chat_answer("Hi"))
        summarize_with_progress(chat, "x", lambda fraction: None, system="Be quick.")

        assert ("m", system) == (asked(server)["model"], asked(server)["messages"][0]["content"])


def test_a_failure(server: ProviderServer, client: Client) -> None:
    """It is raised, with what there is of the summary; the bar is not full."""
    server.reply(Status(200), delta("It"), Close())
    told: list[float] = []
    with pytest.raises(StreamTruncated) as caught:
        summarize_with_progress(client, "x" * 200, told.append)

    assert caught.value.partial is not None
    assert ("It", [0.1]) == (caught.value.partial.text, told)


def test_an_interrupt(server: ProviderServer, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the stream, also while the traceback, which knows it, is kept."""
    server.reply(Status(200), delta("It"), Wait(gate := Gate()))
    read: list[ChatStream] = []

    def interrupted(stream: ChatStream) -> None:
        read.append(stream)
        raise KeyboardInterrupt

    monkeypatch.setattr(summary, "collect", interrupted)
    with pytest.raises(KeyboardInterrupt):
        summarize_with_progress(client, "x", lambda fraction: None)
    gate.set()

    assert Cancelled is type(read[0].err.get())


def test_a_context(client: Client) -> None:
    """One that has ended asks nobody."""
    ctx = Context()
    ctx.cancel()
    with pytest.raises(Cancelled):
        summarize_with_progress(client, "x", lambda fraction: None, ctx=ctx)
