"""The loop over attempts, with calls of a test's own (what users see of it is in tests/test_resuming.py)."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from streamkit import (
    BadRequest,
    Cancelled,
    Client,
    ConfigError,
    Context,
    Overloaded,
    RetryPolicy,
    StreamKitError,
    StreamState,
    StreamTruncated,
)
from streamkit.call import Call
from streamkit.loops.answer import Way
from streamkit.loops.fallback import Fallback
from streamkit.loops.resume import ResumeLoop
from streamkit.retry import RetryBudget
from streamkit.testing import Close, ProviderServer, Stall, Status, chat_answer, error_answer
from tests.loopback import delta


class Asked:
    """Makes calls, and notes what for."""

    def __init__(self, client: Client, *refused: Way) -> None:
        self.chat = client.chat("gpt-4o").user("Hi")
        self.refused = refused
        self.asked: list[tuple[Way, str, int]] = []
        self.budget = RetryBudget()

    def __call__(self, way: Way, state: StreamState, *, index: int) -> Call | Fallback:
        """Make one, or refuse."""
        self.asked.append((way, state.partial_content, index))
        if way in self.refused:
            raise ConfigError(f"no {way}")
        call = self.chat.call(index=index)
        assert isinstance(call, Call)
        return attrs.evolve(call, budget=self.budget)

    def run(self, *ways: Way, known: StreamState | None = None, ctx: Context | None = None, **options: Any) -> Any:
        """A stream of a loop with these calls."""
        loop = ResumeLoop(self, ways, known=known or StreamState(), policy=RetryPolicy(initial_interval=0), **options)
        return self.chat.start(loop.batches, ctx, made_of=loop)


def cut(*texts: str) -> tuple[Any, ...]:
    """An answer that ends after these."""
    return (Status(), *map(delta, texts), Close())


def test_ways_are_tried_in_their_order(server: ProviderServer, client: Client) -> None:
    """At each cut anew; the first attempt is asked as it is, at index 0."""
    ask = Asked(client, "native")
    server.reply(*cut("The", " quick"))
    server.reply(*cut(" brown"))
    server.reply(*chat_answer(" fox"))
    assert "The quick brown fox" == ask.run("native", "prefill", "prompt", max_retries=2).result().text

    assert [
        ("again", "", 0),
        ("native", "The quick", 2),
        ("prefill", "The quick", 2),
        ("native", "The quick brown", 3),
        ("prefill", "The quick brown", 3),
    ] == ask.asked


@pytest.mark.parametrize(
    ("way", "said", "text"),
    [
        ("prompt", ("quick", " fox"), "The quick fox"),
        ("prompt", (" quick",), "The quick quick"),  # too little to tell: let go with the last chunk
        ("prefill", (" fox",), "The quick fox"),
        ("native", ("The", " quick", " fox"), "The quick fox"),
    ],
)
def test_each_way_has_its_seam(
    way: Way, said: tuple[str, ...], text: str, server: ProviderServer, client: Client
) -> None:
    """What a repetition is, and what is left out of it, depends on what was asked."""
    server.reply(*chat_answer("The quick", "!")[:3], Close())
    server.reply(*chat_answer(*said))
    stream = Asked(client).run(way, max_retries=1)
    chunks = list(stream)

    assert text == "".join(chunk.content for chunk in chunks) == stream.result().text
    assert list(range(len(chunks))) == [chunk.index for chunk in chunks]


def test_what_is_held_back_at_the_end_passes(server: ProviderServer, client: Client) -> None:
    """With the last chunk, and with the error."""
    server.reply(*cut("The quick brown fox jumps"))
    server.reply(*chat_answer(" quick", " brown"))
    assert "The quick brown fox jumps quick brown" == Asked(client).run("prompt", max_retries=1).result().text

    server.reply(*cut("The quick brown fox jumps"))
    server.reply(*cut(" quick", " brown"))
    stream = Asked(client).run("prompt", max_retries=1, gives_up=True)
    text = "".join(chunk.content for chunk in stream.ch)

    assert "The quick brown fox jumps quick brown" == text == stream.err.get().state.partial_content


def test_a_way_that_is_refused_is_passed_over(server: ProviderServer, client: Client) -> None:
    """For good, and at no cost; the last one's refusal is an error."""
    ask = Asked(client)
    server.reply(*cut("The"))
    server.reply(*error_answer(400, "no prefill"))
    server.reply(*cut(" quick"))
    server.reply(*error_answer(400, "no"))
    error = ask.run("prefill", "prompt", max_retries=2).err.get()

    assert type(error) is BadRequest
    assert ["again", "prefill", "prompt", "prompt"] == [way for way, _, _ in ask.asked]


