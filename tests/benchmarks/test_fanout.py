"""The measurements of the fan-out benchmark, on a few connections, and its table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from benchmarks import load
from benchmarks.fanout import Plan, measure, measure_capacity, measure_muted, run
from benchmarks.fanout_results import TIMES, Figures, Muted, Results, Sample
from benchmarks.fanout_table import markdown, text
from benchmarks.rows import ROWS, Row

linux = pytest.mark.skipif(sys.platform != "linux", reason="the benchmark needs Linux")

SECONDS = 0.05


def row(key: str) -> Row:
    """The row of this key."""
    return next(row for row in ROWS if row.key == key)


def sample(rate: float, *, p99: float = 0.01) -> Sample:
    """A measurement with this rate."""
    return Sample(rate=rate, p50=p99 / 2, p99=p99, idle=30.0, client=0.5, server=1.0)


def results(rates: Mapping[str, Sequence[float]]) -> Results:
    """The results of a run in which each row had these rates."""
    made = Results(sizes=(100,), muted_size=100, in_flight=20, flood=16)
    for key, some in rates.items():
        made.rows[key] = Figures(name=f"row {key}", samples={100: [sample(rate) for rate in some]})
    return made


@linux
def test_a_row_is_measured(tmp_path: Path) -> None:
    """Every figure of a measurement is one."""
    measured = measure(row("fast"), 5, SECONDS, str(tmp_path))
    assert measured.rate > 0
    assert 0 < measured.p50 <= measured.p99
    assert measured.client > 0


@linux
def test_the_tutorial_manager_freezes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a client that never reads, nobody gets anything: the measurement sees it, and ends."""
    monkeypatch.setattr(load, "STALLED", 1.0)
    assert measure_muted(row("tutorial"), 5, SECONDS, str(tmp_path)).ratio == 0


@linux
@pytest.mark.parametrize("key", ["fast", "portable"])
def test_ours_goes_on_and_stays_small(key: str, tmp_path: Path) -> None:
    """Beside a client that never reads, the others get on, and what waits for it stays within its bound."""
    muted = measure_muted(row(key), 5, SECONDS, str(tmp_path))
    assert muted.ratio > 0
    assert muted.growth < 4  # MiB: the outbox's one, the transport's, and what the allocator likes


@linux
def test_the_load_client_alone_is_measured() -> None:
    """The source that only writes is counted, and some frames are there."""
    assert measure_capacity(20, 5, SECONDS).rate > 0


@linux
def test_a_row_that_fails_says_so_and_the_others_go_on(tmp_path: Path) -> None:
    """A server that cannot start costs its own row, whose reason stands below the table."""
    broken = Row(key="broken", name="broken", module="no_such_server")
    plan = Plan(rows=(broken, row("websockets")), sizes=(3,), repetitions=1, seconds=SECONDS, muted=3)
    shown = text(run(plan, str(tmp_path), lambda line: None))
    assert "no_such_server" in shown
    assert "websockets broadcast()" in shown


def test_the_table_shows_medians_and_ratios_to_the_first_row() -> None:
    """A median is taken of the repetitions, and set beside that of the first row."""
    shown = markdown(results({"one": [1_000, 9_000, 2_000], "two": [6_000, 4_000, 5_000]}))
    assert f"| row one | 2.0k (1{TIMES}) |" in shown
    assert f"| row two | 5.0k (2.5{TIMES}) |" in shown


def test_what_is_missing_is_a_dash_and_what_stops_a_word() -> None:
    """A row without figures is shown all the same; one whose others get nothing is said to freeze."""
    made = results({"one": [1_000], "two": []})
    made.rows["one"].muted = [Muted(ratio=0.0, growth=0.5)]
    made.rows["two"].problems["100"] = "skip: nothing is installed"
    one, two = (line for line in markdown(made).splitlines() if line.startswith("| row"))
    assert "freezes" in one
    assert "| - | - |" in two
    assert "row two, 100: skip: nothing is installed" in text(made)


def test_targets_are_judged() -> None:
    """A ratio that was to be reached is called reached or missed."""
    shown = text(results({"tutorial-deflate": [1_000], "node": [10_000], "fast": [45_000]}))
    assert f"40{TIMES} tutorial-deflate: 45, reached" in shown
    assert f"8{TIMES} node: 4.5, missed" in shown
