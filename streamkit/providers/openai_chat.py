"""OpenAI's chat completions, the wire that most services and local servers speak, too.

Wire: https://platform.openai.com/docs/api-reference/chat and .../chat-streaming, read November 2026; what other
services do on it is known from recordings of some 40 of them. One HTTP request a call, `POST
{base_url}/chat/completions`; each event of the answer is a JSON object with `choices`, the first of which has a
`delta`; then `[DONE]`. This file turns a request into that request, and those events into chunks. It knows nothing of
threads, sockets or time.

The decoder is lenient about what is sent and strict about the end: only `[DONE]` after a choice, or a finish reason and
then the end of the body, makes an answer complete.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urljoin

from streamkit import lazy_attrs as attrs
from streamkit.codec import (
    Capabilities,
    Decoder,
    GrowingCall,
    HttpRequest,
    Key,
    Provider,
    counted,
    logprobs,
)
from streamkit.encoding import (
    CallIds,
    content,
    function_call,
    function_tool,
    get,
    given,
    is_own,
    key_header,
    media_objections,
    merged,
    objections,
    own_thinking,
    post,
    refuse,
    results,
    speaks,
    wants_caching,
)
from streamkit.errors import ConfigError, DecodeError
from streamkit.framing import Event, SSEFramer
from streamkit.jsontext import identifier, listed, mapped, named, parse_arguments, scrub, word, written
from streamkit.provider_errors import error_in, event_error, status_error
from streamkit.providers.keyed import KeyedProvider
from streamkit.schema_rules import OPENAI_STRICT
from streamkit.stencil import Stencil
from streamkit.types.chunks import Chunk
from streamkit.types.messages import Message, TextPart, ToolCallPart
from streamkit.types.request import ChatRequest, ResponseFormat
from streamkit.types.usage import Usage

__all__ = [
    "CAPABILITIES",
    "NEWER_MODELS",
    "ChatCompletions",
    "ChatDecoder",
    "OpenAI",
    "OpenAICompatible",
    "Quirks",
]


@attrs.frozen(kw_only=True)
class Quirks:
    """What a service does its own way on this wire. The defaults fit most.

    A path names a field of the request's JSON, with dots for objects within objects: "reasoning.effort".
    """

    path: str = "chat/completions"
    """The address of a request, seen from the base URL; `{model}` in it stands for the model's name."""
    models_path: str = "models"
    """The address of a list of models, seen from the base URL; "" where there is none."""
    query: str = ""
    """What follows both after a question mark."""
    key_header: str = "Authorization"
    """The header that carries the key; in this one it stands after the word Bearer."""
    fields: Mapping[str, str] = attrs.field(factory=dict)
    """Paths of the fields that stand elsewhere, by OpenAI's name of the field; "" leaves one out."""
    thinking: Mapping[str, Any] = attrs.field(factory=dict)
    """The fields that switch thinking on."""
    thinking_budget: str = ""
    """The path of the bound on thinking, in tokens."""
    thinking_back: str = ""
    """The field of an assistant's message in which the service wants its thinking back while tools are called."""
    prefill: str = ""
    """The field of a last message that is the assistant's which has the model go on with it."""
    cache_marks: str | None = None
    """A pattern, searched in the model's name, of the models for which a text is marked for the prompt to be cached up
    to its end, as at Anthropic."""
    cache_key: str = ""
    """The field with a name that requests share whose prompts begin alike, without which none is cached."""
    max_completion_tokens: str | None = None
    """A pattern, searched in the model's name, of the models that know the token limit only by this newer name."""
    thinking_fields: tuple[str, ...] = ("reasoning_content", "reasoning", "reasoning_text")
    """The fields of a delta that may hold thinking. The first with text counts: some services send it under two."""
    direct: bool = True
    """Whether a server of this machine is reached past the environment's proxies, which could not reach it."""

    def url(self, base_url: str, path: str, model: str = "") -> str:
        """Give the address of one of the paths."""
        if "{" in path:
            path = path.replace("{model}", quote(model, safe=""))
        whole = urljoin(f"{base_url}/", path) if path.startswith(("/", ".")) else f"{base_url}/{path}"
        return f"{whole}?{self.query}" if self.query else whole

    def marks_caches(self, model: str) -> bool:
        """Say whether a text is marked, for this model, for the prompt to be cached up to its end."""
        return self.cache_marks is not None and re.search(self.cache_marks, model) is not None

    def spoken(self, body: dict[str, Any], request: ChatRequest) -> dict[str, Any]:
        """Give the body of a request as the service wants it."""
        whole = {name: value for name, value in body.items() if name not in self.fields}
        for name, path in self.fields.items():
            if path and name in body:
                whole = merged(whole, _at(path, body[name]))
        if request.thinking or request.thinking_budget is not None:
            whole = merged(whole, self.thinking)
        if self.thinking_budget and request.thinking_budget is not None:
            whole = merged(whole, _at(self.thinking_budget, request.thinking_budget))
        if self.cache_key and wants_caching(request):
            whole = {**whole, self.cache_key: _cache_key(body)}
        return whole


