"""Whole answers as providers give them, as rows of steps that a test may cut anywhere.

    server.reply(chat_answer("Hello")[:2], Reset())

Their payloads are written down here and not made by a codec: with ours an error of encoder and decoder would go unseen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from streamkit.testing.steps import End, Event, Headers, Send, Status, compact_json, header_pairs
from streamkit.testing.wire import Step

__all__ = [
    "anthropic_answer",
    "chat_answer",
    "cohere_answer",
    "error_answer",
    "error_event",
    "gemini_answer",
    "ollama_answer",
    "responses_answer",
]

Calls = Sequence[tuple[str, Mapping[str, Any] | str]]
"""Tool calls: pairs of a name and arguments; a str is sent as it is, where the wire has texts."""


def chat_answer(
    *texts: str,
    thinking: str = "",
    tool_calls: Calls = (),
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
    tool_calls: Calls = (),
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


def responses_answer(
    *texts: str, thinking: str = "", tool_calls: Calls = (), status: str = "completed", model: str = "gpt-4o"
) -> tuple[Step, ...]:
    """Give an OpenAI Responses stream: a reasoning item with a summary, a message, and a call item each.

    The calls are as in `chat_answer`. With the `status` "incomplete" the limit of tokens was reached.
    """
    response: dict[str, Any] = {"id": "resp_test", "object": "response", "model": model, "output": [], "usage": None}
    events = [_typed("response.created", response={**response, "status": "in_progress"})]
    output: list[dict[str, Any]] = []
    for at, (item, done, deltas) in enumerate(_response_items(texts, thinking, tool_calls)):
        place = {"item_id": item["id"], "output_index": at}
        events.append(_typed("response.output_item.added", output_index=at, item=item))
        events += [_typed(type, **place, **fields) for type, fields in deltas]
        events.append(_typed("response.output_item.done", output_index=at, item=done))
        output.append(done)
    usage = {"input_tokens": 5, "output_tokens": len(texts), "total_tokens": 5 + len(texts)}
    details = {"incomplete_details": {"reason": "max_output_tokens"}} if status == "incomplete" else {}
    last = {**response, "status": status, "output": output, "usage": usage, **details}
    events.append(_typed(f"response.{status}", response=last))
    return (Status(200, {"x-request-id": "req_test"}), *events, End())


def gemini_answer(
    *texts: str,
    thinking: str = "",
    tool_calls: Sequence[tuple[str, Mapping[str, Any]]] = (),
    finish: str = "STOP",
    model: str = "gemini-2.5-flash",
) -> tuple[Step, ...]:
    """Give a Gemini stream: an event each for the thinking, a text and a whole tool call, which has no id."""
    parts: list[dict[str, Any]] = [{"text": thinking, "thought": True}] if thinking else []
    parts += [{"text": text} for text in texts]
    parts += [{"functionCall": {"name": name, "args": arguments}} for name, arguments in tool_calls]
    parts = parts or [{"text": ""}]
    events = []
    for at, part in enumerate(parts):
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": [part]}, "index": 0}
        if at == len(parts) - 1:
            candidate["finishReason"] = finish
        usage = {"promptTokenCount": 5, "candidatesTokenCount": at + 1, "totalTokenCount": 6 + at}
        told = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "resp_test"}
        events.append(Event(told))
    return (Status(200), *events, End())


def ollama_answer(
    *texts: str,
    thinking: str = "",
    tool_calls: Sequence[tuple[str, Mapping[str, Any]]] = (),
    finish: str = "stop",
    model: str = "llama3.2",
) -> tuple[Step, ...]:
    """Give an Ollama chat stream: a line of JSON for each piece of thinking, text and tool call; then the counts."""
    said: list[dict[str, Any]] = [{"content": "", "thinking": thinking}] if thinking else []
    said += [{"content": text} for text in texts]
    said += [
        {"content": "", "tool_calls": [{"function": {"name": name, "arguments": arguments}}]}
        for name, arguments in tool_calls
    ]
    common = {"model": model, "created_at": "2026-01-01T00:00:00Z"}
    lines = [{**common, "message": {"role": "assistant", **message}, "done": False} for message in said]
    counts = {"total_duration": 4000, "load_duration": 1000, "prompt_eval_count": 5, "prompt_eval_duration": 1000}
    counts |= {"eval_count": len(texts), "eval_duration": 2000}
    end = {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": finish, **counts}
    bodies = [Send(compact_json(line).encode() + b"\n") for line in [*lines, {**common, **end}]]
    return (Status(200, {"content-type": "application/x-ndjson"}), *bodies, End())


def cohere_answer(
    *texts: str, thinking: str = "", tool_calls: Calls = (), finish: str | None = None
) -> tuple[Step, ...]:
    """Give a Cohere v2 chat stream: contents with a delta a text, then the calls, as in `chat_answer`.

    `finish` is "TOOL_CALL" where there are some, else "COMPLETE".
    """
    events = [_typed("message-start", id="msg_test", delta={"message": {"role": "assistant", "content": []}})]
    contents = ([("thinking", (thinking,))] if thinking else []) + ([("text", texts)] if texts else [])
    for index, (kind, pieces) in enumerate(contents):
        start = {"message": {"content": {"type": kind, kind: ""}}}
        events.append(_typed("content-start", index=index, delta=start))
        deltas = [{"message": {"content": {kind: piece}}} for piece in pieces]
        events += [_typed("content-delta", index=index, delta=delta) for delta in deltas]
        events.append(_typed("content-end", index=index))
    for index, (name, arguments) in enumerate(tool_calls):
        call = {"id": f"call_{index + 1}", "type": "function", "function": {"name": name, "arguments": ""}}
        events.append(_typed("tool-call-start", index=index, delta={"message": {"tool_calls": call}}))
        for part in _halves(arguments):
            told = {"message": {"tool_calls": {"function": {"arguments": part}}}}
            events.append(_typed("tool-call-delta", index=index, delta=told))
        events.append(_typed("tool-call-end", index=index))
    counts = {"input_tokens": 5, "output_tokens": len(texts)}
    end = {
        "finish_reason": finish or ("TOOL_CALL" if tool_calls else "COMPLETE"),
        "usage": {"billed_units": counts, "tokens": counts},
    }
    return (Status(200), *events, _typed("message-end", id="msg_test", delta=end), End())


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


def _response_items(
    texts: Sequence[str], thinking: str, tool_calls: Calls
) -> Iterator[tuple[dict[str, Any], dict[str, Any], list[tuple[str, dict[str, Any]]]]]:
    """Give each item as it is added, as it is done, and the types and fields of the events in between."""
    if thinking:
        item = {"id": "rs_test", "type": "reasoning", "summary": []}
        deltas = [("response.reasoning_summary_text.delta", {"summary_index": 0, "delta": thinking})]
        yield item, {**item, "summary": [{"type": "summary_text", "text": thinking}]}, deltas
    if texts:
        item = {"id": "msg_test", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        content = {"type": "output_text", "text": "".join(texts), "annotations": []}
        deltas = [("response.output_text.delta", {"content_index": 0, "delta": text}) for text in texts]
        yield item, {**item, "status": "completed", "content": [content]}, deltas
    for number, (name, arguments) in enumerate(tool_calls, 1):
        item = {"id": f"fc_{number}", "type": "function_call", "call_id": f"call_{number}", "name": name}
        parts = _halves(arguments)
        deltas = [("response.function_call_arguments.delta", {"delta": part}) for part in parts]
        yield {**item, "arguments": ""}, {**item, "arguments": "".join(parts), "status": "completed"}, deltas


def _anthropic_blocks(
    texts: Sequence[str], thinking: str, tool_calls: Calls
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
