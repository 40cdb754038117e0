"""The answer that several attempts make together."""

from __future__ import annotations

import os
from typing import Any

import attrs
import pytest

from streamkit import ConnectionLost, StepFinishChunk, StreamState, TextChunk, ThinkingChunk, Usage
from streamkit.loops.answer import Answer
from streamkit.types.response import ResponseInfoFields, StepState


def text(content: str, index: int = 0, **metadata: Any) -> TextChunk:
    """A chunk of text."""
    return TextChunk(content=content, index=index, metadata=metadata)


def usage(tokens: int) -> Usage:
    """What was reported."""
    return Usage(total_tokens=tokens, source="reported")


def finish(index: int = 0) -> StepFinishChunk:
    """The last chunk of an attempt."""
    info = ResponseInfoFields(id="r2", provider_metadata={"tier": "default"})
    return StepFinishChunk(step=1, finish_reason="stop", usage=usage(5), response=info, index=index)


def cut_once(known: StreamState | None = None) -> Answer:
    """An answer whose first attempt was cut, and whose second one has begun."""
    answer = Answer(known or StreamState())
    answer.begin("prompt" if known else None)
    answer.follow(StepState(id="r1", usage=usage(3)))
    (answer.add if known else answer.take)([text("The"), text(" quick", 1)])
    answer.fail(ConnectionLost("gone"))
    answer.begin("prompt")
    return answer


def test_the_first_attempt_passes_as_it_is() -> None:
    """The same list of the same chunks."""
    answer, batch = Answer(StreamState()), [text("The"), text(" quick", 1)]
    answer.begin(None)

    assert (True, True, 1) == (answer.is_first, answer.is_untouched, answer.number)
    assert answer.take(batch) is batch
    assert not answer.is_untouched
    assert ("The quick", 2) == (answer.partial.text, answer.index)
    assert {} == answer.partial.response.provider_metadata


def test_a_later_one_is_numbered_marked_and_summed() -> None:
    """From where the chunks are; the mark comes once."""
    answer = cut_once()
    answer.follow(StepState(id="r2", usage=usage(4)))
    first, second, last = answer.add([text(" brown", 7, logprobs=[1]), text(" fox", 8), finish(9)])

    assert [2, 3, 4] == [first.index, second.index, last.index]
    assert {"attempt": 2, "mode": "prompt", "error": "ConnectionLost: gone"} == first.metadata["resumed"]
    assert [1] == first.metadata["logprobs"]
    assert {} == second.metadata
    assert isinstance(last, StepFinishChunk)
    assert 8 == last.usage.total_tokens
    assert "default" == last.response.provider_metadata["tier"]
    assert [(1, "r1", 2, "reported"), (2, "r2", 3, "reported")] == [
        (one["attempt"], one["id"], one["chunks"], one["usage"]) for one in last.metadata["attempts"]
    ]


def test_what_it_cost_is_known_at_any_time() -> None:
    """While an attempt runs, when it has failed, and when the next one reports."""
    answer = cut_once()
    between = answer.partial
    answer.follow(StepState(id="r2", usage=usage(4)))

    assert (3, "r1") == (between.usage.total_tokens, between.response.id)
    assert (7, 7, "r2") == (
        answer.partial.usage.total_tokens,
        answer.partial.total_usage.total_tokens,
        answer.partial.response.id,
    )
    answer.add([finish()])
    answer.complete()
    assert (8, True) == (answer.partial.usage.total_tokens, answer.partial.complete)


def test_a_single_attempt_that_failed_has_its_cost() -> None:
    """With no word about attempts."""
    answer = Answer(StreamState())
    answer.begin(None)
    answer.follow(StepState(id="r1", usage=attrs.evolve(usage(3), raw={"total": 3})))
    answer.fail(ConnectionLost("gone"))

    assert (3, {"total": 3}, {}) == (
        answer.partial.usage.total_tokens,
        answer.partial.usage.raw,
        answer.partial.response.provider_metadata,
    )


def test_what_is_held_back_is_part_of_it_and_has_not_passed() -> None:
    """Until it is let go, or forgotten."""
    answer = cut_once()
    answer.hold(text("quick brown"))
    answer.hold(text(" fox", 1))

    assert ("The quickquick brown fox", "The quick") == (answer.partial.text, answer.passed.text)
    assert answer.partial.text == answer.partial.steps[0].text == answer.partial.messages[0].text
    assert (True, "The quick") == (answer.holds, answer.state.partial_content)
    assert [" brown", " fox"] == [chunk.content for chunk in answer.let_go(5)]
    assert (False, "The quick brown fox") == (answer.holds, answer.passed.text)
    answer.hold(text(" and"))
    answer.forget_held()
    assert "The quick brown fox" == answer.partial.text


def test_a_removal_may_take_whole_chunks() -> None:
    """And end in the middle of one."""
    answer = cut_once()
    for piece in ("qu", "ick", " bro", "wn"):
        answer.hold(text(piece))

    assert ["ro", "wn"] == [chunk.content for chunk in answer.let_go(7)]
    assert 7 == answer.partial.response.provider_metadata["attempts"][-1]["removed"]


def test_what_was_known_before() -> None:
    """Is part of it, counts as an attempt, and never passes."""
    known = StreamState(partial_content="Once: ", token_count=4, attempts=3, response_id="r0", usage=usage(10))
    answer = cut_once(known)
    state = answer.state

    assert "Once: The quick" == answer.partial.text
    assert (13, 5, 6, 2) == (answer.partial.usage.total_tokens, state.attempts, state.token_count, answer.index)
    assert ["earlier", "prompt", "prompt"] == [
        one["mode"] for one in answer.partial.response.provider_metadata["attempts"]
    ]


def test_nothing_known_is_no_attempt() -> None:
    """An answer that is asked for first."""
    answer = Answer(StreamState())

    assert (False, "", StreamState(attempts=1)) == (answer.begun, answer.partial.text, answer.state)


def test_thinking_that_is_thought_anew_stands_by_itself() -> None:
    """A signature is of the thinking behind the seam only."""
    answer = Answer(StreamState())
    answer.begin(None)
    answer.take([ThinkingChunk(content="A fox?", index=0)])
    answer.fail(ConnectionLost("gone"))
    answer.begin("again")
    answer.add([ThinkingChunk(content="A dog.", index=1)])
    answer.add([ThinkingChunk(content="", index=2, metadata={"signature": "c2ln"})])
    parts = [(part.text, part.signature) for part in answer.partial.messages[0].content]  # type: ignore[union-attr]

    assert [("A fox?", None), ("A dog.", "c2ln")] == parts


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_is_not_held_up() -> None:
    """The lock may have been held as the process was forked, by a thread that the child does not have."""
    answer = cut_once()
    with answer._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if answer.partial.text == "The quick" else 1)

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
