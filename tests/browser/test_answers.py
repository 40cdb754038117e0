"""An answer on the page: shown while it comes, stopped, reloaded, cut, failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from streamkit import Client
from streamkit.integrations.chat_page import ChatPage, chat_page
from streamkit.integrations.wsgi_server import serving
from streamkit.testing import (
    Gate,
    ProviderServer,
    Reset,
    Stall,
    Step,
    Wait,
    chat_answer,
    error_answer,
    error_event,
)
from tests.browser.chat import ESCAPE, Chat
from tests.browser.cutter import Cutter

pytestmark = pytest.mark.browser


def held(gate: Gate, *texts: str, before: int) -> list[Step]:
    """Give an answer of these texts that waits at the gate before the text of that number."""
    steps = [*chat_answer(*texts)]
    steps.insert(2 + before, Wait(gate))
    return steps


def asked(server: ProviderServer, number: int) -> list[tuple[str, Any]]:
    """Give role and content of the messages of a request."""
    messages = server.wait_for_request(number).json()["messages"]
    return [(message["role"], message["content"]) for message in messages]


@pytest.fixture
def held_gate() -> Iterator[Gate]:
    """A gate that is open in the end, however the test ends."""
    gate = Gate()
    yield gate
    gate.set()


# -- while it comes


def test_the_first_token_is_seen_before_the_last_is_sent(chat: Chat, server: ProviderServer, held_gate: Gate) -> None:
    """What has come is on the page while the provider still holds the rest back; then the rest is, too."""
    server.reply(*held(held_gate, "Hello", " world", before=1))
    chat.ask("hi")
    chat.wait_text("Hello")

    assert "running" == chat.state
    assert "true" == chat.find(".answer").get_attribute("aria-busy")

    held_gate.set()
    chat.wait_text("Hello world")
    chat.wait_state("done")

    assert "false" == chat.find(".answer").get_attribute("aria-busy")


def test_tokens_and_time_are_told(chat: Chat, server: ProviderServer, held_gate: Gate) -> None:
    """While it comes the tokens are guessed and marked so; at the end they are the provider's count."""
    server.reply(*held(held_gate, "Hello", " world", before=1))
    chat.ask("hi")
    chat.wait_text("Hello")

    chat.until(lambda: chat.text(".meter").startswith("≈ 1 token"))
    held_gate.set()
    chat.wait_state("done")

    assert chat.text(".meter").startswith("2 tokens · ")
    assert "first after 0." in chat.text(".meter")


def test_a_conversation_goes_on(chat: Chat, server: ProviderServer) -> None:
    """Each question is sent with all that was said."""
    server.reply(chat_answer("First."))
    server.reply(chat_answer("Second."))
    chat.ask("one")
    chat.wait_state("done")
    chat.ask("two")
    chat.until(lambda: chat.count(".turn") == 2)
    chat.wait_text("Second.")
    chat.wait_state("done")

    assert [("user", "one"), ("assistant", "First."), ("user", "two")] == asked(server, 2)


def test_the_model_is_named(chat: Chat) -> None:
    """The page and its title say who answers."""
    assert "gpt-4o" == chat.text("#model")
    assert "gpt-4o · streamkit" == chat.driver.title


def test_thinking_is_folded(chat: Chat, server: ProviderServer) -> None:
    """Thinking is there, closed, and opens at a click; nothing in it is Markdown or HTML."""
    server.reply(chat_answer("Hello", thinking="Let **me** <b>see</b>."))
    chat.ask("hi")
    chat.wait_state("done")

    assert "Let **me** <b>see</b>." == chat.text(".thought")
    assert not chat.shown(".thought")
    assert "Thought for a moment" == chat.text(".thinking summary")

    chat.click(".thinking summary")

    assert chat.shown(".thought")


