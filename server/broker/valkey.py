"""The broker for several processes and machines: Valkey, or Redis from 6.2 on, alone or as a cluster.

A record is stored in a stream and told by publish/subscribe in one atomic step (see `scripts`). The engine's
publish/subscribe forgets whom it could not reach, so it only brings the news early: where offsets show a gap,
on every new connection and every few seconds, what is missing is read from the stream.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from .courier import Client
from .followers import Followers
from .intake import check_key, check_limit, check_payload, check_topic
from .link import Link
from .protocol import BrokerError, Health, History, Limits, Listener, Position, UnavailableError
from .stream import Streams
from .subscriptions import Subscription

__all__ = ["ValkeyBroker"]

_log = logging.getLogger(__name__)


class ValkeyBroker:
    """A `Broker` on the engine at `url`: ``valkey://``, ``valkeys://`` (TLS), ``redis://`` or ``rediss://``.

    The names of its keys and channels begin with `prefix`, which may also stand in the URL (``?prefix=chat``).
    Every call ends within `deadline` seconds. The engine counts as away when it has said nothing for two
    `heartbeat`s. Every `check` seconds all positions are compared with the log, should the channel have lost one.

    A topic without news is given up by the engine: its records after `limits.seconds`, its position 30 days
    later. An engine loses nothing that it has accepted if it writes before it answers (``appendfsync always``);
    one that comes back without its last records begins a new epoch as soon as a listener here has seen more.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "chat",
        limits: Limits | None = None,
        deadline: float = 2.0,
        heartbeat: float = 1.0,
        check: float = 5.0,
    ) -> None:
        self._url, self._prefix = _parsed(url, prefix)
        self._limits = limits or Limits()
        self._deadline = deadline
        self._heartbeat = heartbeat
        self._check = check
        self._name = f"the engine at {urlsplit(self._url).netloc.rpartition('@')[2]}"
        self._tasks: list[asyncio.Task[None]] = []
        self._options: dict[str, Any] = {
            # the deadlines are ours: the client's make it lose a cancellation (asyncio.wait_for before Python 3.12)
            "socket_timeout": None,
            "socket_connect_timeout": deadline / 2,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "decode_responses": True,
        }

    @property
    def limits(self) -> Limits:
        """What is kept and taken."""
        return self._limits

    # its life

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            UnavailableError: the engine does not answer within the deadline, or lets nobody in.
        """
        try:
            async with asyncio.timeout(self._deadline):
                self._client = await self._connected()
        except (RedisError, OSError) as error:
            reason = str(error) or f"no answer within {self._deadline:g} s"
            raise UnavailableError(f"{self._name} cannot be used: {reason}") from None
        self._start()
        try:
            with suppress(TimeoutError):  # the engine has just answered; if it has gone again, health says so
                async with asyncio.timeout(self._deadline):
                    await self._link.live.wait()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    def _start(self) -> None:
        self._streams = Streams(self._client, self._name, self._prefix, self._limits, self._deadline)
        self._followers = Followers(self._streams, deadline=self._deadline, check=self._check)
        followers = self._followers
        self._link = followers.link = Link(
            self._connection, followers.on_message, followers.look_now, heartbeat=self._heartbeat
        )
        runs = (
            self._streams.run_writes,
            self._streams.run_reads,
            self._link.run,
            followers.fill_gaps,
            followers.look_for_news,
        )
        self._tasks = [asyncio.create_task(run()) for run in runs]
        for task in self._tasks:
            task.add_done_callback(_report)

    async def __aexit__(self, *exc_info: object) -> None:
        running, self._tasks = set(self._tasks), []
        while running:
            for task in running:
                task.cancel()
            # a task group whose child fails while it is cancelled tells of the failure only: then once more
            _, running = await asyncio.wait(running, timeout=0.1)
        await self._client.aclose()

    async def _connected(self) -> Client:
        client = Redis.from_url(self._url, **self._options)
        try:
            information = await client.info("cluster")
        except ResponseError:  # the user may not ask: such an engine is taken for a single one
            information = {}
        except BaseException:
            await client.aclose()
            raise
        if not information.get("cluster_enabled"):
            return client
        await client.aclose()
        cluster = RedisCluster.from_url(self._url, **self._options)
        try:
            return await cluster.initialize()
        except BaseException:
            await cluster.aclose()
            raise

    def _connection(self) -> AbstractConnection:
        pool = ConnectionPool.from_url(self._url, **self._options)
        if isinstance(self._client, RedisCluster):
            # each node of a cluster tells what is published on any; the one in the URL may be away
            node = random.choice(self._client.get_nodes())
            pool.update_connection_kwargs(host=node.host, port=node.port)
        connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
        return connection

    # what a broker does

    async def publish(self, topic: str, payload: str, *, key: str | None = None) -> Position:
        """Store a record and tell every listener in every process; see `Broker.publish`."""
        check_topic(topic)
        check_key(key)
        check_payload(payload, self._limits)
        return await self._opened.publish(topic, payload, key)

    async def signal(self, topic: str, payload: str) -> None:
        """Tell everybody who listens now, at most once; see `Broker.signal`."""
        check_topic(topic)
        check_payload(payload, self._limits)
        await self._opened.signal(topic, payload)

    async def history(self, topic: str, after: Position | None = None, *, limit: int | None = None) -> History:
        """The records after a position, or the newest; see `Broker.history`."""
        check_topic(topic)
        check_limit(limit)
        return await self._opened.read(topic, after, self._limits.records if limit is None else limit)

    def subscribe(self, topic: str, listener: Listener) -> AbstractAsyncContextManager[Position]:
        """Call `listener` for what is published from now on; see `Broker.subscribe`."""
        check_topic(topic)
        self._opened  # noqa: B018  # raises where it is closed
        return self._followers.following(Subscription(topic, listener))

    def health(self) -> Health:
        """Whether the engine answers, as of the last heartbeats."""
        if not self._tasks:
            return Health(ready=False, reason="the broker is not open")
        if any(task.done() for task in self._tasks):
            return Health(ready=False, reason="a part of the broker has failed, see the log")
        return Health(ready=self._link.live.is_set(), reason=self._link.reason)

    async def drop(self, topic: str) -> None:
        """Forget everything about a topic; see `Broker.drop`."""
        check_topic(topic)
        await self._opened.drop(topic)

    @property
    def _opened(self) -> Streams:
        if not self._tasks:
            raise BrokerError("the broker is not open; use it inside 'async with'")
        return self._streams


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("a part of the broker has failed; open it again", exc_info=error)


def _parsed(url: str, prefix: str) -> tuple[str, str]:
    """The URL as the client takes it, and the prefix, which the URL may name."""
    try:
        parts = urlsplit(re.sub("^valkey", "redis", url, flags=re.IGNORECASE))
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        prefix = query.pop("prefix", prefix)
        address = parts._replace(query=urlencode(query)).geturl()
        parse_url(address)
    except ValueError as error:
        raise BrokerError(f"the address of the engine is no address ({error}); write valkey://HOST:PORT") from None
    if not prefix or "{" in prefix:
        raise BrokerError(f"the prefix of keys is empty or has a brace: {prefix!r}; pass one such as prefix='chat'")
    return address, prefix
