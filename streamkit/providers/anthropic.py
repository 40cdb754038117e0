"""Anthropic's Messages API, and the servers and gateways that speak it.

Wire: https://platform.claude.com/docs/en/api/messages and .../build-with-claude/streaming, read November 2026.
One HTTP request a call, `POST {base_url}/v1/messages`; the events of the answer say in their JSON what they are. This
file turns a request into that request, and those events into chunks. It knows nothing of threads, sockets or time.

An answer is made of `message_start` (id, model, first usage), then blocks, each of them `content_block_start`,
`content_block_delta`s and `content_block_stop` under an index of its own, then `message_delta` (stop reason, last
usage) and `message_stop`. The decoder is lenient about order and missing events and strict about the end: only
`message_stop`, or a stop reason and then a clean end of the body, makes an answer complete.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from json.decoder import scanstring  # type: ignore[attr-defined]  # there since Python 2.6, but not in typeshed
from typing import Any, NoReturn, TypedDict

from streamkit import lazy_attrs as attrs
from streamkit.codec import CUT_SHORT, Capabilities, Decoder, HttpRequest, Provider
from streamkit.encoding import (
    CallIds,
    call_input,
    described,
    get,
    given,
    image_objections,
    is_own,
    key_header,
    merged,
    objections,
    post,
    refuse,
    system_objections,
    turns,
)
from streamkit.errors import DecodeError, printable
from streamkit.framing import Event, SSEFramer
from streamkit.jsontext import identifier, listed, mapped, named, parse_arguments, said, scrub, unread, word, written
from streamkit.provider_errors import error_in, event_error, status_error
from streamkit.providers.keyed import KeyedProvider
from streamkit.schema_rules import OPENAI_STRICT, StrictRules
from streamkit.types.chunks import Chunk, Source
from streamkit.types.messages import (
    FilePart,
    ImagePart,
    Message,
    Part,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from streamkit.types.request import ChatRequest, Tool
from streamkit.types.usage import Usage, count

__all__ = [
    "CAPABILITIES",
    "DEFAULT_MAX_TOKENS",
    "DEFAULT_THINKING_BUDGET",
    "Anthropic",
    "AnthropicMessages",
    "MessagesDecoder",
    "Quirks",
]


@attrs.frozen(kw_only=True)
class Quirks:
    """What a service does its own way on this wire. The defaults are Anthropic's."""

    key_header: str = "x-api-key"
    """The header that carries the key; in Authorization it stands after the word Bearer."""


DEFAULT_MAX_TOKENS = 4096
"""Tokens of the answer where the request names no limit (the API demands one); what thinking may use comes on top."""

DEFAULT_THINKING_BUDGET = 4096
"""Tokens for thinking that was asked for without a budget."""

_MIN_THINKING_BUDGET = 1024
_VERSION = "2023-06-01"

_SCHEMA_RULES = StrictRules(
    always=True,
    unsupported=OPENAI_STRICT.unsupported - {"allOf"}
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    | {"minLength", "maxLength", "maxItems"},
    formats=frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}),
    object_root=False,
    all_required=False,
    lone_refs=False,
    recursion=False,
    largest_min_items=1,
    properties=None,
    depth=None,
    enum_values=None,
    characters=None,
)
"""https://platform.claude.com/docs/en/build-with-claude/structured-outputs, "JSON Schema limitations"."""

CAPABILITIES = Capabilities(
    parallel_tool_calls=True,
    tool_result_images=True,
    image_bytes=10 * 2**20 // 4 * 3,  # the API counts 10 MiB of base64
    files=True,
    citations=True,
    thinking=True,
    thinking_budget=True,
    reasoning_effort=True,
    efforts=("low", "medium", "high", "xhigh", "max"),
    json=False,
    schema_rules=_SCHEMA_RULES,
    prompt_caching=True,
    prefill=True,
    seed=False,
    most_temperature=1,
    top_k=True,
    penalties=False,
)
"""What can be asked of Anthropic's own API."""


