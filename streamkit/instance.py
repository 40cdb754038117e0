"""Values checked against a JSON Schema (2020-12, and what older drafts wrote otherwise), with the path of the offence.

Pure. What only annotates (`format`, `title`, …) is not looked at; `unevaluatedProperties`, `unevaluatedItems` and
`$dynamicRef` are not known. References are followed where they are pointers into the schema.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from streamkit.errors import printable
from streamkit.schema import referred

__all__ = ["Mismatch", "check_instance", "path_to", "shown"]


class Mismatch(Exception):
    """A value is not what it should be: `path` leads to it, as in $.sections[2].title."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


def check_instance(value: Any, schema: Any, *, path: str = "$", root: Any = None) -> None:
    """Raise `Mismatch` for the first offence of a value of parsed JSON.

    The schema must be well formed. It may be a part of `root`, which its references then lead into.
    """
    try:
        first = next(_offences(value, schema, path, _Rest(schema if root is None else root)), None)
    except RecursionError:
        raise Mismatch(path, "is nested too deeply to be checked") from None
    if first is not None:
        raise first


def path_to(path: str, key: str | int) -> str:
    """Give the path of a member or item."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if key.isidentifier() else f"{path}[{printable(repr(key), 60)}]"


def shown(value: Any) -> str:
    """Give a value as an error shows it: a short one as it is, the kind and the beginning of a long one."""
    text = ""
    for piece in _repr(value):
        text += piece
        if len(text) > 100:  # the rest may be megabytes
            return f"{type(value).__name__} {printable(text[:60], 80)}…"
    return printable(text, 100)


def _repr(value: Any) -> Iterator[str]:
    """What repr gives for parsed JSON, piece by piece; of a long text the beginning."""
    if isinstance(value, dict):
        yield "{"
        for i, (key, inner) in enumerate(value.items()):
            yield f"{', ' if i else ''}{str(key)[:200]!r}: "
            yield from _repr(inner)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for i, inner in enumerate(value):
            yield ", " if i else ""
            yield from _repr(inner)
        yield "]"
    else:
        yield repr(value[:200] if isinstance(value, str) else value)


class _Rest:
    """What a check knows beside value and schema: the root that references begin at, and where it is within them."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.within: set[tuple[int, str]] = set()


_Check = Callable[[Any, Any, Mapping[str, Any], str, _Rest], Iterator[Mismatch]]


def _offences(value: Any, schema: Any, path: str, rest: _Rest) -> Iterator[Mismatch]:
    if schema is False:
        yield Mismatch(path, "must not be there")
    if not isinstance(schema, Mapping):
        return
    for keyword, check in _CHECKS.items():
        if keyword in schema:
            yield from check(value, schema[keyword], schema, path, rest)


def _fits(value: Any, schema: Any, path: str, rest: _Rest) -> bool:
    return next(_offences(value, schema, path, rest), None) is None


# -- any value


_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: type(value) is bool,
    "integer": lambda value: type(value) is int or (type(value) is float and value.is_integer()),
    "number": lambda value: type(value) in (int, float),
    "string": lambda value: type(value) is str,
    "array": lambda value: type(value) is list,
    "object": lambda value: type(value) is dict,
}


def _type(value: Any, wanted: Any, schema: Mapping[str, Any], path: str, rest: _Rest) -> Iterator[Mismatch]:
    names = [wanted] if isinstance(wanted, str) else wanted
    if not any(_TYPES[name](value) for name in names):
        yield Mismatch(path, f"must be {' or '.join(names)}, not {shown(value)}")


def _enum(value: Any, wanted: Any, schema: Mapping[str, Any], path: str, rest: _Rest) -> Iterator[Mismatch]:
    if not any(_same(value, one) for one in wanted):
        yield Mismatch(path, f"must be one of {', '.join(map(shown, wanted))}, not {shown(value)}")


def _const(value: Any, wanted: Any, schema: Mapping[str, Any], path: str, rest: _Rest) -> Iterator[Mismatch]:
    if not _same(value, wanted):
        yield Mismatch(path, f"must be {shown(wanted)}, not {shown(value)}")


