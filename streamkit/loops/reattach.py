"""The same answer once more: a call that is given the events of one which its provider has kept."""

from __future__ import annotations

from typing import Any, cast

from streamkit import lazy_attrs as attrs
from streamkit.call import Call
from streamkit.codec import Codec, HttpRequest, Provider
from streamkit.errors import ConfigError
from streamkit.types.request import ChatRequest

__all__ = ["reattached"]


def reattached(call: Call, id: str) -> Call:
    """Give the call that reads the answer with this id again, from its first event on.

    Raises:
        ConfigError: the provider keeps no answers; whether it keeps this one, `Call.check` says.
    """
    provider = call.provider
    if not hasattr(provider.codec, "encode_again"):
        raise ConfigError(f"{provider.name}: it keeps no answers that could be read again: use mode='prompt' or 'auto'")
    return attrs.evolve(call, provider=cast("Provider", _Keeping(provider, id)))


class _Keeping:
    """A provider as it is asked for an answer that it keeps."""

    def __init__(self, provider: Provider, id: str) -> None:
        self._provider = provider
        self.codec = _Again(provider.codec, id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)


class _Again:
    """A wire format whose every request asks for the same answer."""

    def __init__(self, codec: Codec, id: str) -> None:
        self._codec: Any = codec
        self._id = id

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codec, name)

    def encode(self, request: ChatRequest, provider: Provider) -> HttpRequest:
        """Ask for it."""
        asked: HttpRequest = self._codec.encode_again(request, provider, self._id)
        return asked
