"""Answers in lines of JSON, end to end: a client and a server on a real socket that speaks as Ollama does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence

import pytest

from streamkit import Client, Context, Limits
from streamkit.errors import (
    Cancelled,
    ConnectionLost,
    DecodeError,
    NotFound,
    Overloaded,
    ProviderError,
    ResponseTooLarge,
    StreamKitError,
    StreamTruncated,
)
from streamkit.providers import Ollama
from streamkit.testing import (
    Close,
    Drip,
    End,
    Gate,
    Notify,
    ProviderServer,
    Reset,
    Send,
    Stall,
    Status,
    Step,
    Wait,
    error_answer,
    ollama_answer,
)
from tests.loopback import AT_ONCE, ONCE, drain, failure, framed, took

LINES = {"content-type": "application/x-ndjson"}
UNICODE = 'Grün 緑 🎨, \u2028\x00\t"quoted" \\ and\nlines'


@pytest.fixture
def client(server: ProviderServer) -> Iterator[Client]:
    """A client of it, which does not retry."""
    with Client(Ollama(base_url=server.url), retry_policy=ONCE) as client:
        yield client


def bodies(*answer: Step) -> bytes:
    """The body of an answer."""
    return b"".join(step.data for step in answer if isinstance(step, Send))


def line(content: str, **fields: object) -> bytes:
    """A line with a piece of text."""
    said = {"model": "m", "message": {"role": "assistant", "content": content}, "done": False, **fields}
    return json.dumps(said, ensure_ascii=False).encode() + b"\n"


DONE = line("", done=True, done_reason="stop")


def test_a_whole_answer(server: ProviderServer, client: Client) -> None:
    """Thinking, text and tool calls arrive in order; the request was Ollama's."""
    server.reply(*ollama_answer("Hel", "lo", thinking="Hm", tool_calls=[("add", {"a": 1})]))
    stream = client.chat("qwen3").system("Be brief.").user("Add").temperature(0).get_stream()
    kinds = [chunk.type for chunk in stream.ch]
    final = stream.final.get()
    request = server.requests[0]

    assert ["thinking", "text", "text", "tool_call_start", "tool_call", "step_finish"] == kinds
    assert final is not None
    assert ("Hm", "Hello", [{"a": 1}]) == (final.thinking, final.text, [c.arguments for c in final.tool_calls])
    assert ("tool_calls", 7, "llama3.2") == (final.finish_reason, final.usage.total_tokens, final.response.model)
    assert ("POST", "/api/chat", "application/x-ndjson") == (request.method, request.path, request.headers["accept"])
    assert {"temperature": 0} == request.json()["options"]
    assert "authorization" not in request.headers


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_wherever_the_network_cuts(size: int, server: ProviderServer, client: Client) -> None:
    """Pieces of any size, through characters and lines, give the same."""
    server.reply(Status(200, LINES), Drip(bodies(*ollama_answer(UNICODE, "😀", thinking="Ähm")), size, 0), End())

    assert UNICODE + "😀" == client.chat("m").user("Hi").get_response().text


@pytest.mark.parametrize("how", [{"framing": "close"}, {"encoding": "gzip"}, {"encoding": "deflate"}, {"http": "1.0"}])
def test_every_framing_of_http(how: dict[str, str], server: ProviderServer, client: Client) -> None:
    """A body that ends with its connection, or is compressed, is read as any other."""
    server.reply(*framed(ollama_answer("Hel", "lo"), **how))

    assert "Hello" == client.chat("m").user("Hi").get_response().text


def test_a_last_line_without_its_end(server: ProviderServer, client: Client) -> None:
    """It counts, once the body has ended."""
    server.reply(Status(200, LINES), Send(line("Hi") + DONE.rstrip()), End())

    assert "Hi" == client.chat("m").user("Hi").get_response().text


