"""The chat page's application, without a browser: what is answered to which request."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamkit import Client, ConfigError
from streamkit.integrations.chat_page import SECURITY_HEADERS, ChatPage, chat_page
from streamkit.testing import ProviderServer, Stall, chat_answer, error_answer
from tests.loopback import KEY
from tests.wsgi_calls import Answer, asked, environ_of

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "streamkit" / "integrations" / "chat_page" / "static"


@pytest.fixture
def app(client: Client) -> Iterator[ChatPage]:
    """The application of a brief GPT-4o; nothing runs in the end."""
    app = chat_page(client.chat("gpt-4o").system("Be brief."))
    yield app
    app.close()


def get(app: ChatPage, path: str, method: str = "GET", **headers: str) -> Answer:
    """Ask for a path."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return asked(app, environ_of(path, method=method, headers={"Host": "localhost:8080", **named}))


def post(app: ChatPage, *texts: str, **headers: str) -> Answer:
    """Ask a question, at the end of what was said by turns."""
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    body = json.dumps({"messages": messages}).encode()
    more: dict[str, Any] = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body))}
    more["wsgi.input"] = io.BytesIO(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return asked(app, environ_of("/answers", method="POST", headers={"Host": "localhost:8080", **named}, **more))


def begun(app: ChatPage, *texts: str) -> str:
    """Ask a question, and give the path of its answer."""
    answer = post(app, *texts)

    assert 201 == answer.status
    return f"/answers/{json.loads(answer.body())['id']}"


def told(answer: Answer) -> list[Any]:
    """What the events of an answer say."""
    return [json.loads(event.data) for event in answer.events()]


# -- the page


def test_the_page_and_all_its_files_are_served(app: ChatPage) -> None:
    """Each file with its type; what the page and its scripts name is there."""
    page = get(app, "/")
    types = {"css": "text/css", "html": "text/html", "js": "text/javascript", "svg": "image/svg+xml"}

    assert (200, "text/html; charset=utf-8") == (page.status, page.header("Content-Type"))
    html = page.body().decode()
    for file in sorted(STATIC.iterdir()):
        answer = get(app, f"/static/{file.name}")

        assert types[file.suffix[1:]] == str(answer.header("Content-Type")).partition(";")[0]
        assert file.read_bytes() == answer.body()
        for named in re.findall(r'from "\./([^"]+)"', file.read_text(encoding="utf-8")):
            assert (STATIC / named).is_file(), f"{file.name} imports {named}"
    named = set(re.findall(r'(?:src|href)="static/([^"]+)"', html))

    assert {file.name for file in STATIC.iterdir()} - {"index.html"} == named


def test_the_page_names_no_other_server() -> None:
    """Its files come from its own server, all of them, and have no script or style within the page."""
    html = (STATIC / "index.html").read_text(encoding="utf-8")
    css = (STATIC / "chat.css").read_text(encoding="utf-8")

    assert [] == re.findall(r"https?://", html)
    assert [] == re.findall(r"url\(|@import", css)
    assert [] == re.findall(r"<style|style=|\son\w+=|<script(?! type=\"module\" src=\"static/)", html)


def test_the_scripts_never_parse_html() -> None:
    """There is no way in them from a text to HTML or to code."""
    scripts = "".join(file.read_text(encoding="utf-8") for file in STATIC.glob("*.js"))
    doors = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|setHTML|createContextualFragment|srcdoc"

    assert len(scripts) > 10_000
    assert [] == re.findall(rf"{doors}|\beval\b|new Function", scripts)


@pytest.mark.slow
def test_a_built_package_serves_the_page(tmp_path: Path) -> None:
    """What setuptools puts into a wheel has every file of the page, and finds it."""
    pytest.importorskip("setuptools", reason="needs setuptools")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "streamkit", tmp_path / "streamkit", ignore=shutil.ignore_patterns("__pycache__"))
    built = tmp_path / "built"
    build = [sys.executable, "-c", "import setuptools; setuptools.setup()", "-q", "build", "--build-lib", str(built)]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    program = "import streamkit.integrations.chat_page as page; print(page.__file__, *page._files())"
    env = {**os.environ, "PYTHONPATH": str(built)}
    ran = subprocess.run([sys.executable, "-c", program], cwd=built, env=env, capture_output=True, text=True)
    where, *names = ran.stdout.split()

    assert where.startswith(str(built))
    assert {file.name for file in STATIC.iterdir()} == set(names)


