"""A server that says each prompt back, or fails as the prompt asks it to: for many requests in no certain order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from streamkit import Client
from streamkit.providers import OpenAI
from streamkit.testing import (
    Close,
    Gate,
    ProviderServer,
    ReceivedRequest,
    Script,
    Stall,
    Status,
    Wait,
    Wire,
    chat_answer,
    error_answer,
)

__all__ = ["EchoServer", "echo", "said"]

PIECES = 4


class EchoServer(ProviderServer):
    """Answers "fail…" with status 400 and "limit…" with 429; cuts "cut…" after the second piece; "stall…" stays there.

    "wait…" stays there until `gate` is set. "busy…" is refused once, with status 429 and to be asked again after 0.3
    seconds. Everything else is said back in `pieces` pieces.

    Args:
        pieces: how many.
        headers: sent with each answer.
    """

    def __init__(self, pieces: int = PIECES, headers: Mapping[str, str] | None = None) -> None:
        self.gate = Gate()
        self._pieces = pieces
        self._headers = headers or {}
        super().__init__()

    def serve(self, wire: Wire) -> None:
        """Answer the requests of one connection, one after the other."""
        while not wire.closed:
            request = wire.read_request()
            self.record(request)
            wire.answer(request, self._script(said(request)))

    def client(self) -> Client:
        """Give a client of this server."""
        return Client(OpenAI(api_key="sk-very-secret", base_url=self.base_url))

    @property
    def asked(self) -> Counter[str]:
        """How often each prompt came."""
        return Counter(map(said, self.requests))

    def _script(self, prompt: str) -> Script:
        if prompt.startswith("busy") and self.asked[prompt] == 1:
            return error_answer(429, "later", {"Retry-After": "0.3"})
        kind = next((kind for kind in _KINDS if prompt.startswith(kind)), None)
        whole = chat_answer(*pieces_of(prompt, self._pieces))
        head = Status(200, {"x-request-id": "req_test", **self._headers})
        script = (head, *whole[1:])
        return script if kind is None else _KINDS[kind](script, self.gate)


def said(request: ReceivedRequest) -> str:
    """Give the last message's text."""
    text: str = request.json()["messages"][-1]["content"]
    return text


def pieces_of(prompt: str, pieces: int = PIECES) -> list[str]:
    """Give what is answered, in pieces."""
    return [f"{prompt}:{number} " for number in range(pieces)]


def echo(prompt: str, pieces: int = PIECES) -> str:
    """Give what is answered."""
    return "".join(pieces_of(prompt, pieces))


# A script begins with the head and an event without text.
_KINDS: Mapping[str, Callable[[Script, Gate], Script]] = {
    "fail": lambda script, gate: error_answer(400, "no such thing"),
    "limit": lambda script, gate: error_answer(429, "too many"),
    "cut": lambda script, gate: (*script[:4], Close()),
    "stall": lambda script, gate: (*script[:4], Stall()),
    "wait": lambda script, gate: (*script[:4], Wait(gate), *script[4:]),
}
