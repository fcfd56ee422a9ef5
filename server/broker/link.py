"""The one connection on which the engine tells this process what is published.

It is made again whenever it breaks, with exponential backoff and full jitter, so that a thousand
processes do not return to a restarted engine at once. One that has gone silent is noticed by a PING.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

__all__ = ["Link"]

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0  # seconds between two attempts, at most; each is shortened at random
TOGETHER = 500  # channels of one command

_log = logging.getLogger(__name__)


class Link:
    """Keeps a connection subscribed to the wanted channels for as long as `run` runs.

    `on_message` gets every channel and text; `on_live` is called when all wanted channels are subscribed
    on a new connection, and what was published before that may have been missed.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractConnection],
        on_message: Callable[[str, str], None],
        on_live: Callable[[], None],
        *,
        heartbeat: float,
    ) -> None:
        self.live = asyncio.Event()
        """Set while all that is wanted is subscribed."""
        self.reason = "not connected yet"
        """Why it is not live."""
        self._connect = connect
        self._on_message = on_message
        self._on_live = on_live
        self._heartbeat = heartbeat
        self._wanted: set[str] = set()
        self._sent: set[str] = set()
        self._confirmed: set[str] = set()
        self._waiting: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Event()
        self._heard = 0.0
        self._failures = 0

    # what is wanted

    async def want(self, channel: str) -> None:
        """Subscribe to a channel, and return when the engine has confirmed it; wait as long as that takes."""
        self._wanted.add(channel)
        self._changed.set()
        while channel in self._wanted and channel not in self._confirmed:
            await self._waiting.setdefault(channel, asyncio.Event()).wait()

    def unwant(self, channel: str) -> None:
        """Give up a channel, soon."""
        self._wanted.discard(channel)
        self._changed.set()
        if (waiting := self._waiting.pop(channel, None)) is not None:
            waiting.set()

    # its life

    async def run(self) -> None:
        """Connect, and again when the connection is lost, until cancelled."""
        while True:
            try:
                await self._hold()
            except* Exception as group:  # whatever it was, the next connection may do better
                self._lost(_first(group))
            await asyncio.sleep(random.uniform(0, min(FIRST_PAUSE * 2**self._failures, LONGEST_PAUSE)))
            self._failures = min(self._failures + 1, 20)

    async def _hold(self) -> None:
        connection = self._connect()
        self._sent.clear()
        self._confirmed.clear()
        try:
            async with asyncio.timeout(2 * self._heartbeat):
                await connection.connect()  # type: ignore[no-untyped-call]
            self._heard = asyncio.get_running_loop().time()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(connection))
                group.create_task(self._write(connection))
        finally:
            self.live.clear()
            await connection.disconnect(nowait=True)

    def _lost(self, error: BaseException) -> None:
        reason = str(error) or type(error).__name__
        if reason != self.reason:
            expected = isinstance(error, (RedisError, OSError))
            _log.warning("the engine is away: %s", reason, exc_info=None if expected else error)
        self.reason = reason

    # one connection

    async def _read(self, connection: AbstractConnection) -> None:
        loop = asyncio.get_running_loop()
        while True:
            # infinity is the client's word for no deadline; silence is noticed by the heartbeat
            response = await connection.read_response(timeout=math.inf)
            self._heard = loop.time()
            if response[0] == "message":
                self._on_message(response[1], response[2])
            elif response[0] == "subscribe":
                self._confirm(response[1])
            if not self.live.is_set() and self._wanted <= self._confirmed:
                self.reason, self._failures = "", 0
                self.live.set()
                self._on_live()

    def _confirm(self, channel: str) -> None:
        self._confirmed.add(channel)
        if (waiting := self._waiting.pop(channel, None)) is not None:
            waiting.set()

    async def _write(self, connection: AbstractConnection) -> None:
        await self._send(connection, "PING")  # its answer proves the connection where nothing is wanted yet
        while True:
            self._changed.clear()
            await self._subscribe(connection)
            try:
                async with asyncio.timeout(self._heartbeat):
                    await self._changed.wait()
            except TimeoutError:
                await self._beat(connection)

    async def _subscribe(self, connection: AbstractConnection) -> None:
        for channels in _groups(self._wanted - self._sent):
            self._sent.update(channels)
            await self._send(connection, "SUBSCRIBE", *channels)
        # only what is confirmed: the answer to an older SUBSCRIBE must not come after this
        for channels in _groups(self._confirmed - self._wanted):
            self._sent.difference_update(channels)
            self._confirmed.difference_update(channels)
            await self._send(connection, "UNSUBSCRIBE", *channels)

    async def _beat(self, connection: AbstractConnection) -> None:
        silent = asyncio.get_running_loop().time() - self._heard
        if silent > 2 * self._heartbeat:
            raise ConnectionError(f"the engine has said nothing for {silent:.1f} s")
        await self._send(connection, "PING")

    async def _send(self, connection: AbstractConnection, *command: str) -> None:
        async with asyncio.timeout(2 * self._heartbeat):
            await connection.send_command(*command)


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _groups(channels: Iterable[str]) -> Iterator[list[str]]:
    every = list(channels)
    return (every[start : start + TOGETHER] for start in range(0, len(every), TOGETHER))
