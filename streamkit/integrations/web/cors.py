"""CORS: which other sites' pages may read an answer (https://fetch.spec.whatwg.org/#http-cors-protocol)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Union

from streamkit import lazy_attrs as attrs
from streamkit.errors import ConfigError

__all__ = ["CORS", "AllowOrigin"]

AllowOrigin = Union[str, Sequence[str], None]  # noqa: UP007 - evaluated, also on Python 3.10
"""Which other sites' pages may read an answer: "*" all, an origin such as "https://example.org", several, or None."""

_PREFLIGHT = [
    ("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS"),
    ("Access-Control-Allow-Headers", "Cache-Control, Last-Event-ID"),
    ("Access-Control-Max-Age", "600"),
]


@attrs.frozen
class CORS:
    """The origins that are let in."""

    origins: tuple[str, ...]

    @classmethod
    def of(cls, allow_origin: AllowOrigin) -> CORS:
        """Read the argument `allow_origin`.

        Raises:
            ConfigError: one of them is no origin; a path or a blank would never match, and a line break is an attack.
        """
        origins = (allow_origin,) if isinstance(allow_origin, str) else tuple(allow_origin or ())
        for origin in origins:
            if not _is_origin(origin):
                raise ConfigError(f'allow_origin={origin!r}: give "*", or origins such as "https://example.org"')
        if "*" in origins and len(origins) > 1:
            raise ConfigError('allow_origin: "*" lets everybody in; give it alone, or the others without it')
        return cls(origins)

    def headers(self, environ: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Give the headers of an answer to this request. Nothing of the request gets into them that was not allowed."""
        if not self.origins:
            return []
        if self.origins == ("*",):
            return [("Access-Control-Allow-Origin", "*")]
        # One origin is told to everybody; with several, each is told of itself.
        asked = environ.get("HTTP_ORIGIN")
        told = self.origins[0] if len(self.origins) == 1 else asked if asked in self.origins else None
        allowed = [("Access-Control-Allow-Origin", told)] if isinstance(told, str) else []
        return [*allowed, ("Vary", "Origin")]  # else a cache would give it to other origins

    def preflight(self, environ: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Give the headers of an answer to a browser that asks beforehand."""
        allowed = self.headers(environ)
        return [*allowed, *_PREFLIGHT] if "Access-Control-Allow-Origin" in dict(allowed) else allowed


def _is_origin(text: object) -> bool:
    if not isinstance(text, str) or not text.isascii() or not text.isprintable():
        return False
    scheme, mark, host = text.partition("://")
    return text in ("*", "null") or bool(
        mark and scheme.replace("-", "a").isalnum() and host and not set(host) & set("/ ?#@,")
    )
