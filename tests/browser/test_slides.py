"""The decks that ``make slides`` writes, opened from a plain folder."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

from .conftest import SCREENSHOTS

ROOT = Path(__file__).parents[2]
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))

pytestmark = pytest.mark.timeout(180)  # the decks are made within the first test

# what each slide has, with all its fragments shown and its answers unfolded
WALK = """() => Reveal.getSlides().map(slide => {
  const { h, v } = Reveal.getIndices(slide)
  Reveal.slide(h, v, 99)
  slide.querySelectorAll('details').forEach(one => { one.open = true })
  const stage = slide.getBoundingClientRect()
  const seen = [...slide.querySelectorAll(':scope *:not(.notes, .notes *)')].map(one => one.getBoundingClientRect())
  return {
    name: `${h}/${v} ${slide.innerText.slice(0, 60)}`,
    text: slide.innerText,
    below: Math.max(...seen.map(box => box.bottom)) - stage.bottom,
    beside: Math.max(...seen.map(box => box.right)) - stage.right,
    cut: [...slide.querySelectorAll('pre')].some(one => one.scrollWidth > one.clientWidth),
    broken: [...slide.querySelectorAll('img')].filter(one => !one.naturalWidth || !one.height).length,
    pictures: slide.querySelectorAll('img:not(.bottom)').length,
  }
})"""


@pytest.fixture(scope="module")
def decks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``make slides`` writes."""
    folder = tmp_path_factory.mktemp("slides")
    subprocess.run([sys.executable, ROOT / "docs" / "slides.py", folder], check=True, timeout=150)
    return folder


@pytest.fixture(scope="module")
def page(browser: Browser) -> Any:
    """A projector."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_every_slide_can_be_seen(decks: Path, page: Page, lesson: Path) -> None:
    """No slide overflows, every picture of the lesson is drawn, no solution is given away, and nothing is fetched."""
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((decks / f"{lesson.stem}.html").as_uri())
    page.wait_for_function("Reveal.isReady()")
    page.wait_for_function("[...document.images].every(one => one.complete)")
    slides = page.evaluate(WALK)
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"slides-{lesson.stem}.png")
    full = [one["name"] for one in slides if one["below"] > 0 or one["beside"] > 0 or one["cut"]]
    assert full == []
    stored = re.findall(r'^ +"image/(?:png|svg\+xml)": ', lesson.read_text(encoding="utf-8"), re.MULTILINE)
    assert (sum(one["pictures"] for one in slides), sum(one["broken"] for one in slides)) == (len(stored), 0)
    shown = "\n".join(one["text"] for one in slides)
    assert "Predict" in shown
    assert "def solved_" not in shown
    assert {urlsplit(url).scheme for url in asked} <= {"file", "data"}
    assert errors == []
