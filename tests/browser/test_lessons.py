"""Every lesson in a real JupyterLab: Run All, its browser clients, its exercises."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import nbformat
import pytest
from playwright.sync_api import expect

from .jupyter import NOTEBOOKS
from .notebook import LabPage, Notebook, Pane

pytestmark = pytest.mark.timeout(180)  # JupyterLab starts within the first test

LESSONS = sorted(path.name for path in NOTEBOOKS.glob("[0-9]*.ipynb"))
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
RESTART = """
from server.background import running, serve
server_ = next(server for server in running() if server.port == {port})
server_.stop()
serve(server_.app, port={port})
"""

Cells = list[dict[str, Any]]


@pytest.fixture(scope="module", params=LESSONS)
def lesson(request: pytest.FixtureRequest, direct_lab: LabPage) -> Iterator[Notebook]:
    """A lesson after Run All."""
    with direct_lab.open(request.param) as notebook:
        notebook.run_all()
        notebook.screenshot("end")
        yield notebook


def tagged(cells: Cells, tag: str) -> list[int]:
    """Where the cells with this tag are."""
    return [index for index, cell in enumerate(cells) if tag in cell["metadata"].get("tags", [])]


def client_cell(cells: Cells) -> int:
    """Where the lesson's browser client is shown."""
    return next(i for i, cell in enumerate(cells) if cell["cell_type"] == "code" and "BrowserClient(" in cell["source"])


def servers(cells: Cells, index: int) -> list[int]:
    """Where the servers are started that this cell's clients connect to; the lesson's last cell has stopped them."""
    names = "|".join(re.findall(r"BrowserClient\((\w+)", cells[index]["source"]))
    return [i for i in range(index) if re.search(rf"^({names}) = serve\(", cells[i]["source"], re.MULTILINE)]


def printed(cell: dict[str, Any]) -> dict[str, str]:
    """What a cell has written, by stream."""
    streams: dict[str, str] = {}
    for output in cell.get("outputs", []):
        if output["output_type"] == "stream":
            streams[output["name"]] = streams.get(output["name"], "") + "".join(output["text"])
    return streams


def verdict(cell: dict[str, Any]) -> str:
    """What a check says, as a result or in print."""
    (output,) = cell["outputs"]
    return "".join(output.get("text") or output["data"]["text/plain"])


def test_run_all_leaves_no_error(lesson: Notebook) -> None:
    """Every code cell ran, and none failed that was not meant to."""
    cells = lesson.cells()
    assert all(cell["execution_count"] for cell in cells if cell["cell_type"] == "code" and cell["source"].strip())
    expected = tagged(cells, "raises-exception")
    errors = [
        (index, output["ename"], output["evalue"])
        for index, cell in enumerate(cells)
        for output in cell.get("outputs", [])
        if output["output_type"] == "error" and index not in expected
    ]
    assert errors == []


def test_run_all_prints_what_is_stored(lesson: Notebook, direct_lab: LabPage) -> None:
    """JupyterLab sends all cells at once and has a page open: neither changes what a cell prints."""
    stored = nbformat.read(direct_lab.lab.root / lesson.name, as_version=4).cells
    for before, after in zip(stored, lesson.cells(), strict=True):
        if "nbval-ignore-output" not in before.metadata.get("tags", []):
            assert printed(after) == printed(before), before.source


def test_every_widget_is_shown(lesson: Notebook) -> None:
    """A cell with a browser client shows its pane, not an error or a promise to load."""
    cells = lesson.cells()
    widgets = [
        index
        for index, cell in enumerate(cells)
        if any(WIDGET_VIEW in output.get("data", {}) for output in cell.get("outputs", []))
    ]
    assert client_cell(cells) in widgets
    for index in widgets:
        output = lesson.output(index)
        expect(output.get_by_role("group", name="WebSocket client").first).to_be_visible()
        expect(output).not_to_contain_text("Error displaying widget")
        expect(output).not_to_contain_text("Loading widget")


def test_exercises_are_checked(lesson: Notebook) -> None:
    """The stub's verdict is "not yet", that of a wrong answer as well, and "passed" that of the folded solution."""
    cells = lesson.cells()
    exercises, checks, solutions = (tagged(cells, tag) for tag in ("exercise", "check", "solution"))
    assert len(exercises) >= 3
    for exercise, check, solution in zip(exercises, checks, solutions, strict=True):
        assert verdict(cells[check]).startswith("not yet: ")
        match = re.search(r"^check_\w+\((\w+)", cells[check]["source"], re.MULTILINE)
        assert match
        answer, _, _ = cells[solution]["source"].replace("solved_", "").rpartition("check_")
        for source, expected in ((f"{match[1]} = None", "not yet: "), (answer, "passed: ")):
            lesson.write(exercise, source)
            _, checked = lesson.run(exercise, check)
            assert verdict(checked).startswith(expected), source


def test_a_reader_uses_the_browser_client(lesson: Notebook) -> None:
    """Connected directly: an answer, a close with code and reason, and a new connection after a restart."""
    cells = lesson.cells()
    index = client_cell(cells)
    lesson.run(*servers(cells, index), index)
    pane = lesson.output(index).get_by_role("group", name="WebSocket client").first
    converse(Pane(pane), 'code 3000, reason "seen enough"')
    lesson.screenshot("browser")
    restart(lesson, Pane(pane))


@pytest.mark.parametrize("name", LESSONS)
def test_a_reader_on_a_hub_uses_the_browser_client(proxied_lab: LabPage, name: str) -> None:
    """The same through the proxy, which loses the reason."""
    with proxied_lab.open(name) as notebook:
        index = client_cell(notebook.cells())
        notebook.run_to(index)
        pane = Pane(notebook.output(index).get_by_role("group", name="WebSocket client").first)
        converse(pane, 'code 3000, reason ""')
        notebook.screenshot("hub")
        restart(notebook, pane)


def converse(pane: Pane, closed: str) -> None:
    """Type a message, see an answer to it, then close."""
    expect(pane.state).to_have_text("open")
    messages = pane.log.locator(".lab-message")
    before = messages.count()
    pane.say("hello from a browser")
    expect(messages.nth(before)).to_be_visible()
    if pane.state.inner_text() == "closed":
        pane.button("Connect").click()
        expect(pane.state).to_have_text("open")
    pane.code.fill("3000")
    pane.reason.fill("seen enough")
    pane.reason.press("Enter")
    expect(pane.state).to_have_text("closed")
    expect(pane.log).to_contain_text(closed)


def restart(notebook: Notebook, pane: Pane) -> None:
    """Replace the server by a new one on its port, and connect to that."""
    match = re.search(r"(?:127\.0\.0\.1:|proxy/)(\d+)/", pane.node.inner_text())
    assert match
    notebook.execute(RESTART.format(port=match[1]))
    pane.button("Connect").click()
    expect(pane.state).to_have_text("open")
