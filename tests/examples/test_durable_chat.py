"""The chat whose web server and writer are killed, as a browser sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from streamkit.testing import Gate, ProviderServer, Stall, Wait, chat_answer
from tests.redis_server import RedisServer, needs_redis
from tests.running import EXAMPLES

pytestmark = [pytest.mark.servers, pytest.mark.slow]


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A Redis of its own."""
    needs_redis()
    with RedisServer() as server:
        yield server


@contextmanager
def running(
    what: str, redis_server: RedisServer, server: ProviderServer
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the example; gives the process and its first line."""
    environment = {
        **os.environ,
        "REDIS_URL": redis_server.url,
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": server.base_url,
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, str(EXAMPLES / "durable_chat.py"), what, "0" if what == "web" else "openai"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


class Browser:
    """An EventSource, and the page: it remembers the id of the last token, and comes back with it."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.text = ""
        self.ended: dict[str, object] | None = None
        self._last = ""

    def read(self, url: str, tokens: int = 1_000_000) -> None:
        """Read so many tokens, or to the end."""
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": self._last} if self._last else {})}
        with requests.get(f"{url}/answer/{self.answer}", headers=headers, stream=True, timeout=20) as got:
            assert 200 == got.status_code
            id = ""
            for line in got.iter_lines(chunk_size=1, decode_unicode=True):
                name, _, value = line.partition(": ")
                if name == "id":
                    id = value
                elif name == "data":
                    event = json.loads(value)
                    if event["type"] != "token":
                        self.ended = event
                        return
                    self.text += event["content"]
                    self._last = id
                elif line == "":
                    tokens -= 1
                    if tokens == 0:
                        return


def asked(url: str, path: str = "ask") -> str:
    """Ask; gives the answer's name."""
    with requests.post(f"{url}/{path}", data="Tell me a story", timeout=10) as got:
        assert 200 == got.status_code
        return got.text


def test_the_web_server_is_killed_in_the_middle_of_an_answer(redis_server: RedisServer, server: ProviderServer) -> None:
    """The browser comes back to another one: it sees each token once, and the end."""
    words, gate = [f"{n} " for n in range(40)], Gate()
    script = chat_answer(*words)
    server.reply(*script[:20], Wait(gate), *script[20:])
    with running("worker", redis_server, server), running("web", redis_server, server) as (web, url):
        browser = Browser(asked(url))
        browser.read(url, 7)
        web.kill()
        web.wait()
        with running("web", redis_server, server) as (_, other):
            browser.read(other, 5)
            gate.set()
            browser.read(other)

    assert "".join(words) == browser.text
    assert browser.ended is not None
    assert "done" == browser.ended["type"]
    assert 1 == len(server.requests)


def test_the_writer_is_killed_in_the_middle_of_an_answer(redis_server: RedisServer, server: ProviderServer) -> None:
    """The browser is told, and what to do; another worker writes the rest behind what there is."""
    server.reply(*chat_answer("Once ", "upon ")[:4], Stall())
    server.reply(*chat_answer("a ", "time."))
    with running("web", redis_server, server) as (_, url):
        with running("worker", redis_server, server) as (worker, _):
            browser = Browser(asked(url))
            browser.read(url, 2)
            worker.kill()
            worker.wait()
            browser.read(url)
        told = browser.ended
        with running("worker", redis_server, server):
            asked(url, f"resume/{browser.answer}")
            browser.read(url)

    assert told is not None and browser.ended is not None
    assert ("error", "done") == (told["type"], browser.ended["type"])
    assert "the writer" in str(told["content"]) and "resume" in str(told["content"])
    assert "Once upon a time." == browser.text


def test_stop_reaches_the_writer(redis_server: RedisServer, server: ProviderServer) -> None:
    """It is the user's wish, and ends the answer; a browser that leaves does not."""
    server.reply(*chat_answer("Once ", "upon ")[:4], Stall())
    with running("worker", redis_server, server), running("web", redis_server, server) as (_, url):
        browser = Browser(asked(url))
        browser.read(url, 2)
        asked(url, f"cancel/{browser.answer}")
        browser.read(url)

    assert {"type": "error", "content": "cancelled: the user pressed stop"} == browser.ended
    assert "Once upon " == browser.text


def test_hostile_requests(redis_server: RedisServer, server: ProviderServer) -> None:
    """Are refused, with a plain answer."""
    with running("web", redis_server, server) as (_, url):
        headers = {"Last-Event-ID": "x'; DROP TABLE"}
        refused = requests.get(f"{url}/answer/a", headers=headers, timeout=10)
        missing = requests.get(f"{url}/etc/passwd", timeout=10)
        page = requests.get(url, timeout=10)

    assert [400, 404, 200] == [got.status_code for got in (refused, missing, page)]
    assert "EventSource" in page.text