@attrs.frozen(kw_only=True)
class AnthropicMessages:
    """The wire format of `POST /v1/messages`. Stateless; share it between any number of threads."""

    quirks: Quirks = Quirks()
    capabilities: Capabilities = CAPABILITIES
    framer = SSEFramer
    error = staticmethod(status_error)

    def encode(self, request: ChatRequest, provider: Provider) -> HttpRequest:
        """Put a request into the API's words.

        System messages become the top-level `system`, consecutive messages of one side one message. Left out, as the
        API refuses them, are empty texts, unsigned thinking, other providers' thinking and raw blocks, and white space
        at the end of a last message that is the assistant's. Thinking without a budget has `DEFAULT_THINKING_BUDGET`
        tokens; with a reasoning effort instead of a budget, and for the models that know no other kind, it is adaptive.
        `prompt_caching` puts one cache mark at the end of the system text, else of the tools, else of the user's last
        message, else of the last text, and a part's `cache` one at its end: four at most. `provider_options`, the API's
        own fields, have the last word (see `encoding.merged`).

        Raises:
            ConfigError: for what the API refuses or does not know.
        """
        refuse(provider, _objections(request, self.capabilities))
        body = _body(request, provider.name)
        refuse(provider, _body_objections(request, body))
        return post(
            _url(provider, "/v1/messages"),
            merged(body, request.provider_options),
            headers={"anthropic-version": _VERSION},
            secrets=key_header(self.quirks.key_header, provider.secret()),
            own=request.headers,
        )

    def decoder(self, request: ChatRequest, provider: Provider, *, index: int = 0, step: int = 1) -> MessagesDecoder:
        """Give a decoder for one answer."""
        return MessagesDecoder(provider=provider.name, index=index, step=step)

    def list_models(self, provider: Provider) -> HttpRequest:
        """Give the request for the names of the models; the page is the largest there is."""
        return get(
            _url(provider, "/v1/models?limit=1000"),
            headers={"anthropic-version": _VERSION},
            secrets=key_header(self.quirks.key_header, provider.secret()),
        )

    def model_names(self, answer: Any) -> list[str]:
        """Give the names in a list of models."""
        return named(mapped(answer).get("data"), "id")


class Anthropic(KeyedProvider):
    """Anthropic, or a service that speaks its Messages API. `base_url` is the bare host, with or without a /v1."""

    name = "anthropic"
    key_variables = ("ANTHROPIC_API_KEY",)
    base_url_variable = "ANTHROPIC_BASE_URL"
    default_base_url = "https://api.anthropic.com"
    usual_model = "claude-sonnet-4-20250514"
    codec = AnthropicMessages()


def _url(provider: Provider, path: str) -> str:
    return provider.base_url.removesuffix("/v1") + path


# -- the request


def _objections(request: ChatRequest, can: Capabilities) -> Iterator[str]:
    """What the API would refuse, or does not know, each with what to do instead."""
    yield from objections(request, can)
    yield from system_objections(request)
    if request.max_tokens is not None and request.max_tokens < 1:
        yield f"max_tokens {request.max_tokens} leaves no answer: give at least 1"
    if any(not text.strip() for text in request.stop):
        yield "a stop sequence of white space alone is refused: give one with other characters"
    if _thinks(request):
        yield from _thinking_objections(request)
    yield from _model_objections(request)
    for part in (part for message in request.messages for part in message.content if isinstance(part, FilePart)):
        yield from _document_objections(part, can, schema=_wants_schema(request))


def _wants_schema(request: ChatRequest) -> bool:
    return request.response_format is not None and request.response_format.type == "schema"


# Facts of models, by their names, wherever they are served; of a name that nobody knows nothing is assumed.
# https://platform.claude.com/docs/en/about-claude/models/migration-guide, .../build-with-claude/structured-outputs
_WITHOUT_SCHEMA = re.compile(r"claude-(\d|instant|(opus|sonnet)-4(-0\b|[-@]20\d{6}|$))")
_BEFORE_4_6 = re.compile(r"claude-(\d|instant|(opus|sonnet|haiku)-4(-0\b|[.-][1-5](?!\d)|[-@]20\d{6}|$))")
_SINCE_4_6 = re.compile(r"claude-((opus|sonnet|haiku)-(4[.-][6-9](?!\d)|[5-9])|fable|mythos)")
_SINCE_4_7 = re.compile(r"claude-((opus|sonnet|haiku)-(4[.-][7-9](?!\d)|[5-9])|fable|mythos)")


def _model_objections(request: ChatRequest) -> Iterator[str]:
    """What only some models would refuse."""
    model = request.model
    if _wants_schema(request) and _WITHOUT_SCHEMA.search(model):
        yield f"{model} takes no JSON Schema: use Claude 4.5 or later, or make it call a tool with this schema"
    if not _SINCE_4_7.search(model):
        return
    if request.thinking_budget is not None:
        yield f"{model} takes no thinking budget: use .extended_thinking(), with .reasoning_effort(...)"
    for name, value in (("temperature", request.temperature), ("top_p", request.top_p), ("top_k", request.top_k)):
        if value is not None and (name, value) != ("temperature", 1):
            yield f"{model} takes no {name}: leave it out"


