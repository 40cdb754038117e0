"""Answers that go on, under faults: an end in every phase, silence, clocks, a process that is killed; nothing left."""

from __future__ import annotations

import gc
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import pytest

from streamkit import (
    Cancelled,
    ChatResponse,
    ChatStream,
    Client,
    Context,
    DeadlineExceeded,
    FirstChunkTimeout,
    Hooks,
    Limits,
    ResponseTooLarge,
    RetriesExhausted,
    RetryPolicy,
    StreamIdle,
    StreamKitError,
    StreamStalled,
    StreamState,
    Timeouts,
    resume,
    stream_with_retry,
)
from streamkit.testing import (
    Close,
    Gate,
    Notify,
    ProviderServer,
    Stall,
    Status,
    Wait,
    chat_answer,
    error_answer,
)
from tests.loopback import client_of, delta, run_python, took

FREE = 1.0
"""Seconds in which a consumer must be free; a few milliseconds are usual."""
PATIENCE = 10.0
TEXT = "The quick brown fox jumps over"
AT_ONCE = RetryPolicy(initial_interval=0)


def ended() -> None:
    """Wait until no thread of a stream is left."""
    for thread in threading.enumerate():
        if thread.name.startswith(("streamkit-openai", "streamkit-resting")):
            thread.join(PATIENCE)
            assert not thread.is_alive(), thread.name


# -- an end in each phase


@attrs.frozen(kw_only=True)
class Phase:
    """Where an answer is, and what there is of it by then."""

    arrange: Callable[[ProviderServer, threading.Event], object]
    text: str = TEXT
    requests: int = 1
    opens: bool = True
    """Whether `stream_with_retry` has returned."""
    live: bool = True
    """Whether the server still answers."""


def cut(server: ProviderServer) -> None:
    """A first attempt that is cut."""
    server.reply(Status(), delta(TEXT), Close())


def first_headers(server: ProviderServer, reached: threading.Event) -> None:
    """The first request is not answered."""
    server.reply(Notify(reached), Stall())


def first_text(server: ProviderServer, reached: threading.Event) -> None:
    """The first answer falls silent."""
    server.reply(Status(), delta(TEXT), Notify(reached), Stall())


def waiting(server: ProviderServer, reached: threading.Event) -> None:
    """The second request was refused for half a minute."""
    cut(server)
    server.reply(*error_answer(503, "later", {"Retry-After": "30"}))


def second_headers(server: ProviderServer, reached: threading.Event) -> None:
    """The second request is not answered."""
    cut(server)
    server.reply(Notify(reached), Stall())


def held_back(server: ProviderServer, reached: threading.Event) -> None:
    """What has come of the second answer may be a repetition."""
    cut(server)
    server.reply(Status(), delta(" quick"), delta(" brown"), Notify(reached), Stall())


def second_text(server: ProviderServer, reached: threading.Event) -> None:
    """The second answer has given something new, and falls silent."""
    cut(server)
    server.reply(Status(), delta(" the dog"), Notify(reached), Stall())


PHASES = {
    "first headers": Phase(arrange=first_headers, text="", opens=False),
    "first text": Phase(arrange=first_text),
    "waiting": Phase(arrange=waiting, requests=2, live=False),
    "second headers": Phase(arrange=second_headers, requests=2),
    "held back": Phase(arrange=held_back, requests=2, text=f"{TEXT} quick brown"),
    "second text": Phase(arrange=second_text, requests=2, text=f"{TEXT} the dog"),
}

WAYS: dict[str, Callable[[ChatStream, Context], object]] = {
    "context": lambda stream, ctx: ctx.cancel(),
    "cancel": lambda stream, ctx: stream.cancel(),
    "close": lambda stream, ctx: stream.close(),
    "channel": lambda stream, ctx: stream.ch.close(),
}


