"""A connection that is slowed down on purpose: how much it gets, whatever the size of a message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from server.app.classroom.throttle import TICK, Throttle

SECONDS = 60


@pytest.mark.parametrize("size", [1, 100, 3_000])
@pytest.mark.parametrize("rate", [7, 1_000, 100_000])
def test_the_rate_is_kept(rate: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the long run: a message goes out whole, and is paid off before the next."""
    sent = [0]

    def step(most: int) -> int:
        count = 0
        while count < most:
            count += size
        sent[0] += count
        return count

    throttle = ticked(step, rate, monkeypatch, ticks=int(SECONDS / TICK))
    assert rate * SECONDS * 0.9 - 1 <= sent[0] <= rate * SECONDS + size
    throttle.stop()


def test_an_unused_share_is_not_saved_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or who was silent for long would be fast for long."""
    allowed: list[int] = []

    def step(most: int) -> int:
        allowed.append(most)
        return 0

    ticked(step, 1_000, monkeypatch, ticks=100)
    assert max(allowed) <= 1_000 * TICK + 1


def ticked(step: Callable[[int], int], rate: int, monkeypatch: pytest.MonkeyPatch, *, ticks: int) -> Throttle:
    """A throttle after this many ticks, without waiting for them."""
    loop = asyncio.new_event_loop()
    due: list[Callable[[], None]] = []

    def call_later(delay: float, tick: Callable[[], None]) -> asyncio.Handle:
        assert delay == TICK
        due.append(tick)
        return loop.call_soon(tick)

    monkeypatch.setattr(loop, "call_later", call_later)
    throttle = Throttle(loop, step, rate=rate)
    for _ in range(ticks):
        due.pop()()
    loop.close()
    return throttle
