"""Prompts: what a batch asks, read one by one and made into requests."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from streamkit import lazy_attrs as attrs
from streamkit.client import ChatBuilder, Client
from streamkit.errors import ConfigError, StreamKitError, printable

__all__ = ["Prompts", "Task"]


@attrs.frozen(kw_only=True)
class Task:
    """A prompt and its request, or why there is none."""

    index: int
    prompt: str
    chat: ChatBuilder | None
    error: StreamKitError | None = None


class Prompts:
    """Reads prompts when they are wanted; for one thread at a time.

    Args:
        client: whom to ask, or the template that each text is added to.
        prompts: texts and builders.
        model: for texts with a `Client`, or instead of the template's.

    Raises:
        ConfigError: one of a collection's prompts cannot be asked. (One that a generator gives fails alone.)
    """

    def __init__(self, client: Client | ChatBuilder, prompts: Iterable[str | ChatBuilder], model: str | None) -> None:
        if not isinstance(client, (Client, ChatBuilder)):
            raise ConfigError(f"stream_parallel asks a Client or a ChatBuilder, not {type(client).__name__}")
        if isinstance(prompts, (str, bytes)):
            raise ConfigError(f"prompts must be a list of prompts, or another iterable, not {type(prompts).__name__}")
        self._template = _template(client, model)
        self.total: int | None = None
        """How many there are, None while that is not known."""
        self.sized = isinstance(prompts, Collection)
        """Whether reading on is quick and comes to an end."""
        if isinstance(prompts, Collection):
            for prompt in prompts:
                self._check(prompt)
            self.total = len(prompts)
        self.read = 0
        """How many have been read."""
        self._rest: Iterator[Any] | None = _iterator(prompts)

    def next(self) -> Task | None:
        """Give the next; None when there is none. Blocks as long as the iterable does.

        An iterable that raises ends with a task that carries the error.
        """
        if self._rest is None:
            return None
        try:
            prompt = next(self._rest)
        except StopIteration:
            self.drop()
            self.total = self.read
            return None
        except BaseException as e:  # SystemExit, too: those who wait for items are not to wait for ever
            self.drop()
            error = StreamKitError(f"the prompts ended in an error after {self.read}: {printable(repr(e), 300)}")
            error.__cause__ = e
            task = Task(index=self.read, prompt="", chat=None, error=error)
        else:
            task = self._task(prompt)
        self.read += 1
        return task

    def drop(self) -> None:
        """Let go of the iterable."""
        self._rest = None

    def _task(self, prompt: Any) -> Task:
        try:
            chat = self._chat(prompt)
        except ConfigError as error:
            return Task(index=self.read, prompt=prompt if isinstance(prompt, str) else "", chat=None, error=error)
        return Task(index=self.read, prompt=prompt if isinstance(prompt, str) else _said(chat), chat=chat)

    def _chat(self, prompt: Any) -> ChatBuilder:
        self._check(prompt)
        return prompt if isinstance(prompt, ChatBuilder) else self._template.user(prompt)

    def _check(self, prompt: Any) -> None:
        if isinstance(prompt, ChatBuilder):
            return
        if not isinstance(prompt, str):
            raise ConfigError(f"a prompt must be a str or a ChatBuilder, not {type(prompt).__name__}")
        if not self._template.request.model:
            raise ConfigError("text prompts need a model: stream_parallel(client, prompts, model='...')")


def _iterator(prompts: Any) -> Iterator[Any]:
    try:
        return iter(prompts)
    except TypeError as e:
        raise ConfigError(f"prompts must be a list of prompts, or another iterable: {e}") from e


def _template(client: Client | ChatBuilder, model: str | None) -> ChatBuilder:
    if isinstance(client, Client):
        return client.chat(model)
    if model is None:
        return client
    return attrs.evolve(client, request=attrs.evolve(client.request, model=model))


def _said(chat: ChatBuilder) -> str:
    """The text of the last user message."""
    return next((message.text for message in reversed(chat.request.messages) if message.role == "user"), "")
