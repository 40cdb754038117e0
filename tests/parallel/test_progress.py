"""The counts of a batch, on a clock of the test's own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from streamkit import ChatResponse, ParallelItem, ParallelProgress, ServerError, Usage
from streamkit.parallel.progress import Tally


def item(index: int, tokens: int | None, **fields: Any) -> ParallelItem:
    """Make an outcome that took so many tokens."""
    usage = Usage(completion_tokens=tokens or 0)
    response = ChatResponse(total_usage=usage) if tokens is not None else None
    return ParallelItem(
        **{"index": index, "prompt": "", "text": "", "response": response, "error": None, "elapsed": 0.0, **fields}
    )


def stream(chunks: int) -> Any:
    """Make what is known of a running stream."""
    return SimpleNamespace(stats=SimpleNamespace(chunks=chunks, elapsed=0.0))


def test_counts_and_speed() -> None:
    """Tokens of what has ended, chunks of what runs, over the time since the first request."""
    now = [10.0]
    tally = Tally(lambda: now[0])
    before = tally.progress(3, 0)
    now[0] = 12.0
    tally.open(0, stream(30))
    tally.open(1, stream(30))
    now[0] = 22.0
    tally.end(item(0, 70))
    running = tally.progress(3, 1)
    tally.end(item(1, None, error=ServerError("no")))
    after = tally.progress(3, 0)

    assert ParallelProgress(total=3, done=0, failed=0, running=0, tokens_per_second=None, elapsed=0.0) == before
    assert ParallelProgress(total=3, done=1, failed=0, running=1, tokens_per_second=10.0, elapsed=12.0) == running
    assert ParallelProgress(total=3, done=2, failed=1, running=0, tokens_per_second=7.0, elapsed=12.0) == after


def test_an_answer_without_usage_counts_its_chunks() -> None:
    """As it did while it ran."""
    now = [0.0]
    tally = Tally(lambda: now[0])
    tally.open(0, stream(20))
    tally.end(item(0, 0))
    now[0] = 2.0

    assert 10.0 == tally.progress(1, 0).tokens_per_second


def test_answers_of_other_processes_count() -> None:
    """Of them only the outcome is seen."""
    now = [10.0]
    tally = Tally(lambda: now[0])
    tally.end(item(0, 50, elapsed=4.0))
    now[0] = 11.0

    assert 10.0 == tally.progress(1, 0).tokens_per_second


def test_answers_from_a_checkpoint_are_no_speed() -> None:
    """They are done, but took no time."""
    now = [0.0]
    tally = Tally(lambda: now[0])
    tally.end(item(0, 1000, from_checkpoint=True))
    now[0] = 1.0
    progress = tally.progress(1, 0)

    assert (1, None) == (progress.done, progress.tokens_per_second)
