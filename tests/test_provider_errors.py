"""Error answers and error events: whatever shape they come in, the right class with the provider's own words."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import errors
from streamkit.errors import (
    BadRequest,
    ContentFiltered,
    ContextOverflow,
    NotFound,
    Overloaded,
    PermissionDenied,
    ProviderError,
    RateLimited,
    ServerError,
    Unauthorized,
    printable,
)
from streamkit.provider_errors import error_in, event_error, request_id, status_error
from tests.strategies import PROPERTY


def answered(status: int, body: object, **headers: str) -> ProviderError:
    """The error of an answer with this status; a body that is no bytes is sent as JSON."""
    return status_error("acme", status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "expected", "retryable"),
    [
        (301, ProviderError, False),
        (400, BadRequest, False),
        (401, Unauthorized, False),
        (402, PermissionDenied, False),
        (403, PermissionDenied, False),
        (404, NotFound, False),
        (409, BadRequest, False),
        (418, BadRequest, False),
        (429, RateLimited, True),
        (500, ServerError, True),
        (502, ServerError, True),
        (503, Overloaded, True),
        (529, Overloaded, True),
        (599, ServerError, True),
    ],
)
def test_the_class_of_a_status(status: int, expected: type[ProviderError], retryable: bool) -> None:
    """Each status has its class, which says whether trying again may help."""
    error = answered(status, {"error": {"message": "m"}})

    assert (expected, status, "acme", retryable) == (type(error), error.status, error.provider, error.retryable)


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({"error": {"message": "m", "type": "t", "code": "c"}}, "m", "c"),
        ({"error": {"message": "m", "type": "t", "code": None}}, "m", "t"),
        ({"error": "m"}, "m", None),
        ({"error": "short", "message": "m"}, "m", None),
        ({"type": "error", "error": {"type": "t", "message": "m"}}, "m", "t"),
        ({"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}, "m", "INVALID_ARGUMENT"),
        ([{"error": {"code": 400, "message": "m"}}], "m", "400"),
        ({"message": "m", "code": "c"}, "m", "c"),
        ({"object": "error", "message": "m", "type": "t"}, "m", "t"),
        ({"detail": "m"}, "m", None),
        ({"detail": [{"loc": ["body"], "msg": "m"}]}, "m", None),
        ({"detail": {"message": "m"}}, "m", None),
        ({"errors": [{"message": "m", "code": 7}]}, "m", "7"),
        ({"error": {"message": {"detail": [{"msg": "m"}]}, "type": "t"}}, "m", "t"),
        ({"error": {"message": '{"error": {"message": "m", "type": "t"}}', "code": 400}}, "m", "t"),
        ({"error": {"message": "{m", "code": 400}}, "{m", "400"),
        ({"error": {"message": "m", "details": [5, {"reason": "R"}]}}, "m", "R"),
        ({"error": {"message": "m", "details": "d", "type": "about:blank"}}, "m", None),
        ({"error_code": "E", "message": "m"}, "m", "E"),
        ({"error": "m", "error_type": "t"}, "m", "t"),
        ({"base_resp": {"status_code": 2013, "status_msg": "m"}}, "m", "2013"),
        ({"base_resp": {"status_code": "x", "status_msg": "m"}}, "m", None),
        ({"msg": "m"}, "m", None),
        ({"error_code": 336, "error_msg": "m"}, "m", None),
        ({"error": {"error": {"message": "m"}}, "code": "c"}, "m", "c"),
        ("m", "m", None),
    ],
)
def test_where_the_message_stands(body: object, message: str, code: str | None) -> None:
    """Message and code are found in every usual shape of an error body."""
    error = answered(400, body)

    assert (f"acme: 400{f' {code}' if code and code != '400' else ''}: {message}", code) == (str(error), error.code)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "gave no reason"),
        (b"{}", "{}"),
        (b"null", "null"),
        (b'{"error": {"mess', '{"error": {"mess'),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"upstream\n  timed   out", "upstream timed out"),
        (b"<html><style>p {}</style><script>var a;</script><h1>502</h1> Bad\nGateway</html>", "502 Bad Gateway"),
        (b'{"error": {"code": 5}}', '{"error": {"code": 5}}'),
    ],
)
def test_bodies_without_a_message(body: bytes, says: str) -> None:
    """Otherwise the message is a short excerpt of whatever came, without tags and runs of white space."""
    assert says in str(answered(502, body))


CASES = [json.loads(line) for line in Path(__file__).with_suffix(".jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("case", CASES, ids=[f"{case['provider']}, {case['what']}" for case in CASES])
def test_what_services_send(case: dict[str, Any]) -> None:
    """Errors that services document, or their users met: class, code, message, wait and request id are taken out."""
    body = case["body"].encode() if isinstance(case["body"], str) else json.dumps(case["body"]).encode()
    error = status_error(case["provider"], case["status"], {}, body)

    assert getattr(errors, case["error"]) is type(error)
    assert (case["status"], case["code"], case.get("request_id")) == (error.status, error.code, error.request_id)
    assert pytest.approx(case.get("retry_after")) == error.retry_after
    assert str(error).startswith(
        ": ".join(filter(None, [case["provider"], head_of(error), printable(case["message"])]))
    )


def head_of(error: ProviderError) -> str:
    """Status and code, as a message shows them."""
    return " ".join(dict.fromkeys(filter(None, [str(error.status), error.code])))


def test_what_cannot_be_helped_by_waiting_is_not_retryable() -> None:
    """No credit left, a bad key and a prompt that does not fit say so themselves, whatever the status."""
    final = (Unauthorized, PermissionDenied, NotFound, BadRequest)
    bodies = [(case["status"], json.dumps(case["body"]).encode(), getattr(errors, case["error"])) for case in CASES]

    assert {
        status_error("p", status, {}, body).retryable for status, body, kind in bodies if issubclass(kind, final)
    } == {False}
    assert 429 in {status for status, _, kind in bodies if kind is PermissionDenied}


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Please try again in 7.66s. Visit", 7.66),
        ("Please try again in 6ms.", 0.006),
        ("try again in 1m47.5s", 107.5),
        ("Please retry in 2h3m4s", 7384),
        ("try again in 20 minutes", 1200),
        ("Please wait 46184 seconds before retrying.", 46184),
        ("Retry after 26 seconds.", 26),
        ("wait 9" + "9" * 400 + "s", 1e9),
        ("wait a moment, or try again in 3s", 3),
        ("Please try again later.", None),
        ("wait 5 more of them", None),
        ("retry 3 times", None),
        ("", None),
    ],
)
def test_the_wait_that_a_message_names(message: str, seconds: float | None) -> None:
    """A number with its unit after "try again in" and its kin is how long to wait."""
    assert pytest.approx(seconds) == answered(429, {"error": {"message": message}}).retry_after


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        ({"message": "m", "details": [{"retryDelay": "34.5s"}]}, 34.5),
        ({"message": "m", "details": [{"retryDelay": "soon"}]}, None),
        ({"message": "m", "metadata": {"retry_after_seconds": 12}}, 12),
        ({"message": "m", "retry_after": 0.5}, 0.5),
        ({"message": "m", "retry_after": True}, None),
        ({"message": "m", "retry_after": -1}, None),
        ({"message": "m", "retry_after": float("nan")}, None),
        ({"message": "wait 3s", "retry_after": 5}, 3),
    ],
)
def test_the_wait_that_a_field_names(error: dict[str, Any], seconds: float | None) -> None:
    """Some services say it in a field of its own, in the stream, too."""
    assert seconds == answered(429, {"error": error}).retry_after == event_error("acme", error).retry_after


def test_redirects_are_named() -> None:
    """A redirect is not followed, as it could take the key elsewhere; the error says where it goes and what to set."""
    assert "redirects to http://b/\\x1b, which is not followed (set base_url" in str(
        answered(307, b"", location="http://b/\x1b")
    )


def test_messages_are_bounded_and_printable() -> None:
    """A terminal or a log is not at the mercy of a server; the body is kept, as an excerpt."""
    error = answered(500, {"error": {"message": "\x1b[31m\r\n" + "x" * 10_000}})

    assert str(error).isprintable()
    assert len(str(error)) < 2_200
    assert error.body.isprintable()
    assert 1_900 < len(error.body) < 2_200


def test_each_class_says_what_to_do() -> None:
    """Where there is something a user can do, the message says it."""
    hints = {
        status: str(answered(status, {"error": "m"})).partition("(")[2] for status in (401, 403, 404, 429, 500, 503)
    }

    assert {
        401: "check the API key)",
        403: "check what the key may do, and the account's credit)",
        404: "check the model's name and base_url)",
        429: "send less, or wait and try again)",
        500: "try again later)",
        503: "wait and try again)",
    } == hints


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "This model's maximum context length is 8192 tokens."),
        (400, "prompt is too long: 210000 tokens > 200000 maximum"),
        (400, "input length and `max_tokens` exceed context limit"),
        (413, "Please reduce the length of the messages"),
        (400, "request (9010 tokens) exceeds the available context size (2048 tokens), try increasing it"),
        (400, "The input token count (1200000) exceeds the maximum number of tokens allowed"),
        (422, "too many tokens: size limit exceeded"),
    ],
)
def test_context_overflows(status: int, message: str) -> None:
    """A prompt that does not fit is told apart, however a provider words it."""
    assert ContextOverflow is type(answered(status, {"error": {"message": message}}))


@pytest.mark.parametrize(
    "error",
    [
        {"code": "content_filter", "message": "no"},
        {"code": "x", "message": "The response was filtered due to Azure OpenAI's content management policy"},
        {"code": "data_inspection_failed", "message": "no"},
    ],
)
def test_filters(error: object) -> None:
    """A prompt that a filter refused is told apart."""
    assert ContentFiltered is type(answered(400, {"error": error}))


@pytest.mark.parametrize(
    "message",
    [
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens.",
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'.",
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_01.",
        "Invalid 'tools[0].function.name': string does not match pattern '^[a-zA-Z0-9_-]+$'.",
        "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
        "messages.0.content.1.image.source.base64: image exceeds 5 MB maximum: 6275800 bytes > 5242880 bytes",
        "messages: text content blocks must be non-empty",
        "This model does not support assistant message prefill. The conversation must end with a user message.",
        "Invalid schema for function 'f': In context=('properties', 'url'), 'uri' is not a valid format.",
        "Unknown parameter: 'response_format.strict'.",
        "Invalid value: 'xhigh'. Supported values are: 'low', 'medium', and 'high'.",
        "Please use a valid role: user, model.",
        "temperature: range: 0..1",
    ],
)
def test_plain_mistakes(message: str) -> None:
    """What is wrong with the request itself, and nothing else, stays a BadRequest without a wait."""
    for error in (
        answered(400, {"error": {"message": message, "type": "invalid_request_error"}}),
        answered(422, message),
    ):
        assert (BadRequest, None) == (type(error), error.retry_after)


@pytest.mark.parametrize(
    ("error", "expected", "status"),
    [
        ({"type": "overloaded_error", "message": "m"}, Overloaded, 529),
        ({"type": "rate_limit_error", "message": "m"}, RateLimited, 429),
        ({"type": "api_error", "message": "m"}, ServerError, 500),
        ({"type": "invalid_request_error", "message": "m"}, BadRequest, 400),
        ({"code": 502, "message": "m"}, ServerError, 502),
        ({"code": "502", "message": "m"}, ServerError, 502),
        ({"code": "c", "status_code": 404, "message": "m"}, NotFound, 404),
        ({"code": 7, "message": "m"}, ProviderError, None),
        ({"code": True, "message": "m"}, ProviderError, None),
        ({"message": "prompt is too long: 9 tokens"}, ContextOverflow, None),
        ({"message": "per minute: too many tokens"}, ProviderError, None),
        ({"code": "insufficient_quota", "message": "m"}, PermissionDenied, 429),
        ({"base_resp": {"status_code": 1008, "status_msg": "m"}}, PermissionDenied, 402),
        ({"base_resp": {"status_code": 1002, "status_msg": "m"}}, RateLimited, 429),
        ({"base_resp": {"status_code": 1026, "status_msg": "new_sensitive m"}}, ContentFiltered, 400),
        ({"base_resp": {"status_code": 9, "status_msg": "m"}}, ProviderError, None),
        ({"errors": [{"message": "m", "code": 7}], "success": False}, ProviderError, None),
        ({"type": "error", "error": {"type": "not_found_error", "message": "m"}}, NotFound, 404),
        ("m", ProviderError, None),
    ],
)
def test_events(error: object, expected: type[ProviderError], status: int | None) -> None:
    """An error inside a stream has the class that its status would have had, by number or by the provider's word."""
    made = event_error("acme", error)

    assert (expected, status) == (type(made), made.status)
    assert ("prompt" if "prompt" in json.dumps(error) else "m") in str(made).partition(": ")[2]


