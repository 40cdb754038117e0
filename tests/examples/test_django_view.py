"""The view of Django, as a user runs it."""

from __future__ import annotations

import sys

import pytest

from streamkit.testing import Gate, ProviderServer, Status, Wait, chat_answer
from tests.browsing import Browser, told
from tests.loopback import delta
from tests.running_servers import example_serving

pytest.importorskip("django")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")]


def test_it_streams(server: ProviderServer) -> None:
    """Each token as it comes; a browser that comes back gets the rest, and nothing is asked twice."""
    gate = Gate()
    server.reply(Status(200, {"connection": "close"}), delta("Hel"), Wait(gate), *chat_answer("lo")[2:])
    with example_serving("django_view.py", server) as (said, url):
        with Browser(url, prompt="Say hello") as browser:
            first = browser.next()
            gate.set()
            browser.rest()
        with Browser(url, prompt="Say hello", last_event_id=first.id) as again:
            rest = told(*again.rest())

    assert f"Running on {url}\n" == said
    assert {"type": "token", "content": "Hel"} == told(first)[0]
    assert ["token", "done"] == [event["type"] for event in rest]
    assert ["Say hello"] == [request.json()["messages"][-1]["content"] for request in server.requests]
    assert "no" == again.response.headers["X-Accel-Buffering"]
