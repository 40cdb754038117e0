"""Errands: prompts that are asked in other processes.

What travels are facts: the request, the settings, and the client without its key, which is looked up where the errand
arrives. A process keeps the clients that it has made of such facts, so that their connections serve again.
"""

from __future__ import annotations

import pickle
import uuid

import attrs

from streamkit.client import Client
from streamkit.context import Context
from streamkit.errors import ConfigError, StreamKitError, printable
from streamkit.forks import new_lock
from streamkit.parallel.answer import Answer, ask, failed
from streamkit.parallel.lifeline import Rope, context_of
from streamkit.parallel.prompts import Task

__all__ = ["Errand", "answer_errand", "errand_of"]


@attrs.frozen(kw_only=True)
class Errand:
    """A prompt on its way: its client, its request and settings (pickled), the seconds it may take, its lifeline.

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
    asked = _packed((request, chat.settings))
    return Errand(client=_packed(chat.client), chat=asked, seconds=ctx.remaining(), rope=rope)


def answer_errand(errand: Errand) -> Answer:
    """Ask the prompt, in whatever process this is; blocks to the end of its answer. Its errors are in the answer."""
    with context_of(errand.rope).child(errand.seconds) as ctx:
        try:
            request, settings = pickle.loads(errand.chat)  # noqa: S301 - packed by our own side of the executor
            chat = attrs.evolve(_client(errand.client).chat(request.model), request=request, settings=settings)
        except StreamKitError as error:  # no key here, as a rule
            return failed(error)
        return ask(chat, ctx)


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


def _client(packed: bytes) -> Client:
    """The process's client of these facts; nobody closes it."""
    with _clients_lock:
        if packed not in _clients:
            _clients[packed] = pickle.loads(packed)  # noqa: S301 - packed by our own side of the executor
        return _clients[packed]
