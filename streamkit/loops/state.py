"""StreamState: what is kept of an answer that was cut, so that it can go on: later, or in another process."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamkit import lazy_attrs as attrs
from streamkit.errors import ConfigError, RetriesExhausted, StreamKitError, printable
from streamkit.stream import ChatStream
from streamkit.types.response import ChatResponse
from streamkit.types.usage import Usage, count

__all__ = ["StreamState"]

_VERSION = 1
_COUNTS = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "reasoning_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
)


@attrs.define(kw_only=True)
class StreamState:
    """What a resumed stream needs. It is JSON when saved, and has no key in it."""

    partial_content: str = ""
    """The text so far."""
    token_count: int = 0
    """Chunks received; 0 where only a response was at hand, which does not say."""
    response_id: str | None = None
    """The provider's id of the answer, by which a background answer of OpenAI's Responses is found again."""
    sequence_number: int | None = None
    """Where in its events an answer was cut, where the provider numbers them. Kept, and not needed: a background answer
    is read again from its beginning, and what is known of it left out."""
    attempts: int = 0
    """Attempts made so far."""
    usage: Usage = attrs.field(factory=Usage)
    """What these were reported to cost."""
    tool_calls: int = 0
    """Tool calls begun: an answer that has such is not continued, as a call might be made twice."""
    complete: bool = False
    """Whether it is whole: then there is nothing to go on with."""

    @classmethod
    def of(cls, source: ChatResponse | StreamKitError | ChatStream) -> StreamState:
        """Give the state of a partial response, of an error that carries one, or of a stream, live or ended.

        Any thread may ask, at any time; it never blocks.
        """
        if isinstance(source, RetriesExhausted) and isinstance(source.state, StreamState):
            return source.state
        if isinstance(source, StreamKitError):
            return _of_response(source.partial or ChatResponse(), attempts=source.attempts)
        if isinstance(source, ChatStream):
            return _of_response(source.partial, attempts=source.stats.attempts, chunks=source.stats.chunks)
        if isinstance(source, ChatResponse):
            return _of_response(source)
        raise ConfigError(
            f"{type(source).__name__} has no state: give a ChatStream, a ChatResponse or an error, or load a file"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file, whole or not at all: also if the process is killed or the power fails meanwhile.

        Raises:
            ConfigError: the file cannot be written.
        """
        file = Path(path)
        text = json.dumps(_written(self), ensure_ascii=False)
        try:
            _replace(file, text.encode("utf-8"))
        except OSError as e:
            raise ConfigError(f"the state cannot be saved to {str(file)!r}: {e.strerror}") from e

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> StreamState:
        """Read a file that `save` wrote; where there is none, give an empty state.

        Raises:
            ConfigError: the file is damaged, cannot be read, or is of another version.
        """
        file = Path(path)
        try:
            return _read(json.loads(file.read_bytes()))
        except FileNotFoundError:
            return cls()
        except OSError as e:
            raise ConfigError(f"the state cannot be read from {str(file)!r}: {e.strerror}") from e
        except (KeyError, TypeError, ValueError, RecursionError) as e:
            why = printable(str(e) or type(e).__name__, 200)
            raise ConfigError(f"the state in {str(file)!r} is damaged ({why}): remove it to begin anew") from e


def _of_response(response: ChatResponse, *, attempts: int = 1, chunks: int = 0) -> StreamState:
    """The state of a response, which says itself of what attempts it was made where there were several."""
    made = _attempts(response)
    ids = [one["id"] if one["mode"] in _OF_ONE_ANSWER else None for one in made if one["chunks"]]
    return StreamState(
        partial_content=response.text,
        token_count=sum(one["chunks"] for one in made) if made else chunks,
        response_id=(ids[-1] if all(ids) else None) if ids else response.response.id,
        attempts=made[-1]["attempt"] if made else attempts,
        usage=attrs.evolve(response.total_usage, raw={}),
        tool_calls=sum(len(step.tool_calls) for step in response.steps),
        complete=response.complete or bool(response.finish_reason),  # it comes with the last chunk
    )


_OF_ONE_ANSWER = ("first", "earlier", "native")
"""The ways of attempts that all read the same answer of the provider's."""


def _attempts(response: ChatResponse) -> list[Mapping[str, Any]]:
    """What a stream that was continued says of its attempts."""
    attempts = response.response.provider_metadata.get("attempts")
    told = attempts if isinstance(attempts, list) else []
    return [one for one in told if isinstance(one, dict) and {"attempt", "chunks", "id", "mode"} <= one.keys()]


def _written(state: StreamState) -> dict[str, Any]:
    fields = attrs.asdict(state, recurse=False)
    usage = {name: getattr(state.usage, name) for name in (*_COUNTS, "source")}
    return {"version": _VERSION, **fields, "usage": usage}


def _read(written: Any) -> StreamState:
    if not isinstance(written, dict) or written.get("version") != _VERSION:
        raise ValueError(f"it is not of version {_VERSION}")
    return StreamState(
        partial_content=_checked(written, "partial_content", str),
        token_count=_count(written, "token_count"),
        response_id=_checked(written, "response_id", str, type(None)),
        sequence_number=None if written["sequence_number"] is None else _count(written, "sequence_number"),
        attempts=_count(written, "attempts"),
        usage=_usage(written["usage"]),
        tool_calls=_count(written, "tool_calls"),
        complete=_checked({"complete": False, **written}, "complete", bool),  # an older file does not say
    )


def _usage(written: Mapping[str, Any]) -> Usage:
    if written["source"] not in ("reported", "unknown"):
        raise ValueError("the source of usage is neither reported nor unknown")
    counts: dict[str, Any] = {name: _count(written, name) for name in _COUNTS}
    return Usage(**counts, source=written["source"])


def _checked(written: Mapping[str, Any], name: str, *kinds: type) -> Any:
    if not isinstance(written[name], kinds):
        raise ValueError(f"{name} is a {type(written[name]).__name__}")
    return written[name]


def _count(written: Mapping[str, Any], name: str) -> int:
    number = count(written[name])
    if number is None:
        raise ValueError(f"{name} is no count")
    return number


def _replace(file: Path, data: bytes) -> None:
    """Put `data` in a file beside the old one, see it on the disk, and only then put it in the old one's place."""
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".tmp", dir=file.parent)
    try:
        with open(descriptor, "wb") as temporary:
            temporary.write(data)
            temporary.flush()
            os.fsync(temporary.fileno())
        os.replace(name, file)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):  # Ctrl-C may come when it has just been put there
            os.unlink(name)
        raise
