"""The one connection on which the engine tells this process what is published.

It is made again whenever it breaks, with exponential backoff and full jitter, so that a thousand
processes don't return to a restarted engine at once. A PING shows whether a silent connection is still alive.
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

__all__ = ["PubSubConnection"]

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0  # seconds between two attempts, at most; each is shortened at random
MAX_CHANNELS = 500  # channels in one command

_log = logging.getLogger(__name__)


class PubSubConnection:
    """Keeps a connection subscribed to the wanted channels for as long as `run` runs.

    `on_message` gets every channel and text. `on_connect` is called before the first message of a new connection, and
    `on_ready` when all wanted channels are subscribed on it; what was published before that may have been missed.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractConnection],
        on_message: Callable[[str, str], None],
        on_connect: Callable[[], None],
        on_ready: Callable[[], None],
        *,
        heartbeat: float,
    ) -> None:
        self.ready = asyncio.Event()
        """Set while every wanted channel is subscribed."""
        self.reason = "not connected yet"
        """Why it isn't ready."""
        self._connect = connect
        self._on_message = on_message
        self._on_connect = on_connect
        self._on_ready = on_ready
        self._heartbeat = heartbeat
        self._wanted: set[str] = set()
        self._requested: set[str] = set()
        self._confirmed: set[str] = set()
        self._waiters: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Event()
        self._last_read = 0.0
        self._failures = 0

    async def subscribe(self, channel: str) -> None:
        """Subscribe to a channel, and return when the engine has confirmed it; wait as long as that takes."""
        self._wanted.add(channel)
        self._changed.set()
        while channel in self._wanted and channel not in self._confirmed:
            await self._waiters.setdefault(channel, asyncio.Event()).wait()

    def unsubscribe(self, channel: str) -> None:
        """Unsubscribe from a channel, soon."""
        self._wanted.discard(channel)
        self._changed.set()
        self._wake(channel)

    async def run(self) -> None:
        """Connect, and connect again when the connection is lost, until cancelled."""
        while True:
            try:
                await self._serve()
            except* Exception as group:  # whatever it was, the next connection may do better
                self._log_failure(_first_error(group))
            await asyncio.sleep(random.uniform(0, min(FIRST_PAUSE * 2**self._failures, LONGEST_PAUSE)))
            self._failures = min(self._failures + 1, 20)

    async def _serve(self) -> None:
        """Make one connection and use it until it breaks."""
        connection = self._connect()
        self._requested.clear()
        self._confirmed.clear()
        try:
            async with asyncio.timeout(2 * self._heartbeat):
                await connection.connect()  # type: ignore[no-untyped-call]
            self._last_read = asyncio.get_running_loop().time()
            self._on_connect()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(connection))
                group.create_task(self._write(connection))
        finally:
            self.ready.clear()
            await connection.disconnect(nowait=True)

    def _log_failure(self, error: BaseException) -> None:
        reason = str(error) or type(error).__name__
        if reason != self.reason:
            expected = isinstance(error, (RedisError, OSError))
            _log.warning("the engine is away: %s", reason, exc_info=None if expected else error)
        self.reason = reason

    async def _read(self, connection: AbstractConnection) -> None:
        loop = asyncio.get_running_loop()
        while True:
            # for this client infinity means no deadline; the heartbeat notices silence
            response = await connection.read_response(timeout=math.inf)
            self._last_read = loop.time()
            if response[0] == "message":
                self._on_message(response[1], response[2])
            elif response[0] == "subscribe":
                self._confirmed.add(response[1])
                self._wake(response[1])
            if not self.ready.is_set() and self._wanted <= self._confirmed:
                self.reason, self._failures = "", 0
                self.ready.set()
                self._on_ready()

    def _wake(self, channel: str) -> None:
        """Wake whoever waits for a channel to be confirmed."""
        if (waiter := self._waiters.pop(channel, None)) is not None:
            waiter.set()

    async def _write(self, connection: AbstractConnection) -> None:
        await self._send(connection, "PING")  # its answer makes a connection ready that has no channel yet
        while True:
            self._changed.clear()
            await self._send_changes(connection)
            try:
                async with asyncio.timeout(self._heartbeat):
                    await self._changed.wait()
            except TimeoutError:
                await self._ping(connection)

    async def _send_changes(self, connection: AbstractConnection) -> None:
        for channels in _chunks(self._wanted - self._requested):
            self._requested.update(channels)
            await self._send(connection, "SUBSCRIBE", *channels)
        # only confirmed ones: the answer to an earlier SUBSCRIBE must not come after this
        for channels in _chunks(self._confirmed - self._wanted):
            self._requested.difference_update(channels)
            self._confirmed.difference_update(channels)
            await self._send(connection, "UNSUBSCRIBE", *channels)

    async def _ping(self, connection: AbstractConnection) -> None:
        silent = asyncio.get_running_loop().time() - self._last_read
        if silent > 2 * self._heartbeat:
            raise ConnectionError(f"the engine has said nothing for {silent:.1f} s")
        await self._send(connection, "PING")

    async def _send(self, connection: AbstractConnection, *command: str) -> None:
        async with asyncio.timeout(2 * self._heartbeat):
            await connection.send_command(*command)


def _first_error(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _chunks(channels: Iterable[str]) -> Iterator[list[str]]:
    ordered = list(channels)
    return (ordered[start : start + MAX_CHANNELS] for start in range(0, len(ordered), MAX_CHANNELS))
