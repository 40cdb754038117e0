"""The server of events, as a user runs it."""

from __future__ import annotations

import sys

import pytest

from streamkit.testing import Gate, ProviderServer, Stall, Status, Wait, chat_answer
from tests.browsing import Browser, told
from tests.loopback import delta, took
from tests.running_servers import example_serving

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")]


def test_it_streams(server: ProviderServer) -> None:
    """It says where it listens, asks what the page asks, and tells each token as it comes, to any site's page."""
    gate = Gate()
    server.reply(Status(200, {"connection": "close"}), delta("Once"), Wait(gate), *chat_answer(" upon")[2:])
    with example_serving("sse_server.py", server) as (said, url):
        with Browser(url) as browser:
            assert {"type": "token", "content": "Once"} == told(browser.next())[0]
            gate.set()
            assert ["token", "done"] == [event["type"] for event in told(*browser.rest())]
    asked = server.requests[0].json()

    assert f"Server running on :{url.rpartition(':')[2]}\n" == said
    assert "*" == browser.response.headers["Access-Control-Allow-Origin"]
    assert ("gpt-4o", "Tell me a story") == (asked["model"], asked["messages"][-1]["content"])


def test_ctrl_c_in_an_answer(server: ProviderServer) -> None:
    """It ends at once, and the provider's stream with it."""
    server.reply(Status(200), delta("Once"), Stall())
    with example_serving("sse_server.py", server) as (_, url), took(5.0):
        browser = Browser(url)
        browser.next()
    browser.leave()
    server.wait_until(lambda: server.open_connections == 0)
