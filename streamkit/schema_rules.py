"""What APIs demand of the schemas that their answers are held to; `schema` looks whether they are met."""

from __future__ import annotations

from streamkit import lazy_attrs as attrs

__all__ = ["OPENAI_STRICT", "StrictRules"]


@attrs.frozen(kw_only=True)
class StrictRules:
    """What an API demands of a schema that its answers are held to. The defaults are OpenAI's strict mode.

    https://platform.openai.com/docs/guides/structured-outputs, "Supported schemas", read November 2026. Every such API
    wants closed objects (`additionalProperties: false`), schemas that say what they are, and references within the
    schema.
    """

    always: bool = False
    """They hold for every schema, as the API knows no other way; else only where `strict` was asked for."""
    unsupported: frozenset[str] = frozenset(
        {"allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "patternProperties",
         "propertyNames", "unevaluatedProperties", "minProperties", "maxProperties", "unevaluatedItems", "contains",
         "minContains", "maxContains", "uniqueItems"}
    )  # fmt: skip
    """Keywords that it refuses."""
    formats: frozenset[str] | None = frozenset(
        {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
    )
    """The values of `format` that it knows, None for any."""
    object_root: bool = True
    """The schema itself must be of type object, without `anyOf`."""
    all_required: bool = True
    """`required` must name every property."""
    lone_refs: bool = True
    """Beside `$ref` there may be no other keyword."""
    recursion: bool = True
    """A schema may refer to itself."""
    largest_min_items: int | None = None
    """The largest `minItems`, None for any."""
    properties: int | None = 5000
    """The most properties, in all objects together, None for any number; so for the limits below."""
    depth: int | None = 10
    """The most objects within objects."""
    enum_values: int | None = 1000
    """The most enum values, in all enums together."""
    characters: int | None = 120_000
    """The most characters of names of properties and definitions, enum values and const values together."""


OPENAI_STRICT = StrictRules()
"""OpenAI's strict mode, of chat completions and of responses alike."""
