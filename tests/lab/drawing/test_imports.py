"""The picture of a package shows its imports, and nothing that is not there."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from lab.drawing.imports import ImportGraph

import server

FILES = {
    "__init__.py": "from .top import one\n",
    "top.py": "from . import left\nfrom .inner import right as other\nimport json\n",
    "left.py": "from cottage.ground import layer\n",
    "ground.py": "import os.path\n",
    "inner/__init__.py": "from .right import wall\n",
    "inner/right.py": "from ..ground import layer\n",
}


@pytest.fixture
def cottage(tmp_path: Path) -> ModuleType:
    """A small package, which is not run: only its sources are read."""
    folder = tmp_path / "cottage"
    for name, source in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source)
    package = ModuleType("cottage")
    package.__file__ = str(folder / "__init__.py")
    return package


def test_imports_of_every_form(cottage: ModuleType) -> None:
    """Relative and absolute imports count, of modules and of names in them; what is foreign does not."""
    graph = ImportGraph({}, cottage)
    assert graph.imports == {
        "": {"top"},
        "top": {"left", "inner.right"},
        "left": {"ground"},
        "ground": set(),
        "inner": {"inner.right"},
        "inner.right": {"ground"},
    }
    assert graph.external == {"json", "os"}


def test_a_module_stands_above_all_that_it_imports(cottage: ModuleType) -> None:
    """The layers follow from the imports, the ground layer last."""
    graph = ImportGraph({}, cottage)
    assert graph.layers == [[""], ["inner", "top"], ["inner.right", "left"], ["ground"]]


def test_a_circle_is_told(cottage: ModuleType) -> None:
    """Modules that import each other have no layer; the error names them."""
    path = Path(str(cottage.__file__)).parent / "ground.py"
    path.write_text("from .left import layer\n")
    with pytest.raises(ValueError, match=r"'ground' imports itself by way of left|'left' imports itself by way of gro"):
        _ = ImportGraph({}, cottage).layers


def test_the_picture_has_every_module_and_a_twin(cottage: ModuleType) -> None:
    """Every name is in the SVG and in the text, with its mark; the same package has the same picture."""
    graph = ImportGraph({"left": "01"}, cottage)
    picture = graph.picture("A cottage")
    for name in ("cottage", "top", "left · 01", "ground", "inner.right"):
        assert name in picture.svg, name
        assert name in picture.text, name
    assert "[left · 01]" in picture.text
    assert "<title>A cottage</title>" in picture.svg
    assert picture == ImportGraph({"left": "01"}, cottage).picture("A cottage")


def test_only_what_is_marked_and_what_it_stands_on(cottage: ModuleType) -> None:
    """The marked modules stand in their layers, and below them the folders that they import, directly or not."""
    graph = ImportGraph({"top": "02", "left": "01"}, cottage)
    assert graph.marked_layers == [["top"], ["left"], ["ground", "inner"]]
    picture = graph.picture("Two lessons", marked_only=True)
    assert "inner.right" not in picture.text
    assert "[top · 02]" in picture.text


def test_the_backend_stands() -> None:
    """The backend has no circle, its lessons are in it, and it imports nothing of its course."""
    graph = ImportGraph({"notifications": "05"})
    assert graph.name == server.__name__
    names = [name for layer in graph.layers for name in layer]
    assert {"handshake", "echo", "manager", "broadcasting", "notifications", "app"} <= set(names)
    assert names.index("app") < names.index("notifications") < names.index("errors")
    assert not graph.external & {"lab", "tests"}
    assert import_module("server") in sys.modules.values()
