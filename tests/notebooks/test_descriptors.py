"""What a connection costs: many systems give a process 1,024 descriptors, and the 600 clients fit into them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="Windows has no limit of file descriptors")

ROOT = Path(__file__).parents[2]
RUN = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 1_024))  # of the kernel as well

import nbformat
from tests.notebooks.execute import NOTEBOOKS, client_for

notebook = nbformat.read(NOTEBOOKS / "deeper" / "cost.ipynb", as_version=4)
with client_for(notebook, timeout=100) as client:
    client.execute()
for cell in notebook.cells:
    for output in cell.get("outputs", []):
        print(output.get("text", ""))
"""


def test_the_clients_of_the_notebook_fit_into_1024_descriptors() -> None:
    """Where the hard limit is 1,024, it runs to its end."""
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert "600 connections: " in done.stdout, done.stderr[-1_000:]
