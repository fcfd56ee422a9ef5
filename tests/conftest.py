"""Fixtures for every test, and how the tests are shared out among several processes."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

from server import stop_all

NPM_DEADLINE = 40  # seconds


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """A file goes to one process; so do the small files of tests/browser, which share Chromium and JupyterLab."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        alone = ("test_lessons", "test_hub", "test_site")  # long ones, which share little with the others
        return "tests/browser" if file.startswith("tests/browser/") and not any(map(file.count, alone)) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    """Share out by file; for ``pytest -n 3``."""
    return ByFile(config, log)


@pytest.fixture(autouse=True)
def nothing_outlives_a_test() -> Iterator[None]:
    """Every server, tap and crowd of a test is gone when it ends, and so is its thread."""
    before = set(threading.enumerate())
    yield
    stop_all()
    left = []
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith(("server-", "tap-", "crowd-", "log-", "broker-")):
            thread.join(2)
            left += [thread.name] if thread.is_alive() else []
    assert not left


@pytest.fixture(scope="session")
def node_package(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Say in which folder npm has put a package such as ``"ws@8"``: in pytest's cache, the first time."""

    def folder(package: str) -> Path:
        npm = shutil.which("npm")
        if npm is None or shutil.which("node") is None:
            pytest.skip("Node and npm are not installed; on Debian and Ubuntu: apt install npm")
        assert request.config.cache is not None
        name = package.partition("@")[0]
        folder = Path(request.config.cache.mkdir(f"node-{name}"))
        if not (folder / "node_modules" / name / "package.json").is_file():
            command = [npm, "install", "--prefix", str(folder), "--no-save", "--no-audit", "--no-fund", package]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=NPM_DEADLINE, check=False)
            except subprocess.TimeoutExpired:
                pytest.skip(f"npm did not bring {name} within {NPM_DEADLINE} s")
            if done.returncode:
                pytest.skip(f"npm did not bring {name}: {done.stderr.strip()[-200:]}")
        return folder

    return folder
