"""Where an executor's workers are, and how they reach the run."""

from __future__ import annotations

from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from streamkit import StreamKitError
from streamkit.parallel.route import Route, has_closed, route_to, shares_memory


class InterpreterPoolExecutor(ThreadPoolExecutor):
    """As that of Python 3.14 is called."""


class ClientExecutor(Executor):
    """As Dask's: it has a client, which knows its scheduler."""

    def __init__(self, address: str | None) -> None:
        scheduler = None if address is None else SimpleNamespace(address=address)  # it has none once it is closed
        self._client = SimpleNamespace(scheduler=scheduler)


ClientExecutor.__module__ = "distributed.cfexecutor"


def test_what_shares_memory() -> None:
    """Own threads and thread pools, but not those whose threads have an interpreter each."""
    pools = [None, ThreadPoolExecutor(1), InterpreterPoolExecutor(1), Executor()]

    assert [True, True, False, False] == [shares_memory(pool) for pool in pools]


@pytest.mark.parametrize(
    ("executor", "route"),
    [
        (ThreadPoolExecutor(1), None),
        (InterpreterPoolExecutor(1), Route()),
        (ProcessPoolExecutor(1), Route()),
        (Executor(), Route()),
        (ClientExecutor("tcp://127.0.0.1:8786"), Route(sole=False)),
        (ClientExecutor("inproc://192.0.2.2/1/2"), Route(sole=False)),
        (ClientExecutor("tls://127.0.0.1:8786"), Route(sole=False, live=False)),
        (ClientExecutor("wss://127.0.0.1:443/dask"), Route(sole=False, live=False)),
        (ClientExecutor("gateway://127.0.0.1:443/name"), Route(sole=False, live=False)),
        (ClientExecutor("ws://127.0.0.1:80"), Route(sole=False)),
        (ClientExecutor(None), Route()),
    ],
)
def test_the_route_to_an_executor_s_workers(executor: Any, route: Route | None) -> None:
    """Processes of this machine come by the loopback interface; Dask's by the address that reaches their scheduler.

    Where the cluster encrypts, chunks do not go in clear beside it.
    """
    assert route == route_to(executor)


@pytest.mark.parametrize("address", ["tcp://no-such-host.invalid:8786", "tcp://nonsense"])
def test_a_scheduler_that_cannot_be_reached(address: str) -> None:
    """An error of the family says which."""
    with pytest.raises(StreamKitError, match=f"scheduler at {address}"):
        route_to(ClientExecutor(address))


@pytest.mark.parametrize(("status", "closed"), [("running", False), ("connecting", False), ("closed", True)])
def test_a_client_that_has_closed(status: str, closed: bool) -> None:
    """Not one that is looking for its scheduler; and no other executor has."""
    executor = ClientExecutor("tcp://127.0.0.1:8786")
    executor._client.status = status

    assert [closed, False] == [has_closed(executor), has_closed(ThreadPoolExecutor(1))]


def test_a_scheduler_at_an_ipv6_address() -> None:
    """Stands in brackets."""
    try:
        found = route_to(ClientExecutor("tcp://[::1]:8786"))
    except StreamKitError:
        pytest.skip("this machine has no IPv6")

    assert Route(host="::1", sole=False) == found
