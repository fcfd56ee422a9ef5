"""The connection for publish/subscribe is made again and again, with pauses."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from server.broker.valkey.pubsub import FIRST_PAUSE, LONGEST_PAUSE, PubSubConnection

pytestmark = pytest.mark.anyio


async def test_pauses_between_attempts_grow_and_are_random(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """There is no tight loop: the longest pause doubles up to a limit, and each pause is a random part of it."""
    pauses: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        pauses.append((low, high))
        if len(pauses) == 12:
            raise asyncio.CancelledError
        return 0.0

    def refuse() -> Any:
        raise ConnectionError("nothing is there")

    pubsub = PubSubConnection(refuse, lambda channel, text: None, lambda: None, lambda: None, heartbeat=1.0)
    monkeypatch.setattr("server.broker.valkey.pubsub.random.uniform", uniform)
    with caplog.at_level(logging.WARNING), pytest.raises(asyncio.CancelledError):
        await pubsub.run()
    assert pauses == [(0, min(FIRST_PAUSE * 2**number, LONGEST_PAUSE)) for number in range(12)]
    assert (pubsub.ready.is_set(), pubsub.reason) == (False, "nothing is there")
    assert caplog.text.count("nothing is there") == 1
