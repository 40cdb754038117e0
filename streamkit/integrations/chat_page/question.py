"""What the chat page asks: the body of its request, read and checked. It knows nothing of answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from streamkit.integrations.chat_page.guard import Refusal
from streamkit.jsontext import scrub
from streamkit.types.messages import Message, assistant, user

__all__ = ["read_question"]

_SPEAKERS = {"user": user, "assistant": assistant}
"""Who speaks in a page's conversation; the system prompt is the server's."""


def read_question(environ: Mapping[str, Any], max_body: int) -> list[Message]:
    """Read `{"messages": [{"role": ..., "content": ...}, ...]}`, the last of them the user's.

    Raises:
        Refusal: It is no JSON, longer than `max_body` bytes, or of another shape.
    """
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != "application/json":
        # A form of another site's page can send the other types, and is not asked for its origin by old browsers.
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send the messages as application/json")
    try:
        asked = scrub(json.loads(_body(environ, max_body)))
    except (ValueError, RecursionError) as e:
        raise _wrong("the body is no JSON") from e
    messages = asked.get("messages") if isinstance(asked, dict) else None
    if not isinstance(messages, list) or not messages:
        raise _wrong('there are no messages: send {"messages": [{"role": "user", "content": "..."}]}')
    read = [_message(number, message) for number, message in enumerate(messages)]
    if read[-1].role != "user":
        raise _wrong("the last message must be the user's")
    return read


def _body(environ: Mapping[str, Any], most: int) -> bytes:
    length = environ.get("CONTENT_LENGTH") or ""
    if not (length.isascii() and length.isdigit()):
        raise Refusal(HTTPStatus.LENGTH_REQUIRED, "say the body's length in Content-Length")
    if len(length) > 15 or int(length) > most:
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the conversation is longer than {most} bytes: begin anew")
    body: bytes = environ["wsgi.input"].read(int(length))
    if len(body) < int(length):
        raise _wrong("the body ended too early")
    return body


def _message(number: int, message: object) -> Message:
    role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
    if not isinstance(role, str) or role not in _SPEAKERS:
        raise _wrong(f'messages[{number}]: the role must be "user" or "assistant"')
    if not isinstance(content, str) or not content.strip():
        raise _wrong(f"messages[{number}]: the content must be a text that is not empty")
    return _SPEAKERS[role](content)


def _wrong(message: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, message)
