"""The application and the views under real servers: tokens as they come, comments in a silence, and who leaves."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import attrs
import pytest

from streamkit.testing import Gate, ProviderServer, Stall, Status, Step, Wait, chat_answer
from tests.browsing import EVENT_SOURCE, Browser, told
from tests.loopback import delta
from tests.serving import SERVERS, Served, served

pytestmark = pytest.mark.slow

APP = """
    import os
    from streamkit import Client, wsgi_app
    from streamkit.providers import OpenAI

    client = Client(OpenAI("sk-test", base_url=os.environ["PROVIDER"]))
    app = wsgi_app(client, keep_alive=0.2, linger=0.6)
"""

FLASK = """
    import os
    import flask
    from streamkit import Client, KeptAnswers, sse_response
    from streamkit.providers import OpenAI

    client = Client(OpenAI("sk-test", base_url=os.environ["PROVIDER"]))
    answers = KeptAnswers(linger=0.6)
    app = flask.Flask(__name__)

    @app.get("/stream")
    def stream():
        chat = client.chat("gpt-4o").user(flask.request.args.get("prompt", "Hello"))
        return sse_response(chat, flask.request.environ, answers=answers, keep_alive=0.2)
"""

DJANGO = """
    import os
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import StreamingHttpResponse
    from django.urls import path
    from streamkit import Client, KeptAnswers, sse_response
    from streamkit.providers import OpenAI

    settings.configure(ROOT_URLCONF="served", ALLOWED_HOSTS=["*"], SECRET_KEY="not one")
    client = Client(OpenAI("sk-test", base_url=os.environ["PROVIDER"]))
    answers = KeptAnswers(linger=0.6)

    def stream(request):
        chat = client.chat("gpt-4o").user(request.GET.get("prompt", "Hello"))
        response = sse_response(chat, request.META, answers=answers, keep_alive=0.2)
        return StreamingHttpResponse(response, status=response.status, headers=dict(response.headers))

    urlpatterns = [path("stream", stream)]
    app = get_wsgi_application()
"""

PLACES = [
    *((server, APP) for server in SERVERS),
    ("waitress", FLASK),
    ("werkzeug", FLASK),
    ("waitress", DJANGO),
    ("gunicorn gthread", DJANGO),
]
NAMES = [f"{'app' if text is APP else 'Flask' if text is FLASK else 'Django'} on {name}" for name, text in PLACES]


@attrs.frozen
class Place:
    """A provider, and a server whose application asks it."""

    provider: ProviderServer
    server: Served


@pytest.fixture(scope="module", params=PLACES, ids=NAMES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """One of the servers, with one of the programs."""
    name, program = request.param
    for package in (name.split()[0], *(["flask"] if program is FLASK else ["django"] if program is DJANGO else [])):
        pytest.importorskip(package)
    with ProviderServer() as provider, served(name, program, PROVIDER=provider.base_url) as server:
        yield Place(provider, server)


def silent(*texts: str) -> list[Step]:
    """A provider that says this, and then nothing more."""
    return [Status(200), *map(delta, texts), Stall()]


def test_tokens_as_they_come(place: Place) -> None:
    """The first one is there before the last one is sent; then all of them, and the end."""
    provider, url = place.provider, place.server.url
    gate = Gate()
    first, *rest = chat_answer("Hel", "lo")[2:]
    provider.reply(Status(200, {"connection": "close"}), first, Wait(gate), *rest)
    with Browser(url, prompt="Hello") as browser:
        assert [{"type": "token", "content": "Hel"}] == told(browser.next())
        gate.set()
        token, done = browser.rest()

    assert "text/event-stream" == browser.response.headers.get_content_type()
    assert "no" == browser.response.headers["X-Accel-Buffering"]
    assert {"type": "token", "content": "lo"} == told(token)[0]
    assert ("done", 7) == (told(done)[0]["type"], told(done)[0]["usage"]["total_tokens"])


def test_comments_in_a_silence(place: Place) -> None:
    """They arrive while the provider says nothing."""
    provider, url = place.provider, place.server.url
    provider.reply(*silent())
    with Browser(url, prompt="Hello") as browser:
        while browser.raw.count(b": keep-alive\n\n") < 2:
            assert browser.read()


@pytest.mark.parametrize(
    ("headers", "texts"), [({}, []), (EVENT_SOURCE, ["Hello"])], ids=["plain, before a token", "EventSource, after one"]
)
def test_who_leaves_in_a_silence(place: Place, headers: dict[str, str], texts: list[str]) -> None:
    """The provider, which is silent, too, sees its connection closed: soon, or when nobody has come back."""
    provider, url = place.provider, place.server.url
    asked, closed = len(provider.requests), provider.connections - provider.open_connections
    provider.reply(*silent(*texts))
    with Browser(url, prompt="Hello", headers=headers) as browser:
        provider.wait_for_request(asked + 1)
        if texts:
            browser.next()
    began = time.monotonic()
    provider.wait_until(lambda: provider.connections - provider.open_connections > closed)

    assert time.monotonic() - began < 2.0


def test_who_comes_back(place: Place) -> None:
    """It gets exactly what it lacks, of the same answer."""
    if place.server.workers > 1:
        pytest.skip("its workers share no memory")
    provider, url, gate = place.provider, place.server.url, Gate()
    asked = len(provider.requests)
    provider.reply(Status(200, {"connection": "close"}), delta("Hel"), Wait(gate), *chat_answer("lo")[2:])
    with Browser(url, prompt="Hello") as browser:
        first = browser.next()
    with Browser(url, prompt="Hello", headers={**EVENT_SOURCE, "Last-Event-ID": first.id}) as browser:
        assert browser.read().startswith(b"retry: ")
        gate.set()
        token, done = browser.rest()
    with Browser(url, prompt="Hello", headers={**EVENT_SOURCE, "Last-Event-ID": done.id}) as browser:
        assert 204 == browser.response.status

    assert ["Hel", "lo"] == [event["content"] for event in told(first, token)]
    assert asked + 1 == len(provider.requests)


def test_nothing_is_left(place: Place) -> None:
    """When browsers have left, at whatever moment, the server has no more threads and sockets than before."""
    left_by_some(place)
    threads, sockets = place.server.threads(), place.server.sockets()
    left_by_some(place)

    place.server.wait_until(lambda: place.server.threads() <= threads and place.server.sockets() <= sockets)


def left_by_some(place: Place) -> None:
    """Have two browsers leave, of which one had its first token."""
    provider, closed = place.provider, place.provider.connections - place.provider.open_connections
    with contextlib.ExitStack() as stack:
        for texts in ([], ["Hello"]):
            asked = len(provider.requests)
            provider.reply(*silent(*texts))
            browser = stack.enter_context(Browser(place.server.url, prompt="Hello", headers={}))
            provider.wait_for_request(asked + 1)
            if texts:
                browser.next()
    provider.wait_until(lambda: provider.connections - provider.open_connections >= closed + 2)
