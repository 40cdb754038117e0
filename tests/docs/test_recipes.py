# ruff: noqa: T201  # programs that print are what is shown here
"""Small programs, as the guides to text, tools and objects have them: what each prints, and what it may rely on."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest

from streamkit import (
    BadRequest,
    ChatResponse,
    Chunk,
    ChunkType,
    Client,
    Context,
    Model,
    ObjectStream,
    RequestInfo,
    ResponseInfo,
    Source,
    SourceChunk,
    StreamKitError,
    StreamTruncated,
    TextStream,
    generate_text,
    stream_object,
    stream_text,
    tool,
)
from streamkit.providers import Anthropic, OpenAIResponses
from streamkit.testing import (
    Close,
    Event,
    ProviderServer,
    Script,
    Stall,
    Status,
    Step,
    anthropic_answer,
    chat_answer,
    error_answer,
    responses_answer,
)
from tests.loopback import ONCE, delta

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "text.md"
DEGREES = {"Tokyo": 24, "London": 17}


@tool
def get_weather(city: str) -> dict[str, Any]:
    """Get the weather in a city."""
    return {"city": city, "degrees": DEGREES[city]}


@attrs.define
class Report:
    """A report."""

    title: str
    sections: list[str]


@pytest.fixture
def model(client: Client) -> Model:
    """A model of it."""
    return client.model("gpt-4o")


def with_fields(script: Script, **fields: Any) -> list[Step]:
    """An answer of which each event says more than it must."""
    return [
        Event({**step.data, **fields}) if isinstance(step, Event) and not isinstance(step.data, str) else step
        for step in script
    ]


# -- text


def test_text_as_it_comes(server: ProviderServer, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    """`text_stream` gives the text alone, without the thinking before it."""
    server.reply(*chat_answer("An old", " pond", thinking="Five, seven, five."))

    stream = stream_text(model, prompt="Write a haiku about ponds.")
    for text in stream.text_stream():
        print(text, end="")
    print()

    assert "An old pond\n" == capsys.readouterr().out


def test_every_chunk_as_it_comes(server: ProviderServer, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    """`stream` gives each kind with its own fields; thinking is told apart, a call is whole, usage comes at the end."""
    call = ("get_weather", {"city": "Tokyo"})
    server.reply(*chat_answer("Let me see.", thinking="Hm. ", tool_calls=[call]))

    for chunk in stream_text(model, prompt="How warm is it?", tools=[get_weather], max_steps=1).stream():
        match chunk.type:
            case ChunkType.TEXT:
                print(chunk.text)
            case ChunkType.REASONING:
                print(f"({chunk.text})")
            case ChunkType.TOOL_CALL:
                print(f"Tool call: {chunk.tool_name}({chunk.tool_input})")
            case ChunkType.FINISH:
                print(f"Done. Tokens: {chunk.usage.total_tokens}")

    assert capsys.readouterr().out.splitlines() == [
        "(Hm. )",
        "Let me see.",
        'Tool call: get_weather({"city":"Tokyo"})',
        "Done. Tokens: 6",
    ]


def test_the_result_after_the_text(server: ProviderServer, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    """Text first, then why it ended and what it cost: nothing is lost by having read the stream."""
    server.reply(*chat_answer("A monad", " is a monoid.", finish="length"))

    stream = stream_text(model, prompt="Explain monads.")
    for text in stream.text_stream():
        print(text, end="")
    print()
    result = stream.result()
    print(f"Finish reason: {result.finish_reason}, tokens: {result.total_usage.total_tokens}")

    assert "A monad is a monoid.\nFinish reason: length, tokens: 7\n" == capsys.readouterr().out


def test_the_error_after_the_text(server: ProviderServer, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    """An answer that is cut off ends the loop as any other does; `err` tells it from a whole one, and has the text."""
    server.reply(Status(), delta("Once upon"), Close())

    stream = stream_text(model, prompt="Tell me a story.")
    for text in stream.text_stream():
        print(text, end="")
    err = stream.err()

    assert "Once upon" == capsys.readouterr().out
    assert isinstance(err, StreamTruncated)
    assert err.partial is not None
    assert ("Once upon", False) == (err.partial.text, err.partial.complete)


def test_text_without_a_stream(server: ProviderServer, model: Model) -> None:
    """`generate_text` gives what `stream_text` gives in the end, to the field."""
    server.reply(*chat_answer("4", thinking="2+2"), times=2)

    assert generate_text(model, prompt="What is 2+2?") == stream_text(model, prompt="What is 2+2?").result()


@pytest.mark.parametrize(
    "end",
    [
        lambda stream, ctx: ctx.cancel(),
        lambda stream, ctx: stream.cancel(),
        lambda stream, ctx: stream.close(),
        lambda stream, ctx: None,
    ],
    ids=["context", "cancel", "close", "dropped"],
)
@pytest.mark.parametrize(
    "start",
    [
        lambda model, ctx: stream_text(model, prompt="Go on for ever.", ctx=ctx),
        lambda model, ctx: stream_object(model, Report, prompt="Go on for ever.", ctx=ctx),
    ],
    ids=["text", "object"],
)
def test_a_stream_that_nobody_reads_to_its_end(
    start: Callable[[Model, Context], TextStream | ObjectStream[Any]],
    end: Callable[[TextStream | ObjectStream[Any] | None, Context], object],
    server: ProviderServer,
    model: Model,
) -> None:
    """Is over once its context, its user or nobody at all wants it: the connection is closed, and no thread is left."""
    server.reply(Status(), delta('{"title": "A'), Stall())
    ctx = Context()
    end(start(model, ctx), ctx)
    gc.collect()

    assert server.requests[0].disconnected.wait(2)


# -- tools


def test_a_tool_loop(server: ProviderServer, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    """All steps are one stream: text, calls, the end of each step with its reason, the end with the tokens of all."""
    calls = [("get_weather", {"city": city}) for city in DEGREES]
    server.reply(*chat_answer("Let me see.", tool_calls=calls))
    server.reply(*chat_answer("Tokyo", " is warmer."))

    stream = stream_text(model, prompt="Tokyo or London?", tools=[get_weather], max_steps=5)
    for chunk in stream.stream():
        if chunk.type == "text":
            print(chunk.content, end="")
        elif chunk.type == "tool_call":
            print(f"\n[tool call: {chunk.tool_name}]", end="")
        elif chunk.type == "tool_result":
            print(f"\n[result: {chunk.tool_output}]", end="")
        elif chunk.type == "step_finish":
            print(f"\n[step {chunk.step} done, reason={chunk.finish_reason}, tokens={chunk.usage.total_tokens}]")
        elif chunk.type == "finish":
            print(f"[finished, tokens={chunk.usage.total_tokens}]")
    assert stream.err() is None
    print(f"Completed in {len(stream.result().steps)} steps")
    printed = capsys.readouterr().out.splitlines()

    assert sorted(printed[3:5]) == [
        '[result: {"city": "London", "degrees": 17}]',
        '[result: {"city": "Tokyo", "degrees": 24}]',
    ]
    assert printed[:3] + printed[5:] == [
        "Let me see.",
        "[tool call: get_weather]",
        "[tool call: get_weather]",
        "[step 1 done, reason=tool_calls, tokens=6]",
        "Tokyo is warmer.",
        "[step 2 done, reason=stop, tokens=7]",
        "[finished, tokens=13]",
        "Completed in 2 steps",
    ]


def test_the_fields_of_a_result(server: ProviderServer, model: Model) -> None:
    """Text of all steps; calls, usage and reason of the last; usage of all; the model that really answered."""
    server.reply(*chat_answer("Let me see. ", tool_calls=[("get_weather", {"city": "Tokyo"})]))
    server.reply(*chat_answer("It is warm.", model="gpt-4o-2024-11-20"))
    result = generate_text(model, prompt="How warm is it?", tools=[get_weather])
    first, second = result.steps

    assert "Let me see. It is warm." == result.text
    assert ((), "stop", "natural") == (result.tool_calls, result.finish_reason, result.stop_cause)
    assert (6, 12) == (result.usage.total_tokens, result.total_usage.total_tokens)
    assert ("chatcmpl-test", "gpt-4o-2024-11-20") == (result.response.id, result.response.model)
    assert ["Tokyo"] == [call.arguments["city"] for call in first.tool_calls]
    assert ['{"city": "Tokyo", "degrees": 24}'] == [output.output for output in first.tool_results]
    assert ("It is warm.", "stop", 6) == (second.text, second.finish_reason, second.usage.total_tokens)
    assert ["assistant", "tool", "assistant"] == [message.role for message in result.messages]


FIELDS: dict[str, dict[str, Any]] = {
    "thinking": {"content": "Hm.", "text": "Hm.", "delta": "Hm."},
    "text": {"content": "Let me see.", "text": "Let me see.", "delta": "Let me see.", "metadata": {}},
    "tool_call_start": {"tool_call_id": "call_1", "tool_name": "get_weather", "content": ""},
    "tool_call_delta": {"tool_call_id": "call_1", "tool_input": '{"city":', "content": ""},
    "tool_call": {
        "tool_call_id": "call_1",
        "tool_name": "get_weather",
        "tool_input": '{"city":"Tokyo"}',
        "arguments": {"city": "Tokyo"},
        "content": "",
    },
    "tool_result": {
        "tool_call_id": "call_1",
        "tool_name": "get_weather",
        "tool_output": '{"city": "Tokyo", "degrees": 24}',
        "is_error": False,
        "content": "",
    },
    "step_finish": {"step": 1, "finish_reason": "tool_calls", "content": ""},
    "finish": {"finish_reason": "stop", "content": ""},
}


def test_the_fields_of_each_chunk(server: ProviderServer, model: Model) -> None:
    """As the table in the guide has them; of fields not named here every kind has `index` and `metadata`."""
    server.reply(*chat_answer("Let me see.", thinking="Hm.", tool_calls=[("get_weather", {"city": "Tokyo"})]))
    server.reply(*chat_answer("Warm."))
    first: dict[str, Chunk] = {}
    for chunk in stream_text(model, prompt="How warm is it?", tools=[get_weather]).stream():
        first.setdefault(chunk.type, chunk)

    assert FIELDS == {kind: {name: getattr(first[kind], name) for name in fields} for kind, fields in FIELDS.items()}
    assert [first[kind].index for kind in FIELDS] == sorted(first[kind].index for kind in FIELDS)


def test_the_tables_of_the_guide() -> None:
    """Name every kind of chunk, and of chunks and of the result only fields that there are."""
    kinds = {attrs.fields_dict(cls)["type"].default: cls for cls in get_args(Chunk)}
    told = {first: last for (first,), *_, last in table("Chunks")}
    of_result = [name for names, *_ in table("The result") for name in names]

    assert set(kinds) == set(told) - {"type"}
    assert [] == [(kind, name) for kind, cls in kinds.items() for name in told[kind] if not has(cls, name)]
    assert {"text", "stop_cause"} < set(of_result)
    assert [] == [name for name in of_result if not hasattr(ChatResponse, name)]


def table(section: str) -> list[list[list[str]]]:
    """The names in each cell of a section's table, by row; rows without any are left out."""
    text = GUIDE.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    names = [[re.findall(r"`(\w+)`", cell) for cell in row] for row in rows]
    return [row for row in names if row[0]]


