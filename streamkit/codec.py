"""The contract of a provider: what turns a request into HTTP, and events into chunks.

A codec is a wire format and is pure: it owns no thread, socket, clock or environment. A provider is whom one calls:
a name, an address, a key and a codec. Flow: `Codec.encode(request, provider)` gives an `HttpRequest`; the events of
its answer go through one `Decoder`, which gives chunks; an error answer goes through `Codec.error`.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import attrs

from streamkit.errors import ConfigError, DecodeError, ProviderError, printable
from streamkit.framing import Event
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
)
from streamkit.types.request import ChatRequest
from streamkit.types.response import StepState
from streamkit.types.secret import Secret

__all__ = [
    "Codec",
    "Decoder",
    "HttpRequest",
    "Key",
    "Model",
    "Provider",
    "parse_arguments",
    "parse_json",
    "post",
    "scrub",
]

Key = str | Secret | Callable[[], str]
"""A key, or a callable that gives the current one (rotating tokens); it is asked once a request."""


@attrs.frozen(kw_only=True)
class HttpRequest:
    """One POST: `secrets` are headers that carry a key, kept apart so that they print as [REDACTED].

    `direct` passes by the proxies of the environment: for a server of our own on this machine.
    """

    url: str
    body: bytes = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict)
    secrets: Mapping[str, Secret] = attrs.field(factory=dict)
    direct: bool = False


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

    def secret(self) -> Secret | None:
        """Give the key to send, or None where none is needed; asked once a request."""

    def model(self, name: str) -> Model:
        """Give one of its models."""


class Codec(Protocol):
    """A wire format."""

    def encode(self, request: ChatRequest, provider: Provider) -> HttpRequest:
        """Put a request into the provider's words; `ConfigError` for what the provider cannot do."""

    def decoder(self, request: ChatRequest, provider: Provider, *, index: int = 0, step: int = 1) -> Decoder:
        """Give a decoder for one answer, whose first chunk has this index."""

    def error(self, provider: str, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Give the error that an answer of this status stands for (mostly `provider_errors.status_error`)."""


@attrs.frozen(kw_only=True)
class Model:
    """A provider, or a client, and a model name; made by `provider.model(name)` or `client.model(name)`."""

    name: str
    provider: Provider
    client: Any = None


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # what a header's name may be: RFC 9110, section 5.6.2
_CREDENTIALS = frozenset({"authorization", "api-key", "cookie", "proxy-authorization", "x-api-key", "x-goog-api-key"})
_FRAMING = frozenset({"content-length", "transfer-encoding"})


def post(
    url: str,
    body: Mapping[str, Any],
    *,
    headers: Mapping[str, str] | None = None,
    secrets: Mapping[str, Secret] | None = None,
    own: Mapping[str, str] | None = None,
) -> HttpRequest:
    """Give the POST of a JSON body that asks for an event stream; the same bytes for each attempt.

    `headers` and `secrets` are the codec's, `own` the user's. The user's win over `headers`, whatever their case. One
    that carries a credential goes into `secrets`, so that it prints as [REDACTED].

    Raises:
        ConfigError: `body` is not JSON (NaN and infinity are none); a header of the user's cannot be sent, says how
            long the body is, or would replace the key.
    """
    sent = {
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "Accept-Encoding": "identity",
        **(headers or {}),
    }
    kept = dict(secrets or {})
    for name, value in (own or {}).items():
        _check_header(name, kept)
        sent = {known: text for known, text in sent.items() if known.lower() != name.lower()}
        secret = _header_value(name, value)
        if name.lower() in _CREDENTIALS:
            kept[name] = secret
        else:
            sent[name] = secret.expose()
    return HttpRequest(url=url, body=_json_bytes(body), headers=sent, secrets=kept)


def _check_header(name: object, secrets: Mapping[str, Secret]) -> None:
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise ConfigError(f"{printable(repr(name), 100)} cannot be the name of a header")
    if name.lower() in _FRAMING:
        raise ConfigError(f"the header {name} is set with the body: leave it out")
    if name.lower() in (known.lower() for known in secrets):
        raise ConfigError(f"the header {name} carries the key: give the key as api_key instead")


def _header_value(name: str, value: object) -> Secret:
    """A `Secret` refuses what no header can carry; it does not name the header."""
    if not isinstance(value, str):
        raise ConfigError(f"the value of the header {name} must be a str, not {type(value).__name__}")
    try:
        return Secret(value)
    except ConfigError as e:
        raise ConfigError(f"header {name}: {str(e).replace('the key', 'its value')}") from None


def _json_bytes(body: Mapping[str, Any]) -> bytes:
    def plain(value: object) -> object:
        if isinstance(value, Mapping):
            return dict(value)
        raise TypeError(f"{type(value).__name__} is no JSON type")

    try:
        text = json.dumps(dict(body), ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=plain)
    except (TypeError, ValueError, RecursionError) as e:
        raise ConfigError(
            f"the request cannot be written as JSON: {printable(str(e), 200)}; check tools and provider_options"
        ) from e
    return str(scrub(text)).encode("utf-8")


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
        self._half: tuple[str, str] | None = None  # kind and first half of a surrogate pair split over two deltas

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
            self.out.append(ThinkingChunk(content=content, index=self.index, metadata=metadata or {}))
            self.index += 1

    def tool_start(self, id: str, name: str) -> None:
        """Begin a tool call."""
        self._flush_half()
        self.out.append(ToolCallStartChunk(tool_call_id=scrub(id), tool_name=scrub(name), index=self.index))
        self.index += 1

    def tool_delta(self, id: str, fragment: str) -> None:
        """Add a fragment of a call's JSON text."""
        self.out.append(ToolCallDeltaChunk(tool_call_id=scrub(id), tool_input=scrub(fragment), index=self.index))
        self.index += 1

    def tool_call(self, id: str, name: str, text: str, *, why: str | None = None) -> None:
        """Add a whole call. One whose text is not JSON, or that is not whole (`why` says so), is kept and marked."""
        self._flush_half()
        arguments, not_json = parse_arguments(text)
        why = not_json or why
        self.out.append(
            ToolCallChunk(
                tool_call_id=scrub(id),
                tool_name=scrub(name),
                tool_input=scrub(text),
                arguments=arguments,
                index=self.index,
                metadata={} if why is None else {"arguments_error": why},
            )
        )
        self.index += 1

    def source(self, source: Source) -> None:
        """Add a citation."""
        self.out.append(SourceChunk(source=source, index=self.index))
        self.index += 1

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


def scrub(value: Any) -> Any:
    """Give JSON data whose every text can be encoded: pairs of surrogates joined, single ones U+FFFD."""
    if isinstance(value, str):
        if value.isascii():
            return value
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value
    if isinstance(value, dict):
        return {scrub(k): scrub(v) for k, v in value.items()}
    if isinstance(value, list):
        return [scrub(v) for v in value]
    return value


_raw_decode = json.JSONDecoder().raw_decode


_parsed = itertools.count()
_WORTH_AN_IMPORT = 100
"""Events parsed, by all streams, before msgspec is imported: that takes 6 ms, which a first token need not wait for."""


@functools.cache
def _fast_decode() -> Callable[[str], Any] | None:
    """msgspec's parser where the extra `fast` is installed: 0.75 µs for a chunk of 300 bytes, where json takes 1.85."""
    try:
        import msgspec
    except ImportError:
        return None
    return msgspec.json.Decoder().decode


def parse_json(text: str) -> Any:
    """Give the JSON value of an event's data; `DecodeError`, with the text, for anything else.

    Numbers of thousands of digits and nesting of 100,000 levels, which make the json module raise ValueError and
    RecursionError, are refused alike. What it gives does not depend on msgspec, which is only asked first.
    """
    fast = _fast_decode() if next(_parsed) >= _WORTH_AN_IMPORT else None
    if fast is None:
        return _parse_slowly(text)
    try:
        return fast(text)
    except Exception:  # its errors are of several kinds, and it is the stricter one: json has the last word
        return _parse_slowly(text)


def _parse_slowly(text: str) -> Any:
    try:
        value, end = _raw_decode(text)
        if end != len(text) and text[end:].strip():
            value = json.loads(text)
    except (ValueError, RecursionError) as first:
        try:
            return json.loads(text)  # leading white space, which raw_decode does not skip
        except (ValueError, RecursionError):
            raise DecodeError(
                f"the provider sent an event that is not JSON ({type(first).__name__}): {printable(text, 200)}",
                event=text[:2000],
            ) from None
    return value


def parse_arguments(text: str) -> tuple[Any, str | None]:
    """Give a call's arguments and None, or None and why its text is not JSON. No text at all means no arguments.

    Arguments nested too deeply to be walked count as no JSON.
    """
    if not text.strip():
        return {}, None
    try:
        return scrub(json.loads(text)), None
    except (ValueError, RecursionError) as e:
        return None, printable(f"{type(e).__name__}: {e}", 200)