def _document_objections(part: FilePart, can: Capabilities, *, schema: bool) -> Iterator[str]:
    kind, name = part.media_type, printable(part.name, 100)
    if _is_image(part):
        if part.data:
            yield from image_objections(ImagePart(data=part.data, media_type=kind), can)
    elif kind != "application/pdf" and part.url is not None:
        yield f"it fetches PDFs and images only, not {kind}: send the text of {name}"
    elif kind != "application/pdf" and not _TEXT_TYPE.fullmatch(kind):
        yield f"a file of type {kind} cannot be sent: give a PDF, a text or an image"
    elif kind != "application/pdf" and not _is_utf8(part.data):
        yield f"the text of {name} is not in UTF-8: convert it"
    if part.citations and schema:
        yield "an answer held to a schema cites nothing: leave out citations, or the schema"


_TEXT_TYPE = re.compile(r"text/.*|application/(.*\+)?(json|xml|yaml|toml)")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _body_objections(request: ChatRequest, body: Mapping[str, Any]) -> Iterator[str]:
    """What the API would refuse of the messages as a whole."""
    said = [block for turn in body["messages"] for block in turn["content"]]
    inner = [block for outer in said if isinstance(outer.get("content"), list) for block in outer["content"]]
    blocks = (*body.get("system", ()), *body.get("tools", ()), *said, *inner)
    marks = sum(isinstance(block, Mapping) and "cache_control" in block for block in blocks)
    if marks > _MOST_CACHE_MARKS:
        yield f"{marks} cache marks: {_MOST_CACHE_MARKS} are the most; a mark covers all that stands before it"
    last = body["messages"][-1]
    kinds = [block.get("type") for block in last["content"]]
    if last["role"] != "assistant" or kinds[-1] != "text" or not _PREFILL.issuperset(kinds):
        return  # an answer that was paused in a tool of the API's own is sent back as it is
    if _SINCE_4_6.search(request.model):
        yield f"{request.model} goes on with no answer that was begun: end with a user message"
    if _thinks(request) and kinds[0] == "text":
        yield "with thinking it goes on with no answer that was begun: end with a user message, or leave thinking out"


_MOST_CACHE_MARKS = 4
_PREFILL = frozenset({"text", "thinking", "redacted_thinking"})
"""The kinds of blocks of an answer that was only begun."""


def _thinking_objections(request: ChatRequest) -> Iterator[str]:
    """https://platform.claude.com/docs/en/build-with-claude/extended-thinking, "Feature compatibility"."""
    budget = _budget(request)
    if budget is not None and budget < _MIN_THINKING_BUDGET:
        yield f"a thinking budget of {budget} tokens is refused: give at least {_MIN_THINKING_BUDGET}"
    if budget is not None and request.max_tokens is not None and request.max_tokens <= budget:
        yield f"max_tokens {request.max_tokens} must be above the thinking budget {budget}, a part of it: raise it"
    if request.temperature is not None and request.temperature != 1:
        yield "thinking allows no temperature but 1: leave it out"
    if request.top_k is not None:
        yield "thinking allows no top_k: leave it out"
    if request.top_p is not None and not 0.95 <= request.top_p <= 1:
        yield "thinking allows top_p from 0.95 to 1 only: leave it out"
    if request.tool_choice not in (None, "auto", "none"):
        yield "thinking allows no forced tool call: use tool_choice auto or none"


def _thinks(request: ChatRequest) -> bool:
    return request.thinking or request.thinking_budget is not None


def _budget(request: ChatRequest) -> int | None:
    """The tokens to think with; None for adaptive thinking, which has no budget."""
    if request.thinking_budget is not None:
        return request.thinking_budget
    effort = request.reasoning_effort is not None and not _BEFORE_4_6.search(request.model)
    return None if effort or _SINCE_4_7.search(request.model) else DEFAULT_THINKING_BUDGET


def _body(request: ChatRequest, provider: str) -> dict[str, Any]:
    fields = {
        "model": request.model,
        "max_tokens": _max_tokens(request),
        "system": _system(request.system),
        "messages": _messages(request, provider),
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "stop_sequences": list(request.stop) or None,
        "tools": [_tool(tool) for tool in request.tools] or None,
        "tool_choice": _tool_choice(request),
        "thinking": _thinking(request),
        "output_config": _output_config(request) or None,
        "stream": True,
    }
    body = given(fields)
    if request.prompt_caching:
        _mark_for_caching(body)
    return body


def _max_tokens(request: ChatRequest) -> int:
    if request.max_tokens is not None:
        return request.max_tokens
    return DEFAULT_MAX_TOKENS + ((_budget(request) or DEFAULT_THINKING_BUDGET) if _thinks(request) else 0)


