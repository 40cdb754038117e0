"""Six APIs of aimock, a server that others wrote to stand for theirs: answers exactly, faults by class."""

from __future__ import annotations

import concurrent.futures
import json
import subprocess
import threading
from collections.abc import Iterator

import pytest

from streamkit import (
    BadRequest,
    Cancelled,
    ChatBuilder,
    ChatResponse,
    ConnectionLost,
    Context,
    DeadlineExceeded,
    DecodeError,
    FirstChunkTimeout,
    NotFound,
    Overloaded,
    PermissionDenied,
    ProviderError,
    RateLimited,
    ServerError,
    StreamIdle,
    StreamKitError,
    StreamStalled,
    StreamTruncated,
    Timeouts,
    Unauthorized,
)
from tests.loopback import AT_ONCE, KEY, failure, took
from tests.servers.apis import TIME, WEATHER, Api

pytestmark = pytest.mark.servers

CUT = "This answer will be cut off in the middle of its text, after some of it."
SILENT = "This answer stops in the middle of its text, and the rest is never seen."
UNICODE = 'Grün 緑 أخضر 🎨👩‍👩‍👧🇩🇪, e\u0301\u2028\x00\ttab "quoted" \\ and\nlines\r\nof all kinds: data: [DONE]\n\nEnd'

APIS = {
    "chat": Api(provider="OpenAI", path="/v1", model="gpt-5"),
    "responses": Api(provider="OpenAIResponses", path="/v1", model="gpt-5", lacks=("length",)),
    "messages": Api(provider="Anthropic", model="claude-sonnet-4-20250514"),
    "gemini": Api(provider="Gemini", model="gemini-2.5-pro", lacks=("ids", "models")),
    "ollama": Api(provider="Ollama", model="qwen3", lacks=("ids", "length", "usage")),
    "cohere": Api(provider="Cohere", model="command-a-03-2025", lacks=("models", "thinking")),
}


def apis_with(feature: str) -> pytest.MarkDecorator:
    """Only the APIs that the server gives this feature."""
    names = [name for name, api in APIS.items() if feature not in api.lacks]
    return pytest.mark.parametrize("api", names, indirect=True)


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> Api:
    """Each API."""
    return APIS[request.param]


@pytest.fixture
def chat(request: pytest.FixtureRequest, aimock: str, api: Api) -> Iterator[ChatBuilder]:
    """A chat with each API, not retried; the server counts for each test apart what it was asked."""
    with api.client(aimock, KEY) as client:
        yield client.chat(api.model).headers({"x-test-id": request.node.name})


def test_the_text_arrives_exactly(chat: ChatBuilder) -> None:
    """The text is the server's, in several chunks that join to it."""
    stream = chat.user("colours").get_stream()
    chunks = [chunk.content for chunk in stream]
    final = stream.result()

    assert "Red, green and blue, in that order." == final.text == "".join(chunks)
    assert len(chunks) > 3
    assert ("stop", True) == (final.finish_reason, final.complete)


def test_every_character_survives(chat: ChatBuilder) -> None:
    """Characters of all planes, controls, line ends and what looks like framing come through; no chunk has half a one.

    The server cuts texts by UTF-16 units: it sends halves of an emoji in two events, here, in thinking and in calls.
    """
    stream = chat.user("unicode").get_stream()
    chunks = [chunk.content.encode() for chunk in stream]  # half a character cannot be encoded

    assert UNICODE == stream.result().text == b"".join(chunks).decode()


@apis_with("thinking")
def test_thinking_is_told_from_text(chat: ChatBuilder) -> None:
    """Thinking comes first and apart from the text."""
    final = chat.user("think").get_response()

    assert ("Six times seven, carried in the head 🤔🤔🤔.", "It is 42.") == (final.thinking, final.text)


def test_the_system_prompt_is_obeyed(chat: ChatBuilder) -> None:
    """The server sees the system prompt as such, and settings do not trouble it."""
    asked = chat.user("who are you?")
    told = asked.system("You are a pirate.").temperature(0.5).max_tokens(100).top_p(0.9)

    assert "Nobody told me." == asked.get_response().text
    assert "A pirate, arr." == told.get_response().text


