"""Nothing that was accepted is lost, proved by counting on real processes; `tests/soak/kill.py` does it for longer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from lab.engine import Engine

from tests.server.counting import ENVIRONMENT
from tests.server.killing import (
    count_with_cuts,
    count_with_engine_kills,
    count_with_kills,
    count_with_rolling_restarts,
)

DEVICES = 3  # of each user

needs_engine = pytest.mark.skipif(Engine.available() is not None, reason=str(Engine.available()))


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A server of its own process reads its settings from the environment; its log is a file."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CHAT_BROKER", f"sqlite:{tmp_path / 'log.sqlite'}")


def test_a_server_that_is_killed_loses_nothing_that_it_has_accepted() -> None:
    """Every device gets every notification whose 202 has arrived, in order, once; the slow one as well."""
    tally = asyncio.run(count_with_kills(5, seed=1))
    assert tally.received == DEVICES * tally.accepted > 0
    assert tally.connections > 2 * DEVICES
    assert tally.codes == {1006}


def test_a_cable_that_is_cut_in_mid_stream_loses_nothing() -> None:
    """Whether the end is noticed, or what was sent only waits."""
    tally = asyncio.run(count_with_cuts(5, seed=1))
    assert tally.received == DEVICES * tally.accepted > 0
    assert tally.connections > 2 * DEVICES


@needs_engine
def test_a_rolling_restart_under_load_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two servers over one engine, restarted one after the other while notifications are pushed to both."""
    with Engine() as engine:
        monkeypatch.setenv("CHAT_BROKER", f"{engine.url}?prefix={engine.prefix}")
        tally = asyncio.run(count_with_rolling_restarts(1, seed=1))
    assert tally.received == DEVICES * tally.accepted > 0
    assert tally.connections >= 2 * 2 * DEVICES
    assert 1012 in tally.codes


@needs_engine
def test_an_engine_that_is_killed_loses_nothing_either(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The server keeps its devices, and fills the gap from the stream."""
    monkeypatch.delenv("VALKEY_URL", raising=False)
    with Engine(data=tmp_path) as engine:
        monkeypatch.setenv("CHAT_BROKER", engine.url)
        tally = asyncio.run(count_with_engine_kills(engine, 5, seed=1))
    assert tally.received == DEVICES * tally.accepted > 0
    assert tally.connections == 2 * DEVICES