def test_an_answer_at_once(server: ProviderServer, client: Client) -> None:
    """A server that does not stream gives one line, perhaps with another content type."""
    server.reply(Status(200, {"content-type": "application/json"}), Send(line("Hi", done=True).rstrip()), End())

    assert "Hi" == client.chat("m").user("Hi").get_response().text


def test_text_is_given_as_it_comes(server: ProviderServer, client: Client) -> None:
    """A line is told when its end has come, not when the next one does."""
    gate = Gate()
    server.reply(Status(200, LINES), Send(line("first")), Wait(gate), Send(DONE), End())
    stream = client.chat("m").user("Hi").get_stream()
    first = next(iter(stream.ch))
    gate.set()

    assert "first" == first.content
    assert None is stream.err.get()


def test_done_is_the_end(server: ProviderServer, client: Client) -> None:
    """After the last line the answer is complete at once, though the server says nothing of its end."""
    server.reply(Status(200, LINES), Send(line("Hi") + DONE), Stall())

    with took(2.0):
        assert ("Hi", None) == drain(client.chat("m").user("Hi").get_stream())


def test_calls_share_a_connection(server: ProviderServer, client: Client) -> None:
    """One that was read to its end serves the next call."""
    server.reply(*ollama_answer("Hi"), times=None)
    for _ in range(3):
        client.chat("m").user("Hi").get_response()

    assert [1, 1, 1] == [request.connection for request in server.requests]


@pytest.mark.parametrize(
    ("end", "error"),
    [
        ((End(),), StreamTruncated),
        ((Send(line("lo")[:-9]), End()), StreamTruncated),
        ((Send(b"{"), End()), StreamTruncated),
        ((Close(),), StreamTruncated),
        ((Send(line("lo")[:-9]), Close()), StreamTruncated),
        ((Reset(),), ConnectionLost),
    ],
)
def test_an_answer_that_is_cut_off(
    end: Sequence[Step], error: type[StreamKitError], server: ProviderServer, client: Client
) -> None:
    """Wherever it ends before its last line, it is no answer; what had come is kept."""
    taken = Gate()
    server.reply(Status(200, LINES), Send(line("Hel")), Wait(taken), *end)
    stream = client.chat("m").user("Hi").get_stream()
    chunk = next(iter(stream.ch))
    taken.set()
    failed = stream.err.get()

    assert "Hel" == chunk.content
    assert isinstance(failed, error)
    assert failed.partial is not None
    assert ("Hel", False) == (failed.partial.text, failed.partial.complete)
    assert None is stream.final.get()


def test_an_error_in_the_stream(server: ProviderServer, client: Client) -> None:
    """It ends the stream after the text before it."""
    server.reply(Status(200, LINES), Send(line("Hel") + b'{"error":"the runner stopped"}\n'), End())
    text, error = drain(client.chat("m").user("Hi").get_stream())

    assert "Hel" == text
    assert isinstance(error, ProviderError)
    assert "ollama: the runner stopped" in str(error)


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (error_answer(404, {"error": "model 'nix' not found"}), NotFound, "model 'nix' not found"),
        ((Status(200, LINES), Send(b'{"error":"no space left"}'), End()), ProviderError, "no space left"),
        ((Status(200, LINES), Send(b'{\n "error": "no space left"\n}\n'), End()), DecodeError, "JSON"),
        ((Status(200, {"content-type": "text/html"}), Send(b"<html>Sign in</html>"), End()), DecodeError, "Sign in"),
        ((Status(200, LINES), End()), StreamTruncated, "empty"),
        ((Status(200, LINES), Send(b"\n \n"), End()), StreamTruncated, "empty"),
    ],
)
def test_what_is_no_answer(
    answer: Sequence[Step], error: type[StreamKitError], says: str, server: ProviderServer, client: Client
) -> None:
    """A refusal, an error at status 200, a page: each is an error that says what came."""
    server.reply(*answer)
    failed = failure(lambda: client.chat("m").user("Hi").get_stream())

    assert isinstance(failed, error)
    assert says in str(failed)