# o1, o3-mini, gpt-5.1, ft:o4-mini:…, openai/gpt-5, codex-mini-latest refuse max_tokens; many servers know no other.
NEWER_MODELS = r"(^|[/:])(o\d|gpt-([5-9]|\d\d)|codex)"
"""A pattern of the names of those of OpenAI's models that know the token limit only as max_completion_tokens."""

CAPABILITIES = Capabilities(
    parallel_tool_calls=True,
    files=True,
    file_urls=False,
    reasoning_effort=True,
    prompt_caching=True,
    logprobs=True,
    penalties=True,
)
"""What can be asked of OpenAI's own API and, as far as we know, of most services on its wire."""


_NAME_FIELDS = {"data": "id", "endpoints": "name", "result": "name"}
"""The field with a model's name, by that in which the list stands: anywhere, at Databricks, at Cloudflare."""


@attrs.frozen(kw_only=True)
class ChatCompletions:
    """The wire format of `POST /chat/completions`. Stateless; share it between any number of threads."""

    quirks: Quirks = Quirks()
    capabilities: Capabilities = CAPABILITIES
    framer = SSEFramer
    error = staticmethod(status_error)

    def encode(self, request: ChatRequest, provider: Provider) -> HttpRequest:
        """Put a request into the API's words.

        Thinking and other providers' raw blocks are left out of the messages, since the API takes none back (but see
        `Quirks.thinking_back`). A tool's failure is sent as a result that says so. `prompt_caching` asks for nothing
        where caching is automatic; with `Quirks.cache_marks` it marks the end of the system text, else of the user's
        last message, and a text's `cache` its own; with `Quirks.cache_key` either sends a key made of what the prompt
        begins with. `provider_options`, the API's own fields, have the last word (see `encoding.merged`).

        Raises:
            ConfigError: for what the API does not know or cannot do.
        """
        quirks = self.quirks
        refuse(provider, _objections(request, self.capabilities, quirks))
        return post(
            quirks.url(provider.base_url, quirks.path, request.model),
            merged(quirks.spoken(_body(request, quirks, provider.name), request), request.provider_options),
            secrets=key_header(quirks.key_header, provider.secret()),
            own=request.headers,
            direct=quirks.direct,
        )

    def decoder(self, request: ChatRequest, provider: Provider, *, index: int = 0, step: int = 1) -> ChatDecoder:
        """Give a decoder for one answer."""
        return ChatDecoder(provider=provider.name, index=index, step=step, quirks=self.quirks)

    def list_models(self, provider: Provider) -> HttpRequest:
        """Give the request for the names of the models; `ConfigError` where the service lists none."""
        quirks = self.quirks
        if not quirks.models_path:
            raise ConfigError(f"{provider.name} lists no models: see its documentation for their names")
        secrets = key_header(quirks.key_header, provider.secret())
        return get(quirks.url(provider.base_url, quirks.models_path), secrets=secrets, direct=quirks.direct)

    def model_names(self, answer: Any) -> list[str]:
        """Give the names in a list of models, which may stand by itself, and mostly stands under `data`."""
        boxes = answer if type(answer) is dict else {"data": answer}
        return [name for box, field in _NAME_FIELDS.items() for name in named(boxes.get(box), field)]