@pytest.mark.parametrize(
    ("value", "event", "expected"),
    [
        ({"error": {"message": "m"}}, "message", {"message": "m"}),
        ({"error": "m", "choices": []}, "message", "m"),
        ({"error": True, "message": "m"}, "message", {"error": True, "message": "m"}),
        ({"type": "error"}, "message", {"type": "error"}),
        ({"type": "overloaded_error"}, "message", {"type": "overloaded_error"}),
        ({"object": "error"}, "message", {"object": "error"}),
        ({"base_resp": {"status_code": 1013}}, "message", {"base_resp": {"status_code": 1013}}),
        ([5, {"x": 1}, {"error": "m"}], "message", "m"),
        ([{"detail": "m"}], "message", {"detail": "m"}),
        ("m", "error", "m"),
        ({"x": 1}, "error", {"x": 1}),
        ({"message": "m"}, "exception", {"message": "m"}),
        ({"message": "m"}, "stream_error", {"message": "m"}),
        ({}, "error", "an error event without data"),
        (None, "error", "an error event without data"),
    ],
)
@pytest.mark.parametrize("answer", [False, True])
def test_what_reports_an_error(value: object, event: str, expected: object, answer: bool) -> None:
    """An error is found in the shapes that services give it, be it beside a piece of the answer or alone."""
    assert expected == error_in(value, event, answer=answer)


