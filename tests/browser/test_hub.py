"""deploy/jupyterhub: two students in two browsers on a real JupyterHub, at the same time."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from traitlets.config.loader import PyFileConfigLoader

from .conftest import SCREENSHOTS
from .hub import CONFIGURATION, Hub
from .notebook import Notebook, Pane, Tab

pytestmark = pytest.mark.timeout(300)  # JupyterHub, two servers and two kernels start within the first test

LESSON = "03-manager.ipynb"
NAMES = ("ana", "ben")
ASK = """
address => new Promise((resolve) => {
  const socket = new WebSocket(address);
  socket.onopen = () => { resolve("open"); socket.close(); };
  socket.onclose = ({ code }) => resolve(code);
})
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, node_package: Callable[[str], Path]) -> Iterator[Hub]:
    """JupyterHub with the configuration that administrators copy, and its proxy from npm."""
    proxy = node_package("configurable-http-proxy@5")
    with Hub(tmp_path_factory.mktemp("hub"), proxy, NAMES) as hub:
        yield hub


@pytest.fixture(scope="module")
def notebooks(browser: Browser, hub: Hub) -> Iterator[dict[str, Notebook]]:
    """Lesson 03 of each student, in a browser of its own, after both have run all of it at once."""
    pages = {name: browser.new_context(viewport={"width": 1280, "height": 900}).new_page() for name in NAMES}
    for name, page in pages.items():
        hub.log_in(page, name)
    for name, page in pages.items():
        page.wait_for_url(hub.address(f"user/{name}/lab/tree/README.md"), timeout=60_000, wait_until="commit")
    opened = {name: Tab(page, None, SCREENSHOTS).open(LESSON) for name, page in pages.items()}
    for page in pages.values():
        page.evaluate("void (window.done = course.runAll())")
    for page in pages.values():
        page.evaluate("done")
    yield opened
    for page in pages.values():
        page.context.close()


def client_cell(notebook: Notebook) -> int:
    """Where the lesson shows its two browser clients."""
    return next(i for i, cell in enumerate(notebook.cells()) if "HBox([BrowserClient(" in cell["source"])


@pytest.fixture(scope="module")
def panes(notebooks: dict[str, Notebook]) -> dict[str, list[Pane]]:
    """The two browser clients of each student, connected to a server that runs."""
    shown = {}
    for name, notebook in notebooks.items():
        index = client_cell(notebook)
        notebook.run(index)
        shown[name] = notebook.panes(index, 2)
        for pane in shown[name]:
            expect(pane.state).to_have_text("open")
        notebook.screenshot(f"hub-{name}")
    return shown


def address(pane: Pane) -> str:
    """The address of the WebSocket that it has opened."""
    match = re.search(r'new WebSocket\("([^"]+)"', pane.node.inner_text())
    assert match
    return match[1]


def test_two_students_run_a_lesson_at_the_same_time(notebooks: dict[str, Notebook]) -> None:
    """Every cell of both has run, and none has failed."""
    for notebook in notebooks.values():
        code = [cell for cell in notebook.cells() if cell["cell_type"] == "code" and cell["source"].strip()]
        assert all(cell["execution_count"] for cell in code)
        failed = [cell["source"] for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
        assert failed == []


def test_a_student_works_on_a_copy(hub: Hub, notebooks: dict[str, Notebook]) -> None:
    """The lessons lie in the student's own home, which opened with the map of the course."""
    for name, notebook in notebooks.items():
        assert (hub.students / name / "course" / LESSON).is_file()
        assert notebook.page.evaluate("document.getElementById('jupyter-config-data').textContent.includes('hubUser')")


def test_each_client_talks_to_its_own_server(panes: dict[str, list[Pane]]) -> None:
    """What a student says in one pane arrives in the other, and with nobody else."""
    for name, (first, second) in panes.items():
        assert re.fullmatch(rf"ws://lab\.test:\d+/user/{name}/proxy/\d+/ws/ana", address(first))
        first.say(json.dumps({"type": "say", "text": f"only for {name}"}))
        expect(second.log).to_contain_text(f"only for {name}")
    for name, other in (NAMES, NAMES[::-1]):
        for pane in panes[name]:
            expect(pane.log).not_to_contain_text(f"only for {other}")


def test_the_hub_keeps_students_out_of_each_others_servers(panes: dict[str, list[Pane]]) -> None:
    """Ben's browser is refused where Ana's is let in."""
    ana, ben = (panes[name][0] for name in NAMES)
    hers = address(ana).removesuffix("/ws/ana") + "/ws/eve"
    assert ana.page.evaluate(ASK, hers) == "open"
    assert ben.page.evaluate(ASK, hers) == 1006


def test_local_processes_share_the_machine(panes: dict[str, list[Pane]]) -> None:
    """By way of his own server Ben reaches every port of the machine, hers as well: the guide says so."""
    ana, ben = (panes[name][0] for name in NAMES)
    port = address(ana).split("/")[-3]
    assert ben.page.evaluate(ASK, re.sub(r"proxy/\d+", f"proxy/{port}", address(ben)).replace("/ana", "/eve")) == "open"
    assert "reach each other's ports" in (CONFIGURATION.parent / "README.md").read_text()


def test_the_proxy_hides_the_close_as_the_lesson_says(
    notebooks: dict[str, Notebook], panes: dict[str, list[Pane]]
) -> None:
    """The pane says it before; then the reason of a client and the code of a server are lost, also behind the Hub."""
    first, second = panes["ana"]
    expect(first.node).to_contain_text("Through Jupyter's proxy. It hides the server's close codes and reasons")
    first.code.fill("3000")
    first.reason.fill("seen enough")
    first.reason.press("Enter")
    expect(first.log).to_contain_text('code 3000, reason ""')
    notebooks["ana"].execute("chat_server.stop()")
    expect(second.log).to_contain_text('code 1005, reason "", wasClean true (the proxy hides the server\'s code)')
    expect(panes["ben"][0].state).to_have_text("open")


def test_usage_has_a_row_for_each_student(panes: dict[str, list[Pane]]) -> None:
    """Processes, memory, descriptors and threads: of the server and the kernel, at least."""
    assert panes
    script = str(CONFIGURATION.with_name("usage.py"))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100, check=True)
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[1:]}
    for name in NAMES:
        processes, memory, descriptors, _threads = map(int, rows[name])
        assert processes >= 2
        assert memory > 50
        assert descriptors > 20


def test_a_hub_without_a_password_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence says what to set."""
    monkeypatch.setenv("COURSE_PASSWORD", "short")
    with pytest.raises(SystemExit, match="COURSE_PASSWORD has fewer than 8 characters; set it to"):
        PyFileConfigLoader(str(CONFIGURATION)).load_config()
