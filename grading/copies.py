"""Find the notebooks that a class has handed in, and say whose they are and of which lesson.

Two layouts are understood, and may be mixed: a folder for each student, ``class/ana/01-handshake.ipynb``, and the
name in the file, ``class/ana_01-handshake.ipynb``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lab.checks import EXERCISES

__all__ = ["Copy", "find_copies", "read_names"]

STEM = re.compile("|".join(map(re.escape, EXERCISES)))
NAMES = "names.txt"


@dataclass(frozen=True)
class Copy:
    """One notebook that was handed in."""

    name: str
    lesson: str
    path: Path


def find_copies(folder: Path) -> list[Copy]:
    """Return the copies below this folder, sorted by name and lesson; the newest if a student has several of one."""
    newest: dict[tuple[str, str], Copy] = {}
    for path in sorted(folder.rglob("*.ipynb"), key=_age):
        lesson = STEM.search(path.stem)
        if lesson and ".ipynb_checkpoints" not in path.parts and path.is_file():
            copy = Copy(_name(path, folder, lesson[0]), lesson[0], path)
            newest[copy.name, copy.lesson] = copy
    return [newest[key] for key in sorted(newest)]


def read_names(folder: Path) -> list[str]:
    """Return the class list, one name a line in ``names.txt``; an empty list if there is none."""
    file = folder / NAMES
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return [line.strip() for line in lines if line.strip()]


def _name(path: Path, folder: Path, lesson: str) -> str:
    """Return the student's name: what the file's name says beside the lesson, or else the first folder."""
    before, _, after = path.stem.partition(lesson)
    own = before.strip(" _-.") or re.sub(r"^[ _-]*(copy|kopie)?[ _-]*\d*$|^ ?\(\d+\)$", "", after, flags=re.I).strip(
        " _-."
    )
    inner = path.relative_to(folder).parts[:-1]
    return inner[0] if inner else own or "(no name)"


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
