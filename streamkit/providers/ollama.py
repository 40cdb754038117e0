"""Ollama's own API, as its server on this machine or another speaks it, and ollama.com.

Wire: https://docs.ollama.com/api/chat, .../api/errors, .../api/usage and .../capabilities/thinking, read November 2026.
One HTTP request a call, `POST {base_url}/api/chat`; each line of the answer is a JSON object with a piece of the
`message`, the last of them has `done`, the reason and the counts. This file turns a request into that request, and
those lines into chunks. It knows nothing of threads, sockets or time.

The decoder is lenient about what is sent, lines of `/api/generate` included, and strict about the end: only
`"done": true` makes an answer complete.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from json.decoder import scanstring  # type: ignore[attr-defined]  # there since Python 2.6, but not in typeshed
from typing import Any

from streamkit import lazy_attrs as attrs
from streamkit.codec import Capabilities, Decoder, HttpRequest, Provider, logprobs
from streamkit.encoding import (
    CallIds,
    bearer,
    call_input,
    function_tool,
    get,
    given,
    media_objections,
    merged,
    objections,
    own_thinking,
    post,
    refuse,
    result_text,
    speaks,
)
from streamkit.errors import DecodeError
from streamkit.framing import Event, NDJSONFramer
from streamkit.jsontext import identifier, listed, mapped, named, parse_json, said, scrub, word, written
from streamkit.provider_errors import error_in, event_error, status_error
from streamkit.providers.keyed import KeyedProvider
from streamkit.types.chunks import Chunk
from streamkit.types.messages import ImagePart, Message, ToolCallPart, ToolResultPart
from streamkit.types.request import ChatRequest, ResponseFormat
from streamkit.types.usage import Usage, count

__all__ = ["CAPABILITIES", "Ollama", "OllamaChat", "OllamaDecoder"]

_MOST_LOGPROBS = 20

CAPABILITIES = Capabilities(
    required_tool=False,
    named_tool=False,
    image_urls=False,
    image_types=("image/png", "image/jpeg", "image/webp"),
    image_bytes=100 * 2**20,
    thinking=True,
    reasoning_effort=True,
    efforts=("none", "low", "medium", "high", "max"),
    prompt_caching=True,
    top_k=True,
    logprobs=True,
)
"""What the API can do; a model may know less."""


@attrs.frozen(kw_only=True)
class OllamaChat:
    """The wire format of `POST /api/chat`. Stateless; share it between any number of threads."""

    capabilities: Capabilities = CAPABILITIES
    framer = NDJSONFramer
    error = staticmethod(status_error)

    def encode(self, request: ChatRequest, provider: Provider) -> HttpRequest:
        """Put a request into the API's words.

        Sampling settings go into `options`. Thinking goes back where this provider gave it; other providers' raw blocks
        are left out. A reasoning effort is a level of `think`, and "none" switches thinking off. With tool_choice
        "none" the tools are left out, as the API has no such switch. `prompt_caching` asks for nothing: it is automatic
        here. `provider_options`, the API's own fields (`options`, with `num_ctx` in it), have the last word (see
        `encoding.merged`). A server of this machine is reached past the proxies of the environment, as by Ollama's own
        client.

        Raises:
            ConfigError: for what the API does not know or cannot do.
        """
        refuse(provider, _objections(request, self.capabilities))
        return post(
            _url(provider, "/api/chat"),
            merged(_body(request, provider.name), request.provider_options),
            headers={"Accept": "application/x-ndjson"},
            secrets=bearer(provider.secret()),
            own=request.headers,
            direct=True,
        )

    def decoder(self, request: ChatRequest, provider: Provider, *, index: int = 0, step: int = 1) -> OllamaDecoder:
        """Give a decoder for one answer."""
        return OllamaDecoder(provider=provider.name, index=index, step=step)

    def list_models(self, provider: Provider) -> HttpRequest:
        """Give the request for the names of the models that the server has."""
        return get(_url(provider, "/api/tags"), secrets=bearer(provider.secret()), direct=True)

    def model_names(self, answer: Any) -> list[str]:
        """Give the names in a list of models."""
        return named(mapped(answer).get("models"), "name")


class Ollama(KeyedProvider):
    """Ollama, by default that of this machine, which needs no key; ollama.com does.

    `base_url` is what Ollama's own clients take as host: "host", "host:port", ":port", or a whole URL, with or without
    a path. What it leaves out is http, 127.0.0.1 and, where there is no scheme, port 11434; 0.0.0.0, which servers
    listen on, stands for 127.0.0.1, and "ollama.com" for https.
    """

    name = "ollama"
    key_variables = ("OLLAMA_API_KEY",)
    needs_key = False
    base_url_variable = "OLLAMA_HOST"
    default_base_url = "http://127.0.0.1:11434"
    codec = OllamaChat()

    def _address(self, base_url: str | None, settings: Mapping[str, str]) -> str:
        return _whole_address(super()._address(base_url, settings))


_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104  # read, never bound
"""Where a server is found that listens on all addresses, or whose host is not said."""


def _whole_address(host: str) -> str:
    """An address with all its parts: https://github.com/ollama/ollama/blob/main/envconfig/config.go, `Host`."""
    if not isinstance(host, str):
        return host  # refused by whoever looks at it next
    scheme, mark, rest = host.strip(" \t\r\n\"'").rpartition("://")
    place, slash, path = rest.partition("/")
    user, at, place = place.rpartition("@")
    if place.count(":") > 1 and not place.startswith("["):  # IPv6 without its brackets, so without a port
        place = f"[{place}]"
    name, _, port = place.rpartition(":") if re.search(r":[^:\]]*$", place) else (place, "", "")
    if not mark:
        scheme = "https" if name == "ollama.com" else "http"
        port = port or ("" if name == "ollama.com" else "11434")
    return f"{scheme}://{user}{at}{_LOOPBACK.get(name, name)}{port and ':' + port}{slash}{path}"


