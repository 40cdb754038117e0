"""Cohere's chat, the second version of its API.

Wire: https://docs.cohere.com/reference/chat-stream and .../docs/streaming, read November 2026. One HTTP request a call,
`POST {base_url}/v2/chat`; the events of the answer say in their JSON what they are. This file turns a request into that
request, and those events into chunks. It knows nothing of threads, sockets or time.

An answer is made of `message-start` (its id), then contents of text or thinking, each of them `content-start`,
`content-delta`s and `content-end`, perhaps a plan (`tool-plan-delta`s) and tool calls, each under an index of its own,
citations among them, then `message-end` (finish reason, usage). The decoder is lenient about order and missing events
and strict about the end: only `message-end` makes an answer complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from streamkit import lazy_attrs as attrs
from streamkit.codec import Capabilities, Decoder, GrowingCall, HttpRequest, Provider, logprobs
from streamkit.encoding import (
    CallIds,
    bearer,
    content,
    function_call,
    function_tool,
    get,
    given,
    is_own,
    media_objections,
    merged,
    objections,
    post,
    refuse,
    results,
    speaks,
)
from streamkit.errors import DecodeError, ProviderError, printable
from streamkit.framing import Event, SSEFramer
from streamkit.jsontext import identifier, listed, mapped, named, parse_json, said, scrub, unread, word, written
from streamkit.provider_errors import error_in, event_error, status_error
from streamkit.providers.keyed import KeyedProvider
from streamkit.stencil import Stencil
from streamkit.types.chunks import Chunk, Source
from streamkit.types.messages import Message, RawPart, ThinkingPart, ToolCallPart
from streamkit.types.request import ChatRequest, ResponseFormat
from streamkit.types.usage import Usage, count

__all__ = ["CAPABILITIES", "Cohere", "CohereChat", "CohereDecoder"]

CAPABILITIES = Capabilities(
    named_tool=False,
    thinking=True,
    thinking_budget=True,
    prompt_caching=True,
    most_stops=5,
    top_k=True,
    logprobs=True,
)
"""What the API can do; a model may know less."""


@attrs.frozen(kw_only=True)
class CohereChat:
    """The wire format of `POST /v2/chat`. Stateless; share it between any number of threads."""

    capabilities: Capabilities = CAPABILITIES
    framer = SSEFramer

    def encode(self, request: ChatRequest, provider: Provider) -> HttpRequest:
        """Put a request into the API's words.

        Thinking and the plan of tool calls go back where this provider gave them; other providers' are left out.
        `prompt_caching` asks for nothing: it is automatic here. `provider_options`, the API's own fields (`documents`,
        `citation_options`, `safety_mode`, `strict_tools`, …), have the last word (see `encoding.merged`).

        Raises:
            ConfigError: for what the API does not know or cannot do.
        """
        refuse(provider, _objections(request, self.capabilities))
        return post(
            _url(provider, "/v2/chat"),
            merged(_body(request, provider.name), request.provider_options),
            secrets=bearer(provider.secret()),
            own=request.headers,
        )

    def decoder(self, request: ChatRequest, provider: Provider, *, index: int = 0, step: int = 1) -> CohereDecoder:
        """Give a decoder for one answer."""
        return CohereDecoder(provider=provider.name, index=index, step=step)

    def list_models(self, provider: Provider) -> HttpRequest:
        """Give the request for the names of the models that chat; a thousand are the API's largest page."""
        return get(_url(provider, "/v1/models?page_size=1000&endpoint=chat"), secrets=bearer(provider.secret()))

    def model_names(self, answer: Any) -> list[str]:
        """Give the names in a list of models."""
        return named(mapped(answer).get("models"), "name")

    def error(self, provider: str, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Give the error for an answer of this status. The request's id may stand in the body only."""
        failure = status_error(provider, status, headers, body)
        try:
            return _identified(failure, parse_json(body.decode("utf-8", "replace")))
        except DecodeError:
            return failure


class Cohere(KeyedProvider):
    """Cohere. `base_url` is the bare host, with or without the version."""

    name = "cohere"
    key_variables = ("COHERE_API_KEY", "CO_API_KEY")
    base_url_variable = "CO_API_URL"
    default_base_url = "https://api.cohere.com"
    usual_model = "command-a-03-2025"
    codec = CohereChat()


def _url(provider: Provider, path: str) -> str:
    return provider.base_url.removesuffix("/v1").removesuffix("/v2") + path


def _identified(failure: ProviderError, value: Any) -> ProviderError:
    id = word(value.get("id")) if type(value) is dict else ""
    if id and not failure.request_id:
        failure.request_id = printable(id, 200)
    return failure


# -- the request


def _objections(request: ChatRequest, can: Capabilities) -> Iterator[str]:
    """What the API would refuse, or does not know, each with what to do instead."""
    yield from objections(request, can)
    yield from media_objections(request)
    if request.logprobs:
        yield "it gives no alternatives to a token: use logprobs 0"
    if request.thinking_budget is not None and request.thinking_budget < 1:
        yield f"a thinking budget of {request.thinking_budget} tokens is refused: give at least 1"


def _body(request: ChatRequest, provider: str) -> dict[str, Any]:
    offers_tools = bool(request.tools) or "tools" in request.provider_options
    fields = {
        "model": request.model,
        "messages": list(_messages(request.messages, provider)),
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
        "p": request.top_p,
        "k": request.top_k,
        "stop_sequences": list(request.stop) or None,
        "seed": request.seed,
        "frequency_penalty": request.frequency_penalty,
        "presence_penalty": request.presence_penalty,
        "logprobs": None if request.logprobs is None else True,
        "tools": [function_tool(tool) for tool in request.tools] or None,
        "tool_choice": _TOOL_CHOICES.get(request.tool_choice or "") if offers_tools else None,
        "response_format": _response_format(request.response_format) if request.response_format else None,
        "thinking": _thinking(request),
        "stream": True,
    }
    return given(fields)


_TOOL_CHOICES = {"required": "REQUIRED", "none": "NONE"}
"""Cohere's by ours. "auto" has no word."""


def _response_format(wanted: ResponseFormat) -> dict[str, Any]:
    if wanted.type == "schema":
        return {"type": "json_object", "json_schema": wanted.schema}
    return {"type": "json_object" if wanted.type == "json" else "text"}


def _thinking(request: ChatRequest) -> dict[str, Any] | None:
    if request.thinking_budget is not None:
        return {"type": "enabled", "token_budget": request.thinking_budget}
    return {"type": "enabled"} if request.thinking else None


def _messages(messages: Sequence[Message], provider: str) -> Iterator[dict[str, Any]]:
    ids = CallIds()
    for message in messages:
        yield from results(message, ids)
        if message.role == "assistant":
            yield _assistant(message, ids, provider)
        elif speaks(message):
            yield {"role": message.role, "content": content(message)}


def _assistant(message: Message, ids: CallIds, provider: str) -> dict[str, Any]:
    calls = [function_call(part, ids.of_call(part)) for part in message.content if isinstance(part, ToolCallPart)]
    own = [part for part in message.content if isinstance(part, ThinkingPart) and is_own(part, provider)]
    thought = [{"type": "thinking", "thinking": part.text} for part in own if part.text]
    if thought and message.text:
        thought.append({"type": "text", "text": message.text})
    fields = {
        "role": "assistant",
        "content": thought or message.text or (None if calls else ""),
        "tool_plan": _tool_plan(message, provider) if calls else None,
        "tool_calls": calls or None,
    }
    return given(fields)


def _tool_plan(message: Message, provider: str) -> str | None:
    own = [part for part in message.content if isinstance(part, RawPart) and part.provider == provider]
    return "".join(word(part.block.get("tool_plan")) for part in own) or None


# -- the answer


_FINISH_REASONS = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR": "error",
    "TIMEOUT": "error",
    "ERROR_TOXIC": "content_filter",
    "ERROR_LIMIT": "length",
}
"""Ours by Cohere's, the last two of its older models. Any other is "other"."""

