"""Every lesson in a real JupyterLab: Run All, its exercises, its browser clients; then again, in the same kernel.

The first reader sits at the machine of the kernel and reaches its ports; the second one comes from
another host and goes through the proxy, as on JupyterHub and Binder, and takes over the first one's kernel.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from typing import Any

import nbformat
import pytest
from playwright.sync_api import expect

from .jupyter import NOTEBOOKS
from .notebook import LabPage, Notebook, Pane

LESSONS = sorted(path.name for path in NOTEBOOKS.glob("[0-9]*.ipynb"))
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
# not compared, as in the strict re-run: pictures made of points, and models of widgets
NOT_TEXT = {"image/png", "image/jpeg", WIDGET_VIEW}
RESTART = """
from server.run.background import running, serve
server_ = next(server for server in running() if server.port == {port})
server_.stop()
serve(server_.app, port={port})
"""
# what the kernel's process has, seen from inside and without the lesson's own instruments; Jupyter's own sockets and
# threads come and go with the pages that are open
LOOK = """
import asyncio, json, threading
import psutil
from ipykernel.connect import get_connection_info

process = psutil.Process()
jupyters = {port for name, port in json.loads(get_connection_info()).items() if name.endswith("_port")}
tcp = [one for one in process.net_connections("tcp") if one.laddr.port not in jupyters]
threads = [one for one in threading.enumerate() if not type(one).__module__.startswith(("ipykernel", "zmq"))]
print(json.dumps({
    "threads": [one.name for one in threads],
    "tasks": [str(one.get_coro().__qualname__) for one in asyncio.all_tasks()],
    "children": [one.name() for one in process.children()],
    "sockets": [f"{one.laddr.port} {one.raddr} {one.status}" for one in tcp],
}))
"""

Cells = list[dict[str, Any]]


@pytest.fixture(scope="module", params=LESSONS)
def opened(request: pytest.FixtureRequest, near_lab: LabPage) -> Iterator[Notebook]:
    """A lesson with a fresh kernel."""
    with near_lab.open(request.param) as notebook:
        yield notebook


@pytest.fixture(scope="module")
def fresh(opened: Notebook) -> dict[str, list[str]]:
    """What its kernel has before a cell has run."""
    return look(opened)


@pytest.fixture(scope="module")
def first(opened: Notebook, fresh: dict[str, list[str]]) -> Notebook:
    """The lesson after Run All."""
    assert fresh
    opened.run_all()
    opened.screenshot("end")
    return opened


@pytest.fixture(scope="module")
def second(first: Notebook, proxied_lab: LabPage) -> Iterator[Notebook]:
    """The lesson after somebody on another host has opened it with the same kernel, and has chosen Run All as well."""
    first.leave()
    shutil.copy(NOTEBOOKS / first.name, proxied_lab.lab.root)  # without what the first reader has written into it
    with proxied_lab.open(first.name) as notebook:
        notebook.run_all()
        yield notebook


def look(notebook: Notebook) -> dict[str, list[str]]:
    """What the kernel's process has now."""
    found: dict[str, list[str]] = json.loads(notebook.execute(LOOK))
    return found


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


def said(cell: dict[str, Any]) -> list[tuple[str, str]]:
    """What is below a cell, as the strict re-run compares it."""
    parts: list[tuple[str, str]] = []
    for output in cell.get("outputs", []):
        if output["output_type"] == "stream":
            before = parts.pop()[1] if parts and parts[-1][0] == output["name"] else ""
            parts.append((output["name"], before + "".join(output["text"])))
        elif output["output_type"] == "error":
            parts.append((output["ename"], output["evalue"]))
        else:
            data = sorted(output["data"].items())
            parts += [(mime, "".join(value)) for mime, value in data if mime not in NOT_TEXT]
    return parts


def verdict(cell: dict[str, Any]) -> str:
    """What a check says, as a result or in print."""
    (output,) = cell["outputs"]
    return "".join(output.get("text") or output["data"]["text/plain"])


