"""Stream an answer that is saved as it comes; run it again to go on where it was cut, or killed.

    python examples/resume.py                      # against a server of its own that cuts the answer: needs no key
    python examples/resume.py story.json openai    # gpt-4o: needs OPENAI_API_KEY; press Ctrl-C, and run it again

The state is kept in a file (story.json, if no other is named), which is removed when the answer is whole.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from streamkit import (
    Cancelled,
    ChatBuilder,
    Client,
    Context,
    StreamKitError,
    StreamState,
    cancel_on_signals,
    stream_with_retry,
)
from streamkit.providers import OpenAI
from streamkit.testing import Close, ProviderServer, chat_answer

STORY = "Once upon a time there was a stream. It was cut in the middle, and it went on as if nothing had happened."


def main(path: str = "story.json", provider: str = "scripted") -> int:
    """Begin the answer, or go on with it; give the exit code."""
    with Context() as ctx, cancel_on_signals(ctx), asked_of(provider) as chat:
        try:
            tell(chat, Path(path), ctx)
        except Cancelled:
            print(f"\n[Cancelled: run it again to go on from {path}]")
            return 130
        except StreamKitError as error:
            print(f"\nStreaming error: {error}\n[Run it again to go on from {path}]", file=sys.stderr)
            return 1
    return 0


def tell(chat: ChatBuilder, path: Path, ctx: Context) -> None:
    """Print the answer, what is known of it first, and save what has come every few chunks."""
    known = StreamState.load(path)
    print(known.partial_content, end="", flush=True)
    stream = stream_with_retry(chat, state=known, ctx=ctx)

    for chunk in stream.ch:
        seam = "[it goes on]" if "resumed" in chunk.metadata else ""
        print(seam + chunk.content, end="", flush=True)
        if chunk.index % 5 == 0:
            StreamState.of(stream).save(path)  # for a process that is killed
    if (error := stream.err.get()) is not None:
        StreamState.of(error).save(path)
        raise error

    path.unlink(missing_ok=True)
    print(f"\n[{len(stream.result().text)} characters, {stream.stats.chunks} chunks in this run]")


@contextlib.contextmanager
def asked_of(provider: str) -> Iterator[ChatBuilder]:
    """Give the question, to OpenAI or to a server on this machine whose answers are cut."""
    if provider == "openai":
        with Client(OpenAI()) as client:
            yield client.chat("gpt-4o").user("Tell me a story of a stream.")
        return
    words = STORY.split(" ")
    pieces = [words[0], *(f" {word}" for word in words[1:])]
    with ProviderServer() as server, Client(OpenAI("sk-none", base_url=server.base_url)) as client:
        server.reply(*chat_answer(*pieces[:8])[:10], Close())  # cut after eight words
        server.reply(*chat_answer(*pieces[6:]), times=None)  # which goes on two words earlier
        yield client.chat("gpt-4o").user("Tell me a story of a stream.")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
