"""The site that ``make site`` writes, opened from a plain folder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Page, expect

from .conftest import SCREENSHOTS
from .test_page import AXE, DESK, PHONE

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(180)  # the site is made within the first test


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``make site`` writes; a warning of Sphinx is an error."""
    folder = tmp_path_factory.mktemp("site")
    options = ["-q", "-W", "-d", folder / "trees", "-c", ROOT / "docs", ROOT / "notebooks", folder / "html"]
    subprocess.run([sys.executable, "-m", "sphinx", *map(str, options)], check=True, timeout=150)
    return folder / "html"


def test_every_link_leads_somewhere(site: Path) -> None:
    """Each page, picture, script and heading that a page names is there."""
    pages = {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in site.rglob("*.html")}
    names = {path: {tag["id"] for tag in page.select("[id]")} for path, page in pages.items()}
    missing = []
    for path, page in pages.items():
        for tag in page.select("[href], [src]"):
            link = urlsplit(str(tag.get("href") or tag.get("src")))
            if link.scheme:
                assert tag.name == "a", f"{path.name} loads {link.geturl()}"
                continue
            target = (path.parent / unquote(link.path)).resolve() if link.path else path
            known = names.get(target)
            if not target.exists() or (link.fragment and known is not None and unquote(link.fragment) not in known):
                missing.append(f"{path.name}: {link.geturl()}")
    assert missing == []
    assert {f"{lesson.stem}.html" for lesson in (ROOT / "notebooks").glob("*.ipynb")} <= {path.name for path in pages}


@pytest.fixture(params=[(DESK, "light"), (PHONE, "dark")], ids=["desk-light", "phone-dark"])
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """A desk by day, and a phone by night; neither asks anybody anything."""
    device, scheme = request.param
    context = browser.new_context(**device, color_scheme=scheme)
    page = context.new_page()
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert {urlsplit(url).scheme for url in asked} <= {"file", "data"}
    assert errors == []


def test_a_reader_finds_a_word_and_reads_its_lesson(site: Path, page: Page) -> None:
    """From the first page by the search to a lesson with its pictures; axe finds nothing, nothing is too wide."""
    page.goto((site / "index.html").as_uri())
    expect(page.get_by_role("heading", level=1)).to_contain_text("Learn WebSockets")
    check(page)
    page.goto((site / "search.html").as_uri() + "?q=backpressure")
    page.locator("#search-results").get_by_role("link", name="04 · Broadcasting").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("04 · Broadcasting")
    page.wait_for_function("[...document.images].every(one => one.complete && one.naturalWidth)")
    check(page)
    expect(page.get_by_role("link", name="04-broadcasting.ipynb in JupyterLab")).to_be_visible()
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"site-{page.evaluate('innerWidth')}.png")


def check(page: Page) -> None:
    """Axe finds nothing, and the page is no wider than the screen."""
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    page.evaluate(AXE.read_text())
    assert page.evaluate("axe.run().then(result => result.violations.map(one => one.id))") == []