def open_in(phase: Phase, server: ProviderServer, client: Client, ctx: Context) -> ChatStream:
    """Open an answer and bring it to its phase."""
    reached, chunked, resumed = threading.Event(), threading.Event(), threading.Event()
    hooks = Hooks(on_chunk=lambda chunk: chunked.set() if phase.text.endswith(chunk.content) else None)
    phase.arrange(server, reached)
    stream = stream_with_retry(
        client.chat("gpt-4o").user("Tell.").hooks(hooks),
        ctx=ctx,
        retry_policy=AT_ONCE,
        on_resume=lambda state, error: resumed.set() if "503" in str(error) else None,
    )
    assert (resumed if phase.arrange is waiting else reached).wait(PATIENCE)
    if phase.text == f"{TEXT} quick brown":  # it passes nowhere: it must be seen in what there is
        until, pause = time.monotonic() + PATIENCE, threading.Event()
        while stream.partial.text != phase.text and time.monotonic() < until:
            pause.wait(0.001)
    else:
        assert chunked.wait(PATIENCE)
    return stream


@pytest.mark.parametrize("phase", [name for name in PHASES if PHASES[name].opens])
@pytest.mark.parametrize("way", WAYS)
def test_an_end_in_each_phase(phase: str, way: str, server: ProviderServer, client: Client) -> None:
    """The reader is free at once, all that had come is in the error, nothing more is asked."""
    at, ctx = PHASES[phase], Context()
    stream = open_in(at, server, client, ctx)
    with ThreadPoolExecutor(1) as executor:
        reader = executor.submit(lambda: list(stream.ch))
        with took(FREE):
            WAYS[way](stream, ctx)
            reader.result(PATIENCE)
            error = stream.err.get()
    assert isinstance(error, Cancelled) and error.partial is not None
    partial = error.partial
    ended()

    assert partial is error.partial
    assert (at.text, False) == (error.partial.text, error.partial.complete)
    assert at.requests == len(server.requests)
    assert not at.live or server.requests[-1].disconnected.wait(FREE)


@pytest.mark.parametrize("phase", [name for name in PHASES if PHASES[name].opens])
def test_a_stream_dropped_in_each_phase(phase: str, server: ProviderServer, client: Client) -> None:
    """Nobody holds it any more: it ends, and its socket closes."""
    at = PHASES[phase]
    stream = open_in(at, server, client, Context())
    del stream
    gc.collect()
    with took(FREE):
        ended()

    assert at.requests == len(server.requests)
    assert not at.live or server.requests[-1].disconnected.wait(FREE)


@pytest.mark.parametrize("again", [False, True])
def test_a_cancel_before_it_is_open(again: bool, server: ProviderServer, client: Client) -> None:
    """The caller is free, also while it is asked for again."""
    reached, ctx = threading.Event(), Context()
    if again:
        server.reply(Close())
    first_headers(server, reached)
    with ThreadPoolExecutor(1) as executor:
        asked = executor.submit(stream_with_retry, client.chat("gpt-4o").user("Hi"), retry_policy=AT_ONCE, ctx=ctx)
        assert reached.wait(PATIENCE)
        with took(FREE):
            ctx.cancel()
            assert isinstance(asked.exception(PATIENCE), Cancelled)
    ended()

    assert 1 + again == len(server.requests)


def test_a_cancel_while_observed_asks_nothing_more(server: ProviderServer, client: Client) -> None:
    """Whoever is told of the cut may decide that it is enough."""
    ctx = Context()
    cut(server)
    stream = stream_with_retry(
        client.chat("gpt-4o").user("Hi"), retry_policy=AT_ONCE, on_resume=lambda state, error: ctx.cancel(), ctx=ctx
    )

    assert isinstance(stream.err.get(), Cancelled)
    ended()
    assert 1 == len(server.requests)


# -- silence


def test_silence_is_a_cut(server: ProviderServer) -> None:
    """Not a byte for `idle` seconds: the connection is given up at once, and the answer goes on."""
    gate = Gate()
    server.reply(Status(), delta(TEXT), Stall())
    server.reply(Status(), delta(" the"), Wait(gate), *chat_answer(" dog")[1:])
    errors: list[StreamKitError] = []
    with client_of(server, timeouts=Timeouts(idle=0.2)) as client:
        stream = stream_with_retry(
            client.chat("gpt-4o")
            .user("Hi")
            .hooks(Hooks(on_chunk=lambda c: gate.set() if "the" in c.content else None)),
            retry_policy=AT_ONCE,
            on_resume=lambda state, error: errors.append(error),
        )

        assert f"{TEXT} the dog" == stream.result().text
    assert [StreamIdle] == [type(error) for error in errors]
    assert server.requests[0].disconnected.wait(FREE)


