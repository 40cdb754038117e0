"""What a WSGI request says: its method and path, its prompt, and where a browser that comes back had stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from streamkit import lazy_attrs as attrs
from streamkit.consumers.frames import DONE

__all__ = ["WSGIRequest"]


@attrs.frozen
class WSGIRequest:
    """A request, by its WSGI environment (https://peps.python.org/pep-3333/); hostile, until it is looked at."""

    environ: Mapping[str, Any]

    @property
    def method(self) -> str:
        """Such as "GET"."""
        return str(self.environ.get("REQUEST_METHOD", "GET")).upper()

    @property
    def path(self) -> str:
        """The path below the place where the application is mounted; what is no UTF-8 has U+FFFD in it."""
        path = _wire(self.environ.get("PATH_INFO", "")).decode(errors="replace")
        return path or "/"

    @property
    def can_stream(self) -> bool:
        """Whether an answer can go out piece by piece: CGI gives it away as a whole, and HTTP/0.9 knows no headers."""
        return not self.environ.get("wsgi.run_once") and self.environ.get("SERVER_PROTOCOL") != "HTTP/0.9"

    @property
    def comes_back(self) -> bool:
        """Whether it is from an `EventSource`, which comes back when its connection breaks, or from its like."""
        return "text/event-stream" in str(self.environ.get("HTTP_ACCEPT", "")).lower() or bool(self.last_event_id)

    @property
    def last_event_id(self) -> str:
        """The id of the last event that a browser has had, or "": its header's, else `last_event_id` of the query."""
        header = str(self.environ.get("HTTP_LAST_EVENT_ID", ""))
        return header or (self.query("last_event_id") or b"").decode(errors="replace")

    @property
    def ended(self) -> bool:
        """Whether the browser has had all of the answer."""
        return self.last_event_id.endswith(DONE)

    def query(self, name: str) -> bytes | None:
        """Give a parameter of the query, the first of that name, as the bytes that it stands for; None without it."""
        for field in _wire(self.environ.get("QUERY_STRING", "")).split(b"&"):
            key, _, value = field.replace(b"+", b" ").partition(b"=")
            if unquote_to_bytes(key) == name.encode():
                return unquote_to_bytes(value)
        return None


def _wire(text: str) -> bytes:
    """Give the bytes that WSGI shows as characters; one that is none of them comes from a server that decodes."""
    return text.encode("latin-1") if all(c < "\u0100" for c in text) else text.encode(errors="replace")