def _same(a: Any, b: Any) -> bool:
    """JSON's equality: true is not 1, but 1.0 is."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(value, b[key]) for key, value in a.items())
    if isinstance(a, list) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    return a == b and (type(a) is bool) == (type(b) is bool)


def _ref(value: Any, ref: Any, schema: Mapping[str, Any], path: str, rest: _Rest) -> Iterator[Mismatch]:
    if ref != "#" and not ref.startswith("#/"):
        return  # an anchor, or another document
    target = referred(ref, rest.root)
    place = (id(target), path)
    if place in rest.within:
        return  # a reference that leads back to itself asks for nothing
    rest.within.add(place)
    try:
        first = next(_offences(value, target, path, rest), None)
    finally:
        rest.within.discard(place)
    if first is not None:
        yield first


def _all_of(value: Any, schemas: Any, schema: Mapping[str, Any], path: str, rest: _Rest) -> Iterator[Mismatch]:
    for one in schemas:
        yield from _offences(value, one, path, rest)


def _any_of(value: Any, schemas: Any, schema: Mapping[str, Any], path: str, rest: _Rest) -> Iterator[Mismatch]:
    firsts = [next(_offences(value, one, path, rest), None) for one in schemas]
    offences = [first for first in firsts if first is not None]
    if len(offences) < len(firsts):
        return
    # What was meant is most likely that in which the offence lies deepest.
    deepest = max(offences, key=lambda offence: len(offence.path))
    if len(deepest.path) > len(path):
        yield deepest
    else:
        yield Mismatch(path, " or ".join(dict.fromkeys(offence.message for offence in offences)))


def _one_of(value: Any, schemas: Any, schema: Mapping[str, Any], path: str, rest: _Rest) -> Iterator[Mismatch]:
    fitting = sum(_fits(value, one, path, rest) for one in schemas)
    if fitting == 0:
        yield from _any_of(value, schemas, schema, path, rest)
    elif fitting > 1:
        yield Mismatch(path, f"fits {fitting} of the schemas of which it must fit one")


def _not(value: Any, other: Any, schema: Mapping[str, Any], path: str, rest: _Rest) -> Iterator[Mismatch]:
    if _fits(value, other, path, rest):
        yield Mismatch(path, "is what it must not be")


def _if(value: Any, condition: Any, schema: Mapping[str, Any], path: str, rest: _Rest) -> Iterator[Mismatch]:
    then = schema.get("then" if _fits(value, condition, path, rest) else "else", True)
    yield from _offences(value, then, path, rest)


# -- numbers and texts


def _bound(offends: Callable[[Any, Any], bool], what: str, *kinds: type, size: bool = False) -> _Check:
    """Make the check of a limit on a number, or, for `size`, on how much there is of something."""
    limits = (str,) if kinds == (str,) and not size else (int, float)

    def check(value: Any, limit: Any, schema: Mapping[str, Any], path: str, rest: _Rest) -> Iterator[Mismatch]:
        if type(value) in kinds and type(limit) in limits and offends(len(value) if size else value, limit):
            yield Mismatch(path, what.format(limit, shown(value)))

    return check


def _no_multiple(value: float, of: float) -> bool:
    """In decimals, as they are written: 0.3 is a multiple of 0.1."""
    if not of or not _is_finite(of):
        return False
    return not _is_finite(value) or Fraction(repr(value)) % Fraction(repr(of)) != 0


def _is_finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)  # an int may be too large to ask


def _no_match(value: str, pattern: str) -> bool:
    try:
        return re.search(pattern, value) is None
    except re.error:
        return False  # in a dialect that Python does not know


# -- objects


def _properties(value: Any, properties: Any, schema: Mapping[str, Any], path: str, rest: _Rest) -> Iterator[Mismatch]:
    if type(value) is dict:
        for name, inner in properties.items():
            if name in value:
                yield from _offences(value[name], inner, path_to(path, name), rest)


def _by_pattern(value: Any, patterns: Any, schema: Mapping[str, Any], path: str, rest: _Rest) -> Iterator[Mismatch]:
    if type(value) is dict:
        for pattern, inner in patterns.items():
            for name in value:
                if not _no_match(name, pattern):
                    yield from _offences(value[name], inner, path_to(path, name), rest)


def _additional(value: Any, inner: Any, schema: Mapping[str, Any], path: str, rest: _Rest) -> Iterator[Mismatch]:
    if type(value) is not dict:
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name in value:
        if name not in known and all(_no_match(name, pattern) for pattern in patterns):
            if inner is False:
                yield Mismatch(path_to(path, name), f"is unknown: there may be {', '.join(known) or 'nothing'}")
            else:
                yield from _offences(value[name], inner, path_to(path, name), rest)


def _names(value: Any, inner: Any, schema: Mapping[str, Any], path: str, rest: _Rest) -> Iterator[Mismatch]:
    if type(value) is dict:
        for name in value:
            yield from _offences(name, inner, path_to(path, name), rest)


def _required(value: Any, names: Any, schema: Mapping[str, Any], path: str, rest: _Rest) -> Iterator[Mismatch]:
    if type(value) is dict:
        yield from (Mismatch(path_to(path, name), "is missing") for name in names if name not in value)


def _dependent(value: Any, wanted: Any, schema: Mapping[str, Any], path: str, rest: _Rest) -> Iterator[Mismatch]:
    if type(value) is dict:
        for name, inner in wanted.items():
            if name in value and isinstance(inner, (list, tuple)):
                yield from _required(value, inner, schema, path, rest)
            elif name in value:
                yield from _offences(value, inner, path, rest)


# -- arrays


def _items(value: Any, inner: Any, schema: Mapping[str, Any], path: str, rest: _Rest) -> Iterator[Mismatch]:
    if type(value) is list:
        if isinstance(inner, (list, tuple)):  # as older drafts had it
            yield from _prefix(value, inner, schema, path, rest)
            return
        for i in range(len(schema.get("prefixItems", ())), len(value)):
            yield from _offences(value[i], inner, path_to(path, i), rest)


def _prefix(value: Any, schemas: Any, schema: Mapping[str, Any], path: str, rest: _Rest) -> Iterator[Mismatch]:
    if type(value) is list:
        for i, (item, inner) in enumerate(zip(value, schemas, strict=False)):
            yield from _offences(item, inner, path_to(path, i), rest)


def _additional_items(value: Any, inner: Any, schema: Mapping[str, Any], path: str, rest: _Rest) -> Iterator[Mismatch]:
    before = schema.get("items")
    if type(value) is list and isinstance(before, (list, tuple)):
        for i in range(len(before), len(value)):
            yield from _offences(value[i], inner, path_to(path, i), rest)


def _unique(value: Any, wanted: Any, schema: Mapping[str, Any], path: str, rest: _Rest) -> Iterator[Mismatch]:
    if wanted is True and type(value) is list:
        seen: set[Hashable] = set()
        for i, item in enumerate(value):
            if (identity := _identity(item)) in seen:
                yield Mismatch(path_to(path, i), f"is there twice: {shown(item)}")
            seen.add(identity)


def _identity(value: Any) -> Hashable:
    """What is equal for values that are the same in JSON, and for no others."""
    if isinstance(value, dict):
        return dict, frozenset((key, _identity(inner)) for key, inner in value.items())
    if isinstance(value, list):
        return list, tuple(map(_identity, value))
    return (bool, value) if type(value) is bool else value


def _contains(value: Any, inner: Any, schema: Mapping[str, Any], path: str, rest: _Rest) -> Iterator[Mismatch]:
    if type(value) is list:
        found = sum(_fits(item, inner, path_to(path, i), rest) for i, item in enumerate(value))
        least, most = schema.get("minContains", 1), schema.get("maxContains", math.inf)
        if not least <= found <= most:
            yield Mismatch(path, f"holds {found} items of a kind of which there must be {least} to {most}")


_CHECKS: dict[str, _Check] = {
    "$ref": _ref,
    "type": _type,
    "enum": _enum,
    "const": _const,
    "required": _required,
    "properties": _properties,
    "patternProperties": _by_pattern,
    "additionalProperties": _additional,
    "propertyNames": _names,
    "minProperties": _bound(lambda n, limit: n < limit, "must have at least {0} members", dict, size=True),
    "maxProperties": _bound(lambda n, limit: n > limit, "must have at most {0} members", dict, size=True),
    "dependentRequired": _dependent,
    "dependentSchemas": _dependent,
    "dependencies": _dependent,
    "prefixItems": _prefix,
    "items": _items,
    "additionalItems": _additional_items,
    "minItems": _bound(lambda n, limit: n < limit, "must have at least {0} items", list, size=True),
    "maxItems": _bound(lambda n, limit: n > limit, "must have at most {0} items", list, size=True),
    "uniqueItems": _unique,
    "contains": _contains,
    "minimum": _bound(lambda n, limit: n < limit, "must be at least {0}, not {1}", int, float),
    "maximum": _bound(lambda n, limit: n > limit, "must be at most {0}, not {1}", int, float),
    "exclusiveMinimum": _bound(lambda n, limit: n <= limit, "must be above {0}, not {1}", int, float),
    "exclusiveMaximum": _bound(lambda n, limit: n >= limit, "must be below {0}, not {1}", int, float),
    "multipleOf": _bound(_no_multiple, "must be a multiple of {0}, not {1}", int, float),
    "minLength": _bound(lambda n, limit: n < limit, "must have at least {0} characters", str, size=True),
    "maxLength": _bound(lambda n, limit: n > limit, "must have at most {0} characters", str, size=True),
    "pattern": _bound(_no_match, "must match {0}, not {1}", str),
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
    "if": _if,
}