def compare(notebook: Notebook) -> None:
    """Every code cell ran, and below each stands what is stored: no error that was not meant."""
    stored = nbformat.read(NOTEBOOKS / notebook.name, as_version=4).cells
    for before, after in zip(stored, notebook.cells(), strict=True):
        if before.cell_type == "code":
            assert after["execution_count"], before.source
            if "nbval-ignore-output" in before.metadata.get("tags", []):
                assert "error" not in [output["output_type"] for output in after["outputs"]], before.source
            else:
                assert said(after) == said(before), before.source


def test_run_all_shows_what_is_stored(first: Notebook) -> None:
    """JupyterLab sends all cells at once and has a page open: neither changes what a cell shows."""
    compare(first)


def test_every_widget_is_shown(first: Notebook) -> None:
    """A cell with a browser client shows its pane; one with a page its frame, or that the last cell has stopped it."""
    cells = first.cells()
    widgets = [
        index
        for index, cell in enumerate(cells)
        if any(WIDGET_VIEW in output.get("data", {}) for output in cell.get("outputs", []))
    ]
    assert client_cell(cells) in widgets
    for index in widgets:
        output = first.output(index)
        is_client = "BrowserClient(" in cells[index]["source"]
        pane = output.get_by_role("group", name="WebSocket client")
        page = output.locator("iframe, [role=status]").filter(visible=True)
        shown = pane if is_client else page
        expect(shown.first).to_be_visible()
        expect(output).not_to_contain_text("Error displaying widget")
        expect(output).not_to_contain_text("Loading widget")


def test_exercises_are_checked(first: Notebook) -> None:
    """The stub's verdict is "not yet", that of a wrong answer as well, and "passed" that of the folded solution."""
    cells = first.cells()
    exercises, checks, solutions = (tagged(cells, tag) for tag in ("exercise", "check", "solution"))
    assert len(exercises) >= 3
    for exercise, check, solution in zip(exercises, checks, solutions, strict=True):
        assert verdict(cells[check]).startswith("not yet: ")
        match = re.search(r"^check_\w+\((\w+)", cells[check]["source"], re.MULTILINE)
        assert match
        answer, _, _ = cells[solution]["source"].replace("solved_", "").rpartition("check_")
        for source, expected in ((f"{match[1]} = None", "not yet: "), (answer, "passed: ")):
            first.write(exercise, source)
            _, checked = first.run(exercise, check)
            assert verdict(checked).startswith(expected), source


def test_a_reader_uses_the_browser_client(first: Notebook) -> None:
    """Connected directly: an answer, a close with code and reason, and a new connection after a restart."""
    use_client(first, 'code 3000, reason "seen enough"', "browser")


def test_run_all_again_shows_the_same(second: Notebook) -> None:
    """A kernel that has run the lesson, and solved exercises, runs it again, and the proxy changes nothing."""
    compare(second)


def test_nothing_is_left_in_the_kernel(second: Notebook, fresh: dict[str, list[str]]) -> None:
    """After both runs its threads, tasks, children and sockets are those that it had before."""
    after = look(second)
    assert {kind: sorted(set(after[kind]) - set(fresh[kind])) for kind in after} == {kind: [] for kind in after}


def test_a_reader_on_a_hub_uses_the_browser_client(second: Notebook) -> None:
    """The same through the proxy, which loses the reason."""
    use_client(second, 'code 3000, reason ""', "hub")


def use_client(notebook: Notebook, closed: str, picture: str) -> None:
    """Start the servers of the lesson's browser client again, show it, talk, close, and connect after a restart."""
    cells = notebook.cells()
    index = client_cell(cells)
    notebook.run(*servers(cells, index), index)
    pane = Pane(notebook.output(index).get_by_role("group", name="WebSocket client").first)
    converse(pane, closed)
    notebook.screenshot(picture)
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
