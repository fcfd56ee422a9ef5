"""The broker of one process: SQLite, in memory or in a file that survives the process (lesson 04).

It needs nothing installed. Several processes need an engine between them: see `server.broker.valkey`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol, Self, TypeVar

from .database import is_lasting
from .direct import Direct
from .intake import check_key, check_limit, check_payload, check_topic
from .protocol import BrokerError, Health, History, Limits, Listener, Position, UnavailableError
from .store import Published, Store
from .subscriptions import Subscription, Subscriptions
from .writer import Writer

__all__ = ["LocalBroker"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

DEADLINE = 10.0  # seconds for the disk to answer
SWEEP_SECONDS = 1.0  # between two looks for what is too old


class _Runner(Protocol):
    """Where the calls on the store are run: `Direct` or `Writer`."""

    async def open(self) -> None: ...
    async def run(self, call: Callable[[Store], T], then: Callable[[T], None]) -> T: ...
    async def close(self) -> None: ...


class LocalBroker:
    """A broker of this process alone; ``async with LocalBroker() as broker``.

    In memory, `publish` takes some ten microseconds and does not give way to other tasks; everything is gone with
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
            path: of the file, made where there is none, or None for memory. One broker at a time can have it.
            limits: what is kept and taken.
            clock: seconds since 1970.
        """
        self._path = None if path is None else Path(path)
        self._limits = limits or Limits()
        self._clock = clock
        self._subscriptions = Subscriptions()
        self._runner: _Runner | None = None
        self._reason = "the broker is not open"
        self._damaged = False

    @property
    def limits(self) -> Limits:
        """What is kept and taken."""
        return self._limits

    async def __aenter__(self) -> Self:
        """Open the file.

        Raises:
            BrokerError: it is not a broker's, is damaged, or is open in another broker; or this one is open.
            UnavailableError: the folder or the file cannot be read and written.
        """
        if self._runner is not None:
            raise BrokerError("the broker is open; make another one for another block")
        runner: _Runner = (
            Direct(self._limits, self._clock)
            if self._path is None
            else Writer(self._path, self._limits, self._clock, deadline=DEADLINE)
        )
        await runner.open()
        self._runner, self._reason, self._damaged = runner, "", False
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep(), name="broker-sweep")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        runner, self._runner, self._reason = self._opened, None, "the broker is closed"
        self._sweeper.cancel()
        try:
            await asyncio.wait([self._sweeper])
        finally:
            await runner.close()

    async def publish(self, topic: str, payload: str, *, key: str | None = None) -> Position:
        """Store a record and tell every listener; see `Broker.publish`."""
        check_topic(topic)
        check_key(key)
        check_payload(payload, self._limits)
        published = await self._run(lambda store: store.publish(topic, payload, key), self._deliver)
        return published.position

    async def signal(self, topic: str, payload: str) -> None:
        """Tell everybody who listens now; see `Broker.signal`."""
        check_topic(topic)
        check_payload(payload, self._limits)
        self._opened  # noqa: B018  # raises where it is closed
        self._subscriptions.signal(topic, payload)

    async def history(self, topic: str, after: Position | None = None, *, limit: int | None = None) -> History:
        """The records after a position, or the newest; see `Broker.history`."""
        check_topic(topic)
        check_limit(limit)
        return await self._run(lambda store: store.history(topic, after, limit))

    def subscribe(self, topic: str, listener: Listener) -> AbstractAsyncContextManager[Position]:
        """Call `listener` for what is published from now on; see `Broker.subscribe`."""
        check_topic(topic)
        return self._subscribed(Subscription(topic, listener))

    def health(self) -> Health:
        """Whether the disk took what was written last."""
        return Health(ready=not self._reason, reason=self._reason)

    async def drop(self, topic: str) -> None:
        """Forget everything about a topic; see `Broker.drop`."""
        check_topic(topic)
        dropped = await self._run(
            lambda store: store.replace(topic), lambda dropped: self._subscriptions.reset(topic, dropped.position)
        )
        await self._repeat(lambda store: store.purge(dropped.id))

    @asynccontextmanager
    async def _subscribed(self, subscription: Subscription) -> AsyncIterator[Position]:
        try:
            yield await self._run(
                lambda store: store.position(subscription.topic), lambda _: self._subscriptions.add(subscription)
            )
        finally:
            self._subscriptions.discard(subscription)

    def _deliver(self, published: Published) -> None:
        if published.record is not None:
            self._subscriptions.record(published.record)

    @property
    def _opened(self) -> _Runner:
        if self._runner is None:
            raise BrokerError(f"{self._reason}; use it inside 'async with'")
        return self._runner

    async def _run(self, call: Callable[[Store], T], then: Callable[[T], None] = lambda _: None) -> T:
        runner = self._opened
        try:
            return await runner.run(call, then)
        except UnavailableError as error:
            self._reason = str(error)
            self._damaged = self._damaged or is_lasting(error.__cause__)
            raise

    async def _repeat(self, call: Callable[[Store], bool]) -> None:
        """Run a call until it says that there is no more; others get their turn in between."""
        more = True
        while more:
            more = await self._run(call)
            await asyncio.sleep(0)

    async def _sweep(self) -> None:
        """Drop what is too old, a little at a time; and see whether the disk has come back."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                if self._reason and not self._damaged:
                    await self._run(Store.probe)
                    self._reason = ""
                await self._repeat(lambda store: store.sweep(self._subscriptions.topics))
            except BrokerError as error:
                _log.warning("no sweep: %s", error)
            except Exception:
                _log.exception("a sweep failed; the next one follows")
