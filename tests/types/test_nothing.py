"""The empty metadata that chunks share."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from streamkit.types import TextChunk
from streamkit.types.nothing import NOTHING


def test_it_is_an_empty_dict() -> None:
    """It can be read, compared and written out like any other."""
    assert ({}, "{}", None, []) == (NOTHING, json.dumps(NOTHING), NOTHING.get("a"), list(NOTHING))


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.__setitem__("a", 1),
        lambda m: m.update(a=1),
        lambda m: m.setdefault("a", 1),
        lambda m: m.pop("a"),
        lambda m: m.popitem(),
        lambda m: m.clear(),
        lambda m: m.__delitem__("a"),
        lambda m: m.__ior__({"a": 1}),
    ],
)
def test_it_stays_empty(change: Callable[[Any], object]) -> None:
    """A change would show up in every chunk, so it is refused."""
    with pytest.raises(TypeError, match="cannot be changed"):
        change(NOTHING)

    assert not NOTHING


def test_it_stays_one_object() -> None:
    """Chunks share it, also those that were copied or came out of a pickle."""
    chunk = TextChunk(content="a", index=0)

    assert NOTHING is chunk.metadata
    assert NOTHING is pickle.loads(pickle.dumps(chunk)).metadata
    assert NOTHING is copy.deepcopy(chunk).metadata
    assert NOTHING is copy.copy(NOTHING)