def test_what_will_not_pass_is_not_retried(server: ProviderServer, client: Client) -> None:
    """A call that had begun, a permanent error, a wait beyond the deadline."""
    server.reply(*chat_answer("Hm", tool_calls=[("look", {})])[:5], Close())
    assert type(Asked(client).run("prompt", max_retries=1).err.get()) is StreamTruncated
    server.reply(*cut("The"))
    server.reply(*error_answer(503, "later", {"Retry-After": "30"}))
    assert type(Asked(client).run("prompt", max_retries=2, ctx=Context(timeout=20)).err.get()) is Overloaded

    assert 3 == len(server.requests)


def test_who_is_told_keeps_no_frames(server: ProviderServer, client: Client) -> None:
    """The error may be kept: with its frames it would keep the connection and the key."""
    told: list[tuple[StreamState, StreamKitError]] = []
    server.reply(*cut("The"))
    server.reply(*chat_answer(" fox"))
    Asked(client).run("prompt", max_retries=1, on_resume=lambda *both: told.append(both)).result()

    ((state, error),) = told
    assert ("The", None) == (state.partial_content, error.__traceback__)


def test_left_before_it_began_it_meets_a_closed_socket(server: ProviderServer, client: Client) -> None:
    """The stream may end while the first attempt is being made."""
    ask = Asked(client)
    loop = ResumeLoop(ask, ("prompt",), known=StreamState())
    loop.leave(None)
    server.reply(Stall())
    with pytest.raises(StreamKitError):
        ask.chat.start(loop.batches, made_of=loop)


def test_left_later_its_socket_is_woken(server: ProviderServer, client: Client) -> None:
    """That of the attempt which is under way then."""
    server.reply(*cut("The"))
    server.reply(Stall())
    stream = Asked(client).run("prompt", max_retries=1)
    server.wait_for_request(2)
    stream.close()

    assert isinstance(stream.err.get(), Cancelled)
    assert server.requests[1].disconnected.wait(2)


def test_where_no_way_is_left_the_error_stands(server: ProviderServer, client: Client) -> None:
    """It is the cut that counts, not that it cannot be continued."""
    ask = Asked(client, "native", "prompt")
    server.reply(*cut("The"))

    assert isinstance(ask.run("native", "prompt", max_retries=2, gives_up=True).err.get(), StreamTruncated)


def test_where_nothing_can_be_sent_at_first_that_is_told(client: Client) -> None:
    """A known answer that cannot be gone on with."""
    with pytest.raises(ConfigError, match="no prompt"):
        Asked(client, "prompt").run("prompt", known=StreamState(partial_content="The"))


def test_going_on_costs_of_the_budget_until_there_is_an_answer(server: ProviderServer, client: Client) -> None:
    """A service that is dead is not asked again and again by all streams together; one that answers is."""
    ask = Asked(client)
    server.reply(*cut("The"))
    server.reply(Close())
    server.reply(*cut(" quick"))
    server.reply(*chat_answer(" fox"))
    ask.run("prompt", max_retries=3).result()

    # The retry that met no answer stays spent, but for what each opening refills.
    assert RetryBudget.CAPACITY - RetryBudget.COST < ask.budget._tokens <= RetryBudget.CAPACITY

    ask.budget._tokens = 0
    server.reply(*cut("The"))
    assert isinstance(ask.run("prompt", max_retries=3, gives_up=True).err.get(), StreamTruncated)


def test_an_error_that_is_not_ours_to_continue_is_raised_as_it_is(server: ProviderServer, client: Client) -> None:
    """Without `gives_up`, as for a single resumption."""
    server.reply(*cut("The"))
    error: StreamKitError = Asked(client).run("prompt").err.get()

    assert type(error) is StreamTruncated
    assert error.partial is not None and "The" == error.partial.text
