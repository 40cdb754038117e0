"""chat_page: a WSGI application with a page to chat on, as `streamkit serve` shows it.

    serve(chat_page(client.chat("gpt-4o").system("Be brief.")))

The page keeps the conversation and sends it whole; an answer is a `KeptAnswer`, so that a browser whose connection
broke, or whose page was reloaded, goes on reading where it was.

    GET    /                    the page
    GET    /static/<file>       what it consists of
    GET    /status              {"model": ...}
    POST   /answers             {"messages": [...]} -> 201 {"id": ...}
    GET    /answers/<id>        its events, those after Last-Event-ID if there is one; 204 after the last
    GET    /answers/<id>/facts  {"finish_reason": ..., "model": ...}
    DELETE /answers/<id>        cancel it
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from streamkit import lazy_attrs as attrs
from streamkit.client import ChatBuilder
from streamkit.consumers.relay import sse_headers
from streamkit.errors import ConfigError, TooManyAnswers, require
from streamkit.integrations.chat_page.guard import Refusal, check_host, check_origin
from streamkit.integrations.chat_page.question import read_question
from streamkit.integrations.web.client import client_gone
from streamkit.integrations.web.kept_answers import KeptAnswer, KeptAnswers
from streamkit.integrations.web.request import WSGIRequest

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

__all__ = ["SECURITY_HEADERS", "ChatPage", "chat_page"]

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""The headers of every answer: no script but the page's own runs, and nothing is loaded from or sent to elsewhere."""


def chat_page(
    chat: ChatBuilder,
    *,
    hosts: Collection[str] = (),
    linger: float = 5.0,
    keep_alive: float = 5.0,
    max_body: int = 1_000_000,
) -> ChatPage:
    """Give the application of a chat page, for any threaded WSGI server.

    Whoever can reach it spends your tokens: it asks for no password. Several processes need one each of their own, as
    answers are kept in memory.

    Args:
        chat: What every answer is asked with: model, system prompt, settings. Its messages come before the page's.
        hosts: Names, beside those of loopback, by which the page is reached; "*" allows any.
        linger: Seconds that an answer waits for a browser that went away, before it is cancelled.
        keep_alive: Seconds of silence after which the browser is sent a sign of life; after four such it reconnects.
        max_body: The most bytes of a request, that is of a conversation.

    Raises:
        ConfigError: A number is not above zero, or `hosts` is a single text.
    """
    require("chat", chat, ChatBuilder, 'give a request, such as client.chat("gpt-4o").system("Be brief.")')
    if isinstance(hosts, str):
        raise ConfigError(f"hosts={hosts!r}: give a list of names")
    for name, value in (("keep_alive", keep_alive), ("max_body", max_body)):
        if not value > 0:
            raise ConfigError(f"{name}={value}: give a number above zero")
    answers = KeptAnswers(linger=linger)
    return ChatPage(chat=chat, answers=answers, hosts=frozenset(hosts), keep_alive=keep_alive, max_body=max_body)


