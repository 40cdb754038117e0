"""What type checkers make of batches: checked by mypy, never run."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from streamkit import (
    ChatBuilder,
    ChatResponse,
    Chunk,
    Client,
    Context,
    ParallelItem,
    ParallelProgress,
    RateLimit,
    StreamKitError,
    stream_parallel,
)
from streamkit.providers import OpenAI


def prompts(chat: ChatBuilder) -> Iterator[str | ChatBuilder]:
    """Give both kinds."""
    yield "text"
    yield chat.user("own")


def show(progress: ParallelProgress) -> int:
    """What it gives is nobody's concern."""
    speed: float | None = progress.tokens_per_second
    return progress.done + progress.failed + progress.running + progress.total + int(speed or 0)


def batches() -> object:
    """Run all kinds."""
    client = Client(OpenAI())
    chat = client.chat("gpt-4o")
    with stream_parallel(chat, prompts(chat), on_error="cancel_rest", ctx=Context(5), on_progress=show) as run:
        items: list[ParallelItem] = [*run, *run.as_completed()]
        chunks: list[tuple[int, Chunk]] = list(run.chunks())
        texts: list[str] = run.texts()
        error: StreamKitError | None = run.err()
        responses: list[ChatResponse] = run.result()
    stream_parallel(client, ["a"], model="m", executor=ProcessPoolExecutor(), checkpoint=Path("c"), max_workers=2)
    stream_parallel(client, ("a",), model="m", checkpoint="c", rate_limit=RateLimit(requests_per_minute=1))
    stream_parallel(client, ["a"], on_error="ignore")  # type: ignore[arg-type]
    stream_parallel(client, [1])  # type: ignore[list-item]
    return items, chunks, texts, error, responses, len(run)
