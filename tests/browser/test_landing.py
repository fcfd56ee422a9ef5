"""What a newcomer sees first: ``jupyter lab --config=…`` in a fresh browser."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from .conftest import SCREENSHOTS
from .jupyter import NOTEBOOKS, JupyterLab
from .notebook import LabPage

ROOM = """code => {
  const context = document.createElement("canvas").getContext("2d");
  const {fontSize, fontFamily, paddingLeft, paddingRight} = getComputedStyle(code);
  context.font = `${fontSize} ${fontFamily}`;
  const room = code.closest(".cm-scroller").clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
  return room / context.measureText("x").width;
}"""


def test_lab_opens_with_the_map_of_the_course_whose_links_open_lessons(browser: Browser, root_lab: JupyterLab) -> None:
    """The landing page is rendered; a click opens a lesson with a kernel and room for code; no other tab changes."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(root_lab.url("127.0.0.1"))
    preview = page.locator(".jp-MarkdownViewer")
    expect(preview.get_by_role("heading", name="Learn WebSockets")).to_be_visible(timeout=20_000)
    page.screenshot(path=SCREENSHOTS / "landing.png")
    with page.expect_response(lambda response: "/api/workspaces/" in response.url and response.request.method == "PUT"):
        preview.get_by_role("link", name="lesson 01").click()
    expect(page.get_by_role("tab", name="01-handshake.ipynb")).to_be_visible()
    expect(page.locator(".jp-NotebookPanel")).to_contain_text("The handshake")
    code = page.locator(".jp-CodeCell .cm-content").first
    expect(code).to_be_visible()
    assert code.evaluate(ROOM) >= 85, "columns of code"
    expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible()
    page.close()
    lab = root_lab
    assert list((lab.root / ".jupyter" / "workspaces").iterdir())
    assert not (lab.root.parent / "CONFIG" / "lab" / "workspaces").exists()


def test_the_landing_page_has_a_picture_and_the_chat_in_a_frame(browser: Browser, root_lab: JupyterLab) -> None:
    """At 1280 pixels: lessons on top of the list, a picture, and the running chat by two clicks."""
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.goto(root_lab.url("127.0.0.1", "lab/workspaces/landing/tree/README.md"))
    picture = page.locator(".jp-MarkdownViewer").get_by_role("img", name="Ana on her laptop")
    expect(picture).to_be_visible(timeout=20_000)
    page.wait_for_function("[...document.images].every(one => one.complete && one.naturalWidth)")
    names = page.locator(".jp-DirListing-itemName")
    expect(names.filter(has_text="01-handshake.ipynb")).to_be_visible()
    shown = names.all_inner_texts()
    assert {"lab", "images", "TEACHING.md"}.isdisjoint(shown)
    assert [name for name in shown if name[:2].isdigit()] == sorted(path.name for path in NOTEBOOKS.glob("0*.ipynb"))

    page.get_by_role("button", name="New Launcher").first.click()
    page.locator(".jp-LauncherCard", has_text="The chat that you will build").click()
    chat = page.frame_locator(".jp-ServerProxy iframe")
    expect(chat.get_by_label("Your name")).to_be_visible(timeout=40_000)  # its server starts
    chat.get_by_label("Your name").fill("Ana")
    chat.get_by_label("Your name").press("Enter")
    expect(chat.get_by_role("status")).to_have_text("online")
    chat.get_by_label("Message", exact=True).fill("hello")
    chat.get_by_label("Message", exact=True).press("Enter")
    expect(chat.get_by_role("log", name="Messages")).to_contain_text("hello")
    page.screenshot(path=SCREENSHOTS / "landing-chat.png")
    page.close()


def test_lab_asks_for_nothing_and_calls_nobody(direct_lab: LabPage) -> None:
    """The pop-up for news and the look for updates are off."""
    schema = direct_lab.page.evaluate(
        "jupyterapp.serviceManager.settings.fetch('@jupyterlab/apputils-extension:notification').then((s) => s.schema)"
    )
    switches = {name: schema["properties"][name]["default"] for name in ("fetchNews", "checkForUpdates")}
    assert switches == {"fetchNews": "false", "checkForUpdates": False}
