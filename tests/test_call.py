"""One call: encode, open with retries, frame, decode; here over scripted blocks, without sockets or threads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import pytest

from streamkit import (
    Chunk,
    ConnectionLost,
    DecodeError,
    Hooks,
    Limits,
    Overloaded,
    ProviderError,
    RateLimited,
    RequestInfo,
    ResponseInfo,
    ResponseTooLarge,
    RetryPolicy,
    StreamKitError,
    StreamTruncated,
    Timeouts,
    Unauthorized,
    Usage,
    user,
)
from streamkit.call import MAX_HEAD, Call
from streamkit.codec import HttpRequest
from streamkit.providers import OpenAI
from streamkit.retry import RetryBudget
from streamkit.testing import Event, chat_answer, error_event
from streamkit.transport.slot import SocketSlot
from streamkit.types import ChatRequest
from streamkit.types.response import StepState
from tests.loopback import KEY, delta

Blocks = Sequence["bytes | StreamKitError"]


class ScriptedAnswer:
    """An answer of these blocks, an error among them being raised in its turn."""

    def __init__(self, blocks: Blocks, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.headers = headers or {"x-request-id": "req_1"}
        self.done: list[str] = []
        self.drains = [True]
        self._blocks = blocks

    def blocks(self, limit: int | None, *, before_wait: Callable[[], object]) -> Iterator[bytes]:
        """Give them."""
        self.done.append(f"blocks({limit})")
        before_wait()
        for block in self._blocks:
            if isinstance(block, StreamKitError):
                raise block
            yield block

    def excerpt(self, limit: int | None) -> bytes:
        """Give the first."""
        self.done.append(f"excerpt({limit})")
        return self._blocks[0]  # type: ignore[return-value]

    def drain(self, seconds: float) -> bool:
        """Note it."""
        self.done.append("drain")
        return self.drains.pop(0)

    def close(self) -> None:
        """Note it."""
        self.done.append("close")


class ScriptedTransport:
    """Gives these answers, or raises them, one for each request."""

    def __init__(self, *answers: ScriptedAnswer | StreamKitError) -> None:
        self.requests: list[tuple[HttpRequest, float | None, float | None]] = []
        self._answers = list(answers)

    def open(
        self, request: HttpRequest, slot: SocketSlot, *, connect: float | None, idle: float | None
    ) -> ScriptedAnswer:
        """Give the next."""
        self.requests.append((request, connect, idle))
        answer = self._answers.pop(0)
        if isinstance(answer, StreamKitError):
            raise answer
        return answer


@attrs.define
class Recorder:
    """A scope that keeps what it is told."""

    slot: SocketSlot = attrs.field(factory=SocketSlot)
    told: list[Any] = attrs.field(factory=list)
    deferred: list[Callable[[], object]] = attrs.field(factory=list)
    state: StepState | None = None
    end: StreamKitError | None = None

    def pause(self, seconds: float) -> None:
        """Note it; the first asks whether the stream has ended by then."""
        self.told.append("pause")

    def remaining(self) -> float | None:
        """No deadline."""
        return None

    def answered(self, headers: Mapping[str, str], request_id: str | None) -> None:
        """Note it."""
        self.told.append(("answered", dict(headers), request_id))

    def waits(self) -> None:
        """Note it."""
        self.told.append("waits")

    def retried(self, attempt: int) -> None:
        """Note it."""
        self.told.append(("retried", attempt))

    def ended(self) -> StreamKitError | None:
        """Say what the test says."""
        return self.end

    def follow(self, state: StepState) -> None:
        """Keep it."""
        self.state = state

    def defer(self, fn: Callable[[], object]) -> None:
        """Keep it."""
        self.deferred.append(fn)


def call_of(*answers: ScriptedAnswer | StreamKitError, **settings: Any) -> tuple[Call, ScriptedTransport]:
    """Give a call that meets these answers."""
    transport = ScriptedTransport(*answers)
    defaults: dict[str, Any] = {
        "request": ChatRequest(model="gpt-4o", messages=(user("Hello"),)),
        "provider": OpenAI(KEY, base_url="https://provider.test/v1"),
        "transport": transport,
        "timeouts": Timeouts(connect=1, idle=2),
        "limits": Limits(),
        "retry_policy": RetryPolicy(max_retries=2, initial_interval=0),
        "budget": RetryBudget(),
        "hooks": Hooks(),
    }
    return Call(**{**defaults, **settings}), transport


def events(*texts: str, **how: Any) -> list[bytes]:
    """Give a whole answer's events, each as a block."""
    return [step.encode() for step in chat_answer(*texts, **how) if isinstance(step, Event)]


