"""Error bodies and error events of providers, made into one class of our tree each.

Pure: it reads text and gives an exception. Who knows the key redacts, who knows the clock reads Retry-After.
The words of services are known from their documentation and from what their users reported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from streamkit import errors
from streamkit import lazy_attrs as attrs
from streamkit.errors import MAX_MESSAGE, ProviderError, printable

__all__ = ["error_in", "event_error", "request_id", "status_error"]

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

# What errors say of themselves, in the words of some forty services, whatever their status; the order is that of
# `_class`. Searched in the code and the message.
_FILTER = (
    r"content.?filter|content.?policy|responsible.?ai|data_inspection_failed|content management policy"
    r"|moderation_blocked|flagged (as|by|for)|usage policy|invalid_prompt|considered high risk|prohibited_content"
    r"|sensitive content|new_sensitive"
)
_OVERFLOW = (
    r"context.?length|context.?(window|size|limit)|maximum context|(prompt|input) is too long|prompt too long"
    r"|input length and `?max_tokens`? exceed|too many (input )?tokens|token count .{0,40}exceeds"
    r"|exceeds? the (model'?s )?max(imum)? (number of|input|length|tokens)|reduce the length of|maximum prompt length"
    r"|exceeds max length|longer than the model|exceeded model token limit|max length exceeded"
    r"|token limit (exceeded|reached)"
    r"|tokens_limit_reached|input length should be|`?max_new_tokens`? must be <=|when context the overflows"
)
_RATE = r"rate.?limit|per (minute|hour|day)|too many requests|quota"
_NO_CREDIT = (
    r"insufficient_quota|exceeded_current_quota|insufficient.?(account )?(balance|credit|fund)"
    r"|credit balance is too low"
    r"|(out of|any|no|all available|monthly included) credits|credit.?limit|billing_hard_limit|billing_not_active"
    r"|payment (method|required)|arrearage|spending limit|recharge|\u4f59\u989d\u4e0d\u8db3|\u5df2\u6b20\u8d39"
    r"|organization has been disabled"
)  # the Chinese words: the balance does not suffice, is overdrawn
_BAD_KEY = (
    r"api.?key.?(is |was |has )?(not valid|not found|invalid|expired|missing)"
    r"|(invalid|incorrect|wrong|expired|missing|bad) (api.?|(oauth )?access.?|auth.?)?(key|token|credentials)"
    r"|(invalid|wrong|expired)_(api_key|token)|invalid.authentication|authentication.?(error|fail)|token.{0,20} expired"
    r"|access_token_expired|unauthenticated|unauthorized"
)
_NO_MODEL = (
    r"(unknown|invalid|no such|not.?found the).model|model.?not.?(found|exist)|not a valid model|decommissioned"
    r"|(model|deployment)\b.{0,200} (does not exist|not found|not exist)|deploymentnotfound"
)

_WAIT = r"(?:try again|retry|wait)(?: in| after)? (?:(\d+)h)?(?:(\d+)(?:m(?![a-z])| ?min))?(?:(\d+(?:\.\d+)?) ?(ms|s))?"
"""How long a message asks to wait: "try again in 1m47.5s", "retry after 26 seconds", "wait 40 seconds"."""

# What MiniMax's own codes stand for as a status; they come with HTTP 200.
_STATUS_OF_BASE_RESP = {
    1000: 500,
    1001: 504,
    1002: 429,
    1004: 401,
    1008: 402,
    1013: 500,
    1024: 500,
    1026: 400,
    1027: 400,
    1033: 500,
    1039: 429,
    1041: 429,
    2013: 400,
    2045: 429,
    2049: 401,
    2056: 429,
}

_ID_HEADERS = ("x-request-id", "request-id", "x-amzn-requestid", "apim-request-id", "x-kong-request-id", "nvcf-reqid",
               "cf-ray")  # fmt: skip
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
    """Give the error for an answer with this status; what it says is taken out of a JSON body of any usual shape.

    Its class is mostly the status's. What is plainly something else has its own, as services use statuses freely: a
    key that is not valid at 400, no credit left at 429. `retry_after` is what the body says, if it does.
    """
    text = body.decode("utf-8", "replace")
    told = _read(_json(text))
    if not told.message:
        told = attrs.evolve(told, message=_excerpt(text) or _reason(status, headers))
    id = request_id(headers) or told.request_id
    return _error(provider, status, told, body=text, id=id)


def event_error(provider: str, error: Any, *, status: int | None = None) -> ProviderError:
    """Give the error for an error object, or text, that came inside a stream: the class its status would have had."""
    told = _read(error if isinstance(error, dict) and {"error", "base_resp"} & error.keys() else {"error": error})
    if status is None:
        status = told.status if told.status is not None else _STATUS_OF_CODE.get((told.code or "").lower())
    if not told.message:
        told = attrs.evolve(told, message="the provider reported an error without a message")
    text = error if isinstance(error, str) else _dumped(error)
    return _error(provider, status, told, body=text, id=told.request_id)


def error_in(value: Any, event: str = "message", *, answer: bool = False) -> Any:
    """Give the error that the JSON of an event with this name reports, in any of its shapes; None where there is none.

    A mere message is one where it stands in place of a piece of the answer: in an event without a name of its own that
    is no such piece, as `answer` says that it is.
    """
    if type(value) is list:
        return next(filter(None, (error_in(one, event) for one in value)), None)
    if type(value) is dict and (error := value.get("error")):
        return value if error is True else error
    if event.endswith(("error", "exception")) or (type(value) is dict and _is_error(value)):
        return value or "an error event without data"
    if answer or event != "message" or type(value) is not dict:
        return None
    return value if _text(value, *_MESSAGES) or value.get("detail") or value.get("errors") else None


def _is_error(value: dict[str, Any]) -> bool:
    """Whether an object calls itself an error; MiniMax does so by a number in a box that is there on success, too."""
    for kind in (value.get("type"), value.get("object")):
        if type(kind) is str and kind.endswith("error"):
            return True
    box = value.get("base_resp")
    return type(box) is dict and bool(box.get("status_code"))


def request_id(headers: Mapping[str, str]) -> str | None:
    """Give the provider's id of a request."""
    found = next((headers[name] for name in _ID_HEADERS if headers.get(name)), None)
    return printable(found, 200) if found else None


