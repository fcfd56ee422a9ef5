"""What the fan-out was to reach, as ratios within one run, and whether it did."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.fanout_results import TIMES, Results

__all__ = ["targets"]


def targets(results: Results) -> Iterator[str]:
    """One line for each; nothing where a row is missing."""
    size = results.main_size
    for key, other, name, least in (
        ("fast", "tutorial-deflate", "rate", 30.0),
        ("fast", "node", "rate", 8.0),
        ("whole", "tutorial-deflate", "rate", 20.0),
        ("fast", "tutorial-deflate", "efficiency", 30.0),
        ("fast", "node", "efficiency", 8.0),
        ("whole", "tutorial-deflate", "efficiency", 20.0),
        ("fast", "tutorial-deflate", "p99", 0.35),
    ):
        mine, theirs = (
            results.rows[each].median(size, name) if each in results.rows else None for each in (key, other)
        )
        if mine and theirs:
            good = mine / theirs <= least if name == "p99" else mine / theirs >= least
            bound = "at most" if name == "p99" else "at least"
            yield f"target {key}, {name}: {bound} {least:g}{TIMES} {other}: {mine / theirs:.3g}, {_verdict(good)}"
    for key in ("fast", "whole"):
        row = results.rows.get(key)
        if row and (idle := row.median(size, "idle")) is not None:
            yield f"target {key}, idle: at most 32 KiB: {idle:.1f}, {_verdict(idle <= 32)}"
        if row and (ratio := row.beside("ratio")) is not None:
            yield f"target {key}, beside a mute: at least 0.9: {ratio:.2f}, {_verdict(ratio >= 0.9)}"


def _verdict(good: bool) -> str:
    return "reached" if good else "missed"