def run(call: Call, scope: Recorder | None = None) -> tuple[list[Chunk], StreamKitError | None]:
    """Run a call: its chunks, and the error in which it ended."""
    chunks: list[Chunk] = []
    try:
        for batch in call.batches(scope or Recorder()):
            chunks += batch
    except StreamKitError as error:
        return chunks, error
    return chunks, None


def said(chunks: list[Chunk]) -> str:
    """Give their text."""
    return "".join(chunk.content for chunk in chunks)


# ---------------------------------------------------------------- a call that goes well


def test_a_call_gives_its_chunks_in_batches() -> None:
    """What one block brought is one batch; the last chunk ends the step."""
    blocks = events("Hello", " ", "world")
    call, transport = call_of(ScriptedAnswer([blocks[0] + blocks[1], blocks[2] + blocks[3], *blocks[4:]]))
    batches = [[chunk.content for chunk in batch] for batch in call.batches(Recorder()) if batch]

    assert [["Hello"], [" ", "world"], [""]] == batches
    assert [(1, 2)] == [(connect, idle) for _, connect, idle in transport.requests]


def test_the_first_chunk_waits_for_nothing() -> None:
    """What came along with it is decoded when it has been given, and only to the end marker."""
    blocks = events("Hello", " ", "world")
    late = b'data: {"choices":[{"index":0,"delta":{"content":"late"}}]}\n\n'
    call, _ = call_of(ScriptedAnswer([b"".join(blocks) + late]))
    batches = [[chunk.content for chunk in batch] for batch in call.batches(Recorder()) if batch]

    assert [["Hello"], [" ", "world"], [""]] == batches


def test_a_broken_event_beside_the_first_chunk() -> None:
    """The chunk is given, and what came between the two; then the error."""
    call, _ = call_of(ScriptedAnswer([b"".join(events("Hello", "!")[:3]) + b"data: {\n\n"]))
    chunks, error = run(call)

    assert ("Hello!", DecodeError) == (said(chunks), type(error))


def test_a_call_tells_its_scope() -> None:
    """That the answer is open, where its state is, and what to do after the end."""
    answer, scope = ScriptedAnswer(events("Hello")), Recorder()
    call, _ = call_of(answer, limits=Limits(response=1_234))
    run(call, scope)
    for fn in scope.deferred:
        fn()

    assert ["pause", ("answered", {"x-request-id": "req_1"}, "req_1"), "waits"] == scope.told
    assert scope.state is not None
    assert 6 == scope.state.usage.total_tokens
    assert ["blocks(1234)", "drain", "close"] == answer.done


def test_a_connection_that_is_not_drained_at_once_is_tried_again_later() -> None:
    """After the stream has settled, so that no reader waits."""
    answer, scope = ScriptedAnswer(events("Hello")), Recorder()
    answer.drains = [False, True]
    call, _ = call_of(answer)
    run(call, scope)
    before = list(answer.done)
    while scope.deferred:
        scope.deferred.pop()()

    assert ["drain"] == before[1:]
    assert ["drain", "drain", "close"] == answer.done[1:]


def test_a_later_step_counts_on() -> None:
    """Indices and the number of the step go on where a loop says."""
    call, _ = call_of(ScriptedAnswer(events("Hello", "!")), index=10, step=3)
    chunks, _ = run(call)

    assert [10, 11, 12] == [chunk.index for chunk in chunks]
    assert 3 == chunks[-1].step  # type: ignore[union-attr]


def test_reading_stops_at_the_end_marker() -> None:
    """What follows is not even asked for."""
    call, _ = call_of(ScriptedAnswer([*events("Hello"), ConnectionLost("never met")]))

    assert ("Hello", None) == (said(run(call)[0]), run(call_of(ScriptedAnswer(events("x")))[0])[1])


def test_an_answer_that_is_left_is_closed() -> None:
    """Closing the generator closes the reading of the answer, and the observers hear of it."""
    told: list[ResponseInfo] = []
    scope = Recorder(end=StreamKitError("enough"))
    call, _ = call_of(ScriptedAnswer(events("Hello", "!")), hooks=Hooks(on_response=told.append))
    batches = call.batches(scope)
    next(batch for batch in batches if batch)
    batches.close()  # type: ignore[attr-defined]

    assert [scope.end] == [info.error for info in told]
    assert 1 == len(scope.deferred)


# ---------------------------------------------------------------- bodies that are no event stream


COMPLETION = {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}


