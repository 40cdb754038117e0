"""The checkpoint file: what is in it, what happens to it, and batches that are killed at any moment."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from streamkit import Client, ConfigError, ParallelItem, stream_parallel
from streamkit.parallel import checkpoint as checkpoint_module
from streamkit.parallel.checkpoint import Checkpoint
from streamkit.types import ChatResponse
from tests.echoing import EchoServer, echo

HEAD = b'{"streamkit": "parallel checkpoint", "version": 1}\n'


@pytest.fixture(name="path")
def fixture_path(tmp_path: Path) -> Path:
    """Where the checkpoint is."""
    return tmp_path / "batch.jsonl"


def run_batch(client: Client, prompts: list[str], path: Path, **settings: Any) -> list[ParallelItem]:
    """Run a batch to its end."""
    return list(stream_parallel(client, prompts, model="gpt-4o", checkpoint=path, **settings))


def answered(index: int, text: str = "Hello") -> ParallelItem:
    """Make an item with a whole answer."""
    response = ChatResponse(text=text, finish_reason="stop", complete=True)
    return ParallelItem(index=index, prompt="p", text=text, response=response, error=None, elapsed=0.5)


def write(path: Path, *items: tuple[ParallelItem, str]) -> None:
    """Write a checkpoint of these items and digests."""
    saved = Checkpoint(path)
    for item, digest in items:
        saved.write(item, digest)
    saved.close()


# ---------------------------------------------------------------- going on


def test_what_was_answered_is_not_asked_again(server: EchoServer, client: Client, path: Path) -> None:
    """A second run gives the same items, whole, and makes no request."""
    first = run_batch(client, ["a", "b", "c"], path)
    asked = len(server.requests)
    second = run_batch(client, ["a", "b", "c"], path)

    assert (3, 3) == (asked, len(server.requests))
    assert [False] * 3 == [item.from_checkpoint for item in first]
    assert [True] * 3 == [item.from_checkpoint for item in second]
    assert [(i.index, i.prompt, i.text, i.response, i.error, i.elapsed) for i in first] == [
        (i.index, i.prompt, i.text, i.response, i.error, i.elapsed) for i in second
    ]


def test_failed_prompts_are_asked_again(server: EchoServer, client: Client, path: Path) -> None:
    """Only complete answers are kept; what had come of the others is in the items of their run."""
    first = run_batch(client, ["a", "cut", "fail"], path)
    again = run_batch(client, ["a", "cut", "fail"], path)

    assert [echo("a"), "cut:0 cut:1 ", ""] == [item.text for item in first]
    assert Counter({"a": 1, "cut": 2, "fail": 2}) == server.asked
    assert [True, False, False] == [item.from_checkpoint for item in again]


def test_an_edited_prompt_is_asked(server: EchoServer, client: Client, path: Path) -> None:
    """Its old answer stays in the file and is given to nobody."""
    run_batch(client, ["a", "b", "c"], path)
    items = run_batch(client, ["a", "B", "c"], path)

    assert [echo("a"), echo("B"), echo("c")] == [item.text for item in items]
    assert [True, False, True] == [item.from_checkpoint for item in items]


def test_prompts_may_move(server: EchoServer, client: Client, path: Path) -> None:
    """One inserted, one taken out, the order turned: what was answered is found, and only the new one is asked."""
    run_batch(client, ["a", "b", "c"], path)
    items = run_batch(client, ["c", "new", "a"], path)

    assert [echo("c"), echo("new"), echo("a")] == [item.text for item in items]
    assert [0, 1, 2] == [item.index for item in items]
    assert Counter(["a", "b", "c", "new"]) == server.asked


def test_another_model_or_setting_is_asked(server: EchoServer, client: Client, path: Path) -> None:
    """The answers of one are no answers of the other, and each finds its own again."""
    warm = client.chat("gpt-4o").temperature(1.0)
    for _ in range(2):
        for template in (client.chat("gpt-4o"), client.chat("other"), warm):
            list(stream_parallel(template, ["a"], checkpoint=path))

    assert 3 == server.asked["a"]


def test_duplicates_are_kept_apart(server: EchoServer, client: Client, path: Path) -> None:
    """Each answer is given once, to the prompt at its position where there is one."""
    run_batch(client, ["a", "a"], path)
    items = run_batch(client, ["a", "a", "a"], path)

    assert [True, True, False] == [item.from_checkpoint for item in items]
    assert 3 == server.asked["a"]


def test_a_generator_goes_on_too(server: EchoServer, client: Client, path: Path) -> None:
    """Prompts are known by what they ask, however they come."""
    run_batch(client, ["a", "b"], path)
    items = list(stream_parallel(client, iter(["a", "b", "c"]), model="gpt-4o", checkpoint=path))

    assert [True, True, False] == [item.from_checkpoint for item in items]


def test_a_cancelled_batch_goes_on(server: EchoServer, client: Client, path: Path) -> None:
    """What was answered before the cancel is kept, the rest is asked."""
    prompts = ["a", "b", "stall", "c"]
    with stream_parallel(client, prompts, model="gpt-4o", max_workers=1, checkpoint=path) as run:
        server.wait_for_request(3)
    stopped = [item.error is None for item in run]
    items = run_batch(client, ["a", "b", "c"], path)

    assert [True, True, False, False] == stopped
    assert [True, True, False] == [item.from_checkpoint for item in items]


def test_an_answer_is_on_the_disk_before_it_is_shown(client: Client, path: Path) -> None:
    """Whoever has seen an item finds its line in the file."""
    run = stream_parallel(client, [f"p{number}" for number in range(20)], model="gpt-4o", checkpoint=path)
    for number, _ in enumerate(run.as_completed(), 1):
        assert path.read_bytes().count(b"\n") >= number + 1


def test_no_key_is_in_the_file(client: Client, path: Path) -> None:
    """Nor a header."""
    template = client.chat("gpt-4o").headers({"X-Mine": "my-header"})
    list(stream_parallel(template, ["a"], checkpoint=path))

    assert b"sk-very-secret" not in path.read_bytes()
    assert b"my-header" not in path.read_bytes()


def test_each_line_is_json(client: Client, path: Path) -> None:
    """The first says what the file is; the others have position, digest, prompt, seconds and answer."""
    run_batch(client, ["grün", "b"], path)
    head, *lines = (json.loads(line) for line in path.read_text("utf-8").splitlines())

    assert {"streamkit": "parallel checkpoint", "version": 1} == head
    assert {"grün": echo("grün"), "b": echo("b")} == {line["prompt"]: line["response"]["text"] for line in lines}
    assert {"index", "request", "prompt", "elapsed", "response"} == set(lines[0])


# ---------------------------------------------------------------- torn, foreign, in use


@pytest.mark.parametrize("cut", [1, 2, 10, 100, 200])
def test_a_torn_line_is_dropped(server: EchoServer, client: Client, path: Path, cut: int) -> None:
    """Killed while it was written, the last answer is asked again, and the file goes on as if it had never begun."""
    run_batch(client, ["a", "b"], path, max_workers=1)
    path.write_bytes(path.read_bytes()[:-cut])
    items = run_batch(client, ["a", "b"], path)
    lines = path.read_bytes().splitlines()

    assert [True, False] == [item.from_checkpoint for item in items]
    assert ["a", "b"] == [json.loads(line)["prompt"] for line in lines[1:]]
    assert Counter({"a": 1, "b": 2}) == server.asked


@pytest.mark.parametrize("size", [0, 1, 20, len(HEAD) - 1])
def test_a_torn_head_is_written_again(client: Client, path: Path, size: int) -> None:
    """Killed at the very beginning."""
    path.write_bytes(HEAD[:size])
    run_batch(client, ["a"], path)

    assert path.read_bytes().startswith(HEAD)
    assert 2 == path.read_bytes().count(b"\n")


@pytest.mark.parametrize("rest", [b"\0" * 100, b"\0" * 100 + b"\n", b'{"index": 1}\n', b"[]\n{}\n"])
def test_garbage_at_the_end_is_cut_off(path: Path, rest: bytes) -> None:
    """As a loss of power may leave it; what stands before it is kept."""
    write(path, (answered(0), "d"))
    whole = path.read_bytes()
    path.write_bytes(whole + rest)
    saved = Checkpoint(path)
    item = saved.take(0, "d")
    saved.close()

    assert item is not None
    assert whole == path.read_bytes()


def test_a_spoilt_line_costs_one_answer(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In the middle it is skipped, and logged by its number."""
    write(path, (answered(0), "d0"), (answered(1), "d1"))
    head, first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(head + b"X" + first[1:] + second)
    saved = Checkpoint(path)
    found = [saved.take(0, "d0"), saved.take(1, "d1")]
    saved.close()

    assert [True, False] == [item is None for item in found]
    assert "line 2" in caplog.text


