"""The house and its rooms: every module of a package on one picture, drawn from its own imports.

A module stands above everything that it imports, so that dependencies point downwards; those of a
lesson are marked. Nothing is drawn by hand, so that the picture cannot lie.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType

import server

from .picture import Canvas, Picture, boxed

__all__ = ["House"]

WIDTH = 720
EDGE = 16  # from the border to the rooms
CHAR = 6.7  # width of a character of a room's name
GAP = 8
HEIGHT = 24
COLUMNS = 76  # of the text twin

Imports = Mapping[str, frozenset[str]]


class House:
    """The modules of a package, and who imports whom; the `marked` ones are told apart."""

    def __init__(self, marked: Mapping[str, str], package: ModuleType = server) -> None:
        """Read the sources of a package that is imported.

        `marked` says what stands beside a module's name, such as ``{"echo": "02"}``.
        """
        self.name = package.__name__
        self.marked = dict(marked)
        self._root = Path(str(package.__file__)).parent
        self._files = {_dotted(path.relative_to(self._root)): path for path in sorted(self._root.rglob("*.py"))}

    @cached_property
    def imports(self) -> Imports:
        """For each module the modules of the same package that it imports; packages stand for their `__init__`."""
        trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in self._files.items()}
        return {name: frozenset(self._imported(name, tree)) - {name} for name, tree in trees.items()}

    @cached_property
    def foreign(self) -> frozenset[str]:
        """The other packages that it imports, the standard library among them."""
        found: set[str] = set()
        for path in self._files.values():
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    found |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                    found.add(node.module.partition(".")[0])
        return frozenset(found - {self.name})

    @cached_property
    def floors(self) -> list[list[str]]:
        """The modules by floor, the ground floor last: each module stands above all that it imports.

        Raises:
            ValueError: modules import each other in a circle; the message names one of them.
        """
        heights: dict[str, int] = {}

        def height(name: str, above: tuple[str, ...] = ()) -> int:
            if name in above:
                raise ValueError(f"{name!r} imports itself by way of {' and '.join(above[above.index(name) + 1 :])}")
            if name not in heights:
                below = [height(one, (*above, name)) for one in sorted(self.imports[name])]
                heights[name] = max(below, default=-1) + 1
            return heights[name]

        for name in self.imports:
            height(name)
        top = max(heights.values())
        return [sorted(name for name in heights if heights[name] == floor) for floor in range(top, -1, -1)]

    def above(self, name: str) -> int:
        """How many modules stand on this one, directly or not."""
        standing: set[str] = {name}
        for floor in reversed(self.floors):
            standing |= {one for one in floor if self.imports[one] & standing}
        return len(standing) - 1

    def picture(self, title: str = "") -> Picture:
        """All floors, one below the other; the marked modules stand out."""
        title = title or f"{self.name}/: each module stands above all that it imports"
        canvas = Canvas()
        canvas.text(WIDTH / 2, 30, ("ink strong", title), anchor="middle")
        y, text = 48.0, []
        for floor in self.floors:
            y = self._floor(canvas, floor, y)
            text += self._twin(floor)
        told = "; ".join(", ".join(map(self._label, floor)) for floor in self.floors)
        return Picture(canvas.svg(WIDTH, y + 6, title, f"From the top: {told}"), boxed(title, text[:-1]), title)

    # how it is drawn

    def _floor(self, canvas: Canvas, floor: list[str], y: float) -> float:
        x = float(EDGE)
        for name in floor:
            label = self._label(name)
            width = CHAR * len(label) + 14
            if x + width > WIDTH - EDGE:
                x, y = float(EDGE), y + HEIGHT + GAP / 2
            ink = "server" if name in self.marked else "line"
            canvas.box(x, y, width, HEIGHT, f"fill l-{ink}")
            kind = "server strong" if name in self.marked else "ink"
            canvas.text(x + width / 2, y + 16, (f"small {kind}", label), anchor="middle")
            x += width + GAP
        y += HEIGHT + GAP
        canvas.line(EDGE, y, WIDTH - EDGE, y)
        return y + GAP

    def _twin(self, floor: list[str]) -> list[str]:
        lines = [""]
        for name in floor:
            label = f"[{self._label(name)}]" if name in self.marked else self._label(name)
            if lines[-1] and len(lines[-1]) + len(label) + 2 > COLUMNS:
                lines.append("")
            lines[-1] += f"  {label}" if lines[-1] else label
        return [*lines, "─" * COLUMNS]

    def _label(self, name: str) -> str:
        return f"{name} · {self.marked[name]}" if name in self.marked else name or self.name

    # how it is read

    def _imported(self, name: str, tree: ast.Module) -> set[str]:
        found: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (where := self._source(name, node)) is not None:
                for alias in node.names:
                    inner = ".".join(part for part in (where, alias.name) if part)
                    found.add(inner if inner in self._files else where)
        return found & self._files.keys()

    def _source(self, name: str, node: ast.ImportFrom) -> str | None:
        """The module inside of the package that a ``from … import`` names; None for a foreign one."""
        if not node.level:
            root, _, rest = (node.module or "").partition(".")
            return rest if root == self.name else None
        folder = list(self._files[name].relative_to(self._root).parts[:-1])
        parts = folder[: len(folder) - node.level + 1] + (node.module.split(".") if node.module else [])
        return ".".join(parts)


def _dotted(path: Path) -> str:
    """The name of a module inside of its package; empty for the package itself."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