@pytest.mark.parametrize("cut", [1, 20, 10_000])
@pytest.mark.parametrize("before", [b"", b"\n\n", b"\xef\xbb\xbf"], ids=["", "blank lines", "BOM"])
def test_a_whole_completion_is_one_event(before: bytes, cut: int) -> None:
    """However it is cut into blocks."""
    body = before + json.dumps(COMPLETION).encode()
    call, _ = call_of(ScriptedAnswer([body[at : at + cut] for at in range(0, len(body), cut)]))
    chunks, error = run(call)

    assert ("Hello", None) == (said(chunks), error)


@pytest.mark.parametrize(
    ("blocks", "error_class", "words"),
    [
        ([], StreamTruncated, "empty"),
        ([b" \r\n "], StreamTruncated, "empty"),
        ([b'{"error": "no"}'], ProviderError, "no"),
        ([b"<html>"], DecodeError, "<html>"),
        ([b"data: {"], StreamTruncated, "before its first event"),
        ([b"event: x\n"], StreamTruncated, "before its first event"),
        ([b": ping\n\n", b": ping\n"], StreamTruncated, "before its first event"),
        ([b"id: 1\n\n"], StreamTruncated, "before its first event"),
        ([b"retry: 1\n\n"], StreamTruncated, "before its first event"),
        ([b"<html>", ConnectionLost("reset")], ConnectionLost, "reset"),
        ([b"{", ConnectionLost("reset")], ConnectionLost, "reset"),
        ([ConnectionLost("reset")], ConnectionLost, "reset"),
        ([StreamTruncated("cut")], StreamTruncated, "cut"),
        ([b"data: {", StreamTruncated("cut")], StreamTruncated, "cut"),
    ],
)
def test_a_body_without_an_event_is_told_as_what_it_is(blocks: Blocks, error_class: type, words: str) -> None:
    """Where it broke off, that is the error; else what it was instead of a stream."""
    chunks, error = run(call_of(ScriptedAnswer(blocks))[0])

    assert ([], error_class) == (chunks, type(error))
    assert words in str(error)


def test_little_is_kept_of_a_body_without_an_event() -> None:
    """Enough to say what it was."""
    call, _ = call_of(ScriptedAnswer([b"x" * 1_000] * 1_000))
    _, error = run(call)

    assert isinstance(error, DecodeError)
    assert len(error.event) <= 2_000
    assert len(str(error)) < 1_000
    assert MAX_HEAD < 1_000_000


# ---------------------------------------------------------------- answers that fail


@pytest.mark.parametrize("end", [ConnectionLost("reset"), StreamTruncated("cut")])
@pytest.mark.parametrize("complete", [True, False], ids=["after", "before"])
def test_a_broken_connection_fails_only_an_unfinished_answer(end: StreamKitError, complete: bool) -> None:
    """After the finish reason nothing was missing; before it, what came is given first."""
    blocks = events("Hello", usage=False)
    call, _ = call_of(ScriptedAnswer([*blocks[: -1 if complete else -2], end]))
    chunks, error = run(call)

    assert "Hello" == said(chunks)
    assert (None if complete else end) is error


def test_what_a_block_brought_before_an_error_is_given_first() -> None:
    """Of one read, too."""
    call, _ = call_of(ScriptedAnswer([delta("Hello").encode() + error_event("too bad").encode() + delta("x").encode()]))
    chunks, error = run(call)

    assert ("Hello", True) == (said(chunks), isinstance(error, ProviderError))


def test_events_before_one_that_is_too_large_are_given() -> None:
    """In the same block."""
    call, _ = call_of(
        ScriptedAnswer([delta("Hello").encode() + b"data: " + b"x" * 5_000, b"more"]), limits=Limits(event=1_000)
    )
    chunks, error = run(call)

    assert ("Hello", ResponseTooLarge) == (said(chunks), type(error))


def test_a_decoder_that_breaks_is_a_decode_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """No exception of a codec reaches the user bare."""
    call, _ = call_of(ScriptedAnswer(events("Hello")))
    decoder_class = type(call.provider.codec.decoder(call.request, call.provider))

    def fail(self: object, event: object) -> None:
        raise KeyError("choices")

    monkeypatch.setattr(decoder_class, "event", fail)
    _, error = run(call)

    assert isinstance(error, DecodeError)
    assert "KeyError('choices')" in str(error)
    assert isinstance(error.__cause__, KeyError)


