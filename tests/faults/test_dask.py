"""Batches on a real Dask cluster: workers with two threads each, on the address that other machines would use."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import pickle
import random
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pytest

from streamkit import (
    Cancelled,
    Client,
    ConfigError,
    Context,
    DeadlineExceeded,
    Hooks,
    ParallelRun,
    StreamKitError,
    stream_parallel,
)
from streamkit.parallel import errand, foreman
from streamkit.parallel.route import Route, route_to
from streamkit.watchdog import watchdog
from tests.echoing import EchoServer, echo, said
from tests.loopback import took

distributed = pytest.importorskip("distributed", reason="needs distributed")

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PROMPTS = [f"p{number}" for number in range(20)]
KEY = "sk-of-the-worker"
SOON = 2.0
"""Seconds in which a cancel has reached the provider, on a machine that has other things to do; about one elsewhere."""


def own_address() -> str:
    """The address of this machine that others see; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("198.51.100.1", 9))
        except OSError:  # it has no other
            return "127.0.0.1"
        return str(sock.getsockname()[0])


def cluster_of(**settings: Any) -> Any:
    """Make a cluster whose workers have the key."""
    defaults: dict[str, Any] = {
        "n_workers": 2,
        "threads_per_worker": 2,
        "processes": True,
        "dashboard_address": ":0",
        "host": own_address(),
        "silence_logs": "CRITICAL",
    }
    if settings.get("processes", True):
        defaults["env"] = {"OPENAI_API_KEY": KEY}
    return distributed.LocalCluster(**{**defaults, **settings})


@pytest.fixture(scope="module", name="dask")
def fixture_dask() -> Iterator[Any]:
    """A client of a cluster that all tests of the module share."""
    with cluster_of() as cluster, distributed.Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture(name="mortal")
def fixture_mortal() -> Iterator[Any]:
    """A client of a cluster of the test's own, whose workers may be killed."""
    with cluster_of() as cluster, distributed.Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture(name="executor")
def fixture_executor(dask: Any) -> Executor:
    """An executor of it, with both workers there."""
    dask.wait_for_workers(2, timeout=30)
    executor: Executor = dask.get_executor()
    return executor


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fail a test that leaves a thread or a listening socket of ours; Dask keeps threads and connections of its own."""
    before = _listening()
    yield
    gc.collect()
    deadline = time.monotonic() + 3
    while (left := _ours()) or _listening() - before:
        if time.monotonic() > deadline:
            pytest.fail(f"left: {left} {_listening() - before}", pytrace=False)
        for thread in left:
            thread.join(0.05)


def _ours() -> list[threading.Thread]:
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("streamkit")]
    return [thread for thread in ours if not (thread.name == "streamkit-watchdog" and watchdog.idle)]


def _listening() -> set[str]:
    """Addresses that this process listens on, where the system tells."""
    own = set(_descriptors())
    try:
        rows = [row.split() for row in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    except OSError:
        return set()
    return {row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own}


def _descriptors() -> Iterator[str]:
    """What this process's descriptors stand for."""
    if os.path.isdir("/proc/self/fd"):
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):  # closed meanwhile
                yield os.readlink(f"/proc/self/fd/{name}")


class Recording(Executor):
    """Notes what it is given, pickled, and hands it on."""

    def __init__(self, executor: Executor) -> None:
        self.sent: list[bytes] = []
        self._executor = executor

    @property
    def _client(self) -> Any:
        return self._executor._client  # type: ignore[attr-defined]  # as Dask's own has it

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Note it, and hand it on."""
        self.sent.append(pickle.dumps((fn, args, kwargs)))
        return self._executor.submit(fn, *args, **kwargs)


def workers(dask: Any) -> dict[str, int]:
    """The cluster's workers, with their processes.

    Not those that are just beginning: one that dies then has no successor.
    """
    known = dask.cluster.scheduler.workers
    nannies = [nanny for nanny in dask.cluster.workers.values() if nanny.worker_address in known and nanny.process]
    return {nanny.worker_address: nanny.pid for nanny in nannies if nanny.process.status.name == "running"}


def kill(*pids: int) -> None:
    """End the processes of workers, as a machine that is switched off does."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # killed before, and nobody has noticed yet
            os.kill(pid, signal.SIGKILL)


# ---------------------------------------------------------------- answers


