"""What only the broker over Valkey has: keys and their slots, several processes, a cluster, an engine that refuses."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from lab.engine import Engine
from redis.crc import key_slot

from server.broker import BrokerError, Limits, PayloadError, Position, Record, UnavailableError
from server.broker.courier import WAITING, Courier
from server.broker.follower import EARLY, Follower
from server.broker.link import FIRST_PAUSE, LONGEST_PAUSE, Link
from server.broker.protocol import History
from server.broker.stream import Streams
from server.broker.subscriptions import Subscription, Subscriptions
from server.broker.valkey import ValkeyBroker
from tests.server.broker.heard import Heard

pytestmark = pytest.mark.skipif(Engine.available() is not None, reason=str(Engine.available()))


@pytest.fixture
def prefix(engine: Engine) -> str:
    """A prefix that no other test has."""
    return f"{engine.prefix}-{secrets.token_hex(4)}"


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine that may be configured, also where VALKEY_URL is set."""
    monkeypatch.delenv("VALKEY_URL", raising=False)
    with Engine() as engine:
        yield engine


def direct(engine: Engine) -> redis.Redis:
    """A client beside the broker."""
    return redis.from_url(engine.url, decode_responses=True)


@given(topic=st.text(min_size=1, max_size=20) | st.text("{}%:", min_size=1, max_size=6))
def test_all_keys_of_a_topic_have_one_slot(topic: str) -> None:
    """Whatever the topic is called: its keys are in one slot of a cluster, and different from another topic's."""
    streams = Streams(None, "", "chat", Limits(), 1.0)  # type: ignore[arg-type]
    keys = [*streams._keys(topic), f"{streams._base(topic)}:key:}}{{"]
    assert len({key_slot(key.encode("utf-8", "surrogatepass")) for key in keys}) == 1
    assert streams._base(topic) not in (streams._base(f"{topic}%"), streams._base(f"{topic}}}"))


def test_topics_are_spread_over_the_slots() -> None:
    """The hash tag is the topic and not the prefix: a thousand topics are in nearly as many slots."""
    streams = Streams(None, "", "chat", Limits(), 1.0)  # type: ignore[arg-type]
    assert len({key_slot(streams._keys(f"topic {number}")[0].encode()) for number in range(1000)}) > 900


