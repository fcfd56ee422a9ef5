"""Pages as PDF, by the print of a Chromium: ``pdf(page, file)``."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DEADLINE = 60  # seconds


@cache
def chromium() -> str | None:
    """Return the path of $CHROMIUM, or of the system's Chromium or Chrome; None when there is none."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


def pdf(page: Path, file: Path) -> None:
    """Print a page that lies in a folder into `file`.

    Raises:
        subprocess.CalledProcessError: Chromium has ended with an error.
        subprocess.TimeoutExpired: it took more than a minute.
    """
    found = chromium()
    assert found, "there is no Chromium; set CHROMIUM to the path of one"
    options = ["--headless", "--disable-gpu", "--no-pdf-header-footer", f"--print-to-pdf={file}"]
    if os.name == "posix" and os.geteuid() == 0:
        options.append("--no-sandbox")  # root has none
    subprocess.run([found, *options, page.as_uri()], check=True, capture_output=True, timeout=DEADLINE)
