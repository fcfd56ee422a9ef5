"""A copy for students has the exercises and no solution, and can be run from its first cell to its last."""

from __future__ import annotations

import ast
import builtins
from pathlib import Path
from typing import Any

import nbformat
import pytest
from lab.checks import EXERCISES

from grading.assignment import LESSONS, Hints, assignment_of, main, tags

per_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


def copy_of(path: Path, hints: Hints = Hints.ALL) -> Any:
    """What students get."""
    return assignment_of(nbformat.read(path, as_version=4), hints)


@per_lesson
def test_a_copy_has_stubs_and_checks_and_no_solution(path: Path) -> None:
    """Nothing of a solution is left, in no cell and in no output; the rest of the lesson is as it was."""
    lesson, copy = nbformat.read(path, as_version=4), copy_of(path)
    assert "solved_" not in nbformat.writes(copy)
    assert [len([cell for cell in copy.cells if kind in tags(cell)]) for kind in ("exercise", "check")] == [3, 3]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in copy.cells)
    kept = [cell for cell in lesson.cells if "solution" not in tags(cell)]
    changed = [one.id for one, other in zip(kept, copy.cells, strict=True) if one.source != other.source]
    assert len(changed) <= 4, "three checks, and one cell of lesson 01 that uses a solution"
    nbformat.validate(copy)


@per_lesson
def test_names_that_a_copy_uses_are_defined_in_it(path: Path) -> None:
    """No later cell misses what only the solution had defined."""
    defined: set[str] = set()
    used: set[str] = set()
    for source in (cell.source for cell in copy_of(path).cells if cell.cell_type == "code"):
        nodes = list(ast.walk(compile(source, path.name, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)))
        defined |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        defined |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        defined |= {node.name for node in nodes if isinstance(node, functions)}
        defined |= {node.name for node in nodes if isinstance(node, ast.ExceptHandler) and node.name}
        imports = [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
        defined |= {(one.asname or one.name).split(".")[0] for node in imports for one in node.names}
        used |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    assert used - defined - set(dir(builtins)) - {"display"} == set()


@per_lesson
def test_hints_are_the_teachers_choice(path: Path) -> None:
    """All of them, only the first of each exercise, or none."""
    found = {}
    for hints in Hints:
        text = nbformat.writes(copy_of(path, hints))
        found[hints] = (text.count("<summary>Hint</summary>"), text.count("tronger hint</summary>"))
    assert found == {Hints.ALL: (3, 3), Hints.FIRST: (3, 0), Hints.NONE: (0, 0)}


@per_lesson
def test_nbgrader_finds_its_metadata_at_each_check(path: Path) -> None:
    """The names are unique, and the last line of the cell is a number of points."""
    graded = {cell.metadata.nbgrader.grade_id: cell for cell in copy_of(path).cells if "nbgrader" in cell.metadata}
    assert list(graded) == list(EXERCISES[path.stem])
    for name, cell in graded.items():
        assert cell.source.splitlines()[-1].startswith(f"{name}(")
        assert cell.source.endswith(").points()")
        assert cell.metadata.nbgrader.points == 1


def test_the_command_writes_the_lessons_that_are_asked_for(tmp_path: Path) -> None:
    """All, or those with these numbers."""
    main([str(tmp_path / "two"), "--lessons", "01", "03", "--hints", "none"])
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["01-handshake.ipynb", "03-manager.ipynb"]
    assert "<summary>Hint" not in (tmp_path / "two" / "01-handshake.ipynb").read_text(encoding="utf-8")
    main([str(tmp_path / "all")])
    assert len(list((tmp_path / "all").iterdir())) == len(LESSONS)
