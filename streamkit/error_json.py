"""An error of the tree as JSON data and back: its class, its words, and what is plain of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamkit import errors
from streamkit.errors import ConfigError, StreamKitError, printable

__all__ = ["error_from_json", "error_to_json"]

_PLAIN = (str, int, float, bool)


def error_to_json(error: StreamKitError) -> dict[str, Any]:
    """Give it as data that `json.dumps` takes.

    A class that is not of the tree is written as the nearest one that is. `partial`, the cause, and what else is no
    text, number or bool is left out.
    """
    name = next(cls.__name__ for cls in type(error).__mro__ if cls.__name__ in errors.__all__)
    fields = {name: value for name, value in vars(error).items() if isinstance(value, _PLAIN)}
    return {"class": name, "message": str(error), **({"fields": fields} if fields else {})}


def error_from_json(written: Mapping[str, Any]) -> StreamKitError:
    """Read what `error_to_json` gave; `ConfigError` where it is something else. A class not known here is the root."""
    try:
        cls = _class(written["class"])
        fields = {name: value for name, value in written.get("fields", {}).items() if _is_field(cls, name)}
        return cls(str(written["message"]), **fields)
    except (AttributeError, KeyError, TypeError) as e:
        raise ConfigError(f"this is no error as error_to_json() gives it: {printable(repr(e), 200)}") from e


def _class(name: str) -> type[StreamKitError]:
    found = getattr(errors, name) if name in errors.__all__ else None
    return found if isinstance(found, type) and issubclass(found, StreamKitError) else StreamKitError


def _is_field(cls: type, name: str) -> bool:
    """Whether it may be set: not what an error does, and nothing that no error has."""
    return name != "partial" and isinstance(getattr(cls, name, len), (*_PLAIN, type(None)))
