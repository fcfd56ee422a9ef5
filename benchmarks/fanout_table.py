"""The table of benchmarks/fanout.py: medians, ratios to the first row, and the targets that were set."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["TIMES", "Capacity", "Figures", "Muted", "Results", "Sample", "markdown", "text"]

MISSING = "-"
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One measurement of one server with one number of connections."""

    rate: float
    """Deliveries per second with many messages in flight."""
    p50: float
    """Median of the seconds until the last connection has a message, one in flight."""
    p99: float
    """99th percentile of the same."""
    idle: float
    """KiB that an idle connection takes."""
    client: float
    """Share of its core that the load client took."""
    server: float
    """Share of its core that the server took."""

    @property
    def efficiency(self) -> float:
        """Deliveries for each second that the server ran: the rate, as if nobody else had used its core."""
        return self.rate / self.server if self.server else 0.0

    @property
    def p99_ms(self) -> float:
        """`p99` in milliseconds."""
        return 1e3 * self.p99


@dataclass(frozen=True, kw_only=True)
class Muted:
    """What one client that never reads did to a server."""

    ratio: float
    """What the others got, as a part of what they got without it; 0 where they got nothing more."""
    growth: float
    """MiB of memory that the server took at most for the flood."""


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What the load client takes from a source that only writes."""

    frames: int
    """Frames in each write."""
    size: int
    """Connections."""
    rate: float
    """Messages counted per second."""
    client: float
    """Share of its core that the load client took."""


@dataclass
class Figures:
    """All measurements of one row."""

    name: str
    samples: dict[int, list[Sample]] = field(default_factory=dict)
    muted: list[Muted] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    """What could not be measured, and why."""

    @contextmanager
    def noting(self, what: str) -> Iterator[None]:
        """Let no failure of one measurement end the others."""
        try:
            yield
        except Exception as error:
            self.problems[what] = f"{type(error).__name__.removesuffix('Error').lower()}: {error}"

    def median(self, size: int, name: str) -> float | None:
        """The median of one figure over the repetitions, or None where there is none."""
        values = [float(getattr(sample, name)) for sample in self.samples.get(size, ())]
        return statistics.median(values) if values else None

    def beside(self, name: str) -> float | None:
        """The median of one figure beside a client that never reads."""
        values = [float(getattr(muted, name)) for muted in self.muted]
        return statistics.median(values) if values else None


@dataclass
class Results:
    """Everything that one run has measured."""

    sizes: tuple[int, ...]
    muted_size: int
    in_flight: int
    flood: int
    """MiB that were sent to the client that never reads."""
    rows: dict[str, Figures] = field(default_factory=dict)
    """By the key of the row, in the order of the table."""
    capacities: list[Capacity] = field(default_factory=list)
    minutes: float = 0.0

    @property
    def main_size(self) -> int:
        """The number of connections that latency, memory and targets are told for."""
        return self.muted_size

    @property
    def first(self) -> Figures:
        """The row that the ratios are of."""
        return next(iter(self.rows.values()))


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
        *_targets(results),
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
    )


def _capacities(results: Results) -> Iterator[str]:
    for each in results.capacities:
        yield (
            f"the load client alone, {each.size:,} connections, {each.frames} frames in a write: {_rate(each.rate)} "
            f"messages/s with {each.client:.0%} of its core"
        )


def _targets(results: Results) -> Iterator[str]:
    """What was to be reached, and whether it was; nothing where a row is missing."""
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