def test_an_answer_of_another_shape_is_asked_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As a later version may write it."""
    write(path, (answered(0), "d"))
    path.write_bytes(path.read_bytes().replace(b'"text"', b'"words"'))
    saved = Checkpoint(path)
    found = saved.take(0, "d")
    saved.close()

    assert None is found
    assert "asked again" in caplog.text


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"my shopping list", "no checkpoint"),
        (b'{"some": "json"}\n', "no checkpoint"),
        (b"[1]\n", "no checkpoint"),
        (b"\xff\xfe\n", "no checkpoint"),
        (HEAD.replace(b"1", b"2"), "version 2"),
    ],
)
def test_a_foreign_file_is_left_alone(path: Path, content: bytes, told: str) -> None:
    """It is told apart before anything is written."""
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=told):
        Checkpoint(path)

    assert content == path.read_bytes()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """What cannot be opened is told with the system's reason."""
    with pytest.raises(ConfigError, match="directory"):
        Checkpoint(tmp_path)


def test_one_run_at_a_time(server: EchoServer, client: Client, path: Path) -> None:
    """A second one is refused while the first lives, in this process too, and welcome afterwards."""
    with stream_parallel(client, ["stall"], model="gpt-4o", checkpoint=path):
        with pytest.raises(ConfigError, match="in use"):
            stream_parallel(client, ["a"], model="gpt-4o", checkpoint=path)

    assert [echo("a")] == [item.text for item in run_batch(client, ["a"], path)]


