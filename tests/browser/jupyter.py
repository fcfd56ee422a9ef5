"""A real JupyterLab in a process of its own, as ``make lab`` starts it, on a copy of the notebooks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Self

import nbformat

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
TOKEN = "a-token-of-the-tests"
START_DEADLINE = 90  # seconds; a cold and busy machine needs 15, a very busy one 50


class JupyterLab:
    """JupyterLab under `base_url` on a free port, with none of the user's own configuration."""

    def __init__(self, folder: Path, base_url: str) -> None:
        self.base_url = base_url
        self.root = folder / "notebooks"
        shutil.copytree(NOTEBOOKS, self.root, ignore=shutil.ignore_patterns("__pycache__", "workspaces", ".ipynb_*"))
        self._lines: deque[str] = deque(maxlen=200)
        self._running = threading.Event()
        self._port = ""
        self._process = subprocess.Popen(
            self._command(),
            cwd=folder,
            env=os.environ | {f"JUPYTER_{name}_DIR": str(folder / name) for name in ("CONFIG", "DATA", "RUNTIME")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._read, name="jupyter-log", daemon=True).start()

    def _command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "jupyterlab", f"--config={self.root / '.jupyter' / 'jupyter_lab_config.py'}"),
            *("--no-browser", "--ServerApp.port=0", f"--ServerApp.base_url={self.base_url}"),
            f"--IdentityProvider.token={TOKEN}",
            "--ServerApp.local_hostnames=['localhost', 'lab.test']",
            "--LabApp.expose_app_in_browser=True",
            "--JupyterNotebookApp.expose_app_in_browser=True",
        ]

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._lines.append(line)
            if not self._port and (match := re.search(r"http://127\.0\.0\.1:(\d+)/", line)):
                self._port = match[1]
                self._running.set()
        self._running.set()

    def wait(self) -> Self:
        """Return when it listens; fail with its last lines when it ends or is too slow."""
        self._running.wait(START_DEADLINE)
        assert self._port, f"JupyterLab did not start within {START_DEADLINE} s:\n{self.log}"
        return self

    def url(self, host: str, path: str = "") -> str:
        """Its address under the name `host`, with the token."""
        return f"http://{host}:{self._port}{self.base_url}{path}?token={TOKEN}"

    @property
    def log(self) -> str:
        """What it has written, for the message of a failed test."""
        return "".join(self._lines)

    def write(self, name: str, *sources: str) -> str:
        """Put a notebook with these code cells into its folder."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in sources],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        )
        nbformat.write(notebook, self.root / name)
        return name

    def end(self) -> None:
        """Ask it to end, with its kernels."""
        self._process.terminate()

    def wait_for_end(self) -> None:
        """Return when it has ended, by force after 10 s."""
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(30)