class OpenAI(KeyedProvider):
    """OpenAI, or a service that behaves just like it. `base_url` is as in OpenAI's own SDK, with its /v1."""

    name = "openai"
    key_variables = ("OPENAI_API_KEY",)
    base_url_variable = "OPENAI_BASE_URL"
    default_base_url = "https://api.openai.com/v1"
    usual_model = "gpt-4o"
    codec = ChatCompletions(
        quirks=Quirks(max_completion_tokens=NEWER_MODELS, direct=False),
        capabilities=attrs.evolve(CAPABILITIES, schema_rules=OPENAI_STRICT),
    )


class OpenAICompatible(KeyedProvider):
    """A server that speaks chat completions, perhaps on this machine: `OpenAICompatible(base_url=...)`.

    It may need no key. A service is a subclass: a row of facts, without code (see `streamkit.providers.compatible`).
    """

    name = "openai-compatible"
    needs_key = False
    quirks = Quirks()
    """What it does its own way on the wire."""
    can = attrs.evolve(CAPABILITIES, prompt_caching=False, top_k=True)
    """What its API can do."""

    def __init__(
        self, api_key: Key | None = None, *, base_url: str | None = None, name: str | None = None, **settings: str
    ) -> None:
        """Take key and address as `KeyedProvider` does, and perhaps another name for errors and metadata.

        Raises:
            ConfigError: there is no address, no key where one is needed, or they cannot be such.
        """
        try:
            super().__init__(api_key, base_url=base_url, **settings)
        finally:
            del api_key, settings  # crash reporters print the variables of the frames that an error passed through
        if name is not None:
            self.__attrs_init__(name=name, base_url=self.base_url, key=self._key)

    @property
    def codec(self) -> ChatCompletions:
        """Chat completions, with the service's quirks."""
        return ChatCompletions(quirks=self.quirks, capabilities=self.can)

    def _facts(self) -> Mapping[str, Any]:
        return {"base_url": self.base_url, "name": self.name}


# -- the request


def _at(path: str, value: Any) -> dict[str, Any]:
    """An object with a value at the end of a path."""
    first, _, rest = path.partition(".")
    return {first: _at(rest, value) if rest else value}


def _objections(request: ChatRequest, can: Capabilities, quirks: Quirks) -> Iterator[str]:
    """What the API would refuse, or does not know, each with what to do instead."""
    yield from objections(request, can)
    yield from media_objections(request)
    if request.thinking_budget is not None and request.thinking_budget < 1:
        yield f"a thinking budget of {request.thinking_budget} tokens is refused: give at least 1, or none"
    if can.prompt_caching and quirks.marks_caches(request.model):
        yield from _mark_objections(request)


def _mark_objections(request: ChatRequest) -> Iterator[str]:
    """Only a text can be marked on this wire."""
    parts = [part for message in request.messages if message.role != "assistant" for part in message.content]
    if any(getattr(part, "cache", False) and not isinstance(part, TextPart) for part in parts):
        yield "a cache mark stands at the end of a text: give cache=True to a TextPart"
    elif request.prompt_caching and not any(isinstance(part, TextPart) and part.text for part in parts):
        yield "there is no text at whose end the prompt could be marked for caching: add one, or leave it out"


def _cache_key(body: Mapping[str, Any]) -> str:
    """A name for what requests of one kind begin with: the tools and the system text, else the first message."""
    first, *_ = body["messages"]
    system = [message for message in body["messages"] if message["role"] == "system"]
    begin = json.dumps([body.get("tools"), system or first], sort_keys=True)
    return hashlib.sha256(begin.encode()).hexdigest()[:32]


