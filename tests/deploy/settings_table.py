"""Writes the table of settings in server/README.md from the model: ``python tests/deploy/settings_table.py``."""

from __future__ import annotations

import json
import re
from pathlib import Path

from server.run.cli import Command
from server.settings import Settings

__all__ = ["GUIDE", "table", "with_table"]

GUIDE = Path(__file__).parents[2] / "server" / "README.md"
BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"


def table() -> str:
    """A row for each flag: those of the process first, then those of the app."""
    own = [name for name in Command.model_fields if name not in Settings.model_fields]
    names = [*own, *(name for name in Settings.model_fields)]
    return "\n".join(["| flag | default | |", "|---|---|---|", *map(_row, names)])


def with_table(text: str) -> str:
    """The guide with the table as it should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _row(name: str) -> str:
    field = Command.model_fields[name]
    meaning = re.sub(r"``(.+?)``", r"`\1`", " ".join((field.description or "").split()))
    return f"| `--{name.replace('_', '-')}` | {_shown(field.default)} | {meaning} |"


def _shown(value: object) -> str:
    if value is None or value == ():
        return "none"
    return f"`{json.dumps(value) if isinstance(value, bool | tuple) else value}`"


if __name__ == "__main__":
    GUIDE.write_text(with_table(GUIDE.read_text()))
