"""The broker for several processes and machines: Valkey, or Redis from 6.2 on, alone or as a cluster.

A record is stored in a stream and published on a channel in one atomic step (see `scripts`). The engine doesn't
publish again to a process that it couldn't reach, so the channel is only the fast way: if offsets show a gap, on every
new connection, and every few seconds, what is missing is read from the stream.
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

from ..interface import BrokerError, Health, History, Limits, Listener, Position, UnavailableError
from ..listeners import Subscription
from ..validation import check_limit, check_publication, check_topic
from .catchup import CatchUp
from .pipeline import Client
from .pubsub import PubSubConnection
from .topics import Topics

__all__ = ["ValkeyBroker"]

_log = logging.getLogger(__name__)


class ValkeyBroker:
    """A `Broker` on the engine at `url`: ``valkey://``, ``valkeys://`` (TLS), ``redis://`` or ``rediss://``.

    The names of its keys and channels begin with `prefix`, which may also stand in the URL (``?prefix=chat``).
    Every call ends within `deadline` seconds. The engine counts as away if it has said nothing for two
    `heartbeat`s. Every `check` seconds all positions are compared with the log, in case the channel lost a record.

    The engine forgets a topic that isn't used: its records after `limits.seconds`, its position 30 days later. It
    loses nothing that it has accepted if it writes before it answers (``appendfsync always``). An engine that comes
    back without its last records begins a new epoch as soon as a process reconnects that has seen more, as a listener,
    reader or publisher of the topic: every call tells it, so that no record gets the place of another. Nobody notices
    the loss of records that only ended processes have seen.
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
            # the deadlines are ours: the client's own can lose a cancellation (asyncio.wait_for before Python 3.12)
            "socket_timeout": None,
            "socket_connect_timeout": deadline / 2,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "decode_responses": True,
            "encoding_errors": "replace",  # one record of another program must not hide the others
        }

    @property
    def limits(self) -> Limits:
        """How much is kept, and how long a payload may be."""
        return self._limits

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            UnavailableError: the engine doesn't answer within the deadline, or refuses the connection.
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
                    await self._pubsub.ready.wait()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    def _start(self) -> None:
        self._topics = Topics(self._client, self._name, self._prefix, self._limits, self._deadline)
        self._catchup = catchup = CatchUp(self._topics, deadline=self._deadline, check=self._check)
        self._pubsub = catchup.pubsub = PubSubConnection(
            self._connection, catchup.on_message, catchup.pause, catchup.compare_soon, heartbeat=self._heartbeat
        )
        runs = (
            self._topics.run_writes,
            self._topics.run_reads,
            self._pubsub.run,
            catchup.fill_gaps,
            catchup.compare_positions,
        )
        self._tasks = [asyncio.create_task(run()) for run in runs]
        for task in self._tasks:
            task.add_done_callback(_log_failure)

    async def __aexit__(self, *exc_info: object) -> None:
        """Disconnect, and end every task."""
        running, self._tasks = set(self._tasks), []
        while running:
            for task in running:
                task.cancel()
            # a task group whose child fails while it is being cancelled raises only the failure: then cancel once more
            _, running = await asyncio.wait(running, timeout=0.1)
        await self._client.aclose()

    async def _connected(self) -> Client:
        client = Redis.from_url(self._url, **self._options)
        try:
            information = await client.info("cluster")
        except ResponseError:  # this user may not ask: assume that it is no cluster
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
            # every node of a cluster tells what is published on any; the one in the URL may be away
            node = random.choice(self._client.get_nodes())
            pool.update_connection_kwargs(host=node.host, port=node.port)
        connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
        return connection

    async def publish(self, topic: str, payload: str, *, key: str | None = None) -> Position:
        """Store a record and tell every process; see `Broker.publish`."""
        check_publication(self._limits, topic, payload, key)
        return await self._open_topics.publish(topic, payload, key)

    async def signal(self, topic: str, payload: str) -> None:
        """Tell every process that listens now, at most once; see `Broker.signal`."""
        check_publication(self._limits, topic, payload)
        await self._open_topics.signal(topic, payload)

    async def history(self, topic: str, after: Position | None = None, *, limit: int | None = None) -> History:
        """Return the records after a position, or the newest; see `Broker.history`."""
        check_topic(topic)
        check_limit(limit)
        history, _ = await self._open_topics.read(topic, after, self._limits.records if limit is None else limit)
        return history

    def subscribe(self, topic: str, listener: Listener) -> AbstractAsyncContextManager[Position]:
        """Call `listener` for what is published from now on; see `Broker.subscribe`."""
        check_topic(topic)
        self._open_topics  # noqa: B018  # raises if the broker is closed
        return self._catchup.subscribed(Subscription(topic, listener))

    def health(self) -> Health:
        """Return whether the engine has answered the last heartbeats."""
        if not self._tasks:
            return Health(ready=False, reason="the broker is not open")
        if any(task.done() for task in self._tasks):
            return Health(ready=False, reason="a part of the broker has failed, see the log")
        return Health(ready=self._pubsub.ready.is_set(), reason=self._pubsub.reason)

    async def drop(self, topic: str) -> None:
        """Forget everything about a topic; see `Broker.drop`."""
        check_topic(topic)
        await self._open_topics.drop(topic)

    @property
    def _open_topics(self) -> Topics:
        if not self._tasks:
            raise BrokerError("the broker is not open; use it inside 'async with'")
        return self._topics


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("a part of the broker has failed; open it again", exc_info=error)


def _parsed(url: str, prefix: str) -> tuple[str, str]:
    """Return the URL as the client expects it, and the prefix, which the URL may name."""
    try:
        parts = urlsplit(re.sub("^valkey", "redis", url, flags=re.IGNORECASE))
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        prefix = query.pop("prefix", prefix)
        address = parts._replace(query=urlencode(query)).geturl()
        parse_url(address)
    except ValueError as error:
        raise BrokerError(f"the address of the engine is not valid ({error}); write valkey://HOST:PORT") from None
    if not prefix or "{" in prefix:
        raise BrokerError(f"the prefix of keys is empty or has a brace: {prefix!r}; pass one such as prefix='chat'")
    return address, prefix
