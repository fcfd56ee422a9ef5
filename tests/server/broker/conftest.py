"""The brokers that one suite is run against; a new one is a function and a line in `BROKERS`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from server.broker import Broker, Limits
from server.broker.local import LocalBroker

Opening = Callable[[Limits], AbstractAsyncContextManager[Broker]]
"""Makes a broker with these limits; what is opened again later may or may not have the data of the last time."""


def local_memory(request: pytest.FixtureRequest) -> Opening:
    """SQLite in memory: every opening starts empty."""
    return lambda limits: LocalBroker(limits=limits)


def local_file(request: pytest.FixtureRequest) -> Opening:
    """SQLite in a file: every opening has the data of the one before."""
    path: Path = request.getfixturevalue("tmp_path") / "log.sqlite"
    return lambda limits: LocalBroker(path, limits=limits)


BROKERS: dict[str, Callable[[pytest.FixtureRequest], Opening]] = {
    "local-memory": local_memory,
    "local-file": local_file,
}


@pytest.fixture(name="opening", params=list(BROKERS))
def each_kind(request: pytest.FixtureRequest) -> Opening:
    """One kind of broker after the other, for ``async with opening(Limits()) as broker``."""
    return BROKERS[request.param](request)
