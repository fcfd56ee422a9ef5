"""What the engine's channel lost is read from its log."""

from __future__ import annotations

import asyncio

import pytest
import redis
from lab.servers.valkey import Engine

from server.broker import Limits, Position
from server.broker.valkey.broker import ValkeyBroker
from server.broker.valkey.topics import Topics
from tests.server.broker.recorder import Recorder
from tests.server.broker.scenario import broker

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_failed")]


async def test_record_that_the_channel_lost_is_found(volatile_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that was stored and not published is received after the next comparison of positions."""
    async with broker(volatile_engine, check=0.1) as one, one.subscribe("t", received := Recorder()):
        async with broker(volatile_engine) as other:
            monkeypatch.setattr(Topics, "channel", lambda topics, topic: "elsewhere")
            await other.publish("t", "a")
        await received.until(records=1)


async def test_gap_in_the_channel_is_filled_at_once(volatile_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next record shows that others are missing: all are received in order, also more than one page of them."""
    async with (
        broker(volatile_engine) as one,
        one.subscribe("t", received := Recorder()),
        broker(volatile_engine) as other,
    ):
        await one.publish("t", "0")
        with monkeypatch.context() as patch:
            patch.setattr(Topics, "channel", lambda topics, topic: "elsewhere")
            for number in range(1, 500):
                await other.publish("t", str(number))
        await asyncio.gather(*[other.publish("t", str(number)) for number in range(500, 600)])
        await received.until(records=600)
        assert received.payloads == [str(number) for number in range(600)]
        assert received.resets == []


async def test_listener_that_missed_more_than_is_kept_is_told(
    volatile_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the log no longer has what the channel lost, on_reset says so, and the records that are kept follow."""
    few = ValkeyBroker(volatile_engine.url, limits=Limits(records=3))
    async with broker(volatile_engine) as one, one.subscribe("t", received := Recorder()), few as other:
        first = await one.publish("t", "0")
        await received.until(records=1)
        with monkeypatch.context() as patch:
            patch.setattr(Topics, "channel", lambda topics, topic: "elsewhere")
            for number in range(1, 9):
                await other.publish("t", str(number))
        await other.publish("t", "9")
        await received.until(records=4, resets=1)
        assert received.resets == [Position(first.epoch, 7)]
        assert received.payloads == ["0", "7", "8", "9"]


async def test_record_from_before_a_loss_is_not_delivered(
    volatile_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the channel brings another record for a position that this process has seen, the log decides."""
    async with broker(volatile_engine) as one, one.subscribe("t", received := Recorder()):
        first = await one.publish("t", "a")
        await received.until(records=1)
        with monkeypatch.context() as patch:
            patch.setattr(Topics, "channel", lambda topics, topic: "elsewhere")
            await one.publish("t", "b")
        with redis.from_url(volatile_engine.url) as direct:
            previous = round(received.records[0].time * 1_000_000)
            direct.publish("chat:{t}:news", f"entry {first.epoch} 2 {previous + 1} {previous} lost")
        await received.until(records=2)
        assert received.payloads == ["a", "b"]
        assert received.resets == []
