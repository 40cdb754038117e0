"""OpenAI's Responses API, and the services that speak it.

Wire: https://platform.openai.com/docs/api-reference/responses and .../responses-streaming, read November 2026; what
other services do on it is known from recordings of a dozen of them. One HTTP request a call, `POST
{base_url}/responses`, and nothing is stored at the provider; the events of the answer say in their JSON what they are.
This file turns a request into that request, and those events into chunks. It knows nothing of threads, sockets or time.

An answer is made of items (reasoning, a message, a call), each of them `response.output_item.added`, deltas and
`response.output_item.done`; the last event, `response.completed`, `.incomplete` or `.failed`, has the whole response
in it once more. Everything is thus said up to four times, and services leave out any of the four. The decoder gives
what is new in each, is lenient about where an event belongs, and strict about the end: without one of the last events
no answer is complete.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from json.decoder import scanstring  # type: ignore[attr-defined]  # there since Python 2.6, but not in typeshed
from typing import Any
from urllib.parse import quote

from streamkit import lazy_attrs as attrs
from streamkit.codec import Capabilities, Decoder, HttpRequest, Provider, counted, logprobs
from streamkit.encoding import (
    CallIds,
    bearer,
    described,
    get,
    given,
    is_own,
    media_objections,
    merged,
    objections,
    post,
    refuse,
    result_text,
)
from streamkit.errors import ProviderError
from streamkit.framing import Event, SSEFramer
from streamkit.jsontext import listed, mapped, named, parse_arguments, said, scrub, word, written
from streamkit.provider_errors import error_in, event_error, status_error
from streamkit.providers.keyed import KeyedProvider
from streamkit.schema_rules import OPENAI_STRICT
from streamkit.types.chunks import Chunk, ToolCallChunk
from streamkit.types.messages import (
    FilePart,
    ImagePart,
    Message,
    Part,
    RawPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from streamkit.types.request import ChatRequest, ResponseFormat, Tool
from streamkit.types.usage import Usage

__all__ = ["CAPABILITIES", "THINKING_MODELS", "OpenAIResponses", "Quirks", "Responses", "ResponsesDecoder"]

# gpt-4o and gpt-5-chat-latest do not think, and refuse to be asked for encrypted thinking.
THINKING_MODELS = r"(^|[/:.])(o\d|codex|(?!gpt-[^/]*chat)gpt-([5-9]|\d\d))"
"""A pattern of the names of those of OpenAI's models that think."""


@attrs.frozen(kw_only=True)
class Quirks:
    """What a service does its own way on this wire. The defaults fit most."""

    signed_thinking: str | None = THINKING_MODELS
    """A pattern, searched in the model's name, of the models that give and take encrypted thinking; None: no model."""
    unsigned_thinking: bool = False
    """Whether the service takes its thinking back as plain text."""
    direct: bool = True
    """Whether a server of this machine is reached past the environment's proxies, which could not reach it."""


CAPABILITIES = Capabilities(
    parallel_tool_calls=True,
    tool_result_images=True,
    files=True,
    thinking=True,
    reasoning_effort=True,
    prompt_caching=True,
    seed=False,
    stop=False,
    penalties=False,
    logprobs=True,
)
"""What can be asked of OpenAI's own API and, as far as we know, of most services on its wire."""


@attrs.frozen(kw_only=True)
class Responses:
    """The wire format of `POST /responses`. Stateless; share it between any number of threads."""

    quirks: Quirks = Quirks()
    capabilities: Capabilities = CAPABILITIES
    framer = SSEFramer
    error = staticmethod(status_error)

    def encode(self, request: ChatRequest, provider: Provider) -> HttpRequest:
        """Put a request into the API's words.

        The system messages at the beginning become `instructions`. Nothing is stored: thinking comes encrypted and is
        sent back, to the provider that gave it, before what it led to; other providers' raw blocks are left out.
        `thinking` asks for a summary of it. A tool's failure is sent as a result that says so. `prompt_caching` asks
        for nothing: it is automatic here. `provider_options`, the API's own fields, have the last word (see
        `encoding.merged`).

        Raises:
            ConfigError: for what the API does not know or cannot do.
        """
        refuse(provider, _objections(request, self.capabilities))
        return post(
            f"{provider.base_url}/responses",
            merged(_body(request, self.quirks, provider.name), request.provider_options),
            secrets=bearer(provider.secret()),
            own=request.headers,
            direct=self.quirks.direct,
        )

    def encode_again(self, request: ChatRequest, provider: Provider, id: str) -> HttpRequest:
        """Ask once more for the events of the answer with this id, from the first on.

        The API keeps them for some minutes of answers that were asked for with `background` and `store`, which go on
        without a reader: https://platform.openai.com/docs/guides/background#streaming-a-background-response.

        Raises:
            ConfigError: the answer was not asked for so.
        """
        if request.provider_options.get("background") is not True:
            refuse(
                provider, ['only an answer asked for with provider_options({"background": True, "store": True}) stays']
            )
        url = f"{provider.base_url}/responses/{quote(id, safe='')}?stream=true"
        asked = post(url, {}, secrets=bearer(provider.secret()), own=request.headers, direct=self.quirks.direct)
        return attrs.evolve(asked, method="GET", body=b"")

    def decoder(self, request: ChatRequest, provider: Provider, *, index: int = 0, step: int = 1) -> ResponsesDecoder:
        """Give a decoder for one answer."""
        tools = frozenset(tool.name for tool in request.tools)
        return ResponsesDecoder(provider=provider.name, index=index, step=step, tools=tools)

    def list_models(self, provider: Provider) -> HttpRequest:
        """Give the request for the names of the models; the API gives all at once."""
        return get(f"{provider.base_url}/models", secrets=bearer(provider.secret()), direct=self.quirks.direct)

    def model_names(self, answer: Any) -> list[str]:
        """Give the names in a list of models, which may stand by itself, and mostly stands under `data`."""
        return named(answer.get("data") if type(answer) is dict else answer, "id")


