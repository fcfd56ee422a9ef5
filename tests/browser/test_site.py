"""The site that ``make site`` writes, opened from a plain folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Page, expect

from docs.lite import LESSONS

from . import chromium
from .conftest import SCREENSHOTS
from .test_page import AXE, DESK, PHONE

ROOT = Path(__file__).parents[2]
SERVER, REPOSITORY = "https://github.test", "ada/learn-websockets"
LITE = "https://ada.github.io/learn-websockets/lite/lab/index.html?path="
Pages = dict[Path, BeautifulSoup]
FOUND = "axe.run({resultTypes: ['violations']}).then(found => found.violations.map(one => one.id))"
TOO_WIDE = """() => {
  const wide = box => box.scrollWidth > box.clientWidth;
  const widest = pre => Math.max(...pre.textContent.split("\\n").map(line => line.length));
  const code = [...document.querySelectorAll(".cell_input pre")].filter(pre => innerWidth > 1000 && widest(pre) <= 85);
  const tables = document.querySelectorAll(".table-wrapper");
  const scrolls = box => ["auto", "scroll"].includes(getComputedStyle(box).overflowX);
  const aside = box => scrolls(box) && !box.matches("pre, .cell_output");
  const page = [...document.querySelectorAll("body, body *")].filter(aside);
  const found = new Set([document.documentElement, ...page, ...code, ...tables]);
  return [...found].filter(wide).map(box => `${box.className}: ${box.textContent.trim().slice(0, 60)}`);
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the workflow for GitHub Pages makes, by its own step; a warning of Sphinx is an error."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "site.yml").read_text(encoding="utf-8"))
    steps = "\n".join(step["run"] for step in workflow["jobs"]["build"]["steps"] if "run" in step)
    folder = tmp_path_factory.mktemp("site") / "html"
    installed = f"-o {sys.prefix}/.site-installed VENV={sys.prefix}"  # with what is here, into another folder
    # what runs in the browser needs a download of Pyodide, see tests/lite
    make = f'make() {{ [ "$1" = lite ] || command make {installed} SITE_IN={folder} "$@"; }}'
    environment = {"CHROMIUM": chromium.find() or "", "GITHUB_SERVER_URL": SERVER, "GITHUB_REPOSITORY": REPOSITORY}
    subprocess.run(["bash", "-ec", f"{make}\n{steps}"], cwd=ROOT, check=True, timeout=150, env=os.environ | environment)
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> Pages:
    """Each page, parsed."""
    return {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in site.rglob("*.html")}


def test_every_link_leads_somewhere(site: Path, pages: Pages) -> None:
    """Each page, picture, script, heading and cell that a page names is there."""
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
    assert {f"{lesson.stem}.html" for lesson in (ROOT / "notebooks").rglob("*.ipynb")} <= {path.name for path in pages}
    assert "TEACHING" not in "".join(map(str, site.rglob("*")))


def test_the_pages_follow_each_other_in_the_order_of_the_map(site: Path, pages: Pages) -> None:
    """From the front page to lesson 01, from each lesson to the next, and on to the optional notebooks."""
    first = pages[site / "index.html"].select_one(".front .primary")
    assert first is not None
    page, read = site / str(first["href"]), []
    while page not in read:
        read.append(page)
        link = pages[page].select_one(".related-pages .next-page")
        page = (page.parent / str(link["href"])).resolve() if link else page
    numbers = [path.name[:2] for path in read]
    assert numbers[:5] == ["01", "02", "03", "04", "05"]
    assert {path.stem for path in (ROOT / "notebooks" / "deeper").glob("*.ipynb")} <= {path.stem for path in read}


def test_an_exercise_is_a_stub_and_a_fold(pages: Pages) -> None:
    """No answer was given on the site, so no check says "not yet"; what a solution has passed is folded with it."""
    folds = [fold for page in pages.values() for fold in page.select("details.hide")]
    assert len(folds) >= 15
    for path, page in pages.items():
        printed = [output.get_text() for output in page.select(".cell_output")]
        assert not [text for text in printed if text.strip().startswith(("not yet", "'not yet"))], path.name
        assert not [
            output
            for output in page.select(".cell_output")
            if output.get_text().strip().startswith("passed:") and not output.find_parent("details")
        ], path.name


def test_a_page_says_its_language(site: Path, pages: Pages) -> None:
    """A screen reader has to know how to read a translation aloud."""
    for path, page in pages.items():
        place = path.relative_to(site).parts
        assert page.html is not None
        assert page.html["lang"] == (place[2] if "translations" in place else "en")


def test_the_search_finds_each_word_of_the_glossary(site: Path) -> None:
    """A term is an entry of the index, so its definition is the first that the search shows."""
    table = (ROOT / "notebooks" / "GLOSSARY.md").read_text(encoding="utf-8")
    words = re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)[1:]
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    terms = json.loads(index.removeprefix("Search.setIndex(").removesuffix(")"))["indexentries"]
    assert len(words) > 60
    assert {word.lower() for word in words} - {"---"} <= set(terms)


def test_the_pocket_reference_is_printed_on_one_page(site: Path, pages: Pages) -> None:
    """The page offers a PDF of one page of A4, whose rows link to the cells."""
    link = pages[site / "notebooks" / "POCKET-REFERENCE.html"].find("a", href="POCKET-REFERENCE.pdf")
    assert link is not None
    printed = (site / "notebooks" / "POCKET-REFERENCE.pdf").read_bytes()
    assert re.findall(rb"/Type /Pages\s+/Count (\d+)", printed) == [b"1"]
    (box,) = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", printed)
    assert [round(float(side)) for side in box] == [842, 595]
    assert printed.count(b"#cell-id=") > 30


