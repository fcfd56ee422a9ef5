"""Finds a Chromium that starts; as a script it gets one: ``python tests/browser/chromium.py``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

# the first is Chromium without its window: it needs half the time, and is what Playwright starts by default
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL_DEADLINE = 300  # seconds
MISSING = "no Chromium that starts was found: install Chromium or Chrome, or set CHROMIUM to the path of one"


def find() -> str | None:
    """The path of $CHROMIUM, of the system's Chromium or Chrome, or of Playwright's own, the first that starts."""
    named = [os.environ.get("CHROMIUM"), *map(shutil.which, NAMES)]
    return next((path for path in named if path and _starts(path)), None) or _playwrights_own()


def _playwrights_own() -> str | None:
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if _starts(path) else None


def _starts(path: str) -> bool:
    """Whether it is there with all its libraries, and not a stand-in that asks for another package."""
    if not Path(path).is_file():
        return False
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=100, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def main() -> int:
    """Get a Chromium unless there is one: Playwright's, or one of Debian's packages for root."""
    recipes = [[sys.executable, "-m", "playwright", "install", "--no-shell", "chromium"]]
    if shutil.which("apt-get") and os.geteuid() == 0:
        recipes += [["apt-get", "update", "-qq"]]
        recipes += [["apt-get", "install", "-y", "-qq", package] for package in ("chromium-headless-shell", "chromium")]
    while (path := find()) is None and recipes:
        recipe = recipes.pop(0)
        print("no Chromium yet:", " ".join(recipe), flush=True)
        try:
            subprocess.run(recipe, timeout=INSTALL_DEADLINE, check=False)
        except subprocess.TimeoutExpired:
            print(f"given up after {INSTALL_DEADLINE} s")
    if path is None:
        print(MISSING, file=sys.stderr)
        return 1
    print(f"Chromium: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