@pytest.mark.parametrize("status", [100, 199, 300, 404, 599])
def test_only_a_2xx_is_an_answer(status: int) -> None:
    """Anything else is read as far as `Limits.error_body`, closed, and told."""
    answer = ScriptedAnswer([b"too bad"], status)
    call, _ = call_of(answer, limits=Limits(error_body=50), retry_policy=RetryPolicy(max_retries=0))
    _, error = run(call)

    assert isinstance(error, ProviderError)
    assert (status, ["excerpt(50)", "close"]) == (error.status, answer.done)


def test_a_refusal_that_cannot_be_read_is_closed_all_the_same() -> None:
    """Whatever goes wrong there."""

    class Broken(ScriptedAnswer):
        def excerpt(self, limit: int | None) -> bytes:
            raise ConnectionLost("reset")

    answer = Broken([], 400)
    _, error = run(call_of(answer, retry_policy=RetryPolicy(max_retries=0))[0])

    assert (ConnectionLost, ["close"]) == (type(error), answer.done)


# ---------------------------------------------------------------- attempts


def test_each_retry_is_told_and_sends_the_same_request() -> None:
    """The scope counts, sleeps, and goes on."""
    scope = Recorder()
    call, transport = call_of(ConnectionLost("reset"), ScriptedAnswer([b""], 503), ScriptedAnswer(events("Hello")))
    chunks, error = run(call, scope)

    assert ("Hello", None) == (said(chunks), error)
    assert ["pause", ("retried", 1), "pause", ("retried", 2), "pause"] == scope.told[:-2]
    assert 1 == len({id(request) for request, _, _ in transport.requests})


def test_an_ended_stream_makes_no_further_attempt() -> None:
    """What the interrupted one met is the end's doing."""
    scope = Recorder(end=StreamKitError("enough"))
    call, transport = call_of(ConnectionLost("interrupted"), ScriptedAnswer(events("Hello")))
    _, error = run(call, scope)

    assert (ConnectionLost, 1, ["pause"]) == (type(error), len(transport.requests), scope.told)


def test_a_key_is_redacted_before_anybody_sees_it() -> None:
    """The observer of a retry is the first who could; of an error in the stream, the caller."""
    told: list[Any] = []
    bodies = [ScriptedAnswer([f"no {KEY}".encode()], 503), ScriptedAnswer([error_event(f"no {KEY}").encode()])]
    call, _ = call_of(
        *bodies, hooks=Hooks(on_retry=lambda info: told.append((str(info.error), info.error.__traceback__)))
    )
    _, error = run(call)

    assert KEY not in f"{told} {error} {vars(error) if error else ''}"
    assert [None] == [traceback for _, traceback in told]
    assert "[REDACTED]" in str(error)


def test_a_cause_is_redacted_too() -> None:
    """And its own cause; a cycle of them ends."""
    inner, outer = ValueError(f"{KEY} inside"), ConnectionLost(f"{KEY} outside")
    inner.note = KEY  # type: ignore[attr-defined]
    outer.__cause__, inner.__context__ = inner, outer
    _, error = run(call_of(outer, retry_policy=RetryPolicy(max_retries=0))[0])

    assert ("[REDACTED] outside", "[REDACTED] inside", "[REDACTED]") == (
        str(error),
        str(inner),
        inner.note,  # type: ignore[attr-defined]
    )


# ---------------------------------------------------------------- observers


def observed(
    *answers: ScriptedAnswer | StreamKitError, **settings: Any
) -> tuple[list[RequestInfo], list[ResponseInfo]]:
    """Run a call with observers of request and response."""
    requests: list[RequestInfo] = []
    results: list[ResponseInfo] = []
    hooks = Hooks(on_request=requests.append, on_response=results.append)
    run(call_of(*answers, hooks=hooks, **settings)[0])
    return requests, results


def test_observers_are_told_of_each_call_once() -> None:
    """Before it, whatever the number of attempts, and after it."""
    request, response = observed(ConnectionLost("reset"), ScriptedAnswer(events("Hello")), step=2)

    (asked,) = request
    (info,) = response

    assert ("openai", "gpt-4o", 1, 0, 2) == (
        asked.provider,
        asked.model,
        asked.message_count,
        asked.tool_count,
        asked.step,
    )
    assert "https://provider.test/v1" == asked.base_url
    assert asked.request is not None
    assert ("gpt-4o", "Hello") == (asked.request.model, asked.request.messages[0].text)
    assert ("openai", "gpt-4o", 2, "stop", 200, "req_1", None) == (
        info.provider,
        info.model,
        info.step,
        info.finish_reason,
        info.status,
        info.request_id,
        info.error,
    )
    assert 6 == info.usage.total_tokens
    assert info.ttft is not None
    assert 0 <= info.ttft <= info.latency


