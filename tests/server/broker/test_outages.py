"""What a call, a subscription and health say while the engine is away, and that all of them recover."""

from __future__ import annotations

import asyncio

import pytest
import redis
from lab.engine import Engine
from lab.tap import Tap

from server.broker import Position, UnavailableError
from tests.server.broker.heard import Heard
from tests.server.broker.story import broker, until

pytestmark = pytest.mark.usefixtures("nothing_failed")


def test_engine_that_is_away_is_said(forgetful: Engine) -> None:
    """Every call raises within its deadline, health says why, and both recover by themselves."""

    async def run() -> None:
        async with broker(forgetful) as one, one.subscribe("t", heard := Heard()), asyncio.timeout(20):
            await asyncio.to_thread(forgetful.kill)
            calls = (
                one.publish("t", "a", key="a"),
                one.history("t"),
                one.signal("t", "x"),
                one.drop("t"),
                one.subscribe("u", Heard()).__aenter__(),
            )
            errors = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(error) for error in errors] == [UnavailableError] * len(calls)
            assert "may or may not be stored: publish it again with the same key" in str(errors[0])
            await until(lambda: not one.health().ready)
            assert "127.0.0.1" in one.health().reason
            await asyncio.to_thread(forgetful.restart)
            await until(lambda: one.health().ready)
            await one.publish("t", "a", key="a")
            await heard.until(records=1, resets=1)

    asyncio.run(run())


@pytest.mark.parametrize("silence", ["stalled engine", "cut cable"])
def test_silence_is_noticed(forgetful: Engine, silence: str) -> None:
    """A connection that stays open and says nothing counts as lost; what was published meanwhile is heard later."""

    async def run() -> None:
        with Tap(forgetful.port) as tap:
            async with broker(tap) as one, one.subscribe("t", heard := Heard()):
                await one.publish("t", "a")
                forgetful.stall() if silence == "stalled engine" else tap.cut()
                await until(lambda: "said nothing" in one.health().reason)
                if silence == "stalled engine":
                    forgetful.resume()
                else:
                    async with broker(forgetful) as other:
                        await other.publish("t", "b")
                    tap.mend()
                await until(lambda: one.health().ready)
                await one.publish("t", "c")
                await heard.until(records=3 if silence == "cut cable" else 2)
                assert heard.offsets == list(range(1, len(heard.records) + 1))
                assert heard.resets == []

    asyncio.run(run())


def test_connection_cut_in_the_middle_of_a_publish(forgetful: Engine) -> None:
    """The record is stored, its answer is lost with the connection: it is stored once, and its position returned."""

    async def run() -> None:
        with Tap(forgetful.port) as tap, redis.from_url(forgetful.url) as direct:
            async with broker(tap) as one:
                first = await one.publish("t", "a")
                tap.cut("server")
                publication = asyncio.create_task(one.publish("t", "b"))
                await until(lambda: direct.xlen("chat:{t}:log") == 2)
                tap.reset()
                tap.mend()
                assert await publication == Position(first.epoch, 2)
                assert direct.xlen("chat:{t}:log") == 2

    asyncio.run(run())


def test_signal_whose_answer_is_lost_is_not_repeated(forgetful: Engine) -> None:
    """A signal reaches its listeners at most once, also where nobody knows whether it did."""

    async def run() -> None:
        with Tap(forgetful.port) as tap:
            async with broker(forgetful) as other, other.subscribe("t", heard := Heard()), broker(tap) as one:
                await one.signal("t", "first")
                tap.cut("server")
                signal = asyncio.create_task(one.signal("t", "second"))
                await heard.until(signals=2)
                tap.reset()
                tap.mend()
                with pytest.raises(UnavailableError):
                    await signal
                await one.signal("t", "third")
                await heard.until(signals=3)
                assert heard.signals == ["first", "second", "third"]

    asyncio.run(run())


def test_broker_ends_while_its_connections_break(forgetful: Engine) -> None:
    """Leaving the block at the very moment of a fault ends every task."""

    async def run() -> None:
        with Tap(forgetful.port) as tap:
            for number in range(20):
                async with broker(tap) as one, one.subscribe("t", Heard()):
                    publication = asyncio.create_task(one.publish("t", "a"))
                    for _ in range(number):
                        await asyncio.sleep(0)
                    tap.reset()
                    await asyncio.sleep(0.001 * (number % 3))
                publication.cancel()
                await asyncio.wait([publication])
                assert asyncio.all_tasks() == {asyncio.current_task()}

    async def limited() -> None:
        async with asyncio.timeout(20):
            await run()

    asyncio.run(limited())


def test_cancelled_opening_leaves_nothing(forgetful: Engine) -> None:
    """Whoever is cancelled while opening a broker has no task and no connection left, whenever that happens."""

    async def run() -> None:
        with redis.from_url(forgetful.url) as direct:
            for number in range(30):
                opening = asyncio.create_task(broker(forgetful).__aenter__())
                await asyncio.sleep(0.0005 * number)
                opening.cancel()
                await asyncio.wait([opening])
                if not opening.cancelled():
                    await opening.result().__aexit__()
                assert asyncio.all_tasks() == {asyncio.current_task()}
            await until(lambda: len(direct.client_list()) == 1)

    asyncio.run(run())
