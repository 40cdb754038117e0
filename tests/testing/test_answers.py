"""The whole answers, as a client gets them."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from streamkit.testing import ProviderServer, Script, anthropic_answer, chat_answer, error_answer, error_event
from tests.scripted import events


def ask(*script: Script) -> requests.Response:
    """Give what a client gets of a script."""
    with ProviderServer() as server:
        server.reply(*script)
        return requests.get(server.url, timeout=5)


def test_a_chat_answer_has_all_its_parts() -> None:
    """Role, thinking, texts, tool calls in fragments, finish reason, usage, then [DONE]."""
    *chunks, usage, done = events(ask(chat_answer("a", thinking="hm", tool_calls=[("f", {"x": 1}), ("g", "{")])).text)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]

    assert [{"role": "assistant", "content": ""}, {"reasoning_content": "hm"}, {"content": "a"}] == deltas[:3]
    assert [(0, "call_1", "f"), (1, "call_2", "g")] == [
        (call["index"], call["id"], call["function"]["name"]) for call in calls if "id" in call
    ]
    assert ['{"x":1}', "{"] == [
        "".join(call["function"]["arguments"] for call in calls if call["index"] == index) for index in (0, 1)
    ]
    assert "tool_calls" == chunks[-1]["choices"][0]["finish_reason"]
    assert ([], 6) == (usage["choices"], usage["usage"]["total_tokens"])
    assert "[DONE]" == done


def test_a_chat_answer_can_leave_usage_out() -> None:
    """Finish reason, model and usage are the test's choice."""
    *_, last, done = events(ask(chat_answer("a", finish="length", usage=False, model="m")).text)

    assert ("length", "m", "[DONE]") == (last["choices"][0]["finish_reason"], last["model"], done)


def test_an_anthropic_answer_has_all_its_parts() -> None:
    """Each block starts, has its deltas and stops, in order; every event is named after its type."""
    body = ask(anthropic_answer("a", "b", thinking="hm", tool_calls=[("f", {"x": 1})])).text
    told = events(body)
    names = [line[7:] for line in body.split("\n") if line.startswith("event: ")]
    deltas = [(e["index"], e["delta"]["type"]) for e in told if e["type"] == "content_block_delta"]

    assert names == [event["type"] for event in told]
    assert ("message_start", "message_delta", "message_stop") == (names[0], *names[-2:])
    assert [0, 1, 2] == [event["index"] for event in told if event["type"] == "content_block_stop"]
    assert [
        (0, "thinking_delta"),
        (0, "signature_delta"),
        (1, "text_delta"),
        (1, "text_delta"),
        (2, "input_json_delta"),
        (2, "input_json_delta"),
    ] == deltas
    assert "tool_use" == told[-2]["delta"]["stop_reason"]


def test_an_anthropic_answer_may_be_a_tool_call_alone() -> None:
    """Without texts there is no text block."""
    told = events(ask(anthropic_answer(tool_calls=[("f", "{}")], finish="max_tokens")).text)

    assert ["tool_use"] == [e["content_block"]["type"] for e in told if e["type"] == "content_block_start"]
    assert "max_tokens" == told[-2]["delta"]["stop_reason"]


@pytest.mark.parametrize(
    ("body", "content"),
    [
        ("slow down", b'{"error":{"message":"slow down","type":"test_error","code":null}}'),
        ({"detail": "no"}, b'{"detail":"no"}'),
        (b"<html>", b"<html>"),
    ],
)
def test_an_error_answer_is_plain(body: Any, content: bytes) -> None:
    """Its body is JSON from a message or a mapping, or just these bytes, with a length and the headers given."""
    response = ask(error_answer(429, body, {"Retry-After": "1", "Content-Type": "text/x"}))

    assert (429, content) == (response.status_code, response.content)
    assert {"content-type": "text/x", "retry-after": "1", "content-length": str(len(content))} == response.headers


def test_an_error_answer_is_json_by_default() -> None:
    """Without headers the content type is JSON's."""
    assert "application/json" == ask(error_answer(500)).headers["content-type"]


def test_error_events_have_both_forms() -> None:
    """OpenAI's is an object under "error", Anthropic's a typed event."""
    openai, anthropic = error_event("no", code="c"), error_event("no", type="overloaded_error", event="error")

    assert b'data: {"error":{"message":"no","type":"server_error","code":"c"}}\n\n' == openai.encode()
    assert (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"no"}}\n\n'
        == anthropic.encode()
    )
