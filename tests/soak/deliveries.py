"""One run of each kind of trouble, on real processes, in which it is counted that nothing accepted is lost or doubled.

Each begins with an empty log, and does its harm at moments that the seed decides: the same seed does it again.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from lab.servers.valkey import Engine

from tests.server.counting import ENVIRONMENT, Tally
from tests.server.killing import count_with_cuts, count_with_engine_kills, count_with_kills, count_with_rolling_restarts

__all__ = ["cut", "engine", "kill", "restart"]

TIMES = 5  # that a run does harm


def kill(seed: int, times: int = TIMES) -> Tally:
    """Kill the server with ``kill -9``, and start it again on its port."""
    with _file():
        return asyncio.run(count_with_kills(times, seed=seed))


def cut(seed: int, times: int = TIMES) -> Tally:
    """Cut the network between the server and its clients; half of the cuts are noticed, half only make them wait."""
    with _file():
        return asyncio.run(count_with_cuts(times, seed=seed))


def restart(seed: int, times: int = 1) -> Tally:
    """Restart two servers over one engine one after the other, with SIGTERM."""
    with Engine() as valkey, _settings(f"{valkey.url}?prefix={valkey.prefix}"):
        return asyncio.run(count_with_rolling_restarts(times, seed=seed))


def engine(seed: int, times: int = TIMES) -> Tally:
    """Kill the engine below the server with ``kill -9``: one of its own, never the one that $VALKEY_URL names."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ):
        os.environ.pop("VALKEY_URL", None)
        with Engine(data=folder) as valkey, _settings(valkey.url):
            return asyncio.run(count_with_engine_kills(valkey, times, seed=seed))


@contextmanager
def _file() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder, _settings(f"sqlite:{folder}/log.sqlite"):
        yield


@contextmanager
def _settings(broker: str) -> Iterator[None]:
    """Set what a server in another process reads from its environment."""
    with mock.patch.dict(os.environ, ENVIRONMENT | {"CHAT_BROKER": broker}):
        yield