@attrs.frozen(kw_only=True)
class _Told:
    """What an error says: `status` is one that stands in its text, `retry_after` in seconds."""

    message: str = ""
    code: str | None = None
    status: int | None = None
    retry_after: float | None = None
    request_id: str | None = None


def _error(provider: str, status: int | None, told: _Told, *, body: str, id: str | None) -> ProviderError:
    code = told.code
    cls = _class(status, code, told.message)
    # A redirect is the one status below 400 that ends here: following it could hand the key to another host.
    hint = "set base_url to the address it names" if status is not None and 300 <= status < 400 else _HINTS.get(cls, "")
    head = " ".join(dict.fromkeys(str(word) for word in (status, code) if word is not None))
    shown = ": ".join(part for part in (provider, head, printable(told.message)) if part)
    return cls(
        f"{shown} ({hint})" if hint else shown,
        provider=provider,
        status=status,
        code=code,
        request_id=id,
        retry_after=told.retry_after,
        body=printable(body),
    )


def _class(status: int | None, code: str | None, message: str) -> type[ProviderError]:
    said = f"{code or ''} {message[:MAX_MESSAGE]}"
    refused = status is None or 400 <= status < 500
    if status not in (401, 404, 429) and refused and _says(_FILTER, said):
        return errors.ContentFiltered
    if status in (None, 400, 413, 422) and _says(_OVERFLOW, said) and not (status is None and _says(_RATE, said)):
        return errors.ContextOverflow
    if (refused or status == 500) and _says(_NO_CREDIT, said):
        return errors.PermissionDenied
    if status in (None, 400, 403, 422) and _says(_BAD_KEY, said):
        return errors.Unauthorized
    if status in (None, 400, 422) and _says(_NO_MODEL, said):
        return errors.NotFound
    return ProviderError if status is None else _class_of_status(status)


def _says(pattern: str, said: str) -> bool:
    return re.search(pattern, said, re.IGNORECASE) is not None  # compiled with the first error: that takes 2 ms


def _class_of_status(status: int) -> type[ProviderError]:
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


# -- reading


def _read(value: Any, depth: int = 0) -> _Told:
    """Find what an error says of itself."""
    if isinstance(value, str):
        return _read_text(value, depth)
    if depth == _DEEPEST or not isinstance(value, (dict, list)):
        return _Told()
    if isinstance(value, list):  # Gemini sends a list of one; FastAPI a list of {"msg"}
        return next((told for told in (_read(one, depth + 1) for one in value[:10]) if told.message), _Told())
    inner = value.get("error")
    if isinstance(inner, (dict, list)) or (isinstance(inner, str) and not _text(value, *_MESSAGES)):
        return _completed(_read(inner, depth + 1), value)
    if isinstance(value.get("base_resp"), dict):
        return _read_base_resp(value["base_resp"], value)
    return _completed(_read_object(value, depth), value)


