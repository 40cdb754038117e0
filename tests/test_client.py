"""Client and ChatBuilder: what users write, and what is sent and done for it."""

from __future__ import annotations

import base64
import copy
import pathlib
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import pytest
import requests
import responses

from streamkit import (
    ChatBuilder,
    ChatStream,
    Client,
    ConfigError,
    Context,
    FilePart,
    Hooks,
    ImagePart,
    Limits,
    Message,
    PermissionDenied,
    ResponseTooLarge,
    RetryPolicy,
    StreamTruncated,
    TextPart,
    Timeouts,
    Tool,
    Usage,
    assistant,
    user,
)
from streamkit.errors import StreamKitError
from streamkit.loops.fallback import Fallback
from streamkit.providers import OpenAI
from streamkit.testing import Close, Gate, ProviderServer, Reset, Stall, Status, Wait, chat_answer, error_answer
from tests.loopback import AT_ONCE, KEY, ONCE, ask, client_of, delta, drain, failure, took

ADD = Tool(name="add", description="Adds.", parameters={"type": "object", "properties": {"a": {"type": "integer"}}})
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def chat() -> ChatBuilder:
    """A builder whose request is never sent."""
    return Client(OpenAI(KEY)).chat("gpt-4o")


# ---------------------------------------------------------------- the client


