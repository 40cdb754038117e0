"""Errors: the tree as documented, what each carries, and what is safe to show."""

from __future__ import annotations

import copy
import pickle
import queue
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import errors
from streamkit.errors import (
    MAX_MESSAGE,
    BadRequest,
    Cancelled,
    ChannelClosed,
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    ContentFiltered,
    ContextError,
    ContextOverflow,
    DeadlineExceeded,
    DecodeError,
    FirstChunkTimeout,
    NotFound,
    ObjectError,
    Overloaded,
    PermissionDenied,
    ProviderError,
    RateLimited,
    ResponseTooLarge,
    RetriesExhausted,
    ServerError,
    SlowConsumer,
    StreamIdle,
    StreamKitError,
    StreamStalled,
    StreamTruncated,
    TLSFailed,
    ToolError,
    TooManyAnswers,
    TransportError,
    Unauthorized,
    presentable,
    printable,
    without_frames,
)
from streamkit.types.response import ChatResponse
from tests.strategies import PROPERTY

TREE: dict[type[StreamKitError], tuple[tuple[type[BaseException], ...], bool]] = {
    StreamKitError: ((Exception,), False),
    ConfigError: ((StreamKitError,), False),
    ContextError: ((StreamKitError,), False),
    Cancelled: ((ContextError,), False),
    DeadlineExceeded: ((ContextError, TimeoutError), False),
    TransportError: ((StreamKitError,), True),
    ConnectFailed: ((TransportError,), True),
    ConnectTimeout: ((ConnectFailed, TimeoutError), True),
    TLSFailed: ((TransportError,), False),
    FirstChunkTimeout: ((TransportError, TimeoutError), False),
    StreamIdle: ((TransportError, TimeoutError), True),
    StreamStalled: ((TransportError, TimeoutError), True),
    ConnectionLost: ((TransportError,), True),
    ResponseTooLarge: ((TransportError,), False),
    ProviderError: ((StreamKitError,), False),
    BadRequest: ((ProviderError,), False),
    Unauthorized: ((ProviderError,), False),
    PermissionDenied: ((ProviderError,), False),
    NotFound: ((ProviderError,), False),
    RateLimited: ((ProviderError,), True),
    Overloaded: ((ProviderError,), True),
    ServerError: ((ProviderError,), True),
    ContextOverflow: ((BadRequest,), False),
    ContentFiltered: ((BadRequest,), False),
    StreamTruncated: ((StreamKitError,), True),
    DecodeError: ((StreamKitError,), False),
    ObjectError: ((StreamKitError,), False),
    ToolError: ((StreamKitError,), False),
    RetriesExhausted: ((StreamKitError,), False),
    SlowConsumer: ((StreamKitError,), False),
    TooManyAnswers: ((StreamKitError,), True),
    ChannelClosed: ((StreamKitError, queue.Empty), False),
}
"""Each error with its bases, and whether the same request may succeed later."""

FIELDS: dict[type[StreamKitError], dict[str, Any]] = {
    StreamKitError: {"partial": None, "attempts": 0},
    ProviderError: {"provider": "", "status": None, "code": None, "request_id": None, "retry_after": None, "body": ""},
    DecodeError: {"event": ""},
    ObjectError: {"text": "", "path": "", "partial_object": None},
    ToolError: {"tool_name": "", "tool_call_id": ""},
    RetriesExhausted: {"last": None, "state": None},
}
"""What a class adds to its parent's attributes, with the defaults."""

CLASSES = pytest.mark.parametrize("cls", list(TREE), ids=lambda cls: cls.__name__)


def fields_of(cls: type[StreamKitError]) -> dict[str, Any]:
    """Give all attributes of a class with their defaults."""
    return {name: value for base in cls.__mro__ for name, value in FIELDS.get(base, {}).items()}


# -- the tree


def test_the_tree_is_whole() -> None:
    """The module defines these errors and no other, and exports each."""
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    defined = {cls for cls in classes if cls.__module__ == errors.__name__}

    assert set(TREE) == defined
    functions = ["presentable", "printable", "require", "without_frames"]
    assert sorted([cls.__name__ for cls in TREE] + functions) == sorted(errors.__all__)


@CLASSES
def test_each_error_has_its_place(cls: type[StreamKitError]) -> None:
    """An error has the bases of the tree, says what happened, and knows whether trying again may help."""
    bases, retryable = TREE[cls]

    assert bases == cls.__bases__
    assert retryable == cls("x").retryable
    assert (cls.__doc__ or "").split(".")[0]


@CLASSES
def test_each_error_is_drawn(cls: type[StreamKitError]) -> None:
    """The drawing at the top of the module names each error."""
    assert errors.__doc__ is not None
    assert cls.__name__ in errors.__doc__.replace("·", " ").split()


# -- what they carry


@CLASSES
def test_fields_have_defaults(cls: type[StreamKitError]) -> None:
    """Made with a message alone, or with nothing, an error has every documented attribute."""
    error = cls("what happened")

    assert fields_of(cls) == {name: getattr(error, name) for name in fields_of(cls)}
    assert ("what happened", "what happened") == (str(error), error.message)
    assert "" == str(cls())


@CLASSES
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_errors_can_be_pickled(cls: type[StreamKitError], protocol: int) -> None:
    """An error crosses to another process with its message and all that it carries."""
    fields: dict[str, Any] = {name: f"the {name}" for name in fields_of(cls)}
    fields |= {"partial": ChatResponse(text="so far"), "attempts": 3, "retryable": True}
    error = cls("what happened", **fields)
    again = pickle.loads(pickle.dumps(error, protocol))

    assert cls is type(again)
    assert "what happened" == str(again)
    assert fields == {name: getattr(again, name) for name in fields}


