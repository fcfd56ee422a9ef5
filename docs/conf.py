"""The configuration of Sphinx, which turns the lessons and what stands beside them into a site: ``make site``.

The files in notebooks/ and docs/ need nothing for the site: what a page needs and JupyterLab doesn't is added here.
"""

from __future__ import annotations

import sys
from pathlib import Path

from docutils import nodes  # type: ignore[import-untyped]  # it has no types
from sphinx import addnodes
from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from docs import pages, printing  # noqa: E402

project = "Learn WebSockets"
author = "the authors of Learn WebSockets"
extensions = ["myst_nb", "sphinx_copybutton"]
root_doc = "notebooks/README"
# the source is the whole repository, so that a link from one folder to another is the same here and there
include_patterns = [
    *("notebooks/*.ipynb", "notebooks/deeper/*.ipynb", "notebooks/translations/*/*.ipynb", "docs/recipes/*.md"),
    *("notebooks/README.md", "notebooks/GLOSSARY.md", "notebooks/POCKET-REFERENCE.md"),
]
exclude_patterns = [".*", "benchmarks", "build", "data", "deploy", "server", "tests", "**/.*", "notebooks/lab"]

nb_execution_mode = "off"  # the stored outputs are shown
nb_merge_streams = True
nb_code_prompt_show, nb_code_prompt_hide = "Show the solution", "Hide the solution"
myst_heading_anchors = 3
myst_enable_extensions = ["html_image"]
copybutton_selector = "div.highlight:not(.cell_output *) pre"
copybutton_prompt_text = "$ "

html_theme = "furo"
html_title = project
html_static_path = ["static", "../notebooks/images"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_show_sourcelink = html_copy_source = html_show_copyright = False
html_use_index = False
html_additional_pages = {"index": "front.html"}
html_context = {"lessons": pages.lessons(ROOT / "notebooks" / "README.md")}
templates_path = ["templates"]


def setup(app: Sphinx) -> None:
    """Connect the functions below."""
    app.add_config_value("lessons_run_at", "http://localhost:8888/lab/tree/", "env")  # where JupyterLab runs
    app.add_config_value("browser_runs_at", "", "env")  # where the lessons run in the reader's browser, when they can
    app.add_config_value("repository", "", "env")  # such as https://github.com/owner/name
    app.connect("config-inited", lambda _, config: config.html_context.update(repository=config.repository))
    app.connect("source-read", prepare)
    app.connect("doctree-read", name_cells)
    app.connect("doctree-read", leave_out_definitions)
    app.connect("html-page-context", name_language)
    app.connect("build-finished", print_pocket_reference)


def prepare(app: Sphinx, name: str, content: list[str]) -> None:
    """Add what a page needs: a table of contents, where to run a lesson, folds, a glossary that the search knows."""
    path = Path(app.env.doc2path(name))
    if name == root_doc:
        content[0] = pages.without_lab(content[0])
        content[0] += pages.contents(content[0], sorted(app.env.found_docs))
    elif path.name == "GLOSSARY.md":
        content[0] = pages.glossary(content[0], html_context["lessons"])
    elif path.name == "POCKET-REFERENCE.md" and printing.chromium():
        content[0] = pages.printed(content[0])
    if path.suffix == ".ipynb":
        place = name.removeprefix("notebooks/") + ".ipynb"
        content[0] = pages.lesson(content[0], place, app.config.lessons_run_at, app.config.browser_runs_at)
    else:
        content[0] = pages.outward_links(content[0], path, ROOT, set(app.env.found_docs), app.config.repository)


def name_cells(app: Sphinx, doctree: nodes.document) -> None:
    """Give each code cell its id as JupyterLab writes it in a link: ``01-handshake.ipynb#cell-id=…``."""
    slugs = app.env.metadata[app.env.docname].setdefault("myst_slugs", {})
    for cell in doctree.findall(nodes.container):
        if "cell" in cell["classes"] and (found := cell.get("cell_metadata", {}).get("site_id")):
            cell["ids"].append(f"cell-id={found}")
            slugs[f"cell-id={found}"] = (None, f"cell-id={found}", "")


def leave_out_definitions(app: Sphinx, doctree: nodes.document) -> None:
    """Keep the definitions of the glossary out of the full text: the search finds each by its term, and once."""
    for glossary in doctree.findall(addnodes.glossary):
        glossary["classes"].append("no-search")


def name_language(app: Sphinx, name: str, template: str, context: dict[str, object], doctree: object) -> None:
    """Say in which language a translated lesson is, for screen readers and browsers."""
    parts = Path(name).parts
    if "translations" in parts:
        context["language"] = parts[parts.index("translations") + 1]


def print_pocket_reference(app: Sphinx, error: Exception | None) -> None:
    """Write the pocket reference as a PDF of one page, where there is a Chromium that can print."""
    page = Path(app.outdir, "notebooks", "POCKET-REFERENCE.html")
    if error is None and app.builder.name == "html" and page.exists() and printing.chromium():
        printing.pdf(page, page.with_suffix(".pdf"))
