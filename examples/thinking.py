"""Watch Claude think, then answer: the thinking comes first, and what comes after it is the answer.

python examples/thinking.py         # Claude: needs ANTHROPIC_API_KEY
"""

from __future__ import annotations

import sys

from streamkit import Client, StreamKitError
from streamkit.providers import Anthropic

PROMPT = "Solve this step by step: if a train leaves at 14:10 and takes 3 hours and 55 minutes, when does it arrive?"


def main() -> int:
    """Stream one answer with its thinking; give the exit code."""
    try:
        with Client(Anthropic()) as client:
            think_and_answer(client)
    except StreamKitError as error:
        print(f"\nStreaming error: {error}", file=sys.stderr)
        return 1
    return 0


def think_and_answer(client: Client) -> None:
    """Print the thinking, then the answer, then how much of it was thinking."""
    chat = client.chat("claude-sonnet-4-20250514").user(PROMPT)
    stream = chat.extended_thinking(True).thinking_budget(5000).get_stream()

    print("=== Thinking ===")
    thinking = True
    for chunk in stream.ch:
        if thinking and chunk.type == "text":
            print("\n\n=== Response ===")
            thinking = False
        print(chunk.content, end="", flush=True)
    print()

    final = stream.result()
    thought, said = len(final.thinking), len(final.text)
    print(f"\n[{thought} characters of thinking, {said} of text, {final.usage.total_tokens} tokens]")


if __name__ == "__main__":
    sys.exit(main())