class OpenAIResponses(KeyedProvider):
    """OpenAI by its Responses API. `base_url` is as in OpenAI's own SDK, with its /v1."""

    name = "openai-responses"
    key_variables = ("OPENAI_API_KEY",)
    base_url_variable = "OPENAI_BASE_URL"
    default_base_url = "https://api.openai.com/v1"
    usual_model = "gpt-5-mini"
    codec = Responses(quirks=Quirks(direct=False), capabilities=attrs.evolve(CAPABILITIES, schema_rules=OPENAI_STRICT))


# -- the request


def _objections(request: ChatRequest, can: Capabilities) -> Iterator[str]:
    """What the API would refuse, or does not know, each with what to do instead."""
    yield from objections(request, can)
    yield from media_objections(request)


def _body(request: ChatRequest, quirks: Quirks, provider: str) -> dict[str, Any]:
    offers_tools = bool(request.tools) or "tools" in request.provider_options
    signed = quirks.signed_thinking is not None and bool(re.search(quirks.signed_thinking, request.model))
    custom = _custom(request.provider_options)
    history = _History(provider=provider, signed=signed, unsigned=quirks.unsigned_thinking, custom=custom)
    instructions, messages = _instructions(request.messages)
    include = ["reasoning.encrypted_content"] * signed
    include += ["message.output_text.logprobs"] * (request.logprobs is not None)
    fields = {
        "model": request.model,
        "instructions": instructions or None,
        "input": [item for message in messages for item in history.items(message)],
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_output_tokens": request.max_tokens,
        "top_logprobs": request.logprobs or None,
        "tools": [_tool(tool) for tool in request.tools] or None,
        "tool_choice": _tool_choice(request.tool_choice, custom) if offers_tools else None,
        "parallel_tool_calls": request.parallel_tool_calls if offers_tools else None,
        "text": {"format": _format(request.response_format)} if request.response_format else None,
        "reasoning": _reasoning(request) or None,
        "include": include or None,
        "store": False,
        "stream": True,
    }
    return given(fields)


def _tool(tool: Tool) -> dict[str, Any]:
    """A function. Left unsaid, `strict` would be true here, and every parameter required."""
    return {"type": "function", **described(tool), "parameters": tool.parameters, "strict": False}


def _tool_choice(choice: str | None, custom: Collection[str]) -> Any:
    if choice in (None, "auto", "none", "required"):
        return choice
    return {"type": "custom" if choice in custom else "function", "name": choice}


def _format(wanted: ResponseFormat) -> dict[str, Any]:
    if wanted.type == "schema":
        return {"type": "json_schema", "name": wanted.name, "schema": wanted.schema or {}, "strict": wanted.strict}
    return {"type": "json_object" if wanted.type == "json" else "text"}


def _reasoning(request: ChatRequest) -> dict[str, Any]:
    effort = {"effort": request.reasoning_effort} if request.reasoning_effort is not None else {}
    return {**effort, "summary": "auto"} if request.thinking else effort


def _custom(options: Mapping[str, Any]) -> frozenset[str]:
    """The names of the tools that take free text, which only provider options can offer."""
    tools = [tool for tool in listed(options.get("tools")) if isinstance(tool, Mapping)]
    return frozenset(word(tool.get("name")) for tool in tools if tool.get("type") == "custom")


def _instructions(messages: Sequence[Message]) -> tuple[str, Sequence[Message]]:
    """The text of the system messages at the beginning, and the messages after them."""
    first = next((at for at, message in enumerate(messages) if message.role != "system"), len(messages))
    return "\n\n".join(message.text for message in messages[:first] if message.text), messages[first:]


