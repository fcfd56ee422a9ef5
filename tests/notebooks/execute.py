"""Execute notebooks in place and store their outputs: ``python tests/notebooks/execute.py [paths…]``.

The file that is written depends on the cells and what they print, on nothing else: no times, no
version of Python, no widget state, and cell ids that are made from the section's heading.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from traitlets.config import Config

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
CELL_TIMEOUT = 30  # seconds, far above what a cell may take: a cell that hangs ends the run
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
KEPT = {"tags", "jupyter", "slideshow"}  # of the metadata of a cell
LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python", "pygments_lexer": "ipython3"}


def main(arguments: list[str] | None = None) -> int:
    """Execute the notebooks that the command line names, or all of them; 1 when one has failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "paths", nargs="*", type=Path, help="notebooks; all of notebooks/ and notebooks/deeper/ when none is given"
    )
    paths = parser.parse_args(arguments).paths or [
        *sorted(NOTEBOOKS.glob("*.ipynb")),
        *sorted(NOTEBOOKS.glob("deeper/*.ipynb")),
    ]
    failed = 0
    for path in paths:
        start = time.perf_counter()
        try:
            notebook = execute(nbformat.read(path, as_version=4))
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            failed += 1
            plain = re.sub(r"\x1b\[[\d;]*m", "", str(error))
            print(f"{path.name} is not stored, a cell failed:\n{plain}", file=sys.stderr)
            continue
        path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
        print(f"{path.name}: {len(notebook.cells)} cells, {time.perf_counter() - start:.1f} s")
    return 1 if failed else 0


def execute(notebook: Any) -> Any:
    """Run every cell in a fresh kernel in the folder of the notebooks, and tidy what comes out.

    Raises:
        CellExecutionError: a cell without the tag ``raises-exception`` raised one.
        CellTimeoutError: a cell ran for longer than 30 s.
    """
    with client_for(notebook, timeout=CELL_TIMEOUT) as client:
        client.execute()
    return tidy(notebook)


@contextmanager
def client_for(notebook: Any, *, timeout: int) -> Iterator[NotebookClient]:
    """A client that runs cells of `notebook` in a kernel of its own, in the folder of the notebooks."""
    with TemporaryDirectory() as folder:
        # jupyter_client chooses free ports before the kernel takes them, and others may be faster
        address = {"transport": "ipc", "ip": f"{folder}/kernel"} if os.name == "posix" else {}
        yield NotebookClient(
            notebook,
            config=Config(KernelManager=address),
            kernel_name="python3",
            timeout=timeout,
            resources={"metadata": {"path": str(NOTEBOOKS)}},
            record_timing=False,
            store_widget_state=False,
            coalesce_streams=True,
        )


def tidy(notebook: Any) -> Any:
    """Leave only what belongs to the lesson: cells, their tags and slides, and outputs that can be compared."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC, "language_info": LANGUAGE})
    name_cells(notebook.cells)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in KEPT})
        for output in cell.get("outputs", []):
            _tidy_output(output)
    return notebook


def _tidy_output(output: Any) -> None:
    output.pop("transient", None)
    if "data" in output:
        # without its model, which is not stored, JupyterLab would show "Error displaying widget"
        output.data.pop(WIDGET_VIEW, None)
        alt = output.get("metadata", {}).get("image/png", {}).get("alt")
        output.metadata = nbformat.from_dict({"image/png": {"alt": alt}} if alt else {})
    if output.output_type == "error":
        # the frames name files of this machine, and differ between versions of Python
        output.traceback = [f"{output.ename}: {output.evalue}"]


def name_cells(cells: Any) -> None:
    """Give each cell the id ``<heading>-<number in its section>``; a heading inside of a cell counts from there on."""
    sections: dict[str, int] = {}
    section = "top"
    for cell in cells:
        if cell.cell_type == "markdown" and (headings := re.findall(r"^#{1,3} +(.+)$", unfenced(cell.source), re.M)):
            section = "-".join(re.findall(r"[a-z0-9]+", headings[-1].lower()))[:40].strip("-") or "section"
        sections[section] = sections.get(section, 0) + 1
        cell.id = f"{section}-{sections[section]}"


def unfenced(source: str) -> str:
    """Markdown without its fenced blocks, in which a # starts a comment."""
    return re.sub(r"^```.*?^```", "", source, flags=re.MULTILINE | re.DOTALL)


if __name__ == "__main__":
    sys.exit(main())
