"""The fold: chunks into the one response, whole or cut, of one step or several."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.types import (
    ChatResponse,
    Chunk,
    Fold,
    Message,
    RawPart,
    ResponseInfoFields,
    Source,
    SourceChunk,
    StepFinishChunk,
    StepState,
    TextChunk,
    TextPart,
    TextResult,
    ThinkingChunk,
    ThinkingPart,
    ToolCall,
    ToolCallChunk,
    ToolCallDeltaChunk,
    ToolCallPart,
    ToolCallStartChunk,
    ToolResult,
    ToolResultChunk,
    ToolResultPart,
    Usage,
)
from tests.strategies import PROPERTY

USED = Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3, source="reported")
FINISH = StepFinishChunk(
    step=1,
    finish_reason="stop",
    usage=USED,
    response=ResponseInfoFields(id="r", model="m", provider_metadata={"k": 1}),
    index=0,
    metadata={"raw_finish_reason": "END", "provider": "acme"},
)


def text(content: str, **metadata: Any) -> TextChunk:
    """A text chunk."""
    return TextChunk(content=content, index=0, metadata=metadata)


def thinking(content: str, **metadata: Any) -> ThinkingChunk:
    """A thinking chunk."""
    return ThinkingChunk(content=content, index=0, metadata=metadata)


def start(id: str, name: str = "f") -> ToolCallStartChunk:
    """The start of a call."""
    return ToolCallStartChunk(tool_call_id=id, tool_name=name, index=0)


def delta(id: str, fragment: str) -> ToolCallDeltaChunk:
    """A piece of a call."""
    return ToolCallDeltaChunk(tool_call_id=id, tool_input=fragment, index=0)


def whole(id: str, input: str = "{}", arguments: object = None, **metadata: Any) -> ToolCallChunk:
    """A whole call of f."""
    return ToolCallChunk(
        tool_call_id=id, tool_name="f", tool_input=input, arguments=arguments, index=0, metadata=metadata
    )


def folded(*chunks: Chunk, complete: bool = True) -> ChatResponse:
    """The response that these chunks make."""
    fold = Fold()
    fold.add(chunks)
    return fold.response(complete=complete)


def test_an_answer() -> None:
    """A response has its text, thinking, usage, finish reason and what the provider said, under all their names."""
    response = folded(thinking("h"), thinking("m"), text("H"), text("i"), FINISH)

    assert ("Hi", "Hi", "Hi", "hm", "hm") == (
        response.text,
        response.output,
        response.content,
        response.thinking,
        response.reasoning,
    )
    assert (USED, USED, "stop", "END") == (
        response.usage,
        response.total_usage,
        response.finish_reason,
        response.raw_finish_reason,
    )
    assert ("r", "m", {"acme": {"k": 1}}) == (response.response.id, response.response.model, response.provider_metadata)
    assert (True, "natural", 1) == (response.complete, response.stop_cause, len(response.steps))
    assert TextResult is ChatResponse


def test_nothing() -> None:
    """An answer without anything has a step, and is not complete unless it is said to be."""
    response = folded(complete=False)

    assert ("", "", (), 1, "", None, False, "none") == (
        response.text,
        response.thinking,
        response.messages,
        len(response.steps),
        response.finish_reason,
        response.raw_finish_reason,
        response.complete,
        response.stop_cause,
    )


def test_what_a_cut_stream_had_reported() -> None:
    """Usage, id and model that no chunk carries yet come from the decoder's state."""
    fold = Fold()
    fold.state = StepState(provider="acme", usage=USED, id="r", model="m", raw_finish_reason="END", metadata={"k": [1]})
    fold.add([text("Hi")])
    response = fold.response()

    assert ("Hi", USED, "r", "m", "END", "", {"acme": {"k": [1]}}) == (
        response.text,
        response.usage,
        response.response.id,
        response.response.model,
        response.raw_finish_reason,
        response.finish_reason,
        response.provider_metadata,
    )