@pytest.mark.parametrize(
    "value",
    [{"message": "m"}, {"code": 500, "msg": "m"}, {"detail": "m"}, {"detail": [{"msg": "m"}]}, {"errors": ["m"]}],
)
def test_a_message_in_place_of_an_answer(value: dict[str, Any]) -> None:
    """It is an error where an event has no name and is no part of the answer."""
    assert value == error_in(value)
    assert error_in(value, answer=True) is error_in(value, "ping") is error_in(value, "status") is None


@pytest.mark.parametrize(
    "value",
    [
        {},
        None,
        5,
        "m",
        [],
        ["m", 5, {}],
        {"error": None},
        {"error": {}},
        {"type": "ping"},
        {"type": ["error"]},
        {"base_resp": {"status_code": 0, "status_msg": ""}},
        {"base_resp": "m"},
        {"message": {"content": "m"}},
    ],
)
def test_what_reports_no_error(value: object) -> None:
    """Success, and what says nothing, is none."""
    assert error_in(value) is None


@pytest.mark.parametrize("error", [None, True, {}, [], {"message": 5}, {"message": {"a": 1}}, 7])
def test_events_without_a_message(error: object) -> None:
    """They say at least that there was an error, and keep what came."""
    made = event_error("acme", error)

    assert ("acme: the provider reported an error without a message", json.dumps(error)) == (str(made), made.body)


