"""Whole answers as providers give them, as rows of steps that a test may cut anywhere.

    server.reply(chat_answer("Hello")[:2], Reset())

Their payloads are written down here and not made by a codec: with ours an error of encoder and decoder would go unseen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from streamkit.testing.steps import End, Event, Headers, Send, Status, compact_json, header_pairs
from streamkit.testing.wire import Step

__all__ = ["anthropic_answer", "chat_answer", "error_answer", "error_event"]


def chat_answer(
    *texts: str,
    thinking: str = "",
    tool_calls: Sequence[tuple[str, Mapping[str, Any] | str]] = (),
    finish: str | None = None,
    usage: bool = True,
    model: str = "gpt-4o",
) -> tuple[Step, ...]:
    """Give an OpenAI chat completion stream, one event a text, with `[DONE]` at the end.

    `thinking` comes first, as `reasoning_content`. `tool_calls` are pairs of a name and arguments (a str is sent as it
    is) with the ids call_1, call_2, …; the arguments come in two fragments. `finish` is "tool_calls" where there are
    some, else "stop".
    """
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    if thinking:
        deltas.append({"reasoning_content": thinking})
    deltas += [{"content": text} for text in texts]
    for index, (name, arguments) in enumerate(tool_calls):
        function = {"name": name, "arguments": ""}
        deltas.append(
            {"tool_calls": [{"index": index, "id": f"call_{index + 1}", "type": "function", "function": function}]}
        )
        for part in _halves(arguments):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    common = {"id": "chatcmpl-test", "object": "chat.completion.chunk", "created": 0, "model": model}
    choices: list[list[dict[str, Any]]] = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    choices.append([{"index": 0, "delta": {}, "finish_reason": finish or ("tool_calls" if tool_calls else "stop")}])
    events = [Event({**common, "choices": choice}) for choice in choices]
    if usage:
        counts = {"prompt_tokens": 5, "completion_tokens": len(texts), "total_tokens": 5 + len(texts)}
        events.append(Event({**common, "choices": [], "usage": counts}))
    return (Status(200, {"x-request-id": "req_test"}), *events, Event("[DONE]"), End())


def anthropic_answer(
    *texts: str,
    thinking: str = "",
    tool_calls: Sequence[tuple[str, Mapping[str, Any] | str]] = (),
    finish: str | None = None,
    model: str = "claude-sonnet-4-20250514",
) -> tuple[Step, ...]:
    """Give an Anthropic message stream: blocks of thinking, of text with a delta a text, and of each tool call.

    The calls are as in `chat_answer`, with the ids toolu_1, toolu_2, …; `finish` is "tool_use" where there are some,
    else "end_turn".
    """
    blocks = list(_anthropic_blocks(texts, thinking, tool_calls))
    message: dict[str, Any] = {
        "id": "msg_test",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
    }
    events = [_typed("message_start", message={**message, "usage": {"input_tokens": 5, "output_tokens": 1}})]
    for index, (block, deltas) in enumerate(blocks):
        events.append(_typed("content_block_start", index=index, content_block=block))
        events += [_typed("content_block_delta", index=index, delta=delta) for delta in deltas]
        events.append(_typed("content_block_stop", index=index))
    end = {"stop_reason": finish or ("tool_use" if tool_calls else "end_turn"), "stop_sequence": None}
    events.append(_typed("message_delta", delta=end, usage={"output_tokens": len(texts)}))
    return (Status(200, {"request-id": "req_test"}), *events, _typed("message_stop"), End())


def error_answer(status: int, body: str | bytes | Mapping[str, Any] = "", headers: Headers = ()) -> tuple[Step, ...]:
    """Give a whole answer that is no stream, with its Content-Length.

    A str is the message of an OpenAI error object, a mapping is sent as JSON, bytes are sent as they are.
    """
    if isinstance(body, str):
        body = {"error": {"message": body or f"scripted error {status}", "type": "test_error", "code": None}}
    content = body if isinstance(body, bytes) else compact_json(body).encode()
    # Those given come last, so that a content type among them replaces ours.
    fields = {"content-type": "application/json", **{name.lower(): value for name, value in header_pairs(headers)}}
    return (Status(status, fields, framing=len(content)), Send(content), End())


def error_event(
    message: str, *, type: str = "server_error", code: str | None = None, event: str | None = None
) -> Event:
    """Give an error event to put into a stream: OpenAI's, or with `event="error"` Anthropic's."""
    if event is None:
        return Event({"error": {"message": message, "type": type, "code": code}})
    return Event({"type": event, "error": {"type": type, "message": message}}, event)


def _halves(arguments: Mapping[str, Any] | str) -> tuple[str, str]:
    text = arguments if isinstance(arguments, str) else compact_json(arguments)
    return text[: len(text) // 2], text[len(text) // 2 :]


def _typed(type: str, **fields: Any) -> Event:
    return Event({"type": type, **fields}, type)


def _anthropic_blocks(
    texts: Sequence[str], thinking: str, tool_calls: Sequence[tuple[str, Mapping[str, Any] | str]]
) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Give each block as it starts, and its deltas."""
    if thinking:
        deltas = [
            {"type": "thinking_delta", "thinking": thinking},
            {"type": "signature_delta", "signature": "dGVzdA=="},
        ]
        yield {"type": "thinking", "thinking": "", "signature": ""}, deltas
    if texts:
        yield {"type": "text", "text": ""}, [{"type": "text_delta", "text": text} for text in texts]
    for number, (name, arguments) in enumerate(tool_calls, 1):
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in _halves(arguments)]
        yield {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": {}}, deltas