def test_a_response_is_a_snapshot() -> None:
    """What the decoder learns later does not change a response given before."""
    state = StepState(metadata={"k": [1]})
    before = state.response()
    state.metadata["k"].append(2)
    state.metadata["l"] = 3

    assert ({"k": [1]}, {"k": [1, 2], "l": 3}) == (before.provider_metadata, state.response().provider_metadata)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([start("a"), delta("a", "{"), delta("a", "}"), whole("a")], [ToolCall(id="a", name="f", input="{}")]),
        ([whole("a", "[1]", [1])], [ToolCall(id="a", name="f", input="[1]", arguments=[1])]),
        ([whole("a", "{", arguments_error="why")], [ToolCall(id="a", name="f", input="{", complete=False)]),
        ([start("a"), delta("a", "{"), delta("a", '"x')], [ToolCall(id="a", name="f", input='{"x', complete=False)]),
        (
            [start("a"), start("b"), delta("b", "1"), delta("a", "2"), delta("b", "3"), whole("b", "13")],
            [ToolCall(id="a", name="f", input="2", complete=False), ToolCall(id="b", name="f", input="13")],
        ),
        (
            [start(""), start(""), whole("", "1"), whole("", "2")],
            [ToolCall(id="", name="f", input="1"), ToolCall(id="", name="f", input="2")],
        ),
        (
            [start(""), delta("", "1"), start(""), delta("", "2"), delta("", "3")],
            [
                ToolCall(id="", name="f", input="1", complete=False),
                ToolCall(id="", name="f", input="23", complete=False),
            ],
        ),
    ],
)
def test_tool_calls(chunks: list[Chunk], expected: list[ToolCall]) -> None:
    """Calls are in the order they began; one that never became whole, or is marked, is not complete.

    Of several with one id the one that began last grows, and the first that is not whole becomes so.
    """
    assert tuple(expected) == folded(*chunks).tool_calls


def test_steps() -> None:
    """A loop's steps are kept apart; text, sources and messages are of all, calls, usage and reason of the last."""
    fold = Fold()
    fold.add([text("a"), whole("c"), FINISH])
    fold.add([ToolResultChunk(tool_call_id="c", tool_name="f", tool_output="out", index=0, metadata={"elapsed": 2.0})])
    fold.next_step()
    fold.add(
        [text("b"), SourceChunk(source=Source(url="u"), index=0), attrs.evolve(FINISH, step=2, finish_reason="length")]
    )
    response = fold.response(complete=True)

    assert ("ab", (), "length", USED, USED + USED) == (
        response.text,
        response.tool_calls,
        response.finish_reason,
        response.usage,
        response.total_usage,
    )
    assert [("a", 1, "stop"), ("b", 0, "length")] == [
        (s.text, len(s.tool_calls), s.finish_reason) for s in response.steps
    ]
    assert (ToolResult(tool_call_id="c", tool_name="f", output="out", elapsed=2.0),) == response.steps[0].tool_results
    assert (Source(url="u"),) == response.sources == response.steps[1].sources
    assert ["assistant", "tool", "assistant"] == [m.role for m in response.messages]


def test_messages_for_the_next_turn() -> None:
    """They hold in order what was said: signed thinking, text, blocks of the provider's own, whole calls, results."""
    response = folded(
        thinking("h"),
        thinking("m"),
        thinking("", signature="s"),
        thinking("", redacted="r"),
        text("a"),
        text("b"),
        text("", raw_block={"type": "x"}, provider="acme"),
        text("c"),
        start("k"),
        delta("k", "{}"),
        whole("k"),
        ToolResultChunk(tool_call_id="k", tool_name="f", tool_output="out", is_error=True, index=0),
        FINISH,
    )

    assert response.messages == (
        Message(
            role="assistant",
            content=[
                ThinkingPart(text="hm", signature="s"),
                ThinkingPart(redacted="r"),
                TextPart(text="ab"),
                RawPart(provider="acme", block={"type": "x"}),
                TextPart(text="c"),
                ToolCallPart(id="k", name="f", input="{}"),
            ],
        ),
        Message(role="tool", content=[ToolResultPart(tool_call_id="k", tool_name="f", output="out", is_error=True)]),
    )