def _thinking(request: ChatRequest) -> dict[str, Any] | None:
    if not _thinks(request):
        return None
    budget = _budget(request)
    if budget is not None:
        return {"type": "enabled", "budget_tokens": budget}
    shown = {"display": "summarized"} if _SINCE_4_7.search(request.model) else {}  # these give no thinking unless asked
    return {"type": "adaptive", **shown}


def _output_config(request: ChatRequest) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if request.reasoning_effort is not None:
        config["effort"] = request.reasoning_effort
    if request.response_format is not None and request.response_format.type == "schema":
        config["format"] = {"type": "json_schema", "schema": request.response_format.schema or {}}
    return config


def _tool(tool: Tool) -> dict[str, Any]:
    return {**described(tool), "input_schema": tool.parameters}


def _tool_choice(request: ChatRequest) -> dict[str, Any] | None:
    choice = request.tool_choice
    if not request.tools and "tools" not in request.provider_options:
        return None  # "auto" without tools, which the API refuses, asks for nothing
    single = {"disable_parallel_tool_use": True} if request.parallel_tool_calls is False and choice != "none" else {}
    if choice is None:
        return {"type": "auto", **single} if single else None
    if choice in ("auto", "none"):
        return {"type": choice, **single}
    if choice in ("required", "any"):
        return {"type": "any", **single}
    return {"type": "tool", "name": choice, **single}


def _mark_for_caching(body: dict[str, Any]) -> None:
    """Have the prompt cached up to the end of what stays the same; the tools stand before the system text."""
    said = [block for turn in body["messages"] if turn["role"] == "user" for block in turn["content"]]
    begun = [block for turn in body["messages"] for block in turn["content"] if block.get("type") == "text"]
    for blocks in (body.get("system"), body.get("tools"), said, begun):
        if blocks:
            blocks[-1]["cache_control"] = {"type": "ephemeral"}
            return


def _system(messages: tuple[Message, ...]) -> list[dict[str, Any]] | None:
    parts = [part for message in messages for part in message.content if isinstance(part, TextPart)]
    return [block for part in parts if (block := _text(part)) is not None] or None


def _messages(request: ChatRequest, provider: str) -> list[dict[str, Any]]:
    ids = CallIds()

    def blocks(message: Message) -> list[dict[str, Any]]:
        return [block for part in message.content if (block := _block(part, ids, provider)) is not None]

    found = turns(request.conversation, blocks)
    for turn in found:
        turn["content"].sort(key=lambda block: block.get("type") != "tool_result")  # the API wants results first
    _trim_prefill(found)
    return found


def _trim_prefill(turns: list[dict[str, Any]]) -> None:
    """The beginning of an answer that the model shall go on with must not end in white space."""
    last = turns[-1]["content"][-1]
    if turns[-1]["role"] == "assistant" and last.get("type") == "text" and isinstance(last.get("text"), str):
        last["text"] = last["text"].rstrip()


_NO_ID_CHARACTER = re.compile(r"[^A-Za-z0-9_-]")


def _plain_id(id: str) -> str:
    """An id that the API takes: other providers' may hold what it refuses."""
    return _NO_ID_CHARACTER.sub("_", id)


def _block(part: Part, ids: CallIds, provider: str) -> dict[str, Any] | None:
    """One part of a message as a content block, or None for what the API would refuse."""
    if isinstance(part, TextPart):
        return _text(part)
    if isinstance(part, ImagePart):
        return _image(part)
    if isinstance(part, FilePart):
        return _document(part)
    if isinstance(part, ThinkingPart):
        return _thinking_block(part) if is_own(part, provider) else None
    if isinstance(part, ToolCallPart):
        call = {"type": "tool_use", "id": _plain_id(ids.of_call(part)), "name": part.name}
        return {**call, "input": call_input(part.input)}
    if isinstance(part, ToolResultPart):
        return _tool_result(part, _plain_id(ids.of_result(part)))
    # Blocks that users have from the anthropic package bear its name.
    return dict(part.block) if part.provider in (provider, Anthropic.name) else None


def _marked(block: dict[str, Any], *, cache: bool) -> dict[str, Any]:
    return {**block, "cache_control": {"type": "ephemeral"}} if cache else block


def _text(part: TextPart) -> dict[str, Any] | None:
    if not part.text.strip():
        return None
    cited = {"citations": list(part.citations)} if part.citations else {}
    return _marked({"type": "text", "text": part.text, **cited}, cache=part.cache)


def _image(part: ImagePart) -> dict[str, Any]:
    source = {"type": "base64", "media_type": part.media_type, "data": part.base64()}
    if part.url is not None:
        source = {"type": "url", "url": part.url}
    return _marked({"type": "image", "source": source}, cache=part.cache)