@attrs.frozen(kw_only=True, eq=False)
class ChatPage:
    """The application; made by `chat_page`. Any number of threads may call it."""

    answers: KeptAnswers
    """Those that run, and those that have ended not long ago."""
    _chat: ChatBuilder
    _hosts: frozenset[str]
    _keep_alive: float
    _max_body: int
    _files: Mapping[str, _Reply] = attrs.field(factory=lambda: _files(), init=False, repr=False)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        try:
            check_host(environ, self._hosts)
            if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
                check_origin(environ, self._hosts)
            reply = self._reply(environ)
        except Refusal as refusal:
            reply = _json({"error": refusal.message}, refusal.status)
        except TooManyAnswers as e:
            reply = _json({"error": str(e)}, HTTPStatus.SERVICE_UNAVAILABLE)
        headers = [*SECURITY_HEADERS.items(), *reply.headers]
        start_response(f"{reply.status.value} {reply.status.phrase}", headers)
        return reply.body

    def close(self) -> None:
        """Cancel the answers that run, and forget all."""
        self.answers.close()

    def _reply(self, environ: dict[str, Any]) -> _Reply:
        path = environ.get("PATH_INFO", "")
        parts = path.strip("/").split("/")
        if not path:  # mounted, and asked for without the slash that the page's own addresses begin after
            return _redirect(f"{environ.get('SCRIPT_NAME', '')}/")
        if path == "/":
            return _only(environ, GET=lambda: self._files["index.html"])
        if parts[0] == "static" and len(parts) == 2 and parts[1] in self._files:
            return _only(environ, GET=lambda: self._files[parts[1]])
        if path == "/status":
            return _only(environ, GET=self._status)
        if path == "/answers":
            return _only(environ, POST=lambda: self._ask(environ))
        if parts[0] == "answers" and parts[2:] in ([], ["facts"]):
            return self._kept(environ, *parts[1:])
        raise Refusal(HTTPStatus.NOT_FOUND, "there is no such page")

    def _kept(self, environ: dict[str, Any], id: str, facts: str = "") -> _Reply:
        answer = self.answers.get(id)
        if answer is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "this answer is not kept any more: ask again")
        if facts:
            return _only(environ, GET=lambda: _facts(answer))
        return _only(
            environ,
            GET=lambda: self._events(environ, answer),
            HEAD=lambda: _Reply(headers=sse_headers()),  # not a reader, who would come and leave
            DELETE=lambda: _cancel(answer),
        )

    def _status(self) -> _Reply:
        return _json({"model": self._chat.request.model, "keep_alive": self._keep_alive})

    def _ask(self, environ: dict[str, Any]) -> _Reply:
        messages = read_question(environ, self._max_body)
        answer = self.answers.start(self._chat.messages(messages))
        return _json({"id": answer.id}, HTTPStatus.CREATED)

    def _events(self, environ: dict[str, Any], answer: KeptAnswer) -> _Reply:
        request = WSGIRequest(environ)
        if request.ended:
            return _Reply(status=HTTPStatus.NO_CONTENT)
        gone = client_gone(environ)
        try:
            after = request.last_event_id or None
            events = answer.events(after, keep_alive=self._keep_alive, thinking=True, gone=gone)
        except ConfigError as e:
            raise Refusal(HTTPStatus.BAD_REQUEST, "Last-Event-ID: this answer has no such event") from e
        return _Reply(headers=sse_headers(), body=events)


@attrs.frozen(kw_only=True)
class _Reply:
    """Status, headers and body of an answer to a request."""

    status: HTTPStatus = HTTPStatus.OK
    headers: list[tuple[str, str]] = attrs.field(factory=list)
    body: Iterable[bytes] = ()


def _only(environ: Mapping[str, Any], **methods: Callable[[], _Reply]) -> _Reply:
    """Do what the request's method says."""
    method = environ["REQUEST_METHOD"]
    if method == "HEAD" and "GET" in methods:
        return attrs.evolve(methods.get("HEAD", methods["GET"])(), body=())
    if method not in methods:
        raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"use {' or '.join(methods)}")
    return methods[method]()


def _facts(answer: KeptAnswer) -> _Reply:
    """Say what its events do not."""
    response = answer.stream.partial
    return _json({"finish_reason": response.finish_reason, "model": response.response.model})


def _cancel(answer: KeptAnswer) -> _Reply:
    answer.cancel("stopped by the user")
    return _Reply(status=HTTPStatus.NO_CONTENT)


def _redirect(to: str) -> _Reply:
    return _Reply(status=HTTPStatus.PERMANENT_REDIRECT, headers=[("Location", to), ("Content-Type", "text/plain")])


def _json(value: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> _Reply:
    body = json.dumps(value, ensure_ascii=False).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    return _Reply(status=status, headers=headers, body=[body])


def _files() -> dict[str, _Reply]:
    """Read the page's files, which are packaged beside this module."""
    folder = importlib.resources.files(__package__) / "static"
    return {file.name: _file(file.name, file.read_bytes()) for file in folder.iterdir() if file.is_file()}


def _file(name: str, content: bytes) -> _Reply:
    kind = _TYPES.get(name.rpartition(".")[2], "application/octet-stream")
    headers = [("Content-Type", kind), ("Content-Length", str(len(content))), ("Cache-Control", "no-cache")]
    return _Reply(headers=headers, body=[content])


# Not the system's table, which on some machines has scripts as plain text.
_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
