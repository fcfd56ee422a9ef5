"""Where a server under test keeps what is said: one after the other, for tests that must hold over each."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lab.servers.valkey import Engine

import server.app.chat
import server.app.long_poll
from server.broker.valkey.broker import ValkeyBroker
from server.run.registry import discard


@pytest.fixture(scope="session")
def shared_engine() -> Iterator[Engine]:
    """One engine for all tests that do not harm it."""
    if (reason := Engine.missing()) is not None:
        pytest.skip(reason)
    with Engine() as engine:
        discard(engine)  # what stop_all() ends after each test is not meant to be this one
        yield engine


@pytest.fixture(params=["memory", "file", "valkey"])
def log_url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty log."""
    if request.param == "memory":
        return "memory:"
    if request.param == "file":
        folder: Path = request.getfixturevalue("tmp_path")
        return f"sqlite:{folder / 'log.sqlite'}"
    engine: Engine = request.getfixturevalue("shared_engine")
    # 2 s are too few for an engine on a machine with much else to do
    defaults: dict[str, Any] = ValkeyBroker.__init__.__kwdefaults__  # type: ignore[assignment]
    monkeypatch.setitem(defaults, "deadline", 30.0)
    return f"{engine.url}?prefix={engine.prefix}-{secrets.token_hex(4)}"


@pytest.fixture
def short_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """End connections 4 s after they have begun, if their token is good for a minute.

    A token that is itself good for 4 s may have expired before a busy machine has looked at it. Here only the clock by
    which a connection ends with its session is ahead, and not the one by which a token is checked.
    """
    clock = SimpleNamespace(time=lambda: time.time() + 56, monotonic=time.monotonic)
    monkeypatch.setattr(server.app.chat, "time", clock)
    monkeypatch.setattr(server.app.long_poll, "time", clock)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test in a folder of its own, without this machine's settings."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("CHAT_"):
            monkeypatch.delenv(name)
