"""How much a user may send: leaky buckets for messages, requests and bytes."""

from __future__ import annotations

from aiolimiter import AsyncLimiter

__all__ = ["RateLimiter"]


DAY_SECONDS = 24 * 3600


class RateLimiter:
    """A leaky bucket for each user, of messages or of bytes, shared by all of the user's connections.

    It outlives a connection, so a client that was closed for spam doesn't get a new bucket by reconnecting.
    A bucket that has leaked empty is dropped, because a new one would be the same. So only users who have
    sent something within the last ``burst / rate`` seconds cost memory.
    """

    def __init__(self, *, rate: float, burst: int) -> None:
        """Let every user send `burst` messages at once and `rate` messages a second on average."""
        self.rate = rate
        self.burst = burst
        self._buckets: dict[str, AsyncLimiter] = {}  # the user who has sent last is last

    def __len__(self) -> int:
        """Return how many users have a bucket."""
        return len(self._buckets)

    async def try_acquire(self, user: str, amount: int = 1) -> bool:
        """Count one message, or `amount` bytes, without waiting; return False and count nothing if over the limit."""
        buckets = self._buckets
        bucket = buckets.pop(user, None) or AsyncLimiter(self.burst, self.burst / self.rate)
        buckets[user] = bucket
        if not bucket.has_capacity(amount):
            return False
        await bucket.acquire(amount)
        # a fast bucket can have leaked empty in the moment since it was filled, so this may drop every one
        while buckets and buckets[oldest := next(iter(buckets))].has_capacity(self.burst):
            del buckets[oldest]
        return True

    @classmethod
    def per_day(cls, amount: int) -> RateLimiter:
        """Let every user send `amount` at once, and `amount` in 24 hours on average."""
        return cls(rate=amount / DAY_SECONDS, burst=amount)

    def clear(self) -> None:
        """Forget every user; a bucket belongs to the loop that it was filled on."""
        self._buckets.clear()
