"""What one run of benchmarks/fanout.py has measured, and the medians of it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["TIMES", "Capacity", "Figures", "Muted", "Results", "Sample"]

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
