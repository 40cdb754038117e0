"""JSON Schemas as users write them and APIs take them: checked before they are sent, with the path of what is wrong.

`offences` gives what is wrong, each with its path: the keys that lead from the schema's root, `$`, to the place, as in
`$.properties.items.items`. Without rules it looks for what no reader of JSON Schema would take; `StrictRules` say what
an API demands beyond that. Nothing is changed on the way: what a schema leaves out is for its author to add. It knows
no provider and no request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from streamkit import lazy_attrs as attrs
from streamkit.errors import ConfigError, printable
from streamkit.schema_rules import StrictRules

__all__ = ["check_schema", "offences", "referred"]


def check_schema(schema: object, rules: StrictRules | None = None) -> None:
    """Raise `ConfigError`, with the path, for the first offence of a schema."""
    for offence in offences(schema, rules):
        raise ConfigError(offence)


def offences(schema: object, rules: StrictRules | None = None) -> Iterator[str]:
    """Give what is wrong with a schema: the path, what it is, and what to do; what breaks `rules` only if well formed.

    Looked at are the keywords that structure a schema; those it does not know are left alone.
    """
    if not isinstance(schema, Mapping):
        yield f"$: must be an object, not {_shown(schema)}: give a JSON Schema"
        return
    malformed = [offence for place in _walk(schema) for offence in _malformed(place, schema)]
    yield from malformed
    if rules is not None and not malformed:
        yield from _strict_offences(schema, rules)


# -- walking


@attrs.frozen
class _Place:
    """A schema within a schema, and where it stands."""

    schema: Any
    path: str
    above: tuple[Any, ...]
    """The schemas that it stands in, from the root on."""


_DEEPEST = 100  # schemas within schemas; the json module gives up at some hundred more

_ONE = ("additionalProperties", "items", "not", "if", "then", "else", "contains", "propertyNames", "unevaluatedItems",
        "unevaluatedProperties", "additionalItems")  # fmt: skip
_MANY = ("anyOf", "oneOf", "allOf", "prefixItems")
_NAMED = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")


def _walk(schema: Any, path: str = "$", above: tuple[Any, ...] = ()) -> Iterator[_Place]:
    """Give a schema and all that it holds, each before what it holds; a schema that holds itself is not entered."""
    yield _Place(schema, path, above)
    if not isinstance(schema, Mapping) or _is_among(schema, above) or len(above) >= _DEEPEST:
        return
    for inner, where in _inner(schema):
        yield from _walk(inner, f"{path}{where}", (*above, schema))


def _is_among(schema: object, others: Iterable[object]) -> bool:
    return id(schema) in map(id, others)  # itself, not one like it


def _inner(schema: Mapping[str, Any]) -> Iterator[tuple[Any, str]]:
    for keyword, value in schema.items():
        if keyword in _NAMED and isinstance(value, Mapping):
            yield from ((inner, f".{keyword}{_step(name)}") for name, inner in value.items())
        elif isinstance(value, (list, tuple)) and (keyword in _MANY or keyword == "items"):
            yield from ((inner, f".{keyword}[{i}]") for i, inner in enumerate(value))
        elif keyword in _ONE:
            yield value, f".{keyword}"


def _step(name: object) -> str:
    """One name of a path: `.name`, or `["na.me"]` where a dot would mislead."""
    text = printable(str(name), 100)
    return f".{text}" if re.fullmatch(r"[\w$-]+", text) else f"[{json.dumps(text)}]"


def _shown(value: object) -> str:
    return printable(repr(value), 60) if isinstance(value, (str, int, float)) else type(value).__name__


# -- well formed


def _malformed(place: _Place, root: Mapping[str, Any]) -> Iterator[str]:
    schema, path = place.schema, place.path
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        yield f"{path}: must be a schema, an object, not {_shown(schema)}"
    elif _is_among(schema, place.above):
        yield f"{path}: is a Python object that contains itself: use $ref for a schema that refers to itself"
    elif len(place.above) >= _DEEPEST:
        yield f"{path}: is nested more than {_DEEPEST} schemas deep: make it flatter"
    elif not all(isinstance(keyword, str) for keyword in schema):
        yield f"{path}: has a key that is no str"
    else:
        for keyword, value in schema.items():
            if keyword in _KEYWORDS:
                yield from (f"{path}.{keyword}: {wrong}" for wrong in _KEYWORDS[keyword](value, root))


_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")


def _type(value: object, root: Mapping[str, Any]) -> Iterator[str]:
    for one in value if isinstance(value, (list, tuple)) and value else [value]:
        if not isinstance(one, str) or one not in _TYPES:
            yield f"{_shown(one)} is no type: use one of {', '.join(_TYPES)}"


def _schemas_by_name(value: object, root: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"must be an object of schemas by name, not {_shown(value)}"
    elif not all(isinstance(name, str) for name in value):
        yield "has a name that is no str"


def _filled_list(value: object, root: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(value, (list, tuple)) or not value:
        yield f"must be a list, of one at least, not {_shown(value) if value else 'an empty one'}"


def _names(value: object, root: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) for name in value):
        yield "must be a list of property names"


def _reference(value: object, root: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"must be a str, as in #/$defs/name, not {_shown(value)}"
    elif _is_pointer(value) and referred(value, root) is None:
        yield f"{_shown(value)} refers to nothing: check the name"


def _is_pointer(ref: str) -> bool:
    return ref == "#" or ref.startswith("#/")


def referred(ref: str, root: Mapping[str, Any]) -> Any:
    """Give what a pointer into the schema names (RFC 6901), None where there is nothing."""
    value: Any = root
    for step in ref.removeprefix("#").split("/")[1:]:
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, (list, tuple)) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


_KEYWORDS: dict[str, Callable[[Any, Mapping[str, Any]], Iterable[str]]] = {
    "type": _type,
    "required": _names,
    "enum": _filled_list,
    "$ref": _reference,
    **dict.fromkeys(_MANY, _filled_list),
    **dict.fromkeys(_NAMED, _schemas_by_name),
}


# -- strict


def _strict_offences(schema: Mapping[str, Any], rules: StrictRules) -> Iterator[str]:
    if rules.object_root and (schema.get("type") != "object" or "anyOf" in schema):
        yield "$: must be of type object, without anyOf: put what you want into a property of an object"
    places = list(_walk(schema))
    for place in places:
        if isinstance(place.schema, Mapping):
            yield from _keyword_offences(place, rules)
            yield from _object_offences(place, rules)
            yield from _reference_offences(place, rules, schema)
        elif not place.path.endswith(".additionalProperties"):
            yield f"{place.path}: must say what it is: give it a type"
    yield from _too_large([place for place in places if isinstance(place.schema, Mapping)], rules)


_SAYS_WHAT_IT_IS = frozenset({"type", "anyOf", "oneOf", "allOf", "$ref", "enum", "const"})


def _keyword_offences(place: _Place, rules: StrictRules) -> Iterator[str]:
    schema, path = place.schema, place.path
    for keyword in schema:
        if keyword in rules.unsupported:
            yield f"{path}.{keyword}: is not supported: leave it out, and say it in a description"
    if not _SAYS_WHAT_IT_IS & schema.keys():
        yield f"{path}: must say what it is: give it a type"
    least, format = schema.get("minItems"), schema.get("format")
    if rules.largest_min_items is not None and isinstance(least, int) and least > rules.largest_min_items:
        yield f"{path}.minItems: {least} is above {rules.largest_min_items}, the largest: say it in a description"
    if rules.formats is not None and isinstance(format, str) and format not in rules.formats:
        known = ", ".join(sorted(rules.formats))
        yield f"{path}.format: {_shown(format)} is not supported: use one of {known}, or say it in a description"
    if _is_of(schema, "array") and not {"items", "prefixItems"} & schema.keys():
        yield f"{path}: is an array without items: say what it holds"


def _object_offences(place: _Place, rules: StrictRules) -> Iterator[str]:
    schema, path = place.schema, place.path
    if not _is_object(schema):
        return
    if schema.get("additionalProperties") is not False:
        yield f'{path}: must have "additionalProperties": false: add it, and name the properties that there may be'
    properties, required = schema.get("properties", {}), schema.get("required", ())
    missing = next((name for name in properties if name not in required), None)
    if missing is not None and rules.all_required:
        yield (
            f"{path}: must name every property in required, and {_shown(missing)} is not there: add it; "
            'let one that may be missing be of type [..., "null"]'
        )
    unknown = next((name for name in required if name not in properties), None)
    if unknown is not None:
        yield f"{path}.required: names {_shown(unknown)}, which is not in properties: add it there"


def _reference_offences(place: _Place, rules: StrictRules, root: Mapping[str, Any]) -> Iterator[str]:
    schema, path = place.schema, place.path
    if "$ref" not in schema:
        return
    inside = _is_pointer(schema["$ref"])
    if not inside:
        yield f"{path}.$ref: {_shown(schema['$ref'])} refers outside the schema: put what it names into $defs"
    beside = next((keyword for keyword in schema if keyword not in ("$ref", "$defs", "definitions")), None)
    if rules.lone_refs and beside is not None:
        yield f"{path}: may have no {beside} beside $ref: move it to what is referred to"
    if not rules.recursion and inside and _recurs(schema, root):
        yield f"{path}: refers to a schema that it is part of, which is not supported: write out the levels"


def _is_object(schema: Mapping[str, Any]) -> bool:
    return "properties" in schema or _is_of(schema, "object")


def _is_of(schema: Mapping[str, Any], type_: str) -> bool:
    said = schema.get("type")
    return type_ in said if isinstance(said, (list, tuple)) else said == type_


def _recurs(schema: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    """Whether following references leads from this reference back to itself."""
    seen: list[Any] = []
    todo = [schema]
    while todo:
        target = referred(todo.pop()["$ref"], root)
        if _is_among(target, seen):
            continue
        seen.append(target)
        inside = [one.schema for one in _walk(target) if isinstance(one.schema, Mapping) and "$ref" in one.schema]
        if _is_among(schema, inside):
            return True
        todo += [one for one in inside if _is_pointer(one["$ref"])]
    return False


def _too_large(places: list[_Place], rules: StrictRules) -> Iterator[str]:
    """Each limit that is passed. Its place is the schema as a whole, but for the depth."""
    for place in places:
        objects = sum(_is_object(one) for one in (*place.above, place.schema))
        if rules.depth is not None and objects > rules.depth and _is_object(place.schema):
            yield f"{place.path}: is {objects} objects deep: {rules.depth} is the most; make it flatter"
    schemas = [place.schema for place in places]
    names = [name for one in schemas for key in ("properties", "$defs", "definitions") for name in one.get(key, ())]
    properties = sum(len(one.get("properties", ())) for one in schemas)
    values = [value for one in schemas for value in one.get("enum", ())]
    consts = [one["const"] for one in schemas if "const" in one]
    characters = sum(len(text) for text in (*names, *values, *consts) if isinstance(text, str))
    for what, number, most in (
        ("properties", properties, rules.properties),
        ("enum values", len(values), rules.enum_values),
        ("characters of names and enum values", characters, rules.characters),
    ):
        if most is not None and number > most:
            yield f"$: has {number} {what}: {most} is the most; split it"
