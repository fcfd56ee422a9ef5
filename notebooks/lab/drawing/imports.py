"""Draw the modules of a package in layers, as its own imports say.

A module stands above everything that it imports, so dependencies point downwards. The modules of the
lessons are marked. Nothing is drawn by hand, so the picture is always true.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType

import server

from .picture import Canvas, Picture, boxed

__all__ = ["ImportGraph"]

WIDTH = 720
EDGE = 16  # from the border to the modules
CHAR = 6.7  # width of a character of a module's name
GAP = 8
HEIGHT = 24
COLUMNS = 76  # of the text twin

Imports = Mapping[str, frozenset[str]]


class ImportGraph:
    """The modules of a package and their imports: ``ImportGraph({"echo": "02"}).picture()``.

    `layers` are its modules, the highest first; `external` are the other packages that it imports.
    """

    def __init__(self, marked: Mapping[str, str], package: ModuleType = server) -> None:
        """Read the sources of an imported package, by default `server`.

        `marked` maps a module's name to what is written beside it; these modules stand out in the picture.
        """
        self.name = package.__name__
        self.marked = dict(marked)
        self._root = Path(str(package.__file__)).parent
        self._files = {_dotted(path.relative_to(self._root)): path for path in sorted(self._root.rglob("*.py"))}

    @cached_property
    def imports(self) -> Imports:
        """For each module, the modules of the same package that it imports; a package stands for its `__init__`."""
        trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in self._files.items()}
        return {name: frozenset(self._imported(name, tree)) - {name} for name, tree in trees.items()}

    @cached_property
    def external(self) -> frozenset[str]:
        """The other packages that it imports, including those of the standard library."""
        found: set[str] = set()
        for path in self._files.values():
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    found |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                    found.add(node.module.partition(".")[0])
        return frozenset(found - {self.name})

    @cached_property
    def layers(self) -> list[list[str]]:
        """The modules by layer, the lowest layer last: each module stands above all that it imports.

        Raises:
            ValueError: modules import each other in a circle; the message names it.
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
        return [sorted(name for name in heights if heights[name] == layer) for layer in range(top, -1, -1)]

    def count_dependents(self, name: str) -> int:
        """Return how many modules import this one, directly or indirectly."""
        standing: set[str] = {name}
        for layer in reversed(self.layers):
            standing |= {one for one in layer if self.imports[one] & standing}
        return len(standing) - 1

    @cached_property
    def marked_layers(self) -> list[list[str]]:
        """The marked modules by layer, and below them the folders and modules that they stand on."""
        found: set[str] = set()
        waiting = list(self.marked)
        while waiting:
            for name in self.imports[waiting.pop()] - found:
                found.add(name)
                waiting.append(name)
        below = {name.partition(".")[0] for name in found if name} - self.marked.keys()
        above = [[name for name in layer if name in self.marked] for layer in self.layers]
        return [*filter(None, above), sorted(below)]

    def picture(self, title: str = "", *, marked_only: bool = False) -> Picture:
        """Draw the layers, one below the other; the marked modules stand out.

        If `marked_only` is true, draw only those, and in one layer below them the folders that they stand on.
        """
        title = title or f"{self.name}/: each module stands above all that it imports"
        layers = self.marked_layers if marked_only else self.layers
        canvas = Canvas()
        canvas.text(WIDTH / 2, 30, ("ink strong", title), anchor="middle")
        y, text = 48.0, []
        for layer in layers:
            y = self._layer(canvas, layer, y)
            text += self._twin(layer)
        told = "; ".join(", ".join(map(self._label, layer)) for layer in layers)
        return Picture(canvas.svg(WIDTH, y + 6, title, f"From the top: {told}"), boxed(title, text[:-1]), title)

    # how it is drawn

    def _layer(self, canvas: Canvas, layer: list[str], y: float) -> float:
        x = float(EDGE)
        for name in layer:
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

    def _twin(self, layer: list[str]) -> list[str]:
        lines = [""]
        for name in layer:
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
        """Return the module of this package that a ``from … import`` names; None for another package's."""
        if not node.level:
            root, _, rest = (node.module or "").partition(".")
            return rest if root == self.name else None
        folder = list(self._files[name].relative_to(self._root).parts[:-1])
        parts = folder[: len(folder) - node.level + 1] + (node.module.split(".") if node.module else [])
        return ".".join(parts)


def _dotted(path: Path) -> str:
    """Return the name of a module inside its package; empty for the package itself."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
