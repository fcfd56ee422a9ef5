"""Print the decks with Chromium: ``python -m docs.slides.pdf build/slides`` writes a PDF beside each."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.browser import chromium


def main(folder: Path) -> None:
    """Print each deck of a folder.

    Raises: SystemExit if there is no Chromium, or no deck.
    """
    path = chromium.find()
    decks = sorted(folder.glob("*.html"))
    if path is None or not decks:
        raise SystemExit(chromium.MISSING if path is None else f"no deck in {folder}; run `make slides` first")
    with sync_playwright() as playwright:
        sandbox = os.name != "posix" or os.geteuid() != 0  # root has none
        browser = playwright.chromium.launch(executable_path=path, chromium_sandbox=sandbox)
        for deck in decks:
            write(browser, deck, deck.with_suffix(".pdf"))
            print(deck.with_suffix(".pdf"))
        browser.close()


def write(browser: Browser, deck: Path, target: Path) -> None:
    """Print a deck: a page for each slide, two where a key shows an answer, and the steps of code on one."""
    page = browser.new_page()
    page.goto(f"{deck.resolve().as_uri()}?print-pdf")
    page.wait_for_selector("html[data-pdf=ready]", state="attached")
    page.pdf(path=target, prefer_css_page_size=True, print_background=True)
    page.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
