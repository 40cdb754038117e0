"""The whole answers, as a client gets them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from streamkit.testing import (
    ProviderServer,
    Script,
    anthropic_answer,
    chat_answer,
    cohere_answer,
    error_answer,
    error_event,
    gemini_answer,
    ollama_answer,
    responses_answer,
)
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


def test_a_responses_answer_has_all_its_parts() -> None:
    """Each item is added, grows and is done; the last event has all of them and the usage."""
    told = events(ask(responses_answer("a", "b", thinking="hm", tool_calls=[("f", {"x": 1})])).text)
    deltas = [(e["output_index"], e["delta"]) for e in told if e["type"].endswith(".delta")]
    last = told[-1]["response"]

    assert ["reasoning", "message", "function_call"] == [item["type"] for item in last["output"]]
    assert [(0, "hm"), (1, "a"), (1, "b"), (2, '{"x'), (2, '":1}')] == deltas
    assert ("response.completed", "completed", 7) == (
        told[-1]["type"],
        last["status"],
        last["usage"]["total_tokens"],
    )
    assert '{"x":1}' == last["output"][2]["arguments"]


def test_a_responses_answer_may_be_incomplete() -> None:
    """It then says why."""
    last = events(ask(responses_answer("a", status="incomplete")).text)[-1]

    assert "response.incomplete" == last["type"]
    assert {"reason": "max_output_tokens"} == last["response"]["incomplete_details"]


def test_a_gemini_answer_has_all_its_parts() -> None:
    """An event a part, the last with the finish reason; the counts grow."""
    told = events(ask(gemini_answer("a", thinking="hm", tool_calls=[("f", {"x": 1})], finish="MAX_TOKENS")).text)
    candidates = [event["candidates"][0] for event in told]

    assert [
        {"text": "hm", "thought": True},
        {"text": "a"},
        {"functionCall": {"name": "f", "args": {"x": 1}}},
    ] == [candidate["content"]["parts"][0] for candidate in candidates]
    assert [None, None, "MAX_TOKENS"] == [candidate.get("finishReason") for candidate in candidates]
    assert [6, 7, 8] == [event["usageMetadata"]["totalTokenCount"] for event in told]


def test_an_empty_gemini_answer_still_finishes() -> None:
    """Without anything said there is one event, with an empty text."""
    (event,) = events(ask(gemini_answer()).text)

    assert "STOP" == event["candidates"][0]["finishReason"]


def test_an_ollama_answer_has_all_its_parts() -> None:
    """A line of JSON a message, the last with why it is done and the counts."""
    response = ask(ollama_answer("a", thinking="hm", tool_calls=[("f", {"x": 1})], finish="length"))
    *said, last = map(json.loads, response.text.splitlines())

    assert "application/x-ndjson" == response.headers["content-type"]
    assert ["hm", None, None] == [line["message"].get("thinking") for line in said]
    assert ["", "a", ""] == [line["message"]["content"] for line in said]
    assert {"name": "f", "arguments": {"x": 1}} == said[2]["message"]["tool_calls"][0]["function"]
    assert (True, "length", 5) == (last["done"], last["done_reason"], last["prompt_eval_count"])


def test_a_cohere_answer_has_all_its_parts() -> None:
    """Contents and calls start, grow and end, in order; the finish reason is that of calls where there are some."""
    told = events(ask(cohere_answer("a", "b", thinking="hm", tool_calls=[("f", {"x": 1})])).text)
    grown = [event["delta"]["message"] for event in told if event["type"].endswith("-delta")]

    assert [{"thinking": "hm"}, {"text": "a"}, {"text": "b"}] == [said["content"] for said in grown[:3]]
    assert '{"x":1}' == "".join(said["tool_calls"]["function"]["arguments"] for said in grown[3:])
    assert ("message-start", "message-end") == (told[0]["type"], told[-1]["type"])
    assert "TOOL_CALL" == told[-1]["delta"]["finish_reason"]
    assert "COMPLETE" == events(ask(cohere_answer("a")).text)[-1]["delta"]["finish_reason"]


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
