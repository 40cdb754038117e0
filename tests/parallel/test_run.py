"""stream_parallel and its ParallelRun, against a server that says each prompt back."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from streamkit import (
    BadRequest,
    Cancelled,
    Client,
    ConfigError,
    ConnectionLost,
    Context,
    DeadlineExceeded,
    Hooks,
    Message,
    ParallelProgress,
    RetryPolicy,
    StreamKitError,
    StreamTruncated,
    stream_parallel,
)
from streamkit.channel import Pipe
from streamkit.parallel import chunk_feed
from streamkit.parallel.chunk_feed import Cursor
from streamkit.types.messages import RawPart
from tests.echoing import EchoServer, echo

PROMPTS = [f"p{number}" for number in range(30)]


# ---------------------------------------------------------------- items


@pytest.mark.parametrize("workers", [1, 3, 100])
def test_items_come_in_prompt_order(client: Client, workers: int) -> None:
    """Whatever the number of workers; each has its own prompt's answer."""
    run = stream_parallel(client, PROMPTS, model="gpt-4o", max_workers=workers)
    items = list(run)

    assert list(range(30)) == [item.index for item in items]
    assert PROMPTS == [item.prompt for item in items]
    assert [echo(prompt) for prompt in PROMPTS] == [item.text for item in items]
    assert [True] * 30 == [item.response is not None and item.response.complete for item in items]
    assert [None] * 30 == [item.error for item in items]
    assert all(item.elapsed > 0 for item in items)


def test_items_come_as_they_finish(server: EchoServer, client: Client) -> None:
    """`as_completed` gives a quick answer before a slow one that was asked earlier."""
    with stream_parallel(client, ["wait", "quick"], model="gpt-4o") as run:
        reading = run.as_completed()
        first = next(reading)
        server.gate.set()
        second = next(reading)

    assert ["quick", "wait"] == [first.prompt, second.prompt]


def test_no_prompts_are_a_batch_too(client: Client) -> None:
    """It ends at once, empty."""
    run = stream_parallel(client, [], model="gpt-4o")

    assert ([], [], [], None, [], 0) == (list(run), run.texts(), run.result(), run.err(), list(run.chunks()), len(run))


def test_the_same_prompt_is_asked_as_often_as_it_stands_there(server: EchoServer, client: Client) -> None:
    """Duplicates are prompts of their own."""
    run = stream_parallel(client, ["a", "a", "a"], model="gpt-4o")

    assert [echo("a")] * 3 == run.texts()
    assert 3 == server.asked["a"]


def test_the_page_s_two_results(client: Client) -> None:
    """`texts()` has the partial text of a failed stream in its place, `err()` the first error in prompt order."""
    run = stream_parallel(client, ["a", "cut", "b", "fail"], model="gpt-4o")

    assert [echo("a"), "cut:0 cut:1 ", echo("b"), ""] == run.texts()
    assert isinstance(run.err(), StreamTruncated)


def test_an_error_stands_beside_what_had_come(client: Client) -> None:
    """A cut stream has text and response, not complete; one that never opened has neither."""
    cut, refused = stream_parallel(client, ["cut", "fail"], model="gpt-4o")

    assert isinstance(cut.error, StreamTruncated)
    assert cut.response is not None
    assert ("cut:0 cut:1 ", "cut:0 cut:1 ", False) == (cut.text, cut.response.text, cut.response.complete)
    assert isinstance(refused.error, BadRequest)
    assert ("", None) == (refused.text, refused.response)


def test_result_gives_all_responses_or_raises(client: Client) -> None:
    """Responses in prompt order, or the first error in that order."""
    whole = stream_parallel(client, PROMPTS, model="gpt-4o")
    failing = stream_parallel(client, ["a", "cut", "fail"], model="gpt-4o")

    assert [echo(prompt) for prompt in PROMPTS] == [response.text for response in whole.result()]
    with pytest.raises(StreamTruncated):
        failing.result()
    with pytest.raises(StreamTruncated):
        failing.result()


