"""Payloads: what providers, gateways and enemies put into an event stream, as it comes over a socket."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from streamkit import Client, DecodeError, ProviderError, StreamKitError
from streamkit.testing import Drip, End, Event, Gate, ProviderServer, Send, Status, Wait, anthropic_answer, chat_answer
from tests.loopback import DIALECTS, ask, ask_of, delta, drain

FINISH = chat_answer()[2:]
TEXT = "Grüße, 世界 🌍! \u2028 \u2029 \u0085 end"


def body_of(*texts: str, dialect: str = "openai") -> bytes:
    """Give the bytes of a whole answer's events."""
    return b"".join(step.encode() for step in DIALECTS[dialect].answer(*texts) if isinstance(step, Event))


# ---------------------------------------------------------------- the event stream


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("how", ["whole", "byte by byte", "sevens", "after each CR"])
def test_line_ends_and_packets_may_fall_anywhere(
    how: str, newline: bytes, dialect: str, server: ProviderServer
) -> None:
    """Each of the three line ends, cut into packets anywhere, within a character and between CR and LF, is the same."""
    body = body_of(TEXT, "!", dialect=dialect).replace(b"\n", newline)
    pieces = {
        "whole": [Send(body)],
        "byte by byte": [Drip(body, interval=0)],
        "sevens": [Drip(body, size=7, interval=0)],
        "after each CR": [Send(piece) for piece in body.replace(b"\r", b"\r\x00").split(b"\x00")],
    }[how]
    server.reply(Status(), pieces, End())
    with DIALECTS[dialect].client(server) as client:
        response = DIALECTS[dialect].ask(client).get_response()

    assert TEXT + "!" == response.text


def test_a_character_may_be_cut_in_two(client: Client, server: ProviderServer) -> None:
    """The second half comes only when the first was read; nothing is delivered of it before."""
    gate = Gate()
    body = body_of("🌍")
    middle = body.index("🌍".encode()) + 2
    server.reply(Status(), Send(body[:middle]), Wait(gate), Send(body[middle:]), End())
    with ask(client).get_stream() as stream:
        server.wait_for_request()
        gate.set()

        assert ("🌍", None) == drain(stream)


@pytest.mark.parametrize(
    "before",
    [
        b"\xef\xbb\xbf",
        b": comment\n\n",
        b":\n" * 100,
        b"\n\n\n\n",
        b"retry: 10\n\n",
        b"id: 7\nretry: x\nunknown: y\nevent\n\n",
        b"data\n\n",
        b"data:\n\n",
        b"event: ping\ndata: {}\n\n",
        b"event: future\ndata: {}\n\n",
    ],
    ids=lambda value: repr(value[:20]),
)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_carries_nothing_is_passed_over(before: bytes, dialect: str, server: ProviderServer) -> None:
    """A byte order mark, comments, unknown fields and events, empty data: the answer after them is whole."""
    server.reply(Status(), Send(before + body_of("Hello", dialect=dialect)), End())
    with DIALECTS[dialect].client(server) as client:
        response = DIALECTS[dialect].ask(client).get_response()

    assert "Hello" == response.text


def test_an_event_may_have_many_lines_and_no_space(client: Client, server: ProviderServer) -> None:
    """Several data lines are one event, joined by a line feed; the space after the colon is optional."""
    lines = json.dumps({"choices": [{"delta": {"content": "Hello"}}]}, indent=1).split("\n")
    server.reply(Status(), Send("".join(f"data:{line}\r\n" for line in lines).encode() + b"\r\n"), FINISH)

    assert "Hello" == ask(client).get_response().text


@pytest.mark.slow
@pytest.mark.parametrize("how", ["at once", "small packets", "many lines"])
def test_a_big_event_arrives_within_seconds(how: str, client: Client, server: ProviderServer) -> None:
    """The cost is linear in the bytes, however they are cut."""
    text = "x" * 8_000_000
    event = delta(text).encode()
    if how == "many lines":
        event = (
            b'data: {"choices": [{"delta": {"content": "'
            + text.encode()
            + b'"\n'
            + b"data: \n" * 200_000
            + b"data: }}]}\n\n"
        )
    step = Drip(event, size=2_000, interval=0) if how == "small packets" else Send(event)
    server.reply(Status(), step, FINISH)
    began = time.monotonic()

    assert text == ask(client).get_response().text
    assert time.monotonic() - began < 5


