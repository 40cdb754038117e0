"""CORS: whose pages may read an answer."""

from __future__ import annotations

from typing import Any

import pytest

from streamkit import ConfigError
from streamkit.integrations.web.cors import CORS, AllowOrigin

A, B = "https://a.example", "http://b.example:8000"
VARY = ("Vary", "Origin")


def allowed(origin: str) -> tuple[str, str]:
    """The header that lets an origin in."""
    return ("Access-Control-Allow-Origin", origin)


@pytest.mark.parametrize(
    ("allow_origin", "asked", "headers"),
    [
        (None, A, []),
        ((), A, []),
        ("*", A, [allowed("*")]),
        ("*", None, [allowed("*")]),
        (A, None, [allowed(A), VARY]),
        (A, B, [allowed(A), VARY]),
        ([A, B], B, [allowed(B), VARY]),
        ([A, B], A, [allowed(A), VARY]),
        ([A, B], "https://c.example", [VARY]),
        ([A, B], None, [VARY]),
        ([A, B], f"{A}\r\nSet-Cookie: x=1", [VARY]),
        ([A, B], A.upper(), [VARY]),
    ],
)
def test_headers(allow_origin: AllowOrigin, asked: str | None, headers: list[tuple[str, str]]) -> None:
    """One origin is told to all, each of several to itself; nothing that was not allowed is ever said again."""
    environ: dict[str, Any] = {} if asked is None else {"HTTP_ORIGIN": asked}

    assert headers == CORS.of(allow_origin).headers(environ)


def test_who_asks_beforehand() -> None:
    """It is told what it may ask, if it may."""
    cors = CORS.of([A, B])
    told = dict(cors.preflight({"HTTP_ORIGIN": A}))

    assert (A, "GET, HEAD, OPTIONS") == (told["Access-Control-Allow-Origin"], told["Access-Control-Allow-Methods"])
    assert "Last-Event-ID" in told["Access-Control-Allow-Headers"]
    assert [VARY] == cors.preflight({"HTTP_ORIGIN": "https://c.example"})
    assert [] == CORS.of(None).preflight({"HTTP_ORIGIN": A})


@pytest.mark.parametrize(
    "wrong",
    ["", "a.example", "https://a.example/", "https://a.example/path", "https://a.example\r\nX: y", "https://é.example"],
)
def test_what_is_no_origin(wrong: str) -> None:
    """It would never match, or do harm: it is refused."""
    with pytest.raises(ConfigError, match=r"allow_origin=.*give"):
        CORS.of([wrong])


@pytest.mark.parametrize("wrong", [["*", A], [1], [None]])
def test_what_is_no_list_of_origins(wrong: Any) -> None:
    """It is refused."""
    with pytest.raises(ConfigError, match="allow_origin"):
        CORS.of(wrong)


@pytest.mark.parametrize("origin", ["null", "moz-extension://8c5c1a", "capacitor://localhost", "http://[::1]:80"])
def test_odd_origins(origin: str) -> None:
    """Files have none and say "null"; extensions and applications have schemes of their own."""
    assert [allowed(origin), VARY] == CORS.of([A, origin]).headers({"HTTP_ORIGIN": origin})