def test_a_client_by_its_providers_name(server: ProviderServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With key and address of the environment and settings as for any client; a model's name stays a plain name."""
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    monkeypatch.setenv("GROQ_BASE_URL", server.base_url)
    server.reply(chat_answer("Hello"))
    with Client.from_env("groq", retry_policy=ONCE) as client:
        answer = client.chat("openai/gpt-oss-20b:x").user("Hello").get_response()

    assert ("groq", "Hello") == (client.provider.name, answer.text)
    assert "openai/gpt-oss-20b:x" == server.requests[0].json()["model"]


def test_a_client_of_an_unconfigured_provider() -> None:
    """Only the environment is looked in, and its variable is named."""
    with pytest.raises(ConfigError, match="groq not configured: set GROQ_API_KEY"):
        Client.from_env("groq")
    with pytest.raises(ConfigError, match="unknown provider 'nobody'"):
        Client.from_env("nobody")


def test_models_of_a_provider(client: Client, server: ProviderServer) -> None:
    """Their names in its order, asked for with the key; the connection serves again."""
    server.reply(error_answer(200, {"data": [{"id": "b"}, {"id": "a"}]}), times=2)

    assert [["b", "a"], ["b", "a"]] == [client.models(), client.models()]
    assert [("GET", "/v1/models", f"Bearer {KEY}", b"")] * 2 == [
        (sent.method, sent.path, sent.headers["authorization"], sent.body) for sent in server.requests
    ]
    assert 1 == server.connections


def test_models_of_a_provider_that_says_no(client: Client, server: ProviderServer) -> None:
    """A refusal is the error that it stands for."""
    server.reply(error_answer(403, "not yours"))
    with pytest.raises(PermissionDenied, match="not yours"):
        client.models()


def test_a_provider_is_needed() -> None:
    """Not its name, and not its class's module."""
    with pytest.raises(ConfigError, match="no provider"):
        Client("openai")  # type: ignore[arg-type]


def test_a_client_prints_its_provider() -> None:
    """And no key."""
    assert f"<Client {OpenAI(KEY)!r}>" == repr(Client(OpenAI(KEY)))


def test_a_client_needs_nothing_to_be_made() -> None:
    """No thread, no connection, no model; that is asked for when a request is made."""
    before = threading.active_count()
    chat = Client(OpenAI(KEY)).chat().user("Hello")
    made = threading.active_count()
    error = failure(chat.get_stream)

    assert before == made
    assert isinstance(error, ConfigError)
    assert "no model" in str(error)


def test_a_model_of_a_client_is_asked_through_it() -> None:
    """It knows its name, provider and client."""
    client = Client(OpenAI(KEY))
    model = client.model("gpt-4o")

    assert ("gpt-4o", client.provider, client) == (model.name, model.provider, model.client)


def test_the_providers_default_model_is_asked_where_none_is_named(server: ProviderServer) -> None:
    """A local one has such."""

    class Local(OpenAI):
        default_model = "small"

    server.reply(chat_answer("Hello"), times=2)
    with Client(Local(KEY, base_url=server.base_url)) as client:
        client.chat().user("Hello").get_response()
        client.chat("other").user("Hello").get_response()

        assert ("small", "other") == (client.model().name, client.model("other").name)

    assert ["small", "other"] == [request.json()["model"] for request in server.requests]


def test_usage_is_summed_over_all_answers(client: Client, server: ProviderServer) -> None:
    """Also of failed ones as far as they said, from any thread; it is there when the outcome is."""
    counted = {"choices": [{"delta": {"content": "x"}}], "usage": {"prompt_tokens": 1, "total_tokens": 1}}
    server.reply(lambda request: chat_answer("a", "b"), times=8)
    server.reply(Status(), attrs.evolve(delta("x"), data=counted), Close())
    server.reply(error_answer(400))
    with ThreadPoolExecutor(4) as executor:
        list(executor.map(lambda _: ask(client).get_response(), range(8)))
    before = client.usage.total_tokens
    failure(ask(client).get_stream)
    failure(ask(client).get_stream)

    assert (8 * 7, 8 * 7 + 1) == (before, client.usage.total_tokens)
    assert Usage() == Client(OpenAI(KEY)).usage


def test_a_client_is_shared_between_threads(client: Client, server: ProviderServer) -> None:
    """Each thread gets its own answer."""
    server.reply(lambda request: chat_answer(request.json()["messages"][0]["content"]), times=None)
    with ThreadPoolExecutor(8) as executor:
        texts = list(executor.map(lambda n: client.chat("m").user(str(n)).get_response().text, range(40)))

    assert [str(n) for n in range(40)] == texts


@pytest.mark.parametrize("live", [0, 3])
def test_closing_a_client_cancels_its_live_streams(live: int, server: ProviderServer) -> None:
    """And closes its connections, idle ones too."""
    server.reply(chat_answer("Hello"))
    server.reply(Status(), delta("x"), Stall(), times=live)
    with client_of(server) as client:
        ask(client).get_response()
        streams = [ask(client).get_stream() for _ in range(live)]
    errors = [str(stream.err.get()) for stream in streams]
    server.wait_until(lambda: server.open_connections == 0)

    assert ["cancelled: the client was closed"] * live == errors


# ---------------------------------------------------------------- the builder


def test_a_builder_is_immutable(chat: ChatBuilder) -> None:
    """Each method gives a new one; a fork knows nothing of its siblings."""
    base = chat.system("Be brief.")
    one, two = base.user("one").temperature(0.1), base.user("two")

    assert ["Be brief."] == [message.text for message in base._request.messages]
    assert ["Be brief.", "one"] == [message.text for message in one._request.messages]
    assert ["Be brief.", "two"] == [message.text for message in two._request.messages]
    assert (0.1, None) == (one._request.temperature, two._request.temperature)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        base._request = one._request  # type: ignore[misc]


def test_a_builder_may_be_forked_from_many_threads(client: Client, server: ProviderServer) -> None:
    """One beginning, many requests, each with its own end."""
    server.reply(lambda request: chat_answer(*[m["content"] for m in request.json()["messages"]]), times=None)
    base = client.chat("m").system("s")
    with ThreadPoolExecutor(8) as executor:
        texts = set(executor.map(lambda n: base.user(str(n)).get_response().text, range(20)))

    assert {f"s{n}" for n in range(20)} == texts


SCHEMA = {"name": "n", "schema": {"type": "object"}, "strict": False}
ANSWERING: dict[str, tuple[Callable[[ChatBuilder], ChatBuilder], dict[str, Any]]] = {
    "temperature": (lambda chat: chat.temperature(0.7), {"temperature": 0.7}),
    "temperature 0": (lambda chat: chat.temperature(0), {"temperature": 0}),
    "max_tokens": (lambda chat: chat.max_tokens(200), {"max_tokens": 200}),
    "top_p": (lambda chat: chat.top_p(0.5), {"top_p": 0.5}),
    "stop": (lambda chat: chat.stop("a", "b"), {"stop": ["a", "b"]}),
    "seed": (lambda chat: chat.seed(7), {"seed": 7}),
    "tool_choice": (lambda chat: chat.tools([ADD]).tool_choice("required"), {"tool_choice": "required"}),
    "parallel": (
        lambda chat: chat.tools([ADD]).tool_choice("auto", parallel=False),
        {"tool_choice": "auto", "parallel_tool_calls": False},
    ),
    "json": (lambda chat: chat.response_format("json"), {"response_format": {"type": "json_object"}}),
    "text": (lambda chat: chat.response_format("text"), {"response_format": {"type": "text"}}),
    "schema": (
        lambda chat: chat.json_schema({"type": "object"}, name="n", strict=False),
        {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
    ),
    "effort": (lambda chat: chat.reasoning_effort("low"), {"reasoning_effort": "low"}),
    "options": (
        lambda chat: chat.provider_options({"a": 1, "b": 1}).provider_options({"b": 2}),
        {"a": 1, "b": 2},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("build", "fields"), ANSWERING.values(), ids=ANSWERING)
def test_what_is_asked_for_is_sent(
    build: Callable[[ChatBuilder], ChatBuilder], fields: dict[str, Any], client: Client, server: ProviderServer
) -> None:
    """In the provider's own words; and nothing that was not asked for."""
    server.reply(chat_answer("Hello"), times=2)
    ask(client).get_response()
    build(ask(client)).get_response()
    plain, built = (request.json() for request in server.requests)
    built.pop("tools", None)

    assert {**plain, **fields} == built


def test_thinking_is_asked_for(chat: ChatBuilder) -> None:
    """Its budget, and the provider's cache, are fields of the request."""
    request = chat.extended_thinking().thinking_budget(5_000).prompt_caching().top_k(3)._request

    assert (True, 5_000, True, 3) == (request.thinking, request.thinking_budget, request.prompt_caching, request.top_k)
    assert [0, -1] == [chat.thinking_budget(n)._request.thinking_budget for n in (0, -1)]
    off = chat.extended_thinking(False).prompt_caching(False)._request
    assert (False, False) == (off.thinking, off.prompt_caching)


def test_tools_are_offered_and_never_run(client: Client, server: ProviderServer) -> None:
    """The calls are in the final."""
    run: list[object] = []
    tool = attrs.evolve(ADD, execute=lambda **arguments: run.append(arguments))
    server.reply(chat_answer(tool_calls=[("add", {"a": 1})]))
    response = ask(client).tools([tool, {"name": "other"}]).get_response()

    assert ["add", "other"] == [entry["function"]["name"] for entry in server.requests[0].json()["tools"]]
    assert [("add", {"a": 1})] == [(call.name, call.arguments) for call in response.tool_calls]
    assert ([], "tool_calls") == (run, response.finish_reason)


def test_headers_are_sent_too(client: Client, server: ProviderServer) -> None:
    """Those of several calls, the later winning."""
    server.reply(chat_answer("Hello"))
    ask(client).headers({"X-A": "1", "X-B": "1"}).headers({"X-B": "2"}).get_response()
    headers = server.requests[0].headers

    assert ("1", "2", f"Bearer {KEY}") == (headers["x-a"], headers["x-b"], headers["authorization"])


def test_messages_of_any_kind_are_taken(chat: ChatBuilder) -> None:
    """Ours, and dicts as users of other libraries have them, in order."""
    request = (
        chat.messages([user("a"), {"role": "assistant", "content": "b"}])
        .user([{"type": "text", "text": "c"}])
        .assistant("d")
        .messages(message for message in [assistant("e")])
    )._request

    assert [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"), ("assistant", "e")] == [
        (message.role, message.text) for message in request.messages
    ]


@pytest.mark.parametrize("messages", ["Hello", {"role": "user", "content": "Hello"}, user("Hello")], ids=str)
def test_one_message_is_no_list(messages: Any, chat: ChatBuilder) -> None:
    """A text would be taken letter by letter."""
    with pytest.raises(ConfigError, match="takes a list"):
        chat.messages(messages)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda chat: chat.max_tokens(0), "max_tokens"),
        (lambda chat: chat.thinking_budget("many"), "thinking_budget"),
        (lambda chat: chat.response_format("xml"), "response_format"),
        (lambda chat: chat.image(b"nothing known"), "media_type"),
        (lambda chat: chat.file("/nowhere/at-all.pdf"), "/nowhere/at-all.pdf"),
        (lambda chat: chat.timeout(-1), "total"),
        (lambda chat: chat.timeout(float("nan")), "total"),
    ],
)
def test_what_cannot_be_is_refused_at_once(
    build: Callable[[ChatBuilder], object], words: str, chat: ChatBuilder
) -> None:
    """In the line that says it."""
    with pytest.raises(ConfigError, match=words):
        build(chat)


