"""The broker for several processes and machines: Valkey or Redis 6.2 and later, alone or as a cluster.

A record is stored in a stream and told by publish/subscribe in one atomic step (see `scripts`). The
engine's publish/subscribe forgets whom it could not reach, so it only says that there is news: a gap in
the offsets, a new connection, and a look at the positions every few seconds fill what is missing from
the stream.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from .courier import Client, Courier
from .follower import Follower
from .intake import check_key, check_limit, check_payload, check_topic
from .link import Link
from .protocol import BrokerError, Health, History, Limits, Listener, Position, Record, UnavailableError
from .scripts import DROP, NEWEST, PUBLISH, READ
from .subscriptions import Subscription, Subscriptions

__all__ = ["ValkeyBroker"]

OWN_KEY_SECONDS = 30.0  # seconds for which a publish without a key can be repeated by the broker itself
IDLE_SECONDS = 30 * 24 * 3600.0  # seconds for which the position of an empty topic outlives its records
PAGE = 200  # records read at once to fill a gap
CHECKED = 500  # topics looked at in one go

_log = logging.getLogger(__name__)


class ValkeyBroker:
    """A `Broker` on the engine at `url`: ``valkey://``, ``valkeys://`` (TLS), ``redis://`` or ``rediss://``.

    Keys and channels begin with `prefix`, which may also stand in the URL (``?prefix=chat``). Every call
    ends within `deadline` seconds. An engine that says nothing for two `heartbeat` seconds counts as away.
    Every `check` seconds the positions of all followed topics are compared with the log.

    The records of a topic without news are given up after `limits.seconds`, its position 30 days later.
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
        self._subscriptions = Subscriptions()
        self._followers: dict[str, Follower] = {}
        self._behind: dict[Follower, None] = {}
        self._news = asyncio.Event()
        self._check_now = asyncio.Event()
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
        self._writes = Courier(self._client, self._name, self._deadline)
        self._reads = Courier(self._client, self._name, self._deadline)
        self._link = Link(self._connection, self._on_message, self._check_now.set, heartbeat=self._heartbeat)
        runs = (self._writes.run(), self._reads.run(), self._link.run(), self._fill_gaps(), self._look_for_news())
        self._tasks = [asyncio.create_task(run) for run in runs]
        with suppress(TimeoutError):  # the engine has just answered; if it has gone again, health says so
            async with asyncio.timeout(self._deadline):
                await self._link.live.wait()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self._client.aclose()
        self._tasks = []

    async def _connected(self) -> Client:
        client = Redis.from_url(self._url, **self._options)
        try:
            information = await client.info("cluster")
        except ResponseError:  # a user who may not ask: such an engine is taken for a single one
            await client.ping()
            return client
        except BaseException:
            await client.aclose()
            raise
        if not information.get("cluster_enabled"):
            return client
        await client.aclose()
        cluster = RedisCluster.from_url(self._url, **self._options)
        await cluster.initialize()
        return cluster

    def _connection(self) -> AbstractConnection:
        pool = ConnectionPool.from_url(self._url, **self._options)
        if isinstance(self._client, RedisCluster):
            # every node of a cluster tells what is published on any; the one in the URL may be away
            node = random.choice(self._client.get_nodes())
            pool.update_connection_kwargs(host=node.host, port=node.port)
        return pool.make_connection()

    # records

    async def publish(self, topic: str, payload: str, *, key: str | None = None) -> Position:
        """Store a record and tell every listener in every process; see `Broker.publish`."""
        check_topic(topic)
        check_key(key)
        check_payload(payload, self._limits)
        self._require_open()
        base = self._base(topic)
        # with a key of its own a record can be sent again when the answer was lost, and is stored once
        name, life = (
            (f"key:{key}", self._limits.key_seconds) if key else (f"own:{secrets.token_hex(8)}", OWN_KEY_SECONDS)
        )
        arguments = (*self._common(), f"{base}:news", payload, self._limits.records, _milliseconds(life))
        try:
            epoch, offset = await self._writes.call(PUBLISH, [*_keys(base), f"{base}:{name}"], *arguments)
        except UnavailableError as error:
            raise UnavailableError(
                f"{error}; the record may or may not be stored: publish again with the same key"
            ) from None
        return Position(epoch, int(offset))

    async def signal(self, topic: str, payload: str) -> None:
        """Tell everybody who listens now, at most once; see `Broker.signal`."""
        check_topic(topic)
        check_payload(payload, self._limits)
        self._require_open()
        command = ("PUBLISH", f"{self._base(topic)}:news", f"signal {payload}")
        await self._writes.send([command], repeatable=False)

    async def history(self, topic: str, after: Position | None = None, *, limit: int | None = None) -> History:
        """The records after a position, or the newest; see `Broker.history`."""
        check_topic(topic)
        check_limit(limit)
        return await self._read(topic, after, self._limits.records if limit is None else limit)

    async def drop(self, topic: str) -> None:
        """Forget everything about a topic; see `Broker.drop`."""
        check_topic(topic)
        self._require_open()
        base = self._base(topic)
        await self._writes.call(DROP, _keys(base), f"{base}:news")

    async def _read(self, topic: str, after: Position | None, count: int, *, seen: bool = False) -> History:
        self._require_open()
        since = (after.epoch, after.offset) if after is not None else ("", NEWEST)
        arguments = (*self._common(), *since, count, int(seen))
        answer = await self._reads.call(READ, _keys(self._base(topic)), *arguments)
        epoch, offset, first = answer[0], int(answer[1]), int(answer[2])
        records = [_record(topic, epoch, *identity.partition("-")[::2], fields[1]) for identity, fields in answer[3]]
        if after is None:
            records.reverse()
        complete = after is None or (after.epoch == epoch and first - 1 <= after.offset <= offset)
        return History(tuple(records), Position(epoch, offset), complete)

    # listeners

    def subscribe(self, topic: str, listener: Listener) -> AbstractAsyncContextManager[Position]:
        """Call `listener` for what is published from now on; see `Broker.subscribe`."""
        check_topic(topic)
        return self._subscribed(Subscription(topic, listener))

    @asynccontextmanager
    async def _subscribed(self, subscription: Subscription) -> AsyncIterator[Position]:
        self._require_open()
        channel = f"{self._base(subscription.topic)}:news"
        follower = self._followers.setdefault(channel, Follower(subscription.topic, self._subscriptions))
        follower.users += 1
        try:
            position = await self._follow(channel, follower)
            self._subscriptions.add(subscription)
            yield position
        finally:
            self._subscriptions.discard(subscription)
            follower.users -= 1
            if not follower.users:
                del self._followers[channel]
                self._link.unwant(channel)

    async def _follow(self, channel: str, follower: Follower) -> Position:
        """Where the follower is, once it follows: the channel is confirmed before the log is read."""
        link = self._link
        try:
            async with asyncio.timeout(self._deadline), follower.opening:
                if follower.position is None:
                    await link.want(channel)
                    history = await self._read(follower.topic, None, 0)
                    if not follower.begin(history.position):
                        self._fill_soon(follower)
        except TimeoutError:
            raise UnavailableError(f"{self._name} did not confirm {follower.topic!r} ({link.reason})") from None
        assert follower.position is not None
        return follower.position

    def _on_message(self, channel: str, text: str) -> None:
        follower = self._followers.get(channel)
        if follower is None:
            return
        kind, _, rest = text.partition(" ")
        if kind == "signal":
            self._subscriptions.signal(follower.topic, rest)
        elif kind != "record" or not follower.take(_record(follower.topic, *rest.split(" ", 3))):
            self._fill_soon(follower)

    # what the channel did not bring

    def _fill_soon(self, follower: Follower) -> None:
        self._behind[follower] = None
        self._news.set()

    async def _fill_gaps(self) -> None:
        while True:
            await self._news.wait()
            follower = next(iter(self._behind), None)
            if follower is None:
                self._news.clear()
                continue
            try:
                await self._fill(follower)
            except UnavailableError as error:
                _log.info("%r is filled later: %s", follower.topic, error)
                await asyncio.sleep(random.uniform(0, self._deadline / 2))

    async def _fill(self, follower: Follower) -> None:
        follower.filling = True
        try:
            while follower.users and follower.position is not None:
                history = await self._read(follower.topic, follower.position, PAGE, seen=True)
                if follower.fill(history):
                    break
            del self._behind[follower]
        finally:
            if not follower.filled():
                self._fill_soon(follower)

    async def _look_for_news(self) -> None:
        """Compare all positions with the log, on every new connection and from time to time."""
        while True:
            try:
                async with asyncio.timeout(self._check):
                    await self._check_now.wait()
            except TimeoutError:
                pass
            self._check_now.clear()
            try:
                await self._compare_all()
            except UnavailableError as error:
                _log.info("positions are compared later: %s", error)

    async def _compare_all(self) -> None:
        followers = list(self._followers.values())
        for start in range(0, len(followers), CHECKED):
            some = followers[start : start + CHECKED]
            commands = [("HMGET", _keys(self._base(one.topic))[0], "epoch", "offset") for one in some]
            for follower, (epoch, offset) in zip(some, await self._reads.send(commands), strict=True):
                if follower.behind(epoch, offset):
                    self._fill_soon(follower)

    # what everything uses

    def health(self) -> Health:
        """Whether the engine answers; at most two heartbeats old."""
        if not self._tasks:
            return Health(ready=False, reason="the broker is not open")
        return Health(ready=self._link.live.is_set(), reason=self._link.reason)

    def _require_open(self) -> None:
        if not self._tasks:
            raise BrokerError("the broker is not open; use it inside 'async with'")

    def _base(self, topic: str) -> str:
        """What all keys of a topic begin with; the braces put them into one slot of a cluster."""
        return f"{self._prefix}:{{{topic.replace('%', '%25').replace('}', '%7D')}}}"

    def _common(self) -> tuple[Any, ...]:
        kept = max(self._limits.seconds, self._limits.key_seconds) + IDLE_SECONDS
        return secrets.token_hex(8), _milliseconds(kept), int(self._limits.seconds * 1_000_000)


def _keys(base: str) -> list[str]:
    return [f"{base}:meta", f"{base}:log"]


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _record(topic: str, epoch: str, offset: str, microseconds: str, payload: str) -> Record:
    return Record(topic, Position(epoch, int(offset)), payload, int(microseconds) / 1_000_000)


def _parsed(url: str, prefix: str) -> tuple[str, str]:
    """The URL as the client takes it, and the prefix, which the URL may name."""
    parts = urlsplit(re.sub("^valkey", "redis", url))
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    prefix = query.pop("prefix", prefix)
    if not prefix or "{" in prefix:
        raise BrokerError(f"the prefix of keys must not be empty or have a brace, got {prefix!r}; pass prefix='chat'")
    return parts._replace(query=urlencode(query)).geturl(), prefix