def test_thinking_after_a_cut_stands_by_itself() -> None:
    """It was thought anew: a signature is of that alone. Text goes on as one."""
    again = {"resumed": {"attempt": 2}}
    response = folded(thinking("h"), thinking("m", **again), thinking("", signature="s"), text("a"), text("b", **again))

    assert ("hm", "ab") == (response.thinking, response.text)
    assert response.messages[0].content == (
        ThinkingPart(text="h"),
        ThinkingPart(text="m", signature="s"),
        TextPart(text="ab"),
    )


def test_citations_stay_with_their_text() -> None:
    """What ends with citations goes back with them, in the provider's own words; what is not cited, by itself."""
    raw = {"type": "page", "url": "u"}
    response = folded(
        text("a"),
        text("", citations=[]),
        text("b"),
        SourceChunk(source=Source(url="u"), index=0),
        text("c"),
        text("", citations=[raw]),
        text("d"),
        FINISH,
    )
    (message,) = response.messages

    assert ("abcd", "abcd") == (response.text, message.text)
    assert message.content == (TextPart(text="a"), TextPart(text="bc", citations=(raw,)), TextPart(text="d"))


def test_who_signed_a_call() -> None:
    """A call that goes back names the provider that gave it, which makes no difference between equal calls."""
    (message,) = folded(whole("k", signature="s"), FINISH).messages
    (call,) = message.content

    assert isinstance(call, ToolCallPart)
    assert ("s", "acme") == (call.signature, call.provider)
    assert call == attrs.evolve(call, provider="another")


def test_half_a_call_is_not_sent_back() -> None:
    """Messages of a cut answer have no call that was never whole."""
    assert (Message(role="assistant", content="a"),) == folded(
        text("a"), start("k"), delta("k", "{}"), complete=False
    ).messages


def test_a_fold_that_keeps_nothing() -> None:
    """For endless streams: no text, thinking or call is held, only how much there was and how it ended."""
    fold = Fold(keep=False)
    fold.add([text("Hi"), thinking("hm"), start("a"), delta("a", "{"), whole("a"), text("!"), FINISH])
    response = fold.response(complete=True)

    assert ("", "", (), 3, "stop", USED) == (
        response.text,
        response.thinking,
        response.tool_calls,
        fold.chars,
        response.finish_reason,
        response.usage,
    )


_KINDS: list[Chunk] = [
    text("a"),
    text("b", logprobs=1),
    text("", refusal="r"),
    thinking("c"),
    thinking("", signature="s"),
    start("i"),
    delta("i", "{"),
    whole("i"),
    SourceChunk(source=Source(url="u"), index=0),
    start("j"),
    delta("j", "}"),
    FINISH,
]
_CHUNKS = st.lists(st.sampled_from(_KINDS), max_size=12)


@PROPERTY
@given(_CHUNKS, st.randoms(use_true_random=False))
def test_how_chunks_come_makes_no_difference(chunks: Sequence[Chunk], chance: random.Random) -> None:
    """Folded one by one or at once, asked between or not, the response is the same, and has all the text."""
    at_once, in_batches = Fold(), Fold()
    at_once.add(chunks)
    rest = list(chunks)
    while rest:
        size = chance.randint(1, 4)
        in_batches.add(rest[:size])
        in_batches.response()
        del rest[:size]

    assert at_once.response() == in_batches.response()
    assert "".join(c.content for c in chunks if c.type == "text") == at_once.response().text
    assert len(at_once.response().text) == at_once.chars
