"""The table of benchmarks/fanout.py: medians, ratios to the first row, and the targets that were set."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Sequence

from benchmarks.compiled_counter import is_compiled
from benchmarks.fanout_results import TIMES, Figures, Results
from benchmarks.fanout_targets import targets
from benchmarks.record import Table

__all__ = ["capacity", "markdown", "summary", "text"]

MISSING = "-"


def text(results: Results) -> str:
    """The table for a terminal."""
    head, lines = _cells(results)
    widths = [max(len(line[column]) for line in (head, *lines)) for column in range(len(head))]
    shown = [
        "  ".join(
            cell.ljust(width) if not at else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in (head, *lines)
    ]
    return "\n".join([*shown, "", *_notes(results)])


def markdown(results: Results) -> str:
    """The table as Markdown, with what has to be known to read it."""
    head, lines = _cells(results)
    rule = ["---", *["---:"] * (len(head) - 1)]
    table = ["| " + " | ".join(line) + " |" for line in (head, rule, *lines)]
    notes = [f"- {note}" for note in _notes(results)]
    return "\n".join(["# Fan-out", "", *table, "", *notes, ""])


def summary(results: Results) -> Table:
    """Return the part of the table that the README shows."""
    head, lines = _cells(results)
    most = len(results.sizes)
    shown = [0, *(at + 1 for at in range(most) if results.sizes[at] >= 100), most + 1, most + 2, most + 3, most + 5]
    return Table(head=[head[at] for at in shown], rows=[[line[at] for at in shown] for line in lines])


def capacity(figures: Figures, size: int) -> Table:
    """Return what one process of the whole chat takes and gives, for the operator's guide."""
    rate, idle = figures.median(size, "rate"), figures.median(size, "idle")
    rows = [
        ["memory of an idle connection", _shown(idle, lambda value: f"{value:.1f} KiB")],
        [
            f"deliveries each second of one process, 128 bytes, {size:,} members",
            _shown(rate, lambda each: f"{each:,.0f}"),
        ],
    ]
    return Table(head=["the whole chat", "measured"], rows=rows)


def _cells(results: Results) -> tuple[list[str], list[list[str]]]:
    size = results.main_size
    head = [
        "server",
        *(f"N={each:,}" for each in results.sizes),
        f"p99, N={size:,}",
        "idle KiB each",
        "others beside a mute",
        "memory grows",
        f"per CPU second, N={size:,}",
        "CPU server/client",
    ]
    return head, [_line(figures, results) for figures in results.rows.values()]


def _line(figures: Figures, results: Results) -> list[str]:
    size, first = results.main_size, results.first
    return [
        figures.name,
        *(_ratio(figures.median(each, "rate"), first.median(each, "rate"), _rate) for each in results.sizes),
        _ratio(figures.median(size, "p99"), first.median(size, "p99"), lambda value: f"{1e3 * value:.1f} ms"),
        _shown(figures.median(size, "idle"), lambda value: f"{value:.1f}"),
        _shown(figures.beside("ratio"), lambda value: f"{value:.2f}{TIMES}" if value else "freezes"),
        _shown(figures.beside("growth"), lambda value: f"{value:.1f} MiB"),
        _ratio(figures.median(size, "efficiency"), first.median(size, "efficiency"), _rate),
        "/".join(_shown(figures.median(size, name), lambda value: f"{value:.0%}") for name in ("server", "client")),
    ]


def _rate(value: float) -> str:
    return f"{value / 1e6:.2f}M" if value >= 1e6 else f"{value / 1e3:.1f}k"


def _shown(value: float | None, form: Callable[[float], str]) -> str:
    return MISSING if value is None else form(value)


def _ratio(value: float | None, base: float | None, form: Callable[[float], str]) -> str:
    if value is None:
        return MISSING
    return f"{form(value)} ({value / base:.3g}{TIMES})" if base else form(value)


def _notes(results: Results) -> list[str]:
    return [
        *_setting(results),
        *_capacities(results),
        *(
            f"{figures.name}, {what}: {why}"
            for figures in results.rows.values()
            for what, why in figures.problems.items()
        ),
        *targets(results),
    ]


def _setting(results: Results) -> Sequence[str]:
    repetitions = max((len(each) for row in results.rows.values() for each in row.samples.values()), default=0)
    size = f"{results.muted_size:,}"
    return (
        f"N=…: deliveries per second to so many connections, {results.in_flight} messages of 128 bytes in flight",
        f"p99: from sending one message to its receipt by the last of {size}, one in flight",
        f'"others beside a mute": what {size} connections get beside one that never reads, as a part of it without',
        f'"memory grows": that of the server, while {results.flood} MiB are sent past such a client',
        "per CPU second: deliveries for each second that the server ran, were its core disturbed by somebody else",
        f"medians of {repetitions}, in brackets the ratio to the first row; {results.minutes:.1f} minutes in all",
        f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        f"the load client reads and counts in {'C' if is_compiled() else 'Python'}",
    )


def _capacities(results: Results) -> Iterator[str]:
    for each in results.capacities:
        yield (
            f"the load client alone, {each.size:,} connections, {each.frames} frames in a write: {_rate(each.rate)} "
            f"messages/s with {each.client:.0%} of its core"
        )
