"""What the threads of a run share, without threads of its own: the test is the only worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamkit import Cancelled, Client, Context, ParallelProgress, StreamKitError
from streamkit.parallel.answer import Answer, failed
from streamkit.parallel.batch import Batch, item_of
from streamkit.parallel.checkpoint import Checkpoint
from streamkit.parallel.prompts import Prompts, Task
from streamkit.parallel.rate_limit import Pacer
from streamkit.providers import OpenAI
from streamkit.types import ChatResponse
from streamkit.watchdog import watchdog

CHAT = Client(OpenAI(api_key="test")).chat("gpt-4o")


def batch_of(prompts: Any, **settings: Any) -> Batch:
    """Make a batch, begun."""
    defaults = {
        "ctx": None,
        "on_error": "collect",
        "pacer": Pacer(),
        "checkpoint": None,
        "on_progress": None,
    }
    batch = Batch(Prompts(CHAT, prompts, None), **{**defaults, **settings})
    batch.start()
    return batch


def taken(batch: Batch) -> Task:
    """Take the next prompt."""
    task = batch.take()
    assert task is not None
    return task


def whole(text: str) -> Answer:
    """Make a whole answer."""
    return Answer(response=ChatResponse(text=text, complete=True), error=None, elapsed=0.1)


@pytest.fixture(autouse=True)
def nothing_watched() -> Iterator[None]:
    """Every batch ends, and then the watchdog has forgotten it."""
    yield

    assert watchdog.idle


def test_it_ends_with_the_last_item() -> None:
    """Not before all prompts are read and settled."""
    batch = batch_of(["a", "b"])
    first, second = taken(batch), taken(batch)
    batch.settle(item_of(second, whole("B")))
    nothing_more = batch.take()
    before = batch.items.closed
    batch.settle(item_of(first, whole("A")))

    assert None is nothing_more
    assert (False, True) == (before, batch.items.closed)
    assert ["B", "A"] == [item.text for item in batch.items.log or ()]


def test_the_first_outcome_of_a_prompt_counts() -> None:
    """What comes back after it was given up is dropped."""
    batch = batch_of(["a"])
    task = taken(batch)
    batch.settle(item_of(task, failed(Cancelled("cancelled"))))
    batch.settle(item_of(task, whole("A")))
    batch.take()

    assert [""] == [item.text for item in batch.items.log or ()]


def test_a_late_answer_still_enters_the_checkpoint(tmp_path: Path) -> None:
    """It is paid for, though its item says that it was cancelled."""
    checkpoint = Checkpoint(tmp_path / "c")
    batch = batch_of(["a", "b"], checkpoint=checkpoint)
    first, second = taken(batch), taken(batch)
    batch.settle(item_of(first, failed(Cancelled("cancelled"))))
    batch.settle(item_of(first, whole("A")))
    batch.settle(item_of(second, failed(Cancelled("cancelled"))))
    batch.take()
    again = batch_of(["a", "b"], checkpoint=Checkpoint(tmp_path / "c"))
    left = taken(again)
    again.settle(item_of(left, failed(Cancelled("cancelled"))))
    again.take()

    assert ["", ""] == [item.text for item in batch.items.log or ()]
    assert ["A", ""] == [item.text for item in again.items.log or ()]


def test_the_first_error_in_time_is_the_failure() -> None:
    """Whatever its position; with `cancel_rest` it ends the context with the position in the reason."""
    batch = batch_of(["a", "b", "c"], on_error="cancel_rest")
    first, second = taken(batch), taken(batch)
    error = StreamKitError("no")
    batch.settle(item_of(second, failed(error)))
    batch.settle(item_of(first, failed(StreamKitError("neither"))))
    batch.take()

    assert error is batch.failure
    assert "prompt 1 failed" in str(batch.ctx.error())
    assert [StreamKitError, StreamKitError, Cancelled] == [type(item.error) for item in batch.items.log or ()]


def test_without_prompts_it_ends_at_once() -> None:
    """The first look finds nothing."""
    batch = batch_of([])

    assert None is batch.take()
    assert batch.items.closed


def test_a_cancelled_generator_is_read_no_further() -> None:
    """It may be endless; a prompt that it gives too late is dropped, and the generator closed."""
    ctx = Context()
    closed: list[str] = []

    def endless() -> Iterator[str]:
        try:
            yield "a"
            ctx.cancel()
            while True:
                yield "b"
        finally:
            closed.append("closed")

    batch = batch_of(endless(), ctx=ctx)
    first = taken(batch)
    nothing_more = batch.take()
    batch.settle(item_of(first, failed(Cancelled("cancelled"))))

    assert None is nothing_more
    assert batch.items.closed
    assert 1 == len(batch.items.log or ())
    assert ["closed"] == closed


def test_giving_up_ends_it() -> None:
    """Where no thread could be started."""
    batch = batch_of(["a"])
    batch.give_up()

    assert batch.items.closed


def test_the_end_is_told_after_all_progress() -> None:
    """Whoever has waited for the run has been told everything."""
    told: list[tuple[ParallelProgress, bool]] = []
    batch = batch_of(["a"], on_progress=lambda progress: told.append((progress, batch.items.closed)))
    batch.settle(item_of(taken(batch), whole("A")))
    batch.take()

    assert [(0, 1, False), (1, 0, False)] == [(p.done, p.running, closed) for p, closed in told]
    assert batch.items.closed


def test_an_internal_error_is_an_item() -> None:
    """Nobody waits for ever for a prompt whose worker has failed."""

    class Broken:
        def admit(self, tokens: float, ctx: Context) -> None:
            raise SystemExit

    batch = batch_of(["a"], pacer=Broken())
    item = batch.ask(taken(batch))
    batch.settle(item)
    batch.take()

    assert StreamKitError is type(item.error)
    assert isinstance(item.error and item.error.__cause__, SystemExit)


def test_a_bug_before_asking_is_an_item_too() -> None:
    """The worker goes on with the next prompt."""

    class Broken:
        def take(self, index: int, digest: str) -> None:
            raise LookupError("bug") if index == 0 else StopIteration

        def close(self) -> None: ...

    batch = batch_of(["a", "b"], checkpoint=Broken())
    nothing = batch.take()

    assert None is nothing
    assert ["LookupError('bug')", "StopIteration()"] == [
        repr(item.error and item.error.__cause__) for item in batch.items.log or ()
    ]


def test_room_is_given_when_something_ends() -> None:
    """And refused when all has."""
    batch = batch_of(["a"])
    empty = batch.has_room(1)
    batch.settle(item_of(taken(batch), whole("A")))
    freed = batch.has_room(1)
    batch.take()

    assert (True, True, False) == (empty, freed, batch.has_room(1))
