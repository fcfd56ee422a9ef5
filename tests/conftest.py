"""Fixtures for every test, and how the tests are shared out among several processes."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from xdist.scheduler import LoadFileScheduling

from server import stop_all


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """A file goes to one process; so do the small files of tests/browser, which share Chromium and JupyterLab."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "tests/browser" if file.startswith("tests/browser/") and "test_lessons" not in file else file


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
