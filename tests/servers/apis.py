"""An API of a server that others wrote, and the client that speaks it."""

from __future__ import annotations

from typing import Any

import attrs

from streamkit import Client, providers
from tests.loopback import ONCE

__all__ = ["TIME", "WEATHER", "Api"]

WEATHER = {
    "name": "get_weather",
    "description": "Get the weather in a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
TIME = {"name": "get_time", "description": "Get the time", "parameters": {"type": "object", "properties": {}}}


@attrs.frozen(kw_only=True)
class Api:
    """One API of a server: the provider that speaks it, the path of its base_url, a model to ask.

    `lacks` names what the server leaves out of the API, such as "usage".
    """

    provider: str
    path: str = ""
    model: str
    lacks: tuple[str, ...] = ()

    def client(self, url: str, key: str, **settings: Any) -> Client:
        """Give a client of the server at `url`; it does not retry unless told to."""
        provider = getattr(providers, self.provider)(key, base_url=url + self.path)
        return Client(provider, **{"retry_policy": ONCE, **settings})