# ---------------------------------------------------------------- what is in the events


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"choices": None},
        {"choices": []},
        {"choices": [{}]},
        {"choices": [{"index": 0, "delta": None}]},
        {"choices": [{"index": 0, "delta": {"content": None}}]},
        {"choices": [{"index": 0, "delta": {"role": "assistant", "future": {"a": [1]}}}], "future": 1},
        {"choices": [{"index": 0, "delta": {"tool_calls": None}}]},
        {"choices": "none"},
        {"choices": [None, 1, "x"]},
        [1, 2],
        "text",
        1,
        None,
        {"error": None, "choices": []},
        {"usage": None},
        {"object": "future.event"},
    ],
    ids=str,
)
def test_events_without_content_are_tolerated(event: Any, client: Client, server: ProviderServer) -> None:
    """Nothing of the answer around them is lost."""
    server.reply(Status(), delta("Hello"), Event(json.dumps(event)), delta(" world"), FINISH)
    response = ask(client).get_response()

    assert ("Hello world", "stop") == (response.text, response.finish_reason)


@pytest.mark.parametrize(
    "data",
    [
        "{not json",
        "[" * 100_000,
        "9" * 10_000,
        '{"a":' * 50_000,
        '{"choices": [{"delta": {"content": ' + "[" * 100_000,
        "NaN]",
        "\x00",
    ],
    ids=lambda value: value[:12],
)
def test_events_that_cannot_be_read_end_the_stream(data: str, client: Client, server: ProviderServer) -> None:
    """They are a `DecodeError` that shows them, never a crash; the text before is delivered."""
    server.reply(Status(), delta("Hello"), Event(data), FINISH)
    with ask(client).get_stream() as stream:
        text, error = drain(stream)

    assert "Hello" == text
    assert isinstance(error, DecodeError) or (data.isdigit() and error is None)
    assert error is None or len(str(error)) < 3_000


@pytest.mark.parametrize("content", [1, 1.5, True, {"a": 1}, [1], [{"text": 5}], {"type": "text", "text": []}], ids=str)
def test_content_of_a_wrong_type_never_reaches_the_user(content: Any, client: Client, server: ProviderServer) -> None:
    """Each chunk's content is text; what is not is left out or an error of the family."""
    server.reply(Status(), delta("Hello"), Event({"choices": [{"delta": {"content": content}}]}), FINISH)
    with ask(client).get_stream() as stream:
        chunks = list(stream.ch)
        error = stream.err.get()

    assert all(type(chunk.content) is str for chunk in chunks)
    assert error is None or isinstance(error, StreamKitError)
    assert "Hello" == chunks[0].content


@pytest.mark.parametrize(
    ("deltas", "text"),
    [
        ([b'"\\ud83c"', b'"\\udf0d"'], "🌍"),
        ([b'"a\\ud83c"', b'"b"'], "a\ufffdb"),
        ([b'"\\udf0d"'], "\ufffd"),
        ([b'"\\ud83c"'], "\ufffd"),
        ([b'"\xff\xfe"'], "\ufffd\ufffd"),
        ([b'"\xf0\x9f"', b'"\x8c\x8d"'], None),
        ([b'"\\u0000"'], "\x00"),
    ],
    ids=["split pair", "half and text", "second half", "first half", "invalid bytes", "cut bytes", "NUL"],
)
def test_text_can_always_be_encoded(
    deltas: list[bytes], text: str | None, client: Client, server: ProviderServer
) -> None:
    """Half a surrogate pair waits for the other, and is replaced where none comes; invalid bytes are replaced."""
    events = [Send(b'data: {"choices": [{"delta": {"content": ' + content + b"}}]}\n\n") for content in deltas]
    server.reply(Status(), events, FINISH)
    response = ask(client).get_response()

    response.text.encode()
    assert text in (response.text, None)
    assert "\ufffd" in response.text or text is not None


