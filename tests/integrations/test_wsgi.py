"""wsgi_app: what is answered to which request, without a server."""

from __future__ import annotations

import logging
import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import ChatBuilder, Client, ConfigError, KeptAnswers, wsgi_app
from streamkit.providers import OpenAI
from streamkit.testing import Gate, ProviderServer, Stall, Wait, chat_answer, error_answer
from tests.browsing import EVENT_SOURCE, told
from tests.loopback import KEY
from tests.strategies import PROPERTY
from tests.wsgi_calls import asked, environ_of

HELLO = b"""data: {"type":"token","content":"Hel"}

data: {"type":"token","content":"lo"}

data: {"type":"done","done":true,"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}

"""


@pytest.fixture
def provider(server: ProviderServer) -> ProviderServer:
    """One that says Hello."""
    server.reply(*chat_answer("Hel", "lo"), times=None)
    return server


def question(server: ProviderServer) -> Any:
    """The last message of the last request."""
    return server.requests[-1].json()["messages"][-1]["content"]


# -- the page's


def test_an_answer(provider: ProviderServer, client: Client) -> None:
    """The page's frames and headers, but for `Connection`, which is for the server to send, and for any length."""
    answer = asked(wsgi_app(client, allow_origin="*"), environ_of(query="prompt=How+are%20you"))

    assert [] == provider.requests
    assert HELLO == answer.body()
    assert "How are you" == question(provider)
    assert 200 == answer.status
    assert [
        ("Content-Type", "text/event-stream"),
        ("Cache-Control", "no-cache"),
        ("X-Accel-Buffering", "no"),
        ("Access-Control-Allow-Origin", "*"),
    ] == answer.headers


@pytest.mark.parametrize("query", ["", "prompt=", "prompt", "other=1"])
def test_no_prompt(provider: ProviderServer, client: Client, query: str) -> None:
    """The default is asked, of the model that was named."""
    asked(wsgi_app(client), environ_of(query=query)).body()
    assert ("Tell me a story", "gpt-4o") == (question(provider), provider.requests[-1].json()["model"])

    asked(wsgi_app(client, model="gpt-5", default_prompt="Hello?"), environ_of(query=query)).body()
    assert ("Hello?", "gpt-5") == (question(provider), provider.requests[-1].json()["model"])


def test_a_builder(provider: ProviderServer, client: Client) -> None:
    """The prompt is added to what it has; it has its own model; and it stays as it is."""
    chat = client.chat("gpt-4o-mini").system("Be brief.")
    app = wsgi_app(chat, model="another")
    for prompt in ("one", "two"):
        asked(app, environ_of(query=f"prompt={prompt}")).body()
        sent = provider.requests[-1].json()

        assert "gpt-4o-mini" == sent["model"]
        assert ["Be brief.", prompt] == [message["content"] for message in sent["messages"]]


@pytest.mark.parametrize("prompt", ["é€😀", "a&b=c", "line\r\nbreak", "nul\0", "+ +", "prompt=x", "%ff"])
def test_any_prompt(provider: ProviderServer, client: Client, prompt: str) -> None:
    """It is asked as it is, and is no header, whatever is in it."""
    asked(wsgi_app(client), environ_of(query=f"x=&prompt={quote(prompt)}&prompt=second")).body()

    assert prompt == question(provider)


def test_another_path(provider: ProviderServer, client: Client) -> None:
    """It answers where it is told to."""
    app = wsgi_app(client, path="/chat/é")

    assert HELLO == asked(app, environ_of("/chat/\xc3\xa9")).body()
    assert 404 == asked(app, environ_of("/stream")).status


def test_thinking(server: ProviderServer, client: Client) -> None:
    """It is told on demand."""
    server.reply(*chat_answer("Hello", thinking="Hm."), times=None)

    assert ["token", "done"] == [e["type"] for e in told(*asked(wsgi_app(client), environ_of()).events())]
    assert "thinking" == told(*asked(wsgi_app(client, thinking=True), environ_of()).events())[0]["type"]


