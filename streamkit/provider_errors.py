"""Error bodies and error events of providers, made into one class of our tree each.

Pure: it reads text and gives an exception. Who knows the key redacts, who knows the clock reads Retry-After.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from streamkit import errors
from streamkit.errors import MAX_MESSAGE, ProviderError, printable

__all__ = ["event_error", "request_id", "status_error"]

# What a provider's word stands for as a status, where the status itself did not come (an error event at 200).
_STATUS_OF_CODE = {
    "api_error": 500,
    "authentication_error": 401,
    "billing_error": 402,
    "content_filter": 400,
    "content_policy_violation": 400,
    "context_length_exceeded": 400,
    "deadline_exceeded": 504,
    "expired_api_key": 401,
    "insufficient_quota": 429,
    "internal": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "invalid_api_key": 401,
    "invalid_argument": 400,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found": 404,
    "not_found_error": 404,
    "overloaded": 529,
    "overloaded_error": 529,
    "permission_denied": 403,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "rate_limited": 429,
    "request_too_large": 413,
    "requests": 429,
    "resource_exhausted": 429,
    "server_error": 500,
    "service_unavailable": 503,
    "service_unavailable_error": 503,
    "timeout_error": 504,
    "tokens": 429,
    "unauthenticated": 401,
    "unavailable": 503,
}

_OVERFLOW = re.compile(
    r"context.?length|context (window|size|limit)|maximum context|prompt is too long|input is too long"
    r"|input length and `?max_tokens`? exceed|too many (input )?tokens|token count .{0,40}exceeds"
    r"|exceeds? the (model'?s )?max(imum)? (number of|input|length|tokens)|reduce the length of",
    re.IGNORECASE,
)
_FILTER = re.compile(
    r"content.?filter|content.?policy|responsible.?ai|data_inspection_failed|content management policy"
    r"|moderation_blocked",
    re.IGNORECASE,
)

_DEEPEST = 5  # objects within objects in which an error is looked for

_HINTS = {
    errors.Unauthorized: "check the API key",
    errors.PermissionDenied: "check what the key may do, and the account's credit",
    errors.NotFound: "check the model's name and base_url",
    errors.RateLimited: "send less, or wait and try again",
    errors.Overloaded: "wait and try again",
    errors.ServerError: "try again later",
    errors.ContextOverflow: "shorten the messages or lower max_tokens",
    errors.ContentFiltered: "change the prompt",
}


def status_error(provider: str, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Give the error for an answer with this status; the message is taken out of a JSON body of any usual shape."""
    text = body.decode("utf-8", "replace")
    message, code, _ = _read(_json(text))
    if not message:
        message = _excerpt(text) or _reason(status, headers)
    return _error(provider, status, code, message, body=text, id=request_id(headers))


def event_error(provider: str, error: Any, *, status: int | None = None) -> ProviderError:
    """Give the error for an error object, or text, that came inside a stream: the class its status would have had."""
    message, code, number = _read({"error": error} if not (isinstance(error, dict) and "error" in error) else error)
    if status is None:
        status = number if number is not None else _STATUS_OF_CODE.get((code or "").lower())
    text = error if isinstance(error, str) else _dumped(error)
    return _error(provider, status, code, message or "the provider reported an error without a message", body=text)


def request_id(headers: Mapping[str, str]) -> str | None:
    """Give the provider's id of a request."""
    for name in ("x-request-id", "request-id", "x-amzn-requestid", "apim-request-id", "cf-ray"):
        if headers.get(name):
            return printable(headers[name], 200)
    return None


def _error(
    provider: str, status: int | None, code: str | None, message: str, *, body: str, id: str | None = None
) -> ProviderError:
    cls = _class(status, code, message)
    # A redirect is the one status below 400 that ends here: following it could hand the key to another host.
    hint = "set base_url to the address it names" if status is not None and 300 <= status < 400 else _HINTS.get(cls, "")
    head = " ".join(dict.fromkeys(str(word) for word in (status, code) if word is not None))
    shown = ": ".join(part for part in (provider, head, printable(message)) if part)
    return cls(
        f"{shown} ({hint})" if hint else shown,
        provider=provider,
        status=status,
        code=code,
        request_id=id,
        body=printable(body),
    )


def _class(status: int | None, code: str | None, message: str) -> type[ProviderError]:
    said = f"{code or ''} {message[:MAX_MESSAGE]}"
    if status in (None, 400, 413, 422) and _OVERFLOW.search(said):
        return errors.ContextOverflow
    if status in (None, 400, 403, 422) and _FILTER.search(said):
        return errors.ContentFiltered
    if status is None:
        return ProviderError
    exact = {
        401: errors.Unauthorized,
        402: errors.PermissionDenied,
        403: errors.PermissionDenied,
        404: errors.NotFound,
        429: errors.RateLimited,
        503: errors.Overloaded,
        529: errors.Overloaded,
    }
    if status in exact:
        return exact[status]
    if status >= 500:
        return errors.ServerError
    return errors.BadRequest if status >= 400 else ProviderError


def _dumped(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return ""


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _read(value: Any, depth: int = 0) -> tuple[str, str | None, int | None]:
    """Give message, code and status of an error object, where they can be found."""
    if isinstance(value, str):
        return value, None, None
    if depth == _DEEPEST:
        return "", None, None
    if isinstance(value, list):  # Gemini sends a list of one; FastAPI a list of {"msg"}
        return next((found for found in (_read(one, depth + 1) for one in value[:10]) if found[0]), ("", None, None))
    if not isinstance(value, dict):
        return "", None, None
    inner = value.get("error")
    if isinstance(inner, (dict, list)) or (isinstance(inner, str) and not _words(value, "message")):
        message, code, status = _read(inner, depth + 1)
        return message, code or _words(value, "code", "type", not_this="error"), status
    message = _words(value, "message", "msg", "error_message", "Message", "detail", "description") or ""
    for name in ("detail", "errors"):
        message = message or _read(value.get(name), depth + 1)[0]
    statuses = (_status(value.get(name)) for name in ("status_code", "status", "code"))
    return message, _words(value, "code", "type", "status", not_this="error"), next(filter(None, statuses), None)


def _words(value: dict[str, Any], *names: str, not_this: str = "") -> str | None:
    for name in names:
        word = value.get(name)
        if isinstance(word, str) and word and word != not_this:
            return word if name in ("message", "msg", "detail") else printable(word)
        if name == "code" and isinstance(word, int) and not isinstance(word, bool):
            return str(word)
    return None


def _status(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch("[45][0-9][0-9]", value):
        return int(value)
    return value if type(value) is int and 400 <= value <= 599 else None


def _excerpt(text: str) -> str:
    """The beginning of a body that is no JSON error, without tags and runs of white space."""
    text = re.sub(r"<(script|style)\b.*?</\1>|<[^<>]*>", " ", text[:20_000], flags=re.DOTALL | re.IGNORECASE)
    return " ".join(text.split())[:300]


def _reason(status: int, headers: Mapping[str, str]) -> str:
    if 300 <= status < 400:
        return f"the server redirects to {printable(headers.get('location', 'nowhere'), 300)}, which is not followed"
    return "the server gave no reason"
