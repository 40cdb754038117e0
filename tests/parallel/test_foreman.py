"""Executors of the user's: threads, processes, and such as lose what they are given."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from streamkit import (
    BadRequest,
    Cancelled,
    Client,
    ConfigError,
    Context,
    ParallelProgress,
    RateLimit,
    StreamKitError,
    stream_parallel,
)
from streamkit.parallel import chunk_feed, foreman
from streamkit.parallel.answer import failed
from streamkit.parallel.foreman import GRACE, Foreman
from tests.echoing import EchoServer, echo
from tests.loopback import took

pytestmark = pytest.mark.usefixtures("errands")

PROMPTS = [f"p{number}" for number in range(20)]


class Elsewhere(Executor):
    """Runs what it is given on a thread, but only what pickles, as if that were another process."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.sent: list[bytes] = []
        self._threads: list[threading.Thread] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Send it away."""
        future: Future[Any] = Future()
        self.sent.append(pickle.dumps((fn, args)))
        thread = threading.Thread(target=self._run, args=(future, self.sent[-1]))
        self._threads.append(thread)
        thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for the threads."""
        for thread in self._threads:
            thread.join()

    def _run(self, future: Future[Any], errand: bytes) -> None:
        if not future.set_running_or_notify_cancel():
            return
        if self.failures:
            future.set_exception(self.failures.pop())
            return
        fn, args = pickle.loads(errand)
        future.set_result(pickle.loads(pickle.dumps(fn(*args))))


class CutOff(Executor):
    """Hands on what it is given, but for the first few: these end as if their connection had broken."""

    def __init__(self, executor: Executor, times: int) -> None:
        self._executor = executor
        self._left = times

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand it on, or end it."""
        if not self._left:
            return self._executor.submit(fn, *args, **kwargs)
        self._left -= 1
        future: Future[Any] = Future()
        future.set_result(failed(Cancelled("cancelled: the run has ended")))
        return future


# ---------------------------------------------------------------- threads


def test_a_thread_pool_of_the_user_s(client: Client) -> None:
    """Items and chunks are as from the run's own threads."""
    with ThreadPoolExecutor(3) as executor:
        run = stream_parallel(client, PROMPTS, model="gpt-4o", executor=executor)
        texts = dict.fromkeys(range(20), "")
        for index, chunk in run.chunks():
            texts[index] += chunk.content

    assert [echo(prompt) for prompt in PROMPTS] == run.texts() == list(texts.values())


def test_no_more_are_submitted_than_workers(server: EchoServer, client: Client) -> None:
    """An endless iterable does not fill the executor's line."""
    given: list[int] = []

    def endless() -> Iterator[str]:
        while True:
            given.append(1)
            yield "stall"

    with ThreadPoolExecutor(8) as executor:
        with stream_parallel(client, endless(), model="gpt-4o", executor=executor, max_workers=3):
            server.wait_for_request(3)
            taken = len(given)

    assert 3 == taken


def test_a_cancel_calls_back_what_waits(server: EchoServer, client: Client) -> None:
    """What is in the executor's line is not begun; what runs is ended."""
    with ThreadPoolExecutor(1) as executor:
        with stream_parallel(client, ["stall", "a", "b", "c"], model="gpt-4o", executor=executor, max_workers=3) as run:
            server.wait_for_request()
    items = list(run)

    assert [Cancelled] * 4 == [type(item.error) for item in items]
    assert 1 == len(server.requests)


def test_progress_is_never_told_by_the_timekeeper(server: EchoServer, client: Client) -> None:
    """What a cancel calls back is told on a thread that may be held up."""
    names: list[str] = []
    with ThreadPoolExecutor(1) as executor:
        run = stream_parallel(
            client,
            ["stall", "a", "b"],
            model="m",
            executor=executor,
            max_workers=3,
            on_progress=lambda progress: names.append(threading.current_thread().name),
        )
        server.wait_for_request()
        run.cancel()
        list(run)

    assert names
    assert "streamkit-watchdog" not in names


