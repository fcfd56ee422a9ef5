"""Write what each check says into a file that a grading program reads, when a teacher asks for it.

The variable ``COURSE_RESULTS`` names a folder. Each lesson has a file there, such as ``01-handshake.json``, in the
format of Gradescope's ``results.json``, which Otter-Grader writes too:
``{"score": 1, "tests": [{"name": "check_shout", "score": 1, "max_score": 1, "status": "passed", …}]}``.
nbgrader reads no file. It reads the value of a cell, and `Verdict.points` is made for that.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TypedDict

from filelock import FileLock

from ..observe.expect import one_line
from . import EXERCISES
from .progress import LOCK_SECONDS, is_solution, lesson_of, say_once

__all__ = ["NOT_RUN", "Result", "Results", "read_results", "record_result"]

NOT_RUN = "not run"


class Result(TypedDict):
    """What one check has said, with Gradescope's names."""

    name: str
    score: int
    max_score: int
    status: str
    visibility: str
    output: str


class Results(TypedDict):
    """What the checks of one lesson have said."""

    score: int
    tests: list[Result]


def record_result(module: str, check: str, passed: bool, sentence: str, *answers: object) -> None:
    """Record what a check has said, unless no folder is named or the answer is the lesson's own solution.

    A check that has passed once stays passed. If the file can't be written, print why, once for each reason.
    """
    folder = os.environ.get("COURSE_RESULTS")
    lesson = lesson_of(module, check)
    if not folder or lesson is None or any(map(is_solution, answers)):
        return
    file = Path(folder) / f"{lesson}.json"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock", timeout=LOCK_SECONDS):
            results = read_results(file, lesson)
            _update(results, check, passed, sentence)
            _write(file, results)
    except OSError as error:
        say_once(f"(the result was not recorded: {one_line(error)}; name a folder to write to in COURSE_RESULTS)")


def read_results(file: Path, lesson: str) -> Results:
    """Return what the file says about each exercise of the lesson; "not run" if it says nothing or can't be read."""
    try:
        said = json.loads(file.read_bytes())["tests"]
        known = {one["name"]: _result(str(one["name"]), one["score"] > 0, str(one["output"])) for one in said}
    except (OSError, ValueError, KeyError, TypeError):
        known = {}
    tests = [known.get(check) or _result(check, False, NOT_RUN) for check in EXERCISES[lesson]]
    return Results(score=sum(test["score"] for test in tests), tests=tests)


def _update(results: Results, check: str, passed: bool, sentence: str) -> None:
    for index, test in enumerate(results["tests"]):
        if test["name"] == check and not test["score"]:
            results["tests"][index] = _result(check, passed, sentence)
    results["score"] = sum(test["score"] for test in results["tests"])


def _result(check: str, passed: bool, sentence: str) -> Result:
    return Result(
        name=check,
        score=int(passed),
        max_score=1,
        status="passed" if passed else "failed",
        visibility="visible",
        output=sentence,
    )


def _write(file: Path, results: Any) -> None:
    new = file.with_name(f"{file.name}.new")
    new.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    new.replace(file)  # a program that reads it sees the old or the new, and never a half
