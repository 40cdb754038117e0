"""Conversation: a history that grows with each answer, streamed or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from streamkit import lazy_attrs as attrs
from streamkit.client import ChatBuilder
from streamkit.consumers.text import TextStream
from streamkit.context import Context
from streamkit.errors import ConfigError, require
from streamkit.forks import new_lock
from streamkit.generate import text_stream
from streamkit.history import messages_from_json, messages_to_json
from streamkit.stream import ChatStream
from streamkit.types.messages import Message, ToolCallPart, ToolResultPart, user
from streamkit.types.request import AnyTool
from streamkit.types.response import ChatResponse

__all__ = ["Conversation"]

S = TypeVar("S", ChatStream, TextStream)

OnFailure = Literal["rollback", "keep"]
Trim = Callable[[Sequence[Message]], Sequence[Message]]


class Conversation:
    """A history that grows with each complete answer; `chat` carries model, system prompt and settings.

    One answer at a time: to send while one is under way is a `ConfigError`; `fork()` for more. The history changes when
    an answer's stream settles, before its `final` can be read. Thread-safe.

    Args:
        chat: what every turn is asked with, such as `client.chat("gpt-4o").system("Be brief.")`. Messages in it come
            before the history and are no part of it.
        on_failure: "rollback" forgets a turn whose answer failed or was cancelled; "keep" keeps what had arrived, as a
            message that is not `complete`.
        trim: asked before each turn which of the history, the new message included, to send; what it leaves out stays
            in the history.
    """

    def __init__(self, chat: ChatBuilder, *, on_failure: OnFailure = "rollback", trim: Trim | None = None) -> None:
        if on_failure not in ("rollback", "keep"):
            raise ConfigError(f"on_failure={on_failure!r}: use 'rollback' or 'keep'")
        require("chat", chat, ChatBuilder, 'give a request, such as client.chat("gpt-4o").system("Be brief.")')
        if trim is not None and not callable(trim):
            raise ConfigError(f"trim={trim!r}: give a function that takes the messages and gives those to send")
        self._chat = chat.accumulate(True)  # what is answered enters the history
        self._on_failure = on_failure
        self._trim = trim
        self._messages: tuple[Message, ...] = ()
        self._lock = new_lock()  # guards _busy: it is held for a moment only
        self._busy = False

    @property
    def messages(self) -> tuple[Message, ...]:
        """The history, without the system prompt."""
        return self._messages

    def send(self, text: str | Message, *, ctx: Context | None = None) -> ChatStream:
        """Open the next answer; blocks and raises as `get_stream`."""
        turn = _turn(text)
        return self._open(turn, lambda chat: chat.start(chat.call().batches, ctx, on_end=self._ending(turn)))

    def send_text(
        self, text: str | Message, *, tools: Sequence[AnyTool] = (), max_steps: int = 5, ctx: Context | None = None
    ) -> TextStream:
        """Open the next answer as `stream_text` does, with tools; all messages of all steps enter the history."""
        turn = _turn(text)
        return self._open(
            turn,
            lambda chat: text_stream(chat, tools=tools, max_steps=max_steps, ctx=ctx, on_end=self._ending(turn)),
        )

    def fork(self) -> Conversation:
        """Give another conversation that goes on from here, without an answer that is under way."""
        other = Conversation(self._chat, on_failure=self._on_failure, trim=self._trim)
        other._messages = self._messages
        return other

    def clear(self) -> None:
        """Forget the history; the system prompt stays."""
        with self._lock:
            self._refuse_if_busy()
            self._messages = ()

    def to_json(self) -> str:
        """Write the history as JSON, files and images included; of `chat` nothing is in it."""
        return messages_to_json(self._messages)

    @classmethod
    def from_json(
        cls, chat: ChatBuilder, text: str, *, on_failure: OnFailure = "rollback", trim: Trim | None = None
    ) -> Conversation:
        """Make a conversation with the history that `to_json` wrote; `ConfigError` where it cannot be read."""
        made = cls(chat, on_failure=on_failure, trim=trim)
        made._messages = messages_from_json(text)
        return made

    def __repr__(self) -> str:
        return f"<Conversation messages={len(self._messages)}>"

    # -- a turn

    def _open(self, turn: Message, start: Callable[[ChatBuilder], S]) -> S:
        with self._lock:
            self._refuse_if_busy()
            self._busy = True
        try:
            history: Sequence[Message] = (*self._messages, turn)
            if self._trim is not None:
                history = self._trim(history)
            return start(self._chat.messages(history))
        except BaseException:
            self._busy = False  # nothing was opened, or its end has been noted
            raise

    def _ending(self, turn: Message) -> Callable[[ChatResponse], None]:
        """Note how the turn ended: called once, on the thread that decides it, so it takes no lock and asks nobody."""

        def end(response: ChatResponse) -> None:
            if response.complete:
                self._messages += (turn, *response.messages)
            elif self._on_failure == "keep":
                self._messages += (turn, *_kept(response))
            self._busy = False

        return end

    def _refuse_if_busy(self) -> None:
        if self._busy:
            raise ConfigError("an answer is under way in this conversation: wait for it, cancel it, or fork()")


def _turn(text: str | Message) -> Message:
    return text if isinstance(text, Message) else user(text)


def _kept(response: ChatResponse) -> list[Message]:
    """What a failed answer leaves: without calls that have no result, which no provider takes back."""
    parts = [part for message in response.messages for part in message.content]
    answered = {part.tool_call_id for part in parts if isinstance(part, ToolResultPart)}
    kept: list[Message] = []
    for message in response.messages:
        left = [p for p in message.content if not isinstance(p, ToolCallPart) or p.id in answered]
        if left:
            kept.append(attrs.evolve(message, content=left))
    if kept and kept[-1].role == "assistant":
        kept[-1] = attrs.evolve(kept[-1], complete=False)
    return kept