_READ = frozenset({"type", "id", "index", "delta", "message", "logprobs", "error", "finish_reason", "usage", "prompt"})
"""Fields of an event, or of its delta, that are read, or mean nothing. What is in none of these becomes metadata."""


_Event = Mapping[str, Any]
_Message = Mapping[str, Any]


class CohereDecoder(Decoder):
    """Events of one answer into chunks. Each kind of event has a method with its name; an unknown one is skipped.

    The plan of tool calls is neither text nor thinking: its pieces are chunks without content that have `tool_plan` in
    their metadata; whole it is in the response's metadata, and among the parts that go back in the next turn.
    """

    def __init__(self, *, provider: str, index: int = 0, step: int = 1) -> None:
        super().__init__(provider=provider, index=index, step=step)
        self._stencil = Stencil(_plain)
        self._ended = False
        self._plan: list[str] = []
        self._calls: list[GrowingCall] = []
        self._by_index: dict[object, GrowingCall] = {}

    def event(self, event: Event) -> None:
        """Decode one event.

        Raises:
            ProviderError: the event reports an error. What came beside it is decoded first.
            DecodeError: the event cannot be understood.
        """
        text = self._stencil.read(event.data)
        if text is not None and event.event != "error":
            (self.text if self._stencil.field == "text" else self.thinking)(text)
        else:
            self._event(event)

    def end(self) -> list[Chunk]:
        """Give the last chunks of a complete answer: the plan, the whole tool calls, then `step_finish`.

        Raises:
            StreamTruncated: the body ended before `message-end`.
        """
        if not self._ended:
            raise self.cut_off("message-end")
        if self._plan:
            plan = self.state.metadata["tool_plan"] = scrub("".join(self._plan))
            self.text("", {"raw_block": {"tool_plan": plan}, "provider": self.state.provider})
        reason = self._finish_reason()
        self.end_calls(self._calls, reason)
        self.step_finish(reason)
        return self.take()

    # -- an event

    def _event(self, event: Event) -> None:
        value = self.parsed_object(event)
        if value is None:
            return
        kind, delta = word(value.get("type")) or event.event, mapped(value.get("delta"))
        method = _EVENTS.get(kind)
        if method is not None:
            method(self, value, mapped(delta.get("message")))
            self.keep({**value, **delta}, _READ)
        elif type(value.get("message")) is dict:
            self.message(value)
        error = delta.get("error") or error_in(value, event.event, answer=method is not None)
        if error:
            raise _identified(event_error(self.state.provider, error), value)
        self._stencil.learn(event.data, value)

    def changed(self) -> None:
        """What stands beside the text is no longer what the stencil takes it for."""
        self._stencil.forget()

    def message_start(self, value: _Event, message: _Message) -> None:
        """The answer begins."""
        self.state.id = word(value.get("id")) or self.state.id

    def content(self, value: _Event, message: _Message) -> None:
        """A content begins, or a piece of it comes: text or thinking."""
        beside = logprobs(value.get("logprobs"))
        for piece in listed(message.get("content")):
            box = piece if type(piece) is dict else {"text": piece}
            thinking, text = said(box.get("thinking")), said(box.get("text"))
            if thinking:
                self.thinking(thinking, None if text else beside)
            if text or (beside and not thinking):
                self.text(text, beside)

    def tool_plan_delta(self, value: _Event, message: _Message) -> None:
        """A piece of the plan that the model makes before it calls tools."""
        piece = said(message.get("tool_plan"))
        if piece:
            self._plan.append(piece)
            self.text("", {"tool_plan": scrub(piece)})

    def tool_call_start(self, value: _Event, message: _Message) -> None:
        """A call begins."""
        for entry in listed(message.get("tool_calls")):
            call, function = mapped(entry), mapped(mapped(entry).get("function"))
            begun = GrowingCall(identifier(call.get("id")), word(function.get("name")))
            if begun.id or begun.name:
                self._calls.append(begun)
                self._by_index[_index(value)] = self._by_index[None] = begun
                self.tool_start(begun.id, begun.name)
            self._grow(value, function)

    def tool_call_delta(self, value: _Event, message: _Message) -> None:
        """More of a call's arguments."""
        for entry in listed(message.get("tool_calls")):
            self._grow(value, mapped(mapped(entry).get("function")))

    def citation_start(self, value: _Event, message: _Message) -> None:
        """Where a statement comes from: perhaps from several places."""
        for citation in listed(message.get("citations")):
            self._cite(mapped(citation))

    def message_end(self, value: _Event, message: _Message) -> None:
        """The answer is complete."""
        delta = mapped(value.get("delta"))
        self.state.raw_finish_reason = word(delta.get("finish_reason")) or None
        usage = delta.get("usage")
        if type(usage) is dict:
            self.state.usage = _usage(scrub(usage))
        self._ended = self.finished = True

    def nothing(self, value: _Event, message: _Message) -> None:
        """The end of a part says nothing more; a debug event shows the prompt."""

    # -- private

    def message(self, value: _Event) -> None:
        """A whole answer at once, from a server that does not stream."""
        message = mapped(value.get("message"))
        self.message_start(value, message)
        self.tool_plan_delta(value, message)
        self.content(value, message)
        for index, call in enumerate(listed(message.get("tool_calls"))):
            self.tool_call_start({"index": index}, {"tool_calls": call})
        self.citation_start(value, message)
        self.message_end({"delta": value}, message)
        self.keep(value, _READ)

    def _grow(self, value: _Event, function: Mapping[str, Any]) -> None:
        arguments = function.get("arguments")
        piece = written(arguments) if type(arguments) is dict else said(arguments)
        if not piece:
            return
        call = self._by_index.get(_index(value))
        if call is None:
            raise DecodeError(
                f"{self.state.provider}: the provider sent arguments of a tool call that never began",
                event=printable(piece),
            )
        call.pieces.append(piece)
        self.tool_delta(call.id, piece)

    def _cite(self, citation: Mapping[str, Any]) -> None:
        kept = unread(citation, ("sources",))
        for place in listed(citation.get("sources")) if kept else ():
            found = mapped(place)
            box = mapped(found.get("document") or found.get("tool_output"))
            self.source(
                Source(
                    url=word(box.get("url")) or None,
                    title=word(box.get("title")) or None,
                    id=word(found.get("id")) or None,
                    text=word(box.get("text")) or word(box.get("snippet")) or word(box.get("content")) or None,
                    metadata={**kept, "source": scrub(found)} if found else kept,
                )
            )

    def _finish_reason(self) -> str:
        """Ours for Cohere's, corrected by what was seen: calls are to be answered."""
        reason = _FINISH_REASONS.get(self.state.raw_finish_reason or "", "other")
        return "tool_calls" if self._calls and reason in ("stop", "other") else reason


