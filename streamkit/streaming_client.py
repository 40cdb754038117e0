"""StreamingClient: a client and a model, with a method for each way to stream that most programs need."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import NoneType
from typing import TYPE_CHECKING

from streamkit.client import ChatBuilder, Client
from streamkit.consumers.handler import AnyHandler, prefixed, stream_with_handler
from streamkit.context import Context
from streamkit.errors import ConfigError, StreamKitError, require
from streamkit.stream import ChatStream
from streamkit.terminal import harmless, is_terminal, put
from streamkit.types.response import ChatResponse

if TYPE_CHECKING:
    from streamkit.parallel import ParallelRun

__all__ = ["StreamingClient"]

_WRITER = "You are a helpful technical writer. Provide clear, detailed explanations."
_ASSISTANT = "You are a helpful assistant."
_TEMPERATURE = 0.7


class StreamingClient:
    """A client with a default model. Thread-safe; `client.close()` closes the client."""

    client: Client
    model: str

    def __init__(self, client: Client | None = None, model: str = "gpt-4o") -> None:
        """Take a client, or make one of OpenAI, whose key is in the keystore or the environment.

        Raises:
            ConfigError: No client was given, and there is no key; the message says what to set.
        """
        require("client", client, (Client, NoneType), "give a Client, and the model's name second")
        self.client = _openai() if client is None else client
        self.model = model

    def stream_to_console(self, prompt: str, *, system: str | None = None, ctx: Context | None = None) -> ChatResponse:
        """Print an answer as it comes, then its tokens: "[Tokens: 45 prompt, 523 completion, 568 total]".

        Blocks to the end. Without `system` the model is asked to be a technical writer. Thinking is not printed.

        Raises:
            StreamKitError: Of the class that the failure has, with its attributes; the message begins with "starting
                stream: " or "streaming error: ", and the `__cause__` is the error without that.
        """
        try:
            stream = self._chat(system or _WRITER, prompt).get_stream(ctx)
        except StreamKitError as error:
            raise prefixed("starting stream", error) from error
        try:
            return _print(stream)
        except StreamKitError as error:
            raise prefixed("streaming error", error) from error
        except BaseException:
            stream.cancel("stream_to_console was interrupted")
            raise

    def stream_with_handler(
        self, prompt: str, handler: AnyHandler, *, system: str | None = None, ctx: Context | None = None
    ) -> ChatResponse:
        """Run an answer through a handler, as the function of this name. Blocks to the end; raises."""
        return stream_with_handler(self._chat(system or _ASSISTANT, prompt), handler, ctx=ctx)

    def stream_parallel(
        self,
        prompts: Sequence[str],
        *,
        system: str = "Be concise.",
        max_tokens: int = 200,
        max_workers: int = 8,
        ctx: Context | None = None,
    ) -> ParallelRun:
        """Stream an answer to each prompt side by side, as the function of this name. Returns at once."""
        from streamkit.parallel import stream_parallel  # here, as most programs stream one answer at a time

        chat = self.client.chat(self.model).system(system).max_tokens(max_tokens)
        return stream_parallel(chat, prompts, max_workers=max_workers, ctx=ctx)

    def stream_with_thinking(
        self, prompt: str, *, thinking_budget: int = 5000, ctx: Context | None = None
    ) -> ChatStream:
        """Open an answer that the model thinks about first, with so many tokens at most.

        Blocks until it is open; raises errors up to there. Its chunks are of type "thinking" first, then "text".
        """
        chat = self.client.chat(self.model).system(_ASSISTANT).user(prompt)
        return chat.extended_thinking().thinking_budget(thinking_budget).get_stream(ctx)

    def _chat(self, system: str, prompt: str) -> ChatBuilder:
        return self.client.chat(self.model).system(system).user(prompt).temperature(_TEMPERATURE)


def _openai() -> Client:
    from streamkit.providers import OpenAI  # here, as other programs give a client of their own

    try:
        return Client(OpenAI.auto())
    except ConfigError as error:
        told = "openai not configured: "
        if str(error).startswith(told):
            raise
        raise ConfigError(f"{told}{error}") from error


def _print(stream: ChatStream) -> ChatResponse:
    file = sys.stdout
    shown = harmless if is_terminal(file) else str
    try:
        for chunk in stream.ch:
            if chunk.type == "text":
                put(file, shown(chunk.content))
    finally:
        put(file, "\n")
    error = stream.reading_error()
    if error is not None:
        raise error.with_traceback(None)
    response = stream.result()
    usage = response.total_usage
    counts = f"{usage.prompt_tokens} prompt, {usage.completion_tokens} completion, {usage.total_tokens} total"
    put(file, f"\n[Tokens: {counts if usage.source == 'reported' else 'not reported'}]\n")
    return response
