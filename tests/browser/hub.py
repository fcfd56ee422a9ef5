"""A real JupyterHub in a folder of its own, started as deploy/jupyterhub/README.md says, on free ports."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import httpx
import psutil
from playwright.sync_api import Page

from tests.ports import free_ports

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "jupyterhub" / "jupyterhub_config.py"
PASSWORD = "a-password-of-the-tests"
DEADLINE = 120.0  # seconds; a cold and busy machine needs 20
FOR_THE_DRIVER = "c.LabApp.expose_app_in_browser = True\n"


class Hub:
    """JupyterHub, its proxy, which npm has put into `proxy`, and what they have started; a context manager."""

    def __init__(self, folder: Path, proxy: Path, students: tuple[str, ...]) -> None:
        self.port, hub, api = free_ports(3)
        self.students = folder / "students"
        self._log = folder / "hub.log"
        for name in students:
            settings = self.students / name / ".jupyter"
            settings.mkdir(parents=True)
            (settings / "jupyter_server_config.py").write_text(FOR_THE_DRIVER)
        path = f"{proxy / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "jupyterhub", "--config", str(CONFIGURATION)),
                    f"--JupyterHub.bind_url=http://127.0.0.1:{self.port}",
                    f"--JupyterHub.hub_bind_url=http://127.0.0.1:{hub}",
                    f"--ConfigurableHTTPProxy.api_url=http://127.0.0.1:{api}",
                ],
                cwd=folder,
                env=os.environ | {"PATH": path, "COURSE_PASSWORD": PASSWORD},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Kill it with all that it has started: a polite end takes seconds, and nobody learns from it."""
        with suppress(psutil.NoSuchProcess):
            hub = psutil.Process(self._process.pid)
            hub.suspend()  # so that it starts nothing in the meantime
            for process in hub.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        self._process.kill()
        self._process.wait(DEADLINE)

    def address(self, path: str) -> str:
        """Where a browser finds `path`: under a name that is not localhost, as on a real Hub."""
        return f"http://lab.test:{self.port}/{path}"

    def log_in(self, page: Page, name: str) -> None:
        """Fill in the form; the student's server starts behind it."""
        page.goto(self.address("hub/login"))
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()

    @property
    def log(self) -> str:
        """What it has written, for the message of a failed test."""
        return self._log.read_text()[-10_000:]

    def _wait(self) -> None:
        deadline = time.monotonic() + DEADLINE
        while not self._answers():
            assert self._process.poll() is None, f"JupyterHub has ended:\n{self.log}"
            assert time.monotonic() < deadline, f"JupyterHub did not start within {DEADLINE:g} s:\n{self.log}"
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/hub/health", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False