# -- what is no request for an answer


@pytest.mark.parametrize(
    ("request_", "status", "says"),
    [
        ({"path": "/"}, 404, "/stream?prompt="),
        ({"path": "/stream/"}, 404, "/stream?prompt="),
        ({"path": "/stream/../stream"}, 404, "/stream?prompt="),
        ({"method": "POST"}, 405, "GET"),
        ({"method": "DELETE"}, 405, "GET"),
        ({"query": "prompt=%ff"}, 400, "UTF-8"),
        ({"query": "prompt=%ED%A0%80"}, 400, "UTF-8"),
        ({"query": "prompt=\xff"}, 400, "UTF-8"),
        ({"query": "prompt=" + "a" * 101}, 413, "101 characters: at most 100"),
        ({"wsgi.run_once": True}, 500, "Streaming not supported"),
        ({"SERVER_PROTOCOL": "HTTP/0.9"}, 500, "Streaming not supported"),
    ],
)
def test_refusals(server: ProviderServer, client: Client, request_: dict[str, Any], status: int, says: str) -> None:
    """A status and a short text, which the page may read; nothing is asked."""
    app = wsgi_app(client, max_prompt_chars=100, allow_origin="https://a.example")
    answer = asked(app, environ_of(**request_))
    body = answer.body()

    assert status == answer.status
    assert says in body.decode()
    assert (str(len(body)), "text/plain; charset=utf-8") == (
        answer.header("Content-Length"),
        answer.header("Content-Type"),
    )
    assert "https://a.example" == answer.header("Access-Control-Allow-Origin")
    assert [] == server.requests


def test_the_length_of_a_prompt(provider: ProviderServer, client: Client) -> None:
    """It is counted in characters, not in bytes."""
    app = wsgi_app(client, max_prompt_chars=3)

    assert 200 == asked(app, environ_of(query=f"prompt={quote('😀' * 3)}")).status
    assert 413 == asked(app, environ_of(query=f"prompt={quote('😀' * 4)}")).status


def test_a_method_that_is_not_allowed(client: Client) -> None:
    """It is told which are."""
    assert "GET, HEAD, OPTIONS" == asked(wsgi_app(client), environ_of(method="PUT")).header("Allow")


@pytest.mark.parametrize(
    "request_",
    [{}, {"query": "prompt=%ff"}, {"query": "prompt=" + "a" * 20_000}, {"path": "/"}, {"wsgi.run_once": True}],
)
def test_head(server: ProviderServer, client: Client, request_: dict[str, Any]) -> None:
    """Only headers, the same as with GET; nothing is asked."""
    app = wsgi_app(client)
    head = asked(app, environ_of(method="HEAD", **request_))
    get = asked(app, environ_of(**request_))

    assert (get.status, get.headers) == (head.status, head.headers)
    assert b"" == head.body()
    get.frames.close()
    assert [] == server.requests


def test_a_preflight(server: ProviderServer, client: Client) -> None:
    """A browser that asks beforehand is told what it may do; nothing is asked."""
    app = wsgi_app(client, allow_origin=["https://a.example", "https://b.example"])
    answer = asked(app, environ_of(method="OPTIONS", headers={"Origin": "https://b.example"}))

    assert (204, b"") == (answer.status, answer.body())
    assert "https://b.example" == answer.header("Access-Control-Allow-Origin")
    assert "Last-Event-ID" in (answer.header("Access-Control-Allow-Headers") or "")
    assert ("Origin", "GET, HEAD, OPTIONS") == (answer.header("Vary"), answer.header("Allow"))
    assert [] == server.requests


