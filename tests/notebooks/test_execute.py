"""Executing a notebook stores its outputs, and nothing of the machine or of the moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import v4

from . import execute

WIDGET = "import ipywidgets\nipywidgets.IntSlider(description='volume')"


def _written(folder: Path, *cells: Any) -> Path:
    path = folder / "scratch.ipynb"
    path.write_text(nbformat.writes(v4.new_notebook(cells=list(cells))), encoding="utf-8")
    return path


def test_execute_stores_the_same_file_every_time(tmp_path: Path) -> None:
    """Outputs, counts and readable ids are stored; times, versions, frames and widget state are not."""
    path = _written(
        tmp_path,
        v4.new_markdown_cell("# Scratch"),
        v4.new_code_cell(
            "import lab\nprint('one')\nprint('two')", metadata={"execution": {"iopub.execute_input": "now"}}
        ),
        v4.new_markdown_cell("Words.\n\n## A second part"),
        v4.new_code_cell("1 / 0", metadata={"tags": ["raises-exception"]}),
        v4.new_code_cell(WIDGET),
    )
    assert execute.main([str(path)]) == 0
    first = path.read_text(encoding="utf-8")
    assert execute.main([str(path)]) == 0
    assert path.read_text(encoding="utf-8") == first
    notebook = json.loads(first)
    ids = ["scratch-1", "scratch-2", "a-second-part-1", "a-second-part-2", "a-second-part-3"]
    assert [cell["id"] for cell in notebook["cells"]] == ids
    assert [cell.get("execution_count") for cell in notebook["cells"]] == [None, 1, None, 2, 3]
    assert notebook["cells"][1]["outputs"] == [{"name": "stdout", "output_type": "stream", "text": ["one\n", "two\n"]}]
    assert notebook["cells"][1]["metadata"] == {}
    assert notebook["cells"][3]["outputs"][0]["traceback"] == ["ZeroDivisionError: division by zero"]
    assert list(notebook["cells"][4]["outputs"][0]["data"]) == ["text/plain"]
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    assert "version" not in notebook["metadata"]["language_info"]


def test_execute_fails_loudly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cell that raises without saying so stops the run, and the file stays as it was."""
    path = _written(tmp_path, v4.new_code_cell("raise RuntimeError('no server')"))
    before = path.read_text(encoding="utf-8")
    assert execute.main([str(path)]) == 1
    assert "RuntimeError: no server" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == before
