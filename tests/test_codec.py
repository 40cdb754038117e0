"""The contract of a provider: what every decoder shares."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamkit.codec import Decoder, GrowingCall, counted, logprobs
from streamkit.errors import DecodeError, ProviderError, StreamTruncated
from streamkit.framing import Event
from streamkit.types import Fold, Source, SourceChunk, TextChunk, ToolCallChunk, Usage


class Echo(Decoder):
    """Calls the method that an event names, with its data."""

    def event(self, event: Event) -> None:
        """Decode one event."""
        if event.event == "end":
            self.finished = True
        elif event.event == "deep":
            self.event(event)
        else:
            getattr(self, event.event)(*json.loads(event.data))


def fed(*calls: tuple[Any, ...], index: int = 0) -> Echo:
    """A decoder that was told to make these calls."""
    decoder = Echo(provider="echo", index=index)
    decoder.out = decoder.feed([Event(json.dumps(arguments), name) for name, *arguments in calls])
    return decoder


def test_chunks_in_order() -> None:
    """Each method adds its kind of chunk; indices begin where the decoder was told to and have no gaps."""
    calls = [
        ("text", "a"),
        ("thinking", "b"),
        ("tool_start", "id", "f"),
        ("tool_delta", "id", "{"),
        ("tool_call", "id", "f", "{}"),
        ("step_finish", "stop"),
    ]
    decoder = fed(*calls, index=7)
    decoder.source(Source(url="u"))

    assert [
        ("text", 7),
        ("thinking", 8),
        ("tool_call_start", 9),
        ("tool_call_delta", 10),
        ("tool_call", 11),
        ("step_finish", 12),
        ("source", 13),
    ] == [(c.type, c.index) for c in decoder.take()]
    assert [] == decoder.take()


def test_nothing_is_no_chunk() -> None:
    """Empty text makes none, unless it says something beside it."""
    decoder = fed(("text", ""), ("thinking", ""), ("text", "", {"a": 1}), ("thinking", "", {"b": 2}))

    assert [("text", {"a": 1}), ("thinking", {"b": 2})] == [(c.type, c.metadata) for c in decoder.take()]


def test_plain_text_is_an_ordinary_chunk() -> None:
    """A text chunk made the quick way equals, prints and hashes as any other, and cannot be changed either."""
    quick, ordinary = fed(("text", "a")).take()[0], TextChunk(content="a", index=0)

    assert (ordinary, repr(ordinary)) == (quick, repr(quick))
    with pytest.raises(AttributeError):
        quick.content = "b"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([("text", "\ud83d"), ("text", "\ude00")], [("text", "😀")]),
        ([("text", "a\ud83d"), ("text", "b")], [("text", "a"), ("text", "\ufffdb")]),
        ([("text", "\ude00a")], [("text", "\ufffda")]),
        ([("text", "\ud83d"), ("thinking", "b")], [("text", "\ufffd"), ("thinking", "b")]),
        ([("text", "\ud83d"), ("thinking", ""), ("text", "\ude00")], [("text", "😀")]),
        ([("thinking", "\ud83d"), ("tool_start", "i", "f")], [("thinking", "\ufffd"), ("tool_call_start", "")]),
        ([("text", "\ud83d"), ("step_finish", "stop")], [("text", "\ufffd"), ("step_finish", "")]),
        ([("text", "\ud83d"), ("tool_call", "i", "f", "")], [("text", "\ufffd"), ("tool_call", "")]),
    ],
)
def test_pairs_split_over_two_deltas(calls: list[Any], expected: list[Any]) -> None:
    """A pair of surrogates that two deltas brought is joined; half of one is replaced where it stands."""
    assert expected == [(c.type, c.content) for c in fed(*calls).take()]


@pytest.mark.parametrize(
    ("fragments", "given"),
    [
        (("\ud83c", "\udfa8."), ["\U0001f3a8."]),
        (("a\ud83c", "\udfa8"), ["a", "\U0001f3a8"]),
        (("a\ud83c", "b"), ["a", "\ufffdb"]),
        (("a\ud83c",), ["a", "\ufffd"]),
        (("\udfa8",), ["\ufffd"]),
    ],
)
def test_half_a_character_at_the_end_of_a_fragment(fragments: tuple[str, ...], given: list[str]) -> None:
    """It waits for the other half, beside other calls' fragments; the pieces join to the call's whole text."""
    between = [("tool_delta", "other", "x")]
    calls = [call for fragment in fragments for call in (("tool_delta", "c", fragment), *between)]
    chunks = fed(*calls, ("tool_call", "c", "f", "".join(fragments))).out
    pieces = [chunk.tool_input for chunk in chunks if chunk.type == "tool_call_delta" and chunk.tool_call_id == "c"]

    assert given == pieces
    assert "".join(pieces) == next(chunk.tool_input for chunk in chunks if chunk.type == "tool_call")
    assert list(range(len(chunks))) == [chunk.index for chunk in chunks]


def test_calls_are_scrubbed_and_marked() -> None:
    """Ids, names and arguments can be encoded; what is not JSON, or not whole, says why."""
    decoder = fed(("tool_call", "\ud83d", "\ud83d", '"\ud83d"'), ("tool_call", "b", "f", "{"))
    decoder.tool_call("c", "g", "", why="cut")
    made = [c for c in decoder.take() if isinstance(c, ToolCallChunk)]

    assert [
        ("\ufffd", "\ufffd", '"\ufffd"', "\ufffd"),
        ("b", "f", "{", None),
        ("c", "g", "", {}),
    ] == [(c.tool_call_id, c.tool_name, c.tool_input, c.arguments) for c in made]
    assert {} == made[0].metadata
    assert "JSONDecodeError" in made[1].metadata["arguments_error"]
    assert {"arguments_error": "cut"} == made[2].metadata


def test_what_is_said_beside_a_call() -> None:
    """It is the call's metadata, beside the mark of one that is not whole."""
    decoder = Echo(provider="echo")
    decoder.tool_call("a", "f", "{}", metadata={"signature": "s"})
    decoder.tool_call("b", "f", "", why="cut", metadata={"signature": "s"})

    assert [{"signature": "s"}, {"signature": "s", "arguments_error": "cut"}] == [c.metadata for c in decoder.take()]


