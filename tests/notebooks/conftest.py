"""How long each lesson took, told at the end of the test run."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each run of a lesson: wanted are 10 s at most, and 3 s for a cell."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    calls = [report for report in reports if getattr(report, "when", "") == "call"]
    runs = [value for report in calls for key, value in report.user_properties if key == "run"]
    for lesson, run, total, cell, longest in runs:
        terminalreporter.write_line(f"{lesson}, {run} run: {total:.1f} s, the longest cell {longest:.1f} s ({cell})")
