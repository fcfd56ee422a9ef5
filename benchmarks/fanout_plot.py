"""The plots of benchmarks/fanout.py: deliveries per second, and the time until the last connection has a message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.fanout_results import Results

__all__ = ["plot"]

OURS = {"portable": "#7fb3d5", "fast": "#1f618d", "whole": "#17a589"}
OTHERS = ("#922b21", "#e67e22", "#7d6608", "#884ea0", "#4d5656")
MARKERS = "osv^Dphx"


def plot(results: Results, path: Path) -> None:
    """Draw both against the number of connections, and write a PNG."""
    import matplotlib as mpl  # noqa: PLC0415  # takes a second, and tests do not draw

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    others = iter(OTHERS * 2)
    for at, (key, row) in enumerate(results.rows.items()):
        style = {
            "label": row.name,
            "color": OURS.get(key) or next(others),
            "marker": MARKERS[at % len(MARKERS)],
            "linewidth": 2.2 if key in OURS else 1.4,
        }
        _curve(left, [(size, row.median(size, "rate")) for size in results.sizes], style)
        _curve(right, [(size, row.median(size, "p99_ms")) for size in results.sizes], style)
    _label(left, results, f"deliveries per second, {results.in_flight} messages in flight")
    _label(right, results, "ms until the last has it (p99), one in flight")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _curve(axes: Any, points: list[tuple[int, float | None]], style: dict[str, Any]) -> None:
    known = [(size, value) for size, value in points if value is not None]
    if known:
        axes.plot(*zip(*known, strict=True), **style)


def _label(axes: Any, results: Results, title: str) -> None:
    from matplotlib.ticker import LogLocator  # noqa: PLC0415

    axes.set(xscale="log", yscale="log", xlabel="connections", title=title)
    axes.set_xticks(results.sizes, [f"{size:,}" for size in results.sizes])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.yaxis.set_major_formatter("{x:,.10g}")
    axes.minorticks_off()
    axes.grid(visible=True, alpha=0.3)
