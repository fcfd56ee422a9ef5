"""The connection that brings the news is made again and again, with pauses."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from server.broker.link import FIRST_PAUSE, LONGEST_PAUSE, Link


def test_pauses_between_attempts_grow_and_are_random(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """Nobody connects in a tight loop: the longest pause doubles up to a limit, and each is anything below it."""
    pauses: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        pauses.append((low, high))
        if len(pauses) == 12:
            raise asyncio.CancelledError
        return 0.0

    def refuse() -> Any:
        raise ConnectionError("nobody is there")

    async def run() -> Link:
        link = Link(refuse, lambda channel, text: None, lambda: None, heartbeat=1.0)
        with pytest.raises(asyncio.CancelledError):
            await link.run()
        return link

    monkeypatch.setattr("server.broker.link.random.uniform", uniform)
    with caplog.at_level(logging.WARNING):
        link = asyncio.run(run())
    assert pauses == [(0, min(FIRST_PAUSE * 2**number, LONGEST_PAUSE)) for number in range(12)]
    assert (link.live.is_set(), link.reason) == (False, "nobody is there")
    assert caplog.text.count("nobody is there") == 1
