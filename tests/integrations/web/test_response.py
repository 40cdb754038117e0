"""sse_response: any stream as the response to a request, for WSGI, Flask and Django."""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from streamkit import Cancelled, Client, ConfigError, KeptAnswers, SSEResponse, sse_response
from streamkit.consumers.text import TextStream
from streamkit.testing import ProviderServer, Stall, chat_answer
from tests.browsing import EVENT_SOURCE, told
from tests.feeding import Feed, text
from tests.loopback import ask, took
from tests.wsgi_calls import asked, environ_of

PLAIN = environ_of()
BROWSER = environ_of(headers=EVENT_SOURCE)
NEEDLESS = {
    "ended": environ_of(headers={"Last-Event-ID": "x-done"}),
    "HEAD": environ_of(method="HEAD"),
    "comes back": environ_of(headers={"Last-Event-ID": "x-1"}),
    "CGI": environ_of(**{"wsgi.run_once": True}),
}
"""Requests that need no new answer."""


@pytest.fixture
def feed() -> Iterator[Feed]:
    """What the test feeds."""
    with Feed() as feed:
        yield feed


def ids(response: SSEResponse) -> list[str]:
    """The ids of its events."""
    return [event.id for event in asked(response, dict(PLAIN)).events()]


# -- what it is made of


def test_a_builder(server: ProviderServer, client: Client) -> None:
    """It is opened with the first frame."""
    server.reply(*chat_answer("Hello"))
    response = sse_response(ask(client), PLAIN)
    assert (200, [], True) == (response.status, server.requests, ("X-Accel-Buffering", "no") in response.headers)

    assert ["token", "done"] == [event["type"] for event in told(*asked(response, dict(PLAIN)).events())]


@pytest.mark.parametrize("kind", [lambda stream: stream, TextStream, iter], ids=["stream", "text stream", "chunks"])
def test_a_stream(feed: Feed, kind: Any) -> None:
    """Of any kind."""
    response = sse_response(kind(feed.stream()), PLAIN)
    feed.give(text("Hello"))
    feed.end()

    assert ["token", "done"] == [event["type"] for event in told(*asked(response, dict(PLAIN)).events())]


def test_what_is_no_stream() -> None:
    """It is an error event."""
    (event,) = told(*asked(sse_response(5, PLAIN), dict(PLAIN)).events())  # type: ignore[arg-type]  # on purpose

    assert {"type": "error", "content": "int is no stream: give a ChatStream, a TextStream or chunks"} == event


# -- ids


def test_ids_of_the_stream(feed: Feed) -> None:
    """Where the view has read `Last-Event-ID` itself, it is not looked at, and the stream's own ids are told."""
    response = sse_response(feed.stream(), environ_of(headers={"Last-Event-ID": "17-0"}), ids=True)
    feed.give(text("lo", 0, event_id="18-0"))
    feed.end()

    assert ["18-0", "18-0-done"] == ids(response)


def test_the_end_alone(feed: Feed) -> None:
    """A browser that had lost nothing but the end is known by its id as one that has it now."""
    response = sse_response(feed.stream(), environ_of(headers={"Last-Event-ID": "17-0"}), ids=True)
    feed.end()

    assert ["0-done"] == ids(response)


@pytest.mark.parametrize(
    ("environ", "how", "expected"),
    [
        (BROWSER, {}, ["0", "1-done"]),
        (PLAIN, {}, ["", ""]),
        (BROWSER, {"ids": False}, ["", ""]),
        (PLAIN, {"ids": True}, ["0", "1-done"]),
    ],
)
def test_ids_of_what_is_not_kept(feed: Feed, environ: Any, how: dict[str, bool], expected: list[str]) -> None:
    """An `EventSource` gets some, so that it is known when it comes back; others on demand."""
    response = sse_response(feed.stream(), environ, **how)  # type: ignore[arg-type]  # mypy takes them for all of them
    feed.give(text("Hello"))
    feed.end()

    assert expected == ids(response)


def test_coming_back_to_what_is_not_kept(server: ProviderServer, client: Client) -> None:
    """The browser is told to ask again, and does not by itself."""
    response = sse_response(ask(client), environ_of(headers={**EVENT_SOURCE, "Last-Event-ID": "0"}))
    (event,) = asked(response, dict(BROWSER)).events()

    assert "ask again" in told(event)[0]["content"]
    assert 204 == sse_response(ask(client), environ_of(headers={"Last-Event-ID": event.id})).status
    assert [] == server.requests


def test_coming_back_to_what_is_kept(server: ProviderServer, client: Client) -> None:
    """It gets the rest; nothing is asked again."""
    server.reply(*chat_answer("Hel", "lo"))
    answers = KeptAnswers()
    first, *rest = asked(sse_response(ask(client), BROWSER, answers=answers), dict(BROWSER)).events()
    again = environ_of(query=f"last_event_id={first.id}")

    assert rest == asked(sse_response(ask(client), again, answers=answers), dict(BROWSER)).events()
    assert 1 == len(server.requests)
    answers.close()


def test_who_cannot_come_back_is_not_kept(server: ProviderServer, client: Client) -> None:
    """Nothing is kept for it, and it gets the page's bare frames."""
    server.reply(*chat_answer("Hello"))
    answers = KeptAnswers()

    assert ["", ""] == ids(sse_response(ask(client), PLAIN, answers=answers))
    assert 0 == len(answers)


