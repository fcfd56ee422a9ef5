"""Make a class that has handed in lesson 01 with known mistakes, and compare: ``python -m tests.grading.thirty``.

Thirty students: right answers in several styles, typical wrong ones, and copies that are broken, endless or gone.
It writes the copies into a temporary folder, grades them, prints the table, and fails on a grade that is not expected.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import v4

from grading.assignment import LESSONS, assignment_of, tags
from grading.copies import find_copies
from grading.grade import grade_all
from grading.table import Table

__all__ = ["CANNOT_BE_STOPPED", "CLASS", "Student", "write_copy"]

STUB = ""
KEY = [
    """def accept_value(key):
    digest = hashlib.sha1((key + guid).encode()).digest()
    return base64.b64encode(digest).decode()""",
    "accept_value = lambda key: base64.b64encode(hashlib.sha1(f'{key}{guid}'.encode('ascii')).digest()).decode()",
]
NO_KEY = [
    "def accept_value(key):\n    return hashlib.sha1((key + guid).encode()).hexdigest()",
    "def accept_value(key):\n    return base64.b64encode(hashlib.sha1((key + guid).encode()).digest())",
    "def accept_value(key):\n    print(base64.b64encode(hashlib.sha1((key + guid).encode()).digest()).decode())",
    "def accept_value(key):\n    return 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='",
    "def accept_value(key):\n    while True:\n        pass",
    "def accept_value(key:\n    return",
]
HEADER = [
    "def frame_header(data):\n    return (bool(data[0] & 128), data[0] & 15, bool(data[1] & 128), data[1] & 127)",
    """def frame_header(data):
    first, second = data[:2]
    return [first >> 7 == 1, first % 16, second > 127, second % 128]""",
]
NO_HEADER = [
    "def frame_header(data):\n    return (True, data[0] & 15, bool(data[1] & 128), data[1])",
    "def frame_header(data):\n    return data[0] >> 7, data[0] & 15",
    "def frame_header(data):\n    return undefined_name",
    "async def frame_header(data):\n    return (True, 1, False, 5)",
]
DOOR = "party = FastAPI()\n\n@party.websocket('/ws')\nasync def enter(websocket: WebSocket):\n"
REFUSAL = [
    DOOR + "    if websocket.query_params.get('token') != 'sesame':\n        raise HTTPException(401, 'who?')\n"
    "    await websocket.accept()\n    await websocket.send_text('welcome')",
]
NO_REFUSAL = [
    DOOR + "    await websocket.close(4001)",
    DOOR + "    await websocket.accept()\n    if websocket.query_params.get('token') != 'sesame':\n"
    "        await websocket.close(4001)\n    else:\n        await websocket.send_text('welcome')",
    "party = None",
]

CANNOT_BE_STOPPED = """
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
"""

Change = Callable[[Any, Path], None]


@dataclass(frozen=True)
class Student:
    """The answers of one student, what else became of the copy, and the expected grades."""

    name: str
    answers: tuple[str, str, str]
    expected: str
    """A 1 or 0 for each exercise."""
    change: Change | None = None
    note: str = ""
    """What the table must say about the whole copy."""


def _no_checks(notebook: Any, _: Path) -> None:
    notebook.cells = [cell for cell in notebook.cells if "check" not in tags(cell)]


def _own_verdicts(notebook: Any, _: Path) -> None:
    for cell in notebook.cells:
        if "check" in tags(cell):
            cell.source += "\n1.0"
            cell.source = cell.source.replace("check_", "(lambda answer: 'passed: all')  # check_")


def _ends_kernel(notebook: Any, _: Path) -> None:
    notebook.cells.insert(_index(notebook, 1), v4.new_code_cell("import os\n\nos._exit(0)"))


def _never_ends(notebook: Any, _: Path) -> None:
    notebook.cells.insert(_index(notebook, 1), v4.new_code_cell("while True:\n    pass"))


def _cannot_be_stopped(notebook: Any, _: Path) -> None:
    notebook.cells.insert(_index(notebook, 1), v4.new_code_cell(CANNOT_BE_STOPPED))


def _prints_for_ever(notebook: Any, _: Path) -> None:
    notebook.cells.insert(_index(notebook, 1), v4.new_code_cell("while True:\n    print('again')"))


def _leaves_a_process(notebook: Any, _: Path) -> None:
    code = "import subprocess\n\nsubprocess.Popen(['sleep', '600'], start_new_session=True)"
    notebook.cells.insert(_index(notebook, 0), v4.new_code_cell(code))


def _half(notebook: Any, _: Path) -> None:
    notebook.cells = notebook.cells[: _index(notebook, 0) + 1]


def _no_cells(notebook: Any, _: Path) -> None:
    notebook.cells = []


def _odd_metadata(notebook: Any, _: Path) -> None:
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({"tags": "check"} if "check" in tags(cell) else {})


def _cut_off(notebook: Any, path: Path) -> None:
    path.write_text(nbformat.writes(notebook)[:2_000], encoding="utf-8")


def _other_json(_: Any, path: Path) -> None:
    path.write_text(json.dumps([1, 2, 3]), encoding="utf-8")


def _empty_file(_: Any, path: Path) -> None:
    path.write_bytes(b"")


def _index(notebook: Any, exercise: int) -> int:
    """The place of the answer cell of an exercise."""
    return [index for index, cell in enumerate(notebook.cells) if "exercise" in tags(cell)][exercise]


ALL = (KEY[0], HEADER[0], REFUSAL[0])
CLASS = [
    Student("ada", ALL, "111"),
    Student("ben", (KEY[1], HEADER[1], REFUSAL[0]), "111"),
    Student("cem", (STUB, STUB, STUB), "000"),
    *(Student(f"key {n}", (wrong, HEADER[0], REFUSAL[0]), "011") for n, wrong in enumerate(NO_KEY)),
    *(Student(f"header {n}", (KEY[0], wrong, REFUSAL[0]), "101") for n, wrong in enumerate(NO_HEADER)),
    *(Student(f"refusal {n}", (KEY[0], HEADER[0], wrong), "110") for n, wrong in enumerate(NO_REFUSAL)),
    Student("no checks", ALL, "111", _no_checks),
    Student("own verdicts", (STUB, HEADER[0], STUB), "010", _own_verdicts),
    Student("ends kernel", ALL, "100", _ends_kernel, "its kernel ended"),
    Student("never ends", ALL, "111", _never_ends),
    Student("cannot be stopped", ALL, "100", _cannot_be_stopped, "it did not end within"),
    Student("prints for ever", ALL, "111", _prints_for_ever),
    Student("leaves a process", ALL, "111", _leaves_a_process),
    Student("half", (KEY[0], STUB, STUB), "100", _half),
    Student("no cells", ALL, "000", _no_cells),
    Student("odd metadata", ALL, "111", _odd_metadata),
    Student("cut off", ALL, "000", _cut_off, "it can't be read"),
    Student("other json", ALL, "000", _other_json, "it can't be read"),
    Student("empty file", ALL, "000", _empty_file, "it can't be read"),
    Student("exits", ("import sys\n\nsys.exit()", HEADER[0], REFUSAL[0]), "011"),
]


def write_copy(student: Student, folder: Path, sections: int | None = None) -> None:
    """Write what a student hands in: the whole lesson, or its first cells up to this exercise."""
    notebook = assignment_of(nbformat.read(LESSONS[0], as_version=4))
    cells = [cell for cell in notebook.cells if "exercise" in tags(cell)]
    for cell, answer in zip(cells, student.answers, strict=True):
        cell.source = answer or cell.source
    if sections is not None:
        notebook.cells = notebook.cells[: _index(notebook, sections) + 2]
    path = folder / student.name / LESSONS[0].name
    path.parent.mkdir()
    if student.change is not None:
        student.change(notebook, path)
    if not path.exists():
        nbformat.write(notebook, path)


def main() -> int:
    """Write, grade and compare thirty copies; 1 when a grade is not the expected one."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for student in CLASS:
            write_copy(student, folder)
        start = time.monotonic()
        graded = asyncio.run(grade_all(find_copies(folder), jobs=2, copy_seconds=60))
        print(Table(graded, ["nobody"]).text())
        print(f"{len(CLASS)} copies, {time.monotonic() - start:.0f} s")
    wrong = 0
    for student, one in zip(sorted(CLASS, key=lambda one: one.name), graded, strict=True):
        got = "".join(str(test["score"]) for test in one.results["tests"])
        if got != student.expected or student.note not in one.note:
            wrong += 1
            print(f"{student.name}: {got} {one.note!r}, expected {student.expected} {student.note!r}")
    return min(wrong, 1)


if __name__ == "__main__":
    raise SystemExit(main())
