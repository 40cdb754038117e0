"""What became of one prompt."""

from __future__ import annotations

import pickle

from streamkit import ChatResponse, ParallelItem, StreamTruncated


def test_an_item_pickles() -> None:
    """With its response and its error, as other processes send them."""
    response = ChatResponse(text="half")
    error = StreamTruncated("cut", partial=response)
    item = ParallelItem(index=1, prompt="p", text="half", response=response, error=error, elapsed=0.5)
    again = pickle.loads(pickle.dumps(item))

    assert isinstance(again.error, StreamTruncated)
    assert ("cut", response, response) == (str(again.error), again.error.partial, again.response)
    assert (1, "p", "half", 0.5, False) == (again.index, again.prompt, again.text, again.elapsed, again.from_checkpoint)
