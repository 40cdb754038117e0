"""Every error a user of streamkit can meet.

    StreamKitError
    ├── ConfigError             no key, an unknown provider, a missing extra, a request refused before it was sent
    ├── ContextError            the context ended the call
    │   ├── Cancelled           the user's wish
    │   └── DeadlineExceeded    (TimeoutError) the context's deadline or `Timeouts.total`
    ├── TransportError          the network
    │   ├── ConnectFailed       refused, unreachable, unresolvable
    │   │   └── ConnectTimeout  (TimeoutError)
    │   ├── TLSFailed           the certificate or the handshake
    │   ├── FirstChunkTimeout   (TimeoutError) `Timeouts.first_chunk`
    │   ├── StreamIdle          (TimeoutError) `Timeouts.idle`: no byte
    │   ├── StreamStalled       (TimeoutError) `Timeouts.stall`: bytes perhaps, but no chunk
    │   ├── ConnectionLost      reset, or broken framing
    │   └── ResponseTooLarge    a bound of `Limits`
    ├── ProviderError           the provider said no
    │   ├── BadRequest · Unauthorized · PermissionDenied · NotFound · RateLimited · Overloaded · ServerError
    │   ├── ContextOverflow     the prompt does not fit
    │   └── ContentFiltered     its filter stepped in
    ├── StreamTruncated         the body ended without the provider's terminal event
    ├── DecodeError             an event that cannot be understood
    ├── ObjectError · ToolError · RetriesExhausted · SlowConsumer · TooManyAnswers
    └── ChannelClosed           (queue.Empty) a channel that is closed and drained

The module imports nothing of streamkit, so that everything else may import it.
"""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamkit.types import ChatResponse

__all__ = [
    "BadRequest",
    "Cancelled",
    "ChannelClosed",
    "ConfigError",
    "ConnectFailed",
    "ConnectTimeout",
    "ConnectionLost",
    "ContentFiltered",
    "ContextError",
    "ContextOverflow",
    "DeadlineExceeded",
    "DecodeError",
    "FirstChunkTimeout",
    "NotFound",
    "ObjectError",
    "Overloaded",
    "PermissionDenied",
    "ProviderError",
    "RateLimited",
    "ResponseTooLarge",
    "RetriesExhausted",
    "ServerError",
    "SlowConsumer",
    "StreamIdle",
    "StreamKitError",
    "StreamStalled",
    "StreamTruncated",
    "TLSFailed",
    "TooManyAnswers",
    "ToolError",
    "TransportError",
    "Unauthorized",
    "presentable",
    "printable",
    "require",
    "without_frames",
]

MAX_MESSAGE = 2000
"""Characters of a foreign text that an error message shows."""


def printable(text: str, limit: int = MAX_MESSAGE) -> str:
    """Give foreign text a form that is safe in a message or a log: bounded, control characters escaped.

    A terminal obeys escape sequences and a log reader believes line breaks (OWASP, log injection).
    """
    shown = text[:limit]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)
    return shown if len(text) <= limit >= len(shown) else shown[:limit] + "…"


def require(name: str, value: object, kind: type | tuple[type, ...], instead: str) -> None:
    """Raise `ConfigError` where an argument is of no such kind: what it would break later would not name it."""
    if not isinstance(value, kind):
        raise ConfigError(f"{name}={printable(repr(value), 60)}: {instead}")


def presentable(error: BaseException, instead: str) -> StreamKitError:
    """Give an error as strangers may see it: what a bug or a user's function raised may say anything, so `instead`."""
    if isinstance(error, StreamKitError) and (type(error) is not StreamKitError or error.__cause__ is None):
        return error
    return StreamKitError(instead)


def without_frames(error: BaseException) -> None:
    """Drop the tracebacks of an error, its causes and contexts: their frames' variables hold requests and keys."""
    seen: set[int] = set()
    todo: list[object] = [error]
    while todo:
        e = todo.pop()
        if isinstance(e, BaseException) and id(e) not in seen:
            seen.add(id(e))
            e.__traceback__ = None
            todo += [e.__cause__, e.__context__, getattr(e, "reason", None), *e.args]