@pytest.mark.parametrize(
    ("data", "kind"),
    [(PNG, "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF89a", "image/gif"), (b"RIFF....WEBP", "image/webp")],
)
def test_an_image_is_known_by_its_bytes(data: bytes, kind: str, chat: ChatBuilder) -> None:
    """Unless its kind is named."""
    parts = chat.user("Look:").image(data).image(b"?", "image/x")._request.messages[0].content

    assert (
        TextPart(text="Look:"),
        ImagePart(data=data, media_type=kind),
        ImagePart(data=b"?", media_type="image/x"),
    ) == parts


def test_an_image_may_be_an_address(chat: ChatBuilder) -> None:
    """A `data:` one, too."""
    data = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    parts = chat.image("https://example.com/a.png").image(data)._request.messages[0].content

    assert (ImagePart(url="https://example.com/a.png"), ImagePart(data=PNG, media_type="image/png")) == parts


def test_a_file_is_attached(chat: ChatBuilder, tmp_path: pathlib.Path) -> None:
    """By its path, or its bytes."""
    path = tmp_path / "paper.pdf"
    path.write_bytes(b"%PDF")
    one = chat.user("Read:").file(path)._request.messages[0].content[1]
    two = chat.file(b"a,b", media_type="text/csv", name="t.csv")._request.messages[0].content[0]
    three = chat.file(b"%PDF")._request.messages[0].content[0]

    assert FilePart(data=b"%PDF", media_type="application/pdf", name="paper.pdf") == one
    assert FilePart(data=b"a,b", media_type="text/csv", name="t.csv") == two
    assert FilePart(data=b"%PDF", media_type="application/pdf", name="file.pdf") == three