def test_every_reading_begins_anew(client: Client) -> None:
    """Several threads, several forms, during and after the run: each reads all."""
    run = stream_parallel(client, PROMPTS, model="gpt-4o", max_workers=4)
    seen: list[list[int]] = []
    forms: list[Any] = [lambda: list(run), lambda: list(run.as_completed()), lambda: list(run)]
    threads = [
        threading.Thread(target=lambda form=form: seen.append(sorted(item.index for item in form()))) for form in forms
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen += [sorted(item.index for item in form()) for form in forms]

    assert [list(range(30))] * 6 == seen


def test_two_cursors_of_one_thread_do_not_share(client: Client) -> None:
    """Zipped with itself, a run gives each item twice."""
    run = stream_parallel(client, PROMPTS, model="gpt-4o")

    assert all(one is other for one, other in zip(run, run, strict=True))


# ---------------------------------------------------------------- prompts


def test_a_template_is_added_to(server: EchoServer, client: Client) -> None:
    """Each text becomes the user's message of a copy; the template stays as it was."""
    template = client.chat("gpt-4o").system("Be concise.").max_tokens(200)
    before = template.request
    stream_parallel(template, ["a", "b"]).result()

    assert before == template.request
    assert {"a", "b"} == set(server.asked)
    for request in server.requests:
        sent = request.json()
        assert (["system", "user"], 200) == ([m["role"] for m in sent["messages"]], sent["max_tokens"])


def test_a_model_replaces_the_template_s(server: EchoServer, client: Client) -> None:
    """Where both are given."""
    stream_parallel(client.chat("gpt-4o"), ["a"], model="other").result()

    assert "other" == server.requests[0].json()["model"]


def test_builders_are_asked_as_they_are(server: EchoServer, client: Client) -> None:
    """Among texts, and without a model for those; the item's prompt is the last user message."""
    own = client.chat("own").user("first").assistant("yes").user("second")
    items = list(stream_parallel(client, [own]))
    mixed = list(stream_parallel(client.chat("template").system("S"), [own, "text"]))

    assert ["second"] == [item.prompt for item in items]
    assert ["second", "text"] == [item.prompt for item in mixed]
    assert ["own", "own", "template"] == sorted(request.json()["model"] for request in server.requests)


def test_prompts_are_read_when_a_worker_is_free(server: EchoServer, client: Client) -> None:
    """An endless generator is never ahead of the workers."""
    given: list[int] = []

    def endless() -> Iterator[str]:
        for number in itertools.count():
            given.append(number)
            yield f"wait{number}"

    with stream_parallel(client, endless(), model="gpt-4o", max_workers=3) as run:
        server.wait_for_request(3)
        server.wait_until(lambda: len(given) >= 3)
        ahead = len(given)
        known = len(run)

    assert 3 == ahead
    assert 3 == known
    assert 3 == len(list(run))
    assert [Cancelled] * 3 == [type(item.error) for item in run]


def test_a_slow_generator_holds_up_nobody(server: EchoServer, client: Client) -> None:
    """What it has given is answered and read while it thinks; a cancel does not wait for it."""
    thinking = threading.Event()

    def slow() -> Iterator[str]:
        yield "a"
        thinking.wait()
        yield "b"

    run = stream_parallel(client, slow(), model="gpt-4o")
    first = next(iter(run))
    run.cancel()
    items = list(run)
    thinking.set()

    assert echo("a") == first.text
    assert ["a"] == [item.prompt for item in items]
    assert ["a"] == list(server.asked)


def test_prompts_that_raise_end_in_an_item(client: Client) -> None:
    """What was given before is answered; the error stands in the place of the next prompt."""

    def broken() -> Iterator[str]:
        yield "a"
        raise ValueError("no more paper")

    run = stream_parallel(client, broken(), model="gpt-4o")
    good, bad = run

    assert (echo("a"), None) == (good.text, good.error)
    assert ("", "", None) == (bad.prompt, bad.text, bad.response)
    assert "no more paper" in str(bad.error)
    assert isinstance(bad.error and bad.error.__cause__, ValueError)
    assert run.err() is bad.error
    assert 2 == len(run)


def test_prompts_may_come_from_another_run(client: Client) -> None:
    """A run inside a run: the answers of one are asked by the other."""
    first = stream_parallel(client, ["a", "b"], model="gpt-4o")
    second = stream_parallel(client, (f"x{item.text}" for item in first), model="gpt-4o")

    assert [echo(f"x{echo('a')}"), echo(f"x{echo('b')}")] == second.texts()


@pytest.mark.parametrize(
    ("arguments", "settings", "told"),
    [
        ((["a"],), {}, "model="),
        (([1],), {"model": "m"}, "not int"),
        (("abc",), {"model": "m"}, "not str"),
        ((5,), {"model": "m"}, "iterable"),
        ((["a"],), {"model": "m", "max_workers": 0}, "max_workers"),
        ((["a"],), {"model": "m", "on_error": "ignore"}, "on_error"),
    ],
)
def test_what_cannot_be_asked_is_refused(client: Client, arguments: Any, settings: Any, told: str) -> None:
    """At once, where the prompts are at hand; the message says what to do."""
    with pytest.raises(ConfigError, match=told):
        stream_parallel(client, *arguments, **settings)


def test_a_generator_s_bad_prompt_fails_alone(client: Client) -> None:
    """Its item has the error; the others are answered."""
    prompts: Any = iter(["a", 7, "b"])
    items = list(stream_parallel(client, prompts, model="gpt-4o"))

    assert [echo("a"), "", echo("b")] == [item.text for item in items]
    assert [type(None), ConfigError, type(None)] == [type(item.error) for item in items]


def test_what_is_no_client_is_refused() -> None:
    """With its type."""
    nobody: Any = object()
    with pytest.raises(ConfigError, match="not object"):
        stream_parallel(nobody, ["a"])


# ---------------------------------------------------------------- errors


def test_raise_stops_the_rest_and_every_reader_raises(server: EchoServer, client: Client) -> None:
    """What was done before the failure is read; then its error is raised, in every form; `err()` gives it."""
    run = stream_parallel(client, ["a", "fail", "stall", "b"], model="gpt-4o", max_workers=1, on_error="raise")
    seen = []
    with pytest.raises(BadRequest) as caught:
        for item in run:
            seen.append(item.prompt)

    assert ["a"] == seen
    assert caught.value is run.err()
    for read in (run.texts, run.result, lambda: list(run.as_completed()), lambda: list(run.chunks())):
        with pytest.raises(BadRequest):
            read()
    assert {"a", "fail"} == set(server.asked)


def test_raise_stops_those_that_run(server: EchoServer, client: Client) -> None:
    """A stream that would never end is ended; its reader is told the failure, not that it was stopped."""
    run = stream_parallel(client, ["stall", "fail"], model="gpt-4o", on_error="raise")

    with pytest.raises(BadRequest):
        list(run)
    server.wait_until(lambda: server.open_connections <= 1)


def test_cancel_rest_keeps_the_items(server: EchoServer, client: Client) -> None:
    """The stopped ones carry Cancelled, with what had come; `err()` is the failure itself."""
    run = stream_parallel(client, ["stall", "fail", "b", "c"], model="gpt-4o", max_workers=2, on_error="cancel_rest")
    items = list(run)

    assert [Cancelled, BadRequest, Cancelled, Cancelled] == [type(item.error) for item in items]
    assert ["stall", "fail", "b", "c"] == [item.prompt for item in items]
    assert "prompt 1 failed" in str(items[0].error)
    assert run.err() is items[1].error
    assert set(server.asked) <= {"stall", "fail"}


def test_collect_goes_on(client: Client) -> None:
    """Nothing is raised by any reader but `result()`."""
    run = stream_parallel(client, ["fail", "a", "cut"], model="gpt-4o")

    assert [BadRequest, type(None), StreamTruncated] == [type(item.error) for item in run]
    assert ["", echo("a"), "cut:0 cut:1 "] == run.texts()


def test_an_error_keeps_no_frames(client: Client) -> None:
    """Tracebacks would hold requests and keys."""
    run = stream_parallel(client, ["fail", "cut"], model="gpt-4o")

    assert [None, None] == [item.error and item.error.__traceback__ for item in run]


# ---------------------------------------------------------------- the end


def test_a_cancel_stops_all(server: EchoServer, client: Client) -> None:
    """Running ones keep what had come, those not begun have nothing; all of a list's prompts become items."""
    run = stream_parallel(client, ["stall1", "stall2", *PROMPTS], model="gpt-4o", max_workers=2)
    chunks = run.chunks()
    seen: set[int] = set()
    while seen != {0, 1}:
        index, chunk = next(chunks)
        if chunk.content:
            seen.add(index)
    run.cancel("enough")
    items = list(run)

    assert 32 == len(items)
    assert [Cancelled] * 32 == [type(item.error) for item in items]
    assert "enough" in str(items[0].error)
    assert [None] * 30 == [item.response for item in items[2:]]
    assert {"stall1", "stall2"} == set(server.asked)


@pytest.mark.parametrize(
    ("cls", "waits", "read"), [(Pipe, "wait_logged", iter), (Cursor, "recv", lambda run: run.chunks())]
)
def test_an_interrupted_wait_cancels_all(
    cls: type, waits: str, read: Any, server: EchoServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though frames hold the run, and a pool's `with` would wait for it."""

    def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    run = stream_parallel(client, ["stall1", "stall2"], model="gpt-4o")
    with monkeypatch.context() as patch:
        patch.setattr(cls, waits, interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(iter(read(run)))

    assert [Cancelled] * 2 == [type(item.error) for item in run]


def test_a_context_cancels_all(server: EchoServer, client: Client) -> None:
    """The caller's context is above that of every stream."""
    ctx = Context()
    run = stream_parallel(client, ["stall"] * 4, model="gpt-4o", ctx=ctx)
    server.wait_for_request(4)
    ctx.cancel("stop it")

    assert [Cancelled] * 4 == [type(item.error) for item in run]
    server.wait_until(lambda: server.open_connections == 0)


def test_a_cancelled_context_asks_nothing(server: EchoServer, client: Client) -> None:
    """All items are there, and no request was made."""
    ctx = Context()
    ctx.cancel()
    run = stream_parallel(client, PROMPTS, model="gpt-4o", ctx=ctx)

    assert [Cancelled] * 30 == [type(item.error) for item in run]
    assert [] == server.requests


def test_a_deadline_ends_all(client: Client) -> None:
    """Running ones and those not begun."""
    run = stream_parallel(client, ["stall"] * 4, model="gpt-4o", max_workers=2, ctx=Context(0.2))

    assert [DeadlineExceeded] * 4 == [type(item.error) for item in run]


def test_a_deadline_does_not_wait_for_the_prompts(client: Client) -> None:
    """A generator that gives nothing is left behind."""
    thinking = threading.Event()

    def slow() -> Iterator[str]:
        thinking.wait()
        yield "a"

    items = list(stream_parallel(client, slow(), model="gpt-4o", ctx=Context(0.1)))
    thinking.set()

    assert [] == items


def test_leaving_with_cancels_what_is_left(server: EchoServer, client: Client) -> None:
    """And no thread of the run is left."""
    with stream_parallel(client, ["stall"] * 20, model="gpt-4o") as run:
        server.wait_for_request(8)

    assert [] == [thread.name for thread in threading.enumerate() if thread.name.startswith("streamkit-parallel")]
    assert [Cancelled] * 20 == [type(item.error) for item in run]


def test_a_run_that_nobody_holds_ends(server: EchoServer, client: Client) -> None:
    """Dropped with all its readers, it cancels its streams."""
    run = stream_parallel(client, ["stall"] * 8, model="gpt-4o")
    reading = run.as_completed()
    server.wait_for_request(8)
    del run, reading
    gc.collect()

    server.wait_until(lambda: server.open_connections == 0)


def test_a_run_that_is_being_read_is_held(client: Client) -> None:
    """By the reading alone."""
    assert 30 == len(list(stream_parallel(client, PROMPTS, model="gpt-4o")))
    assert 30 == len(list(stream_parallel(client, PROMPTS, model="gpt-4o").as_completed()))
    assert 120 == sum(chunk.type == "text" for _, chunk in stream_parallel(client, PROMPTS, model="gpt-4o").chunks())


def test_there_are_no_more_threads_than_workers(server: EchoServer, client: Client) -> None:
    """Nor more than prompts; they are daemons, named after the package."""
    with stream_parallel(client, ["stall"] * 20, model="gpt-4o", max_workers=3):
        server.wait_for_request(3)
        threads = [thread for thread in threading.enumerate() if thread.name.startswith("streamkit-parallel")]
    with stream_parallel(client, ["stall"], model="gpt-4o", max_workers=30):
        server.wait_for_request(4)
        few = [thread for thread in threading.enumerate() if thread.name.startswith("streamkit-parallel")]

    assert (3, [True] * 3) == (len(threads), [thread.daemon for thread in threads])
    assert len(few) <= 2


PROGRAM = """
import os, signal, sys, threading
from streamkit import Client, stream_parallel
from streamkit.providers import OpenAI

client = Client(OpenAI(api_key="test", base_url=sys.argv[1]))
run = stream_parallel(client, ["stall"] * 3, model="gpt-4o")
reading = {"texts": run.texts, "iter": lambda: list(run), "chunks": lambda: list(run.chunks()), "none": lambda: None}
print("begun", flush=True)
try:
    reading[sys.argv[2]]()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", ["texts", "iter", "chunks"])
def test_ctrl_c_frees_a_reader(server: EchoServer, form: str) -> None:
    """In every form of waiting; and the interpreter then ends at once, with the run alive."""
    command = [sys.executable, "-c", PROGRAM, server.base_url, form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        begun = process.stdout.readline()
        server.wait_for_request(3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)

    assert ("begun\n", "interrupted\n", "", 0) == (begun, out, err, process.returncode)


@pytest.mark.slow
def test_the_interpreter_ends_with_a_run_alive(server: EchoServer) -> None:
    """Nobody waits for its threads."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, server.base_url, "none"], capture_output=True, text=True, timeout=10
    )

    assert ("begun\n", "", 0) == (ran.stdout, ran.stderr, ran.returncode)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_told(server: EchoServer, client: Client, tmp_path: Path) -> None:
    """There the run ends at once, with an error for what was running; in the parent it goes on."""
    run = stream_parallel(client, ["a", "wait"], model="gpt-4o", checkpoint=tmp_path / "c", max_workers=2)
    next(run.as_completed())
    pid = os.fork()
    if pid == 0:  # pragma: no cover - the child is not measured
        code = 1
        try:
            items = list(run)
            error = items[1].error
            code = 0 if (items[0].text, type(error)) == (echo("a"), ConnectionLost) and run.err() is error else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    server.gate.set()

    assert 0 == os.waitstatus_to_exitcode(status)
    assert [echo("a"), echo("wait")] == run.texts()


# ---------------------------------------------------------------- chunks


def test_chunks_are_labelled(client: Client) -> None:
    """Every chunk of every stream, in its order, with its prompt's index."""
    run = stream_parallel(client, PROMPTS, model="gpt-4o")
    texts = dict.fromkeys(range(30), "")
    indices: dict[int, list[int]] = {number: [] for number in range(30)}
    for index, chunk in run.chunks():
        texts[index] += chunk.content
        indices[index].append(chunk.index)

    assert run.texts() == list(texts.values())
    assert all(list(range(len(seen))) == seen for seen in indices.values())


def test_chunks_come_as_they_arrive(server: EchoServer, client: Client) -> None:
    """Before any stream has ended."""
    with stream_parallel(client, ["stall1", "stall2"], model="gpt-4o") as run:
        seen = {index for index, _ in itertools.islice(run.chunks(), 4)}

    assert seen <= {0, 1}


def test_late_chunks_are_all_there(server: EchoServer, client: Client) -> None:
    """After the end, and again; a reader that begins while the streams run misses nothing."""
    run = stream_parallel(client, ["a", "wait"], model="gpt-4o")
    next(run.as_completed())
    reading = run.chunks()
    begun = [next(reading)]
    server.gate.set()
    texts = ["", ""]
    for index, chunk in itertools.chain(begun, reading):
        texts[index] += chunk.content
    again = ["", ""]
    for index, chunk in run.chunks():
        again[index] += chunk.content

    assert [echo("a"), echo("wait")] == texts == again


def test_a_reader_of_chunks_may_leave(client: Client) -> None:
    """The run goes on."""
    run = stream_parallel(client, PROMPTS, model="gpt-4o")
    for _ in run.chunks():
        break

    assert [echo(prompt) for prompt in PROMPTS] == run.texts()


def test_a_cancel_ends_the_chunks(server: EchoServer, client: Client) -> None:
    """At once, also for a reader that waits."""
    run = stream_parallel(client, ["stall"], model="gpt-4o")
    ended = threading.Event()

    def read() -> None:
        for _ in run.chunks():
            pass
        ended.set()

    thread = threading.Thread(target=read)
    thread.start()
    server.wait_for_request()
    run.cancel()
    thread.join(5)

    assert ended.is_set()


def test_who_waits_for_items_holds_nobody_up(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that has begun to read chunks may wait for the run: what it does not read waits, all of it."""
    monkeypatch.setattr(chunk_feed, "BUFFER", 3)
    run = stream_parallel(client, PROMPTS, model="gpt-4o")
    reading = run.chunks()
    texts = dict.fromkeys(range(30), "")
    index, chunk = next(reading)
    texts[index] += chunk.content
    whole = run.texts()
    for index, chunk in reading:
        texts[index] += chunk.content

    assert [echo(prompt) for prompt in PROMPTS] == whole == list(texts.values())


def test_a_slow_reader_of_chunks_holds_the_streams_up(
    server: EchoServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No prompt is begun while two streams wait for it; a cancel frees them."""
    monkeypatch.setattr(chunk_feed, "BUFFER", 1)
    with stream_parallel(client, PROMPTS, model="gpt-4o", max_workers=2) as run:
        reading = run.chunks()
        next(reading)
        server.wait_for_request(2)
        with pytest.raises(TimeoutError):
            server.wait_for_request(15, timeout=0.2)
        run.cancel()
        rest = list(reading)

    assert [] == rest
    assert 30 == len(list(run))


def test_a_stopped_stream_s_text_is_in_the_chunks(client: Client) -> None:
    """All that had come of it, as in its item."""
    for _ in range(20):
        run = stream_parallel(client, ["a", "stall", "b", "fail", "c"], model="gpt-4o", on_error="cancel_rest")
        texts = [""] * 5
        for index, chunk in run.chunks():
            texts[index] += chunk.content

        assert run.texts() == texts


def test_a_failure_ends_the_chunks_with_what_had_come(client: Client) -> None:
    """Under `raise` the reader is given all that had arrived, and then the error."""
    run = stream_parallel(client, ["a", "cut"], model="gpt-4o", max_workers=1, on_error="raise")
    texts = ["", ""]
    with pytest.raises(StreamTruncated):
        for index, chunk in run.chunks():
            texts[index] += chunk.content

    assert [echo("a"), "cut:0 cut:1 "] == texts


# ---------------------------------------------------------------- progress


def test_each_change_is_told_once_and_in_order(client: Client) -> None:
    """Two for each prompt: begun, and done; the last is told before the run ends."""
    told: list[ParallelProgress] = []
    run = stream_parallel(client, [*PROMPTS, "fail"], model="gpt-4o", on_progress=told.append)
    run.texts()

    assert 62 == len(told)
    assert sorted(told, key=lambda progress: (progress.done, progress.done + progress.running)) == told
    assert {31} == {progress.total for progress in told}
    assert (31, 1, 0) == (told[-1].done, told[-1].failed, told[-1].running)
    assert told[-1].tokens_per_second is not None
    assert told[-1].tokens_per_second > 0
    assert max(progress.running for progress in told) <= 8


def test_the_total_of_a_generator_grows(client: Client) -> None:
    """It is the number of prompts read so far; at the end it is the number of prompts."""
    told: list[ParallelProgress] = []
    run = stream_parallel(client, iter(PROMPTS), model="gpt-4o", max_workers=1, on_progress=told.append)
    run.texts()

    assert [1, 1, 2, 2] == [progress.total for progress in told][:4]
    assert (30, 30) == (told[-1].total, len(run))


def test_what_on_progress_raises_is_logged(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """It observes; the run goes on."""

    def broken(progress: ParallelProgress) -> None:
        raise ValueError("no bar")

    with caplog.at_level(logging.ERROR, "streamkit"):
        texts = stream_parallel(client, ["a", "b"], model="gpt-4o", on_progress=broken).texts()

    assert [echo("a"), echo("b")] == texts
    assert "no bar" in caplog.text


def test_a_cancel_does_not_wait_for_on_progress(server: EchoServer, client: Client) -> None:
    """Who is stuck there holds no reader."""
    stuck, free = threading.Event(), threading.Event()

    def slow(progress: ParallelProgress) -> None:
        if progress.done:
            stuck.set()
            free.wait()

    run = stream_parallel(client, ["a", "stall"], model="gpt-4o", on_progress=slow)
    stuck.wait()
    server.wait_for_request(2)
    run.cancel()
    items = list(run)
    free.set()

    assert [type(None), Cancelled] == [type(item.error) for item in items]


def test_on_progress_may_cancel(client: Client) -> None:
    """It runs on a thread of the run, and cancelling takes no wait."""
    box: list[Any] = []
    ready = threading.Event()

    def enough(progress: ParallelProgress) -> None:
        ready.wait()
        if progress.done == 3:
            box[0].cancel("three will do")

    box.append(stream_parallel(client, PROMPTS, model="gpt-4o", max_workers=1, on_progress=enough))
    ready.set()
    items = list(box[0])
    box.clear()

    assert 3 <= sum(item.error is None for item in items) < 30
    assert 30 == len(items)


# ---------------------------------------------------------------- what else runs along


def test_the_client_s_hooks_and_retries_work(server: EchoServer) -> None:
    """As for every stream: a hook sees each request, a refusal is tried again."""
    seen: list[str] = []
    hooks = Hooks(on_request=lambda info: seen.append(info.model), on_retry=lambda info: seen.append("retry"))
    policy = RetryPolicy(max_retries=1, initial_interval=0.0)
    with server.client() as client:
        run = stream_parallel(client.chat("m").hooks(hooks).retry_policy(policy), ["limit", "a"], max_workers=1)
        errors = [type(item.error).__name__ for item in run]

    assert ["RateLimited", "NoneType"] == errors
    assert ["m", "retry", "m"] == seen
    assert 2 == server.asked["limit"]


@pytest.mark.parametrize("pooled", [False, True])
def test_hooks_see_the_caller_s_context_variables(client: Client, pooled: bool) -> None:
    """Whatever threads there are between: so a trace has its batch's streams."""
    variable: ContextVar[str] = ContextVar("variable")
    variable.set("mine")
    seen: list[str] = []
    chat = client.chat("m").hooks(Hooks(on_request=lambda info: seen.append(variable.get("none"))))
    with ThreadPoolExecutor(2) as pool:
        stream_parallel(chat, ["a", "b"], executor=pool if pooled else None).result()

    assert ["mine", "mine"] == seen


def test_without_threads_there_is_no_run(client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the system gives none: an error of the family, and the checkpoint is free again."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("streamkit-parallel"):
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(threading.Thread, "start", refuse)
        for executor in (None, pool):
            with pytest.raises(StreamKitError, match="no thread"):
                stream_parallel(client, ["a"], model="m", checkpoint=tmp_path / "c", executor=executor)

    assert [echo("a")] == stream_parallel(client, ["a"], model="m", checkpoint=tmp_path / "c").texts()


def test_few_threads_will_do(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system gives one thread and no more, that one does it all."""
    start, given = threading.Thread.start, []

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("streamkit-parallel"):
            if given:
                raise RuntimeError("can't start new thread")
            given.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert [echo(prompt) for prompt in PROMPTS] == stream_parallel(client, PROMPTS, model="m").texts()


def test_a_request_that_cannot_be_written_fails_alone(client: Client, tmp_path: Path) -> None:
    """With a checkpoint, which could not tell it from others."""
    odd = client.chat("m").messages([Message(role="assistant", content=[RawPart(provider="x", block={"a": {1}})])])
    bad, good = stream_parallel(client, [odd, "a"], model="m", checkpoint=tmp_path / "c")

    assert ConfigError is type(bad.error)
    assert echo("a") == good.text


def test_items_tell_of_a_bug(client: Client) -> None:
    """A hook that ends its thread is no reason to wait for ever."""

    def leave(info: Any) -> None:
        raise SystemExit

    (item,) = stream_parallel(client.chat("m").hooks(Hooks(on_request=leave)), ["a"])

    assert StreamKitError is type(item.error)
