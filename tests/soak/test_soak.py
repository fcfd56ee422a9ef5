"""``make soak``: what the command counts, and that a run that fails is neither passed over nor the end."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from tests.server.counting import DeliveryError
from tests.soak import __main__ as soak
from tests.soak.lessons import LessonError, lessons


def test_every_run_is_counted_and_a_failure_ends_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table has a line for each kind, with what all of its runs have lost; the exit status tells of it."""

    def unlucky(seed: int) -> None:
        if seed == 8:
            raise DeliveryError("ana's phone", lost=2, doubled=1)
        if seed == 9:
            raise TimeoutError

    monkeypatch.setattr(soak, "KINDS", {"kill": unlucky, "cut": lambda seed: None})
    assert soak.main(["--times", "3", "--seed", "7"]) == 1
    kill, cut = capsys.readouterr().out.splitlines()[-2:]
    assert kill.split()[:5] == ["kill", "3", "2", "2", "1"]
    assert cut.split()[:5] == ["cut", "3", "0", "0", "0"]
    assert soak.main(["cut", "--times", "2"]) == 0
    assert [line.split()[:3] for line in capsys.readouterr().out.splitlines()[-2:]] == [
        ["name", "runs", "failures"],
        ["cut", "2", "0"],
    ]


def test_a_name_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """With those that there are."""
    with pytest.raises(SystemExit):
        soak.main(["kil"])
    assert "there is no kil; there are kill, cut, restart, engine, lessons" in capsys.readouterr().err


def test_a_lesson_that_shows_something_else_fails(tmp_path: Path) -> None:
    """What is stored is compared with what comes."""
    cell = nbformat.v4.new_code_cell(
        "print(6 * 7)", execution_count=1, outputs=[nbformat.v4.new_output("stream", text="41\n")]
    )
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel}), tmp_path / "x.ipynb")
    with pytest.raises(LessonError, match="42"):
        lessons(tmp_path / "x.ipynb")
