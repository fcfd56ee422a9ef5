"""What a deck takes from the teacher's guide: the minutes, and what to ask, expect and say."""

from __future__ import annotations

import re
from pathlib import Path

TEACHING = Path(__file__).resolve().parents[1] / "teaching"


class Guide:
    """The guide to one lesson."""

    def __init__(self, name: str) -> None:
        self.text = (TEACHING / f"{name}.md").read_text(encoding="utf-8")
        self._asked: dict[str, int] = {}

    def minutes(self, part: str) -> str:
        """Return the minutes of a section or an exercise, by the first words of its row."""
        return next((row[-1] for row in self.rows("part") if row[0].lower().startswith(part.lower())), "")

    def prediction(self, section: str) -> dict[str, str]:
        """Return the next row for a section, whose number this is: what to ask, what it shows, what to say."""
        rows = [row for row in self.rows("section") if row[0] == section]
        place = self._asked.setdefault(section, 0)
        self._asked[section] += 1
        return dict(zip(["Ask", "It shows", "You will hear", "Say"], rows[place][1:], strict=True))

    def wrong_answers(self, exercise: str) -> list[list[str]]:
        """Return the wrong answers to expect in an exercise, whose number this is, each with what to say."""
        return [row[1:] for row in self.rows("exercise") if row[0] == exercise]

    def rows(self, first: str) -> list[list[str]]:
        """Return the rows of the table whose first column has this title."""
        found = re.search(rf"^\| {first} \|.*\n\|[-|]+\|\n((?:\|.*\n)*)", self.text, re.MULTILINE)
        assert found, f"the guide has no table of {first!r}"
        return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line[1:-1])] for line in found[1].splitlines()]

    def introduction(self) -> str:
        """Return what stands above the table of the 90-minute plan: what it leaves out, and who runs the cells."""
        found = re.search(r"^## 90 minutes with a class\n\n(.+?)\n\n", self.text, re.MULTILINE | re.DOTALL)
        assert found, "the guide has no plan of 90 minutes"
        return found[1]

    def drawing(self) -> str:
        """Return what to draw on the board."""
        found = re.search(r"^(\*\*Draw\*\* .+?)\n\n", self.text, re.MULTILINE | re.DOTALL)
        return found[1] if found else ""