def _body(request: ChatRequest, quirks: Quirks, provider: str) -> dict[str, Any]:
    pattern = quirks.max_completion_tokens
    limit = "max_completion_tokens" if pattern and re.search(pattern, request.model) else "max_tokens"
    offers_tools = bool(request.tools) or "tools" in request.provider_options
    fields = {
        "model": request.model,
        "messages": _messages(request, quirks, provider),
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        limit: request.max_tokens,
        "stop": list(request.stop) or None,
        "seed": request.seed,
        "frequency_penalty": request.frequency_penalty,
        "presence_penalty": request.presence_penalty,
        "logprobs": None if request.logprobs is None else True,
        "top_logprobs": request.logprobs or None,
        "tools": [function_tool(tool) for tool in request.tools] or None,
        "tool_choice": _tool_choice(request.tool_choice) if offers_tools else None,
        "parallel_tool_calls": request.parallel_tool_calls if offers_tools else None,
        "response_format": _response_format(request.response_format) if request.response_format else None,
        "reasoning_effort": request.reasoning_effort,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return given(fields)


def _tool_choice(choice: str | None) -> Any:
    return (
        choice if choice in (None, "auto", "none", "required") else {"type": "function", "function": {"name": choice}}
    )


def _response_format(wanted: ResponseFormat) -> dict[str, Any]:
    if wanted.type == "schema":
        schema = {"name": wanted.name, "schema": wanted.schema or {}, "strict": wanted.strict}
        return {"type": "json_schema", "json_schema": schema}
    return {"type": "json_object" if wanted.type == "json" else "text"}


def _messages(request: ChatRequest, quirks: Quirks, provider: str) -> list[dict[str, Any]]:
    marks = quirks.marks_caches(request.model)
    messages = _marked_for_caching(request.messages) if marks and request.prompt_caching else request.messages
    sent = list(_told(messages, quirks, provider, marks=marks))
    if quirks.prefill and sent[-1]["role"] == "assistant" and "tool_calls" not in sent[-1]:
        sent[-1][quirks.prefill] = True
    return sent


def _told(messages: Sequence[Message], quirks: Quirks, provider: str, *, marks: bool) -> Iterator[dict[str, Any]]:
    ids = CallIds()
    calling = False  # the model is calling tools to answer the last message of the user's
    for message in messages:
        yield from results(message, ids)
        if message.role == "assistant":
            said = _said(message, ids, provider, marks=marks)
            calling = calling or "tool_calls" in said
            thinking = own_thinking(message, provider) if calling and quirks.thinking_back else ""
            yield {**said, quirks.thinking_back: thinking} if thinking else said
        elif speaks(message):
            calling = False
            yield {"role": message.role, "content": content(message, marks=marks)}


def _said(message: Message, ids: CallIds, provider: str, *, marks: bool) -> dict[str, Any]:
    calls = [
        {**function_call(part, ids.of_call(part)), **_signed(part, provider)}
        for part in message.content
        if isinstance(part, ToolCallPart)
    ]
    shown = content(message, marks=marks) or (None if calls else "")
    return {"role": "assistant", "content": shown, **({"tool_calls": calls} if calls else {})}


def _signed(call: ToolCallPart, provider: str) -> dict[str, Any]:
    """What Gemini 3 demands back with its call: https://ai.google.dev/gemini-api/docs/thought-signatures."""
    if not call.signature or not is_own(call, provider):
        return {}
    return {"extra_content": {"google": {"thought_signature": call.signature}}}


def _marked_for_caching(messages: Sequence[Message]) -> Sequence[Message]:
    """The messages with a mark at the end of the system text, else of the user's last message."""
    texts = [
        (at, place, part)
        for role in ("user", "system")
        for at, message in enumerate(messages)
        for place, part in enumerate(message.content)
        if message.role == role and isinstance(part, TextPart) and part.text
    ]
    if not texts:
        return messages
    at, place, part = texts[-1]
    parts = [*messages[at].content]
    parts[place] = attrs.evolve(part, cache=True)
    return [*messages[:at], attrs.evolve(messages[at], content=parts), *messages[at + 1 :]]


# -- the answer


_FINISH_REASONS = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "sensitive": "content_filter",
    "error": "error",
    "insufficient_system_resource": "error",
    "network_error": "error",
}
"""Ours by the services', in lower case. Any other is "other"."""

_COUNTS = {
    "prompt_tokens": "prompt_tokens",
    "completion_tokens": "completion_tokens",
    "total_tokens": "total_tokens",
    "reasoning_tokens": "reasoning_tokens",
    "cached_tokens": "cache_read_tokens",
    "prompt_cache_hit_tokens": "cache_read_tokens",  # DeepSeek
    "cache_read_input_tokens": "cache_read_tokens",  # Databricks
    "cache_write_tokens": "cache_write_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
}
"""Our names of token counts by the services', in `usage` itself or in its details."""

_FIRST = (0, None, "0")  # the index of the choice that is read

