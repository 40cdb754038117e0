"""The contract of a provider: what turns a request into HTTP, and events into chunks.

A codec is a wire format and is pure: it owns no thread, socket, clock or environment. A provider is whom one calls:
a name, an address, a key and a codec. Flow: `Codec.encode(request, provider)` gives an `HttpRequest`; the events of
its answer go through one `Decoder`, which gives chunks; an error answer goes through `Codec.error`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

from streamkit import lazy_attrs as attrs
from streamkit.errors import DecodeError, ProviderError, StreamTruncated
from streamkit.framing import Event, NDJSONFramer, SSEFramer
from streamkit.jsontext import mapped, parse_arguments, parse_json, scrub, unread
from streamkit.provider_errors import error_in, event_error
from streamkit.schema_rules import StrictRules
from streamkit.types.chunks import (
    Chunk,
    Source,
    SourceChunk,
    StepFinishChunk,
    TextChunk,
    ThinkingChunk,
    ToolCallChunk,
    ToolCallDeltaChunk,
    ToolCallStartChunk,
    plain_text,
    plain_thinking,
)
from streamkit.types.nothing import NOTHING
from streamkit.types.request import ChatRequest
from streamkit.types.response import StepState
from streamkit.types.secret import Secret
from streamkit.types.usage import count

__all__ = [
    "CUT_SHORT",
    "Capabilities",
    "Codec",
    "Decoder",
    "GrowingCall",
    "HttpRequest",
    "Key",
    "Model",
    "Provider",
    "counted",
    "logprobs",
]

CUT_SHORT = frozenset({"length", "content_filter"})
"""Finish reasons that may end an answer in the middle of a call."""

Key = str | Secret | Callable[[], str]
"""A key, or a callable that gives the current one (rotating tokens); it is asked once a request."""


@attrs.frozen(kw_only=True)
class HttpRequest:
    """One request: `secrets` are headers that carry a key, kept apart so that they print as [REDACTED].

    `direct` passes by the proxies of the environment: for a server of our own on this machine.
    """

    url: str
    body: bytes = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict)
    secrets: Mapping[str, Secret] = attrs.field(factory=dict)
    direct: bool = False
    method: str = "POST"


@attrs.frozen(kw_only=True)
class Capabilities:
    """What can be asked of a provider's API. What it cannot do is refused before it is sent.

    It speaks of the API: a model of it may know less, which its server then says.
    """

    tools: bool = True
    required_tool: bool = True
    """tool_choice "required"."""
    named_tool: bool = True
    """tool_choice by name."""
    parallel_tool_calls: bool = False
    """A switch that allows one call at a time only."""
    tool_result_images: bool = False
    images: bool = True
    image_urls: bool = True
    """Images that the provider fetches."""
    image_types: tuple[str, ...] = ("image/png", "image/jpeg", "image/gif", "image/webp")
    image_bytes: int = 20 * 2**20
    """The largest image."""
    files: bool = False
    file_urls: bool = True
    """Files that the provider fetches, where it takes files."""
    citations: bool = False
    """Answers that cite the files sent, where that is asked for."""
    thinking: bool = False
    """A switch for thinking."""
    thinking_budget: bool = False
    reasoning_effort: bool = False
    efforts: tuple[str, ...] = ()
    """The reasoning efforts that it knows, where only these are taken."""
    json: bool = True
    """JSON without a schema."""
    json_schema: bool = True
    """Answers held to a JSON Schema by the API itself."""
    schema_rules: StrictRules | None = None
    """What a schema that answers are strictly held to must be like; None: as far as we know, just a schema."""
    prompt_caching: bool = False
    """The beginning of a prompt is cached: where that is asked for, or by itself."""
    prefill: bool = False
    """It goes on with a last message that is the assistant's."""
    prefill_gives: Literal["rest", "whole"] = "rest"
    """What it then gives: what is new, or all of the answer, with what was sent of it."""
    seed: bool = True
    stop: bool = True
    most_stops: int | None = None
    """The most stop texts, where that is known."""
    most_temperature: float | None = None
    """The highest temperature, where that is known."""
    top_k: bool = False
    penalties: bool = True
    logprobs: bool = False


