"""Credentials: no key goes to another process. The client's own is looked up there; one in the request is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from streamkit.client import ChatBuilder, Client
from streamkit.errors import ConfigError, printable
from streamkit.types.secret import Secret

__all__ = ["refuse_credentials", "refuse_keys"]

_NAME = re.compile(
    r"(^|[-_.])(authori[sz]ation([-_]token)?|cookie|credentials?|pass(word|wd)|secret"
    r"|(access|api|private|secret|signing|subscription)[-_]?key"
    r"|(access|api|auth|bearer|id|refresh|secret|security|session)[-_]?token)$|^(api)?token$",
    re.IGNORECASE,
)
"""What a header or an option is called that carries a credential."""
_HEADER = re.compile(r"[-_]token$", re.IGNORECASE)  # of options some count tokens, or name them
_VALUE = re.compile(r"(basic|bearer)\s+\S", re.IGNORECASE)
_SHORTEST = 8  # characters of a key; less is a word such as "test"
_INSTEAD = "keys do not travel to other processes: have it looked up there, in their environment, or use threads"


def refuse_credentials(chat: ChatBuilder) -> None:
    """Raise `ConfigError` where a header or an option of the request looks like a credential; it names it."""
    for name, value in chat.request.headers.items():
        if _NAME.search(name) or _HEADER.search(name) or _tells(value):
            raise ConfigError(f"the header {printable(name, 100)} carries a credential, and {_INSTEAD}")
    for path, name, value in _options(chat.request.provider_options):
        if (_NAME.search(name) and isinstance(value, (str, bytes)) and value) or _tells(value):
            raise ConfigError(f"provider_options: {printable(path, 200)} carries a credential, and {_INSTEAD}")


def refuse_keys(client: Client, packed: bytes) -> None:
    """Raise `ConfigError` where a key of the client's, or of its fallbacks', stands in what would be sent."""
    for each in (client, *(other for other, _ in client._fallback)):
        key = getattr(each.provider, "_key", None)
        text = key.expose() if isinstance(key, Secret) else ""
        if len(text) >= _SHORTEST and text.encode() in packed:
            raise ConfigError(f"the key of {each.provider.name} stands in the request itself, and {_INSTEAD}")


def _tells(value: object) -> bool:
    return isinstance(value, str) and _VALUE.match(value) is not None


def _options(value: Any, path: str = "", name: str = "") -> Iterator[tuple[str, str, Any]]:
    """Each value with its path and the last name on it, to the leaves."""
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from _options(member, f"{path}.{key}" if path else str(key), str(key))
    elif isinstance(value, (list, tuple)):
        for number, member in enumerate(value):
            yield from _options(member, f"{path}[{number}]", name)
    else:
        yield path, name, value
