"""Errands: prompts that are asked in other processes.

What travels are facts: the request, the settings, and the provider without its key, which is looked up where the
errand arrives. A process keeps the clients that it has made of such facts, so that their connections serve again.
"""

from __future__ import annotations

import pickle
import uuid

import attrs

from streamkit.client import Client
from streamkit.codec import Provider
from streamkit.context import Context
from streamkit.errors import ConfigError, StreamKitError, printable
from streamkit.forks import new_lock
from streamkit.parallel.answer import Answer, ask, failed
from streamkit.parallel.lifeline import Rope, context_of
from streamkit.parallel.prompts import Task

__all__ = ["Errand", "answer_errand", "errand_of"]


@attrs.frozen(kw_only=True)
class Errand:
    """A prompt on its way: what makes its client, its request and settings, the seconds it may take, its lifeline.

    No two are alike: Dask would ask those that are only once, and take an answer of last hour for one of now.
    """

    client: bytes
    chat: bytes
    seconds: float | None
    rope: Rope
    mark: str = attrs.field(factory=lambda: uuid.uuid4().hex)


def errand_of(task: Task, ctx: Context, rope: Rope) -> Errand:
    """Pack a prompt; `ConfigError` where something of it cannot travel."""
    chat = task.chat
    assert chat is not None  # only such are asked
    tools = tuple(attrs.evolve(tool, execute=None) for tool in chat.request.tools)  # they are offered, never run
    request = attrs.evolve(chat.request, tools=tools)
    client = _packed(_facts_of(chat._client))  # a builder shows its client and settings to nobody else
    return Errand(client=client, chat=_packed((request, chat._settings)), seconds=ctx.remaining(), rope=rope)


def answer_errand(errand: Errand) -> Answer:
    """Ask the prompt, in whatever process this is; blocks to the end of its answer. Its errors are in the answer."""
    with context_of(errand.rope).child(errand.seconds) as ctx:
        try:
            request, settings = pickle.loads(errand.chat)  # noqa: S301 - packed by our own side of the executor
            chat = attrs.evolve(_client(errand.client).chat(request.model), request=request, settings=settings)
        except StreamKitError as error:  # no key here, as a rule
            return failed(error)
        return ask(chat, ctx)


@attrs.frozen
class _Facts:
    """What a client is made of."""

    provider: Provider
    settings: object
    fallback: tuple[tuple[_Facts, str], ...]

    def client(self) -> Client:
        client = Client(self.provider)
        client._defaults = self.settings  # type: ignore[assignment]  # as `_facts_of` found them
        client._fallback = [(facts.client(), name) for facts, name in self.fallback]
        return client


def _facts_of(client: Client) -> _Facts:
    if client._transport._given is not None:
        raise ConfigError("a client with a session of its own cannot be sent to other processes: use threads")
    fallback = tuple((_facts_of(other), name) for other, name in client._fallback)
    return _Facts(client.provider, client._defaults, fallback)


def _packed(value: object) -> bytes:
    try:
        return pickle.dumps(value)
    except StreamKitError:
        raise
    except Exception as e:
        why = printable(repr(e), 300)
        raise ConfigError(f"the prompt cannot be sent to a process ({why}): hooks must be a module's functions") from e


_clients: dict[bytes, Client] = {}
_clients_lock = new_lock()  # guards _clients


def _client(facts: bytes) -> Client:
    """The process's client of these facts; nobody closes it."""
    with _clients_lock:
        if facts not in _clients:
            _clients[facts] = pickle.loads(facts).client()  # noqa: S301 - packed by our own side of the executor
        return _clients[facts]
