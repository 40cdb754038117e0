"""Routes: where the workers of an executor are, and at which address of this machine they can reach the run."""

from __future__ import annotations

import socket
from concurrent.futures import Executor, ThreadPoolExecutor

from streamkit import lazy_attrs as attrs
from streamkit.errors import StreamKitError

__all__ = ["Route", "has_closed", "route_to", "shares_memory"]

_INPROC = "inproc"  # Dask's name for a cluster in the same process
_CLEAR = frozenset({"tcp", "ucx", "ws"})  # its transports that do not encrypt


@attrs.frozen(kw_only=True)
class Route:
    """How workers reach the run.

    `host` is an address of this machine. `sole`: nothing but the lifeline tells them of the run's end. `live`: chunks
    may go along it as they come, in clear.
    """

    host: str = "127.0.0.1"
    sole: bool = True
    live: bool = True


def shares_memory(executor: Executor | None) -> bool:
    """Whether its workers are threads of this process, and of this interpreter."""
    threads = executor is None or isinstance(executor, ThreadPoolExecutor)
    return threads and type(executor).__name__ != "InterpreterPoolExecutor"  # a pool of threads, since Python 3.14


def route_to(executor: Executor) -> Route | None:
    """Give the route from the workers of an executor; None where they are threads of this process.

    Workers of Dask's may be on other machines. They reach this one at the address from which it reaches their
    scheduler; and where their cluster encrypts, or may do so, nothing goes along it in clear. All others are on this
    machine.

    Raises:
        StreamKitError: there is no way to the scheduler.
    """
    if shares_memory(executor):
        return None
    address = _scheduler(executor)
    if address is None:
        return Route()
    scheme, _, rest = address.partition("://")
    if scheme == _INPROC:
        return Route(sole=False)
    host, _, port = rest.partition("/")[0].rpartition(":")
    try:
        own = _own_address(host.strip("[]"), int(port))
    except (OSError, ValueError) as e:
        raise StreamKitError(f"no way from here to Dask's scheduler at {address} was found: {e}") from e
    return Route(host=own, sole=False, live=scheme in _CLEAR)


def has_closed(executor: Executor) -> bool:
    """Whether this is an executor of Dask's whose client has closed, perhaps as the scheduler has died.

    An answer that was on its way to it then is lost, and Dask does not say so.
    """
    return getattr(_client(executor), "status", None) == "closed"


def _scheduler(executor: Executor) -> str | None:
    """The address of Dask's scheduler, if this is an executor of Dask's whose client is open."""
    address: str | None = getattr(getattr(_client(executor), "scheduler", None), "address", None)
    return address


def _client(executor: Executor) -> object:
    """Dask's client, if this is an executor of Dask's; there is no public way."""
    return getattr(executor, "_client", None) if type(executor).__module__.startswith("distributed.") else None


def _own_address(host: str, port: int) -> str:
    """The address of this machine from which a host is reached; nothing is sent."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        own: str = sock.getsockname()[0]
    return own