@attrs.define(kw_only=True)
class _History:
    """The history as it becomes items: a message may be several of them."""

    provider: str
    signed: bool
    unsigned: bool
    custom: frozenset[str]
    ids: CallIds = attrs.field(factory=CallIds)
    custom_ids: set[str] = attrs.field(factory=set)

    def items(self, message: Message) -> list[dict[str, Any]]:
        """The items of a message, in its order; text, images and files beside each other are one."""
        items: list[dict[str, Any]] = []
        shown: list[Part] = []
        for part in message.content:
            if isinstance(part, (TextPart, ImagePart, FilePart)):
                shown.append(part)
            elif (item := self._item(part)) is not None:
                items += [*_shown(message.role, shown), item]
                shown = []
        items += _shown(message.role, shown)
        while items and items[-1].get("type") == "reasoning":  # refused without what it led to
            items.pop()
        if items or message.role == "assistant":
            return items
        return [{"role": _role(message.role), "content": ""}]

    def _item(self, part: Part) -> dict[str, Any] | None:
        if isinstance(part, ToolCallPart):
            return self._call(part)
        if isinstance(part, ToolResultPart):
            return self._result(part)
        if isinstance(part, ThinkingPart):
            return self._thinking(part) if is_own(part, self.provider) else None
        return dict(part.block) if isinstance(part, RawPart) and part.provider == self.provider else None

    def _call(self, part: ToolCallPart) -> dict[str, Any]:
        id = self.ids.of_call(part)
        if part.name in self.custom:
            self.custom_ids.add(id)
            return {"type": "custom_tool_call", "call_id": id, "name": part.name, "input": part.input}
        return {"type": "function_call", "call_id": id, "name": part.name, "arguments": part.input or "{}"}

    def _result(self, part: ToolResultPart) -> dict[str, Any]:
        id = self.ids.of_result(part)
        kind = "custom_tool_call_output" if id in self.custom_ids else "function_call_output"
        text = result_text(part)
        parts: list[Part] = [*([TextPart(text=text)] if text else []), *part.images]
        return {"type": kind, "call_id": id, "output": [_part(one) for one in parts] if part.images else text}

    def _thinking(self, part: ThinkingPart) -> dict[str, Any] | None:
        if part.signature is not None and self.signed:
            summary = [{"type": "summary_text", "text": part.text}] if part.text else []
            return {"type": "reasoning", "summary": summary, "encrypted_content": part.signature}
        if self.unsigned and part.text:
            return {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": part.text}]}
        return None


def _shown(role: str, parts: Sequence[Part]) -> list[dict[str, Any]]:
    """What is shown in a message, as one item, or none where there is nothing in it."""
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    # Text alone as a text, which is the same for each role; with images or files a list of parts.
    content = "".join(texts) if len(texts) == len(parts) else [_part(part) for part in parts]
    kind = {"type": "message"} if role == "assistant" else {}  # without it llama.cpp takes it for an unknown item
    return [{**kind, "role": _role(role), "content": content}] if content else []


def _role(role: str) -> str:
    return "user" if role == "tool" else role  # results of tools are items by themselves


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        return {"type": "input_image", "image_url": part.data_url(), "detail": part.detail or "auto"}
    if isinstance(part, FilePart):
        return _file(part)
    return {"type": "input_text", "text": part.text if isinstance(part, TextPart) else ""}


def _file(part: FilePart) -> dict[str, Any]:
    if part.media_type.startswith("image/"):
        return {"type": "input_image", "image_url": part.data_url(), "detail": "auto"}
    if part.url is not None:
        return {"type": "input_file", "file_url": part.url}
    return {"type": "input_file", "filename": part.name, "file_data": part.data_url()}


# -- the answer


_INCOMPLETE = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "length": "length",
    "content_filter": "content_filter",
}
"""Ours by the reason of an incomplete response. Any other is "other"."""

_COUNTS = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "total_tokens": "total_tokens",
    "reasoning_tokens": "reasoning_tokens",
    "cached_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
}
"""Our names of token counts by the API's, in `usage` itself or in its details."""

_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
"""The items that are calls, and the field with their text."""

_X_SEARCH = frozenset({"x_keyword_search", "x_semantic_search", "x_thread_fetch", "x_user_search"})
"""Calls of free text that xAI makes and answers itself, though nothing else about them says so."""

_DELTAS = {
    "response.output_text.delta": ("message", "output_text"),
    "response.refusal.delta": ("message", "refusal"),
    "response.reasoning_summary_text.delta": ("reasoning", "summary_text"),
    "response.reasoning_summary.delta": ("reasoning", "summary_text"),
    "response.reasoning_text.delta": ("reasoning", "reasoning_text"),
    "response.reasoning.delta": ("reasoning", "reasoning_text"),
    "response.function_call_arguments.delta": ("function_call", "arguments"),
    "response.custom_tool_call_input.delta": ("custom_tool_call", "input"),
}
"""The events that add a piece to an item: its kind, and what grows."""

_TEXTS = {
    "response.output_text.done": ("message", "output_text", "text"),
    "response.refusal.done": ("message", "refusal", "refusal"),
    "response.reasoning_summary_text.done": ("reasoning", "summary_text", "text"),
    "response.reasoning_text.done": ("reasoning", "reasoning_text", "text"),
    "response.function_call_arguments.done": ("function_call", "arguments", "arguments"),
    "response.custom_tool_call_input.done": ("custom_tool_call", "input", "input"),
}
"""The events that say all pieces once more: the item's kind, what has grown, and the field it stands in."""

_PART_FIELDS = {
    "output_text": ("message", "output_text"),
    "text": ("message", "output_text"),
    "refusal": ("message", "refusal"),
    "summary_text": ("reasoning", "summary_text"),
    "reasoning_text": ("reasoning", "reasoning_text"),
}
"""What has grown to a part, by the part's type."""

_RUNNING = ("queued", "in_progress")
"""The status of a response that has not ended. With the event that ends it, it says nothing."""