def test_answers_come_in_order_and_as_they_are_done(server: EchoServer, client: Client, executor: Executor) -> None:
    """Asked by the workers, with the key that they have."""
    run = stream_parallel(client, [*PROMPTS, "fail", "wait"], model="gpt-4o", executor=executor, max_workers=4)
    first = [item.prompt for item in itertools.islice(run.as_completed(), 21)]
    server.gate.set()
    items = list(run)

    assert "wait" not in first
    assert [*map(echo, PROMPTS), "", echo("wait")] == [item.text for item in items]
    assert "no such thing" in str(items[20].error)
    assert {f"Bearer {KEY}"} == {request.headers["authorization"] for request in server.requests}
    assert {1} == set(server.asked.values())


def test_workers_on_several_threads(server: EchoServer, client: Client, executor: Executor) -> None:
    """Four at a time, on two workers."""
    prompts = [f"wait{number}" for number in range(8)]
    run = stream_parallel(client, prompts, model="gpt-4o", executor=executor, max_workers=8)
    server.wait_for_request(4)
    threads = len(server.requests)
    server.gate.set()

    assert 4 == threads
    assert list(map(echo, prompts)) == run.texts()


def test_the_same_prompt_is_asked_as_often_as_it_stands_there(server: EchoServer, client: Client, dask: Any) -> None:
    """Also with an executor that takes all tasks for pure, and in the next run."""
    executor = dask.get_executor(pure=True)
    for _ in range(2):
        assert [echo("a")] * 3 == stream_parallel(client, ["a"] * 3, model="m", executor=executor).texts()

    assert 6 == server.asked["a"]


def test_no_key_is_sent(client: Client, executor: Executor) -> None:
    """Neither the client's nor any in what goes to Dask."""
    recording = Recording(executor)
    texts = stream_parallel(client, ["a", "b"], model="gpt-4o", executor=recording).texts()

    assert [echo("a"), echo("b")] == texts
    assert 2 == len(recording.sent)
    assert not any(b"sk-very-secret" in sent or KEY.encode() in sent for sent in recording.sent)


