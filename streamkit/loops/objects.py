"""One answer that has to be an object; asked again once, with what was wrong, where that is wished."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

from streamkit import lazy_attrs as attrs
from streamkit.errors import ObjectError
from streamkit.loops import LoopScope
from streamkit.loops.tools import Ask, StepPlan, held_back
from streamkit.types.chunks import Chunk, StepFinishChunk, ToolResultChunk
from streamkit.types.messages import Message, user
from streamkit.types.response import Step

__all__ = ["ObjectLoop"]

_TAKEN = "The answer was taken."


@attrs.define(kw_only=True)
class ObjectLoop:
    """A call whose answer is read as an object, and perhaps a second one."""

    ask: Ask
    read: Callable[[Step], Any]
    """Gives the object of a step, or raises `ObjectError`."""
    repair: bool = False
    value: Any = None
    """The object, once the stream is complete."""

    def batches(self, scope: LoopScope) -> Iterator[list[Chunk]]:
        """Make the call, or both; give their chunks. Raises `ObjectError` and other errors of our tree."""
        index, said = 0, tuple[Message, ...]()
        for number in (1, 2):
            finish = yield from held_back(self.ask(step=number, index=index, said=said, plan=StepPlan()), scope)
            error = self._read(scope, finish)
            index = yield from _closed(scope, finish, _TAKEN if error is None else _objection(error))
            if error is None:
                return
            if number == 2 or not (self.repair and _may_be_mended(finish.finish_reason)):
                raise error
            done = scope.response()
            told = () if done.tool_calls else (user(_objection(error)),)
            said = (*done.messages, *told)
            scope.pause(0)  # it may have been cancelled: then there is no second step
            scope.next_step()

    def _read(self, scope: LoopScope, finish: StepFinishChunk) -> ObjectError | None:
        step = attrs.evolve(scope.response().steps[-1], finish_reason=finish.finish_reason)
        try:
            self.value = self.read(step)
        except ObjectError as error:
            return error
        return None


def _closed(scope: LoopScope, finish: StepFinishChunk, output: str) -> Generator[list[Chunk], None, int]:
    """End the step; give the next index. Calls are told what became of them: no API takes a history with open ones."""
    calls = scope.response().steps[-1].tool_calls
    results = [
        ToolResultChunk(
            tool_call_id=call.id,
            tool_name=call.name,
            tool_output=output,
            is_error=output != _TAKEN,
            index=finish.index + position,
            metadata={"position": position},
        )
        for position, call in enumerate(calls)
    ]
    index = finish.index + len(results)
    yield [*results, attrs.evolve(finish, index=index)]
    return index + 1


def _may_be_mended(reason: str) -> bool:
    """An answer that was too long would be so again, and a refusal stays one."""
    return reason not in ("length", "content_filter")


def _objection(error: ObjectError) -> str:
    text = str(error).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}. Answer again, with the whole of it corrected."
