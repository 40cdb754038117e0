"""SSEResponse: a stream as the answer to a WSGI request; `sse_response` makes it.

What a browser is told is `sse_events`'; what is kept for one that comes back, `KeptAnswers`'. Here is HTTP: the request
is read, status and headers are decided, and a browser that leaves is noticed.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from streamkit import lazy_attrs as attrs
from streamkit.consumers.frames import DONE, EventIds, Silence, tell_end
from streamkit.consumers.relay import sse_headers, watched_events
from streamkit.derived import AnyStream, HasChatStream, Opens, opened
from streamkit.errors import ConfigError
from streamkit.framing import encode_sse
from streamkit.integrations.web.client import client_gone
from streamkit.integrations.web.cors import CORS, AllowOrigin
from streamkit.integrations.web.kept_answers import KeptAnswers
from streamkit.integrations.web.request import WSGIRequest
from streamkit.stream import ChatStream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

__all__ = ["SSEResponse", "sse_response", "text_response"]

logger = logging.getLogger("streamkit")

Gone = Callable[[], bool]
"""Tells, at once, whether the browser has left."""

_RETRY_AFTER = 5
"""Seconds after which one that found too many answers running may try again."""

_ENDED = f"ended{DONE}"
"""The id of an error event that belongs to no answer: it keeps an `EventSource` from asking again by itself."""


class SSEResponse(Iterable[bytes]):
    """An answer to a browser, made by `sse_response`.

    It is a WSGI application, which a view of Flask may return, and an iterable of bytes with `status`, `headers` and
    `close`, of which Django makes its own: `StreamingHttpResponse(r, status=r.status, headers=dict(r.headers))`.
    Iterating opens the answer and blocks for the next frame; it never raises, and there is one reading of it.
    """

    status: int
    """200 for a stream, 204 for a browser that need not come back, 500 or 503 where there can be none."""

    headers: list[tuple[str, str]]
    """Those of `sse_headers`, or of a short text."""

    def __init__(
        self,
        status: int,
        headers: list[tuple[str, str]],
        frames: Callable[[Gone], Iterable[bytes]] = lambda gone: (),
        *,
        gone: Gone | None = None,
        unread: Callable[[], object] | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self._closed = closed = threading.Event()
        self._unread = unread
        # Of the event, not of self: the frames would hold what holds them, and who drops it would not be noticed.
        self._frames = _until(closed, frames(lambda: closed.is_set() or (gone is not None and gone())))

    def __call__(self, environ: Mapping[str, Any], start_response: StartResponse) -> SSEResponse:
        """Answer as a WSGI application. Where the server refuses the headers, nothing is opened: status 500."""
        try:
            start_response(_line(self.status), self.headers)
        except Exception:
            logger.exception("the server does not take the headers of a stream")
            self.close()
            refusal = not_supported()
            start_response(_line(refusal.status), refusal.headers, sys.exc_info())
            return refusal
        return self

    # No `__next__`: of an iterator Flask makes a response of its own, without these headers.
    def __iter__(self) -> Iterator[bytes]:
        """Give the frames."""
        return self._frames

    def close(self) -> None:
        """Leave: the answer is cancelled, or waits a while for one who comes back. Idempotent, from any thread."""
        self._closed.set()
        if self._unread is not None and inspect.getgeneratorstate(self._frames) == inspect.GEN_CREATED:
            self._unread()
        with contextlib.suppress(ValueError):  # another thread waits in it, and soon looks whether this is closed
            self._frames.close()


def _until(closed: threading.Event, frames: Iterable[bytes]) -> Generator[bytes, None, None]:
    if not closed.is_set():
        yield from frames


def text_response(
    status: int, text: str, headers: Iterable[tuple[str, str]] = (), *, head: bool = False
) -> SSEResponse:
    """Give a response of a line of plain text, or of its headers only. Internal."""
    body = f"{text}\n".encode()
    plain = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    return SSEResponse(
        status, [*plain, ("Cache-Control", "no-store"), *headers], lambda gone: iter(() if head else (body,))
    )


def not_supported(headers: Iterable[tuple[str, str]] = (), *, head: bool = False) -> SSEResponse:
    """Give the response of a server that cannot stream. Internal."""
    return text_response(500, "Streaming not supported", headers, head=head)


def sse_response(
    chat: AnyStream | Opens,
    environ: Mapping[str, Any],
    *,
    answers: KeptAnswers | None = None,
    keep_alive: float | None = 15.0,
    thinking: bool = False,
    allow_origin: AllowOrigin = None,
    ids: bool | None = None,
) -> SSEResponse:
    """Give the response to a request: `sse_events` of an answer, with the headers that keep it from being held back.

    Nothing is opened here: the server does that when it asks for the first frame. A browser that leaves ends the
    answer. That is noticed within half a second where the server shows its socket (waitress, gunicorn, werkzeug,
    wsgiref), else with the next frame or comment. An `EventSource` that comes back after the last event gets status
    204, which ends its asking; one that comes back before, without `answers`, is told that the answer is gone.

    Args:
        chat: A builder; or a stream, which is cancelled where the request turns out to need none.
        environ: The request's: `request.environ` of Flask, `request.META` of Django.
        answers: Where a browser that comes back finds its answer again, by its `Last-Event-ID` or `?last_event_id=`.
            For requests with `Accept: text/event-stream` or with such an id; who else leaves ends the answer at once.
        keep_alive: Seconds of silence after which a comment is sent; None: never.
        thinking: Whether the thinking is told, too, in events of its own.
        allow_origin: Which other sites' pages may read it.
        ids: True: events have the stream's own ids, and you have read `Last-Event-ID`. False: none. None: what
            `answers` need, or, without them, what shows that an `EventSource` has come back.

    Raises:
        ConfigError: `keep_alive` is not above zero, or `allow_origin` no origin.
    """
    Silence(keep_alive)  # refuses it now, not with the first frame
    request, cors = WSGIRequest(environ), CORS.of(allow_origin).headers(environ)
    refusal = _without_answer(request, cors, answers)
    if refusal is not None:
        _give_up(chat)
        return refusal
    source = _Source(chat=chat, answers=answers, keep_alive=keep_alive, thinking=thinking)
    if ids is None and request.last_event_id:
        frames = functools.partial(source.again, request.last_event_id)
    elif ids is None and answers is not None and request.comes_back:
        frames = functools.partial(source.kept, answers)
    else:
        named = ids or (ids is None and request.comes_back)
        frames = functools.partial(source.once, EventIds(ends=True) if named else None)
    return SSEResponse(
        200,
        [*sse_headers(), *cors],
        functools.partial(_told, frames, _ENDED if request.comes_back else None),
        gone=client_gone(environ),
        unread=functools.partial(_give_up, chat),
    )


def _without_answer(
    request: WSGIRequest, cors: list[tuple[str, str]], answers: KeptAnswers | None
) -> SSEResponse | None:
    """Give the response to a request that needs no answer, or cannot have one."""
    head = request.method == "HEAD"
    if not request.can_stream:
        return not_supported(cors, head=head)
    if request.ended:
        return SSEResponse(204, cors)
    if head:
        return SSEResponse(200, [*sse_headers(), *cors])
    if answers is not None and answers.full and request.comes_back and not request.last_event_id:
        later = [("Retry-After", str(_RETRY_AFTER)), *cors]
        return text_response(503, "Too many answers are running: try again later", later)
    return None


@attrs.frozen(kw_only=True)
class _Source:
    """What a response is made of; each method gives frames, until the browser is gone."""

    chat: AnyStream | Opens
    answers: KeptAnswers | None
    keep_alive: float | None
    thinking: bool

    def once(self, ids: EventIds | None, gone: Gone) -> Iterator[bytes]:
        """An answer that ends when the browser leaves."""
        return watched_events(self.chat, keep_alive=self.keep_alive, ids=ids, thinking=self.thinking, gone=gone)

    def kept(self, answers: KeptAnswers, gone: Gone) -> Iterator[bytes]:
        """One that it can come back to."""
        answer = answers.start(self.chat)
        return answer.events(keep_alive=self.keep_alive, thinking=self.thinking, gone=gone)

    def again(self, last_event_id: str, gone: Gone) -> Iterator[bytes]:
        """The rest of one that it has come back to; an answer begun anew would be appended to the old text."""
        _give_up(self.chat)
        answer = self.answers.get(last_event_id) if self.answers is not None else None
        if answer is not None:
            with contextlib.suppress(ConfigError):  # an id that no event had
                return answer.events(last_event_id, keep_alive=self.keep_alive, thinking=self.thinking, gone=gone)
        raise ConfigError("this answer is not kept any more: ask again")


def _told(frames: Callable[[Gone], Iterator[bytes]], id: str | None, gone: Gone) -> Iterator[bytes]:
    """Give frames, and an error event in place of an exception."""
    try:
        yield from frames(gone)
    except Exception as error:
        yield encode_sse(tell_end(error, None).to_json(), id=id)


def _give_up(chat: AnyStream | Opens) -> None:
    """End a stream that nobody will read; a builder has opened none."""
    if isinstance(chat, (ChatStream, HasChatStream)):
        opened(chat).cancel("its browser needs no answer")
    elif not isinstance(chat, Opens) and (close := getattr(chat, "close", None)) is not None:
        close()


def _line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"
