"""Prompts that are asked in other processes; here the other process is this one."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator

import pytest
import requests

from streamkit import (
    ChatBuilder,
    Client,
    ConfigError,
    Context,
    DeadlineExceeded,
    Hooks,
    Limits,
    RetryPolicy,
    Tool,
    __version__,
)
from streamkit.parallel.answer import Answer
from streamkit.parallel.errand import answer_errand, errand_of
from streamkit.parallel.lifeline import Lifeline
from streamkit.parallel.prompts import Task
from streamkit.parallel.rope import Rope
from streamkit.providers import OpenAI
from tests.echoing import EchoServer, echo

pytestmark = pytest.mark.usefixtures("errands")

SEEN: list[str] = []
ROPES: list[Callable[[], Rope]] = []


def see(info: object) -> None:
    """Note a request: a function of a module, which pickles by its name."""
    SEEN.append(type(info).__name__)


@pytest.fixture(name="lifeline", autouse=True)
def fixture_lifeline() -> Iterator[Lifeline]:
    """A run's end of the ropes."""
    lifeline = Lifeline("127.0.0.1", sole=True, tape_of=lambda mark, attempt: None)
    lifeline.start()
    ROPES.append(lifeline.rope)
    yield lifeline
    ROPES.remove(lifeline.rope)
    lifeline.cut()


def packed(chat: ChatBuilder, ctx: Context | None = None) -> bytes:
    """Pack a prompt as an executor would."""
    return pickle.dumps(errand_of(Task(index=0, prompt="", chat=chat), ctx or Context(), ROPES[-1]()))


def sent(chat: ChatBuilder, ctx: Context | None = None) -> Answer:
    """Send it away, and give the answer that comes back."""
    answer: Answer = pickle.loads(pickle.dumps(answer_errand(__version__, packed(chat, ctx))))
    return answer


def test_the_key_is_looked_up_there(server: EchoServer) -> None:
    """The one that the client was given does not travel; all else does."""
    chat = server.client().chat("gpt-4o").system("S").user("a").temperature(0.5).headers({"X-Mine": "1"})
    answer = sent(chat)
    request = server.requests[0]

    assert b"sk-very-secret" not in packed(chat)
    assert answer.response is not None
    assert echo("a") == answer.response.text
    assert ("Bearer sk-of-the-worker", "1") == (request.headers["authorization"], request.headers["x-mine"])
    assert (["S", "a"], 0.5) == ([m["content"] for m in request.json()["messages"]], request.json()["temperature"])


def test_without_a_key_there_is_an_error(server: EchoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an answer; it says what to set."""
    monkeypatch.delenv("OPENAI_API_KEY")
    answer = sent(server.client().chat("gpt-4o").user("a"))

    assert ConfigError is type(answer.error)
    assert "OPENAI_API_KEY" in str(answer.error)


def test_settings_hooks_and_fallbacks_travel(server: EchoServer) -> None:
    """A bound of the client's, a hook of a module, and who is asked next."""
    SEEN.clear()
    backup = server.client()
    first = Client(
        OpenAI(api_key="x", base_url="http://127.0.0.1:9/v1"),
        limits=Limits(event=10_000),
        hooks=Hooks(on_request=see),
        fallback=[backup.model("other")],
    )
    answer = sent(first.chat("gpt-4o").user("a").retry_policy(RetryPolicy(max_retries=0)))

    assert answer.response is not None
    assert "other" == server.requests[0].json()["model"]
    assert {"RequestInfo"} == set(SEEN)


def test_tools_travel_without_their_functions(server: EchoServer) -> None:
    """They are offered, never run."""
    tool = Tool(name="f", execute=lambda: None)
    answer = sent(server.client().chat("gpt-4o").user("a").tools([tool]))

    assert None is answer.error
    assert "f" == server.requests[0].json()["tools"][0]["function"]["name"]


def test_a_client_is_made_once(server: EchoServer) -> None:
    """The second errand uses the first one's connection."""
    chat = server.client().chat("gpt-4o")
    for prompt in "ab":
        assert None is sent(chat.user(prompt)).error

    assert 1 == server.connections


def test_what_cannot_travel_is_told() -> None:
    """A hook that is a lambda, and a session."""
    client = Client(OpenAI(api_key="x"))
    with pytest.raises(ConfigError, match="hooks must be"):
        packed(client.chat("m").hooks(Hooks(on_chunk=lambda chunk: None)))
    with requests.Session() as session, pytest.raises(ConfigError, match="session"):
        packed(Client(OpenAI(api_key="x"), session=session).chat("m"))


def test_the_deadline_travels(server: EchoServer) -> None:
    """As the seconds that are left."""
    answer = sent(server.client().chat("m").user("stall"), Context(0.2))

    assert DeadlineExceeded is type(answer.error)


def test_the_end_of_the_run_is_felt(server: EchoServer, lifeline: Lifeline) -> None:
    """Who comes too late asks nothing."""
    errand = packed(server.client().chat("m").user("fail"))
    before = answer_errand(__version__, errand)
    lifeline.cut()
    after = answer_errand(__version__, errand)

    assert "400" in str(before.error)
    assert "the run has ended" in str(after.error)
    assert 1 == len(server.requests)


def test_chunks_come_with_the_answer(server: EchoServer) -> None:
    """Where nobody had them sent ahead: texts joined, and what had come of an answer that failed."""
    whole, cut = (sent(server.client().chat("m").user(prompt)) for prompt in ("a", "cut"))

    assert [(echo("a"), "text"), ("", "step_finish")] == [(chunk.content, chunk.type) for chunk in whole.chunks]
    assert ["cut:0 cut:1 "] == [chunk.content for chunk in cut.chunks]
    assert whole.attempt != cut.attempt


@pytest.mark.parametrize(
    ("version", "errand", "told"),
    [
        ("0.0.1", b"", "install the same on both"),
        (__version__, b"cno_such_module\nthing\n.", "No module named 'no_such_module'"),
        (__version__, b"\x00", "cannot load the prompt"),
    ],
)
def test_what_cannot_be_loaded_is_told(version: str, errand: bytes, told: str) -> None:
    """As an answer, which says what to do; and nothing of another version is loaded."""
    answer = answer_errand(version, errand)

    assert ConfigError is type(answer.error)
    assert told in str(answer.error)


@pytest.mark.parametrize("key", ["client", "fallback"])
def test_a_key_in_the_text_is_refused(server: EchoServer, key: str) -> None:
    """The client's own, and that of who is asked next."""
    backup = Client(OpenAI(api_key="sk-of-the-fallback"))
    client = Client(OpenAI(api_key="sk-of-the-client", base_url=server.base_url), fallback=[backup.model("m")])
    with pytest.raises(ConfigError, match="key of openai stands in the request"):
        packed(client.chat("m").user(f"my key is sk-of-the-{key}"))


def test_no_two_errands_are_alike() -> None:
    """Some executors ask like things once."""
    chat = Client(OpenAI(api_key="x")).chat("m").user("a")

    assert packed(chat) != packed(chat)