class Homeless:
    """A provider whose address cannot be had, as of a server of our own that does not start."""

    name = "homeless"
    codec = OpenAI(KEY).codec
    capabilities = OpenAI(KEY).capabilities

    @property
    def base_url(self) -> str:
        """Fail."""
        raise ConnectionLost("does not start")


def test_observers_are_told_of_a_call_that_goes_nowhere() -> None:
    """Without an address, once before and once after, with the error that encoding met."""
    (asked,), (info,) = observed(provider=Homeless(), retry_policy=RetryPolicy(max_retries=0))

    assert "" == asked.base_url
    assert isinstance(info.error, ConnectionLost)


def test_observers_are_told_of_a_call_that_was_refused() -> None:
    """With what the refusal said, no usage and no first token."""
    answer = ScriptedAnswer([b""], 429, {"x-request-id": "req_2"})
    _, (info,) = observed(answer, retry_policy=RetryPolicy(max_retries=0))

    assert (429, "req_2", None, None, Usage()) == (
        info.status,
        info.request_id,
        info.ttft,
        info.finish_reason,
        info.usage,
    )
    assert isinstance(info.error, RateLimited)


def test_observers_are_told_of_a_call_that_could_not_be_made() -> None:
    """No model: it fails before anything is sent."""
    requests, (info,) = observed(request=ChatRequest(model=""))

    assert 1 == len(requests)
    assert (None, None) == (info.status, info.request_id)
    assert info.error is not None


def test_observers_are_told_of_a_stream_that_failed() -> None:
    """With the usage so far."""
    usage = Event({"choices": [{"delta": {"content": "x"}}], "usage": {"total_tokens": 3}}).encode()
    _, (info,) = observed(ScriptedAnswer([usage, error_event("no", type="overloaded_error").encode()]))

    assert (200, 3, None) == (info.status, info.usage.total_tokens, info.finish_reason)
    assert isinstance(info.error, Overloaded)
    assert info.ttft is not None


# ---------------------------------------------------------------- a list of models


def test_models_are_listed() -> None:
    """The list is asked for as the codec says and read whole; the connection is let go."""
    answer = ScriptedAnswer([b'{"data": [{"id"', b': "a"}, {"id": "b"}]}'])
    call, transport = call_of(answer, limits=Limits(response=1_234))

    assert ["a", "b"] == call.models()
    assert [("https://provider.test/v1/models", "GET")] == [
        (sent.url, sent.method) for sent, _, _ in transport.requests
    ]
    assert ["blocks(1234)", "close"] == answer.done


def test_a_list_of_models_is_asked_for_again() -> None:
    """What may pass is retried as for an answer; observers hear of it."""
    told: list[int] = []
    refusal = ScriptedAnswer([b"busy"], status=503)
    call, transport = call_of(
        refusal, ScriptedAnswer([b'[{"id": "a"}]']), hooks=Hooks(on_retry=lambda info: told.append(info.attempt))
    )

    assert (["a"], 2, [1]) == (call.models(), len(transport.requests), told)


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (ScriptedAnswer([b'{"error": {"message": "who are you?"}}'], status=401), Unauthorized, "who are you"),
        (ScriptedAnswer([b"<html>Sign in</html>"]), DecodeError, "its list of models is no JSON: <html>Sign in"),
        (ScriptedAnswer([b""]), DecodeError, "no JSON"),
        (ScriptedAnswer([b'{"data": [', StreamTruncated("cut off")]), StreamTruncated, "cut off"),
    ],
)
def test_no_list_of_models(answer: ScriptedAnswer, error: type[StreamKitError], says: str) -> None:
    """A refusal, a page in its place and half a list are errors; the connection is let go."""
    call, _ = call_of(answer)
    with pytest.raises(error, match=says):
        call.models()

    assert "close" == answer.done[-1]


def test_no_key_in_an_error_of_a_list() -> None:
    """A server that echoes the key is not quoted."""
    call, _ = call_of(ScriptedAnswer([f"<p>{KEY}</p>".encode()]))
    with pytest.raises(DecodeError) as caught:
        call.models()

    assert KEY not in str(caught.value) + str(caught.value.event)


def test_a_list_of_models_waits_no_longer_than_it_may() -> None:
    """A retry that would begin after the total time is not begun."""
    call, transport = call_of(
        ScriptedAnswer([b"busy"], status=503, headers={"retry-after": "30"}), timeouts=Timeouts(total=5)
    )
    with pytest.raises(Overloaded):
        call.models()

    assert 1 == len(transport.requests)