def test_a_new_chat_forgets(chat: Chat, server: ProviderServer, held_gate: Gate) -> None:
    """It begins anew, also in the middle of an answer, which is cancelled."""
    server.reply(*held(held_gate, "Hello", " world", before=1))
    server.reply(chat_answer("Second."))
    chat.ask("one")
    chat.wait_text("Hello")
    chat.click("#new")
    server.wait_until(lambda: server.open_connections == 0)

    assert 0 == chat.count(".turn")
    assert chat.shown("#welcome")

    chat.ask("two")
    chat.wait_text("Second.")

    assert [("user", "two")] == asked(server, 2)


def test_a_suggestion_is_asked(chat: Chat, server: ProviderServer) -> None:
    """The empty page has questions to begin with."""
    server.reply(chat_answer("One waits behind the other."))
    chat.click("#welcome button")
    chat.wait_state("done")

    assert [("user", chat.text(".question"))] == asked(server, 1)
    assert not chat.shown("#welcome")


# -- stopped


@pytest.mark.parametrize("how", ["button", "escape"])
def test_stopping_cancels_upstream(chat: Chat, server: ProviderServer, how: str) -> None:
    """The provider's connection is closed at once, while it is silent; what had come stays, marked as stopped."""
    server.reply(chat_answer("Hello", " world")[:3], Stall())
    chat.ask("hi")
    chat.wait_text("Hello")
    if how == "button":
        chat.click("#stop")
    else:
        chat.press(ESCAPE)
    server.wait_until(lambda: server.open_connections == 0, timeout=2)
    chat.wait_state("stopped")

    assert "Hello" == chat.text()
    assert "Stopped." == chat.text(".notice-text")
    assert chat.shown("#send")
    assert "input" == chat.run("return document.activeElement.id")


def test_a_stopped_answer_is_part_of_the_conversation(chat: Chat, server: ProviderServer) -> None:
    """What had come of it is sent with the next question; an answer of which nothing had come is not."""
    server.reply(chat_answer("Hello")[:3], Stall())
    server.reply(chat_answer()[:2], Stall())
    server.reply(chat_answer("Third."))
    chat.ask("one")
    chat.wait_text("Hello")
    chat.press(ESCAPE)
    chat.wait_state("stopped")
    chat.ask("two")
    server.wait_for_request(2)
    chat.press(ESCAPE)
    chat.until(lambda: chat.text(".notice-text") == "Stopped before the first word.")
    chat.ask("three")
    chat.wait_text("Third.")

    assert [("user", "one"), ("assistant", "Hello"), ("user", "three")] == asked(server, 3)


# -- reloaded, cut


def test_a_reload_in_mid_answer_goes_on(chat: Chat, server: ProviderServer, held_gate: Gate) -> None:
    """After a reload the answer is there as far as it had come, and goes on, with neither loss nor repetition."""
    server.reply(*held(held_gate, "One, ", "**two**, ", "three", before=2))
    chat.ask("count")
    chat.wait_text("One, two,")
    chat.reload()
    chat.wait_text("One, two,")

    assert "running" == chat.state

    held_gate.set()
    chat.wait_text("One, two, three")
    chat.wait_state("done")

    assert 1 == server.connections
    assert 1 == chat.count(".turn")


def test_a_reload_after_the_end_shows_the_same(chat: Chat, server: ProviderServer) -> None:
    """The conversation survives a reload, and goes on after it."""
    server.reply(chat_answer("# Hello\n\nworld", thinking="Hm."))
    server.reply(chat_answer("Second."))
    chat.ask("one")
    chat.wait_state("done")
    before = chat.run("return document.querySelector('#conversation').innerHTML")
    chat.reload()
    chat.ask("two")
    chat.wait_text("Second.")

    assert before == chat.run("return document.querySelector('.turn').outerHTML")
    assert [("user", "one"), ("assistant", "# Hello\n\nworld"), ("user", "two")] == asked(server, 2)