def _document(part: FilePart) -> dict[str, Any]:
    if _is_image(part):
        return _image(ImagePart(url=part.url, data=part.data or None, media_type=part.media_type, cache=part.cache))
    if part.url is not None:
        source = {"type": "url", "url": part.url}
    elif part.media_type == "application/pdf":
        source = {"type": "base64", "media_type": part.media_type, "data": part.base64()}
    else:
        source = {"type": "text", "media_type": "text/plain", "data": part.data.decode("utf-8")}
    cited = {"citations": {"enabled": True}} if part.citations else {}
    return _marked({"type": "document", "source": source, "title": part.name, **cited}, cache=part.cache)


def _is_image(part: FilePart) -> bool:
    return part.media_type.startswith("image/")


def _thinking_block(part: ThinkingPart) -> dict[str, Any] | None:
    if part.redacted is not None:
        return {"type": "redacted_thinking", "data": part.redacted}
    if part.signature is None:
        return None
    return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def _tool_result(part: ToolResultPart, id: str) -> dict[str, Any]:
    output = part.output or ("the tool failed" if part.is_error else "")  # an error without words is refused
    text = [{"type": "text", "text": output}] if output.strip() else []
    content = [*text, *(_image(image) for image in part.images)] if part.images else output
    block = {"type": "tool_result", "tool_use_id": id, "content": content}
    return _marked({**block, "is_error": True} if part.is_error else block, cache=part.cache)


# -- the answer


_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""Ours by Anthropic's. Any other, `pause_turn` (send the messages back to go on) among them, is "other"."""

# The fields that are read of an event, which may hold anything.


class _Event(TypedDict, total=False):
    """An event: these by its `type`."""

    type: object
    index: object
    message: object
    content_block: object
    delta: object
    usage: object
    error: object
    request_id: object


class _BlockStart(TypedDict, total=False):
    """The block that a `content_block_start` begins: these by its `type`."""

    type: object
    id: object
    name: object
    input: object
    text: object
    citations: object
    thinking: object
    signature: object
    data: object


class _Delta(TypedDict, total=False):
    """What a `content_block_delta` adds: these by its `type`."""

    type: object
    text: object
    thinking: object
    signature: object
    partial_json: object
    citation: object


@attrs.define
class _Block:
    """A block that has begun and whose end brings a chunk of its own: any but text without citations."""

    kind: str
    start: dict[str, Any]
    pieces: dict[str, list[str]] = attrs.field(factory=dict)
    """The texts that its deltas brought, by field."""

    @property
    def is_raw(self) -> bool:
        """Whether only Anthropic understands it, so that it is kept as it is."""
        return self.kind not in _STOPS

    def begins_as(self, block: _BlockStart) -> bool:
        """Whether this start is the same block's, said again."""
        id = identifier(block.get("id"))
        return bool(id) and (self.kind, identifier(self.start.get("id"))) == (block.get("type"), id)

    def add(self, field: str, text: str) -> None:
        """Add a piece to a field."""
        self.pieces.setdefault(field, []).append(text)

    def input(self) -> str:
        """The JSON text of a tool's input: what the deltas brought, else what the start did."""
        return "".join(self.pieces.get("partial_json", ())) or written(self.start.get("input") or None)

    def merge(self, delta: Mapping[str, Any]) -> None:
        """Add what a delta brings to a raw block, whatever its fields are called."""
        for field, value in delta.items():
            if field == "citation":
                self._extend("citations", [value])
            elif isinstance(value, list):
                self._extend(field, value)
            elif isinstance(value, str) and field != "type":
                self.add(field, value)
            elif field != "type" and value is not None:
                self.start[field] = value

    def whole(self) -> dict[str, Any]:
        """A raw block with its deltas in place: as an answer that is not streamed would bring it."""
        texts = {field: "".join(pieces) for field, pieces in self.pieces.items() if field != "partial_json"}
        given = {field: value for field in texts if isinstance(value := self.start.get(field), str)}
        block = {**self.start, **{field: given.get(field, "") + text for field, text in texts.items()}}
        if "partial_json" in self.pieces and (text := self.input()):
            value, why = parse_arguments(text)
            block["input"] = text if why else value
        return block

    def _extend(self, field: str, values: list[Any]) -> None:
        held = self.start.get(field)
        if isinstance(held, list):
            held += values
        else:
            self.start[field] = values