def test_no_key_is_on_dask_s_wires(client: Client, executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all that client and scheduler write, which are in this process; the prompts are there."""
    frames: list[bytes] = []
    own = distributed.comm.tcp.to_frames

    async def noted(*arguments: Any, **settings: Any) -> Any:
        given = await own(*arguments, **settings)
        frames.extend(map(bytes, given))
        return given

    monkeypatch.setattr(distributed.comm.tcp, "to_frames", noted)
    run = stream_parallel(client, ["a prompt of ours"], model="gpt-4o", executor=executor)
    chunks = "".join(chunk.content for _, chunk in run.chunks())
    written = b"".join(frames)

    assert echo("a prompt of ours") == chunks
    assert b"a prompt of ours" in written
    assert b"sk-very-secret" not in written
    assert KEY.encode() not in written


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda chat: chat.headers({"X-Api-Key": "abc"}), "X-Api-Key"),
        (lambda chat: chat.provider_options({"extra": {"api_key": "abc"}}), "extra.api_key"),
        (lambda chat: chat.user("my key is sk-very-secret"), "the key of openai"),
    ],
)
def test_a_key_in_the_request_is_refused(
    server: EchoServer, client: Client, executor: Executor, change: Callable[[Any], Any], named: str
) -> None:
    """Nothing is sent, to Dask or the provider."""
    recording = Recording(executor)
    (item,) = stream_parallel(change(client.chat("gpt-4o")), ["a"], executor=recording)

    assert ConfigError is type(item.error)
    assert named in str(item.error)
    assert ([], []) == (recording.sent, server.requests)


def test_what_a_worker_cannot_load_is_told(client: Client, executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook of a module that is not there, and another version of streamkit."""
    module = type(sys)("only_here")
    exec("def hook(info): pass", module.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", module)
    chat = client.chat("gpt-4o").hooks(Hooks(on_request=module.hook))
    (hooked,) = stream_parallel(chat, ["a"], executor=executor)
    monkeypatch.setattr(errand, "__version__", "0.0.1")
    (older,) = stream_parallel(client, ["a"], model="m", executor=executor)

    assert "the worker cannot load the prompt" in str(hooked.error)
    assert "only_here" in str(hooked.error)
    assert "the program 0.0.1: install the same on both" in str(older.error)


# ---------------------------------------------------------------- chunks


def test_chunks_come_as_they_arrive(server: EchoServer, client: Client, executor: Executor) -> None:
    """While their stream is still open; and all of them, with those of the other prompts."""
    run = stream_parallel(client, ["wait", "a", "b"], model="gpt-4o", executor=executor)
    texts = dict.fromkeys(range(3), "")
    kinds: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for index, chunk in run.chunks():
        texts[index] += chunk.content
        kinds[index].append(chunk.type)
        if texts[0]:
            server.gate.set()

    assert run.texts() == [texts[number] for number in range(3)]
    assert [["step_finish"]] * 3 == [each[-1:] for each in kinds.values()]


def test_late_chunks_are_all_there(client: Client, executor: Executor) -> None:
    """Of what ended before anybody read: joined."""
    run = stream_parallel(client, PROMPTS, model="gpt-4o", executor=executor)
    run.texts()
    chunks = list(run.chunks())
    texts = dict.fromkeys(range(20), "")
    for index, chunk in chunks:
        texts[index] += chunk.content

    assert list(map(echo, PROMPTS)) == list(texts.values())
    assert {"text": 20, "step_finish": 20} == Counter(chunk.type for _, chunk in chunks)


def test_chunks_of_a_prompt_that_begins_again(server: EchoServer, client: Client, mortal: Any) -> None:
    """The first of the second answer says so; from it on they are the answer."""
    run = stream_parallel(client, ["wait"], model="gpt-4o", executor=mortal.get_executor())
    reading = run.chunks()
    before = [next(reading)[1]]
    held = [worker for worker, keys in mortal.processing().items() if keys]
    kill(workers(mortal)[held[0]])
    server.wait_for_request(2)
    server.gate.set()
    rest = [chunk for _, chunk in reading]
    begins = next(at for at, chunk in enumerate(rest) if "attempt" in chunk.metadata)

    assert [{}] == [chunk.metadata for chunk in before]
    assert {"attempt": 2} == rest[begins].metadata
    assert [echo("wait")] == run.texts() == ["".join(chunk.content for chunk in rest[begins:])]


def test_without_a_way_to_the_run_chunks_come_with_the_answer(
    server: EchoServer, client: Client, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a firewall stands between; and a cancel still gets there, by Dask."""
    own_rope = foreman.Lifeline.rope

    def elsewhere(lifeline: Any) -> Any:
        import attrs

        return attrs.evolve(own_rope(lifeline), host="127.0.0.1", port=9)

    monkeypatch.setattr(foreman.Lifeline, "rope", elsewhere)
    run = stream_parallel(client, ["a"], model="gpt-4o", executor=executor)
    text = "".join(chunk.content for _, chunk in run.chunks())
    stalled = stream_parallel(client, ["stall"], model="gpt-4o", executor=executor)
    server.wait_for_request(2)
    with took(SOON):
        stalled.cancel()
        server.wait_until(lambda: server.open_connections <= 1)
    (item,) = stalled

    assert echo("a") == text
    assert Cancelled is type(item.error)


# ---------------------------------------------------------------- the end


def test_a_cancel_reaches_silent_workers(server: EchoServer, client: Client, executor: Executor) -> None:
    """What had come is in the items, with the reason; what waited is never asked."""
    run = stream_parallel(client, ["stall"] * 6, model="gpt-4o", executor=executor)
    texts = (index for index, chunk in run.chunks() if chunk.type == "text")
    begun = set(itertools.islice(texts, 8))
    with took(SOON):
        run.cancel("enough")
        server.wait_until(lambda: server.open_connections == 0)
    items = list(run)

    assert {"cancelled: enough"} == {str(item.error) for item in items}
    assert begun == {item.index for item in items if item.text == "stall:0 stall:1 "}
    assert 4 == len(begun)
    assert 4 == len(server.requests)


def _leave(run: ParallelRun) -> None:
    with run:
        pass


@pytest.mark.parametrize("how", ["leave", "drop", "deadline", "context", "failure"])
def test_every_end_reaches_silent_workers(server: EchoServer, client: Client, executor: Executor, how: str) -> None:
    """However a run ends, its workers' streams do."""
    ctx = Context(1.5 if how == "deadline" else None)

    def prompts() -> Iterator[str]:
        yield from ["stall"] * 3
        if how == "failure":
            server.wait_for_request(3)
            yield "fail"

    run = stream_parallel(client, prompts(), model="m", executor=executor, ctx=ctx, on_error="cancel_rest")
    server.wait_for_request(3)
    with took(SOON + 1.5):
        if how == "leave":
            _leave(run)
        elif how == "drop":
            del run
            gc.collect()
        elif how == "context":
            ctx.cancel()
        server.wait_until(lambda: all(request.disconnected.is_set() for request in server.requests[:3]))
    if how == "deadline":
        assert {DeadlineExceeded} == {type(item.error) for item in run}


PROGRAM = """
    import sys
    import distributed
    from streamkit import Client, stream_parallel
    from streamkit.providers import OpenAI

    def main(scheduler, url, checkpoint, *prompts):
        dask = distributed.Client(scheduler, set_as_default=False)
        client = Client(OpenAI(api_key="sk-not-sent", base_url=url))
        run = stream_parallel(
            client, prompts, model="gpt-4o", executor=dask.get_executor(), checkpoint=checkpoint, max_workers=4
        )
        for item in run.as_completed():
            print(item.prompt, item.from_checkpoint, flush=True)

    if __name__ == "__main__":
        main(*sys.argv[1:])
"""


def started(dask: Any, server: EchoServer, checkpoint: Path, *prompts: str) -> subprocess.Popen[str]:
    """Start a program that runs a batch on the cluster."""
    arguments = [dask.scheduler.address, server.base_url, str(checkpoint), *prompts]
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("number", ["SIGKILL", "SIGINT"])
def test_the_death_of_the_program_reaches_silent_workers(
    server: EchoServer, dask: Any, executor: Executor, tmp_path: Path, number: str
) -> None:
    """Killed, or stopped by Ctrl-C: nobody goes on paying for answers that nobody will read."""
    with started(dask, server, tmp_path / "c", *["stall"] * 6) as program:
        server.wait_for_request(4, timeout=20)
        with took(SOON):
            program.send_signal(getattr(signal, number))
            server.wait_until(lambda: server.open_connections == 0)
        program.communicate(timeout=20)

    assert 4 == len(server.requests)


# ---------------------------------------------------------------- losses


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_lost_worker_s_prompts_are_asked_again(
    server: EchoServer, client: Client, mortal: Any, tmp_path: Path
) -> None:
    """By another; each prompt has one item, and one line in the checkpoint."""
    prompts = [*PROMPTS[:4], "wait1", "wait2", *PROMPTS[4:]]
    run = stream_parallel(
        client, prompts, model="gpt-4o", executor=mortal.get_executor(), checkpoint=tmp_path / "c", max_workers=4
    )
    server.wait_until(lambda: server.asked["wait1"] == server.asked["wait2"] == 1)
    kill(*workers(mortal).values())
    server.wait_until(lambda: server.asked["wait1"] == server.asked["wait2"] == 2, timeout=20)
    server.gate.set()
    items = list(run.as_completed())

    assert list(range(22)) == sorted(item.index for item in items)
    assert list(map(echo, prompts)) == run.texts()
    assert 1 + 22 == len((tmp_path / "c").read_text().splitlines())


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_workers_killed_at_random_moments(server: EchoServer, client: Client, mortal: Any, tmp_path: Path) -> None:
    """Whenever they die: one whole answer to each prompt, and a second run asks nothing."""
    chance = random.Random(6)
    executor = mortal.get_executor()
    prompts = [f"p{number}" for number in range(60)]
    run = stream_parallel(client, prompts, model="gpt-4o", executor=executor, checkpoint=tmp_path / "c", max_workers=4)
    kills = sorted(chance.sample(range(5, 55), 3))
    items = []
    for item in run.as_completed():
        items.append(item)
        if kills and len(items) == kills[0]:
            kills.pop(0)
            living = sorted(workers(mortal).values())
            kill(
                *chance.sample(living, max(0, len(living) - 1))
            )  # one that is there stays: the others may be beginning still
    asked = len(server.requests)
    again = list(stream_parallel(client, prompts, model="gpt-4o", executor=executor, checkpoint=tmp_path / "c"))

    assert [None] * 60 == [item.error for item in items]
    assert list(range(60)) == sorted(item.index for item in items)
    assert [echo(prompt) for prompt in prompts] == [item.text for item in again]
    assert all(item.from_checkpoint for item in again)
    assert asked == len(server.requests) <= 60 + 3 * 2


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_program_goes_on_where_it_was(
    server: EchoServer, dask: Any, executor: Executor, tmp_path: Path
) -> None:
    """What it had answered is not asked again, whenever it was killed."""
    prompts = [*PROMPTS[:6], "wait", *PROMPTS[6:]]
    with started(dask, server, tmp_path / "c", *prompts) as program:
        assert program.stdout is not None
        shown = {program.stdout.readline().split()[0] for _ in range(10)}
        program.kill()
    held = next(request for request in server.requests if said(request) == "wait")
    assert held.disconnected.wait(5)
    server.gate.set()
    with started(dask, server, tmp_path / "c", *prompts) as again:
        out, _ = again.communicate(timeout=30)
    kept = {line.split()[0] for line in out.splitlines() if line.endswith("True")}
    asked = server.asked

    assert set(prompts) == {line.split()[0] for line in out.splitlines()}
    assert shown <= kept
    assert {1} == {asked[prompt] for prompt in kept}
    assert 2 == asked["wait"]


def test_a_cluster_that_is_closed(server: EchoServer, client: Client) -> None:
    """In mid-batch: what it had and what is to come fails, with errors that say so; nobody waits."""
    with cluster_of(n_workers=1) as cluster, distributed.Client(cluster, set_as_default=False) as dask:
        run = stream_parallel(client, ["stall"] * 6, model="m", executor=dask.get_executor(), max_workers=2)
        server.wait_for_request(2)
        cluster.close()
        dask.close()
        with took(20):
            errors = [item.error for item in run]

    assert 6 == len(errors)
    assert all(isinstance(error, StreamKitError) for error in errors)
    assert {"executor"} <= set(" ".join(map(str, errors)).split())


def test_answers_do_not_stay_on_the_cluster(client: Client, dask: Any, executor: Executor) -> None:
    """They are let go of as they come, also while the run is held."""
    run = stream_parallel(client, PROMPTS, model="gpt-4o", executor=executor)
    run.texts()
    deadline = time.monotonic() + 5
    while (left := dask.run_on_scheduler(_tasks)) and time.monotonic() < deadline:
        gc.collect()

    assert 0 == left
    assert 20 == len(run)


def _tasks(dask_scheduler: Any = None) -> int:
    return len(dask_scheduler.tasks)


def test_a_worker_that_dies_of_its_prompt(server: EchoServer, client: Client, mortal: Any) -> None:
    """One that kills each worker that takes it is given up, and not for ever asked again."""
    mortal.cluster.scheduler.allowed_failures = 0
    run = stream_parallel(client, ["stall"], model="m", executor=mortal.get_executor())
    for number in (1, 2):
        request = server.wait_for_request(number, timeout=20)
        while not request.disconnected.wait(0.05):
            kill(*workers(mortal).values())
    (item,) = run

    assert "the executor lost the prompt" in str(item.error)
    assert 2 == len(server.requests)


def test_the_route_is_the_cluster_s(executor: Executor) -> None:
    """The run listens where the workers can reach it, not on the loopback interface."""
    assert Route(host=own_address(), sole=False, live=True) == route_to(executor)


def test_a_cluster_in_the_same_process(server: EchoServer, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its threads are asked as workers elsewhere are."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with cluster_of(processes=False, n_workers=1, host=None) as cluster:
        with distributed.Client(cluster, set_as_default=False) as dask:
            run = stream_parallel(client, ["a", "b"], model="m", executor=dask.get_executor())
            texts = dict.fromkeys(range(2), "")
            for index, chunk in run.chunks():
                texts[index] += chunk.content
            stalled = stream_parallel(client, ["stall"], model="m", executor=dask.get_executor())
            server.wait_until(lambda: server.asked["stall"] == 1)
            stalled.cancel()
            (item,) = stalled

    assert [echo("a"), echo("b")] == list(texts.values())
    assert Cancelled is type(item.error)
    assert said(server.requests[-1]) == "stall"


@pytest.fixture
def server() -> Iterator[EchoServer]:
    """A server that echoes."""
    with EchoServer() as server:
        yield server


@pytest.fixture
def client(server: EchoServer) -> Iterator[Client]:
    """A client of it."""
    with server.client() as client:
        yield client
