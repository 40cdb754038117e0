"""Secrets: the key reaches the provider and nothing else, whatever the server, the user or the libraries do."""

from __future__ import annotations

import copy
import io
import json
import logging
import pathlib
import pickle
import traceback
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
import requests

from streamkit import (
    Client,
    ConfigError,
    Context,
    Hooks,
    Limits,
    RetryPolicy,
    Secret,
    StreamKitError,
    Timeouts,
    TLSFailed,
)
from streamkit.providers import Anthropic, OpenAI
from streamkit.testing import (
    Close,
    End,
    Event,
    ProviderServer,
    Raw,
    Reset,
    Script,
    Send,
    Stall,
    Status,
    anthropic_answer,
    chat_answer,
    error_answer,
    error_event,
)
from tests.loopback import AT_ONCE, CERTS, DIALECTS, KEY, ask, client_of, delta, failure

REDACTED = "[REDACTED]"
HALF = KEY[: len(KEY) // 2]
"""Half of the key is too much, too."""


def shown(error: BaseException) -> str:
    """Give all that a crash reporter prints of an error: text, attributes, chain, variables of frames not ours."""
    said = io.StringIO()
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        e = todo.pop()
        if e is None or id(e) in seen:
            continue
        seen.add(id(e))
        said.write(f"{e} {e!r} {vars(e)!r} {e.args!r}\n")
        said.writelines(traceback.format_exception(e))
        for frame, _ in traceback.walk_tb(e.__traceback__):
            if frame.f_code.co_filename != __file__:
                for value in frame.f_locals.values():
                    said.write(f"{value!r} {_attributes(value)}\n")
        todo += [e.__cause__, e.__context__, *(arg for arg in e.args if isinstance(arg, BaseException))]
    return said.getvalue()


def _attributes(value: object) -> str:
    """Give the attributes of what one variable holds, which some reporters print, too."""
    try:
        return repr(vars(value))
    except TypeError:
        return ""


# ---------------------------------------------------------------- errors


@attrs.frozen(kw_only=True)
class Case:
    """A way to fail."""

    script: Script
    settings: dict[str, Any] = attrs.field(factory=dict)


FAILURES = {
    "401": Case(script=error_answer(401, f"Incorrect API key provided: {KEY}")),
    "401 bare": Case(script=error_answer(401, f"Bearer {KEY}".encode())),
    "echo of headers": Case(
        script=error_answer(400, {"headers": {"authorization": f"Bearer {KEY}", "x-api-key": KEY}})
    ),
    "code": Case(script=error_answer(400, {"error": {"message": "no", "code": KEY, "type": KEY}})),
    "long text": Case(script=error_answer(400, "x" * 1_985 + KEY)),
    "long body": Case(script=error_answer(400, b"x" * 1_985 + KEY.encode())),
    "cut body": Case(script=error_answer(400, b"x" * 100 + KEY.encode()), settings={"limits": Limits(error_body=110)}),
    "request id": Case(script=error_answer(400, "no", {"x-request-id": KEY})),
    "redirect": Case(script=Status(302, {"location": f"http://evil.test/?key={KEY}"}, framing=0)),
    "reason": Case(script=Raw(f"HTTP/1.1 400 {KEY}\r\ncontent-length: 0\r\n\r\n".encode())),
    "status line": Case(script=Raw(f"HTTP/1.1 {KEY} x\r\n\r\n".encode())),
    "no HTTP": Case(script=Raw(f"{KEY}\r\n\r\n".encode())),
    "no HTTP, retried": Case(script=Raw(f"{KEY}\r\n\r\n".encode()), settings={"retry_policy": AT_ONCE}),
    "lengths": Case(
        script=Raw(f"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\nx: {KEY}\r\n\r\n".encode())
    ),
    "chunk size": Case(script=[Status(), delta("x"), Raw(f"{KEY}\r\n".encode())]),
    "content type": Case(script=[Status(headers={"content-type": KEY}), Send(b"what?"), End()]),
    "no stream": Case(script=[Status(), Send(f"you sent {KEY}".encode()), End()]),
    "JSON error": Case(script=error_answer(200, f"wrong key {KEY}")),
    "error event": Case(script=[Status(), delta("x"), error_event(f"wrong key {KEY}", code=KEY)]),
    "Anthropic's error event": Case(script=[Status(), error_event(f"wrong key {KEY}", event="error")]),
    "garbage event": Case(script=[Status(), delta("x"), Event(f"{{garbage {KEY}")]),
    "refused": Case(script=Reset()),
    "cut": Case(script=[Status(), delta("x"), Close()]),
    "empty": Case(script=[Status(), End()]),
    "silent": Case(script=Stall(), settings={"timeouts": Timeouts(idle=0.1)}),
    "deadline": Case(script=Stall(), settings={"timeouts": Timeouts(total=0.1)}),
    "stalled": Case(
        script=[Status(), delta("x"), Stall()], settings={"timeouts": Timeouts(first_chunk=0.1, stall=0.1)}
    ),
    "headers": Case(script=Status(headers={"x": KEY * 500}), settings={"limits": Limits(headers=1_000)}),
    "retried": Case(script=error_answer(503, f"no {KEY}"), settings={"retry_policy": AT_ONCE}),
    "compressed": Case(script=[Status(headers={"content-encoding": "gzip"}), Send(b"\xff" * 50 + KEY.encode()), End()]),
}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize("case", FAILURES.values(), ids=FAILURES)
def test_no_error_shows_the_key(
    case: Case, dialect: Any, server: ProviderServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Not its text, attributes, causes, frames or pickle; nor the log at any level; nor what observers are told."""
    told: list[Any] = []
    hooks = Hooks(on_request=told.append, on_response=told.append, on_error=told.append, on_retry=told.append)
    server.reply(case.script, times=None)
    with caplog.at_level(logging.DEBUG):
        with dialect.client(server, hooks=hooks, **case.settings) as client:
            error = failure(dialect.ask(client).get_stream)

    assert HALF not in shown(error)
    assert HALF not in caplog.text
    assert HALF not in repr(told)
    for info in told:
        own = info if isinstance(info, BaseException) else getattr(info, "error", None)
        assert own is None or HALF not in shown(own)
    assert HALF.encode() not in pickle.dumps(error)
    assert KEY in json.dumps(dict(server.requests[0].headers))  # it was sent, so the test could have failed


def test_an_echoed_key_is_redacted_and_not_the_rest(client: Client, server: ProviderServer) -> None:
    """The message stays useful."""
    server.reply(error_answer(401, f"Incorrect API key provided: {KEY}. Find yours at example.com."))
    error = failure(ask(client).get_stream)

    assert f"Incorrect API key provided: {REDACTED}. Find yours at example.com." in str(error)


def test_a_key_in_the_users_own_headers_is_one(client: Client, server: ProviderServer) -> None:
    """A header that carries a credential is treated like the key."""
    server.reply(error_answer(400, f"what is {KEY[::-1]}?"))
    error = failure(ask(client).headers({"api-key": KEY[::-1]}).get_stream)

    assert KEY[::-1] == server.requests[0].headers["api-key"]
    assert KEY[::-1] not in shown(error)


def test_an_error_survives_pickling(client: Client, server: ProviderServer) -> None:
    """A process pool brings it back as it was, without its cause."""
    server.reply(error_answer(429, "slow down", {"x-request-id": "r1", "retry-after": "99"}))
    error: Any = failure(ask(client).get_stream)
    other = pickle.loads(pickle.dumps(error))

    assert (type(error), str(error), 429, "r1", 99.0, 1) == (
        type(other),
        str(other),
        other.status,
        other.request_id,
        other.retry_after,
        other.attempts,
    )


@pytest.mark.parametrize("where", ["tls", "connect", "config"])
def test_no_error_before_the_request_shows_the_key(
    where: str, server: ProviderServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad certificate, a refused connection, a request that cannot be built."""
    with caplog.at_level(logging.DEBUG), ProviderServer(tls=CERTS / "localhost.pem") as secure:
        if where == "config":
            monkeypatch.setenv("HTTP_PROXY", "nonsense://x")
        address = {"tls": secure.base_url, "connect": "http://127.0.0.1:9/v1", "config": server.base_url}[where]
        with Client(OpenAI(KEY, base_url=address), retry_policy=RetryPolicy(max_retries=0)) as client:
            error = failure(ask(client).get_stream)

    assert where != "tls" or isinstance(error, TLSFailed)
    assert KEY not in shown(error)
    assert KEY not in caplog.text


def test_a_log_never_shows_the_key(client: Client, server: ProviderServer, caplog: pytest.LogCaptureFixture) -> None:
    """Neither of a successful call, at any level of any library's logger."""
    server.reply(chat_answer("Hello"))
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "urllib3"):
        ask(client).get_response()

    assert "urllib3.connectionpool" in {record.name for record in caplog.records}
    assert KEY not in caplog.text
    assert KEY not in repr([record.args for record in caplog.records])


# ---------------------------------------------------------------- objects


def holders(server: ProviderServer) -> Iterator[tuple[str, object]]:
    """Give everything that a user may hold and that knows the key."""
    for cls in (OpenAI, Anthropic):
        yield cls.__name__, cls(KEY, base_url=server.base_url)
        yield "callable", cls(lambda: KEY, base_url=server.base_url)
    provider = OpenAI(KEY, base_url=server.base_url)
    client = Client(provider)
    chat = client.chat("m").user("Hello")
    yield "client", client
    yield "builder", chat
    yield "model", client.model("m")
    yield "model of provider", provider.model("m")
    yield "request", chat._request
    yield "HTTP request", provider.codec.encode(chat._request, provider)
    yield "secret", Secret(KEY)


def test_no_object_shows_the_key(server: ProviderServer) -> None:
    """Its repr, str and format, and those of its attributes."""
    for name, holder in holders(server):
        assert KEY not in f"{holder!r} {holder!s} {holder}", name


def test_no_request_shows_a_key_of_the_users_headers(client: Client) -> None:
    """Nor does its builder."""
    chat = ask(client).headers({"Api-Key": KEY})

    assert KEY not in f"{chat!r} {chat._request!r} {client.provider.codec.encode(chat._request, client.provider)!r}"


def test_no_stream_shows_the_key(client: Client, server: ProviderServer) -> None:
    """Its repr, and all that it offers; a header that echoes the key is redacted."""
    server.reply(Status(headers={"x-echo": f"Bearer {KEY}", "x-request-id": KEY}), chat_answer("Hello")[1:])
    with ask(client).get_stream() as stream:
        final = stream.final.get()
        said = f"{stream!r} {stream.headers!r} {stream.request_id!r} {stream.stats!r} {stream.partial!r} {final!r}"

    assert KEY not in said
    assert f"Bearer {REDACTED}" == stream.headers["X-Echo"]


def test_no_pickle_holds_the_key(server: ProviderServer) -> None:
    """What cannot travel without it refuses; a provider travels and looks its key up anew."""
    for name, holder in holders(server):
        try:
            data = pickle.dumps(holder)
        except Exception:  # whichever it is: it does not travel
            continue
        assert KEY.encode() not in data, name


def test_a_copied_provider_keeps_its_key(server: ProviderServer) -> None:
    """Copying within the process is no leak."""
    server.reply(chat_answer("Hello"))
    with Client(copy.deepcopy(OpenAI(KEY, base_url=server.base_url))) as client:
        ask(client).get_response()

    assert f"Bearer {KEY}" == server.requests[0].headers["authorization"]


# ---------------------------------------------------------------- what could replace or inject


NETRC = "machine 127.0.0.1 login alice password opensesame\ndefault login bob password opensesame\n"


@pytest.mark.parametrize("own_session", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_netrc_does_not_replace_the_key(
    dialect: str, own_session: bool, server: ProviderServer, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """Nor does it add a password beside it."""
    (tmp_path / "netrc").write_text(NETRC)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert requests.utils.get_netrc_auth(server.url) == ("alice", "opensesame")  # it would
    server.reply(DIALECTS[dialect].answer("Hello"))
    with requests.Session() as session:
        with DIALECTS[dialect].client(server, session=session if own_session else None) as client:
            DIALECTS[dialect].ask(client).get_response()

    expected = {"openai": ("authorization", f"Bearer {KEY}"), "anthropic": ("x-api-key", KEY)}[dialect]
    assert expected[1] == server.requests[0].headers[expected[0]]
    assert "Basic" not in server.requests[0].headers.get("authorization", "")


def test_a_sessions_own_auth_does_not_replace_the_key(server: ProviderServer) -> None:
    """The key is the provider's to ask for."""
    server.reply(chat_answer("Hello"))
    with requests.Session() as session:
        session.auth = ("alice", "opensesame")
        with client_of(server, session=session) as client:
            ask(client).get_response()

    assert f"Bearer {KEY}" == server.requests[0].headers["authorization"]


@pytest.mark.parametrize(
    "key", ["sk-a\r\nX-Evil: 1", "sk-a\nb", "sk-a\x00b", "sk-a\x7fb", "sk-a\u2028b", "sk-🔑", "", "   "]
)
@pytest.mark.parametrize("provider", [OpenAI, Anthropic])
def test_a_key_that_no_header_can_carry_is_refused(provider: Any, key: str) -> None:
    """When the provider is made, and without being shown."""
    with pytest.raises(ConfigError) as caught:
        provider(key)

    assert not key.strip() or key not in shown(caught.value)
    assert not key.strip() or repr(key)[1:-1] not in shown(caught.value)


def test_a_bad_key_of_a_function_is_refused(server: ProviderServer) -> None:
    """It is asked when a request is made, so that is where it fails; nothing is sent."""
    with Client(OpenAI(lambda: "sk-bad\r\nX-Evil: 1", base_url=server.base_url)) as client:
        error = failure(ask(client).get_stream)

    assert isinstance(error, ConfigError)
    assert "X-Evil" not in shown(error)
    assert 0 == server.connections


def test_a_key_functions_own_error_is_a_config_error(server: ProviderServer) -> None:
    """Whatever it raises."""

    def key() -> str:
        raise LookupError("vault is sealed")

    with Client(OpenAI(key, base_url=server.base_url)) as client:
        error = failure(ask(client).get_stream)

    assert isinstance(error, ConfigError)
    assert "vault is sealed" in str(error)


@pytest.mark.parametrize("key", [f"  {KEY}", f"{KEY}\n", f"\t{KEY}\r\n"])
def test_white_space_around_a_key_is_stripped(key: str, server: ProviderServer) -> None:
    """A trailing line break is the commonest paste error."""
    server.reply(chat_answer("Hello"))
    with Client(OpenAI(key, base_url=server.base_url)) as client:
        ask(client).get_response()

    assert f"Bearer {KEY}" == server.requests[0].headers["authorization"]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Good": "a\r\nX-Evil: 1"},
        {"X-Good": "a\x00b"},
        {"X-Good": "a\u2028b"},
        {"X-Bad\r\nX-Evil": "1"},
        {"X Bad": "1"},
        {"": "1"},
        {"X-Good": 1},
        {"Content-Length": "5"},
        {"Transfer-Encoding": "chunked"},
        {"Authorization": "Bearer other"},
    ],
    ids=repr,
)
def test_a_header_that_could_inject_is_refused(headers: Any, client: Client, server: ProviderServer) -> None:
    """Before any library sees it, so that none can show or send it."""
    error = failure(ask(client).headers(headers).get_stream)

    assert isinstance(error, ConfigError)
    assert 0 == server.connections


def test_the_key_goes_to_one_place(server: ProviderServer) -> None:
    """Neither into the address nor into the body."""
    server.reply(anthropic_answer("Hello"))
    with DIALECTS["anthropic"].client(server) as client:
        DIALECTS["anthropic"].ask(client).get_response(Context())
    request = server.requests[0]

    assert KEY not in request.path
    assert KEY.encode() not in request.body
    assert ["x-api-key"] == [name for name, value in request.headers.items() if KEY in value]


def test_no_cookie_is_kept(client: Client, server: ProviderServer) -> None:
    """What a server sets it does not get back: calls of one client need not be of one user."""
    server.reply(Status(headers={"set-cookie": "session=1"}), chat_answer("Hello")[1:], times=2)
    for _ in range(2):
        ask(client).get_response()

    assert "cookie" not in server.requests[1].headers


def test_a_stream_kit_error_is_all_there_is(client: Client, server: ProviderServer) -> None:
    """No exception of a library comes bare; it may be the cause."""
    server.reply(Reset())
    error = failure(ask(client).get_stream)

    assert isinstance(error, StreamKitError)
    assert isinstance(error.__cause__, requests.RequestException)
    assert None is error.__cause__.__traceback__
    assert None is error.__cause__.request