def test_a_reload_that_comes_too_late_keeps_what_had_come(chat: Chat, app: ChatPage, server: ProviderServer) -> None:
    """An answer that the server keeps no more is shown as far as the page had it, and can be asked for again."""
    server.reply(chat_answer("Hello", " world")[:3], Stall())
    server.reply(chat_answer("Hello again"))
    chat.ask("hi")
    chat.wait_text("Hello")
    chat.driver.get("about:blank")
    app.close()
    chat.driver.get(chat.url)
    chat.ready()
    chat.wait_state("failed")

    assert "Hello" == chat.text()
    assert "This answer is not kept any more: ask again." == chat.text(".notice-text")
    assert ["404 (Not Found)"] == [line.rpartition("status of ")[2] for line in chat.complaints()]

    chat.click(".retry")
    chat.wait_text("Hello again")


def test_a_cut_connection_is_made_anew(chromium: Any, app: ChatPage, server: ProviderServer, held_gate: Gate) -> None:
    """When the page's connection breaks it says so and comes back by itself, to exactly where it was."""
    with serving(app) as behind, Cutter(behind) as cutter:
        chat = Chat(chromium, cutter.url)
        chat.open()
        server.reply(*held(held_gate, "One, ", "two, ", "three", before=2))
        chat.ask("count")
        chat.wait_text("One, two,")
        cutter.cut()
        chat.until(lambda: chat.shown(".connection"))

        assert "running" == chat.state

        cutter.mend()
        held_gate.set()
        chat.wait_text("One, two, three")
        chat.wait_state("done")

        assert not chat.shown(".connection")
        assert 1 == server.connections

        chat.complaints()
        chromium.get("about:blank")


def test_a_connection_that_is_dead_is_noticed(
    chromium: Any, client: Client, server: ProviderServer, held_gate: Gate
) -> None:
    """Where nothing comes any more, not even a sign of life, the page makes a new connection."""
    app = chat_page(client.chat("gpt-4o"), keep_alive=0.2)
    with serving(app) as behind, Cutter(behind) as cutter:
        chat = Chat(chromium, cutter.url)
        chat.open()
        server.reply(*held(held_gate, "One, ", "two, ", "three", before=2))
        chat.ask("count")
        chat.wait_text("One, two,")
        cutter.freeze()
        chat.until(lambda: chat.shown(".connection"))
        cutter.mend()
        held_gate.set()
        chat.wait_text("One, two, three")
        chat.wait_state("done")

        assert 1 == server.connections

        chromium.get("about:blank")
        app.close()


def test_stopping_before_the_server_has_answered(chromium: Any, app: ChatPage, server: ProviderServer) -> None:
    """The page is free at once; the answer is cancelled as soon as the server has begun it."""
    with serving(app) as behind, Cutter(behind) as cutter:
        chat = Chat(chromium, cutter.url)
        chat.open()
        server.reply(chat_answer("Hello")[:3], Stall())
        cutter.freeze()
        chat.ask("hi")
        chat.press(ESCAPE)
        chat.wait_state("stopped")

        assert chat.shown("#send")
        assert [] == server.requests

        cutter.mend()
        server.wait_for_request()
        server.wait_until(lambda: server.open_connections == 0, timeout=2)

        assert "stopped" == chat.state

        chromium.get("about:blank")


def test_a_server_that_is_away_is_said_to_be(chromium: Any, app: ChatPage, server: ProviderServer) -> None:
    """A question that cannot be sent fails with a word about it, and can be asked again."""
    with serving(app) as behind, Cutter(behind) as cutter:
        chat = Chat(chromium, cutter.url)
        chat.open()
        cutter.cut()
        chat.ask("hi")
        chat.wait_state("failed")

        assert "The server cannot be reached." == chat.text(".notice-text")

        cutter.mend()
        server.reply(chat_answer("Hello"))
        chat.click(".retry")
        chat.wait_text("Hello")
        chat.complaints()
        chromium.get("about:blank")


def test_a_browser_that_leaves_ends_the_answer(chromium: Any, client: Client, server: ProviderServer) -> None:
    """A closed page's answer is cancelled when the time to come back is over, while the provider is silent."""
    with serving(chat_page(client.chat("gpt-4o"), linger=0.1)) as url:
        chat = Chat(chromium, url)
        chat.open()
        server.reply(chat_answer("Hello")[:3], Stall())
        chat.ask("hi")
        chat.wait_text("Hello")
        chromium.get("about:blank")
        server.wait_until(lambda: server.open_connections == 0, timeout=5)

        assert 1 == server.connections


