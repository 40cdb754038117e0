"""What type checkers make of `stream_object` and its kin: checked by mypy, never run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

from streamkit import ToolCallChunk, generate_object, generate_text, stream_object, stream_text


@dataclass
class Point:
    """A point."""

    x: int


class Place(TypedDict):
    """A place."""

    city: str


def objects() -> None:
    """An object is of the type that was asked for; of what is no type to a checker, anything may come."""
    point: Point = generate_object("openai:gpt-4o", Point, prompt="Where?").object
    points: list[Point] = generate_object("openai:gpt-4o", list[Point], prompt="Where?").object
    place: Place = generate_object("openai:gpt-4o", Place, prompt="Where?").object
    choice: str = generate_object("openai:gpt-4o", Literal["yes", "no"], prompt="Well?").object
    either: int | None = generate_object("openai:gpt-4o", int | None, prompt="How many?").object
    anything: int = generate_object("openai:gpt-4o", {"type": "integer"}, prompt="How many?").object
    for partial in stream_object("openai:gpt-4o", Point, prompt="Where?", temperature=0).partial_object_stream():
        other: Point = partial
    wrong: Place = generate_object("openai:gpt-4o", Point, prompt="Where?").object  # type: ignore[assignment]
    del point, points, place, choice, either, anything, other, wrong


def arguments() -> None:
    """The usual ones are checked."""
    generate_text("openai:gpt-4o", prompt=5)  # type: ignore[arg-type]
    stream_object("openai:gpt-4o", Point, prompt=5)  # type: ignore[call-overload]


def chunks() -> None:
    """A chunk's type tells its class."""
    for chunk in stream_text("openai:gpt-4o", prompt="Hello").stream():
        if chunk.type == "tool_call":
            call: ToolCallChunk = chunk
            del call
