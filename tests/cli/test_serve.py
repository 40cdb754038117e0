"""`streamkit serve`: the command as a process, from its first line to Ctrl-C."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from streamkit.cli import main, serve
from streamkit.testing import ProviderServer, Stall, chat_answer
from tests.embedded import embedded

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT"),
]


class Served:
    """A running `streamkit serve`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.line = process.stdout.readline()
        """What it said when it was ready."""
        self.url = self.line.rpartition(": ")[2].split()[0] if self.line else ""

    def request(self, method: str, path: str, body: object = None) -> tuple[int, http.client.HTTPResponse]:
        """Ask it, and give the status and the answer, still open."""
        place = urlsplit(self.url)
        connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=10)
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response

    def begin(self, text: str) -> http.client.HTTPResponse:
        """Ask a question, and give the stream of its events."""
        _, answer = self.request("POST", "/answers", {"messages": [{"role": "user", "content": text}]})
        with answer:
            id = json.loads(answer.read())["id"]
        return self.request("GET", f"/answers/{id}")[1]

    def interrupt(self) -> tuple[int, str, str]:
        """Press Ctrl-C, and give the exit code and what else was said on both outputs."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=10)
        return self.process.returncode, out, err


@contextlib.contextmanager
def serving(server: ProviderServer, *options: str) -> Iterator[Served]:
    """Run the command on a free port, before a scripted OpenAI."""
    env = {**os.environ, "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": server.base_url}
    process = subprocess.Popen(
        [sys.executable, "-m", "streamkit", "serve", "--port", "0", *options],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Served(process)
    finally:
        process.kill()
        process.communicate()


def test_it_serves_the_page_and_answers(server: ProviderServer) -> None:
    """It says its address and the model, which is asked with the options, and ends at Ctrl-C without a word."""
    server.reply(chat_answer("Hello"))
    with serving(server, "-m", "gpt-x", "-s", "Be brief.") as served:
        page_status, page = served.request("GET", "/")
        with page:
            html = page.read()
        with served.begin("hi") as events:
            said = events.read()
        ended = served.interrupt()
    sent = server.requests[0].json()

    assert f"Chat with gpt-x: {served.url}  (Ctrl-C ends it)\n" == served.line
    assert served.url.startswith("http://127.0.0.1:")
    assert 200 == page_status
    assert html.startswith(b"<!doctype html>")
    assert b'"content":"Hello"' in said
    assert "gpt-x" == sent["model"]
    assert ["Be brief.", "hi"] == [message["content"] for message in sent["messages"]]
    assert (0, "", "") == ended


def test_ctrl_c_cancels_what_runs(server: ProviderServer) -> None:
    """In the middle of an answer the process ends at once, and the provider's connection with it."""
    server.reply(chat_answer("Hello", " world")[:3], Stall())
    with serving(server) as served, served.begin("hi") as events:
        while b"Hello" not in events.readline():
            pass
        ended = served.interrupt()
        server.wait_until(lambda: server.open_connections == 0)

    assert (0, "", "") == ended


def test_the_time_limit_ends_an_answer(server: ProviderServer) -> None:
    """`--timeout` is for each answer; what had come is kept."""
    server.reply(chat_answer("Hello")[:3], Stall())
    with serving(server, "--timeout", "0.3") as served, served.begin("hi") as events:
        said = events.read()

    assert b'"content":"Hello"' in said
    assert b'"type":"error"' in said


@pytest.mark.parametrize(
    ("options", "host", "status"),
    [([], "chat.example", 403), (["--allow-host", "chat.example"], "chat.example", 200), ([], "localhost", 200)],
)
def test_the_names_it_goes_by(server: ProviderServer, options: list[str], host: str, status: int) -> None:
    """Those of loopback, and those that are allowed."""
    with serving(server, *options) as served:
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(served.url).port, timeout=10)
        connection.request("GET", "/", headers={"Host": host})
        with connection.getresponse() as response:
            response.read()

    assert status == response.status


def test_other_machines_are_warned_of(server: ProviderServer) -> None:
    """Listening for others is done only when told to, and what that means is said; what is printed can be opened."""
    with serving(server, "--host", "0.0.0.0") as served:
        status, page = served.request("GET", "/")
        page.close()
        code, _, err = served.interrupt()

    assert (200, 0) == (status, code)
    assert served.url.startswith("http://127.0.0.1:")
    assert "Warning: other machines may reach 0.0.0.0." in err
    assert "spends your tokens" in err


# -- in this process


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The server is not started, but says at once that it is ready; what it was given is noted."""
    given: list[Any] = []

    def serve_app(app: Any, host: str, port: int, *, on_ready: Any) -> None:
        given.append((app, host, port))
        on_ready(f"http://{host}:{port}")

    monkeypatch.setattr("streamkit.integrations.wsgi_server.serve", serve_app)
    yield given
    for app, *_ in given:
        app.close()


def test_the_local_model_answers_without_a_key(
    ready: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With no key configured it says so, and that is the model of the page."""
    with embedded(monkeypatch, tmp_path):
        assert 0 == main(["serve"])

    out, err = capsys.readouterr()

    assert [("127.0.0.1", 8080)] == [(host, port) for _, host, port in ready]
    assert "Chat with smollm2-135m: http://127.0.0.1:8080  (Ctrl-C ends it)\n" == out
    assert "local model (SmolLM2-135M, on this machine) answers" in err


def test_the_page_can_be_opened(ready: list[Any], server: ProviderServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--open` has the browser do so, once the server is ready."""
    opened: list[str] = []
    done = threading.Event()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.setattr("webbrowser.open", lambda url: (opened.append(url), done.set()))

    assert 0 == main(["serve", "--open", "--port", "1234"])
    assert done.wait(5)
    assert ["http://127.0.0.1:1234"] == opened


@pytest.mark.parametrize(("host", "meant"), [("[::1]", "::1"), ("", "0.0.0.0"), ("127.0.0.1", "127.0.0.1")])
def test_how_a_host_is_written(
    ready: list[Any], server: ProviderServer, monkeypatch: pytest.MonkeyPatch, host: str, meant: str
) -> None:
    """With or without the brackets of a URL; none at all is every address."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)

    assert 0 == main(["serve", "--host", host])
    assert [meant] == [told for _, told, _ in ready]


@pytest.mark.parametrize(
    ("loopback", "hosts"),
    [
        (True, ["127.0.0.1", "127.1.2.3", "::1", "localhost", "::ffff:127.0.0.1"]),
        (False, ["0.0.0.0", "::", "192.0.2.1"]),
    ],
)
def test_what_is_loopback(loopback: bool, hosts: list[str]) -> None:
    """An address that only this machine reaches."""
    assert [loopback] * len(hosts) == list(map(serve._is_loopback, hosts))


def test_a_port_that_is_taken(
    server: ProviderServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Is said to be so, with code 1."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")

    assert 1 == main(["serve", "--port", str(server.port)])
    assert f"port {server.port} is in use" in capsys.readouterr().err
