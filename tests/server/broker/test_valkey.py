"""What only the broker over Valkey has: several processes, prefixes, keys that expire, a cluster, refusals."""

from __future__ import annotations

import asyncio
import secrets
import time
from pathlib import Path

import pytest
import redis
from lab.engine import Engine

from server.broker import BrokerError, Limits, PayloadError, Position, UnavailableError
from server.broker.valkey import ValkeyBroker
from tests.server.broker.heard import Heard

pytestmark = pytest.mark.usefixtures("nothing_failed")


@pytest.fixture
def prefix(shared_engine: Engine) -> str:
    """A prefix that no other test has."""
    return f"{shared_engine.prefix}-{secrets.token_hex(4)}"


def direct(engine: Engine) -> redis.Redis:
    """A client beside the broker."""
    return redis.from_url(engine.url, decode_responses=True)


def test_works_in_a_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In an engine with cluster mode on, scripts, pipelines and publish/subscribe do what they do elsewhere."""
    monkeypatch.delenv("VALKEY_URL", raising=False)
    if (reason := Engine.available()) is not None:
        pytest.skip(reason)

    async def run(engine: Engine) -> None:
        async with ValkeyBroker(engine.url) as one, ValkeyBroker(engine.url) as other:
            heard = [Heard() for _ in range(5)]
            for number, listener in enumerate(heard):
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

    with Engine(data=tmp_path, cluster_enabled="yes") as engine:
        with direct(engine) as client:
            client.execute_command("CLUSTER ADDSLOTS", *range(16384))
            deadline = time.monotonic() + 10
            while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok" and time.monotonic() < deadline:
                time.sleep(0.05)
        asyncio.run(run(engine))


def test_two_brokers_are_one(shared_engine: Engine, prefix: str) -> None:
    """What is published through one is heard and read through the other, in one order."""

    async def run() -> None:
        async with (
            ValkeyBroker(shared_engine.url, prefix=prefix) as one,
            ValkeyBroker(shared_engine.url, prefix=prefix) as other,
            one.subscribe("t", here := Heard()),
            other.subscribe("t", there := Heard()),
        ):
            await asyncio.gather(*[(one, other)[number % 2].publish("t", str(number)) for number in range(100)])
            await here.until(records=100)
            await there.until(records=100)
            assert here.records == there.records == list((await one.history("t")).records)
            await other.drop("t")
            await here.until(resets=1)
            await there.until(resets=1)
            assert here.resets == there.resets

    asyncio.run(run())


def test_prefixes_are_worlds_of_their_own(shared_engine: Engine, prefix: str) -> None:
    """Nothing of one prefix is seen under another; the URL may name it, and every key begins with it."""

    async def run() -> None:
        url = f"{shared_engine.url}?prefix={prefix}-a".replace("redis://", "valkey://")
        async with ValkeyBroker(url) as one, ValkeyBroker(shared_engine.url, prefix=f"{prefix}-b") as other:
            async with other.subscribe("t", heard := Heard()):
                await one.publish("t", "a")
                await one.signal("t", "a")
                await other.publish("t", "b")
                await heard.until(records=1)
            assert (heard.payloads, heard.signals) == (["b"], [])
        with direct(shared_engine) as client:
            assert client.exists(f"{prefix}-a:{{t}}:log", f"{prefix}-b:{{t}}:log") == 2

    asyncio.run(run())


def test_memory_is_given_back(shared_engine: Engine, prefix: str) -> None:
    """Every key has an end: records after their age, keys after theirs, the position later than both."""

    async def run() -> None:
        limits = Limits(seconds=100, key_seconds=1000)
        async with ValkeyBroker(shared_engine.url, prefix=prefix, limits=limits) as one:
            await one.publish("t", "a", key="k")
            await one.publish("t", "b")
            await one.history("empty")

    asyncio.run(run())
    with direct(shared_engine) as client:
        left = {key.removeprefix(f"{prefix}:"): client.ttl(key) for key in client.scan_iter(f"{prefix}*")}
    assert 90 < left["{t}:log"] <= 100
    assert 990 < left["{t}:key:k"] <= 1000
    assert min(left["{t}:meta"], left["{empty}:meta"]) > 1000
    [own] = [seconds for key, seconds in left.items() if ":own:" in key]
    assert 0 < own <= 32
    assert len(left) == 5


def test_records_that_expired_leave_their_offsets(shared_engine: Engine, prefix: str) -> None:
    """When the engine gives up the records of a quiet topic, the next one has the next offset, in the same epoch."""

    async def run() -> None:
        async with ValkeyBroker(shared_engine.url, prefix=prefix) as one, one.subscribe("t", heard := Heard()):
            first = await one.publish("t", "a")
            with direct(shared_engine) as client:
                client.delete(f"{prefix}:{{t}}:log")
            assert await one.publish("t", "b") == Position(first.epoch, 2)
            await heard.until(records=2)
            assert heard.resets == []
            assert not (await one.history("t", Position(first.epoch, 0))).complete

    asyncio.run(run())


def test_scripts_that_the_engine_forgot_are_given_again(forgetful: Engine) -> None:
    """SCRIPT FLUSH in the middle of many publishes costs none of them."""

    async def run() -> None:
        async with ValkeyBroker(forgetful.url) as one:
            with direct(forgetful) as client:
                for _ in range(5):
                    together = asyncio.gather(*[one.publish("t", str(number)) for number in range(100)])
                    await asyncio.sleep(0.002)
                    client.script_flush()
                    await together
            assert (await one.history("t")).position.offset == 500

    asyncio.run(run())


def test_engine_that_refuses_is_quoted(forgetful: Engine) -> None:
    """A full engine refuses to store: the error is its own word, and reading goes on."""

    async def run() -> None:
        async with ValkeyBroker(forgetful.url) as one, one.subscribe("t", heard := Heard()):
            await one.publish("t", "a")
            with direct(forgetful) as client:
                client.config_set("maxmemory", "1")
                with pytest.raises(UnavailableError, match=r"refuses: .*'maxmemory'(?!.*publish it again)"):
                    await one.publish("t", "b")
                client.config_set("maxmemory", "0")
            await one.publish("t", "c")
            await heard.until(records=2)
            assert heard.payloads == ["a", "c"]

    asyncio.run(run())


def test_replica_is_asked_until_it_may_write(forgetful: Engine) -> None:
    """READONLY is the answer when another engine took over: the publish is tried on new connections until it may."""

    async def run() -> None:
        async with ValkeyBroker(forgetful.url) as one:
            await one.publish("t", "a")
            with direct(forgetful) as client:
                before = {one["id"] for one in client.client_list()}
                client.execute_command("REPLICAOF", "127.0.0.1", 1)
                publication = asyncio.create_task(one.publish("t", "b"))
                done, _ = await asyncio.wait([publication], timeout=0.1)
                assert not done
                client.execute_command("REPLICAOF", "NO", "ONE")
                assert (await publication).offset == 2
                assert {one["id"] for one in client.client_list()} - before

    asyncio.run(run())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://127.0.0.1:none", "no address"),
        ("redis://127.0.0.1:6379?prefix={", "the prefix of keys"),
        ("redis://127.0.0.1:6379?db=x", "no address"),
    ],
)
def test_bad_address_is_refused_at_once(url: str, message: str) -> None:
    """What is no address raises before anything is connected."""
    with pytest.raises(BrokerError, match=message):
        ValkeyBroker(url)


def test_engine_that_cannot_be_used_is_said_without_the_password(forgetful: Engine) -> None:
    """Nobody there, or a wrong password: opening raises, names the engine and keeps the password to itself."""

    async def run(address: str) -> str:
        with pytest.raises(UnavailableError) as caught:
            async with ValkeyBroker(f"redis://me:secret@{address}", deadline=0.5):
                pass
        return str(caught.value)

    for address in ("127.0.0.1:1", forgetful.url.removeprefix("redis://")):
        text = asyncio.run(run(address))
        assert f"the engine at {address} cannot be used: " in text
        assert "secret" not in text


def test_channel_is_given_up(shared_engine: Engine, prefix: str) -> None:
    """When the last listener of a topic leaves, its channel is unsubscribed, and subscribed again for the next."""

    async def run() -> None:
        async with ValkeyBroker(shared_engine.url, prefix=prefix, heartbeat=0.05) as one:

            async def channels(count: int) -> None:
                async with asyncio.timeout(5):
                    while len(client.pubsub_channels(f"{prefix}*")) != count:  # noqa: ASYNC110  # no event tells
                        await asyncio.sleep(0.01)

            with direct(shared_engine) as client:
                for _ in range(3):
                    async with one.subscribe("t", heard := Heard()), one.subscribe("t", Heard()):
                        await channels(1)
                        await one.publish("t", "a")
                        await heard.until(records=1)
                    await channels(0)

    asyncio.run(run())


def test_refused_payload_reaches_no_engine() -> None:
    """What no broker takes is refused before there is a connection."""

    async def run() -> None:
        with pytest.raises(PayloadError):
            await ValkeyBroker("redis://127.0.0.1:1").publish("", "x")

    asyncio.run(run())
