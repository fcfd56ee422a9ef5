"""What is said of the lessons in the reader's browser; `make test-lite` runs them."""

from __future__ import annotations

from pathlib import Path

from docs.lite import ELSEWHERE, LESSONS

ROOT = Path(__file__).parents[2]
README = (ROOT / "docs" / "lite" / "README.md").read_text(encoding="utf-8")


def test_every_notebook_runs_there_or_has_a_reason() -> None:
    """A new notebook has to be tried."""
    folder = ROOT / "notebooks"
    paths = [*folder.glob("[0-9]*.ipynb"), *folder.glob("deeper/*.ipynb")]
    names = [path.relative_to(folder).with_suffix("").as_posix() for path in paths]
    assert sorted(names) == sorted((*LESSONS, *ELSEWHERE))


def test_the_readme_says_what_runs_and_what_stops_the_others() -> None:
    """It names each notebook, and gives the reason that also stands in its place."""
    for name in LESSONS:
        assert name.removeprefix("deeper/") in README
    for name, reason in ELSEWHERE.items():
        assert f"| {name.removeprefix('deeper/')} | {reason} |" in README