# Fields that are read elsewhere, mean nothing, or are always the same. What is in none of these becomes metadata.
_READ_OF_EVENT = frozenset({"id", "object", "created", "model", "choices", "error", "obfuscation", "p"})
_READ_OF_CHOICE = frozenset({"index", "delta", "message", "logprobs", "error", "text", "token_ids", "seed"})
_READ_OF_DELTA = frozenset({"role", "index", "name", "channel", "token_id", "token_ids"})
_READ_OF_SOURCE = frozenset({"type", "url", "file_id", "title", "filename", "content", "snippet"})
_PADDING = ("obfuscation", "p")
"""Names of strings of random length that keep a listener from guessing tokens by their size (OpenAI, Mistral)."""


_ARGUMENTS = "arguments"


@attrs.define
class _Entry:
    """What an entry of `tool_calls` says of its call; "" stands for what it leaves out."""

    index: str = ""
    id: str = ""
    name: str = ""
    text: str = ""
    """A piece of the arguments."""
    signature: str = ""
    begins: bool = False
    """Whether it may begin a call."""


def _entry(entry: Mapping[str, Any]) -> _Entry:
    function = mapped(entry.get("function") or entry.get("custom"))
    index, id, name = identifier(entry.get("index")), identifier(entry.get("id")), word(function.get("name"))
    text = written(function.get("arguments", function.get("input")))
    extra = entry.get("extra_content")
    signature = word(mapped(mapped(extra).get("google")).get("thought_signature")) if extra else ""
    return _Entry(index, id, name, text, signature, bool(id or name))


@attrs.define
class _Call(GrowingCall):
    """A tool call as it grows."""

    begun: bool = False
    needs_id: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether all its arguments have come, as far as their text tells."""
        return bool(self.pieces) and type(parse_arguments(self.text)[0]) is dict

    def is_another(self, entry: _Entry) -> bool:
        """Whether an entry under this call's index or id is a new call: services use them again, and repeat names."""
        if not (entry.name and self.name):
            return False
        if entry.name != self.name:
            return not self._is_named_on(entry)
        if entry.id and self.id:
            return entry.id != self.id
        # It came whole, in one piece, and so does the next one of its name.
        return len(self.pieces) == 1 and entry.text.lstrip().startswith("{") and self.is_whole

    def _is_named_on(self, entry: _Entry) -> bool:
        """Whether an entry has more of this call's name: some services send that, too, in pieces."""
        return bool(entry.index and self.id) and not self.pieces and entry.id in ("", self.id)

    def take(self, entry: _Entry) -> None:
        """Take what an entry says; of ids and signatures the first counts, a name may be said once more, or go on."""
        self.id = self.id or entry.id
        self.signature = self.signature or entry.signature
        if entry.name:
            self.name = entry.name if entry.name.startswith(self.name) else self.name + entry.name
        if entry.text:
            self.pieces.append(entry.text)