def test_the_checkpoint_is_free_after_with(server: EchoServer, client: Client, tmp_path: Path) -> None:
    """Whoever does the work: the next run may begin at once."""
    with ThreadPoolExecutor(4) as executor:
        for number in range(10):
            chat = client.chat(f"m{number}")
            with stream_parallel(chat, ["stall"] * 4, executor=executor, checkpoint=tmp_path / "c"):
                server.wait_for_request(4 * number + 1)


def test_an_executor_that_is_shut_down(client: Client) -> None:
    """Each prompt has an error that says so."""
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    run = stream_parallel(client, ["a", "b"], model="gpt-4o", executor=executor)

    assert [StreamKitError] * 2 == [type(item.error) for item in run]
    assert "takes no more work" in str(run.err())


def test_an_executor_that_calls_back(server: EchoServer, client: Client) -> None:
    """What it cancels itself carries Cancelled."""
    executor = ThreadPoolExecutor(1)
    run = stream_parallel(client, ["wait", "b"], model="gpt-4o", executor=executor, max_workers=2)
    server.wait_for_request()
    reading = iter(run.as_completed())
    while executor._work_queue.qsize() < 1:
        pass
    executor.shutdown(wait=False, cancel_futures=True)
    called_back = next(reading)
    server.gate.set()
    rest = list(reading)
    executor.shutdown()

    assert "cancelled by the executor" in str(called_back.error)
    assert [echo("wait")] == [item.text for item in rest]


# ---------------------------------------------------------------- elsewhere


def test_errands_go_out_and_answers_come_back(client: Client) -> None:
    """With errors and what had come; no key is among what was sent."""
    with Elsewhere() as executor:
        items = list(stream_parallel(client, ["a", "fail", "cut"], model="gpt-4o", executor=executor))

    assert [echo("a"), "", "cut:0 cut:1 "] == [item.text for item in items]
    assert BadRequest is type(items[1].error)
    assert 3 == len(executor.sent)
    assert not any(b"sk-very-secret" in errand for errand in executor.sent)


def test_chunks_come_from_elsewhere(server: EchoServer, client: Client) -> None:
    """As they arrive; and those of an answer that was there before anybody asked, joined."""
    with Elsewhere() as executor:
        run = stream_parallel(client, ["a", "wait"], model="gpt-4o", executor=executor)
        next(run.as_completed())
        chunks = []
        for index, chunk in run.chunks():
            chunks.append((index, chunk.content))
            if len([index for index, _ in chunks if index == 1]) == 2:
                server.gate.set()

    assert [(0, echo("a")), (0, "")] == chunks[:2]
    assert [(1, f"wait:{number} ") for number in range(4)] == chunks[2:-1]
    assert [echo("a"), echo("wait")] == run.texts()


