"""A grading program reads what the checks said: only when it is asked for, of answers only, and through any trouble."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from lab.checks.echo import check_shout
from lab.checks.handshake import check_accept_value, check_frame_header, check_long_frame_header
from lab.checks.results import read_results

from .test_progress import accept_value

LESSON = "01-handshake"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of this test's own, that is not there yet."""
    monkeypatch.setenv("COURSE_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(sys.modules["lab.checks.progress"], "_told", set())
    return tmp_path / "results"


def _first_byte(data: bytes) -> Any:
    return data[0]


def stored(folder: Path) -> Any:
    """What a grading program reads."""
    return json.loads((folder / f"{LESSON}.json").read_bytes())


def test_the_file_has_the_format_of_gradescope_and_otter(folder: Path) -> None:
    """Each exercise of the lesson is in it, with the names of Gradescope's results.json."""
    check_frame_header(_first_byte)
    check_accept_value(accept_value)
    assert stored(folder) == {
        "score": 1,
        "tests": [
            {
                "name": "check_accept_value",
                "score": 1,
                "max_score": 1,
                "status": "passed",
                "visibility": "visible",
                "output": "a server would send the same values",
            },
            {
                "name": "check_frame_header",
                "score": 0,
                "max_score": 1,
                "status": "failed",
                "visibility": "visible",
                "output": "got 129, expected a tuple of four: (fin, opcode, masked, length)",
            },
            {
                "name": "check_refusal",
                "score": 0,
                "max_score": 1,
                "status": "failed",
                "visibility": "visible",
                "output": "not run",
            },
        ],
    }


def test_what_has_passed_stays_passed(folder: Path) -> None:
    """A check that failed can pass later, and a later failure takes nothing back."""
    for answer, score in ((str, 0), (accept_value, 1), (str, 1)):
        check_accept_value(answer)
        assert stored(folder)["score"] == score


def test_only_answers_to_exercises_are_recorded(folder: Path) -> None:
    """No solution of the lesson, and no check that is not an exercise."""

    def solved_accept_value(key: str) -> str:
        return accept_value(key)

    check_accept_value(solved_accept_value)
    check_long_frame_header(lambda data: (True, 1, False, 5))
    assert not folder.exists()


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A student who works for herself gets no file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COURSE_RESULTS", raising=False)
    check_accept_value(accept_value)
    monkeypatch.setenv("COURSE_RESULTS", "")
    check_accept_value(accept_value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", '{"tests": [', '{"tests": 7}', '{"score": 9, "tests": []}', "[]", "\udcff"])
def test_a_file_that_cannot_be_read_counts_as_not_run(folder: Path, content: str) -> None:
    """It has no results, and the next verdict begins a new one."""
    folder.mkdir()
    file = folder / f"{LESSON}.json"
    file.write_bytes(content.encode(errors="surrogateescape"))
    assert [test["output"] for test in read_results(file, LESSON)["tests"]] == ["not run"] * 3
    check_accept_value(accept_value)
    assert stored(folder)["score"] == 1


def test_a_folder_that_cannot_be_written_stops_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The verdict is there, and one sentence says once that it was not recorded."""
    folder.write_text("a file where a folder is wanted")
    assert check_accept_value(accept_value)
    assert check_accept_value(accept_value)
    assert capsys.readouterr().out.count("the result was not recorded") == 1


def test_points_are_what_nbgrader_takes_for_a_score(capsys: pytest.CaptureFixture[str]) -> None:
    """The value of the cell is a number, and the sentence is printed."""
    assert check_accept_value(accept_value).points() == 1.0
    assert check_shout(None).points() == 0.0
    assert capsys.readouterr().out.splitlines()[0] == "passed: a server would send the same values"