class MessagesDecoder(Decoder):
    """Events of one answer into chunks. Each kind of event, block and delta has a method of its name.

    Unknown events and deltas are skipped; unknown blocks are kept as they are, with their deltas in place.
    """

    def __init__(self, *, provider: str, index: int = 0, step: int = 1) -> None:
        super().__init__(provider=provider, index=index, step=step)
        self._first = index
        self._open: dict[int, _Block] = {}
        self._last = -1  # index of the block begun last, for events that name none
        self._begun = False
        self._stopped = False
        self._usage: dict[str, Any] = {}
        self._plain_start = "\0"  # begins no JSON
        self._plain_thinks = False
        self._uncited = False  # the block before was text without citations

    def event(self, event: Event) -> None:
        """Decode one event.

        Raises:
            ProviderError: the event reports an error.
            DecodeError: the event cannot be understood.
        """
        text = event.data
        if text.startswith(self._plain_start):
            plain = _plain(text, len(self._plain_start))
            if plain is not None:
                (self.thinking if self._plain_thinks else self.text)(plain)
                return
        self._event(event)

    def end(self) -> list[Chunk]:
        """Give the last chunks of a complete answer.

        Raises:
            StreamTruncated: the body ended before `message_stop` and without a stop reason.
        """
        reason = self.state.raw_finish_reason
        if reason is None and not self._stopped:
            raise self.cut_off("message_stop")
        try:
            for index in list(self._open):
                self._close(index)
        except RecursionError:  # what can be parsed can still be too deep to be walked
            raise DecodeError(f"{self.state.provider}: a block of the answer is nested too deeply to be read") from None
        self.step_finish(_FINISH_REASONS.get(reason or "", "other"))
        return self.take()

    # -- an event

    def _event(self, event: Event) -> None:
        value = self.parsed_object(event)
        if value is None:
            return
        data: _Event = value
        kind = data.get("type")
        # By what the JSON says; by the event's name where that says nothing known.
        method = (_EVENTS.get(kind) if type(kind) is str else None) or _EVENTS.get(event.event)
        known = method is not None or type(kind) is str
        if error_in(value, "message" if known else event.event, answer=known):
            method = MessagesDecoder.error
        if method is not None:
            method(self, data)
        elif kind == "message":
            self.message(value)

    def message_start(self, data: _Event) -> None:
        """The answer begins."""
        message = mapped(data.get("message"))
        self._begun = True
        self.state.id = word(message.get("id")) or self.state.id
        self.state.model = word(message.get("model")) or self.state.model
        self._report(message.get("usage"), nulls=True)
        self.keep(message, _READ)

    def content_block_start(self, data: _Event) -> None:
        """A block begins; one still open under its index has lost its end."""
        index = self._index(data, self._last + 1)
        block = mapped(data.get("content_block"))
        kind = word(block.get("type"))
        self._begun = True
        self._last = index
        unfinished = self._open.get(index)
        if unfinished is not None and unfinished.begins_as(block):
            return  # said again
        self._close(index)
        self._plain_start = "\0"
        self._uncited = self._uncited and kind == "text"
        start = _STARTS.get(kind)
        if start is not None:
            start(self, index, block)
        elif kind:
            self._open[index] = _Block(kind, dict(block))

    def content_block_delta(self, data: _Event) -> None:
        """A block grows."""
        index = data.get("index")
        if type(index) is not int:
            index = self._last
        delta = mapped(data.get("delta"))
        block = self._open.get(index)
        if block is not None and block.is_raw:
            block.merge(delta)
            return
        kind = delta.get("type")
        if type(kind) is not str:
            kind = next((name for field, name in _DELTA_BY_FIELD.items() if field in delta), "")
        add = _DELTAS.get(kind)
        if add is not None:
            add(self, index, delta)

    def content_block_stop(self, data: _Event) -> None:
        """A block is whole. Whether a call without input was cut off before it, only the stop reason will tell."""
        index = self._index(data, self._last)
        block = self._open.get(index)
        if block is None or block.kind != "tool_use" or block.input().strip():
            self._close(index)

    def message_delta(self, data: _Event) -> None:
        """The answer's stop reason, and its usage so far."""
        delta = mapped(data.get("delta"))
        self.state.raw_finish_reason = word(delta.get("stop_reason")) or self.state.raw_finish_reason
        self._report(data.get("usage"))
        self.keep(delta, _READ)
        self.keep(data, _READ)

    def message_stop(self, data: _Event) -> None:
        """The answer is complete, if there was one."""
        self.finished = True
        self._stopped = self._begun or self.index > self._first
        self.keep(data, _READ)

    def message(self, data: Mapping[str, Any]) -> None:
        """A whole answer at once, from a server that does not stream."""
        self.message_start({"message": data})
        self.state.raw_finish_reason = word(data.get("stop_reason")) or None
        content = data.get("content")
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        for index, block in enumerate(listed(content)):
            self.content_block_start({"index": index, "content_block": block})
            self._close(index)
        self.finished = self._stopped = True

    def error(self, data: _Event) -> NoReturn:
        """The provider gives up."""
        failure = event_error(self.state.provider, error_in(data, "error"))
        request_id = data.get("request_id")
        if isinstance(request_id, str):
            failure.request_id = printable(request_id, 200)
        raise failure

    # -- blocks that begin

    def text_start(self, index: int, block: _BlockStart) -> None:
        """Visible text; its deltas stand by themselves."""
        if self._uncited and type(block.get("citations")) is list:
            self.text("", {"citations": []})  # the citations of this block are not of the text before it
        self._uncited = True
        self._expect_plain(index, "text")
        self.text(said(block.get("text")))
        for citation in listed(block.get("citations")):
            self._cite(index, citation)

    def thinking_start(self, index: int, block: _BlockStart) -> None:
        """Thinking; its signature goes out at its end, as the end of what it signs."""
        self._open[index] = _Block("thinking", {"signature": block.get("signature")})
        self._expect_plain(index, "thinking")
        self.thinking(said(block.get("thinking")))

    def redacted_thinking_start(self, index: int, block: _BlockStart) -> None:
        """Thinking that is kept secret."""
        data = word(block.get("data"))
        if data:
            self.thinking("", {"redacted": data})

    def tool_use_start(self, index: int, block: _BlockStart) -> None:
        """A call for the client."""
        id, name = identifier(block.get("id")), word(block.get("name"))
        self._open[index] = _Block("tool_use", {"id": id, "name": name, "input": block.get("input")})
        self.tool_start(id, name)

    # -- blocks that end

    def text_stop(self, index: int, block: _Block) -> None:
        """The citations end the text that they are of, for the next turn."""
        self._uncited = False
        self.text("", {"citations": block.start["citations"]})

    def thinking_stop(self, index: int, block: _Block) -> None:
        """The signature ends the thinking that it signs."""
        signature = word(block.start["signature"])
        if signature:
            self.thinking("", {"signature": signature})

    def tool_use_stop(self, index: int, block: _Block) -> None:
        """A whole call, unless the answer was ended before its input."""
        text = block.input()
        reason = _FINISH_REASONS.get(self.state.raw_finish_reason or "")
        cut = reason in CUT_SHORT and index == self._last and not text.strip()
        why = f"the answer ended before its input: {reason}" if cut else None
        self.tool_call(block.start["id"], block.start["name"], text, why=why)

    def raw_stop(self, index: int, block: _Block) -> None:
        """A block that only Anthropic understands, kept for the next turn."""
        self.text("", {"raw_block": scrub(block.whole()), "provider": self.state.provider})
        if block.kind == "fallback":  # another model goes on with the answer
            self.state.model = word(mapped(block.start.get("to")).get("model")) or self.state.model

    # -- deltas

    def text_delta(self, index: int, delta: _Delta) -> None:
        """More visible text."""
        self.text(said(delta.get("text")))

    def thinking_delta(self, index: int, delta: _Delta) -> None:
        """More thinking."""
        self.thinking(said(delta.get("thinking")))

    def signature_delta(self, index: int, delta: _Delta) -> None:
        """The signature of the thinking."""
        signature = word(delta.get("signature"))
        block = self._open.get(index)
        if signature and block is not None:
            block.start["signature"] = signature
        elif signature:
            self.thinking("", {"signature": signature})

    def input_json_delta(self, index: int, delta: _Delta) -> None:
        """More of a call's input."""
        fragment = said(delta.get("partial_json"))
        block = self._open.get(index)
        if not fragment:
            return
        if block is None or block.kind != "tool_use":
            raise DecodeError("the provider sent input of a tool call that never began", event=printable(str(delta)))
        block.add("partial_json", fragment)
        self.tool_delta(block.start["id"], fragment)

    def citations_delta(self, index: int, delta: _Delta) -> None:
        """Where a statement comes from; it may be said before the statement is."""
        self._cite(index, delta.get("citation"))

    # -- private

    def _expect_plain(self, index: int, field: str) -> None:
        """Say how the plain deltas of this block will begin, in Anthropic's own spelling."""
        self._plain_start = (
            f'{{"type":"content_block_delta","index":{index},"delta":{{"type":"{field}_delta","{field}":"'
        )
        self._plain_thinks = field == "thinking"

    def _index(self, data: _Event, default: int) -> int:
        index = data.get("index")
        return index if type(index) is int else default

    def _close(self, index: int) -> None:
        block = self._open.pop(index, None)
        if block is not None:
            _STOPS.get(block.kind, MessagesDecoder.raw_stop)(self, index, block)

    def _cite(self, index: int, citation: object) -> None:
        cited = mapped(citation)
        if any(value is not None for value in cited.values()):
            self.source(
                Source(
                    url=word(cited.get("url")) or None,
                    title=word(cited.get("title")) or word(cited.get("document_title")) or None,
                    id=word(cited.get("source")) or word(cited.get("file_id")) or None,
                    text=word(cited.get("cited_text")) or None,
                    metadata=unread(cited, _READ_OF_SOURCE),
                )
            )
            block = self._open.setdefault(index, _Block("text", {"citations": []}))
            if block.kind == "text":
                block.start["citations"].append(scrub(cited))

    def _report(self, usage: object, *, nulls: bool = False) -> None:
        """Take counts. They are of the whole answer so far: each replaces its earlier value, null replaces none."""
        fields = {name: value for name, value in mapped(usage).items() if value is not None}
        if nulls:
            fields = {**mapped(usage), **self._usage, **fields}
        if fields:
            self._usage |= scrub(fields)
            self.state.usage = _usage(self._usage)
            if "iterations" in fields:
                self.state.metadata["iterations"] = self._usage["iterations"]


