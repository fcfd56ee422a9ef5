"""pytest in a process of its own, on files of the notebook's current folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

__all__ = ["run_pytest"]

DEADLINE = 40.0  # seconds, far above what a busy machine needs

OPTIONS = ("-v", "--tb=no", "-p", "pytest_timeout", "-p", "no:cacheprovider", "-p", "no:warnings")
UNWANTED = ("CI", "BUILD_NUMBER", "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PY_COLORS", "FORCE_COLOR")
"""Variables that change what pytest prints."""
BROKEN = 3  # the exit code of an error of pytest itself; 4 is a wrong argument
WIDTH = 130  # columns, after which pytest cuts a line of its summary

# what differs from run to run, or isn't needed
_CHANGING = (
    (re.compile(r" in \d+\.\d+s( \([\d:]+\))?"), ""),
    (re.compile(r"(127\.0\.0\.1|localhost):\d+"), r"\1:…"),
    (re.compile(r" +\[ *\d+%\]$", re.MULTILINE), ""),
    (re.compile(r"^=+ short test summary info =+$", re.MULTILINE), ""),
    (re.compile(r"^=+ (.*?) =+$", re.MULTILINE), r"\1"),
)


def run_pytest(*arguments: str, timeout: float = DEADLINE) -> None:
    """Run pytest on files in the current folder, and print what it says: ``run_pytest("test_chat.py")``.

    It is ``python -m pytest -v --tb=no`` in a process of its own, so a test that hangs or crashes harms nobody else.
    The report leaves out seconds, ports and paths, so that it is the same in each run. Further arguments, such as
    ``"--tb=short"`` for tracebacks, go to pytest. Only pytest's own plugins and pytest-timeout are loaded.

    Raises:
        TimeoutError: it did not finish within `timeout` seconds, and was stopped.
    """
    environment = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": str(WIDTH), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", *OPTIONS, *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", timeout=timeout, check=False, env=environment
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"pytest did not finish within {timeout:g} s; a test hangs: give it a deadline") from None
    print(_report(done.stdout))
    if done.returncode >= BROKEN:
        print(done.stderr.strip())


def _report(text: str) -> str:
    """Return what comes after pytest's header, without what differs from run to run."""
    body = re.sub(r"\A.*?^collecting .*?\n+", "", text, flags=re.DOTALL | re.MULTILINE)
    body = body.replace(f"{Path.cwd()}{os.sep}", "")
    for pattern, replacement in _CHANGING:
        body = pattern.sub(replacement, body)
    return re.sub(r"\n{2,}", "\n", body).strip()