def test_a_page_may_send_few_codes(browser: Browser) -> None:
    """The pocket reference says it: 1000 and 3000 to 4999; and a reason of 123 bytes."""
    page = browser.new_page()
    tried = """calls => calls.map(([code, reason]) => {
      try { new WebSocket("ws://127.0.0.1:1").close(code, reason); return "sent"; } catch (error) { return error.name; }
    })"""
    calls = [
        [1000, ""],
        [3000, ""],
        [4999, ""],
        [1001, ""],
        [1011, ""],
        [5000, ""],
        [1000, "x" * 123],
        [1000, "x" * 124],
    ]
    refused = "InvalidAccessError"
    expected = ["sent", "sent", "sent", refused, refused, refused, "sent", "SyntaxError"]
    assert page.evaluate(tried, calls) == expected
    page.close()


def test_the_front_page_links_to_the_code(site: Path, pages: Pages) -> None:
    """It says where the repository is in which the workflow runs."""
    link = pages[site / "index.html"].find("a", string="The code")
    assert link is not None
    assert link["href"] == f"{SERVER}/{REPOSITORY}"


def test_a_lesson_says_where_it_runs_in_the_browser(site: Path, pages: Pages) -> None:
    """The workflow puts it below the site; each lesson that runs there has the link, and no other notebook."""
    for notebook in (ROOT / "notebooks").rglob("*.ipynb"):
        place = notebook.relative_to(ROOT / "notebooks")
        link = pages[site / "notebooks" / place.with_suffix(".html")].find("a", string="run it in your browser")
        if str(place.with_suffix("")) in LESSONS:
            assert link is not None
            assert link["href"] == f"{LITE}{place.as_posix()}"
        else:
            assert link is None


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
    found = page.locator("#search-results").get_by_role("link")
    expect(found.first).to_have_attribute("href", re.compile("GLOSSARY.html#term-backpressure$"))
    found.filter(has_text="04 · Broadcasting").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("04 · Broadcasting")
    page.wait_for_function("[...document.images].every(one => one.complete && one.naturalWidth)")
    check(page)
    expect(page.get_by_role("link", name="04-broadcasting.ipynb in JupyterLab")).to_be_visible()
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"site-{page.evaluate('innerWidth')}.png")


def test_a_reader_steps_through_a_handshake_and_a_frame(site: Path, page: Page) -> None:
    """The steppers work by keyboard in a plain folder, each for itself; predictions and the quiz open."""
    page.goto((site / "notebooks" / "01-handshake.html").as_uri())
    handshake, hello = page.locator(".stepper").all()
    for stepper in (handshake, hello):
        stepper.get_by_role("radio").first.focus()
        page.keyboard.press("ArrowRight")
    expect(handshake.get_by_text("which site is wanted")).to_be_visible()
    expect(hello.get_by_text(".000....")).to_be_visible()
    for name, letter in (("Explanation", "a"), ("Answer", "b")):
        fold = page.locator("details").filter(has=page.locator("summary", has_text=re.compile(f"^{name}$"))).first
        fold.locator("summary").press("Enter")
        expect(fold.get_by_text(letter, exact=True)).to_be_visible()
    check(page)


def test_code_tables_and_pages_fit(site: Path, page: Page) -> None:
    """85 characters of code fit into the column at a desk; on a phone only code and pictures are pushed aside."""
    wide = {}
    for path in sorted(site.rglob("*.html")):
        page.goto(path.as_uri())
        if found := page.evaluate(TOO_WIDE):
            wide[path.name] = found
    assert wide == {}


def test_the_table_of_lesson_02_fits_a_phone(site: Path, browser: Browser) -> None:
    """No word of the six endings is hidden, and the icons of the header can be told apart."""
    page = browser.new_page(**PHONE)
    page.goto((site / "notebooks" / "02-echo.html").as_uri())
    table = page.locator(".cell_output pre", has_text="the client closes without a code")
    assert table.evaluate("box => box.scrollWidth - box.clientWidth") == 0
    theme, contents = page.locator(".header-right > *").all()
    left, right = theme.bounding_box(), contents.bounding_box()
    assert left is not None
    assert right is not None
    assert right["x"] - left["x"] - left["width"] >= 8
    page.close()


def test_a_word_is_found_once_in_the_glossary_and_with_excerpts(site: Path, browser: Browser) -> None:
    """From a web server the search shows where in a lesson the word is; the glossary has it as a term only."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=site)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/search.html?q=ghost")
        results = page.locator("#search-results li")
        expect(results.filter(has_text="02 · Echo").locator("p.context").first).to_contain_text("ghost")
        expect(page.locator("#search-results")).to_contain_text("Search finished")
        assert results.locator("a[href*=GLOSSARY]").count() == 1
        page.close()
        server.shutdown()
        thread.join()


def test_code_is_copied_without_its_prompt(site: Path, page: Page) -> None:
    """The button beside a cell puts the whole cell on the clipboard."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto((site / "notebooks" / "01-handshake.html").as_uri())
    cell = page.locator(".cell_input .highlight").first
    cell.hover()
    cell.get_by_role("button").click()
    expect(cell.get_by_role("button")).to_have_class(re.compile("success"))
    assert page.evaluate("navigator.clipboard.readText()") == "from fastapi import FastAPI, WebSocket"


def check(page: Page) -> None:
    """Axe finds nothing, and the page is no wider than the screen."""
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    page.evaluate(AXE.read_text())
    assert page.evaluate(FOUND) == []
