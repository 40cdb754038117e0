"""One call: encode, open with retries, frame, decode: a generator of batches of chunks; or a list of models.

A batch is what one read of the socket brought. It runs on the stream's producer thread, but owns none: what it needs of
its surroundings is a `Scope`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from streamkit import lazy_attrs as attrs
from streamkit.codec import Decoder, HttpRequest, Provider
from streamkit.errors import (
    ConnectionLost,
    DecodeError,
    StreamIdle,
    StreamKitError,
    StreamTruncated,
    Unauthorized,
    printable,
    without_frames,
)
from streamkit.framing import Event, SSEFramer
from streamkit.hooks import Hooks, RequestInfo, ResponseInfo, RetryInfo, observe
from streamkit.jsontext import parse_json
from streamkit.provider_errors import event_error, request_id
from streamkit.retry import RetryBudget, call_with_retries, note_headers
from streamkit.settings import Limits, RetryPolicy, Timeouts
from streamkit.transport.slot import SocketSlot
from streamkit.types.chunks import Chunk, StepFinishChunk
from streamkit.types.request import ChatRequest
from streamkit.types.response import StepState
from streamkit.types.secret import Secret
from streamkit.types.usage import Usage

if TYPE_CHECKING:
    from streamkit.transport.session import Answer, Transport

__all__ = ["Call", "Scope"]

GRACE = 0.01
"""Seconds that a finished answer waits for the end of its body before the stream settles: the connection is then in the
pool when the caller's next request looks for it. What takes longer is awaited after the stream has settled."""
LINGER = 0.25
"""Seconds after the stream has settled that its connection may still take to become reusable."""
_FIELDS = ("data:", "event:", "id:", "retry:", ":")
"""How an event stream may begin."""
MAX_HEAD = 65_536
"""Bytes kept of a body in which no event was found, to say what it was instead."""


class Scope(Protocol):
    """The running stream, as far as a call needs it."""

    slot: SocketSlot

    def pause(self, seconds: float) -> None:
        """Sleep; raises when the stream has ended meanwhile."""

    def remaining(self) -> float | None:
        """Give the seconds to the deadline, or None."""

    def answered(self, headers: Mapping[str, str], request_id: str | None) -> None:
        """Say that the answer is open; chunks or `waits` follow."""

    def waits(self) -> None:
        """Say that the first chunks may be long in coming."""

    def retried(self, attempt: int) -> None:
        """Say that attempt number `attempt` (1-based) failed and another follows."""

    def ended(self) -> StreamKitError | None:
        """Give the error that ended the stream from outside, if one did: what the reader meets then is its doing."""

    def follow(self, state: StepState) -> None:
        """Say where to find what the step has reported so far."""

    def defer(self, fn: Callable[[], object]) -> None:
        """Have `fn` called on this thread after the stream has settled."""


