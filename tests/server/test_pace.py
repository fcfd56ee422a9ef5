"""A connection that is slowed down on purpose: how much it gets, whatever the size of a message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from server.pace import TICK, Pacer

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

    pacer = turned(step, rate, monkeypatch, turns=int(SECONDS / TICK))
    assert rate * SECONDS * 0.9 - 1 <= sent[0] <= rate * SECONDS + size
    pacer.stop()


def test_what_was_not_used_is_not_saved_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or who was silent for long would be fast for long."""
    allowed: list[int] = []

    def step(most: int) -> int:
        allowed.append(most)
        return 0

    turned(step, 1_000, monkeypatch, turns=100)
    assert max(allowed) <= 1_000 * TICK + 1


def turned(step: Callable[[int], int], rate: int, monkeypatch: pytest.MonkeyPatch, *, turns: int) -> Pacer:
    """A pacer that has had so many turns, without waiting for them."""
    loop = asyncio.new_event_loop()
    due: list[Callable[[], None]] = []

    def call_later(delay: float, turn: Callable[[], None]) -> asyncio.Handle:
        assert delay == TICK
        due.append(turn)
        return loop.call_soon(turn)

    monkeypatch.setattr(loop, "call_later", call_later)
    pacer = Pacer(loop, step, rate=rate)
    for _ in range(turns):
        due.pop()()
    loop.close()
    return pacer