def test_what_follows_the_end_is_not_read() -> None:
    """Once a decoder has finished, it leaves the rest of the batch alone."""
    assert ["a"] == [c.content for c in fed(("text", "a"), ("end",), ("text", "b")).take()]


def test_nesting_too_deep_to_walk() -> None:
    """Whatever recursion an event leads to ends in an error of ours, after which the chunks before it can be taken."""
    decoder = Echo(provider="echo")
    with pytest.raises(DecodeError, match="nested too deeply"):
        decoder.feed([Event('["a"]', "text"), Event("x", "deep")])

    assert ["a"] == [c.content for c in decoder.take()]


def test_step_finish_says_what_was_learnt() -> None:
    """It carries usage, response and the provider's own word."""
    decoder = Echo(provider="echo", step=3)
    decoder.state.usage = Usage(prompt_tokens=1)
    decoder.state.id, decoder.state.model, decoder.state.raw_finish_reason = "r", "m", "END"
    decoder.step_finish("stop")
    fold = Fold()
    fold.add(decoder.take())
    response = fold.response(complete=True)

    assert ("stop", "END", 1, "r", "m") == (
        response.finish_reason,
        response.raw_finish_reason,
        response.usage.prompt_tokens,
        response.response.id,
        response.response.model,
    )


# -- what wires have in common


@pytest.mark.parametrize(
    ("event", "expected", "finished"),
    [
        (Event('{"a": 1}'), {"a": 1}, False),
        (Event("[1]"), [1], False),
        (Event("[DONE]"), None, True),
        (Event(" [DONE] \n", "error"), None, True),
        (Event(""), None, False),
        (Event(" \n"), None, False),
        (Event("what?", "ping"), None, False),
        (Event("what?", "keep-alive"), None, False),
        (Event('{"a": 1}', "ping"), {"a": 1}, False),
        (Event('{"a": 1}', "heartbeat"), {"a": 1}, False),
        (Event('{"a": 1}', "keepalive"), {"a": 1}, False),
        (Event("[DONE]", "ping"), None, True),
        (Event(" no credit ", "error"), "no credit", False),
        (Event('{"a": 1}', "error"), {"a": 1}, False),
    ],
)
def test_what_an_event_holds(event: Event, expected: object, finished: bool) -> None:
    """JSON, or what many services send beside it: [DONE], signs of life, errors as plain words."""
    decoder = Echo(provider="echo")

    assert (expected, finished) == (decoder.parsed(event), decoder.finished)


def test_what_no_event_holds() -> None:
    """What is not JSON, and none of these, is refused."""
    with pytest.raises(DecodeError, match="not JSON"):
        Echo(provider="echo").parsed(Event("what?"))


def test_events_that_are_objects() -> None:
    """Any other value is passed over, unless it reports an error."""
    decoder = Echo(provider="echo")

    assert [{"a": 1}, None, None] == [decoder.parsed_object(Event(text)) for text in ('{"a": 1}', "5", "[DONE]")]
    assert None is decoder.parsed_object(Event("[DONE]", "error"))
    decoder = Echo(provider="echo")
    assert {"a": 1} == decoder.parsed_object(Event('{"a": 1}', "error"))
    for event in (Event("no credit", "error"), Event('"no credit"', "error"), Event('[{"error": "no credit"}]')):
        with pytest.raises(ProviderError, match="no credit"):
            decoder.parsed_object(event)


def test_a_cut_answer_says_what_is_missing() -> None:
    """The error names the provider and what did not come."""
    error = Echo(provider="echo").cut_off("last word")

    assert "echo: the answer was cut off before its last word: send the request again" in str(error)


def test_an_answer_without_anything_in_it() -> None:
    """It is not whole; what came in its place and looks like an error is one."""
    decoder = Echo(provider="echo")
    decoder.require_answer("word", there=True, other={"x": 1})
    with pytest.raises(StreamTruncated, match="echo: the answer has no word"):
        decoder.require_answer("word", there=False, other={})
    with pytest.raises(ProviderError, match="no credit"):
        decoder.require_answer("word", there=True, other={"detail": "no credit"})