def test_an_attachment_begins_a_message_where_there_is_none(chat: ChatBuilder) -> None:
    """After an answer of the model it is the user's turn."""
    roles = [message.role for message in chat.assistant("Send it.").image(PNG)._request.messages]

    assert ["assistant", "user"] == roles


# ---------------------------------------------------------------- settings


def test_settings_of_the_client_may_be_changed_for_one_request(server: ProviderServer) -> None:
    """Retries, clocks, buffer, and whether text is kept; the client's stay."""
    server.reply(error_answer(503), times=2)
    server.reply(chat_answer("Hello", "!"), times=2)
    with client_of(server) as client:
        stream = ask(client).retry_policy(AT_ONCE).accumulate(False).buffer(1).timeouts(Timeouts(total=9)).get_stream()
        settings = stream._run.pipe.bound, stream._run._timeouts.total
        text, _ = drain(stream)
        final = stream.final.get()

        assert ((1, 9), "Hello!") == (settings, text)
        assert final is not None
        assert "" == final.text
        assert "Hello!" == ask(client).get_response().text


def test_timeout_changes_the_total_alone(chat: ChatBuilder) -> None:
    """The other four clocks stay; None takes the limit away."""
    changed = chat.timeouts(Timeouts(idle=5, total=9)).timeout(7)

    assert Timeouts(idle=5, total=7) == changed.settings.timeouts
    assert Timeouts(idle=5) == changed.timeout(None).settings.timeouts


def test_limits_of_the_client_count(server: ProviderServer) -> None:
    """They reach transport and framing."""
    server.reply(chat_answer("x" * 5_000))
    with client_of(server, limits=Limits(event=1_000)) as client:
        assert isinstance(failure(ask(client).get_stream), ResponseTooLarge)


# ---------------------------------------------------------------- asking


def test_stream_is_an_alias(client: Client, server: ProviderServer) -> None:
    """Of `get_stream`."""
    server.reply(chat_answer("Hello"))
    stream = ask(client).stream(Context())

    assert isinstance(stream, ChatStream)
    assert ("Hello", None) == drain(stream)