def test_the_origin_is_told_in_answers(provider: ProviderServer, client: Client) -> None:
    """One of several is told of itself, and others nothing."""
    app = wsgi_app(client, allow_origin=["https://a.example", "https://b.example"])
    allowed = asked(app, environ_of(headers={"Origin": "https://b.example"}))
    other = asked(app, environ_of(headers={"Origin": "https://c.example"}))

    assert ("https://b.example", "Origin") == (allowed.header("Access-Control-Allow-Origin"), allowed.header("Vary"))
    assert (None, "Origin") == (other.header("Access-Control-Allow-Origin"), other.header("Vary"))
    allowed.body()
    other.body()


# -- failures


def test_a_failure_to_open(server: ProviderServer, client: Client) -> None:
    """Status 200 and an error event."""
    server.reply(*error_answer(429, "slow down"))
    answer = asked(wsgi_app(client), environ_of())
    (event,) = told(*answer.events())

    assert (200, "error") == (answer.status, event["type"])
    assert "slow down" in event["content"]


@pytest.mark.parametrize("headers", [{}, EVENT_SOURCE])
def test_a_key_is_never_shown(server: ProviderServer, client: Client, headers: dict[str, str]) -> None:
    """Also where a provider repeats it."""
    server.reply(*error_answer(401, f"Incorrect API key provided: {KEY}"))
    body = asked(wsgi_app(client), environ_of(headers=headers)).body().decode()

    assert "Incorrect API key provided" in body
    assert KEY not in body