@apis_with("usage")
def test_usage_is_what_the_server_says(chat: ChatBuilder) -> None:
    """Token counts are the server's, under our names."""
    usage = chat.user("usage").get_response().usage

    assert (11, 7, 18, "reported") == (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, usage.source)


@apis_with("length")
def test_an_answer_at_its_limit_says_so(chat: ChatBuilder) -> None:
    """An answer that the limit ended is complete, and its finish reason is "length"."""
    final = chat.user("length").get_response()

    assert ("Not the whole of it", "length", True) == (final.text, final.finish_reason, final.complete)


# -- tools


def calls(response: ChatResponse) -> list[tuple[str, object]]:
    """Names and arguments of its tool calls."""
    return [(call.name, call.arguments) for call in response.tool_calls]


def test_a_tool_call_arrives_exactly(chat: ChatBuilder) -> None:
    """A call has its name and arguments, and its chunks are a start, pieces that join to its input, and the whole."""
    stream = chat.user("weather").tools([WEATHER]).get_stream()
    chunks = list(stream)
    final = stream.result()
    (call,) = final.tool_calls
    kinds = [chunk.type for chunk in chunks if chunk.type.startswith("tool")]
    pieces = [chunk.tool_input for chunk in chunks if chunk.type == "tool_call_delta"]

    assert [("get_weather", {"city": "Saint-Étienne 🎨🎨🎨", "days": 3})] == calls(final)
    assert ("tool_call_start", "tool_call") == (kinds[0], kinds[-1])
    assert "".join(pieces) in ("", call.input)  # "": some APIs send a call whole
    assert "tool_calls" == final.finish_reason


def test_a_tool_result_goes_back(chat: ChatBuilder) -> None:
    """The server finds call and result in the history that is sent back, and answers."""
    asked = chat.user("weather").tools([WEATHER])
    first = asked.get_response()
    told = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "sunny, 21 degrees"}

    assert "It will be sunny in Saint-Étienne." == asked.messages([*first.messages, told]).get_response().text


def test_parallel_tool_calls_are_kept_apart(api: Api, chat: ChatBuilder) -> None:
    """Three calls in one answer arrive in order, each with its id where the API has ids, and their results go back."""
    asked = chat.user("compare").tools([WEATHER, TIME])
    first = asked.get_response()
    results = zip(first.tool_calls, ("21 degrees", "3 degrees", "noon"), strict=True)
    told = [{"role": "tool", "tool_call_id": call.id, "content": result} for call, result in results]

    assert [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Oslo"}), ("get_time", {})] == calls(first)
    assert 3 == len({call.id for call in first.tool_calls} - {""}) or "ids" in api.lacks
    assert "Paris is warmer." == asked.messages([*first.messages, *told]).get_response().text


@apis_with("thinking")
def test_thinking_goes_back_with_its_call(chat: ChatBuilder) -> None:
    """An answer that thinks and then calls has both, and the server takes both back with the result."""
    asked = chat.user("ponder").tools([TIME])
    first = asked.get_response()
    told = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "noon"}
    second = asked.messages([*first.messages, told]).get_response()

    assert ("A clock will know.", [("get_time", {})]) == (first.thinking, calls(first))
    assert ("So it is.", "It is noon.") == (second.thinking, second.text)


def test_text_and_a_tool_call_in_one_answer(chat: ChatBuilder) -> None:
    """An answer may have both."""
    final = chat.user("both").tools([WEATHER]).get_response()

    assert ("Let me look.", [("get_weather", {"city": "Rome"})]) == (final.text, calls(final))
    assert "tool_calls" == final.finish_reason


def test_a_tool_call_may_come_before_the_text(chat: ChatBuilder) -> None:
    """Calls and text arrive in the order in which the server sends them."""
    stream = chat.user("call first").tools([WEATHER]).get_stream()
    kinds = [chunk.type for chunk in stream.ch if chunk.content or chunk.type == "tool_call_start"]
    final = stream.result()

    assert ("I have asked.", [("get_weather", {"city": "Oslo"})]) == (final.text, calls(final))
    assert ["tool_call_start", "text"] == kinds[:2]


