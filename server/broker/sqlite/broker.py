"""The broker of one process: SQLite, in memory or in a file that outlasts the process (lesson 04).

It needs nothing installed. Several processes need an engine to share: see `server.broker.valkey.broker`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from ..interface import BrokerError, Health, History, Limits, Listener, Position
from ..listeners import Subscription, Subscriptions
from ..validation import check_limit, check_publication, check_topic
from .executors import Executor, FileExecutor, MemoryExecutor
from .files import is_permanent
from .store import Published, Store

__all__ = ["LocalBroker"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

DEADLINE = 10.0  # seconds for the disk to answer
SWEEP_SECONDS = 1.0  # between two sweeps


class _Closed:
    """The executor of a broker that isn't open: it refuses every call."""

    def __init__(self, reason: str) -> None:
        self.failure: BrokerError | None = BrokerError(f"{reason}; use it inside 'async with'")

    async def open(self) -> None:
        raise BrokerError(str(self.failure))

    async def run(self, call: Callable[[Store], T], on_result: Callable[[T], None] | None = None) -> T:
        raise BrokerError(str(self.failure))

    async def close(self) -> None:
        raise BrokerError(str(self.failure))


class LocalBroker:
    """A broker for one process only; ``async with LocalBroker() as broker``.

    In memory, `publish` takes some ten microseconds and doesn't yield to other tasks; everything is gone with
    the broker. With a file, it returns when the record is on the disk: neither ``kill -9`` nor a power loss takes it
    back. Concurrent publishers share one write, and the loop never waits for the disk.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Describe a broker; it opens when its block is entered.

        Args:
            path: the file, which is created if there is none, or None for memory. One broker at a time can have it.
            limits: how much is kept, and how long a payload may be.
            clock: returns seconds since 1970.
        """
        self._path = None if path is None else Path(path)
        self._limits = limits or Limits()
        self._clock = clock
        self._subscriptions = Subscriptions()
        self._executor: Executor = _Closed("the broker is not open")

    @property
    def limits(self) -> Limits:
        """How much is kept, and how long a payload may be."""
        return self._limits

    async def __aenter__(self) -> Self:
        """Open the file.

        Raises:
            BrokerError: it isn't a broker's file, is damaged, or is open in another broker; or this broker is open.
            UnavailableError: the folder or the file can't be read and written.
        """
        if not isinstance(self._executor, _Closed):
            raise BrokerError("the broker is open; make another one for another block")
        executor: Executor = (
            MemoryExecutor(self._limits, self._clock)
            if self._path is None
            else FileExecutor(self._path, self._limits, self._clock, deadline=DEADLINE)
        )
        await executor.open()
        self._executor = executor
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep(), name="broker-sweep")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Finish what was asked for, and close the file."""
        executor, self._executor = self._executor, _Closed("the broker is closed")
        self._sweeper.cancel()
        try:
            await asyncio.wait([self._sweeper])
        finally:
            await executor.close()

    async def publish(self, topic: str, payload: str, *, key: str | None = None) -> Position:
        """Store a record and deliver it to every listener; see `Broker.publish`."""
        check_publication(self._limits, topic, payload, key)
        published = await self._executor.run(
            partial(Store.publish, topic=topic, payload=payload, key=key), self._deliver
        )
        return published.position

    async def signal(self, topic: str, payload: str) -> None:
        """Deliver a payload to everybody who listens now; see `Broker.signal`."""
        check_publication(self._limits, topic, payload)
        if isinstance(self._executor, _Closed):
            raise BrokerError(str(self._executor.failure))
        self._subscriptions.notify_signal(topic, payload)

    async def history(self, topic: str, after: Position | None = None, *, limit: int | None = None) -> History:
        """Return the records after a position, or the newest; see `Broker.history`."""
        check_topic(topic)
        check_limit(limit)
        return await self._executor.run(partial(Store.history, topic=topic, after=after, limit=limit))

    def subscribe(self, topic: str, listener: Listener) -> AbstractAsyncContextManager[Position]:
        """Call `listener` for what is published from now on; see `Broker.subscribe`."""
        check_topic(topic)
        return self._subscribed(Subscription(topic, listener))

    def health(self) -> Health:
        """Return whether the disk accepted the last write."""
        failure = self._executor.failure
        return Health(ready=failure is None, reason=str(failure or ""))

    async def drop(self, topic: str) -> None:
        """Forget everything about a topic; see `Broker.drop`."""
        check_topic(topic)
        dropped = await self._executor.run(
            partial(Store.replace, topic=topic),
            lambda dropped: self._subscriptions.notify_reset(topic, dropped.position),
        )
        await self._run_until_done(partial(Store.purge, topic_id=dropped.id))

    @asynccontextmanager
    async def _subscribed(self, subscription: Subscription) -> AsyncIterator[Position]:
        try:
            yield await self._executor.run(
                partial(Store.position, topic=subscription.topic), lambda _: self._subscriptions.add(subscription)
            )
        finally:
            self._subscriptions.discard(subscription)

    def _deliver(self, published: Published) -> None:
        if published.record is not None:
            self._subscriptions.notify_record(published.record)

    async def _run_until_done(self, call: Callable[[Store], bool]) -> None:
        """Run a call again and again until it returns False; other calls run in between."""
        more = True
        while more:
            more = await self._executor.run(call)
            await asyncio.sleep(0)

    async def _sweep(self) -> None:
        """Drop what is too old, a little at a time; while the disk refuses, try whether it accepts writes again."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                failure = self._executor.failure
                if failure is not None and not is_permanent(failure.__cause__):
                    await self._executor.run(Store.probe)
                    self._executor.failure = None
                await self._run_until_done(lambda store: store.sweep(self._subscriptions.topics))
            except BrokerError as error:
                _log.warning("no sweep: %s", error)
            except Exception:
                _log.exception("a sweep failed; the next one follows")
