"""How workers in other processes learn that their run has ended."""

from __future__ import annotations

import pickle
import socket
import threading

import pytest

from streamkit import StreamKitError
from streamkit.parallel.lifeline import Lifeline, Rope, context_of


def ended(lifeline: Lifeline) -> bool:
    """Cut a lifeline that is held, and wait for its context to end."""
    ctx = context_of(lifeline.rope)
    alive = not ctx.cancelled
    lifeline.cut()
    return alive and ctx.wait(5)


def test_a_cut_is_felt() -> None:
    """The context ends when the run does."""
    assert ended(Lifeline())


def test_one_context_for_all_prompts_of_a_run() -> None:
    """One connection will do."""
    lifeline = Lifeline()
    contexts = [context_of(pickle.loads(pickle.dumps(lifeline.rope))) for _ in range(3)]
    lifeline.cut()
    for thread in threading.enumerate():
        if thread.name == "streamkit-lifeline":
            thread.join(5)

    assert contexts[0] is contexts[1] is contexts[2]


def test_who_comes_too_late_is_told_at_once() -> None:
    """An errand that was still in line when the run ended is not asked."""
    lifeline = Lifeline()
    lifeline.cut()
    lifeline.cut()

    assert context_of(lifeline.rope).cancelled


def test_on_another_machine_there_is_none() -> None:
    """Nobody connects to a port of somebody else's."""
    ctx = context_of(Rope("elsewhere", 1))

    assert not ctx.cancelled


def test_without_a_port_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the family says so."""

    def refuse(*arguments: object, **settings: object) -> None:
        raise OSError("no more descriptors")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(StreamKitError, match="no more descriptors"):
        Lifeline()


def test_a_copy_in_a_forked_child_is_given_up() -> None:
    """It is closed without a word to those that hang on to it."""
    lifeline = Lifeline()
    copy = Lifeline.__new__(Lifeline)
    copy._listener = lifeline._listener.dup()
    ctx = context_of(lifeline.rope)
    copy.forked()

    assert not ctx.cancelled
    assert ended(lifeline)