_EVENTS: dict[str, Callable[[CohereDecoder, _Event, _Message], None]] = {
    "message-start": CohereDecoder.message_start,
    "content-start": CohereDecoder.content,
    "content-delta": CohereDecoder.content,
    "content-end": CohereDecoder.nothing,
    "tool-plan-delta": CohereDecoder.tool_plan_delta,
    "tool-call-start": CohereDecoder.tool_call_start,
    "tool-call-delta": CohereDecoder.tool_call_delta,
    "tool-call-end": CohereDecoder.nothing,
    "citation-start": CohereDecoder.citation_start,
    "citation-end": CohereDecoder.nothing,
    "message-end": CohereDecoder.message_end,
    "debug": CohereDecoder.nothing,
}


def _plain(value: Any) -> tuple[str, str] | None:
    """Field and text of an event whose only news is one piece of text or thinking."""
    if value.get("type") != "content-delta" or value.keys() - {"type", "index", "delta"}:
        return None
    content = mapped(mapped(mapped(value.get("delta")).get("message")).get("content"))
    news = [(name, piece) for name, piece in content.items() if name != "type"]
    if len(news) != 1 or news[0][0] not in ("text", "thinking") or type(news[0][1]) is not str:
        return None
    return news[0]


def _index(value: _Event) -> object:
    """The index of a call; without one, all pieces are those of the last call."""
    index = value.get("index")
    return index if type(index) is int else None


def _usage(raw: dict[str, Any]) -> Usage:
    """What was used, not what is billed, which leaves the prompt's preamble and what a cache gave out."""
    tokens, billed = mapped(raw.get("tokens")), mapped(raw.get("billed_units"))
    counts = {
        name: count(tokens.get(name)) if count(tokens.get(name)) is not None else count(billed.get(name))
        for name in ("input_tokens", "output_tokens")
    }
    prompt, completion = counts["input_tokens"] or 0, counts["output_tokens"] or 0
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        reasoning_tokens=count(tokens.get("reasoning_tokens")) or 0,
        cache_read_tokens=count(raw.get("cached_tokens")) or 0,
        raw=raw,
        source="unknown" if all(value is None for value in counts.values()) else "reported",
    )
