"""The limits of what a client may send: a bucket for each user that fills, leaks, and is forgotten."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from server.access.rate_limits import RateLimiter

pytestmark = pytest.mark.anyio


class SteppedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock stands still until a test moves it."""

    now = 1_000.0

    def time(self) -> float:
        """The time of the test."""
        return self.now


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run the tests of this file on a stepped loop."""
    return "asyncio", {"loop_factory": SteppedLoop}


def advance(seconds: float) -> None:
    """Move the running loop's clock."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppedLoop)
    loop.now += seconds


async def taken(limiter: RateLimiter, user: str, tries: int) -> int:
    """Return how many of `tries` messages are allowed."""
    return sum([await limiter.try_acquire(user) for _ in range(tries)])


@pytest.mark.parametrize(("rate", "burst"), [(5.0, 50), (0.5, 1), (1_000.0, 3)])
async def test_a_burst_and_then_the_rate(rate: float, burst: int) -> None:
    """At once as many as the burst, then one for each 1/rate seconds, and after a pause a burst again."""
    limiter = RateLimiter(rate=rate, burst=burst)
    assert await taken(limiter, "ana", burst + 10) == burst
    for _ in range(3):
        advance(1.01 / rate)
        assert await taken(limiter, "ana", 3) == 1
    advance(1.01 * burst / rate)
    assert await taken(limiter, "ana", burst + 10) == burst


async def test_a_bucket_of_bytes_is_filled_by_the_day() -> None:
    """What is too much counts nothing, and what a day allows comes back bit by bit, not at midnight."""
    limiter = RateLimiter.per_day(86_400)
    assert not await limiter.try_acquire("ana", 86_401)
    assert await limiter.try_acquire("ana", 86_000)
    assert not await limiter.try_acquire("ana", 500)
    assert await limiter.try_acquire("ana", 400)
    advance(101)
    assert not await limiter.try_acquire("ana", 102)
    assert await limiter.try_acquire("ana", 100)
    advance(24 * 3600)
    assert await limiter.try_acquire("ana", 86_400)


async def test_each_user_has_a_bucket() -> None:
    """Who talks too much takes nothing from the others."""
    limiter = RateLimiter(rate=1, burst=3)
    assert await taken(limiter, "ana", 10) == 3
    assert await taken(limiter, "ben", 10) == 3


async def test_an_empty_bucket_is_dropped() -> None:
    """Users who have said nothing for a while cost nothing, and those who have are still limited."""
    limiter = RateLimiter(rate=1, burst=10)
    for number in range(1_000):
        await limiter.try_acquire(f"user{number}")
    assert len(limiter) == 1_000
    advance(0.5)
    await taken(limiter, "ana", 10)
    advance(1)
    await limiter.try_acquire("ben")
    assert len(limiter) == 2
    assert await taken(limiter, "ana", 3) == 1


async def test_clear_forgets_every_user() -> None:
    """A server that starts again starts with empty buckets."""
    limiter = RateLimiter(rate=1, burst=1)
    assert await taken(limiter, "ana", 2) == 1
    limiter.clear()
    assert len(limiter) == 0
    assert await taken(limiter, "ana", 2) == 1


async def test_a_bucket_that_leaks_at_once_can_be_the_only_one() -> None:
    """With a rate so high that the bucket is empty again at the next message, every message is allowed."""
    limiter = RateLimiter(rate=1e12, burst=1)
    for _ in range(100):
        assert await limiter.try_acquire("ana")
        advance(1e-6)
    assert len(limiter) <= 1
