"""What Dask knows of a task: here told by a worker that is none of Dask's."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from streamkit import Context
from streamkit.parallel import dask_task
from streamkit.parallel.dask_task import heeding_dask


def worker_with(**states: str) -> Any:
    """A worker with tasks in these states; it runs the one called mine."""
    tasks = {key: SimpleNamespace(state=state) for key, state in states.items()}
    return SimpleNamespace(state=SimpleNamespace(tasks=tasks), get_current_task=lambda: "mine")


def running_on(monkeypatch: pytest.MonkeyPatch, worker: Any) -> None:
    """Have the thread be one of this worker's."""
    monkeypatch.setattr(dask_task, "LOOK", 0.01)
    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(get_worker=lambda: worker))  # type: ignore[arg-type]


@pytest.mark.parametrize("state", ["cancelled", "released"])
def test_a_task_that_is_called_back_ends(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    """Soon after its worker was told."""
    worker = worker_with(mine="executing")
    running_on(monkeypatch, worker)
    with Context() as ctx, heeding_dask(ctx):
        alive = not ctx.wait(0.05)
        worker.state.tasks["mine"].state = state

        assert ctx.wait(5)
    assert alive


def test_a_task_that_is_forgotten_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that the worker does not know any more."""
    running_on(monkeypatch, worker_with(other="executing"))
    with Context() as ctx, heeding_dask(ctx):
        assert ctx.wait(5)


@pytest.mark.parametrize("state", ["executing", "long-running", "resumed"])
def test_a_task_that_is_wanted_goes_on(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    """Also one that has left its thread to others, and one that was called back and is wanted again."""
    running_on(monkeypatch, worker_with(mine=state))
    with Context() as ctx, heeding_dask(ctx):
        assert not ctx.wait(0.05)


def test_elsewhere_nothing_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Dask, and on a thread that is none of a worker's."""

    def on_no_worker() -> None:
        raise ValueError("No worker found")

    for distributed in (None, SimpleNamespace(get_worker=on_no_worker)):
        monkeypatch.setitem(sys.modules, "distributed", distributed)  # type: ignore[arg-type]
        with Context() as ctx, heeding_dask(ctx):
            assert not ctx.cancelled
