"""JSON as providers send and take it, whatever they do to it.

`parse_json` reads an event, `parse_arguments` a tool call; `said`, `word`, `identifier`, `written`, `listed`, `mapped`,
`named`, `unread` and `scrub` read values whose type nobody vouches for.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from streamkit.errors import DecodeError, printable

__all__ = [
    "identifier",
    "listed",
    "mapped",
    "named",
    "parse_arguments",
    "parse_json",
    "said",
    "scrub",
    "unread",
    "word",
    "written",
]


def scrub(value: Any) -> Any:
    """Give JSON data whose every text can be encoded: pairs of surrogates joined, single ones U+FFFD."""
    if isinstance(value, str):
        if value.isascii():
            return value
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value
    if isinstance(value, dict):
        return {scrub(k): scrub(v) for k, v in value.items()}
    if isinstance(value, list):
        return [scrub(v) for v in value]
    return value


_raw_decode = json.JSONDecoder().raw_decode


_parsed = itertools.count()
_WORTH_AN_IMPORT = 5_000
"""Events parsed, by all streams, before msgspec is imported: its 6 ms (and 1.5 MB) are then about to be won back."""


@functools.cache
def _fast_decode() -> Callable[[str], Any] | None:
    """msgspec's parser where the extra `fast` is installed: 0.75 µs for a chunk of 300 bytes, where json takes 1.85."""
    try:
        import msgspec
    except ImportError:
        return None
    return msgspec.json.Decoder().decode


def parse_json(text: str) -> Any:
    """Give the JSON value of an event's data; `DecodeError`, with the text, for anything else.

    Numbers of thousands of digits and nesting of 100,000 levels, which make the json module raise ValueError and
    RecursionError, are refused alike. What it gives does not depend on msgspec, which is only asked first.
    """
    fast = _fast_decode() if next(_parsed) >= _WORTH_AN_IMPORT else None
    if fast is None:
        return _parse_slowly(text)
    try:
        return fast(text)
    except Exception:  # its errors are of several kinds, and it is the stricter one: json has the last word
        return _parse_slowly(text)


def _parse_slowly(text: str) -> Any:
    try:
        value, end = _raw_decode(text)
        if end != len(text) and text[end:].strip():
            value = json.loads(text)
    except (ValueError, RecursionError) as first:
        try:
            return json.loads(text)  # leading white space, which raw_decode does not skip
        except (ValueError, RecursionError):
            raise DecodeError(
                f"the provider sent an event that is not JSON ({type(first).__name__}): {printable(text, 200)}",
                event=text[:2000],
            ) from None
    return value


def parse_arguments(text: str) -> tuple[Any, str | None]:
    """Give a call's arguments and None, or None and why its text is not JSON. No text at all means no arguments.

    Arguments nested too deeply to be walked count as no JSON.
    """
    if not text.strip():
        return {}, None
    try:
        return scrub(json.loads(text)), None
    except (ValueError, RecursionError) as e:
        return None, printable(f"{type(e).__name__}: {e}", 200)


def listed(value: Any) -> list[Any]:
    """Give what was sent as a list, or as the one thing that would be in it."""
    return value if type(value) is list else [value]


def mapped(value: object) -> Any:
    """Give the value where it is an object, else an empty one. Any: whoever reads it names its fields."""
    return value if type(value) is dict else {}


def said(value: object) -> str:
    """Give a piece of the answer, "" for None; `DecodeError` for what is no text: a hole must not look whole."""
    if type(value) is str:
        return value
    if value is None:
        return ""
    raise DecodeError(
        f"the provider sent {type(value).__name__} where the answer's text belongs", event=printable(str(value))
    )


def word(value: object) -> str:
    """Give a text beside the answer, "" where it is none."""
    return str(scrub(value)) if type(value) is str else ""


def identifier(value: object) -> str:
    """Give what tells one thing from another: a text, or a whole number's digits; "" where it is neither."""
    return str(value) if type(value) is int else word(value)


def written(arguments: Any) -> str:
    """Give a call's arguments as the JSON text that they are, "" for None; some services send the object itself."""
    if type(arguments) is str:
        return arguments
    return "" if arguments is None else json.dumps(arguments, ensure_ascii=False)


def unread(fields: Mapping[str, Any], read: Collection[str]) -> dict[str, Any]:
    """Give the fields that are not in `read` and say something, as null and what is empty do not."""
    return {name: scrub(value) for name, value in fields.items() if name not in read and (value or value == 0)}


def named(values: Any, field: str) -> list[str]:
    """Give the texts that the objects of a list have in this field; what is no such object is skipped."""
    return [text for value in listed(values) if type(value) is dict and (text := word(value.get(field)))]
