"""Secrets: keys that do not print, travel or stay in the frames of an error."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback
from typing import Any

import attrs
import pytest

from streamkit.errors import ConfigError
from streamkit.types import Secret

KEY = "sk-hidden-0123"


@pytest.mark.parametrize(
    "show", [str, repr, "{}".format, "{!r:>40}".format, ascii, lambda s: f"{s}", lambda s: f"{[s]} {{{s}: 1}}"]
)
def test_it_does_not_print(show: Any) -> None:
    """However it is made a text, the value is not in it."""
    assert "hidden" not in show(Secret(KEY))
    assert "[REDACTED]" in show(Secret(KEY))


def test_it_does_not_print_where_it_is_held(caplog: pytest.LogCaptureFixture) -> None:
    """Neither in a log record nor as a field of a value."""

    @attrs.frozen
    class Holder:
        key: Secret

    logging.getLogger("streamkit").warning("%s %r", Secret(KEY), Holder(Secret(KEY)))

    assert "hidden" not in caplog.text


def test_it_does_not_travel() -> None:
    """Pickling it is refused with a word on what to do; copies for the same process are refused alike."""
    for travel in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(ConfigError, match="look the key up again"):
            travel(Secret(KEY))


@pytest.mark.parametrize(
    ("value", "expected"), [(KEY, KEY), (f" {KEY}\r\n", KEY), (Secret(KEY), KEY), ("", ""), (" \n", ""), ("é", "é")]
)
def test_the_value(value: Any, expected: str) -> None:
    """White space around it is no part of it; one made of another is the same; an empty one is false."""
    secret = Secret(value)

    assert (expected, bool(expected)) == (secret.expose(), bool(secret))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("hidden\nX-Evil: 1", "control character"),
        ("hidden\x00", "control character"),
        ("hidden\x7f", "control character"),
        ("hidden\u0100", "no HTTP header can carry"),
        ("hidden\ud83d", "no HTTP header can carry"),
        (b"hidden", "bytes"),
        (None, "NoneType"),
    ],
)
def test_what_no_header_can_carry(value: Any, says: str) -> None:
    """It is refused without being shown, in the message or in the frames."""
    with pytest.raises(ConfigError, match=says) as caught:
        Secret(value)
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in report.stack if "test_secret" not in frame.filename]

    assert "hidden" not in str(caught.value)
    assert ours
    assert not [frame for frame in ours if "hidden" in str(frame.locals)]


@pytest.mark.parametrize(
    ("secret", "text", "expected"),
    [
        (KEY, f"bad key {KEY}!", "bad key [REDACTED]!"),
        (f"Bearer {KEY}", f"bad key {KEY}!", "bad key [REDACTED]!"),
        (f"Bearer {KEY}", f"you sent Bearer {KEY}", "you sent Bearer [REDACTED]"),
        ("test", "test_error: the latest of the tests", "test_error: the latest of the tests"),
        ("", "text", "text"),
    ],
)
def test_redacting(secret: str, text: str, expected: str) -> None:
    """It takes itself out of foreign text, with and without the scheme before it; a trifle is no key."""
    assert expected == Secret(secret).redact(text)


def test_equality() -> None:
    """Secrets are equal by value, so that a fresh key is told from the old one; never to a text."""
    assert Secret(KEY) == Secret(KEY)
    assert Secret(KEY) != Secret("other")
    assert Secret(KEY) != KEY
    assert 1 == len({Secret(KEY), Secret(KEY)})