class StreamKitError(Exception):
    """Root of the tree.

    `partial` is what had arrived, as a `ChatResponse` with `complete=False`, or None where nothing was asked yet;
    `retryable` says whether the same request may succeed later; `attempts` counts the requests made.
    The original error, where there was one, is the `__cause__`.
    """

    partial: ChatResponse | None = None
    retryable: bool = False
    attempts: int = 0

    def __init__(self, message: str = "", **fields: Any) -> None:
        super().__init__(message)
        # Assigned, not declared by each class: the default pickling then restores them from __dict__.
        for name, value in fields.items():
            setattr(self, name, value)

    @property
    def message(self) -> str:
        """The text without the class name."""
        return str(self)


class ConfigError(StreamKitError):
    """The request was refused before it was sent; the message says what to add or change."""


class ContextError(StreamKitError):
    """The context ended the call."""


class Cancelled(ContextError):
    """The user cancelled: `stream.cancel()`, `Context.cancel()`, leaving a `with`, or a signal."""


class DeadlineExceeded(ContextError, TimeoutError):
    """The context's deadline or `Timeouts.total` passed."""


class TransportError(StreamKitError):
    """The network failed."""

    retryable = True


class ConnectFailed(TransportError):
    """No connection: refused, unreachable, or the name cannot be resolved."""


class ConnectTimeout(ConnectFailed, TimeoutError):
    """No connection within `Timeouts.connect` seconds."""


class TLSFailed(TransportError):
    """The certificate is not trusted, or the handshake failed; nothing of the request was sent."""

    retryable = False


class FirstChunkTimeout(TransportError, TimeoutError):
    """No chunk within `Timeouts.first_chunk` seconds of `get_stream`, all attempts included."""

    retryable = False


class StreamIdle(TransportError, TimeoutError):
    """Not a byte within `Timeouts.idle` seconds."""


class StreamStalled(TransportError, TimeoutError):
    """No chunk within `Timeouts.stall` seconds of the last one, whatever else the provider sent."""


class ConnectionLost(TransportError):
    """The connection broke, or its HTTP framing did."""


class ResponseTooLarge(TransportError):
    """The answer passed a bound of `Limits`."""

    retryable = False


class ProviderError(StreamKitError):
    """The provider refused, by HTTP status or by an error event inside the stream.

    `provider` is its name; `status` the HTTP status (for an error event: the one it stands for, or None);
    `code` the provider's own word; `retry_after` seconds it asked to wait; `body` a redacted excerpt.
    """

    provider: str = ""
    status: int | None = None
    code: str | None = None
    request_id: str | None = None
    retry_after: float | None = None
    body: str = ""


class BadRequest(ProviderError):
    """The request is not valid (400, 413, 422 and other 4xx)."""


class Unauthorized(ProviderError):
    """The key is missing, wrong or expired (401)."""


class PermissionDenied(ProviderError):
    """The key may not do this, or there is no credit (402, 403)."""


class NotFound(ProviderError):
    """The model or the path does not exist (404)."""


class RateLimited(ProviderError):
    """Too many requests or tokens (429)."""

    retryable = True


class Overloaded(ProviderError):
    """The provider has no capacity now (503, 529)."""

    retryable = True


class ServerError(ProviderError):
    """The provider failed (other 5xx)."""

    retryable = True


class ContextOverflow(BadRequest):
    """Prompt and answer do not fit the model's context window."""


class ContentFiltered(BadRequest):
    """The provider's content filter refused the prompt or the answer."""


class StreamTruncated(StreamKitError):
    """The body ended politely without the provider's terminal event: what arrived is not the whole answer."""

    retryable = True


class DecodeError(StreamKitError):
    """An event that is not what the provider's protocol says; `event` is the text, bounded."""

    event: str = ""


class ObjectError(StreamKitError):
    """The answer is no valid object: `text` (all that arrived), `path` (as "sections[2].title"), `partial_object`."""

    text: str = ""
    path: str = ""
    partial_object: Any = None


class ToolError(StreamKitError):
    """A tool failed; observers see it and the model is told, the stream goes on."""

    tool_name: str = ""
    tool_call_id: str = ""


class RetriesExhausted(StreamKitError):
    """Continuing a cut stream was given up; `last` is the last error, `state` resumes."""

    last: StreamKitError | None = None
    state: Any = None


class TooManyAnswers(StreamKitError):
    """As many answers run as may be kept: try again when one of them has ended."""

    retryable = True


class SlowConsumer(StreamKitError):
    """A fan-out branch fell too far behind and was ended; the others go on."""


class ChannelClosed(StreamKitError, queue.Empty):
    """The channel is closed and drained, or does not take items."""
