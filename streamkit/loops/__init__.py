"""Generators that wrap calls: several model calls as one stream. They own no thread, and run on the stream's.

`LoopScope` is what a loop needs of the running stream, beside what each call needs.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from streamkit.call import Scope
from streamkit.context import Context
from streamkit.types.response import ChatResponse, StopCause

__all__ = ["LoopScope"]


class LoopScope(Scope, Protocol):
    """The running stream, as far as a loop needs it."""

    def context(self) -> Context:
        """Give a context that ends when the stream does, whoever ends it."""

    def response(self) -> ChatResponse:
        """Give what has been handed over so far, of all steps."""

    def next_step(self) -> None:
        """Say that another call follows."""

    def stopped(self, cause: StopCause) -> None:
        """Say why no further call follows."""

    def own_work(self) -> AbstractContextManager[None]:
        """Give what to wrap work in that is not the provider's: its clocks stand still meanwhile."""