def test_a_slow_reader_of_chunks_holds_the_workers_up(
    client: Client, server: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it waits for items; nothing is lost."""
    monkeypatch.setattr(chunk_feed, "BUFFER", 1)
    with Elsewhere() as executor:
        run = stream_parallel(client, ["wait1", "wait2"], model="gpt-4o", executor=executor)
        reading = run.chunks()
        first = [next(reading)]
        server.gate.set()
        texts = run.texts()
        read = [*first, *reading]

    assert [echo("wait1"), echo("wait2")] == texts
    assert texts == ["".join(chunk.content for at, chunk in read if at == index) for index in range(2)]


def test_a_reader_of_chunks_may_leave(client: Client, server: EchoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds no worker up then."""
    monkeypatch.setattr(chunk_feed, "BUFFER", 1)
    with Elsewhere() as executor:
        run = stream_parallel(client, PROMPTS, model="gpt-4o", executor=executor)
        for _ in run.chunks():
            break
        while (item := run._batch.done) < 20:
            pass

    assert 20 == item
    assert list(map(echo, PROMPTS)) == run.texts()


def test_chunks_of_a_failure_are_those_of_its_text(client: Client) -> None:
    """What had come before it was cut."""
    with Elsewhere() as executor:
        run = stream_parallel(client, ["cut"], model="gpt-4o", executor=executor)
        chunks = [chunk.content for _, chunk in run.chunks()]

    assert ["cut:0 cut:1 "] == ["".join(chunks)] == run.texts()


def test_nothing_is_done_on_the_executor_s_own_thread(client: Client) -> None:
    """Which Dask's network lives on: observers are told on a thread of the run's."""
    names: set[str] = set()
    with Elsewhere() as executor:
        run = stream_parallel(
            client,
            PROMPTS,
            model="gpt-4o",
            executor=executor,
            on_progress=lambda progress: names.add(threading.current_thread().name),
        )
        run.texts()

    assert {True} == {name.startswith("streamkit-parallel") for name in names}


@pytest.mark.parametrize("lost", [KeyboardInterrupt(), SystemExit()])
def test_a_worker_that_was_interrupted(client: Client, lost: BaseException) -> None:
    """Ctrl-C in a terminal ends the processes of a pool, too: the prompt is asked again, and nobody waits for ever."""
    with Elsewhere(lost) as executor:
        texts = stream_parallel(client, ["a"], model="gpt-4o", executor=executor).texts()

    assert [echo("a")] == texts


def test_a_worker_that_was_cut_off(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that took a broken connection for the end of the run: its prompt is asked again, once."""
    with Elsewhere() as executor:
        run = stream_parallel(client, ["a"], model="gpt-4o", executor=CutOff(executor, 1))
        again = run.texts()
        (lost,) = stream_parallel(client, ["a"], model="gpt-4o", executor=CutOff(executor, 2))

    assert [echo("a")] == again
    assert "the executor lost the prompt: Cancelled('cancelled: the run has ended')" in str(lost.error)


def test_what_is_not_expected_any_more_is_not_heard(client: Client) -> None:
    """Of prompts that have their items, or were given to another, no worker's chunks are taken in."""
    with Elsewhere(OSError("worker gone")) as executor:
        run = stream_parallel(client, PROMPTS, model="gpt-4o", executor=executor)
        run.texts()

    assert isinstance(run._workers, Foreman)
    assert {} == run._workers._marks


def test_an_answer_that_is_here_is_not_given_up(client: Client) -> None:
    """It had come before the cancel, and was in line to be taken in."""
    told, gate = threading.Event(), threading.Event()

    def hold(progress: ParallelProgress) -> None:
        if progress.done == 1:
            told.set()
            gate.wait(10)

    with Elsewhere() as executor:
        run = stream_parallel(client, ["a", "b"], model="gpt-4o", executor=executor, on_progress=hold)
        told.wait(10)
        while len(executor.sent) < 2:
            pass
    run.cancel()
    Context().wait(2 * GRACE)
    gate.set()

    assert [echo("a"), echo("b")] == run.texts()


def test_an_executor_that_closes_without_a_word(
    client: Client, server: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had is given up; nobody waits for ever."""
    monkeypatch.setattr(foreman, "LOOK", 0.01)
    closed = threading.Event()
    monkeypatch.setattr(foreman, "has_closed", lambda executor: closed.is_set())
    with Elsewhere() as executor:
        run = stream_parallel(client, ["a", "wait"], model="gpt-4o", executor=executor)
        first = next(run.as_completed())
        server.wait_for_request(2)
        closed.set()
        second = list(run)[1]
        server.gate.set()

    assert (0, echo("a")) == (first.index, first.text)
    assert "the executor has closed, and lost the prompt" in str(second.error)


def test_workers_without_streamkit(client: Client) -> None:
    """Are not tried again."""
    with Elsewhere(ModuleNotFoundError("No module named 'streamkit'")) as executor:
        (item,) = stream_parallel(client, ["a"], model="gpt-4o", executor=executor)

    assert ConfigError is type(item.error)
    assert "install the same packages there" in str(item.error)


def test_what_executors_are_given_names_nothing_of_ours(client: Client) -> None:
    """A worker of Dask's without streamkit dies of a name that it cannot import."""
    with Elsewhere() as executor:
        stream_parallel(client, ["a"], model="gpt-4o", executor=executor).result()
        fn, (call,) = pickle.loads(executor.sent[0])

    assert pickle.loads is fn
    assert bytes is type(call)


def test_a_lost_prompt_is_asked_again(client: Client) -> None:
    """Once; then it fails, as it may be what kills its workers."""
    with Elsewhere(OSError("worker gone")) as executor:
        once = list(stream_parallel(client, ["a"], model="gpt-4o", executor=executor))
    with Elsewhere(OSError("worker gone"), OSError("worker gone")) as executor:
        twice = list(stream_parallel(client, ["a"], model="gpt-4o", executor=executor))

    assert [echo("a")] == [item.text for item in once]
    assert "lost the prompt: OSError('worker gone')" in str(twice[0].error)


def test_a_broken_executor_is_replaced_by_threads(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """What it had and what is still to come is asked; the log tells."""
    with Elsewhere(BrokenExecutor("all workers died")) as executor:
        run = stream_parallel(client, PROMPTS, model="gpt-4o", executor=executor, max_workers=1)
        texts = run.texts()

    assert [echo(prompt) for prompt in PROMPTS] == texts
    assert 1 == len(executor.sent)
    assert 1 == caplog.text.count("asked on threads")


def test_limits_hold_elsewhere(server: EchoServer, client: Client) -> None:
    """The turn is awaited here, before the errand goes out."""
    limit = RateLimit(requests_per_minute=0.01)
    with Elsewhere() as executor:
        with stream_parallel(client, ["a", "b"], model="gpt-4o", executor=executor, rate_limit=limit) as run:
            next(iter(run))
    items = list(run)

    assert [type(None), Cancelled] == [type(item.error) for item in items]
    assert 1 == len(executor.sent)


def test_a_cancel_reaches_the_workers(server: EchoServer, client: Client) -> None:
    """Their streams end, and what had come is in the items, with the reason."""
    with Elsewhere() as executor:
        run = stream_parallel(client, ["stall1", "stall2"], model="gpt-4o", executor=executor)
        server.wait_for_request(2)
        run.cancel("enough")
        items = list(run)

    assert ["cancelled: enough"] * 2 == [str(item.error) for item in items]
    server.wait_until(lambda: server.open_connections == 0)


def test_what_cannot_be_sent_fails(client: Client) -> None:
    """With a ConfigError of its own."""
    with Elsewhere() as executor:
        chat = client.chat("m").provider_options({"a": threading.Lock()})
        (item,) = stream_parallel(chat, ["a"], executor=executor)

    assert ConfigError is type(item.error)


# ---------------------------------------------------------------- processes

METHODS = [method for method in ("spawn", "fork", "forkserver") if method in multiprocessing.get_all_start_methods()]
FORKS = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
"""Python 3.12 and later warn of forks in a program with threads, which every program with streams is."""


def pool_of(method: str, size: int = 2) -> ProcessPoolExecutor:
    """Make a pool of processes that begin in this way."""
    return ProcessPoolExecutor(size, mp_context=multiprocessing.get_context(method))


@FORKS
@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_pool_of_processes(server: EchoServer, client: Client, method: str) -> None:
    """Streams are opened there, with the key that is found there; their chunks come live; a cancel ends them."""
    with pool_of(method) as executor:
        run = stream_parallel(client, ["wait", *PROMPTS], model="gpt-4o", executor=executor)
        texts = dict.fromkeys(range(21), "")
        for index, chunk in run.chunks():
            texts[index] += chunk.content
            if texts[0]:
                server.gate.set()
        stalled = stream_parallel(client, ["stall"] * 2, model="gpt-4o", executor=executor, ctx=Context(60))
        server.wait_for_request(23)
        with took(1.5):
            stalled.cancel()
            server.wait_until(lambda: all(request.disconnected.is_set() for request in server.requests[21:]))
        errors = [type(item.error) for item in stalled]

    assert [echo(prompt) for prompt in ("wait", *PROMPTS)] == run.texts() == list(texts.values())
    assert [Cancelled] * 2 == errors
    assert {"Bearer sk-of-the-worker"} == {request.headers["authorization"] for request in server.requests}


@FORKS
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("method", METHODS)
def test_a_killed_process_loses_nothing(server: EchoServer, client: Client, method: str, tmp_path: Path) -> None:
    """Its prompts, and all that come after, are asked on threads, as the pool is broken for good; each has one line."""
    with pool_of(method) as executor:
        run = stream_parallel(
            client, ["wait", *PROMPTS], model="m", executor=executor, max_workers=2, checkpoint=tmp_path / "c"
        )
        next(run.as_completed())
        for pid in list(executor._processes):
            os.kill(pid, signal.SIGKILL)
        server.gate.set()
        texts = run.texts()

    assert [echo(prompt) for prompt in ("wait", *PROMPTS)] == texts
    assert 1 + 21 == len((tmp_path / "c").read_text().splitlines())


@FORKS
@pytest.mark.slow
@pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
def test_forks_from_a_program_with_live_streams(server: EchoServer, client: Client) -> None:
    """The children hold none of the parent's streams: these live on, and are closed as soon as they end."""
    live = stream_parallel(client, ["stall"], model="gpt-4o")
    stalled = server.wait_for_request()
    with pool_of("fork") as executor:
        texts = stream_parallel(client, PROMPTS, model="gpt-4o", executor=executor).texts()
        alive = not stalled.disconnected.is_set()
        live.cancel()
        closed = stalled.disconnected.wait(5)

    assert list(map(echo, PROMPTS)) == texts
    assert alive
    assert closed
    assert ["stall:0 stall:1 "] == live.texts()


PROGRAM = """
    import multiprocessing, sys
    from concurrent.futures import ProcessPoolExecutor
    from streamkit import Client, stream_parallel
    from streamkit.providers import OpenAI

    def main(method, url):
        client = Client(OpenAI(api_key="sk-not-sent", base_url=url))
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as executor:
            stream_parallel(client, ["stall"] * 4, model="m", executor=executor, max_workers=4).texts()

    if __name__ == "__main__":
        main(*sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("method", METHODS)
def test_the_death_of_the_program_ends_the_streams_of_its_children(
    server: EchoServer, method: str, tmp_path: Path
) -> None:
    """However they were begun; and those that waited are not asked."""
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(PROGRAM))
    command = [sys.executable, "-W", "ignore", str(path), method, server.base_url]
    program = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        server.wait_for_request(2, timeout=20)
        program.kill()
        server.wait_until(lambda: server.open_connections == 0, timeout=1.5)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)  # the children of a pool outlive it, idle
        program.wait()

    assert 2 == len(server.requests)


FORKING = """
    import os, signal, sys
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context
    from streamkit import Client, stream_parallel
    from streamkit.providers import OpenAI

    def main(url):
        client = Client(OpenAI(api_key="sk-not-sent", base_url=url))
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
            run = stream_parallel(client, ["stall"], model="m", executor=executor)
            next(run.chunks())
            if os.fork():
                print("forked", flush=True)
            signal.pause()

    if __name__ == "__main__":
        main(*sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
def test_a_forked_child_does_not_keep_the_run_alive(server: EchoServer, tmp_path: Path) -> None:
    """It has no copy of what the workers hang on to: when the program dies, their streams end."""
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(FORKING))
    command = [sys.executable, "-W", "ignore", str(path), server.base_url]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as program:
        try:
            assert program.stdout is not None
            line = program.stdout.readline()
            program.kill()
            server.wait_until(lambda: server.open_connections == 0, timeout=1.5)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)

    assert b"forked\n" == line
