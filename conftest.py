"""What holds for every run of pytest, of the tests and of the lessons."""

from __future__ import annotations

import gc
import os

import pytest

os.environ["COURSE_PROGRESS"] = ""  # what a reader has solved is not ours; kernels and servers inherit this
gc.disable()  # until the tests are collected: hardly anything of that is garbage, and a quarter of the time went there


def pytest_collection_finish() -> None:
    """What five thousand tests are made of stays: not looking for garbage in it saves each process ten seconds."""
    gc.enable()
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How long each lesson took in the strict re-run: a cell may take 3 s."""
    lessons: dict[str, list[tuple[float, str]]] = {}
    for report in terminalreporter.getreports("passed"):
        notebook, _, cell = report.nodeid.partition("::")
        if notebook.endswith(".ipynb"):
            lessons.setdefault(notebook, []).append((report.duration, cell))
    for notebook, cells in sorted(lessons.items()):
        longest, cell = max(cells)
        seconds = sum(duration for duration, _ in cells)
        terminalreporter.write_line(f"{notebook}: {seconds:.1f} s, the longest cell {longest:.1f} s ({cell})")
