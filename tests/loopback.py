"""What tests over a real socket share: clients of a scripted server, the two dialects, and programs of their own."""

from __future__ import annotations

import os
import pathlib
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import attrs

from streamkit import ChatBuilder, ChatStream, Client, RetryPolicy, StreamKitError
from streamkit.providers import OpenAI
from streamkit.testing import Event, ProviderServer, Script, Status, Step, anthropic_answer, chat_answer, error_event

__all__ = [
    "AT_ONCE",
    "CA_VARIABLES",
    "CERTS",
    "DIALECTS",
    "KEY",
    "ONCE",
    "Dialect",
    "ask",
    "ask_of",
    "client_of",
    "deaf_port",
    "delta",
    "drain",
    "failure",
    "framed",
    "run_python",
    "took",
]

KEY = "sk-test-0123456789abcdef"
CERTS = pathlib.Path(__file__).parent / "certs"
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
ROOT = pathlib.Path(__file__).parents[1]

ONCE = RetryPolicy(max_retries=0)
AT_ONCE = RetryPolicy(max_retries=2, initial_interval=0)
"""Retries without waiting."""


def client_of(server: ProviderServer, **settings: Any) -> Client:
    """Give an OpenAI client of a scripted server; it does not retry unless told to."""
    return Client(OpenAI(KEY, base_url=server.base_url), **{"retry_policy": ONCE, **settings})


def ask(client: Client) -> ChatBuilder:
    """Give a question, not yet asked."""
    return client.chat("gpt-4o").user("Hello")


@contextmanager
def ask_of(server: ProviderServer, *script: Script, **settings: Any) -> Iterator[ChatStream]:
    """Ask once and give the stream of the scripted answer; client and stream are closed at the end."""
    server.reply(*script)
    with client_of(server, **settings) as client, ask(client).get_stream() as stream:
        yield stream


def drain(stream: ChatStream) -> tuple[str, StreamKitError | None]:
    """Read a stream to its end: the text that was delivered, and the error or None."""
    text = "".join(chunk.content for chunk in stream.ch)
    return text, stream.err.get()


def failure(ask: Callable[[], object]) -> StreamKitError:
    """Give the error that `ask` raises, or, where it gives a stream, the error in which that ends."""
    try:
        stream = ask()
    except StreamKitError as error:
        return error
    assert isinstance(stream, ChatStream), f"it gave {stream!r}"
    with stream:
        error = stream.err.get()
        final = stream.final.get()
    assert error is not None, f"it succeeded: {final!r}"
    assert final is None
    return error


def delta(text: str) -> Event:
    """Give an event of an OpenAI stream that brings text."""
    return Event({"choices": [{"index": 0, "delta": {"content": text}}]})


def framed(script: Iterable[Step], **how: Any) -> tuple[Step, ...]:
    """Give the script with its head changed: `framing`, `encoding`, `headers`, …."""
    return tuple(attrs.evolve(step, **how) if isinstance(step, Status) else step for step in script)


@attrs.frozen(kw_only=True)
class Dialect:
    """A provider's wire, as far as faults look alike on each."""

    client: Callable[..., Client]
    answer: Callable[..., tuple[Step, ...]]
    error: Callable[[str, str], Event]
    """An error event of this message and type."""

    def ask(self, client: Client) -> ChatBuilder:
        """Give a question, not yet asked."""
        return client.chat("a-model").user("Hello")


def _anthropic_client(server: ProviderServer, **settings: Any) -> Client:
    from streamkit.providers import Anthropic

    return Client(Anthropic(KEY, base_url=server.url), **{"retry_policy": ONCE, **settings})


DIALECTS = {
    "openai": Dialect(
        client=client_of, answer=chat_answer, error=lambda message, type: error_event(message, type=type)
    ),
    "anthropic": Dialect(
        client=_anthropic_client,
        answer=anthropic_answer,
        error=lambda message, type: error_event(message, type=type, event="error"),
    ),
}


@contextmanager
def deaf_port() -> Iterator[int]:
    """Give a port whose queue of connections is full: a further one is not answered."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextmanager
def took(most: float, least: float = 0.0) -> Iterator[None]:
    """Assert that the block takes at least `least` and less than `most` seconds."""
    began = time.monotonic()
    yield
    seconds = time.monotonic() - began
    assert least <= seconds < most, f"it took {seconds:.3f} s"


def run_python(
    program: str,
    *arguments: object,
    env: Mapping[str, str] | None = None,
    while_running: Callable[[subprocess.Popen[str]], object] | None = None,
    timeout: float = 30.0,
) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python of its own; `while_running` is called with the process as soon as it printed a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
    )
    killer = threading.Timer(timeout, process.kill)
    killer.start()
    try:
        first = ""
        if while_running is not None:
            assert process.stdout is not None
            first = process.stdout.readline()
            while_running(process)
        out, err = process.communicate()
    finally:
        killer.cancel()
        killer.join()
        process.kill()
        process.wait()
    return subprocess.CompletedProcess(process.args, process.returncode, first + out, err)
