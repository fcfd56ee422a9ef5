"""How long a client waits before it reconnects, and when the delays start again from the first."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from server import serve
from server.client import Backoff, Client, ConnectOptions
from server.settings import Settings
from tests.server.client.scripted import closes, refuses, scripted
from tests.server.counting import until

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("attempt", "busy", "ceiling"),
    [(0, False, 0.5), (1, False, 1.0), (3, False, 4.0), (6, False, 30.0), (10_000, False, 30.0), (0, True, 5.0)],
)
def test_the_ceiling_doubles_up_to_the_maximum(attempt: int, busy: bool, ceiling: float) -> None:
    """It starts at half a second, or at five if the server is full, and is never more than thirty."""
    assert Backoff(draw=lambda: 1.0).delay(attempt, busy=busy) == ceiling


@pytest.mark.parametrize(("after", "seconds"), [(7.0, 12.0), (3_600.0, 35.0)])
def test_the_delay_starts_after_retry_after(after: float, seconds: float) -> None:
    """Up to the maximum; the jitter comes on top, so that not all clients come when it is over."""
    assert Backoff(draw=lambda: 1.0).delay(0, busy=True, retry_after=after) == seconds


def test_the_jitter_is_full() -> None:
    """Delays lie anywhere between 0 and the ceiling, so that many clients spread over all of it."""
    delays = [Backoff().delay(2) for _ in range(1_000)]
    assert min(delays) < 0.2
    assert max(delays) > 1.8
    assert 0 <= min(delays) <= max(delays) <= 2


@dataclass(frozen=True, kw_only=True)
class RecordingBackoff(Backoff):
    """Records its calls."""

    calls: list[tuple[int, bool, float]] = field(default_factory=list)

    def delay(self, attempt: int, *, busy: bool = False, retry_after: float = 0.0) -> float:
        """Record the call, and return no delay."""
        self.calls.append((attempt, busy, retry_after))
        return 0.0


async def delays_after(*codes: int, reset_after: float = 5.0, retry_after: str = "") -> list[tuple[int, bool, float]]:
    """Return how a client calls its backoff after these close codes, and refusals with these statuses, in turn."""
    headers = {"Retry-After": retry_after} if retry_after else None
    backoff = RecordingBackoff(reset_after=reset_after)

    with serve(
        scripted(*(refuses(code, headers=headers) if code < 1000 else closes(code) for code in (*codes, 1000)))
    ) as server:
        async with Client(server.http(), token="t", options=ConnectOptions(proxy=None, backoff=backoff)):
            await until(lambda: len(backoff.calls) >= len(codes))
    return backoff.calls[: len(codes)]


async def test_delays_grow_when_the_server_accepts_and_disconnects() -> None:
    """A connection counts as a success only after `reset_after` seconds."""
    assert await delays_after(1012, 1011, 1012, reset_after=5.0) == [(0, False, 0), (1, False, 0), (2, False, 0)]


async def test_a_long_connection_resets_the_delay() -> None:
    """The next delay is a first one again."""
    assert await delays_after(1012, 1011, 1012, reset_after=0.0) == [(0, False, 0), (0, False, 0), (0, False, 0)]


async def test_delays_are_longer_while_the_server_is_full() -> None:
    """It says so with 1013 or with HTTP 503."""
    assert await delays_after(1013, 503, 1012) == [(0, True, 0), (1, True, 0), (2, False, 0)]


async def test_a_client_that_sent_too_much_is_silent_for_half_a_minute() -> None:
    """The documentation of 4002 says so; then the client reconnects, and does not raise."""
    assert await delays_after(4002, 4002, 1012) == [(0, True, 30), (1, True, 30), (2, False, 0)]


@pytest.mark.parametrize(("header", "seconds"), [("7", 7), ("Fri, 27 Nov 2026 08:00:00 GMT", 0), ("-1", 0), ("", 0)])
async def test_retry_after_is_obeyed(header: str, seconds: float) -> None:
    """In seconds; a date or nonsense counts as none."""
    assert await delays_after(429, 503, 1012, retry_after=header) == [
        (0, True, seconds),
        (1, True, seconds),
        (2, False, 0),
    ]


def test_the_default_limits_are_within_those_of_the_server() -> None:
    """One connection never sends more than one user may."""
    options, settings = ConnectOptions(), Settings()
    assert options.message_burst <= settings.message_burst
    assert options.messages_per_second <= settings.messages_per_second
    assert options.join_burst == settings.rooms_per_connection + 1
    assert options.joins_per_second <= settings.joins_per_second
