"""Durable streams whose writers and followers are killed, paused and resumed, on a real Redis."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from streamkit import ConfigError, StreamTruncated
from streamkit.testing import ProviderServer, Stall, chat_answer
from tests.feeding import Feed, text
from tests.loopback import ROOT, ask, client_of, failure, took

if TYPE_CHECKING:
    from streamkit.integrations.redis import DurableStreams

pytestmark = [pytest.mark.servers, pytest.mark.slow]

Durables = Callable[..., "DurableStreams"]

WRITER = """
import sys, time
from streamkit import TextChunk
from streamkit.integrations.redis import DurableStreams

def words():
    for n in range(100_000):
        yield TextChunk(content=f"{n} ", index=n)
        time.sleep(0.0005)  # the provider's pace

durable = DurableStreams(sys.argv[1], prefix=sys.argv[2], lease=float(sys.argv[3]))
written = durable.write("a", words())
print("begun", flush=True)
error = written.err.get()
print(type(error).__name__, str(error), len(error.partial.text) > 0, flush=True)
"""

FOLLOWER = """
import sys
from streamkit.integrations.redis import DurableStreams

durable = DurableStreams(sys.argv[1], prefix=sys.argv[2])
for chunk in durable.follow("a", after=sys.argv[3] or None):
    print(chunk.metadata["event_id"], chunk.content, flush=True)
"""

ASKER = """
import sys
from streamkit import Client
from streamkit.integrations.redis import DurableStreams
from streamkit.providers import OpenAI

durable = DurableStreams(sys.argv[1], prefix=sys.argv[2], lease=0.5)
chat = Client(OpenAI("sk-test", base_url=sys.argv[3])).chat("gpt-4o").user("Hello")
durable.write("a", chat).err.get()
"""


@contextmanager
def running(program: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a program, which is killed at the end."""
    command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    """The next line that it prints."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


@pytest.mark.parametrize("seen", [0, 1, 60, 500])
def test_the_writer_is_killed(durables: Durables, redis_url: str, seen: int) -> None:
    """Its readers, those who come later too, get an error within the lease, and in `partial` all that is in Redis."""
    durable = durables(lease=0.5)
    with running(WRITER, redis_url, durable._store._prefix, 0.5) as writer:
        assert "begun" == line(writer)
        followed = durable.follow("a")
        for _ in range(seen):
            followed.ch.get(timeout=10)
        writer.kill()
        with took(3):
            error = followed.err.get(timeout=10)
        later = failure(lambda: durable.follow("a"))
    state = durable.state("a")

    for one in (error, later):
        assert StreamTruncated is type(one)
        assert "durable.resume(name, chat)" in str(one)
        assert one is not None and one.partial is not None
        assert "".join(f"{n} " for n in range(state.token_count)) == one.partial.text == state.partial_content
    assert state.token_count >= seen
    assert ("lost", state.token_count) == (durable.status("a").state, durable.status("a").chunks)
    with pytest.raises(ConfigError, match="resume it"):
        durable.write("a", [text("x")])


def test_a_paused_writer_finds_out(durables: Durables, redis_url: str) -> None:
    """Readers were told that it is lost: what it sends when it wakes is not in the answer, and its stream fails."""
    durable = durables(lease=0.5)
    with running(WRITER, redis_url, durable._store._prefix, 0.5) as writer:
        assert "begun" == line(writer)
        followed = durable.follow("a")
        for _ in range(20):
            followed.ch.get(timeout=10)
        writer.send_signal(signal.SIGSTOP)
        error = followed.err.get(timeout=10)
        told = durable.state("a")
        writer.send_signal(signal.SIGCONT)
        said = line(writer)

    assert StreamTruncated is type(error)
    assert said.startswith("StreamTruncated the durable stream 'a' was taken for lost")
    assert said.endswith("True")
    assert told == durable.state("a")
    assert "lost" == durable.status("a").state


def test_a_paused_writer_that_nobody_missed_goes_on(durables: Durables, redis_url: str) -> None:
    """Nobody looked: so nobody was told anything, and there is one truth."""
    durable = durables(lease=0.5)
    pause = threading.Event()
    with running(WRITER, redis_url, durable._store._prefix, 0.5) as writer:
        assert "begun" == line(writer)
        writer.send_signal(signal.SIGSTOP)
        pause.wait(0.8)
        writer.send_signal(signal.SIGCONT)
        pause.wait(0.3)
        followed = durable.follow("a")
        got = [followed.ch.get(timeout=10).content for _ in range(200)]

    assert [f"{n} " for n in range(200)] == got


def test_a_silent_provider_is_no_lost_writer(durables: Durables) -> None:
    """The lease is renewed, however long nothing comes."""
    durable = durables(lease=0.3)
    with Feed() as feed:
        durable.write("a", feed.stream())
        followed = durable.follow("a")
        feed.give(text("before "))
        threading.Event().wait(1.5)
        feed.give(text("after", 1))
        feed.end()

        assert "before after" == followed.result().text


def test_a_killed_follower_comes_back(durable: DurableStreams, redis_url: str) -> None:
    """Many times, at random moments: put together, each chunk is there once."""
    chance, words = random.Random(7), [f"{n}" for n in range(300)]
    got: list[str] = []
    after = ""
    with Feed() as feed:
        durable.write("a", feed.stream())
        for at in range(0, 300, 10):
            feed.give(*(text(word, at + n) for n, word in enumerate(words[at : at + 10])))
        while len(got) < 300:
            with running(FOLLOWER, redis_url, durable._store._prefix, after) as follower:
                for _ in range(min(chance.randint(1, 60), 300 - len(got))):
                    after, word = line(follower).split(" ")
                    got.append(word)
                follower.kill()
        feed.end()

    assert words == got


def test_an_answer_of_a_killed_writer_goes_on(durables: Durables, redis_url: str, server: ProviderServer) -> None:
    """Another one resumes it: text whole, nothing repeated; who had read half of it reads the rest."""
    durable = durables(lease=0.5)
    server.reply(*chat_answer("Once ", "upon ")[:4], Stall())
    server.reply(*chat_answer("a ", "time."))
    with running(ASKER, redis_url, durable._store._prefix, server.base_url) as writer:
        followed = durable.follow("a", wait=10)
        seen = [followed.ch.get(timeout=10) for _ in range(2)]
        writer.kill()
        error = followed.err.get(timeout=10)
    with client_of(server) as client:
        durable.resume("a", ask(client))
        rest = list(durable.follow("a", after=seen[-1].metadata["event_id"]))
    whole = durable.follow("a")

    assert StreamTruncated is type(error)
    assert ["Once ", "upon "] == [chunk.content for chunk in seen]
    assert "a time." == "".join(chunk.content for chunk in rest)
    assert [*seen, *rest] == list(whole)
    assert ("Once upon a time.", True) == (whole.result().text, whole.result().complete)
