"""Announcer: an observer told one thing after the other by many threads, none of which waits for another's telling."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from streamkit.hooks import observe
from streamkit.parallel.progress import ParallelProgress

__all__ = ["Announcer"]

logger = logging.getLogger("streamkit")


class Announcer:
    """Tells `observer` how far a batch is, and does last what is to be done when it has been told all. Thread-safe."""

    def __init__(self, observer: Callable[[ParallelProgress], object]) -> None:
        self._observer = observer
        self._telling = threading.Lock()  # held while the observer runs
        self._news: deque[ParallelProgress | Callable[[], object]] = deque()

    def note(self, news: ParallelProgress | Callable[[], object]) -> None:
        """Add what is to be told, or a function that is to be called, after all that was noted before."""
        self._news.append(news)

    def tell(self) -> None:
        """Tell what was noted, unless another thread is doing so, and will find this, too."""
        while self._news and self._telling.acquire(blocking=False):
            try:
                while self._news:
                    self._tell_next()
            except BaseException:  # SystemExit and the like: the run goes on
                logger.exception("on_progress raised; the run goes on")
            finally:
                self._telling.release()

    def _tell_next(self) -> None:
        news = self._news.popleft()
        if isinstance(news, ParallelProgress):
            observe(self._observer, news)
        else:
            news()