def test_works_in_a_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In an engine with cluster mode on, scripts, pipelines and publish/subscribe do what they do elsewhere."""
    monkeypatch.delenv("VALKEY_URL", raising=False)

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


def test_two_brokers_are_one(engine: Engine, prefix: str) -> None:
    """What is published through one is heard and read through the other, in one order."""

    async def run() -> None:
        async with (
            ValkeyBroker(engine.url, prefix=prefix) as one,
            ValkeyBroker(engine.url, prefix=prefix) as other,
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


def test_prefixes_are_worlds_of_their_own(engine: Engine, prefix: str) -> None:
    """Nothing of one prefix is seen under another; the URL may name it, and every key begins with it."""

    async def run() -> None:
        url = f"{engine.url}?prefix={prefix}-a".replace("redis://", "valkey://")
        async with ValkeyBroker(url) as one, ValkeyBroker(engine.url, prefix=f"{prefix}-b") as other:
            async with other.subscribe("t", heard := Heard()):
                await one.publish("t", "a")
                await one.signal("t", "a")
                await other.publish("t", "b")
                await heard.until(records=1)
            assert (heard.payloads, heard.signals) == (["b"], [])
        with direct(engine) as client:
            assert client.exists(f"{prefix}-a:{{t}}:log", f"{prefix}-b:{{t}}:log") == 2

    asyncio.run(run())


def test_memory_is_given_back(engine: Engine, prefix: str) -> None:
    """Every key has an end: records after their age, keys after theirs, the position later than both."""

    async def run() -> None:
        limits = Limits(seconds=100, key_seconds=1000)
        async with ValkeyBroker(engine.url, prefix=prefix, limits=limits) as one:
            await one.publish("t", "a", key="k")
            await one.publish("t", "b")
            await one.history("empty")

    asyncio.run(run())
    with direct(engine) as client:
        left = {key.removeprefix(f"{prefix}:"): client.ttl(key) for key in client.scan_iter(f"{prefix}*")}
    assert 90 < left["{t}:log"] <= 100
    assert 990 < left["{t}:key:k"] <= 1000
    assert min(left["{t}:meta"], left["{empty}:meta"]) > 1000
    [own] = [seconds for key, seconds in left.items() if ":own:" in key]
    assert 0 < own <= 32
    assert len(left) == 5


def test_records_that_expired_leave_their_offsets(engine: Engine, prefix: str) -> None:
    """When the engine gives up the records of a quiet topic, the next one has the next offset, in the same epoch."""

    async def run() -> None:
        async with ValkeyBroker(engine.url, prefix=prefix) as one, one.subscribe("t", heard := Heard()):
            first = await one.publish("t", "a")
            with direct(engine) as client:
                client.delete(f"{prefix}:{{t}}:log")
            assert await one.publish("t", "b") == Position(first.epoch, 2)
            await heard.until(records=2)
            assert heard.resets == []
            assert not (await one.history("t", Position(first.epoch, 0))).complete

    asyncio.run(run())


def test_scripts_that_the_engine_forgot_are_given_again(own: Engine) -> None:
    """SCRIPT FLUSH in the middle of many publishes costs none of them."""

    async def run() -> None:
        async with ValkeyBroker(own.url) as one:
            with direct(own) as client:
                for _ in range(5):
                    together = asyncio.gather(*[one.publish("t", str(number)) for number in range(100)])
                    await asyncio.sleep(0.002)
                    client.script_flush()
                    await together
            assert (await one.history("t")).position.offset == 500

    asyncio.run(run())


def test_engine_that_refuses_is_quoted(own: Engine) -> None:
    """A full engine refuses to store: the error is its own word, and reading goes on."""

    async def run() -> None:
        async with ValkeyBroker(own.url) as one, one.subscribe("t", heard := Heard()):
            await one.publish("t", "a")
            with direct(own) as client:
                client.config_set("maxmemory", "1")
                with pytest.raises(UnavailableError, match=r"refuses: .*'maxmemory'(?!.*publish it again)"):
                    await one.publish("t", "b")
                client.config_set("maxmemory", "0")
            await one.publish("t", "c")
            await heard.until(records=2)
            assert heard.payloads == ["a", "c"]

    asyncio.run(run())


def test_replica_is_asked_until_it_may_write(own: Engine) -> None:
    """READONLY is the answer when another engine took over: the publish is tried on new connections until it may."""

    async def run() -> None:
        async with ValkeyBroker(own.url) as one:
            await one.publish("t", "a")
            with direct(own) as client:
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


def test_engine_that_cannot_be_used_is_said_without_the_password(own: Engine) -> None:
    """Nobody there, or a wrong password: opening raises, names the engine and keeps the password to itself."""

    async def run(address: str) -> str:
        with pytest.raises(UnavailableError) as caught:
            async with ValkeyBroker(f"redis://me:secret@{address}", deadline=0.5):
                pass
        return str(caught.value)

    for address in ("127.0.0.1:1", own.url.removeprefix("redis://")):
        text = asyncio.run(run(address))
        assert f"the engine at {address} cannot be used: " in text
        assert "secret" not in text


def test_channel_is_given_up(engine: Engine, prefix: str) -> None:
    """When the last listener of a topic leaves, its channel is unsubscribed, and subscribed again for the next."""

    async def run() -> None:
        async with ValkeyBroker(engine.url, prefix=prefix, heartbeat=0.05) as one:

            async def channels(count: int) -> None:
                async with asyncio.timeout(5):
                    while len(client.pubsub_channels(f"{prefix}*")) != count:  # noqa: ASYNC110  # no event tells
                        await asyncio.sleep(0.01)

            with direct(engine) as client:
                for _ in range(3):
                    async with one.subscribe("t", heard := Heard()), one.subscribe("t", Heard()):
                        await channels(1)
                        await one.publish("t", "a")
                        await heard.until(records=1)
                    await channels(0)

    asyncio.run(run())


def test_too_many_waiting_commands_are_refused() -> None:
    """What waits for the engine is bounded: one more is refused at once."""

    async def run() -> None:
        courier = Courier(None, "the engine", 0.01)  # type: ignore[arg-type]  # it is never asked
        with pytest.raises(UnavailableError, match=r"did not answer within 0\.01 s"):
            await courier.send([("PING",)] * WAITING)
        with pytest.raises(UnavailableError, match=f"{WAITING} commands wait for the engine already"):
            await courier.send([("PING",)])

    asyncio.run(run())


def test_pauses_between_attempts_grow_and_are_random(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """Nobody connects in a tight loop: the longest pause doubles up to a limit, and each is anything below it."""
    pauses: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        pauses.append((low, high))
        if len(pauses) == 12:
            raise asyncio.CancelledError
        return 0.0

    def refuse() -> Any:
        raise ConnectionError("nobody is there")

    async def run() -> Link:
        link = Link(refuse, lambda channel, text: None, lambda: None, heartbeat=1.0)
        with pytest.raises(asyncio.CancelledError):
            await link.run()
        return link

    monkeypatch.setattr("server.broker.link.random.uniform", uniform)
    with caplog.at_level(logging.WARNING):
        link = asyncio.run(run())
    assert pauses == [(0, min(FIRST_PAUSE * 2**number, LONGEST_PAUSE)) for number in range(12)]
    assert (link.live.is_set(), link.reason) == (False, "nobody is there")
    assert caplog.text.count("nobody is there") == 1


class TestFollower:
    """The order of what comes from the channel and from the log."""

    def record(self, offset: int, epoch: str = "e") -> Record:
        """The record with this offset."""
        return Record("t", Position(epoch, offset), str(offset), 0.0)

    def follower(self) -> tuple[Follower, Heard]:
        """A follower after its fifth record, and what its listener hears."""
        subscriptions = Subscriptions()
        subscriptions.add(Subscription("t", heard := Heard()))
        follower = Follower("t", subscriptions)
        follower.begin(Position("e", 5))
        return follower, heard

    def test_known_records_are_left_out(self) -> None:
        """A record that was passed on already is not passed on again, and is no sign of a gap."""
        follower, heard = self.follower()
        assert [follower.take(self.record(offset)) for offset in (4, 5, 6, 6, 7)] == [True] * 5
        assert heard.offsets == [6, 7]

    def test_gap_and_other_epoch_are_seen(self) -> None:
        """A record that is not next is not passed on."""
        follower, heard = self.follower()
        assert not follower.take(self.record(7))
        assert not follower.take(self.record(6, "f"))
        assert heard.offsets == []

    def test_what_comes_while_a_gap_is_filled_is_kept(self) -> None:
        """It follows what the log had, each record once."""
        follower, heard = self.follower()
        follower.filling = True
        for offset in (8, 9, 10):
            assert follower.take(self.record(offset))
        records = tuple(self.record(offset) for offset in (6, 7, 8))
        assert follower.fill(History(records, Position("e", 8), complete=True))
        assert follower.filled()
        assert heard.offsets == [6, 7, 8, 9, 10]

    def test_what_is_too_much_to_keep_is_a_gap_again(self) -> None:
        """Memory is bounded: where the oldest had to be left out, the log is asked again."""
        follower, heard = self.follower()
        follower.filling = True
        for offset in range(7, 7 + EARLY + 1):
            follower.take(self.record(offset))
        assert follower.fill(History((self.record(6),), Position("e", 6), complete=True))
        assert not follower.filled()
        assert heard.offsets == [6]

    def test_lost_records_are_said(self) -> None:
        """Where the log cannot go on from the position, on_reset names the one before its first."""
        follower, heard = self.follower()
        records = (self.record(3, "f"), self.record(4, "f"))
        assert not follower.fill(History(records, Position("f", 9), complete=False))
        assert (heard.resets, heard.offsets) == ([Position("f", 2)], [3, 4])


def test_refused_payload_reaches_no_engine() -> None:
    """What no broker takes is refused before there is a connection."""

    async def run() -> None:
        with pytest.raises(PayloadError):
            await ValkeyBroker("redis://127.0.0.1:1").publish("", "x")

    asyncio.run(run())