def test_a_stall_is_a_cut(server: ProviderServer) -> None:
    """Signs of life are no chunks; observers of the request are told why it ended."""
    told: list[Any] = []
    errors: list[StreamKitError] = []
    server.reply(Status(), delta(TEXT), Pings())
    server.reply(*chat_answer(" the dog"))
    with client_of(server, timeouts=Timeouts(stall=0.2)) as client:
        chat = client.chat("gpt-4o").user("Hi").hooks(Hooks(on_response=lambda info: told.append(info.error)))
        stream = stream_with_retry(chat, retry_policy=AT_ONCE, on_resume=lambda state, error: errors.append(error))

        assert f"{TEXT} the dog" == stream.result().text
    assert [StreamStalled] == [type(error) for error in errors]
    assert [StreamStalled, type(None)] == [type(error) for error in told]
    assert server.requests[0].disconnected.wait(FREE)


@attrs.frozen
class Pings:
    """Signs of life, and nothing else."""

    def run(self, wire: Any) -> None:
        """Send them until the client goes."""
        while True:
            wire.send(b": ping\n\n")
            wire.wait(0.02)


def test_a_second_answer_that_does_not_begin_is_a_cut(server: ProviderServer) -> None:
    """`first_chunk` bounds each attempt to go on; the first one's is the whole stream's, and an end."""
    cut(server)
    server.reply(Status(), Pings())
    server.reply(*chat_answer(" the dog"))
    with client_of(server, timeouts=Timeouts(first_chunk=0.3)) as client:
        assert (
            f"{TEXT} the dog" == stream_with_retry(client.chat("gpt-4o").user("Hi"), retry_policy=AT_ONCE).result().text
        )

        server.reply(Status(), Pings())
        stream = stream_with_retry(client.chat("gpt-4o").user("Hi"), retry_policy=AT_ONCE)
        assert isinstance(stream.err.get(), FirstChunkTimeout)
    assert 4 == len(server.requests)


def test_a_slow_reader_is_no_stall(server: ProviderServer) -> None:
    """While the reader takes his time, no clock of the provider's runs."""
    server.reply(*chat_answer(*("word " for _ in range(50))))
    with client_of(server, timeouts=Timeouts(stall=0.2), buffer=1) as client:
        stream = stream_with_retry(client.chat("gpt-4o").user("Hi"), retry_policy=AT_ONCE)
        stream.ch.get()
        assert not threading.Event().wait(0.5)

        assert stream.err.get() is None
    assert 1 == len(server.requests)


# -- bounds


def test_the_deadline_is_for_all_attempts(server: ProviderServer) -> None:
    """It passes in the second one, with what both have given."""
    cut(server)
    server.reply(Status(), delta(" the dog"), Stall())
    with client_of(server) as client, took(PATIENCE, 0.4):
        stream = stream_with_retry(client.chat("gpt-4o").user("Hi").timeout(0.5), retry_policy=AT_ONCE)
        text = "".join(chunk.content for chunk in stream.ch)
        error = stream.err.get()

    assert isinstance(error, DeadlineExceeded) and error.partial is not None
    assert f"{TEXT} the dog" == text == error.partial.text
    assert 2 == len(server.requests)


def test_a_response_that_is_too_large_is_an_end(server: ProviderServer) -> None:
    """Asked again it would be so again."""
    gate = Gate()  # else both may come with one read, which is refused whole
    server.reply(Status(), delta(TEXT), Wait(gate), delta("x" * 5000), Stall())
    hooks = Hooks(on_chunk=lambda chunk: gate.set())
    with client_of(server, limits=Limits(response=2000)) as client:
        chat = client.chat("gpt-4o").user("Hi").hooks(hooks)
        error = stream_with_retry(chat, retry_policy=AT_ONCE).err.get()

    assert isinstance(error, ResponseTooLarge) and error.partial is not None
    assert (TEXT, 1) == (error.partial.text, len(server.requests))