# -- faults


def test_the_key_is_where_the_api_wants_it(aimock: str, api: Api) -> None:
    """The server answers only those who know its key; another key is an error that says so and does not show it."""
    with api.client(aimock, "sk-wrong") as client:
        error = failure(client.chat(api.model).user("colours").get_stream)

    assert Unauthorized is type(error)
    assert "Invalid API key" in str(error)
    assert "sk-wrong" not in repr(error)


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (400, BadRequest, "That is no request"),
        (401, Unauthorized, "Who are you?"),
        (403, PermissionDenied, "Not for you"),
        (404, NotFound, "No such model"),
        (429, RateLimited, "Slow down"),
        (500, ServerError, "It broke"),
        (503, Overloaded, "Too busy"),
    ],
)
def test_a_status_is_an_error_of_its_class(
    chat: ChatBuilder, status: int, kind: type[ProviderError], said: str
) -> None:
    """Each status raises its class, with the server's words and the time that it asks to wait."""
    with pytest.raises(ProviderError) as caught:
        chat.user(f"status {status}").get_stream()
    error = caught.value

    assert (kind, status, 7 if status == 429 else None) == (type(error), error.status, error.retry_after)
    assert said in str(error)


@pytest.mark.slow
def test_a_retry_waits_as_long_as_told_and_succeeds(chat: ChatBuilder) -> None:
    """Refused once with 429 and a Retry-After, the request is made again, not earlier, and the answer counts both."""
    with took(10, least=0.3):
        stream = chat.user("recovers").retry_policy(AT_ONCE).get_stream()
        final = stream.result()

    assert ("There you are.", 2) == (final.text, stream.stats.attempts)


def test_retries_that_fail_are_counted(chat: ChatBuilder) -> None:
    """Refused each time, the error says how often it was tried."""
    error = failure(chat.user("status 500").retry_policy(AT_ONCE).get_stream)

    assert (ServerError, 3) == (type(error), error.attempts)


@pytest.mark.parametrize("how", ["by count", "by time"])
def test_a_cut_answer_is_an_error(chat: ChatBuilder, how: str) -> None:
    """An answer that is cut in the middle is never taken for a whole one, and what had arrived of it is kept."""
    stream = chat.user(f"cut {how}").get_stream()
    arrived = "".join(chunk.content for chunk in stream.ch)
    error = stream.err.get()

    assert isinstance(error, (StreamTruncated, ConnectionLost))
    assert stream.final.get() is None
    assert_partial(error, arrived, of=CUT)


def test_a_malformed_body_is_an_error(chat: ChatBuilder) -> None:
    """A body that is no stream, under status 200, is an error and never an empty answer.

    Where an answer is lines of JSON, it is taken for half a line.
    """
    error = failure(chat.user("malformed").get_stream)

    assert isinstance(error, (DecodeError, StreamTruncated))
    assert "{malformed json" in str(error) or isinstance(error, StreamTruncated)


def test_a_server_that_hangs_up_is_an_error(chat: ChatBuilder) -> None:
    """A connection that is closed before the headers is lost, and tried again where that is wanted."""
    error = failure(chat.user("hang up").retry_policy(AT_ONCE).get_stream)

    assert (ConnectionLost, 3) == (type(error), error.attempts)


def assert_partial(error: StreamKitError, arrived: str, *, of: str) -> None:
    """The error has what arrived, which is the beginning of the answer, and some of it but not all."""
    assert error.partial is not None
    assert arrived == error.partial.text
    assert of.startswith(arrived)
    assert 0 < len(arrived) < len(of)
    assert not error.partial.complete


# -- time