def has(cls: type, name: str) -> bool:
    """Whether chunks of this class have that; of a citation, its `source`."""
    return hasattr(Source if cls is SourceChunk and name != "source" else cls, name)


def test_the_last_chunk_of_a_failed_stream(server: ProviderServer, model: Model) -> None:
    """Is of type "error" and has the error; there is no `finish` then, and no `step_finish` of the step that failed."""
    server.reply(Status(), delta("Once upon"), Close())
    *others, last = stream_text(model, prompt="Tell me a story.").stream()

    assert ["text"] == [chunk.type for chunk in others]
    assert last.type == "error"
    assert isinstance(last.error, StreamTruncated)
    assert 1 == last.index


def test_what_only_the_provider_knows(server: ProviderServer, model: Model) -> None:
    """Each step's end has what was said beside it; the finish and the result have the last one's, by provider."""
    call = [("get_weather", {"city": "Tokyo"})]
    server.reply(*with_fields(chat_answer(tool_calls=call), service_tier="flex"))
    server.reply(*with_fields(chat_answer("Warm."), service_tier="default"))
    stream = stream_text(model, prompt="How warm is it?", tools=[get_weather])
    chunks = list(stream.stream())
    finish, result = chunks[-1], stream.result()

    assert ["flex", "default"] == [
        chunk.response.provider_metadata["service_tier"] for chunk in chunks if chunk.type == "step_finish"
    ]
    assert finish.type == "finish"
    assert {"openai": {"service_tier": "default"}} == finish.metadata["provider_metadata"] == result.provider_metadata
    assert {"service_tier": "default"} == finish.response.provider_metadata == result.response.provider_metadata