# Fields that are read elsewhere, or repeat the request. What is in none of these becomes metadata.
_READ_OF_EVENT = frozenset({"type", "response", "sequence_number", "error"})
_READ_OF_RESPONSE = frozenset(
    {"id", "object", "model", "status", "error", "output", "output_text", "usage", "created_at", "completed_at",
     "background", "frequency_penalty", "instructions", "max_output_tokens", "max_tool_calls", "parallel_tool_calls",
     "presence_penalty", "previous_response_id", "prompt", "prompt_cache_key", "prompt_cache_retention", "reasoning",
     "safety_identifier", "store", "temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p",
     "truncation", "user"}
)  # fmt: skip
_READ_OF_MESSAGE = frozenset({"type", "id", "status", "role", "content"})
_READ_OF_SOURCE = frozenset({"type", "url", "file_id", "title", "filename"})

_Event = Mapping[str, Any]
"""An event, or an object in it, whose fields may hold anything."""


@attrs.define(kw_only=True, eq=False)
class _Item:
    """An item of the answer as it grows."""

    kind: str
    id: str = ""
    call_id: str = ""
    name: str = ""
    index: int | None = None
    added: bool = False
    """An event said that it begins: then its deltas need not say whose they are."""
    done: bool = False
    begun: bool = False
    """The start of its call was given."""
    start: str = ""
    """The text that its call began with, which counts only where no other comes."""
    whole: str = ""
    """The text of its call, said once more."""
    pieces: dict[str, list[str]] = attrs.field(factory=lambda: defaultdict(list))
    """What was given of it, by what grows."""
    parts: dict[str, int] = attrs.field(factory=lambda: defaultdict(int))
    """How many of the pieces are of parts that have ended."""
    part: dict[str, int] = attrs.field(factory=dict)
    """The index of the part that grows, by what grows."""
    past: set[tuple[str, int]] = attrs.field(factory=set)
    """The parts that others have followed: what grows, and their index."""

    @property
    def is_call(self) -> bool:
        """Whether it is a call for the client."""
        return self.kind in _CALLS and not (self.kind == "custom_tool_call" and self.name in _X_SEARCH)

    @classmethod
    def of(cls, data: _Event) -> _Item:
        """What an event says of an item."""
        item = cls(kind=word(data.get("type")), id=word(data.get("id")))
        item.take(data)
        return item

    def take(self, data: _Event) -> None:
        """Learn the id and the name of a call."""
        self.call_id = self.call_id or word(data.get("call_id"))
        self.name = self.name or word(data.get("name"))

    def is_meant(self, kind: str, call_id: str) -> bool:
        """Whether it can be the item of an event of this kind."""
        return self.kind == kind and (not call_id or not self.call_id or call_id == self.call_id)

    def may_be(self, id: str) -> bool:
        """Whether an event that names another item can be meant; where items do not begin, calls have only their id."""
        return self.added or self.kind not in _CALLS or not id or not self.id or id == self.id

    def is_again(self, other: _Item) -> bool:
        """Whether an item that begins is this one, said again."""
        if self.done or not self.added or not (self.id or self.call_id):
            return False
        return (self.id, self.call_id, self.name) == (other.id, other.call_id, other.name)

    def is_elsewhere(self, id: str, index: int | None) -> bool:
        """Whether an event names both another id and another index."""
        return bool(id and self.id and id != self.id) and None not in (index, self.index) and index != self.index

    def turn_to(self, field: str, part: int | None) -> bool:
        """Go on with a part of a text; whether it is a new one, after another."""
        last = self.part.get(field)
        if part is None or part == last:
            return False
        self.part[field] = part
        if last is None:
            return False
        new = (field, part) not in self.past
        self.past.discard((field, part))
        self.past.add((field, last))
        return new

    def text(self, field: str, start: int = 0) -> str:
        """What was given so far of one thing that grows, from this piece on."""
        return str(scrub("".join(self.pieces[field][start:])))

    def texts(self) -> str:
        """All that was given so far."""
        return "".join([self.text(field) for field in list(self.pieces)])

    def rest(self, field: str, whole: str) -> str:
        """What is still to be given of a whole text; "" where something else was given: it cannot be taken back."""
        given, whole = self.text(field), str(scrub(whole))
        return whole[len(given) :] if whole.startswith(given) else ""

    def rest_of_part(self, field: str, whole: str) -> str:
        """The same of a whole part of a text, the one that is growing."""
        whole = str(scrub(whole))
        if self._end(field, 2 * len(whole)).endswith(whole):  # twice: what is one character now may have come as two
            return ""
        given = self.text(field, self.parts[field])
        return whole[len(given) :] if whole.startswith(given) else ""

    def _end(self, field: str, length: int) -> str:
        """The last characters of what was given so far: parts may be many, and what was given long."""
        pieces: list[str] = []
        for piece in reversed(self.pieces[field]):
            if length <= 0:
                break
            pieces.append(piece[-length:])
            length -= len(piece)
        return str(scrub("".join(reversed(pieces))))