class ChatDecoder(Decoder):
    """Events of one answer into chunks.

    What is read of an event has a method with the name of its field; what nobody knows becomes metadata.
    """

    def __init__(self, *, provider: str, index: int = 0, step: int = 1, quirks: Quirks | None = None) -> None:
        super().__init__(provider=provider, index=index, step=step)
        self._thinking_fields = (quirks or Quirks()).thinking_fields
        self._stencil = Stencil(functools.partial(_plain, self._thinking_fields), stamp="id", padding=_PADDING)
        self._answered = False  # a choice was seen
        self._streamed = False  # a delta was seen
        self._calls: list[_Call] = []
        self._by_place: dict[tuple[str, str], _Call] = {}  # the last by (index, id), by index alone and by id alone
        self._begun = 0  # calls whose start was given
        self._index = ""  # that of the call whose arguments the stencil reads
        self._refusal: list[str] = []

    def event(self, event: Event) -> None:
        """Decode one event.

        Raises:
            ProviderError: the event reports an error. What came beside it is decoded first.
            DecodeError: the event cannot be understood.
        """
        text = self._stencil.read(event.data)
        if text is None or event.event != "message":
            self._event(event)
        elif self._stencil.field == "content":
            self.text(text)
        elif self._stencil.field == _ARGUMENTS:
            self._grow(_Entry(index=self._index, text=text))
            self._begin_calls()
        else:
            self.thinking(text)

    def end(self) -> list[Chunk]:
        """Give the last chunks of a complete answer: the whole tool calls, then `step_finish`.

        Raises:
            StreamTruncated: the body ended before `[DONE]` and without a finish reason, or there was no choice at all.
        """
        self._require_whole()
        self._begin_calls(force=True)
        reason = self._finish_reason()
        self.end_calls(self._calls, reason)
        if self._refusal:
            self.state.metadata["refusal"] = "".join(self._refusal)
        self.step_finish(reason)
        return self.take()

    def _require_whole(self) -> None:
        if self._answered and self.state.raw_finish_reason is not None:
            return
        self.require_answer("choice", there=self._answered)
        if not self.finished:
            raise self.cut_off("finish reason")

    # -- an event

    def _event(self, event: Event) -> None:
        value = self.parsed_object(event)
        if value is None:
            return
        state = self.state
        if not state.id:
            state.id = word(value.get("id")) or None
        if not state.model:
            state.model = word(value.get("model")) or None
        choices = value.get("choices")
        error = error_in(value, event.event, answer=choices is not None) or mapped(value.get("x_groq")).get("error")
        for choice in listed(choices):
            if type(choice) is dict and choice.get("index") in _FIRST:
                self._choice(choice, whole=value.get("object") == "chat.completion")
                error = error or choice.get("error") or mapped(choice.get("delta")).get("error")
        self._sources(value)
        self.beside(value, _READ_OF_EVENT, _BESIDE)
        if error:
            raise event_error(state.provider, error)
        if self._stencil.learn(event.data, value) and self._stencil.field == _ARGUMENTS:
            self._index = _entry(choices[0]["delta"]["tool_calls"][0]).index

    def _choice(self, choice: Mapping[str, Any], *, whole: bool) -> None:
        """Read the first choice. A server that does not stream has a `message` in it; beside deltas it repeats them."""
        self._answered = True
        delta, message = choice.get("delta"), choice.get("message")
        beside = logprobs(choice.get("logprobs"))
        self.beside(choice, _READ_OF_CHOICE, _BESIDE)
        if type(delta) is dict:
            self._streamed = True
            self._delta(delta, beside)
        elif type(message) is dict and not self._streamed and (whole or self.state.raw_finish_reason is not None):
            self.finished = True
            self._delta(message, beside)

    def _delta(self, delta: Mapping[str, Any], beside: Mapping[str, Any] | None) -> None:
        """Thinking first, then text, then all else, in whatever order they stand."""
        news = {name: said for name, said in delta.items() if said and name not in _READ_OF_DELTA}
        shown = news.pop("content", "")
        thinking = (
            [text for name in self._thinking_fields if type(text := news.pop(name, "")) is str and text] if news else []
        )
        if thinking:
            self.thinking(thinking[0], None if shown else beside)
        if shown or (beside and not thinking):
            self.content(shown, beside)
        for name, said in news.items():
            method = _OF_DELTA.get(name)
            if method is not None:
                method(self, said)
            else:
                self.keep_more(name, said, grow=True)

    def changed(self) -> None:
        """What stands beside the text is no longer what the stencil takes it for."""
        self._stencil.forget()

    # -- what a delta brings

    def content(self, shown: Any, beside: Mapping[str, Any] | None = None) -> None:
        """Visible text; at Mistral also a list of parts, thinking among them."""
        if type(shown) is str:
            self.text(shown, beside)
            return
        if type(shown) not in (list, dict):
            # Not dropped: an answer with a hole must not look whole.
            raise DecodeError(
                f"{self.state.provider}: the provider sent {type(shown).__name__} where the answer's text belongs"
            )
        for part in listed(shown):
            self._content_part(part if type(part) is dict else {"type": "text", "text": part})

    def refusal(self, refusal: Any) -> None:
        """A piece of a refusal. It is no part of the text: the chunk has it as metadata, and the response, whole."""
        if type(refusal) is str:
            self._refusal.append(scrub(refusal))
            self.text("", {"refusal": self._refusal[-1]})

    def annotations(self, annotations: Any) -> None:
        """Citations: of a web page, or of a file."""
        for annotation in listed(annotations):
            kind = word(mapped(annotation).get("type"))
            if kind:
                self._cite(mapped(annotation.get(kind)) or annotation)

    def tool_calls(self, entries: Any) -> None:
        """Pieces of tool calls."""
        read = [_entry(entry) for entry in listed(entries) if type(entry) is dict]
        behind = sum([not entry.begins for entry in read])
        taken: list[_Call | None] = []
        for entry in read:
            taken.append(self._grow(entry, taken, behind))
            behind -= not entry.begins
        self._begin_calls()

    def function_call(self, function: Any) -> None:
        """A piece of the one call of an older API."""
        if type(function) is dict:
            self._grow(_entry({"index": "function_call", "function": function}), needs_id=False)
            self._begin_calls()

    def _content_part(self, part: Mapping[str, Any]) -> None:
        kind, text = part.get("type"), part.get("text")
        if kind in ("thinking", "reasoning"):
            for piece in listed(part.get("thinking" if kind == "thinking" else "summary")):
                self.thinking(word(piece.get("text") if type(piece) is dict else piece))
        elif kind == "refusal":
            self.refusal(part.get("refusal"))
        elif type(text) is str:
            self.text(text)
        else:
            self.keep_more("content_parts", [part], grow=True)

    # -- tool calls

    def _grow(
        self, entry: _Entry, taken: Sequence[_Call | None] = (), behind: int = 0, *, needs_id: bool = True
    ) -> _Call | None:
        """Add an entry to its call, and give that.

        The entries before it in its delta went to the calls in `taken`; from it on, so many entries begin no call.
        """
        if not (entry.id or entry.name or entry.text):
            return None
        call = self._indexed(entry) if entry.index else self._without_index(entry, len(taken), behind)
        if call is not None and entry.name and any(call is one for one in taken):
            call = None  # one delta names two calls, whatever index and id they share
        if call is None:
            call = _Call(needs_id=needs_id)
            self._calls.append(call)
        call.take(entry)
        if entry.index:
            self._by_place[entry.index, ""] = call
        if entry.id and entry.id == call.id:
            self._by_place[entry.index, entry.id] = self._by_place["", entry.id] = call
        if entry.text and call.begun:
            self.tool_delta(call.id, entry.text)
        return call

    def _indexed(self, entry: _Entry) -> _Call | None:
        """The call that an entry with an index is of; None where it begins one.

        Some services have the same index in each call and tell them apart by their ids; DeepSeek gave the head of a
        call the index of the one before it, and the arguments one of their own.
        """
        call = self._by_place.get((entry.index, entry.id))
        if call is None and entry.id:
            by_id = None if entry.name else self._by_place.get(("", entry.id))
            call = by_id or self._by_place.get((entry.index, ""))
        elif call is None and not entry.name and self._calls and not self._calls[-1].is_whole:
            call = self._calls[-1]
        return None if call is None or call.is_another(entry) else call

    def _without_index(self, entry: _Entry, position: int, behind: int) -> _Call | None:
        """The call that an entry without an index is of: that of its id, or of its place, counted from the last one."""
        known = self._by_place.get(("", entry.id))
        if known is not None and not known.is_another(entry):
            return known
        if not self._calls:
            return None
        if not entry.begins:
            return self._calls[-min(behind, len(self._calls))]
        last = self._calls[-1]
        another = (entry.id and last.id) or (entry.name and position > 0) or last.is_another(entry)
        return None if another else last

    def _begin_calls(self, *, force: bool = False) -> None:
        """Give the start and the pieces so far of each call whose id and name are known, in the order they appeared."""
        while self._begun < len(self._calls):
            call = self._calls[self._begun]
            if not force and not (call.name and (call.id or not call.needs_id)):
                break
            self.tool_start(call.id, call.name)
            for piece in call.pieces:
                self.tool_delta(call.id, piece)
            call.begun = True
            self._begun += 1

    # -- what comes beside

    def finish_reason(self, reason: Any) -> None:
        """Why the answer ends; of several the last."""
        if type(reason) is str and reason not in ("null", self.state.raw_finish_reason):
            self.state.raw_finish_reason = scrub(reason)
            self.changed()

    def usage(self, raw: Any) -> None:
        """The last report counts: they are cumulative. Moonshot has it in the choice."""
        if type(raw) is dict and raw != self.state.usage.raw:
            self.state.usage = _usage(scrub(raw))
            self.changed()

    def x_groq(self, box: Any) -> None:
        """Groq has the usage here, sometimes only here."""
        self.keep_more("x_groq", box)
        if mapped(box).get("usage"):
            self.usage(box["usage"])

    def _sources(self, value: Mapping[str, Any]) -> None:
        """Perplexity's and xAI's: all pages in every event, in two lists; that with titles goes first."""
        for name in ("search_results", "citations"):
            cited = value.get(name)
            if type(cited) is list and cited != self.state.metadata.get(name):
                for one in cited:
                    self._cite({"url": one} if type(one) is str else one)

    def _cite(self, cited: Any) -> None:
        cited = mapped(cited)
        url, id = word(cited.get("url")), word(cited.get("file_id"))
        if url or id:
            self.cite(
                cited,
                _READ_OF_SOURCE,
                url=url,
                title=word(cited.get("title")) or word(cited.get("filename")),
                id=id,
                text=word(cited.get("content")) or word(cited.get("snippet")),
                place=[at for at in (cited.get("start_index"), cited.get("end_index")) if type(at) is int and at],
            )

    def _finish_reason(self) -> str:
        """Ours for the provider's, corrected by what was seen: calls are to be answered, a refusal is no answer."""
        reason = _FINISH_REASONS.get((self.state.raw_finish_reason or "").lower(), "other")
        if reason in ("stop", "other"):
            return "tool_calls" if self._calls else "content_filter" if self._refusal else reason
        return reason


