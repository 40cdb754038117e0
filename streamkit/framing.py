"""Bytes to events and back."""

from __future__ import annotations

import attrs


@attrs.define
class Event:
    data: str
    event: str = "message"
    id: str = ""
    retry: int | None = None
