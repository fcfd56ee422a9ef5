"""What the channel of the engine did not bring is read from its log."""

from __future__ import annotations

import asyncio

import pytest
from lab.engine import Engine

from server.broker import Limits, Position
from server.broker.valkey import ValkeyBroker
from tests.server.broker.heard import Heard
from tests.server.broker.story import broker

pytestmark = pytest.mark.usefixtures("nothing_failed")


def test_record_that_the_channel_lost_is_found(forgetful: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that was stored and not told is heard after the next look at the positions, without another one."""

    async def run() -> None:
        async with broker(forgetful, check=0.1) as one, one.subscribe("t", heard := Heard()):
            async with broker(forgetful) as other:
                monkeypatch.setattr(other._streams, "channel", lambda topic: "elsewhere")
                await other.publish("t", "a")
            await heard.until(records=1)

    asyncio.run(run())


def test_gap_in_the_channel_is_filled_at_once(forgetful: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next record shows that others are missing: all are heard in order, also more than one page of them."""

    async def run() -> None:
        async with broker(forgetful) as one, one.subscribe("t", heard := Heard()), broker(forgetful) as other:
            await one.publish("t", "0")
            with monkeypatch.context() as patch:
                patch.setattr(other._streams, "channel", lambda topic: "elsewhere")
                for number in range(1, 500):
                    await other.publish("t", str(number))
            await asyncio.gather(*[other.publish("t", str(number)) for number in range(500, 600)])
            await heard.until(records=600)
            assert heard.payloads == [str(number) for number in range(600)]
            assert heard.resets == []

    asyncio.run(run())


def test_listener_that_missed_more_than_is_kept_is_told(forgetful: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the log no longer has what the channel lost, on_reset says so and what is kept follows."""

    async def run() -> None:
        few = ValkeyBroker(forgetful.url, limits=Limits(records=3))
        async with broker(forgetful) as one, one.subscribe("t", heard := Heard()), few as other:
            first = await one.publish("t", "0")
            await heard.until(records=1)
            with monkeypatch.context() as patch:
                patch.setattr(other._streams, "channel", lambda topic: "elsewhere")
                for number in range(1, 9):
                    await other.publish("t", str(number))
            await other.publish("t", "9")
            await heard.until(records=4, resets=1)
            assert heard.resets == [Position(first.epoch, 7)]
            assert heard.payloads == ["0", "7", "8", "9"]

    asyncio.run(run())
