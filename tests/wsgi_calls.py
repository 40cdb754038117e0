"""Asking a WSGI application without a server, by the rules of PEP 3333, which are checked on both sides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import attrs

from streamkit.framing import Event, parse_sse

__all__ = ["Answer", "asked", "environ_of"]


def environ_of(
    path: str = "/stream",
    query: str = "",
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Give the environment of a request."""
    environ: dict[str, Any] = {"SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": method}
    setup_testing_defaults(environ)
    environ |= {"SERVER_PROTOCOL": "HTTP/1.1", **more}
    return environ | {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (headers or {}).items()}


@attrs.frozen
class Answer:
    """What an application answers."""

    status: int
    headers: list[tuple[str, str]]
    frames: Any

    def header(self, name: str) -> str | None:
        """A header, or None."""
        return dict(self.headers).get(name)

    def body(self) -> bytes:
        """All of it; it is closed then, as servers do."""
        try:
            return b"".join(self.frames)
        finally:
            self.frames.close()

    def events(self) -> list[Event]:
        """Its events."""
        return list(parse_sse([self.body()]))


def asked(app: Callable[..., Any], environ: dict[str, Any]) -> Answer:
    """Ask, and give the answer, of which nothing was read yet."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        started.append((status, headers))
        return lambda data: None

    frames = validator(app)(environ, start_response)
    ((status, headers),) = started
    return Answer(int(status.split()[0]), headers, _Closing(frames))


class _Closing:
    """Frames that are closed once, when they are dropped if not before: the validator is not content with less."""

    def __init__(self, frames: Any) -> None:
        self._frames, self._closed = frames, False

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._frames)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._frames.close()

    def __del__(self) -> None:
        self.close()
