"""What only the broker over Valkey has: several processes, prefixes, keys that expire, a cluster, refusals."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from lab.servers.valkey import Engine

from server.broker import BrokerError, Limits, PayloadError, Position, UnavailableError
from server.broker.valkey.broker import ValkeyBroker
from tests.server.broker.recorder import Recorder
from tests.server.broker.scenario import until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_failed")]


@pytest.fixture
def prefix(shared_engine: Engine) -> str:
    """A prefix that no other test has."""
    return f"{shared_engine.prefix}-{secrets.token_hex(4)}"


def direct(engine: Engine) -> redis.Redis:
    """Return a client that is not the broker's."""
    return redis.from_url(engine.url, decode_responses=True)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Engine]:
    """An engine in cluster mode that has all the slots."""
    monkeypatch.delenv("VALKEY_URL", raising=False)
    if (reason := Engine.missing()) is not None:
        pytest.skip(reason)
    with Engine(data=tmp_path, cluster_enabled="yes") as engine:
        with direct(engine) as client:
            client.execute_command("CLUSTER ADDSLOTS", *range(16384))
            deadline = time.monotonic() + 30
            while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok" and time.monotonic() < deadline:
                time.sleep(0.05)
        yield engine


async def test_works_in_a_cluster(cluster: Engine) -> None:
    """In an engine with cluster mode on, scripts, pipelines and publish/subscribe do what they do elsewhere."""
    async with ValkeyBroker(cluster.url) as one, ValkeyBroker(cluster.url) as other:
        received = [Recorder() for _ in range(5)]
        for number, listener in enumerate(received):
            async with one.subscribe(f"topic {number}", listener):
                first = await other.publish(f"topic {number}", "a")
                assert await other.publish(f"topic {number}", "b", key="k") == Position(first.epoch, 2)
                assert await one.publish(f"topic {number}", "b", key="k") == Position(first.epoch, 2)
                await other.signal(f"topic {number}", "s")
                await listener.until(records=2, signals=1)
                assert list((await other.history(f"topic {number}", Position(first.epoch, 0))).records) == (
                    listener.records
                )
                await other.drop(f"topic {number}")
                await listener.until(resets=1)


async def test_two_brokers_are_one(shared_engine: Engine, prefix: str) -> None:
    """What is published through one is received and read through the other, in one order."""
    async with (
        ValkeyBroker(shared_engine.url, prefix=prefix) as one,
        ValkeyBroker(shared_engine.url, prefix=prefix) as other,
        one.subscribe("t", here := Recorder()),
        other.subscribe("t", there := Recorder()),
    ):
        await asyncio.gather(*[(one, other)[number % 2].publish("t", str(number)) for number in range(100)])
        await here.until(records=100)
        await there.until(records=100)
        assert here.records == there.records == list((await one.history("t")).records)
        await other.drop("t")
        await here.until(resets=1)
        await there.until(resets=1)
        assert here.resets == there.resets


async def test_prefixes_are_separate(shared_engine: Engine, prefix: str) -> None:
    """Records of one prefix aren't seen under another; the URL may name it, and every key begins with it."""
    url = f"{shared_engine.url}?prefix={prefix}-a".replace("redis://", "valkey://")
    async with ValkeyBroker(url) as one, ValkeyBroker(shared_engine.url, prefix=f"{prefix}-b") as other:
        async with other.subscribe("t", received := Recorder()):
            await one.publish("t", "a")
            await one.signal("t", "a")
            await other.publish("t", "b")
            await received.until(records=1)
        assert (received.payloads, received.signals) == (["b"], [])
    with direct(shared_engine) as client:
        assert client.exists(f"{prefix}-a:{{t}}:log", f"{prefix}-b:{{t}}:log") == 2


