"""The feeds of one process: opened when somebody joins a topic, closed some time after the last member has left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from ..wire.sink import Member
from . import Broker, Position
from .feed import Encoder, Feed, JoinReply, ObserveDelay

__all__ = ["Feeds"]


@dataclass(eq=False)
class _Entry:
    feed: Feed
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    is_open: bool = False
    joining: int = 0
    was_idle: bool = False

    @property
    def is_idle(self) -> bool:
        return not self.joining and not self.feed.members


class Feeds:
    """The feeds by their topics."""

    def __init__(self, broker: Broker, *, linger: float = 10.0, observe: ObserveDelay | None = None) -> None:
        """Make feeds over a broker that is open.

        Args:
            broker: keeps what the feeds send.
            linger: seconds for which a feed without members stays open, or somewhat more.
            observe: takes the seconds from the storing of each record, by the log's clock, to its delivery here.
        """
        self._broker = broker
        self._observe = observe
        self._linger = linger
        self._entries: dict[str, _Entry] = {}
        self._is_open = False

    def __len__(self) -> int:
        """Return how many feeds are open."""
        return len(self._entries)

    @property
    def is_open(self) -> bool:
        """Return whether members can join."""
        return self._is_open

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Accept members for the length of the block, and close every feed at its end."""
        closer = asyncio.create_task(self._close_idle(), name="feeds-close-idle")
        self._is_open = True
        try:
            yield
        finally:
            self._is_open = False
            closer.cancel()
            await asyncio.wait([closer])
            for entry in self._entries.values():
                await entry.stack.aclose()
            self._entries.clear()

    async def join(
        self,
        topic: str,
        member: Member,
        encoder: Encoder,
        reply: JoinReply,
        *,
        after: Position | None = None,
        last: int = 0,
    ) -> Feed:
        """Let a member join the feed of a topic, see `Feed.join`; return the feed, to leave it later.

        Raises:
            UnavailableError: the broker's engine didn't answer; the member hasn't joined.
        """
        entry = self._entries.get(topic)
        if entry is None:
            entry = self._entries[topic] = _Entry(Feed(self._broker, topic, encoder))
            entry.feed.observe = self._observe
        entry.joining += 1
        try:
            async with entry.opening:
                if not entry.is_open:
                    await entry.stack.enter_async_context(entry.feed.open())
                    entry.is_open = True
            await entry.feed.join(member, reply, after=after, last=last)
        finally:
            entry.joining -= 1
        return entry.feed

    async def _close_idle(self) -> None:
        while True:
            await asyncio.sleep(self._linger)
            for topic, entry in list(self._entries.items()):
                if entry.is_idle and entry.was_idle:
                    del self._entries[topic]
                    await entry.stack.aclose()
                entry.was_idle = entry.is_idle