def test_a_server_that_is_busy_is_asked_again(server: ProviderServer) -> None:
    """A refusal before the answer is retried with the same request."""
    server.reply(*error_answer(503, {"error": "server busy, please try again"}))
    server.reply(*ollama_answer("Hi"))
    with Client(Ollama(base_url=server.url), retry_policy=AT_ONCE) as client:
        assert "Hi" == client.chat("m").user("Hi").get_response().text

    assert server.requests[0].body == server.requests[1].body


def test_a_refusal_that_lasts(server: ProviderServer, client: Client) -> None:
    """It is the error."""
    server.reply(*error_answer(503, {"error": "server busy"}))

    assert isinstance(failure(lambda: client.chat("m").user("Hi").get_stream()), Overloaded)


def test_a_line_of_some_megabytes(server: ProviderServer, client: Client) -> None:
    """It arrives whole, and soon."""
    text = "é" * 3_000_000
    server.reply(Status(200, LINES), Send(line(text)), Send(DONE), End())

    with took(10.0):
        assert text == client.chat("m").user("Hi").get_response().text


def test_a_line_without_end(server: ProviderServer) -> None:
    """It is not held for ever."""
    server.reply(Status(200, LINES), Send(line("Hi")), *[Send(b"x" * 10_000)] * 50, Stall())
    with Client(Ollama(base_url=server.url), retry_policy=ONCE, limits=Limits(event=100_000)) as client:
        text, error = drain(client.chat("m").user("Hi").get_stream())

    assert "Hi" == text
    assert isinstance(error, ResponseTooLarge)


def test_a_cancel_in_silence(server: ProviderServer, client: Client) -> None:
    """A server that says nothing more does not hold the caller."""
    quiet = threading.Event()
    server.reply(Status(200, LINES), Send(line("Hi")), Notify(quiet), Stall())
    ctx = Context()
    stream = client.chat("m").user("Hi").get_stream(ctx)
    first = next(iter(stream.ch))
    assert quiet.wait(5)
    ctx.cancel()

    with took(2.0):
        error = stream.err.get()
    server.wait_until(lambda: server.open_connections == 0)

    assert "Hi" == first.content
    assert isinstance(error, Cancelled)


def test_proxies_are_passed_by(server: ProviderServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of this machine is asked though the environment names a proxy, which could not reach it."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.reply(*ollama_answer("Hi"))
    with Client(Ollama(base_url=server.url), retry_policy=ONCE) as client:
        assert "Hi" == client.chat("m").user("Hi").get_response().text


def test_the_models_of_a_server(server: ProviderServer, client: Client) -> None:
    """Their names are those that `chat` takes."""
    body = json.dumps({"models": [{"name": "qwen3:4b"}, {"name": "llama3.2:latest"}]}).encode()
    server.reply(Status(200, {"content-type": "application/json"}, framing=len(body)), Send(body), End())

    assert ["qwen3:4b", "llama3.2:latest"] == client.models()
    assert ("GET", "/api/tags") == (server.requests[0].method, server.requests[0].path)


def test_a_tool_loop_by_hand(server: ProviderServer, client: Client) -> None:
    """What an answer adds to the history, and a result, go back as the server wants them."""
    server.reply(*ollama_answer(thinking="Hm", tool_calls=[("add", {"a": 1})]))
    server.reply(*ollama_answer("2"))
    asked = client.chat("m").user("Add")
    answer = asked.get_response()
    result = {"role": "tool", "tool_call_id": answer.tool_calls[0].id, "content": "2"}
    final = asked.messages([*answer.messages, result]).get_response()
    sent = server.requests[1].json()["messages"]

    assert "2" == final.text
    assert ("Hm", {"name": "add", "arguments": {"a": 1}}) == (sent[1]["thinking"], sent[1]["tool_calls"][0]["function"])
    assert ("tool", "2", "add", sent[1]["tool_calls"][0]["id"]) == tuple(
        sent[2][name] for name in ("role", "content", "tool_name", "tool_call_id")
    )
