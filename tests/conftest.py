"""Fixtures for every test."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from server import stop_all


@pytest.fixture(autouse=True)
def nothing_outlives_a_test() -> Iterator[None]:
    """Every server, tap and crowd of a test is gone when it ends, and so is its thread."""
    before = set(threading.enumerate())
    yield
    stop_all()
    left = []
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith(("server-", "tap-", "crowd-", "log-")):
            thread.join(2)
            left += [thread.name] if thread.is_alive() else []
    assert not left
