"""Drives a notebook in a real JupyterLab, and reads its model, not the page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from .jupyter import JupyterLab

DRIVER = (Path(__file__).parent / "driver.js").read_text()
# the page is asked again and again: a promise that only the debugger waits for can be collected as garbage
RESTORED = """() => {
  const app = window.jupyterapp;
  if (!app?.shell?.isAttached) return false;
  window.restoring ??= app.restored.then(() => { window.isRestored = true; });
  return window.isRestored === true;
}"""


class Tab:
    """A tab of the browser with JupyterLab in it, or a notebook in Notebook 7: at `address`, or where the page is."""

    def __init__(self, page: Page, address: str | None, screenshots: Path) -> None:
        self.page = page
        self._screenshots = screenshots
        page.set_default_timeout(20_000)
        if address is not None:
            page.goto(address)
        page.wait_for_function(RESTORED)
        page.evaluate(DRIVER)

    @contextmanager
    def theme(self, name: str) -> Iterator[None]:
        """Use one of JupyterLab's themes inside a block."""
        self.page.evaluate("name => course.theme(name)", name)
        yield
        self.page.evaluate("course.theme('JupyterLab Light')")

    def open(self, name: str) -> Notebook:
        """Open a notebook of Lab's folder with its kernel, a fresh one unless it has one, and wait for both."""
        self.page.evaluate("name => course.open(name)", name)
        return Notebook(self.page, name, self._screenshots)

    def adopt(self, name: str) -> Notebook:
        """The notebook that the page shows already, when it and its kernel are there."""
        self.page.evaluate("course.adopt()")
        return Notebook(self.page, name, self._screenshots)


class LabPage(Tab):
    """A tab with a JupyterLab of the tests in it."""

    def __init__(self, page: Page, lab: JupyterLab, host: str, screenshots: Path) -> None:
        super().__init__(page, lab.url(host, "lab/workspaces/tests"), screenshots)  # not the one of the landing page
        self.lab = lab


class Notebook:
    """The one open notebook. A context manager: leaving the block shuts its kernel down, unless it was left before."""

    def __init__(self, page: Page, name: str, screenshots: Path) -> None:
        self.page = page
        self.name = name
        self._screenshots = screenshots
        self._left = False

    def __enter__(self) -> Notebook:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if not self._left:
            self.page.evaluate("course.close()")

    def leave(self) -> None:
        """Close it without saving; its kernel goes on, and whoever opens the notebook next has it."""
        self.page.evaluate("course.leave()")
        self._left = True

    def run_all(self) -> list[dict[str, Any]]:
        """Run every cell, wait for the last, and return the cells as nbformat has them."""
        self.page.evaluate("course.runAll()")
        return self.cells()

    def run(self, *indices: int) -> list[dict[str, Any]]:
        """Run these cells in this order and return them."""
        self.page.evaluate("indices => course.run(indices)", list(indices))
        cells = self.cells()
        return [cells[index] for index in indices]

    def run_to(self, index: int) -> None:
        """Run every cell above this one, and this one."""
        self.page.evaluate("index => course.runTo(index)", index)

    def execute(self, code: str) -> str:
        """Run code in the kernel without a cell, and return what it has printed; fail when it fails."""
        printed: str = self.page.evaluate("code => course.execute(code)", code)
        return printed

    def text_of(self, index: int) -> str:
        """Run a cell and return the text that it printed."""
        (cell,) = self.run(index)
        return "".join("".join(output.get("text", "")) for output in cell["outputs"])

    def cells(self) -> list[dict[str, Any]]:
        """The cells with their outputs."""
        cells: list[dict[str, Any]] = self.page.evaluate("course.cells()")
        return cells

    def write(self, index: int, source: str) -> None:
        """Replace the source of a cell, as an editor would."""
        self.page.evaluate(
            "([i, s]) => course.panel.content.widgets[i].model.sharedModel.setSource(s)", [index, source]
        )

    def output(self, index: int) -> Locator:
        """The output of a cell in the page, scrolled into view."""
        self.page.evaluate("index => course.show(index)", index)
        return self.page.locator(f'[data-shown="{index}"] .jp-Cell-outputArea')

    def panes(self, index: int, count: int) -> list[Pane]:
        """The browser clients in the output of a cell."""
        nodes = self.output(index).get_by_role("group", name="WebSocket client")
        expect(nodes).to_have_count(count)
        return [Pane(nodes.nth(number)) for number in range(count)]

    def pane(self, index: int) -> Pane:
        """The only browser client in the output of a cell."""
        return self.panes(index, 1)[0]

    def screenshot(self, name: str) -> None:
        """Keep a picture of the window under the notebook's name."""
        self.page.screenshot(path=self._screenshots / f"{Path(self.name).stem}-{name}.png")


class Pane:
    """What a reader sees of a `BrowserClient`, by role and label."""

    def __init__(self, node: Locator) -> None:
        self.node = node
        self.page = node.page
        self.state = node.get_by_role("status")
        self.log = node.get_by_role("log")
        self.message = node.get_by_label("Message")
        self.code = node.get_by_label("Close code")
        self.reason = node.get_by_label("Reason")

    def button(self, name: str) -> Locator:
        """One of its three buttons."""
        return self.node.get_by_role("button", name=name, exact=True)

    def say(self, text: str) -> None:
        """Type a message and press Enter, as a person would."""
        self.message.click()
        self.page.keyboard.type(text)
        self.page.keyboard.press("Enter")

    def paste(self, text: str) -> None:
        """Put a long message into the field at once and press Enter; typing takes some milliseconds a character."""
        self.message.fill(text)
        self.message.press("Enter")