def test_a_status_that_is_known_counts() -> None:
    """Who knows the status says it, whatever the words are."""
    assert Unauthorized is type(event_error("acme", {"type": "api_error", "message": "m"}, status=401))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-request-id": "a", "request-id": "b"}, "a"),
        ({"request-id": "b"}, "b"),
        ({"x-request-id": "", "cf-ray": "c"}, "c"),
        ({"x-kong-request-id": "k", "cf-ray": "c"}, "k"),
        ({"x-request-id": "a\x1b"}, "a\\x1b"),
        ({}, None),
    ],
)
def test_request_ids(headers: dict[str, str], expected: str | None) -> None:
    """The provider's id of a request is found under the names in use."""
    assert expected == request_id(headers)
    assert expected == answered(500, b"", **headers).request_id


def _nested(depth: int, key: str) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {key: value}
    return value


@pytest.mark.parametrize("depth", [5, 50, 5000])
@pytest.mark.parametrize("key", ["error", "detail", "errors"])
def test_nesting_without_bottom(depth: int, key: str) -> None:
    """It is no way to crash us."""
    assert ProviderError is type(event_error("acme", _nested(depth, key)))
    text = (f'{{"{key}":' * depth + "1" + "}" * depth).encode()
    assert ServerError is type(answered(500, text))


@pytest.mark.parametrize(
    "body", [b"<" * 60_000, b"<script" * 9_000, b"token count " * 5_000, b'{"message":"' + b"context " * 8_000 + b'"}']
)
def test_bodies_made_to_cost_time(body: bytes) -> None:
    """A body of the largest size that is read takes no time to speak of."""
    began = time.process_time()
    answered(400, body)

    assert time.process_time() - began < 1.0


_NAMES = [
    "error", "message", "msg", "detail", "errors", "code", "type", "status", "details", "metadata", "raw", "reason",
    "retryDelay", "base_resp", "status_code", "request_id",
]  # fmt: skip
_ERRORS = st.recursive(
    st.none() | st.booleans() | st.integers(300, 600) | st.text(max_size=5) | st.just("\ud83d"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(_NAMES),
            inner,
        )
    ),
    max_leaves=10,
)


@PROPERTY
@given(_ERRORS)
def test_any_error_is_an_error_of_ours(error: Any) -> None:
    """Whatever an error looks like, it becomes one that can be printed and encoded."""
    for made in (event_error("acme", error), answered(400, error)):
        assert isinstance(made, ProviderError)
        assert f"{made} {made.body} {made.code}".encode()
