"""Python types as the shapes of JSON values: the schema of a type, its values checked and made, and partial ones.

`typed(int)` and its kin give a `Typed`. It knows three things: the JSON Schema to send; how to make a value of parsed
JSON, checked, with the path of what is wrong (`whole`); and how to make one of what has arrived so far, unchecked
(`made`, see `partial_json`). Classes are attrs classes, dataclasses, TypedDicts, named tuples and pydantic models.
"""

from streamkit.instance import Mismatch
from streamkit.typed.functions import TypedArguments, parameters_of, typed_arguments
from streamkit.typed.kinds import Typed
from streamkit.typed.reader import typed
from streamkit.typed.schemas import json_schema, of_schema

__all__ = [
    "Mismatch",
    "Typed",
    "TypedArguments",
    "json_schema",
    "of_schema",
    "parameters_of",
    "typed",
    "typed_arguments",
]