_READ = frozenset({"type", "id", "role", "model", "content", "stop_reason", "usage", "message", "delta", "index"})
_READ_OF_SOURCE = frozenset({"url", "title", "document_title", "source", "file_id", "cited_text"})

_EVENTS: dict[str, Callable[[MessagesDecoder, _Event], None]] = {
    "message_start": MessagesDecoder.message_start,
    "content_block_start": MessagesDecoder.content_block_start,
    "content_block_delta": MessagesDecoder.content_block_delta,
    "content_block_stop": MessagesDecoder.content_block_stop,
    "message_delta": MessagesDecoder.message_delta,
    "message_stop": MessagesDecoder.message_stop,
    "error": MessagesDecoder.error,
}

_STARTS: dict[str, Callable[[MessagesDecoder, int, _BlockStart], None]] = {
    "text": MessagesDecoder.text_start,
    "thinking": MessagesDecoder.thinking_start,
    "redacted_thinking": MessagesDecoder.redacted_thinking_start,
    "tool_use": MessagesDecoder.tool_use_start,
}

_STOPS: dict[str, Callable[[MessagesDecoder, int, _Block], None]] = {
    "text": MessagesDecoder.text_stop,
    "thinking": MessagesDecoder.thinking_stop,
    "tool_use": MessagesDecoder.tool_use_stop,
}
"""Of blocks that have something to say at their end; raw ones are all others that are open."""

