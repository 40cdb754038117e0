"""JSON from a stranger: whatever it is, it is read or refused."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import jsontext
from streamkit.errors import DecodeError
from streamkit.jsontext import identifier, mapped, named, parse_arguments, parse_json, said, scrub, unread, written
from tests.strategies import PROPERTY


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", {}),
        (' \t\r\n{"a": [1, 2.5, null, true, "é"]} \n', {"a": [1, 2.5, None, True, "é"]}),
        ('"x"', "x"),
        ("-0", 0),
        ("1e400", float("inf")),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ('{"a":1,"a":2}', {"a": 2}),
        ('"\\ud83d\\ude00"', "😀"),
        ('"\\ud83d"', "\ud83d"),
        ('"\\u0000"', "\x00"),
    ],
)
def test_json(text: str, expected: object) -> None:
    """Every JSON text gives its value, white space around it or not."""
    assert repr(expected) == repr(parse_json(text))


NO_JSON = [
    "",
    " ",
    "x",
    "{",
    "{}}",
    "{} x",
    "[1,]",
    "'a'",
    "\ufeff{}",
    '"\n"',
    "01",
    "1" * 5000,
    "[" * 100_000,
    "[" * 100_000 + "]" * 100_000,
]


@pytest.mark.parametrize("text", NO_JSON, ids=range(len(NO_JSON)))
def test_what_is_no_json(text: str) -> None:
    """Anything else, numbers and nesting without end included, is a DecodeError that shows and keeps a part of it."""
    with pytest.raises(DecodeError, match="not JSON") as caught:
        parse_json(text)

    assert text[:2000] == caught.value.event
    assert len(str(caught.value)) < 500


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud83d"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@PROPERTY
@given(_JSON, st.booleans(), st.text(' \n{}[]",:0123456789.eE-+tfnINx\\ud8\x00', max_size=5), st.integers(0, 200))
def test_msgspec_makes_no_difference(value: Any, ascii_only: bool, noise: str, place: int) -> None:
    """Value or error, the result is the same with msgspec as without, also for texts that are nearly JSON."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    text = text[: place % (len(text) + 1)] + noise + text[place % (len(text) + 1) :]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsontext, "_WORTH_AN_IMPORT", 0)

        assert _outcome(jsontext._parse_slowly, text) == _outcome(parse_json, text)


def _outcome(parse: Any, text: str) -> str:
    try:
        return repr(parse(text))
    except DecodeError as e:
        return f"{e} {e.event}"


def test_msgspec_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, json does the work."""
    jsontext._fast_decode.cache_clear()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "msgspec", None)
        patch.setattr(jsontext, "_WORTH_AN_IMPORT", 0)
        found, value = jsontext._fast_decode(), parse_json("[1]")
    jsontext._fast_decode.cache_clear()

    assert (None, [1]) == (found, value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", {}), (" \n", {}), ("{}", {}), ('{"a": "\\ud83d"}', {"a": "\ufffd"}), ("[1]", [1]), ("3", 3)],
)
def test_arguments(text: str, expected: object) -> None:
    """Arguments are what their text says; no text at all means none."""
    assert (expected, None) == parse_arguments(text)


@pytest.mark.parametrize("text", ["{", "{}{}", "x", "1" * 5000, "[" * 5000 + "]" * 5000, "[" * 100_000])
def test_arguments_that_are_none(text: str) -> None:
    """What is not JSON, or too deep to be walked, gives nothing and why."""
    arguments, why = parse_arguments(text)

    assert None is arguments
    assert why
    assert len(why) <= 201


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "a"),
        ("é😀", "é😀"),
        ("\ud83d\ude00", "😀"),
        ("a\ud83db\ude00", "a\ufffdb\ufffd"),
        ({"\ud83d": ["\ud83d", 1, None, {"a": "\udc00"}]}, {"\ufffd": ["\ufffd", 1, None, {"a": "\ufffd"}]}),
    ],
)
def test_scrub(value: object, expected: object) -> None:
    """Pairs of surrogates are joined and single ones replaced, in all texts of JSON data."""
    assert expected == scrub(value)


@pytest.mark.parametrize(("value", "expected"), [("a", "a"), ("", ""), (None, "")])
def test_a_piece_of_an_answer(value: object, expected: str) -> None:
    """A text is what it is; null says nothing."""
    assert expected == said(value)


@pytest.mark.parametrize("value", [5, True, 0.0, {}, ["a"], b"x"])
def test_a_piece_of_an_answer_that_is_no_text(value: object) -> None:
    """It is refused, not dropped; the error has a bounded excerpt."""
    with pytest.raises(DecodeError, match=f"{type(value).__name__} where the answer's text belongs") as caught:
        said(value)

    assert str(value) == caught.value.event


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([{"id": "a"}, {"id": "b", "x": 1}], ["a", "b"]),
        ({"id": "a"}, ["a"]),
        ([{"id": 5}, {"id": ""}, {"id": None}, {}, None, "a", [], {"id": "\ud800"}], ["\ufffd"]),
        (None, []),
        ("id", []),
    ],
)
def test_names_in_a_list(values: object, expected: list[str]) -> None:
    """Texts of one field are given in order; whatever else there is, is skipped."""
    assert expected == named(values, "id")


@pytest.mark.parametrize(("value", "expected"), [({"a": 1}, {"a": 1}), ({}, {}), (None, {}), ([], {}), ("a", {})])
def test_what_is_no_object_is_an_empty_one(value: object, expected: dict[str, Any]) -> None:
    """Fields can be asked of whatever was sent."""
    assert expected == mapped(value)


@pytest.mark.parametrize(
    ("value", "expected"), [('{"a"', '{"a"'), ("", ""), (None, ""), ({"a": "é"}, '{"a": "é"}'), ([1], "[1]"), (0, "0")]
)
def test_arguments_as_text(value: object, expected: str) -> None:
    """Text stays as it is, whatever it is; an object is written as JSON."""
    assert expected == written(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a", "a"), (5, "5"), (0, "0"), (True, ""), (1.0, ""), (None, ""), (["a"], ""), ("\ud83d", "\ufffd")],
)
def test_identifiers(value: object, expected: str) -> None:
    """A text or a whole number tells things apart; nothing else does."""
    assert expected == identifier(value)


def test_what_is_not_read_and_says_something() -> None:
    """Fields that are read, null and what is empty are left out; what is false or 0 says something."""
    fields = {"a": 1, "b": None, "c": "", "d": [], "e": {}, "f": 0, "g": False, "h": ["\ud83d"]}

    assert {"f": 0, "g": False, "h": ["\ufffd"]} == unread(fields, {"a"})