class _Form:
    """A delta as one answer repeats it, which is the same to the byte but for a number, the text and the padding.

    `streamkit.stencil` cannot read these, as the number differs in each event. Decoding an event takes 1.7 µs by its
    form, 3.5 where msgspec parses it and 5 where json does.
    """

    __slots__ = ("_blanks", "_tail", "field", "item", "pieces")

    def __init__(self, item: _Item, field: str, blanks: Sequence[tuple[str, int, str]] = (), tail: str = "\0") -> None:
        self.item = item
        self.field = field
        self.pieces = item.pieces[field]
        self._blanks = blanks  # what stands before each blank, its length, and what fills the blank
        self._tail = tail

    def read(self, text: str) -> str | None:
        """Give the piece of text, or None where the event has to be parsed."""
        piece, at = None, 0
        try:
            for literal, length, kind in self._blanks:
                if not text.startswith(literal, at):
                    return None
                if kind == "number":
                    at = _DIGITS(text, at + length).end()
                elif kind == "delta":
                    piece, at = scanstring(text, at + length)
                else:
                    _, at = scanstring(text, at + length)
        except ValueError:  # no string there
            return None
        return piece if text[at:] == self._tail else None

    @classmethod
    def of(cls, text: str, value: Mapping[str, Any], item: _Item, field: str) -> _Form:
        """Give the form of a delta that was parsed and belongs to this item; where it has none, one that fits none."""
        blanks: list[tuple[str, int, str]] = []
        at = 0
        plain = _PLAIN.issuperset(value) and not value.get("logprobs")
        while plain and (blank := _BLANK.search(text, at)) is not None:
            start, end, kind = at, blank.end(), blank[1]
            at = _DIGITS(text, end).end() if kind == "sequence_number" else scanstring(text, end)[1]
            blanks.append((text[start:end], end - start, "number" if kind == "sequence_number" else kind))
        if [kind for _, _, kind in blanks].count("delta") != 1:
            return _NO_FORM
        return cls(item, field, blanks, text[at:])


_PLAIN = frozenset(
    {"type", "sequence_number", "item_id", "output_index", "content_index", "summary_index", "delta", "logprobs",
     "obfuscation"}
)  # fmt: skip
"""The fields of a delta that says nothing but its text."""
_BLANK = re.compile(r'"(?=sequence_number"\s*:\s*[0-9]|(?:delta|obfuscation)"\s*:\s*")([a-z_]+)"\s*:\s*"?')
_DIGITS: Callable[[str, int], re.Match[str]] = re.compile("[0-9]*").match  # type: ignore[assignment]  # fits anything
_WASTED = 8
"""Forms learnt in a row that fitted no event, after which none is: perhaps each event names another item."""

_NO_FORM = _Form(_Item(kind=""), "")
_NOWHERE = (("", None), ("call", ""), "", None)
"""Places of an item that say nothing of where it is."""


