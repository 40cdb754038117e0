"""Hooks: they observe and change nothing, and two sets make one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from streamkit.errors import Cancelled, ConnectionLost
from streamkit.hooks import Hooks, RequestInfo, ResponseInfo, RetryInfo, ToolCallInfo, observe
from streamkit.types.messages import user
from streamkit.types.request import ChatRequest
from streamkit.types.response import ToolCall
from streamkit.types.usage import Usage

NAMES = [field.name for field in attrs.fields(Hooks)]


def noting(heard: list[tuple[str, object]], who: str) -> Callable[[Any], object]:
    """Give a hook that notes who heard what."""
    return lambda value: heard.append((who, value))


def failing(value: object) -> None:
    """A hook that raises."""
    raise ZeroDivisionError(f"at {value}")


def test_there_are_ten() -> None:
    """Each kind of thing that happens has its hook, and none is set by default."""
    assert [
        "on_request",
        "on_response",
        "on_chunk",
        "on_tool_call_start",
        "on_tool_call",
        "on_step_finish",
        "on_finish",
        "on_retry",
        "on_error",
        "on_cancel",
    ] == NAMES
    assert [None] * 10 == [getattr(Hooks(), name) for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_both_are_called_in_order(name: str) -> None:
    """Under `a | b` a's hook is called, then b's, with the same value; a third set may follow."""
    heard = list[tuple[str, object]]()
    hooks = [Hooks(**{name: noting(heard, who)}) for who in "abc"]
    observe(getattr(hooks[0] | hooks[1] | hooks[2], name), "it")

    assert [("a", "it"), ("b", "it"), ("c", "it")] == heard


@pytest.mark.parametrize("name", NAMES)
def test_a_hook_alone_stays_itself(name: str) -> None:
    """Where only one of two sets has a hook it is taken over as it is; where none has one there is none."""
    heard = list[tuple[str, object]]()
    hook = noting(heard, "alone")
    single = Hooks(**{name: hook})

    assert hook is getattr(single | Hooks(), name) is getattr(Hooks() | single, name)
    assert single == single | Hooks()
    assert Hooks() == Hooks() | Hooks()


def test_what_a_hook_raises_is_logged_and_goes_no_further(caplog: pytest.LogCaptureFixture) -> None:
    """The observer's exception is in the log, with its traceback."""
    with caplog.at_level(logging.ERROR, "streamkit"):
        observe(failing, "home")

    assert ["a hook raised; the stream goes on"] == [record.message for record in caplog.records]
    assert ["at home"] == [str(record.exc_info[1]) for record in caplog.records if record.exc_info]


def test_a_failing_hook_does_not_silence_the_other(caplog: pytest.LogCaptureFixture) -> None:
    """Under `a | b` b's hook is called though a's raised, and the other way round."""
    heard = list[tuple[str, object]]()
    good, bad = Hooks(on_chunk=noting(heard, "good")), Hooks(on_chunk=failing)
    observe((bad | good).on_chunk, 1)
    observe((good | bad).on_chunk, 2)

    assert [("good", 1), ("good", 2)] == heard
    assert 2 == len(caplog.records)


def test_no_hook_is_nothing_to_call() -> None:
    """`observe` of None does nothing."""
    observe(None, "unheard")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_wish_to_stop_is_not_swallowed(error: type[BaseException]) -> None:
    """KeyboardInterrupt and SystemExit pass through an observer."""

    def stop(value: object) -> None:
        raise error

    with pytest.raises(error):
        observe(stop, 1)


def test_a_request_is_not_printed() -> None:
    """An observer may print what it is given, and tells nothing of what the user said."""
    request = ChatRequest(model="m", messages=(user("secret words"),))
    info = RequestInfo(provider="p", model="m", message_count=1, tool_count=0, step=1, request=request)

    assert request is info.request
    assert "secret" not in repr(info)
    assert {info} == {attrs.evolve(info, request=None)}


@pytest.mark.parametrize(
    ("info", "field"),
    [
        (RequestInfo(provider="p", model="m", message_count=1, tool_count=0, step=1), "step"),
        (
            ResponseInfo(
                provider="p",
                model="m",
                step=1,
                latency=0.5,
                ttft=None,
                usage=Usage(),
                finish_reason=None,
                status=None,
                request_id=None,
                error=Cancelled("cancelled"),
            ),
            "error",
        ),
        (ToolCallInfo(step=1, tool_call=ToolCall(id="1", name="t", input="{}")), "output"),
        (RetryInfo(attempt=1, delay=0.5, error=ConnectionLost("reset")), "delay"),
    ],
)
def test_infos_cannot_be_changed(info: Any, field: str) -> None:
    """What an observer is given is frozen: it cannot change anything."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(info, field, None)
