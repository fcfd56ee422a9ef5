"""What the fan-out was to reach, as ratios within one run, and whether it did."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.fanout_results import TIMES, Results

__all__ = ["targets"]

RATIOS = (
    ("fast", "tutorial-deflate", "rate", 40.0),
    ("fast", "node", "rate", 8.0),
    ("whole", "tutorial-deflate", "rate", 25.0),
    ("fast", "tutorial-deflate", "efficiency", 40.0),
    ("fast", "node", "efficiency", 8.0),
    ("whole", "tutorial-deflate", "efficiency", 25.0),
    ("fast", "tutorial-deflate", "p99", 0.3),
    ("whole", "tutorial-deflate", "p99", 0.3),
    ("portable", "tutorial", "efficiency", 1.0),
    ("portable-hypercorn", "tutorial-hypercorn", "efficiency", 1.0),
    ("portable-granian", "tutorial-granian", "efficiency", 1.0),
)
"""A row, the row that it is compared with, the figure, and its bound: at most for a delay, at least for a rate."""
IDLE = {"fast": 20, "whole": 26}
"""KiB that an idle connection may take."""
BESIDE = 0.95
"""Part of the rate that the others keep beside a client that never reads."""


def targets(results: Results) -> Iterator[str]:
    """One line for each; nothing where a row is missing."""
    size = results.main_size
    for key, other, name, bound in RATIOS:
        mine, theirs = (
            results.rows[each].median(size, name) if each in results.rows else None for each in (key, other)
        )
        if mine and theirs:
            good = mine / theirs <= bound if name == "p99" else mine / theirs >= bound
            side = "at most" if name == "p99" else "at least"
            yield f"target {key}, {name}: {side} {bound:g}{TIMES} {other}: {mine / theirs:.3g}, {_verdict(good)}"
    for key, most in IDLE.items():
        row = results.rows.get(key)
        if row and (idle := row.median(size, "idle")) is not None:
            yield f"target {key}, idle: at most {most} KiB: {idle:.1f}, {_verdict(idle <= most)}"
        if row and (ratio := row.beside("ratio")) is not None:
            yield f"target {key}, beside a mute: at least {BESIDE}: {ratio:.2f}, {_verdict(ratio >= BESIDE)}"


def _verdict(good: bool) -> str:
    return "reached" if good else "missed"
