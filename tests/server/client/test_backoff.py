"""How long a client waits before it comes back, and when that begins anew."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from server import BackgroundServer, serve
from server.client import Backoff, Client, Wires
from tests.server.client.scripted import closes, refuses, scripted
from tests.server.counting import until


@pytest.mark.parametrize(
    ("attempt", "busy", "ceiling"),
    [(0, False, 0.5), (1, False, 1.0), (3, False, 4.0), (6, False, 30.0), (10_000, False, 30.0), (0, True, 5.0)],
)
def test_the_ceiling_doubles_up_to_the_longest(attempt: int, busy: bool, ceiling: float) -> None:
    """Half a second first, thirty at most, five first where the server is full."""
    assert Backoff(draw=lambda: 1.0).delay(attempt, busy=busy) == ceiling


def test_the_jitter_is_full() -> None:
    """Anywhere between nothing and the ceiling, so that many clients spread over all of it."""
    delays = [Backoff().delay(2) for _ in range(1_000)]
    assert min(delays) < 0.2
    assert max(delays) > 1.8
    assert 0 <= min(delays) <= max(delays) <= 2


@dataclass(frozen=True, kw_only=True)
class Noted(Backoff):
    """Says what it was asked."""

    asked: list[tuple[int, bool]] = field(default_factory=list)

    def delay(self, attempt: int, *, busy: bool = False) -> float:
        """Note the question; wait for nothing."""
        self.asked.append((attempt, busy))
        return 0.0


def asked(*codes: int, steady: float) -> list[tuple[int, bool]]:
    """What a client asks its backoff that is closed with these codes, or refused with these statuses, in turn."""
    backoff = Noted(steady=steady)

    async def talk(server: BackgroundServer) -> None:
        async with Client(server.http(), token="t", wires=Wires(proxy=None, backoff=backoff)):
            await until(lambda: len(backoff.asked) >= len(codes))

    with serve(scripted(*(refuses(code) if code < 1000 else closes(code) for code in (*codes, 1000)))) as server:
        asyncio.run(talk(server))
    return backoff.asked[: len(codes)]


def test_a_server_that_lets_in_and_throws_out_is_asked_less_and_less() -> None:
    """A connection counts as a success only after a steady time."""
    assert asked(1012, 1011, 1012, steady=5.0) == [(0, False), (1, False), (2, False)]


def test_a_steady_connection_begins_anew() -> None:
    """The next wait is a first one again."""
    assert asked(1012, 1011, 1012, steady=-1.0) == [(0, False), (0, False), (0, False)]


def test_a_full_server_is_left_alone_for_longer() -> None:
    """By 1013 as by HTTP 503."""
    assert asked(1013, 503, 1012, steady=5.0) == [(0, True), (1, True), (2, False)]
