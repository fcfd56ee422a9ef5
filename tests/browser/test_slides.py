"""The decks that ``make slides`` writes, opened from a plain folder on a projector of 1280 by 720."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

from docs.slides import outline
from docs.slides.__main__ import write
from docs.slides.lesson import LESSONS, Lesson
from docs.slides.pdf import write as print_deck

from .conftest import SCREENSHOTS

# what each slide has: at first, and when all its keys have been pressed
WALK = """() => Reveal.getSlides().map((slide, place) => {
  const size = one => parseFloat(getComputedStyle(one).fontSize)
  const shown = one => getComputedStyle(one).visibility === 'visible'
  const lines = one => {
    const style = getComputedStyle(one)
    const height = one.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom)
    return Math.round(height / parseFloat(style.lineHeight))
  }
  const all = wanted => [...slide.querySelectorAll(wanted)]
  Reveal.slide(place, 0, -1)
  const early = all('.proof, .why, .choices .visible').filter(one => one.matches('li') || shown(one)).length
  Reveal.slide(place, 0, 99)
  const boxes = all('.body *').map(one => one.getBoundingClientRect())
  return {
    name: `${place + 1}: ${slide.querySelector('h1, h2').innerText}`,
    kind: slide.className.split(' ')[0],
    text: slide.querySelector('.body').innerText,
    notes: slide.querySelector('.notes').textContent,
    below: Math.max(...boxes.map(box => box.bottom)),
    beside: Math.max(...boxes.map(box => box.right)),
    cut: all('pre, .content').some(one => one.scrollWidth > one.clientWidth || one.scrollHeight > one.clientHeight),
    code: all('pre').map(size),
    question: all('h2').map(size),
    text_sizes: all('p, li, td, th, .bars *').filter(one => !one.closest('.live')).map(size),
    prose: all('.body p, .body li').filter(one => !one.matches('.live *, .title *')).map(lines),
    pictures: all('img').map(one => [Boolean(one.naturalWidth), one.alt.length > 9]),
    steps: all('.live input').map(one => one.checked),
    choices: all('.choices li').length,
    right: all('.choices li.right.visible').length,
    early,
    progress: parseFloat(document.querySelector('.progress span').style.transform.slice(7)),
  }
})"""
APART = """() => {
  const [number, arrows] = ['.slide-number', '.controls'].map(one => document.querySelector(one))
  return number.getBoundingClientRect().right < arrows.getBoundingClientRect().left
}"""


@pytest.fixture(scope="module")
def decks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``make slides`` writes."""
    folder = tmp_path_factory.mktemp("slides")
    write(folder, author="Ada")
    return folder


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """A projector."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    yield context.new_page()
    context.close()


def _open(page: Page, deck: Path) -> None:
    page.goto(deck.as_uri())
    page.wait_for_function("Reveal.isReady() && [...document.images].every(one => one.complete)")


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_slide_can_be_read_from_the_last_row(decks: Path, page: Page, path: Path) -> None:
    """Letters are large, nothing is cut off, prose is short, a question waits for its key, and nothing is fetched."""
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    _open(page, decks / f"{path.stem}.html")
    slides: list[dict[str, Any]] = page.evaluate(WALK)
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"slides-{path.stem}.png")
    lesson = Lesson(path)

    assert 20 <= len(slides) <= 30
    assert [one["name"] for one in slides if one["below"] > 704 or one["beside"] > 1240 or one["cut"]] == []
    assert [one["name"] for one in slides if min(one["code"], default=20) < 20] == []
    assert [one["name"] for one in slides if min(one["text_sizes"], default=20) < 20] == []
    assert [one["name"] for one in slides if max(one["prose"], default=0) > 2] == []
    assert [one["name"] for one in slides if not all(map(all, one["pictures"]))] == []
    questions = [one for one in slides if one["kind"] in ("predict", "quiz")]
    assert [one["name"] for one in questions if min(one["question"]) < 40 or one["choices"] < 2] == []
    assert [one["name"] for one in questions if one["early"] or one["right"] != 1] == []
    predictions = sum("> **Predict.**" in cell.source for cell in lesson.cells)
    assert [one["kind"] for one in slides].count("predict") == predictions
    assert [one["name"] for one in slides if one["kind"] == "predict" and "You will hear:" not in one["notes"]] == []
    last = {slide.title: int(slide.one("until") or 0) - 1 for slide in outline.read(path.stem)}
    for one in slides:
        assert not one["steps"] or one["steps"][last[one["name"].partition(": ")[2]]], one["name"]
    assert [one["progress"] for one in slides] == sorted({one["progress"] for one in slides})
    assert page.evaluate(APART)
    assert "def solved_" not in "\n".join(one["text"] for one in slides)
    assert "Ada" in slides[0]["text"]
    assert {urlsplit(url).scheme for url in asked} <= {"file", "data"}
    assert errors == []


def test_a_key_lights_lines_and_takes_a_step(decks: Path, page: Page) -> None:
    """A presenter's remote control is enough: it moves through code and through a stepper, and on."""
    _open(page, decks / "01-handshake.html")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    lit = "[...document.querySelectorAll('section.present .line:not(.dim)')].map(one => one.dataset.line)"
    assert page.evaluate(lit) == ["3"]
    page.evaluate("Reveal.slide(Reveal.getSlides().findIndex(one => one.querySelector('.stepper')), 0, -1)")
    page.keyboard.press("ArrowRight")
    stepper = page.locator("section.present .stepper")
    stepper.get_by_text(re.compile("^2 of 15")).wait_for()
    stepper.get_by_label("15 of 15").click()
    page.keyboard.press("ArrowLeft")  # it is the stepper's while the stepper has the focus
    stepper.get_by_text(re.compile("^14 of 15")).wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    stepper.get_by_text(re.compile("^3 of 15")).wait_for()


def test_the_short_deck_keeps_the_numbers_of_the_full_one(decks: Path, page: Page) -> None:
    """The guide's plan names slides by number: they are the same in both decks, and the summary has fewer points."""
    _open(page, decks / "02-echo-90-minutes.html")
    numbers = page.evaluate("""() => Reveal.getSlides().map((slide, place) => {
      Reveal.slide(place)
      return document.querySelector('.slide-number').innerText
    })""")
    assert numbers == [str(number) for number in range(1, 31) if number not in (4, 7, *range(20, 25), 29)]
    assert page.locator("section.summary li").count() == 3


def test_a_printed_slide_has_the_number_of_the_full_deck(decks: Path, page: Page) -> None:
    """A teacher who prints the short deck finds "slide 18" of the plan; reveal.js would count the pages."""
    page.goto((decks / "03-manager-90-minutes.html").as_uri() + "?print-pdf")
    page.wait_for_selector("html[data-pdf=ready]", state="attached")
    printed = page.evaluate("[...document.querySelectorAll('.slide-number-pdf')].map(one => one.innerText)")
    left_out = (13, 19, 20, 21, 29)
    assert list(dict.fromkeys(printed)) == [str(number) for number in range(1, 31) if number not in left_out]
    assert len(printed) == page.locator(".pdf-page").count()


def test_a_deck_can_be_printed(decks: Path, browser: Browser, tmp_path: Path) -> None:
    """A question is on a page without its answer and on a page with it; the steps of code need one page."""
    target = tmp_path / "deck.pdf"
    print_deck(browser, decks / "03-manager.html", target)
    pages = len(re.findall(rb"/Type /Page\b", target.read_bytes()))
    slides = (decks / "03-manager.html").read_text(encoding="utf-8").count("<section")
    assert slides + 8 <= pages <= 2 * slides
