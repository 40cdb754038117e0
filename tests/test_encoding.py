"""What every codec does to a request: the POST that carries it, and what is refused before."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from streamkit.codec import HttpRequest
from streamkit.encoding import post
from streamkit.errors import ConfigError
from streamkit.types import Secret

# -- the POST


def test_a_post() -> None:
    """A body goes out as compact JSON in UTF-8 that asks for an unencoded event stream; secrets do not print."""
    sent = post("http://h", {"é": "\ud83d😀"}, headers={"X-Version": "1"}, secrets={"X-Key": Secret("hidden")})

    assert sent == HttpRequest(
        url="http://h",
        body='{"é":"\ufffd😀"}'.encode(),
        headers={
            "Content-Type": "application/json",
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "X-Version": "1",
        },
        secrets={"X-Key": Secret("hidden")},
    )
    assert "hidden" not in repr(sent)


def test_mappings_and_tuples_are_json() -> None:
    """Any mapping is an object and any sequence of the common kinds a list."""
    assert b'{"a":{"b":[1,2]}}' == post("u", MappingProxyType({"a": MappingProxyType({"b": (1, 2)})})).body


def _circle() -> Mapping[str, Any]:
    circle: dict[str, Any] = {}
    circle["a"] = circle
    return circle


def _deep() -> Mapping[str, Any]:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    return deep


NO_BODIES: list[Any] = [{"a": object()}, {"a": {1}}, {"a": b"x"}, {(1,): 2}, {"a": float("nan")}, _circle(), _deep()]


@pytest.mark.parametrize("body", NO_BODIES, ids=range(len(NO_BODIES)))
def test_bodies_that_are_no_json(body: Mapping[Any, Any]) -> None:
    """They are refused before they are sent."""
    with pytest.raises(ConfigError, match="cannot be written as JSON"):
        post("u", body)


def test_own_headers() -> None:
    """The user's headers win, whatever their case; white space around a value is no part of it."""
    sent = post("u", {}, headers={"X-A": "ours"}, own={"x-a": " mine ", "ACCEPT": "*/*", "X-B": "é"})

    assert {
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
        "x-a": "mine",
        "ACCEPT": "*/*",
        "X-B": "é",
    } == sent.headers


@pytest.mark.parametrize("name", ["Authorization", "authorization", "X-API-Key", "api-key", "x-goog-api-key", "Cookie"])
def test_own_credentials_are_kept_apart(name: str) -> None:
    """A header that carries a credential is a secret, whoever sets it."""
    sent = post("u", {}, own={name: "hidden"})

    assert {name: Secret("hidden")} == sent.secrets
    assert name not in sent.headers


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"X-A": "a\nb"}, "header X-A: .*control"),
        ({"X-A": "a\x00"}, "header X-A: .*control"),
        ({"X-A": "世"}, "header X-A: .*no HTTP header can carry"),
        ({"X-A": 5}, "header X-A must be a str"),
        ({"X A": "a"}, "'X A' cannot be the name"),
        ({"": "a"}, "'' cannot be the name"),
        ({"X-A\n": "a"}, "cannot be the name"),
        ({5: "a"}, "5 cannot be the name"),
        ({"content-length": "1"}, "leave it out"),
        ({"Transfer-Encoding": "chunked"}, "leave it out"),
        ({"AUTHORIZATION": "x"}, "api_key"),
    ],
)
def test_own_headers_that_are_refused(own: Any, says: str) -> None:
    """What no header can carry, what would break the message and what would replace the key; no value is shown."""
    with pytest.raises(ConfigError, match=says) as caught:
        post("u", {}, secrets={"Authorization": Secret("Bearer x")}, own=own)

    assert "a\nb" not in str(caught.value)