@attrs.frozen(kw_only=True)
class Call:
    """A request and everything that it takes to make it."""

    request: ChatRequest
    provider: Provider
    transport: Transport
    timeouts: Timeouts
    limits: Limits
    retry_policy: RetryPolicy
    budget: RetryBudget
    hooks: Hooks
    step: int = 1
    index: int = 0

    def batches(self, scope: Scope) -> Generator[list[Chunk], None, None]:
        """Make the call; give its chunks, the last being `step_finish`. Raises errors of our tree only."""
        scope.pause(0)  # raises where the stream has ended: a loop may come here before anybody has stopped it
        self._observe_request()
        seen = _Seen()
        attempts = _Attempts(self, scope, lambda: self.provider.codec.encode(self.request, self.provider))
        try:
            answer = seen.answer = self._open(attempts, scope)
            scope.answered(answer.headers, request_id(answer.headers))
            decoder = self.provider.codec.decoder(self.request, self.provider, index=self.index, step=self.step)
            scope.follow(decoder.state)
            seen.state = decoder.state
            for batch in self._decoded(answer, decoder, scope):
                seen.note(batch)
                yield batch
            if not answer.drain(GRACE):
                scope.defer(lambda: answer.drain(LINGER))
        except StreamKitError as error:
            attempts.redact(error)
            seen.error = error
            raise
        finally:
            seen.error = scope.ended() or seen.error
            self._observe_response(seen)

    def check(self) -> None:
        """Raise the `ConfigError` that `batches` would raise for what the provider cannot do; nothing is sent."""
        self.provider.codec.encode(self.request, self.provider)

    def models(self) -> list[str]:
        """Ask for the names of the provider's models, whatever the request is. Blocks; raises errors of our tree."""
        codec = self.provider.codec
        scope = _Waiting(self.limits, self.timeouts)
        attempts = _Attempts(self, scope, lambda: codec.list_models(self.provider))
        try:
            answer = self._open(attempts, scope)
            body = b"".join(answer.blocks(self.limits.response, before_wait=scope.waits)).decode("utf-8-sig", "replace")
            return codec.model_names(self._listed(body))
        except StreamKitError as error:
            attempts.redact(error)
            raise
        finally:
            scope.leave()

    def _listed(self, body: str) -> Any:
        try:
            return parse_json(body)
        except DecodeError:
            raise DecodeError(
                f"{self.provider.name}: its list of models is no JSON: {printable(body, 300)} "
                "(check base_url: is this the API?)",
                event=body[:2000],
            ) from None

    # -- opening

    def _open(self, attempts: _Attempts, scope: Scope) -> Answer:
        def tell(info: RetryInfo) -> None:
            without_frames(info.error)  # an observer may keep it, and with its frames the connection
            scope.retried(info.attempt)
            observe(self.hooks.on_retry, info)

        answer = call_with_retries(
            attempts,
            self.retry_policy,
            self.budget,
            pause=scope.pause,
            remaining=scope.remaining,
            on_retry=tell,
        )
        scope.defer(answer.close)
        return answer

    # -- reading

    def _decoded(self, answer: Answer, decoder: Decoder, scope: Scope) -> Iterator[list[Chunk]]:
        framer = self.provider.codec.framer(self.limits.event)
        if isinstance(framer, SSEFramer):
            framer.strays = True
        head: bytearray | None = bytearray()  # the body so far, until an event is found in it
        cut: StreamKitError | None = None
        try:
            for block in answer.blocks(self.limits.response, before_wait=scope.waits):
                if head is not None and len(head) < MAX_HEAD:
                    head += block
                events = framer.feed(block)
                if not events:
                    continue
                head = None
                if decoder.index == self.index:  # the first chunk does not wait for what came along with it
                    events = yield from self._fed_first(decoder, events)
                yield from self._fed(decoder, events)
                if decoder.finished:
                    break
        except (StreamTruncated, ConnectionLost, StreamIdle) as error:
            cut = error  # whether the answer was whole all the same is the decoder's to say
        if not decoder.finished and cut is None:
            events = framer.finish()  # raises where the last block brought an event that is too large
            if events:
                head = None
                yield from self._fed(decoder, events)
        if head is not None:
            yield from self._fed(decoder, [self._whole(bytes(head), answer, cut)])
        try:
            yield decoder.end()
        except StreamTruncated as error:
            yield decoder.take()
            raise (cut or error) from None

    def _fed(self, decoder: Decoder, events: list[Event]) -> Iterator[list[Chunk]]:
        """Decode a batch; when it raises, what came before is given first."""
        try:
            chunks = decoder.feed(events)
        except Exception as error:
            chunks = decoder.take()
            if chunks:
                yield chunks
            if isinstance(error, StreamKitError):
                raise
            raise DecodeError(f"{self.provider.name}: an event could not be decoded: {error!r}") from error
        if chunks:
            yield chunks

    def _fed_first(self, decoder: Decoder, events: list[Event]) -> Generator[list[Chunk], None, list[Event]]:
        """Decode one event after the other until one brings a chunk; return those that are left."""
        for at, event in enumerate(events, 1):
            yield from self._fed(decoder, [event])
            if decoder.finished:
                return []
            if decoder.index > self.index:
                return events[at:]
        return []

    def _whole(self, body: bytes, answer: Answer, cut: StreamKitError | None) -> Event:
        """Give a body without events as the one event it may be: a whole JSON answer; or raise what it is instead."""
        name, kind = self.provider.name, printable(answer.headers.get("content-type", "none"), 100)
        text = body.decode("utf-8-sig", "replace").strip()
        if not text:
            raise cut or StreamTruncated(f"{name}: the answer (status {answer.status}) is empty: try again")
        if text.startswith(_FIELDS):
            raise cut or StreamTruncated(f"{name}: the answer ended before its first event: try again")
        try:
            value = parse_json(text)
        except DecodeError:
            raise cut or DecodeError(
                f"{name}: the answer is no event stream (Content-Type: {kind}): {printable(text, 300)} "
                "(check base_url: is this the API?)",
                event=text[:2000],
            ) from None
        if isinstance(value, dict) and value.get("error"):
            raise event_error(name, value)
        return Event(data=text)

    # -- observing

    def _observe_request(self) -> None:
        if self.hooks.on_request is not None:
            info = RequestInfo(
                provider=self.provider.name,
                model=self.request.model,
                message_count=len(self.request.messages),
                tool_count=len(self.request.tools),
                step=self.step,
                base_url=self._base_url(),
                request=self.request,
            )
            observe(self.hooks.on_request, info)

    def _base_url(self) -> str:
        try:
            return self.provider.base_url
        except StreamKitError:  # of a server of our own that does not start; encoding says so
            return ""

    def _observe_response(self, seen: _Seen) -> None:
        if self.hooks.on_response is None:
            return
        info = ResponseInfo(
            provider=self.provider.name,
            model=self.request.model,
            step=self.step,
            latency=time.monotonic() - seen.began,
            ttft=seen.ttft,
            usage=seen.state.usage if seen.state is not None else Usage(),
            finish_reason=seen.finish_reason,
            status=seen.answer.status if seen.answer is not None else getattr(seen.error, "status", None),
            request_id=request_id(seen.answer.headers)
            if seen.answer is not None
            else getattr(seen.error, "request_id", None),
            error=seen.error,
        )
        observe(self.hooks.on_response, info)


