"""Whatever happens to the engine or its connections, no accepted record is lost, doubled or out of order."""

from __future__ import annotations

import asyncio
import random
import sys

import pytest
import redis
from lab.servers.valkey import Engine
from lab.tap.tap import Tap

from server.broker import Position
from tests.server.broker.recorder import Recorder
from tests.server.broker.scenario import FAULTS, Fault, broker, check_nothing_lost, kill, running

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_failed")]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_nothing_accepted_is_lost(durable_engine: Engine, fault: Fault) -> None:
    """While records are published and received, one kind of fault happens at three random moments."""
    rng = random.Random(fault.__name__)
    with Tap(durable_engine.port) as tap:
        async with running(broker(tap), broker(durable_engine)) as scenario:
            for _ in range(3):
                await asyncio.sleep(rng.uniform(0, 0.1))
                await fault(durable_engine, tap, rng)
                await scenario.more(5)
    check_nothing_lost(scenario)


@pytest.mark.parametrize("seed", range(2))
async def test_nothing_accepted_is_lost_in_any_mixture_of_faults(durable_engine: Engine, seed: int) -> None:
    """Six faults of any kind, one after the other, at random moments."""
    rng = random.Random(seed)
    with Tap(durable_engine.port) as tap:
        async with running(broker(tap), broker(tap)) as scenario:
            for _ in range(6):
                await rng.choice(FAULTS)(durable_engine, tap, rng)
                await asyncio.sleep(rng.uniform(0, 0.1))
    check_nothing_lost(scenario)


@pytest.mark.parametrize("seed", range(2))
async def test_restart_without_the_data_begins_a_new_epoch(volatile_engine: Engine, seed: int) -> None:
    """Listeners get a reset; everything accepted since is received once, from offset 1 on."""
    rng = random.Random(seed)
    with Tap(volatile_engine.port) as tap:
        async with running(broker(tap), broker(volatile_engine)) as scenario:
            await kill(volatile_engine, tap, rng)
    epoch = scenario.accepted["last"].epoch
    since = {payload: position for payload, position in scenario.accepted.items() if position.epoch == epoch}
    assert len({position.epoch for position in scenario.accepted.values()}) == 2
    for received in scenario.received:
        assert received.resets == [Position(epoch, 0)]
        after = [record for record in received.records if record.position.epoch == epoch]
        assert [record.position.offset for record in after] == list(range(1, len(after) + 1))
        assert {record.payload: record.position for record in after} == since


async def test_old_positions_are_incomplete_after_a_loss(volatile_engine: Engine) -> None:
    """For a position from before the loss, the history is incomplete."""
    async with broker(volatile_engine) as one:
        old = await one.publish("t", "a")
        await asyncio.to_thread(volatile_engine.restart)
        new = await one.publish("t", "b")
        assert (new.offset, new.epoch == old.epoch) == (1, False)
        history = await one.history("t", old)
        assert ([record.payload for record in history.records], history.complete) == (["b"], False)


async def test_engine_without_its_last_records_gets_a_new_epoch(volatile_engine: Engine) -> None:
    """An engine that comes back a little older reuses offsets, but not in the same epoch."""
    async with broker(volatile_engine, check=0.1) as one, one.subscribe("t", received := Recorder()):
        positions = [await one.publish("t", str(number)) for number in range(3)]
        with redis.from_url(volatile_engine.url) as direct:
            old = {key: direct.dump(key) for key in ("chat:{t}:meta", "chat:{t}:log")}
        positions += [await one.publish("t", str(number)) for number in range(3, 5)]
        await received.until(records=5)
        with redis.from_url(volatile_engine.url) as direct, direct.pipeline() as together:
            for key, value in old.items():
                together.restore(key, 0, value, replace=True)
            together.execute()
        await received.until(resets=1)
        assert (await one.publish("t", "new")).offset == 4
        await received.until(records=9)
        [begun] = received.resets
        assert (begun.offset, begun.epoch == positions[0].epoch) == (0, False)
        assert received.payloads == ["0", "1", "2", "3", "4", "0", "1", "2", "new"]
        assert list((await one.history("t")).records) == received.records[5:]
        assert not (await one.history("t", positions[-1])).complete


SCRIPT = """
import asyncio, sys
from itertools import count
from server.broker.valkey.broker import ValkeyBroker
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


async def test_publishing_process_is_killed(volatile_engine: Engine) -> None:
    """Every record that another process got an answer for before its kill -9 is received here, once and in order."""
    async with broker(volatile_engine) as one, one.subscribe("t", received := Recorder()):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SCRIPT, volatile_engine.url, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        async with asyncio.timeout(100):
            lines = [await process.stdout.readline() for _ in range(300)]
            process.kill()
            rest = (await process.stdout.read()).splitlines(keepends=True)
            lines += [line for line in rest if line.endswith(b"\n")]  # the last may have been cut off by the kill
            await process.wait()
        last = await one.publish("t", "last")
        await received.until(records=last.offset)
        assert received.offsets == list(range(1, last.offset + 1))
        assert len(set(received.payloads)) == len(received.payloads)
        for line in lines:
            offset, name, number = line.split()
            assert received.payloads[int(offset) - 1] == f"{name.decode()} {number.decode()}"