def test_a_builder_may_be_asked_again(client: Client, server: ProviderServer) -> None:
    """Each time it is a request of its own."""
    server.reply(chat_answer("one"))
    server.reply(chat_answer("two"))
    chat = ask(client)

    assert ["one", "two"] == [chat.get_response().text for _ in range(2)]
    assert server.requests[0].body == server.requests[1].body


def test_get_response_gives_the_whole_answer(client: Client, server: ProviderServer) -> None:
    """As the stream's final has it."""
    server.reply(chat_answer("Hello", thinking="hm"))
    response = ask(client).get_response()

    assert ("Hello", "hm", "stop", True) == (
        response.text,
        response.thinking,
        response.finish_reason,
        response.complete,
    )
    assert ("chatcmpl-test", "gpt-4o", 6) == (
        response.response.id,
        response.response.model,
        response.usage.total_tokens,
    )
    assert [Message(role="assistant", content=response.messages[0].content)] == list(response.messages)


def test_get_response_raises_with_what_had_come(client: Client, server: ProviderServer) -> None:
    """In `partial`."""
    server.reply(Status(), delta("Hello"), Close())
    with pytest.raises(StreamTruncated) as caught:
        ask(client).get_response()

    assert caught.value.partial is not None
    assert ("Hello", False) == (caught.value.partial.text, caught.value.partial.complete)