def _url(provider: Provider, path: str) -> str:
    """The address of an API; base URLs with that of the API, or of OpenAI's, behind them are known mistakes."""
    return provider.base_url.removesuffix("/api").removesuffix("/v1") + path


# -- the request


def _objections(request: ChatRequest, can: Capabilities) -> Iterator[str]:
    """What the API would refuse, or does not know, each with what to do instead."""
    yield from objections(request, can)
    yield from media_objections(request)
    if request.logprobs is not None and not 0 <= request.logprobs <= _MOST_LOGPROBS:
        yield f"logprobs {request.logprobs} is out of range: give a number from 0 to {_MOST_LOGPROBS}"


def _body(request: ChatRequest, provider: str) -> dict[str, Any]:
    fields = {
        "model": request.model,
        "messages": list(_messages(request.messages, provider)),
        "tools": [function_tool(tool) for tool in request.tools if request.tool_choice != "none"] or None,
        "format": _format(request.response_format) if request.response_format else None,
        "think": _think(request),
        "options": _options(request) or None,
        "logprobs": None if request.logprobs is None else True,
        "top_logprobs": request.logprobs or None,
        "stream": True,
    }
    return given(fields)


def _options(request: ChatRequest) -> dict[str, Any]:
    fields = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "num_predict": request.max_tokens,
        "stop": list(request.stop) or None,
        "seed": request.seed,
        "frequency_penalty": request.frequency_penalty,
        "presence_penalty": request.presence_penalty,
    }
    return given(fields)


def _think(request: ChatRequest) -> bool | str | None:
    if request.reasoning_effort == "none":
        return False
    return request.reasoning_effort or request.thinking or None


def _format(wanted: ResponseFormat) -> Any:
    if wanted.type == "schema":
        return wanted.schema
    return "json" if wanted.type == "json" else None


def _messages(messages: Sequence[Message], provider: str) -> Iterator[dict[str, Any]]:
    ids = CallIds()
    tools: dict[str, str] = {}  # names by the calls' ids: a result that does not say whose it is can be told
    for message in messages:
        for part in message.content:
            if isinstance(part, ToolResultPart):
                yield _tool_result(part, ids.of_result(part), tools)
        spoken = {"role": message.role, "content": message.text, **_images(message)}
        if message.role == "assistant":
            calls = [(ids.of_call(part), part) for part in message.content if isinstance(part, ToolCallPart)]
            tools.update({id: part.name for id, part in calls})
            yield {**spoken, **_thought(message, provider), **_calls(calls)}
        elif speaks(message):
            yield spoken


def _tool_result(result: ToolResultPart, id: str, tools: Mapping[str, str]) -> dict[str, Any]:
    fields = {"tool_name": result.tool_name or tools.get(id, ""), "tool_call_id": id}
    return {"role": "tool", "content": result_text(result), **{name: value for name, value in fields.items() if value}}


def _thought(message: Message, provider: str) -> dict[str, str]:
    thinking = own_thinking(message, provider)
    return {"thinking": thinking} if thinking else {}


def _calls(calls: Sequence[tuple[str, ToolCallPart]]) -> dict[str, Any]:
    told = [{"id": id, "function": {"name": part.name, "arguments": call_input(part.input)}} for id, part in calls]
    return {"tool_calls": told} if told else {}


def _images(message: Message) -> dict[str, list[str]]:
    images = [part for part in message.content if isinstance(part, ImagePart)]
    return {"images": [image.base64() for image in images]} if images else {}


# -- the answer


_FINISH_REASONS = {"stop": "stop", "length": "length"}
"""Ours by Ollama's. Any other, `load` and `unload` (an answer to no messages) among them, is "other"."""

_READ = frozenset(
    {
        "model",
        "created_at",
        "message",
        "response",
        "done",
        "done_reason",
        "logprobs",
        "error",
        "role",
        "content",
        "thinking",
        "reasoning_content",
        "tool_calls",
        "prompt_eval_count",
        "eval_count",
    }
)
"""Fields of a line, or of its message, that are read, or mean nothing. What is in none of these becomes metadata."""

