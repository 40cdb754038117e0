"""Errors of the tree as JSON and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamkit import ChatResponse, ConfigError, ObjectError, RateLimited, RetriesExhausted, StreamKitError, errors
from streamkit.error_json import error_from_json, error_to_json

TREE = [
    cls for cls in map(errors.__dict__.get, errors.__all__) if isinstance(cls, type) and issubclass(cls, StreamKitError)
]


class OwnError(RateLimited):
    """A user's own."""


@pytest.mark.parametrize("cls", TREE, ids=[cls.__name__ for cls in TREE])
def test_each_class_of_the_tree(cls: type[StreamKitError]) -> None:
    """Class and words come back."""
    read = error_from_json(json.loads(json.dumps(error_to_json(cls("what went wrong")))))

    assert (cls, "what went wrong", cls.retryable) == (type(read), str(read), read.retryable)


def test_its_plain_fields_come_back() -> None:
    """What a provider said of it, how often it was tried; not the partial, and no objects."""
    error = RateLimited("slow", provider="p", status=429, code="c", request_id="r", retry_after=1.5, body="b")
    error.partial, error.attempts, error.retryable = ChatResponse(text="half"), 3, False
    read = error_from_json(error_to_json(error))

    assert {**vars(error), "partial": None} == {**vars(read), "partial": read.partial}


def test_objects_are_left_out() -> None:
    """They are not plain; the rest is kept."""
    exhausted = error_from_json(error_to_json(RetriesExhausted("gone", last=ConfigError("x"), state=object())))
    wrong = error_from_json(error_to_json(ObjectError("no", text="{", path="a.b", partial_object={"a": 1})))

    assert isinstance(exhausted, RetriesExhausted) and isinstance(wrong, ObjectError)
    assert (None, None) == (exhausted.last, exhausted.state)
    assert ("{", "a.b", None) == (wrong.text, wrong.path, wrong.partial_object)


def test_a_class_of_the_users_is_the_nearest_of_the_tree() -> None:
    """Who reads it does not have that class."""
    assert RateLimited is type(error_from_json(error_to_json(OwnError("x"))))


def test_an_unknown_class_is_the_root() -> None:
    """A newer streamkit may have more; what is no error is none of them."""
    for name in ("NewError", "printable", "require", "queue", "__name__"):
        assert StreamKitError is type(error_from_json({"class": name, "message": "x"}))


def test_only_fields_are_set() -> None:
    """Whatever is written: no method, no special name, no partial."""
    fields = {
        "with_traceback": 1,
        "__class__": "x",
        "partial": "x",
        "message": "x",
        "args": "x",
        "status": 429,
        "new": 1,
    }
    read = error_from_json({"class": "RateLimited", "message": "slow", "fields": fields})

    assert {"status": 429} == vars(read)
    assert "slow" == str(read)


@pytest.mark.parametrize(
    "written", [{}, {"class": "StreamKitError"}, {"class": []}, [], None, {"class": "X", "fields": 3}]
)
def test_what_is_something_else_is_told(written: Any) -> None:
    """With a ConfigError."""
    with pytest.raises(ConfigError, match="no error as"):
        error_from_json(written)