@pytest.mark.parametrize("headers", [{}, EVENT_SOURCE])
def test_an_exception_of_others(
    monkeypatch: pytest.MonkeyPatch, client: Client, caplog: pytest.LogCaptureFixture, headers: dict[str, str]
) -> None:
    """It is an error event that says nothing of it, and is logged."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(ChatBuilder, "get_stream", fail)
    with caplog.at_level(logging.ERROR):
        (event,) = told(*asked(wsgi_app(client), environ_of(headers=headers)).events())

    assert {"type": "error", "content": "an internal error ended the answer: the server's log has it"} == event
    assert "ZeroDivisionError" in caplog.text


# -- coming back


def test_an_event_source_comes_back(provider: ProviderServer, client: Client) -> None:
    """After any of its events it gets the rest, and asks nothing twice; after the last one it need not come again."""
    app = wsgi_app(client)
    environ = environ_of(query="prompt=Hello", headers=EVENT_SOURCE)
    body = asked(app, environ).body()
    first, *others = asked(app, environ).events()
    for id, expected in [(first.id, others), (others[0].id, others[1:])]:
        header = environ_of(query="prompt=Hello", headers={**EVENT_SOURCE, "Last-Event-ID": id})
        query = environ_of(query=f"prompt=Hello&last_event_id={id}", headers=EVENT_SOURCE)

        assert expected == asked(app, header).events()
        assert expected == asked(app, query).events()
    ended = asked(app, environ_of(headers={**EVENT_SOURCE, "Last-Event-ID": others[-1].id}))

    assert body.startswith(b"retry: 500\nid: ")
    assert (204, b"") == (ended.status, ended.body())
    assert 2 == len(provider.requests)
    app.close()


def test_one_that_comes_back_before_the_first_token(server: ProviderServer, client: Client) -> None:
    """The answer that it had begun is not asked for again."""
    app, gate = wsgi_app(client), Gate()
    server.reply(Wait(gate), *chat_answer("Hel", "lo"))
    begun = asked(app, environ_of(headers=EVENT_SOURCE))
    named = next(iter(begun.frames)).decode().partition("id: ")[2].strip()
    server.wait_for_request()
    gate.set()
    again = asked(app, environ_of(headers={**EVENT_SOURCE, "Last-Event-ID": named}))

    assert ["Hel", "lo", ""] == [event.get("content", "") for event in told(*again.events())]
    assert 1 == len(server.requests)
    begun.body()
    app.close()


@pytest.mark.parametrize("id", ["x-1", "0" * 32 + "-5", "a" * 100_000, "\r\nSet-Cookie: x=1", "é", "0-0"])
def test_one_that_comes_back_too_late(server: ProviderServer, client: Client, id: str) -> None:
    """It is told to ask again, once: an answer begun anew would be taken for the rest of the old one."""
    app = wsgi_app(client)
    answer = asked(app, environ_of(headers={"Last-Event-ID": id}))
    (event,) = answer.events()

    assert {"type": "error", "content": "this answer is not kept any more: ask again"} == told(event)[0]
    assert not any("\r" in value or "Set-Cookie" in value for _, value in answer.headers)
    assert 204 == asked(app, environ_of(headers={"Last-Event-ID": event.id})).status
    assert [] == server.requests


def test_a_position_that_is_none(provider: ProviderServer, client: Client) -> None:
    """An id of a kept answer that no event had is refused as well."""
    app = wsgi_app(client)
    first, *_ = asked(app, environ_of(headers=EVENT_SOURCE)).events()
    made_up = first.id.replace("-0", "-1000")
    (event,) = asked(app, environ_of(headers={"Last-Event-ID": made_up})).events()

    assert {"type": "error", "content": "this answer is not kept any more: ask again"} == told(event)[0]
    app.close()


def test_too_many_answers(server: ProviderServer, client: Client) -> None:
    """Who could come back finds no room, and is told when to try again; others need none."""
    server.reply(Stall())
    app = wsgi_app(client, answers=KeptAnswers(most=1))
    first = asked(app, environ_of(headers=EVENT_SOURCE))
    frames = iter(first.frames)
    assert next(frames).startswith(b"retry: 500\n")
    server.wait_for_request()
    refused = asked(app, environ_of(headers=EVENT_SOURCE))

    assert (503, "5") == (refused.status, refused.header("Retry-After"))
    refused.body()
    server.reply(*chat_answer("Hel", "lo"))
    assert HELLO == asked(app, environ_of()).body()
    first.frames.close()
    app.close()


def test_closing_the_application(server: ProviderServer, client: Client) -> None:
    """What runs is cancelled, and the browser told."""
    server.reply(Stall())
    app = wsgi_app(client, keep_alive=0.01)
    answer = asked(app, environ_of(headers=EVENT_SOURCE))
    frames = iter(answer.frames)
    next(frames)
    app.close()

    assert b"cancelled: the server was stopped" in b"".join(frames)
    server.wait_until(lambda: server.open_connections == 0)


# -- settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": "stream"},
        {"max_prompt_chars": 0},
        {"keep_alive": 0},
        {"linger": -1},
        {"allow_origin": "https://a.example/"},
    ],
)
def test_wrong_settings(client: Client, wrong: dict[str, Any]) -> None:
    """They are refused at once, by name."""
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        wsgi_app(client, **wrong)


def test_what_is_no_chat() -> None:
    """A provider is none yet."""
    with pytest.raises(ConfigError, match="give a Client, or a ChatBuilder"):
        wsgi_app("gpt-4o")  # type: ignore[arg-type]  # on purpose


@PROPERTY
@given(st.text(), st.text(), st.sampled_from(["GET", "HEAD", "OPTIONS", "POST", "\n"]))
def test_it_stands_any_request(text: str, id: str, method: str) -> None:
    """Whatever a request says, it gets a status, and headers of one line."""
    app = wsgi_app(Client(OpenAI(KEY)))
    environ = {"REQUEST_METHOD": method, "PATH_INFO": "/stream", "QUERY_STRING": text, "HTTP_LAST_EVENT_ID": id}
    started: list[Any] = []
    app(environ, lambda status, headers: started.append((status, headers)) or (lambda data: None)).close()
    ((status, headers),) = started

    assert re.fullmatch(r"(200|204|400|405|413) [A-Z][A-Za-z ]+", status)
    assert all(value.isprintable() for _, value in headers)
