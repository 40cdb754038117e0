"""Executors of the user's: threads, processes, and such as lose what they are given."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from streamkit import BadRequest, Cancelled, Client, ConfigError, Context, RateLimit, StreamKitError, stream_parallel
from streamkit.parallel.workers import shares_memory
from tests.echoing import EchoServer, echo

pytestmark = pytest.mark.usefixtures("errands")

PROMPTS = [f"p{number}" for number in range(20)]


class Elsewhere(Executor):
    """Runs what it is given on a thread, but only what pickles, as if that were another process."""

    def __init__(self, *failures: Exception) -> None:
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


# ---------------------------------------------------------------- threads


def test_what_shares_memory() -> None:
    """Own threads and thread pools, but not those whose threads have an interpreter each."""

    class InterpreterPoolExecutor(ThreadPoolExecutor):
        pass

    pools = [None, ThreadPoolExecutor(1), InterpreterPoolExecutor(1), Elsewhere()]

    assert [True, True, False, False] == [shares_memory(pool) for pool in pools]


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


def test_merged_chunks_need_threads(client: Client) -> None:
    """Refused at once, not at the first chunk."""
    with Elsewhere() as executor:
        run = stream_parallel(client, ["a"], model="gpt-4o", executor=executor)
        with pytest.raises(ConfigError, match="needs threads"):
            run.chunks()
        run.texts()


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


@pytest.mark.slow
def test_a_pool_of_processes(server: EchoServer, client: Client) -> None:
    """Streams are opened there, with the key that is found there; a cancel ends them."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        texts = stream_parallel(client, PROMPTS, model="gpt-4o", executor=executor).texts()
        run = stream_parallel(client, ["stall"] * 2, model="gpt-4o", executor=executor, ctx=Context(60))
        server.wait_for_request(22)
        run.cancel()
        errors = [type(item.error) for item in run]
        server.wait_until(lambda: server.open_connections <= 2)

    assert [echo(prompt) for prompt in PROMPTS] == texts
    assert [Cancelled] * 2 == errors
    assert {"Bearer sk-of-the-worker"} == {request.headers["authorization"] for request in server.requests}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_process_loses_nothing(server: EchoServer, client: Client) -> None:
    """Its prompts, and all that come after, are asked on threads, as the pool is broken for good."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        run = stream_parallel(client, ["wait", *PROMPTS], model="gpt-4o", executor=executor, max_workers=2)
        next(run.as_completed())
        for pid in list(executor._processes):
            os.kill(pid, signal.SIGKILL)
        server.gate.set()
        texts = run.texts()

    assert [echo(prompt) for prompt in ("wait", *PROMPTS)] == texts