_OF_DELTA = {
    "refusal": ChatDecoder.refusal,
    "tool_calls": ChatDecoder.tool_calls,
    "function_call": ChatDecoder.function_call,
    "annotations": ChatDecoder.annotations,
}
"""What else a delta may bring, beside thinking and content, which come before it."""
_BESIDE = {
    "finish_reason": ChatDecoder.finish_reason,
    "usage": ChatDecoder.usage,
    "x_groq": ChatDecoder.x_groq,
}
"""What an event or its choice may say beside the delta. The rest of it becomes metadata, as does Groq's box."""


def _plain(thinking_fields: Sequence[str], value: Any) -> tuple[str, str] | None:
    """Field and text of an event whose only news is one piece of text; the rest of it only says again what was said."""
    choices = value.get("choices")
    choice = choices[0] if type(choices) is list and len(choices) == 1 else None
    if type(choice) is not dict or choice.get("index") not in _FIRST or logprobs(choice.get("logprobs")):
        return None
    delta = choice.get("delta")
    if type(delta) is not dict:
        return None
    news = [(name, said) for name, said in delta.items() if said and name not in _READ_OF_DELTA]
    if len(news) != 1:
        return None
    field, said = news[0]
    if field == "tool_calls":
        return _plain_arguments(said)
    return (field, said) if type(said) is str and (field == "content" or field in thinking_fields) else None


def _plain_arguments(entries: Any) -> tuple[str, str] | None:
    """The same for a delta whose only news is a piece of one call's arguments."""
    entry = entries[0] if type(entries) is list and len(entries) == 1 else None
    if type(entry) is not dict or not identifier(entry.get("index")):
        return None
    function = entry.get("function")
    beside = [name for name, said in entry.items() if said and name not in ("index", "type", "function")]
    news = [name for name, said in function.items() if said] if type(function) is dict else []
    text = mapped(function).get(_ARGUMENTS)
    return (_ARGUMENTS, text) if news == [_ARGUMENTS] and not beside and type(text) is str else None


def _usage(raw: dict[str, Any]) -> Usage:
    counts = counted(raw, _COUNTS, "prompt_tokens_details", "completion_tokens_details")
    if not counts:
        return Usage(raw=raw)
    prompt, completion, beside = (
        counts.get(name, 0) for name in ("prompt_tokens", "completion_tokens", "reasoning_tokens")
    )
    if beside and counts["total_tokens"] == prompt + completion + beside:  # xAI counts reasoning beside the completion
        counts["completion_tokens"] = completion + beside
    return Usage(raw=raw, source="reported", **counts)
