"""The brokers that one suite is run against; a new one is a function and a line in `BROKERS`."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from lab.engine import Engine

from server.broker import Broker, Limits
from server.broker.local import LocalBroker
from server.broker.valkey import ValkeyBroker

Opening = Callable[[Limits], AbstractAsyncContextManager[Broker]]
"""Makes a broker with these limits; what is opened again later may or may not have the data of the last time."""


def local_memory(request: pytest.FixtureRequest) -> Opening:
    """SQLite in memory: every opening starts empty."""
    return lambda limits: LocalBroker(limits=limits)


def local_file(request: pytest.FixtureRequest) -> Opening:
    """SQLite in a file: every opening has the data of the one before."""
    path: Path = request.getfixturevalue("tmp_path") / "log.sqlite"
    return lambda limits: LocalBroker(path, limits=limits)


def valkey(request: pytest.FixtureRequest) -> Opening:
    """A real engine: every opening of one test has the data of the one before."""
    engine: Engine = request.getfixturevalue("shared_engine")
    prefix = f"{engine.prefix}-{secrets.token_hex(4)}"
    return lambda limits: ValkeyBroker(engine.url, prefix=prefix, limits=limits)


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine of our own that may be harmed, also where VALKEY_URL is set, and comes back empty."""
    monkeypatch.delenv("VALKEY_URL", raising=False)
    if (reason := Engine.available()) is not None:
        pytest.skip(reason)
    with Engine() as engine:
        yield engine


@pytest.fixture
def lasting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Engine]:
    """The same with a folder: it writes before it answers, and comes back with its data."""
    monkeypatch.delenv("VALKEY_URL", raising=False)
    if (reason := Engine.available()) is not None:
        pytest.skip(reason)
    with Engine(data=tmp_path) as engine:
        yield engine


@pytest.fixture
def nothing_failed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No listener has raised: `Heard` raises at a gap or a repetition, and a broker only logs that."""
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelname == "ERROR"] == []


BROKERS: dict[str, Callable[[pytest.FixtureRequest], Opening]] = {
    "local-memory": local_memory,
    "local-file": local_file,
    "valkey": valkey,
}


@pytest.fixture(name="opening", params=list(BROKERS))
def each_kind(request: pytest.FixtureRequest) -> Opening:
    """One kind of broker after the other, for ``async with opening(Limits()) as broker``."""
    return BROKERS[request.param](request)
