"""Row: one figure, as the table and the JSON file show it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import attrs

__all__ = ["Row", "absolute", "compared", "missing", "p99"]


@attrs.frozen(kw_only=True)
class Row:
    """A figure, with its peer's where there is one. `ok` is None where there is no goal or nothing was measured."""

    figure: str
    unit: str = ""
    streamkit: float | None = None
    peer_name: str = ""
    peer: float | None = None
    ratio: float | None = None
    goal: str = ""
    ok: bool | None = None
    note: str = ""


def compared(
    figure: str,
    unit: str,
    ours: Sequence[float],
    peer_name: str,
    peers: Sequence[float],
    *,
    at_most: float | None = None,
    more: float | None = None,
) -> Row:
    """Give the row of rounds that alternated with a peer's.

    `at_most` bounds the ratio, `more` what streamkit may need beyond its peer, in `unit`.
    """
    ratio = statistics.median(our / peer for our, peer in zip(ours, peers, strict=True)) if all(peers) else None
    our, peer = statistics.median(ours), statistics.median(peers)
    goal, ok = "", None
    if at_most is not None:
        goal, ok = f"ratio <= {at_most:.3g}", our <= peer * at_most if ratio is None else ratio <= at_most
    elif more is not None:
        goal, ok = f"<= peer + {more:g} {unit}", our <= peer + more
    return Row(figure=figure, unit=unit, streamkit=our, peer_name=peer_name, peer=peer, ratio=ratio, goal=goal, ok=ok)


def absolute(
    figure: str,
    unit: str,
    value: float,
    *,
    at_most: float | None = None,
    peer_name: str = "",
    peer: float | None = None,
) -> Row:
    """Give the row of a figure that has a bound of its own, whatever its peer's is, or no bound."""
    goal, ok = ("", None) if at_most is None else (f"<= {at_most:g} {unit}".rstrip(), value <= at_most)
    return Row(figure=figure, unit=unit, streamkit=value, peer_name=peer_name, peer=peer, goal=goal, ok=ok)


def missing(figure: str, package: str) -> Row:
    """Give the row of a figure that needs a package which is not installed."""
    return Row(figure=figure, note=f"not installed: pip install {package}")


def p99(values: Sequence[float]) -> float:
    """Give the value that 99 % of these do not exceed."""
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]
