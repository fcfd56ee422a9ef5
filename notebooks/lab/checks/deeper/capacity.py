"""The check of the exercise in deeper/cost: how many connections fit."""

from __future__ import annotations

from typing import Any

from ..verdict import NotYet, judged, result_of, shown

__all__ = ["check_capacity"]

OWN = 20  # descriptors that the server needs for itself
SIZES: tuple[tuple[int, float, int, int, str], ...] = (
    (1_024, 34, 1_024, 1_004, "descriptors"),
    (1_024, 34, 1_000_000, 30_840, "memory"),
    (16, 10, 100_000, 1_638, "memory"),
    (2_048, 12.5, 65_536, 65_516, "descriptors"),
    (1, 3_000, 100, 0, "memory"),
)
"""Free MiB, KiB for each connection, the limit of descriptors; how many fit, and what runs out first."""


@judged("whichever of the two runs out first says how many connections fit")
def check_capacity(capacity: Any) -> None:
    """Check ``capacity(free, each, limit)``: it returns how many connections fit, and what runs out first."""
    for free, each, limit, many, what in SIZES:
        got = result_of(capacity, free, each, limit)
        call = f"with {free} MiB free, {each:g} KiB each and {limit} descriptors"
        if not isinstance(got, tuple) or len(got) != 2:
            raise NotYet(f"{call}: got {shown(got)}, expected {(many, what)}; return two values: `return many, what`")
        if got != (many, what):
            hint = _capacity_hint(got, free, each, limit, many)
            raise NotYet(f"{call}: got {shown(got)}, expected {(many, what)}; {hint}")


def _capacity_hint(got: tuple[Any, Any], free: int, each: float, limit: int, many: int) -> str:
    hints = {
        limit: f"the server needs {OWN} descriptors for itself",
        free * 1_000 // each: "a MiB is 1,024 KiB",
        free // each: "`free` is in MiB, and `each` in KiB; a MiB is 1,024 KiB",
        free * 1_024 / each: "a part of a connection is none; `//` divides and rounds down",
        -(-free * 1_024 // each): "a part of a connection is none; `//` divides and rounds down",
        max(limit - OWN, free * 1_024 // each): "the smaller of the two numbers is how many fit",
    }
    if got[0] == many:
        return 'the second value is "memory" or "descriptors": what runs out first'
    return hints.get(got[0], "how many fit into the memory, and how many does the limit allow?")