def test_going_back_to_the_page_goes_on(chat: Chat, server: ProviderServer, held_gate: Gate) -> None:
    """A page that is shown again, as the browser kept it, goes on with its answer."""
    server.reply(*held(held_gate, "One, ", "two, ", "three", before=2))
    chat.ask("count")
    chat.wait_text("One, two,")
    chat.driver.get("data:text/html,elsewhere")
    chat.driver.back()
    held_gate.set()
    chat.wait_text("One, two, three")
    chat.wait_state("done")

    assert 1 == server.connections


# -- failed


@pytest.mark.parametrize("fault", ["event", "reset"])
def test_an_error_is_shown_and_what_had_come_is_kept(chat: Chat, server: ProviderServer, fault: str) -> None:
    """The text stays, the error is said, a button asks again, and that is then all there is."""
    end = error_event("overloaded, sorry") if fault == "event" else Reset()
    server.reply(chat_answer("Hello", " world")[:3], end)
    server.reply(chat_answer("Hello again"))
    chat.ask("hi")
    chat.wait_state("failed")

    assert "Hello" == chat.text()
    assert ("overloaded, sorry" in chat.text(".notice-text")) == (fault == "event")
    assert "" != chat.text(".notice-text")

    chat.click(".retry")
    chat.wait_text("Hello again")
    chat.wait_state("done")

    assert 1 == chat.count(".turn")
    assert [("user", "hi")] == asked(server, 2)


def test_a_refused_key_is_not_shown(chat: Chat, server: ProviderServer) -> None:
    """The provider's word is; the key that it was sent is nowhere on the page."""
    server.reply(error_answer(401, "no such key"))
    chat.ask("hi")
    chat.wait_state("failed")
    key = str(server.requests[0].headers["authorization"]).removeprefix("Bearer ")

    assert "no such key" in chat.text(".notice-text")
    assert key not in chat.driver.page_source


@pytest.mark.parametrize(
    ("texts", "finish", "said"),
    [
        (["Once upon"], "length", "The answer was cut off at the token limit."),
        (["Once upon"], "content_filter", "The provider's filter ended the answer."),
        ([], "stop", "The answer has no text."),
        (["Once upon a time."], "stop", ""),
    ],
)
def test_an_end_that_is_none_is_told(
    chat: Chat, server: ProviderServer, texts: list[str], finish: str, said: str
) -> None:
    """A text that ends in the middle of a sentence did so for a reason."""
    server.reply(*chat_answer(*texts, finish=finish))
    chat.ask("hi")
    chat.wait_state("done")
    chat.until(lambda: f'"reason":"{finish}"' in chat.run("return Object.values({ ...sessionStorage }).join()"))

    assert said == chat.text(".notice-text")
    assert "".join(texts) == chat.text()


@pytest.mark.parametrize("field", [{"text": 5}, {"text": None}, {"question": {}}, {"tokens": "9"}, {"id": ["x"]}, None])
def test_what_is_kept_and_is_no_conversation(chat: Chat, server: ProviderServer, field: dict[str, Any] | None) -> None:
    """The page begins anew where another program, at the same address, has left something else."""
    server.reply(*chat_answer("Hello"), times=2)
    chat.ask("hi")
    chat.wait_state("done")
    kept = chat.run("return Object.entries({ ...sessionStorage })[0]")
    turn = json.loads(kept[1])[0]
    chat.driver.get(f"{chat.url}/static/chat.css")  # of the same origin, and keeps nothing itself
    chat.run("sessionStorage.setItem(...arguments)", kept[0], json.dumps([field and {**turn, **field}]))
    chat.complaints()
    chat.open()

    assert 0 == chat.count(".turn")
    chat.ask("hi")
    chat.wait_text("Hello")
