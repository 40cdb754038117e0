"""smooth: the same text at an even pace; nothing lost, nothing mixed up, nothing held back for long."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import Cancelled, Chunk, ConfigError, Context, StreamTruncated, ToolCallStartChunk
from streamkit.consumers.smooth import _UNITS, Pace, smooth
from tests.feeding import Feed, finish, text, thinking
from tests.loopback import took
from tests.strategies import PROPERTY

Timed = list[tuple[float, str]]


@pytest.fixture
def feed() -> Iterator[Feed]:
    """What the test feeds."""
    with Feed() as feed:
        yield feed


def paced(arrivals: Sequence[tuple[float, str]], until: float = 10.0, **settings: Any) -> Timed:
    """When which text goes, of texts that come at these times; as a thread that waits as `wait` says would do."""
    by = settings.pop("by", None)
    pace = Pace(
        settings.pop("interval", 0.05),
        units=_UNITS[by] if isinstance(by, str) else by,
        max_delay=settings.pop("max_delay", 0.5),
    )
    shown: Timed = []
    now, coming = 0.0, [*arrivals]
    while now < until:
        come = [text(said) for at, said in coming if at <= now]
        coming = coming[len(come) :]
        shown += [(round(now, 3), chunk.content) for chunk in pace.take(come, now)]
        wait = pace.wait(now)
        times = [at for at, _ in coming[:1]] + ([] if wait is None else [now + max(wait, 1e-6)])
        if not times:
            break
        now = min(times)
    return [*shown, *((round(now, 3), chunk.content) for chunk in pace.flush())]


def gaps(shown: Timed) -> list[float]:
    """The seconds between them."""
    times = [at for at, _ in shown]
    return [round(b - a, 3) for a, b in itertools.pairwise(times)]


# -- the pace


def test_all_that_has_come_at_each_interval() -> None:
    """Without a unit, one chunk an interval, with all there is; the first at once."""
    shown = paced([(i * 0.01, str(i % 10)) for i in range(20)])

    assert ["0", "12345", "67890", "12345", "6789"] == [said for _, said in shown]
    assert {0.05} == set(gaps(shown))


def test_after_a_silence_text_goes_at_once() -> None:
    """What comes after more than an interval is not held back."""
    assert [(0.0, "a"), (1.0, "b")] == paced([(0.0, "a"), (1.0, "b")])


@pytest.mark.parametrize(
    ("by", "pieces", "units"),
    [
        ("char", ["héllo"], ["h", "é", "l", "l", "o"]),
        ("char", ["e\u0301👩\u200d👩\u200d👧👍🏽\r\n"], ["e\u0301", "👩\u200d👩\u200d👧", "👍🏽", "\r\n"]),
        ("word", ["Hel", "lo wor", "ld, how"], ["Hello ", "world, ", "how"]),
        ("word", ["  a  b\n\nc "], ["  a  ", "b\n\n", "c "]),
        ("word", ["你好 world 再见"], ["你", "好", " world ", "再", "见"]),
        ("line", ["a\nb", "c\n\nd"], ["a\n", "bc\n", "\n", "d"]),
        (re.compile(r"[.!?]\s+"), ["One. Tw", "o! Three"], ["One. ", "Two! ", "Three"]),
        ("word", ["x" * 65], ["x" * 64, "x"]),
        ("line", ["x" * 5000], ["x" * 4096, "x" * 904]),
        (re.compile(r"\d*"), ["x" * 5000], ["x" * 4096, "x" * 904]),  # it finds nothing, everywhere
    ],
)
def test_whole_units(by: Any, pieces: list[str], units: list[str]) -> None:
    """However the text was cut; the last one is as whole as it gets."""
    assert units == [said for _, said in paced([(0.001 * i, piece) for i, piece in enumerate(pieces)], by=by)]


def test_units_are_an_interval_apart() -> None:
    """Where that is fast enough."""
    assert {0.05} == set(gaps(paced([(0.0, "a b c d e ")], by="word")))


def test_a_burst_is_spread_evenly() -> None:
    """As fast as it takes for none to wait longer than `max_delay`."""
    shown = paced([(0.0, "a " * 26)], by="word")

    assert 26 == len(shown)
    assert 0.48 <= shown[-1][0] <= 0.5
    assert max(gaps(shown)) - min(gaps(shown)) < 0.005


def test_a_flood_goes_in_larger_pieces() -> None:
    """No display shows more than a hundred a second, so they hold more units each."""
    shown = paced([(0.0, "a " * 5000)], by="word")

    assert "a " * 5000 == "".join(said for _, said in shown)
    assert 40 <= len(shown) <= 51
    assert shown[-1][0] <= 0.5
    assert all(said.endswith(" ") for _, said in shown)


@pytest.mark.parametrize("by", ["char", "word"])
def test_a_steady_stream_never_falls_behind(by: str) -> None:
    """Each piece goes within `max_delay` of its coming, also where more comes than one an interval."""
    arrivals = [(i * 0.01, "ab ") for i in range(500)]
    shown = paced(arrivals, by=by)
    come = went = 0.0
    sent, said = 0, 0
    for at, piece in shown:
        said += len(piece)
        sent = sum(len(x) for t, x in arrivals if t <= at - 0.5)
        come, went = max(come, at), at
        assert said >= sent, at

    assert 0.0 < come == went
    assert said == 1500


def test_what_never_becomes_whole_goes_when_nothing_more_comes() -> None:
    """A provider that pauses in the middle of a word does not hide what it said."""
    assert [(0.0, "all "), (0.5, "thi"), (3.0, "ngs ")] == paced([(0.0, "all thi"), (3.0, "ngs ")], by="word")


@PROPERTY
@given(
    st.lists(st.tuples(st.floats(0, 0.3), st.text(st.sampled_from("ab \n.🏽\u200d你"), max_size=8)), max_size=30),
    st.sampled_from([None, "char", "word", "line", re.compile(r"\.")]),
)
def test_nothing_is_lost_or_moved(pieces: list[tuple[float, str]], by: Any) -> None:
    """The same text, whenever what comes."""
    at, arrivals = 0.0, []
    for gap, said in pieces:
        at += gap
        arrivals.append((at, said))

    assert "".join(said for _, said in pieces) == "".join(said for _, said in paced(arrivals, by=by, until=100))


# -- the stream


def kinds(chunks: Sequence[Chunk]) -> list[tuple[str, str]]:
    """What they are and say."""
    return [(chunk.type, chunk.content) for chunk in chunks]


def test_other_chunks_flush_and_pass(feed: Feed) -> None:
    """Thinking and text are not merged; what has metadata, and all other kinds, come as they were, in their place."""
    start = ToolCallStartChunk(tool_call_id="c", tool_name="f", index=6)
    stream = smooth(feed.stream(), 60)
    feed.give(text("first ", 0))
    first = stream.ch.get()
    feed.give(thinking("a", 1), thinking("b", 2), text("c", 3), text("d", 4), text("e", 5, citations=[1]), start)
    feed.give(text("f", 7), finish(8))
    feed.end()
    chunks = [first, *stream.ch]

    assert [
        ("text", "first "),
        ("thinking", "ab"),
        ("text", "cd"),
        ("text", "e"),
        ("tool_call_start", ""),
        ("text", "f"),
        ("step_finish", ""),
    ] == kinds(chunks)
    assert [*range(7)] == [chunk.index for chunk in chunks]
    assert {"citations": [1]} == chunks[3].metadata


def test_the_outcome_is_kept(feed: Feed) -> None:
    """The response is that of the stream beneath, usage and all."""
    source = feed.stream()
    stream = smooth(source, by="word")
    feed.give(text("Hello ", 0), text("world", 1), finish(2, tokens=9))
    feed.end()

    assert "Hello world" == "".join(stream.text())
    assert stream.final.get() is source.final.get()
    assert 9 == stream.result().total_usage.total_tokens


def test_the_rest_is_flushed_at_a_failure(feed: Feed) -> None:
    """And then the error is told."""
    stream = smooth(feed.stream(), 60)
    feed.give(text("Hel", 0))
    stream.ch.get()
    feed.give(text("lo", 1))
    feed.fail(StreamTruncated("cut"))

    assert ["lo"] == [chunk.content for chunk in stream.ch]
    assert isinstance(stream.err.get(), StreamTruncated)


@pytest.mark.parametrize("how", ["stream", "source", "context"])
def test_the_rest_is_flushed_at_a_cancel(feed: Feed, how: str) -> None:
    """At once, whoever cancels."""
    ctx = Context()
    source = feed.stream(ctx)
    stream = smooth(source, 60, by="line")
    feed.give(text("Hel", 0), text("lo", 1, mark=1), text("world", 2))
    first, second = stream.ch.get(), stream.ch.get()
    {"stream": stream, "source": source, "context": ctx}[how].cancel("enough")
    with took(0.5):
        rest = [chunk.content for chunk in stream.ch]

    assert (["Hel", "lo"], ["world"]) == ([first.content, second.content], rest)
    error = stream.err.get()
    assert isinstance(error, Cancelled)
    assert error.partial is not None
    assert "Helloworld" == error.partial.text


def test_text_that_waits_is_in_the_partial(feed: Feed) -> None:
    """What has come is known, shown or not."""
    stream = smooth(feed.stream(), 60)
    feed.give(text("Hel", 0))
    stream.ch.get()
    feed.give(text("lo", 1, mark=1))
    stream.ch.get()

    assert "Hello" == stream.partial.text
    stream.close()


def test_nothing_is_left(feed: Feed) -> None:
    """Leaving it ends both threads."""
    with smooth(feed.stream(), by="word") as stream:
        feed.give(text("a "))
        stream.ch.get()
    feed.end()

    assert [] == [thread for thread in threading.enumerate() if thread.name.startswith("streamkit-smooth")]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"interval": -1}, "interval=-1: give seconds"),
        ({"interval": float("nan")}, "interval=nan: give seconds"),
        ({"max_delay": float("inf")}, "max_delay=inf: give seconds"),
        ({"by": "sentence"}, "by='sentence': give 'char', 'word', 'line' or a compiled pattern"),
        ({"by": 7}, "by=7: give"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], says: str) -> None:
    """They are refused, and said what would do."""
    with pytest.raises(ConfigError, match=re.escape(says)):
        smooth([text("a")], **settings)