def test_a_client_that_is_closed_ends_it(server: ProviderServer, client: Client) -> None:
    """As it ends each of its streams."""
    stream = open_in(PHASES["waiting"], server, client, Context())
    with took(FREE):
        client.close()
        assert isinstance(stream.err.get(), Cancelled)


def test_a_small_buffer_holds_nothing_up(server: ProviderServer) -> None:
    """Waiting for the outcome lifts the bound, also over a seam."""
    server.reply(Status(), *map(delta, ("The", " quick", " brown")), Close())
    server.reply(*chat_answer(*(f" {n}" for n in range(100))))
    with client_of(server, buffer=2) as client:
        final = stream_with_retry(client.chat("gpt-4o").user("Hi"), retry_policy=AT_ONCE).final.get(timeout=PATIENCE)

    assert isinstance(final, ChatResponse)
    assert final.text == "The quick brown" + "".join(f" {n}" for n in range(100))


@pytest.mark.slow
def test_many_at_once_on_one_client(server: ProviderServer, client: Client) -> None:
    """Every text is its own, and whole."""
    count = 60

    def answer(request: Any) -> Any:
        said = request.json()["messages"]
        number = said[0]["content"]
        if len(said) == 1:
            return [Status(), delta(f"number {number} is"), Close()]
        return chat_answer(f"number {number} is", f" {number}")

    server.reply(answer, times=None)
    with ThreadPoolExecutor(count) as executor:
        texts = executor.map(
            lambda n: stream_with_retry(client.chat("m").user(str(n)), retry_policy=AT_ONCE).result().text, range(count)
        )

        assert [f"number {n} is {n}" for n in range(count)] == list(texts)


# -- another process

STREAMING = """
    import sys
    from streamkit import Client, RetryPolicy, StreamState, resume, stream_with_retry
    from streamkit.providers import OpenAI

    path, url, how = sys.argv[1:]
    chat = Client(OpenAI("sk-test", base_url=url)).chat("gpt-4o").user("Tell.")
    if how == "begin":
        stream = stream_with_retry(chat, retry_policy=RetryPolicy(initial_interval=0))
    else:
        stream = resume(chat, StreamState.load(path))
    for chunk in stream.ch:
        StreamState.of(stream).save(path)
        print(chunk.content, flush=True)
    if how != "begin":
        print("whole:", stream.result().text)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_process_is_resumed_by_another(server: ProviderServer, tmp_path: Path) -> None:
    """What it saved while it streamed is enough; only what is new is printed."""
    path = tmp_path / "state.json"
    server.reply(Status(), delta("The quick"), Close())
    server.reply(Status(), delta(" brown"), Stall())

    def kill(process: Any) -> None:
        assert process.stdout.readline() == " brown\n"
        process.kill()

    killed = run_python(STREAMING, path, server.base_url, "begin", while_running=kill)
    assert -signal.SIGKILL == killed.returncode
    state = StreamState.load(path)
    assert ("The quick brown", 2, 2) == (state.partial_content, state.token_count, state.attempts)
    assert "sk-test" not in path.read_text()

    server.reply(*chat_answer("brown fox"))
    resumed = run_python(STREAMING, path, server.base_url, "resume")

    assert (0, "") == (resumed.returncode, resumed.stderr)
    assert [" fox", "", "whole: The quick brown fox"] == resumed.stdout.splitlines()
    assert "The quick brown fox" == StreamState.load(path).partial_content


def test_a_state_survives_giving_up(server: ProviderServer, client: Client, tmp_path: Path) -> None:
    """Saved from the error, and read where it goes on."""
    chat = client.chat("gpt-4o").user("Hi")
    cut(server)
    error = stream_with_retry(chat, max_retries=0).err.get()
    assert isinstance(error, RetriesExhausted)
    error.state.save(tmp_path / "state.json")
    server.reply(*chat_answer(" the dog"))

    assert f"{TEXT} the dog" == resume(chat, StreamState.load(tmp_path / "state.json")).result().text