class _Waiting:
    """The scope of a call that its caller waits for; there is no stream to be told anything."""

    def __init__(self, limits: Limits, timeouts: Timeouts) -> None:
        self.slot = SocketSlot(max_headers=limits.headers)
        self._until = None if timeouts.total is None else time.monotonic() + timeouts.total
        self._deferred: list[Callable[[], object]] = []

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def remaining(self) -> float | None:
        return None if self._until is None else self._until - time.monotonic()

    def answered(self, headers: Mapping[str, str], request_id: str | None) -> None: ...

    def waits(self) -> None: ...

    def retried(self, attempt: int) -> None: ...

    def ended(self) -> StreamKitError | None:
        return None

    def follow(self, state: StepState) -> None: ...

    def defer(self, fn: Callable[[], object]) -> None:
        self._deferred.append(fn)

    def leave(self) -> None:
        """Do what was put off until the call is over."""
        for fn in self._deferred:
            fn()


class _Seen:
    """What `on_response` is told of a call."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.ttft: float | None = None
        self.answer: Answer | None = None
        self.state: StepState | None = None
        self.finish_reason: str | None = None
        self.error: StreamKitError | None = None

    def note(self, batch: list[Chunk]) -> None:
        if batch and self.ttft is None:
            self.ttft = time.monotonic() - self.began
        if batch and isinstance(batch[-1], StepFinishChunk):
            self.finish_reason = batch[-1].finish_reason


class _Attempts:
    """Opens the answer, each time it is called; asks for the key again after a 401, once."""

    def __init__(self, call: Call, scope: Scope, encode: Callable[[], HttpRequest]) -> None:
        self._call = call
        self._scope = scope
        self._encode = encode
        self._request: HttpRequest | None = None
        self._secrets: set[Secret] = set()
        self._asked_again = False

    def __call__(self) -> Answer:
        try:
            return self._attempt()
        except StreamKitError as error:
            self.redact(error)  # before observers of a retry see it
            if self._scope.ended() is not None:
                error.retryable = False
            raise

    def redact(self, error: StreamKitError) -> None:
        """Take the keys that were sent out of all that an error says."""
        for secret in self._secrets:
            _redact(error, secret)

    def _attempt(self) -> Answer:
        request = self._request = self._request or self._encoded()
        try:
            return self._send(request)
        except Unauthorized:
            fresh = self._encoded() if not self._asked_again else request
            self._asked_again = True
            if fresh.secrets == request.secrets:
                raise
            self._request = fresh
            return self._send(fresh)

    def _encoded(self) -> HttpRequest:
        request = self._encode()
        self._secrets.update(request.secrets.values())
        return request

    def _send(self, request: HttpRequest) -> Answer:
        call = self._call
        answer = call.transport.open(request, self._scope.slot, connect=call.timeouts.connect, idle=call.timeouts.idle)
        if 200 <= answer.status < 300:
            return answer
        try:
            body = answer.excerpt(call.limits.error_body)
        finally:
            answer.close()
        for secret in request.secrets.values():  # here already: a text that is shortened later may show half a key
            body = secret.redact(body.decode("latin-1")).encode("latin-1")
        error = call.provider.codec.error(call.provider.name, answer.status, answer.headers, body)
        note_headers(error, answer.headers, call.retry_policy)
        raise error


def _redact(error: StreamKitError, secret: Secret) -> None:
    """Take the key out of everything that an error and its causes say: a server may echo it."""
    seen: set[int] = set()
    todo: list[object] = [error]
    while todo:
        e = todo.pop()
        if isinstance(e, BaseException) and id(e) not in seen:
            seen.add(id(e))
            e.args = tuple(secret.redact(arg) if isinstance(arg, str) else arg for arg in e.args)
            vars(e).update({name: secret.redact(text) for name, text in vars(e).items() if isinstance(text, str)})
            todo += [e.__cause__, e.__context__, *e.args]
