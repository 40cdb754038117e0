"""What a value says that is not so by default: all else may be left out, of files and of digests."""

from __future__ import annotations

from typing import Any

from streamkit import lazy_attrs as attrs

__all__ = ["differs"]

_FACTORY: Any = type(attrs.Factory(dict))


def differs(attribute: attrs.Attribute[Any], value: Any) -> bool:
    """Whether the value of an attrs attribute is not its default."""
    default = attribute.default
    return bool(value != (default.factory() if isinstance(default, _FACTORY) else default))
