"""One answer that has to be an object; asked again once, with what was wrong, where that is wished."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs

from streamkit.errors import ObjectError
from streamkit.loops import LoopScope
from streamkit.loops.tools import Ask, StepPlan, held_back
from streamkit.types.chunks import Chunk
from streamkit.types.messages import Message, ToolResultPart, user
from streamkit.types.response import Step

__all__ = ["ObjectLoop"]

_AGAIN = "That is not what was asked for: {}. Answer again, with the whole of it corrected."


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
        finish = yield from held_back(self.ask(step=1, index=0, said=(), plan=StepPlan()), scope)
        yield [finish]
        try:
            self.value = self.read(scope.response().steps[-1])
        except ObjectError as error:
            if not (self.repair and _may_be_mended(finish.finish_reason)):
                raise
            said = (*scope.response().messages, _objection(scope.response().steps[-1], str(error)))
        else:
            return
        scope.next_step()
        yield from self.ask(step=2, index=finish.index + 1, said=said, plan=StepPlan()).batches(scope)
        self.value = self.read(scope.response().steps[-1])


def _may_be_mended(reason: str) -> bool:
    """An answer that was too long would be so again, and a refusal stays one."""
    return reason not in ("length", "content_filter")


def _objection(step: Step, error: str) -> Message:
    text = _AGAIN.format(error.rstrip("."))
    if not step.tool_calls:
        return user(text)
    results = [
        ToolResultPart(tool_call_id=call.id, tool_name=call.name, output=text, is_error=True)
        for call in step.tool_calls
    ]
    return Message(role="tool", content=results)
