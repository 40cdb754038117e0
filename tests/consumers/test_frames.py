"""frames: events, their ids, and what falls due in a silence."""

from __future__ import annotations

import json

import pytest

from streamkit import ConfigError, TextChunk, Usage
from streamkit.consumers.frames import DONE, EventIds, Silence, StreamEvent


def test_what_is_empty_is_left_out() -> None:
    """As in the page's JSON; of the usage there are three counts."""
    usage = Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3, reasoning_tokens=1, source="reported")

    assert '{"type":"token"}' == StreamEvent(type="token").to_json()
    assert '{"type":"error","content":"é \\" \\n"}' == StreamEvent(type="error", content='é " \n').to_json()
    assert {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3} == json.loads(
        StreamEvent(type="done", done=True, usage=usage).to_json()
    )["usage"]


# -- ids


def chunk(event_id: str | None = None) -> TextChunk:
    """Make a chunk, of a durable stream if it has an id."""
    return TextChunk(content="x", index=0, metadata={"event_id": event_id} if event_id else {})


@pytest.mark.parametrize(
    ("ids", "chunks", "expected"),
    [
        (EventIds(), [], ["0"]),
        (EventIds(), [None, None], ["0", "1", "2"]),
        (EventIds(), ["7-1", "7-2"], ["7-1", "7-2", f"7-2{DONE}"]),
        (EventIds(ends=True), [], [f"0{DONE}"]),
        (EventIds(ends=True), [None], ["0", f"1{DONE}"]),
    ],
)
def test_ids(ids: EventIds, chunks: list[str | None], expected: list[str]) -> None:
    """The chunks' own or numbers; the last one says that it is the last where a browser has to be told so."""
    assert expected == [*(ids.of(chunk(id)) for id in chunks), ids.end()]


# -- silence


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    now = [100.0]
    monkeypatch.setattr("streamkit.consumers.frames.time.monotonic", lambda: now[0])
    return now


def test_a_comment_falls_due(clock: list[float]) -> None:
    """So many seconds after the last thing that the browser was told."""
    silence = Silence(15.0)
    clock[0] = 114.0

    assert (1.0, False) == (silence.left(), silence.is_long())

    clock[0] = 115.0

    assert (0.0, True) == (silence.left(), silence.is_long())

    silence.ends()

    assert (15.0, False) == (silence.left(), silence.is_long())


def test_nothing_falls_due(clock: list[float]) -> None:
    """Without comments, and without anybody who tells whether the browser is there."""
    silence = Silence(None)
    clock[0] = 1e9

    assert (None, False, False) == (silence.left(), silence.is_long(), silence.reader_gone())


def test_a_look_falls_due(clock: list[float]) -> None:
    """Twice a second, also while the browser is told something; not more often."""
    looks: list[float] = []
    silence = Silence(None, lambda: bool(looks.append(clock[0])) or len(looks) == 2)

    assert (0.5, False) == (silence.left(), silence.reader_gone())

    clock[0] = 100.5
    silence.ends()

    assert (0.0, False, False) == (silence.left(), silence.reader_gone(), silence.reader_gone())

    clock[0] = 101.0

    assert silence.reader_gone()
    assert [100.5, 101.0] == looks


@pytest.mark.parametrize("keep_alive", [0, -1, float("nan")])
def test_no_time_for_comments(keep_alive: float) -> None:
    """Is refused."""
    with pytest.raises(ConfigError, match="keep_alive"):
        Silence(keep_alive)
