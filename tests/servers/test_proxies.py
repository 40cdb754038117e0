"""Proxies between browser and server, set up as the guide on deployment says."""

from __future__ import annotations

import time
from collections.abc import Iterator

import attrs
import pytest

from streamkit.testing import Gate, ProviderServer, Stall, Status, Wait, chat_answer
from tests.browsing import EVENT_SOURCE, Browser, told
from tests.loopback import delta
from tests.missing import needed_program
from tests.proxies import PROXIES, proxied
from tests.serving import served

pytestmark = [pytest.mark.servers, pytest.mark.slow]

APP = """
    import os
    from streamkit import Client, wsgi_app
    from streamkit.providers import OpenAI

    client = Client(OpenAI("sk-test", base_url=os.environ["PROVIDER"]))
    comments = wsgi_app(client, keep_alive=0.2, linger=0.3)
    silent = wsgi_app(client, path="/silent", keep_alive=60.0)


    def app(environ, start_response):
        return (silent if environ["PATH_INFO"] == "/silent" else comments)(environ, start_response)
"""

CLOSING = Status(200, {"connection": "close"})


@attrs.frozen
class Place:
    """A provider, and the address of a proxy before a server that asks it."""

    provider: ProviderServer
    url: str


@pytest.fixture(
    scope="module",
    params=[(proxy, server) for proxy in PROXIES for server in ("waitress", "gunicorn gthread")],
    ids=lambda param: f"{param[0]} before {param[1]}",
)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """One of the proxies, before one of the servers."""
    proxy, server = request.param
    needed_program(proxy, "test-servers")
    with (
        ProviderServer() as provider,
        served(server, APP, PROVIDER=provider.base_url) as behind,
        proxied(proxy, behind.url) as url,
    ):
        yield Place(provider, url)


def test_tokens_pass_as_they_come(place: Place) -> None:
    """The first one, and each one after it, is there before the next is sent."""
    gates = [Gate() for _ in range(3)]
    start, *tokens = chat_answer("a", "b", "c")[1:5]
    steps = [step for token, gate in zip(tokens, gates, strict=True) for step in (token, Wait(gate))]
    place.provider.reply(CLOSING, start, *steps, *chat_answer("a", "b", "c")[5:])
    with Browser(place.url, prompt="Hello") as browser:
        for text, gate in zip("abc", gates, strict=True):
            assert [{"type": "token", "content": text}] == told(browser.next())
            gate.set()
        assert ["done"] == [event["type"] for event in told(*browser.rest())]


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_comments_pass_in_a_silence(place: Place, encoding: str) -> None:
    """At once, also to a browser that takes compressed answers."""
    place.provider.reply(Status(200), delta("Hello"), Stall())
    with Browser(place.url, prompt="Hello", headers={**EVENT_SOURCE, "Accept-Encoding": encoding}) as browser:
        while browser.raw.count(b": keep-alive\n\n") < 3:
            assert browser.read()


@pytest.mark.parametrize("headers", [{}, EVENT_SOURCE], ids=["plain", "EventSource"])
def test_who_leaves_in_a_silence(place: Place, headers: dict[str, str]) -> None:
    """The provider, which is silent, too, sees its connection closed within two seconds."""
    provider = place.provider
    closed = provider.connections - provider.open_connections
    provider.reply(Status(200), delta("Hello"), Stall())
    with Browser(place.url, prompt="Hello", headers=headers) as browser:
        browser.next()
    began = time.monotonic()
    provider.wait_until(lambda: provider.connections - provider.open_connections > closed)

    assert time.monotonic() - began < 2.0


def test_who_leaves_before_the_first_token(place: Place) -> None:
    """The same, where not even the headers have come yet: a proxy may still wait for them, and must give up."""
    provider = place.provider
    closed, asked = provider.connections - provider.open_connections, len(provider.requests)
    provider.reply(Stall())
    with Browser(place.url, "/silent", prompt="Hello", headers={}):
        provider.wait_for_request(asked + 1)
    began = time.monotonic()
    provider.wait_until(lambda: provider.connections - provider.open_connections > closed)

    assert time.monotonic() - began < 2.0


def test_a_browser_that_comes_back(place: Place) -> None:
    """Gets what it lacks, and nothing twice."""
    gate = Gate()
    start, first, *rest = chat_answer("Hel", "lo")[1:]
    place.provider.reply(CLOSING, start, first, Wait(gate), *rest)
    with Browser(place.url, prompt="Hello") as browser:
        event = browser.next()
    with Browser(place.url, prompt="Hello", headers={**EVENT_SOURCE, "Last-Event-ID": event.id}) as again:
        gate.set()
        token, done = told(*again.rest())

    assert ("Hel", "lo", "done") == (told(event)[0]["content"], token["content"], done["type"])
