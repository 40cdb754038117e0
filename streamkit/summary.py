"""summarize_with_progress: a document's summary, with a bar that moves."""

from __future__ import annotations

from streamkit.client import ChatBuilder, Client
from streamkit.consumers.collect import collect
from streamkit.consumers.progress import ProgressSink, with_progress
from streamkit.context import Context

__all__ = ["summarize_with_progress"]

_CHARACTERS_A_CHUNK = 20
"""So many characters of a document make one chunk of its summary, roughly."""


def summarize_with_progress(
    client: Client | ChatBuilder,
    document: str,
    progress: ProgressSink,
    *,
    model: str = "gpt-4o",
    system: str = "Summarize the following document concisely.",
    ctx: Context | None = None,
) -> str:
    """Summarize, reporting as `with_progress` does; expects a chunk for each 20 characters of the document. Blocks.

    A builder has a model, and keeps its system text where it has one.

    Raises:
        StreamKitError: with `partial`, whose `text` is what there is of the summary.
    """
    chat = client.chat(model) if isinstance(client, Client) else client
    chat = chat if chat.request.system else chat.system(system)
    stream = chat.user(document).get_stream(ctx)
    with with_progress(stream, len(document) // _CHARACTERS_A_CHUNK, progress) as watched:  # Ctrl-C ends it
        return collect(watched).text
