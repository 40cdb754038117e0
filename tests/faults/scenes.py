"""A generation with tools that is held somewhere: its server, what happened in it, and the moment to wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from streamkit import Client, Context, Hooks, TextStream, Tool, stream_text
from streamkit.testing import ProviderServer, Script, Stall, Status, chat_answer

__all__ = ["CITY", "FREE", "PATIENCE", "TEXT", "Scene", "asking", "calls", "ended", "opened", "quick"]

FREE = 1.0
"""Seconds in which a consumer must be free; a few milliseconds are usual."""
PATIENCE = 10.0
"""Seconds after which a test gives up hope."""

CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
TEXT = "Let me see."


class Scene:
    """A server, what happened in a generation, and the moment that a test waits for."""

    def __init__(self, server: ProviderServer) -> None:
        self.server = server
        self.reached = threading.Event()
        self.free = threading.Event()  # lets go of everything that the test holds
        self.ran: list[str] = []  # the tools that began, in order
        self.told: list[tuple[str, Any]] = []  # what observers heard
        self.missing = 1  # marks until the moment is there
        self.moment: Callable[[Any], bool] = lambda chunk: False
        self._lock = threading.Lock()

    def mark(self) -> None:
        """One more of the things that make up the moment has happened."""
        with self._lock:
            self.missing -= 1
            if self.missing == 0:
                self.reached.set()

    def hold(self) -> None:
        """Be held here, whatever ends meanwhile."""
        self.mark()
        assert self.free.wait(PATIENCE)

    def hooks(self) -> Hooks:
        """Observers that note all they hear."""

        def note(name: str) -> Callable[[Any], object]:
            return lambda value: self.told.append((name, value))

        def chunk(chunk: Any) -> None:
            if self.moment(chunk):
                self.mark()

        names = [field.name for field in attrs.fields(Hooks) if field.name != "on_chunk"]
        return Hooks(on_chunk=chunk, **{name: note(name) for name in names})

    def heard(self, name: str) -> list[Any]:
        """What the observers of this name heard."""
        return [value for told, value in self.told if told == name]

    def tool(self, name: str, work: Callable[[Context], object]) -> Tool:
        """A tool that notes that it began, and is given its context."""

        def execute(ctx: Context, city: str = "") -> object:
            self.ran.append(name)
            return work(ctx)

        return Tool(name=name, parameters=CITY, execute=execute)

    def deaf(self, ctx: Context) -> str:
        """Hear nothing."""
        self.hold()
        return "deaf"

    def heeding(self, ctx: Context) -> str:
        """End with its context."""
        self.mark()
        assert ctx.wait(PATIENCE)
        return "heeded"

    def start(self, client: Client, **options: Any) -> TextStream:
        """Start the generation."""
        return stream_text(client.model("gpt-4o"), prompt="Hello", **{"hooks": self.hooks(), **options})


def ended(scene: Scene) -> None:
    """Let go of all that is held, and wait until no thread of the generation is left."""
    scene.free.set()
    for thread in threading.enumerate():
        if thread.name.startswith(("streamkit-openai", "streamkit-tool", "streamkit-resting")):
            thread.join(PATIENCE)
            assert not thread.is_alive(), thread.name


def calls(*names: str) -> tuple[tuple[str, Mapping[str, str]], ...]:
    """Calls of tools."""
    return tuple((name, {"city": "Paris"}) for name in names)


def asking(*names: str) -> tuple[Any, ...]:
    """A first step: a text, and calls of tools."""
    return chat_answer(TEXT, tool_calls=calls(*names))


def quick(ctx: Context) -> str:
    """Answer at once."""
    return "24 degrees"


def opened(*script: Script) -> tuple[Script, ...]:
    """An answer that falls silent after these."""
    return (Status(), *script, Stall())