@pytest.mark.parametrize(
    ("reports", "tokens"),
    [
        ([{"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}], (1, 2, 3)),
        ([{"prompt_tokens": 1, "completion_tokens": n, "total_tokens": 1 + n} for n in (1, 2, 3)], (1, 3, 4)),
        ([{"prompt_tokens": float("nan"), "completion_tokens": -1, "total_tokens": float("inf")}], (0, 0, 0)),
        ([], (0, 0, 0)),
    ],
    ids=["one", "cumulative", "nonsense", "none"],
)
def test_the_last_usage_report_counts(reports: list[Any], tokens: Any, client: Client, server: ProviderServer) -> None:
    """Reports are not added, nonsense is no count, and none at all is no error."""
    events = [Event(json.dumps({"choices": [], "usage": report})) for report in reports]
    server.reply(Status(), delta("Hello"), chat_answer(usage=False)[-3], events, Event("[DONE]"), End())
    usage = ask(client).get_response().usage

    assert tokens == (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)


def test_anthropic_usage_comes_in_two_parts(server: ProviderServer) -> None:
    """Input tokens from `message_start`, output tokens from the last `message_delta`."""
    server.reply(anthropic_answer("one", "two", "three"))
    with DIALECTS["anthropic"].client(server) as client:
        usage = DIALECTS["anthropic"].ask(client).get_response().usage

    assert (5, 3, 8, "reported") == (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, usage.source)


def test_usage_of_a_failed_answer_is_kept(client: Client, server: ProviderServer) -> None:
    """As far as it was reported: in the error's partial, and in the client's sum."""
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    server.reply(Status(), Event({"choices": [{"delta": {"content": "Hello"}}], "usage": usage}), End())
    with ask(client).get_stream() as stream:
        error = stream.err.get()

    assert error is not None
    assert error.partial is not None
    assert 3 == error.partial.usage.total_tokens == client.usage.total_tokens


def call_delta(**entry: Any) -> Event:
    """Give an event with a piece of a tool call."""
    return Event({"choices": [{"index": 0, "delta": {"tool_calls": [entry]}}]})


@pytest.mark.parametrize(
    ("entries", "calls"),
    [
        (
            [
                {"index": 1, "id": "b", "function": {"name": "g", "arguments": '{"y":'}},
                {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x":'}},
                {"index": 1, "function": {"arguments": "2}"}},
                {"index": 0, "function": {"arguments": "1}"}},
            ],
            {("a", "f", '{"x":1}', True), ("b", "g", '{"y":2}', True)},
        ),
        (
            [{"index": 7, "id": "a", "function": {"name": "f", "arguments": piece}} for piece in ('{"x"', ":1}")],
            {("a", "f", '{"x":1}', True)},
        ),
        ([{"id": "a", "function": {"name": "f", "arguments": "{}"}}], {("a", "f", "{}", True)}),
        ([{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{oops"}}], {("a", "f", "{oops", False)}),
    ],
    ids=["interleaved and reversed", "repeated id and name, gap", "no index", "invalid JSON"],
)
def test_tool_calls_are_assembled(entries: list[Any], calls: Any, client: Client, server: ProviderServer) -> None:
    """By index, with the exact text received, which is not repaired."""
    server.reply(Status(), [call_delta(**entry) for entry in entries], chat_answer(finish="tool_calls")[2:])
    response = ask(client).get_response()

    assert calls == {(call.id, call.name, call.input, call.complete) for call in response.tool_calls}


@pytest.mark.parametrize(
    "text", ["\x1b[2J\x1b[31m", "<script>alert(1)</script>", "![x](http://evil.test/?q=1)", "{{7*7}}"]
)
def test_model_output_is_passed_on_as_it_is(text: str, server: ProviderServer) -> None:
    """It is data: not escaped, rendered, repaired or run."""
    with ask_of(server, chat_answer(text)) as stream:
        assert (text, None) == drain(stream)


def test_error_text_of_a_provider_is_escaped(client: Client, server: ProviderServer) -> None:
    """An error message reaches logs and terminals, so control characters in it are shown and not sent."""
    server.reply(Status(), Event({"error": {"message": "\x1b[2Jbad\nFAKE"}}), End())
    with ask(client).get_stream() as stream:
        error = stream.err.get()

    assert isinstance(error, ProviderError)
    assert str(error).isprintable()
    assert "\\x1b[2Jbad\\nFAKE" in str(error)
