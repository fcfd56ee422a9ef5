"""How Sphinx makes the site to read out of notebooks/: ``make site``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
from nbformat import v4
from sphinx.application import Sphinx

project = "Learn WebSockets"
author = "the authors of Learn WebSockets"
extensions = ["myst_nb"]
root_doc = "README"
exclude_patterns = ["lab", "images", ".jupyter", "**.ipynb_checkpoints"]

nb_execution_mode = "off"  # the stored outputs are shown
nb_merge_streams = True
myst_heading_anchors = 3

html_theme = "furo"
html_title = project
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_show_sourcelink = html_copy_source = False
nb_code_prompt_show, nb_code_prompt_hide = "Show the solution", "Hide the solution"
html_show_search_summary = False  # it would fetch pages, which a browser refuses to do in a plain folder
html_additional_pages = {"index": "start.html"}
templates_path = ["templates"]

FOLDED = {"solution": "hide-input"}
CONTENTS = """
```{{toctree}}
:hidden:
:glob:

{first}
*
```
"""
RUN = """
```{{admonition}} Run this lesson
:class: tip

What you read here has been run. Run it yourself, and change it: start `make lab`, then open
[{name} in JupyterLab]({address}).
```
"""


def setup(app: Sphinx) -> None:
    """Let Sphinx show the files as they are in notebooks/, which know nothing of the site."""
    app.add_config_value("lessons_run_at", "http://localhost:8888/lab/tree/", "env")
    app.connect("source-read", prepare)


def prepare(app: Sphinx, name: str, content: list[str]) -> None:
    """Add the contents to the first page, and to a lesson what a page needs and JupyterLab does not."""
    path = Path(app.env.doc2path(name))
    if name == root_doc:
        lessons = sorted(file.stem for file in path.parent.glob("*.ipynb"))
        content[0] += CONTENTS.format(first="\n".join(lessons))
    if path.suffix == ".ipynb":
        lesson: Any = nbformat.reads(content[0], as_version=4)
        run = RUN.format(name=path.name, address=f"{app.config.lessons_run_at}{path.name}")
        lesson.cells.insert(1, v4.new_markdown_cell(run))
        for cell in lesson.cells:
            dress(cell)
        content[0] = nbformat.writes(lesson)


def dress(cell: Any) -> None:
    """Fold a solution, and give a picture its alternative text."""
    cell.metadata.tags = [FOLDED.get(tag, tag) for tag in cell.metadata.get("tags", [])]
    for output in cell.get("outputs", []):
        drawing = re.search(r'aria-label="([^"]*)"', output.get("data", {}).get("image/svg+xml", ""))
        alt = drawing[1] if drawing else "A plot; the next cell says what to see in it"
        cell.metadata.mystnb = {"image": {"alt": alt}}
