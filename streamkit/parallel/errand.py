"""Errands: prompts that are asked in other processes, here or on other machines.

What travels are facts: the request, the settings, and the client without its key, which is looked up where the errand
arrives. A process keeps the clients that it has made of such facts, so that their connections serve again.
"""

from __future__ import annotations

import pickle

from streamkit import __version__
from streamkit import lazy_attrs as attrs
from streamkit.client import ChatBuilder, Client
from streamkit.context import Context
from streamkit.errors import ConfigError, StreamKitError, printable
from streamkit.forks import new_lock
from streamkit.parallel.answer import Answer, ask, failed
from streamkit.parallel.chunk_feed import Tape
from streamkit.parallel.credentials import refuse_credentials, refuse_keys
from streamkit.parallel.dask_task import heeding_dask
from streamkit.parallel.prompts import Task
from streamkit.parallel.rope import Grip, Rope

__all__ = ["Call", "Errand", "answer_errand", "errand_of"]


@attrs.frozen(kw_only=True)
class Errand:
    """A prompt on its way; it pickles, and no two are alike, as their ropes' marks differ.

    (Dask would ask those that are alike only once, and take an answer of last hour for one of now.) `client` and
    `chat`, which has request and settings, are pickled. `seconds` are those that are left. `live`: chunks may be sent
    as they come.
    """

    client: bytes
    chat: bytes
    seconds: float | None
    rope: Rope
    live: bool = True


@attrs.frozen
class Call:
    """Pickled, it is an errand that `pickle.loads` answers, with its `Answer`, in whatever process that is called.

    A function of ours cannot be what an executor is given: where Dask's workers have no streamkit, they die of reading
    the name, one after the other, and its scheduler has to have it, too. This way the task alone fails (ImportError).
    """

    errand: Errand

    def __reduce__(self) -> tuple[object, tuple[str, bytes]]:
        return answer_errand, (__version__, pickle.dumps(self.errand))


def errand_of(task: Task, ctx: Context, rope: Rope, *, live: bool = True) -> Errand:
    """Pack a prompt; `ConfigError` where something of it cannot travel, or would take a key along."""
    chat = task.chat
    assert chat is not None  # only such are asked
    refuse_credentials(chat)
    tools = tuple(attrs.evolve(tool, execute=None) for tool in chat.request.tools)  # they are offered, never run
    request = attrs.evolve(chat.request, tools=tools)
    client, asked = _packed(chat.client), _packed((request, chat.settings))
    refuse_keys(chat.client, client + asked)
    return Errand(client=client, chat=asked, seconds=ctx.remaining(), rope=rope, live=live)


def answer_errand(version: str, errand: bytes) -> Answer:
    """Ask the pickled prompt, in whatever process this is; blocks to the end of its answer.

    Its errors are in the answer, also where this is another version of streamkit than the one that has sent it.
    """
    if version != __version__:
        problem = f"the worker has streamkit {__version__}, the program {version}: install the same on both"
        return failed(ConfigError(problem))
    try:
        unpacked: Errand = pickle.loads(errand)  # noqa: S301 - packed by our own side of the executor
        chat = _chat(unpacked)
    except StreamKitError as error:  # no key here, as a rule
        return failed(error)
    except Exception as e:
        why = printable(repr(e), 300)
        return failed(
            ConfigError(f"the worker cannot load the prompt ({why}): its hooks must be of a module that is there, too")
        )
    with Context(unpacked.seconds) as ctx, heeding_dask(ctx):
        return _answered(chat, unpacked, ctx)


def _chat(errand: Errand) -> ChatBuilder:
    request, settings = pickle.loads(errand.chat)  # noqa: S301 - packed by our own side of the executor
    return attrs.evolve(_client(errand.client).chat(request.model), request=request, settings=settings)


def _answered(chat: ChatBuilder, errand: Errand, ctx: Context) -> Answer:
    tape = Tape(0, ())
    with Grip(errand.rope, ctx, tape, live=errand.live) as grip:
        answer = ask(chat, ctx, chunk=tape.add)
        if answer.response is not None:
            tape.complete(answer.response.text)
        delivered = grip.deliver()
    return attrs.evolve(answer, chunks=() if delivered else tape.shortened(), attempt=grip.attempt)


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
