"""Settings: their defaults are the contract's, and what makes no sense is refused where it is written."""

from __future__ import annotations

import math
import sys
import threading
from typing import Any

import attrs
import pytest

from streamkit.errors import ConfigError
from streamkit.settings import Limits, RetryPolicy, Timeouts

ALL = [(kind, field.name) for kind in (RetryPolicy, Timeouts, Limits) for field in attrs.fields(kind)]
NUMBERS = [(kind, name) for kind, name in ALL if name != "retry_on"]


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        (RetryPolicy(), (3, 1.0, 30.0, 2.0, (408, 409, 429, 500, 502, 503, 504, 529), 60.0)),
        (Timeouts(), (10.0, 300.0, 600.0, 600.0, None)),
        (Limits(), (32 * 2**20, 256 * 2**20, 64 * 2**10, 64 * 2**10)),
    ],
)
def test_defaults(settings: Any, values: tuple[object, ...]) -> None:
    """Each setting has the documented default."""
    assert values == attrs.astuple(settings)


@pytest.mark.parametrize(("kind", "name"), NUMBERS)
@pytest.mark.parametrize("value", [0, 7])
def test_zero_and_more_are_taken(kind: Any, name: str, value: int) -> None:
    """Zero is a number as any other: no retry, no time, no byte."""
    assert value == getattr(kind(**{name: value}), name)


@pytest.mark.parametrize(("kind", "name"), NUMBERS)
@pytest.mark.parametrize("value", [-1, -0.5, math.nan, -math.inf, "7", b"7", [7]])
def test_what_is_no_amount_is_refused(kind: Any, name: str, value: object) -> None:
    """A negative number, NaN and what is no number are named, with the setting, before any use."""
    with pytest.raises(ConfigError) as refused:
        kind(**{name: value})

    assert f"{kind.__name__}({name}={value!r}): must be a number, 0 or more" == str(refused.value)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, name in NUMBERS if kind is not RetryPolicy])
def test_none_is_no_limit(kind: Any, name: str) -> None:
    """Clocks and bounds can be switched off with None."""
    assert getattr(kind(**{name: None}), name) is None


@pytest.mark.parametrize("name", [name for kind, name in NUMBERS if kind is RetryPolicy])
def test_there_is_no_unlimited_retrying(name: str) -> None:
    """None, which means no limit elsewhere, is refused in a retry policy."""
    with pytest.raises(ConfigError, match="no unlimited retrying"):
        RetryPolicy(**{name: None})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [math.inf, 2.5])
def test_retries_are_whole(value: float) -> None:
    """Half a retry, or endlessly many, are refused."""
    with pytest.raises(ConfigError, match=r"max_retries.*whole number"):
        RetryPolicy(max_retries=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(Timeouts)])
@pytest.mark.parametrize("value", [math.inf, 1e300, sys.maxsize])
def test_more_than_clocks_can_wait_is_no_limit(name: str, value: float) -> None:
    """A time-out of infinity or of centuries is none: no socket or lock could be given it."""
    assert getattr(Timeouts(**{name: value}), name) is None
    assert threading.TIMEOUT_MAX == getattr(Timeouts(**{name: threading.TIMEOUT_MAX}), name)


def test_statuses_may_come_in_any_sequence() -> None:
    """`retry_on` is kept as a tuple, whatever was given: a later change of a list does not matter."""
    statuses = [429, 500, 503]
    policy = RetryPolicy(retry_on=statuses)
    statuses.clear()

    assert (429, 500, 503) == policy.retry_on


@pytest.mark.parametrize("value", [429, "429", ["429"], [None], None])
def test_what_is_no_status_is_refused(value: Any) -> None:
    """`retry_on` takes whole numbers only, and more than one at a time."""
    with pytest.raises(ConfigError, match=r"retry_on=.*must be HTTP statuses"):
        RetryPolicy(retry_on=value)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_settings_are_values(kind: Any, name: str) -> None:
    """Settings are equal by value and hashable, cannot be changed, and are evolved instead."""
    assert kind() == kind()
    assert hash(kind()) == hash(kind())
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(kind(), name, 1)
    with pytest.raises(ConfigError):
        attrs.evolve(kind(), **{name: -1})
    with pytest.raises(TypeError):
        kind(1)
