"""Execute one copy of a lesson in a kernel of its own, with a deadline, and return what its checks said.

The copy is a student's code: it may never end, end its kernel, or be no notebook at all. Each of these becomes a note,
and none of them stops the next copy. The checks that run are the course's own, whatever the copy has made of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import psutil
from lab.checks import EXERCISES
from lab.checks.results import NOT_RUN, Results, read_results
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import v4
from traitlets.config import Config

from .assignment import LESSONS, tags
from .copies import Copy

__all__ = ["CELL_SECONDS", "COPY_SECONDS", "Graded", "grade"]

CELL_SECONDS = 15  # that a cell may take; those of the lessons take at most 3
COPY_SECONDS = 120.0  # that a copy may take; the lessons take at most 15

Notebook = Any
"""A `nbformat.NotebookNode`."""


@dataclass(frozen=True)
class Graded:
    """A copy, what its checks said, and what else a teacher should know about it."""

    copy: Copy
    results: Results
    note: str = ""


async def grade(copy: Copy, *, cell_seconds: int = CELL_SECONDS, copy_seconds: float = COPY_SECONDS) -> Graded:
    """Execute a copy, and return the verdict of each exercise; an exercise without one is "not run".

    This runs the student's code with your rights. Do it where it can do no harm.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "results" / f"{copy.lesson}.json"
        try:
            notebook = with_own_checks(nbformat.read(copy.path, as_version=4), copy.lesson)
        except Exception as error:  # nbformat raises many kinds, and the file may be anything
            return Graded(
                copy, read_results(file, copy.lesson), f"it can't be read as a notebook ({type(error).__name__})"
            )
        note = await _execute(notebook, Path(folder), cell_seconds, copy_seconds)
        return Graded(copy, _with_errors(read_results(file, copy.lesson), notebook), note)


def with_own_checks(notebook: Notebook, lesson: str) -> Notebook:
    """Return the copy with the checks of the course: in the place of its own ones, and at the end if one is missing."""
    missing = dict(_own_checks(lesson))
    cells = []
    for cell in notebook.cells:
        named = re.search(r"\bcheck_\w+", cell.source) if "check" in tags(cell) else None
        if named is None:
            cells.append(cell)
        elif own := missing.pop(named[0], None):
            cells.append(own)
    notebook.cells = [*cells, *missing.values()]
    return notebook


def _own_checks(lesson: str) -> Iterator[tuple[str, Any]]:
    (path,) = (path for path in LESSONS if path.stem == lesson)
    for cell in nbformat.read(path, as_version=4).cells:
        if "check" in tags(cell):
            (name,) = set(re.findall(r"\bcheck_\w+", cell.source)) & set(EXERCISES[lesson])
            yield name, v4.new_code_cell(cell.source, metadata={"tags": ["check"], "check": name})


async def _execute(notebook: Notebook, folder: Path, cell_seconds: int, copy_seconds: float) -> str:
    """Run all cells; return what went wrong with the copy as a whole, or nothing."""
    client = NotebookClient(
        notebook,
        # a kernel's free ports could be taken before it uses them; files can't
        config=Config(KernelManager={"transport": "ipc", "ip": f"{folder}/kernel"} if os.name == "posix" else {}),
        kernel_name="python3",
        timeout=cell_seconds,
        interrupt_on_timeout=True,
        allow_errors=True,
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
        shutdown_kernel="immediate",
    )
    client.log.disabled = True  # it would print each time-out; the table says it
    results = str(folder / "results")
    environment = os.environ | {"COURSE_RESULTS": results, "COURSE_PROGRESS": ""}
    try:
        async with asyncio.timeout(copy_seconds) as deadline:
            await client.async_execute(env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except Exception as error:  # whatever a student's cells have done to the kernel, the next copy is graded
        if deadline.expired():
            return f"it did not end within {copy_seconds:g} s"
        if isinstance(error, DeadKernelError):
            return "its kernel ended before the last cell"
        return f"it can't be executed: {_short(error)}"
    finally:
        _kill_processes_with(results)
    return ""


def _kill_processes_with(results: str) -> None:
    """Kill what a copy has started and left behind; its processes have inherited the name of this folder."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("COURSE_RESULTS") == results:
                process.kill()


def _with_errors(results: Results, notebook: Notebook) -> Results:
    """Return the results, with the error of a check's cell where the check has said nothing."""
    errors = {
        cell.metadata.check: f"{output.ename}: {output.evalue}"
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "check" in cell.metadata and output.output_type == "error"
    }
    for test in results["tests"]:
        if test["output"] == NOT_RUN:
            test["output"] = errors.get(test["name"], NOT_RUN)
    return results


def _short(error: Exception) -> str:
    """Return the kind of an error and its first line."""
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:120]}"