async def test_every_key_expires(shared_engine: Engine, prefix: str) -> None:
    """Records and keys expire after their age, the position later than both, an empty topic after an hour."""
    limits = Limits(seconds=100, key_seconds=1000)
    async with ValkeyBroker(shared_engine.url, prefix=prefix, limits=limits) as one:
        await one.publish("t", "a", key="k")
        await one.publish("t", "b")
        await one.history("empty")
    with direct(shared_engine) as client:
        left = {key.removeprefix(f"{prefix}:"): client.ttl(key) for key in client.scan_iter(f"{prefix}*")}
    assert 90 < left["{t}:log"] <= 100
    assert 990 < left["{t}:key:k"] <= 1000
    assert left["{t}:meta"] > 1000
    assert 3590 < left["{empty}:meta"] <= 3600
    [own] = [seconds for key, seconds in left.items() if ":own:" in key]
    assert 0 < own <= 32
    assert len(left) == 5


async def test_topic_without_a_record_is_kept_for_its_listeners(shared_engine: Engine, prefix: str) -> None:
    """A listener relies on the epoch that it got, however long nothing is published."""
    meta = f"{prefix}:{{t}}:meta"
    async with ValkeyBroker(shared_engine.url, prefix=prefix, check=0.05) as one, one.subscribe("t", Recorder()):
        with direct(shared_engine) as client:
            client.pexpire(meta, 60_000)
            await until(lambda: client.ttl(meta) > 3500)
            await one.publish("t", "a")
            assert client.ttl(meta) > 86_400


async def test_records_that_expired_leave_their_offsets(shared_engine: Engine, prefix: str) -> None:
    """When the records of a quiet topic have expired, the next one has the next offset, in the same epoch."""
    async with ValkeyBroker(shared_engine.url, prefix=prefix) as one, one.subscribe("t", received := Recorder()):
        first = await one.publish("t", "a")
        with direct(shared_engine) as client:
            client.delete(f"{prefix}:{{t}}:log")
        assert await one.publish("t", "b") == Position(first.epoch, 2)
        await received.until(records=2)
        assert received.resets == []
        assert not (await one.history("t", Position(first.epoch, 0))).complete


def _stamp(engine: Engine, prefix: str, ahead: float, payloads: list[str]) -> None:
    """Store records like an engine whose clock is so many seconds ahead."""
    with direct(engine) as client:
        for payload in payloads:
            now, offset = int((time.time() + ahead) * 1_000_000), client.hincrby(f"{prefix}:{{t}}:meta", "offset")
            client.xadd(f"{prefix}:{{t}}:log", {"payload": payload, "previous": "0"}, id=f"{offset}-{now}")
            client.hset(f"{prefix}:{{t}}:meta", "time", now)


async def test_clock_that_ran_ahead_and_came_back(shared_engine: Engine, prefix: str) -> None:
    """New records have the right time, and records of the future are dropped when those after them are old."""
    limits = Limits(seconds=0.5)
    async with ValkeyBroker(shared_engine.url, prefix=prefix, limits=limits) as one:
        epoch = (await one.history("t")).position.epoch
        _stamp(shared_engine, prefix, 86_400.0, ["ahead"] * 5)
        first = await one.publish("t", "back")
        assert first == Position(epoch, 6)
        history = await one.history("t")
        assert [record.payload for record in history.records] == ["ahead"] * 5 + ["back"]
        assert abs(history.records[-1].time - time.time()) < 60
        async with asyncio.timeout(30):
            while (await one.history("t", first)).complete:
                await one.publish("t", "later")
                await asyncio.sleep(0.02)
        records = (await one.history("t")).records
        assert {record.payload for record in records} == {"later"}
        assert [record.position.offset for record in records] == list(
            range(records[0].position.offset, records[-1].position.offset + 1)
        )


async def test_clock_that_was_behind_drops_nothing(shared_engine: Engine, prefix: str) -> None:
    """A record with a time decades ago keeps its place: neither it nor the records before it are dropped."""
    async with ValkeyBroker(shared_engine.url, prefix=prefix) as one:
        await one.publish("t", "a")
        _stamp(shared_engine, prefix, -1_000_000_000.0, ["behind"])
        await one.publish("t", "b")
        assert [record.payload for record in (await one.history("t")).records] == ["a", "behind", "b"]