def test_reasoning_summaries_are_thinking(server: ProviderServer) -> None:
    """Of the Responses API, as they come; they are no part of the text."""
    server.reply(*responses_answer("Hello", thinking="They greet me."))
    with Client(OpenAIResponses("k", base_url=server.base_url), retry_policy=ONCE) as client:
        stream = stream_text(client.model("gpt-5"), prompt="Hello")

        assert [("thinking", "They greet me."), ("text", "Hello")] == [
            (chunk.type, chunk.content) for chunk in stream.stream() if chunk.content
        ]
        assert ("Hello", "They greet me.") == (stream.result().text, stream.result().reasoning)


# -- objects


def test_an_object_that_grows(server: ProviderServer, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    """Each partial is a `Report`, of which what has not come is None or an empty list; the result is whole."""
    server.reply(*chat_answer('{"title": "Te', 'a", ', '"sections": ["Green", "Bl', 'ack"]', "}"))

    stream = stream_object(model, Report, prompt="Report on tea.")
    for partial in stream.partial_object_stream():
        print(f"title={partial.title!r} sections={len(partial.sections)}")
    print(stream.result().object)

    assert stream.err() is None
    assert capsys.readouterr().out.splitlines() == [
        "title='Te' sections=0",
        "title='Tea' sections=0",
        "title='Tea' sections=2",
        "title='Tea' sections=2",
        "Report(title='Tea', sections=['Green', 'Black'])",
    ]


def test_an_object_stream_has_no_chunks(server: ProviderServer, model: Model) -> None:
    """Partials and result are its views, of which each is whole whatever was read before."""
    server.reply(*chat_answer('{"title": "Tea", "sections": []}'))
    stream = stream_object(model, Report, prompt="Report on tea.")

    assert not hasattr(stream, "stream")
    assert Report("Tea", []) == stream.result().object
    assert [Report("Tea", [])] * 2 == [list(stream.partial_object_stream())[-1] for _ in range(2)]


# -- observers


def test_observers_of_requests(server: ProviderServer, model: Model) -> None:
    """The request before it is sent, the response when it is drained: once for each step."""
    told: list[str] = []

    def on_request(info: RequestInfo) -> None:
        told.append(f"request {len(server.requests)}: model={info.model} messages={info.message_count}")

    def on_response(info: ResponseInfo) -> None:
        told.append(f"response: tokens={info.usage.total_tokens} err={info.error} took={info.latency > 0}")

    server.reply(*chat_answer(tool_calls=[("get_weather", {"city": "Tokyo"})]))
    server.reply(*chat_answer("Warm."))
    generate_text(model, prompt="Hm?", tools=[get_weather], on_request=on_request, on_response=on_response)

    assert [
        "request 0: model=gpt-4o messages=1",
        "response: tokens=5 err=None took=True",
        "request 1: model=gpt-4o messages=3",
        "response: tokens=6 err=None took=True",
    ] == told


@pytest.mark.parametrize(
    "ask", [lambda model, **how: stream_text(model, **how), lambda model, **how: stream_object(model, Report, **how)]
)
def test_a_request_that_is_refused(ask: Any, server: ProviderServer, model: Model) -> None:
    """The call itself raises, after the observer of responses was told; there is no stream then."""
    told: list[StreamKitError | None] = []
    finished: list[ChatResponse] = []
    server.reply(*error_answer(400, "no"))
    with pytest.raises(BadRequest) as raised:
        ask(model, prompt="Hello", on_response=lambda info: told.append(info.error), on_finish=finished.append)

    assert ([raised.value], []) == (told, finished)


def test_what_claude_says_beside_the_answer(server: ProviderServer) -> None:
    """Keys that only Anthropic has lie flat in the response's metadata."""
    script = list(anthropic_answer("Hello"))
    at = next(i for i, step in enumerate(script) if isinstance(step, Event) and step.event == "message_delta")
    usage = {"output_tokens": 1, "iterations": [{"input_tokens": 5}]}
    script[at] = attrs.evolve(script[at], data={**script[at].data, "usage": usage})  # type: ignore[attr-defined,misc]
    server.reply(*script)
    with Client(Anthropic("k", base_url=server.url), retry_policy=ONCE) as client:
        result = generate_text(client.model("claude-sonnet-4-5"), prompt="Hello")

    assert [{"input_tokens": 5}] == result.response.provider_metadata["iterations"]
    assert [{"input_tokens": 5}] == result.provider_metadata["anthropic"]["iterations"]
