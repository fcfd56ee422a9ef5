"""The pocket reference: each row links to a cell that shows it, and the numbers are those of the packages."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest
from uvicorn import Config
from websockets.asyncio.client import connect
from websockets.frames import EXTERNAL_CLOSE_CODES, CloseCode, Opcode
from websockets.utils import GUID

from server.messages import CloseCode as CourseCode

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
TEXT = (NOTEBOOKS / "POCKET-REFERENCE.md").read_text(encoding="utf-8")
ROWS = [
    [field.strip() for field in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("|") and not re.match(r"\|[- |]+\|$", line) and not line.endswith("proof |")
]
CELL = re.compile(r"\((?P<file>[\w./-]+\.ipynb)#cell-id=(?P<cell>[\w-]+)\)")
LIMITS = {row[0]: row for row in ROWS if len(row) == 4 and re.match("uvicorn|websockets", row[0])}


def shown(link: re.Match[str]) -> str:
    """What the linked cell holds: its source and what it put out as text."""
    notebook: Any = nbformat.read(NOTEBOOKS / link["file"], as_version=4)
    found = [cell for cell in notebook.cells if cell.get("id") == link["cell"] and cell.cell_type == "code"]
    assert len(found) == 1, f"{link['file']} has no code cell {link['cell']!r}; link to the one that shows this now"
    outputs = [output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in found[0].outputs]
    return "\n".join([found[0].source, *outputs])


def rows_of(section: str) -> list[list[str]]:
    """The rows of the table below this heading."""
    part = TEXT.split(f"## {section}\n")[1].split("\n## ")[0]
    return [row for row in ROWS if f"| {' | '.join(row)} |" in part]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_links_to_what_proves_it(row: list[str]) -> None:
    """The last field is a link: to a cell that is there, or to a page of a standard or of a vendor."""
    assert re.search(r"\]\(https://", row[-1]) or CELL.search(row[-1]), "a row without a proof"
    if link := CELL.search(row[-1]):
        shown(link)


def test_the_linked_cells_show_the_codes() -> None:
    """The cell of a close code or of a refusal has that code in it, or in what it put out."""
    missing = []
    for row in rows_of("Close codes") + rows_of("How to refuse"):
        codes = re.findall(r"\b(?:1\d{3}|4001|40[13])\b", row[0] if row[0].isdigit() else row[1])
        if link := CELL.search(row[-1]):
            missing += [(row[0], code) for code in codes if code not in shown(link)]
    assert missing == []


def test_the_opcodes_are_those_of_the_protocol() -> None:
    """Each opcode is named, and no other."""
    names = {"continuation": "CONT"}
    told = {int(number): names.get(name, name.upper()) for number, name, *_ in rows_of("Opcodes")}
    assert told == {int(opcode): opcode.name for opcode in Opcode}


def test_nobody_sends_what_must_not_travel() -> None:
    """A code that websockets never puts into a frame is sent by nobody, and every other by somebody."""
    told = {int(row[0]): row[2] for row in rows_of("Close codes") if row[0].isdigit()}
    assert {code for code, who in told.items() if who == "nobody"} == set(told) - set(EXTERNAL_CLOSE_CODES)
    assert set(told) == set(CloseCode) - {1010, 1014, 1015}
    ours = dict(re.findall(r"(4\d{3}) ([\w ]+)", TEXT.split("The course's own: ")[1].splitlines()[0]))
    assert set(map(int, ours)) == {code for code in CourseCode if code >= 4000}


# read before the tests begin, because they wait longer than the defaults (`patience` in tests/conftest.py)
UVICORN = inspect.signature(Config.__init__).parameters
CLIENT = inspect.signature(connect.__init__).parameters


@pytest.mark.parametrize(
    ("row", "defaults", "values"),
    [
        ("uvicorn: a message", UVICORN, {"ws_max_size": 16 * 2**20}),
        (
            "uvicorn: a ping, and the wait for its pong",
            UVICORN,
            {"ws_ping_interval": 20, "ws_ping_timeout": 20},
        ),
        ("uvicorn: waits for handlers when it stops", UVICORN, {"timeout_graceful_shutdown": None}),
        ("websockets, client: a message", CLIENT, {"max_size": 2**20}),
        ("websockets, client: ping, pong", CLIENT, {"ping_interval": 20, "ping_timeout": 20}),
        ("websockets, client: opening, closing", CLIENT, {"open_timeout": 10, "close_timeout": 10}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_default_is_that_of_the_package(
    row: str, defaults: Mapping[str, inspect.Parameter], values: dict[str, int | None]
) -> None:
    """The number in the row is the one that the installed package has."""
    _, told, names, _ = LIMITS[row]
    assert re.findall(r"`(\w+)`", names) == list(values)
    assert {name: defaults[name].default for name in values} == values
    for value in values.values():
        text = "forever" if value is None else f"{value // 2**20} MiB" if value > 1000 else f"{value} s"
        assert text in told


def test_every_default_that_can_be_read_is_compared() -> None:
    """A new row about uvicorn or websockets needs a line above."""
    assert len(LIMITS) == 6


def test_the_text_that_the_key_is_joined_with() -> None:
    """The one of the standard."""
    assert GUID in TEXT
