"""Copies with known mistakes get the grades that they deserve, and none of them stops the next one."""

from __future__ import annotations

import asyncio
import csv
import os
from pathlib import Path

import nbformat
import psutil
import pytest
from lab.checks import EXERCISES
from lab.checks.results import read_results
from nbformat import v4

from grading.copies import Copy, find_copies, read_names
from grading.execution import Graded
from grading.grade import grade_all, main
from grading.table import Table
from tests.grading.thirty import CANNOT_BE_STOPPED, CLASS, write_copy

LESSON = "01-handshake"


def test_three_of_the_thirty_copies(tmp_path: Path) -> None:
    """All thirty: ``python -m tests.grading.thirty``. These are a right one, a wrong one, and a broken file.

    Each is the lesson up to its first exercise, because the rest takes longer and shows nothing new.
    """
    for student in CLASS:
        if student.name in ("ada", "key 1"):
            write_copy(student, tmp_path, 0)
    (tmp_path / "broken_01-handshake.ipynb").write_text("{", encoding="utf-8")
    graded = asyncio.run(grade_all(find_copies(tmp_path), jobs=2))
    ada, broken, wrong = ((one.copy.name, one.results["tests"][0], one.note) for one in graded)
    assert (ada[1]["score"], broken[1]["score"], wrong[1]["score"]) == (1, 0, 0)
    assert "add `.decode()`" in wrong[1]["output"]
    assert (ada[2], broken[2][:16], wrong[2]) == ("", "it can't be read", "")


def test_a_copy_that_never_ends_gets_a_note(tmp_path: Path) -> None:
    """Its loop takes every interrupt, so that only the deadline of the whole copy helps; its kernel is gone then."""
    path = tmp_path / "eve_01-handshake.ipynb"
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(CANNOT_BE_STOPPED)]), path)
    (graded,) = asyncio.run(grade_all(find_copies(tmp_path), cell_seconds=1, copy_seconds=3))
    assert graded.note == "it did not end within 3 s"
    assert [test["output"] for test in graded.results["tests"]] == ["not run"] * 3
    children = psutil.Process().children(recursive=True)
    _, alive = psutil.wait_procs([child for child in children if _is_kernel(child)], timeout=30)
    assert alive == []


def _is_kernel(process: psutil.Process) -> bool:
    try:
        return any("ipykernel" in part for part in process.cmdline())
    except psutil.Error:  # it is ending
        return False


def test_copies_are_found_in_both_layouts(tmp_path: Path) -> None:
    """A folder for each student, or the name in the file; of two versions the newer one counts."""
    for place in (
        "ana/01-handshake.ipynb",
        "ana/work/02-echo.ipynb",
        "ana/.ipynb_checkpoints/01-handshake-checkpoint.ipynb",
        "ben_01-handshake.ipynb",
        "01-handshake cem.ipynb",
        "notes.ipynb",
        "dan/01-handshake.ipynb",
        "dan/01-handshake (1).ipynb",
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("{}", encoding="utf-8")
    os.utime(tmp_path / "dan/01-handshake (1).ipynb", (1, 1))
    found = [(one.name, one.lesson, one.path.name) for one in find_copies(tmp_path)]
    assert found == [
        ("ana", "01-handshake", "01-handshake.ipynb"),
        ("ana", "02-echo", "02-echo.ipynb"),
        ("ben", "01-handshake", "ben_01-handshake.ipynb"),
        ("cem", "01-handshake", "01-handshake cem.ipynb"),
        ("dan", "01-handshake", "01-handshake.ipynb"),
    ]
    assert read_names(tmp_path) == []


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Ana has one exercise of three, a name that a spreadsheet would compute, and Nobody has nothing."""
    results = read_results(tmp_path / "none.json", LESSON)
    results["tests"][1] |= {"score": 1, "output": "well `done`"}
    results["score"] = 1
    copies = [Graded(Copy(name, LESSON, tmp_path), results, note) for name, note in (("Ana", ""), ("=1+1", "odd"))]
    return Table(copies, ["Nobody"])


def test_a_spreadsheet_reads_the_table(table: Table) -> None:
    """A column for each exercise, nothing where the lesson is missing, and no cell is a formula."""
    header, *rows = csv.reader(table.csv().splitlines())
    assert header == ["name", *(f"{LESSON} {check}" for check in EXERCISES[LESSON]), "score", "max score", "notes"]
    assert rows == [
        ["'=1+1", "0", "1", "0", "1", "3", f"{LESSON}: odd"],
        ["Ana", "0", "1", "0", "1", "3", ""],
        ["Nobody", "", "", "", "0", "3", f"{LESSON}: missing"],
    ]


def test_a_teacher_reads_the_table(table: Table) -> None:
    """A line for each student, and below it what each check has said."""
    assert table.text().splitlines()[1:] == [
        "=1+1   ·✓·  1 01-handshake: odd",
        "Ana    ·✓·  1",
        "Nobody ---  0 01-handshake: missing",
    ]
    assert "## Ana\n\n- · 01-handshake, Another key: `not run`\n- ✓ 01-handshake, Read a header: `well 'done'`" in (
        table.markdown()
    )


def test_a_folder_without_copies_is_an_error_with_a_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what it expected."""
    assert main([str(tmp_path)]) == 1
    assert "expected ana/01-handshake.ipynb" in capsys.readouterr().out