@CLASSES
@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy])
def test_errors_can_be_copied(cls: type[StreamKitError], twin: Any) -> None:
    """A copy is an error of its own with the same message and fields."""
    error = cls("what happened", attempts=2)
    again = twin(error)

    assert again is not error
    assert (cls, "what happened", 2) == (type(again), again.message, again.attempts)


def test_fields_are_each_errors_own() -> None:
    """Setting a field of one error leaves the others as they are."""
    first, second = RateLimited("a", retry_after=2.0, retryable=False), RateLimited("b")

    assert (2.0, None) == (first.retry_after, second.retry_after)
    assert (False, True) == (first.retryable, second.retryable)


# -- presentable


@pytest.mark.parametrize("error", [ValueError("secret"), KeyboardInterrupt(), StreamKitError("secret")], ids=repr)
def test_what_is_not_shown(error: BaseException) -> None:
    """What is not of the tree, and its root where that stands for such."""
    error.__cause__ = ValueError("secret")

    assert (StreamKitError, "internal") == (type(presentable(error, "internal")), str(presentable(error, "internal")))


def test_what_is_shown() -> None:
    """Errors with a name of their own, whatever caused them, and the root where streamkit itself says something."""
    lost = ConnectionLost("told")
    lost.__cause__ = OSError("reset")
    for error in (lost, StreamKitError("told")):
        assert error is presentable(error, "internal")


# -- printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("é 世界 😀", "é 世界 😀"),
        ("a\r\nb\tc\0d\x7f", "a\\r\\nb\\tc\\x00d\\x7f"),
        ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
        ("\x85 \u2028 \u2029", "\\x85 \\u2028 \\u2029"),
        ("abc\u202egnp.exe\u2066", "abc\\u202egnp.exe\\u2066"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("lone \ud800", "lone \\ud800"),
        ("tag \U000e0041", "tag \\U000e0041"),
        ("", ""),
    ],
)
def test_printable_escapes_what_a_terminal_or_a_log_obeys(text: str, shown: str) -> None:
    """Control characters, line ends, directions and what has no form are shown by their escapes; all else as it is."""
    assert shown == printable(text)


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcdef…"),
        ("\0\0", 6, "\\x00\\x…"),
        ("\0ab", 6, "\\x00ab"),
        ("\0abc", 6, "\\x00ab…"),
        ("x", 0, "…"),
        ("", 0, ""),
    ],
)
def test_printable_bounds_what_is_shown(text: str, limit: int, shown: str) -> None:
    """At most `limit` characters are shown, escapes counted as they stand; a cut is marked."""
    assert shown == printable(text, limit)


def test_a_hostile_text_stays_bounded() -> None:
    """Megabytes of characters whose escapes are ten long give no more than the usual bound."""
    assert MAX_MESSAGE + 1 == len(printable("\U000e0041" * 1_000_000))


@given(text=st.text(), limit=st.integers(0, 40))
@PROPERTY
def test_printable_is_always_safe(text: str, limit: int) -> None:
    """Whatever the text: the result is printable, encodable, bounded, and a second pass with room changes nothing."""
    shown = printable(text, limit)

    assert shown.isprintable()
    assert shown == shown.encode().decode()
    assert len(shown) <= limit + 1
    assert shown == printable(shown, limit + 1)
    assert not (text.isprintable() and len(text) <= limit) or text == shown


# -- without_frames


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """Give an error that has been raised, and so has a traceback, with a cause that has one."""
    try:
        try:
            raise cause or ValueError("first")
        except BaseException as first:
            raise error from first
    except BaseException as e:
        return e


def test_no_frame_is_reachable() -> None:
    """The tracebacks of an error, its causes, contexts, reasons and arguments are all dropped."""
    reason, argument, context = (raised(OSError(name)) for name in ("reason", "argument", "context"))
    inner = raised(RuntimeError("inner", argument, "text", 7))
    inner.reason = reason  # type: ignore[attr-defined]
    inner.__context__ = context
    outer = raised(ConnectionLost("outer"), inner)
    chain = [outer, inner, reason, argument, context]
    chain += [error.__cause__ for error in (reason, argument, context) if error.__cause__]

    assert 8 == len([error for error in chain if error.__traceback__])

    without_frames(outer)

    assert [] == [error for error in chain if error.__traceback__]
    assert inner is outer.__cause__


def test_a_circle_of_causes_has_an_end() -> None:
    """Errors that name each other as cause or argument are each visited once."""
    first, second = raised(ValueError("first")), raised(ValueError("second"))
    first.__cause__, second.__cause__ = second, first
    first.args = (first, second)
    without_frames(first)

    assert [None, None] == [first.__traceback__, second.__traceback__]


def test_a_long_chain_needs_no_stack() -> None:
    """A chain of many thousand errors is walked without recursion."""
    first = last = raised(ValueError("0"))
    for number in range(1, 20_000):
        following = ValueError(str(number))
        last.__context__ = following
        last = following
    last.__context__ = deepest = raised(ValueError("deepest"))
    without_frames(first)

    assert deepest.__traceback__ is None

    error: BaseException | None = first
    while error is not None:  # a long chain is taken apart: its deallocation would recurse
        error.__context__, error = None, error.__context__
