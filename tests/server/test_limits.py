"""The limits of what a client may send: a bucket for each user that fills, leaks, and is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from server.limits import RateLimiter

T = TypeVar("T")


class SteppedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock stands still until a test moves it."""

    now = 1_000.0

    def time(self) -> float:
        """The time of the test."""
        return self.now


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run on a stepped loop."""
    with asyncio.Runner(loop_factory=SteppedLoop) as runner:
        return runner.run(coroutine)


def advance(seconds: float) -> None:
    """Move the running loop's clock."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppedLoop)
    loop.now += seconds


async def taken(limiter: RateLimiter, user: str, tries: int) -> int:
    """How many of so many messages are allowed."""
    return sum([await limiter.take(user) for _ in range(tries)])


@pytest.mark.parametrize(("rate", "burst"), [(5.0, 50), (0.5, 1), (1_000.0, 3)])
def test_a_burst_and_then_the_rate(rate: float, burst: int) -> None:
    """At once as many as the burst, then one for each 1/rate seconds, and after a pause a burst again."""

    async def scenario() -> None:
        limiter = RateLimiter(rate=rate, burst=burst)
        assert await taken(limiter, "ana", burst + 10) == burst
        for _ in range(3):
            advance(1.01 / rate)
            assert await taken(limiter, "ana", 3) == 1
        advance(1.01 * burst / rate)
        assert await taken(limiter, "ana", burst + 10) == burst

    run(scenario())


def test_each_user_has_a_bucket() -> None:
    """Who talks too much takes nothing from the others."""

    async def scenario() -> None:
        limiter = RateLimiter(rate=1, burst=3)
        assert await taken(limiter, "ana", 10) == 3
        assert await taken(limiter, "ben", 10) == 3

    run(scenario())


def test_an_empty_bucket_is_dropped() -> None:
    """Users who have said nothing for a while cost nothing, and those who have are still limited."""

    async def scenario() -> None:
        limiter = RateLimiter(rate=1, burst=10)
        for number in range(1_000):
            await limiter.take(f"user{number}")
        assert len(limiter) == 1_000
        advance(0.5)
        await taken(limiter, "ana", 10)
        advance(1)
        await limiter.take("ben")
        assert len(limiter) == 2
        assert await taken(limiter, "ana", 3) == 1

    run(scenario())


def test_nobody_is_remembered_after_clear() -> None:
    """A server that starts again starts with empty buckets."""

    async def scenario() -> None:
        limiter = RateLimiter(rate=1, burst=1)
        assert await taken(limiter, "ana", 2) == 1
        limiter.clear()
        assert len(limiter) == 0
        assert await taken(limiter, "ana", 2) == 1

    run(scenario())


def test_a_bucket_that_leaks_at_once_can_be_the_only_one() -> None:
    """With a rate so high that the bucket is empty again when it is looked at, every message is allowed."""

    async def test() -> None:
        limiter = RateLimiter(rate=1e12, burst=1)
        for _ in range(100):
            assert await limiter.take("ana")
        assert len(limiter) <= 1

    asyncio.run(test())