# -- leaving


@pytest.mark.parametrize(("how", "begun"), [("closed", False), ("closed", True), ("dropped", True)])
def test_who_leaves(feed: Feed, how: str, begun: bool) -> None:
    """The stream is cancelled, whether it was read or not."""
    source = feed.stream()
    outcome = source.err
    response = sse_response(source, PLAIN)
    del source
    feed.give(text("Hello"))
    if begun:
        next(iter(response))
    if how == "closed":
        response.close()
        response.close()
        assert [] == list(response)
    del response
    gc.collect()

    with took(1.0):
        assert (how == "dropped" and not begun) or isinstance(outcome.get(), Cancelled)


def test_closing_from_another_thread(feed: Feed) -> None:
    """The thread that waits for a frame looks up within half a second."""
    source = feed.stream()
    response = sse_response(source, PLAIN)
    thread = threading.Thread(target=list, args=(response,))
    reading = iter(response)
    feed.give(text("Hello"))
    next(reading)
    thread.start()
    with took(2.0):
        response.close()
        thread.join()

    assert isinstance(source.err.get(), Cancelled)


@pytest.mark.parametrize("why", NEEDLESS)
def test_a_stream_that_nobody_needs(feed: Feed, why: str) -> None:
    """It is cancelled; of chunks, what makes them is closed."""
    source = feed.stream()
    asked(sse_response(source, NEEDLESS[why]), dict(PLAIN)).body()
    assert isinstance(source.err.get(), Cancelled)

    made = (text("Hello") for _ in range(1))
    asked(sse_response(made, NEEDLESS[why]), dict(PLAIN)).body()
    assert [] == list(made)


def test_the_browser_of_a_socket_that_is_closed(server: ProviderServer, client: Client) -> None:
    """The server shows its socket: a silent answer ends within about half a second."""
    ours, theirs = socket.socketpair()
    server.reply(Stall())
    with ours, theirs:
        response = sse_response(ask(client), {**PLAIN, "werkzeug.socket": ours}, keep_alive=None)
        thread = threading.Thread(target=list, args=(response,))
        thread.start()
        server.wait_for_request()
        with took(2.0):
            theirs.close()
            thread.join()
    server.wait_until(lambda: server.open_connections == 0)


# -- servers that refuse


def test_a_server_that_refuses_the_headers(server: ProviderServer, client: Client) -> None:
    """Status 500, by the rule for what goes wrong before the answer; nothing is opened."""
    started: list[Any] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        started.append((status, exc_info and exc_info[0]))
        if exc_info is None:
            raise ValueError("these headers are not allowed")

    answer = sse_response(ask(client), PLAIN)(PLAIN, start_response)

    assert [("200 OK", None), ("500 Internal Server Error", ValueError)] == started
    assert b"Streaming not supported\n" == b"".join(answer)
    assert [] == server.requests


def test_a_server_that_refuses_everything(feed: Feed) -> None:
    """Its error is raised, as it has nothing to answer with; the stream is cancelled."""
    source = feed.stream()

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        sse_response(source, PLAIN)(PLAIN, start_response)
    assert isinstance(source.err.get(), Cancelled)


@pytest.mark.parametrize("wrong", [{"keep_alive": 0}, {"allow_origin": "here"}])
def test_wrong_settings(feed: Feed, wrong: Any) -> None:
    """They are refused at once."""
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        sse_response(feed.stream(), PLAIN, **wrong)


# -- views


def test_flask(server: ProviderServer, client: Client) -> None:
    """A view returns it as it is: status, headers and frames are its own."""
    flask = pytest.importorskip("flask")
    server.reply(*chat_answer("Hello"))
    app = flask.Flask("a")
    app.add_url_rule("/stream", view_func=lambda: sse_response(ask(client), flask.request.environ, allow_origin="*"))
    ended = app.test_client().get("/stream", headers={"Last-Event-ID": "x-done"})
    answer = app.test_client().get("/stream")

    assert (204, b"") == (ended.status_code, ended.data)
    assert (200, "text/event-stream") == (answer.status_code, answer.mimetype)
    assert ("no", "*") == (answer.headers["X-Accel-Buffering"], answer.headers["Access-Control-Allow-Origin"])
    assert answer.data.startswith(b'data: {"type":"token","content":"Hello"}\n\n')
    ended.close()
    answer.close()


def test_django(server: ProviderServer, client: Client) -> None:
    """Its `StreamingHttpResponse` takes frames, status and headers, and closes it."""
    conf = pytest.importorskip("django.conf")
    from django.http import StreamingHttpResponse

    if not conf.settings.configured:
        conf.settings.configure()
    server.reply(*chat_answer("Hello"))
    ours = sse_response(ask(client), PLAIN, allow_origin="*")
    theirs = StreamingHttpResponse(ours, status=ours.status, headers=dict(ours.headers))
    frames = iter(theirs)
    first = next(frames)
    theirs.close()

    assert (200, "text/event-stream", "*") == (
        theirs.status_code,
        theirs["Content-Type"],
        theirs["Access-Control-Allow-Origin"],
    )
    assert b'data: {"type":"token","content":"Hello"}\n\n' == first
    assert [] == list(frames)