@pytest.mark.slow
def test_one_process_at_a_time(path: Path) -> None:
    """The lock goes with the process that has it."""
    program = "import sys; from streamkit.parallel.checkpoint import Checkpoint; Checkpoint(sys.argv[1])"
    saved = Checkpoint(path)
    refused = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True)
    saved.close()
    welcome = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True)

    assert (1, 0) == (refused.returncode, welcome.returncode)
    assert "in use by another run" in refused.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_hold_the_lock(path: Path) -> None:
    """Its copy is given up, so that the parent's end frees the file."""
    saved = Checkpoint(path)
    copy = os.dup(saved._file)  # what a child inherits
    other = Checkpoint.__new__(Checkpoint)
    other.__dict__.update(saved.__dict__, _file=copy)
    other.forked()
    saved.close()

    Checkpoint(path).close()


def test_a_full_disk_stops_the_run(
    server: EchoServer, client: Client, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer at hand is kept in its item; the rest is not paid for; the file stays whole."""
    write_whole, calls = os.write, []

    def write_half(file: int, data: bytes) -> int:
        calls.append(data)
        return write_whole(file, data if len(calls) < 3 else data[:10])

    monkeypatch.setattr(checkpoint_module.os, "write", write_half)
    items = run_batch(client, ["a", "b", "c", "d"], path, max_workers=1)

    assert [echo("a"), echo("b"), "", ""] == [item.text for item in items]
    assert "disk full" in str(items[2].error)
    assert 2 == path.read_bytes().count(b"\n")
    assert path.read_bytes().endswith(b"\n")


def test_text_that_utf8_cannot_hold_is_kept(path: Path) -> None:
    """Half a surrogate pair, which a prompt may have."""
    write(path, (answered(0, "\ud800 ü"), "d"))
    saved = Checkpoint(path)
    item = saved.take(0, "d")
    saved.close()

    assert item is not None
    assert "\ud800 ü" == item.text


def test_after_the_end_nothing_is_written(path: Path) -> None:
    """A straggler's answer comes too late."""
    saved = Checkpoint(path)
    saved.close()
    saved.close()
    saved.write(answered(0), "d")

    assert HEAD == path.read_bytes()


# ---------------------------------------------------------------- kills

BATCH = """
import sys
from streamkit import Client, stream_parallel
from streamkit.providers import OpenAI

client = Client(OpenAI(api_key="test", base_url=sys.argv[1]))
prompts = (f"p{number}" for number in range(int(sys.argv[3])))
run = stream_parallel(client, prompts, model="gpt-4o", checkpoint=sys.argv[2])
for item in run:
    assert item.error is None, item.error
    print(item.index, item.text, flush=True)
"""


def kept(path: Path) -> set[str]:
    """The prompts that are answered in the file, as far as whole lines go."""
    lines = path.read_bytes().split(b"\n")[1:-1] if path.exists() else []
    return {json.loads(line)["prompt"] for line in lines}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize(("prompts", "pieces", "kills"), [(1000, 20, 9)])
def test_a_killed_batch_goes_on_where_it_stopped(path: Path, prompts: int, pieces: int, kills: int) -> None:
    """Killed at many moments: nothing is asked twice but what was in flight, nothing is lost, the order stays."""
    chance = random.Random(7)
    safe: list[tuple[set[str], Counter[str]]] = []  # at each kill: what was in the file, and how often it was asked
    with EchoServer(pieces) as server:
        command = [sys.executable, "-c", BATCH, server.base_url, str(path), str(prompts)]
        for _ in range(kills):
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
                more = chance.choice([1, 2, 7, chance.randrange(8, 2 * prompts // kills)])
                server.wait_for_request(len(server.requests) + more, timeout=20)
                process.send_signal(signal.SIGKILL)
            safe.append((kept(path), server.asked))
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
        asked = server.asked

    assert (0, "") == (ran.returncode, ran.stderr)
    assert [f"{n} {echo(f'p{n}', pieces)}" for n in range(prompts)] == ran.stdout.splitlines()
    assert 0 < len(safe[-1][0]) < prompts
    assert [] == [prompt for found, before in safe for prompt in found if asked[prompt] != before[prompt]]
    assert asked.total() <= prompts + kills * 8
    assert prompts == len(kept(path))