class ResponsesDecoder(Decoder):
    """Events of one answer into chunks. An event has a method of its name; unknown ones are skipped.

    Items of kinds that only the API understands are kept as they are, for the next turn.
    """

    def __init__(self, *, provider: str, index: int = 0, step: int = 1, tools: Iterable[str] = ()) -> None:
        """Take the names of the request's own tools: calls of others may be answered, and gone on from, elsewhere."""
        super().__init__(provider=provider, index=index, step=step)
        self._tools = frozenset(tools)
        self._items: list[_Item] = []
        self._places: dict[object, _Item] = {}  # by id and index, by call, by id, by index: of several the last
        self._last: dict[str, _Item] = {}  # the item begun last, by kind
        self._over = False  # the response has ended
        self._reason = ""  # why, in our words
        self._failure: ProviderError | None = None  # an error that more may be said of
        self._form = _NO_FORM
        self._wasted = 0  # forms in a row that fitted nothing
        self._refusal: list[str] = []

    def event(self, event: Event) -> None:
        """Decode one event.

        Raises:
            ProviderError: the event reports an error, or that the response failed.
            DecodeError: the event cannot be understood.
        """
        form = self._form
        piece = form.read(event.data)
        if piece is not None:
            self._wasted = 0
            if form.field == "output_text":  # as `_say` does
                form.pieces.append(piece)
                self.text(piece)
            else:
                self._say(form.item, form.field, piece)
        else:
            self._event(event)

    def end(self) -> list[Chunk]:
        """Give the last chunk of a complete answer, `step_finish`.

        Raises:
            StreamTruncated: the body ended before the event that ends the response.
            ProviderError: an error was reported.
        """
        if self._failure is not None:
            raise self._failure
        if not self._over:
            raise self.cut_off("response.completed")
        if self._refusal:
            self.state.metadata["refusal"] = "".join(self._refusal)
        self.step_finish(self._reason)
        return self.take()

    # -- an event

    def _event(self, event: Event) -> None:
        value = self.parsed_object(event)
        if value is None:
            return
        kind = value.get("type")
        # By what the JSON says; by the event's name where that says nothing known.
        name = kind if type(kind) is str and kind in _KNOWN else event.event
        if self._failure is not None and name in _KNOWN and name != "response.failed":
            raise self._failure
        if name in _DELTAS:
            self._delta(event.data, value, *_DELTAS[name])
        elif name in _TEXTS:
            self._text_done(value, *_TEXTS[name])
        elif name in _EVENTS:
            _EVENTS[name](self, value)
        elif value.get("object") == "response":
            self.response(value)
        elif not str(kind).startswith("response.") and error_in(value, event.event, answer=type(kind) is str):
            self.error(value)

    # -- the response

    def created(self, event: _Event) -> None:
        """A response begins or goes on; or, where tools are run elsewhere, the next one in the same body."""
        self._go_on()
        self._report(mapped(event.get("response")))

    def completed(self, event: _Event) -> None:
        """The response is whole."""
        self._ended(event, "completed")

    def incomplete(self, event: _Event) -> None:
        """The response ended early: a limit of tokens, a filter."""
        self._ended(event, "incomplete")

    def failed(self, event: _Event) -> None:
        """The response came to nothing."""
        self._ended(event, "failed")

    def cancelled(self, event: _Event) -> None:
        """The response was cancelled, by somebody else."""
        self._ended(event, "cancelled")

    def response(self, whole: _Event) -> None:
        """A whole response at once, from a server that does not stream."""
        if whole.get("status") not in _RUNNING:
            self._ended({"response": whole}, "completed")

    def error(self, event: _Event) -> None:
        """The provider gives up. An error in an object is OpenAI's own: what became of the response may follow it."""
        error = event.get("error")
        failure = self._failure or self._failed(error_in(event, "error"))
        if type(error) is not dict or event.get("type") != "error":
            raise failure
        self._failure = failure
        self._form = _NO_FORM

    def _ended(self, event: _Event, how: str) -> None:
        response = mapped(event.get("response"))
        if self._over or not (response or self._items):
            return  # said again, or the end of nothing
        status = word(response.get("status"))
        self.state.raw_finish_reason = status or how
        if status and status not in _RUNNING:
            how = status
        self._report(response)
        self.keep(response, _READ_OF_RESPONSE)
        self.keep(event, _READ_OF_EVENT)
        if how in ("failed", "cancelled"):
            error = response.get("error") or f"the response {'failed' if how == 'failed' else 'was cancelled'}"
            raise self._failure or self._failed(error)
        self._complete(response.get("output"), cut=how != "completed")
        self._reason = self._finish_reason(how, word(mapped(response.get("incomplete_details")).get("reason")))
        self._over = True
        self.finished = not self._awaits_others()

    def _go_on(self) -> None:
        """Take what follows the end of a response for another one."""
        if self._over:
            self._items, self._places, self._last = [], {}, {}
            self._over, self.state.raw_finish_reason = False, None
            self._form = _NO_FORM

    def _complete(self, output: Any, *, cut: bool) -> None:
        """Give what the whole response has and no event had; and the calls that no event ended."""
        whole = [data for data in listed(output) if type(data) is dict]
        given = _given_whole(whole, self._items)
        for data, item in _paired(whole, self._items):
            self._close(item or self._begin(data, None), data, given)
        for item in self._items:
            if item.is_call and not item.done:
                self._end_call(item, {}, "the answer ended before the call did" if cut else None)

    def _awaits_others(self) -> bool:
        """Whether a call is to be answered by somebody but our caller, who might go on in the same body."""
        answered = {item.call_id for item in self._items if item.kind.endswith("_output")}
        open_calls = (item for item in self._items if item.call_id and item.call_id not in answered)
        return any(
            item.name not in self._tools if item.is_call else item.kind.endswith("_call") and item.kind not in _CALLS
            for item in open_calls
        )

    def _finish_reason(self, how: str, why: str) -> str:
        """Ours for the API's status, corrected by what was seen: calls are to be answered, a refusal is no answer."""
        if how != "completed":
            return _INCOMPLETE.get(why, "other") if how == "incomplete" else "other"
        if any(item.is_call for item in self._items):
            return "tool_calls"
        if self._refusal:
            return "content_filter"
        asks = any(item.kind == "mcp_approval_request" for item in self._items)
        return "other" if asks or self._awaits_others() else "stop"

    # -- items

    def output_item_added(self, event: _Event) -> None:
        """An item begins."""
        self._go_on()
        self._form, self._wasted = _NO_FORM, 0
        data = mapped(event.get("item"))
        item = self._find(event, data)
        if item is not None and item.is_again(_Item.of(data)):
            return
        if item is None or item.added or item.done:
            item = self._begin(data, event.get("output_index"))
        else:  # its deltas came first
            self._place(item, data, event.get("output_index"))
        item.added = True
        if item.is_call:
            item.start = written(data.get(_CALLS[item.kind]))
            self._start_call(item)

    def output_item_done(self, event: _Event) -> None:
        """An item is whole."""
        self._form = _NO_FORM
        data = mapped(event.get("item"))
        item = self._find(event, data)
        if word(data.get("type")) and not (item and item.done):
            self._close(item or self._begin(data, event.get("output_index")), data)

    def part_done(self, event: _Event) -> None:
        """A part of a message, of a summary or of thinking is whole."""
        part = mapped(event.get("part"))
        kind, field = _PART_FIELDS.get(word(part.get("type")), ("", ""))
        if kind:
            self._text_done({**event, **part}, kind, field, "refusal" if field == "refusal" else "text")
            self._cite_all(part)

    def annotation_added(self, event: _Event) -> None:
        """Where a statement comes from."""
        self._cite(event.get("annotation"))

    def _delta(self, text: str, event: _Event, kind: str, field: str) -> None:
        """An item grows."""
        piece = said(event.get("delta"))
        data = {**event, "type": kind, "id": event.get("item_id")}
        item = self._find(event, data)
        if item is None or item.done:
            item = self._begin(data, event.get("output_index"))
        if item.turn_to(field, _part_of(event)):
            item.parts[field] = len(item.pieces[field])
        self._say(item, field, piece, logprobs(event.get("logprobs")))
        if self._wasted < _WASTED:
            self._wasted += 1
            self._form = _Form.of(text, event, item, field)

    def _text_done(self, event: _Event, kind: str, field: str, name: str) -> None:
        """All that grew of an item, or of a part of it, is said once more."""
        whole = event.get(name)
        if type(whole) is not str:
            return
        data = {**event, "type": kind, "id": event.get("item_id")}
        item, part = self._find(event, data) or self._begin(data, event.get("output_index")), _part_of(event)
        if item.done or (field, part) in item.past:
            return
        item.turn_to(field, part)
        if item.is_call:
            item.take(event)
            item.whole = whole
            self._start_call(item)
        self._say(item, field, item.rest_of_part(field, whole))
        item.parts[field] = len(item.pieces[field])

    def _find(self, event: _Event, data: _Event) -> _Item | None:
        """The item that an event is about, by whatever it says; where that is nothing, the one begun last of its kind.

        Some services name another id in each event, some give all items the same index, some leave one of them out.
        """
        kind, call_id = word(data.get("type")), word(data.get("call_id"))
        id, index = word(data.get("id")) or word(event.get("item_id")), event.get("output_index")
        if type(index) is not int:
            index = None
        for place in ((id, index), ("call", call_id), id, index):
            item = self._places.get(place)
            if item is None or not item.is_meant(kind, call_id):
                continue
            if item.may_be(id) if place == index else not (item.done and item.is_elsewhere(id, index)):
                return item
        last = self._last.get(kind)
        if last is None or last.done or not last.is_meant(kind, call_id):
            return None
        elsewhere = None not in (index, last.index) and index != last.index
        return last if not elsewhere and last.may_be(id) else None

    def _begin(self, data: _Event, index: object) -> _Item:
        item = _Item(kind=word(data.get("type")))
        self._items.append(item)
        self._last[item.kind] = item
        self._place(item, data, index)
        return item

    def _place(self, item: _Item, data: _Event, index: object) -> None:
        """Learn where an item is found."""
        item.take(data)
        item.id = word(data.get("id")) or item.id
        item.index = index if type(index) is int else item.index
        places: tuple[object, ...] = ((item.id, item.index), ("call", item.call_id), item.id, item.index)
        self._places |= {place: item for place in places if place not in _NOWHERE}

    def _close(self, item: _Item, data: _Event, given: Collection[str] = ()) -> None:
        """Give what is new of a whole item, but for what was given whole."""
        item.take(data)
        begun = any(item.pieces.values())
        for field, whole in _texts(data).items():
            # Of thinking and its summary only what was begun.
            if field not in given and (item.kind == "message" or item.pieces[field] or not begun):
                self._say(item, field, item.rest(field, whole))
        for part in listed(data.get("content")):
            self._cite_all(mapped(part))
        if item.done:
            return
        if item.is_call:
            cut = data.get("status") == "incomplete"
            self._end_call(item, data, "the answer ended before the call did" if cut else None)
        elif item.kind == "reasoning":
            signature = word(data.get("encrypted_content"))
            if signature:
                self.thinking("", {"signature": signature})
        elif item.kind == "message":
            self.keep(data, _READ_OF_MESSAGE)
        else:
            self.text("", {"raw_block": scrub(data), "provider": self.state.provider})
        item.done = True

    def _say(self, item: _Item, field: str, piece: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Give a piece of an item, and remember that it was given."""
        if not piece and not metadata:
            return
        item.pieces[field].append(piece)
        if field == "output_text":
            self.text(piece, metadata)
        elif field == "refusal":
            self._refusal.append(scrub(piece))
            self.text("", {"refusal": self._refusal[-1]})
        elif item.kind not in _CALLS:
            self.thinking(piece, metadata)
        elif item.begun:
            self.tool_delta(item.call_id, piece)

    # -- calls

    def _start_call(self, item: _Item, *, force: bool = False) -> None:
        """Give the start of a call, and its pieces so far, once its id and name are known."""
        if item.begun or not (force or (item.call_id and item.name)):
            return
        item.begun = True
        item.call_id = item.call_id or item.id
        self.tool_start(item.call_id, item.name)
        for piece in item.pieces[_CALLS[item.kind]]:
            self.tool_delta(item.call_id, piece)

    def _end_call(self, item: _Item, data: _Event, why: str | None) -> None:
        """Give a whole call."""
        field = _CALLS[item.kind]
        self._start_call(item, force=True)
        whole = written(data.get(field)) or item.whole
        self._say(item, field, item.rest(field, whole or ("" if item.text(field) else item.start)))
        item.done = True
        if item.kind == "custom_tool_call":
            self._custom_call(item, item.text(field), why)
        else:
            self.tool_call(item.call_id, item.name, _settled(item.text(field), whole), why=why)

    def _custom_call(self, item: _Item, text: str, why: str | None) -> None:
        """A call whose input is free text: that it is no JSON is no fault of it."""
        self.out.append(
            ToolCallChunk(
                tool_call_id=scrub(item.call_id),
                tool_name=scrub(item.name),
                tool_input=text,
                index=self.index,
                metadata={"custom": True, **({"arguments_error": why} if why else {})},
            )
        )
        self.index += 1

    # -- what comes beside

    def _report(self, response: _Event) -> None:
        """Take what a response says of itself: it says it several times, and the last time knows best."""
        state = self.state
        state.id = word(response.get("id")) or state.id
        state.model = word(response.get("model")) or state.model
        usage = response.get("usage")
        if type(usage) is dict and usage:
            state.usage = _usage(scrub(usage))

    def _cite_all(self, part: _Event) -> None:
        for annotation in listed(part.get("annotations")):
            self._cite(annotation)

    def _cite(self, annotation: Any) -> None:
        cited = mapped(annotation)
        cited = {**cited, **mapped(cited.get(word(cited.get("type"))))}
        url, id = word(cited.get("url")), word(cited.get("file_id"))
        if url or id:
            self.cite(
                cited,
                _READ_OF_SOURCE,
                url=url,
                title=word(cited.get("title")) or word(cited.get("filename")),
                id=id,
                place=[cited[at] for at in ("start_index", "end_index", "index") if type(cited.get(at)) is int],
            )

    def _failed(self, error: Any) -> ProviderError:
        """The error for what the API says went wrong. Many of its codes are of images that it could not take."""
        status = 400 if "image" in word(mapped(error).get("code")) else None
        return event_error(self.state.provider, error, status=status)


_EVENTS: dict[str, Callable[[ResponsesDecoder, _Event], None]] = {
    "response.created": ResponsesDecoder.created,
    "response.queued": ResponsesDecoder.created,
    "response.in_progress": ResponsesDecoder.created,
    "response.output_item.added": ResponsesDecoder.output_item_added,
    "response.output_item.done": ResponsesDecoder.output_item_done,
    "response.content_part.done": ResponsesDecoder.part_done,
    "response.reasoning_part.done": ResponsesDecoder.part_done,
    "response.reasoning_summary_part.done": ResponsesDecoder.part_done,
    "response.output_text.annotation.added": ResponsesDecoder.annotation_added,
    "response.completed": ResponsesDecoder.completed,
    "response.done": ResponsesDecoder.completed,
    "response.incomplete": ResponsesDecoder.incomplete,
    "response.failed": ResponsesDecoder.failed,
    "response.cancelled": ResponsesDecoder.cancelled,
    "response.error": ResponsesDecoder.error,
    "error": ResponsesDecoder.error,
}
_KNOWN = frozenset({*_EVENTS, *_DELTAS, *_TEXTS})


def _paired(output: Sequence[_Event], items: Sequence[_Item]) -> Iterator[tuple[_Event, _Item | None]]:
    """Each item of a whole response with the one of the stream that it repeats, if there is one.

    Ids may differ from those of the events, and items be missing: so by id first, then by call or text, then by kind.
    """
    theirs = [_Item.of(data) for data in output]
    ours = [_keys(item, item.texts()) for item in items]
    wanted = [_keys(item, "".join(_texts(data).values())) for item, data in zip(theirs, output, strict=True)]
    found: dict[int, int] = {}  # the place in the stream by that in the response
    for key in range(3):
        taken = set(found.values())
        free: dict[object, deque[int]] = defaultdict(deque)
        for place, keys in enumerate(ours):
            if place not in taken:
                free[keys[key]].append(place)
        for at, keys in enumerate(wanted):
            places = free.get(keys[key]) if at not in found and keys[key] else None
            if places and items[places[0]].is_meant(theirs[at].kind, theirs[at].call_id):
                found[at] = places.popleft()
    return ((data, items[found[at]] if at in found else None) for at, data in enumerate(output))


def _given_whole(output: Sequence[_Event], items: Sequence[_Item]) -> set[str]:
    """What grew, in all items together, to all that a whole response has of it, though it may part it otherwise."""
    given, wanted = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for item in items:
        for field in list(item.pieces):
            given[field].append(item.text(field))
    for data in output:
        for field, whole in _texts(data).items():
            wanted[field].append(str(scrub(whole)))
    return {field for field, texts in wanted.items() if "".join(texts) == "".join(given[field])}


def _keys(item: _Item, text: str) -> tuple[object, object, object]:
    content = item.call_id or text
    return (item.kind, item.id) if item.id else None, (item.kind, content) if content else None, item.kind


def _part_of(event: _Event) -> int | None:
    """Which part of an item an event is about."""
    index = event.get("summary_index", event.get("content_index"))
    return index if type(index) is int else None


def _texts(data: _Event) -> dict[str, str]:
    """The texts of a whole item, by what grew to them."""
    kind = word(data.get("type"))
    texts: dict[str, str] = defaultdict(str)
    for name in ("summary", "content") if kind in ("message", "reasoning") else ():
        for part in listed(data.get(name)):
            box = part if type(part) is dict else {"text": part}
            refused = box.get("type") == "refusal"
            text = box.get("refusal" if refused else "text")
            if type(text) is str:
                plain = (
                    "output_text" if kind == "message" else "summary_text" if name == "summary" else "reasoning_text"
                )
                texts["refusal" if refused else plain] += text
    return texts


def _settled(given: str, whole: str) -> str:
    """The text of a call: what its deltas brought, unless the item says otherwise; deltas may have been mixed up."""
    value, not_json = parse_arguments(given)
    return given if not whole or (not not_json and value == parse_arguments(whole)[0]) else whole


def _usage(raw: dict[str, Any]) -> Usage:
    counts = counted(raw, _COUNTS, "input_tokens_details", "output_tokens_details")
    return Usage(raw=raw, source="reported", **counts) if counts else Usage(raw=raw)
