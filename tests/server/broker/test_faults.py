"""Whatever happens to the engine or to the way there: nothing accepted is lost, told twice or out of order."""

from __future__ import annotations

import asyncio
import random
import sys

import pytest
import redis
from lab.engine import Engine
from lab.tap import Tap

from server.broker import Position
from tests.server.broker.heard import Heard
from tests.server.broker.story import FAULTS, Fault, Story, broker, check_nothing_lost, kill, telling

pytestmark = pytest.mark.usefixtures("nothing_failed")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_nothing_accepted_is_lost(lasting: Engine, fault: Fault) -> None:
    """While records are published and heard, one kind of fault happens at three random moments."""
    rng = random.Random(fault.__name__)

    async def run() -> Story:
        with Tap(lasting.port) as tap:
            async with telling(broker(tap), broker(lasting)) as story:
                for _ in range(3):
                    await asyncio.sleep(rng.uniform(0, 0.1))
                    await fault(lasting, tap, rng)
                    await story.more(5)
        return story

    check_nothing_lost(asyncio.run(run()))


@pytest.mark.parametrize("seed", range(2))
def test_nothing_accepted_is_lost_in_any_mixture_of_faults(lasting: Engine, seed: int) -> None:
    """Six faults of any kind, one upon the other, at random moments."""
    rng = random.Random(seed)

    async def run() -> Story:
        with Tap(lasting.port) as tap:
            async with telling(broker(tap), broker(tap)) as story:
                for _ in range(6):
                    await rng.choice(FAULTS)(lasting, tap, rng)
                    await asyncio.sleep(rng.uniform(0, 0.1))
        return story

    check_nothing_lost(asyncio.run(run()))


@pytest.mark.parametrize("seed", range(2))
def test_restart_without_the_data_begins_a_new_epoch(forgetful: Engine, seed: int) -> None:
    """Listeners are told of the loss; everything accepted since is heard once, from offset 1 on."""
    rng = random.Random(seed)

    async def run() -> Story:
        with Tap(forgetful.port) as tap:
            async with telling(broker(tap), broker(forgetful)) as story:
                await kill(forgetful, tap, rng)
        return story

    story = asyncio.run(run())
    epoch = story.accepted["last"].epoch
    since = {payload: position for payload, position in story.accepted.items() if position.epoch == epoch}
    assert len({position.epoch for position in story.accepted.values()}) == 2
    for heard in story.heard:
        assert heard.resets == [Position(epoch, 0)]
        after = [record for record in heard.records if record.position.epoch == epoch]
        assert [record.position.offset for record in after] == list(range(1, len(after) + 1))
        assert {record.payload: record.position for record in after} == since


def test_old_positions_are_incomplete_after_a_loss(forgetful: Engine) -> None:
    """Who resumes with a position of before the loss is told that something is missing."""

    async def run() -> None:
        async with broker(forgetful) as one:
            old = await one.publish("t", "a")
            await asyncio.to_thread(forgetful.restart)
            new = await one.publish("t", "b")
            assert (new.offset, new.epoch == old.epoch) == (1, False)
            history = await one.history("t", old)
            assert ([record.payload for record in history.records], history.complete) == (["b"], False)

    asyncio.run(run())


def test_engine_without_its_last_records_gets_a_new_epoch(forgetful: Engine) -> None:
    """An engine that comes back a little older reuses offsets that somebody has seen: never in the same epoch."""

    async def run() -> None:
        async with broker(forgetful, check=0.1) as one, one.subscribe("t", heard := Heard()):
            positions = [await one.publish("t", str(number)) for number in range(3)]
            with redis.from_url(forgetful.url) as direct:
                old = {key: direct.dump(key) for key in ("chat:{t}:meta", "chat:{t}:log")}
            positions += [await one.publish("t", str(number)) for number in range(3, 5)]
            await heard.until(records=5)
            with redis.from_url(forgetful.url) as direct, direct.pipeline() as together:
                for key, value in old.items():
                    together.restore(key, 0, value, replace=True)
                together.execute()
            await heard.until(resets=1)
            assert (await one.publish("t", "new")).offset == 4
            await heard.until(records=9)
            [begun] = heard.resets
            assert (begun.offset, begun.epoch == positions[0].epoch) == (0, False)
            assert heard.payloads == ["0", "1", "2", "3", "4", "0", "1", "2", "new"]
            assert list((await one.history("t")).records) == heard.records[5:]
            assert not (await one.history("t", positions[-1])).complete

    asyncio.run(run())


SCRIPT = """
import asyncio, sys
from itertools import count
from server.broker.valkey import ValkeyBroker
from server.broker import Limits

async def publish(broker, name):
    for number in count(1):
        position = await broker.publish("t", f"{name} {number}")
        print(position.offset, name, number, flush=True)

async def main():
    async with ValkeyBroker(sys.argv[1], limits=Limits(records=1_000_000)) as broker, asyncio.TaskGroup() as group:
        for name in range(3):
            group.create_task(publish(broker, name))

asyncio.run(main())
"""


def test_publishing_process_is_killed(forgetful: Engine) -> None:
    """What another process was told to be stored before its kill -9 is heard here, once and in order."""

    async def run() -> None:
        async with broker(forgetful) as one, one.subscribe("t", heard := Heard()):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", SCRIPT, forgetful.url, stdout=asyncio.subprocess.PIPE
            )
            assert process.stdout is not None
            async with asyncio.timeout(15):
                lines = [await process.stdout.readline() for _ in range(300)]
                process.kill()
                rest = (await process.stdout.read()).splitlines(keepends=True)
                lines += [line for line in rest if line.endswith(b"\n")]  # the last may have been cut off by the kill
                await process.wait()
            last = await one.publish("t", "last")
            await heard.until(records=last.offset)
            assert heard.offsets == list(range(1, last.offset + 1))
            assert len(set(heard.payloads)) == len(heard.payloads)
            for line in lines:
                offset, name, number = line.split()
                assert heard.payloads[int(offset) - 1] == f"{name.decode()} {number.decode()}"

    asyncio.run(run())
