"""While the engine is away, calls and health say so; when it is back, they and the subscriptions recover."""

from __future__ import annotations

import asyncio

import pytest
import redis
from lab.servers.valkey import Engine
from lab.tap.tap import Tap

from server.broker import Position, UnavailableError
from tests.server.broker.recorder import Recorder
from tests.server.broker.scenario import broker, until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_failed")]


async def test_engine_that_is_away_is_reported(volatile_engine: Engine) -> None:
    """Every call raises within its deadline, health says why, and both recover by themselves."""
    async with broker(volatile_engine) as one, one.subscribe("t", received := Recorder()), asyncio.timeout(20):
        await asyncio.to_thread(volatile_engine.kill)
        calls = (
            one.publish("t", "a", key="a"),
            one.history("t"),
            one.signal("t", "x"),
            one.drop("t"),
            one.subscribe("u", Recorder()).__aenter__(),
        )
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(error) for error in errors] == [UnavailableError] * len(calls)
        assert "may or may not be stored: publish it again with the same key" in str(errors[0])
        await until(lambda: not one.health().ready)
        assert "127.0.0.1" in one.health().reason
        await asyncio.to_thread(volatile_engine.restart)
        await until(lambda: one.health().ready)
        await one.publish("t", "a", key="a")
        await received.until(records=1, resets=1)


@pytest.mark.parametrize("silence", ["stalled engine", "cut cable"])
async def test_silence_is_noticed(volatile_engine: Engine, silence: str) -> None:
    """A connection that stays open and silent counts as lost; what was published meanwhile is received later."""
    with Tap(volatile_engine.port) as tap:
        async with broker(tap) as one, one.subscribe("t", received := Recorder()):
            await one.publish("t", "a")
            volatile_engine.stall() if silence == "stalled engine" else tap.cut()
            await until(lambda: "said nothing" in one.health().reason)
            if silence == "stalled engine":
                volatile_engine.resume()
            else:
                async with broker(volatile_engine) as other:
                    await other.publish("t", "b")
                tap.mend()
            await until(lambda: one.health().ready)
            await one.publish("t", "c")
            await received.until(records=3 if silence == "cut cable" else 2)
            assert received.offsets == list(range(1, len(received.records) + 1))
            assert received.resets == []


async def test_connection_cut_in_the_middle_of_a_publish(volatile_engine: Engine) -> None:
    """The record is stored and the answer is lost: it isn't stored again, and its position is returned."""
    with Tap(volatile_engine.port) as tap, redis.from_url(volatile_engine.url) as direct:
        async with broker(tap) as one:
            first = await one.publish("t", "a")
            tap.cut("server")
            publication = asyncio.create_task(one.publish("t", "b"))
            await until(lambda: direct.xlen("chat:{t}:log") == 2)
            tap.reset()
            tap.mend()
            assert await publication == Position(first.epoch, 2)
            assert direct.xlen("chat:{t}:log") == 2


async def test_signal_whose_answer_is_lost_is_not_repeated(volatile_engine: Engine) -> None:
    """A signal reaches its listeners at most once, even if nobody knows whether it did."""
    with Tap(volatile_engine.port) as tap:
        async with broker(volatile_engine) as other, other.subscribe("t", received := Recorder()), broker(tap) as one:
            await one.signal("t", "first")
            tap.cut("server")
            signal = asyncio.create_task(one.signal("t", "second"))
            await received.until(signals=2)
            tap.reset()
            tap.mend()
            with pytest.raises(UnavailableError):
                await signal
            await one.signal("t", "third")
            await received.until(signals=3)
            assert received.signals == ["first", "second", "third"]


async def test_broker_ends_while_its_connections_break(volatile_engine: Engine) -> None:
    """Leaving the block at the very moment of a fault ends every task."""
    before = asyncio.all_tasks()
    with Tap(volatile_engine.port) as tap:
        async with asyncio.timeout(20):
            for number in range(20):
                async with broker(tap) as one, one.subscribe("t", Recorder()):
                    publication = asyncio.create_task(one.publish("t", "a"))
                    for _ in range(number):
                        await asyncio.sleep(0)
                    tap.reset()
                    await asyncio.sleep(0.001 * (number % 3))
                publication.cancel()
                await asyncio.wait([publication])
                assert asyncio.all_tasks() == before


async def test_cancelled_opening_leaves_nothing(volatile_engine: Engine) -> None:
    """Opening a broker can be cancelled at any moment; no task and no connection is left."""
    before = asyncio.all_tasks()
    with redis.from_url(volatile_engine.url) as direct:
        for number in range(30):
            opening = asyncio.create_task(broker(volatile_engine).__aenter__())
            await asyncio.sleep(0.0005 * number)
            opening.cancel()
            await asyncio.wait([opening])
            if not opening.cancelled():
                await opening.result().__aexit__()
            assert asyncio.all_tasks() == before
        await until(lambda: len(direct.client_list()) == 1)