class Provider(Protocol):
    """Whom one calls. Build one with a class of `streamkit.providers`."""

    @property
    def name(self) -> str:
        """Its name in errors and metadata, such as "openai"."""

    @property
    def base_url(self) -> str:
        """Its address, without a trailing slash. May block: an embedded server starts here."""

    @property
    def codec(self) -> Codec:
        """Its wire format."""

    @property
    def capabilities(self) -> Capabilities:
        """What its API can do."""

    def secret(self) -> Secret | None:
        """Give the key to send, or None where none is needed; asked once a request."""

    def model(self, name: str) -> Model:
        """Give one of its models."""


class Codec(Protocol):
    """A wire format."""

    @property
    def framer(self) -> type[SSEFramer] | type[NDJSONFramer]:
        """How its answers are cut into events."""

    @property
    def capabilities(self) -> Capabilities:
        """What the API can do."""

    def encode(self, request: ChatRequest, provider: Provider) -> HttpRequest:
        """Put a request into the provider's words; `ConfigError` for what the provider cannot do."""

    def decoder(self, request: ChatRequest, provider: Provider, *, index: int = 0, step: int = 1) -> Decoder:
        """Give a decoder for one answer, whose first chunk has this index."""

    def list_models(self, provider: Provider) -> HttpRequest:
        """Give the request for the names of the provider's models (see `encoding.get`)."""

    def model_names(self, answer: Any) -> list[str]:
        """Give the names in the JSON value that answers `list_models`, as `ChatRequest.model` takes them."""

    def error(self, provider: str, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Give the error that an answer of this status stands for (mostly `provider_errors.status_error`)."""


@attrs.frozen(kw_only=True)
class Model:
    """A provider, or a client, and a model name; made by `provider.model(name)` or `client.model(name)`."""

    name: str
    provider: Provider
    client: Any = None


@attrs.define
class GrowingCall:
    """A tool call as its pieces come."""

    id: str = ""
    name: str = ""
    pieces: list[str] = attrs.field(factory=list)
    signature: str = ""
    """Proves the thought behind it to the provider when it is sent back."""

    @property
    def text(self) -> str:
        """The JSON text so far."""
        return "".join(self.pieces)


class Decoder:
    """Events of one answer into chunks; the base of every codec's decoder.

    A subclass overrides `event` and calls `text`, `thinking`, `tool_start` … in it. `feed` gives the chunks of a batch
    of events. `finished` says that the protocol's own end was seen: what follows is not read. `end`, called when the
    body has ended or `finished` is set, gives the last chunks, or raises `StreamTruncated`.
    """

    def __init__(self, *, provider: str, index: int = 0, step: int = 1) -> None:
        self.index = index
        self.step = step
        self.state = StepState(provider=provider)
        self.finished = False
        self.out: list[Chunk] = []
        self._cited: set[object] = set()
        self._half: tuple[str, str] | None = None  # kind and first half of a surrogate pair split over two deltas
        self._half_inputs: dict[str, str] = {}  # the same of calls' texts, by id

    # -- for the call

    def feed(self, events: Sequence[Event]) -> list[Chunk]:
        """Decode a batch; raises an error of our tree, after which `take` gives what came before it."""
        event = self.event
        for e in events:
            try:
                event(e)
            except RecursionError:  # what can be parsed can still be too deep to be walked
                raise DecodeError(
                    "the provider sent an event nested too deeply to be read", event=e.data[:2000]
                ) from None
            if self.finished:
                break
        return self.take()

    def take(self) -> list[Chunk]:
        """Give the chunks decoded since the last call."""
        out, self.out = self.out, []
        return out

    def end(self) -> list[Chunk]:
        """Give the last chunks of a complete answer; raise `StreamTruncated` where it is not complete."""
        raise NotImplementedError

    # -- for a codec

    def event(self, event: Event) -> None:
        """Decode one event."""
        raise NotImplementedError

    def parsed(self, event: Event) -> Any:
        """Give the JSON value of an event; None for a sign of life, and for the [DONE] that ends most wires.

        Where an event that is called `error` is no JSON, it is its text. `DecodeError` for any other that is none, but
        for a sign of life, which its name betrays; JSON counts under any name.
        """
        try:
            return parse_json(event.data)
        except DecodeError:
            text = event.data.strip()
            if text.startswith("[DONE]"):
                self.finished = True
            elif event.event == "error":
                return text
            elif text and event.event not in _KEEP_ALIVES:
                raise
        return None

    def parsed_object(self, event: Event) -> Any:
        """Give the JSON object of an event, None for any other value; raise the error that such a one reports."""
        value = self.parsed(event)
        if type(value) is dict:
            return value
        error = None if self.finished else error_in(value, event.event)
        if error:
            raise event_error(self.state.provider, error)
        return None

    def cut_off(self, before: str) -> StreamTruncated:
        """Give the error for an answer that ended before what ends it."""
        return StreamTruncated(
            f"{self.state.provider}: the answer was cut off before its {before}: "
            "send the request again, or go on from `partial`"
        )

    def require_answer(self, part: str, *, there: bool, other: Mapping[str, Any] = NOTHING) -> None:
        """Raise where there was no part of an answer; `other`, an object that did not belong in it, may say why."""
        if any(name in other for name in ("message", "detail", "msg", "errors")):
            raise event_error(self.state.provider, other)
        if not there:
            raise StreamTruncated(
                f"{self.state.provider}: the answer has no {part}, so there is nothing in it: send the request again"
            )

    def text(self, content: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Add visible text."""
        if not content.isascii() or self._half is not None:
            content = self._whole("text", content)
        if content or metadata:
            self.out.append(
                TextChunk(content=content, index=self.index, metadata=metadata)
                if metadata
                else plain_text(content, self.index)
            )
            self.index += 1

    def thinking(self, content: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Add thinking."""
        if not content.isascii() or self._half is not None:
            content = self._whole("thinking", content)
        if content or metadata:
            self.out.append(
                ThinkingChunk(content=content, index=self.index, metadata=metadata)
                if metadata
                else plain_thinking(content, self.index)
            )
            self.index += 1

    def tool_start(self, id: str, name: str) -> None:
        """Begin a tool call."""
        self._flush_half()
        self.out.append(ToolCallStartChunk(tool_call_id=scrub(id), tool_name=scrub(name), index=self.index))
        self.index += 1

    def tool_delta(self, id: str, fragment: str) -> None:
        """Add a fragment of a call's JSON text."""
        if not fragment.isascii() or self._half_inputs:
            fragment = self._half_inputs.pop(id, "") + fragment
            if "\ud800" <= fragment[-1:] <= "\udbff":
                self._half_inputs[id] = fragment[-1]
                fragment = fragment[:-1]
                if not fragment:
                    return
        self.out.append(ToolCallDeltaChunk(tool_call_id=scrub(id), tool_input=scrub(fragment), index=self.index))
        self.index += 1

    def tool_call(
        self, id: str, name: str, text: str, *, why: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Add a whole call. One whose text is not JSON, or that is not whole (`why` says so), is kept and marked.

        `metadata` is the chunk's: `signature` in it goes back with the call, to the provider that gave it.
        """
        self._flush_half()
        if id in self._half_inputs:
            del self._half_inputs[id]
            self.tool_delta(id, "\ufffd")
        arguments, not_json = parse_arguments(text)
        why = not_json or why
        self.out.append(
            ToolCallChunk(
                tool_call_id=scrub(id),
                tool_name=scrub(name),
                tool_input=scrub(text),
                arguments=arguments,
                index=self.index,
                metadata={**(metadata or {}), **({} if why is None else {"arguments_error": why})},
            )
        )
        self.index += 1

    def end_calls(self, calls: Sequence[GrowingCall], reason: str) -> None:
        """Add the whole calls of an answer that ended for this reason; the last may have lost its arguments by it."""
        for call in calls:
            cut = reason in CUT_SHORT and call is calls[-1] and not call.text.strip()
            why = f"the answer ended before its arguments: {reason}" if cut else None
            signed = {"signature": call.signature} if call.signature else None
            self.tool_call(call.id, call.name, call.text, why=why, metadata=signed)

    def source(self, source: Source) -> None:
        """Add a citation."""
        self.out.append(SourceChunk(source=source, index=self.index))
        self.index += 1

    def cite(
        self,
        cited: Mapping[str, Any],
        read: Collection[str],
        *,
        url: str = "",
        title: str = "",
        id: str = "",
        text: str = "",
        place: Iterable[object] = (),
    ) -> None:
        """Add a citation, once: for a place in the text where it names one, else for what it cites.

        What `cited` has beside the fields that are `read` is the source's metadata.
        """
        what, where = (url, id) if url or id else (title, text), tuple(place)
        if not any(what) or (what, where) in self._cited:
            return
        self._cited |= {(what, where), (what, ())}
        self.source(
            Source(
                url=url or None,
                title=title or None,
                id=id or None,
                text=text or None,
                metadata=unread(cited, read),
            )
        )

    def keep(self, fields: Mapping[str, Any], read: Collection[str]) -> None:
        """Keep what the provider says of the answer and no field of ours holds: all that is not in `read`."""
        kept = self.state.metadata
        for name, value in unread(fields, read).items():
            if kept.get(name) != value:
                kept[name] = value
                self.changed()

    def keep_more(self, name: str, value: Any, *, grow: bool = False) -> None:
        """Keep a field that comes again and again: of objects the union, of lists that `grow` all, else the last."""
        old = self.state.metadata.get(name)
        if grow and type(value) is type(old) is list:
            old += scrub(value)
        elif type(value) is type(old) is dict:
            self.state.metadata[name] = {**old, **scrub(value)}
        else:
            self.state.metadata[name] = scrub(value)
        self.changed()

    def beside(
        self, fields: Mapping[str, Any], read: Collection[str], methods: Mapping[str, Callable[[Any, Any], None]]
    ) -> None:
        """Read what stands beside the answer, most of it the same in every event: by its method, or `keep_more` it."""
        kept = self.state.metadata
        for name, value in fields.items():
            if value and name not in read and kept.get(name) != value:
                method = methods.get(name)
                if method is not None:
                    method(self, value)
                else:
                    self.keep_more(name, value)

    def changed(self) -> None:
        """Called when what stands beside the answer has changed: by `keep` and `keep_more`, and by a codec's own.

        A decoder with a `Stencil` has it `forget` then.
        """

    def step_finish(self, reason: str) -> None:
        """End the step with the state learnt so far."""
        self._flush_half()
        state = self.state
        self.out.append(
            StepFinishChunk(
                step=self.step,
                finish_reason=reason,
                usage=state.usage,
                response=state.response(),
                index=self.index,
                metadata={"raw_finish_reason": state.raw_finish_reason, "provider": state.provider},
            )
        )
        self.index += 1

    # -- text that can be encoded, whatever was sent

    def _whole(self, kind: str, content: str) -> str:
        """Join a surrogate pair that two deltas brought; replace what is only half of one (it cannot be encoded)."""
        if self._half is not None:
            if self._half[0] == kind:
                content = self._half[1] + content
                self._half = None
            elif content:
                self._flush_half()
        if content and "\ud800" <= content[-1] <= "\udbff":
            self._half = (kind, content[-1])
            content = content[:-1]
        return scrub(content)  # type: ignore[no-any-return]  # a str stays one

    def _flush_half(self) -> None:
        if self._half is not None:
            kind, self._half = self._half[0], None
            (self.text if kind == "text" else self.thinking)("\ufffd")


_KEEP_ALIVES = frozenset({"ping", "heartbeat", "keepalive", "keep-alive"})
"""What services call events that say nothing but that they are still there."""


def logprobs(value: Any) -> dict[str, Any] | None:
    """Give log probabilities as a chunk's metadata; None where there are none, as in an object of nulls."""
    there = any(value.values()) if type(value) is dict else value if type(value) is list else None
    return {"logprobs": scrub(value)} if there else None


def counted(raw: Mapping[str, Any], names: Mapping[str, str], *details: str) -> dict[str, int]:
    """Give the counts of a usage report, and of the objects in these fields of it, by our names (see `Usage`).

    Of those that have one name the first counts that is not 0. The total is the sum where none is reported; without any
    count there is no total.
    """
    counts: dict[str, int] = {}
    for box in (raw, *(mapped(raw.get(field)) for field in details)):
        for name, value in box.items():
            field = names.get(name)
            if field is not None and not counts.get(field) and (number := count(value)) is not None:
                counts[field] = number
    if counts:
        counts.setdefault("total_tokens", counts.get("prompt_tokens", 0) + counts.get("completion_tokens", 0))
    return counts