_HEAD = re.compile(r'\{"model":"[^"\\]*","created_at":"[^"\\]*","message":\{"role":"assistant","content":"')
_THINKING, _TAIL = ',"thinking":"', '},"done":false}'
"""How the server spells a line that brings nothing but text and thinking."""


class OllamaDecoder(Decoder):
    """Lines of one answer into chunks. What nobody knows in them becomes metadata, the durations (in ns) among it."""

    def __init__(self, *, provider: str, index: int = 0, step: int = 1) -> None:
        super().__init__(provider=provider, index=index, step=step)
        self._calls = 0
        self._broken: DecodeError | None = None

    def event(self, event: Event) -> None:
        """Decode one line.

        Raises:
            ProviderError: the line reports an error. What came beside it is decoded first.
            DecodeError: the line cannot be understood, or the one before it was broken.
        """
        if self._broken is not None:
            raise self._broken
        plain = _plain(event.data) if self.state.model else None
        if plain is None:
            self._parse(event.data)
            return
        text, thinking = plain
        if thinking:
            self.thinking(thinking)
        if text:
            self.text(text)

    def end(self) -> list[Chunk]:
        """Give the last chunk of a complete answer, `step_finish`.

        Raises:
            StreamTruncated: the body ended before a line with `done`, perhaps in the middle of a line.
        """
        if not self.finished:
            raise self.cut_off("last line")
        self.step_finish(self._finish_reason())
        return self.take()

    def _parse(self, data: str) -> None:
        try:
            value = parse_json(data)
        except DecodeError as error:
            if not data.lstrip().startswith("{"):
                raise
            self._broken = error  # the last line may be cut off; if another follows, it was not
            return
        for line in listed(value):
            if type(line) is dict and not self.finished:
                self._line(line)

    def _line(self, line: Mapping[str, Any]) -> None:
        if not self.state.model:
            self.state.model = word(line.get("model")) or None
        message = line.get("message")
        whole = {**line, **message} if type(message) is dict else line
        self._said(whole)
        self.keep(whole, _READ)
        error = error_in(line, answer=type(message) is dict)
        if error:
            raise event_error(self.state.provider, error, status=_status(line))
        self._usage(line)
        if line.get("done") is True:
            self.state.raw_finish_reason = word(line.get("done_reason")) or None
            self.finished = True

    def _said(self, message: Mapping[str, Any]) -> None:
        """Thinking first, then text, then calls. `/api/generate` and servers of others have other names for some."""
        thinking = said(message.get("thinking")) or said(message.get("reasoning_content"))
        text = said(message.get("content")) or said(message.get("response"))
        beside = logprobs(message.get("logprobs"))
        if thinking:
            self.thinking(thinking, None if text else beside)
        if text or (beside and not thinking):
            self.text(text, beside)
        for call in map(mapped, listed(message.get("tool_calls"))):
            self._call(identifier(call.get("id")), mapped(call.get("function")))

    def _call(self, id: str, function: Mapping[str, Any]) -> None:
        """A whole call. Its index says nothing: some servers have the same in each."""
        name, text = word(function.get("name")), written(function.get("arguments"))
        if id or name or text:
            self._calls += 1
            self.tool_start(id, name)
            self.tool_call(id, name, text)

    def _usage(self, line: Mapping[str, Any]) -> None:
        raw = {name: scrub(value) for name, value in line.items() if name.endswith(("_count", "_duration"))}
        if raw:
            self.state.usage = _usage(raw)

    def _finish_reason(self) -> str:
        """Ours for Ollama's, corrected by what was seen: it says "stop" also where calls are to be answered."""
        reason = _FINISH_REASONS.get(self.state.raw_finish_reason or "", "other")
        return "tool_calls" if self._calls and reason != "length" else reason


def _plain(line: str) -> tuple[str, str] | None:
    """Text and thinking of a line that brings nothing else. With it a chunk takes 1.4 µs, without it 4 to 5."""
    head = _HEAD.match(line)
    if head is None:
        return None
    thinking = ""
    try:
        text, end = scanstring(line, head.end())
        if line.startswith(_THINKING, end):
            thinking, end = scanstring(line, end + len(_THINKING))
    except ValueError:  # no string there
        return None
    return (text, thinking) if line[end:] == _TAIL else None


def _status(line: Mapping[str, Any]) -> int | None:
    status = line.get("status")
    return status if type(status) is int and 400 <= status <= 599 else None


def _usage(raw: dict[str, Any]) -> Usage:
    prompt, completion = count(raw.get("prompt_eval_count")), count(raw.get("eval_count"))
    return Usage(
        prompt_tokens=prompt or 0,
        completion_tokens=completion or 0,
        total_tokens=(prompt or 0) + (completion or 0),
        raw=raw,
        source="unknown" if prompt is None and completion is None else "reported",
    )