async def test_scripts_are_loaded_again(volatile_engine: Engine) -> None:
    """SCRIPT FLUSH in the middle of many publications loses none of them."""
    async with ValkeyBroker(volatile_engine.url) as one:
        with direct(volatile_engine) as client:
            for _ in range(5):
                together = asyncio.gather(*[one.publish("t", str(number)) for number in range(100)])
                await asyncio.sleep(0.002)
                client.script_flush()
                await together
        assert (await one.history("t")).position.offset == 500


async def test_engine_that_refuses_is_quoted(volatile_engine: Engine) -> None:
    """A full engine refuses to store: the error quotes it, and reading still works."""
    async with ValkeyBroker(volatile_engine.url) as one, one.subscribe("t", received := Recorder()):
        await one.publish("t", "a")
        with direct(volatile_engine) as client:
            client.config_set("maxmemory", "1")
            with pytest.raises(UnavailableError, match=r"refuses: .*'maxmemory'(?!.*publish it again)"):
                await one.publish("t", "b")
            client.config_set("maxmemory", "0")
        await one.publish("t", "c")
        await received.until(records=2)
        assert received.payloads == ["a", "c"]


async def test_replica_is_tried_until_it_is_the_primary(volatile_engine: Engine) -> None:
    """After a failover the answer is READONLY: publishing is tried on new connections until it works."""
    async with ValkeyBroker(volatile_engine.url) as one:
        await one.publish("t", "a")
        with direct(volatile_engine) as client:
            before = {one["id"] for one in client.client_list()}
            client.execute_command("REPLICAOF", "127.0.0.1", 1)
            publication = asyncio.create_task(one.publish("t", "b"))
            done, _ = await asyncio.wait([publication], timeout=0.1)
            assert not done
            client.execute_command("REPLICAOF", "NO", "ONE")
            assert (await publication).offset == 2
            assert {one["id"] for one in client.client_list()} - before


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://127.0.0.1:none", "is not valid"),
        ("redis://127.0.0.1:6379?prefix={", "the prefix of keys"),
        ("redis://127.0.0.1:6379?db=x", "is not valid"),
    ],
)
def test_bad_address_is_refused_at_once(url: str, message: str) -> None:
    """A bad address raises before anything is connected."""
    with pytest.raises(BrokerError, match=message):
        ValkeyBroker(url)


async def test_engine_that_cannot_be_used_is_named_without_the_password(volatile_engine: Engine) -> None:
    """If the engine is away or the password is wrong, the error names the engine, not the password."""
    for address in ("127.0.0.1:1", volatile_engine.url.removeprefix("redis://")):
        with pytest.raises(UnavailableError) as caught:
            async with ValkeyBroker(f"redis://me:secret@{address}", deadline=0.5):
                pass
        assert f"the engine at {address} cannot be used: " in str(caught.value)
        assert "secret" not in str(caught.value)


async def test_channel_is_unsubscribed(shared_engine: Engine, prefix: str) -> None:
    """When the last listener of a topic leaves, its channel is unsubscribed, and subscribed again for the next."""
    async with ValkeyBroker(shared_engine.url, prefix=prefix, heartbeat=0.05) as one:

        async def channels(count: int) -> None:
            async with asyncio.timeout(30):
                while len(client.pubsub_channels(f"{prefix}*")) != count:  # noqa: ASYNC110  # no event tells
                    await asyncio.sleep(0.01)

        with direct(shared_engine) as client:
            for _ in range(3):
                async with one.subscribe("t", received := Recorder()), one.subscribe("t", Recorder()):
                    await channels(1)
                    await one.publish("t", "a")
                    await received.until(records=1)
                await channels(0)


async def test_refused_payload_needs_no_engine() -> None:
    """A bad topic is refused before there is a connection."""
    with pytest.raises(PayloadError):
        await ValkeyBroker("redis://127.0.0.1:1").publish("", "x")