_MESSAGES = ("message", "msg", "error_message", "error_msg", "Message", "detail", "description")


def _read_text(text: str, depth: int) -> _Told:
    """Read a message; gateways send the JSON of the service behind them as one."""
    if text.lstrip().startswith(("{", "[")) and depth < _DEEPEST:
        told = _read(_json(text), depth + 1)
        if told.message:
            return told
    return _Told(message=text, retry_after=_wait(text))


def _read_object(value: dict[str, Any], depth: int) -> _Told:
    raw = value["metadata"].get("raw") if isinstance(value.get("metadata"), dict) else None  # OpenRouter
    for source in (raw, _text(value, *_MESSAGES), *(value.get(name) for name in ("message", "detail", "errors"))):
        told = _read(source, depth + 1) if source else _Told()
        if told.message:
            return told
    return _Told()


def _read_base_resp(answer: dict[str, Any], whole: dict[str, Any]) -> _Told:
    """Read MiniMax's own form."""
    code, message = answer.get("status_code"), _text(answer, "status_msg") or ""
    status = _STATUS_OF_BASE_RESP.get(code) if type(code) is int else None
    told = _Told(message=message, code=str(code) if type(code) is int else None, status=status)
    return _completed(told, whole)


def _completed(told: _Told, value: dict[str, Any]) -> _Told:
    """Give what was told within an object with what the object itself says, where that is more."""
    statuses = (_status(value.get(name)) for name in ("status_code", "status", "code", "http_code"))
    id = _text(value, "request_id", "requestId") or _detail(value, "request_id")
    return _Told(
        message=told.message,
        code=told.code or _code(value),
        status=told.status or next(filter(None, statuses), None),
        retry_after=told.retry_after if told.retry_after is not None else _wait_of(value),
        request_id=told.request_id or (printable(id, 200) if id else None),
    )


def _code(value: dict[str, Any]) -> str | None:
    """The service's own word for its error; a number only where there is no word, as most repeat the status."""
    number = value.get("code")
    words = (
        _detail(value, "reason"),
        number if not _status(number) else None,
        _text(value, "type", "error_code", "error_type", "status"),
        number,
    )
    for word in words:
        if type(word) is int or (isinstance(word, str) and word not in ("", "error") and not word.startswith("about:")):
            return printable(str(word))
    return None


def _text(value: dict[str, Any], *names: str) -> str | None:
    """Give the first of these fields that is a text."""
    return next((value[name] for name in names if isinstance(value.get(name), str) and value[name]), None)


def _detail(value: dict[str, Any], name: str) -> str | None:
    """Give a field of one of the `details` that Google, and those who follow it, put beside a message."""
    details = value.get("details")
    found = (_text(one, name) for one in details[:10] if isinstance(one, dict)) if isinstance(details, list) else ()
    return next(filter(None, found), None)


def _status(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch("[45][0-9][0-9]", value):
        return int(value)
    return value if type(value) is int and 400 <= value <= 599 else None


def _wait_of(value: dict[str, Any]) -> float | None:
    """The seconds to wait that stand in a field: Google's retryDelay, Hugging Face's estimated_time, OpenRouter's."""
    if delay := re.fullmatch(r"\d{1,9}(\.\d{1,9})?s", _detail(value, "retryDelay") or ""):
        return float(delay.group()[:-1])
    metadata = value.get("metadata")
    for box in (value, metadata if isinstance(metadata, dict) else {}):
        for name in ("retry_after", "retry_after_seconds", "estimated_time"):
            seconds: Any = box.get(name)
            if type(seconds) in (int, float) and 0 <= seconds < 1e9:
                return float(seconds)
    return None


def _wait(message: str) -> float | None:
    """The seconds to wait that a message names."""
    for found in re.finditer(_WAIT, message[:MAX_MESSAGE], re.IGNORECASE):
        if any(found.groups()):
            hours, minutes, amount, unit = (group or "0" for group in found.groups())
            seconds = float(amount) / (1000 if unit.lower() == "ms" else 1)
            return min(3600 * float(hours) + 60 * float(minutes) + seconds, 1e9)
    return None


def _excerpt(text: str) -> str:
    """The beginning of a body that is no JSON error, without tags and runs of white space."""
    text = re.sub(r"<(script|style)\b.*?</\1>|<[^<>]*>", " ", text[:20_000], flags=re.DOTALL | re.IGNORECASE)
    return " ".join(text.split())[:300]


def _reason(status: int, headers: Mapping[str, str]) -> str:
    if 300 <= status < 400:
        return f"the server redirects to {printable(headers.get('location', 'nowhere'), 300)}, which is not followed"
    return "the server gave no reason"