def test_every_answer_has_the_security_headers(app: ChatPage) -> None:
    """Page, files, refusals and answers."""
    for path in ("/", "/static/chat.js", "/status", "/nothing", "/answers"):
        answer = get(app, path)

        assert set(SECURITY_HEADERS.items()) <= set(answer.headers), path
    assert "default-src 'none'" in SECURITY_HEADERS["Content-Security-Policy"]
    assert "unsafe" not in SECURITY_HEADERS["Content-Security-Policy"]


def test_the_model_is_told_and_the_system_prompt_is_not(app: ChatPage) -> None:
    """What the page shows of the server's settings."""
    assert {"model": "gpt-4o", "keep_alive": 5.0} == json.loads(get(app, "/status").body())


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/nothing", "GET", 404),
        ("/static/", "GET", 404),
        ("/static/__init__.py", "GET", 404),
        ("/static/../__init__.py", "GET", 404),
        ("/static//chat.js", "GET", 404),
        ("/answers/0123", "GET", 404),
        ("/answers/" + "0" * 32, "DELETE", 404),
        ("/answers/" + "0" * 32 + "/nothing", "GET", 404),
        ("/", "POST", 405),
        ("/answers", "GET", 405),
        ("/status", "DELETE", 405),
        ("/", "HEAD", 200),
        ("/static/chat.css", "HEAD", 200),
    ],
)
def test_other_requests(app: ChatPage, path: str, method: str, status: int) -> None:
    """What is not there, or not done that way, is said to be so, in JSON; HEAD is GET without a body."""
    answer = get(app, path, method)
    body = answer.body()

    assert status == answer.status
    assert (b"" == body) if method == "HEAD" else json.loads(body)["error"]


def test_mounted_without_its_slash(app: ChatPage) -> None:
    """The page's addresses are relative: its own must end in a slash."""
    environ = environ_of("", headers={"Host": "localhost"}, SCRIPT_NAME="/chat")
    answer = asked(app, environ)
    answer.body()

    assert (308, "/chat/") == (answer.status, answer.header("Location"))


# -- answers


