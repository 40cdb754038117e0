"""How a typed object is asked for: the ways that an API may know, and the first of them that it does not refuse."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from streamkit.client import ChatBuilder
from streamkit.consumers.objects import ITEMS, Wanted
from streamkit.errors import ConfigError
from streamkit.typed import Typed
from streamkit.types.messages import system
from streamkit.types.request import Tool

__all__ = ["ObjectMode", "asked_for_object"]

ObjectMode = Literal["auto", "native", "tool", "prompt"]
"""How the schema of an object is sent: by the API's own means, as the only tool, or in the system prompt."""

_WAYS = ("native", "tool", "prompt")
_NAME = "answer"
_INSTRUCTION = "Answer with one JSON value that fits this JSON Schema, and with nothing else:\n{}"


def asked_for_object(
    builder: ChatBuilder, kind: Typed, schema: Mapping[str, Any], mode: ObjectMode
) -> tuple[Wanted, ChatBuilder]:
    """Give what is wanted, and the builder that asks for it in the first way that the provider's codec does not refuse.

    Sends nothing.

    Raises:
        ConfigError: there is no such mode, or the provider cannot be asked in it.
    """
    schema, member = _as_object(schema)
    ways = _WAYS if mode == "auto" else (mode,)
    if not set(ways) <= set(_WAYS):
        raise ConfigError(f"mode={mode!r}: use auto, {', '.join(_WAYS)}")
    candidates = [(way, asked) for way in ways for asked in _WITH_SCHEMA[way](builder, schema)]
    refusal: ConfigError | None = None
    for way, asked in candidates:
        try:
            asked.call().check()
        except ConfigError as e:
            refusal = e
        else:
            return Wanted(kind=kind, member=member, by_tool=way == "tool"), asked
    builder.call().check()  # what is refused here, too, has nothing to do with the object
    raise ConfigError(f"mode={mode!r} will not do, use auto: {refusal}") from refusal


def _as_object(schema: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The schema of an object, since APIs take no other; and the member that holds what was wanted, if it is none."""
    if schema.get("type") == "object":
        return schema, ""
    member = ITEMS if schema.get("type") == "array" else "value"
    inner = {name: value for name, value in schema.items() if name not in _DEFINITIONS}
    kept = {name: value for name, value in schema.items() if name in _DEFINITIONS}
    whole = {"type": "object", "properties": {member: inner}, "required": [member], "additionalProperties": False}
    moved: Mapping[str, Any] = _moved({**whole, **kept}, f"#/properties/{member}")
    return moved, member


_DEFINITIONS = ("$defs", "definitions")


def _moved(schema: Any, to: str) -> Any:
    """The same with pointers that lead to where what they point to is now; definitions are where they were."""
    if isinstance(schema, (list, tuple)):
        return [_moved(one, to) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    moved = {name: _moved(value, to) for name, value in schema.items()}
    ref = moved.get("$ref")
    if isinstance(ref, str) and (ref == "#" or (ref.startswith("#/") and ref.split("/")[1] not in _DEFINITIONS)):
        moved["$ref"] = to + ref[1:]
    return moved


# Each gives the ways to ask, the best first. An API, or one that is fallen back to, may lack what a better one needs.


def _natively(builder: ChatBuilder, schema: Mapping[str, Any]) -> Iterator[ChatBuilder]:
    yield builder.json_schema(schema, name=_NAME)
    yield builder.json_schema(schema, name=_NAME, strict=False)


def _by_tool(builder: ChatBuilder, schema: Mapping[str, Any]) -> Iterator[ChatBuilder]:
    description = str(schema.get("description", "Give the answer."))
    offered = builder.tools([Tool(name=_NAME, description=description, parameters=schema)])
    for choice in (_NAME, "required"):
        yield offered.tool_choice(choice, parallel=False)  # or the object may come in parts, a call for each
        yield offered.tool_choice(choice)


def _by_prompt(builder: ChatBuilder, schema: Mapping[str, Any]) -> Iterator[ChatBuilder]:
    instruction = system(_INSTRUCTION.format(json.dumps(schema, ensure_ascii=False)))
    said = builder.request
    asked = builder.instead([*said.system, instruction, *said.conversation])
    yield asked.response_format("json")
    yield asked


_WITH_SCHEMA: Mapping[str, Callable[[ChatBuilder, Mapping[str, Any]], Iterator[ChatBuilder]]] = {
    "native": _natively,
    "tool": _by_tool,
    "prompt": _by_prompt,
}
