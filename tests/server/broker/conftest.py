"""The brokers that one suite runs against; a new one is a function and a line in `BROKERS`."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from lab.servers.valkey import Engine

from server.broker import Broker, Limits
from server.broker.sqlite.broker import LocalBroker
from server.broker.valkey.broker import ValkeyBroker

MakeBroker = Callable[[Limits], AbstractAsyncContextManager[Broker]]
"""Makes a broker with these limits; a broker that is made later may or may not have the data of this one."""


def local_memory(request: pytest.FixtureRequest) -> MakeBroker:
    """SQLite in memory: every broker starts empty."""
    return lambda limits: LocalBroker(limits=limits)


def local_file(request: pytest.FixtureRequest) -> MakeBroker:
    """SQLite in a file: every broker has the data of the one before."""
    path: Path = request.getfixturevalue("tmp_path") / "log.sqlite"
    return lambda limits: LocalBroker(path, limits=limits)


def valkey(request: pytest.FixtureRequest) -> MakeBroker:
    """A real engine: every broker of one test has the data of the one before."""
    engine: Engine = request.getfixturevalue("shared_engine")
    prefix = f"{engine.prefix}-{secrets.token_hex(4)}"
    return lambda limits: ValkeyBroker(engine.url, prefix=prefix, limits=limits, deadline=30.0)


@pytest.fixture
def volatile_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine for this test alone, even if VALKEY_URL is set; it comes back empty after a restart."""
    monkeypatch.delenv("VALKEY_URL", raising=False)
    if (reason := Engine.missing()) is not None:
        pytest.skip(reason)
    with Engine() as engine:
        yield engine


@pytest.fixture
def durable_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Engine]:
    """The same with a folder: it writes before it answers, and comes back with its data."""
    monkeypatch.delenv("VALKEY_URL", raising=False)
    if (reason := Engine.missing()) is not None:
        pytest.skip(reason)
    with Engine(data=tmp_path) as engine:
        yield engine


@pytest.fixture
def nothing_failed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail if a listener has raised: `Recorder` raises at a gap or a duplicate, and a broker only logs that."""
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelname == "ERROR"] == []


BROKERS: dict[str, Callable[[pytest.FixtureRequest], MakeBroker]] = {
    "local-memory": local_memory,
    "local-file": local_file,
    "valkey": valkey,
}


@pytest.fixture(name="make_broker", params=list(BROKERS))
def each_kind(request: pytest.FixtureRequest) -> MakeBroker:
    """Each kind of broker, for ``async with make_broker(Limits()) as broker``."""
    return BROKERS[request.param](request)