def test_an_answer(app: ChatPage, server: ProviderServer) -> None:
    """A question gets an id, and that gets its events; the system prompt is the server's."""
    server.reply(chat_answer("Hel", "lo", thinking="Hm."))
    path = begun(app, "one", "first", "two")
    answer = get(app, path)

    assert (200, "text/event-stream", "no") == (
        answer.status,
        answer.header("Content-Type"),
        answer.header("X-Accel-Buffering"),
    )
    assert [
        {"type": "thinking", "content": "Hm."},
        {"type": "token", "content": "Hel"},
        {"type": "token", "content": "lo"},
        {"type": "done", "done": True, "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}},
    ] == told(answer)
    assert [("system", "Be brief."), ("user", "one"), ("assistant", "first"), ("user", "two")] == [
        (message["role"], message["content"]) for message in server.requests[0].json()["messages"]
    ]


def test_who_comes_back_gets_the_rest(app: ChatPage, server: ProviderServer) -> None:
    """From the event after Last-Event-ID on, exactly; after the last there is nothing more."""
    server.reply(chat_answer("a", "b", "c"))
    path = begun(app, "hi")
    events = get(app, path).events()

    assert ["a", "b", "c"] == [json.loads(event.data).get("content") for event in events[:-1]]
    for number, event in enumerate(events[:-1]):
        rest = get(app, path, Last_Event_ID=event.id).events()

        assert [each.data for each in events[number + 1 :]] == [each.data for each in rest]
    last = get(app, path, Last_Event_ID=events[-1].id)

    assert (204, b"") == (last.status, last.body())


@pytest.mark.parametrize("id", ["nonsense", "0" * 32 + "-0", "{id}-999"])
def test_an_event_that_is_not_there(app: ChatPage, server: ProviderServer, id: str) -> None:
    """An id that is no event of the answer is refused, rather than taken for the beginning."""
    server.reply(chat_answer("a"))
    path = begun(app, "hi")
    get(app, path).body()
    answer = get(app, path, Last_Event_ID=id.replace("{id}", path.rpartition("/")[2]))

    assert 400 == answer.status
    assert "Last-Event-ID" in json.loads(answer.body())["error"]


def test_asking_for_the_head_is_no_reading(client: Client, server: ProviderServer) -> None:
    """HEAD neither takes events nor counts as a reader that has left."""
    server.reply(chat_answer("a")[:3], Stall())
    app = chat_page(client.chat("gpt-4o"), linger=0)
    path = begun(app, "hi")
    server.wait_for_request()
    head = get(app, path, "HEAD")

    assert (200, "text/event-stream", b"") == (head.status, head.header("Content-Type"), head.body())
    assert 1 == server.open_connections

    app.close()


def test_cancelling(app: ChatPage, server: ProviderServer) -> None:
    """DELETE ends the provider's stream at once; what had come can still be read, and why it ended."""
    server.reply(chat_answer("Hel", "lo")[:3], Stall())
    path = begun(app, "hi")
    events = get(app, path)
    frames = iter(events.frames)
    while b"Hel" not in next(frames):
        pass
    stopped = get(app, path, "DELETE")

    assert (204, b"") == (stopped.status, stopped.body())
    server.wait_until(lambda: server.open_connections == 0)
    assert ["token", "error"] == [each["type"] for each in told(get(app, path))]
    events.frames.close()


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_the_facts_of_an_answer(app: ChatPage, server: ProviderServer, finish: str) -> None:
    """Why it ended, and who answered, which its events do not tell."""
    server.reply(*chat_answer("a", finish=finish, model="gpt-4o-2024"))
    path = begun(app, "hi")
    get(app, path).body()

    assert {"finish_reason": finish, "model": "gpt-4o-2024"} == json.loads(get(app, f"{path}/facts").body())


def test_a_failure_is_told_without_the_key(app: ChatPage, server: ProviderServer) -> None:
    """An answer that cannot be opened is an event, as the page has begun to read; no answer has the key."""
    server.reply(error_answer(401, f"no such key: {KEY}"))
    path = begun(app, "hi")
    body = get(app, path).body()

    assert b'"type":"error"' in body
    assert KEY.encode() not in body


def test_a_wrong_question_is_refused(app: ChatPage, server: ProviderServer) -> None:
    """In JSON, with what is wrong, and the provider is not asked."""
    answer = post(app)

    assert 400 == answer.status
    assert json.loads(answer.body())["error"].startswith("there are no messages")
    assert [] == server.requests


def test_a_conversation_that_is_too_long(client: Client) -> None:
    """The bound is of the whole body, in bytes."""
    answer = post(chat_page(client.chat("gpt-4o"), max_body=100), "x" * 100)

    assert 413 == answer.status
    assert "100 bytes" in json.loads(answer.body())["error"]


def test_too_many_answers(app: ChatPage, server: ProviderServer) -> None:
    """One more than there may be at a time is told to come later."""
    server.reply(Stall(), times=None)
    app.answers.most = 1
    begun(app, "hi")
    answer = post(app, "hi")

    assert 503 == answer.status
    assert "try again" in json.loads(answer.body())["error"]


# -- who may ask


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/", {"Host": "evil.example"}),
        ("GET", "/static/chat.js", {"Host": "evil.example"}),
        ("GET", "/answers/x", {"Host": "evil.example"}),
        ("DELETE", "/answers/{id}", {"Origin": "http://evil.example"}),
        ("DELETE", "/answers/{id}", {"Sec_Fetch_Site": "cross-site"}),
    ],
)
def test_strangers_are_refused(
    app: ChatPage, server: ProviderServer, method: str, path: str, headers: dict[str, str]
) -> None:
    """Another host's name, and, for what changes something, another origin's page."""
    server.reply(chat_answer("a")[:3], Stall())
    known = begun(app, "hi")
    answer = get(app, path.replace("/answers/{id}", known), method, **headers)

    assert 403 == answer.status
    assert json.loads(answer.body())["error"]
    assert 1 == len(app.answers)


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Sec_Fetch_Site": "same-site"}])
def test_strangers_ask_nothing(app: ChatPage, server: ProviderServer, headers: dict[str, str]) -> None:
    """A question of another origin's page is refused before it is read."""
    assert 403 == post(app, "hi", **headers).status
    assert [] == server.requests


def test_a_host_can_be_allowed(client: Client) -> None:
    """By its name, for who is behind a proxy."""
    app = chat_page(client.chat("gpt-4o"), hosts=["chat.example"])

    assert 200 == get(app, "/", Host="chat.example").status
    assert 403 == get(app, "/", Host="other.example").status


# -- wrong use


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hosts": "chat.example"}, "give a list"),
        ({"keep_alive": 0}, "keep_alive=0"),
        ({"max_body": -1}, "max_body=-1"),
        ({"linger": -1}, "linger=-1"),
    ],
)
def test_wrong_settings(client: Client, settings: dict[str, Any], message: str) -> None:
    """Each is named."""
    with pytest.raises(ConfigError, match=re.escape(message)):
        chat_page(client.chat("gpt-4o"), **settings)


def test_a_client_is_no_chat(client: Client) -> None:
    """The model is said first."""
    with pytest.raises(ConfigError, match="give a request"):
        chat_page(client)  # type: ignore[arg-type]