def test_an_interrupted_get_response_cancels(
    client: Client, server: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever exception leaves it."""

    def interrupted(self: ChatStream, timeout: float | None = None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ChatStream, "result", interrupted)
    server.reply(Status(), delta("Hello"), Stall())
    with pytest.raises(KeyboardInterrupt) as caught:  # whose frames hold the stream
        ask(client).get_response()

    assert server.requests[0].disconnected.wait(2)
    assert caught.traceback


def test_get_stream_returns_when_the_headers_have_come(client: Client, server: ProviderServer) -> None:
    """Not before, and without waiting for a chunk."""
    gate = Gate()
    server.reply(Status(headers={"x-request-id": "req_1"}), Wait(gate), chat_answer("Hello")[1:])
    with ask(client).get_stream() as stream:
        assert ("req_1", "req_1") == (stream.request_id, stream.headers["X-Request-Id"])
        assert 0 == stream.stats.chunks
        gate.set()
        assert ("Hello", None) == drain(stream)


def test_stats_tell_how_a_stream_went(server: ProviderServer) -> None:
    """Attempts, first token, tokens a second."""
    gate = Gate()
    server.reply(error_answer(503))
    server.reply(Status(), delta("a"), Wait(gate), delta("b"), chat_answer()[1:])
    with client_of(server, retry_policy=AT_ONCE) as client, ask(client).get_stream() as stream:
        stream.ch.get()
        gate.set()
        drain(stream)
        stats = stream.stats

    assert (2, 3, 2) == (stats.attempts, stats.chunks, stats.chars)
    assert stats.ttft is not None
    assert stats.gap_p50 is not None
    assert 0 < stats.ttft < stats.elapsed


def test_observers_hear_of_a_call(server: ProviderServer) -> None:
    """In the order in which things happen, each once."""
    heard: list[str] = []
    names = [field.name for field in attrs.fields(Hooks) if not field.name.startswith("on_tool")]
    hooks = Hooks(**{name: (lambda value, name=name: heard.append(name)) for name in names})
    server.reply(error_answer(503))
    server.reply(chat_answer("a"))
    with client_of(server, hooks=hooks, retry_policy=AT_ONCE) as client:
        ask(client).get_response()

    assert ["on_request", "on_retry", "on_chunk", "on_chunk", "on_step_finish", "on_response", "on_finish"] == heard


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (error_answer(400), ["on_request", "on_response", "on_error"]),
        ([Status(), delta("x"), Close()], ["on_request", "on_chunk", "on_response", "on_error"]),
        (Reset(), ["on_request", "on_response", "on_error"]),
    ],
    ids=["refused", "cut", "reset"],
)
def test_observers_hear_of_a_failure(script: Any, expected: list[str], server: ProviderServer) -> None:
    """Whether or not there was an answer; with the same error that the caller gets."""
    heard: list[tuple[str, Any]] = []
    names = [field.name for field in attrs.fields(Hooks)]
    hooks = Hooks(**{name: (lambda value, name=name: heard.append((name, value))) for name in names})
    server.reply(script)
    with client_of(server, hooks=hooks) as client:
        error = failure(ask(client).get_stream)

    assert expected == [name for name, _ in heard]
    assert error is heard[-1][1]
    assert error is heard[-2][1].error


# ---------------------------------------------------------------- other people's sessions


def test_a_session_of_the_users_carries_the_requests(server: ProviderServer) -> None:
    """It is used as it is, by any number of calls, and stays open."""
    server.reply(chat_answer("Hello"), times=3)
    with requests.Session() as session:
        session.headers["X-Session"] = "mine"
        adapters = dict(session.adapters)
        with client_of(server, session=session) as client:
            texts = [ask(client).get_response().text for _ in range(2)]
        answer = session.post(f"{server.base_url}/x", timeout=5)

        assert adapters == session.adapters
        assert 200 == answer.status_code
    assert ["Hello", "Hello"] == texts
    assert ["mine"] * 3 == [request.headers["x-session"] for request in server.requests]
    assert 1 == server.connections


def test_a_stream_of_the_users_session_can_be_cancelled(server: ProviderServer) -> None:
    """Once its headers have come, as quickly as ours."""
    server.reply(Status(), delta("Hello"), Stall())
    with requests.Session() as session, client_of(server, session=session) as client:
        with ask(client).get_stream() as stream, took(1.0):
            stream.ch.get()
            stream.cancel()
            stream.err.get()
            assert server.requests[0].disconnected.wait(2)


@pytest.mark.slow
def test_a_caller_who_waits_on_the_users_session_is_free_at_once(server: ProviderServer) -> None:
    """Before the headers the thread alone sits out its timeout."""
    ctx = Context()
    server.reply(Stall())
    with requests.Session() as session, client_of(server, session=session, timeouts=Timeouts(idle=1.0)) as client:
        with ThreadPoolExecutor(1) as executor:
            call = executor.submit(lambda: failure(lambda: ask(client).get_stream(ctx)))
            server.wait_for_request()
            with took(0.7):
                ctx.cancel()
                assert isinstance(call.result(), StreamKitError)


def test_a_client_is_pickled_without_its_key(server: ProviderServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one has its settings and its fallback, and the key that is found where it is made."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-other")
    with client_of(server, timeouts=Timeouts(idle=5), buffer=7) as backup:
        written = pickle.dumps(Client(backup.provider, timeouts=Timeouts(idle=6), fallback=[backup.model("b")]))
    with pickle.loads(written) as other:
        server.reply(chat_answer("Hello"))
        chat = ask(other)
        chat.get_response()

        assert isinstance(chat.call(), Fallback)
        assert Timeouts(idle=6) == chat.settings.timeouts
    assert KEY.encode() not in written
    assert "Bearer sk-of-the-other" == server.requests[0].headers["authorization"]


def test_a_client_with_a_session_is_not_pickled() -> None:
    """Its proxies and certificates would be left behind."""
    with requests.Session() as session, pytest.raises(ConfigError, match="session"):
        pickle.dumps(Client(OpenAI(api_key="x"), session=session))


def test_a_copied_client_is_the_same(client: Client) -> None:
    """Its pool is for all."""
    assert copy.copy(client) is client
    assert copy.deepcopy(client.chat("m")).client is client


@responses.activate
def test_requests_may_be_mocked() -> None:
    """The `responses` library sees the request, and its answer is streamed."""
    body = b"".join(step.encode() for step in chat_answer("Hello", " world")[1:-1])  # type: ignore[attr-defined]
    responses.post("https://api.openai.com/v1/chat/completions", body=body, content_type="text/event-stream")
    with Client(OpenAI(KEY), retry_policy=ONCE) as client:
        stream = ask(client).get_stream()

        assert ("Hello world", None) == drain(stream)
    assert f"Bearer {KEY}" == responses.calls[0].request.headers["Authorization"]


@responses.activate
def test_a_mocked_refusal_is_one() -> None:
    """With its status and message."""
    responses.post("https://api.openai.com/v1/chat/completions", json={"error": {"message": "no"}}, status=404)
    with Client(OpenAI(KEY), retry_policy=RetryPolicy(max_retries=0)) as client:
        error: Any = failure(ask(client).get_stream)

    assert 404 == error.status