def test_a_signed_call() -> None:
    """The signature is the whole call's metadata; without one there is none."""
    decoder = Echo(provider="echo")
    decoder.end_calls([GrowingCall("a", "f", signature="s"), GrowingCall("b", "f")], "tool_calls")

    assert [{"signature": "s"}, {}] == [chunk.metadata for chunk in decoder.take()]


def test_the_last_call_of_an_answer_that_was_too_long() -> None:
    """A call that lost its arguments to the token limit is marked; so is no other, and none for another reason."""
    decoder = Echo(provider="echo")
    decoder.end_calls([GrowingCall("a", "f"), GrowingCall("b", "f", ["{", "}"]), GrowingCall("c", "f")], "length")
    decoder.end_calls([GrowingCall("d", "f")], "stop")

    assert [("a", False), ("b", False), ("c", True), ("d", False)] == [
        (chunk.tool_call_id, "arguments_error" in chunk.metadata)
        for chunk in decoder.take()
        if isinstance(chunk, ToolCallChunk)
    ]


class Noting(Echo):
    """Counts what changed."""

    changes = 0

    def changed(self) -> None:
        """Something did."""
        self.changes += 1

    def pages(self, value: Any) -> None:
        """A field with a method."""
        self.text(str(value))


def test_what_is_kept_beside_the_answer() -> None:
    """What no field holds is kept; that something changed is told only where it did."""
    decoder = Noting(provider="echo")
    for said in ({"id": 1, "a": 1, "b": None}, {"a": 1}, {"a": 0}):
        decoder.keep(said, {"id"})

    assert ({"a": 0}, 2) == (decoder.state.metadata, decoder.changes)


def test_what_comes_again_and_again() -> None:
    """Objects are put together, lists that grow are, too; of anything else the last counts."""
    decoder = Noting(provider="echo")
    for said in ({"a": {"x": 1}, "b": [1], "c": [1], "d": 1}, {"a": {"y": 2}, "b": [2], "c": [2], "d": 2}):
        for name, value in said.items():
            decoder.keep_more(name, value, grow=name == "b")

    assert {"a": {"x": 1, "y": 2}, "b": [1, 2], "c": [2], "d": 2} == decoder.state.metadata
    assert 8 == decoder.changes


def test_what_stands_beside_the_answer() -> None:
    """A field has its method, or is kept; what is read, empty or said before is passed over."""
    decoder = Noting(provider="echo")
    for said in ({"id": 1, "pages": 5, "a": 1, "b": 0}, {"a": 1}):
        decoder.beside(said, {"id"}, {"pages": Noting.pages})

    assert (["5"], {"a": 1}, 1) == ([c.content for c in decoder.take()], decoder.state.metadata, decoder.changes)


def test_a_citation_comes_once() -> None:
    """For a place in the text where it names one, else for what it cites; what is not read is its metadata."""
    decoder = Echo(provider="echo")
    for place in ([1, 2], [1, 2], [3, 4], []):
        decoder.cite({"url": "u", "n": 1, "x": None}, {"url"}, url="u", title="t", place=place)
    decoder.cite({}, (), title="only", text="x")
    decoder.cite({}, (), title="only", text="y")
    decoder.cite({}, (), title="only", text="y")
    decoder.cite({"n": 1}, ())
    sources = [chunk.source for chunk in decoder.take() if isinstance(chunk, SourceChunk)]

    page = Source(url="u", title="t", metadata={"n": 1})
    assert [page, page, Source(title="only", text="x"), Source(title="only", text="y")] == sources


@pytest.mark.parametrize(
    ("value", "there"),
    [
        ({"content": [1]}, True),
        ([1], True),
        ({"content": None, "refusal": None}, False),
        ({}, False),
        ([], False),
        (None, False),
        (5, False),
        ("x", False),
    ],
)
def test_log_probabilities(value: object, there: bool) -> None:
    """They are metadata where there are any."""
    assert ({"logprobs": value} if there else None) == logprobs(value)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({}, {}),
        ({"in": None, "other": 3}, {}),
        ({"in": 2, "out": 3}, {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}),
        ({"in": 2, "all": 9}, {"prompt_tokens": 2, "total_tokens": 9}),
        ({"hit": 0, "more": {"cached": 4}}, {"cache_read_tokens": 4, "total_tokens": 0}),
        ({"in": "2", "more": 5}, {}),
    ],
)
def test_counts(raw: dict[str, Any], expected: dict[str, int]) -> None:
    """Counts have our names, wherever they stand; the total is their sum where none is told."""
    names = {
        "in": "prompt_tokens",
        "out": "completion_tokens",
        "all": "total_tokens",
        "hit": "cache_read_tokens",
        "cached": "cache_read_tokens",
    }

    assert expected == counted(raw, names, "more")


def test_the_base_has_no_wire() -> None:
    """What an event means, and when an answer is whole, every codec has to say."""
    decoder = Decoder(provider="none")
    with pytest.raises(NotImplementedError):
        decoder.feed([Event("{}")])
    with pytest.raises(NotImplementedError):
        decoder.end()
