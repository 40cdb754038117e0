"""wsgi_app: an application that streams answers to browsers, for any WSGI server; `sse_response`, for views of others.

from waitress import serve
serve(wsgi_app(client, model="gpt-4o"))        # GET /stream?prompt=Tell me a story
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamkit.client import ChatBuilder, Client
from streamkit.consumers.frames import Silence
from streamkit.context import Context
from streamkit.errors import ConfigError, require
from streamkit.integrations.web.cors import CORS, AllowOrigin
from streamkit.integrations.web.kept_answers import KeptAnswers
from streamkit.integrations.web.request import WSGIRequest
from streamkit.integrations.web.response import SSEResponse, sse_response, text_response
from streamkit.stream import ChatStream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

__all__ = ["AllowOrigin", "SSEResponse", "WSGIApp", "sse_response", "wsgi_app"]

_ALLOW = ("Allow", "GET, HEAD, OPTIONS")


def wsgi_app(
    chat: Client | ChatBuilder,
    *,
    model: str = "gpt-4o",
    path: str = "/stream",
    default_prompt: str = "Tell me a story",
    allow_origin: AllowOrigin = None,
    max_prompt_chars: int = 10_000,
    keep_alive: float | None = 15.0,
    thinking: bool = False,
    linger: float = 2.0,
    answers: KeptAnswers | None = None,
) -> WSGIApp:
    """Give a WSGI application: `GET <path>?prompt=...` streams `sse_events` of the answer.

    A failure, also to open the answer, is an error event. What is no request for an answer gets a short text: 404 at
    another path, 405 for another method, 400 for a prompt that is not UTF-8, 413 for one that is too long, 500
    "Streaming not supported" where the server cannot, and 503 while `answers` cannot take more.

    Args:
        chat: A client, or a builder with system prompt, model and settings, to which the prompt is added.
        model: What a client is asked for; a builder has its own.
        path: Where it answers, below the place where it is mounted.
        default_prompt: What is asked where the request has no prompt, or an empty one.
        allow_origin: Which other sites' pages may read answers: "*", an origin, or several.
        max_prompt_chars: The most characters of a prompt. Servers have limits of their own for the whole line.
        keep_alive: Seconds of silence after which a comment is sent; None: never.
        thinking: Whether the thinking is told, too.
        linger: Seconds that an answer waits for an `EventSource` that has lost its connection. Others end it at once.
        answers: Where answers are kept, with a `linger` of their own; None makes a `KeptAnswers`.

    Raises:
        ConfigError: an argument is none of these.
    """
    require("chat", chat, (Client, ChatBuilder), "give a Client, or a ChatBuilder such as client.chat(model)")
    if not path.startswith("/"):
        raise ConfigError(f'path={path!r}: give one that begins with "/"')
    if max_prompt_chars < 1:
        raise ConfigError(f"max_prompt_chars={max_prompt_chars}: give a number above zero")
    Silence(keep_alive)  # refuses it now, not with the first request
    return WSGIApp(
        chat.chat(model) if isinstance(chat, Client) else chat,
        path=path,
        default_prompt=default_prompt,
        allow_origin=allow_origin,
        max_prompt_chars=max_prompt_chars,
        keep_alive=keep_alive,
        thinking=thinking,
        answers=answers if answers is not None else KeptAnswers(linger=linger),
    )


class WSGIApp:
    """The application that `wsgi_app` makes. Thread-safe."""

    answers: KeptAnswers
    """The answers that browsers can come back to."""

    def __init__(
        self,
        chat: ChatBuilder,
        *,
        path: str,
        default_prompt: str,
        allow_origin: AllowOrigin,
        max_prompt_chars: int,
        keep_alive: float | None,
        thinking: bool,
        answers: KeptAnswers,
    ) -> None:
        self.answers = answers
        self._chat = chat
        self._path = path
        self._default_prompt = default_prompt
        self._allow_origin = allow_origin
        self._cors = CORS.of(allow_origin)
        self._max_prompt_chars = max_prompt_chars
        self._keep_alive = keep_alive
        self._thinking = thinking

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> SSEResponse:
        """Answer a request, as PEP 3333 has it. Nothing is opened before the server asks for the first frame."""
        return self._respond(WSGIRequest(environ))(environ, start_response)

    def close(self) -> None:
        """Cancel the answers that run, and forget those that are kept."""
        self.answers.close()

    def _respond(self, request: WSGIRequest) -> SSEResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            status, text, headers = refusal
            headers = [*headers, *self._cors.headers(request.environ)]
            return text_response(status, text, headers, head=request.method == "HEAD")
        if request.method == "OPTIONS":
            return SSEResponse(204, [_ALLOW, *self._cors.preflight(request.environ)])
        return sse_response(
            _Asked(self._chat, self._prompt(request)),
            request.environ,
            answers=self.answers,
            keep_alive=self._keep_alive,
            thinking=self._thinking,
            allow_origin=self._allow_origin,
        )

    def _refusal(self, request: WSGIRequest) -> tuple[int, str, list[tuple[str, str]]] | None:
        if request.path != self._path:
            return 404, f"There is nothing here: ask at {self._path}?prompt=...", []
        if request.method not in _ALLOW[1].split(", "):
            return 405, "Ask with GET", [_ALLOW]
        try:
            length = len(self._prompt(request))
        except UnicodeDecodeError:
            return 400, "The prompt is not UTF-8", []
        if length > self._max_prompt_chars:
            return 413, f"The prompt has {length} characters: at most {self._max_prompt_chars} are allowed", []
        return None

    def _prompt(self, request: WSGIRequest) -> str:
        return (request.query("prompt") or b"").decode() or self._default_prompt


class _Asked:
    """A question, not yet asked: what a builder refuses is an event, too, when it is."""

    def __init__(self, chat: ChatBuilder, prompt: str) -> None:
        self._chat, self._prompt = chat, prompt

    def get_stream(self, ctx: Context | None = None) -> ChatStream:
        return self._chat.user(self._prompt).get_stream(ctx)