@pytest.mark.slow
@pytest.mark.parametrize(
    ("timeouts", "kind"),
    [
        (Timeouts(idle=0.2), StreamIdle),
        (Timeouts(first_chunk=0.2), FirstChunkTimeout),
        (Timeouts(total=0.2), DeadlineExceeded),
    ],
)
def test_an_answer_that_does_not_begin_meets_the_clocks(
    chat: ChatBuilder, timeouts: Timeouts, kind: type[StreamKitError]
) -> None:
    """A server that accepts the request and says nothing is left when a clock says so, in an error of its own."""
    with took(10, least=0.2):
        error = failure(chat.user("silence").timeouts(timeouts).get_stream)

    assert kind is type(error)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("timeouts", "kind"),
    [
        (Timeouts(idle=0.4), StreamIdle),
        (Timeouts(stall=0.3), StreamStalled),
        (Timeouts(total=0.8), DeadlineExceeded),
    ],
)
def test_an_answer_that_falls_silent_meets_the_clocks(
    chat: ChatBuilder, timeouts: Timeouts, kind: type[StreamKitError]
) -> None:
    """A silence within the answer ends it when a clock says so; what had arrived is delivered and kept."""
    stream = chat.user("falls silent").timeouts(timeouts).get_stream()
    arrived = "".join(chunk.content for chunk in stream.ch)
    error = stream.err.get()

    assert isinstance(error, kind)
    assert_partial(error, arrived, of=SILENT)


def test_chunks_arrive_as_they_are_sent(chat: ChatBuilder) -> None:
    """A server that writes one piece every 20 ms is read at its pace, not at its end."""
    stream = chat.user("pace").get_stream()
    final = stream.result()
    stats = stream.stats

    assert "one two three four five six seven eight" == final.text
    assert stats.ttft is not None
    assert stats.ttft >= 0.04
    assert stats.elapsed - stats.ttft >= 0.05


def test_a_cancel_ends_a_silent_answer_at_once(chat: ChatBuilder) -> None:
    """A cancel while the server is silent in the middle of its answer frees the reader; what had arrived is kept."""
    stream = chat.user("falls silent").get_stream()
    first = next(iter(stream.ch)).content
    with took(2):
        stream.cancel()
        error = stream.err.get()

    assert isinstance(error, Cancelled)
    assert error.partial is not None
    assert error.partial.text.startswith(first)
    assert not error.partial.complete


def test_a_cancel_ends_the_wait_for_an_answer_at_once(chat: ChatBuilder) -> None:
    """A cancel while the server has not sent its headers frees the thread that opens the stream."""
    ctx = Context()
    timer = threading.Timer(0.1, ctx.cancel)
    with took(2):
        timer.start()
        error = failure(lambda: chat.user("silence").get_stream(ctx))
    timer.join()

    assert Cancelled is type(error)


# -- the server


@apis_with("models")
def test_the_server_says_its_models(aimock: str, api: Api) -> None:
    """The list of models comes without a request for an answer; a wrong key is told there too."""
    with api.client(aimock, KEY) as client, api.client(aimock, "sk-wrong") as stranger:
        assert {"gpt-4", "gpt-4o"} < set(client.models())
        with pytest.raises(Unauthorized):
            stranger.models()


@pytest.mark.slow
def test_streams_in_parallel_do_not_mix(chat: ChatBuilder) -> None:
    """Sixteen streams at once, failing ones among them, each bring what was asked of them."""
    expected: dict[str, object] = {
        "colours": "Red, green and blue, in that order.",
        "unicode": UNICODE,
        "usage": "Counted.",
        "status 503": Overloaded,
    }

    def outcome(prompt: str) -> object:
        try:
            return chat.user(prompt).get_response().text
        except ProviderError as error:
            return type(error)

    prompts = list(expected) * 4
    with concurrent.futures.ThreadPoolExecutor(len(prompts)) as pool:
        outcomes = list(pool.map(outcome, prompts))

    assert [expected[prompt] for prompt in prompts] == outcomes


@pytest.mark.slow
def test_the_server_ends_with_its_parent(aimock_command: list[str]) -> None:
    """The server says where it is and ends when its stdin does: no run of the tests leaves one behind."""
    ran = subprocess.run(aimock_command, input=b"", stdout=subprocess.PIPE, timeout=60, check=True)

    assert json.loads(ran.stdout)["url"].startswith("http://127.0.0.1:")
