"""The arrows of the house: packages depend downwards, in no circle, and a lesson loads no more than it needs."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
MOST_FILES = 12  # of Python in a folder, its __init__ not counted

ORDER = (
    {"__main__"},
    {"app"},
    {"testing"},
    {"run", "client"},
    {"access"},
    {"settings"},
    {"handshake", "echo", "manager", "room", "broadcasting", "notifications", "inbox"},
    {"broker"},
    {"wire"},
    {"messages"},
    {"errors"},
)
"""What stands at the top of server/, from the top down: an import goes to a lower row, or stays in its own."""


@pytest.fixture(scope="module")
def server() -> grimp.ImportGraph:
    """Every import of the package, those under TYPE_CHECKING included."""
    return grimp.build_graph("server", cache_dir=None)


def part_of(module: str) -> str:
    """Return what stands at the top of server/ and holds this module."""
    return module.split(".")[1] if "." in module else ""


def arrows(graph: grimp.ImportGraph) -> dict[tuple[str, str], list[str]]:
    """Return which part imports which other, and where."""
    found = defaultdict(list)
    for module in sorted(graph.modules):
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            parts = part_of(module), part_of(imported)
            if "" not in parts and parts[0] != parts[1]:
                found[parts].append(f"{module} imports {imported}")
    return found


def test_every_part_has_its_row(server: grimp.ImportGraph) -> None:
    """A new file at the top of server/ gets a place in the order, or belongs into a folder."""
    assert {part_of(module) for module in server.modules} - {""} == set().union(*ORDER)


def test_imports_go_downwards(server: grimp.ImportGraph) -> None:
    """Nothing imports what stands above it."""
    row = {part: number for number, parts in enumerate(ORDER) for part in parts}
    upwards = [where for (above, below), where in arrows(server).items() if row[above] > row[below]]
    assert not upwards


def test_parts_form_no_circle(server: grimp.ImportGraph) -> None:
    """Also where they stand in one row."""
    below = defaultdict(set)
    for above, part in arrows(server):
        below[above].add(part)
    try:
        TopologicalSorter(below).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {error.args[1]}")


@pytest.mark.parametrize("package", ["server", "lab"])
def test_modules_form_no_circle(package: str) -> None:
    """Within a folder as well."""
    graph = grimp.build_graph(package, cache_dir=None)
    below = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    inits = {module for module in graph.modules if graph.find_children(module)}
    try:
        TopologicalSorter({module: parts - inits for module, parts in below.items() if module not in inits}).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {error.args[1]}")


def test_the_server_does_not_know_the_course() -> None:
    """It is taken home without the notebooks."""
    graph = grimp.build_graph("server", include_external_packages=True, cache_dir=None)
    assert "lab" not in graph.modules


def test_no_folder_is_a_crowd() -> None:
    """A newcomer finds the file in one look."""
    folders = [ROOT / "server", *(ROOT / "notebooks" / "lab").rglob("*/"), *(ROOT / "server").rglob("*/")]
    counts = {folder: len([one for one in folder.glob("*.py") if one.stem != "__init__"]) for folder in folders}
    assert {str(folder): count for folder, count in counts.items() if count > MOST_FILES} == {}


def test_lesson_01_loads_little() -> None:
    """No database, no broker, no app: what refuses a client stands on the messages alone."""
    script = "import sys, server.handshake; print(*sorted(name for name in sys.modules if name.startswith('server.')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=True)
    assert {part_of(module) for module in done.stdout.split()} <= {"errors", "run", "handshake", "messages", "access"}


def test_a_server_without_a_class_does_not_load_the_classroom() -> None:
    """The teacher's part is imported only where it is asked for."""
    script = "import sys, server.__main__; print(*(name for name in sys.modules if 'classroom' in name))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.split() == []
