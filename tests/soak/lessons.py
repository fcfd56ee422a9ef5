"""One strict run of the lessons: every cell again, in a fresh kernel, and its output compared with what is stored."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["LessonError", "lessons"]

ROOT = Path(__file__).parents[2]
DEADLINE = 900  # seconds for all of them
SHOWN = 2_000  # characters of what pytest says, from its end


class LessonError(AssertionError):
    """A cell failed, or showed something else than what is stored."""


def lessons(notebooks: Path = ROOT / "notebooks") -> None:
    """Run the notebooks of a folder, or one notebook, as ``make test`` does.

    Raises:
        LessonError: one of them failed; the message is the end of what pytest said.
    """
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-n0", "-p", "no:cacheprovider", str(notebooks)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False)
    if done.returncode:
        raise LessonError((done.stdout + done.stderr)[-SHOWN:])