_DELTAS: dict[str, Callable[[MessagesDecoder, int, _Delta], None]] = {
    "text_delta": MessagesDecoder.text_delta,
    "thinking_delta": MessagesDecoder.thinking_delta,
    "signature_delta": MessagesDecoder.signature_delta,
    "input_json_delta": MessagesDecoder.input_json_delta,
    "citations_delta": MessagesDecoder.citations_delta,
}

_DELTA_BY_FIELD = {
    "text": "text_delta",
    "thinking": "thinking_delta",
    "signature": "signature_delta",
    "partial_json": "input_json_delta",
    "citation": "citations_delta",
}
"""What a delta is that does not say so itself."""


def _plain(text: str, start: int) -> str | None:
    """Read the string that begins here and ends a plain delta: in 0.3 µs, where parsing it all takes 0.8."""
    try:
        content: str
        content, end = scanstring(text, start)
    except ValueError:
        return None
    return content if text[end:].replace(" ", "") == "}}" else None  # Anthropic pads events with spaces


def _usage(raw: Mapping[str, Any]) -> Usage:
    """Counts of a usage object, which counts what the cache gave and took beside `input_tokens`, not in it."""
    counts = {name: count(raw.get(name)) for name in ("input_tokens", "output_tokens", _CACHE_READ, _CACHE_WRITTEN)}
    read, written, completion = counts[_CACHE_READ] or 0, counts[_CACHE_WRITTEN] or 0, counts["output_tokens"] or 0
    prompt = (counts["input_tokens"] or 0) + read + written
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        reasoning_tokens=count(mapped(raw.get("output_tokens_details")).get("thinking_tokens")) or 0,
        cache_read_tokens=read,
        cache_write_tokens=written,
        raw=dict(raw),
        source="unknown" if all(value is None for value in counts.values()) else "reported",
    )


_CACHE_READ = "cache_read_input_tokens"
_CACHE_WRITTEN = "cache_creation_input_tokens"
