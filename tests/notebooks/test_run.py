"""A lesson runs twice in one kernel, says the same both times, and leaves nothing behind."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from nbclient import NotebookClient
from nbformat import v4

from . import execute
from .lesson import LESSONS, Lesson, outputs, tags

CELL_TIMEOUT = 15  # seconds; a cell may take 3, and the machine may be busy
# not compared, as in the strict re-run: pictures made of points, and models of widgets
NOT_TEXT = {"image/png", "image/jpeg", "application/vnd.jupyter.widget-view+json"}

# what the kernel's process has, seen from inside and without the lesson's own instruments
LOOK = """
import asyncio, json, threading
import psutil

process = psutil.Process()
tcp = process.net_connections("tcp")
listening = {one.laddr.port for one in tcp if one.status == "LISTEN"}
print(json.dumps({
    "threads": [one.name for one in threading.enumerate()],
    "tasks": [str(one.get_coro().__qualname__) for one in asyncio.all_tasks()],
    "children": [one.name() for one in process.children()],
    "sockets": [f"{one.laddr.port} {one.raddr} {one.status}" for one in tcp],
}))
"""


class Kernel:
    """One kernel, as a front end uses it."""

    def __init__(self, client: NotebookClient) -> None:
        self._client = client

    @classmethod
    @contextmanager
    def of(cls, lesson: Lesson) -> Iterator[Kernel]:
        """Start a kernel for this lesson, and end it afterwards."""
        notebook = v4.new_notebook(cells=[*deepcopy(lesson.code), v4.new_code_cell(LOOK)])
        with execute.client_for(notebook, timeout=CELL_TIMEOUT) as client, client.setup_kernel():
            yield cls(client)

    def run(self, index: int) -> tuple[Any, float]:
        """Run this code cell: the cell with its outputs, and the seconds that it took."""
        start = time.perf_counter()
        cell = self._client.execute_cell(self._client.nb.cells[index], index)
        return cell, time.perf_counter() - start

    def look(self) -> dict[str, list[str]]:
        """What the kernel's process has now."""
        found: dict[str, list[str]] = json.loads(self.run(-1)[0].outputs[0].text)
        return found


def _comparable(cell: Any) -> Iterator[tuple[str, str]]:
    """What the strict re-run compares."""
    for output in outputs(cell):
        if output.output_type == "stream":
            yield output.name, output.text
        elif output.output_type == "error":
            yield output.ename, output.evalue
        else:
            yield from ((mime, str(value)) for mime, value in sorted(output.data.items()) if mime not in NOT_TEXT)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_lesson_runs_twice_in_one_kernel(path: Path, record_property: Any) -> None:
    """Run All works again in the same kernel, with the stored outputs, and its threads and sockets are gone."""
    lesson = Lesson(path)
    with Kernel.of(lesson) as kernel:
        before = kernel.look()
        for run in ("first", "second"):
            seconds = {}
            for index, stored in enumerate(lesson.code):
                cell, seconds[stored.id] = kernel.run(index)
                if "nbval-ignore-output" not in tags(stored):
                    assert list(_comparable(cell)) == list(_comparable(stored)), f"{stored.id} says something else"
            longest = max(seconds, key=lambda cell: seconds[cell])
            record_property("run", (path.stem, run, sum(seconds.values()), longest, seconds[longest]))
        after = kernel.look()
    assert {kind: sorted(set(after[kind]) - set(before[kind])) for kind in after} == {kind: [] for kind in after}
