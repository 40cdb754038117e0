"""What an observer is told, by whom, and in which order."""

from __future__ import annotations

import threading

import pytest

from streamkit import ParallelProgress
from streamkit.parallel.announcer import Announcer


def progress(done: int) -> ParallelProgress:
    """How far a batch is."""
    return ParallelProgress(total=9, done=done, failed=0, running=0, tokens_per_second=None, elapsed=0.0)


def test_all_is_told_in_order() -> None:
    """What is noted last, too, when that is something to do."""
    told: list[int] = []
    announcer = Announcer(lambda news: told.append(news.done))
    for news in (progress(1), progress(2), lambda: told.append(-1)):
        announcer.note(news)
    announcer.tell()
    announcer.tell()

    assert [1, 2, -1] == told


def test_who_comes_while_another_tells_leaves_it_to_him() -> None:
    """The second thread does not wait, and the first one tells its news, too."""
    told: list[tuple[int, int]] = []
    telling, go_on = threading.Event(), threading.Event()

    def slow(news: ParallelProgress) -> None:
        telling.set()
        go_on.wait(5)
        told.append((news.done, threading.get_ident()))

    announcer = Announcer(slow)
    announcer.note(progress(1))
    first = threading.Thread(target=announcer.tell)
    first.start()
    telling.wait(5)
    announcer.note(progress(2))
    announcer.tell()  # returns, as it is being told
    before = told.copy()
    go_on.set()
    first.join(5)

    assert [] == before
    assert [(1, first.ident), (2, first.ident)] == told


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_what_it_raises_ends_nothing(error: type[BaseException], caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the next is told."""
    told: list[int] = []

    def broken(news: ParallelProgress) -> None:
        told.append(news.done)
        raise error("no")

    announcer = Announcer(broken)
    announcer.note(progress(1))
    announcer.note(progress(2))
    announcer.tell()

    assert [1, 2] == told
    assert 2 == len(caplog.records)
