"""Every topic that this process follows: the channel brings the news, and the log what the channel did not bring."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from .follower import Follower
from .link import Link
from .protocol import Position, UnavailableError
from .stream import Streams, parse_record
from .subscriptions import Subscription, Subscriptions

__all__ = ["Followers"]

PAGE = 200  # records read at once to fill a gap
COMPARED = 500  # topics whose positions are asked for in one go
LONGEST_PAUSE = 1.0  # seconds between two attempts to fill a gap while the engine is away, at most

_log = logging.getLogger(__name__)


class Followers:
    """The followers by their channels. `fill_gaps` and `look_for_news` must run.

    `link` is set before the first topic is followed, and calls `on_message` and `look_now`.
    """

    link: Link

    def __init__(self, streams: Streams, *, deadline: float, check: float) -> None:
        self._streams = streams
        self._deadline = deadline
        self._check = check
        self._subscriptions = Subscriptions()
        self._followers: dict[str, Follower] = {}
        self._behind: dict[Follower, None] = {}
        self._any_behind = asyncio.Event()
        self._look = asyncio.Event()

    # who listens

    @asynccontextmanager
    async def following(self, subscription: Subscription) -> AsyncIterator[Position]:
        """Tell a subscription what comes after the position that the block gets.

        Raises:
            UnavailableError: the engine did not answer.
        """
        channel = self._streams.channel(subscription.topic)
        follower = self._followers.setdefault(channel, Follower(subscription.topic, self._subscriptions))
        follower.users += 1
        try:
            position = await self._begun(channel, follower)
            self._subscriptions.add(subscription)
            yield position
        finally:
            self._subscriptions.discard(subscription)
            follower.users -= 1
            if not follower.users:
                del self._followers[channel]
                self.link.unwant(channel)

    async def _begun(self, channel: str, follower: Follower) -> Position:
        """Where a follower is; the channel is confirmed before the log is read, so that nothing falls between."""
        try:
            async with asyncio.timeout(self._deadline), follower.opening:
                if follower.position is None:
                    await self.link.want(channel)
                    history = await self._streams.read(follower.topic, None, 0)
                    if not follower.begin(history.position):
                        self._fill_soon(follower)
                return follower.position or history.position
        except TimeoutError:
            reason = self.link.reason or "no answer"
            raise UnavailableError(
                f"{follower.topic!r} could not be followed within {self._deadline:g} s: {reason}"
            ) from None

    # what the channel brings

    def on_message(self, channel: str, text: str) -> None:
        """Take what was told on a channel."""
        follower = self._followers.get(channel)
        if follower is None:
            return
        kind, _, rest = text.partition(" ")
        if kind == "signal":
            self._subscriptions.signal(follower.topic, rest)
        elif kind != "record" or not follower.take(parse_record(follower.topic, rest)):
            self._fill_soon(follower)

    # what it did not bring

    def look_now(self) -> None:
        """Compare all positions with the log soon: the connection is new."""
        self._look.set()

    async def look_for_news(self) -> None:
        """Compare all positions with the log when told to and every `check` seconds, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._check):
                    await self._look.wait()
            self._look.clear()
            try:
                await self._compare()
            except UnavailableError as error:
                _log.info("positions are compared later: %s", error)

    async def _compare(self) -> None:
        followers = list(self._followers.values())
        for start in range(0, len(followers), COMPARED):
            some = followers[start : start + COMPARED]
            positions = await self._streams.positions([follower.topic for follower in some])
            for follower, position in zip(some, positions, strict=True):
                if follower.position not in (None, position):
                    self._fill_soon(follower)

    async def fill_gaps(self) -> None:
        """Fill from the log what followers miss, one after the other, until cancelled."""
        while True:
            await self._any_behind.wait()
            if not self._behind:
                self._any_behind.clear()
                continue
            follower = next(iter(self._behind))
            # removed first: what is said about it from now on may be newer than what is read
            del self._behind[follower]
            try:
                await self._fill(follower)
            except UnavailableError as error:
                self._fill_soon(follower)
                _log.info("%r is filled later: %s", follower.topic, error)
                await asyncio.sleep(random.uniform(0, LONGEST_PAUSE))

    async def _fill(self, follower: Follower) -> None:
        follower.filling = True
        try:
            while follower.users and follower.position is not None:
                history = await self._streams.read(follower.topic, follower.position, PAGE, seen=True)
                if follower.fill(history):
                    break
        finally:
            if not follower.filled():
                self._fill_soon(follower)

    def _fill_soon(self, follower: Follower) -> None:
        if follower.users:
            self._behind[follower] = None
            self._any_behind.set()
